"""Runs and their workflows: whichever is stopped, and whoever goes away, a run ends once, and as was said."""

from __future__ import annotations

import base64
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.runs.models import Run, RunStatus
from tests.conftest import ALICE, until
from tests.engines.conformance import EFFECT, TAKEN_OVER_SECONDS
from tests.engines.temporal_server import TemporalServer
from tests.engines.world import INTERLOCK, World, surroundings

pytestmark = pytest.mark.timeout(180)

STAYS = "echo stays; while :; do sleep 0.1; done"


@pytest.fixture
def world(tmp_path: Path, temporal: TemporalServer) -> Iterator[World]:
    """A workspace whose workers carry runs out as workflows."""
    made = World(tmp_path, temporal_address=temporal.address)
    yield made
    made.close()


@pytest.fixture
def mortal(tmp_path: Path, mortal_temporal: TemporalServer) -> Iterator[World]:
    """The same over a server that is this test's own, and not started."""
    made = World(tmp_path, temporal_address=mortal_temporal.address)
    yield made
    made.close()


def status_of(server: TemporalServer, run: Run, fence: int = 1) -> str:
    """Return what Temporal says of a claim's workflow; empty where it knows none."""
    told = described(server, run, fence)
    if not told:
        return ""
    return str(json.loads(told)["workflowExecutionInfo"]["status"]).removeprefix("WORKFLOW_EXECUTION_STATUS_")


def described(server: TemporalServer, run: Run, fence: int = 1) -> str:
    """Return all that Temporal says of a claim's workflow, as JSON; empty where it knows none."""
    told = server.look(f"/workflows/{run.id}%3A{fence}")
    return json.dumps(json.loads(told)) if told else ""


def assert_done_once(world: World, run: Run, *, attempt: int = 1) -> None:
    done = world.wait_for(run, seconds=TAKEN_OVER_SECONDS)
    assert (done.status, done.attempt) == (RunStatus.DONE, attempt), world.story(run)
    assert world.fences(run, "run.done") == [2 * attempt - 1]
    assert world.patch(run).count("+carried out\n") == 1


# --- Temporal goes away -----------------------------------------------------------------------------------------------


@pytest.mark.proves("temporal-away")
def test_an_agent_goes_on_while_temporal_is_killed_and_started_again(
    mortal: World, mortal_temporal: TemporalServer
) -> None:
    mortal_temporal.start()
    gate = mortal.place / "gate"
    run = mortal.create(f"echo here; until test -e {gate}; do sleep 0.05; done; {EFFECT}")
    mortal.worker(environment={"INTERLOCK_WORKER_VISIBLE": str(gate.parent)})
    mortal.wait_for_line(run, "here")
    mortal_temporal.kill()
    gate.touch()
    until(lambda: "agent" in _completed(mortal, run), 20)
    mortal_temporal.start()

    assert_done_once(mortal, run)
    assert mortal.fences(run, "run.agent_started") == [1]
    until(lambda: status_of(mortal_temporal, run) == "COMPLETED", 20)


def test_a_second_try_of_a_step_that_is_at_work_joins_it(world: World, temporal: TemporalServer) -> None:
    gate = world.place / "gate"
    run = world.create(f"echo here; until test -e {gate}; do sleep 0.05; done; {EFFECT}")
    patient = {"INTERLOCK_TEMPORAL_TAKE_UP_SECONDS": "60", "INTERLOCK_WORKER_VISIBLE": str(gate.parent)}
    worker = world.worker(environment=patient)
    world.wait_for_line(run, "here")
    worker.signal(signal.SIGSTOP)
    until(lambda: '"attempt": 2' in described(temporal, run), 20)
    worker.signal(signal.SIGCONT)
    until(lambda: "PENDING_ACTIVITY_STATE_STARTED" in described(temporal, run), 20)
    gate.touch()

    assert_done_once(world, run)
    assert world.fences(run, "run.agent_started") == [1]


def test_where_temporal_is_not_there_runs_wait_and_begin_by_themselves_when_it_comes(
    mortal: World, mortal_temporal: TemporalServer
) -> None:
    run = mortal.create(EFFECT)
    worker = mortal.worker(product=True)
    worker.wait_for_words(f"Temporal at {mortal_temporal.address} can not be used, trying again", 30)
    assert mortal.run(run).status is RunStatus.PENDING
    mortal_temporal.start()

    assert_done_once(mortal, run)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.words()


def test_a_namespace_that_is_not_there_is_said_and_nothing_is_claimed(world: World) -> None:
    run = world.create(EFFECT)
    worker = world.worker(product=True, environment={"INTERLOCK_TEMPORAL_NAMESPACE": "nowhere"})
    worker.wait_for_words("can not be used, trying again: Namespace nowhere is not found", 30)
    worker.signal(signal.SIGTERM)

    assert worker.wait() == 0, worker.words()
    assert (world.item(run).fence, world.run(run).status) == (0, RunStatus.PENDING)


def test_a_worker_that_is_to_work_once_says_that_temporal_is_not_there(mortal: World) -> None:
    run = mortal.create(EFFECT)
    worker = mortal.worker(once=True, product=True)

    assert worker.wait(40) == 5, worker.words()
    assert "does not answer" in worker.words()
    assert mortal.run(run).status is RunStatus.PENDING


@pytest.mark.proves("temporal-away")
def test_when_temporal_never_comes_back_the_lease_ends_and_a_local_worker_finishes_the_run(
    mortal: World, mortal_temporal: TemporalServer
) -> None:
    mortal_temporal.start()
    run = mortal.create(EFFECT)
    worker = mortal.worker(stop_at="agent.made", environment={"INTERLOCK_TEMPORAL_LEASE_SECONDS": "5"})
    worker.wait_until_it_stands()
    mortal_temporal.kill()
    worker.go_on()
    until(lambda: "agent" in _completed(mortal, run), 20)
    mortal.temporal_address = ""
    mortal.worker()

    assert_done_once(mortal, run, attempt=2)
    assert [told["reason"] for told in mortal.events(run, "run.returned")] == ["lease_expired"]


# --- a dispatcher goes away -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["dispatch.claimed", "dispatch.started"])
@pytest.mark.proves("temporal-outbox")
def test_a_dispatcher_killed_around_the_start_of_a_workflow_neither_loses_nor_doubles_the_run(
    world: World, temporal: TemporalServer, point: str
) -> None:
    run = world.create(f"case $INTERLOCK_RUN in *:1) sleep 60;; esac; {EFFECT}")
    first = world.worker(stop_at=point)
    first.wait_until_it_stands()
    first.kill()
    world.worker()

    assert_done_once(world, run, attempt=2)
    until(lambda: status_of(temporal, run) == "COMPLETED", 20)


# --- somebody stops it ------------------------------------------------------------------------------------------------


@pytest.mark.proves("temporal-cancel")
def test_a_run_that_is_cancelled_is_cancelled_in_temporal_too(world: World, temporal: TemporalServer) -> None:
    run = world.create(STAYS)
    world.worker()
    world.wait_for_line(run, "stays")
    world.house.runs.cancel(ALICE, run.id, reason="no more")

    until(lambda: status_of(temporal, run) == "CANCELED", 20)
    until(lambda: world.processes(run) == [], 20)
    assert world.run(run).reason == "cancelled_by_operator"


@pytest.mark.parametrize(("word", "how"), [("cancel", "cancelled"), ("terminate", "terminated")])
@pytest.mark.proves("temporal-cancel")
def test_a_workflow_that_is_stopped_in_temporal_cancels_its_run(
    world: World, temporal: TemporalServer, word: str, how: str
) -> None:
    run = world.create(STAYS)
    worker = world.worker()
    world.wait_for_line(run, "stays")
    assert temporal.ask("workflow", word, "--workflow-id", f"{run.id}:1").returncode == 0

    ended = world.wait_for(run, seconds=20)
    assert (ended.status, ended.reason) == (RunStatus.CANCELLED, "cancelled_in_temporal"), world.story(run)
    assert ended.message == f"its workflow {run.id}:1 was {how} in Temporal"
    until(lambda: world.processes(run) == [], 20)
    until(lambda: world.left_behind() == [], 20)
    assert worker.is_there()
    assert world.events(run, "run.done") == world.events(run, "run.failed") == []


# --- what Temporal knows ----------------------------------------------------------------------------------------------


@pytest.mark.proves("temporal-found")
def test_operators_find_a_run_by_its_id_and_temporal_knows_nothing_but_ids(
    world: World, temporal: TemporalServer
) -> None:
    run = world.create(EFFECT, prompt="a secret plan", environment=["PLAIN"])
    world.work_it_off(environment={"PLAIN": "plain-s3cr3t"}, product=True)
    assert_done_once(world, run)

    def found() -> bool:
        query = f'InterlockRun="{run.id}" AND InterlockApproval="{run.approved_id}" AND ExecutionStatus="Completed"'
        return f"{run.id}:1" in temporal.ask("workflow", "list", "--query", query).stdout

    until(found, 20)
    shown = temporal.ask("workflow", "show", "--workflow-id", f"{run.id}:1", "--output", "json").stdout
    payloads = [base64.b64decode(each).decode() for each in re.findall(r'"data": "([^"]*)"', shown)]
    history = "\n".join([shown, *payloads])
    assert run.item_id in history
    for word in ("secret plan", "plain-s3cr3t", "carried out", "PLAIN"):
        assert word not in history


def test_workers_of_both_engines_share_one_queue_and_start_each_agent_once(
    world: World, temporal: TemporalServer
) -> None:
    approved = world.approve(EFFECT)
    runs = [world.house.runs.create(ALICE, approved.id) for _ in range(8)]
    one_at_a_time = {"INTERLOCK_WORKER_CONCURRENCY": "1"}
    world.worker(environment=one_at_a_time)
    world.temporal_address = ""
    world.worker(environment=one_at_a_time)

    for run in runs:
        assert_done_once(world, run)
        assert world.fences(run, "run.agent_started") == [1]
    assert temporal.answers()


def test_without_the_client_library_it_is_said_what_to_install(world: World) -> None:
    # A name that is None among the modules is one that can not be imported.
    program = "import sys; sys.modules['temporalio'] = None; from interlock.cli.main import main; sys.exit(main())"
    said = subprocess.run(
        [sys.executable, "-c", program, "worker", "--engine", "temporal", "--workspace", str(world.root)],
        capture_output=True,
        text=True,
        check=False,
        timeout=40,
        env=surroundings(),
    )
    assert said.returncode == 4, said.stderr
    assert "pip install 'interlock[temporal]'" in said.stderr


@pytest.mark.parametrize(
    "words", [("--engine", "steam"), ("--engine", "local", "--temporal-address", "127.0.0.1:1")], ids=["none", "other"]
)
def test_an_engine_that_is_not_there_is_refused(world: World, words: tuple[str, ...]) -> None:
    said = subprocess.run(
        [str(INTERLOCK), "worker", "--workspace", str(world.root), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=40,
        env=surroundings(),
    )
    assert (said.returncode, said.stdout) == (2, ""), said.stderr


def _completed(world: World, run: Run) -> list[str]:
    return [step.name.value for step in world.house.runs.steps(run.id) if step.output is not None]
