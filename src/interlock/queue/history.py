"""The history of items as seed-1 tools read it: which row of `queue_events` an event of the log becomes. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
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


def _payload(kind: str, told: Mapping[str, Any], item: Item) -> Mapping[str, Any]:
    chosen = _PAYLOADS.get(kind)
    return chosen(told, item) if chosen is not None else dict(told)


def _added(told: Mapping[str, Any], item: Item) -> Mapping[str, Any]:
    return {"priority": told["priority"], "idempotency_key": item.idempotency_key}


def _noted(_: Mapping[str, Any], item: Item) -> Mapping[str, Any]:
    return {"notes": item.notes}


_PAYLOADS: Mapping[str, Callable[[Mapping[str, Any], Item], Mapping[str, Any]]] = {
    "item.added": _added,
    "item.imported": _added,
    "item.claimed": lambda told, _: {"owner_session": told["owner_session"]},
    "item.released": lambda told, _: {"owner_session": told.get("owner_session") or "-"},
    "item.completed": _noted,
    "item.failed": _noted,
    "item.cancelled": _noted,
    "item.replanned": lambda told, item: {"status": told["status"], "notes": item.notes},
    "item.retried": lambda _, __: {"reason": "operator_retry"},
    "item.rescued": lambda _, __: {"reason": "failed_or_timeout"},
    "item.returned": lambda told, _: {"reason": told["reason"]},
}
"""By kind; of any other kind what was told is shown as it is."""
