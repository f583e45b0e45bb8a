"""Profile drift: whether the profile that is applied has for some time not been the one that telemetry recommends.

It advises and switches nothing. One evaluation that does not count ends it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from interlock.kernel.errors import Invalid, NotFound
from interlock.loops.files import Document

RANKS: Final = {"low": 1, "medium": 2, "high": 3}
DETECTED: Final = "profile_drift_detected"
_ACTIONS: Final = {
    "drift_active": "review_threshold_profile",
    "mismatch_pending": "monitor_additional_windows",
    "insufficient_confidence": "collect_more_confident_telemetry",
}


class LevelUnknown(Invalid):
    """A confidence is low, medium or high."""

    code = "confidence_unknown"


class AppliedProfileUnknown(NotFound):
    """The catalog has no profile that is called like the one applied."""

    code = "applied_profile_unknown"


class DriftOptions(NamedTuple):
    """When a mismatch counts, and how often it has to."""

    minimum_confidence: str = "medium"
    required_streak: int = 3
    summary_window: int = 200


class Recommended(NamedTuple):
    """What telemetry recommends; nobody's, where it recommends nothing."""

    profile: str | None = None
    confidence: str = "low"
    rationale: str | None = None

    def among(self, names: Collection[str]) -> Recommended:
        """Recommend nothing that the catalog does not have, and say so."""
        if self.profile is None or self.profile in names:
            return self
        return self._replace(
            profile=None, rationale=f"telemetry would suit {self.profile!r}, which the catalog does not have"
        )


class DriftResult(NamedTuple):
    """One evaluation."""

    document: Document
    transitioned_to_active: bool


def rank(confidence: str) -> int:
    """Return how much a confidence weighs; raises `LevelUnknown`."""
    if confidence not in RANKS:
        raise LevelUnknown(f"a confidence is low, medium or high, not {confidence[:64]!a}")
    return RANKS[confidence]


def evaluate(
    previous: Document | None,
    *,
    loop: str,
    now: str,
    applied: str | None,
    recommended: Recommended,
    options: DriftOptions,
    trace_id: str | None = None,
) -> DriftResult:
    """Evaluate once, after `previous`. With `trace_id` the document says whose evaluation it is."""
    confidence, minimum = rank(recommended.confidence), rank(options.minimum_confidence)
    mismatch = bool(applied) and bool(recommended.profile) and applied != recommended.profile
    eligible = mismatch and confidence >= minimum
    streak = _streak(previous) + 1 if eligible else 0
    was_active = bool(previous) and previous.get("driftActive") is True
    active = eligible and streak >= options.required_streak
    status = _status(recommended.profile, mismatch=mismatch, confident=confidence >= minimum, active=active)
    shown = {
        "schemaVersion": "v1",
        "updatedAt": now,
        "loopId": loop,
        "status": status,
        "reasonCode": DETECTED if active else None,
        "appliedProfile": applied or None,
        "recommendedProfile": recommended.profile or None,
        "recommendationConfidence": recommended.confidence,
        "minimumConfidence": options.minimum_confidence,
        "recommendationRank": confidence,
        "minimumRank": minimum,
        "requiredStreak": options.required_streak,
        "summaryWindow": options.summary_window,
        "mismatch": mismatch,
        "confidenceOk": confidence >= minimum,
        "eligibleMismatch": eligible,
        "mismatchStreak": streak,
        "driftActive": active,
        "transitioned": {"toActive": active and not was_active, "toResolved": was_active and not active},
        "rationale": recommended.rationale or None,
        "action": _ACTIONS.get(status),
        "traceId": trace_id,
    }
    return DriftResult({key: value for key, value in shown.items() if value is not None}, active and not was_active)


def history_row(result: DriftResult) -> Document:
    """Return the line of an evaluation in the history."""
    return {
        "timestamp": result.document["updatedAt"],
        "loopId": result.document["loopId"],
        "category": "profile_drift_evaluation",
        "drift": result.document,
    }


def _status(recommended: str | None, *, mismatch: bool, confident: bool, active: bool) -> str:
    if not recommended:
        return "no_recommendation"
    if not mismatch:
        return "aligned"
    if not confident:
        return "insufficient_confidence"
    return "drift_active" if active else "mismatch_pending"


def _streak(previous: Document | None) -> int:
    value = previous.get("mismatchStreak") if previous else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
