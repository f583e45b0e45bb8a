"""MCP over stdin and stdout: one client, for as long as it stays. stdout is the protocol's alone."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, BinaryIO, cast

import anyio
import mcp_types as types
from anyio import to_thread
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import NotificationOptions
from mcp.server.session import ServerSession
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import ResourcesListChanged, ResourceUpdated, ServerEvent

from interlock.kernel.errors import InterlockError
from interlock.kernel.ids import UlidSource
from interlock.mcp.changes import Hub
from interlock.mcp.ports import Bridge, Caller, Changes
from interlock.mcp.resources import checked_uri
from interlock.mcp.server import Callers, Profile, Watching, create_server, failure, key_of, listener

_MOST_BYTES = 2 * 1024 * 1024
"""Of one message, as over HTTP."""
_MOST_WATCHED = 256
_MOST_WAITING = 1024


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
    stdin = cast("anyio.AsyncFile[str]", _Lines(sys.stdin.buffer))
    async with stdio_server(stdin=stdin) as (reading, writing), hub.running(), watcher.running():
        await server.run(reading, writing, options)


def _unsaid(code: str, deed: str) -> None:
    """Log no denial: rooms log their own, and a workspace of this machine proves nobody."""
    del code, deed


class _Lines:
    """The lines of stdin; one that is too long is not kept, and is no JSON."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[str]:
        while line := await to_thread.run_sync(self._next, abandon_on_cancel=True):
            yield line.decode("utf-8", "replace")

    def _next(self) -> bytes:
        line = self._stream.readline(_MOST_BYTES)
        if len(line) < _MOST_BYTES or line.endswith(b"\n"):
            return line
        while (rest := self._stream.readline(_MOST_BYTES)) and not rest.endswith(b"\n"):
            pass
        return b"too long\n"


class _Watcher:
    """Tells a client of 2025, whose connection lasts, of what it watches; one of 2026 opens a stream for that."""

    def __init__(self, hub: Hub, callers: Callers) -> None:
        self._hub, self._callers = hub, callers
        self._watched: set[str] = set()
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
        except InterlockError as error:
            raise failure(error, self._callers(context).correlation_id) from None
        if len(self._watched) < _MOST_WATCHED:
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
        waiting, told = anyio.create_memory_object_stream[ServerEvent](_MOST_WAITING)

        def deliver(event: ServerEvent) -> None:
            if not isinstance(event, ResourceUpdated) or event.uri in self._watched:
                waiting.send_nowait(event)

        unsubscribe = self._hub.bus.subscribe(deliver)
        try:
            async with self._hub.heard():
                async for event in told:
                    await self._send(event)
        finally:
            unsubscribe()

    async def _send(self, event: ServerEvent) -> None:
        if self._session is None:
            return
        if isinstance(event, ResourcesListChanged):
            await self._session.send_resource_list_changed()
        elif isinstance(event, ResourceUpdated):
            await self._session.send_resource_updated(event.uri)
