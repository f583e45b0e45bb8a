"""What an event makes of a pipeline or a deployment. The one place where either changes.

The verbs fold an event in the transaction that writes it; replay folds the exported ledger. Both come to the same,
because nothing else is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from interlock.pipelines.documents import read_artefact
from interlock.pipelines.models import (
    DEPLOYMENT_MOVES,
    PIPELINE_MOVES,
    WORK_MOVES,
    Checkpoint,
    CheckpointRule,
    Deployment,
    Fleet,
    Health,
    JobState,
    Pipeline,
    StageState,
    Status,
)

Payload = Mapping[str, Any]


class FoldBroken(ValueError):
    """An event tells of a move that its subject could not make: the log is not one that our verbs wrote."""


@dataclass(slots=True)
class Fold:
    """Pipelines and deployments, as the events so far say."""

    pipelines: dict[str, Pipeline] = field(default_factory=dict[str, Pipeline])
    deployments: dict[str, Deployment] = field(default_factory=dict[str, Deployment])

    def apply(self, kind: str, subject: str, payload: Payload) -> bool:
        """Take in one event; says whether it changed anything. Raises `FoldBroken`."""
        try:
            if kind in _PIPELINES:
                self.pipelines[subject] = after_pipeline(self.pipelines.get(subject), kind, subject, payload)
            elif kind in _DEPLOYMENTS:
                self.deployments[subject] = after_deployment(self.deployments.get(subject), kind, subject, payload)
            else:
                return False
        except (KeyError, TypeError, ValueError) as error:
            raise FoldBroken(f"{kind} of {subject}: {error}") from None
        return True

    def fleet(self) -> Fleet:
        """Return what it comes to."""
        return Fleet(dict(self.pipelines), dict(self.deployments))


def after_pipeline(before: Pipeline | None, kind: str, subject: str, payload: Payload) -> Pipeline:
    """Return a run after one of its events; raises KeyError, TypeError or ValueError where that can not be."""
    if before is None:
        if kind != _CREATED:
            raise FoldBroken("it was never created")
        return _created(subject, payload)
    if kind == _CREATED:
        raise FoldBroken("it is created twice")
    after = _PIPELINES[kind](before, payload)
    return replace(after, revision=before.revision + 1)


def after_deployment(before: Deployment | None, kind: str, subject: str, payload: Payload) -> Deployment:
    """Return a deployment after one of its events; raises KeyError, TypeError or ValueError where that can not be."""
    if before is None:
        if kind != _DEPLOYED:
            raise FoldBroken("it was never created")
        return _deployed(subject, payload)
    if kind == _DEPLOYED:
        raise FoldBroken("it is created twice")
    after = _DEPLOYMENTS[kind](before, payload)
    return replace(after, revision=before.revision + 1)


def changes(kind: str) -> bool:
    """Say whether events of this kind change a pipeline or a deployment."""
    return kind in _PIPELINES or kind in _DEPLOYMENTS


# --- pipelines --------------------------------------------------------------------------------------------------------


def _created(subject: str, payload: Payload) -> Pipeline:
    return Pipeline(
        id=subject,
        name=payload["name"],
        digest=payload["digest"],
        status=Status(payload["status"]),
        fence=0,
        commit_sha=payload["commit_sha"],
        triggered_ms=payload["triggered_ms"],
        triggered_by=payload["triggered_by"],
        stages=tuple(StageState(name=each["name"], type=each["stage_type"]) for each in payload["stages"]),
        jobs=tuple(JobState(id=each["id"], stage=each["stage"], role=each["role"]) for each in payload["jobs"]),
        rules=tuple(
            CheckpointRule(name=each["name"], role=each["role"], artefact=each["artefact"])
            for each in payload["checkpoints"]
        ),
        revision=1,
    )


def _moved(before: Pipeline, payload: Payload) -> Pipeline:
    after = Status(payload["current_status"])
    if before.status.value != payload["previous_status"] or not PIPELINE_MOVES.allows(before.status, after):
        raise FoldBroken(f"{before.status.value} does not become {after.value}")
    ended = after in {Status.SUCCESS, Status.FAILED}
    if payload["fence"] < before.fence or (not ended and payload["fence"] == before.fence):
        raise FoldBroken("its fence does not rise")
    moved = replace(
        before,
        status=after,
        fence=payload["fence"],
        reason=payload["reason"],
        message=payload["message"],
        ended_ms=payload["at_ms"] if ended else None,
    )
    return _cut_off(moved) if ended else moved


def _cut_off(run: Pipeline) -> Pipeline:
    """Return a run that has ended, with what was still going in it, as in one that was cancelled, ended as well."""
    jobs = tuple(
        replace(job, status=Status.FAILED, reason=run.reason, message=run.message, ended_ms=run.ended_ms)
        if job.status is Status.RUNNING
        else job
        for job in run.jobs
    )
    stages = tuple(
        replace(stage, status=Status.FAILED) if stage.status is Status.RUNNING else stage for stage in run.stages
    )
    return replace(run, jobs=jobs, stages=stages)


def _stage_moved(before: Pipeline, payload: Payload) -> Pipeline:
    stage, after = before.stage(payload["stage"]), Status(payload["current_status"])
    if stage.status.value != payload["previous_status"] or not _may_become(before, stage.status, after):
        raise FoldBroken(f"stage {stage.name}: {stage.status.value} does not become {after.value}")
    moved = replace(stage, status=after, duration_ms=payload["duration_ms"])
    return replace(before, stages=tuple(moved if each is stage else each for each in before.stages))


def _may_become(run: Pipeline, before: Status, after: Status) -> bool:
    """Say whether a stage or job may move; what has ended well is done again only in a run that was resumed."""
    return WORK_MOVES.allows(before, after) and (before is not Status.SUCCESS or run.fence > 1)


def _job_started(before: Pipeline, payload: Payload) -> Pipeline:
    job = before.job(payload["job"])
    if not _may_become(before, job.status, Status.RUNNING):
        raise FoldBroken(f"job {job.id} is {job.status.value} and does not begin")
    fresh = JobState(
        id=job.id,
        stage=job.stage,
        role=job.role,
        status=Status.RUNNING,
        attempt=payload["attempt"],
        started_ms=payload["at_ms"],
    )
    return _with_job(before, fresh)


def _job_ended(before: Pipeline, payload: Payload) -> Pipeline:
    job, after = before.job(payload["job"]), Status(payload["status"])
    if after is Status.RUNNING or not WORK_MOVES.allows(job.status, after):
        raise FoldBroken(f"job {job.id}: {job.status.value} does not become {after.value}")
    ended = replace(
        job,
        status=after,
        ended_ms=payload["at_ms"],
        reason=payload["reason"],
        message=payload["message"],
        exit_code=payload["exit_code"],
        containment=payload["containment"],
        notes=tuple(payload["notes"]),
        artefacts=tuple(read_artefact(each) for each in payload["artefacts"]),
    )
    return _with_job(before, ended)


def _with_job(before: Pipeline, job: JobState) -> Pipeline:
    return replace(before, jobs=tuple(job if each.id == job.id else each for each in before.jobs))


def _passed(before: Pipeline, payload: Payload) -> Pipeline:
    checkpoint = Checkpoint(
        name=payload["checkpoint"],
        role=payload["role"],
        agent_id=payload["agent_id"],
        keyid=payload["keyid"],
        job=payload["job"],
        summary=payload["summary"],
        artefact=read_artefact(payload["artefact"]),
        envelope=payload["attestation"]["digest"],
        issued_ms=payload["issued_ms"],
        expires_ms=payload["expires_ms"],
    )
    if checkpoint.name not in {rule.name for rule in before.rules}:
        raise FoldBroken(f"it has no checkpoint {checkpoint.name}")
    return replace(before, checkpoints=(*before.checkpoints, checkpoint))


def _scanned(before: Pipeline, payload: Payload) -> Pipeline:
    scan = {
        "subject": payload["scanned"],
        "tool": payload["tool"],
        "status": payload["status"],
        "issues": list(payload["issues"]),
        "report_artifact": payload["report_artifact"],
        "metadata": dict(payload["metadata"]),
    }
    return replace(before, scans=(*before.scans, scan))


# --- deployments ------------------------------------------------------------------------------------------------------


def _deployed(subject: str, payload: Payload) -> Deployment:
    return Deployment(
        id=subject,
        name=payload["name"],
        digest=payload["digest"],
        environment=payload["environment"],
        strategy=payload["strategy"],
        version=payload["version"],
        previous_version=payload["previous_version"],
        status=Status(payload["status"]),
        pipeline_id=payload["pipeline_id"],
        created_ms=payload["created_ms"],
        created_by=payload["created_by"],
        revision=1,
    )


def _deployment_moved(before: Deployment, payload: Payload) -> Deployment:
    after = Status(payload["current_status"])
    if before.status.value != payload["previous_status"] or not DEPLOYMENT_MOVES.allows(before.status, after):
        raise FoldBroken(f"{before.status.value} does not become {after.value}")
    return replace(before, status=after, reason=payload["reason"], message=payload["message"])


def _stepped(before: Deployment, payload: Payload) -> Deployment:
    if payload["status"] != Status.SUCCESS.value:
        return before
    return replace(before, steps_done=before.steps_done + 1)


def _probed(before: Deployment, payload: Payload) -> Deployment:
    return replace(before, healthy=payload["healthy"], health=Health(**payload["health"]))


_CREATED, _DEPLOYED = "pipeline.state.created", "deployment.state.created"
_PIPELINES: Mapping[str, Callable[[Pipeline, Payload], Pipeline]] = {
    _CREATED: lambda before, _: before,
    "pipeline.state.status_changed": _moved,
    "pipeline.state.stage_changed": _stage_moved,
    "pipeline.state.job_started": _job_started,
    "pipeline.state.job_ended": _job_ended,
    "pipeline.state.checkpoint_passed": _passed,
    "security_scan.recorded": _scanned,
}
_DEPLOYMENTS: Mapping[str, Callable[[Deployment, Payload], Deployment]] = {
    _DEPLOYED: lambda before, _: before,
    "deployment.state.status_changed": _deployment_moved,
    "deployment.state.step_ended": _stepped,
    "deployment.state.health_changed": _probed,
}
