"""A pulse is written seldom, at once where it matters, and together with what is written anyway."""

from __future__ import annotations

import pytest

from interlock.approval.models import Limits
from interlock.queue.models import WorkerProcess
from interlock.runs.models import Pulse
from interlock.runs.vitals import Vitals

STARTED = WorkerProcess(id="agent", host="here", pid=7, start_time=8, boot_id="b")


@pytest.fixture
def written() -> list[Pulse]:
    return []


@pytest.fixture
def vitals(written: list[Pulse]) -> Vitals:
    made = Vitals(written.append, fence=3, host="here")
    made.process(STARTED, 100)
    made.flush()
    return made


def test_the_process_is_written_at_once(vitals: Vitals, written: list[Pulse]) -> None:
    assert written == [vitals.pulse] == [Pulse(fence=3, host="here", pid=7, start_time=8, boot_id="b", started_ms=100)]


def test_output_waits_for_its_time_and_is_never_lost(vitals: Vitals, written: list[Pulse]) -> None:
    for each in range(1000):
        vitals.printed(200 + each, 10)
        vitals.flush()
    assert len(written) == 1
    vitals.flush(end=True)
    assert (written[-1].output_ms, written[-1].output_bytes) == (1199, 10_000)
    vitals.flush(end=True)
    assert len(written) == 2, "nothing new, nothing written"


def test_the_session_and_the_last_word_do_not_wait(vitals: Vitals, written: list[Pulse]) -> None:
    vitals.told(session_id="s-1", input_tokens=5)
    vitals.flush()
    vitals.ended("success", 300)
    vitals.flush()
    assert [(each.session_id, each.terminal) for each in written[1:]] == [("s-1", None), ("s-1", "success")]


def test_what_is_due_goes_beside_the_log_and_again_where_that_failed(vitals: Vitals) -> None:
    vitals.ended("success", 300)

    def fails(_pulse: Pulse | None) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        vitals.beside(fails)
    beside: list[Pulse | None] = []
    vitals.beside(beside.append)
    vitals.beside(beside.append)
    assert beside == [vitals.pulse, None]


def test_a_limit_counts_what_the_agent_says_and_zero_is_none(vitals: Vitals) -> None:
    vitals.told(input_tokens=60, output_tokens=40, cost_microusd=5)
    assert vitals.broken(Limits()) is None
    assert vitals.broken(Limits(tokens=100, cost_microusd=5)) is None
    assert vitals.broken(Limits(tokens=99)) == "limit_tokens"
    assert vitals.broken(Limits(cost_microusd=4)) == "limit_cost"
