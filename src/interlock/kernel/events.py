"""Events: what happened, told once, in the past tense, in the transaction that made it true.

A room declares one small class per fact. Its fields, but for `subject` and `key`, are the payload. An event becomes
a leaf of the evidence log: the canonical JSON of `correlation_id key kind payload principal subject time version`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from interlock.kernel.canonical import Json, canonical, check
from interlock.kernel.clock import to_text
from interlock.kernel.errors import Invalid

MAX_LEAF_BYTES = 32 * 1024


class EventTooLarge(Invalid):
    """An event is larger than 32 KiB; long bodies belong into the content store."""

    code = "event_too_large"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One fact about one subject."""

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    calming: ClassVar[bool] = False
    """Whether it tells only of what comes to an end, so that it may happen while panic is on."""

    subject: str
    """The id of the thing that it is about."""
    key: str | None = None
    """Idempotency key, for facts whose owner is a file: the same key is logged once."""

    def payload(self) -> dict[str, Json]:
        """Return the fields that the kind adds."""
        return {name: value for name, value in vars(self).items() if name not in {"subject", "key"}}


Emit = Callable[[Event], None]
"""Hands an event to the open transaction, which writes it last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """An event as it is logged."""

    kind: str
    subject: str
    key: str | None
    time_ms: int
    data: bytes
    """Canonical JSON, at most 32 KiB."""


def to_leaf(event: Event, *, principal: str, correlation_id: str | None, time_ms: int) -> Leaf:
    """Fix the bytes of an event; raises ValueError or `EventTooLarge` for one that can not be logged."""
    payload = event.payload()
    check(payload, event.kind)
    data = canonical(
        {
            "correlation_id": correlation_id,
            "key": event.key,
            "kind": event.kind,
            "payload": payload,
            "principal": principal,
            "subject": event.subject,
            "time": to_text(time_ms),
            "version": event.version,
        }
    )
    if len(data) > MAX_LEAF_BYTES:
        raise EventTooLarge(f"{event.kind} for {event.subject} is {len(data)} bytes; at most {MAX_LEAF_BYTES} fit")
    return Leaf(kind=event.kind, subject=event.subject, key=event.key, time_ms=time_ms, data=data)
