"""A run and its item move together, by whichever of the queue's verbs; and a move that one refuses does not happen."""

# ruff: noqa: S608 - the words of every statement are the tests' own

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from interlock.app import Interlock
from interlock.approval.models import Work
from interlock.queue import bulk, exchange
from interlock.queue.errors import AttemptsExhausted, ItemStateConflict, LeaseLost
from interlock.queue.models import Executor, Filter, ItemKind, ItemStatus, NewItem
from interlock.runs.models import Run, RunStatus
from tests.conftest import ALICE, WORKER
from tests.queue.desk import Desk, refused


def made(desk: Desk) -> Run:
    """Make a run that waits for a worker."""
    draft = desk.house.approval.create(ALICE, "Do it.", work=Work(command=("true",)))
    return desk.house.runs.create(ALICE, desk.house.approval.approve(ALICE, draft.id).id)


def begun(desk: Desk) -> Run:
    run = made(desk)
    assert desk.held(executor=Executor.INTERLOCK).run_id == run.id
    return run


def failed(desk: Desk) -> Run:
    run = begun(desk)
    desk.fail(desk.item(run.item_id))
    return run


def done(desk: Desk) -> Run:
    run = begun(desk)
    desk.complete(desk.item(run.item_id))
    return run


def cancelled(desk: Desk) -> Run:
    run = made(desk)
    desk.cancel(run.item_id)
    return run


RUNS: Mapping[str, Callable[[Desk], Run]] = {
    "error": failed,
    "done": done,
    "cancelled": cancelled,
    "running": begun,
    "pending": made,
}
TABLE = {"pending": "PENDING", "running": "IN_PROGRESS", "error": "FAILED", "done": "DONE", "cancelled": "BLOCKED"}


def both(desk: Desk, run: Run) -> tuple[str, str]:
    return desk.house.runs.get(run.id).status.value, desk.item(run.item_id).status.value


def timed_out(desk: Desk) -> Run:
    run = begun(desk)
    desk.clock.move(seconds=20)
    return run


def test_a_run_and_its_item_stand_alike(desk: Desk) -> None:
    for status, make in RUNS.items():
        assert both(desk, make(desk)) == (status, TABLE[status])


def test_cancelling_the_item_of_a_live_run_cancels_the_run(desk: Desk) -> None:
    for make in (made, begun):
        run = make(desk)
        held = desk.item(run.item_id)
        desk.cancel(run.item_id, reason="not needed")
        assert both(desk, run) == ("cancelled", "BLOCKED")
        now = desk.house.runs.get(run.id)
        assert (now.reason, now.message) == ("cancelled_by_operator", "not needed")
        refused(LeaseLost, lambda held=held: desk.complete(held))
    assert desk.claim(executor=Executor.INTERLOCK) is None
    assert [payload["previous_status"] for _, payload in desk.told("run.cancelled")] == ["pending", "running"]


def test_cancelling_what_has_ended_is_refused_for_both(desk: Desk) -> None:
    for make in (failed, done):
        run = make(desk)
        before, item, log = both(desk, run), desk.item(run.item_id), len(desk.told())
        refused(ItemStateConflict, lambda run=run: desk.cancel(run.item_id))
        assert (both(desk, run), desk.item(run.item_id), len(desk.told())) == (before, item, log)


def test_cancelling_the_item_of_a_cancelled_run_again_appends_the_note_and_leaves_the_run(desk: Desk) -> None:
    run = cancelled(desk)
    before = desk.house.runs.get(run.id)
    assert desk.cancel(run.item_id, reason="twice").notes == "cancelled_by_operator | cancelled_by_operator: twice"
    assert desk.house.runs.get(run.id) == before


def test_a_replanned_item_waits_for_a_new_draft_and_its_run_never_runs_again(desk: Desk) -> None:
    for status, make in RUNS.items():
        run = make(desk)
        item = desk.replan(run.item_id)
        blocked = status == "running"
        kept = status if status in {"done", "cancelled"} else "cancelled"
        assert both(desk, run) == (kept, "BLOCKED" if blocked else "PENDING"), status
        assert item.waits_for == "approval"
        assert desk.claim(executor=Executor.INTERLOCK) is None
        if blocked:
            assert (
                "its run is cancelled: make a new run" in desk.look(lambda queue, i=item: queue.explain(i.id))[0].text
            )
            item = desk.replan(run.item_id)
            assert both(desk, run) == (kept, "PENDING")
        assert desk.codes(item.id) == ["waits_for_approval"]
        told = refused(ItemStateConflict, lambda item=item: desk.snooze(item.id, None))
        assert told == f"{item.id} waits for a new approved draft, and for no instant"


def test_an_item_that_waits_for_a_new_draft_can_be_cancelled(desk: Desk) -> None:
    """Its run was stopped when it was replanned; so nothing of the run can stand against it."""
    for make in RUNS.values():
        run = make(desk)
        desk.replan(run.item_id)
        before = desk.house.runs.get(run.id)
        assert desk.cancel(run.item_id).status is ItemStatus.BLOCKED
        assert desk.house.runs.get(run.id) == before
        assert desk.replan(run.item_id).waits_for == "approval", "it is still the item of a run that never runs again"
        desk.cancel(run.item_id)


def test_retrying_opens_an_errored_run_and_no_other(desk: Desk) -> None:
    run = failed(desk)
    item = desk.retry(run.item_id)
    assert both(desk, run) == ("pending", "PENDING")
    assert (item.attempt_count, desk.house.runs.get(run.id).generation) == (1, 2)
    desk.clock.move(minutes=1)
    assert desk.held(executor=Executor.INTERLOCK).id == run.item_id
    for make in (done, cancelled):
        run = make(desk)
        before = both(desk, run)
        refused(ItemStateConflict, lambda run=run: desk.retry(run.item_id))
        assert both(desk, run) == before


def test_a_run_whose_lease_ran_out_is_retried_in_the_same_generation(desk: Desk) -> None:
    run = timed_out(desk)
    old = desk.item(run.item_id)
    desk.retry(run.item_id)
    assert both(desk, run) == ("pending", "PENDING")
    assert desk.house.runs.get(run.id).generation == 1
    assert desk.told("run.returned")[0][1] == {"reason": "lease_expired"}
    refused(LeaseLost, lambda: desk.complete(old))
    desk.clock.move(minutes=1)
    assert desk.held(executor=Executor.INTERLOCK).attempt_count == 1


def test_a_run_that_fails_for_a_while_waits_and_one_whose_worker_is_lost_at_the_limit_ends(desk: Desk) -> None:
    run = begun(desk)
    desk.fail(desk.item(run.item_id), transient=True)
    assert both(desk, run) == ("pending", "PENDING")
    for _ in range(2):
        desk.clock.move(hours=1)
        desk.rescue(desk.held(executor=Executor.INTERLOCK))
    assert both(desk, run) == ("error", "FAILED")
    assert desk.house.runs.get(run.id).reason == "attempts_exhausted"
    desk.retry(run.item_id)
    desk.clock.move(hours=1)
    desk.fail(desk.held(executor=Executor.INTERLOCK))
    assert refused(AttemptsExhausted, lambda: desk.retry(run.item_id)).startswith("max attempts reached")
    assert both(desk, run) == ("error", "FAILED")


def test_a_session_outside_moves_a_run_without_a_command_likewise(desk: Desk) -> None:
    draft = desk.house.approval.create(ALICE, "Do it by hand.")
    run = desk.house.runs.create(ALICE, desk.house.approval.approve(ALICE, draft.id).id)
    assert desk.held().run_id == run.id
    assert both(desk, run) == ("running", "IN_PROGRESS")
    assert desk.release(desk.item(run.item_id)).status is ItemStatus.PENDING
    assert both(desk, run) == ("pending", "PENDING")
    desk.complete(desk.held())
    assert both(desk, run) == ("done", "DONE")


def test_a_bulk_moves_what_it_can_and_of_what_a_run_refuses_nothing_is_half_done(desk: Desk) -> None:
    """A run that moved behind its item's back stands for every reason by which a run may object."""
    good, odd, hand = made(desk), made(desk), desk.add()
    desk.write(f"UPDATE run SET status = 'done' WHERE id = '{odd.id}'")
    item, log = desk.item(odd.item_id), len(desk.told())
    chosen = desk.look(lambda queue: bulk.choose(queue, Filter()))
    *_, progress = bulk.move(
        chosen, lambda queue, seen: queue.cancel(seen.id, seen=seen), lambda: desk.house.queue(ALICE)
    )
    assert (progress.changed, dict(progress.refused)) == (2, {"run_already_ended": 1})
    assert progress.examples == [f"{odd.id} is done already"]
    assert both(desk, good) == ("cancelled", "BLOCKED")
    assert desk.item(hand.id).status is ItemStatus.BLOCKED
    assert desk.item(odd.item_id) == item
    assert [kind for kind, _ in desk.told()[log:]] == ["run.cancelled", "item.cancelled", "item.cancelled"]


def test_a_refused_move_in_a_transaction_leaves_the_moves_before_and_after_it(desk: Desk) -> None:
    run, hand = made(desk), desk.add()
    with desk.house.queue(ALICE) as queue:
        queue.cancel(hand.id)
        with pytest.raises(ZeroDivisionError), queue.attempt():
            _fall_over(queue.cancel(run.item_id))
        queue.reprioritise(run.item_id, "P0")
    assert both(desk, run) == ("pending", "PENDING")
    assert desk.item(run.item_id).priority == "P0"
    assert desk.item(hand.id).status is ItemStatus.BLOCKED
    assert desk.told("run.cancelled") == []
    assert len(desk.told("item.cancelled")) == 1


def _fall_over(_: object) -> None:
    raise ZeroDivisionError


def test_an_item_of_a_run_is_never_replaced_by_a_row_of_a_file(desk: Desk) -> None:
    run = made(desk)
    item = desk.item(run.item_id)
    row = exchange.hand_row({**exchange.as_row(item), "status": "DONE"}, desk.clock())
    assert desk.do(lambda queue: exchange.take_over(queue, [row])) == 0
    assert desk.item(run.item_id) == item
    assert item.kind is ItemKind.RUN


def test_a_session_outside_is_not_given_a_run_whose_approval_was_taken_back(house: Interlock) -> None:
    draft = house.approval.create(ALICE, "sweep the floor")
    approved = house.approval.approve(ALICE, draft.id)
    run = house.runs.create(ALICE, approved.id)
    with house.queue(ALICE) as queue:
        next_item = queue.add(
            NewItem(
                kind=ItemKind.MANUAL, executor=Executor.EXTERNAL, priority="P2", task="sweep", success_criteria="swept"
            )
        )
    house.approval.revoke(ALICE, approved.id, reason="a mistake")
    with house.queue(WORKER) as queue:
        claimed = queue.claim(Executor.EXTERNAL, "outside")
    assert claimed is not None
    assert claimed.id == next_item.id, "what may not begin holds nobody up"
    ended = house.runs.get(run.id)
    assert (ended.status, ended.reason) == (RunStatus.ERROR, "approval_revoked")
