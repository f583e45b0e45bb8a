"""The budget guardian: proceed, rewrite, escalate."""

from __future__ import annotations

import pytest

from interlock.pipelines import budget
from interlock.pipelines.models import Budget, CheckpointRule, Definition, Job, Requirement, Stage
from tests.pipelines.made import PIPELINE_ID, definition


def job(name: str, tokens: int, *, sensitive: bool = False, stage: str = "build", **given: object) -> Job:
    return Job(
        id=name,
        stage=stage,
        estimated_tokens=tokens,
        estimated_latency_ms=tokens // 10,
        budget_sensitive=sensitive,
        **given,  # type: ignore[arg-type] - a case's own value
    )


def staged(*jobs: Job, limit: Budget, dialect: str = "stages") -> tuple[Definition, Stage]:
    names = dict.fromkeys(each.stage for each in jobs)
    stages = [Stage(name=name, type="Build", budget=limit) for name in names]
    rules = [CheckpointRule(name="gate", role="planner", artefact="out/gate.json")]
    of = definition(*jobs, stages=stages, rules=rules, dialect=dialect)  # type: ignore[arg-type] - a case's own value
    return of, of.stages[0]


def test_a_stage_within_its_budget_proceeds() -> None:
    decision = budget.decide(*staged(job("a", 600), job("b", 400, sensitive=True), limit=Budget(tokens=1000)))
    assert (decision.action, decision.tokens, decision.dropped, decision.plan) == ("proceed", 1000, (), ("a", "b"))


def test_a_stage_without_a_limit_proceeds_whatever_it_takes() -> None:
    of, stage = staged(job("a", 10**9), limit=Budget())
    assert not budget.declares(stage)
    assert budget.decide(of, stage).action == "proceed"


def test_over_the_budget_the_last_droppable_jobs_are_dropped_until_the_rest_fits() -> None:
    jobs = [job("a", 500), job("b", 300, sensitive=True), job("c", 300, sensitive=True), job("d", 100)]
    decision = budget.decide(*staged(*jobs, limit=Budget(tokens=900)))
    assert decision.action == "rewrite"
    assert decision.dropped == ("c",)
    assert decision.plan == ("a", "b", "d")
    assert decision.tokens == 1200


def test_the_time_counts_like_the_tokens() -> None:
    decision = budget.decide(*staged(job("a", 900), job("b", 200, sensitive=True), limit=Budget(latency_ms=95)))
    assert (decision.action, decision.dropped) == ("rewrite", ("b",))


def test_with_nothing_left_to_drop_it_escalates_and_drops_nothing() -> None:
    jobs = [job("a", 1500), job("b", 300, sensitive=True)]
    decision = budget.decide(*staged(*jobs, limit=Budget(tokens=1000)))
    assert (decision.action, decision.dropped, decision.plan) == ("escalate", (), ("a", "b"))


@pytest.mark.parametrize("kept", ["begun", "signs"])
def test_what_has_begun_or_signs_a_wanted_checkpoint_is_not_dropped(kept: str) -> None:
    signs = ("gate",) if kept == "signs" else ()
    wants = (Requirement(checkpoint="gate"),) if kept == "signs" else ()
    jobs = [job("a", 800, requires=wants), job("b", 300, sensitive=True, signs=signs)]
    begun = {"b"} if kept == "begun" else set[str]()
    assert budget.decide(*staged(*jobs, limit=Budget(tokens=1000)), begun=begun).action == "escalate"


def test_a_job_whose_checkpoint_only_the_end_waits_for_is_not_dropped() -> None:
    jobs = [job("a", 800), job("b", 300, sensitive=True, signs=("gate",))]
    assert budget.decide(*staged(*jobs, limit=Budget(tokens=1000))).action == "escalate"


def test_a_job_that_another_one_names_is_not_dropped() -> None:
    jobs = [
        job("a", 800),
        job("b", 300, sensitive=True),
        job("c", 0, stage="later", needs=("b",)),
    ]
    assert budget.decide(*staged(*jobs, limit=Budget(tokens=1000), dialect="jobs")).action == "escalate"


def test_a_job_that_others_only_stand_behind_may_be_dropped() -> None:
    jobs = [job("a", 800), job("b", 300, sensitive=True), job("c", 0, stage="later", needs=("a", "b"))]
    assert budget.decide(*staged(*jobs, limit=Budget(tokens=1000), dialect="jobs")).dropped == ("b",)
    tasks = [job("a", 800), job("b", 300, sensitive=True, needs=("a",)), job("c", 0, needs=("b",))]
    assert budget.decide(*staged(*tasks, limit=Budget(tokens=1000))).dropped == ("b",)


def test_what_was_dropped_before_does_not_count_again() -> None:
    jobs = [job("a", 800), job("b", 300, sensitive=True)]
    decision = budget.decide(*staged(*jobs, limit=Budget(tokens=1000)), gone={"b"})
    assert (decision.action, decision.tokens) == ("proceed", 800)


def test_the_event_names_the_plan_only_where_it_was_rewritten() -> None:
    of, stage = staged(job("a", 800), job("b", 300, sensitive=True), limit=Budget(tokens=1000))
    told = budget.told(PIPELINE_ID, of, stage, budget.decide(of, stage))
    assert (told.action, told.rewritten_plan, told.token_limit, told.latency_limit) == ("rewrite", ("a",), 1000, None)
    assert told.tokens_used == 1100
    kept = budget.told(PIPELINE_ID, of, stage, budget.decide(of, stage, gone={"b"}))
    assert kept.rewritten_plan is None
