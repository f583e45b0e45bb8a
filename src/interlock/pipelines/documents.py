"""Pipelines and deployments as JSON: rows of the database and entries of `state.json`, in the seed's keys and ours.

The seed's readers find every key of theirs, with its type. What we add stands beside it; what only repeats another key
(`approvals_granted` repeats `checkpoints`) is written and never read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interlock.kernel.canonical import Json, JsonObject
from interlock.pipelines.models import (
    Artefact,
    Checkpoint,
    CheckpointRule,
    Deployment,
    Health,
    JobState,
    Pipeline,
    StageState,
    Status,
)

Document = Mapping[str, Any]


def show_pipeline(pipeline: Pipeline) -> dict[str, Any]:
    """Return a run's document."""
    return {
        "id": pipeline.id,
        "name": pipeline.name,
        "status": pipeline.status.value,
        "stages": [_stage(each) for each in pipeline.stages],
        "commit_sha": pipeline.commit_sha,
        "triggered_at": pipeline.triggered_ms // 1000,
        "crc_job_id": None,
        "auto_approved": False,
        "ai_confidence": 0.0,
        "diff_summary": None,
        "approvals_required": [
            {"role": rule.role, "minimum_trust_score": 0.0, "required_evidence_tags": [rule.name]}
            for rule in pipeline.rules
        ],
        "approvals_granted": [
            {
                "role": passed.role,
                "agent_id": passed.agent_id,
                "trust_score": 0.0,
                "evidence_tags": [passed.name],
                "evidence_references": [passed.envelope],
                "recorded_at": passed.issued_ms // 1000,
            }
            for passed in pipeline.checkpoints
        ],
        "security_scans": [dict(scan) for scan in pipeline.scans],
        "digest": pipeline.digest,
        "fence": pipeline.fence,
        "triggered_ms": pipeline.triggered_ms,
        "triggered_by": pipeline.triggered_by,
        "jobs": [_job(each) for each in pipeline.jobs],
        "rules": [{"name": each.name, "role": each.role, "artefact": each.artefact} for each in pipeline.rules],
        "checkpoints": [_checkpoint(each) for each in pipeline.checkpoints],
        "reason": pipeline.reason,
        "message": pipeline.message,
        "ended_ms": pipeline.ended_ms,
        "revision": pipeline.revision,
    }


def read_pipeline(found: Document) -> Pipeline:
    """Return the run of a document; raises KeyError, TypeError or ValueError for anything else."""
    return Pipeline(
        id=found["id"],
        name=found["name"],
        digest=found["digest"],
        status=Status(found["status"]),
        fence=found["fence"],
        commit_sha=found["commit_sha"],
        triggered_ms=found["triggered_ms"],
        triggered_by=found["triggered_by"],
        stages=tuple(
            StageState(
                name=each["name"],
                type=each["stage_type"],
                status=Status(each["status"]),
                duration_ms=each["duration_ms"],
            )
            for each in found["stages"]
        ),
        jobs=tuple(_read_job(each) for each in found["jobs"]),
        rules=tuple(
            CheckpointRule(name=each["name"], role=each["role"], artefact=each["artefact"]) for each in found["rules"]
        ),
        checkpoints=tuple(_read_checkpoint(each) for each in found["checkpoints"]),
        reason=found["reason"],
        message=found["message"],
        ended_ms=found["ended_ms"],
        scans=tuple(found["security_scans"]),
        revision=found["revision"],
    )


def show_deployment(deployment: Deployment) -> dict[str, Any]:
    """Return a deployment's document."""
    health = deployment.health
    return {
        "id": deployment.id,
        "environment": deployment.environment,
        "strategy": deployment.strategy,
        "version": deployment.version,
        "status": deployment.status.value,
        "health_metrics": {
            "error_rate": health.error_rate_milli / 1000,
            "response_time_ms": health.response_time_ms,
            "cpu_usage": health.cpu_usage_milli / 1000,
            "memory_usage": health.memory_usage_milli / 1000,
            "active_connections": health.active_connections,
        },
        "auto_approved": False,
        "name": deployment.name,
        "digest": deployment.digest,
        "previous_version": deployment.previous_version,
        "pipeline_id": deployment.pipeline_id,
        "created_ms": deployment.created_ms,
        "created_by": deployment.created_by,
        "healthy": deployment.healthy,
        "steps_done": deployment.steps_done,
        "reason": deployment.reason,
        "message": deployment.message,
        "revision": deployment.revision,
    }


def read_deployment(found: Document) -> Deployment:
    """Return the deployment of a document; raises KeyError, TypeError or ValueError for anything else."""
    measured = found["health_metrics"]
    return Deployment(
        id=found["id"],
        name=found["name"],
        digest=found["digest"],
        environment=found["environment"],
        strategy=found["strategy"],
        version=found["version"],
        previous_version=found["previous_version"],
        status=Status(found["status"]),
        pipeline_id=found["pipeline_id"],
        created_ms=found["created_ms"],
        created_by=found["created_by"],
        health=Health(
            error_rate_milli=round(measured["error_rate"] * 1000),
            response_time_ms=measured["response_time_ms"],
            cpu_usage_milli=round(measured["cpu_usage"] * 1000),
            memory_usage_milli=round(measured["memory_usage"] * 1000),
            active_connections=measured["active_connections"],
        ),
        healthy=found["healthy"],
        steps_done=found["steps_done"],
        reason=found["reason"],
        message=found["message"],
        revision=found["revision"],
    )


def show_artefact(artefact: Artefact) -> JsonObject:
    """Return an artefact's three words, as events carry them."""
    return {"path": artefact.path, "sha256": artefact.sha256, "size": artefact.size}


def read_artefact(found: Document) -> Artefact:
    """Return the artefact of such an object."""
    return Artefact(path=found["path"], sha256=found["sha256"], size=found["size"])


def show_artefacts(artefacts: Sequence[Artefact]) -> list[JsonObject]:
    """Return several of them."""
    return [show_artefact(each) for each in artefacts]


def _stage(stage: StageState) -> dict[str, Json]:
    return {
        "name": stage.name,
        "stage_type": stage.type,
        "status": stage.status.value,
        "duration_ms": stage.duration_ms,
    }


def _job(job: JobState) -> dict[str, Json]:
    return {
        "id": job.id,
        "stage": job.stage,
        "role": job.role,
        "status": job.status.value,
        "attempt": job.attempt,
        "started_ms": job.started_ms,
        "ended_ms": job.ended_ms,
        "reason": job.reason,
        "message": job.message,
        "exit_code": job.exit_code,
        "containment": job.containment,
        "notes": list(job.notes),
        "artefacts": show_artefacts(job.artefacts),
    }


def _read_job(found: Document) -> JobState:
    return JobState(
        id=found["id"],
        stage=found["stage"],
        role=found["role"],
        status=Status(found["status"]),
        attempt=found["attempt"],
        started_ms=found["started_ms"],
        ended_ms=found["ended_ms"],
        reason=found["reason"],
        message=found["message"],
        exit_code=found["exit_code"],
        containment=found["containment"],
        notes=tuple(found["notes"]),
        artefacts=tuple(read_artefact(each) for each in found["artefacts"]),
    )


def _checkpoint(checkpoint: Checkpoint) -> dict[str, Json]:
    return {
        "name": checkpoint.name,
        "role": checkpoint.role,
        "agent_id": checkpoint.agent_id,
        "keyid": checkpoint.keyid,
        "job": checkpoint.job,
        "summary": checkpoint.summary,
        "artefact": show_artefact(checkpoint.artefact),
        "envelope": checkpoint.envelope,
        "issued_ms": checkpoint.issued_ms,
        "expires_ms": checkpoint.expires_ms,
    }


def _read_checkpoint(found: Document) -> Checkpoint:
    return Checkpoint(
        name=found["name"],
        role=found["role"],
        agent_id=found["agent_id"],
        keyid=found["keyid"],
        job=found["job"],
        summary=found["summary"],
        artefact=read_artefact(found["artefact"]),
        envelope=found["envelope"],
        issued_ms=found["issued_ms"],
        expires_ms=found["expires_ms"],
    )
