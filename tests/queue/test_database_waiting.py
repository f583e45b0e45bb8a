"""When an item may begin: back-off, snooze, pause, lost holders, and clocks that are set."""

# ruff: noqa: S608 - the words of every statement are the tests' own

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from interlock.engines.reconciler import Machine, Reconciler
from interlock.kernel.errors import Invalid
from interlock.queue.errors import ItemStateConflict, LeaseLost
from interlock.queue.models import Executor, Item, ItemStatus, WorkerProcess
from interlock.queue.options import QueueOptions
from interlock.runs.options import TruthOptions
from tests.conftest import WORKER
from tests.queue.desk import MANUAL, NOON_MS, Desk, refused

NOON = NOON_MS // 1000
ME = WorkerProcess(id="worker-1", host="here", boot_id="b", pid=1, start_time=1)


def promote(desk: Desk) -> int:
    return desk.do(lambda queue: queue.promote(), WORKER)


def lost(desk: Desk, minutes: int | None = None) -> list[tuple[str, str]]:
    found = desk.look(lambda queue: queue.lost(stale_minutes=minutes))
    return [(item.id, reason) for item, reason in found]


# --- back-off ---------------------------------------------------------------------------------------------------------


def test_failing_for_a_while_waits_60_then_180_then_600_seconds_and_ends_at_the_limit(desk: Desk) -> None:
    desk.add(max_attempts=5)
    waited: list[int] = []
    for attempt in range(1, 5):
        item = desk.fail(desk.held(), transient=True, notes=f"try {attempt}")
        assert (item.status, item.attempt_count, item.owner_session) == (ItemStatus.PENDING, attempt, "-")
        assert item.not_before_ms is not None
        waited.append((item.not_before_ms - desk.clock.ms) // 1000)
        assert item.notes.endswith(f"try {attempt} | retry_not_before={item.not_before_ms // 1000}")
        desk.clock.ms = item.not_before_ms - 1
        assert desk.claim() is None
        desk.clock.ms += 1
    assert waited == [60, 180, 600, 600]
    item = desk.fail(desk.held(), transient=True)
    assert (item.status, item.attempt_count, item.last_error) == (ItemStatus.FAILED, 4, "2 of 9")
    returned = [payload["attempt"] for _, payload in desk.told("item.returned")]
    assert (returned, len(desk.told("item.failed"))) == ([1, 2, 3, 4], 1)


def test_three_attempts_are_made_unless_told_otherwise(desk: Desk) -> None:
    desk.add()
    states: list[ItemStatus] = []
    for _ in range(3):
        states.append(desk.fail(desk.held(), transient=True).status)
        desk.clock.move(hours=1)
    assert states == [ItemStatus.PENDING, ItemStatus.PENDING, ItemStatus.FAILED]
    assert desk.claim() is None


def test_an_operator_s_retries_wait_likewise(desk: Desk) -> None:
    desk.add()
    notes: list[str] = []
    for seconds in (60, 180, 600):
        desk.fail(desk.held())
        item = desk.retry("ORCH-001")
        notes.append(f"retry_not_before={desk.clock.ms // 1000 + seconds}")
        assert (item.not_before_ms, item.notes) == (desk.clock.ms + seconds * 1000, " | ".join(notes))
        assert desk.claim() is None
        desk.clock.move(seconds=seconds)


def test_the_waits_are_as_set(desk: Desk) -> None:
    options = QueueOptions(backoff_seconds=(0, 7))
    assert [options.backoff_ms(attempts) for attempts in range(4)] == [0, 7000, 7000, 7000]
    desk.add()
    with desk.house.queue(WORKER) as usual:
        queue = replace(usual, options=options)
        item = queue.claim(Executor.EXTERNAL, "w")
        assert item is not None
        assert queue.fail(item.id, item.fence, reason="x", message="y", transient=True).not_before_ms == NOON_MS
    assert desk.held().id == item.id, "a wait of no time is over at once"


# --- not before an instant --------------------------------------------------------------------------------------------


def test_an_item_added_for_later_begins_when_its_time_has_come(desk: Desk) -> None:
    later = desk.add(priority="P0", not_before_ms=NOON_MS + 1000)
    past = desk.add(not_before_ms=NOON_MS)
    assert past.not_before_ms is None
    assert desk.drained() == [past.id]
    desk.clock.move(seconds=1)
    assert desk.drained() == [later.id], "where no worker runs, the claim itself looks"


def test_what_is_due_goes_by_its_priority_once_a_worker_has_looked(desk: Desk) -> None:
    later = desk.add(priority="P0", not_before_ms=NOON_MS + 1000)
    now = desk.add()
    assert (desk.look(lambda queue: queue.store.due(queue.now())), promote(desk)) == (False, 0)
    desk.clock.move(seconds=1)
    assert desk.look(lambda queue: queue.store.due(queue.now()))
    before = len(desk.told())
    assert (promote(desk), promote(desk)) == (1, 0)
    assert len(desk.told()) == before, "it is no event: nothing was decided"
    assert desk.drained() == [later.id, now.id]


def test_many_that_are_due_begin_in_portions_the_longest_waiting_first(desk: Desk) -> None:
    """One transaction for all of them would hold up everybody who claims."""
    with desk.house.queue(WORKER) as queue:
        for number in range(1_200):
            queue.store.add(replace(MANUAL, not_before_ms=NOON_MS + 2_000 - number))
    desk.clock.move(seconds=2)
    assert (promote(desk), promote(desk), promote(desk)) == (1_000, 200, 0)
    assert desk.rows("SELECT COUNT(*) FROM queue_items WHERE claimable = 1 AND not_before_ms IS NULL") == [(1_200,)]


def test_a_snoozed_item_waits_and_can_be_woken(desk: Desk) -> None:
    item = desk.add()
    snoozed = desk.snooze(item.id, NOON_MS + 60_000, reason="after\nlunch")
    assert (snoozed.status, snoozed.not_before_ms, snoozed.notes) == (
        ItemStatus.PENDING,
        NOON_MS + 60_000,
        "snooze: after lunch",
    )
    assert desk.claim() is None
    assert desk.snooze(item.id, None).not_before_ms is None
    assert desk.snooze(item.id, NOON_MS - 1).not_before_ms is None
    assert desk.held().id == item.id
    assert [payload for _, payload in desk.told("item.snoozed")] == [
        {"not_before_ms": NOON_MS + 60_000, "reason": "after lunch"},
        {"not_before_ms": None, "reason": ""},
        {"not_before_ms": None, "reason": ""},
    ]


def test_only_a_pending_item_is_snoozed_and_only_to_an_instant_of_a_calendar(desk: Desk) -> None:
    item = desk.add()
    assert refused(Invalid, lambda: desk.snooze(item.id, 10**15)) == (
        "the instant until which it waits lies outside of the years 1970 to 9999"
    )
    for status, move in (("IN_PROGRESS", desk.held), ("BLOCKED", lambda: desk.cancel(item.id))):
        move()
        assert refused(ItemStateConflict, lambda: desk.snooze(item.id, None)) == (
            f"only a PENDING item can be snoozed: ORCH-001 ({status})"
        )


def test_an_operator_ends_a_wait_by_replanning_or_cancelling(desk: Desk) -> None:
    item = desk.add(not_before_ms=NOON_MS + 60_000)
    assert desk.replan(item.id).not_before_ms is None
    assert desk.held().id == item.id
    item = desk.add(not_before_ms=NOON_MS + 60_000)
    assert desk.cancel(item.id).not_before_ms is None
    desk.clock.move(hours=1)
    assert (promote(desk), desk.claim()) == (0, None)


# --- clocks that are set ----------------------------------------------------------------------------------------------


def test_a_clock_that_is_set_back_lets_nothing_begin_early_and_nothing_wait_for_ever(desk: Desk) -> None:
    waiting, held = desk.add(not_before_ms=NOON_MS + 60_000), desk.add()
    assert desk.held().id == held.id
    desk.clock.move(hours=-1)
    assert (promote(desk), desk.claim(), lost(desk)) == (0, None, [])
    done = desk.complete(desk.item(held.id))
    assert desk.told("item.completed")[0][1]["duration_ms"] == 0
    assert done.status is ItemStatus.DONE
    assert desk.add().id == "ORCH-003", "an order by number knows no clock"
    assert desk.drained() == ["ORCH-003"]
    desk.clock.move(hours=1, minutes=1)
    assert desk.drained() == [waiting.id]


def test_a_clock_that_was_far_ahead_leaves_nothing_that_an_operator_can_not_open(desk: Desk) -> None:
    desk.clock.move(days=20_000)
    desk.add()
    waiting = desk.retry(desk.fail(desk.held()).id)
    desk.add()
    held = desk.held()
    desk.clock.ms = NOON_MS
    assert (desk.claim(), lost(desk)) == (None, [])
    assert desk.snooze(waiting.id, None).not_before_ms is None
    assert desk.held().id == waiting.id
    desk.replan(held.id)
    assert desk.replan(held.id).status is ItemStatus.PENDING
    assert desk.held().id == held.id


def test_a_worker_rescues_by_silence_and_not_by_the_clock(desk: Desk) -> None:
    desk.clock.move(days=20_000)
    desk.add()
    held = desk.held()
    desk.clock.ms = NOON_MS
    nowhere = Path("/nonexistent")
    looker = Reconciler(
        me=ME, truths=desk.house.truths, actor=WORKER, sight=Machine(nowhere, nowhere), options=TruthOptions()
    )
    for second in range(900):
        looker.look(float(second))
    assert desk.item(held.id).status is ItemStatus.IN_PROGRESS
    looker.look(900.0)
    rescued = desk.item(held.id)
    assert rescued.status is ItemStatus.PENDING
    assert rescued.not_before_ms == NOON_MS + 60_000
    refused(LeaseLost, lambda: desk.complete(held))


# --- lost holders -----------------------------------------------------------------------------------------------------


def test_what_is_lost_is_named_with_its_reason(desk: Desk) -> None:
    """A session has its lease; a worker, which beats all the time, one more; who took no lease is stale in an hour."""
    session = _held_under_lease(desk, Executor.EXTERNAL)
    worker = _held_under_lease(desk, Executor.INTERLOCK)
    desk.add()
    seed = desk.held("old-tool")
    desk.write(f"UPDATE queue_items SET lease_owner = NULL, lease_until_ms = NULL WHERE id = '{seed.id}'")
    found: dict[int, list[str]] = {}
    for second in (39, 40, 899, 900, 3599, 3600):
        desk.clock.ms = NOON_MS + second * 1000
        found[second] = sorted(item_id for item_id, _ in lost(desk))
    assert list(found.values()) == [
        [],
        [worker.id],
        [worker.id],
        [session.id, worker.id],
        [session.id, worker.id],
        [session.id, worker.id, seed.id],
    ]
    assert dict(lost(desk))[seed.id] == "stale"
    desk.clock.ms = NOON_MS + 300_000
    assert (seed.id, "stale") in lost(desk, minutes=5)


def _held_under_lease(desk: Desk, executor: Executor) -> Item:
    desk.add(executor=executor)
    return desk.held(executor=executor)


def test_a_lost_worker_s_item_goes_on_at_once_and_a_lost_session_s_after_the_back_off(desk: Desk) -> None:
    for executor, wait in ((Executor.INTERLOCK, None), (Executor.EXTERNAL, 60)):
        seen = _held_under_lease(desk, executor)
        back = desk.rescue(seen)
        assert back is not None
        assert (back.status, back.attempt_count, back.fence, back.owner_session) == (ItemStatus.PENDING, 1, 2, "-")
        assert back.not_before_ms == (None if wait is None else NOON_MS + wait * 1000)
        assert back.notes == ("" if wait is None else f"retry_not_before={NOON + wait}")
        refused(LeaseLost, lambda seen=seen: desk.complete(seen))
        assert (desk.claim(executor=executor) is None) == (wait is not None)
    assert desk.told("item.rescued")[1][1] == {
        "fence": 2,
        "attempt": 1,
        "reason": "lease_expired",
        "lost_owner": "w",
        "not_before_ms": NOON_MS + 60_000,
    }


def test_a_lost_item_fails_at_its_attempt_limit_and_says_why(desk: Desk) -> None:
    desk.add()
    found: Sequence[Item | None] = []
    for _ in range(3):
        found = [*found, desk.rescue(desk.held())]
        desk.clock.move(hours=1)
    assert [item and item.status for item in found] == [ItemStatus.PENDING, ItemStatus.PENDING, ItemStatus.FAILED]
    item = desk.item("ORCH-001")
    assert (item.attempt_count, item.last_error) == (2, "its worker was lost (lease_expired) in attempt 3 of 3")
    assert desk.told("item.failed")[0][1]["reason"] == "attempts_exhausted"


def test_a_sign_of_life_or_another_hand_stands_against_a_rescue(desk: Desk) -> None:
    desk.add()
    seen = desk.held()
    desk.do(lambda queue: queue.heartbeat(seen.id, seen.fence))
    assert desk.rescue(seen) is None
    seen = desk.item(seen.id)
    desk.release(seen)
    assert desk.rescue(seen) is None
    assert desk.item(seen.id).attempt_count == 0


# --- pause ------------------------------------------------------------------------------------------------------------


def test_a_paused_queue_lets_nothing_begin_and_what_is_held_go_on(desk: Desk) -> None:
    for executor in (Executor.EXTERNAL, Executor.EXTERNAL, Executor.INTERLOCK):
        desk.add(executor=executor)
    held = desk.held()
    pause = desk.do(lambda queue: queue.pause("human:alice", reason="the disk\nis full"))
    assert (pause.paused_by, pause.reason, pause.since_ms, pause.until_ms) == (
        "human:alice",
        "the disk is full",
        NOON_MS,
        None,
    )
    assert desk.look(lambda queue: queue.paused()) == pause
    desk.clock.move(days=400)
    assert (desk.claim(), desk.claim(executor=Executor.INTERLOCK)) == (None, None)
    desk.do(lambda queue: queue.heartbeat(held.id, held.fence))
    assert desk.complete(held).status is ItemStatus.DONE
    assert (desk.do(lambda queue: queue.resume()), desk.do(lambda queue: queue.resume())) == (True, False)
    assert desk.held() is not None
    assert desk.told("queue.paused", "queue.resumed") == [
        ("queue.paused", {"reason": "the disk is full", "until_ms": None}),
        ("queue.resumed", {}),
    ]


def test_a_pause_ends_by_itself_at_its_instant_and_can_be_set_anew(desk: Desk) -> None:
    item = desk.add()
    desk.do(lambda queue: queue.pause("human:alice", reason="night"))
    desk.do(lambda queue: queue.pause("human:bob", reason="lunch", until_ms=NOON_MS + 60_000))
    desk.clock.move(seconds=59.999)
    assert desk.claim() is None
    pause = desk.look(lambda queue: queue.paused())
    assert pause is not None
    assert (pause.paused_by, pause.reason) == ("human:bob", "lunch")
    desk.clock.move(seconds=0.001)
    assert desk.look(lambda queue: queue.paused()) is None
    assert desk.held().id == item.id
    assert desk.do(lambda queue: queue.resume()) is False


def test_a_pause_without_reason_or_sense_is_refused(desk: Desk) -> None:
    for reason, until_ms, words in (
        (" \n", None, "the reason is blank"),
        ("lunch", NOON_MS, "the pause would have ended already"),
        ("lunch", 10**15, "the pause's end lies outside of the years 1970 to 9999"),
    ):
        told = refused(
            Invalid, lambda a=reason, b=until_ms: desk.do(lambda queue: queue.pause("a", reason=a, until_ms=b))
        )
        assert told == words
    assert desk.look(lambda queue: queue.paused()) is None
