"""One verb for many items: resolved once, in short transactions, beside everybody else, and stopped at any time."""

# ruff: noqa: S608 - the words of every statement are the tests' own

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import pytest

from interlock.kernel.errors import Invalid
from interlock.queue import bulk
from interlock.queue.models import Filter, Item, ItemStatus
from interlock.queue.service import Queue
from interlock.storage.errors import DatabaseBusy
from interlock.storage.queue import StoredItems
from tests.conftest import ALICE
from tests.queue.desk import MANUAL, Desk, at_once, ids, refused


def cancel(queue: Queue, seen: Item) -> Item:
    return queue.cancel(seen.id, reason="tidy up", seen=seen)


def raise_all(queue: Queue, seen: Item) -> Item:
    return queue.reprioritise(seen.id, "P0", reason="hurry", seen=seen)


def lower_all(queue: Queue, seen: Item) -> Item:
    return queue.reprioritise(seen.id, "P2", seen=seen)


def filled(desk: Desk, count: int) -> list[str]:
    """Add many items in one transaction, without their events."""
    with desk.house.database.light() as transaction:
        return [StoredItems(transaction).add(MANUAL)[0].id for _ in range(count)]


def chosen(desk: Desk, which: Filter | None = None) -> bulk.Chosen:
    return desk.look(lambda queue: bulk.choose(queue, which or Filter()))


def moved(desk: Desk, items: bulk.Chosen, verb: bulk.Verb[Item]) -> Generator[bulk.Progress]:
    yield from bulk.move(items, verb, lambda: desk.house.queue(ALICE))


def last(moves: Iterator[bulk.Progress]) -> bulk.Progress:
    *_, progress = moves
    return progress


def test_a_preview_counts_and_shows_the_first_and_changes_nothing(desk: Desk) -> None:
    names = filled(desk, 12)
    desk.rank(names[11], "P0")
    desk.held()
    before = len(desk.told())
    preview = chosen(desk, Filter(text="SWEEP")).preview()
    assert (preview.count, preview.by_status) == (12, {"IN_PROGRESS": 1, "PENDING": 11})
    assert ids(preview.sample) == [names[11], *names[:9]]
    assert len(desk.told()) == before


def test_every_item_that_was_meant_moves_and_tells_it(desk: Desk) -> None:
    names = filled(desk, 1_203)
    seen = [(progress.of, progress.done) for progress in moved(desk, chosen(desk), cancel)]
    assert {of for of, _ in seen} == {1_203}
    done = [count for _, count in seen]
    assert done == sorted(set(done)), "it grows with every transaction"
    assert done[-1] == 1_203
    assert len(done) >= 3, "no transaction moves more than 500"
    assert desk.counted()["BLOCKED"] == 1_203
    assert desk.rows("SELECT DISTINCT notes FROM queue_items") == [("cancelled_by_operator: tidy up",)]
    told = desk.told("item.cancelled")
    assert len(told) == 1_203
    assert {payload["reason"] for _, payload in told} == {"tidy up"}
    assert names[0] == "ORCH-001"


def test_a_filter_is_resolved_once_and_what_moved_meanwhile_is_left_alone(desk: Desk) -> None:
    first, second, third, fourth = filled(desk, 4)
    meant = chosen(desk, Filter(status=ItemStatus.PENDING))
    late = desk.add(priority="P0")
    assert desk.held().id == late.id
    assert desk.held().id == first
    desk.cancel(second, reason="by hand")
    progress = last(moved(desk, meant, cancel))
    assert (progress.changed, dict(progress.refused)) == (2, {"item_state_conflict": 2})
    assert progress.examples == [f"{name} changed while this was done" for name in (first, second)]
    assert desk.item(first).status is ItemStatus.IN_PROGRESS
    assert desk.item(second).notes == "cancelled_by_operator: by hand"
    assert [desk.item(name).status for name in (third, fourth)] == [ItemStatus.BLOCKED] * 2
    assert desk.item(late.id).status is ItemStatus.IN_PROGRESS


def test_what_is_refused_is_counted_by_its_code_and_what_is_so_already_apart(desk: Desk) -> None:
    filled(desk, 14)
    for _ in range(12):
        desk.complete(desk.held())
    desk.rank("ORCH-013", "P0")
    progress = last(moved(desk, chosen(desk), raise_all))
    assert (progress.changed, progress.unchanged, progress.refused.total(), progress.done) == (1, 1, 12, 14)
    assert (dict(progress.refused), len(progress.examples)) == ({"item_state_conflict": 12}, 10)
    assert progress.examples[0] == "cannot reprioritise a finished item: ORCH-001 (DONE)"


def test_a_bulk_that_nobody_asks_on_has_stopped_with_its_last_transaction(desk: Desk) -> None:
    filled(desk, 1_100)
    moves = moved(desk, chosen(desk), cancel)
    done = next(moves).done
    assert 0 < done <= bulk.MOST_PER_TRANSACTION
    assert desk.counted() == {"BLOCKED": done, "PENDING": 1_100 - done, "IN_PROGRESS": 0, "DONE": 0, "FAILED": 0}
    moves.close()
    assert len(desk.told("item.cancelled")) == done
    again = last(moved(desk, chosen(desk, Filter(status=ItemStatus.PENDING)), cancel))
    assert again.changed == 1_100 - done


def test_the_order_in_which_it_goes_is_the_queue_s_from_portion_to_portion(desk: Desk) -> None:
    names = filled(desk, 510)
    desk.do(lambda queue: [queue.reprioritise(name, "P0") for name in names[505:]])
    next(progress for progress in moved(desk, chosen(desk), cancel) if progress.done == bulk.MOST_PER_TRANSACTION)
    assert all(desk.item(name).status is ItemStatus.BLOCKED for name in names[505:])


def test_a_mistake_in_the_verb_stops_the_bulk_before_anything_is_changed(desk: Desk) -> None:
    filled(desk, 3)

    def replan(queue: Queue, seen: Item) -> Item:
        return queue.replan(seen.id, " ", seen=seen)

    assert refused(Invalid, lambda: last(moved(desk, chosen(desk), replan))) == "the notes are blank"
    assert desk.counted()["PENDING"] == 3


def test_a_transaction_that_did_not_come_about_is_done_again(desk: Desk) -> None:
    filled(desk, 5)
    tries: list[int] = []

    @contextmanager
    def busy_twice() -> Generator[Queue]:
        tries.append(len(tries))
        with desk.house.queue(ALICE) as queue:
            yield queue
            if len(tries) < 3:
                raise DatabaseBusy

    progress = last(bulk.move(chosen(desk), cancel, busy_twice))
    assert (len(tries), progress.changed, progress.refused.total()) == (3, 5, 0)
    assert len(desk.told("item.cancelled")) == 5


def test_a_database_that_stays_away_ends_the_bulk_with_what_was_done(desk: Desk) -> None:
    filled(desk, 5)

    def never() -> AbstractContextManager[Queue]:
        raise DatabaseBusy

    with pytest.raises(DatabaseBusy):
        last(bulk.move(chosen(desk), cancel, never))
    assert desk.counted()["PENDING"] == 5


def test_two_bulks_over_the_same_items_in_other_orders_end_both(desk: Desk) -> None:
    """Whoever locks several items locks them in one order; so nobody waits for whom he holds up."""
    for _ in range(60):
        desk.add(concurrency_key="a")
        desk.add(concurrency_key="b", priority="P2")
    forth = chosen(desk)
    back = bulk.Chosen(forth.items[::-1])
    for _ in range(3):
        found = at_once(
            [
                lambda: last(moved(desk, forth, raise_all)),
                lambda: last(moved(desk, back, lower_all)),
                lambda: last(moved(desk, chosen(desk), lambda queue, seen: queue.replan(seen.id, "x", seen=seen))),
            ]
        )
        assert [progress.done for progress in found] == [120] * 3
    if desk.on_postgres:
        assert desk.rows("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]


def test_who_claims_meanwhile_does_not_wait_for_the_whole(desk: Desk) -> None:
    names = filled(desk, 3_000)
    meant = bulk.Chosen(chosen(desk).items[1_000:])
    done = 0
    taken: list[tuple[str, int]] = []
    ended = threading.Event()

    def claims(number: int) -> None:
        while not ended.is_set():
            item = desk.claim(f"s{number}")
            if item is None:
                return
            taken.append((item.id, done))
            desk.complete(item)

    def bulks() -> None:
        nonlocal done
        try:
            for progress in moved(desk, meant, cancel):
                done = progress.done
        finally:
            ended.set()

    at_once([bulks, *(partial(claims, number) for number in range(2))])
    assert len(taken) == len({name for name, _ in taken})
    assert len({when for _, when in taken} - {0, done}) >= 2, "they claimed between its transactions"
    counts = desk.counted()
    assert counts["BLOCKED"] + counts["DONE"] + counts["PENDING"] == len(names)
    assert desk.look(lambda queue: queue.counts()) == counts


def test_of_a_bulk_that_retries_each_item_waits_its_own_back_off(desk: Desk) -> None:
    filled(desk, 3)
    failed: Sequence[Item] = [desk.fail(desk.held()) for _ in range(3)]
    desk.write(f"UPDATE queue_items SET attempt_count = 1 WHERE id = '{failed[1].id}'")
    desk.write(f"UPDATE queue_items SET attempt_count = 3 WHERE id = '{failed[2].id}'")
    progress = last(
        moved(desk, chosen(desk, Filter(status=ItemStatus.FAILED)), lambda queue, seen: queue.retry(seen.id, seen=seen))
    )
    assert (progress.changed, dict(progress.refused)) == (2, {"attempts_exhausted": 1})
    waits = [(desk.item(item.id).not_before_ms or 0) - desk.clock() for item in failed[:2]]
    assert waits == [60_000, 180_000]
