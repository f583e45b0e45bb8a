"""Runs that are cancelled, and workers that are asked to stop: the whole tree ends, and the last word stays."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable

import pytest

from interlock.queue.models import ItemStatus
from interlock.runs.errors import RunAlreadyEnded
from interlock.runs.models import Run, RunStatus
from tests.conftest import ALICE, until
from tests.engines.world import GRACE_SECONDS, PATIENCE_SECONDS, World, seconds_until
from tests.runs.containment.trees import Orphan

Cancel = Callable[[World, Run], object]


def through_the_run(world: World, run: Run) -> object:
    return world.house.runs.cancel(ALICE, run.id, reason="no more")


def through_the_queue(world: World, run: Run) -> object:
    with world.house.queue(ALICE) as queue:
        return queue.cancel(run.item_id, reason="no more")


ON_BOTH = pytest.mark.parametrize("world", ["sqlite", "postgres"], indirect=True)


def deaf(orphan: Orphan) -> str:
    """Return an agent that ignores SIGTERM and has a grandchild that fled: forked twice, with a session of its own."""
    return f"trap '' TERM; {orphan.script}; echo deaf; while :; do sleep 0.05; done"


def was_opened(door: socket.socket) -> bool:
    """Say whether anybody has called; the door does not wait."""
    try:
        door.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def assert_cancelled(world: World, run: Run) -> None:
    now, item = world.run(run), world.item(run)
    assert (now.status, item.status) == (RunStatus.CANCELLED, ItemStatus.BLOCKED), world.story(run)
    assert [(told["reason"], told["message"]) for told in world.events(run, "run.cancelled")] == [
        ("cancelled_by_operator", "no more")
    ]
    assert world.events(run, "run.done") == world.events(run, "run.failed") == []


@pytest.mark.parametrize(
    ("world", "cancel", "deaf_one"),
    [
        ("sqlite", through_the_run, "agent"),
        ("sqlite", through_the_queue, "check"),
        ("postgres", through_the_run, "check"),
        ("postgres", through_the_queue, "agent"),
    ],
    indirect=["world"],
)
def test_cancelling_ends_the_whole_tree_within_the_grace_period(world: World, cancel: Cancel, deaf_one: str) -> None:
    orphan = Orphan()
    run = world.create("true", checks=[deaf(orphan)]) if deaf_one == "check" else world.create(deaf(orphan))
    world.worker()
    world.wait_for_line(run, "deaf")
    orphan.wait_until_it_lives()

    cancel(world, run)
    took = seconds_until(lambda: not world.processes(run) and not orphan.lives())

    assert took < GRACE_SECONDS + 3
    assert_cancelled(world, run)
    until(lambda: world.left_behind() == [])
    assert world.verified().uncovered == 0


def test_without_namespaces_cancelling_ends_the_whole_tree_too(world: World) -> None:
    orphan = Orphan()
    run = world.create(deaf(orphan))
    world.worker(environment={"INTERLOCK_WORKER_NAMESPACES": "never"})
    world.wait_for_line(run, "deaf")
    orphan.wait_until_it_lives()

    through_the_run(world, run)
    took = seconds_until(lambda: not world.processes(run) and not orphan.lives())

    assert took < GRACE_SECONDS + 3
    assert_cancelled(world, run)


@ON_BOTH
def test_a_finish_that_comes_after_the_cancel_does_not_overwrite_it(world: World) -> None:
    run = world.create("echo done > effect.txt")
    worker = world.worker(stop_at="finish.begun")
    worker.wait_until_it_stands()

    through_the_run(world, run)
    worker.go_on()
    worker.signal(signal.SIGTERM)

    assert worker.wait() == 0
    assert_cancelled(world, run)
    assert world.run(run).result is None
    assert world.left_behind() == []
    with pytest.raises(RunAlreadyEnded):
        through_the_run(world, run)


@pytest.mark.parametrize("point", ["prepare.made", "agent.begun"])
def test_a_run_that_was_cancelled_before_its_agent_started_never_starts_it(world: World, point: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(0)
        run = world.create(("bash", "-c", f": < /dev/tcp/127.0.0.1/{door.getsockname()[1]}; sleep 60"))
        worker = world.worker(stop_at=point)
        worker.wait_until_it_stands()
        through_the_run(world, run)
        other = world.create("true")
        until(
            lambda: world.item(other).beat >= 2, PATIENCE_SECONDS
        )  # by now the worker knows what it does not hold any more
        worker.go_on()

        assert world.wait_for(other).status is RunStatus.DONE, world.story(other)
        until(lambda: world.left_behind() == [])
        assert not was_opened(door)
    assert_cancelled(world, run)
    assert world.events(run, "run.agent_started") == []


def test_a_run_that_waits_can_be_cancelled_and_is_never_started(world: World) -> None:
    run = world.create("echo done > effect.txt")
    through_the_queue(world, run)
    world.work_it_off()

    assert_cancelled(world, run)
    assert world.events(run, "run.started") == []


@ON_BOTH
def test_a_worker_that_is_asked_to_stop_gives_its_run_back_and_the_next_one_finishes_it(world: World) -> None:
    orphan = Orphan()
    run = world.create(f"case $INTERLOCK_RUN in *:1) {deaf(orphan)};; esac; echo done > effect.txt")
    worker = world.worker(product=True)
    world.wait_for_line(run, "deaf")
    orphan.wait_until_it_lives()

    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.words()
    waiting, item = world.run(run), world.item(run)
    assert (waiting.status, waiting.attempt, item.status) == (RunStatus.PENDING, 1, ItemStatus.PENDING)
    assert [told["reason"] for told in world.events(run, "run.returned")] == ["released"]
    assert world.processes(run) == []
    assert not orphan.lives()

    world.work_it_off(product=True)
    done = world.run(run)
    assert (done.status, done.attempt, done.reason) == (RunStatus.DONE, 1, None), world.story(run)
    assert world.fences(run, "run.done") == [3]
    assert world.left_behind() == []


@pytest.mark.parametrize("somewhere", ["repository", "nowhere"])
def test_a_check_that_was_interrupted_by_a_stop_is_done_again_and_the_agent_is_not(
    world: World, somewhere: str
) -> None:
    check = "case $INTERLOCK_RUN in *:1) echo waits; sleep 60;; esac; test -f effect.txt"
    repository = world.repository if somewhere == "repository" else None
    run = world.create("echo done > effect.txt", checks=[check], repository=repository)
    worker = world.worker()
    world.wait_for_line(run, "waits")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.words()
    assert world.run(run).status is RunStatus.PENDING
    world.work_it_off()

    done = world.run(run)
    assert (done.status, done.attempt) == (RunStatus.DONE, 1), world.story(run)
    assert world.fences(run, "run.agent_started") == [1]
    assert world.left_behind() == []


@ON_BOTH
def test_a_failed_run_that_is_retried_starts_anew_from_the_base(world: World) -> None:
    run = world.create("echo again >> effect.txt; case $INTERLOCK_RUN in *:1) exit 3;; esac")
    world.work_it_off()
    failed = world.run(run)
    assert (failed.status, failed.reason, failed.attempt) == (RunStatus.ERROR, "agent_failed", 1), world.story(run)

    world.house.runs.retry(ALICE, run.id)
    world.work_it_off()

    done, item = world.run(run), world.item(run)
    assert (done.status, done.reason, done.attempt) == (RunStatus.DONE, None, 2), world.story(run)
    assert (done.generation, item.status) == (2, ItemStatus.DONE)
    assert world.patch(run).count("+again\n") == 1
    assert world.left_behind() == []
    assert world.verified().uncovered == 0


def test_a_run_that_is_cancelled_while_its_worker_is_stopped_is_ended_by_another_worker(world: World) -> None:
    orphan = Orphan()
    run = world.create(f"{deaf(orphan)}")
    stopped = world.worker(stop_at="agent.started")
    stopped.wait_until_it_stands()
    orphan.wait_until_it_lives()
    stopped.signal(signal.SIGSTOP)
    world.worker()
    through_the_run(world, run)

    until(lambda: world.processes(run) == [] and not orphan.lives(), 15)
    assert_cancelled(world, run)
