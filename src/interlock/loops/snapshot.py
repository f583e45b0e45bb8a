"""A snapshot: everything the runtime's artefacts say of a loop at one moment, in one envelope."""

from __future__ import annotations

from typing import NamedTuple

from interlock.loops import artefacts, files, lifecycle
from interlock.loops.artefacts import Artefact, Artefacts
from interlock.loops.errors import ArtifactCorrupt, ArtifactMissing, EnvelopeInvalid
from interlock.loops.files import Document, Log
from interlock.loops.lifecycle import Facts
from interlock.loops.models import FAILED, SCHEMA, UNKNOWN, at, inner, stamp, text, whole
from interlock.loops.places import LoopPlaces

ENVELOPE = "loop_run_snapshot"
SEQUENCE = "cursor_event_line_offset"


class Snapshot(NamedTuple):
    """What the later steps want to know of a snapshot, whoever took it."""

    loop: str
    run_id: str
    iteration: int
    status: str
    summary: Document | None
    state: Document | None
    approval: Document | None
    heartbeat: Document | None
    sequence: int | None
    offset: int
    total: int
    last_event_name: str | None
    last_event_at: str | None
    gates: object
    stuck: object
    events_touched: int | None
    heartbeat_touched: int | None

    @classmethod
    def of(cls, document: Document, loop: str) -> Snapshot:
        """Read an envelope; raises `EnvelopeInvalid`."""
        known = document.get("schemaVersion") == SCHEMA and document.get("envelopeType") == ENVELOPE
        if not known or at(document, "source", "loopId") != loop:
            raise EnvelopeInvalid("snapshot envelope is invalid or loop id mismatch")
        return cls(
            loop=loop,
            run_id=text(document, "run", "runId") or "unknown",
            iteration=whole(document, "run", "iteration") or 0,
            status=text(document, "run", "status") or UNKNOWN,
            summary=inner(document, "run", "summary"),
            state=inner(document, "runtime", "superloopState"),
            approval=inner(document, "runtime", "approval"),
            heartbeat=inner(document, "runtime", "heartbeat"),
            sequence=whole(document, "sequence", "value"),
            offset=whole(document, "cursor", "eventLineOffset") or 0,
            total=whole(document, "cursor", "eventLineCount") or 0,
            last_event_name=text(document, "health", "lastEventName"),
            last_event_at=text(document, "health", "lastEventAt"),
            gates=at(document, "health", "gates"),
            stuck=at(document, "health", "stuck"),
            events_touched=whole(document, "artifacts", "events", "mtimeEpoch"),
            heartbeat_touched=whole(document, "artifacts", "heartbeat", "mtimeEpoch"),
        )

    @property
    def pending(self) -> bool:
        """Whether somebody is asked for an approval."""
        return at(self.approval, "status") == "pending"

    @property
    def completion_ok(self) -> bool:
        """Whether the latest summary tells of a completion."""
        return at(self.summary, "completion_ok") is True

    @property
    def active(self) -> bool:
        """Whether the runtime says that a loop is active; true only for a plain `true`."""
        return at(self.state, "active") is True

    @property
    def process_dead(self) -> bool:
        """Whether it was said to run, and its process found gone: that alone makes such a loop failed."""
        return self.status == FAILED and self.active and at(self.state, "current_loop_id") == self.loop


class LogSeen(NamedTuple):
    """What is known of the event log."""

    artefact: Artefact
    lines: int
    """How many whole lines it has."""
    last: Document | None
    """The last event."""


def take(places: LoopPlaces, *, now: int, run_id: str | None = None, trace_id: str | None = None) -> Document:
    """Take a snapshot that stands alone; raises `ArtifactMissing`, `ArtifactCorrupt`, `files.FileUnreadable`.

    A last line without its newline is just being written and not counted.
    """
    artefacts.check_there(places)
    found = artefacts.read(places, digests=True)
    for each in found:
        each.check()
    with files.log(artefacts.events_path(places)) as log:
        if log is None:
            raise ArtifactMissing(f"required artifact missing: {artefacts.events_path(places)}")
        seen = _log_seen(places, log)
    return document(places, found, seen, now=now, run_id=run_id, trace_id=trace_id)


def document(
    places: LoopPlaces, found: Artefacts, log: LogSeen, *, now: int, run_id: str | None, trace_id: str | None
) -> Document:
    """Build the envelope."""
    facts = _facts(places.loop, found, log)
    summary = None if facts.superseded else facts.summary
    return {
        "schemaVersion": SCHEMA,
        "envelopeType": ENVELOPE,
        "emittedAt": stamp(now),
        "traceId": trace_id or None,
        "source": {"repoPath": places.repo, "loopId": places.loop},
        "run": {
            "runId": run_id or text(summary, "run_id") or text(log.last, "run_id") or "unknown",
            "iteration": _iteration(summary, log.last, found.state.document),
            "status": lifecycle.state_of(facts),
            "summary": summary,
        },
        "runtime": {
            "superloopState": found.state.document,
            "activeRun": found.active_run.document,
            "approval": found.approval.document,
            "heartbeat": found.heartbeat.document,
        },
        "artifacts": {
            "events": log.artefact.shown(),
            "runSummary": found.run_summary.shown(),
            "state": found.state.shown(),
            "activeRun": found.active_run.shown(),
            "approval": found.approval.shown(),
            "heartbeat": found.heartbeat.shown(),
        },
        "sequence": {"source": SEQUENCE, "value": log.lines},
        "cursor": {"eventLineOffset": log.lines, "eventLineCount": log.lines},
        "health": {
            "eventCount": log.lines,
            "lastEventAt": text(log.last, "timestamp"),
            "lastEventName": lifecycle.name_of(log.last),
            "lastSummaryAt": text(found.run_summary.document, "updated_at") or text(facts.summary, "ended_at"),
            "hasPendingApproval": at(found.approval.document, "status") == "pending",
            "gates": at(summary, "gates"),
            "stuck": at(summary, "stuck"),
        },
    }


# --- inside -----------------------------------------------------------------------------------------------------------


def _facts(loop: str, found: Artefacts, log: LogSeen) -> Facts:
    facts = Facts(
        loop=loop,
        state=found.state.document,
        approval=found.approval.document,
        summary=_latest(found.run_summary.document),
        event=log.last,
    )
    dead = facts.said_to_run and artefacts.process_dead(found.active_run.document, loop)
    return facts._replace(process_dead=dead)


def _latest(summaries: Document | None) -> Document | None:
    entries = at(summaries, "entries")
    return inner({"last": entries[-1]}, "last") if isinstance(entries, list) and entries else None


def _iteration(*documents: Document | None) -> int:
    for each in documents:
        if at(each, "iteration") is not None:
            return whole(each, "iteration") or 0
    return 0


def _log_seen(places: LoopPlaces, log: Log) -> LogSeen:
    end = log.end()
    count = log.count(0, end)
    line = next((each for each in log.backwards(end) if each.strip()), None)
    last = None if line is None else files.parsed(line)
    if line is not None and last is None:
        raise ArtifactCorrupt(f"invalid JSON in final events line: {artefacts.events_path(places)}")
    return LogSeen(artefacts.events(places, log, count, digests=True), count, last)
