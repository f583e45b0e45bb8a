"""However a worker fails, the world outside never meets two agents of one run at work at the same time."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from interlock.runs.containment import processes
from interlock.runs.containment.line import lease_clock
from interlock.runs.models import Run, RunStatus
from tests.conftest import until
from tests.engines.collector import agent, collecting
from tests.engines.world import PATIENCE_SECONDS, World

TICKS = "case $INTERLOCK_RUN in *:1) while :; do say tick; sleep 0.01; done;; esac"


@pytest.mark.parametrize("world", ["postgres"], indirect=True)
@pytest.mark.proves("truth-never-two")
def test_the_agent_of_a_worker_that_stands_still_stands_still_before_another_begins(world: World) -> None:
    with collecting() as collector:
        run = world.create(agent(collector.port, TICKS), repository=None)
        first = world.worker()
        until(lambda: len(collector.told()) > 10, PATIENCE_SECONDS)
        first.signal(signal.SIGSTOP)
        second = world.worker(elsewhere=True, apart=True)
        done = world.wait_for(run)
        assert done.status is RunStatus.DONE, world.story(run)
        claims = collector.claims()
        assert [claim.split(":")[1] for claim in claims] == ["1", "3"], world.story(run)

        first.signal(signal.SIGCONT)
        until(lambda: not world.processes(run), PATIENCE_SECONDS)
        told = collector.told()
        assert (claims[0], "tick") not in told[told.index((claims[1], "begins")) :]
        second.kill()


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has just ended
        return b""


def stands_still(world: World, run: Run) -> bool:
    agents = [pid for pid in world.processes(run) if b"/dev/tcp" in command(pid)]
    return bool(agents) and all(processes.stands_still(pid) for pid in agents)


def test_an_agent_goes_on_where_it_stood_when_its_worker_was_only_slow(world: World) -> None:
    with collecting() as collector:
        run = world.create(agent(collector.port, "for i in $(seq 150); do say $i; sleep 0.02; done"), repository=None)
        worker = world.worker()
        until(lambda: len(collector.told()) > 10, PATIENCE_SECONDS)
        worker.signal(signal.SIGSTOP)

        until(lambda: stands_still(world, run), PATIENCE_SECONDS)
        worker.signal(signal.SIGCONT)
        assert world.wait_for(run).status is RunStatus.DONE, world.story(run)
        assert [line for _, line in collector.told()] == ["begins", *map(str, range(1, 151)), ""]


def test_a_lease_stays_as_short_as_it_was_claimed_whatever_is_set_since(world: World) -> None:
    run = world.create(("sleep", "1"), repository=None)
    worker = world.house.worker(concurrency=1)
    worker.lease_seconds = 600.0
    worker._claim()  # pyright: ignore[reportPrivateUsage] - one turn of its loop, to look at what came of it
    ((execution, thread),) = worker._under_way.values()  # pyright: ignore[reportPrivateUsage] - the same
    for _ in range(2):
        assert execution.lease_until is not None
        assert execution.lease_until - lease_clock() < world.item(run).lease_ms / 1000
        worker._beat()  # pyright: ignore[reportPrivateUsage] - the same
    thread.join(PATIENCE_SECONDS)
    assert world.run(run).status is RunStatus.DONE, world.story(run)
