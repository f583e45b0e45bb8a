"""Health: healthy, degraded or critical, and each reason why.

Lateness counts only where something is to be expected: a loop that is complete, stopped, idle, failed or waits for an
approval is late for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from interlock.loops.errors import ThresholdsInvalid
from interlock.loops.files import Document
from interlock.loops.models import (
    AT_REST,
    CRITICAL,
    DEGRADED,
    HEALTHY,
    SCHEMA,
    UNKNOWN,
    Finding,
    at,
    lag,
    objects,
    stamp,
    text,
    whole,
)

_BY_FAILURE = {
    "snapshot_unavailable": "transport_unreachable",
    "events_unavailable": "transport_unreachable",
    "service_request_failed": "transport_unreachable",
    "service_response_invalid": "invalid_transport_payload",
    "cursor_corrupt": "artifact_corrupt",
}
_CONTROL = {"ambiguous": "control_ambiguous", "failed_command": "control_failed_command"}


class Thresholds(NamedTuple):
    """From when on something is late, or has failed too often: degraded, then critical."""

    profile: str | None = None
    degraded_ingest: int = 300
    critical_ingest: int = 900
    degraded_heartbeat: int = 120
    critical_heartbeat: int = 300
    degraded_streak: int = 2
    critical_streak: int = 4

    def checked(self) -> Thresholds:
        """Raise `ThresholdsInvalid` if a critical one is below its degraded one."""
        for name, degraded, critical in (
            ("ingest-lag-seconds", self.degraded_ingest, self.critical_ingest),
            ("heartbeat-lag-seconds", self.degraded_heartbeat, self.critical_heartbeat),
            ("transport-failure-streak", self.degraded_streak, self.critical_streak),
        ):
            if critical < degraded:
                raise ThresholdsInvalid(f"--critical-{name} must be >= --degraded-{name} ({critical} < {degraded})")
        return self

    def document(self) -> Document:
        """Return what `health.json` says of them."""
        return {
            "profile": self.profile,
            "degradedIngestLagSeconds": self.degraded_ingest,
            "criticalIngestLagSeconds": self.critical_ingest,
            "degradedHeartbeatLagSeconds": self.degraded_heartbeat,
            "criticalHeartbeatLagSeconds": self.critical_heartbeat,
            "degradedTransportFailureStreak": self.degraded_streak,
            "criticalTransportFailureStreak": self.critical_streak,
        }


class Ingest(NamedTuple):
    """How the last try to read the runtime's artefacts went."""

    transport: str = "local"
    failed: bool = False
    failure_code: str | None = None


class Surfaces(NamedTuple):
    """What is known of a loop, by the files that say it."""

    state: Document | None = None
    heartbeat: Document | None = None
    sequence: Document | None = None
    transport: Document | None = None
    intent: Document | None = None
    """The last row of the intents."""
    events_touched: int | None = None
    """When the event log was last written."""
    heartbeat_touched: int | None = None
    """When the heartbeat was."""


class Health(NamedTuple):
    """The verdict."""

    status: str
    codes: tuple[str, ...]
    document: Document


class _Measured(NamedTuple):
    ingest_lag: int | None
    heartbeat_lag: int | None
    streak: int
    control: str | None
    sequence: str | None
    lifecycle: str


def evaluate(
    surfaces: Surfaces,
    thresholds: Thresholds,
    ingest: Ingest,
    *,
    now: int,
    trace_id: str | None = None,
    findings: Sequence[Finding] = (),
) -> Health:
    """Judge. `findings` are reasons that an earlier step has found."""
    measured = _measured(surfaces, now)
    found = sorted(
        {each.key: each for each in reversed([*_reasons(surfaces, thresholds, ingest, measured), *findings])}.values(),
        key=lambda each: each.key,
    )
    severities = {each.severity for each in found}
    status = CRITICAL if CRITICAL in severities else DEGRADED if severities else HEALTHY
    codes = tuple(sorted({each.code for each in found}))
    document: Document = {
        "schemaVersion": SCHEMA,
        "updatedAt": stamp(now),
        "traceId": trace_id or None,
        "status": status,
        "reasonCodes": list(codes),
        "reasons": [each.document() for each in found],
        "metrics": {
            "ingestLagSeconds": measured.ingest_lag,
            "heartbeatLagSeconds": measured.heartbeat_lag,
            "transportFailureStreak": measured.streak,
            "lastControlStatus": measured.control,
            "sequenceStatus": measured.sequence,
            "lifecycleState": measured.lifecycle,
        },
        "thresholds": thresholds.document(),
        "transport": {
            "mode": ingest.transport,
            "ingestStatus": "failed" if ingest.failed else "success",
            "failureCode": ingest.failure_code or None,
            "lastFailureCode": text(surfaces.transport, "lastFailureCode"),
        },
        "evidence": {
            "lastEventAt": text(surfaces.state, "projection", "lastEventAt"),
            "lastHeartbeatAt": _last_heartbeat(surfaces.heartbeat),
            "sequenceUpdatedAt": text(surfaces.sequence, "updatedAt"),
        },
    }
    return Health(status, codes, document)


def standing(previous: Document | None, codes: Iterable[str]) -> list[Finding]:
    """Return reasons of an earlier verdict that hold on because nothing newer is known."""
    wanted = set(codes)
    reasons = [Finding(*(text(each, name) or "" for name in Finding._fields)) for each in objects(previous, "reasons")]
    return [each for each in reasons if each.code in wanted and all(each)]


# --- inside -----------------------------------------------------------------------------------------------------------


def _measured(surfaces: Surfaces, now: int) -> _Measured:
    state = surfaces.state
    return _Measured(
        ingest_lag=lag(now, at(state, "projection", "lastEventAt"), surfaces.events_touched),
        heartbeat_lag=lag(now, _last_heartbeat(surfaces.heartbeat), surfaces.heartbeat_touched),
        streak=whole(surfaces.transport, "failureStreak") or 0,
        control=text(surfaces.intent, "status"),
        sequence=text(surfaces.sequence, "status"),
        lifecycle=text(state, "transition", "currentState") or text(state, "projection", "status") or UNKNOWN,
    )


def _reasons(surfaces: Surfaces, limits: Thresholds, ingest: Ingest, measured: _Measured) -> list[Finding]:
    found: list[Finding | None] = []
    if at(surfaces.state, "divergence", "any") is True:
        found.append(Finding("divergence_detected", DEGRADED, "divergence.any", "true", "false"))
    if measured.control in _CONTROL:
        found.append(Finding(_CONTROL[measured.control], DEGRADED, "control.status", measured.control, "confirmed"))
    if measured.lifecycle not in AT_REST:
        found += [
            _late(
                "ingest_stale", "ingestLagSeconds", measured.ingest_lag, limits.degraded_ingest, limits.critical_ingest
            ),
            _late(
                "runtime_heartbeat_stale",
                "heartbeatLagSeconds",
                measured.heartbeat_lag,
                limits.degraded_heartbeat,
                limits.critical_heartbeat,
            ),
        ]
    streak = measured.streak or None
    found.append(
        _late("transport_unreachable", "transportFailureStreak", streak, limits.degraded_streak, limits.critical_streak)
    )
    if at(surfaces.sequence, "driftActive") is True:
        code = text(surfaces.sequence, "reasonCode") or "ordering_drift_detected"
        found.append(Finding(code, DEGRADED, "sequence.status", measured.sequence or code, "ok"))
    if ingest.failed:
        code = ingest.failure_code or "reconcile_failed"
        found.append(Finding(_BY_FAILURE.get(code, code), DEGRADED, "ingestStatus", "failed", "success"))
    return [each for each in found if each is not None]


def _late(code: str, metric: str, observed: int | None, degraded: int, critical: int) -> Finding | None:
    if observed is None or observed < degraded:
        return None
    if observed >= critical:
        return Finding(code, CRITICAL, metric, str(observed), str(critical))
    return Finding(code, DEGRADED, metric, str(observed), str(degraded))


def _last_heartbeat(heartbeat: Document | None) -> str | None:
    return text(heartbeat, "lastHeartbeatAt") or text(heartbeat, "heartbeat", "timestamp")
