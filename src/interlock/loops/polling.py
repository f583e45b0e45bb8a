"""Reading the events that are new since the last time.

A cursor says how many lines were read. A reconcile also remembers at which byte those lines end, so that ten new events
cost the same behind a thousand and behind a million; where that does not fit (any more), lines are counted again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from interlock.loops import artefacts, files, lifecycle
from interlock.loops.errors import ArtifactMissing, CursorBeyondEnd, CursorCorrupt, EnvelopeInvalid, EventInvalid
from interlock.loops.files import Document, FileCorrupt, Log
from interlock.loops.models import SCHEMA, at, stamp, text, whole
from interlock.loops.places import LoopPlaces
from interlock.loops.snapshot import SEQUENCE

ENVELOPE: Final = "loop_run_event"
STAND_ALONE_CURSOR: Final = "ops-manager.cursor.json"

# --- cursors and places in the log ------------------------------------------------------------------------------------


def cursor(places: LoopPlaces, offset: int, count: int, now: int) -> Document:
    """Build a cursor file."""
    return {
        "schemaVersion": SCHEMA,
        "repoPath": places.repo,
        "loopId": places.loop,
        "eventsFile": f".superloop/loops/{places.loop}/events.jsonl",
        "eventLineOffset": offset,
        "eventLineCount": count,
        "updatedAt": stamp(now),
    }


def read_cursor(path: str) -> int:
    """Return how many lines were read; raises `CursorCorrupt`, `files.FileUnreadable`."""
    try:
        found = files.read_json(path)
    except FileCorrupt:
        raise CursorCorrupt(f"invalid JSON in cursor file: {path}") from None
    if found is None:
        return 0
    if found.get("schemaVersion") not in (None, SCHEMA):
        raise CursorCorrupt(f"unsupported schemaVersion in cursor file: {path}")
    if found.get("eventLineOffset") is None:
        return 0
    offset = whole(found, "eventLineOffset")
    if offset is None:
        raise CursorCorrupt(f"invalid cursor offset in {path}")
    return offset


class Place(NamedTuple):
    """A place in the log, between two lines."""

    lines: int
    offset: int

    def document(self) -> Document:
        """Return it as the position file has it."""
        return {"lines": self.lines, "offset": self.offset}


class Position(NamedTuple):
    """Two places of a log: how far it was read, and where it ended."""

    read: Place
    end: Place


def position_of(log: Log, position: Position) -> Document:
    """Build a position file."""
    return {
        "schemaVersion": SCHEMA,
        "device": log.device,
        "inode": log.inode,
        "mark": log.mark(position.end.offset),
        "read": position.read.document(),
        "end": position.end.document(),
    }


def known_position(log: Log, found: Document | None) -> Position | None:
    """Return what a position file says of this very log; None if it is another by now, or was cut or rewritten."""
    position = _noted(found)
    same = at(found, "device") == log.device and at(found, "inode") == log.inode
    return position if position is not None and same and _fits(log, position, found) else None


def rewritten(log: Log, found: Document | None, after: int) -> bool:
    """Say whether the log no longer holds what was read of it, though it may be as long again by now."""
    position = _noted(found)
    if position is None or after not in {0, position.read.lines}:
        return False  # somebody has put the cursor where he wants it
    return not _fits(log, position, found)


def _noted(found: Document | None) -> Position | None:
    lines, offsets = ([whole(found, place, what) for place in ("read", "end")] for what in ("lines", "offset"))
    read, end = (
        None if line is None or offset is None else Place(line, offset)
        for line, offset in zip(lines, offsets, strict=True)
    )
    return Position(read, end) if read is not None and end is not None and read.offset <= end.offset else None


def _fits(log: Log, position: Position, found: Document | None) -> bool:
    return position.end.offset <= log.size and at(found, "mark") == log.mark(position.end.offset)


# --- events -----------------------------------------------------------------------------------------------------------


def envelope(
    places: LoopPlaces, line: Document, number: int, count: int, *, now: int, trace_id: str | None
) -> Document:
    """Build the envelope of an event."""
    return {
        "schemaVersion": SCHEMA,
        "envelopeType": ENVELOPE,
        "emittedAt": stamp(now),
        "traceId": trace_id or None,
        "source": {"repoPath": places.repo, "loopId": places.loop},
        "sequence": {"source": SEQUENCE, "value": number},
        "cursor": {"eventLineOffset": number, "eventLineCount": count},
        "run": {"runId": text(line, "run_id") or "unknown", "iteration": whole(line, "iteration") or 0},
        "event": {
            "timestamp": line["timestamp"],
            "name": lifecycle.name_of(line),
            "role": line.get("role"),
            "status": line.get("status"),
            "message": line.get("message"),
            "payload": line.get("data"),
            "raw": line,
        },
    }


def problem_of(line: Document | None) -> str:
    """Say what is wrong with a line as an event; nothing, if all is right."""
    if line is None:
        return "invalid JSON event"
    if lifecycle.name_of(line) is None:
        return "missing event name"
    return "" if text(line, "timestamp") else "missing event timestamp"


class Batch(NamedTuple):
    """What was read at once, as the later steps want to know it."""

    ingested: int = 0
    first: int | None = None
    last: int | None = None
    monotonic: bool = True
    missing: bool = False
    """An event came without its number."""
    last_event: Document | None = None
    """The last event's envelope."""
    invalid: int = 0
    """Lines that are no event of this loop, and were passed over."""
    complete: bool = True
    """Nothing is left to be read."""

    @property
    def last_name(self) -> str | None:
        """The last event's name."""
        return text(self.last_event, "event", "name")

    def with_number(self, number: int | None) -> Batch:
        """Count one event more."""
        if number is None:
            return self._replace(ingested=self.ingested + 1, missing=True)
        return self._replace(
            ingested=self.ingested + 1,
            first=number if self.first is None else self.first,
            last=number,
            monotonic=self.monotonic and (self.last is None or number >= self.last),
        )


def batch_of(envelopes: Iterable[Document], loop: str, *, complete: bool = True) -> Batch:
    """Read envelopes that somebody else made; raises `EnvelopeInvalid`."""
    batch = Batch(complete=complete)
    for each in envelopes:
        known = each.get("schemaVersion") == SCHEMA and each.get("envelopeType") == ENVELOPE
        if not known or at(each, "source", "loopId") != loop or text(each, "event", "name") is None:
            raise EnvelopeInvalid("event envelope is invalid or loop id mismatch")
        batch = batch.with_number(whole(each, "sequence", "value"))._replace(last_event=each)
    return batch


class ReadOn(NamedTuple):
    """What a reconcile has read of the log."""

    batch: Batch
    last: Document | None
    """The last event of the log, whether it was read now or earlier."""
    position: Position
    restarted: bool
    """The log does not hold what had been read of it: it is another by now, and was read from its start."""


def read_on(
    places: LoopPlaces, log: Log, *, after: int, known: Document | None, most: int, now: int, trace_id: str | None
) -> ReadOn:
    """Read what stands after so many lines, at most so many events (0: all), whatever single lines hold."""
    before = known_position(log, known)
    end = _end(log, before)
    restarted = after > end.lines or rewritten(log, known, after)
    start = Place(0, 0) if restarted else _start(log, after, before, end)
    read, batch, last = _fold(log, start, end, places.loop, most)
    if last is not None:
        number, line = last
        batch = batch._replace(last_event=envelope(places, line, number, end.lines, now=now, trace_id=trace_id))
    caught_up = read.lines == end.lines
    newest = last[1] if last is not None and caught_up else _newest(log, end.offset, places.loop)
    return ReadOn(batch._replace(complete=caught_up), newest, Position(read, end), restarted)


class Page(NamedTuple):
    """Events as they stand in the log, for somebody who reads it from afar."""

    events: list[Document]
    invalid: int
    """Lines that are no event of this loop, and were passed over."""
    position: Position
    restarted: bool
    """As in `ReadOn`."""


def page(
    places: LoopPlaces,
    log: Log,
    *,
    after: int,
    known: Document | None,
    until: int | None,
    most: int,
    most_bytes: int,
    now: int,
    trace_id: str | None,
) -> Page:
    """Read like `read_on`, but return every event, and stop before a line number or when it gets too much.

    Raises `CursorBeyondEnd` where nothing is known of what was read before.
    """
    before = known_position(log, known)
    end = _ended(log, before, until)
    restarted = rewritten(log, known, after) or (known is not None and after > end.lines)
    if after > end.lines and not restarted:
        raise CursorBeyondEnd(f"cursor offset {after} is beyond the event log's {end.lines} lines; read it from 0")
    place = Place(0, 0) if restarted else _start(log, after, before, end)
    events, invalid, size = list[Document](), 0, 0
    for offset, data in log.lines(place.offset, end.offset):
        place = Place(place.lines + 1, offset)
        if data is not None and not data.strip():
            continue
        line = _ours(data, places.loop)
        if line is None:
            invalid += 1
        else:
            events.append(envelope(places, line, place.lines, end.lines, now=now, trace_id=trace_id))
            size += len(data or b"")
        if len(events) + invalid == most or size >= most_bytes:
            break
    return Page(events, invalid, Position(place, end), restarted)


class Glance(NamedTuple):
    """Where a log ends, and the last event in it."""

    position: Position
    last: Document | None


def glance(log: Log, loop: str, known: Document | None) -> Glance:
    """Look at the end of a log only, as far as that is known from before."""
    before = known_position(log, known)
    end = _end(log, before)
    return Glance(Position(end if before is None else before.read, end), _newest(log, end.offset, loop))


def poll(
    places: LoopPlaces,
    *,
    now: int,
    cursor_file: str | None = None,
    from_start: bool = False,
    max_events: int = 0,
    trace_id: str | None = None,
) -> Iterator[Document]:
    """Yield the new events' envelopes, then move the cursor.

    Raises `ArtifactMissing`, `CursorCorrupt`, `CursorBeyondEnd` and, at the first line that is no event,
    `EventInvalid`; the cursor then stays where it was. A last line without its newline is left for the next time.
    """
    artefacts.check_there(places)
    path = cursor_file or places.of_run(STAND_ALONE_CURSOR)
    after = 0 if from_start else read_cursor(path)
    with files.log(artefacts.events_path(places)) as log:
        if log is None:
            raise ArtifactMissing(f"required artifact missing: {artefacts.events_path(places)}")
        end = log.end()
        count = log.count(0, end)
        start = log.after(after, end)
        if start is None:
            raise CursorBeyondEnd(
                f"cursor offset {after} is beyond the event log's {count} lines; reset the cursor or use --from-start"
            )
        reached, emitted = after, 0
        for number, (_, data) in enumerate(log.lines(start, end), start=after + 1):
            if data is not None and not data.strip():
                continue
            yield envelope(places, _checked(data, number), number, count, now=now, trace_id=trace_id)
            reached, emitted = number, emitted + 1
            if emitted == max_events:
                break
    files.replace(path, files.bytes_of(cursor(places, reached, count, now), pretty=True))


# --- inside -----------------------------------------------------------------------------------------------------------


def _checked(data: bytes | None, number: int) -> Document:
    line = None if data is None else files.parsed(data)
    problem = problem_of(line)
    if line is None or problem:
        raise EventInvalid(f"{problem} at line {number}")
    return line


def _ours(data: bytes | None, loop: str) -> Document | None:
    """Return the event of a line if it is one of this loop's."""
    line = None if data is None else files.parsed(data)
    return line if line is not None and not problem_of(line) and line.get("loop_id") in (None, loop) else None


def _end(log: Log, before: Position | None) -> Place:
    stop = log.end()
    if before is None:
        return Place(log.count(0, stop), stop)
    return Place(before.end.lines + log.count(before.end.offset, stop), stop)


def _ended(log: Log, before: Position | None, until: int | None) -> Place:
    """Return where the log ends, or where it did when somebody looked before."""
    if before is not None and before.end.lines == until:
        return before.end
    end = _end(log, before)
    if until is None or until >= end.lines:
        return end
    return Place(until, log.after(until, end.offset) or 0)


def _start(log: Log, after: int, before: Position | None, end: Place) -> Place:
    for place in (end, *(() if before is None else before)):
        if place.lines == after:
            return place
    return Place(after, log.after(after, end.offset) or 0)


def _fold(log: Log, start: Place, end: Place, loop: str, most: int) -> tuple[Place, Batch, tuple[int, Document] | None]:
    """Go through the lines; keep of them only what is asked of a batch, and the last event."""
    count, first, invalid, looked_at = 0, None, 0, 0
    place, last = start, None
    for offset, data in log.lines(start.offset, end.offset):
        place = Place(place.lines + 1, offset)
        if data is not None and not data.strip():
            continue
        line = _ours(data, loop)
        if line is None:
            invalid += 1
        else:
            count, first, last = count + 1, first or place.lines, (place.lines, line)
        looked_at += 1
        if looked_at == most:
            break
    reached = None if last is None else last[0]
    return place, Batch(ingested=count, first=first, last=reached, invalid=invalid), last


def _newest(log: Log, stop: int, loop: str) -> Document | None:
    for data in log.backwards(stop):
        line = _ours(data, loop)
        if line is not None:
            return line
    return None
