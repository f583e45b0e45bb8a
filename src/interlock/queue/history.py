"""The history of items as seed-1 tools read it: which row of `queue_events` an event of the log becomes. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interlock.queue.models import Item

RETRIED = "retried"

_KINDS = {
    "item.added": "added",
    "item.imported": "added",
    "item.claimed": "picked",
    "item.released": "lease_released",
    "item.completed": "done",
    "item.failed": "failed",
    "item.cancelled": "blocked",
    "item.replanned": "replan",
    "item.retried": RETRIED,
    "item.rescued": RETRIED,
    "item.returned": RETRIED,
    "item.snoozed": "snoozed",
    "item.reprioritised": "reprioritised",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One row."""

    item_id: str
    event_type: str
    payload_json: str
    """Keys sorted, other scripts kept."""


def item_of(event: Mapping[str, Any]) -> str | None:
    """Return the id of the item whose history an event belongs to."""
    return str(event["subject"]) if event["kind"] in _KINDS else None


def entry(event: Mapping[str, Any], item: Item) -> Entry:
    """Return the row for an event. The notes are those that the item has when the row is written."""
    payload = _payload(event["kind"], event["payload"], item)
    return Entry(item.id, _KINDS[event["kind"]], json.dumps(payload, sort_keys=True, ensure_ascii=False))


def _payload(kind: str, told: Mapping[str, Any], item: Item) -> dict[str, Any]:
    match kind:
        case "item.added" | "item.imported":
            return {"priority": told["priority"], "idempotency_key": item.idempotency_key}
        case "item.claimed":
            return {"owner_session": told["owner_session"]}
        case "item.released":
            return {"owner_session": item.owner_session}
        case "item.completed" | "item.failed" | "item.cancelled":
            return {"notes": item.notes}
        case "item.replanned":
            return {"status": told["status"], "notes": item.notes}
        case "item.retried":
            return {"reason": "operator_retry"}
        case "item.rescued":
            return {"reason": "failed_or_timeout"}
        case "item.returned":
            return {"reason": told["reason"]}
        case _:
            return dict(told)
