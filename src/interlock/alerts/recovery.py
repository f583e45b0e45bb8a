"""When the matter is over: what a loop's newest verdict says of an alert that stands."""

from __future__ import annotations

from typing import NamedTuple

from interlock.alerts.models import Alert, Document, inner, text_at, texts


class Verdict(NamedTuple):
    """What is said of a loop."""

    health: str
    reasons: tuple[str, ...]
    drift: bool | None
    """Whether the profile has drifted; None where that is not said."""
    at: str
    """When, as the loop's files have it."""

    @classmethod
    def of_state(cls, state: Document | None) -> Verdict | None:
        """Read it from `state.json`, or from `health.json`; None if it says nothing."""
        health = inner(state, "health") or state
        status, at = text_at(health, "status"), text_at(health, "updatedAt")
        if status is None or at is None:
            return None
        active = (inner(state, "drift") or {}).get("driftActive")
        return cls(status, tuple(texts(health, "reasonCodes")), active if isinstance(active, bool) else None, at)

    def recovered(self, alert: Alert, since: str | None) -> bool:
        """Say whether an alert is over; one that was told of after this verdict is not."""
        if since is not None and self.at < since:
            return False
        match alert.category:
            case "health_critical":
                return self.health != "critical"
            case "health_degraded":
                return self.health == "healthy"
            case "divergence_detected" | "ordering_drift_detected":
                return alert.category not in self.reasons
            case "profile_drift_detected":
                return self.drift is False
            case _:
                return False
