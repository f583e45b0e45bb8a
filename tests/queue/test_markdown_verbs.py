"""What operators and sessions do with a Markdown queue, by the rules that such files have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from interlock.kernel.clock import from_text
from interlock.kernel.errors import Conflict, Invalid
from interlock.queue.errors import (
    ItemExists,
    ItemNotFound,
    ItemStateConflict,
    LeaseLost,
    MarkdownReadOnly,
    MarkdownRowsMissing,
    NotesBlank,
)
from interlock.queue.markdown import COLUMNS, is_window, read
from interlock.queue.markdown_service import MarkdownQueue

NOON = from_text("2026-11-21T03:00:30.000Z")
"""12:00 in KST, and half a minute."""
ALL = ("PENDING", "IN_PROGRESS", "BLOCKED", "FAILED", "DONE")


def row(
    item_id: str,
    status: str = "PENDING",
    *,
    priority: str = "P1",
    owner: str = "-",
    started: str = "-",
    notes: str = "",
) -> str:
    return f"| {item_id} | {status} | {priority} | 일 | swept | {owner} | {started} | - | {notes} |\n"


def held(item_id: str, owner: str = "w1", *, started: str = "2026-11-21 11:00", notes: str = "") -> str:
    return row(item_id, "IN_PROGRESS", owner=owner, started=started, notes=notes)


def text(*rows: str) -> str:
    return "# 큐\n\n| " + " | ".join(COLUMNS) + " |\n" + "|---" * 9 + "|\n" + "".join(rows) + "\n팁: none\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "QUEUE.md"


def queue(path: Path, *rows: str, now: int = NOON) -> MarkdownQueue:
    path.write_text(text(*rows), encoding="utf-8")
    return MarkdownQueue(path, lambda: now)


def says(path: Path, *rows: str) -> None:
    assert path.read_text(encoding="utf-8") == text(*rows)


# --- add --------------------------------------------------------------------------------------------------------------


def test_a_new_row_gets_the_number_after_the_largest_whatever_other_ids_there_are(path: Path) -> None:
    made = queue(path, row("ORCH-041"), row("ORCH-7"), row("ORCH-99x"), row("X-500"), row("orch-60"))
    added = made.add(priority="P0", task="치우기 | 닦기\n", success_criteria="clean", notes="a\u2028b")
    assert added.id == "ORCH-042"
    says(
        path,
        *(row(name) for name in ("ORCH-041", "ORCH-7", "ORCH-99x", "X-500", "orch-60")),
        "| ORCH-042 | PENDING | P0 | 치우기 / 닦기 | clean | - | - | - | a b |\n",
    )


def test_the_first_number_has_three_digits_and_the_thousandth_four(path: Path) -> None:
    assert queue(path).add(priority="P1", task="t", success_criteria="s").id == "ORCH-001"
    assert queue(path, row("ORCH-999")).add(priority="P1", task="t", success_criteria="s").id == "ORCH-1000"


def test_a_row_may_bring_its_id_and_its_due_time(path: Path) -> None:
    made = queue(path, row("A-1"))
    added = made.add(priority="P2", task="t", success_criteria="s", due="2026-12-01 09:00", item_id="작업-2")
    assert (added.id, added.cells["due_at_kst"]) == ("작업-2", "2026-12-01 09:00")
    with pytest.raises(ItemExists, match="has a row A-1 already"):
        made.add(priority="P2", task="t", success_criteria="s", item_id="A-1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"priority": "P3"},
        {"priority": "p0"},
        {"task": " \n"},
        {"success_criteria": "\u2028"},
        {"task": "half \ud800"},
        {"due": "tomorrow"},
        {"item_id": "--force"},
        {"item_id": "../../etc/passwd"},
        {"item_id": "a|b"},
        {"item_id": ""},
        {"item_id": "A" * 129},
    ],
)
def test_what_a_row_can_not_hold_is_refused(path: Path, wrong: dict[str, str]) -> None:
    made = queue(path, row("A-1"))
    with pytest.raises(Invalid):
        made.add(**({"priority": "P0", "task": "t", "success_criteria": "s"} | wrong))
    says(path, row("A-1"))


# --- claim ------------------------------------------------------------------------------------------------------------


def test_a_claim_takes_the_first_of_the_highest_priority(path: Path) -> None:
    made = queue(path, row("A-1"), row("A-2", "DONE", priority="P0"), row("A-3", priority="P0", owner="old"))
    taken = [made.claim("w 1") for _ in range(3)]
    assert [each and each.id for each in taken] == ["A-3", "A-1", None]
    says(
        path,
        held("A-1", "w 1", started="2026-11-21 12:00"),
        row("A-2", "DONE", priority="P0"),
        held("A-3", "w 1", started="2026-11-21 12:00").replace("P1", "P0"),
    )


@pytest.mark.parametrize(
    ("notes", "taken"),
    [
        ("retry_not_before={later}", False),
        ("retry_not_before={now}", True),
        ("retry_not_before={later} / retry_not_before={now}", True),
        ("retry_not_before={now} / retry_not_before={later} / a word", False),
        ("no_retry_not_before={later}", True),
        ("retry_not_before=soon", True),
    ],
)
def test_a_claim_passes_over_what_waits_by_the_last_marker_that_counts(path: Path, notes: str, taken: bool) -> None:  # noqa: FBT001 - a case
    marked = notes.format(now=NOON // 1000, later=NOON // 1000 + 1)
    claimed = queue(path, row("A-1", notes=marked), row("A-2", priority="P2")).claim("w1")
    assert claimed is not None
    assert claimed.id == ("A-1" if taken else "A-2")


@pytest.mark.parametrize("owner", ["", "-", " w", "w ", "a|b", "a\nb", "a\x1bb", "w" * 129])
def test_an_owner_that_a_cell_could_not_give_back_is_refused(path: Path, owner: str) -> None:
    with pytest.raises(Invalid):
        queue(path, row("A-1")).claim(owner)
    says(path, row("A-1"))


# --- complete, fail, release ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("verb", "status"), [("complete", "DONE"), ("fail", "FAILED")])
def test_work_ends_with_its_notes_after_the_old_ones(path: Path, verb: str, status: str) -> None:
    made = queue(path, held("A-1", notes="begun"), row("A-2"), row("A-3", "BLOCKED"))
    for name, notes in (("A-1", "a | b\r\x85c "), ("A-2", ""), ("A-3", "so")):
        assert getattr(made, verb)(name, notes).cells["status"] == status
    says(
        path,
        held("A-1", notes="begun / a / b c").replace("IN_PROGRESS", status),
        row("A-2", status),
        row("A-3", status).replace("|  |", "| so |"),
    )


@pytest.mark.parametrize("verb", ["complete", "fail"])
@pytest.mark.parametrize("status", ["DONE", "FAILED"])
def test_what_has_ended_does_not_end_again(path: Path, verb: str, status: str) -> None:
    made = queue(path, row("A-1", status))
    with pytest.raises(ItemStateConflict, match=re.escape(f"cannot {verb} terminal item: A-1 ({status})")):
        getattr(made, verb)("A-1", "again")
    says(path, row("A-1", status))


@pytest.mark.parametrize("verb", ["complete", "fail", "release"])
def test_a_session_ends_only_what_it_holds(path: Path, verb: str) -> None:
    rows = (held("A-1", "w1"), held("A-2", "w1").replace("IN_PROGRESS", "BLOCKED"), row("A-3", owner="w1"))
    made = queue(path, *rows)
    for name, owner in (("A-1", "w2"), ("A-2", "w1"), ("A-3", "w1")):
        with pytest.raises(LeaseLost, match=f"{name} is not held by {owner}"):
            getattr(made, verb)(name, owner_session=owner)
    says(path, *rows)
    assert getattr(made, verb)("A-1", owner_session="w1").id == "A-1"


def test_what_is_released_is_free(path: Path) -> None:
    made = queue(path, held("A-1", notes="kept"), row("A-2"))
    made.release("A-1")
    with pytest.raises(ItemStateConflict, match=re.escape("only an IN_PROGRESS item can be released: A-2 (PENDING)")):
        made.release("A-2")
    says(path, row("A-1", notes="kept"), row("A-2"))


# --- cancel, replan, retry, reprioritise, rescue ----------------------------------------------------------------------


def test_a_cancelled_row_keeps_its_owner_and_its_notes(path: Path) -> None:
    made = queue(path, held("A-1", notes="begun"), row("A-2"), row("A-3", "BLOCKED"))
    for name, reason in (("A-1", ""), ("A-2", "no | longer\nneeded"), ("A-3", ""), ("A-3", "")):
        assert made.cancel(name, reason=reason).cells["status"] == "BLOCKED"
    says(
        path,
        held("A-1", notes="begun / cancelled_by_operator").replace("IN_PROGRESS", "BLOCKED"),
        row("A-2", "BLOCKED", notes="cancelled_by_operator: no / longer needed"),
        row("A-3", "BLOCKED", notes="cancelled_by_operator / cancelled_by_operator"),
    )


@pytest.mark.parametrize("status", ["DONE", "FAILED"])
def test_what_has_ended_is_not_cancelled(path: Path, status: str) -> None:
    with pytest.raises(Conflict, match=re.escape(f"cannot cancel terminal item: A-1 ({status})")):
        queue(path, row("A-1", status)).cancel("A-1")
    says(path, row("A-1", status))


@pytest.mark.parametrize("status", ALL)
def test_a_replanned_row_waits_free_unless_it_was_under_way(path: Path, status: str) -> None:
    made = queue(path, held("A-1", notes="old").replace("IN_PROGRESS", status))
    after = made.replan("A-1", "  -split | in\u2029two ")
    if status == "IN_PROGRESS":
        says(path, held("A-1", notes="old / replan:-split / in two").replace("IN_PROGRESS", "BLOCKED"))
    else:
        says(path, row("A-1", notes="old / replan:-split / in two"))
    assert after.cells["status"] == ("BLOCKED" if status == "IN_PROGRESS" else "PENDING")


@pytest.mark.parametrize("notes", ["", "  ", "\n\t", "\x85\u2028"])
def test_a_replan_without_notes_is_refused(path: Path, notes: str) -> None:
    with pytest.raises(NotesBlank) as refused:
        queue(path, row("A-1")).replan("A-1", notes)
    assert refused.value.code == "notes_blank"
    says(path, row("A-1"))


@pytest.mark.parametrize("status", ALL)
def test_a_retry_frees_what_failed_or_was_blocked_and_nothing_else(path: Path, status: str) -> None:
    before = held("A-1", notes="old").replace("IN_PROGRESS", status)
    made = queue(path, before)
    if status in {"FAILED", "BLOCKED"}:
        assert made.retry("A-1").cells["status"] == "PENDING"
        says(path, row("A-1", notes="old / retry_requested"))
    else:
        told = re.escape(f"retry allowed only for FAILED/BLOCKED in markdown mode: A-1 ({status})")
        with pytest.raises(ItemStateConflict, match=told):
            made.retry("A-1")
        says(path, before)


def test_a_priority_changes_with_its_reason_and_not_after_the_end(path: Path) -> None:
    made = queue(path, row("A-1", "FAILED"), row("A-2"), row("A-3", "DONE"))
    made.reprioritise("A-1", "P0", reason="now")
    made.reprioritise("A-2", "P2")
    made.reprioritise("A-2", "P2", reason="it has it")
    with pytest.raises(ItemStateConflict, match=re.escape("cannot reprioritise a finished item: A-3 (DONE)")):
        made.reprioritise("A-3", "P0")
    with pytest.raises(Invalid, match="P0, P1, P2"):
        made.reprioritise("A-1", "P9")
    says(
        path,
        row("A-1", "FAILED", priority="P0", notes="P1->P0: now"),
        row("A-2", priority="P2"),
        row("A-3", "DONE"),
    )


def test_a_rescue_frees_what_has_been_under_way_too_long(path: Path) -> None:
    rows = (
        held("A-1", started="2026-11-21 11:00", notes="old"),
        held("A-2", started="2026-11-21 11:01"),
        held("A-3", started="-"),
        held("A-4", started="yesterday"),
        held("A-5", started="2026-13-45 99:99"),
        held("A-6", started="2026-11-20 12:00").replace("IN_PROGRESS", "BLOCKED"),
        held("A-7", started="2027-01-01 00:00"),
        held("A-8", started="2026-11-20 12:00"),
    )
    assert queue(path, *rows, now=NOON - 30_000).rescue(60) == ["A-1", "A-8"]
    says(
        path,
        row("A-1", notes="old / [watchdog] stale reset"),
        *rows[1:7],
        row("A-8", notes="[watchdog] stale reset"),
    )
    assert MarkdownQueue(path, lambda: NOON - 30_000).rescue(60) == []
    with pytest.raises(Invalid, match="0 or more"):
        MarkdownQueue(path).rescue(-1)


@pytest.mark.parametrize("item_id", ["a-1", "", " A-1", "--all", "../A-1", "A-1\n"])
@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("row", ()),
        ("cancel", ()),
        ("replan", ("x",)),
        ("retry", ()),
        ("complete", ()),
        ("fail", ()),
        ("release", ()),
        ("reprioritise", ("P0",)),
    ],
)
def test_an_id_that_is_not_there_is_said(path: Path, verb: str, words: tuple[str, ...], item_id: str) -> None:
    made = queue(path, row("A-1"))
    with pytest.raises(ItemNotFound, match="Row id not found: "):
        getattr(made, verb)(item_id, *words)
    says(path, row("A-1"))


def test_a_read_only_queue_is_changed_by_no_verb(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = queue(path, row("A-1"), row("A-2", "FAILED"))
    monkeypatch.setenv("ORCH_QUEUE_MD_READ_ONLY", "on")
    for verb in (lambda: made.claim("w1"), lambda: made.cancel("A-1"), lambda: made.retry("A-2"), made.rescue):
        with pytest.raises(MarkdownReadOnly):
            verb()
    says(path, row("A-1"), row("A-2", "FAILED"))


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hours", "shown"), [("9", "12:00"), ("0", "03:00"), ("-5", "22:00"), ("+1", "04:00")])
def test_the_offset_is_read_when_a_time_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch, hours: str, shown: str
) -> None:
    made = queue(path, row("A-1"))
    monkeypatch.setenv("ORCH_TZ_OFFSET", hours)
    claimed = made.claim("w1")
    assert claimed is not None
    assert claimed.cells["started_at_kst"].endswith(shown)
    assert made.rescue(1) == []
    assert MarkdownQueue(path, lambda: NOON + 60_000).rescue(1) == ["A-1"]


@pytest.mark.parametrize("hours", ["", "nine", "9.5", "24", "-99", "٩", "1_0", " 9"])
def test_a_broken_offset_is_named_and_stands_only_against_what_needs_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, hours: str
) -> None:
    made = queue(path, row("A-1"), held("A-2"))
    monkeypatch.setenv("ORCH_TZ_OFFSET", hours)
    for verb in (lambda: made.claim("w1"), made.rescue):
        with pytest.raises(Invalid, match="ORCH_TZ_OFFSET"):
            verb()
    says(path, row("A-1"), held("A-2"))
    assert made.cancel("A-2").cells["status"] == "BLOCKED"


# --- what the database renders ----------------------------------------------------------------------------------------


def test_rows_are_replaced_but_none_that_is_only_here_without_a_word(path: Path) -> None:
    made = queue(path, *(row(f"A-{number}") for number in range(8)))
    cells = [dict(made.row(name).cells, status="DONE") for name in ("A-7", "A-0")]
    before = path.read_bytes()
    with pytest.raises(MarkdownRowsMissing, match="alone has A-1, A-2, A-3, A-4, A-5 and 1 more"):
        made.replace_rows(cells, banner=False)
    assert path.read_bytes() == before
    assert made.replace_rows(cells, banner=False, drop_missing=True) == 2
    says(path, row("A-7", "DONE"), row("A-0", "DONE"))


def test_a_window_is_rendered_again_and_is_its_own_again_without_the_banner(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = queue(path, row("A-1"))
    monkeypatch.setenv("ORCH_QUEUE_MD_READ_ONLY", "1")  # such a queue is what is rendered
    cells = dict(made.row("A-1").cells)
    made.replace_rows([cells], banner=True)
    made.replace_rows([cells, dict(cells, id="A-2")], banner=True)
    assert is_window(read(path))
    monkeypatch.delenv("ORCH_QUEUE_MD_READ_ONLY")
    with pytest.raises(MarkdownReadOnly, match="rendered from the database"):
        made.cancel("A-1")
    made.replace_rows([cells, dict(cells, id="A-2")], banner=False)
    says(path, row("A-1"), row("A-2"))
    made.cancel("A-1")


def test_a_rendered_row_that_no_reader_would_take_is_not_written(path: Path) -> None:
    made = queue(path, row("A-1"))
    with pytest.raises(Invalid, match="unknown status 'LOST'"):
        made.replace_rows([dict(made.row("A-1").cells, status="LOST")], banner=False)
    says(path, row("A-1"))
