"""Sequence diagnostics: whether events came in their order, and whether the log still holds what it once held.

The highest number that was ever read is kept. A log that ends below it has lost events, whoever reads it and from
where; reading it once more from its start is no drift.
"""

from __future__ import annotations

from typing import NamedTuple

from interlock.loops.files import Document
from interlock.loops.models import SCHEMA, at, stamp, stripped, whole
from interlock.loops.places import LoopPlaces
from interlock.loops.polling import Batch

OK = "ok"
DRIFT = "ordering_drift_detected"


class Baseline(NamedTuple):
    """What was known before."""

    snapshot: int | None = None
    mark: int | None = None
    """The highest number of an event that was read."""
    drifting: bool = False

    @classmethod
    def of(cls, document: Document | None) -> Baseline:
        """Read it from `sequence-state.json`."""
        return cls(
            snapshot=whole(document, "snapshot", "current"),
            mark=whole(document, "events", "last"),
            drifting=at(document, "driftActive") is True,
        )


class SequenceResult(NamedTuple):
    """What was found."""

    violations: tuple[str, ...]
    snapshot: Document
    events: Document
    before: Baseline

    @property
    def drifting(self) -> bool:
        """Whether anything was."""
        return bool(self.violations)

    @property
    def began(self) -> bool:
        """Whether nothing was before."""
        return self.drifting and not self.before.drifting

    @property
    def status(self) -> str:
        """In a word."""
        return DRIFT if self.violations else OK

    @property
    def reason(self) -> str | None:
        """The reason code, if there is one."""
        return DRIFT if self.violations else None

    def finding(self) -> Document:
        """Return what the state file and the telemetry row share."""
        return stripped({
            "status": self.status,
            "reasonCode": self.reason,
            "driftActive": self.drifting,
            "violations": list(self.violations),
            "snapshot": self.snapshot,
            "events": self.events,
            "transition": {
                "previousDriftActive": self.before.drifting,
                "transitionedToDrift": self.began,
                "recoveredFromDrift": self.before.drifting and not self.drifting,
            },
        })  # fmt: skip

    def document(self, places: LoopPlaces, *, now: int, trace_id: str, transport: str) -> Document:
        """Return `sequence-state.json`."""
        return {
            "schemaVersion": SCHEMA,
            "updatedAt": stamp(now),
            "loopId": places.loop,
            "traceId": trace_id,
            "transport": transport,
            **self.finding(),
        }

    def row(self, places: LoopPlaces, *, now: int, trace_id: str, transport: str) -> Document:
        """Return the telemetry row."""
        return {
            "timestamp": stamp(now),
            "loopId": places.loop,
            "traceId": trace_id,
            "transport": transport,
            "category": "envelope_sequence",
            **self.finding(),
        }


def evaluate(
    value: int | None, batch: Batch, before: Baseline, *, after: int = 0, restarted: bool = False
) -> SequenceResult:
    """Compare a snapshot's number and a batch with what was known.

    `after`: the event after which the batch was to begin. `restarted`: the log does not hold what had been read of it.
    """
    shorter = restarted or (value is not None and before.snapshot is not None and value < before.snapshot)
    early = not restarted and batch.first is not None and batch.first < after
    lost = restarted or _reached(value, batch) < (before.mark or 0)
    violations = {
        "snapshot_sequence_missing": value is None,
        "snapshot_sequence_regression": shorter,
        "event_sequence_missing": batch.missing,
        "event_sequence_non_monotonic": not batch.monotonic,
        "event_sequence_regression": lost or early,
    }
    return SequenceResult(
        violations=tuple(sorted(name for name, found in violations.items() if found)),
        snapshot={
            "previous": before.snapshot,
            "current": value,
            "monotonic": not shorter and value is not None,
            "regressed": shorter,
            "missing": value is None,
        },
        events={
            "ingestedCount": batch.ingested,
            "previousLast": before.mark,
            "first": batch.first,
            "last": _mark(value, batch, before, lost=lost),
            "monotonicWithinBatch": batch.monotonic,
            "monotonicAcrossBatches": not (lost or early),
            "regressed": lost or early,
            "missing": batch.missing,
        },
        before=before,
    )


def _reached(value: int | None, batch: Batch) -> float:
    """Return up to where the log is now known to reach; without bound where that is not known."""
    if not batch.complete or batch.missing:
        return float("inf")
    reached = value if batch.last is None else batch.last
    return float("inf") if reached is None else reached


def _mark(value: int | None, batch: Batch, before: Baseline, *, lost: bool) -> int | None:
    """Return the highest number read, as it is known from now on."""
    if lost:
        return batch.last if batch.last is not None else value or None
    known = [each for each in (batch.last, before.mark) if each is not None]
    return max(known, default=None)
