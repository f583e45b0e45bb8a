"""Of the items of one concurrency key only so many are under way at a time, whoever claims, ends or changes them."""

# ruff: noqa: S608 - the words of every statement are the tests' own

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import psycopg
import pytest

from interlock.kernel.errors import Conflict, Invalid
from interlock.queue import bulk
from interlock.queue.models import Executor, Filter, Item, ItemStatus
from interlock.queue.service import Queue
from tests.conftest import ALICE, WORKER, until
from tests.queue.desk import NOON_MS, UNEVEN, Desk, Wanted, assert_settled, at_once, ids, refused

KEY = "repo-x"


def keyed(desk: Desk, count: int, **wanted: object) -> list[Item]:
    terms: Wanted = {"concurrency_key": KEY, **wanted}  # pyright: ignore[reportAssignmentType] - a part of it
    return [desk.add(**terms) for _ in range(count)]


# --- one after another ------------------------------------------------------------------------------------------------


def test_one_at_a_time_unless_set_otherwise(desk: Desk) -> None:
    first, second, other = *keyed(desk, 2), desk.add(concurrency_key="repo-y")
    assert (desk.held().id, desk.held().id, desk.claim()) == (first.id, other.id, None)
    desk.complete(desk.item(first.id))
    assert desk.held().id == second.id
    assert_settled(desk)


@pytest.mark.parametrize("most", [1, 3])
def test_eight_who_claim_at_once_get_as_many_as_the_limit(desk: Desk, most: int) -> None:
    desk.limit(KEY, most)
    keyed(desk, 12)
    for _ in range(3):
        taken = [item for item in at_once([desk.claim] * 8) if item is not None]
        assert len(taken) == most
        assert_settled(desk)
        at_once([partial(desk.complete, item) for item in taken])
        assert_settled(desk)


def test_every_way_out_of_work_lets_the_next_one_begin(desk: Desk) -> None:
    ways: Sequence[Callable[[Item], object]] = (
        desk.complete,
        desk.fail,
        partial(desk.fail, transient=True),
        lambda item: desk.cancel(item.id),
        lambda item: desk.replan(item.id),
        desk.rescue,
        lambda item: _give_up(desk, item),
    )
    for way in ways:
        first, second = keyed(desk, 2)
        way(desk.held())
        assert desk.item(first.id).status is not ItemStatus.IN_PROGRESS
        assert desk.held().id == second.id
        desk.cancel(second.id)
        if desk.item(first.id).status is ItemStatus.PENDING:
            desk.cancel(first.id)
        assert_settled(desk)


def _give_up(desk: Desk, item: Item) -> None:
    desk.write(f"UPDATE queue_items SET attempt_count = 9 WHERE id = '{item.id}'")
    assert desk.rescue(desk.item(item.id)) is not None


def test_who_gives_back_stands_in_the_line_as_before(desk: Desk) -> None:
    first, second = keyed(desk, 2)
    desk.release(desk.held())
    assert desk.held().id == first.id
    desk.complete(desk.item(first.id))
    assert desk.held().id == second.id


def test_one_that_leaves_the_line_lets_the_next_one_step_up(desk: Desk) -> None:
    items = keyed(desk, 4)
    desk.cancel(items[0].id)
    desk.snooze(items[1].id, NOON_MS + 60_000)
    assert desk.held().id == items[2].id
    desk.complete(desk.item(items[2].id))
    desk.clock.move(minutes=2)
    desk.do(lambda queue: queue.promote())
    assert_settled(desk)
    assert desk.held().id == items[1].id, "its time has come, and it is the older"
    desk.complete(desk.item(items[1].id))
    desk.replan(items[0].id)
    assert desk.held().id == items[0].id
    assert_settled(desk)


def test_a_higher_priority_that_comes_later_goes_first(desk: Desk) -> None:
    low = keyed(desk, 2, priority="P2")
    (high,) = keyed(desk, 1, priority="P0")
    assert (desk.codes(low[0].id), desk.codes(high.id)) == (["concurrency_limit"], ["next"])
    desk.rank(low[1].id, "P0")
    for name in (low[1].id, high.id, low[0].id):
        assert desk.drained() == [name]
        desk.complete(desk.item(name))
    assert_settled(desk)


def test_a_lower_limit_takes_nothing_away_from_who_holds_and_a_higher_one_lets_more_begin(desk: Desk) -> None:
    desk.limit(KEY, 3)
    items = keyed(desk, 6)
    held = [desk.held() for _ in range(2)]
    for most, free in ((1, 0), (2, 0), (0, 0), (5, 3), (1_000_000, 4)):
        desk.limit(KEY, most)
        assert desk.rows("SELECT COUNT(*) FROM queue_items WHERE claimable = 1") == [(free,)], most
        assert_settled(desk)
    desk.limit(KEY, 1)
    assert [desk.complete(item).status for item in held] == [ItemStatus.DONE] * 2
    assert desk.drained() == [items[2].id]
    assert desk.told("concurrency.set")[-1] == ("concurrency.set", {"most": 1})
    (shown,) = desk.look(lambda queue: queue.store.concurrencies())
    assert (shown.key, shown.most, shown.held, shown.pending) == (KEY, 1, 1, 3)


def test_a_limit_that_is_none_is_refused(desk: Desk) -> None:
    assert refused(Invalid, lambda: desk.limit(KEY, -1)) == "a limit is from 0 to 1000000, not -1"
    assert refused(Invalid, lambda: desk.limit(KEY, 1_000_001)) == "a limit is from 0 to 1000000, not 1000001"
    assert refused(Invalid, lambda: desk.limit(" ", 1)).startswith("' ' is no concurrency key")


def test_a_limit_that_is_set_before_the_first_item_holds(desk: Desk) -> None:
    desk.limit(KEY, 2)
    keyed(desk, 3)
    assert len(desk.drained()) == 2


def test_a_limit_holds_across_both_kinds_of_workers(desk: Desk) -> None:
    keyed(desk, 1)
    keyed(desk, 1, executor=Executor.INTERLOCK)
    assert desk.claim(executor=Executor.INTERLOCK) is None
    desk.complete(desk.held())
    assert desk.held(executor=Executor.INTERLOCK) is not None


def test_many_moves_in_one_transaction_settle_a_limit_once_and_rightly(desk: Desk) -> None:
    desk.limit(KEY, 2)
    items = keyed(desk, 9)
    chosen = desk.look(lambda queue: bulk.choose(queue, Filter(text="sweep")))
    moves = bulk.move(
        bulk.Chosen(chosen.items[:5]),
        lambda queue, seen: queue.cancel(seen.id, seen=seen),
        lambda: desk.house.queue(ALICE),
    )
    assert [progress.changed for progress in moves] == [5]
    assert_settled(desk)
    assert desk.drained() == ids(items[5:7])


# --- what stood in the way --------------------------------------------------------------------------------------------


@contextmanager
def history_being_written(desk: Desk, item: Item) -> Generator[None]:
    """Stand where a row of an item's history has been written, and is not committed."""
    with psycopg.connect(desk.place) as connection:
        connection.execute(
            "INSERT INTO queue_events (item_id, event_type, payload_json, created_at) VALUES (%s, 'x', '{}', '')",
            (item.id,),
        )
        yield
        connection.rollback()


@pytest.mark.parametrize("desk", ["postgres"], indirect=True)
def test_history_that_is_being_written_hides_no_item_from_a_claim_or_a_limit(desk: Desk) -> None:
    first, second = keyed(desk, 2)
    free = desk.add(priority="P0")
    with history_being_written(desk, free):
        assert desk.held().id == free.id
    held = desk.held()
    assert held.id == first.id
    with history_being_written(desk, second):
        desk.complete(held)
    assert desk.held().id == second.id


def test_what_was_left_waiting_by_a_transaction_that_was_cut_off_is_found(desk: Desk) -> None:
    """Who changes the next item and is killed had locked it when the slot became free."""
    first, second = keyed(desk, 2)
    desk.add(concurrency_key="repo-y")
    held = desk.held()
    assert held.id == first.id
    if desk.on_postgres:
        with psycopg.connect(desk.place) as connection:
            connection.execute("UPDATE queue_items SET notes = 'half done' WHERE id = %s", (second.id,))
            desk.complete(held)
            connection.rollback()
    else:
        desk.complete(held)
        desk.write(f"UPDATE queue_items SET claimable = 0, waits_for = 'limit' WHERE id = '{second.id}'")
    assert desk.item(second.id).waits_for == "limit"
    assert desk.look(lambda queue: queue.store.due(queue.now()))
    assert desk.do(lambda queue: queue.promote()) == 1
    assert not desk.look(lambda queue: queue.store.due(queue.now()))
    assert_settled(desk)


def test_a_claim_that_finds_nothing_looks_for_what_was_left_waiting(desk: Desk) -> None:
    (item,) = keyed(desk, 1)
    desk.write("UPDATE queue_items SET claimable = 0, waits_for = 'limit'")
    assert desk.held().id == item.id


# --- all at once ------------------------------------------------------------------------------------------------------

KEYS: Mapping[str, int] = {"one": 1, "three": 3, "five": 5, "none": 0}
SECONDS = float(os.environ.get("INTERLOCK_TEST_CROWD_SECONDS", "3"))


class Crowd:
    """Sessions and operators who do at random whatever can be done to a keyed item."""

    def __init__(self, desk: Desk, seed: int) -> None:
        self.desk, self.random = desk, random.Random(seed)  # noqa: S311 - a test's dice
        self.ended = threading.Event()
        self.most_seen: dict[str, int] = {}
        self.deeds = 0

    def lives(self, number: int) -> None:
        dice = random.Random(self.random.random() + number)  # noqa: S311 - it can be repeated
        while not self.ended.is_set():
            self.deeds += 1
            try:
                self._act(dice, f"s{number}")
            except Conflict:
                continue  # somebody else was faster: that is what is tried here

    def _act(self, dice: random.Random, name: str) -> None:
        desk = self.desk
        deed = dice.randrange(12)
        if deed < 6:
            self._work(dice, name)
        elif deed < 8:
            desk.add(concurrency_key=dice.choice(list(KEYS)), priority=dice.choice(["P0", "P1", "P2"]))
        else:
            self._operate(dice)

    def _work(self, dice: random.Random, name: str) -> None:
        desk = self.desk
        item = desk.claim(name)
        if item is None:
            return
        end: Callable[[Item], object] = dice.choice(
            [desk.complete, desk.complete, desk.fail, partial(desk.fail, transient=True), desk.release, desk.rescue]
        )
        end(item)

    def _operate(self, dice: random.Random) -> None:
        desk = self.desk
        some = desk.look(lambda queue: queue.list(limit=40))
        if not some:
            return
        item = dice.choice(some)
        verbs: Sequence[Callable[[Queue, str], object]] = (
            lambda queue, name: queue.cancel(name),
            lambda queue, name: queue.replan(name, "x"),
            lambda queue, name: queue.retry(name, backoff=False),
            lambda queue, name: queue.snooze(name, queue.now() + dice.choice([0, 30_000])),
            lambda queue, name: queue.reprioritise(name, dice.choice(["P0", "P1", "P2"])),
            lambda queue, _: queue.promote(),
            lambda queue, _: queue.limit((key := dice.choice(list(KEYS))), KEYS[key]),
        )
        verb = dice.choice(verbs)
        desk.do(lambda queue: verb(queue, item.id))

    def bulks(self, number: int) -> None:
        dice = random.Random(number)  # noqa: S311 - the same
        verbs: Sequence[bulk.Verb[Item]] = (
            lambda queue, seen: queue.cancel(seen.id, seen=seen),
            lambda queue, seen: queue.replan(seen.id, "x", seen=seen),
            lambda queue, seen: queue.reprioritise(seen.id, dice.choice(["P0", "P1", "P2"]), seen=seen),
        )
        while not self.ended.is_set():
            chosen = self.desk.look(lambda queue: bulk.choose(queue, Filter(status=dice.choice(list(ItemStatus)))))
            for _ in bulk.move(
                bulk.Chosen(chosen.items[:60]), dice.choice(verbs), lambda: self.desk.house.queue(ALICE)
            ):
                pass

    def watches(self) -> None:
        """Sample what is held, and what may begin, of each key."""
        while not self.ended.is_set():
            for key, _, held, claimable, _ in self.desk.rows(UNEVEN):
                self.most_seen[key] = max(self.most_seen.get(key, 0), held + claimable)

    def follows(self) -> None:
        """Write the history meanwhile, as every command does, and let the clock run."""
        while not self.ended.is_set():
            self.desk.house.catch_up(ALICE)
            self.desk.clock.move(seconds=5)
            self.desk.do(lambda queue: queue.promote(), WORKER)

    def live(self, seconds: float) -> None:
        who = [partial(self.lives, number) for number in range(8)] + [
            partial(self.bulks, number) for number in range(2)
        ]
        stop = threading.Timer(seconds, self.ended.set)
        stop.start()
        at_once([*map(self._or_end, [*who, self.watches, self.follows])])

    def _or_end(self, deed: Callable[[], None]) -> Callable[[], None]:
        def do() -> None:
            try:
                deed()
            finally:
                self.ended.set()

        return do


def test_whatever_happens_at_once_no_limit_is_passed_and_nothing_is_stuck(desk: Desk) -> None:
    for key, most in KEYS.items():
        desk.limit(key, most)
        for _ in range(5):
            desk.add(concurrency_key=key)
    crowd = Crowd(desk, seed=7)
    crowd.live(SECONDS)
    assert crowd.deeds > 100, "nothing happened"
    assert {key: seen for key, seen in crowd.most_seen.items() if seen > KEYS[key]} == {}
    assert desk.look(lambda queue: queue.counts()) == desk.counted()
    assert_settled(desk)
    if desk.on_postgres:
        assert desk.rows("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]
    _work_it_all_off(desk)


def _work_it_all_off(desk: Desk) -> None:
    """Every open item can be brought to an end: nothing waits for a turn that never comes."""
    desk.clock.move(days=1)
    desk.limit("none", 1)
    for item in desk.look(lambda queue: queue.list(Filter(status=ItemStatus.BLOCKED), limit=100_000)):
        desk.replan(item.id)
    for item in desk.look(lambda queue: queue.list(Filter(status=ItemStatus.IN_PROGRESS), limit=100_000)):
        desk.complete(item)

    def nothing_left() -> bool:
        while (item := desk.claim()) is not None:
            desk.complete(item)
        return desk.counted()["PENDING"] == 0

    until(nothing_left, 20)
