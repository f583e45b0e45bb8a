"""Evidence-gated done: what a run has to prove before it is done, and that nothing else will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.access.models import Actor, Principal, PrincipalKind
from interlock.app import Interlock
from interlock.approval.errors import RungOutOfReach
from interlock.approval.models import Approved, Rung, Work
from interlock.queue.errors import ItemStateConflict
from interlock.queue.models import Executor, ItemStatus
from interlock.runs.errors import CiNeedsAnother, DoneUnproven, ReportInvalid, RunAlreadyEnded
from interlock.runs.models import CiReport, Run, RunStatus, Step, StepName
from interlock.runs.rungs import judge, needed
from interlock.runs.steps import following
from interlock.settings import RunSettings
from tests.conftest import ALICE, ROBOT
from tests.engines.world import World, git

CI = Actor(principal=Principal(PrincipalKind.SERVICE, "ci"))
CHANGE = "echo more >> README.md"
ELSEWHERE = "b" * 40
on_both = pytest.mark.parametrize("world", ["sqlite", "postgres"], indirect=True)


def approve(world: World, rung: Rung | None, *, script: str = CHANGE, checks: Sequence[str] = ()) -> Approved:
    work = Work(
        command=("sh", "-c", script),
        repository=str(world.repository),
        checks=tuple(("sh", "-c", check) for check in checks),
        rung=rung.value if rung is not None else None,
    )
    draft = world.house.approval.create(ALICE, "Do it.", work=work)
    return world.house.approval.approve(ALICE, draft.id)


def queued(world: World, rung: Rung | None, *, script: str = CHANGE, checks: Sequence[str] = ()) -> Run:
    return world.house.runs.create(ALICE, approve(world, rung, script=script, checks=checks).id)


def result(run: Run) -> dict[str, Any]:
    assert run.result is not None
    return dict(run.result)


def with_policy(house: Interlock, rung: Rung) -> Interlock:
    settings = replace(house.settings, runs=RunSettings(rung=rung.value))
    return replace(house, settings=settings)


# --- the ladder -------------------------------------------------------------------------------------------------------


def test_each_rung_reaches_itself_and_all_below_it() -> None:
    order = list(Rung)
    for at, rung in enumerate(order):
        assert [rung.reaches(other) for other in order] == [place <= at for place in range(len(order))]


@given(st.sampled_from([None, *Rung]), st.sampled_from(list(Rung)))
def test_work_can_only_ask_for_more_than_the_workspace(asked: Rung | None, policy: Rung) -> None:
    want = needed(Work(rung=asked.value if asked is not None else None), policy)
    assert want.reaches(policy)
    assert asked is None or want.reaches(asked)
    assert want in {policy, asked}


REPORTS = st.lists(
    st.builds(
        CiReport,
        commit=st.sampled_from(["a" * 40, ELSEWHERE, "c" * 40]),
        succeeded=st.booleans(),
        url=st.just(""),
        reported_ms=st.integers(0, 9),
        by=st.just("service:ci"),
    ),
    max_size=6,
    unique_by=lambda each: each.reported_ms,
)


@given(st.sampled_from(list(Rung)), st.sampled_from(list(Rung)[:3]), REPORTS)
@pytest.mark.proves("done-rung")
def test_a_run_is_never_done_below_what_is_needed_nor_by_the_report_of_another_commit(
    want: Rung, reached: Rung, reports: list[CiReport]
) -> None:
    proof = {"rung": reached.value, "commit": "a" * 40, "tree": "c" * 40}
    judged = judge({"proof": proof}, want, reports)
    done = judged.reason is None and not judged.waits
    assert not done or judged.rung.reaches(want)
    ours = [each for each in reports if each.commit != ELSEWHERE]
    if judged.rung is Rung.CI:
        assert max(ours, key=lambda each: each.reported_ms).succeeded
    assert judge({"proof": proof}, want, ours) == judged


def test_a_worker_does_not_speak_for_ci() -> None:
    judged = judge({"proof": {"rung": "ci", "commit": "a" * 40, "tree": "c" * 40}}, Rung.CI, [])
    assert (judged.rung, judged.waits) == (Rung.CHECKED, True)


# --- what a worker proves ---------------------------------------------------------------------------------------------


def test_a_run_without_checks_is_proven_by_the_exit_code_that_we_saw(world: World) -> None:
    run = queued(world, None)
    world.work_it_off()
    ended = world.run(run)
    assert (ended.status, ended.rung) == (RunStatus.DONE, "exit_code"), world.story(run)
    assert world.events(run, "run.done")[0]["rung"] == "exit_code"


@on_both
@pytest.mark.proves("done-rung")
def test_checks_that_we_ran_prove_exactly_the_tree_that_was_collected(world: World) -> None:
    run = queued(world, Rung.CHECKED, checks=["grep -q more README.md"])
    world.work_it_off()
    ended = world.run(run)
    assert (ended.status, ended.rung) == (RunStatus.DONE, "checked"), world.story(run)
    proof = result(ended)["proof"]
    world.house.results.apply(ALICE, run.id, repository=None, into_tree=False)
    assert git(world.repository, "rev-parse", f"interlock/{run.id}^{{tree}}") == proof["tree"]
    assert proof["commit"] == result(ended)["commit"]
    assert [check["passed"] for check in proof["checks"]] == [True]


@pytest.mark.proves("done-rung")
def test_a_result_that_was_replaced_after_the_checks_is_not_proven(world: World) -> None:
    run = queued(world, Rung.CHECKED, checks=["true"])
    worker = world.worker(once=True, stop_at="verify.done")
    worker.wait_until_it_stands()
    (mirror,) = world.house.layout.mirrors.glob("*.git")
    base = git(world.repository, "rev-parse", "HEAD")
    git(mirror, "update-ref", f"refs/interlock/runs/{run.id}/1", base)
    worker.go_on()
    assert worker.wait(40) == 0, worker.words()
    ended = world.run(run)
    assert (ended.status, ended.reason, ended.rung) == (RunStatus.ERROR, "done_unproven", None), world.story(run)
    assert "checked is needed" in str(ended.message)


def test_a_policy_of_the_workspace_holds_for_work_that_asks_for_nothing(world: World) -> None:
    run = queued(world, None)
    world.work_it_off(environment={"INTERLOCK_RUNS_RUNG": "checked"})
    ended = world.run(run)
    assert (ended.status, ended.reason) == (RunStatus.ERROR, "done_unproven"), world.story(run)
    assert ended.message == "checked is needed, and only exit_code was reached"


def test_evidence_of_a_step_counts_only_while_no_step_before_it_was_begun_anew() -> None:
    def done(name: StepName, fence: int) -> Step:
        return Step(name=name, fence=fence, started_ms=0, ended_ms=1, output={})

    first = {name: done(name, 1) for name in StepName if name is not StepName.FINISH}
    assert [name for name, _ in following(first)] == list(first)
    again = first | {StepName.PREPARE: done(StepName.PREPARE, 2), StepName.AGENT: done(StepName.AGENT, 2)}
    assert [name for name, _ in following(again)] == [StepName.PREPARE, StepName.AGENT]
    assert list(following({StepName.VERIFY: done(StepName.VERIFY, 3)})) == []


# --- refused already where it is approved -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (Work(command=("true",), rung="checked"), "names no repository"),
        (Work(command=("true",), rung="ci"), "names no repository"),
        (Work(rung="exit_code"), "an external session can only report of itself"),
        (Work(rung="ci"), "an external session can only report of itself"),
    ],
)
def test_what_could_never_be_proven_is_not_approved(house: Interlock, work: Work, words: str) -> None:
    draft = house.approval.create(ALICE, "Do it.", work=work)
    with pytest.raises(RungOutOfReach, match=words):
        house.approval.approve(ALICE, draft.id)


def test_checks_are_needed_where_they_are_to_prove_something(world: World) -> None:
    with pytest.raises(RungOutOfReach, match="names no checks"):
        approve(world, Rung.CHECKED)


# --- sessions outside -------------------------------------------------------------------------------------------------


def external(house: Interlock) -> Run:
    draft = house.approval.create(ALICE, "Do it by hand.")
    return house.runs.create(ALICE, house.approval.approve(ALICE, draft.id).id)


def test_a_session_outside_reaches_self_reported(house: Interlock) -> None:
    run = external(house)
    with house.queue(ALICE) as queue:
        item = queue.claim(Executor.EXTERNAL, "ada")
        assert item is not None
        queue.complete(item.id, item.fence)
    assert (house.runs.get(run.id).status, house.runs.get(run.id).rung) == (RunStatus.DONE, "self_reported")


def test_the_word_of_a_session_outside_is_refused_where_more_is_needed(house: Interlock) -> None:
    run = external(house)
    strict = with_policy(house, Rung.CHECKED)
    with strict.queue(ALICE) as queue:
        item = queue.claim(Executor.EXTERNAL, "ada")
    assert item is not None
    with pytest.raises(DoneUnproven, match="checked is needed"), strict.queue(ALICE) as queue:
        queue.complete(item.id, item.fence)
    assert house.runs.get(run.id).status is RunStatus.RUNNING


# --- CI ---------------------------------------------------------------------------------------------------------------


def waiting(world: World, checks: Sequence[str] = ()) -> Run:
    run = queued(world, Rung.CI, checks=checks)
    world.work_it_off()
    found = world.run(run)
    assert (found.status, found.reason) == (RunStatus.PENDING, "waits_for_ci"), world.story(run)
    return found


@on_both
@pytest.mark.proves("done-ci")
def test_a_run_waits_for_ci_without_a_worker_and_is_done_when_that_reports_its_commit(world: World) -> None:
    run = waiting(world, checks=["true"])
    item = world.item(run)
    assert (item.status, item.waits_for, item.owner_session) == (ItemStatus.PENDING, "ci", "-")
    with world.house.queue_look() as queue:
        assert [reason.code for reason in queue.explain(item.id)] == ["waits_for_ci"]
    world.work_it_off()  # nobody can claim it
    assert world.run(run).status is RunStatus.PENDING
    world.house.runs.report_ci(CI, run.id, commit=result(run)["commit"], succeeded=True, url="https://ci/1")
    world.work_it_off()
    ended = world.run(run)
    assert (ended.status, ended.rung) == (RunStatus.DONE, "ci"), world.story(run)
    assert world.events(run, "run.done")[0]["rung"] == "ci"
    assert len(world.events(run, "run.agent_started")) == 1  # all that was left was to finish
    assert world.left_behind() == []
    world.verified()


@pytest.mark.parametrize("world", ["postgres"], indirect=True)
def test_a_worker_on_another_machine_may_finish_what_waited_for_ci(world: World) -> None:
    run = waiting(world)
    world.house.runs.report_ci(CI, run.id, commit=result(run)["commit"], succeeded=True)
    worker = world.worker(once=True, elsewhere=True)
    assert worker.wait(40) == 0, worker.words()
    assert (world.run(run).status, world.run(run).rung) == (RunStatus.DONE, "ci"), world.story(run)
    assert len(world.events(run, "run.agent_started")) == 1


def test_a_run_whose_result_waits_for_ci_can_be_brought_to_the_repository_for_that(world: World) -> None:
    run = waiting(world)
    applied = world.house.results.apply(ALICE, run.id, repository=None, into_tree=False)
    assert git(world.repository, "rev-parse", str(applied.branch)) == result(run)["commit"]


def test_a_report_of_another_commit_proves_nothing(world: World) -> None:
    run = waiting(world)
    world.house.runs.report_ci(CI, run.id, commit=ELSEWHERE, succeeded=True)
    world.work_it_off()
    assert (world.run(run).status, world.item(run).waits_for) == (RunStatus.PENDING, "ci")
    assert [event["matches"] for event in world.events(run, "run.ci_reported")] == [False]


def test_a_report_of_the_tree_is_a_report_of_the_result(world: World) -> None:
    run = waiting(world)
    world.house.runs.report_ci(CI, run.id, commit=result(run)["proof"]["tree"], succeeded=True)
    world.work_it_off()
    assert world.run(run).rung == "ci"


def test_a_report_of_failure_ends_the_run_and_a_later_success_lets_it_be_retried(world: World) -> None:
    run = waiting(world)
    commit = result(run)["commit"]
    world.house.runs.report_ci(CI, run.id, commit=commit, succeeded=False, url="https://ci/2")
    world.work_it_off()
    ended = world.run(run)
    assert (ended.status, ended.reason) == (RunStatus.ERROR, "ci_failed"), world.story(run)
    assert "https://ci/2" in str(ended.message)
    world.house.runs.report_ci(CI, run.id, commit=commit, succeeded=True)  # it was a flaky test
    world.house.runs.retry(ALICE, run.id)
    world.work_it_off()  # the same work makes the same commit, for which success was reported before
    assert (world.run(run).status, world.run(run).rung) == (RunStatus.DONE, "ci"), world.story(run)


def test_a_report_that_came_before_the_result_counts(world: World) -> None:
    first = waiting(world)
    second = world.house.runs.create(ALICE, first.approved_id)
    world.house.runs.report_ci(CI, second.id, commit=result(first)["proof"]["tree"], succeeded=True)
    world.work_it_off()
    assert (world.run(second).status, world.run(second).rung) == (RunStatus.DONE, "ci"), world.story(second)


def test_the_same_report_again_changes_nothing_and_none_counts_after_the_end(world: World) -> None:
    run = waiting(world)
    commit = result(run)["commit"]
    for _ in range(2):
        world.house.runs.report_ci(CI, run.id, commit=commit, succeeded=True)
    assert len(world.events(run, "run.ci_reported")) == 1
    world.work_it_off()
    world.house.runs.report_ci(CI, run.id, commit=commit, succeeded=True)
    with pytest.raises(RunAlreadyEnded):
        world.house.runs.report_ci(CI, run.id, commit=commit, succeeded=False)
    assert len(world.events(run, "run.ci_reported")) == 1


def test_an_operator_may_cancel_what_waits_for_ci_and_not_snooze_it(world: World) -> None:
    run = waiting(world)
    with pytest.raises(ItemStateConflict, match="the word of its CI"), world.house.queue(ALICE) as queue:
        queue.snooze(run.item_id, 2**50)
    assert world.house.runs.cancel(ALICE, run.id).status is RunStatus.CANCELLED


def test_an_agent_does_not_speak_for_ci(house: Interlock) -> None:
    run = external(house)
    with pytest.raises(CiNeedsAnother):
        house.runs.report_ci(ROBOT, run.id, commit="a" * 40, succeeded=True)


@pytest.mark.parametrize(
    ("commit", "url"),
    [
        ("HEAD", ""),
        ("a" * 39, ""),
        ("A" * 40, ""),
        ("a" * 40 + "\n", ""),
        ("a" * 40, "javascript:alert(1)"),
        ("a" * 40, "https://user:secret@ci/1"),
        ("a" * 40, "https://ci/ 1"),
        ("a" * 40, "https://ci/" + "x" * 2000),
    ],
)
def test_a_malformed_report_is_refused(house: Interlock, commit: str, url: str) -> None:
    run = external(house)
    with pytest.raises(ReportInvalid):
        house.runs.report_ci(CI, run.id, commit=commit, succeeded=True, url=url)
