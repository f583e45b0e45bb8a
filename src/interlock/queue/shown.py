"""Items, pauses, holders, bulks and figures as JSON; times in UTC, `*_kst` in UTC+9 to the minute. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interlock.kernel.clock import to_text
from interlock.queue.bulks import Bulk
from interlock.queue.models import Holder, Item, Pause
from interlock.queue.trends import MINUTE_MS, Point, Span

COUNTED = ("added", "claimed", "completed", "failed", "retried", "cancelled")


def show_item(item: Item) -> dict[str, Any]:
    """Return an item."""
    return {
        "id": item.id,
        "status": item.status.value,
        "priority": item.priority,
        "kind": item.kind.value,
        "executor": item.executor.value,
        "run_id": item.run_id,
        "task": item.task,
        "success_criteria": item.success_criteria,
        "owner_session": item.owner_session,
        "started_at": _time(item.started_ms),
        "started_at_kst": item.started_at_kst,
        "due_at_kst": item.due_at_kst,
        "fence": item.fence,
        "lease_until": _time(item.lease_until_ms),
        "attempt_count": item.attempt_count,
        "max_attempts": item.max_attempts,
        "not_before": _time(item.not_before_ms),
        "waits_for": item.waits_for,
        "concurrency_key": item.concurrency_key,
        "needs": list(item.needs),
        "repository": item.repository,
        "agent": item.agent,
        "node_id": item.node_id,
        "aged": item.aged,
        "idempotency_key": item.idempotency_key,
        "created_at": _time(item.created_ms),
        "notes": item.notes,
        "last_error": item.last_error,
    }


def show_holder(holder: Holder) -> dict[str, Any]:
    """Return who holds items."""
    return {
        "owner_session": holder.owner_session,
        "items": holder.items,
        "first_id": holder.first_id,
        "since": _time(holder.since_ms),
        "lease_until": _time(holder.lease_until_ms),
        "host": holder.host,
        "pid": holder.pid,
    }


def show_bulk(bulk: Bulk) -> dict[str, Any]:
    """Return a bulk: what was shown of it, and how far it is."""
    progress = bulk.progress
    return {
        "id": bulk.id,
        "status": bulk.status,
        "verb": bulk.deed.verb,
        "to": bulk.deed.to,
        "reason": bulk.deed.reason,
        "outcome": bulk.deed.outcome,
        "by": bulk.by,
        "matched": bulk.preview.count,
        "by_status": bulk.preview.by_status,
        "sample": [show_item(item) for item in bulk.preview.sample],
        "done": progress.done,
        "changed": progress.changed,
        "unchanged": progress.unchanged,
        "refused": dict(progress.refused),
        "examples": list(progress.examples),
        "message": bulk.message,
        "began_at": _time(bulk.began_ms),
        "ended_at": _time(bulk.ended_ms),
    }


def show_history(span: Span, found: Sequence[Point]) -> dict[str, Any]:
    """Return the points of a plot, and how wide each is."""
    return {
        "from": to_text(span.first * MINUTE_MS),
        "step_seconds": span.step * 60,
        "points": [
            {
                "at": to_text(point.at_ms),
                **{name: point.counted.get(name, 0) for name in COUNTED},
                "wait_p50_ms": point.wait_p50_ms,
                "wait_p95_ms": point.wait_p95_ms,
                "work_p50_ms": point.work_p50_ms,
                "work_p95_ms": point.work_p95_ms,
                "backlog": dict(point.backlog),
            }
            for point in found
        ],
    }


def show_pause(pause: Pause | None) -> dict[str, Any] | None:
    """Return a pause; null where nothing is paused."""
    if pause is None:
        return None
    return {
        "by": pause.paused_by,
        "reason": pause.reason,
        "since": to_text(pause.since_ms),
        "until": _time(pause.until_ms),
    }


def _time(ms: int | None) -> str | None:
    return None if ms is None else to_text(ms)
