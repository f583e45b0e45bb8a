"""Every quality gate passes a small house that is in order, and fails it for the one defect that is planted there."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.gates.house import GENERATED, ROOT, small_house
from tests.gates.services import Services, services

pytestmark = pytest.mark.timeout(900)  # compilers and browsers' tools start here, on a busy machine, too

SCRIPT = ROOT / "scripts" / "quality_gates.py"
SLOW = ("types", "site", "console", "audit", "console-audit", "tests", "console-tests")
"""Gates that look at a house only when their own defect is planted there; the others always do."""
_QUICKLY = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist.plugin,pytest_timeout"}


@dataclass(frozen=True)
class Looked:
    """What a run of the gates came to."""

    code: int
    gates: Mapping[str, Mapping[str, Any]]

    def results(self, result: str) -> list[str]:
        return [name for name, gate in self.gates.items() if gate["result"] == result]


class House:
    """The small house, and how the gates look at it."""

    def __init__(self, root: Path, knowing: Services) -> None:
        self.root, self.knowing = small_house(root / "house"), knowing
        self._temporary = root / "tmp"
        self._temporary.mkdir()

    def append(self, name: str, text: str) -> None:
        path = self.root / name
        path.write_text((path.read_text(encoding="utf-8") if path.exists() else "") + text, encoding="utf-8")

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text(encoding="utf-8")
        assert old in text
        (self.root / name).write_text(text.replace(old, new), encoding="utf-8")

    def look(self, *options: str) -> Looked:
        done = self.run("--json", *options)
        return Looked(done.returncode, {each["gate"]: each for each in json.loads(done.stdout)["gates"]})

    def locked(self) -> Sequence[str]:
        """Return what a user installs, as `name==version`."""
        export = ("uv", "export", "--frozen", "--quiet", "--no-default-groups", "--all-extras", "--no-emit-project")
        program = Path(sys.executable).with_name(export[0])
        done = subprocess.run([program, *export[1:]], cwd=self.root, check=True, capture_output=True, text=True)
        return re.findall(r"^[^ #=]+==[^ ]+", done.stdout, re.MULTILINE)

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        asking = {"npm_config_registry": f"{self.knowing.address}/", "npm_config_fetch_retries": "0"}
        advisories = f"{self.knowing.address}/v1/query"
        return subprocess.run(
            [sys.executable, SCRIPT, "--root", self.root, "--advisories", advisories, *options],
            env={**environment, **_QUICKLY, **asking, "TMPDIR": str(self._temporary)},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with services() as knowing:
        yield House(tmp_path, knowing)


WORDS, DOOR = "src/interlock/words.py", "src/interlock/door.py"
NEVER = '\n\ndef never() -> None:\n    """Do nothing."""\n'


def plant_a_secret(house: House) -> None:
    house.append("docs/index.md", f"\nToken: ghp_{'9cTq2mXw7LrB4nKd' * 2}5Zx1\n")


def plant_a_licence(house: House) -> None:
    path = house.root / "ui" / "package-lock.json"
    lock = json.loads(path.read_text(encoding="utf-8"))
    lock["packages"]["node_modules/uplot"]["license"] = "AGPL-3.0-only"
    path.write_text(json.dumps(lock), encoding="utf-8")


DEFECTS: Mapping[str, tuple[Callable[[House], object], str]] = {
    "types": (lambda house: house.replace(DOOR, "(GREETING)", "(len(GREETING))"), "int"),
    "format": (lambda house: house.replace(WORDS, "GREETING =", "GREETING  ="), "would be reformatted"),
    "lint": (lambda house: house.append(DOOR, "print(GREETING)\n"), "T201"),
    "layers": (
        lambda house: house.replace(WORDS, "\n\nG", "\n\nimport interlock.door as _  # noqa: F401 - planted\n\nG"),
        "BROKEN",
    ),
    "openapi": (lambda house: house.append("docs/openapi.json", "\n"), "docs/openapi.json"),
    "docs": (lambda house: house.append("docs/SECURITY.md", "more\n"), "docs/SECURITY.md"),
    "site": (lambda house: house.append("docs/index.md", "\n[more](none.md)\n"), "none.md"),
    "console": (lambda house: house.append("ui/src/one.ts", 'export const two: number = "2";\n'), "TS2322"),
    "dead": (lambda house: house.append(WORDS, NEVER), "words.py:6: unused function 'never'"),
    "bandit": (lambda house: house.append(DOOR, 'eval("GREETING")  # noqa: S307  # so be it\n'), "B307"),
    "suppressions": (
        lambda house: house.append("tests/test_one.py", "\n\nTWO = lambda: 2  # noqa: E731\n"),
        "tests/test_one.py:8: # noqa: E731",
    ),
    "secrets": (plant_a_secret, "docs/index.md:5: github-pat"),
    "licences": (plant_a_licence, "uplot (console): AGPL-3.0-only"),
    "audit": (lambda house: house.knowing.weak.update({"certifi": "GHSA-1"}), "GHSA-1, mended in 999.0"),
    "console-audit": (lambda house: house.knowing.weak.update({"uplot": "GHSA-2"}), "uplot: high"),
    "tests": (lambda house: house.replace("tests/test_one.py", "== 2", "== 3"), "test_one"),
    "console-tests": (lambda house: house.replace("ui/src/one.test.mjs", "{}", "{ throw 1 }"), "fail"),
}
"""A defect for every gate, and what the gate says of it."""


@pytest.mark.proves("quality-gates")
def test_a_house_in_order_passes_every_gate(house: House) -> None:
    found = house.look()
    assert found.results("passed") == list(found.gates), found.gates
    assert found.code == 0
    locked = {each.split("==")[0] for each in house.locked()}
    assert {*house.knowing.asked} == {*locked, "npm"}, "each is looked up, for whatever platform it is"
    assert len(locked) > 50


@pytest.mark.parametrize("gate", DEFECTS)
def test_a_gate_fails_for_its_own_defect_and_no_other_gate_does(house: House, gate: str) -> None:
    plant, told = DEFECTS[gate]
    plant(house)
    left_out = [word for name in SLOW if name != gate for word in ("--without", name)]
    found = house.look(*left_out)
    assert (found.results("FAILED"), found.results("unreachable")) == ([gate], []), found.gates
    assert found.code == 1
    assert told in found.gates[gate]["line"] + found.gates[gate]["details"]
    assert found.gates[gate]["line"]


def test_there_is_no_gate_without_a_defect(house: House) -> None:
    assert list(house.look("--only", "format").gates) == list(DEFECTS)


def test_only_and_without_leave_gates_out_by_word_and_the_table_says_so(house: House) -> None:
    done = house.run("--only", "format", "--only", "lint", "--without", "lint")
    assert done.returncode == 0, done.stdout
    rows = {line.split()[0]: line.split("  ")[1:] for line in done.stdout.splitlines()[2:]}
    assert "passed" in done.stdout.splitlines()[3]
    assert rows.keys() == DEFECTS.keys()
    assert [name for name, cells in rows.items() if "left out" in " ".join(cells)] == [
        name for name in DEFECTS if name != "format"
    ]


def test_a_gate_that_nobody_knows_is_refused(house: House) -> None:
    done = house.run("--without", "everything")
    assert done.returncode == 2
    assert "invalid choice: 'everything'" in done.stderr


# --- what does not answer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", ["audit", "console-audit"])
def test_who_knows_nothing_has_not_passed(house: House, gate: str) -> None:
    house.knowing.broken = True
    done = house.run("--only", gate, "--only", "format")
    assert done.returncode == 5
    assert f"{gate}: what would know did not answer, so nothing is known, and that is no pass." in done.stdout
    assert f"--without {gate}" in done.stdout
    assert house.look("--only", gate).results("unreachable") == [gate]


def test_a_service_that_is_not_there_is_unreachable(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.shutdown(socket.SHUT_RD)  # so nobody else has the port, and nobody answers
        house.knowing.address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        found = house.look("--only", "audit", "--only", "console-audit")
    assert found.results("unreachable") == ["audit", "console-audit"]
    assert found.code == 5


def test_who_was_asked_about_some_packages_only_has_not_passed(house: House) -> None:
    told = [dict(zip(("name", "version"), each.split("=="), strict=True)) for each in house.locked()]
    (house.root / "src" / "pip_audit").mkdir()
    tool = "import json\n\n\ndef audit():\n    print(json.dumps({{'dependencies': {told}}}))\n"
    for name, text in (("__init__.py", ""), ("_cli.py", tool.format(told=told))):
        house.append(f"src/pip_audit/{name}", text)
    assert house.look("--only", "audit").results("passed") == ["audit"]
    (house.root / "src/pip_audit/_cli.py").write_text(tool.format(told=told[1:]), encoding="utf-8")
    found = house.look("--only", "audit")
    assert (found.code, found.results("unreachable")) == (5, ["audit"])
    assert found.gates["audit"]["details"] == house.locked()[0]


def test_a_lock_of_nothing_is_no_pass(house: House) -> None:
    own = '[[package]]\nname = "interlock"\nversion = "0.1.0"\nsource = { editable = "." }\n'
    lock = f'version = 1\nrevision = 3\nrequires-python = ">=3.11"\n\n{own}'
    (house.root / "uv.lock").write_text(lock, encoding="utf-8")
    found = house.look("--only", "audit", "--only", "licences")
    assert found.results("FAILED") == ["licences", "audit"]
    assert {gate["line"] for gate in found.gates.values()} >= {"the lock holds nothing that a user installs"}, found


def test_a_failure_weighs_more_than_what_is_unreachable(house: House) -> None:
    house.knowing.broken = True
    house.append(WORDS, "MORE = (1,2)\n")
    assert house.look("--only", "audit", "--only", "format").code == 1


def test_a_tree_that_is_not_in_git_has_not_passed(house: House) -> None:
    shutil.rmtree(house.root / ".git")
    found = house.look("--only", "secrets", "--only", "docs")
    assert found.results("FAILED") == ["docs", "secrets"]
    assert "git can not list the files" in found.gates["secrets"]["line"]


# --- what is excused --------------------------------------------------------------------------------------------------


def test_what_is_excused_passes_and_an_excuse_for_nothing_fails(house: House) -> None:
    for gate in ("dead", "secrets"):
        DEFECTS[gate][0](house)
    excused = (
        '[[unused]]\npath = "src/interlock/words.py"\nnames = ["never"]\nreason = "a test"\n'
        f'[[planted]]\nvalues = ["ghp_{"9cTq2mXw7LrB4nKd" * 2}5Zx1"]\nreason = "a test"\n'
    )
    house.append("scripts/gates/excused.toml", excused)
    assert house.look("--only", "dead", "--only", "secrets").code == 0
    for name in (WORDS, "docs/index.md"):
        subprocess.run(["git", "-C", house.root, "checkout", "--quiet", name], check=True)
    found = house.look("--only", "dead", "--only", "secrets")
    assert found.results("FAILED") == ["dead", "secrets"]
    assert "nothing is to be excused of never" in found.gates["dead"]["line"]
    assert "no file holds" in found.gates["secrets"]["line"]


def test_a_remark_counts_only_with_its_reason(house: House) -> None:
    house.append(WORDS, 'TOKEN = eval("1")  # noqa: S307 - our own text\n')
    assert house.look("--only", "bandit").code == 0
    house.append(WORDS, 'OTHER = eval("1")  # nosec\n')
    assert house.look("--only", "bandit").results("FAILED") == ["bandit"]


SILENT = (
    *("#noqa", "# NOQA", "# noqa: F401", "# noqa: F401 -", "# noqa:F401,E501", "# noqa: F401 because"),
    *("# flake8: noqa", "# ruff: noqa", "# ruff: noqa: PTH112", "# isort: skip_file", "# mypy: ignore-errors"),
    *("# type: ignore", "# type:ignore[a]", "# pyright: ignore", "# pyright: ignore[reportX, reportY]", "# nosec B105"),
)
SILENT_CONSOLE = ("// biome-ignore lint/a/b", "/* biome-ignore-all lint/a", "// @ts-ignore", "/* v8 ignore next")


def test_whoever_silences_a_check_in_any_form_says_why(house: House) -> None:
    mixed, whole = "# noqa: F401  # type: ignore[a]", "# pyright: reportX=false, reportY=false\n# pyright: basic"
    bare = [*SILENT, f"{mixed} - why", *whole.splitlines()]
    told = [*(f"{each} - why" for each in SILENT), "# noqa  # why", mixed.replace("  #", " - why  #") + " - why"]
    bare_there = [*SILENT_CONSOLE, "// biome-ignore lint/a/b: <explanation>", "// @ts-nocheck -"]
    told_there = [f"{each}: why" for each in SILENT_CONSOLE]
    house.append("tests/bare.py", "\n".join(bare))
    house.append("tests/told.py", "\n".join([*told, "# why", whole]))
    house.append("ui/src/bare.ts", "\n".join(bare_there))
    house.append("ui/src/told.ts", "\n".join(told_there))
    found = house.look("--only", "suppressions").gates["suppressions"]["details"].splitlines()
    expected = [
        f"{path}:{number}"
        for path, lines in (("tests/bare.py", bare), ("ui/src/bare.ts", bare_there))
        for number in range(1, len(lines) + 1)
    ]
    assert [":".join(line.split(":")[:2]) for line in found] == expected


def test_a_test_is_skipped_only_for_what_is_excused_and_not_unseen(house: House) -> None:
    house.append("tests/test_one.py", "\n\ndef test_two() -> None:\n    pytest.skip('no moon')\n")
    house.replace("tests/test_one.py", '"""One test."""\n', '"""One test."""\n\nimport pytest\n')
    found = house.look("--only", "tests")
    assert found.results("FAILED") == ["tests"]
    assert re.fullmatch(r"SKIPPED \[1\] tests/test_one\.py:\d+: no moon: .*", found.gates["tests"]["line"]), found
    row = '[[skipped]]\npath = "tests/test_one.py"\nsays = ["no moon"]\nreason = "a test"\n'
    house.append("scripts/gates/excused.toml", row)
    found = house.look("--only", "tests")
    assert found.results("passed") == ["tests"]
    assert "1 skipped" in found.gates["tests"]["line"]
    house.replace("tests/test_one.py", "pytest.skip('no moon')", "print(pytest)")
    found = house.look("--only", "tests")
    assert found.results("FAILED") == ["tests"]
    assert found.gates["tests"]["line"] == "excused.toml: no test of tests/test_one.py is skipped with 'no moon'"


def test_every_excuse_has_its_reason() -> None:
    told = tomllib.loads((ROOT / "scripts/gates/excused.toml").read_text(encoding="utf-8"))
    assert set(told) == {"unused", "planted", "skipped"}
    assert all(row["reason"] for rows in told.values() for row in rows)
    skips = [(row["path"], says) for row in told["skipped"] for says in row["says"]]
    assert [each for each in skips if each[1] not in (ROOT / each[0]).read_text(encoding="utf-8")] == []


# --- the pages of this project ----------------------------------------------------------------------------------------


def test_each_page_that_the_code_makes_is_held_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(SCRIPT.parent), *sys.path])
    generated = importlib.import_module("gates.generated")
    pages: Sequence[str] = [made.page for made in (*generated.OPENAPI, *generated.PAGES)]
    assert pages == list(GENERATED)
    listed = ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in filter(None, subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / name)
    subprocess.run(["git", "-C", tmp_path, "init", "--quiet"], check=True)
    for page in pages:
        path = tmp_path / page
        before, mark, after = re.split(r"(<!-- \w+ -->\n|\Z)", path.read_text(encoding="utf-8"), maxsplit=1)
        path.write_text(f"{before}{mark}planted\n{after}", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, SCRIPT, "--root", tmp_path, "--only", "openapi", "--only", "docs", "--json"],
        check=False,
        capture_output=True,
        text=True,
    )
    told = "".join(gate["line"] + gate["details"] for gate in json.loads(done.stdout)["gates"])
    assert [page for page in pages if f"{page} is not what the code makes of it" not in told] == [], told
