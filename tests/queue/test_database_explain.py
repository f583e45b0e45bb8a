"""Why an item waits, or why it runs: in every state the rule that holds it is named first."""

from __future__ import annotations

from interlock.queue.models import Executor, Item
from interlock.storage.queue import StoredItems
from tests.queue.desk import MANUAL, NOON_MS, Desk


def texts(desk: Desk, item: Item) -> list[tuple[str, str]]:
    return [(each.code, each.text) for each in desk.look(lambda queue: queue.explain(item.id))]


def test_the_next_item_waits_for_whoever_may_take_it(desk: Desk) -> None:
    assert texts(desk, desk.add()) == [("next", "it is the next; it waits for a session's `queue claim`")]
    assert texts(desk, desk.add(executor=Executor.INTERLOCK)) == [
        ("next", "it is the next; it waits for an Interlock worker")
    ]


def test_an_item_behind_others_says_how_many_go_first(desk: Desk) -> None:
    old, high = desk.add(), desk.add(priority="P0")
    item, low = desk.add(), desk.add(priority="P2")
    desk.add(executor=Executor.INTERLOCK, priority="P0")
    line = "items go first (P0 before P1 before P2, then the older); it waits for a session's `queue claim`"
    assert texts(desk, item) == [("behind_others", f"2 {line}")]
    assert texts(desk, low) == [("behind_others", f"3 {line}")]
    assert (desk.codes(high.id), desk.codes(old.id)) == (["next"], ["behind_others"])


def test_so_many_that_nobody_would_count_them_are_not_counted(desk: Desk) -> None:
    with desk.house.database.light() as transaction:
        for _ in range(1_005):
            StoredItems(transaction).add(MANUAL)
    ((code, text),) = texts(desk, desk.add(priority="P2"))
    assert (code, text[:30]) == ("behind_others", "at least 1000 items go first (")


def test_a_pause_is_named_before_everything_that_it_holds_up(desk: Desk) -> None:
    item, later = desk.add(), desk.add(not_before_ms=NOON_MS + 1)
    desk.do(lambda queue: queue.pause("human:alice", reason="the disk is full"))
    assert texts(desk, item)[0] == (
        "queue_paused",
        "human:alice paused the queue until somebody resumes it: the disk is full",
    )
    assert (desk.codes(item.id), desk.codes(later.id)) == (["queue_paused", "next"], ["queue_paused", "not_before"])
    desk.do(lambda queue: queue.pause("human:alice", reason="lunch", until_ms=NOON_MS + 1000))
    assert texts(desk, item)[0] == (
        "queue_paused",
        "human:alice paused the queue until 2026-11-21T12:00:01.000Z: lunch",
    )
    desk.clock.move(seconds=1)
    assert desk.codes(item.id) == ["next"]


def test_an_instant_that_has_not_come_and_one_that_has_are_told_apart(desk: Desk) -> None:
    item = desk.add(not_before_ms=NOON_MS + 1000)
    assert texts(desk, item) == [
        ("not_before", "it was retried or snoozed, and is not to begin before 2026-11-21T12:00:01.000Z")
    ]
    desk.clock.move(seconds=1)
    assert texts(desk, item) == [
        ("promotion_due", "its time came at 2026-11-21T12:00:01.000Z; the next look of a worker lets it begin")
    ]


def test_a_limit_is_named_with_who_uses_it(desk: Desk) -> None:
    for _ in range(2):
        desk.add(concurrency_key="repo-x")
    held = desk.held("ada")
    rule = "of the items with the key 'repo-x', 1 may be under way at the same time; there are: "
    assert texts(desk, desk.item("ORCH-002")) == [("concurrency_limit", f"{rule}{held.id} (ada)")]
    desk.release(held)
    assert desk.codes(held.id) == ["next"]
    assert texts(desk, desk.item("ORCH-002"))[0][1].endswith("there is none; others of them go first")
    desk.limit("repo-x", 0)
    assert texts(desk, held) == [
        ("concurrency_limit", "of the items with the key 'repo-x', 0 may be under way at the same time; there is none")
    ]


def test_what_is_under_way_says_whose_it_is_and_how_long_the_lease_lasts(desk: Desk) -> None:
    desk.add()
    item = desk.held("ada")
    desk.do(lambda queue: queue.heartbeat(item.id, item.fence))
    claimed = "ada claimed it at 2026-11-21T12:00:00.000Z as the first that was claimable (fence 1)"
    assert texts(desk, item) == [
        ("claimed", claimed),
        ("lease_live", "the lease lasts until 2026-11-21T12:15:00.000Z; 1 heartbeats so far"),
    ]
    desk.clock.move(minutes=15)
    assert texts(desk, item) == [
        ("claimed", claimed),
        (
            "lease_expired",
            "the lease ended at 2026-11-21T12:15:00.000Z; the rescuer, or `queue retry`, makes it PENDING",
        ),
    ]
    desk.write("UPDATE queue_items SET lease_owner = NULL, lease_until_ms = NULL, started_ms = NULL")
    assert [code for code, _ in texts(desk, item)] == ["claimed", "no_lease"]


def test_what_is_blocked_says_by_what_word(desk: Desk) -> None:
    item = desk.add(notes="first")
    desk.cancel(item.id, reason="wrong branch")
    assert texts(desk, item) == [("blocked", "cancelled_by_operator: wrong branch; `queue replan` makes it PENDING")]
    desk.write("UPDATE queue_items SET notes = ''")
    assert texts(desk, item) == [("blocked", "somebody blocked it; `queue replan` makes it PENDING")]


def test_what_failed_says_why_and_whether_it_can_be_retried(desk: Desk) -> None:
    desk.add(max_attempts=1)
    item = desk.fail(desk.held())
    assert texts(desk, item) == [("failed", "2 of 9")]
    desk.retry(item.id)
    desk.clock.move(hours=1)
    desk.fail(desk.held())
    assert texts(desk, item) == [
        ("attempts_exhausted", "1 of 1 retries are used up; `queue replan` opens it again"),
        ("failed", "2 of 9"),
    ]


def test_what_is_done_says_by_whom(desk: Desk) -> None:
    desk.add()
    item = desk.complete(desk.held("ada"))
    assert texts(desk, item) == [("done", "completed by ada; only `queue replan` opens it again")]
