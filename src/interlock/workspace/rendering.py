"""What a window shows: the JSON shapes of seed 4, with what we add. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from interlock.approval.models import Approved, Draft, Plan
from interlock.evidence.content import Text
from interlock.kernel.canonical import JsonObject
from interlock.kernel.clock import to_text
from interlock.runs.models import LogLine, Run, Step

LOG_LINES = 200
"""How many of a run's last log lines its window shows."""

_ERASED = "erased"


def as_file(shown: Any) -> bytes:  # noqa: ANN401 - JSON of any shape
    """Return the bytes of a window: pretty JSON, UTF-8, one final newline."""
    return (json.dumps(shown, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def show_plan(plan: Plan) -> JsonObject:
    """Return the plan as it was written."""
    return plan.body


def show_draft(draft: Draft) -> dict[str, Any]:
    """Return a draft in the shape of OpsDraft."""
    return {
        "id": draft.id,
        "status": draft.status.value,
        "version": draft.version,
        "prompt": _text(draft.prompt),
        "context": _context(draft.context),
        "provider": draft.provider,
        "content": _text(draft.content) if draft.content else None,
        "error": draft.error,
        "work": draft.work.to_json(),
        "author": draft.author,
        "created_at": to_text(draft.created_ms),
        "updated_at": to_text(draft.updated_ms),
        "decided_by": draft.decided_by,
        "decision_reason": draft.decision_reason,
    }


def show_approved(approved: Approved) -> dict[str, Any]:
    """Return an approved record in the shape of OpsApproved."""
    return {
        "id": approved.id,
        "draft_id": approved.draft_id,
        "digest": approved.digest,
        "prompt": _text(approved.prompt),
        "context": _context(approved.context),
        "provider": approved.provider,
        "content": _text(approved.content) if approved.content else "",
        "terms": approved.terms,
        "approved_at": to_text(approved.approved_ms),
        "approved_by": approved.approved_by,
        "expires_at": _instant(approved.expires_ms),
        "attestation": approved.attestation,
        "revoked_at": _instant(approved.revoked_ms),
        "revoked_by": approved.revoked_by,
        "revoke_reason": approved.revoke_reason,
    }


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


def show_run_window(run: Run, lines: Sequence[LogLine]) -> dict[str, Any]:
    """Return a run's window: the run, and the last lines of its log as it was when the run last moved."""
    return show_run(run) | {
        "log_through": lines[-1].line if lines else 0,
        "log": [show_line(line, run.correlation_id) for line in lines],
    }


def _text(text: Text) -> str:
    return _ERASED if text.body is None else text.body


def _context(text: Text) -> Any:  # noqa: ANN401 - JSON of any shape
    return _ERASED if text.body is None else json.loads(text.body)


def _instant(ms: int | None) -> str | None:
    return to_text(ms) if ms is not None else None
