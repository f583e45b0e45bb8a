"""What is known of a loop, in one document: read from our own files as they stand; nothing is judged anew or written.

Old readers rely on its oddities: `driftActive` and `replayed` appear only when true, and there are two rules for the
trace that the surfaces share.
"""

from __future__ import annotations

import os
from typing import Any, Final, NamedTuple

from interlock.kernel.errors import NotFound
from interlock.loops import files, telemetry
from interlock.loops.files import Document
from interlock.loops.models import at, stripped
from interlock.loops.places import LoopPlaces


class StatusMissing(NotFound):
    """Nothing is known of this loop."""

    code = "status_missing"
    default_hint = "reconcile it first"


class StatusFiles(NamedTuple):
    """The files that a status is read from, by the names under which it lists them."""

    state: str
    cursor: str
    health: str
    intents: str
    heartbeat: str
    heartbeat_telemetry: str
    sequence: str
    sequence_telemetry: str
    control_invocations: str
    drift: str
    drift_history: str
    alert_dispatch: str
    alert_telemetry: str
    reconcile_telemetry: str
    control_telemetry: str

    @classmethod
    def of(cls, places: LoopPlaces) -> StatusFiles:
        """Name the loop's own files."""
        return cls(
            state=places.of_manager("state.json"),
            cursor=places.of_manager("cursor.json"),
            health=places.of_manager("health.json"),
            intents=places.of_manager("intents.jsonl"),
            heartbeat=places.of_manager("heartbeat.json"),
            heartbeat_telemetry=places.of_telemetry("heartbeat.jsonl"),
            sequence=places.of_manager("sequence-state.json"),
            sequence_telemetry=places.of_telemetry("sequence.jsonl"),
            control_invocations=places.of_telemetry("control-invocations.jsonl"),
            drift=places.of_manager("profile-drift.json"),
            drift_history=places.of_telemetry("profile-drift.jsonl"),
            alert_dispatch=places.of_manager("alert-dispatch-state.json"),
            alert_telemetry=places.of_telemetry("alerts.jsonl"),
            reconcile_telemetry=places.of_telemetry("reconcile.jsonl"),
            control_telemetry=places.of_telemetry("control.jsonl"),
        )

    def document(self) -> Document:
        """Return the paths by their names."""
        return {name: os.path.abspath(path) for name, path in zip(_FILE_NAMES, self, strict=True)}


_FILE_NAMES: Final = (
    "stateFile",
    "cursorFile",
    "healthFile",
    "intentsFile",
    "heartbeatStateFile",
    "heartbeatTelemetryFile",
    "sequenceStateFile",
    "sequenceTelemetryFile",
    "controlInvocationsFile",
    "driftStateFile",
    "driftHistoryFile",
    "alertDispatchStateFile",
    "alertDispatchTelemetryFile",
    "reconcileTelemetryFile",
    "controlTelemetryFile",
)


class _Read(NamedTuple):
    """What the files hold: state files whole, of the others the last row."""

    state: Document | None
    cursor: Document | None
    health: Document | None
    heartbeat: Document | None
    sequence: Document | None
    drift: Document | None
    dispatch: Document | None
    intent: Document | None
    heartbeat_row: Document | None
    sequence_row: Document | None
    invocation: Document | None
    reconcile: Document | None
    control: Document | None
    alert: Document | None


def status(places: LoopPlaces, now: str, *, window: int = telemetry.WINDOW, of: StatusFiles | None = None) -> Document:
    """Say what is known of a loop; raises `StatusMissing`, and `FileCorrupt` for a state file that holds no object."""
    named = of or StatusFiles.of(places)
    read = _read(named)
    if read.state is None and read.health is None:
        raise StatusMissing(f"no status artifacts found for loop: {places.loop}")
    traces = _traces(read)
    shown = {
        "schemaVersion": "v1",
        "generatedAt": now,
        "source": {"repoPath": places.repo, "loopId": places.loop},
        "lifecycle": _lifecycle(read.state),
        "health": _first(at(read.state, "health"), read.health, {}),
        "cursor": _cursor(read),
        "control": _control(read),
        "reconcile": _reconcile(read.reconcile),
        "visibility": _visibility(read, traces),
        "tuning": _tuning(places, read, named, window),
        "drift": _first(read.drift, at(read.state, "drift")),
        "alerts": _alerts(read),
        "traceLinkage": {**traces, "sharedTraceId": _linked(traces)},
        "files": named.document(),
    }
    return stripped(shown)


def _read(named: StatusFiles) -> _Read:
    return _Read(
        state=files.read_json(named.state),
        cursor=files.read_json(named.cursor),
        health=files.read_json(named.health),
        heartbeat=files.read_json(named.heartbeat),
        sequence=files.read_json(named.sequence),
        drift=files.read_json(named.drift),
        dispatch=files.read_json(named.alert_dispatch),
        intent=files.last_row(named.intents),
        heartbeat_row=files.last_row(named.heartbeat_telemetry),
        sequence_row=files.last_row(named.sequence_telemetry),
        invocation=files.last_row(named.control_invocations),
        reconcile=files.last_row(named.reconcile_telemetry),
        control=files.last_row(named.control_telemetry),
        alert=files.last_row(named.alert_telemetry),
    )


# --- the parts, in their order ----------------------------------------------------------------------------------------


def _lifecycle(state: Document | None) -> Document:
    return {
        "state": _first(at(state, "transition", "currentState"), at(state, "projection", "status"), "unknown"),
        "confidence": at(state, "transition", "confidence"),
        "runId": at(state, "run", "runId"),
        "iteration": at(state, "run", "iteration"),
    }


def _cursor(read: _Read) -> Document:
    return {
        key: _first(at(read.cursor, key), at(read.state, "cursor", key), 0)
        for key in ("eventLineOffset", "eventLineCount")
    }


def _control(read: _Read) -> Document:
    return {
        "lastIntent": at(read.intent, "intent"),
        "lastStatus": at(read.intent, "status"),
        "lastRequestedBy": at(read.intent, "requestedBy"),
        "lastTimestamp": at(read.intent, "timestamp"),
        "lastTraceId": _first(at(read.intent, "traceId"), at(read.control, "traceId")),
    }


def _reconcile(row: Document | None) -> Document:
    return {
        "lastStatus": at(row, "status"),
        "lastTimestamp": at(row, "timestamp"),
        "lastTransport": at(row, "transport"),
        "lastFailureCode": at(row, "failureCode"),
        "lastDurationSeconds": at(row, "durationSeconds"),
        "lastTraceId": at(row, "traceId"),
    }


def _visibility(read: _Read, traces: Document) -> Document:
    return stripped(
        {
            "heartbeat": _heartbeat(read.heartbeat, read.heartbeat_row),
            "sequence": _sequence(read.sequence, read.sequence_row),
            "invocationAudit": _invocation(read.invocation),
            "trace": stripped({**traces, "sharedTraceId": _shared(traces)}),
        }
    )


def _heartbeat(state: Document | None, row: Document | None) -> Document | None:
    if state is None and row is None:
        return None
    return stripped(
        {
            "freshnessStatus": _first(at(state, "freshnessStatus"), at(row, "status")),
            "reasonCode": _first(at(state, "reasonCode"), at(row, "reasonCode")),
            "lastHeartbeatAt": _first(at(state, "lastHeartbeatAt"), at(row, "heartbeatAt")),
            "heartbeatLagSeconds": _first(at(state, "heartbeatLagSeconds"), at(row, "heartbeatLagSeconds")),
            "updatedAt": _first(at(state, "updatedAt"), at(row, "timestamp")),
            "transport": _first(at(state, "transport"), at(row, "transport")),
            "traceId": _first(at(state, "traceId"), at(row, "traceId")),
        }
    )


def _sequence(state: Document | None, row: Document | None) -> Document | None:
    if state is None and row is None:
        return None
    return stripped(
        {
            "status": _first(at(state, "status"), at(row, "status")),
            "reasonCode": _first(at(state, "reasonCode"), at(row, "reasonCode")),
            "driftActive": _first(at(state, "driftActive"), at(row, "driftActive")),
            "violations": _first(at(state, "violations"), at(row, "violations")),
            "snapshotCurrent": _first(at(state, "snapshot", "current"), at(row, "snapshot", "current")),
            "eventsLast": _first(at(state, "events", "last"), at(row, "events", "last")),
            "updatedAt": _first(at(state, "updatedAt"), at(row, "timestamp")),
            "transport": _first(at(state, "transport"), at(row, "transport")),
            "traceId": _first(at(state, "traceId"), at(row, "traceId")),
        }
    )


def _invocation(row: Document | None) -> Document | None:
    if row is None:
        return None
    return stripped(
        {
            "timestamp": at(row, "timestamp"),
            "intent": at(row, "intent"),
            "transport": at(row, "transport"),
            "idempotencyKey": at(row, "idempotencyKey"),
            "executionStatus": at(row, "execution", "status"),
            "confirmationStatus": at(row, "confirmation", "status"),
            "outcomeStatus": at(row, "outcome", "status"),
            "replayed": _first(at(row, "execution", "replayed")),
            "traceId": at(row, "traceId"),
        }
    )


def _tuning(places: LoopPlaces, read: _Read, named: StatusFiles, window: int) -> Document:
    sources = telemetry.Sources(named.reconcile_telemetry, named.control_telemetry, window)
    try:
        found = telemetry.read(sources)
    except (telemetry.TelemetryMissing, files.FileUnreadable):
        found = None
    return {
        "summaryWindow": window,
        "appliedProfile": _first(
            at(read.state, "health", "thresholds", "profile"), at(read.health, "thresholds", "profile")
        ),
        "recommendedProfile": found and found.profile,
        "confidence": found and found.confidence,
        "rationale": found and found.rationale,
        "telemetrySummary": found and {"observed": found.observed, "source": sources.document(places)},
    }


def _alerts(read: _Read) -> Document | None:
    state, row = read.dispatch, read.alert
    if state is None and row is None:
        return None
    return {
        "dispatch": stripped(
            {
                **{key: at(state, key) for key in _DISPATCH},
                "lastTraceId": at(state, "traceId"),
            }
        ),
        "lastDelivery": stripped({key: at(row, key) for key in _DELIVERY}),
    }


_DISPATCH: Final = (
    "status",
    "updatedAt",
    "processedCount",
    "dispatchedCount",
    "skippedCount",
    "failedCount",
    "failureReasonCodes",
    "escalationsLineOffset",
    "escalationsLineCount",
)
_DELIVERY: Final = (
    "timestamp",
    "status",
    "reasonCode",
    "escalationCategory",
    "eventSeverity",
    "sinkCount",
    "dispatchedSinkCount",
    "failedSinkCount",
    "traceId",
    "escalationTraceId",
)


# --- traces -----------------------------------------------------------------------------------------------------------


def _traces(read: _Read) -> Document:
    return {
        "controlTraceId": _first(at(read.intent, "traceId"), at(read.control, "traceId")),
        "controlInvocationTraceId": at(read.invocation, "traceId"),
        "reconcileTraceId": at(read.reconcile, "traceId"),
        "heartbeatTraceId": _first(at(read.heartbeat, "traceId"), at(read.heartbeat_row, "traceId")),
        "sequenceTraceId": _first(at(read.sequence, "traceId"), at(read.sequence_row, "traceId")),
        "alertTraceId": _first(at(read.alert, "traceId"), at(read.dispatch, "traceId")),
    }


def _shared(traces: Document) -> str | None:
    """Return the one trace of all surfaces that have one; the invocation is not asked."""
    counted = ("controlTraceId", "reconcileTraceId", "alertTraceId", "heartbeatTraceId", "sequenceTraceId")
    present = [traces[key] for key in counted if traces[key] is not None]
    return present[0] if present and all(each == present[0] for each in present) else None


def _linked(traces: Document) -> str | None:
    """Return the trace that the last reconcile and the last alert share, if no control has another."""
    reconciled, alerted, controlled = (traces[key] for key in ("reconcileTraceId", "alertTraceId", "controlTraceId"))
    same = reconciled == alerted and (controlled is None or controlled == reconciled)
    return reconciled if same else None


# --- looking into documents -------------------------------------------------------------------------------------------


def _first(*values: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """Return the first that is neither null nor false."""
    return next((value for value in values if value is not None and value is not False), None)
