"""Counts and history follow the changes by themselves: exact after whatever happened, and each thing told once."""

# ruff: noqa: S608 - the words of every statement are the tests' own

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from interlock.app import Interlock
from interlock.kernel.errors import Conflict
from interlock.queue import exchange
from interlock.queue.markdown import COLUMNS
from interlock.queue.models import Executor, Item, ItemStatus
from interlock.queue.service import Queue
from interlock.storage.evidence import StoredLog
from interlock.storage.queue import StoredHistory
from tests.conftest import ALICE, WORKER
from tests.queue.desk import MANUAL, NOON_MS, Desk, at_once

Deed = Callable[[Queue, random.Random], object]


def counts(desk: Desk) -> dict[str, int]:
    return dict(desk.look(lambda queue: queue.counts()))


def keep_up(house: Interlock) -> None:
    StoredHistory(house.database).keep_up()


# --- counts -----------------------------------------------------------------------------------------------------------


def _some(queue: Queue, dice: random.Random) -> Item:
    return dice.choice(queue.list(limit=1_000))


def _worked(queue: Queue, dice: random.Random) -> object:
    item = queue.claim(Executor.EXTERNAL, "w")
    if item is None:
        return None
    ends: Sequence[Callable[[], object]] = (
        partial(queue.complete, item.id, item.fence),
        partial(queue.release, item.id, item.fence),
        partial(queue.fail, item.id, item.fence, reason="x", message="y"),
        partial(queue.fail, item.id, item.fence, reason="x", message="y", transient=True),
        partial(queue.rescue, item, reason="z"),
        lambda: None,
    )
    return dice.choice(ends)()


def _brought_in(queue: Queue, dice: random.Random) -> int:
    row = dict.fromkeys(COLUMNS, "x") | {"priority": "P1"}
    name, status = f"H-{dice.randrange(40)}", dice.choice(list(ItemStatus)).value
    made = exchange.hand_row({**row, "id": name, "status": status}, queue.now())
    return exchange.take_in(queue, [made]) or exchange.take_over(queue, [made])


DEEDS: Sequence[Deed] = (
    lambda queue, _: queue.add(MANUAL),
    _worked,
    _worked,
    _brought_in,
    lambda queue, dice: queue.cancel(_some(queue, dice).id),
    lambda queue, dice: queue.replan(_some(queue, dice).id, "x"),
    lambda queue, dice: queue.retry(_some(queue, dice).id, backoff=False),
    lambda queue, dice: queue.snooze(_some(queue, dice).id, queue.now() + dice.choice([0, 9_000])),
    lambda queue, dice: queue.reprioritise(_some(queue, dice).id, "P0"),
    lambda queue, _: queue.promote(),
)


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_what_a_look_at_every_row_finds(desk: Desk, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - a test's dice
    desk.add()
    for step in range(60):
        _do_some(desk, dice)
        desk.clock.move(seconds=5)
        if step % 20 == 7:
            desk.write("DELETE FROM queue_items WHERE id = (SELECT id FROM queue_items WHERE id <> 'ORCH-001' LIMIT 1)")
        if step % 10 == 5:
            keep_up(desk.house)
        assert counts(desk) == desk.counted(), step
    keep_up(desk.house)
    assert counts(desk) == desk.counted()


def _do_some(desk: Desk, dice: random.Random) -> None:
    """Do a few things in one transaction, which in the end may come to nothing."""
    try:
        with desk.house.queue(ALICE) as queue:
            for deed in dice.choices(DEEDS, k=dice.randrange(1, 6)):
                try:
                    with queue.attempt():
                        deed(queue, dice)
                        _perhaps(dice, Conflict)
                except Conflict:
                    continue
            _perhaps(dice, ZeroDivisionError)
    except ZeroDivisionError:
        return


def _perhaps(dice: random.Random, error: type[Exception]) -> None:
    if dice.random() < 0.2:
        raise error


def test_counts_are_never_seen_wrong_while_others_write_and_fold(desk: Desk) -> None:
    """Each look finds all 40 items, however many moves are under way or just folded."""
    for _ in range(40):
        desk.add()
    seen: list[int] = []

    def works(number: int) -> None:
        for _ in range(25):
            item = desk.claim(f"s{number}")
            if item is not None:
                desk.release(item)

    def folds() -> None:
        for _ in range(30):
            keep_up(desk.house)

    def looks() -> None:
        seen.extend(sum(counts(desk).values()) for _ in range(60))

    at_once([*(partial(works, number) for number in range(4)), folds, folds, looks, looks])
    assert set(seen) == {40}
    keep_up(desk.house)
    assert counts(desk) == desk.counted() == {"PENDING": 40, "IN_PROGRESS": 0, "BLOCKED": 0, "FAILED": 0, "DONE": 0}
    if desk.on_postgres:
        assert desk.rows("SELECT COUNT(*) FROM item_move") == [(0,)]


@pytest.mark.parametrize("desk", ["postgres"], indirect=True)
def test_all_that_waits_is_folded_however_much_it_is(desk: Desk) -> None:
    desk.write("INSERT INTO item_move (was, became) SELECT 'DONE', 'FAILED' FROM generate_series(1, 12345)")
    keep_up(desk.house)
    assert desk.rows("SELECT COUNT(*) FROM item_move") == [(0,)]
    assert dict(desk.rows("SELECT status, items FROM item_count")) == {"DONE": -12345, "FAILED": 12345}


# --- history ----------------------------------------------------------------------------------------------------------


def test_history_is_written_in_the_words_of_the_seed(desk: Desk) -> None:
    item = desk.add(notes="첫 메모", idempotency_key="k")
    desk.release(desk.held("ada"))
    desk.snooze(item.id, None)
    desk.rank(item.id, "P0")
    desk.fail(desk.held("ada"), transient=True)
    desk.clock.move(hours=1)
    desk.rescue(desk.held("bob"))
    desk.clock.move(hours=1)
    desk.fail(desk.held("bob"))
    desk.retry(item.id)
    desk.cancel(item.id)
    desk.replan(item.id, "again")
    desk.complete(desk.held("cyd"), notes="끝")
    keep_up(desk.house)
    notes = desk.item(item.id).notes
    assert desk.history(item.id) == [
        ("added", {"idempotency_key": "k", "priority": "P1"}),
        ("picked", {"owner_session": "ada"}),
        ("lease_released", {"owner_session": "ada"}),
        ("snoozed", {"not_before_ms": None, "reason": ""}),
        ("reprioritised", {"previous_priority": "P1", "priority": "P0", "reason": ""}),
        ("picked", {"owner_session": "ada"}),
        ("retried", {"reason": "tests_failed"}),
        ("picked", {"owner_session": "bob"}),
        ("retried", {"reason": "failed_or_timeout"}),
        ("picked", {"owner_session": "bob"}),
        ("failed", {"notes": notes}),
        ("retried", {"reason": "operator_retry"}),
        ("blocked", {"notes": notes}),
        ("replan", {"notes": notes, "status": "PENDING"}),
        ("picked", {"owner_session": "cyd"}),
        ("done", {"notes": notes}),
    ]
    ((payload,),) = desk.rows("SELECT payload_json FROM queue_events WHERE event_type = 'done'")
    assert payload == f'{{"notes": "{notes}"}}'
    assert "끝" in notes
    first, *_, last = desk.rows("SELECT created_at FROM queue_events ORDER BY event_id")
    assert (first, last) == (("2026-11-21 21:00",), ("2026-11-21 23:00",))


def test_retries_count_what_is_in_the_history_and_what_is_not_yet(desk: Desk) -> None:
    def retries() -> int:
        return desk.look(lambda queue: queue.store.retries())

    desk.add()
    desk.fail(desk.held())
    desk.retry("ORCH-001")
    desk.house.database.seal()
    assert retries() == 1
    keep_up(desk.house)
    assert retries() == 1
    desk.clock.move(hours=1)
    desk.fail(desk.held(), transient=True)
    desk.house.database.seal()
    assert retries() == 2


def test_four_who_write_the_history_at_once_write_each_thing_once(desk: Desk) -> None:
    def works(number: int) -> None:
        for _ in range(30):
            desk.add()
            item = desk.claim(f"s{number}")
            if item is not None:
                desk.complete(item)

    def follows() -> None:
        for _ in range(20):
            keep_up(desk.house)

    at_once([*(partial(works, number) for number in range(4)), *[follows] * 4])
    desk.house.database.seal()
    at_once([partial(keep_up, desk.house)] * 4)
    assert Counter(kind for kind, _ in desk.history()) == {"added": 120, "picked": 120, "done": 120}
    each = desk.rows("SELECT item_id, COUNT(*), COUNT(DISTINCT event_type) FROM queue_events GROUP BY item_id")
    assert {(rows, kinds) for _, rows, kinds in each} == {(3, 3)}
    in_order = desk.rows("SELECT event_type FROM queue_events WHERE item_id = 'ORCH-007' ORDER BY event_id")
    assert in_order == [("added",), ("picked",), ("done",)]
    assert desk.rows("SELECT next_index FROM projection") == [(StoredLog(desk.house.database).size(),)]


def test_what_has_no_item_is_passed_over(desk: Desk) -> None:
    desk.do(lambda queue: queue.pause("human:alice", reason="lunch"))
    desk.do(lambda queue: queue.limit("k", 2), WORKER)
    item = desk.add(not_before_ms=NOON_MS + 1)
    desk.write(f"DELETE FROM queue_items WHERE id = '{item.id}'")
    desk.house.database.seal()
    keep_up(desk.house)
    assert desk.history() == []
    assert desk.rows("SELECT next_index FROM projection") == [(3,)]
