"""Any receiver of JSON, told apart by its address; a token, where there is one, goes as `Authorization`."""

from __future__ import annotations

from collections.abc import Mapping

from interlock.alerts.models import SCHEMA, Document, Message, Outcome
from interlock.alerts.sinks.posting import Sink, post


def body(message: Message, sink: str) -> Document:
    """Return what is posted."""
    return {
        "schemaVersion": SCHEMA,
        "emittedAt": message.emitted_at,
        "source": {
            "repoPath": message.repo,
            "loopId": message.loop,
            "channel": "ops_manager_alert_dispatch",
            "traceId": message.trace_id,
        },
        "event": {
            "category": message.category,
            "severity": message.severity,
            "action": message.action,
            "dedupKey": message.dedup_key,
        },
        "sink": {"id": sink, "type": "webhook"},
        "escalation": message.escalation,
    }


def _send(message: Message, config: Document, secrets: Mapping[str, str], timeout: float) -> Outcome:
    headers: dict[str, str] = dict(config.get("headers") or {})
    if secrets.get("authTokenEnv"):
        headers["Authorization"] = f"Bearer {secrets['authTokenEnv']}"
    headers["Idempotency-Key"] = message.delivery_key
    return post(secrets["urlEnv"], body(message, config["id"]), headers, timeout, secrets=secrets)


SINK = Sink(send=_send, secrets={"urlEnv": True, "authTokenEnv": False}, headers=True)
