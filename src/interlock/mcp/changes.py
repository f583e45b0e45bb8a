"""Who has to hear of what: entries of the log as changes of resources, and the one task that follows it for all."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
from anyio.abc import TaskGroup
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
)

from interlock.kernel.errors import InterlockError
from interlock.kernel.ids import has_prefix, with_prefix
from interlock.mcp.ports import Change, Changes

_LOG = logging.getLogger("interlock.mcp")
_PAUSE_SECONDS = 2.0
_LISTED = frozenset({"draft.approved", "approval.revoked", "content.erased"})
_COUNTED = ("item.", "run.", "queue.", "panic.", "bulk.")


def events_of(changes: Sequence[Change]) -> Iterator[ServerEvent]:
    """Say which resources have changed, each once."""
    told: dict[ServerEvent, None] = {}
    for change in changes:
        told.update(dict.fromkeys(_events(change)))
    yield from told


def _events(change: Change) -> Iterator[ServerEvent]:
    if change.kind == "plan.set":
        yield ResourceUpdated("ops://plan")
    if change.kind in _LISTED:
        yield ResourcesListChanged()
        yield ResourceUpdated("ops://approved")
        if has_prefix(change.subject, "d") or has_prefix(change.subject, "a"):
            yield ResourceUpdated(f"ops://approved/{with_prefix(change.subject, 'a')}")
    if change.kind.startswith("run.") and has_prefix(change.subject, "r"):
        yield ResourceUpdated(f"ops://runs/{change.subject}")
    if change.kind.startswith(_COUNTED):
        yield ResourceUpdated("ops://context")


class Hub:
    """Follows the log as long as anybody waits for something, and not a moment longer."""

    def __init__(self, changes: Changes) -> None:
        """Take the log; it is not looked at yet."""
        self._changes = changes
        self._tasks: TaskGroup | None = None
        self._following: anyio.CancelScope | None = None
        self._ready = anyio.Event()
        self._wanted = 0
        self._heard: dict[object, Callable[[Sequence[Change]], None]] = {}
        self.bus = InMemorySubscriptionBus()
        self.ended = False

    def end(self) -> None:
        """Let everybody go who waits."""
        self.ended = True
        for hear in list(self._heard.values()):
            hear(())

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Let the log be followed inside of this block."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                yield
            finally:
                self._tasks = None
                tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def heard(self, hear: Callable[[Sequence[Change]], None] | None = None) -> AsyncGenerator[None]:
        """Have the log followed inside of this block; `hear` is told at once, of nothing at the end."""
        token = object()
        if hear is not None:
            self._heard[token] = hear
        self._wanted += 1
        try:
            self._begin()
            with anyio.move_on_after(_PAUSE_SECONDS):
                await self._ready.wait()
            yield
        finally:
            self._heard.pop(token, None)
            self._wanted -= 1
            if self._wanted == 0 and self._following is not None:
                self._following.cancel()
                self._following = None

    def _begin(self) -> None:
        if self._following is None and self._tasks is not None:
            self._following, self._ready = anyio.CancelScope(), anyio.Event()
            self._tasks.start_soon(self._follow, self._following, self._ready)

    async def _follow(self, scope: anyio.CancelScope, ready: anyio.Event) -> None:
        with scope:
            while True:
                try:
                    async with AsyncExitStack() as stack:
                        pages = await stack.enter_async_context(self._changes.follow())
                        ready.set()
                        async for changes in pages:
                            await self._tell(changes)
                except InterlockError as error:
                    _LOG.warning("the log can not be followed now: %s", error.message)
                except Exception:  # noqa: BLE001 - for all who wait, and for who comes later: it is tried again
                    _LOG.exception("the log can not be followed now")
                await anyio.sleep(_PAUSE_SECONDS)

    async def _tell(self, changes: Sequence[Change]) -> None:
        for hear in list(self._heard.values()):
            hear(changes)
        for event in events_of(changes):
            await self.bus.publish(event)
