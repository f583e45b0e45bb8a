"""Workers that die, fall silent or stay alive: a run goes on in other hands exactly when it has to, and only once."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import time
from collections.abc import Generator

import pytest

from interlock.queue.models import ItemStatus
from interlock.runs.models import RunStatus
from tests.conftest import ALICE, until
from tests.engines.world import LEASE_SECONDS, PATIENCE_SECONDS, World, git
from tests.runs.containment.trees import Orphan

STEPS = ("prepare", "agent", "collect", "verify")
POINTS = (
    *("prepare.begun", "prepare.made", "prepare.done"),
    *("agent.begun", "agent.started", "agent.made", "agent.done"),
    *("collect.begun", "collect.made", "collect.done"),
    *("verify.begun", "verify.made", "verify.done"),
    "finish.begun",
)
ON_POSTGRES = ("prepare.made", "agent.started", "agent.done", "finish.begun")
EFFECT = "echo carried out >> effect.txt"
ONE_EFFECT = 'test "$(cat effect.txt)" = "carried out"'
NEVER = {"INTERLOCK_WORKER_NAMESPACES": "never"}
FIRST, SECOND = 1, 3
"""Fences: a claim raises it, and so does the rescue between two claims."""


def staying(orphan: Orphan) -> str:
    """Return a script that stays, with a fugitive, under the first claim, and does its work under later ones."""
    return f"{only_first(orphan)}; {EFFECT}"


def only_first(orphan: Orphan) -> str:
    stay = f"trap '' TERM; {orphan.script}; echo stays; while :; do sleep 0.1; done"
    return f"case $INTERLOCK_RUN in *:{FIRST}) {stay};; esac"


def passed(point: str, other: str) -> bool:
    """Say whether a worker that stands at `point` has passed `other`."""
    return other in POINTS[: POINTS.index(point) + 1]


@pytest.mark.parametrize(
    ("world", "point"),
    [("sqlite", point) for point in POINTS] + [("postgres", point) for point in ON_POSTGRES],
    indirect=["world"],
)
@pytest.mark.proves("truth-taken-over")
def test_a_run_whose_worker_is_killed_is_finished_by_another_after_the_last_completed_step(
    world: World, point: str
) -> None:
    orphan = Orphan()
    script = staying(orphan) if point == "agent.started" else EFFECT
    run = world.create(script, checks=[ONE_EFFECT])
    first = world.worker(stop_at=point)
    first.wait_until_it_stands()
    if point == "agent.started":
        orphan.wait_until_it_lives()
    first.kill()
    world.work_it_off()

    done, item = world.run(run), world.item(run)
    assert (done.status, done.attempt, item.status) == (RunStatus.DONE, 2, ItemStatus.DONE), world.story(run)
    assert world.patch(run).count("+carried out\n") == 1

    kept = passed(point, "agent.done")
    assert world.fences(run, "run.agent_started") == ([FIRST] * passed(point, "agent.started") + [SECOND] * (not kept))
    completed = [(told["step"], told["fence"]) for told in world.events(run, "run.step_completed")]
    before = [(step, FIRST) for step in STEPS if passed(point, f"{step}.done")]
    again = [step for step in STEPS if not kept or not passed(point, f"{step}.done")]
    assert completed == [*before, *((step, SECOND) for step in again)]
    assert world.fences(run, "run.done") == [SECOND]
    assert [told["reason"] for told in world.events(run, "run.returned")] == ["worker_dead"]

    assert world.verified().uncovered == 0
    until(lambda: not world.processes(run) and not orphan.lives())
    assert world.left_behind() == []


def test_a_run_that_was_finished_when_its_worker_was_killed_stays_as_it_is(world: World) -> None:
    run = world.create(EFFECT, checks=[ONE_EFFECT])
    first = world.worker(stop_at="finish.done")
    first.wait_until_it_stands()
    first.kill()
    world.work_it_off()

    done, item = world.run(run), world.item(run)
    assert (done.status, done.attempt, item.status) == (RunStatus.DONE, 1, ItemStatus.DONE)
    assert world.fences(run, "run.agent_started") == world.fences(run, "run.done") == [FIRST]
    assert world.events(run, "run.returned") == []
    assert world.verified().uncovered == 0
    assert world.processes(run) == []
    assert world.left_behind() == []


def test_without_namespaces_a_killed_worker_leaves_no_process_behind(world: World) -> None:
    orphan = Orphan()
    run = world.create(staying(orphan))
    first = world.worker(environment=NEVER)
    world.wait_for_line(run, "stays")
    orphan.wait_until_it_lives()
    first.kill()
    until(lambda: not world.processes(run) and not orphan.lives())
    world.work_it_off(environment=NEVER)

    done = world.run(run)
    assert (done.status, done.attempt) == (RunStatus.DONE, 2), world.story(run)
    assert (done.result or {})["containment"] == "best_effort"


@pytest.mark.parametrize(
    ("asleep_at", "second_at"),
    [("agent.started", "agent.made"), ("collect.made", "collect.begun"), ("finish.begun", "finish.begun")],
)
def test_a_worker_that_wakes_up_after_its_lease_can_write_nothing(world: World, asleep_at: str, second_at: str) -> None:
    orphan = Orphan()
    run = world.create(staying(orphan) if asleep_at == "agent.started" else EFFECT, checks=[ONE_EFFECT])
    first = world.worker(stop_at=asleep_at)
    first.wait_until_it_stands()
    if asleep_at == "agent.started":
        orphan.wait_until_it_lives()
    first.signal(signal.SIGSTOP)
    second = world.worker(stop_at=second_at)
    second.wait_until_it_stands()
    assert [told["reason"] for told in world.events(run, "run.returned")] == ["lease_expired"]
    assert not orphan.lives()

    before, count = world.run(run), world.count()
    first.go_on()
    first.signal(signal.SIGCONT)
    first.signal(signal.SIGTERM)
    assert first.wait() == 0, first.words()
    assert (world.run(run), world.count()) == (before, count)

    second.go_on()
    done = world.wait_for(run)
    assert (done.status, done.attempt) == (RunStatus.DONE, 2), world.story(run)
    assert world.fences(run, "run.done") == [SECOND]
    assert world.patch(run).count("+carried out\n") == 1
    until(lambda: world.processes(run) == [] and world.left_behind() == [])
    assert world.verified().uncovered == 0


@pytest.mark.parametrize("world", ["postgres"], indirect=True)
@pytest.mark.parametrize("point", ["agent.done", "verify.begun"])
@pytest.mark.proves("truth-taken-over")
def test_a_run_that_was_lost_with_its_machine_is_finished_on_another(world: World, point: str) -> None:
    run = world.create(EFFECT, checks=[ONE_EFFECT])
    first = world.worker(stop_at=point)
    first.wait_until_it_stands()
    first.kill()
    world.worker(elsewhere=True)

    done = world.wait_for(run)
    assert (done.status, done.attempt) == (RunStatus.DONE, 2), world.story(run)
    assert [told["reason"] for told in world.events(run, "run.returned")] == ["lease_expired"]
    assert world.patch(run).count("+carried out\n") == 1
    mirror, commit = next(world.other_root().glob(".interlock/mirrors/*.git")), str((done.result or {})["commit"])
    assert git(mirror, "cat-file", "-t", commit) == "commit"


def test_a_check_that_a_silent_worker_left_running_is_ended_by_who_takes_over(world: World) -> None:
    orphan = Orphan()
    run = world.create(EFFECT, checks=[f"{only_first(orphan)}; {ONE_EFFECT}"])
    first = world.worker()
    world.wait_for_line(run, "stays")
    orphan.wait_until_it_lives()
    first.signal(signal.SIGSTOP)
    world.worker()

    assert world.wait_for(run).status is RunStatus.DONE, world.story(run)
    assert world.fences(run, "run.agent_started") == [FIRST]
    assert not orphan.lives()


def test_a_worker_with_a_long_agent_is_left_alone_by_an_idle_one(world: World) -> None:
    run = world.create(f"sleep {2.5 * LEASE_SECONDS}; {EFFECT}")
    world.worker()
    world.wait_for(run, RunStatus.RUNNING)
    world.worker()

    done = world.wait_for(run)
    assert (done.status, done.attempt) == (RunStatus.DONE, 1), world.story(run)
    assert world.events(run, "run.returned") == []
    assert world.fences(run, "run.agent_started") == [FIRST]


def test_a_worker_that_a_stuck_writer_held_up_is_not_taken_for_dead(world: World) -> None:
    run = world.create(f"sleep {2.5 * LEASE_SECONDS}; {EFFECT}")
    first = world.worker()
    world.wait_for(run, RunStatus.RUNNING)
    second = world.worker()
    until(lambda: len(list(world.house.layout.wake.iterdir())) == 2, PATIENCE_SECONDS)  # it has looked once, and waits
    with held_up(world):
        time.sleep(LEASE_SECONDS + 1)  # how long it is stuck is what this is about
        first.signal(signal.SIGSTOP)
    with contextlib.suppress(TimeoutError):
        second.wait_for_words("rescued", 0.5)
    first.signal(signal.SIGCONT)

    done = world.wait_for(run)
    assert (done.status, done.attempt) == (RunStatus.DONE, 1), world.story(run)
    assert world.events(run, "run.returned") == []


@contextlib.contextmanager
def held_up(world: World) -> Generator[None]:
    """Hold the database's write lock, as a bulk job or a stopped process would."""
    with contextlib.closing(sqlite3.connect(world.house.layout.database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_a_run_whose_worker_is_killed_three_times_ends_in_error(world: World) -> None:
    run = world.create("echo began; while :; do sleep 0.1; done")
    for _ in range(3):
        worker = world.worker(stop_at="agent.started")
        worker.wait_until_it_stands()
        worker.kill()
    world.work_it_off()

    ended, item = world.run(run), world.item(run)
    assert (ended.status, ended.reason, item.status) == (RunStatus.ERROR, "attempts_exhausted", ItemStatus.FAILED)
    assert ended.message == "its worker was lost (worker_dead) in attempt 3 of 3"
    assert len(world.events(run, "run.agent_started")) == 3
    assert [told["attempt"] for told in world.events(run, "run.started")] == [1, 2, 3]
    until(lambda: not world.processes(run))
    assert world.left_behind() == []


@pytest.mark.parametrize("world", ["sqlite", "postgres"], indirect=True)
def test_two_workers_share_many_runs_and_start_each_agent_once(world: World) -> None:
    approved = world.approve(EFFECT)
    runs = [world.house.runs.create(ALICE, approved.id) for _ in range(12)]
    workers = [world.worker(once=True), world.worker(once=True)]

    assert [worker.wait(40) for worker in workers] == [0, 0], [worker.words() for worker in workers]
    assert {world.run(run).status for run in runs} == {RunStatus.DONE}, [world.story(run) for run in runs]
    for run in runs:
        assert world.fences(run, "run.started") == world.fences(run, "run.agent_started") == [FIRST]
        assert world.fences(run, "run.done") == [world.item(run).fence] == [FIRST]
    holders = {told["worker"] for run in runs for told in world.events(run, "run.started")}
    assert len(holders) == 2
    commits = {str((world.run(run).result or {})["commit"]) for run in runs}
    assert len(commits) == len(runs)
    assert world.left_behind() == []
    assert world.verified().uncovered == 0
