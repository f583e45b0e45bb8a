"""Alerts as the doors show them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from interlock.alerts.escalations import codes_of
from interlock.alerts.models import EVENT_SOURCE, Alert, Delivery, Document, Silence, text_at, texts
from interlock.alerts.service import Shown, SinkSeen, SinksSeen
from interlock.kernel.clock import to_text

_MOST_PREVIEWED: Final = 20
_SUBJECTS: Final = {
    "r_": "run",
    "d_": "draft",
    "pipeline_": "pipeline",
    "deploy_": "deployment",
    "panic": "panic",
}
"""What a subject is, by how its name begins."""


def alert_row(alert: Alert) -> dict[str, Any]:
    """Show an alert in a line."""
    return {
        "id": alert.id,
        "status": alert.state.value,
        "severity": alert.severity,
        "category": alert.category,
        "source": alert.source,
        "summary": alert.summary,
        "count": alert.count,
        "opened_at": to_text(alert.opened_ms),
        "last_at": to_text(alert.last_ms),
        "ended_at": None if alert.ended_ms is None else to_text(alert.ended_ms),
        "by": alert.by,
        "untold": alert.silenced,
    }


def delivery_row(delivery: Delivery) -> dict[str, Any]:
    """Show a delivery in a line."""
    return {
        "sink": delivery.sink,
        "action": delivery.action,
        "created_at": to_text(delivery.created_ms),
        "change": delivery.change,
        "status": delivery.status.value,
        "attempts": delivery.attempts,
        "reason": delivery.reason,
        "http_status": delivery.http_status,
        "message": delivery.message,
        "next_at": to_text(delivery.next_ms) if delivery.status.value == "pending" else None,
        "delivered_at": None if delivery.delivered_ms is None else to_text(delivery.delivered_ms),
    }


def alert_whole(shown: Shown) -> dict[str, Any]:
    """Show an alert with everything."""
    row: Document = json.loads(shown.alert.row)
    return {
        **alert_row(shown.alert),
        "dedup_key": shown.alert.dedup_key,
        "trace_id": shown.alert.trace_id,
        "subject": subject_of(shown),
        "reasons": codes_of(row) if shown.alert.source != EVENT_SOURCE else texts(row, "reasonCodes"),
        "escalation": row,
        "deliveries": [delivery_row(each) for each in shown.deliveries],
        "history": [told_row(each) for each in shown.history],
    }


def subject_of(shown: Shown) -> dict[str, Any]:
    """Say of what an alert is."""
    if shown.about is not None:
        return {"kind": "loop", "id": shown.about.get("loop") or "", "repo": shown.about.get("repo")}
    named = text_at(json.loads(shown.alert.row), "subject") or shown.alert.source
    kind = next((kind for prefix, kind in _SUBJECTS.items() if named.startswith(prefix)), "other")
    return {"kind": kind, "id": named, "repo": None}


def told_row(event: Mapping[str, Any]) -> dict[str, Any]:
    """Show an event of an alert in a line."""
    payload = event["payload"]
    return {
        "at": event["time"],
        "kind": event["kind"],
        "by": event["principal"],
        "severity": text_at(payload, "severity"),
        "sink": text_at(payload, "sink"),
        "note": text_at(payload, "note") or text_at(payload, "reason"),
    }


def preview_row(found: Sequence[Alert]) -> dict[str, Any]:
    """Show what a silence would cover, the newest of them in a line each."""
    return {"count": len(found), "alerts": [alert_row(each) for each in found[:_MOST_PREVIEWED]]}


def sinks_whole(found: SinksSeen) -> dict[str, Any]:
    """Show every sink, and where alerts go."""
    return {
        "source": found.source,
        "problem": found.problem,
        "default_min_severity": found.default_min_severity,
        "default_sinks": list(found.default_sinks),
        "routes": [
            {
                "category": each["category"],
                "min_severity": text_at(each, "minSeverity"),
                "enabled": each.get("enabled") is not False,
                "sinks": texts(each, "sinks"),
            }
            for each in found.routes
        ],
        "sinks": [_sink_row(each) for each in found.sinks],
    }


def _sink_row(sink: SinkSeen) -> dict[str, Any]:
    return {
        "id": sink.id,
        "type": sink.type,
        "enabled": sink.enabled,
        "timeout_seconds": sink.timeout_seconds,
        "variables": [{"name": name, "present": present} for name, present in sink.secrets.items()],
        "pending": sink.counts.get("pending", 0),
        "delivered": sink.counts.get("delivered", 0),
        "skipped": sink.counts.get("skipped", 0),
        "failures": sink.breaker.failures,
        "paused_until": to_text(sink.breaker.open_until_ms) if sink.breaker.open_until_ms else None,
    }


def silence_row(silence: Silence) -> dict[str, Any]:
    """Show a silence in a line."""
    return {
        "id": silence.id,
        "source": silence.source,
        "category": silence.category,
        "until_at": to_text(silence.until_ms),
        "reason": silence.reason,
        "by": silence.by,
        "created_at": to_text(silence.created_ms),
    }
