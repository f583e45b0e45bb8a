"""What was last seen of an agent at work: kept by who holds the run, and by nobody else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interlock.app import Interlock
from interlock.approval.errors import InvalidWork
from interlock.approval.models import Limits, Work
from interlock.queue.models import WorkerProcess
from interlock.runs.models import Claim, Pulse
from tests.conftest import ALICE, WORKER

ME = WorkerProcess(id="worker-1", host="here", boot_id="b", pid=1, start_time=1)
SEEN = Pulse(
    node_id="n_1",
    host="here",
    pid=7,
    start_time=8,
    boot_id="b",
    started_ms=9,
    output_ms=10,
    output_bytes=11,
    session_id="s-1",
    turns=2,
    input_tokens=3,
    output_tokens=4,
    cost_microusd=5,
    terminal="success",
    terminal_ms=12,
)


@pytest.fixture
def claim(house: Interlock) -> Claim:
    draft = house.approval.create(ALICE, prompt="do it", work=Work(command=("true",)))
    approved = house.approval.approve(ALICE, draft.id)
    house.runs.create(ALICE, approved.id)
    found = house.runs.claim(WORKER, ME)
    assert found is not None
    return found


def test_a_run_without_an_agent_has_no_pulse(house: Interlock, claim: Claim) -> None:
    assert house.runs.pulse(claim.run.id) is None


def test_what_was_seen_last_is_kept_whole(house: Interlock, claim: Claim) -> None:
    house.runs.put_pulse(claim, Pulse(fence=claim.item.fence))
    seen = replace(SEEN, fence=claim.item.fence)
    house.runs.put_pulse(claim, seen)
    assert house.runs.pulse(claim.run.id) == seen


def test_a_worker_that_came_too_late_changes_nothing(house: Interlock, claim: Claim) -> None:
    seen = replace(SEEN, fence=claim.item.fence)
    house.runs.put_pulse(claim, seen)
    house.runs.give_back(WORKER, claim)
    house.runs.put_pulse(claim, Pulse(fence=claim.item.fence))
    assert house.runs.pulse(claim.run.id) == seen


def test_terms_that_set_nothing_new_are_what_they_were() -> None:
    plain = Work(command=("true",)).to_json()
    assert not {"agent", "needs", "rung"} & plain.keys()
    assert not {"tokens", "cost_microusd"} & plain["limits"].keys()


def test_what_is_set_comes_back() -> None:
    work = Work(agent="codex", needs=("gpu", "region=eu"), rung="checked", limits=Limits(tokens=5, cost_microusd=6))
    assert Work.from_json(work.to_json()) == work


@pytest.mark.parametrize("label", ["", "GPU", "a b", "a=", "=b", "a\n", "x" * 200])
def test_a_label_that_is_none_is_refused(label: str) -> None:
    with pytest.raises(InvalidWork, match="asked for by"):
        Work(needs=(label,))
