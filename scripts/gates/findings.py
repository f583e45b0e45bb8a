"""What is found in the code: what nothing uses, what is dangerous, what is silenced without a word, what is secret."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
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


def _lines(path: Path) -> Sequence[str]:
    return _text(path).splitlines()


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# --- what is suppressed -----------------------------------------------------------------------------------------------

_SILENT = re.compile(r"# *(?:(?:pyright|ruff|flake8|isort|mypy) *:|noqa\b|nosec\b|type *: *ignore\b)", re.IGNORECASE)
_SILENT_CONSOLE = re.compile(r"biome-ignore|@ts-(?:ignore|expect-error|nocheck)|(?:v8|c8|istanbul) +ignore")
_REASON, _REASON_CONSOLE = re.compile(r" [-#] \S"), re.compile(r"(?: -|:) \w")
_OF_THE_FILE = re.compile(r"# *pyright *: *(?!ignore)")
_CONSOLE = (".ts", ".tsx", ".js", ".mjs", ".css", ".jsonc", ".html")


def suppressions(tree: Tree) -> Verdict:
    """Pass if whoever silences a check says why, on the same line.

    Pyright lets nothing else stand beside what it is told for a whole file: there it is said on the line above. `fmt`
    silences no check: it keeps a layout.
    """
    files = [path for path in tree.files() if path.suffix in (".py", ".pyi", *_CONSOLE)]
    lines = [f"{path}:{told}" for path in files for told in _unexplained(_text(tree.root / path), path.suffix)]
    return found(lines, of=f"{len(files):,} files")


def _unexplained(text: str, suffix: str) -> Iterator[str]:
    silent, reason = (_SILENT_CONSOLE, _REASON_CONSOLE) if suffix in _CONSOLE else (_SILENT, _REASON)
    if not silent.search(text):
        return
    for number, remark in enumerate(text.splitlines(), 1) if suffix in _CONSOLE else _remarks(text):
        starts = [match.start() for match in silent.finditer(remark)]
        for start, end in zip(starts, [*starts[1:], len(remark)], strict=False):
            if not reason.search(remark, start, end):
                yield f"{number}: {remark[start:end].strip()}"


def _remarks(text: str) -> Iterator[tuple[int, str]]:
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            of_the_file = _OF_THE_FILE.match(token.string)
            yield token.start[0], f"{token.string} {_above(lines[: token.start[0]])}" if of_the_file else token.string


def _above(lines: Sequence[str]) -> str:
    said = next((line for line in reversed(lines) if not _OF_THE_FILE.match(line)), "")
    return "" if _SILENT.match(said) else said


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
