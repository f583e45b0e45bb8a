"""The loop service: one repository's loops over HTTP, for a manager on another machine.

Whoever holds its token is the one who started it, or less if the caller says so: a machine that names itself does not
become a person here. Reading takes no lock; a control runs once for its key (`idempotency.py`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from interlock.access.errors import MalformedPrincipal
from interlock.access.models import Principal, PrincipalKind
from interlock.kernel.clock import Clock, system_clock
from interlock.kernel.errors import Conflict, InterlockError, Invalid, Refused, Unreachable
from interlock.loops import artefacts, confirmation, control, files, idempotency, local, polling, snapshot
from interlock.loops.artefacts import Artefacts
from interlock.loops.confirmation import Patience
from interlock.loops.control import Carried, LocalTransport, Request
from interlock.loops.errors import ArtifactMissing, CursorBeyondEnd
from interlock.loops.files import Document, Log
from interlock.loops.idempotency import Bound, Response, ServiceStopping
from interlock.loops.models import SCHEMA, new_trace, stamp, stripped
from interlock.loops.places import LoopPlaces
from interlock.loops.runtime import Runtime
from interlock.loops.snapshot import LogSeen
from interlock.loops.sprite_client import AGAIN, SAFE_TRACE
from interlock.loops.sprite_transport import POSITION

MOST_PAGE: Final = 8 * 1024 * 1024
"""How many bytes of events are answered at once; the cursor says where it stopped."""
MOST_PATIENCE: Final = 3600
_MOST_NAME, _MOST_NOTE = 200, 16 * 1024
_DIGITS = re.compile(r"[0-9]{1,15}", re.ASCII)
_KILLED = 137


class TokenMissing(Invalid):
    """The service has no token, and would be open to everybody."""

    code = "service_token_missing"
    default_hint = "set OPS_MANAGER_SERVICE_TOKEN, or give --token"


class RequestInvalid(Invalid):
    """The request is not right."""

    code = "invalid_request"


class Stopped(Exception):
    """The service stops while it waits for an effect."""


class Asked(NamedTuple):
    """One request: its headers by their names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def trace_id(self) -> str | None:
        """The trace in the header, if it is one."""
        given = self.headers.get("x-trace-id", "")
        return given if SAFE_TRACE.fullmatch(given) else None


class Answered(NamedTuple):
    """What is answered."""

    status: int
    document: Document
    headers: Mapping[str, str] = {}


@dataclass(kw_only=True)
class Service:
    """The loops of one repository, for whoever holds the token."""

    repo: str
    root: str
    """Where the runtime's program is, unless the environment names one."""
    token: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    principal: Principal
    """Who started the service."""
    thawed: Callable[[], None] = lambda: None
    controlled: Callable[[LoopPlaces, Document], None] = lambda _places, _row: None
    clock: Clock = system_clock
    stopping: threading.Event = field(default_factory=threading.Event, repr=False)

    def __post_init__(self) -> None:
        """Refuse to be open to everybody."""
        if not self.token.strip():
            raise TokenMissing
        self._digest = _digest(self.token.strip().encode("utf-8", "surrogateescape"))

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Say whether the token is shown; how long that takes says nothing of it."""
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        shown = (bearer.strip() if scheme.lower() == "bearer" else "", headers.get("x-ops-token", ""))
        right = [hmac.compare_digest(_digest(each.encode("latin-1", "replace")), self._digest) for each in shown]
        return True in right

    def answer(self, asked: Asked) -> Answered:
        """Answer one request; never raises."""
        try:
            return self._answer(asked)
        except InterlockError as error:
            return refusal(error)

    # --- routes -------------------------------------------------------------------------------------------------------

    def _answer(self, asked: Asked) -> Answered:
        if not self.knows(asked.headers):
            return failure(
                401, "unauthorized", "no token, or not the one that is asked for", {"WWW-Authenticate": "Bearer"}
            )
        try:
            parts = urlsplit(asked.target)
            query = parse_qs(parts.query, keep_blank_values=True, max_num_fields=32)
        except ValueError:
            raise RequestInvalid("the address can not be read") from None
        routes: Mapping[tuple[str, str], Callable[[], Answered]] = {
            ("GET", "/healthz"): lambda: Answered(200, {"ok": True}),
            ("GET", "/ops/snapshot"): lambda: self._snapshot(asked, query),
            ("GET", "/ops/events"): lambda: self._events(asked, query),
            ("POST", "/ops/control"): lambda: self._control(asked),
        }
        route = routes.get((asked.method, parts.path))
        if route is not None:
            return route()
        if asked.method not in {"GET", "POST", "HEAD"}:
            return failure(501, "unsupported_method", f"{asked.method[:20]} is not answered here")
        return failure(404, "not_found", "there is no such route")

    def _places(self, loop: object) -> LoopPlaces:
        if not isinstance(loop, str) or not loop:
            raise RequestInvalid("loopId is required")
        try:
            return LoopPlaces.of(self.repo, loop)
        except Invalid as error:
            raise RequestInvalid(error.message) from None

    def _snapshot(self, asked: Asked, query: Mapping[str, list[str]]) -> Answered:
        places = self._places(_one(query, "loopId"))
        digests = _one(query, "digests") != "false"
        artefacts.check_there(places)
        found = artefacts.read(places, digests=digests)
        for each in (found.state, found.run_summary, found.approval):
            each.check()
        with files.log(artefacts.events_path(places)) as log:
            if log is None:
                raise ArtifactMissing(f"required artifact missing: {artefacts.events_path(places)}")
            return self._seen(asked, places, found, log, digests=digests)

    def _seen(self, asked: Asked, places: LoopPlaces, found: Artefacts, log: Log, *, digests: bool) -> Answered:
        end = polling.glance(log, places.loop, _position(asked))
        lines = end.position.end.lines
        seen = LogSeen(artefacts.events(places, log, lines, digests=digests), lines, end.last)
        envelope = snapshot.document(
            places, found, seen, now=self.clock() // 1000, run_id=None, trace_id=asked.trace_id
        )
        unread = [each.document() for each in local.unread(found)]
        return Answered(200, {**envelope, **({"findings": unread} if unread else {})})

    def _events(self, asked: Asked, query: Mapping[str, list[str]]) -> Answered:
        places = self._places(_one(query, "loopId"))
        cursor, most = _number(query, "cursor") or 0, _number(query, "maxEvents") or 0
        now = self.clock() // 1000
        artefacts.check_there(places)
        with files.log(artefacts.events_path(places)) as log:
            if log is None:
                raise ArtifactMissing(f"required artifact missing: {artefacts.events_path(places)}")
            page = polling.page(
                places,
                log,
                after=cursor,
                known=_position(asked),
                until=_number(query, "until"),
                most=most,
                most_bytes=MOST_PAGE,
                now=now,
                trace_id=asked.trace_id,
            )
            where = files.text_of(polling.position_of(log, page.position))
        document = stripped(
            {
                "ok": True,
                "schemaVersion": SCHEMA,
                "traceId": asked.trace_id,
                "source": {"repoPath": places.repo, "loopId": places.loop},
                "events": page.events,
                "cursor": {
                    "eventLineOffset": page.position.read.lines,
                    "eventLineCount": page.position.end.lines,
                    "updatedAt": stamp(now),
                },
                "invalidEvents": page.invalid or None,
                "restarted": page.restarted or None,
            }
        )
        return Answered(200, document, {POSITION: where})

    # --- control ------------------------------------------------------------------------------------------------------

    def _control(self, asked: Asked) -> Answered:
        body = _body(asked.body)
        if isinstance(body, Answered):
            return body
        places = self._places(body.get("loopId"))
        wanted = self._wanted(asked, body)
        done = self._once(asked, places, wanted)
        headers = {"X-Trace-Id": wanted.request.trace_id} if SAFE_TRACE.fullmatch(wanted.request.trace_id) else {}
        return Answered(done.status, done.document, headers)

    def _wanted(self, asked: Asked, body: Document) -> _Wanted:
        intent = body.get("intent")
        try:
            confirmation.checked(intent if isinstance(intent, str) else "")
        except Invalid as error:
            raise RequestInvalid(error.message) from None
        intent = str(intent)
        given = body.get("idempotencyKey", asked.headers.get("x-idempotency-key"))
        key = None if given is None or given == "" else idempotency.checked(given)
        by = _text(body, "by", _MOST_NAME) or self.environment.get("USER") or "ops-service"
        confirm = not _flag(body, "noConfirm")
        stopping = self.stopping

        def wait(seconds: float) -> None:
            if stopping.wait(seconds):
                raise Stopped

        patience = Patience(_whole(body, "timeoutSeconds", 30), _whole(body, "intervalSeconds", 2), wait)
        request = Request(
            intent=intent,
            by=by,
            trace_id=_text(body, "traceId", _MOST_NAME) or asked.trace_id or new_trace(),
            idempotency_key=key or f"{intent}-{self.clock() // 1000}-{os.getpid()}",
            note=_text(body, "note", _MOST_NOTE),
            confirm=confirm,
            patience=patience,
        )
        return _Wanted(request, key, self._principal(by))

    def _principal(self, by: str) -> Principal:
        """Return who acts: whoever started the service, or the machine that the caller says it is."""
        try:
            named = Principal.parse(by)
        except MalformedPrincipal:
            return self.principal
        return self.principal if named.kind is PrincipalKind.HUMAN else named

    def _once(self, asked: Asked, places: LoopPlaces, wanted: _Wanted) -> Response:
        request = wanted.request
        if wanted.key is None:
            return self._carry_out(places, wanted, lambda: None)
        bound = Bound.of(
            places.loop, request.intent, {"by": request.by, "note": request.note, "confirm": request.confirm}
        )
        try:
            return idempotency.once(
                places,
                wanted.key,
                bound,
                lambda begin: self._carry_out(places, wanted, begin),
                _lost(places, request),
                again=asked.headers.get(AGAIN.lower(), "1") != "1",
                stopping=self.stopping.is_set,
                clock=self.clock,
            )
        except files.FileUnwritten as error:
            raise Unrecorded(error.message) from None

    def _carry_out(self, places: LoopPlaces, wanted: _Wanted, begin: Callable[[], None]) -> Response:
        request = wanted.request
        transport = _Here(LocalTransport(Runtime.of(self.root, self.environment)), begin, self.stopping)
        try:
            if self.stopping.is_set():
                raise ServiceStopping
            done = control.control(
                places,
                request,
                transport,
                lambda: confirmation.observed(places),
                wanted.principal,
                thawed=self.thawed,
                clock=self.clock,
            )
        except Stopped:
            return _lost(places, request)
        except files.FileUnwritten as error:
            if not transport.begun:
                raise Unrecorded(error.message) from None
            return _lost(places, request, error.message)
        with suppress(InterlockError, OSError):  # it was done and recorded
            self.controlled(places, done.document)
        status = {0: 200, 2: 409}.get(done.exit_code, 500)
        return Response(status, _response(done.document, done.exit_code, request.trace_id))


class Unrecorded(Unreachable):
    """What can not be recorded is not begun."""

    code = "unrecorded"


class _Wanted(NamedTuple):
    request: Request
    key: str | None
    principal: Principal


class _Here:
    """The runtime of this machine; says before it is called, and minds that the service stops."""

    def __init__(self, way: LocalTransport, begin: Callable[[], None], stopping: threading.Event) -> None:
        self._way, self._begin, self._stopping = way, begin, stopping
        self.begun = False

    @property
    def name(self) -> str:
        return self._way.name

    def carry_out(self, places: LoopPlaces, request: Request) -> Carried:
        self._begin()
        self.begun = True
        carried = self._way.carry_out(places, request)
        if self._stopping.is_set() and carried.done.exit_code == _KILLED:
            raise Stopped
        return carried


def _lost(places: LoopPlaces, request: Request, why: str | None = None) -> Response:
    """Return what is true where nobody knows how it ended."""
    result = {
        "timestamp": stamp(system_clock() // 1000),
        "loopId": places.loop,
        "intent": request.intent,
        "traceId": request.trace_id,
        "requestedBy": request.by,
        "transport": "local",
        "status": "ambiguous",
        "idempotencyKey": request.idempotency_key,
        "exitCode": 2,
        "confirmExitCode": 1,
        "confirmed": False,
    }
    return Response(409, stripped(_response(result, 2, request.trace_id) | {"stderr": why}))


def _response(result: Document, exit_code: int, trace_id: str) -> Document:
    return {"ok": exit_code == 0, "exitCode": exit_code, "result": result, "replayed": False, "traceId": trace_id}


# --- what is asked ----------------------------------------------------------------------------------------------------


def _one(query: Mapping[str, list[str]], name: str) -> str | None:
    values = query.get(name, [])
    if len(values) > 1:
        raise RequestInvalid(f"{name} is named more than once")
    return values[0] if values else None


def _number(query: Mapping[str, list[str]], name: str) -> int | None:
    value = _one(query, name)
    if value is None:
        return None
    if not _DIGITS.fullmatch(value):
        raise RequestInvalid(f"{name} must be a whole number, 0 or more")
    return int(value)


def _position(asked: Asked) -> Document | None:
    given = asked.headers.get(POSITION.lower())
    return None if given is None else files.parsed(given.encode("latin-1", "replace"))


def _body(data: bytes) -> Document | Answered:
    found = files.parsed(data)
    if found is not None:
        return found
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return failure(400, "invalid_json", "the body is no JSON")
    return failure(400, "invalid_request", "the body is no JSON object")


def _text(body: Document, name: str, most: int) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > most or "\0" in value or not _is_text(value):
        raise RequestInvalid(f"{name} must be a text of at most {most} characters")
    return value or None


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _flag(body: Document, name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise RequestInvalid(f"{name} must be true or false")
    return value


def _whole(body: Document, name: str, default: int) -> int:
    value = body.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_PATIENCE:
        raise RequestInvalid(f"{name} must be a whole number up to {MOST_PATIENCE}")
    return value


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


# --- what is answered when it does not work ---------------------------------------------------------------------------


def failure(status: int, code: str, message: str, headers: Mapping[str, str] | None = None, **more: Any) -> Answered:  # noqa: ANN401 - JSON
    """Return an error as the contract has it."""
    return Answered(status, {"ok": False, "error": {"code": code, "message": message, **more}}, headers or {})


def refusal(error: InterlockError) -> Answered:
    """Return an error of ours: what could not be read is a runtime error, and `reason` says which."""
    if isinstance(error, RequestInvalid | idempotency.IdempotencyKeyInvalid):
        return failure(400, RequestInvalid.code, error.message)
    if isinstance(error, Unreachable | idempotency.IdempotencyUnreadable):
        return failure(503, error.code, error.message)
    status = getattr(error, "status", None)
    if isinstance(error, Refused):
        return failure(status if isinstance(status, int) else 403, error.code, error.message)
    if isinstance(error, Conflict) and not isinstance(error, CursorBeyondEnd):
        return failure(409, error.code, error.message)
    return failure(502, "runtime_error", error.message, reason=error.code)
