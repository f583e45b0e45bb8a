"""Transports: how a reconcile gets at the runtime's artefacts. Here, the one that reads them where they lie."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from interlock.kernel.errors import InterlockError
from interlock.loops import artefacts, files, polling, snapshot
from interlock.loops.artefacts import Artefacts
from interlock.loops.errors import ArtifactCorrupt, ArtifactMissing, ArtifactUnsupported
from interlock.loops.files import Document, FileUnreadable, Log
from interlock.loops.models import DEGRADED, Finding, artifact_corrupt
from interlock.loops.places import LoopPlaces
from interlock.loops.polling import Batch
from interlock.loops.snapshot import LogSeen, Snapshot

LOCAL = "local"
SPRITE_SERVICE = "sprite_service"


class Ask(NamedTuple):
    """What a reconcile wants to have."""

    places: LoopPlaces
    after: int
    """How many lines of the log were read."""
    max_events: int
    trace_id: str
    now: int
    position: Document | None = None
    """What the local transport has noted for itself the last time."""


class Ingested(NamedTuple):
    """What it gets."""

    snapshot: Snapshot
    batch: Batch
    offset: int
    """How many lines have been read by now."""
    total: int
    restarted: bool = False
    """The log does not hold what had been read of it: it was read from its start."""
    findings: tuple[Finding, ...] = ()
    position: Document | None = None
    events_file: str | None = None


class IngestFailed(NamedTuple):
    """Why it gets nothing."""

    code: str
    message: str


class Transport(Protocol):
    """Gets at the artefacts; never raises for what it finds there."""

    @property
    def name(self) -> str:
        """Say what it is called in the files: `local` or `sprite_service`."""
        ...

    def ingest(self, ask: Ask) -> Ingested | IngestFailed:
        """Take a snapshot and read what is new."""
        ...


class Local:
    """Reads the runtime's own files."""

    name = LOCAL

    def ingest(self, ask: Ask) -> Ingested | IngestFailed:
        """Take a snapshot and read what is new, in one look at the log."""
        try:
            artefacts.check_there(ask.places)
            found = artefacts.read(ask.places, digests=False)
            for each in (found.state, found.run_summary, found.approval):
                each.check()
            with files.log(artefacts.events_path(ask.places)) as log:
                if log is None:
                    raise ArtifactMissing(f"required artifact missing: {artefacts.events_path(ask.places)}")
                return _read(ask, found, log)
        except (ArtifactCorrupt, ArtifactUnsupported) as error:
            return IngestFailed(error.code, error.message)
        except FileUnreadable as error:
            unread = artefacts.events_path(ask.places) in error.message
            return IngestFailed("events_unavailable" if unread else "snapshot_unavailable", error.message)
        except InterlockError as error:
            return IngestFailed("snapshot_unavailable", error.message)


def unread(found: Artefacts) -> tuple[Finding, ...]:
    """Say what could not be read and was done without: a heartbeat or a process note decides no state alone."""
    return tuple(
        artifact_corrupt(f"artifact.{name}", each.problem)
        for name, each in (("heartbeat", found.heartbeat), ("activeRun", found.active_run))
        if each.problem
    )


def passed_over(invalid: int) -> tuple[Finding, ...]:
    """Say that so many lines were no event of the loop."""
    return (Finding("events_invalid", DEGRADED, "events.invalid", str(invalid), "0"),) if invalid else ()


# --- inside -----------------------------------------------------------------------------------------------------------


def _read(ask: Ask, found: Artefacts, log: Log) -> Ingested:
    places = ask.places
    read = polling.read_on(
        places,
        log,
        after=ask.after,
        known=ask.position,
        most=ask.max_events,
        now=ask.now,
        trace_id=ask.trace_id,
    )
    total = read.position.end.lines
    seen = LogSeen(artefacts.events(places, log, total, digests=False), total, read.last)
    envelope = snapshot.document(places, found, seen, now=ask.now, run_id=None, trace_id=ask.trace_id)
    return Ingested(
        snapshot=Snapshot.of(envelope, places.loop),
        batch=read.batch,
        offset=read.position.read.lines,
        total=total,
        restarted=read.restarted,
        findings=(*unread(found), *passed_over(read.batch.invalid)),
        position=polling.position_of(log, read.position),
        events_file=artefacts.events_path(places),
    )
