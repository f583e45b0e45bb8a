"""Every quality gate in one table: `make gates`, or `python scripts/quality_gates.py` with the project's environment.

It ends with 0 only if every gate passed that was not left out by word. A gate whose source of knowledge did not answer
is `unreachable`: nothing is known then, and that is no pass (exit code 5 if that is all; 1 if a gate failed).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gates.dependencies import audit, console_audit, licences
from gates.findings import bandit, dead, secrets, suppressions
from gates.generated import OPENAPI, PAGES, in_step
from gates.suite import suite
from gates.verdict import GateFailed, Look, Result, Tree, Verdict, command, in_turn, npm, shortened

_UNREACHABLE = (
    "{names}: what would know did not answer, so nothing is known, and that is no pass. "
    "Ask again where it can be reached, or leave it out by word: {words}"
)
_HOUR = 3_600.0
_WIDEST = 150


@dataclass(frozen=True, slots=True)
class Gate:
    """One row of the table."""

    name: str
    about: str
    look: Look
    alone: bool = False
    """Whether it needs the machine for itself: it comes after the others, which take turns side by side."""


def _console_tests(tree: Tree) -> Verdict:
    return command(*npm("run", "--silent", "test:coverage"), folder="ui", seconds=_HOUR, tells="FAIL")(tree)


GATES = (
    Gate("types", "pyright, strict", command("pyright", "--warnings", "--pythonpath", sys.executable, tells=" - ")),
    Gate("format", "ruff format", command("ruff", "format", "--check", ".", tells="Would reformat")),
    Gate("lint", "ruff check", command("ruff", "check", "--output-format", "concise", ".", tells=".py:")),
    Gate("layers", "import-linter", command("lint-imports", "--no-cache", tells="BROKEN")),
    Gate("openapi", "docs/openapi.json is what the code makes", in_step(OPENAPI)),
    Gate("docs", "pages made from the code are what it makes", in_step(PAGES)),
    Gate("site", "docs/ builds, every link leads somewhere", command(sys.executable, "-m", "tests.docs.site")),
    Gate(
        "console",
        "the console's lint and types",
        in_turn(
            command("node", "--run", "lint", folder="ui", tells="lint/"),
            command("node", "--run", "api", folder="ui"),
            command("node", Path("node_modules/typescript/bin/tsc"), folder="ui", tells="error TS"),
        ),
    ),
    Gate("dead", "vulture: src uses all of its code", dead),
    Gate("bandit", "what is dangerous in src has its reason", bandit),
    Gate("suppressions", "whoever silences a check says why", suppressions),
    Gate("secrets", "no file holds a secret", secrets),
    Gate("licences", "what we build on may be used", licences),
    Gate("audit", "pip-audit: no known weakness in what users install", audit),
    Gate("console-audit", "npm audit: none in what the console carries", console_audit),
    Gate("tests", "pytest: every test, and none is skipped unseen", suite, alone=True),
    Gate(
        "console-tests",
        "the console's components, in Chromium",
        _console_tests,
        alone=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A gate and what it came to."""

    gate: Gate
    verdict: Verdict
    seconds: float


def main() -> int:
    """Let every gate look that was asked for, print the table, and return the exit code."""
    asked = _asked()
    tree = Tree(asked.root.resolve(), asked.advisories)
    names = [gate.name for gate in GATES]
    wanted = [name for name in asked.only or names if name not in asked.without]
    look = partial(_row, tree=tree, wanted=wanted)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        rows = list(pool.map(look, [gate for gate in GATES if not gate.alone]))
    rows += [look(gate) for gate in GATES if gate.alone]
    print(_as_json(rows) if asked.json else _as_text(rows))
    results = {row.verdict.result for row in rows}
    return 1 if Result.FAILED in results else 5 if Result.UNREACHABLE in results else 0


def _row(gate: Gate, *, tree: Tree, wanted: Sequence[str]) -> Row:
    if gate.name not in wanted:
        return Row(gate, Verdict(Result.LEFT_OUT), 0.0)
    began = time.monotonic()
    try:
        verdict = gate.look(tree)
    except GateFailed as failed:
        line, _, details = str(failed).partition("\n")
        verdict = Verdict(Result.FAILED, line, details)
    except Exception as error:  # noqa: BLE001 - a gate that breaks has not passed
        verdict = Verdict(Result.FAILED, f"{type(error).__name__}: {error}", traceback.format_exc())
    row = Row(gate, verdict, time.monotonic() - began)
    sys.stderr.write(f"{gate.name}: {verdict.result}, {row.seconds:.1f} s\n")
    return row


def _as_text(rows: Sequence[Row]) -> str:
    lines = [("gate", "result", "seconds", "what was wrong, or looked at")]
    for row in rows:
        seconds = "" if row.verdict.result is Result.LEFT_OUT else f"{row.seconds:.1f}"
        lines.append((row.gate.name, row.verdict.result, seconds, row.verdict.line[:_WIDEST] or row.gate.about))
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    drawn = ["  ".join([*(line[at].ljust(widths[at]) for at in range(3)), line[3]]).rstrip() for line in lines]
    parts = ["\n".join([drawn[0], "-" * max(map(len, drawn)), *drawn[1:]])]
    parts += [
        f"--- {row.gate.name}: {row.gate.about}\n{shortened(row.verdict.details)}"
        for row in rows
        if row.verdict.details and row.verdict.result is not Result.PASSED
    ]
    return "\n\n".join([*parts, *_unreachable(rows)])


def _unreachable(rows: Sequence[Row]) -> Sequence[str]:
    names = [row.gate.name for row in rows if row.verdict.result is Result.UNREACHABLE]
    words = " ".join(f"--without {name}" for name in names)
    return [_UNREACHABLE.format(names=", ".join(names), words=words)] if names else []


def _as_json(rows: Sequence[Row]) -> str:
    told = [
        {
            "gate": row.gate.name,
            "about": row.gate.about,
            "result": row.verdict.result,
            "seconds": round(row.seconds, 1),
            "line": row.verdict.line,
            "details": shortened(row.verdict.details),
        }
        for row in rows
    ]
    return json.dumps({"gates": told}, indent=2)


class _Asked(argparse.Namespace):
    root: Path
    only: list[str]
    without: list[str]
    advisories: str
    json: bool


def _asked() -> _Asked:
    names = [gate.name for gate in GATES]
    parser = argparse.ArgumentParser(
        prog="quality_gates.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(["gates:", *(f"  {gate.name:<14} {gate.about}" for gate in GATES)]),
    )
    for option, does in (("--only", "this gate alone"), ("--without", "leave this gate out")):
        said = f"{does}; may be said again"
        parser.add_argument(option, action="append", choices=names, metavar="NAME", default=[], help=said)
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--root", type=Path, default=Path(__file__).parent.parent, metavar="DIR", help="another tree")
    parser.add_argument("--advisories", default="", metavar="URL", help="ask this OSV API, not api.osv.dev")
    return parser.parse_args(namespace=_Asked())


if __name__ == "__main__":
    sys.exit(main())
