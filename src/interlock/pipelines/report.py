r"""The report of deployment outcomes: `docs/reports/AGENT_DEPLOYMENT_OUTCOMES.md`. Pure.

A title, an empty line, a table of the seed's eight columns with one row per `deployment_outcome.recorded`, in the
log's order. The notes are compact JSON with one more key, `evidence`: `leaf:<index>:<first 12 hex of the leaf hash>`,
which ties the row to its entry of the ledger.

No cell can break the table or bring in markup: whatever Markdown or HTML would take for its own, and whatever is not
printable, stands as `\uXXXX`, as JSON spells it. So each cell is the inside of a JSON string (the notes are JSON as a
whole), a reader gets back exactly what was told, and splitting a row at `|` is enough to find its cells.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from interlock.evidence.models import LoggedEvent
from interlock.kernel.canonical import Json

REPORT_PATH: Final = "docs/reports/AGENT_DEPLOYMENT_OUTCOMES.md"
FOLLOWING: Final = ("storage", ".workspace/indexes", REPORT_PATH)
"""What is written from the log alone, never by a job, or for one."""
GOVERNING: Final = (".git", "agents", "cicd", "interlock.toml", "services/gateway", "tools/maintenance")
"""What says what may run, and by whom; the same."""
COLUMNS: Final = ("Timestamp", "Workflow", "Stage", "Agent Role", "Agent ID", "Action", "Status", "Notes")
_OUTCOME: Final = (
    "deployment_outcome.recorded"  # spelt out: every command that writes asks, and would pay for all events
)
_TITLE: Final = "# Agent Deployment Outcomes"
HEAD: Final = f"{_TITLE}\n\n| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}\n".encode()
"""What the report begins with."""

_EVIDENCE: Final = re.compile(r"leaf:(0|[1-9][0-9]{0,15}):([0-9a-f]{12})", re.ASCII)
_TEXT: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_MARKUP: Final = re.compile(
    r'[|`<>&\\"*~\[\]!@$#]'  # tables, code, HTML, emphasis, links, mentions, formulas
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # emphasis; inside a word it is none
    r"|:(?=//)|(?<=[wW]{3})\."  # what is made a link without being asked
    r"|^ | $"  # would be trimmed
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row, read."""

    line: int
    """Of the report, from 1."""
    timestamp: str
    workflow: str
    stage: str
    agent_role: str
    agent_id: str
    action: str
    status: str
    notes: Mapping[str, Any]
    """Without `evidence`."""
    index: int | None
    """The entry of the ledger that the row names; None where it names none."""
    leaf: str
    """The first 12 hex digits of that entry's leaf hash; empty where it names none."""


def is_outcome(kind: str) -> bool:
    """Say whether events of this kind are rows of the report."""
    return kind == _OUTCOME


def evidence_of(index: int, leaf_hash: bytes) -> str:
    """Return what ties a row to its entry."""
    return f"leaf:{index}:{leaf_hash.hex()[:12]}"


def render_row(index: int, leaf_hash: bytes, event: LoggedEvent) -> bytes:
    """Return the row of an outcome, with its newline."""
    told = cast("Mapping[str, Any]", event["payload"])
    words = (told["workflow"], told["stage"], told["agent_role"], told["agent_id"], told["action"], told["status"])
    notes: Json = told["notes"]
    shown = dict(notes) if isinstance(notes, Mapping) else ({} if notes is None else {"notes": notes})
    cells = [event["time"], *words]
    cells = [_escaped(str(cell)) for cell in cells]
    cells.append(_json({**shown, "evidence": evidence_of(index, leaf_hash)}))
    return f"| {' | '.join(cells)} |\n".encode()


def rows_of(text: str) -> list[Row]:
    """Return the rows of a report, whoever wrote them; what is no row of eight readable cells is left out."""
    found: list[Row] = []
    for number, line in enumerate(text.split("\n"), 1):
        if number > HEAD.count(b"\n") and (row := _row(number, line)) is not None:
            found.append(row)
    return found


def rows_for(text: str, workflow: str) -> list[Row]:
    """Return the rows of one workflow: a run's id, or `deployment::<id>`, as the outcome told it."""
    return [row for row in rows_of(text) if row.workflow == workflow]


def explain_difference(text: str, expected: str) -> str | None:
    """Say in words the first thing in which a report is not the one expected; None if it is the very same."""
    if text == expected:
        return None
    found, due = text.split("\n"), expected.split("\n")
    at = next((n for n, (one, other) in enumerate(zip(found, due, strict=False)) if one != other), None)
    if at is None:
        at = min(len(found), len(due))
    if at < HEAD.count(b"\n"):
        return f"line {at + 1}: the head of the report was changed"
    return f"line {at + 1}: {_explained(found[at:], due[at:])}"


def _explained(found: Sequence[str], due: Sequence[str]) -> str:
    """Say what is wrong where two reports begin to differ, from there on."""
    here, wanted = (lines[0] if lines else "" for lines in (found, due))
    if not wanted:
        return f"row without evidence: {here[:120]!a}"
    if not here:
        return f"row is missing: {_named(wanted)}"
    moved, inserted = here in due, wanted in found
    if moved:
        return f"row is {'out of its place' if inserted else 'missing'}: {_named(wanted)}"
    if inserted:
        return f"row without evidence: {here[:120]!a}"
    return f"row {'is torn' if wanted.startswith(here) else 'was changed'}: {_named(wanted)}"


def _named(line: str) -> str:
    return _token(line) or "one that the log does not tell"


def _token(line: str) -> str | None:
    row = _row(0, line)
    return None if row is None or row.index is None else f"leaf:{row.index}:{row.leaf}"


def _row(number: int, line: str) -> Row | None:
    cells = line.split("|")
    if len(cells) != len(COLUMNS) + 2 or cells[0].strip() or cells[-1].strip():
        return None
    *words, notes = (cell.strip() for cell in cells[1:-1])
    try:
        told = [json.loads(f'"{word}"', strict=False) for word in words]
        shown = json.loads(notes)
    except (ValueError, RecursionError):
        return None
    if not isinstance(shown, dict):
        return None
    return _read(number, told, cast("dict[str, Any]", shown))


def _read(number: int, told: Sequence[str], shown: Mapping[str, Any]) -> Row:
    token = _EVIDENCE.fullmatch(str(shown.get("evidence")))
    timestamp, workflow, stage, agent_role, agent_id, action, status = told
    return Row(
        line=number,
        timestamp=timestamp,
        workflow=workflow,
        stage=stage,
        agent_role=agent_role,
        agent_id=agent_id,
        action=action,
        status=status,
        notes={key: value for key, value in shown.items() if key != "evidence"},
        index=int(token[1]) if token else None,
        leaf=token[2] if token else "",
    )


def _json(value: Mapping[str, Json]) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return _TEXT.sub(lambda found: f'"{_escaped(json.loads(found[0]))}"', text)


def _escaped(text: str) -> str:
    marked = _MARKUP.sub(lambda found: _spelt(found[0]), text)
    return marked if marked.isprintable() else "".join(each if each.isprintable() else _spelt(each) for each in marked)


def _spelt(character: str) -> str:
    """Return a character as JSON spells it, in two halves where it is beyond 16 bits."""
    halves: Iterable[bytes] = re.findall(b"..", character.encode("utf-16-be", "surrogatepass"), re.DOTALL)
    return "".join(f"\\u{half.hex()}" for half in halves)
