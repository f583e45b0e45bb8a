"""Alerts as the doors show them."""

from __future__ import annotations

import json
from typing import Any

from interlock.alerts.models import Alert, Delivery, Silence
from interlock.alerts.service import Shown
from interlock.kernel.clock import to_text


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
    return {
        **alert_row(shown.alert),
        "dedup_key": shown.alert.dedup_key,
        "trace_id": shown.alert.trace_id,
        "escalation": json.loads(shown.alert.row),
        "deliveries": [delivery_row(each) for each in shown.deliveries],
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
