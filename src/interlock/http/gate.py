"""What stands before every route: correlation id, token, throttling. Pure ASGI: a refusal costs nothing else."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Protocol

from anyio import CapacityLimiter, to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interlock.access.api import COOKIE
from interlock.access.errors import ForeignOrigin, MalformedCorrelationId
from interlock.access.models import Actor, Identity, checked_correlation_id
from interlock.access.throttle import Decision
from interlock.doors.api import ApiCall
from interlock.http.problems import problem, status_of
from interlock.kernel.errors import InterlockError

_LOG = logging.getLogger("interlock.http")
OPEN = frozenset({"/", "/health", "/favicon.ico"})
"""What answers without a token; nothing there is secret."""
MAX_BODY_BYTES = 2 * 1024 * 1024
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_PROVING = 8
"""How many callers are proven at the same time, in threads of their own: slow requests hold nobody up here."""
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


class Access(Protocol):
    """What the gate asks of the access room."""

    def known(self, text: str) -> Identity | None:
        """Prove a token of the environment, without waiting for anything."""
        ...

    def identify(self, text: str) -> Identity:
        """Prove a token; raises `TokenInvalid`, which says nothing about why."""
        ...

    def session(self, cookie: str) -> Identity:
        """Prove a browser's session."""
        ...

    def denied(self, source: str, correlation_id: str, reason: str) -> None:
        """Count a denial; a flood from one source becomes one event a minute."""
        ...


class Throttle(Protocol):
    """Decides who has asked too often."""

    def ask(self, principal: str) -> Decision:
        """Take one request of a principal."""
        ...

    def fail(self, source: str) -> Decision:
        """Take one bad token of an address."""
        ...

    def failed(self, source: str) -> Decision:
        """Say whether an address has sent too many bad tokens, without counting."""
        ...


@dataclass(frozen=True, slots=True)
class Gate:
    """Lets through who is proven, and says who it is."""

    app: ASGIApp
    _: KW_ONLY
    access: Access
    throttle: Throttle
    house: Any
    wrote: Callable[[], None]
    new_id: Callable[[], str]
    proving: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_PROVING))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        correlation_id = self._correlation(headers)
        state: dict[str, Any] = scope.setdefault("state", {})
        state["correlation_id"] = correlation_id
        answer = _Answer(send, scope, {"X-Correlation-ID": correlation_id, **_HEADERS})
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
            state["head"] = True
        try:
            await self._answer(scope, _bounded(receive, headers), answer, correlation_id)
        except ClientDisconnect:  # nobody is there any more to be answered
            pass
        finally:
            answer.log()

    async def _answer(self, scope: Scope, receive: Receive, answer: _Answer, correlation_id: str) -> None:
        if scope["method"] == "OPTIONS":
            await Response(status_code=204)(scope, receive, answer)
            return
        if scope["path"] in OPEN:
            await self.app(scope, receive, answer)
            return
        passed = await self._prove(scope, Headers(scope=scope), correlation_id)
        if isinstance(passed, Response):
            await passed(scope, receive, answer)
            return
        identity, allowed = passed
        answer.principal = str(identity.principal)
        answer.extra |= _limits(allowed)
        if not allowed.allowed:
            await _too_many(allowed, correlation_id)(scope, receive, answer)
            return
        scope["state"]["identity"] = identity
        scope["state"]["call"] = ApiCall(
            actor=Actor(principal=identity.principal, correlation_id=correlation_id),
            level=identity.role.value,
            house=self.house,
            wrote=self.wrote,
        )
        await self.app(scope, receive, answer)

    def _correlation(self, headers: Headers) -> str:
        given = headers.get("x-correlation-id") or headers.get("x-request-id")
        try:
            return checked_correlation_id(given) if given else self.new_id()
        except MalformedCorrelationId:
            return self.new_id()

    async def _prove(self, scope: Scope, headers: Headers, correlation_id: str) -> tuple[Identity, Decision] | Response:
        source = _source(scope)
        before = self.throttle.failed(source)
        try:
            identity = await self._identity(scope, headers)
        except InterlockError as error:
            if status_of(error) != 401:
                return _refusal(error, correlation_id)
            if not before.allowed:
                return _too_many(before, correlation_id)
            self.throttle.fail(source)
            await self._in_thread(self.access.denied, source, correlation_id, error.code)
            return _refusal(error, correlation_id)
        return identity, self.throttle.ask(f"{identity.principal}")

    async def _identity(self, scope: Scope, headers: Headers) -> Identity:
        given = headers.get("authorization")
        if given is not None:
            scheme, _, text = given.partition(" ")
            text = text.strip() if scheme.lower() == "bearer" else ""
            return self.access.known(text) or await self._in_thread(self.access.identify, text)
        cookie = _cookie(headers)
        if cookie is None:
            return await self._in_thread(self.access.identify, "")
        if scope["method"] not in _SAFE:
            _same_origin(headers)
        return await self._in_thread(self.access.session, cookie)

    async def _in_thread(self, ask: Callable[..., Any], *given: str) -> Any:  # noqa: ANN401 - whatever `ask` returns
        return await to_thread.run_sync(ask, *given, limiter=self.proving)


def _source(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def _cookie(headers: Headers) -> str | None:
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return None


def _same_origin(headers: Headers) -> None:
    """Refuse a change that another site makes with our visitor's cookie; the cookie is SameSite=Strict besides."""
    origin, host = headers.get("origin"), headers.get("host", "")
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise ForeignOrigin
    if origin is not None and origin.partition("://")[2] != host:
        raise ForeignOrigin


class _Answer:
    """Sends what is answered: with the headers that every answer has, without a body to HEAD, and into the log."""

    def __init__(self, send: Send, scope: Scope, extra: dict[str, str]) -> None:
        self._send, self._scope = send, scope
        self._head = scope["method"] == "HEAD"
        self._began = time.monotonic()
        self._status = 0
        self.extra = extra
        self.principal: str | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in self.extra.items():
                headers.setdefault(name, value)
        elif self._head:
            message = {**message, "body": b""}
        await self._send(message)

    def log(self) -> None:
        """Log what changed something or failed; who only reads is not followed."""
        reads = self._scope["method"] in _SAFE or self._scope["state"].get("reads", False)  # MCP reads by POST, too
        if reads and self._status < 400 and self._status:
            return
        _LOG.info(
            "%s %s",
            self._scope["method"],
            self._scope["path"],
            extra={
                "correlation_id": self.extra["X-Correlation-ID"],
                "principal": self.principal,
                "status": self._status or None,
                "duration_ms": round((time.monotonic() - self._began) * 1000, 1),
            },
        )


def _bounded(receive: Receive, headers: Headers) -> Receive:
    """Refuse a body that is too large, where it is read: before that come the token and the role."""
    told = headers.get("content-length", "0")
    left = MAX_BODY_BYTES

    async def receiving() -> Message:
        nonlocal left
        if len(told) > 10 or (told.isdecimal() and int(told) > MAX_BODY_BYTES):
            raise _too_large()
        message = await receive()
        if message["type"] == "http.request":
            left -= len(message.get("body", b""))
            if left < 0:
                raise _too_large()
        return message

    return receiving


def _too_large() -> HTTPException:
    return HTTPException(413, f"a body has at most {MAX_BODY_BYTES} bytes")


def _limits(decision: Decision) -> dict[str, str]:
    return {"RateLimit-Limit": str(decision.limit), "RateLimit-Remaining": str(decision.remaining)}


def _too_many(decision: Decision, correlation_id: str) -> Response:
    wait = max(1, round(decision.retry_after_seconds))
    return problem(
        429,
        "too_many_requests",
        "Too many requests",
        correlation_id=correlation_id,
        hint=f"wait {wait} s",
        headers={"Retry-After": str(wait)},
    )


def _refusal(error: InterlockError, correlation_id: str) -> Response:
    status = status_of(error)
    return problem(
        status,
        error.code,
        error.message,
        correlation_id=correlation_id,
        hint=error.hint,
        headers={"WWW-Authenticate": "Bearer"} if status == 401 else {},
    )
