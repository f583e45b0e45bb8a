"""A loop as people look at it: what its files say, with a sentence for every word. Read, and never judged anew.

The files are the runtime's and of any shape: whatever is not what it should be is left out here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from interlock.loops import control, files
from interlock.loops.files import Document
from interlock.loops.models import at, inner, objects, text, texts, whole
from interlock.loops.places import LoopPlaces
from interlock.loops.reasons import DRIFT, FLAGS, OUTCOMES, REASONS, STATES, VIOLATIONS, Said, said
from interlock.loops.status import StatusFiles

_MOST_INTENTS: Final = 50
_SURFACES: Final = (
    ("control", "controlTraceId"),
    ("invocation", "controlInvocationTraceId"),
    ("reconcile", "reconcileTraceId"),
    ("heartbeat", "heartbeatTraceId"),
    ("sequence", "sequenceTraceId"),
    ("alert", "alertTraceId"),
)


def word(code: str, table: Mapping[str, Said] = REASONS) -> dict[str, Any]:
    """Show a word with what it means."""
    return {"code": code, **said(table, code)._asdict()}


def words(codes: Iterable[str], table: Mapping[str, Said] = REASONS) -> list[dict[str, Any]]:
    """Show several."""
    return [word(each, table) for each in codes]


def view(places: LoopPlaces, found: Document) -> dict[str, Any]:
    """Show a loop; `found` is what `status.status` returned of it."""
    named = StatusFiles.of(places)
    state = files.read_json(named.state)
    health = inner(found, "health")
    intents = intents_of(places)
    return {
        "lifecycle": _lifecycle(state, found),
        "judged_at": text(health, "updatedAt"),
        "profile": text(health, "thresholds", "profile"),
        "reasons": [_reason(each) for each in objects(health, "reasons")],
        "heartbeat": _heartbeat(files.read_json(named.heartbeat), health, found),
        "sequence": _sequence(files.read_json(named.sequence)),
        "divergence": words(
            sorted(name for name, on in (inner(state, "divergence", "flags") or {}).items() if on is True), FLAGS
        ),
        "drift": _drift(inner(found, "drift")),
        "intents": intents,
        "reconcile": _reconcile(inner(found, "reconcile"), files.last_row(named.reconcile_telemetry)),
        "traces": [
            {"surface": surface, "trace_id": trace}
            for surface, key in _SURFACES
            if (trace := text(found, "traceLinkage", key)) is not None
        ],
        "shared_trace_id": text(found, "traceLinkage", "sharedTraceId"),
        "frozen": words(sorted({fact.code for fact in control.frozen(places)})),
        "events_read": whole(found, "cursor", "eventLineOffset") or 0,
        "events_total": whole(found, "cursor", "eventLineCount") or 0,
    }


def intents_of(places: LoopPlaces) -> list[dict[str, Any]]:
    """Show the last intents, the newest first."""
    rows = files.last_rows(places.of_manager("intents.jsonl"), _MOST_INTENTS)
    return [intent_row(each) for each in reversed(rows)]


def intent_row(row: Document) -> dict[str, Any]:
    """Show what came of an intent."""
    status = text(row, "status") or "unknown"
    about = said(OUTCOMES, status)
    return {
        "intent": text(row, "intent") or "unknown",
        "status": status,
        "title": about.title,
        "means": about.means,
        "do": about.do,
        "by": text(row, "requestedBy"),
        "at": text(row, "timestamp"),
        "note": text(row, "note"),
        "transport": text(row, "transport"),
        "trace_id": text(row, "traceId"),
        "output": text(row, "commandOutput"),
        "failure": text(row, "failure"),
        "observed": text(row, "confirm", "reason"),
        "attempts": whole(row, "confirm", "attempts"),
    }


# --- inside -----------------------------------------------------------------------------------------------------------


def _lifecycle(state: Document | None, found: Document) -> dict[str, Any]:
    name = text(found, "lifecycle", "state") or "unknown"
    about = said(STATES, name)
    return {
        "state": name,
        "title": about.title,
        "means": about.means,
        "before": text(state, "transition", "previousState"),
        "signal": text(state, "transition", "triggeringSignal"),
        "confidence": text(found, "lifecycle", "confidence"),
        "run_id": text(found, "lifecycle", "runId"),
        "iteration": whole(found, "lifecycle", "iteration"),
        "last_event": text(state, "projection", "lastEventName"),
        "last_event_at": text(state, "projection", "lastEventAt"),
        "pending_approval": at(state, "projection", "hasPendingApproval") is True,
    }


def _reason(reason: Document) -> dict[str, Any]:
    return {
        **word(text(reason, "code") or "unknown"),
        "severity": text(reason, "severity") or "degraded",
        "metric": text(reason, "metric"),
        "observed": text(reason, "observed"),
        "threshold": text(reason, "threshold"),
    }


def _heartbeat(kept: Document | None, health: Document | None, found: Document) -> dict[str, Any] | None:
    seen = inner(found, "visibility", "heartbeat")
    if seen is None:
        return None
    code = text(seen, "reasonCode")

    def limit(name: str) -> int | None:
        found = whole(health, "thresholds", name)
        return whole(kept, "thresholds", name) if found is None else found

    return {
        "status": text(seen, "freshnessStatus") or "unknown",
        "at": text(seen, "lastHeartbeatAt"),
        "lag_seconds": whole(seen, "heartbeatLagSeconds"),
        "degraded_after_seconds": limit("degradedHeartbeatLagSeconds"),
        "critical_after_seconds": limit("criticalHeartbeatLagSeconds"),
        "trouble": word(code) if code else None,
    }


def _sequence(kept: Document | None) -> dict[str, Any] | None:
    if kept is None:
        return None
    return {
        "status": text(kept, "status") or "unknown",
        "expected": whole(kept, "events", "previousLast"),
        "seen": whole(kept, "events", "last"),
        "log_before": whole(kept, "snapshot", "previous"),
        "log_now": whole(kept, "snapshot", "current"),
        "ingested": whole(kept, "events", "ingestedCount"),
        "violations": words(texts(kept, "violations"), VIOLATIONS),
        "at": text(kept, "updatedAt"),
    }


def _drift(kept: Document | None) -> dict[str, Any] | None:
    status = text(kept, "status")
    if status is None:
        return None
    about = said(DRIFT, status)
    return {
        "status": status,
        "title": about.title,
        "means": about.means,
        "do": about.do,
        "applied": text(kept, "appliedProfile"),
        "recommended": text(kept, "recommendedProfile"),
        "confidence": text(kept, "recommendationConfidence"),
        "streak": whole(kept, "mismatchStreak"),
        "required": whole(kept, "requiredStreak"),
        "rationale": text(kept, "rationale"),
    }


def _reconcile(last: Document | None, row: Document | None) -> dict[str, Any] | None:
    status = text(last, "lastStatus")
    if status is None:
        return None
    return {
        "status": status,
        "at": text(last, "lastTimestamp"),
        "transport": text(last, "lastTransport"),
        "failure_code": text(last, "lastFailureCode"),
        "failure": text(row, "failureMessage"),
        "duration_seconds": whole(last, "lastDurationSeconds"),
    }
