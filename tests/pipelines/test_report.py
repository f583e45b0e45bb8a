"""The report of deployment outcomes: no cell breaks its table, each row names its entry, a difference has a name."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from interlock.evidence.models import LoggedEvent
from interlock.kernel.canonical import Json
from interlock.pipelines.report import COLUMNS, HEAD, evidence_of, explain_difference, render_row, rows_for, rows_of

LEAF = bytes.fromhex("0a1b2c3d4e5f" + "00" * 26)
NOTES: dict[str, Json] = {"output": {"updated": 2}}
Edit = Callable[[list[str]], Sequence[str]]
HOSTILE = (
    "a | b",
    "x |\n| 2026-01-01T00:00:00.000Z | forged | row |",
    "\\|",
    "\\",
    "`code`",
    "<script>alert(1)</script>",
    "[here](javascript:alert(1))",
    "![x](http://example.org/pixel)",
    "**bold** _it_ ~~gone~~",
    "&lt;b&gt;",
    "https://example.org www.example.org a@example.org",
    "line\u2028separator and \u202eright to left",
    "nul \x00 and \x1b[31m red",
    " edges ",
    '"quoted"',
    "$x$ #1 @someone",
)


def event(notes: Json = None, **parts: str) -> LoggedEvent:
    told: dict[str, Any] = {
        "workflow": "pipeline_1",
        "stage": "deploy",
        "agent_role": "operator",
        "agent_id": "OperationsBoardAgent",
        "action": "deploy_updates",
        "status": "succeeded",
        "notes": NOTES if notes is None else notes,
        **parts,
    }
    return LoggedEvent(
        correlation_id=None,
        key=None,
        kind="deployment_outcome.recorded",
        payload=told,
        principal="agent:OperationsBoardAgent",
        subject="pipeline_1",
        time="2026-09-01T10:00:00.000Z",
        version=1,
    )


def report(*events: LoggedEvent) -> str:
    rows = [render_row(index, LEAF, each) for index, each in enumerate(events, 7)]
    return (HEAD + b"".join(rows)).decode()


@pytest.mark.proves("evidence-report")
def test_a_row_has_the_seeds_eight_columns_and_names_its_entry() -> None:
    title, empty, columns, rule, row, end = report(event()).split("\n")
    assert (title, empty, end) == ("# Agent Deployment Outcomes", "", "")
    assert columns == "| Timestamp | Workflow | Stage | Agent Role | Agent ID | Action | Status | Notes |"
    assert rule == "|" + " --- |" * 8
    assert row == (
        "| 2026-09-01T10:00:00.000Z | pipeline_1 | deploy | operator | OperationsBoardAgent | deploy_updates"
        ' | succeeded | {"evidence":"leaf:7:0a1b2c3d4e5f","output":{"updated":2}} |'
    )
    assert evidence_of(7, LEAF) == "leaf:7:0a1b2c3d4e5f"


words = some.one_of(some.sampled_from(HOSTILE), some.text(max_size=40))
words = words.filter(lambda text: not any("\ud800" <= each <= "\udfff" for each in text))
values: some.SearchStrategy[Any] = some.recursive(
    some.one_of(some.none(), some.booleans(), some.integers(-(2**53) + 1, 2**53 - 1), words),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


@given(some.lists(some.tuples(some.lists(words, min_size=6, max_size=6), some.dictionaries(words, values)), max_size=4))
def test_whatever_is_told_the_table_gives_it_back_and_has_no_other_row(told: list[tuple[list[str], Any]]) -> None:
    names = ("workflow", "stage", "agent_role", "agent_id", "action", "status")
    text = report(*(event(notes, **dict(zip(names, cells, strict=True))) for cells, notes in told))
    assert text.count("\n") == 4 + len(told)
    assert len(text.splitlines()) == 4 + len(told), "also for readers that know other ends of lines"
    found = rows_of(text)
    assert [[getattr(row, name) for name in names] for row in found] == [cells for cells, _ in told]
    expected = [{key: value for key, value in notes.items() if key != "evidence"} for _, notes in told]
    assert [row.notes for row in found] == expected
    assert [row.index for row in found] == list(range(7, 7 + len(told)))


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_markdown_or_html_would_take_for_its_own_is_left_in_a_cell(text: str) -> None:
    line = report(event({text: [text]}, workflow=text, status=text)).split("\n")[4]
    cells = line.split("|")
    assert len(cells) == len(COLUMNS) + 2
    shown = "".join(cells[:-2]) + json.dumps(json.loads(cells[-2]), ensure_ascii=True)
    assert line.isprintable()
    for mark in ("`", "<", ">", "&", "*", "~", "!", "@", "$", "#", "://", "www.", "](", "_it_", "\\\\"):
        assert mark not in line, (mark, line)
    assert "\\u" in line, shown


def test_a_note_can_not_say_which_entry_its_row_is_of() -> None:
    (row,) = rows_of(report(event({"evidence": "leaf:1:ffffffffffff"})))
    assert (row.index, row.leaf) == (7, "0a1b2c3d4e5f")


def test_notes_that_are_no_object_are_told_as_one() -> None:
    first, second = rows_of(report(event(["a", 1]), event("plain")))
    assert (first.notes, second.notes) == ({"notes": ["a", 1]}, {"notes": "plain"})


def test_rows_of_one_workflow_are_found() -> None:
    text = report(event(), event(workflow="deployment::deploy_1"), event(status="failed"))
    assert [row.status for row in rows_for(text, "pipeline_1")] == ["succeeded", "failed"]
    assert [row.index for row in rows_for(text, "deployment::deploy_1")] == [8]
    assert rows_for(text, "pipeline_2") == []


def test_lines_that_are_no_rows_are_left_out() -> None:
    text = (
        report(event()) + "| too | few |\n| a | b | c | d | e | f | g | no json |\n| a | b | c | d | e | f | g | [] |\n"
    )
    assert [row.index for row in rows_of(text)] == [7]
    (forged,) = rows_of(report() + "| t | w | s | r | i | a | ok | {} |\n")
    assert (forged.index, forged.leaf) == (None, "")


def edited(edit: Edit) -> str | None:
    """Explain a report of three rows after its lines were edited."""
    text = report(event(), event(status="failed"), event(stage="last"))
    return explain_difference("\n".join(edit(text.split("\n"))), text)


FORGED = '| 2026-09-01T10:00:00.000Z | pipeline_9 | s | r | i | a | succeeded | {"evidence":"leaf:8:0a1b2c3d4e5f"} |'


EDITS: list[tuple[Edit, str | None]] = [
    (lambda lines: lines, None),
    (lambda lines: ["# Something Else", *lines[1:]], "line 1: the head of the report was changed"),
    (lambda lines: [*lines[:5], *lines[6:]], "line 6: row is missing: leaf:8:0a1b2c3d4e5f"),
    (lambda lines: [*lines[:6], ""], "line 7: row is missing: leaf:9:0a1b2c3d4e5f"),
    (lambda lines: [*lines[:-1], FORGED, ""], "line 8: row without evidence"),
    (lambda lines: [*lines[:5], FORGED, *lines[5:]], "line 6: row without evidence"),
    (lambda lines: [*lines[:5], lines[4], *lines[5:]], "line 6: row without evidence"),
    (lambda lines: [*lines[:5], FORGED, *lines[6:]], "line 6: row was changed: leaf:8:0a1b2c3d4e5f"),
    (
        lambda lines: [*lines[:5], lines[5].replace("failed", "succeeded"), *lines[6:]],
        "line 6: row was changed: leaf:8:0a1b2c3d4e5f",
    ),
    (lambda lines: [*lines[:5], lines[6], lines[5], ""], "line 6: row is out of its place: leaf:8:0a1b2c3d4e5f"),
    (lambda lines: [*lines[:6], lines[6][:-9]], "line 7: row is torn: leaf:9:0a1b2c3d4e5f"),
    (lambda lines: [*lines, "something"], "line 9: row without evidence"),
    (lambda _: [""], "line 1: the head of the report was changed"),
]


@pytest.mark.proves("evidence-report")
@pytest.mark.parametrize(("edit", "words"), EDITS)
def test_the_first_difference_has_a_name(edit: Edit, words: str | None) -> None:
    found = edited(edit)
    assert found == words or (words is not None and found is not None and found.startswith(words))
