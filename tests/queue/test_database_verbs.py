"""Every verb on a database: what it changes, what it tells, and what it refuses in which words."""

# ruff: noqa: S608 - the words of every statement are the tests' own

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pytest

from interlock.kernel.errors import Invalid
from interlock.queue.errors import (
    AttemptsExhausted,
    IdempotencyKeyReused,
    ItemNotFound,
    ItemStateConflict,
    LeaseLost,
    NotesBlank,
)
from interlock.queue.models import Executor, Filter, Item, ItemStatus
from interlock.queue.service import Queue
from tests.conftest import until
from tests.queue.desk import NOON_MS, Desk, Wanted, at_once, ids, refused

FAR_MS = 253_402_300_800_000
"""The year 10000."""


def _begun(desk: Desk) -> Item:
    desk.add()
    return desk.held()


STATES: Mapping[str, Callable[[Desk], Item]] = {
    "PENDING": Desk.add,
    "IN_PROGRESS": _begun,
    "BLOCKED": lambda desk: desk.cancel(desk.add().id),
    "FAILED": lambda desk: desk.fail(_begun(desk)),
    "DONE": lambda desk: desk.complete(_begun(desk)),
}


# --- adding -----------------------------------------------------------------------------------------------------------


def test_an_added_item_is_pending_under_the_next_number(desk: Desk) -> None:
    first, second = desk.add(notes="from\nthe phone", due_at_kst="2026-12-01 09:00"), desk.add(priority="P0")
    assert ids([first, second]) == ["ORCH-001", "ORCH-002"]
    assert (first.status, first.owner_session, first.started_at_kst, first.attempt_count, first.fence) == (
        ItemStatus.PENDING,
        "-",
        "-",
        0,
        0,
    )
    assert (first.notes, first.due_at_kst, first.created_ms) == ("from the phone", "2026-12-01 09:00", NOON_MS)
    assert desk.told() == [
        ("item.added", {"item_kind": "manual", "executor": "external", "priority": priority, "run_id": None})
        for priority in ("P1", "P0")
    ]


UNFIT: Sequence[tuple[Wanted, str]] = (
    ({"priority": "P3"}, "the priority is one of P0, P1, P2, not 'P3'"),
    ({"task": " \n"}, "the task is blank"),
    ({"success_criteria": ""}, "the success criteria is blank"),
    ({"task": "x" * 65537}, "the task is larger than 65536 bytes"),
    ({"task": "a\0b"}, "the task holds a character that can not be stored (NUL, or half of a surrogate pair)"),
    ({"notes": "\ud800"}, "the notes holds a character that can not be stored (NUL, or half of a surrogate pair)"),
    ({"due_at_kst": "tomorrow"}, "the due time is - or of the form 2026-11-21 17:00 (UTC+9), not 'tomorrow'"),
    ({"idempotency_key": "a|b"}, "'a|b' is no idempotency key: 1 to 128 printable characters, no |, no space around"),
    ({"concurrency_key": ""}, "'' is no concurrency key: 1 to 128 printable characters, no |, no space around"),
    ({"not_before_ms": FAR_MS}, "the instant before which it may not begin lies outside of the years 1970 to 9999"),
    ({"max_attempts": -1}, "an item is tried from 0 to 1000 times, not -1"),
)


def test_an_item_that_can_not_be_kept_is_refused_and_nothing_is_added(desk: Desk) -> None:
    for wanted, words in UNFIT:
        assert refused(Invalid, lambda wanted=wanted: desk.add(**wanted)) == words
    assert desk.rows("SELECT COUNT(*) FROM queue_items") == [(0,)]
    assert desk.told() == []


def test_the_same_idempotency_key_is_the_same_item_whatever_became_of_it(desk: Desk) -> None:
    item = desk.add(idempotency_key="mail-7")
    desk.complete(desk.held())
    again = desk.add(idempotency_key="mail-7", priority="P0")
    assert (again.id, again.status, again.priority) == (item.id, ItemStatus.DONE, "P1")
    assert refused(IdempotencyKeyReused, lambda: desk.add(idempotency_key="mail-7", task="another")) == (
        "the idempotency key belongs to ORCH-001, which is another task"
    )
    assert len(desk.told("item.added")) == 1


def test_eight_at_once_with_one_idempotency_key_get_one_item(desk: Desk) -> None:
    for round_ in range(5):
        found = at_once([partial(desk.add, idempotency_key=f"k{round_}")] * 8)
        assert len(set(ids(found))) == 1
    assert desk.rows("SELECT COUNT(*) FROM queue_items") == [(5,)]
    assert len(desk.told("item.added")) == 5


def test_a_number_that_was_brought_in_from_outside_is_never_given_again(desk: Desk) -> None:
    """Older tools write rows of their own, and know no counter."""
    _bring_in(desk, "ORCH-001", "ORCH-002", "ORCH-004")
    added = ids(at_once([partial(desk.add, idempotency_key=f"k{number}") for number in range(3)]))
    assert sorted(added) == ["ORCH-003", "ORCH-005", "ORCH-006"]
    assert [desk.add(idempotency_key=f"k{number}").id for number in range(3)] == added


def _bring_in(desk: Desk, *names: str) -> None:
    for name in names:
        desk.write(
            "INSERT INTO queue_items (id, status, priority, task, success_criteria, created_at, updated_at)"
            f" VALUES ('{name}', 'BLOCKED', 'P1', 't', 's', '2026-01-01 00:00', '2026-01-01 00:00')"
        )


# --- finding ----------------------------------------------------------------------------------------------------------


def test_an_id_that_is_not_there_is_not_found(desk: Desk) -> None:
    desk.add()
    verbs: Sequence[Callable[[Queue, str], object]] = (
        *(Queue.get, Queue.explain, Queue.cancel, Queue.retry),
        lambda queue, name: queue.replan(name, "x"),
        lambda queue, name: queue.snooze(name, None),
        lambda queue, name: queue.reprioritise(name, "P0"),
        lambda queue, name: queue.complete(name, 1),
    )
    for name in ("ORCH-404", "orch-001", "", " ORCH-001", "a\0b", "\ud800", "'; DROP TABLE x", "%"):
        for verb in verbs:
            told = refused(ItemNotFound, lambda verb=verb, name=name: desk.do(lambda queue: verb(queue, name)))
            assert told == f"Row id not found: {name}"


def test_a_filter_names_what_is_meant(desk: Desk) -> None:
    one = desk.add(task="Mend the ROOF", priority="P2")
    two = desk.add(task="100%_done", notes="roof", priority="P0")
    desk.clock.move(hours=1)
    three = desk.add(success_criteria="지붕이 고쳐짐", priority="P0")
    held = desk.held("ada")

    def found(**wanted: object) -> list[str]:
        return ids(desk.look(lambda queue: queue.list(Filter(**wanted))))  # pyright: ignore[reportArgumentType] - by name, as the table has them

    assert found() == [two.id, three.id, one.id]
    assert found(text="Roof") == [two.id, one.id]
    assert found(text="%_") == [two.id]
    assert found(text="고쳐") == [three.id]
    assert found(text="orch-00") == [two.id, three.id, one.id]
    assert found(priority="P0", status=ItemStatus.PENDING) == [three.id]
    assert found(owner="ada") == found(status=ItemStatus.IN_PROGRESS) == [held.id]
    assert found(created_before_ms=NOON_MS + 1) == [two.id, one.id]
    assert found(status=ItemStatus.DONE) == []


# --- working ----------------------------------------------------------------------------------------------------------


def test_a_claim_takes_a_lease_and_tells_whose_it_is(desk: Desk) -> None:
    desk.add()
    item = desk.held("세션-1")
    assert (item.status, item.owner_session, item.fence, item.beat) == (ItemStatus.IN_PROGRESS, "세션-1", 1, 0)
    assert (item.started_at_kst, item.started_ms) == ("2026-11-21 21:00", NOON_MS)
    assert (item.lease_ms, item.lease_until_ms) == (900_000, NOON_MS + 900_000)
    assert desk.told("item.claimed")[0][1] == {
        "owner_session": "세션-1",
        "fence": 1,
        "attempt": 1,
        "node_id": None,
    }
    assert desk.rows("SELECT lease_owner, lease_expires_at FROM queue_items") == [("세션-1", NOON_MS // 1000 + 900)]


def test_an_interlock_worker_and_a_session_get_only_their_own(desk: Desk) -> None:
    theirs, ours = desk.add(executor=Executor.EXTERNAL, priority="P2"), desk.add(executor=Executor.INTERLOCK)
    assert desk.drained(Executor.INTERLOCK) == [ours.id]
    assert desk.drained(Executor.EXTERNAL) == [theirs.id]
    assert desk.item(ours.id).lease_ms == 20_000


NOBODY: Sequence[tuple[str, int | None, str]] = (
    ("-", None, "'-' is no owner session: 1 to 128 printable characters, no |, no space around"),
    ("a\nb", None, r"'a\nb' is no owner session: 1 to 128 printable characters, no |, no space around"),
    ("w", 0, "a lease lasts from 1 to 604800 seconds, not 0"),
    ("w", -5, "a lease lasts from 1 to 604800 seconds, not -5"),
    ("w", 10**12, "a lease lasts from 1 to 604800 seconds, not 1000000000000"),
)


def test_a_claim_by_nobody_or_for_no_time_is_refused(desk: Desk) -> None:
    item = desk.add()

    def claim(owner: str, lease: int | None) -> Item | None:
        return desk.do(lambda queue: queue.claim(Executor.EXTERNAL, owner, lease_seconds=lease))

    for owner, lease, words in NOBODY:
        assert refused(Invalid, lambda owner=owner, lease=lease: claim(owner, lease)) == words
    assert desk.item(item.id) == item


def test_a_heartbeat_renews_the_lease_of_its_holder_alone(desk: Desk) -> None:
    desk.add()
    item = desk.held()
    desk.clock.move(minutes=10)
    renewed = desk.do(lambda queue: queue.heartbeat(item.id, item.fence))
    assert (renewed.beat, renewed.lease_until_ms) == (1, NOON_MS + 1_500_000)
    assert refused(LeaseLost, lambda: desk.do(lambda queue: queue.heartbeat(item.id, item.fence - 1))) == (
        "ORCH-001 is not held under fence 0 any more"
    )
    assert len(desk.told()) == 2, "a heartbeat is no event"


def test_a_fence_that_was_never_given_holds_nothing(desk: Desk) -> None:
    item = _begun(desk)
    verbs: list[Callable[[Queue, int], object]] = [
        lambda queue, fence: queue.complete(item.id, fence),
        lambda queue, fence: queue.fail(item.id, fence, reason="x", message="y", transient=True),
        lambda queue, fence: queue.release(item.id, fence),
        lambda queue, fence: queue.hold(item.id, fence),
        lambda queue, fence: queue.heartbeat(item.id, fence),
    ]
    for fence in (-1, 2, 2**53, 2**70):
        for verb in verbs:
            told = refused(LeaseLost, lambda verb=verb, fence=fence: desk.do(lambda queue: verb(queue, fence)))
            assert told == f"ORCH-001 is not held under fence {fence} any more"
    assert desk.item(item.id) == item


def test_completing_ends_the_item_and_tells_how_long_it_took(desk: Desk) -> None:
    desk.add(notes="first")
    item = desk.held()
    desk.clock.move(seconds=90)
    done = desk.complete(item, notes=" all\r\nof it ")
    assert (done.status, done.notes, done.owner_session, done.last_error) == (
        ItemStatus.DONE,
        "first | all of it",
        "w",
        "",
    )
    assert (done.lease_until_ms, done.started_ms) == (None, NOON_MS)
    assert desk.told("item.completed")[0][1] == {"owner_session": "w", "fence": 1, "duration_ms": 90_000}
    assert desk.rows("SELECT lease_owner, lease_expires_at FROM queue_items") == [(None, None)]
    assert refused(LeaseLost, lambda: desk.complete(item)) == "ORCH-001 is not held under fence 1 any more"


def test_a_permanent_failure_ends_the_item_whatever_attempts_are_left(desk: Desk) -> None:
    item = desk.fail(_begun(desk), notes="see the log")
    assert (item.status, item.attempt_count, item.last_error, item.notes) == (
        ItemStatus.FAILED,
        0,
        "2 of 9",
        "see the log",
    )
    assert desk.told("item.failed")[0][1] == {"fence": 1, "reason": "tests_failed", "duration_ms": 0}


def test_what_a_program_says_of_its_failure_is_kept_as_one_line_that_can_be_stored(desk: Desk) -> None:
    item = _begun(desk)
    message = "boom\0\n  at x\u2028\ud800 " + "y" * 5000
    failed = desk.do(lambda queue: queue.fail(item.id, item.fence, reason="crashed", message=message))
    assert failed.last_error.startswith("boom\ufffd   at x \ufffd yyy")
    assert (len(failed.last_error), failed.last_error[-2:]) == (2000, "y…")


def test_giving_back_uses_no_attempt_up(desk: Desk) -> None:
    item = _begun(desk)
    back = desk.release(item)
    assert (back.status, back.owner_session, back.started_at_kst, back.attempt_count, back.fence) == (
        ItemStatus.PENDING,
        "-",
        "-",
        0,
        2,
    )
    assert desk.told("item.released")[0][1] == {"owner_session": "w", "fence": 2}
    assert desk.held().id == item.id


def test_the_fence_rises_at_every_change_of_hands_and_shuts_the_old_holder_out(desk: Desk) -> None:
    desk.add(max_attempts=9)
    name = "ORCH-001"
    fences = [0]

    def moved(item: Item | None) -> Item:
        assert item is not None
        assert item.id == name
        fences.append(item.fence)
        return item

    held = moved(desk.held())
    moved(desk.release(held))
    again = moved(desk.held())
    moved(desk.rescue(again))
    desk.clock.move(hours=1)
    moved(desk.cancel(moved(desk.held()).id))
    moved(desk.replan(name))
    moved(desk.replan(moved(desk.held()).id))
    moved(desk.replan(name))
    moved(desk.fail(moved(desk.held()), transient=True))
    desk.clock.move(hours=1)
    desk.fail(moved(desk.held()))
    moved(desk.retry(name))
    assert fences == list(range(len(fences)))
    for fence in fences[:-1]:
        refused(LeaseLost, lambda fence=fence: desk.do(lambda queue: queue.complete(name, fence)))
        refused(LeaseLost, lambda fence=fence: desk.do(lambda queue: queue.hold(name, fence)))


# --- operators --------------------------------------------------------------------------------------------------------


def test_cancelling_blocks_the_item_appends_its_reason_and_keeps_the_error(desk: Desk) -> None:
    desk.add(notes="first", max_attempts=9)
    desk.fail(desk.held(), transient=True)
    desk.clock.move(hours=1)
    held = desk.held()
    item = desk.cancel(held.id, reason="wrong\nbranch")
    marker = f"retry_not_before={NOON_MS // 1000 + 60}"
    assert (item.status, item.notes) == (
        ItemStatus.BLOCKED,
        f"first | {marker} | cancelled_by_operator: wrong branch",
    )
    assert (item.last_error, item.lease_until_ms, item.owner_session) == ("2 of 9", None, "w")
    assert desk.told("item.cancelled")[0][1] == {
        "previous_status": "IN_PROGRESS",
        "fence": item.fence,
        "reason": "wrong branch",
    }
    refused(LeaseLost, lambda: desk.complete(held))


def test_cancelling_twice_appends_the_note_twice(desk: Desk) -> None:
    item = desk.add()
    desk.cancel(item.id)
    assert desk.cancel(item.id).notes == "cancelled_by_operator | cancelled_by_operator"


def test_an_item_that_has_ended_is_not_cancelled(desk: Desk) -> None:
    for status in ("DONE", "FAILED"):
        item = STATES[status](desk)
        told = refused(ItemStateConflict, lambda item=item: desk.cancel(item.id))
        assert told == f"cannot cancel terminal item: {item.id} ({status})"
        assert desk.item(item.id) == item


@pytest.mark.parametrize("status", STATES)
def test_replanning_blocks_what_is_under_way_and_opens_everything_else_again(desk: Desk, status: str) -> None:
    before = STATES[status](desk)
    item = desk.replan(before.id, " needs\nthe schema ")
    blocked = status == "IN_PROGRESS"
    assert item.status is (ItemStatus.BLOCKED if blocked else ItemStatus.PENDING)
    assert item.notes == (before.notes + " | " if before.notes else "") + "replan:needs the schema"
    assert item.owner_session == ("w" if blocked else "-")
    assert (item.started_at_kst == "-", item.lease_until_ms) == (not blocked, None)
    assert (item.attempt_count, item.last_error) == (before.attempt_count, before.last_error)
    assert (desk.claim() is None) == blocked
    assert desk.told("item.replanned")[0][1] == {
        "previous_status": status,
        "status": item.status.value,
        "fence": item.fence,
        "notes": "needs the schema",
    }


def test_replanning_without_notes_is_refused(desk: Desk) -> None:
    item = desk.add()
    for notes in ("", "  \n\u2028"):
        assert refused(NotesBlank, lambda notes=notes: desk.replan(item.id, notes)) == "the notes are blank"
    assert (
        refused(Invalid, lambda: desk.replan(item.id, "x" * 2001)) == "the notes has 2001 characters; at most 2000 fit"
    )
    assert desk.item(item.id) == item


def test_only_what_failed_or_timed_out_is_retried(desk: Desk) -> None:
    for status in ("DONE", "BLOCKED", "IN_PROGRESS", "PENDING"):
        item = STATES[status](desk)
        told = refused(ItemStateConflict, lambda item=item: desk.retry(item.id))
        assert told == f"retry allowed only for FAILED or timed-out IN_PROGRESS in db mode: {item.id} ({status})"
        assert desk.item(item.id) == item


def test_a_retry_counts_waits_and_starts_from_the_beginning(desk: Desk) -> None:
    failed = STATES["FAILED"](desk)
    item = desk.retry(failed.id, reason="flaky\nnetwork")
    marker = f"retry_not_before={NOON_MS // 1000 + 60}"
    assert (item.status, item.attempt_count, item.not_before_ms) == (ItemStatus.PENDING, 1, NOON_MS + 60_000)
    assert item.notes == f"retry: flaky network | {marker}"
    assert (item.owner_session, item.started_at_kst, item.last_error) == ("-", "-", "2 of 9")
    assert desk.told("item.retried")[0][1] == {
        "attempt": 2,
        "not_before_ms": NOON_MS + 60_000,
        "reason": "flaky network",
        "previous_status": "FAILED",
    }


def test_a_lease_that_ran_out_can_be_retried_and_the_holder_is_shut_out(desk: Desk) -> None:
    held = STATES["IN_PROGRESS"](desk)
    desk.clock.move(seconds=899)
    refused(ItemStateConflict, lambda: desk.retry(held.id))
    desk.clock.move(seconds=1)
    assert desk.retry(held.id).attempt_count == 1
    refused(LeaseLost, lambda: desk.complete(held))


def test_a_sign_of_life_stands_against_the_retry_of_what_seemed_timed_out(desk: Desk) -> None:
    held = STATES["IN_PROGRESS"](desk)
    desk.clock.move(hours=1)
    seen = desk.item(held.id)
    desk.do(lambda queue: queue.heartbeat(held.id, held.fence))
    told = refused(ItemStateConflict, lambda: desk.do(lambda queue: queue.retry(seen.id, seen=seen)))
    assert told == "ORCH-001 changed while this was done"
    assert desk.complete(held).status is ItemStatus.DONE


def test_the_attempt_limit_is_told_before_anything_else(desk: Desk) -> None:
    desk.add(max_attempts=2)
    for _ in range(2):
        desk.fail(desk.held())
        desk.retry("ORCH-001")
        desk.clock.move(hours=1)
    for _ in range(2):
        assert refused(AttemptsExhausted, lambda: desk.retry("ORCH-001")) == "max attempts reached: ORCH-001 (2/2)"
        desk.claim()
    assert refused(AttemptsExhausted, lambda: desk.retry(desk.add(max_attempts=0).id)) == (
        "max attempts reached: ORCH-002 (0/0)"
    )


def test_another_priority_puts_an_item_in_another_place_in_the_line(desk: Desk) -> None:
    items = [desk.add(priority=priority) for priority in ("P0", "P1", "P2")]
    changed = desk.rank(items[2].id, "P0", reason="the customer\ncalled")
    assert (changed.notes, changed.fence) == ("P2->P0: the customer called", 0)
    assert desk.rank(items[0].id, "P0") == items[0]
    assert desk.told("item.reprioritised") == [
        ("item.reprioritised", {"previous_priority": "P2", "priority": "P0", "reason": "the customer called"})
    ]
    assert refused(Invalid, lambda: desk.rank(items[0].id, "p0")) == "the priority is one of P0, P1, P2, not 'p0'"
    assert desk.drained() == [items[0].id, items[2].id, items[1].id]
    done = desk.complete(desk.item(items[0].id))
    assert refused(ItemStateConflict, lambda: desk.rank(done.id, "P2")) == (
        "cannot reprioritise a finished item: ORCH-001 (DONE)"
    )


def test_an_operator_s_verb_on_what_moved_meanwhile_is_refused(desk: Desk) -> None:
    seen = desk.add()
    desk.held()
    for verb in (
        lambda: desk.do(lambda queue: queue.cancel(seen.id, seen=seen)),
        lambda: desk.do(lambda queue: queue.replan(seen.id, "x", seen=seen)),
        lambda: desk.do(lambda queue: queue.reprioritise(seen.id, "P0", seen=seen)),
    ):
        assert refused(ItemStateConflict, verb) == "ORCH-001 changed while this was done"
    failed = desk.fail(desk.item(seen.id))
    desk.retry(seen.id)
    assert refused(ItemStateConflict, lambda: desk.do(lambda queue: queue.retry(seen.id, seen=failed))) == (
        "ORCH-001 changed while this was done"
    )


def test_a_priority_that_somebody_else_changed_meanwhile_is_left_alone(desk: Desk) -> None:
    seen = desk.add()
    desk.rank(seen.id, "P2")
    refused(ItemStateConflict, lambda: desk.do(lambda queue: queue.reprioritise(seen.id, "P0", seen=seen)))
    assert desk.item(seen.id).priority == "P2"


def test_of_two_operators_at_once_each_appends_his_note(desk: Desk) -> None:
    item = desk.add()
    for number in range(20):
        at_once([partial(_note, desk, item.id, f"{who}{number}") for who in "ab"])
    words = desk.item(item.id).notes.split(" | ")
    assert sorted(words) == sorted(f"replan:{who}{number}" for who in "ab" for number in range(20))


def _note(desk: Desk, item_id: str, notes: str) -> None:
    def noted() -> bool:
        try:
            desk.replan(item_id, notes)
        except ItemStateConflict:
            return False
        return True

    until(noted)
