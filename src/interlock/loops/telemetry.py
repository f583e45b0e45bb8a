"""What the last reconciles and controls say about the thresholds: rates, durations, and which profile would suit."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, cast

from interlock.kernel.errors import NotFound
from interlock.loops import files
from interlock.loops.files import Document
from interlock.loops.models import text
from interlock.loops.places import LoopPlaces

MANY_CRITICAL, MANY_FAILED = 0.20, 0.25
FEW_DEGRADED, FEW_FAILED = 0.05, 0.02
_CONFIDENCE: Final = ((100, "high"), (30, "medium"), (0, "low"))
WINDOW: Final = 200


class TelemetryMissing(NotFound):
    """Nothing was ever reconciled there."""

    code = "telemetry_missing"
    default_hint = "reconcile the loop first"


class Recommendation(NamedTuple):
    """Which profile would suit, how sure that is, why, and what was counted."""

    profile: str
    confidence: str
    rationale: str
    observed: Document


class Sources(NamedTuple):
    """The two files that are read, and how many of their last rows."""

    reconcile: str
    control: str
    window: int

    @classmethod
    def of(cls, places: LoopPlaces, window: int = WINDOW) -> Sources:
        """Name the loop's own files."""
        return cls(places.of_telemetry("reconcile.jsonl"), places.of_telemetry("control.jsonl"), window)

    def document(self, places: LoopPlaces) -> Document:
        """Return what the summary says of where it was taken from."""
        return {
            "repoPath": places.repo,
            "loopId": places.loop,
            "reconcileTelemetryFile": self.reconcile,
            "controlTelemetryFile": self.control,
            "window": self.window,
        }


def summarise(reconcile_rows: Sequence[Document], control_rows: Sequence[Document]) -> Recommendation:
    """Recommend a profile for what was observed."""
    counted = _Counted.of(reconcile_rows, control_rows)
    profile, rationale = _advice(counted)
    confidence = next(name for least, name in _CONFIDENCE if counted.attempts >= least)
    return Recommendation(profile, confidence, rationale, counted.document(reconcile_rows))


def read(sources: Sources) -> Recommendation:
    """Summarise what the files hold. Lines that are no rows are passed over. Raises `TelemetryMissing`."""
    rows = files.last_rows(sources.reconcile, sources.window)
    if not rows and not os.path.exists(sources.reconcile):
        raise TelemetryMissing(f"reconcile telemetry file not found: {sources.reconcile}")
    return summarise(rows, files.last_rows(sources.control, sources.window))


def document(places: LoopPlaces, sources: Sources, found: Recommendation, now: str) -> Document:
    """Return what the entry point prints."""
    return {
        "schemaVersion": "v1",
        "generatedAt": now,
        "source": sources.document(places),
        "observed": found.observed,
        "recommendedProfile": found.profile,
        "confidence": found.confidence,
        "rationale": found.rationale,
    }


class _Counted(NamedTuple):
    attempts: int
    succeeded: int
    failed: int
    degraded: int
    critical: int
    ambiguous: int

    @classmethod
    def of(cls, reconcile_rows: Sequence[Document], control_rows: Sequence[Document]) -> _Counted:
        statuses = Counter(text(row, "status") for row in reconcile_rows)
        healths = Counter(text(row, "healthStatus") for row in reconcile_rows)
        ambiguous = sum(
            text(row, "status") == "ambiguous" or text(row, "reasonCode") == "control_ambiguous" for row in control_rows
        )
        return cls(
            attempts=len(reconcile_rows),
            succeeded=statuses["success"],
            failed=statuses["failed"],
            degraded=healths["degraded"],
            critical=healths["critical"],
            ambiguous=ambiguous,
        )

    def rate(self, count: int) -> float:
        return count / self.attempts if self.attempts else 0

    def document(self, rows: Sequence[Document]) -> Document:
        durations = sorted(_numbers(row.get("durationSeconds") for row in rows))
        return {
            "reconcileAttempts": self.attempts,
            "reconcileSuccessCount": self.succeeded,
            "reconcileFailedCount": self.failed,
            "health": {
                "degradedCount": self.degraded,
                "criticalCount": self.critical,
                "degradedRate": _plain(self.rate(self.degraded)),
                "criticalRate": _plain(self.rate(self.critical)),
                "reasonCodeFrequency": _frequency(rows),
            },
            "control": {"ambiguousCount": self.ambiguous},
            "durationSeconds": {
                "p50": _percentile(durations, 0.5),
                "p95": _percentile(durations, 0.95),
                "max": durations[-1] if durations else None,
            },
        }


def _advice(counted: _Counted) -> tuple[str, str]:
    failed, critical = counted.rate(counted.failed), counted.rate(counted.critical)
    if not counted.attempts:
        return "balanced", "No reconciles were observed yet; the balanced profile is a safe beginning."
    if critical >= MANY_CRITICAL or failed >= MANY_FAILED:
        return "relaxed", "Many reconciles failed or were critical; wider thresholds would page less."
    quiet = counted.rate(counted.degraded) <= FEW_DEGRADED and failed <= FEW_FAILED and not counted.ambiguous
    if not critical and quiet:
        return "strict", "Reconciles were stable and no control was ambiguous; narrower thresholds would tell sooner."
    return "balanced", "Some reconciles were degraded or some controls ambiguous; the balanced profile suits."


def _frequency(rows: Sequence[Document]) -> list[Document]:
    codes = Counter(code for row in rows for code in _codes(row.get("healthReasonCodes")))
    return [{"code": code, "count": codes[code]} for code in sorted(codes, key=lambda code: (-codes[code], code))]


def _codes(value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON of any shape
    if isinstance(value, list):
        yield from (each for each in cast("list[Any]", value) if isinstance(each, str))


def _numbers(values: Iterable[Any]) -> Iterator[int | float]:
    yield from (each for each in values if isinstance(each, (int, float)) and not isinstance(each, bool))


def _percentile(values: Sequence[int | float], share: float) -> int | float | None:
    return values[int((len(values) - 1) * share)] if values else None


def _plain(number: float) -> int | float:
    """Return a whole number without its decimal point, as `jq` prints it."""
    return int(number) if number == int(number) else number
