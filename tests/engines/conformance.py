"""What every engine does: a class for each engine inherits these tests, and its `world` has workers on it."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import pytest

from interlock.approval.models import Limits
from interlock.kernel.canonical import JsonObject
from interlock.queue.models import ItemStatus
from interlock.runs.models import Run, RunStatus
from tests.conftest import ALICE, until
from tests.engines.test_panic import panic, release
from tests.engines.world import GRACE_SECONDS, World, seconds_until
from tests.runs.containment.trees import Orphan

STEPS = ("prepare", "agent", "collect", "verify")
EFFECT = "echo carried out >> effect.txt"
ONE_EFFECT = 'test "$(cat effect.txt)" = "carried out"'
TAKEN_OVER_SECONDS = 40.0
"""How long the slowest engine may need to see that a worker is gone, on a machine that has much to do."""


@pytest.mark.timeout(180)
class Conformance:
    """Runs end as they should, whatever makes them go."""

    def test_a_run_goes_through_all_steps_once_and_brings_its_patch(self, world: World) -> None:
        run = world.carried_out(EFFECT, checks=[ONE_EFFECT])

        done, item = world.run(run), world.item(run)
        assert (done.status, done.attempt, item.status) == (RunStatus.DONE, 1, ItemStatus.DONE), world.story(run)
        assert world.patch(run).count("+carried out\n") == 1
        assert [told["step"] for told in world.events(run, "run.step_completed")] == list(STEPS)
        assert world.fences(run, "run.agent_started") == world.fences(run, "run.done") == [1]
        assert _checks(done) == [True]
        assert world.verified().uncovered == 0
        assert world.processes(run) == []
        assert world.left_behind() == []

    @pytest.mark.parametrize(
        ("command", "checks", "limits", "reason"),
        [
            ("exit 3", (), Limits(), "agent_failed"),
            ("true", ("false",), Limits(), "check_failed"),
            ("while :; do echo much of it; done", (), Limits(output_bytes=20_000), "limit_output"),
            ("sleep 60", (), Limits(wall_clock_seconds=1), "limit_wall_clock"),
        ],
    )
    def test_a_run_that_does_not_end_well_says_why(
        self, world: World, command: str, checks: Sequence[str], limits: Limits, reason: str
    ) -> None:
        run = world.carried_out(command, checks=checks, limits=limits)

        failed, item = world.run(run), world.item(run)
        assert (failed.status, failed.reason, item.status) == (RunStatus.ERROR, reason, ItemStatus.FAILED)
        assert world.processes(run) == []
        assert world.left_behind() == []

    def test_a_failed_run_is_done_anew_when_it_is_retried(self, world: World) -> None:
        run = world.carried_out("echo again >> effect.txt; case $INTERLOCK_RUN in *:1) exit 3;; esac")
        assert run.reason == "agent_failed", world.story(run)
        world.house.runs.retry(ALICE, run.id)
        world.work_it_off()

        done = world.run(run)
        assert (done.status, done.attempt, done.generation) == (RunStatus.DONE, 2, 2), world.story(run)
        assert world.patch(run).count("+again\n") == 1

    def test_cancelling_ends_the_whole_tree_and_the_run(self, world: World) -> None:
        orphan = Orphan()
        run = world.create(f"{orphan.script}; echo stays; while :; do sleep 0.1; done")
        worker = world.worker()
        world.wait_for_line(run, "stays")
        orphan.wait_until_it_lives()
        world.house.runs.cancel(ALICE, run.id, reason="no more")

        assert seconds_until(lambda: not world.processes(run) and not orphan.lives()) < GRACE_SECONDS + 5
        now = world.run(run)
        assert (now.status, now.reason, now.message) == (RunStatus.CANCELLED, "cancelled_by_operator", "no more")
        until(lambda: world.left_behind() == [])
        assert worker.is_there()

    def test_an_approval_revoked_after_the_claim_starts_no_agent(self, world: World) -> None:
        run = world.create(EFFECT)
        worker = world.worker(stop_at="prepare.done")
        worker.wait_until_it_stands()
        world.house.approval.revoke(ALICE, run.approved_id, reason="second thoughts")
        worker.go_on()

        ended = world.wait_for(run)
        assert (ended.status, ended.reason) == (RunStatus.ERROR, "approval_revoked"), world.story(run)
        assert world.events(run, "run.agent_started") == []

    def test_panic_lets_end_what_runs_and_gives_back_what_has_not_started(self, world: World) -> None:
        run = world.create(EFFECT)
        worker = world.worker(stop_at="prepare.done", environment={"INTERLOCK_WORKER_CONCURRENCY": "1"})
        worker.wait_until_it_stands()
        waiting = world.create("true")
        panic(world)
        worker.go_on()
        until(lambda: world.run(run).status is RunStatus.PENDING, 15)
        worker.wait_for_words("nothing is taken up: panic mode is on", 15)
        assert world.run(waiting).status is RunStatus.PENDING
        assert world.run(run).attempt == 1
        release(world)

        assert world.wait_for(run, seconds=TAKEN_OVER_SECONDS).status is RunStatus.DONE, world.story(run)
        assert world.wait_for(waiting, seconds=TAKEN_OVER_SECONDS).status is RunStatus.DONE, world.story(waiting)
        assert world.fences(run, "run.agent_started") == [3]

    def test_a_worker_that_is_asked_to_stop_gives_its_run_back(self, world: World) -> None:
        run = world.create(f"case $INTERLOCK_RUN in *:1) echo stays; sleep 60;; esac; {EFFECT}")
        worker = world.worker()
        world.wait_for_line(run, "stays")
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0, worker.words()
        assert (world.run(run).status, world.processes(run)) == (RunStatus.PENDING, [])
        world.work_it_off()

        done = world.run(run)
        assert (done.status, done.attempt) == (RunStatus.DONE, 1), world.story(run)

    def test_runs_whose_workers_are_killed_at_every_step_are_finished_by_another(self, world: World) -> None:
        """What is complete is kept: the agent starts again only where it had not ended."""
        points = {"prepare.made": 3, "agent.started": 3, "agent.done": 1, "collect.done": 1, "finish.begun": 1}
        runs: dict[str, Run] = {}
        for point in points:
            run = world.create(EFFECT, checks=[ONE_EFFECT])
            worker = world.worker(stop_at=point, environment={"INTERLOCK_WORKER_CONCURRENCY": "1"})
            worker.wait_until_it_stands()
            runs[point] = run
        for worker in world.workers:
            worker.kill()
        world.worker(environment={"INTERLOCK_WORKER_CONCURRENCY": "5"})

        for point, run in runs.items():
            done = world.wait_for(run, seconds=TAKEN_OVER_SECONDS)
            assert (done.status, done.attempt) == (RunStatus.DONE, 2), (point, world.story(run))
            assert world.patch(run).count("+carried out\n") == 1
            assert world.fences(run, "run.done") == [3]
            assert world.fences(run, "run.agent_started")[-1] == points[point], point
        until(lambda: world.left_behind() == [])
        assert world.verified().uncovered == 0

    def test_a_worker_that_wakes_up_too_late_changes_nothing(self, world: World) -> None:
        run = world.create(EFFECT, checks=[ONE_EFFECT])
        late = world.worker(stop_at="collect.made")
        late.wait_until_it_stands()
        late.signal(signal.SIGSTOP)
        other = world.worker()
        done = world.wait_for(run, seconds=TAKEN_OVER_SECONDS)
        assert (done.status, done.attempt) == (RunStatus.DONE, 2), world.story(run)
        other.signal(signal.SIGTERM)
        assert other.wait() == 0, other.words()

        before, count = world.run(run), world.count()
        late.go_on()
        late.signal(signal.SIGCONT)
        late.signal(signal.SIGTERM)
        assert late.wait() == 0, late.words()
        assert (world.run(run), world.count()) == (before, count)


def _checks(run: Run) -> list[bool]:
    found: JsonObject = dict(run.result or {})
    checks = found["checks"]
    assert isinstance(checks, list)
    return [each["passed"] is True for each in checks if isinstance(each, dict)]
