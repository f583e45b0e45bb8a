"""What is said of real workers and agents that hang, stop, die and wake: the verdict, and what becomes of the run."""

from __future__ import annotations

import signal
import time

import pytest

from interlock.runs.models import Run, RunStatus
from interlock.runs.truth import Action, Verdict
from tests.conftest import ALICE, until
from tests.engines.world import PATIENCE_SECONDS, World
from tests.runs.containment.trees import Orphan

FIRST, SECOND = 1, 3
"""Fences: a claim raises it, and so does the rescue between two claims."""
NEVER = {"INTERLOCK_WORKER_NAMESPACES": "never"}
QUICK = {"INTERLOCK_TRUTH_STALL_SECONDS": "2", "INTERLOCK_TRUTH_REPORT_SECONDS": "2"}
EFFECT = "echo carried out >> effect.txt"


def verdicts(world: World, run: Run) -> list[tuple[str, str, str]]:
    """Return what was said of a run, in its order."""
    told = world.events(run, "run.judged")
    return [(each["verdict"], each["reason"], each["action"]) for each in told]


def test_an_agent_that_hangs_asks_a_person_until_it_goes_on(world: World) -> None:
    sign = world.place / "go"
    sign.mkdir()
    run = world.create(
        f"echo begins; while test -e {sign}; do sleep 0.1; done; echo goes on; {EFFECT}; sleep 2; echo ends",
        repository=None,
    )
    worker = world.worker(environment={**QUICK, **NEVER})
    until(lambda: [each.run_id for each in world.house.truths.asking()] == [run.id], PATIENCE_SECONDS)
    found = world.house.truths.get(run.id)
    assert found is not None
    assert (found.verdict, found.reason, found.action) == (Verdict.SILENT, "no_output", Action.ASK)
    assert run.id in [each.id for each in world.house.inbox.list().entries]
    assert worker.is_there()
    sign.rmdir()
    assert world.wait_for(run).status is RunStatus.DONE, world.story(run)
    until(lambda: world.house.truths.list() == [], PATIENCE_SECONDS)
    assert run.id not in [each.id for each in world.house.inbox.list().entries]
    assert verdicts(world, run)[0] == ("silent", "no_output", "ask")


def test_an_agent_that_hangs_is_killed_and_its_worker_goes_on_where_the_policy_says_so(world: World) -> None:
    orphan = Orphan()
    run = world.create(f"{orphan.script}; echo hangs; while :; do sleep 0.1; done")
    worker = world.worker(environment={**QUICK, "INTERLOCK_TRUTH_SILENT": "kill"})
    ended = world.wait_for(run)
    assert (ended.status, ended.reason) == (RunStatus.ERROR, "silent"), world.story(run)
    until(lambda: not world.processes(run) and not orphan.lives(), PATIENCE_SECONDS)
    assert verdicts(world, run)[-1] == ("silent", "no_output", "kill")
    after = world.create(EFFECT)
    assert world.wait_for(after).status is RunStatus.DONE, world.story(after)
    assert worker.is_there()


def test_an_agent_that_ended_while_its_worker_hangs_is_not_started_again(world: World) -> None:
    run = world.create(EFFECT)
    hung = world.worker(stop_at="agent.made", environment=QUICK)
    hung.wait_until_it_stands()
    ended = world.wait_for(run, seconds=PATIENCE_SECONDS)
    assert (ended.status, ended.reason) == (RunStatus.ERROR, "finished_unreported"), world.story(run)
    assert verdicts(world, run) == [("finished_unreported", "process_ended", "finalise")]
    before = world.count()
    hung.go_on()
    hung.signal(signal.SIGTERM)
    assert hung.wait() == 0, hung.words()
    assert (world.run(run), world.fences(run, "run.agent_started")) == (ended, [FIRST])
    assert world.count() == before


def test_a_worker_that_is_stopped_while_its_agent_ends_loses_the_run_and_writes_nothing_when_it_wakes(
    world: World,
) -> None:
    run = world.create(f"echo begins; {EFFECT}")
    first = world.worker(stop_at="agent.started")
    first.wait_until_it_stands()
    first.signal(signal.SIGSTOP)
    second = world.worker()
    done = world.wait_for(run)
    assert (done.status, done.attempt) == (RunStatus.DONE, 2), world.story(run)
    assert verdicts(world, run)[0] == ("lost_worker", "lease_expired", "take_over")
    assert world.fences(run, "run.done") == [SECOND]
    first.go_on()
    first.signal(signal.SIGCONT)
    first.signal(signal.SIGTERM)
    assert first.wait() == 0, first.words()
    assert world.run(run) == done
    second.signal(signal.SIGTERM)
    assert second.wait() == 0
    assert world.verified().uncovered == 0


@pytest.mark.parametrize("world", ["sqlite", "postgres"], indirect=True)
def test_a_killed_worker_whose_tree_lives_on_is_found_and_its_run_goes_on(
    world: World,
) -> None:
    orphan = Orphan()
    run = world.create(f"case $INTERLOCK_RUN in *:{FIRST}) {orphan.script}; echo stays; sleep 60;; esac; {EFFECT}")
    second = world.worker(stop_at="agent.started", environment=NEVER)
    second.wait_until_it_stands()
    third = world.worker(stop_at="agent.begun", environment=NEVER)
    second.kill()
    began = time.monotonic()
    third.wait_until_it_stands()
    print(f"a killed worker's run was in other hands after {time.monotonic() - began:.2f} s")  # noqa: T201 - a number to see with -s
    third.go_on()
    done = world.wait_for(run)
    assert (done.status, done.attempt) == (RunStatus.DONE, 2), world.story(run)
    (verdict, reason, action), *_ = verdicts(world, run)
    assert verdict in {"orphaned", "lost_worker"}  # the tree may have seen its worker's end before anybody looked
    assert (reason, action) == ("worker_dead", "take_over")
    world.seal()
    kinds = [
        event["kind"]
        for _, event in world.house.windows.log.events(0, world.house.evidence.log.size())
        if event["subject"] == run.id
    ]
    order = ["run.judged", "run.returned", "run.started", "run.done"]
    assert [kind for kind in kinds[kinds.index("run.judged") :] if kind in order] == order
    until(lambda: not orphan.lives(), PATIENCE_SECONDS)


@pytest.mark.parametrize("point", ["reconcile.kept", "reconcile.take_over.begun", "reconcile.take_over.done"])
@pytest.mark.proves("truth-restart")
def test_a_reconciler_that_is_killed_in_the_middle_of_a_take_over_loses_nothing(world: World, point: str) -> None:
    run = world.create(EFFECT)
    first = world.worker(stop_at="agent.begun")
    first.wait_until_it_stands()
    second = world.worker(stop_at=point)
    first.kill()
    second.wait_until_it_stands()
    second.kill()
    world.work_it_off()
    done = world.run(run)
    assert (done.status, done.attempt) == (RunStatus.DONE, 2), world.story(run)
    assert [told["reason"] for told in world.events(run, "run.returned")] == ["worker_dead"]
    assert len(verdicts(world, run)) == 1
    assert world.patch(run).count("+carried out\n") == 1
    assert world.left_behind() == []


def test_somebody_who_asks_hears_what_is_true_of_a_run(world: World) -> None:
    run = world.create("echo begins; while :; do sleep 0.1; done")
    worker = world.worker()
    world.wait_for_line(run, "begins")
    found = world.house.truths.get(run.id)
    assert found is not None
    assert (found.verdict, found.action) == (Verdict.PROGRESSING, Action.WAIT)
    pulse = world.house.runs.pulse(run.id)
    assert pulse is not None
    assert pulse.pid is not None
    until(lambda: (world.house.runs.pulse(run.id) or pulse).output_bytes == len("begins\n"), PATIENCE_SECONDS)
    world.house.runs.cancel(ALICE, run.id)
    until(lambda: not world.processes(run), PATIENCE_SECONDS)
    assert world.house.truths.get(run.id) is None
    assert worker.is_there()
