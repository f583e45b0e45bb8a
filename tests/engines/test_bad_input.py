"""What can not be carried out ends in error with its own reason; what is not approved any more is never started."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable

import pytest

from interlock.approval.errors import ApprovalEnded, ApprovalLapsed, DigestMismatch
from interlock.kernel.errors import InterlockError
from interlock.queue.models import Executor, ItemStatus
from interlock.runs.models import Run, RunStatus
from tests.conftest import ALICE, until
from tests.engines.world import World, git

EFFECT = "echo done > effect.txt"


def assert_failed(world: World, run: Run, reason: str) -> Run:
    now, item = world.run(run), world.item(run)
    assert (now.status, now.reason, item.status) == (RunStatus.ERROR, reason, ItemStatus.FAILED), world.story(run)
    assert now.message
    assert world.events(run, "run.agent_started") == []
    assert [told["reason"] for told in world.events(run, "run.failed")] == [reason]
    assert world.left_behind() == []
    return now


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("there-is-no-such-program", "--now"), "agent_command_not_found"),
        (("./there/is/none",), "agent_command_not_found"),
        (("./README.md",), "agent_command_not_executable"),
        (("/",), "agent_command_not_executable"),
    ],
)
def test_a_command_that_can_not_be_started_is_named(world: World, command: tuple[str, ...], reason: str) -> None:
    run = world.create(command)
    world.work_it_off()

    assert command[0] in str(assert_failed(world, run, reason).message)


def test_an_agent_that_fails_is_no_success(world: World) -> None:
    run = world.carried_out(f"{EFFECT}; exit 7")

    assert (run.status, run.reason, run.message) == (
        RunStatus.ERROR,
        "agent_failed",
        "the agent ended with exit code 7",
    )
    assert "+done" in world.patch(run)


def remove_repository(world: World) -> None:
    shutil.rmtree(world.repository)


def rewrite_history(world: World) -> None:
    git(world.repository, "commit", "-q", "--amend", "-m", "Begin otherwise")
    git(world.repository, "reflog", "expire", "--expire=now", "--all")
    git(world.repository, "gc", "-q", "--prune=now")


def replace_by_a_file(world: World) -> None:
    shutil.rmtree(world.repository)
    world.repository.write_text("not a repository")


@pytest.mark.parametrize("spoil", [remove_repository, rewrite_history, replace_by_a_file])
def test_a_base_commit_that_is_gone_before_the_run_starts_is_named(
    world: World, spoil: Callable[[World], None]
) -> None:
    run = world.create(EFFECT)
    spoil(world)
    world.work_it_off()

    assert_failed(world, run, "base_commit_gone")


def test_a_remote_that_does_not_answer_is_named(world: World) -> None:
    run = world.create(EFFECT, repository="https://127.0.0.1:1/nobody.git", base_commit="1" * 40)
    world.work_it_off()

    assert_failed(world, run, "remote_unreachable")


def test_a_mirror_that_was_deleted_is_made_anew_from_the_repository(world: World) -> None:
    approved = world.approve(EFFECT)
    world.house.runs.create(ALICE, approved.id)
    world.work_it_off()
    shutil.rmtree(world.house.layout.mirrors)
    run = world.house.runs.create(ALICE, approved.id)
    world.work_it_off()

    assert world.run(run).status is RunStatus.DONE, world.story(run)


def test_a_mirror_that_was_deleted_with_the_repository_is_named(world: World) -> None:
    approved = world.approve(EFFECT)
    world.house.runs.create(ALICE, approved.id)
    world.work_it_off()
    shutil.rmtree(world.house.layout.mirrors)
    remove_repository(world)
    run = world.house.runs.create(ALICE, approved.id)
    world.work_it_off()

    assert_failed(world, run, "base_commit_gone")


@pytest.mark.parametrize("point", ["agent.done", "collect.done"])
def test_a_mirror_that_disappears_during_a_run_ends_it_with_a_reason(world: World, point: str) -> None:
    run = world.create(EFFECT, checks=["true"])
    worker = world.worker(once=True, stop_at=point)
    worker.wait_until_it_stands()
    shutil.rmtree(world.house.layout.mirrors)
    worker.go_on()

    assert worker.wait() == 0, worker.words()
    now, item = world.run(run), world.item(run)
    assert (now.status, item.status) == (RunStatus.ERROR, ItemStatus.FAILED), world.story(run)
    assert now.reason in {"commit_not_in_mirror", "mirror_damaged"}, world.story(run)
    assert world.left_behind() == []


# --- approvals that do not hold any more ------------------------------------------------------------------------------


def altered(statement: str) -> Callable[[World], None]:
    def alter(world: World) -> None:
        with sqlite3.connect(world.house.layout.database) as connection:
            assert connection.execute(statement).rowcount == 1
        connection.close()

    return alter


@pytest.mark.parametrize(
    "alter",
    [
        altered("UPDATE approved SET terms = replace(terms, 'effect.txt', 'secret.txt')"),
        altered("UPDATE approved SET terms = replace(terms, '\"network\":true', '\"network\":false')"),
        altered(
            "UPDATE content SET body = CAST('Do something else.' AS BLOB) WHERE ref = (SELECT prompt_ref FROM draft)"
        ),
        altered("UPDATE content SET body = CAST('{\"a\":1}' AS BLOB) WHERE ref = (SELECT context_ref FROM draft)"),
        altered("UPDATE approved SET digest = replace(digest, substr(digest, -4), '0000')"),
    ],
    ids=["command", "network", "prompt", "context", "digest"],
)
def test_an_approval_that_was_altered_is_not_carried_out(world: World, alter: Callable[[World], None]) -> None:
    run = world.create(EFFECT)
    alter(world)
    world.work_it_off()

    assert_failed(world, run, "digest_mismatch")
    with pytest.raises(DigestMismatch):
        world.house.runs.retry(ALICE, run.id)
    assert world.verified().uncovered == 0


def test_an_approval_that_was_revoked_before_the_claim_is_not_carried_out(world: World) -> None:
    run = world.create(EFFECT)
    world.house.approval.revoke(ALICE, run.approved_id, reason="changed my mind")
    world.work_it_off()

    assert_failed(world, run, "approval_revoked")
    assert_retry_is_refused(world, run, ApprovalEnded)


def test_an_approval_that_expired_before_the_claim_is_not_carried_out(world: World) -> None:
    run = world.create(EFFECT, expires_after_seconds=1)
    approved = world.house.approval.approved(run.approved_id)
    until(lambda: approved.standing(world.house.now()) == "expired")
    world.work_it_off()

    assert_failed(world, run, "approval_expired")
    assert_retry_is_refused(world, run, ApprovalLapsed)


def assert_retry_is_refused(world: World, run: Run, error: type[InterlockError]) -> None:
    with pytest.raises(error):
        world.house.runs.retry(ALICE, run.id)
    assert world.run(run).status is RunStatus.ERROR


def test_an_approval_that_was_revoked_while_its_agent_was_lost_is_not_started_again(world: World) -> None:
    run = world.create(EFFECT)
    worker = world.worker(stop_at="agent.begun")
    worker.wait_until_it_stands()
    worker.kill()
    world.house.approval.revoke(ALICE, run.approved_id)
    world.work_it_off()

    assert_failed(world, run, "approval_revoked")


def test_an_approval_that_was_revoked_starts_no_agent_again_whose_worktree_was_lost(world: World) -> None:
    run = world.create(EFFECT)
    worker = world.worker(stop_at="agent.done")
    worker.wait_until_it_stands()
    worker.kill()
    for worktree in world.house.layout.worktrees.iterdir():
        shutil.rmtree(worktree)
    world.house.approval.revoke(ALICE, run.approved_id)
    world.work_it_off()

    now = world.run(run)
    assert (now.status, now.reason) == (RunStatus.ERROR, "approval_revoked"), world.story(run)
    assert world.fences(run, "run.agent_started") == [1]


# --- other kinds of work ----------------------------------------------------------------------------------------------


def test_a_run_whose_check_fails_is_an_error_and_keeps_its_patch(world: World) -> None:
    run = world.carried_out(EFFECT, checks=["true", "echo not good enough; exit 9", "test -f effect.txt"])

    assert (run.status, run.reason) == (RunStatus.ERROR, "check_failed"), world.story(run)
    assert run.message == "the check sh -c echo not good enough; exit 9 did not pass (exit code 9)"
    assert [check["passed"] for check in (run.result or {})["checks"]] == [True, False, True]
    assert "+++ b/effect.txt" in world.patch(run)
    assert "not good enough" in world.log(run)


def test_checks_see_the_result_and_nothing_else_that_the_agent_left(world: World) -> None:
    run = world.carried_out(
        f"{EFFECT}; echo secret help > ignored.txt; git config core.hooksPath /tmp",
        checks=["test -f effect.txt && test -f README.md", "! test -e ignored.txt", 'test -z "$(git status -s)"'],
    )

    assert run.status is RunStatus.DONE, world.story(run)
    assert [(left["path"], left["reason"]) for left in (run.result or {})["left_out"]] == [("ignored.txt", "ignored")]


def test_what_a_check_writes_is_not_in_the_result(world: World) -> None:
    run = world.carried_out(EFFECT, checks=["echo more >> effect.txt; echo new > new.txt"])

    assert run.status is RunStatus.DONE, world.story(run)
    assert [file["path"] for file in (run.result or {})["files"]] == ["effect.txt"]


def test_an_agent_that_changes_nothing_has_done_its_work(world: World) -> None:
    run = world.carried_out("true", checks=["test -f README.md"])

    assert run.status is RunStatus.DONE, world.story(run)
    assert ((run.result or {})["commit"], world.patch(run)) == (None, "")


def test_a_run_without_a_repository_works_in_an_empty_folder(world: World) -> None:
    run = world.carried_out(
        "ls -A; pwd; echo done > effect.txt; cat effect.txt", repository=None, checks=["test -f effect.txt"]
    )

    assert run.status is RunStatus.DONE, world.story(run)
    assert world.log(run, "stdout")[-1] == "done"
    assert ((run.result or {})["commit"], world.patch(run)) == (None, "")
    assert world.left_behind() == []


def test_a_run_without_a_command_waits_for_a_session_from_outside(world: World) -> None:
    run = world.create(None)
    world.work_it_off()

    now, item = world.run(run), world.item(run)
    assert (now.status, item.status, item.executor) == (RunStatus.PENDING, ItemStatus.PENDING, Executor.EXTERNAL)
    assert world.events(run, "run.started") == []
    with world.house.queue(ALICE) as queue:
        claimed = queue.claim(Executor.EXTERNAL, "somebody outside")
    assert claimed is not None
    assert claimed.run_id == run.id
