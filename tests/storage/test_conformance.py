"""One suite for both databases: what a store promises, it promises on each."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from interlock.app import Interlock
from interlock.approval.errors import DraftChanged, DraftDecided
from interlock.approval.models import DraftStatus, Work
from interlock.approval.service import Change
from interlock.evidence.ledger import read_line, render_line
from interlock.evidence.tree import Frontier, leaf_hash, root_of
from interlock.kernel.errors import InterlockError
from interlock.queue.errors import LeaseLost
from interlock.queue.models import Executor, ItemKind, ItemStatus, NewItem
from interlock.storage.evidence import StoredLog
from tests.conftest import ALICE, BOB, WORKER

MANUAL = NewItem(
    kind=ItemKind.MANUAL, executor=Executor.EXTERNAL, priority="P1", task="sweep", success_criteria="swept"
)

RUNNABLE = replace(MANUAL, executor=Executor.INTERLOCK)
"""What an Interlock worker holds comes back at once, without a back-off."""


def test_a_change_and_its_event_are_there_together(house: Interlock) -> None:
    draft = house.approval.create(ALICE, "refactor X")
    (index, event), *_ = StoredLog(house.database).events(0, 10)
    assert (index, event["kind"], event["subject"]) == (0, "draft.created", draft.id)
    assert (event["principal"], event["correlation_id"]) == ("human:alice", "test-1")


def test_an_exception_leaves_neither_state_nor_event(house: Interlock) -> None:
    with pytest.raises(ZeroDivisionError), house.queue(ALICE) as queue:
        _fall_over(queue.add(MANUAL))
    with house.queue_look() as queue:
        assert queue.counts()["PENDING"] == 0
    assert StoredLog(house.database).size() == 0


def _fall_over(_: object) -> None:
    raise ZeroDivisionError


def test_the_log_is_dense_and_its_frontier_is_the_tree_over_its_leaves(house: Interlock) -> None:
    for number in range(11):
        house.approval.create(ALICE, f"draft {number}")
    log = StoredLog(house.database)
    leaves = list(log.leaves(0, log.size()))
    assert len(leaves) == 11
    assert log.frontier().root() == root_of([leaf_hash(leaf) for leaf in leaves])
    assert list(log.leaf_hashes(11)) == [leaf_hash(leaf) for leaf in leaves]
    for index, leaf in enumerate(leaves):
        assert read_line(render_line(index, leaf), index).leaf == leaf


def test_writers_at_the_same_moment_leave_one_dense_log(house: Interlock) -> None:
    def add(_: int) -> None:
        with house.queue(ALICE) as queue:
            queue.add(MANUAL)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(120)))
    house.database.seal()
    log = StoredLog(house.database)
    assert log.size() == 120
    assert log.frontier() == Frontier().extend(log.leaf_hashes(120))
    with house.queue_look() as queue:
        assert len({item.id for item in queue.list(limit=500)}) == 120


def test_one_item_is_claimed_once_whoever_asks_at_the_same_moment(house: Interlock) -> None:
    with house.queue(ALICE) as queue:
        for _ in range(40):
            queue.add(MANUAL)
    taken: list[str] = []
    lock = threading.Lock()

    def work(number: int) -> None:
        while True:
            with house.queue(WORKER) as queue:
                item = queue.claim(Executor.EXTERNAL, f"session-{number}")
            if item is None:
                return
            with lock:
                taken.append(item.id)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sorted(taken) == sorted(set(taken))
    assert len(taken) == 40


def test_the_highest_priority_is_claimed_first_then_the_oldest(house: Interlock) -> None:
    with house.queue(ALICE) as queue:
        ids = [
            queue.add(
                NewItem(
                    kind=ItemKind.MANUAL, executor=Executor.EXTERNAL, priority=priority, task="t", success_criteria="s"
                )
            ).id
            for priority in ("P2", "P1", "P0", "P1")
        ]
    claimed: list[str] = []
    for _ in ids:
        with house.queue(WORKER) as queue:
            item = queue.claim(Executor.EXTERNAL, "w")
            assert item is not None
            claimed.append(item.id)
    assert claimed == [ids[2], ids[1], ids[3], ids[0]]


def test_a_holder_that_was_given_up_can_not_write_any_more(house: Interlock) -> None:
    with house.queue(ALICE) as queue:
        queue.add(RUNNABLE)
    with house.queue(WORKER) as queue:
        old = queue.claim(Executor.INTERLOCK, "first")
    assert old is not None
    with house.queue(ALICE) as queue:
        queue.rescue(old, reason="silent")
    with house.queue(WORKER) as queue:
        new = queue.claim(Executor.INTERLOCK, "second")
    assert new is not None
    assert new.fence > old.fence
    assert new.attempt_count == 1
    with pytest.raises(LeaseLost), house.queue(WORKER) as queue:
        queue.complete(old.id, old.fence)
    with house.queue(WORKER) as queue:
        assert queue.complete(new.id, new.fence).status is ItemStatus.DONE


def test_a_rescue_respects_a_sign_of_life(house: Interlock) -> None:
    with house.queue(ALICE) as queue:
        queue.add(MANUAL)
    with house.queue(WORKER) as queue:
        seen = queue.claim(Executor.EXTERNAL, "w")
    assert seen is not None
    with house.queue(WORKER) as queue:
        assert queue.renew("w") == {seen.id: seen.fence}
    with house.queue(ALICE) as queue:
        assert queue.rescue(seen, reason="silent") is None


def test_a_lost_item_fails_at_its_attempt_limit(house: Interlock) -> None:
    with house.queue(ALICE) as queue:
        queue.add(RUNNABLE)
    item = None
    for _ in range(3):
        with house.queue(WORKER) as queue:
            seen = queue.claim(Executor.INTERLOCK, "w")
        assert seen is not None
        with house.queue(ALICE) as queue:
            item = queue.rescue(seen, reason="silent")
    assert item is not None
    assert item.status is ItemStatus.FAILED


def test_giving_an_item_back_burns_no_attempt_and_shuts_the_old_holder_out(house: Interlock) -> None:
    with house.queue(ALICE) as queue:
        queue.add(MANUAL)
    with house.queue(WORKER) as queue:
        held = queue.claim(Executor.EXTERNAL, "w")
    assert held is not None
    with house.queue(WORKER) as queue:
        back = queue.release(held.id, held.fence)
    assert (back.attempt_count, back.status) == (0, ItemStatus.PENDING)
    with pytest.raises(LeaseLost), house.queue(WORKER) as queue:
        queue.fail(held.id, held.fence, reason="x", message="y")


def test_eight_approvals_at_once_give_one_record(house: Interlock) -> None:
    draft = house.approval.create(ALICE, "refactor X")

    def approve(_: int) -> str:
        try:
            return house.approval.approve(ALICE, draft.id).id
        except InterlockError as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(approve, range(8)))
    assert answers.count("a" + draft.id[1:]) == 1
    assert set(answers) <= {"a" + draft.id[1:], DraftDecided.code, DraftChanged.code}
    assert len(house.approval.all_approved()) == 1
    kinds = [event["kind"] for _, event in StoredLog(house.database).events(0, 100)]
    assert kinds.count("draft.approved") == 1


def test_approve_against_edit_has_one_winner(house: Interlock) -> None:
    for _ in range(5):
        draft = house.approval.create(ALICE, "first words")

        def approve(draft_id: str = draft.id) -> str:
            try:
                approved = house.approval.approve(ALICE, draft_id)
            except InterlockError as error:
                return error.code
            return approved.prompt.body or ""

        def edit(draft_id: str = draft.id) -> str:
            try:
                return house.approval.edit(BOB, draft_id, Change(prompt="other words")).prompt.body or ""
            except InterlockError as error:
                return error.code

        with ThreadPoolExecutor(2) as pool:
            first, second = pool.submit(approve), pool.submit(edit)
        answers = (first.result(), second.result())
        after = house.approval.draft(draft.id)
        if after.status is DraftStatus.APPROVED:
            record = house.approval.approved("a" + draft.id[1:])
            assert record.prompt == after.prompt
        else:
            assert answers == (DraftChanged.code, "other words")


def test_a_run_and_its_item_are_made_together(house: Interlock) -> None:
    draft = house.approval.create(ALICE, "refactor X", work=Work(command=("true",)))
    approved = house.approval.approve(ALICE, draft.id)
    run = house.runs.create(ALICE, approved.id)
    with house.queue_look() as queue:
        item = queue.get(run.item_id)
    assert (item.run_id, item.status, item.executor) == (run.id, ItemStatus.PENDING, Executor.INTERLOCK)
