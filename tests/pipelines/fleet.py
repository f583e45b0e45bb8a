"""A run's and a deployment's events, made by hand, for tests of what follows them."""

from __future__ import annotations

from typing import Any

from interlock.kernel.events import Event
from interlock.pipelines.events import (
    CheckpointPassed,
    DeploymentCreated,
    DeploymentProbed,
    DeploymentStatusChanged,
    DeploymentStepped,
    JobEnded,
    JobStarted,
    PipelineCreated,
    PipelineEnded,
    PipelineStatusChanged,
    SecurityScanned,
    StageChanged,
)

RUN = "pipeline_01K9ZZZZZZZZZZZZZZZZZZZZZZ"
DEPLOY = "deploy_01K9ZZZZZZZZZZZZZZZZZZZZZZ"
DIGEST = "sha256:" + "d" * 64
ARTEFACT = {"path": "build_output/planner_review.json", "sha256": "a" * 64, "size": 12}
ATTESTED = {
    "digest": "sha256:" + "e" * 64,
    "keyid": "0badcafe",
    "predicate_type": "urn:interlock:predicate:checkpoint/v1",
    "signed_by": "principal",
}


def created(**parts: Any) -> PipelineCreated:  # noqa: ANN401 - any field of the event
    told: dict[str, Any] = {
        "subject": RUN,
        "name": "nightly",
        "status": "Pending",
        "commit_sha": "9c0ffee",
        "triggered_at": 1790000000,
        "triggered_ms": 1790000000123,
        "triggered_by": "human:alice",
        "auto_approved": False,
        "digest": DIGEST,
        "stages": [{"name": "repair", "stage_type": "Validate"}],
        "jobs": [{"id": "repair/1-run_self_heal", "stage": "repair", "role": "planner"}],
        "checkpoints": [{"name": "pre", "role": "planner", "artefact": ARTEFACT["path"]}],
    }
    return PipelineCreated(**{**told, **parts})


def moved(before: str, after: str, fence: int, **parts: Any) -> PipelineStatusChanged:  # noqa: ANN401 - the same
    kind = PipelineStatusChanged if after == "Running" else PipelineEnded
    return kind(
        subject=RUN, previous_status=before, current_status=after, fence=fence, at_ms=1790000000200 + fence, **parts
    )


def staged(before: str, after: str, duration_ms: int | None = None) -> StageChanged:
    return StageChanged(
        subject=RUN, stage="repair", previous_status=before, current_status=after, duration_ms=duration_ms
    )


def started(attempt: int = 1) -> JobStarted:
    return JobStarted(subject=RUN, job="repair/1-run_self_heal", stage="repair", attempt=attempt, at_ms=1790000000300)


def ended(status: str = "Success", **parts: Any) -> JobEnded:  # noqa: ANN401 - the same
    told: dict[str, Any] = {
        "subject": RUN,
        "job": "repair/1-run_self_heal",
        "stage": "repair",
        "status": status,
        "reason": None,
        "message": None,
        "exit_code": 0,
        "containment": "namespaces",
        "notes": [],
        "artefacts": [ARTEFACT],
        "duration_ms": 40,
        "at_ms": 1790000000340,
    }
    return JobEnded(**{**told, **parts})


def passed(name: str = "pre") -> CheckpointPassed:
    return CheckpointPassed(
        subject=RUN,
        checkpoint=name,
        role="planner",
        agent_id="PlanAgent",
        keyid="0badcafe",
        job="repair/1-run_self_heal",
        summary="the heal report is ok",
        artefact=ARTEFACT,
        issued_ms=1790000000350,
        expires_ms=1790014400350,
        attestation=ATTESTED,
    )


def scanned() -> SecurityScanned:
    return SecurityScanned(
        subject=RUN,
        scanned=str(ARTEFACT["path"]),
        tool="kingfisher",
        status="passed",
        issues=[],
        metadata={"bytes": 12},
    )


def whole_run() -> list[Event]:
    """Return the events of one run that ends well."""
    return [
        created(),
        moved("Pending", "Running", 1),
        staged("Pending", "Running"),
        started(),
        ended(),
        scanned(),
        passed(),
        staged("Running", "Success", 45),
        moved("Running", "Success", 1),
    ]


def deployed() -> list[Event]:
    """Return the events of one deployment that is promoted."""
    return [
        DeploymentCreated(
            subject=DEPLOY,
            name="site",
            environment="Staging",
            strategy="Canary",
            release="2.4.1",
            previous_version="2.4.0",
            status="Running",
            auto_approved=False,
            digest=DIGEST,
            pipeline_id=RUN,
            created_ms=1790000001000,
            created_by="human:alice",
        ),
        DeploymentStepped(
            subject=DEPLOY, step="start", number=1, status="Success", exit_code=0, message=None, duration_ms=3
        ),
        DeploymentProbed(
            subject=DEPLOY,
            healthy=True,
            health={
                "error_rate_milli": 125,
                "response_time_ms": 20,
                "cpu_usage_milli": 1500,
                "memory_usage_milli": 33333,
                "active_connections": 4,
            },
            probes=[],
        ),
        DeploymentStatusChanged(subject=DEPLOY, previous_status="Running", current_status="Success"),
    ]
