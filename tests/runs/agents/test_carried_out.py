"""Agents carried out by real workers: stand-ins that speak the real ones' formats and change real files."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from interlock.approval.models import Limits
from interlock.runs.models import RunStatus
from tests.conftest import ALICE, until
from tests.runs.agents.conftest import NAMES, AgentWorld

COSTS = {"claude_code": 12_500, "codex": None, "gemini_cli": None, "opencode": 12_500}
RESETS = "2026-11-18T11:06:40.000Z"


@pytest.mark.parametrize("agent", NAMES)
@pytest.mark.proves("agents-read")
def test_an_agent_does_its_work_and_its_figures_are_in_the_result(agents: AgentWorld, agent: str) -> None:
    run = agents.asked(agent, "write it")
    ended = agents.done(run)
    assert ended.status is RunStatus.DONE, agents.story(run)
    figures = (ended.result or {})["agent"]
    assert figures["name"] == agent
    assert figures["session_id"].startswith("s-")
    assert figures["turns"] >= 1
    assert figures["cost_microusd"] == COSTS[agent]  # what is not known is not 0
    assert figures["input_tokens"] >= 300
    assert figures["output_tokens"] >= 30
    assert figures["terminal"] == "success"
    assert "+first write it" in agents.patch(run)


@pytest.mark.parametrize("agent", NAMES)
def test_what_an_agent_does_stands_in_the_log_for_people_to_read_beside_the_raw_lines(
    agents: AgentWorld, agent: str
) -> None:
    run = agents.asked(agent, "write it")
    agents.done(run)
    read = agents.log(run, "agent")
    assert any("work.txt" in line for line in read), agents.story(run)
    assert any("done" in line.lower() for line in read)
    assert any(line.startswith('{"type"') for line in agents.log(run, "stdout"))


@pytest.mark.parametrize("agent", NAMES)
def test_an_agent_that_crashes_in_the_middle_of_a_line_ends_its_run_in_error(agents: AgentWorld, agent: str) -> None:
    run = agents.asked(agent, "crash now")
    ended = agents.done(run)
    assert (ended.status, ended.reason) == (RunStatus.ERROR, "agent_failed"), agents.story(run)
    assert "exit code 3" in str(ended.message)
    assert (ended.result or {})["agent"]["terminal"] in {None, "success"}


@pytest.mark.parametrize("agent", NAMES)
def test_a_providers_limit_ends_the_run_with_the_time_at_which_it_resets(agents: AgentWorld, agent: str) -> None:
    run = agents.asked(agent, "limit now")
    ended = agents.done(run)
    assert (ended.status, ended.reason) == (RunStatus.ERROR, "agent_limited"), agents.story(run)
    assert (ended.result or {})["agent"]["resets_at"] == RESETS
    assert RESETS in str(ended.message)


@pytest.mark.parametrize("agent", NAMES)
def test_an_agent_that_says_itself_that_it_failed_is_not_done_although_it_ends_with_0(
    agents: AgentWorld, agent: str
) -> None:
    run = agents.asked(agent, "give up")
    ended = agents.done(run)
    assert (ended.status, ended.reason) == (RunStatus.ERROR, "agent_failed"), agents.story(run)
    assert (ended.result or {})["exit_code"] == 0


@pytest.mark.parametrize("agent", ["claude_code", "codex", "opencode"])
@pytest.mark.proves("agents-budget")
def test_an_agent_that_uses_more_tokens_than_was_approved_is_ended_at_once(agents: AgentWorld, agent: str) -> None:
    run = agents.asked(agent, "spend it all", limits=Limits(wall_clock_seconds=60, tokens=5_000))
    ended = agents.done(run)
    assert (ended.status, ended.reason) == (RunStatus.ERROR, "limit_tokens"), agents.story(run)
    assert (ended.result or {})["durations_ms"]["agent"] < 30_000


@pytest.mark.proves("agents-budget")
def test_an_agent_that_costs_more_than_was_approved_is_ended_at_once(agents: AgentWorld) -> None:
    run = agents.asked("opencode", "spend it all", limits=Limits(wall_clock_seconds=60, cost_microusd=30_000))
    ended = agents.done(run)
    assert (ended.status, ended.reason) == (RunStatus.ERROR, "limit_cost"), agents.story(run)


@pytest.mark.parametrize(
    ("agents", "agent"), [*(("sqlite", name) for name in NAMES), ("postgres", "claude_code")], indirect=["agents"]
)
@pytest.mark.proves("agents-resumed")
def test_a_session_is_taken_up_again_where_it_stood_after_its_worker_was_killed(agents: AgentWorld, agent: str) -> None:
    run = agents.asked(agent, "hang until you are taken up again")
    worker = agents.worker(environment=agents.environment)
    until(lambda: any("work.txt" in line for line in agents.log(run, "agent")), 30)
    worker.kill()
    ended = agents.done(run)
    assert ended.status is RunStatus.DONE, agents.story(run)
    patch = agents.patch(run)
    assert "+first hang" in patch
    assert "+again hang" in patch
    (step,) = [each for each in agents.house.runs.steps(run.id) if each.name.value == "agent"]
    resumed: Any = (step.output or {})["resumed"]
    assert resumed["session_id"] in resumed["command"]
    assert (ended.result or {})["agent"]["session_id"] == resumed["session_id"]
    assert agents.left_behind() == []


def test_a_session_is_taken_up_again_after_its_worker_was_told_to_stop(agents: AgentWorld) -> None:
    run = agents.asked("claude_code", "hang until you are taken up again")
    worker = agents.worker(environment=agents.environment)
    until(lambda: any("work.txt" in line for line in agents.log(run, "agent")), 30)
    worker.signal(signal.SIGTERM)
    worker.wait(30)
    assert agents.run(run).status is RunStatus.PENDING
    ended = agents.done(run)
    assert ended.status is RunStatus.DONE, agents.story(run)
    assert ended.attempt == 1
    assert "+again hang" in agents.patch(run)
    assert agents.left_behind() == []


def test_a_worker_that_was_paused_and_wakes_late_takes_nothing_from_who_resumed(agents: AgentWorld) -> None:
    run = agents.asked("claude_code", "linger a while")
    first = agents.worker(environment=agents.environment)
    until(lambda: any("work.txt" in line for line in agents.log(run, "agent")), 30)
    first.signal(signal.SIGSTOP)
    agents.worker(environment=agents.environment)
    until(lambda: any("up again" in line for line in agents.log(run, "interlock")), 60)
    place = agents.house.layout.worktrees / f"{run.id}-1"
    until(lambda: "again" in (place / "work.txt").read_text(), 30)
    first.signal(signal.SIGCONT)
    agents.work_it_off(environment=agents.environment)  # a worker that begins tidies up
    until(lambda: agents.item(run).fence > 1 and not agents.processes_of(run, 1), 30)
    (place / "go").touch()
    ended = agents.wait_for(run, seconds=60)
    assert ended.status is RunStatus.DONE, agents.story(run)
    assert "+first linger" in agents.patch(run)
    assert "+again linger" in agents.patch(run)
    until(lambda: agents.left_behind() == [], 30)


def test_a_session_that_is_not_there_any_more_begins_anew_from_the_base_commit(agents: AgentWorld) -> None:
    run = agents.asked("claude_code", "forget everything")
    worker = agents.worker(environment=agents.environment)
    until(lambda: any("work.txt" in line for line in agents.log(run, "agent")), 30)
    worker.kill()
    agents.worker(environment=agents.environment)
    until(lambda: sum(line.startswith("session s-") for line in agents.log(run, "agent")) == 2, 30)
    assert any("begins anew" in line for line in agents.log(run, "interlock"))
    place = agents.house.layout.worktrees / f"{run.id}-{agents.item(run).fence}" / "work.txt"
    until(place.exists, 30)
    assert place.read_text() == "first forget everything\n"  # nothing of the lost attempt is in it
    agents.house.runs.cancel(ALICE, run.id)
    until(lambda: agents.left_behind() == [], 30)
