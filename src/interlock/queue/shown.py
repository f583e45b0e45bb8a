"""Items and pauses as JSON; times in UTC, `*_kst` in UTC+9 to the minute. Pure."""

from __future__ import annotations

from typing import Any

from interlock.kernel.clock import to_text
from interlock.queue.models import Item, Pause


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
        "started_at_kst": item.started_at_kst,
        "due_at_kst": item.due_at_kst,
        "fence": item.fence,
        "lease_until": _time(item.lease_until_ms),
        "attempt_count": item.attempt_count,
        "max_attempts": item.max_attempts,
        "not_before": _time(item.not_before_ms),
        "waits_for": item.waits_for,
        "concurrency_key": item.concurrency_key,
        "idempotency_key": item.idempotency_key,
        "created_at": _time(item.created_ms),
        "notes": item.notes,
        "last_error": item.last_error,
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
