"""Projection: from a snapshot, what was read, and the state before, the state now."""

from __future__ import annotations

from typing import NamedTuple

from interlock.loops import divergence, files, polling, snapshot
from interlock.loops.divergence import Divergence
from interlock.loops.errors import EnvelopeInvalid, EnvelopeMissing
from interlock.loops.files import Document, FileCorrupt
from interlock.loops.models import SCHEMA, STOPPED, UNKNOWN, stamp, text
from interlock.loops.places import LoopPlaces
from interlock.loops.polling import Batch
from interlock.loops.snapshot import Snapshot


class Evidence(NamedTuple):
    """Which files show it; none that is gone by the time somebody looks."""

    snapshot_file: str | None = None
    events_file: str | None = None


NONE = Evidence()


class Projection(NamedTuple):
    """The state of a loop."""

    state: str
    divergence: Divergence
    document: Document


def project(
    places: LoopPlaces,
    seen: Snapshot,
    batch: Batch,
    previous: Document | None,
    *,
    now: int,
    intent: Document | None = None,
    restarted: bool = False,
    replayed: bool = False,
    evidence: Evidence = NONE,
) -> Projection:
    """Project. `intent` is the newest that an operator had; see `divergence.evaluate` for the rest."""
    cancelled = divergence.cancelled(intent, seen)
    found = divergence.evaluate(seen, batch, previous, cancelled=cancelled, restarted=restarted, replayed=replayed)
    state = STOPPED if cancelled and seen.status == UNKNOWN else seen.status
    document: Document = {
        "schemaVersion": SCHEMA,
        "generatedAt": stamp(now),
        "source": {"repoPath": places.repo, "loopId": places.loop},
        "run": {"runId": seen.run_id, "iteration": seen.iteration},
        "transition": {
            "previousState": text(previous, "transition", "currentState") or "none",
            "triggeringSignal": f"event:{batch.last_name}" if batch.last_name else f"snapshot_status:{state}",
            "currentState": state,
            "confidence": "low" if found.any else "high" if batch.last_name else "medium",
        },
        "projection": {
            "status": state,
            "hasPendingApproval": seen.pending,
            "completionOk": seen.completion_ok,
            "gates": seen.gates,
            "stuck": seen.stuck,
            "active": True if seen.active else None,
            "lastEventName": seen.last_event_name,
            "lastEventAt": seen.last_event_at,
        },
        "cursor": {"eventLineOffset": seen.offset, "eventLineCount": seen.total},
        "divergence": found.document(),
        "evidence": {
            "snapshotFile": evidence.snapshot_file,
            "eventsFile": evidence.events_file,
            "snapshotEnvelope": {
                "runStatus": seen.status,
                "lastEventName": seen.last_event_name,
                "hasPendingApproval": seen.pending,
            },
            "lastEventEnvelope": batch.last_event,
        },
    }
    return Projection(state, found, document)


def from_files(
    places: LoopPlaces,
    *,
    now: int,
    snapshot_file: str | None = None,
    events_file: str | None = None,
    state_file: str | None = None,
    pretty: bool = False,
) -> Document:
    """Project what files say (by default a snapshot taken now), write the state, and return it.

    Raises `EnvelopeMissing`, `EnvelopeInvalid`, and what taking a snapshot raises.
    """
    path = state_file or places.of_manager("state.json")
    envelope = snapshot.take(places, now=now) if snapshot_file is None else _envelope(snapshot_file)
    seen = Snapshot.of(envelope, places.loop)
    batch = Batch() if events_file is None else polling.batch_of(_envelopes(events_file), places.loop)
    projection = project(
        places,
        seen,
        batch,
        _previous(path),
        now=now,
        intent=files.last_row(places.of_manager("intents.jsonl")),
        replayed=batch.first == 1,
        evidence=Evidence(snapshot_file, events_file),
    )
    files.replace(path, files.bytes_of(projection.document, pretty=pretty))
    return projection.document


# --- inside -----------------------------------------------------------------------------------------------------------


def _envelope(path: str) -> Document:
    try:
        found = files.read_json(path)
    except FileCorrupt:
        raise EnvelopeInvalid(f"invalid snapshot JSON: {path}") from None
    if found is None:
        raise EnvelopeMissing(f"snapshot file not found: {path}")
    return found


def _envelopes(path: str) -> list[Document]:
    data = files.read_bytes(path)
    if data is None:
        raise EnvelopeMissing(f"events file not found: {path}")
    found = [files.parsed(line) for line in data.splitlines() if line.strip()]
    whole = [each for each in found if each is not None]
    if len(whole) != len(found):
        raise EnvelopeInvalid(f"event envelope is invalid: no JSON object in {path}")
    return whole


def _previous(path: str) -> Document | None:
    try:
        return files.read_json(path)
    except FileCorrupt:
        return None
