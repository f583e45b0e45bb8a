"""MCP over HTTP, as an application to be mounted behind the gate: each request acts as its own token's principal.

Nothing is kept between two requests. The SDK is loaded with the first one: it costs more than a whole server's start.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import logging
import re
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from interlock.access.errors import TokenInvalid
from interlock.access.models import Identity, Role
from interlock.mcp.errors import BearerNeeded, ForeignHost, ForeignPage
from interlock.mcp.ports import Caller, Changes

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from interlock.mcp.changes import Hub
    from interlock.mcp.exchange import Exchange
    from interlock.mcp.server import Profile

_LOG = logging.getLogger("interlock.mcp")
PATH = "/mcp"
_BEGAN = time.monotonic()
_LONG = (b"progressToken", b"wait_seconds")
"""What asks to be told meanwhile, or may take long: it gets a stream, which stays alive behind proxies."""
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::(\d{1,5}))?")


def _operators() -> type[Profile]:
    from interlock.mcp.server import Profile  # noqa: PLC0415 - with the first request

    return Profile


class Mounted:
    """Serves MCP to whoever the gate has let through."""

    def __init__(
        self, changes: Changes, names: Sequence[str], profile: Callable[[], type[Profile]] = _operators
    ) -> None:
        """Take the log, the names under which clients reach the server besides this machine's own, and what it offers.

        `profile` loads that with the first request; the conformance suite brings one of its own.
        """
        self._changes, self._profile = changes, profile
        self._names = frozenset(name.lower() for name in names)
        self._beginning = asyncio.Lock()
        self._ways: _Ways | None = None
        self._hub: Hub | None = None
        self._listening: Any = None
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = Headers(scope=scope)
        check_origin(headers, self._names)
        if scope["state"]["identity"].session_id is not None:
            raise BearerNeeded
        if scope["method"] != "POST":
            raise HTTPException(405, "MCP is called by POST here; nothing is kept between two calls", {"Allow": "POST"})
        scope["state"]["reads"] = True
        body = await _body(receive)
        ways = self._ways or await self._begin()
        again = _again(body, receive)
        if any(word in body for word in _LONG):
            await ways.streaming.handle_request(scope, again, send)
        elif not await ways.plain.answered(body, scope, again, send):
            await ways.quick.handle_request(scope, again, send)

    def end(self) -> None:
        """Let everybody go who waits; called from the event loop."""
        if self._hub is not None:
            self._hub.end()
            self._listening.close()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Serve inside of this block."""
        try:
            yield
        finally:
            self._stop.set()
            if self._task is not None:
                await asyncio.wait({self._task})

    async def _begin(self) -> _Ways:
        async with self._beginning:
            if self._ways is None:
                ready: asyncio.Future[_Ways] = asyncio.get_running_loop().create_future()
                await to_thread.run_sync(_load)
                self._task = asyncio.create_task(self._run(ready))
                self._task.add_done_callback(partial(self._ended, ready))
                self._ways = await ready
        return self._ways

    def _ended(self, ready: asyncio.Future[_Ways], task: asyncio.Task[None]) -> None:
        """Let nobody wait for what has failed; the next request begins anew."""
        self._ways = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("MCP can not be served: it is begun anew", exc_info=error)
            if not ready.done():
                ready.set_exception(error)
        ready.cancel()

    async def _run(self, ready: asyncio.Future[_Ways]) -> None:
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager  # noqa: PLC0415 - loaded by now

        from interlock.mcp.changes import Hub  # noqa: PLC0415 - the same
        from interlock.mcp.exchange import Exchange  # noqa: PLC0415 - the same
        from interlock.mcp.server import create_server, listener  # noqa: PLC0415 - the same

        self._hub = Hub(self._changes)
        self._listening = listener(self._hub)
        server = create_server(self._profile()(_caller, self._hub, self._listening))
        # Which name is called we have checked already: the SDK's check knows no addresses but those that it is told.
        quick = StreamableHTTPSessionManager(server, stateless=True, json_response=True)
        streaming = StreamableHTTPSessionManager(server, stateless=True)
        async with self._hub.running(), server.lifespan(server) as state, quick.run(), streaming.run():
            ready.set_result(_Ways(Exchange(server, state), quick, streaming))
            await self._stop.wait()


class _Ways(NamedTuple):
    """How a request is answered."""

    plain: Exchange
    """With one body and no streams at all, where that is enough."""
    quick: StreamableHTTPSessionManager
    """The SDK's way with one body, which costs half as much as a stream."""
    streaming: StreamableHTTPSessionManager
    """With a stream, for what takes long."""


async def _body(receive: Receive) -> bytes:
    """Read a request's body; the gate has bounded it."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Give the body a second time, then whatever comes behind it."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receiving() -> Message:
        return waiting.pop() if waiting else await receive()

    return receiving


def _load() -> None:
    for name in ("mcp.server.streamable_http_manager", "interlock.mcp.exchange", "interlock.mcp.house"):
        importlib.import_module(name)


def _caller(context: Any) -> Caller:  # noqa: ANN401 - the SDK's own, which is not loaded here
    from interlock.mcp.house import HouseBridge  # noqa: PLC0415 - loaded by now
    from interlock.mcp.server import key_of  # noqa: PLC0415 - the same

    scope: Scope = context.request.scope
    call, identity = scope["state"]["call"], cast("Identity", scope["state"]["identity"])
    bearer = context.request.headers.get("authorization", "").partition(" ")[2].strip()

    def still() -> None:
        now = call.house.access.known(bearer) or call.house.access.identify(bearer)
        if (now.token_id, now.principal, now.role) != (identity.token_id, identity.principal, identity.role):
            raise TokenInvalid

    bridge = HouseBridge(
        house=call.house,
        actor=call.actor,
        role=Role(call.level),
        wrote=call.wrote,
        still=still,
        began=_BEGAN,
        beside=getattr(scope["app"].state, "beside", ()),
    )
    return Caller(
        bridge,
        call.actor.correlation_id,
        refused=lambda code, deed: call.house.access.refused(call.actor, code=code, deed=deed),
        noted=lambda: scope["state"].update(reads=False),
        key=key_of(context),
    )


def check_origin(headers: Headers, names: frozenset[str]) -> None:
    """Refuse a name that is not ours, and pages of other sites; raises `ForeignHost`, `ForeignPage`.

    A page can make a browser call a name that leads here (DNS rebinding), but no address that it did not come from.
    """
    host = headers.get("host", "").lower()
    if not _is_ours(host, names):
        raise ForeignHost
    origin = headers.get("origin")
    if origin is None:
        return
    scheme, _, place = origin.lower().partition("://")
    if scheme not in {"http", "https"} or not (place == host or _is_loopback(place)):
        raise ForeignPage


def _is_ours(host: str, names: frozenset[str]) -> bool:
    name = _name(host)
    return name is not None and (name == "localhost" or name in names or _address(name) is not None)


def _is_loopback(place: str) -> bool:
    name = _name(place)
    found = None if name is None else _address(name)
    return name == "localhost" or (found is not None and found.is_loopback)


def _name(place: str) -> str | None:
    match = _HOST.fullmatch(place)
    return None if match is None else match[1]


@lru_cache(maxsize=64)
def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return None
