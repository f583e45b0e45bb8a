"""A worker while panic is on: it takes up and starts nothing, ends what is under way, and goes on afterwards."""

from __future__ import annotations

import pytest

from interlock.access.models import Role
from interlock.runs.models import RunStatus
from tests.conftest import ALICE, until
from tests.engines.world import World

ON_BOTH = pytest.mark.parametrize("world", ["sqlite", "postgres"], indirect=True)


def panic(world: World) -> None:
    world.house.access.raise_panic(ALICE, role=Role.ADMIN, reason="a rogue agent")


def release(world: World) -> None:
    world.house.access.release_panic(ALICE, role=Role.ADMIN, reason="it is gone")


@ON_BOTH
def test_what_runs_ends_well_and_what_waits_is_taken_up_after_the_release(world: World) -> None:
    gate = world.place / "gate"
    running = world.create(f"echo here; until test -e {gate}; do sleep 0.02; done; echo more >> README.md")
    waiting = world.create("true")
    surroundings = {"INTERLOCK_WORKER_CONCURRENCY": "1", "INTERLOCK_WORKER_VISIBLE": str(gate.parent)}
    worker = world.worker(environment=surroundings)
    world.wait_for_line(running, "here")
    panic(world)
    gate.touch()
    assert world.wait_for(running).status is RunStatus.DONE, world.story(running)
    worker.wait_for_words("nothing is taken up: panic mode is on", 10)
    assert world.run(waiting).status is RunStatus.PENDING
    assert worker.is_there()
    release(world)
    assert world.wait_for(waiting).status is RunStatus.DONE, world.story(waiting)


def test_a_run_whose_agent_has_not_started_is_given_back_and_no_attempt_is_lost(world: World) -> None:
    run = world.create("echo ran >> README.md")
    worker = world.worker(stop_at="prepare.done")
    worker.wait_until_it_stands()
    panic(world)
    worker.go_on()
    until(lambda: world.run(run).status is RunStatus.PENDING, 15)
    assert world.events(run, "run.agent_started") == []
    assert world.run(run).attempt == 1
    release(world)
    assert world.wait_for(run).status is RunStatus.DONE, world.story(run)
    assert worker.is_there()


def test_a_worker_that_is_to_work_once_ends_and_does_nothing(world: World) -> None:
    run = world.create("true")
    panic(world)
    world.work_it_off()
    assert world.run(run).status is RunStatus.PENDING


def test_no_token_of_the_environment_reaches_an_agent(world: World) -> None:
    run = world.create("env; tr '\\0' '\\n' < /proc/$PPID/environ", environment=["PLAIN"])
    world.work_it_off(environment={"ORCH_TOKEN": "s3cr3t-" * 4, "PLAIN": "plain"})
    assert "s3cr3t" not in world.story(run)
    assert "PLAIN=plain" in world.log(run)
    assert not any(line.startswith("ORCH_") for line in world.log(run))


def test_a_panic_is_not_said_to_be_over_because_nothing_waits_any_more(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "interlock.worker")
    run = world.create("true")
    worker = world.house.worker(concurrency=1)
    panic(world)
    worker._claim()  # pyright: ignore[reportPrivateUsage] - one turn of its loop, here and below
    assert "nothing is taken up" in caplog.text
    world.house.runs.cancel(ALICE, run.id)
    worker._claim()  # pyright: ignore[reportPrivateUsage] - as above
    assert "taken up again" not in caplog.text
    release(world)
    world.create("true")
    worker._claim()  # pyright: ignore[reportPrivateUsage] - as above
    assert "taken up again" in caplog.text
    ((_, thread),) = worker._under_way.values()  # pyright: ignore[reportPrivateUsage] - as above
    thread.join(20)
