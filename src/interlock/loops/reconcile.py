"""Reconcile: find out what is true of a loop now, write it down, and say what a human should hear of.

`evaluate` is the list of the steps and touches no file. `reconcile` holds the loop's lock, completes what a process
that died has left, reads, evaluates, and has everything written together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from interlock.kernel.clock import Clock
from interlock.loops import (
    drift,
    files,
    health,
    heartbeat,
    polling,
    projection,
    sequence,
    telemetry,
    transport_health,
)
from interlock.loops.drift import DriftOptions, DriftResult, Recommended
from interlock.loops.errors import CursorCorrupt
from interlock.loops.escalations import Paths, Writer
from interlock.loops.files import Document, FileCorrupt, Replacement
from interlock.loops.health import Health, Ingest, Surfaces, Thresholds
from interlock.loops.heartbeat import Freshness
from interlock.loops.journal import Appending, Changes, Journal, Tell
from interlock.loops.local import Ask, Ingested, IngestFailed, Transport
from interlock.loops.models import (
    CRITICAL,
    HEALTHY,
    SCHEMA,
    UNKNOWN,
    Finding,
    artifact_corrupt,
    new_trace,
    stamp,
    stripped,
    text,
    texts,
)
from interlock.loops.places import LoopPlaces
from interlock.loops.projection import Evidence, Projection
from interlock.loops.sequence import Baseline, SequenceResult
from interlock.loops.telemetry import Recommendation, Sources
from interlock.loops.transport_health import TransportHealth

Dispatch = Callable[[LoopPlaces, str], None]
"""Sends the loop's new escalations out, under a trace id; never raises."""
_HOLD_ON: tuple[str, ...] = ("runtime_process_dead",)
"""Reasons that stand while nothing newer could be read."""


class LoopFiles(NamedTuple):
    """The files of ours that a reconcile reads and writes."""

    state: str
    cursor: str
    health: str
    heartbeat: str
    sequence: str
    drift: str
    transport: str
    position: str
    escalations: str
    heartbeat_rows: str
    sequence_rows: str
    reconcile_rows: str
    drift_rows: str
    control_rows: str
    intents: str

    @classmethod
    def of(cls, places: LoopPlaces) -> LoopFiles:
        """Name them where seed 2 has them; `_replace` those that lie elsewhere."""
        return cls(
            state=places.of_manager("state.json"),
            cursor=places.of_manager("cursor.json"),
            health=places.of_manager("health.json"),
            heartbeat=places.of_manager("heartbeat.json"),
            sequence=places.of_manager("sequence-state.json"),
            drift=places.of_manager("profile-drift.json"),
            transport=places.of_telemetry("transport-health.json"),
            position=places.of_manager(".position.json"),
            escalations=places.of_manager("escalations.jsonl"),
            heartbeat_rows=places.of_telemetry("heartbeat.jsonl"),
            sequence_rows=places.of_telemetry("sequence.jsonl"),
            reconcile_rows=places.of_telemetry("reconcile.jsonl"),
            drift_rows=places.of_telemetry("profile-drift.jsonl"),
            control_rows=places.of_telemetry("control.jsonl"),
            intents=places.of_manager("intents.jsonl"),
        )


class ReconcileOptions(NamedTuple):
    """What an operator may ask for."""

    trace_id: str = ""
    from_start: bool = False
    max_events: int = 0
    thresholds: Thresholds = Thresholds()
    profiles: Collection[str] = ()
    """The names in the catalog: what may be recommended."""
    drift: DriftOptions = DriftOptions()
    retry_attempts: int = 3
    retry_backoff_seconds: int = 1
    files: LoopFiles | None = None


class Order(NamedTuple):
    """One reconcile."""

    places: LoopPlaces
    files: LoopFiles
    options: ReconcileOptions
    transport: str
    started: int
    now: int

    @property
    def trace_id(self) -> str:
        """Under which all of it is filed."""
        return self.options.trace_id

    def titled(self, found: Freshness | SequenceResult) -> Document:
        """Return the state file of a finding."""
        return found.document(self.places, now=self.now, trace_id=self.trace_id, transport=self.transport)

    def row(self, found: Freshness | SequenceResult) -> Document:
        """Return the telemetry row of a finding."""
        return found.row(self.places, now=self.now, trace_id=self.trace_id, transport=self.transport)


class Kept(NamedTuple):
    """What earlier reconciles and controls have left."""

    state: Document | None = None
    health: Document | None = None
    heartbeat: Document | None = None
    sequence: Document | None = None
    drift: Document | None = None
    transport: Document | None = None
    position: Document | None = None
    intent: Document | None = None
    offset: int = 0
    """How many lines of the log were read."""
    cursor_problem: str = ""
    reconcile_rows: tuple[Document, ...] = ()
    control_rows: tuple[Document, ...] = ()
    findings: tuple[Finding, ...] = ()


class Verdict(NamedTuple):
    """What is said of a loop, in three words."""

    state: str
    health: str
    reasons: tuple[str, ...]

    @classmethod
    def of(cls, state: Document | None, health: Document | None) -> Verdict | None:
        """Read it from the files; None where nothing was ever said."""
        if health is None:
            return None
        return cls(
            text(state, "transition", "currentState") or UNKNOWN,
            text(health, "status") or HEALTHY,
            tuple(texts(health, "reasonCodes")),
        )

    @classmethod
    def now(cls, state: Document | None, health: Health) -> Verdict:
        """Say it."""
        return cls(text(state, "transition", "currentState") or UNKNOWN, health.status, health.codes)

    def document(self) -> Document:
        """Return it as JSON."""
        return {"state": self.state, "health": self.health, "reasons": list(self.reasons)}


class Result(NamedTuple):
    """What is to be written, and printed."""

    printed: Document
    exit_code: int
    changes: Changes
    escalations: tuple[Document, ...]
    before: Verdict | None
    after: Verdict


class Outcome(NamedTuple):
    """What a reconcile came to."""

    document: Document
    exit_code: int
    busy: bool = False
    escalations: tuple[Document, ...] = ()
    before: Verdict | None = None
    after: Verdict | None = None
    warnings: tuple[str, ...] = ()

    @property
    def verdict_changed(self) -> bool:
        """Whether something else is said of the loop than before."""
        return self.before != self.after


# --- the whole --------------------------------------------------------------------------------------------------------


def reconcile(
    places: LoopPlaces,
    options: ReconcileOptions,
    transport: Transport,
    clock: Clock,
    *,
    tell: Tell | None = None,
    dispatch: Dispatch | None = None,
) -> Outcome:
    """Reconcile a loop, unless somebody else is just doing it; raises `files.FileUnreadable`, `files.FileUnwritten`."""
    options = options._replace(trace_id=options.trace_id or new_trace())
    lock = places.of_manager(".lock")
    about = {"pid": os.getpid(), "since": stamp(clock() // 1000), "traceId": options.trace_id}
    with files.held(lock, wait=False, about=about) as ours:
        if not ours:
            return _busy(places, lock)
        outcome = _alone(places, options, transport, clock, tell)
    if dispatch is not None:
        dispatch(places, options.trace_id)
    return outcome


def _alone(
    places: LoopPlaces, options: ReconcileOptions, transport: Transport, clock: Clock, tell: Tell | None
) -> Outcome:
    ours = options.files or LoopFiles.of(places)
    journal = Journal(places.manager, {*ours, *LoopFiles.of(places)}, tell)
    journal.complete()
    order = Order(places, ours, options, transport.name, clock() // 1000, clock() // 1000)
    kept = read(order)
    ingested = ingest(order, kept, transport)
    result = evaluate(order._replace(now=clock() // 1000), kept, ingested)
    journal.carry_out(result.changes)
    return Outcome(
        document=result.printed,
        exit_code=result.exit_code,
        escalations=result.escalations,
        before=result.before,
        after=result.after,
        warnings=tuple(journal.warnings),
    )


def read(order: Order) -> Kept:
    """Read what is kept; a file of ours that is broken is told of, and done without."""
    findings: list[Finding] = []

    def known(path: str) -> Document | None:
        try:
            return files.read_json(path)
        except FileCorrupt:
            findings.append(artifact_corrupt("manager.file", os.path.basename(path)))
            return None

    ours = order.files
    window = order.options.drift.summary_window
    kept = Kept(
        state=known(ours.state),
        health=known(ours.health),
        heartbeat=known(ours.heartbeat),
        sequence=known(ours.sequence),
        drift=known(ours.drift),
        transport=known(ours.transport),
        position=known(ours.position),
        intent=files.last_row(ours.intents),
        reconcile_rows=tuple(files.last_rows(ours.reconcile_rows, window - 1) if window > 1 else ()),
        control_rows=tuple(files.last_rows(ours.control_rows, window)),
    )
    kept = kept._replace(findings=tuple(findings))
    if order.options.from_start:
        return kept
    try:
        return kept._replace(offset=polling.read_cursor(ours.cursor))
    except CursorCorrupt as error:
        return kept._replace(cursor_problem=error.message)


def ingest(order: Order, kept: Kept, transport: Transport) -> Ingested | IngestFailed:
    """Get at the runtime's artefacts."""
    if kept.cursor_problem:
        return IngestFailed(CursorCorrupt.code, kept.cursor_problem)
    return transport.ingest(
        Ask(
            places=order.places,
            after=kept.offset,
            max_events=order.options.max_events,
            trace_id=order.trace_id,
            now=order.now,
            position=kept.position,
        )
    )


# --- the steps --------------------------------------------------------------------------------------------------------


class Observed(NamedTuple):
    """What the steps have found; those that need fresh artefacts are None where there were none."""

    transport: TransportHealth
    projection: Projection | None = None
    heartbeat: Freshness | None = None
    sequence: SequenceResult | None = None


class Judged(NamedTuple):
    """What follows from it."""

    health: Health
    row: Document
    """The reconcile's own telemetry."""
    advice: Recommendation
    drift: DriftResult


def evaluate(order: Order, kept: Kept, ingested: Ingested | IngestFailed) -> Result:
    """Go through the steps, from what was read to what is to be written."""
    observed = _observed(order, kept, ingested)
    verdict = _health(order, kept, ingested, observed)
    row = _row(order, kept, ingested, observed, verdict)
    advice = telemetry.summarise([*kept.reconcile_rows, row], kept.control_rows)
    judged = Judged(verdict, row, advice, _drift(order, kept, advice))
    state = _state(order, kept, observed, judged)
    escalations = _escalations(order, kept, observed, judged)
    before, after = Verdict.of(kept.state, kept.health), Verdict.now(state, verdict)
    changes = _changes(order, ingested, observed, judged, state)
    changes = changes._replace(
        appendings=(Appending(order.files.escalations, _lines(escalations), lasting=True), *changes.appendings),
        told=_told(order, before, after, escalations) if escalations or before != after else None,
    )
    printed = state if isinstance(ingested, Ingested) else None
    return Result(
        printed=printed or verdict.document,
        exit_code=0 if printed else 1,
        changes=changes,
        escalations=escalations,
        before=before,
        after=after,
    )


def _observed(order: Order, kept: Kept, ingested: Ingested | IngestFailed) -> Observed:
    if isinstance(ingested, IngestFailed):
        return Observed(transport_health.evaluate(kept.transport, order.transport, ingested.code, order.now))
    return Observed(
        transport=transport_health.evaluate(kept.transport, order.transport, None, order.now),
        projection=projection.project(
            order.places,
            ingested.snapshot,
            ingested.batch,
            kept.state,
            now=order.now,
            intent=kept.intent,
            restarted=ingested.restarted,
            replayed=order.options.from_start,
            evidence=Evidence(events_file=ingested.events_file),
        ),
        heartbeat=heartbeat.evaluate(ingested.snapshot, kept.heartbeat, order.options.thresholds, order.now),
        sequence=sequence.evaluate(
            ingested.snapshot.sequence,
            ingested.batch,
            Baseline.of(kept.sequence),
            after=kept.offset,
            restarted=ingested.restarted,
        ),
    )


def _health(order: Order, kept: Kept, ingested: Ingested | IngestFailed, observed: Observed) -> Health:
    seen = ingested if isinstance(ingested, Ingested) else None
    failure = ingested.code if isinstance(ingested, IngestFailed) else None
    beat, told = observed.heartbeat, observed.sequence
    surfaces = Surfaces(
        state=observed.projection.document if observed.projection else kept.state,
        heartbeat=order.titled(beat) if beat is not None and beat.readable else kept.heartbeat,
        sequence=order.titled(told) if told is not None else kept.sequence,
        transport=observed.transport.document(now=order.now, trace_id=order.trace_id),
        intent=kept.intent,
        events_touched=seen and seen.snapshot.events_touched,
        heartbeat_touched=seen and seen.snapshot.heartbeat_touched,
    )
    findings = [*kept.findings]
    if seen is None:
        findings += health.standing(kept.health, _HOLD_ON)
    else:
        findings += seen.findings
        if seen.snapshot.process_dead:
            findings.append(Finding("runtime_process_dead", CRITICAL, "process.alive", "false", "true"))
    return health.evaluate(
        surfaces,
        order.options.thresholds,
        Ingest(order.transport, failed=seen is None, failure_code=failure),
        now=order.now,
        trace_id=order.trace_id,
        findings=findings,
    )


def _row(order: Order, kept: Kept, ingested: Ingested | IngestFailed, observed: Observed, verdict: Health) -> Document:
    seen = ingested if isinstance(ingested, Ingested) else None
    failure = ingested if isinstance(ingested, IngestFailed) else None
    told = observed.sequence
    return stripped({
        "timestamp": stamp(order.now),
        "startedAt": stamp(order.started),
        "loopId": order.places.loop,
        "traceId": order.trace_id,
        "transport": order.transport,
        "status": "failed" if failure else "success",
        "failureCode": failure.code if failure else None,
        "failureMessage": failure.message if failure else None,
        "cursorOffsetBefore": kept.offset,
        "cursorOffsetAfter": seen.offset if seen else kept.offset,
        "eventsIngested": seen.batch.ingested if seen else 0,
        "maxEvents": order.options.max_events,
        "fromStart": order.options.from_start,
        "retryAttempts": order.options.retry_attempts,
        "retryBackoffSeconds": order.options.retry_backoff_seconds,
        "thresholdProfile": order.options.thresholds.profile,
        "durationSeconds": max(0, order.now - order.started),
        "transportFailureStreak": observed.transport.streak,
        "sequenceStatus": told.status if told else "skipped_ingest_failed",
        "sequenceReasonCode": told.reason if told else None,
        "healthStatus": verdict.status,
        "healthReasonCodes": list(verdict.codes),
    })  # fmt: skip


def _drift(order: Order, kept: Kept, advice: Recommendation) -> DriftResult:
    recommended = Recommended(advice.profile, advice.confidence, advice.rationale)
    return drift.evaluate(
        kept.drift,
        loop=order.places.loop,
        now=stamp(order.now),
        applied=order.options.thresholds.profile,
        recommended=recommended.among(order.options.profiles),
        options=order.options.drift,
        trace_id=order.trace_id,
    )


def _state(order: Order, kept: Kept, observed: Observed, judged: Judged) -> Document | None:
    """Return `state.json`; where nothing fresh was to be had, the earlier one with the new verdict."""
    state = kept.state if observed.projection is None else observed.projection.document
    if state is None:
        return None
    found = judged.drift.document
    return {
        **state,
        "health": judged.health.document,
        "trace": {"reconcileTraceId": order.trace_id},
        **({} if observed.sequence is None else {"sequence": order.titled(observed.sequence)}),
        "drift": {**found, "traceId": order.trace_id},
        "tuning": {
            "appliedProfile": order.options.thresholds.profile,
            "recommendedProfile": found.get("recommendedProfile"),
            "confidence": judged.advice.confidence,
            "rationale": found.get("rationale"),
            "summaryWindow": order.options.drift.summary_window,
            "telemetrySummary": {
                "observed": judged.advice.observed,
                "source": Sources(
                    order.files.reconcile_rows, order.files.control_rows, order.options.drift.summary_window
                ).document(order.places),
            },
        },
    }


def _escalations(order: Order, kept: Kept, observed: Observed, judged: Judged) -> tuple[Document, ...]:
    ours = order.files
    paths = Paths(ours.state, ours.cursor, ours.health, ours.sequence, ours.sequence_rows, ours.drift, ours.drift_rows)
    writer = Writer(order.places, paths, order.trace_id, order.transport, order.now)
    found: list[Document | None] = []
    if observed.projection is not None:
        found.append(
            writer.divergence(
                observed.projection.divergence,
                kept.state,
                observed.projection.document,
                replayed=order.options.from_start,
            )
        )
    if observed.sequence is not None:
        found.append(writer.ordering(observed.sequence))
    failure = judged.row.get("failureCode")
    found += [writer.health(judged.health, kept.health, failure_code=failure), writer.profile(judged.drift)]
    return tuple(each for each in found if each is not None)


# --- what is written --------------------------------------------------------------------------------------------------


def _changes(
    order: Order, ingested: Ingested | IngestFailed, observed: Observed, judged: Judged, state: Document | None
) -> Changes:
    ours = order.files
    beat, told = observed.heartbeat, observed.sequence
    documents = {
        ours.transport: observed.transport.document(now=order.now, trace_id=order.trace_id),
        ours.heartbeat: order.titled(beat) if beat is not None and beat.readable else None,
        ours.sequence: order.titled(told) if told is not None else None,
        ours.health: judged.health.document,
        ours.drift: judged.drift.document,
        ours.state: state,
    }
    lasting = {ours.state, ours.health, ours.sequence}
    replacements = [
        Replacement(path, files.bytes_of(each), lasting=path in lasting)
        for path, each in documents.items()
        if each is not None
    ]
    if isinstance(ingested, Ingested):
        replacements += _cursor(order, ingested)
    rows = {
        ours.heartbeat_rows: order.row(beat) if beat is not None else None,
        ours.sequence_rows: order.row(told) if told is not None else None,
        ours.reconcile_rows: judged.row,
        ours.drift_rows: drift.history_row(judged.drift),
    }
    appendings = [Appending(path, _lines([each])) for path, each in rows.items() if each is not None]
    return Changes(tuple(replacements), tuple(appendings))


def _cursor(order: Order, ingested: Ingested) -> list[Replacement]:
    cursor = polling.cursor(order.places, ingested.offset, ingested.total, order.now)
    written = [Replacement(order.files.cursor, files.bytes_of(cursor, pretty=True))]
    if ingested.position is not None:
        written.append(Replacement(order.files.position, files.bytes_of(ingested.position), lasting=False))
    return written


def _lines(rows: Iterable[Document]) -> tuple[bytes, ...]:
    return tuple(files.bytes_of(each) for each in rows)


def _told(order: Order, before: Verdict | None, after: Verdict, escalations: Sequence[Document]) -> Document:
    return {
        "traceId": order.trace_id,
        "at": stamp(order.now),
        "repo": order.places.repo,
        "loop": order.places.loop,
        "before": None if before is None else before.document(),
        "after": after.document(),
        "escalations": list(escalations),
    }


def _busy(places: LoopPlaces, lock: str) -> Outcome:
    data = files.read_bytes(lock)
    document: Document = {
        "schemaVersion": SCHEMA,
        "status": "busy",
        "reasonCodes": ["reconcile_busy"],
        "loopId": places.loop,
        "holder": files.parsed(data) if data else None,
    }
    return Outcome(document, exit_code=1, busy=True)
