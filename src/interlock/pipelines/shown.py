"""Definitions, runs, deployments as doors show them: command line and HTTP alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from interlock.kernel.clock import to_text
from interlock.pipelines.declared import Looked
from interlock.pipelines.documents import show_deployment, show_pipeline
from interlock.pipelines.events import (
    DeploymentCreated,
    DeploymentProbed,
    DeploymentPromoted,
    DeploymentPromotionBlocked,
    DeploymentRolledBack,
    DeploymentStatusChanged,
    DeploymentStepped,
)
from interlock.pipelines.models import Deployment, LogLine, Pipeline, Standing

Event = Mapping[str, Any]
"""As the log has it."""


def standing_word(standing: Standing) -> str:
    """Say in a word whether a definition may run."""
    if standing.may_run:
        return "accepted"
    return "not accepted" if standing.accepted is None else "changed"


def standing_row(standing: Standing) -> dict[str, Any]:
    """Show whether a definition may run, and what was accepted."""
    accepted = standing.accepted
    return {
        "id": standing.name,
        "status": standing_word(standing),
        "digest": standing.digest,
        "changes": list(standing.changes),
        "accepted_digest": accepted.digest if accepted else None,
        "accepted_by": accepted.accepted_by if accepted else None,
        "accepted_at": to_text(accepted.accepted_ms) if accepted else None,
    }


def definition_whole(looked: Looked) -> dict[str, Any]:
    """Show a definition with everything that an acceptance of it covers."""
    return {
        **standing_row(looked.standing),
        "search_path": looked.proposed.search_path,
        "materials": [asdict(each) for each in looked.proposed.materials],
        "definition": asdict(looked.definition),
    }


def run_row(run: Pipeline) -> dict[str, Any]:
    """Show a run in a line."""
    return {
        "id": run.id,
        "name": run.name,
        "status": run.status.value,
        "reason": run.reason,
        "message": run.message,
        "digest": run.digest,
        "triggered_at": to_text(run.triggered_ms),
        "triggered_by": run.triggered_by,
        "ended_at": to_text(run.ended_ms) if run.ended_ms is not None else None,
    }


def run_whole(run: Pipeline) -> dict[str, Any]:
    """Show a run with its stages, jobs and checkpoints."""
    return {**show_pipeline(run), **run_row(run)}


def line_row(line: LogLine) -> dict[str, Any]:
    """Show a line of a run's log."""
    return {
        "line": line.line,
        "ts": to_text(line.time_ms),
        "job": line.job,
        "stream": line.stream,
        "msg": line.text,
    }


def deployment_seen(deployment: Deployment, history: Sequence[Event], run: Pipeline | None) -> dict[str, Any]:
    """Show a deployment with its steps, each look at its health, what happened to it, and who signed for its run."""
    return {
        **deployment_whole(deployment),
        "steps": [_step(each) for each in history if each["kind"] == DeploymentStepped.kind],
        "looks": [_look(each) for each in history if each["kind"] == DeploymentProbed.kind],
        "history": [told for each in history if (told := _told(each)) is not None],
        "run": run_row(run) if run else None,
        "signed": [{**asdict(each)} for each in {passed.name: passed for passed in run.checkpoints}.values()]
        if run
        else [],
    }


def _step(event: Event) -> dict[str, Any]:
    payload = event["payload"]
    names = ("number", "status", "exit_code", "message", "duration_ms", "containment")
    return {
        "at": event["time"],
        "name": payload["step"],
        **{name: payload[name] for name in names},
        "notes": list(payload["notes"]),
    }


def _look(event: Event) -> dict[str, Any]:
    payload = event["payload"]
    health = payload["health"]
    return {
        "at": event["time"],
        "healthy": payload["healthy"],
        "health_metrics": {
            "error_rate": health["error_rate_milli"] / 1000,
            "response_time_ms": health["response_time_ms"],
            "cpu_usage": health["cpu_usage_milli"] / 1000,
            "memory_usage": health["memory_usage_milli"] / 1000,
            "active_connections": health["active_connections"],
        },
        "probes": [dict(each) for each in payload["probes"]],
    }


def _told(event: Event) -> dict[str, Any] | None:
    """Show what happened in a line; steps and looks are shown elsewhere."""
    payload = event["payload"]
    words = {
        DeploymentCreated.kind: "created",
        DeploymentPromoted.kind: "promoted",
        DeploymentPromotionBlocked.kind: "promotion refused",
        DeploymentRolledBack.kind: "rolled back" if payload.get("complete") else "roll back incomplete",
        DeploymentStatusChanged.kind: f"{payload.get('previous_status')} → {payload.get('current_status')}",
    }
    what = words.get(event["kind"])
    if what is None:
        return None
    return {
        "at": event["time"],
        "by": event["principal"],
        "what": what,
        "reason": payload.get("reason"),
        "message": payload.get("message"),
    }


def deployment_whole(deployment: Deployment) -> dict[str, Any]:
    """Show a deployment."""
    return {**show_deployment(deployment), "created_at": to_text(deployment.created_ms)}
