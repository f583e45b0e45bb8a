"""Definitions, runs, deployments as doors show them: command line and HTTP alike."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from interlock.kernel.clock import to_text
from interlock.pipelines.declared import Looked
from interlock.pipelines.documents import show_deployment, show_pipeline
from interlock.pipelines.models import Deployment, LogLine, Pipeline, Standing


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


def deployment_whole(deployment: Deployment) -> dict[str, Any]:
    """Show a deployment."""
    return {**show_deployment(deployment), "created_at": to_text(deployment.created_ms)}
