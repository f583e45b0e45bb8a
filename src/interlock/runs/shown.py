"""Runs, steps and log lines as JSON: the shapes of seed 4, with what we add. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interlock.kernel.clock import to_text
from interlock.runs.models import LogLine, Run, Step


def show_run(run: Run) -> dict[str, Any]:
    """Return a run in the shape of OpsRun, without its log."""
    return {
        "id": run.id,
        "approved_id": run.approved_id,
        "item_id": run.item_id,
        "status": run.status.value,
        "reason": run.reason,
        "message": run.message,
        "attempt": run.attempt,
        "created_at": to_text(run.created_ms),
        "created_by": run.created_by,
        "started_at": _instant(run.started_ms),
        "ended_at": _instant(run.ended_ms),
        "correlation_id": run.correlation_id,
        "result": run.result,
        "archived_at": _instant(run.archived_ms),
    }


def show_steps(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return a run's steps with their times."""
    return [
        {
            "name": step.name.value,
            "fence": step.fence,
            "started_at": to_text(step.started_ms),
            "ended_at": _instant(step.ended_ms),
            "duration_ms": step.ended_ms - step.started_ms if step.ended_ms is not None else None,
            "output": step.output,
        }
        for step in steps
    ]


def show_line(line: LogLine, correlation_id: str | None) -> dict[str, Any]:
    """Return a log line in the seed's shape: ts, level, msg, correlation_id."""
    return {
        "line": line.line,
        "ts": to_text(line.ts_ms),
        "level": line.level,
        "source": line.source,
        "msg": line.msg,
        "correlation_id": correlation_id,
    }


def _instant(ms: int | None) -> str | None:
    return to_text(ms) if ms is not None else None
