"""Definitions and runs of pipelines, made by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from interlock.pipelines.models import (
    CheckpointRule,
    Definition,
    Dialect,
    Job,
    JobState,
    Pipeline,
    Stage,
    StageState,
    Status,
)

PIPELINE_ID = "pipeline_01ARZ3NDEKTSV4RRFFQ69G5FAV"
ROLES = {"planner": "PlanAgent", "operator": "OperationsBoardAgent", "verifier": "ReviewAgent"}


def definition(
    *jobs: Job,
    stages: Iterable[Stage] = (),
    rules: Iterable[CheckpointRule] = (),
    dialect: Dialect = "jobs",
    name: str = "nightly",
) -> Definition:
    found = tuple(stages) or tuple(Stage(name=each, type="Build") for each in dict.fromkeys(job.stage for job in jobs))
    return Definition(
        name=name,
        version="1",
        description="",
        dialect=dialect,
        path=f"cicd/pipelines/{name}.yaml",
        roles=ROLES,
        variables={},
        checkpoints=tuple(rules),
        stages=found,
        jobs=jobs,
        artefacts=(),
    )


def run(of: Definition, *states: JobState, **given: Any) -> Pipeline:  # noqa: ANN401 - any field of a run
    known = {state.id: state for state in states}
    return Pipeline(
        id=PIPELINE_ID,
        name=of.name,
        digest="sha256:" + "0" * 64,
        status=Status.RUNNING,
        fence=1,
        commit_sha="",
        triggered_ms=0,
        triggered_by="human:alice",
        stages=tuple(StageState(name=each.name, type=each.type) for each in of.stages),
        jobs=tuple(known.get(job.id) or JobState(id=job.id, stage=job.stage, role=job.role) for job in of.jobs),
        rules=of.checkpoints,
        **given,
    )
