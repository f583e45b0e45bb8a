"""PagerDuty's Events API v2: an incident is triggered and resolved under one key, however often either is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping

from interlock.alerts.models import Document, Message, Outcome
from interlock.alerts.sinks.posting import Sink, post

EVENTS = "https://events.pagerduty.com/v2/enqueue"
_MOST_SUMMARY = 1024
_MOST_DETAILS = 400 * 1024
"""An event may have 512 KB."""


def body(message: Message, config: Document, routing_key: str) -> Document:
    """Return what is posted."""
    event: Document = {
        "routing_key": routing_key,
        "event_action": message.action,
        "dedup_key": message.dedup_key,
    }
    if message.action == "resolve":
        return event
    details: Document = {"escalation": message.escalation, "traceId": message.trace_id}
    if len(json.dumps(details)) > _MOST_DETAILS:
        details["escalation"] = {"truncated": True, "category": message.category}
    return event | {
        "payload": {
            "summary": message.title[:_MOST_SUMMARY],
            "severity": message.severity,
            "source": config.get("source") or "superloop-ops-manager",
            "component": config.get("component") or "ops-manager",
            "group": config.get("group") or "loop-run",
            "class": config.get("class") or "escalation",
            "custom_details": details,
        }
    }


def _send(message: Message, config: Document, secrets: Mapping[str, str], timeout: float) -> Outcome:
    event = body(message, config, secrets["routingKeyEnv"])
    return post(secrets.get("urlEnv") or EVENTS, event, {}, timeout, secrets=secrets)


SINK = Sink(
    send=_send,
    secrets={"routingKeyEnv": True, "urlEnv": False},
    config={"source": "superloop-ops-manager", "component": None, "group": None, "class": None},
    shy=frozenset({"urlEnv"}),
)
