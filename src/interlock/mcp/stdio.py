"""MCP over stdin and stdout: one client, for as long as it stays. stdout is the protocol's alone."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self, cast

import anyio
import mcp_types as types
from anyio import to_thread
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import NotificationOptions
from mcp.server.session import ServerSession
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import ResourcesListChanged, ResourceUpdated, ServerEvent
from mcp.shared.message import SessionMessage
from pydantic_core import from_json

from interlock.kernel.errors import InterlockError
from interlock.kernel.ids import UlidSource
from interlock.mcp.changes import Hub
from interlock.mcp.errors import ArgumentInvalid
from interlock.mcp.ports import Bridge, Caller, Changes
from interlock.mcp.resources import checked_uri
from interlock.mcp.server import Callers, Profile, Watching, create_server, failure, key_of, listener

_MOST_BYTES = 2 * 1024 * 1024
"""Of one message, as over HTTP."""
_MOST_WATCHED = 256
_LASTS = "subscriptions/listen"
"""What is answered for as long as the client stays."""
_LAST_SECONDS = 1.0
"""So long what was asked is still answered once nobody asks any more; clients end a server after some two seconds."""


def serve(bridge: Callable[[str], Bridge], changes: Changes, correlation_id: str | None) -> None:
    """Serve whoever is at stdin until that ends; `bridge` makes the product for a request with its correlation id."""
    anyio.run(_serve, bridge, changes, correlation_id)


async def _serve(bridge: Callable[[str], Bridge], changes: Changes, correlation_id: str | None) -> None:
    new_ulid = UlidSource()

    def caller(context: ServerRequestContext[Any, Any]) -> Caller:
        own = correlation_id or f"mcp-{new_ulid()}"
        return Caller(bridge(own), own, refused=_unsaid, key=key_of(context))

    hub = Hub(changes)
    watcher = _Watcher(hub, caller)
    server = create_server(Profile(caller, hub, listener(hub)), Watching(watcher.subscribe, watcher.unsubscribe))
    server.add_notification_handler("notifications/initialized", types.NotificationParams, watcher.begin)
    options = server.create_initialization_options(NotificationOptions(resources_changed=True))
    lines = _Lines(sys.stdin.buffer)
    stdin = cast("anyio.AsyncFile[str]", lines)
    async with stdio_server(stdin=stdin) as (reading, writing), hub.running(), watcher.running():
        answers = _Answers(writing)
        lines.begin(answers)
        await server.run(reading, answers, options)


def _unsaid(code: str, deed: str) -> None:
    """Log no denial: rooms log their own, and a workspace of this machine proves nobody."""
    del code, deed


class _Writing(Protocol):
    async def send(self, item: SessionMessage, /) -> None: ...

    async def aclose(self) -> None: ...


class _Answers:
    """The messages to stdout. It knows which requests wait for theirs, because the SDK drops them when stdin ends."""

    def __init__(self, writing: _Writing) -> None:
        self.writing = writing
        self._waiting: set[types.RequestId] = set()
        self._changed = anyio.Event()

    def note(self, asked: types.JSONRPCMessage) -> None:
        """Note a message that came: a request waits from now on, one that was called off does not any more."""
        if isinstance(asked, types.JSONRPCRequest) and asked.method != _LASTS:
            self._waiting.add(asked.id)
        elif isinstance(asked, types.JSONRPCNotification) and asked.method == "notifications/cancelled":
            self._waiting.discard((asked.params or {}).get("requestId", ""))

    async def send(self, item: SessionMessage, /) -> None:
        """Send a message."""
        await self.writing.send(item)
        if isinstance(item.message, types.JSONRPCResponse | types.JSONRPCError) and item.message.id is not None:
            self._waiting.discard(item.message.id)
            self._changed.set()

    async def all(self) -> None:
        """Wait until every request is answered, but not for long."""
        with anyio.move_on_after(_LAST_SECONDS):
            while self._waiting:
                self._changed = anyio.Event()
                await self._changed.wait()

    async def aclose(self) -> None:
        """Send nothing more."""
        await self.writing.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()


class _Lines:
    """The messages of stdin, a line each; one that is too long is not kept, and is no JSON.

    What is no message is answered here: the SDK drops it, and whoever sent it would wait.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._begun = anyio.Event()
        self._answers: _Answers | None = None

    def begin(self, answers: _Answers) -> None:
        """Begin to read; `answers` is where they go."""
        self._answers = answers
        self._begun.set()

    async def __aiter__(self) -> AsyncIterator[str]:
        await self._begun.wait()
        while line := await to_thread.run_sync(self._next, abandon_on_cancel=True):
            text = line.decode("utf-8", "replace").strip()
            try:
                message = types.jsonrpc_message_adapter.validate_json(text, by_name=False)
            except ValueError:
                await self._refuse(text)
            else:
                if self._answers is not None:
                    self._answers.note(message)
                yield text
        if self._answers is not None:
            await self._answers.all()

    async def _refuse(self, text: str) -> None:
        refused = _refusal(text)
        if refused is not None and self._answers is not None:
            with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
                await self._answers.writing.send(SessionMessage(refused))

    def _next(self) -> bytes:
        line = self._stream.readline(_MOST_BYTES)
        if len(line) < _MOST_BYTES or line.endswith(b"\n"):
            return line
        while (rest := self._stream.readline(_MOST_BYTES)) and not rest.endswith(b"\n"):
            pass
        return b"too long\n"


def _refusal(text: str) -> types.JSONRPCError | None:
    """Return what is answered to a line that is no message; None to an empty one, and to an answer gone wrong."""
    if not text:
        return None
    try:
        read: Any = from_json(text)
    except ValueError:
        return _error(None, types.PARSE_ERROR, "this is not JSON, or too long")
    asked = cast("dict[str, Any]", read) if isinstance(read, dict) else {}
    if "method" not in asked and ("result" in asked or "error" in asked):
        return None
    given = asked.get("id")
    known = isinstance(given, str | int) and not isinstance(given, bool)
    return _error(given if known else None, types.INVALID_REQUEST, "this is no message of JSON-RPC 2.0")


def _error(given: str | int | None, code: int, said: str) -> types.JSONRPCError:
    return types.JSONRPCError(jsonrpc="2.0", id=given, error=types.ErrorData(code=code, message=said))


class _Watcher:
    """Tells a client of 2025, whose connection lasts, of what it watches; one of 2026 opens a stream for that."""

    def __init__(self, hub: Hub, callers: Callers) -> None:
        self._hub, self._callers = hub, callers
        self._watched: set[str] = set()
        self._untold: dict[ServerEvent, None] = {}
        """What has changed and is not told yet, each once: a client that reads slowly misses nothing."""
        self._rung = anyio.Event()
        self._begun = anyio.Event()
        self._session: ServerSession | None = None

    async def begin(self, context: ServerRequestContext[Any, Any], params: types.NotificationParams) -> None:
        """Begin to tell."""
        del params
        self._session = context.session
        self._begun.set()

    async def subscribe(
        self, context: ServerRequestContext[Any, Any], params: types.SubscribeRequestParams
    ) -> types.EmptyResult:
        """Watch a resource."""
        try:
            checked_uri(params.uri)
            if len(self._watched | {params.uri}) > _MOST_WATCHED:
                raise ArgumentInvalid(f"at most {_MOST_WATCHED} resources are watched by one client")
        except InterlockError as error:
            raise failure(error, self._callers(context).correlation_id) from None
        self._watched.add(params.uri)
        return types.EmptyResult()

    async def unsubscribe(
        self, context: ServerRequestContext[Any, Any], params: types.UnsubscribeRequestParams
    ) -> types.EmptyResult:
        """Watch it no more."""
        del context
        self._watched.discard(params.uri)
        return types.EmptyResult()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Tell, inside of this block."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tell)
            yield
            tasks.cancel_scope.cancel()

    async def _tell(self) -> None:
        await self._begun.wait()
        unsubscribe = self._hub.bus.subscribe(self._deliver)
        try:
            async with self._hub.heard():
                while True:
                    await self._rung.wait()
                    self._rung = anyio.Event()
                    while self._untold:
                        event = next(iter(self._untold))
                        del self._untold[event]
                        await self._send(event)
        finally:
            unsubscribe()

    def _deliver(self, event: ServerEvent) -> None:
        if not isinstance(event, ResourceUpdated) or event.uri in self._watched:
            self._untold[event] = None
            self._rung.set()

    async def _send(self, event: ServerEvent) -> None:
        if self._session is None:
            return
        if isinstance(event, ResourcesListChanged):
            await self._session.send_resource_list_changed()
        elif isinstance(event, ResourceUpdated):
            await self._session.send_resource_updated(event.uri)
