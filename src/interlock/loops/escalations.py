"""Escalations: one line for each thing that a human should hear of, when it begins, not as long as it lasts."""

from __future__ import annotations

from typing import NamedTuple

from interlock.loops.divergence import Divergence
from interlock.loops.drift import DETECTED, DriftResult
from interlock.loops.files import Document
from interlock.loops.health import Health
from interlock.loops.models import HEALTHY, at, stamp, stripped
from interlock.loops.places import LoopPlaces
from interlock.loops.sequence import SequenceResult

_DRIFT_KEYS = (
    "status",
    "appliedProfile",
    "recommendedProfile",
    "recommendationConfidence",
    "mismatchStreak",
    "requiredStreak",
    "action",
    "rationale",
)


class Paths(NamedTuple):
    """The files that an escalation points at."""

    state: str
    cursor: str
    health: str
    sequence: str
    sequence_rows: str
    drift: str
    drift_rows: str


class Writer(NamedTuple):
    """What all of a reconcile's escalations have in common."""

    places: LoopPlaces
    paths: Paths
    trace_id: str
    transport: str
    now: int

    def divergence(
        self, found: Divergence, previous: Document | None, state: Document, *, replayed: bool
    ) -> Document | None:
        """Tell of contradictions that are new or other ones, or that a replay from the start has not resolved."""
        known = at(previous, "divergence", "flags") == found.flags() and not replayed
        if not found.any or known:
            return None
        return self._row("divergence_detected") | {
            "stateFile": self.paths.state,
            "cursorFile": self.paths.cursor,
            "divergenceFlags": found.flags(),
            "state": {name: state[name] for name in ("transition", "projection", "cursor")},
        }

    def ordering(self, found: SequenceResult) -> Document | None:
        """Tell of an ordering drift that begins."""
        if not found.began:
            return None
        finding = found.finding()
        return self._row("ordering_drift_detected") | {
            "reasonCode": found.reason,
            "stateFile": self.paths.state,
            "sequenceStateFile": self.paths.sequence,
            "sequenceTelemetryFile": self.paths.sequence_rows,
            "sequence": {name: finding[name] for name in ("status", "driftActive", "violations", "snapshot", "events")},
        }

    def health(self, found: Health, previous: Document | None, *, failure_code: str | None) -> Document | None:
        """Tell of a verdict that is not healthy and was not the one before."""
        before = at(previous, "status") or HEALTHY
        same = before == found.status and (at(previous, "reasonCodes") or []) == list(found.codes)
        if found.status == HEALTHY or same:
            return None
        return stripped(self._row(f"health_{found.status}") | {
            "ingestStatus": found.document["transport"]["ingestStatus"],
            "failureCode": failure_code,
            "stateFile": self.paths.state,
            "cursorFile": self.paths.cursor,
            "healthFile": self.paths.health,
            "healthStatus": found.status,
            "reasonCodes": list(found.codes),
            "reasons": found.document["reasons"],
        })  # fmt: skip

    def profile(self, found: DriftResult) -> Document | None:
        """Tell of a profile drift that begins."""
        if not found.transitioned_to_active:
            return None
        return self._row("profile_drift_detected") | {
            "stateFile": self.paths.state,
            "driftStateFile": self.paths.drift,
            "driftHistoryFile": self.paths.drift_rows,
            "reasonCode": DETECTED,
            "drift": {name: found.document.get(name) for name in _DRIFT_KEYS},
        }

    def _row(self, category: str) -> Document:
        return {
            "timestamp": stamp(self.now),
            "loopId": self.places.loop,
            "traceId": self.trace_id,
            "category": category,
            "transport": self.transport,
        }
