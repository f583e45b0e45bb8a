"""Heartbeat: how long ago the runtime last said that it lives.

The age is always taken from the last heartbeat's own time, so one that vanishes grows stale like one that freezes.
"""

from __future__ import annotations

from typing import NamedTuple

from interlock.loops.files import Document
from interlock.loops.health import Thresholds
from interlock.loops.models import CRITICAL, DEGRADED, SCHEMA, inner, lag, stamp, stripped, text
from interlock.loops.places import LoopPlaces
from interlock.loops.snapshot import Snapshot

FRESH = "fresh"
STALE = "runtime_heartbeat_stale"


class Freshness(NamedTuple):
    """What is known of the heartbeat."""

    status: str
    """`fresh`, `degraded`, `critical`; `failed` for one that says no time."""
    reason: str | None
    at: str | None
    age: int | None
    heartbeat: Document
    thresholds: Thresholds

    @property
    def readable(self) -> bool:
        """Whether it says a time."""
        return self.age is not None

    def document(self, places: LoopPlaces, *, now: int, trace_id: str, transport: str) -> Document:
        """Return `heartbeat.json`."""
        return stripped({
            "schemaVersion": SCHEMA,
            "updatedAt": stamp(now),
            "loopId": places.loop,
            "traceId": trace_id,
            "transport": transport,
            "lastHeartbeatAt": self.at,
            "heartbeatLagSeconds": self.age,
            "freshnessStatus": self.status,
            "reasonCode": self.reason,
            "thresholds": {
                "degradedHeartbeatLagSeconds": self.thresholds.degraded_heartbeat,
                "criticalHeartbeatLagSeconds": self.thresholds.critical_heartbeat,
            },
            "heartbeat": self.heartbeat,
        })  # fmt: skip

    def row(self, places: LoopPlaces, *, now: int, trace_id: str, transport: str) -> Document:
        """Return the telemetry row."""
        return stripped({
            "timestamp": stamp(now),
            "loopId": places.loop,
            "traceId": trace_id,
            "transport": transport,
            "category": "runtime_heartbeat",
            "status": self.status,
            "reasonCode": self.reason,
            "heartbeatAt": self.at,
            "heartbeatLagSeconds": self.age,
            "heartbeat": self.heartbeat,
        })  # fmt: skip


def evaluate(seen: Snapshot, kept: Document | None, thresholds: Thresholds, now: int) -> Freshness | None:
    """Judge the heartbeat or, where there is none any more, the last one that was kept; None if there never was one."""
    beat = seen.heartbeat
    if beat is None:
        last = text(kept, "lastHeartbeatAt")
        return None if last is None else _judged(last, inner(kept, "heartbeat") or {}, thresholds, lag(now, last))
    noted = text(beat, "timestamp") or text(beat, "updatedAt")
    if noted is None:
        return Freshness("failed", "missing_heartbeat_timestamp", None, None, beat, thresholds)
    return _judged(noted, beat, thresholds, lag(now, noted, seen.heartbeat_touched))


def _judged(noted: str, beat: Document, thresholds: Thresholds, age: int | None) -> Freshness:
    if age is None:
        return Freshness("failed", "invalid_heartbeat_timestamp", noted, None, beat, thresholds)
    if age >= thresholds.critical_heartbeat:
        return Freshness(CRITICAL, STALE, noted, age, beat, thresholds)
    if age >= thresholds.degraded_heartbeat:
        return Freshness(DEGRADED, STALE, noted, age, beat, thresholds)
    return Freshness(FRESH, None, noted, age, beat, thresholds)
