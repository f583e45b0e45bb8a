"""What is found in the code: what nothing uses, what is dangerous, what is silenced without a word, what is secret."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from gates.verdict import EXCUSED, GateFailed, Result, Tree, Verdict, found

_UNUSED = re.compile(r"^(?P<path>[^:]+):(?P<line>\d+): (?P<what>.+) \(\d+% confidence\)$")
_NAME = re.compile(r"^unused \w+ '([^']+)'$")
_PATIENCE_SECONDS = 30.0
_MOST_BYTES = 8_000_000


# --- dead code --------------------------------------------------------------------------------------------------------


def dead(tree: Tree) -> Verdict:
    """Pass if the product uses all of its code itself. What only a test uses is dead, too.

    The fields of a class are data, which JSON and SQL name by text, and are not asked about.
    """
    done = tree.run("vulture")
    if done.code not in (0, 3):  # 3: something was found
        return Verdict(Result.FAILED, "vulture could not read the code", done.said)
    seen = [match for match in map(_UNUSED.match, done.out.splitlines()) if match]
    used = [(each, _name(each)) for each in seen if not _is_field(tree.root / each["path"], each)]
    excused = {(row["path"], name) for row in tree.excused("unused") for name in row["names"]}
    alive = {(each["path"], name) for each, name in used}
    lines = [
        f"{each['path']}:{each['line']}: {each['what']}" for each, name in used if (each["path"], name) not in excused
    ]
    lines += [f"excused.toml: nothing is to be excused of {name} in {path}" for path, name in sorted(excused - alive)]
    return found(lines, of=f"{len(excused)} excused")


def _name(told: re.Match[str]) -> str:
    named = _NAME.match(told["what"])
    return named[1] if named else told["what"]


def _is_field(path: Path, told: re.Match[str]) -> bool:
    return told["what"].startswith("unused variable") and int(told["line"]) in _fields(path)


@cache
def _fields(path: Path) -> frozenset[int]:
    classes = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.ClassDef)]
    return frozenset(field.lineno for each in classes for field in each.body if isinstance(field, ast.AnnAssign))


# --- what is dangerous ------------------------------------------------------------------------------------------------


def bandit(tree: Tree) -> Verdict:
    """Pass if each thing that Bandit finds in src has its reason beside it.

    Ruff's S rules are Bandit's under the same numbers, so one remark serves both: `noqa: S603 - why`. For what only
    Bandit sees it is `nosec B105 - why`. Without a reason neither counts.
    """
    done = tree.run("bandit", "--quiet", "--ignore-nosec", "-c", "pyproject.toml", "-r", "src", "-f", "json")
    try:
        told: Mapping[str, Any] = json.loads(done.out)
    except ValueError:
        return Verdict(Result.FAILED, "bandit gave no answer", done.said)
    lines = [f"{each['filename']}: {each['reason']}" for each in told["errors"]]
    lines += [
        f"{each['filename']}:{each['line_number']}: {each['test_id']} {each['issue_text']}"
        for each in told["results"]
        if not _has_reason(tree.root / each["filename"], each["test_id"], each["line_range"])
    ]
    looked_at = told["metrics"]["_totals"]["loc"]
    if not looked_at:
        lines.append("bandit looked at nothing")
    return found(lines, of=f"{looked_at:,} lines, {len(told['results'])} findings with a reason beside them")


def _has_reason(path: Path, rule: str, numbers: Iterable[int]) -> bool:
    number = rule.removeprefix("B")
    remark = re.compile(rf"# (?:noqa: (?:[A-Z0-9]+, )*S{number}(?:, [A-Z0-9]+)*|nosec B{number}) - \w")
    lines = _lines(path)
    return any(remark.search(lines[each - 1]) for each in numbers)


@cache
def _lines(path: Path) -> Sequence[str]:
    return path.read_text(encoding="utf-8").splitlines()


# --- what is suppressed -----------------------------------------------------------------------------------------------

_SUPPRESSED = re.compile(
    r"# (?:noqa(?:: ?[A-Z0-9, ]+)?|(?:pyright|type): ?ignore(?:\[[\w, -]*\])?|nosec(?: [B0-9, ]+)?)\s*$"
)


def suppressions(tree: Tree) -> Verdict:
    """Pass if whoever silences a check says why, on the same line."""
    files = [path for path in tree.files() if path.suffix == ".py"]
    lines = [
        f"{path}:{number}: {match[0].strip()}"
        for path in files
        for number, line in enumerate(_lines(tree.root / path), 1)
        if (match := _SUPPRESSED.search(line))
    ]
    return found(lines, of=f"{len(files):,} files")


# --- what is secret ---------------------------------------------------------------------------------------------------


def secrets(tree: Tree) -> Verdict:
    """Pass if no file holds what has the form of a secret, by the rules that the product takes secrets out with."""
    try:
        from kingfisher_sdk import Scanner  # noqa: PLC0415 - 36 MB that only this gate needs
    except ImportError:
        raise GateFailed("kingfisher-secret-scanner is not installed: `make setup` installs it") from None
    scanner, planted = Scanner(), {value for row in tree.excused("planted") for value in row["values"]}
    lines: list[str] = []
    met: set[str] = set()
    files = tree.files()
    for path in files:
        data = (tree.root / path).read_bytes()
        if len(data) > _MOST_BYTES:
            lines.append(f"{path}: too long to be searched")
            continue
        for each in scanner.scan(data, timeout=_PATIENCE_SECONDS):
            if not each.visible:
                continue
            if each.secret in planted:
                met |= {each.secret} if path.name != EXCUSED.name else set()
            else:
                line = data.count(b"\n", 0, each.location["start_offset"]) + 1
                lines.append(f"{path}:{line}: {each.rule_id.rpartition('.')[2]}")
    lines += [f"excused.toml: no file holds {value!r} any more" for value in sorted(planted - met)]
    return found(lines, of=f"{len(files):,} files")
