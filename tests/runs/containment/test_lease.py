"""An agent goes on only as long as its worker holds the lease: else it stands still until that is renewed."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interlock.runs.containment import processes
from interlock.runs.containment.launch import launch
from interlock.runs.containment.line import lease_clock
from tests.runs.containment.trees import DEADLINE_SECONDS, shell, wait_until

if TYPE_CHECKING:
    from interlock.runs.containment.launch import Contained
    from tests.runs.containment.trees import Mode

# Three that write and are born anew all the time: one of them an orphan in a session of its own.
BUSY = """\
trap 'echo polite >> {0}' TERM
busy() {{ while :; do (echo x >> {0}); done; }}
setsid bash -c 'while :; do (echo y >> {0}); done' &
busy & busy
"""


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    return tmp_path / "traces"


def started(traces: Path, mode: Mode, seconds: float) -> Contained:
    writable = (traces.parent,)
    wanted = shell(BUSY.format(traces), mode=mode, writable_paths=writable, lease_until=lease_clock() + seconds)
    run = launch(wanted)
    run.wait_started(DEADLINE_SECONDS)
    return run


def size(traces: Path) -> int:
    return traces.stat().st_size if traces.exists() else 0


def stands_still(run: Contained) -> bool:
    """Look twice: one that was just being born is not seen the first time, and nobody bears who stands still."""
    keeper = run.wait_started(0).keeper_pid
    below = processes.descendants(keeper)
    still = bool(below) and all(processes.stands_still(pid) for pid in below)
    return still and set(processes.descendants(keeper)) == set(below)


def goes_on(run: Contained, traces: Path, *, seconds: float) -> None:
    before = size(traces)
    run.renew(lease_clock() + seconds)
    wait_until(lambda: size(traces) > before, "it goes on")


def test_an_agent_whose_lease_is_not_renewed_stands_still_and_goes_on_when_it_is(traces: Path, mode: Mode) -> None:
    with started(traces, mode, 0.3) as run:
        for _ in range(3):
            wait_until(lambda: stands_still(run), "everything stands still")
            goes_on(run, traces, seconds=0.5)


def test_renewed_in_time_it_never_stands_still(traces: Path, mode: Mode) -> None:
    with started(traces, mode, 0.5) as run:
        until = lease_clock() + 1.2
        while lease_clock() < until:
            run.renew(lease_clock() + 60)
            assert not stands_still(run)


def test_a_lease_that_has_ended_already_when_the_word_comes_lets_nothing_go_on(traces: Path, mode: Mode) -> None:
    with started(traces, mode, 0.2) as run:
        wait_until(lambda: stands_still(run), "everything stands still")
        before = size(traces)
        run.renew(lease_clock() - 1)
        run.renew(lease_clock() - 0.001)
        run.stop()
        run.wait(DEADLINE_SECONDS)

        assert size(traces) == before


def test_what_stands_still_is_ended_without_another_step(traces: Path, mode: Mode) -> None:
    with started(traces, mode, 0.2) as run:
        wait_until(lambda: stands_still(run), "everything stands still")
        before = size(traces)
        run.stop()
        ended = run.wait(DEADLINE_SECONDS)

        assert (ended.reason, ended.signal, ended.survivors) == ("stopped", signal.SIGKILL, 0)
        assert size(traces) == before, "it was not even asked politely"
        assert not processes.marked(run.marker)


def test_the_worker_may_stand_still_itself(traces: Path, mode: Mode) -> None:
    with started(traces, mode, 0.2) as run:
        wait_until(lambda: stands_still(run), "everything stands still")
        supervisor = run.wait_started(0).supervisor_pid
        os.kill(supervisor, signal.SIGSTOP)
        run.renew(lease_clock() + 60)
        os.kill(supervisor, signal.SIGCONT)
        goes_on(run, traces, seconds=60)


def test_without_a_lease_nothing_ends(traces: Path, mode: Mode) -> None:
    with launch(shell(BUSY.format(traces), mode=mode, writable_paths=(traces.parent,))) as run:
        run.wait_started(DEADLINE_SECONDS)
        wait_until(lambda: size(traces) > 100, "it works")
        assert not stands_still(run)
