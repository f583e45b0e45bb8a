"""Many processes on one queue at once, and some of them killed: no item twice, nothing lost, nothing seen half done."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from interlock.evidence.tree import Frontier
from interlock.kernel.clock import system_clock
from interlock.queue.models import Filter, ItemStatus
from interlock.storage.evidence import StoredLog
from tests.conftest import ALICE, until
from tests.queue.crowd import Member, crowd
from tests.queue.desk import Desk, assert_settled

SECONDS = float(os.environ.get("INTERLOCK_TEST_CROWD_SECONDS", "3"))

BECOMES: Mapping[str, str] = {
    "item.added": "PENDING",
    "item.claimed": "IN_PROGRESS",
    "item.completed": "DONE",
    "item.failed": "FAILED",
    "item.released": "PENDING",
    "item.rescued": "PENDING",
    "item.cancelled": "BLOCKED",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "accounts"
    made.mkdir()
    return made


def confirmed(members: list[Member], *verbs: str) -> list[list[Any]]:
    return [words for member in members for words in member.told() if words[0] in verbs]


def sealed(desk: Desk) -> StoredLog:
    """Return the log once all of it is sealed: somebody else may be at it just now."""

    def nothing_waits() -> bool:
        desk.house.database.seal()
        return not desk.on_postgres or desk.rows("SELECT 1 FROM event_unsealed LIMIT 1") == []

    until(nothing_waits)
    return StoredLog(desk.house.database)


def assert_consistent(desk: Desk) -> None:
    """State, log, counts and limits tell the same story."""
    log = sealed(desk)
    events = [event for start in range(0, log.size(), 1_000) for _, event in log.events(start, 1_000)]
    assert log.frontier() == Frontier().extend(log.leaf_hashes(len(events)))
    story: dict[str, str] = {}
    fences: Counter[tuple[str, int]] = Counter()
    for event in events:
        kind, item_id, payload = event["kind"], event["subject"], event["payload"]
        if kind.startswith("item."):
            story[item_id] = payload["status"] if kind == "item.replanned" else BECOMES[kind]
        if kind == "item.claimed":
            fences[item_id, payload["fence"]] += 1
    assert max(fences.values(), default=0) <= 1, "one fence was given to two"
    assert dict(desk.rows("SELECT id, status FROM queue_items")) == story
    assert desk.look(lambda queue: queue.counts()) == desk.counted()
    desk.do(lambda queue: queue.promote())
    assert_settled(desk)


def assert_kept(desk: Desk, members: list[Member]) -> None:
    """What was confirmed to anybody is there."""
    items = {item.id: item for item in desk.look(lambda queue: queue.list(limit=1_000_000))}
    assert {name for _, name in confirmed(members, "added")} <= items.keys()
    claims = Counter((name, fence) for _, name, fence in confirmed(members, "claimed"))
    assert max(claims.values()) == 1, "one item was given to two"
    for verb, name, _, note in confirmed(members, "completed", "failed", "released", "cancelled", "replanned"):
        assert note in items[name].notes, f"{verb} was confirmed, and is lost"
        if verb == "completed":
            assert items[name].status is ItemStatus.DONE


def test_eight_who_write_and_eight_who_read_at_once_lose_and_tear_nothing(desk: Desk, folder: Path) -> None:
    for key in (None, "one", "two"):
        for _ in range(20):
            desk.add(concurrency_key=key)
    desk.limit("two", 2)
    with ExitStack() as stack:
        members = crowd(stack, desk.place, folder, ["writer", "reader"] * 8, SECONDS)
        for member in members:
            assert member.process.wait(SECONDS + 40) == 0, "it saw what can not be, or was refused what it may"
    assert len(confirmed(members, "acted")) == len(confirmed(members, "looked")) == 8
    assert all(count > 0 for _, count in confirmed(members, "acted", "looked"))
    assert_kept(desk, members)
    desk.house.catch_up(ALICE)
    assert_consistent(desk)


def test_whoever_is_killed_in_the_middle_leaves_a_whole_queue_behind(desk: Desk, folder: Path) -> None:
    dice = random.Random(5)  # noqa: S311 - a test's dice
    for _ in range(40):
        desk.add(concurrency_key=dice.choice([None, "one"]))
    everybody: list[Member] = []
    with ExitStack() as stack:
        for _ in range(max(2, round(SECONDS / 2))):
            members = crowd(stack, desk.place, folder, ["writer"] * 4, 60)
            for member in members:
                time.sleep(dice.uniform(0.02, 0.3))
                member.process.kill()
            everybody += members
            for member in members:
                assert member.process.wait(10) == -9
            _gone(desk)
            assert_kept(desk, everybody)
            assert_consistent(desk)
    _finish(desk)


def _gone(desk: Desk) -> None:
    """Wait until the server has undone what the killed ones had begun."""
    others = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'"
        " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    until(lambda: not desk.on_postgres or desk.rows(others) == [])


def _finish(desk: Desk) -> None:
    """Everything can be brought to an end: what the killed ones held comes back, and nothing waits for ever."""
    desk.clock.ms = system_clock() + 3_600_000
    for item, reason in desk.look(lambda queue: queue.lost()):
        desk.rescue(item, reason)
    desk.clock.move(hours=1)
    for item in desk.look(lambda queue: queue.list(Filter(status=ItemStatus.BLOCKED), limit=10_000)):
        desk.replan(item.id)

    def all_done() -> bool:
        while (item := desk.claim()) is not None:
            desk.complete(item)
        counts = desk.counted()
        return counts["PENDING"] == counts["IN_PROGRESS"] == 0

    until(all_done, 20)
