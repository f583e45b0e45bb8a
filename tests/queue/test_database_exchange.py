"""Rows of a Markdown queue into the database and back: nothing is lost, and what differs is told apart."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from interlock.kernel.errors import Invalid
from interlock.queue import exchange
from interlock.queue.errors import LeaseLost
from interlock.queue.markdown import cell
from interlock.queue.models import ItemStatus
from tests.queue.desk import NOON_MS, Desk, at_once, ids, refused

CELLS: Mapping[str, str] = {
    "id": "ORCH-007",
    "status": "PENDING",
    "priority": "P1",
    "task": "지붕 / roof",
    "success_criteria": "dry",
    "owner_session": "-",
    "started_at_kst": "-",
    "due_at_kst": "2026-12-01 09:00",
    "notes": "a / b",
}


def cells(name: str, **changed: str) -> dict[str, str]:
    return {**CELLS, "id": name, **changed}


def brought_in(desk: Desk, *rows: Mapping[str, str]) -> int:
    made = [exchange.hand_row(row, desk.clock()) for row in rows]
    return desk.do(lambda queue: exchange.take_in(queue, made))


def replaced(desk: Desk, *rows: Mapping[str, str]) -> int:
    made = [exchange.hand_row(row, desk.clock()) for row in rows]
    return desk.do(lambda queue: exchange.take_over(queue, made))


def as_rows(desk: Desk) -> list[Mapping[str, str]]:
    return desk.look(lambda queue: list(exchange.as_rows(queue)))


def test_what_is_brought_in_comes_out_as_it_was_in_the_queue_s_order(desk: Desk) -> None:
    rows = [
        cells("ORCH-007"),
        cells("A", status="IN_PROGRESS", owner_session="ada", started_at_kst="2026-11-21 20:30"),
        cells("B", status="DONE", priority="P0"),
        cells("C", status="BLOCKED", priority="urgent", notes=""),
        cells("D", status="FAILED", due_at_kst="-"),
    ]
    assert brought_in(desk, *rows) == 5
    assert as_rows(desk) == [rows[2], rows[0], rows[1], rows[4], rows[3]]
    item = desk.item("A")
    assert (item.started_ms, item.lease_until_ms, item.max_attempts) == (NOON_MS - 30 * 60_000, None, 3)
    assert desk.look(lambda queue: queue.counts()) == dict.fromkeys(desk.counted(), 1)
    told = desk.told("item.imported")
    assert told[0][1] == {"status": "PENDING", "priority": "P1", "replaced": False}
    assert len(told) == 5
    assert desk.drained() == ["ORCH-007"]


def test_many_rows_come_out_page_by_page(desk: Desk) -> None:
    rows = [cells(f"H-{number:04d}") for number in range(2_345)]
    assert brought_in(desk, *rows) == 2_345
    assert [row["id"] for row in as_rows(desk)] == [row["id"] for row in rows]


def test_empty_cells_are_read_as_nobody_and_nothing(desk: Desk) -> None:
    brought_in(desk, cells("A", owner_session="", started_at_kst="", due_at_kst="", notes=""))
    item = desk.item("A")
    assert (item.owner_session, item.started_at_kst, item.due_at_kst, item.notes) == ("-", "-", "-", "")


def test_rows_are_told_apart_by_what_a_file_can_say(desk: Desk) -> None:
    """In the database notes are joined by a bar, which a file can not hold: that is no difference."""
    item = desk.add(notes="x", due_at_kst="2026-12-01 09:00")
    desk.replan(item.id, "y")
    shown = {name: cell(text) for name, text in exchange.as_row(desk.item(item.id)).items()}
    assert shown["notes"] == "x / replan:y"
    rows = [shown, cells("new"), {**shown, "id": "ORCH-001", "task": "another"}]
    for row, found in zip(rows, ("alike", "new", "differing"), strict=True):
        made = [exchange.hand_row(row, desk.clock())]
        sorted_out = desk.look(lambda queue, made=made: exchange.sort_out(queue, made))
        assert {
            "alike": len(sorted_out.alike),
            "new": len(sorted_out.new),
            "differing": len(sorted_out.differing),
        } == {"alike": 0, "new": 0, "differing": 0} | {found: 1}


def test_a_row_that_came_meanwhile_is_left_alone(desk: Desk) -> None:
    assert brought_in(desk, cells("A")) == 1
    before = desk.item("A")
    assert brought_in(desk, cells("A", task="other words"), cells("B")) == 1
    assert desk.item("A") == before
    assert len(desk.told("item.imported")) == 2


def test_a_replaced_item_is_as_the_file_says_and_its_holder_loses_it(desk: Desk) -> None:
    item = desk.add(notes="ours", max_attempts=7)
    held = desk.held()
    desk.do(lambda queue: queue.heartbeat(held.id, held.fence))
    assert replaced(desk, cells(item.id, status="DONE", notes="theirs"), cells("not there")) == 1
    now = desk.item(item.id)
    assert exchange.as_row(now) == cells(item.id, status="DONE", notes="theirs")
    assert (now.fence, now.lease_until_ms, now.max_attempts) == (held.fence + 1, None, 7)
    refused(LeaseLost, lambda: desk.complete(held))
    assert desk.told("item.imported") == [("item.imported", {"status": "DONE", "priority": "P1", "replaced": True})]
    assert desk.look(lambda queue: queue.counts()) == desk.counted()


def test_a_replaced_item_keeps_to_the_limit_of_its_key(desk: Desk) -> None:
    """The file knows no keys; so a row that it calls PENDING stands in the line like every other of its key."""
    first, second = (desk.add(concurrency_key="k") for _ in range(2))
    held = desk.held()
    assert held.id == first.id
    replaced(desk, cells(second.id, priority="P0"))
    assert desk.claim() is None
    assert desk.codes(second.id) == ["concurrency_limit"]
    replaced(desk, cells(first.id, status="BLOCKED"))
    assert desk.held().id == second.id
    replaced(desk, cells(first.id, notes=f"retry_not_before={NOON_MS // 1000 + 60}"))
    desk.complete(desk.item(second.id))
    assert desk.claim() is None
    desk.clock.move(minutes=1)
    assert desk.held().id == first.id


def test_a_retry_marker_of_the_file_is_kept_to(desk: Desk) -> None:
    soon, past = f"retry_not_before={NOON_MS // 1000 + 60}", f"retry_not_before={NOON_MS // 1000}"
    brought_in(
        desk,
        cells("A", notes=f"{past} / {soon}"),
        cells("B", notes=f"{soon} / {past}"),
        cells("C", status="FAILED", notes=soon),
        cells("D", notes="retry_not_before=1795262460000"),
        cells("E", notes="retry_not_before=99999999999 retry_not_before=999999999999"),
    )
    assert desk.drained() == ["B", "D"], "an instant in milliseconds, or behind the end of all calendars, is none"
    assert desk.codes("E") == ["not_before"]
    desk.clock.move(minutes=1)
    assert desk.drained() == ["A"]


def test_what_the_database_can_not_hold_is_refused_with_its_place(desk: Desk) -> None:
    told = refused(Invalid, lambda: brought_in(desk, cells("A"), cells("B", notes="x\0")))
    assert told == "'B': the cell notes holds a NUL character"
    assert as_rows(desk) == []


def test_an_id_of_any_script_is_found_again(desk: Desk) -> None:
    names = ["작업-1", "a\u00a0b", "--id", "../x", "x" * 128]
    brought_in(desk, *map(cells, names))
    for name in names:
        assert desk.cancel(name).status is ItemStatus.BLOCKED
    assert desk.counted()["BLOCKED"] == len(names)


def test_numbers_go_on_behind_the_highest_that_was_brought_in(desk: Desk) -> None:
    assert desk.add().id == "ORCH-001"
    brought_in(
        desk, cells("ORCH-041"), cells("ORCH-7"), cells("orch-900"), cells("ORCH-99x"), cells("ORCH-" + "9" * 20)
    )
    assert ids([desk.add(), desk.add()]) == ["ORCH-042", "ORCH-043"]


def test_the_first_number_that_was_brought_in_is_not_given_again(desk: Desk) -> None:
    brought_in(desk, cells("ORCH-001"))
    assert desk.add().id == "ORCH-002"


def test_adding_and_bringing_in_at_once_never_collide(desk: Desk) -> None:
    brought: list[str] = []

    def adds() -> list[str]:
        return [desk.add().id for _ in range(30)]

    def brings(start: int) -> list[str]:
        names = [f"ORCH-{number:03d}" for number in range(start, 90, 3)]
        brought.extend(name for name in names if brought_in(desk, cells(name)))
        return []

    added = at_once([adds, adds, partial(brings, 1), partial(brings, 2)])
    names = [*added[0], *added[1], *brought]
    assert len(added[0] + added[1]) == 60
    assert sorted(names) == sorted(name for (name,) in desk.rows("SELECT id FROM queue_items"))
