"""The budget guardian: what a stage's jobs are estimated to take is held against what the stage may take.

Over it, jobs that may be dropped are dropped, the last first, until the rest fits; if nothing is left to drop, the
pipeline does not go on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from interlock.pipelines.events import BudgetDecided
from interlock.pipelines.models import Budget, Definition, Job, Stage

REASON_DROPPED: Final = "budget"
REASON_ESCALATED: Final = "budget_escalated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the guardian said of a stage."""

    action: Literal["proceed", "rewrite", "escalate"]
    tokens: int
    """Of all the stage's jobs, before any was dropped; so is `latency_ms`."""
    latency_ms: int
    dropped: tuple[str, ...] = ()
    plan: tuple[str, ...] = ()
    """Ids of the jobs that are left, in their order."""


def declares(stage: Stage) -> bool:
    """Say whether a stage has a budget."""
    return stage.budget.tokens is not None or stage.budget.latency_ms is not None


def decide(
    definition: Definition, stage: Stage, *, gone: Collection[str] = (), begun: Collection[str] = ()
) -> Decision:
    """Judge a stage; `gone` jobs were dropped before, `begun` ones can not be dropped any more. Ids."""
    jobs = [job for job in definition.jobs if job.stage == stage.name and job.id not in gone]
    tokens, latency = _sums(jobs)
    dropped: list[str] = []
    left = list(jobs)
    for job in reversed(jobs):
        if _fits(left, stage.budget):
            break
        if job.budget_sensitive and job.id not in begun and not needed(definition, job, {*gone, *dropped}):
            dropped.append(job.id)
            left.remove(job)
    fits = _fits(left, stage.budget)
    if not fits:
        return Decision(action="escalate", tokens=tokens, latency_ms=latency, plan=tuple(each.id for each in jobs))
    return Decision(
        action="rewrite" if dropped else "proceed",
        tokens=tokens,
        latency_ms=latency,
        dropped=tuple(reversed(dropped)),
        plan=tuple(each.id for each in left),
    )


def needed(definition: Definition, job: Job, gone: Collection[str] = ()) -> bool:
    """Say whether the run, or any other job, could not go on without this one.

    No run ends well without each of its checkpoints, and no job goes on without one that it names. That a task stands
    behind another, or a job without `needs` behind all earlier stages, is order and not need.
    """
    if job.signs:
        return True
    others = [each for each in definition.jobs if each.id != job.id and each.id not in gone]
    return definition.dialect == "jobs" and any(
        job.id in each.needs and not _stands_behind_all(definition, each) for each in others
    )


def told(pipeline_id: str, definition: Definition, stage: Stage, decision: Decision) -> BudgetDecided:
    """Return the event that tells of it."""
    return BudgetDecided(
        subject=pipeline_id,
        workflow_id=definition.name,
        stage_id=stage.name,
        tokens_used=decision.tokens,
        token_limit=stage.budget.tokens,
        latency_ms=decision.latency_ms,
        latency_limit=stage.budget.latency_ms,
        action=decision.action,
        rewritten_plan=decision.plan if decision.action == "rewrite" else None,
    )


def _stands_behind_all(definition: Definition, job: Job) -> bool:
    names = [stage.name for stage in definition.stages]
    earlier = set(names[: names.index(job.stage)])
    return set(job.needs) == {each.id for each in definition.jobs if each.stage in earlier}


def _fits(jobs: Sequence[Job], budget: Budget) -> bool:
    tokens, latency = _sums(jobs)
    return (budget.tokens is None or tokens <= budget.tokens) and (
        budget.latency_ms is None or latency <= budget.latency_ms
    )


def _sums(jobs: Sequence[Job]) -> tuple[int, int]:
    return sum(job.estimated_tokens for job in jobs), sum(job.estimated_latency_ms for job in jobs)
