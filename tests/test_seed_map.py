"""What the seeds name is here, as docs/seed-map.toml says: every path, command, option, route, field and symbol.

`.venv/bin/python -m tests.test_seed_map` writes docs/seed-map.md anew.
"""

from __future__ import annotations

import ast
import functools
import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from interlock.loops import reasons
from tests.around import without_ours

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "seed-map.md"
_TITLES = {
    1: "queue commands",
    2: "ops manager",
    3: "agent DevOps runbook",
    4: "OPS runtime",
}


def the_map() -> Mapping[str, Any]:
    """Read it."""
    return tomllib.loads((ROOT / "docs" / "seed-map.toml").read_text(encoding="utf-8"))


def rows() -> Sequence[Mapping[str, Any]]:
    """Return what is named."""
    return the_map()["row"]


def page() -> str:
    """Return the map as a page."""
    lines = ["# What the seeds name, and what it is here", "", the_map()["about"].strip()]
    for seed, title in _TITLES.items():
        lines += ["", f"## Seed {seed}: {title}", "", "| the seed says | here |", "|---|---|"]
        lines += [_line(row) for row in rows() if row["seed"] == seed]
        lines += ["", the_map()["after"][str(seed)].strip()]
    return "\n".join(lines) + "\n"


def _line(row: Mapping[str, Any]) -> str:
    said = ", ".join(f"`{name}`" for name in row["says"]).replace("|", "\\|")
    differs = f". **Differs:** {row['differs']}" if "differs" in row else ""
    return f"| {said} | {row['here']}{differs} |"


# --- what a row is held against ---------------------------------------------------------------------------------------


class Lived:
    """A fresh workspace, and a repository in it whose loop was started, reconciled, steered and lost."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repo = root / "repo"
        self.repo.mkdir(parents=True)
        self._run([str(Path(sys.executable).parent / "interlock"), "init", "."])
        self._loop("start", "work")
        loop = ["--repo", str(self.repo), "--loop", "demo"]
        self._run(["scripts/ops-manager-reconcile.sh", *loop])
        traced = [*loop, "--trace-id", "one-trace"]
        self._run(["scripts/ops-manager-control.sh", *traced, "--intent", "approve"], code=1)  # nothing waits for that
        (self.repo / ".superloop" / "state.json").unlink()
        beat = self.repo / ".superloop" / "loops" / "demo" / "heartbeat.v1.json"
        beat.write_text(json.dumps(json.loads(beat.read_text()) | {"timestamp": "2026-01-01T00:00:00Z"}))
        self._run(["scripts/ops-manager-reconcile.sh", *traced, "--alerts-enabled", "true"])
        self._run(["scripts/ops-manager-alert-dispatch.sh", *loop])
        self.status = json.loads(self._run(["scripts/ops-manager-status.sh", *loop]))

    def help(self, command: str) -> str:
        """Return what a command of the workspace says of itself."""
        words = command.split()
        return self._run([*(["python3"] if words[0].endswith(".py") else []), *words, "--help"])

    def _loop(self, *verbs: str) -> None:
        for verb in verbs:
            self._run([str(ROOT / "tests/loops/superloop.sh"), verb, "--repo", str(self.repo), "--loop", "demo"])

    def _run(self, words: Sequence[str], *, code: int = 0) -> str:
        environment = {
            **without_ours(),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SUPERLOOP_BIN": str(ROOT / "tests/loops/superloop.sh"),
            "COLUMNS": "200",
        }
        done = subprocess.run(words, cwd=self.root, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, (words, done)
        return done.stdout + done.stderr if code else done.stdout


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    return Lived(tmp_path_factory.mktemp("seeds") / "workspace")


def _made(lived: Lived, path: str) -> bool:
    return (lived.root / path).exists()


def _loop_s(lived: Lived, path: str) -> bool:
    whole = path if "/" in path else f".superloop/ops-manager/<loop>/{path}"
    return (lived.repo / whole.replace("<loop>", "demo")).is_file()


def _file(_lived: Lived, path: str) -> bool:
    return (ROOT / path).exists()


def _help(lived: Lived, words: str) -> bool:
    command, _, said = words.partition(":")
    return bool(re.search(rf"(?<![\w-]){re.escape(said)}(?![\w-])", _helps(lived, command)))


@functools.cache
def _helps(lived: Lived, command: str) -> str:
    return lived.help(re.split(r" --", command)[0])


def _status(lived: Lived, path: str) -> bool:
    return _has(lived.status, path.split("."))


def _has(found: object, path: Sequence[str]) -> bool:
    """Say whether a field is there; a path of one name may lie at any depth."""
    if isinstance(found, list):
        return any(_has(each, path) for each in cast("list[object]", found))
    if not isinstance(found, dict):
        return False
    fields = cast("dict[str, object]", found)
    if path[0] in fields and (len(path) == 1 or _has(fields[path[0]], path[1:])):
        return True
    return len(path) == 1 and any(_has(each, path) for each in fields.values())


def _said(_lived: Lived, words: str) -> bool:
    vocabularies = (reasons.REASONS, reasons.VIOLATIONS, reasons.FLAGS, reasons.OUTCOMES, reasons.DRIFT)
    return any(words.removeprefix("status=") in each for each in vocabularies)


def _word(_lived: Lived, words: str) -> bool:
    path, _, text = words.partition(":")
    return text in (ROOT / path).read_text(encoding="utf-8")


def _code(_lived: Lived, words: str) -> bool:
    module, _, path = words.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.removesuffix("]").replace("[", ".").split("."):
        found = cast("Mapping[str, Any]", found).get(name) if isinstance(found, dict) else getattr(found, name, None)
    return found is not None


def _route(_lived: Lived, words: str) -> bool:
    verbs, _, path = words.rpartition(" ")
    served = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))["paths"]
    nameless = {re.sub(r"\{\w+\}", "{id}", each): methods for each, methods in served.items()}
    methods = nameless.get(re.sub(r"\{\w+\}", "{id}", path), {})
    return bool(methods) and all(verb.lower() in methods for verb in verbs.split("/") if verb)


def _test(_lived: Lived, words: str) -> bool:
    path, _, name = words.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    tests = {each.name for each in tree.body if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")}
    return bool(tests) if name == "*" else name in tests


def _ui(_lived: Lived, name: str) -> bool:
    return any(path.as_posix().endswith(f"/{name}") for path in (ROOT / "ui" / "src").rglob("*"))


HELD: Mapping[str, Callable[[Lived, str], bool]] = {
    "code": _code,  # module:Name.attribute, or module:TABLE[key]
    "file": _file,  # of the repository
    "help": _help,  # command:text, in what the workspace's command says of itself
    "lived": _loop_s,  # a file of a loop that was reconciled, steered and lost
    "made": _made,  # by `interlock init`
    "page": _word,  # path:text
    "route": _route,  # VERB/VERB path, in docs/openapi.json
    "said": _said,  # of a loop, with an explanation
    "status": _status,  # field of the status of a loop
    "test": _test,  # path::name, or path::* for a file that has tests
    "ui": _ui,  # a file of the console
    "word": _word,  # path:text, in the source
}


def _wanted() -> Iterator[tuple[str, str]]:
    for row in rows():
        for held in row["held"]:
            kind, _, words = held.partition(":")
            for name in row["says"] if "{}" in words else [""]:
                yield kind, words.replace("{}", _bare(name))


def _bare(name: str) -> str:
    """Leave away what stands for a value: `--db <path>` is `--db`, `orch_dispatch(approved_id)` is `orch_dispatch`."""
    if name.startswith((".superloop", "ops://")) or "/ops/" in name:
        return name
    return re.split(r"[ (]?[<(\"]| --", name)[0].rstrip("*=").rstrip()


@pytest.mark.proves("seed-names")
def test_everything_that_the_seeds_name_is_where_the_map_says(lived: Lived) -> None:
    missing = [f"{kind}:{words}" for kind, words in _wanted() if not HELD[kind](lived, words)]
    assert missing == []


def test_every_kind_of_place_can_be_missing(lived: Lived) -> None:
    asked = {"code": "interlock.cli.main:nothing", "help": "automation/orchestrator/ops.py:--nothing"}
    asked |= {"page": "docs/SECURITY.md:no such words here", "word": "Makefile:no such words here"}
    asked |= {"test": "tests/test_seed_map.py::test_nothing", "route": "DELETE /status"}
    assert [kind for kind in HELD if HELD[kind](lived, asked.get(kind, "nothing/of/the-kind.md"))] == []


_CHECK = "automation/orchestrator/ops.py consistency-check"


@pytest.mark.parametrize(
    ("kind", "there", "wrong"),
    [
        ("help", f"{_CHECK}:--queue-path", f"{_CHECK}:--queue-p"),
        ("help", f"{_CHECK}:--queue-path", f"{_CHECK}:queue-path"),
        ("ui", "OpsIsland.tsx", "nothing/of/OpsIsland.tsx"),
        ("ui", "OpsIsland.tsx", "Island.tsx"),
    ],
)
def test_a_part_of_what_is_there_is_not_what_a_row_asks_for(lived: Lived, kind: str, there: str, wrong: str) -> None:
    assert HELD[kind](lived, there)
    assert not HELD[kind](lived, wrong)


def test_every_place_in_the_words_of_the_map_is_there() -> None:
    places = {
        place for row in rows() for place in re.findall(r"`((?:src|docs|tests|examples|ui|deploy)/[^`]+)`", row["here"])
    }
    assert len(places) > 60
    assert [place for place in sorted(places) if not (ROOT / place).exists()] == []


@pytest.mark.proves("seed-names")
def test_every_row_says_what_holds_it_or_why_it_differs() -> None:
    assert [row["says"] for row in rows() if not row["held"] and "differs" not in row] == []
    assert {row["seed"] for row in rows()} == {1, 2, 3, 4}
    assert sum(len(row["says"]) for row in rows()) > 290


def test_the_page_of_the_map_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
