"""The way to a loop over its service: what the local transports do, asked of another machine.

Local and service give the same verdict for the same facts. Our service says a little more than the contract asks for:
where in its log something was read, and what it had to do without. A service that does not is taken at its word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple
from urllib.parse import quote

from interlock.loops import control, files, polling
from interlock.loops.control import Carried, Outcome, Request
from interlock.loops.errors import ArtifactCorrupt, ArtifactUnsupported, EnvelopeInvalid
from interlock.loops.files import Document
from interlock.loops.local import SPRITE_SERVICE, Ask, Ingested, IngestFailed, passed_over
from interlock.loops.models import CRITICAL, DEGRADED, Finding, at, inner, objects, text, whole
from interlock.loops.places import LoopPlaces
from interlock.loops.runtime import Done
from interlock.loops.snapshot import Snapshot
from interlock.loops.sprite_client import Answer, Client, ServiceRequestFailed

POSITION: Final = "X-Events-Position"
"""The header in which a service says where in its log it was, for the next time."""
CONTROL_PATH: Final = "/ops/control"
_MARGIN_SECONDS: Final = 15
_LEAST_SECONDS: Final = 30
_BEHIND: Final = frozenset({ArtifactCorrupt.code, ArtifactUnsupported.code})
_UNREACHED: Final = frozenset({0, 401, 404})
_STATUSES: Final = frozenset({"confirmed", "executed_unconfirmed", "ambiguous", "failed_command", "executed"})


class _Invalid(Exception):
    """The service has answered something else than was asked for."""


# --- reading ----------------------------------------------------------------------------------------------------------


class _Read(NamedTuple):
    """How far the events were read by now."""

    offset: int
    position: str | None
    restarted: bool = False
    events: int = 0
    invalid: int = 0
    done: bool = False


@dataclass(frozen=True)
class SpriteService:
    """Reads a loop's artefacts through its service."""

    client: Client

    @property
    def name(self) -> str:
        """What the files call it."""
        return SPRITE_SERVICE

    def ingest(self, ask: Ask) -> Ingested | IngestFailed:
        """Take a snapshot and read what is new, up to where the snapshot ends."""
        try:
            return _Reading(replace(self.client, trace_id=ask.trace_id), ask).ingest()
        except ServiceRequestFailed as error:
            code = error.reason if error.reason in _BEHIND else error.code
            return IngestFailed(code, error.message)
        except (_Invalid, EnvelopeInvalid) as error:
            return IngestFailed("service_response_invalid", str(error))


class _Reading:
    """One ingest."""

    def __init__(self, client: Client, ask: Ask) -> None:
        self._client, self._ask = client, ask
        self._read = _Read(ask.after, None)

    def ingest(self) -> Ingested:
        ask = self._ask
        known = None if ask.position is None else files.text_of(ask.position)
        answer = self._get("/ops/snapshot", {"digests": "false"}, known)
        envelope = _object(answer)
        seen = Snapshot.of(envelope, ask.places.loop)
        if whole(envelope, "cursor", "eventLineCount") is None:
            raise _Invalid("the service's snapshot has no event line count")
        beyond = ask.after > seen.total
        self._read = _Read(0 if beyond else ask.after, known, restarted=beyond)
        batch = polling.batch_of(self._events(seen.total), ask.places.loop)
        if batch.last_event is not None:
            batch = batch._replace(last_event={**batch.last_event, "traceId": ask.trace_id or None})
        read = self._read
        return Ingested(
            snapshot=seen,
            batch=batch._replace(invalid=read.invalid, complete=read.done or read.offset >= seen.total),
            offset=read.offset,
            total=max(seen.total, read.offset),
            restarted=read.restarted,
            findings=(*_findings(envelope), *passed_over(read.invalid)),
            position=None if read.position is None else files.parsed(read.position.encode("latin-1", "replace")),
        )

    def _events(self, total: int) -> Iterator[Document]:
        """Yield what is new, page by page; a service that gives all at once has one."""
        most = left = self._ask.max_events
        while True:
            yield from self._page(total, left)
            left = most - self._read.events - self._read.invalid
            if self._read.done or self._read.offset >= total or (most and left <= 0):
                return
            left = max(0, left)

    def _page(self, total: int, most: int) -> list[Document]:
        before = self._read
        query = {"cursor": str(before.offset), "maxEvents": str(most), "until": str(total)}
        answer = self._get("/ops/events", query, before.position)
        document = _object(answer)
        events, offset = document.get("events"), whole(document, "cursor", "eventLineOffset")
        count = whole(document, "cursor", "eventLineCount")
        if document.get("ok") is not True or not isinstance(events, list) or offset is None or count is None:
            raise _Invalid("the service's events are not {ok, events, cursor}")
        found = objects(document, "events")
        restarted = before.restarted or document.get("restarted") is True
        if len(found) != len(events) or offset > count or (offset < before.offset and not restarted):  # pyright: ignore[reportUnknownArgumentType] - a list of anything
            raise _Invalid("the service's events do not fit its cursor")
        invalid = whole(document, "invalidEvents") or 0
        self._read = _Read(
            offset=offset,
            position=answer.headers.get(POSITION.lower()),
            restarted=restarted,
            events=before.events + len(found),
            invalid=before.invalid + invalid,
            done=offset == before.offset or (not found and not invalid),
        )
        return found

    def _get(self, path: str, query: dict[str, str], position: str | None) -> Answer:
        words = "&".join(f"{name}={quote(each, safe='')}" for name, each in query.items())
        headers = {} if position is None else {POSITION: position}
        return self._client.get(f"{path}?loopId={quote(self._ask.places.loop, safe='')}&{words}", headers)


def _object(answer: Answer) -> Document:
    found = answer.document
    if found is None:
        raise _Invalid("the service's answer is no JSON object")
    return found


def _findings(envelope: Document) -> tuple[Finding, ...]:
    found = [
        Finding(*(text(each, name) or "" for name in Finding._fields)) for each in objects(envelope, "findings")[:64]
    ]
    return tuple(each for each in found if all(each) and each.severity in {DEGRADED, CRITICAL})


# --- steering ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SpriteControl:
    """Has an intent carried out, and its effect looked for, by the loop's service."""

    client: Client

    @property
    def name(self) -> str:
        """What the records call it."""
        return SPRITE_SERVICE

    def carry_out(self, places: LoopPlaces, request: Request) -> Carried:
        """Ask for it once. We wait longer than the service does for the effect."""
        waits = request.patience.timeout_seconds if request.confirm else 0
        client = replace(
            self.client, trace_id=request.trace_id, most_seconds=max(waits, _LEAST_SECONDS) + _MARGIN_SECONDS
        )
        command = f"POST {client.base.shown}{CONTROL_PATH}"
        body = files.bytes_of(_body(places, request))
        try:
            answer = client.post(CONTROL_PATH, body, bound=bool(request.idempotency_key))
        except ServiceRequestFailed as error:
            return _failed(command, error)
        return _carried(command, answer, places, request)


def _body(places: LoopPlaces, request: Request) -> Document:
    return {
        "loopId": places.loop,
        "intent": request.intent,
        "by": request.by,
        **({"note": request.note} if request.note else {}),
        "traceId": request.trace_id,
        "idempotencyKey": request.idempotency_key,
        "noConfirm": not request.confirm,
        "timeoutSeconds": request.patience.timeout_seconds,
        "intervalSeconds": request.patience.interval_seconds,
    }


def _failed(command: str, error: ServiceRequestFailed) -> Carried:
    said = files.parsed(error.body) if error.status not in _UNREACHED else None
    answered = said is not None and text(said, "error", "code") is not None and not error.unknown
    told = files.text_of(said) if said is not None and answered else "{}"
    outcome = Outcome("ambiguous", 1) if error.unknown else Outcome("failed_command")
    return Carried(Done(command, 1, told), outcome=outcome, failure=error.message)


def _carried(command: str, answer: Answer, places: LoopPlaces, request: Request) -> Carried:
    said = answer.document
    result = inner(said, "result") or {}
    about = (result.get("loopId", places.loop), result.get("intent", request.intent))
    if said is None or about != (places.loop, request.intent):
        what = "is no JSON object" if said is None else "tells of another intent"
        failure = f"service response invalid: the answer to POST {CONTROL_PATH} {what}"
        return Carried(Done(command, 1, "{}"), outcome=Outcome("ambiguous", 1), failure=failure)
    code = whole(said, "exitCode")
    status = text(result, "status")
    if status not in _STATUSES:
        status = "confirmed" if said.get("ok") is True else "ambiguous" if code == 2 else "failed_command"
    done = Done(command, code if code is not None else control.EXIT_CODES.get(status, 1), files.text_of(said))
    return Carried(
        done,
        replayed=at(said, "replayed") is True,
        outcome=Outcome(status, whole(result, "confirmExitCode") or 0, inner(result, "confirm")),
    )
