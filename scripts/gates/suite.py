"""The suite of tests: each passes, and none is skipped but for what a machine may lack, which `excused.toml` names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gates.verdict import Result, Tree, Verdict, found

_SKIPPED = re.compile(r"^SKIPPED \[\d+\] (?P<path>[^:]+):\d+: (?P<says>.*)$", re.MULTILINE)


def suite(tree: Tree) -> Verdict:
    """Pass if no test fails, and if each that is skipped says what is excused of its file; the line counts both."""
    done = tree.run("pytest", "-q", "-ra", "-n", "3", "--dist", "worksteal", seconds=3_600, ours=False)
    verdict = done.verdict(tells="FAILED ")
    excused = [(row["path"], says) for row in tree.excused("skipped") for says in row["says"]]
    lines = [*_not_excused(done.out, excused), *_stale(tree, excused)]
    return found(lines, of="") if lines and verdict.result is Result.PASSED else verdict


def _not_excused(out: str, excused: Sequence[tuple[str, str]]) -> Iterator[str]:
    for skip in _SKIPPED.finditer(out):
        if not any(skip["path"] == path and skip["says"].startswith(says) for path, says in excused):
            yield f"{skip[0]}: excused.toml does not name it"


def _stale(tree: Tree, excused: Sequence[tuple[str, str]]) -> Iterator[str]:
    for path, says in excused:
        if not (tree.root / path).is_file() or says not in (tree.root / path).read_text(encoding="utf-8"):
            yield f"excused.toml: no test of {path} is skipped with {says!r}"
