"""`GET /ops/events`: every change as it happens, over server-sent events.

One tailer looks at the log and tells everybody that it has grown; each reader fetches what it has not had, from the
last thousand events in memory or from the database. So a slow reader costs nothing, and nothing is lost: it goes on
from the id that it names. Who takes nothing of what is sent is dropped (`protocol.py`).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import Annotated, Any, Protocol

from anyio import to_thread
from fastapi import Header, Query, Request
from starlette.responses import StreamingResponse

from interlock.doors.api import Door, Here, needs
from interlock.kernel.errors import InterlockError, Invalid

_LOG = logging.getLogger("interlock.http")
_LOOK_SECONDS = 0.1
_BEAT_SECONDS = 15.0
_KEPT = 1_000
_PAGE = 200

door = Door("/ops/events", "events")

Event = tuple[int, Mapping[str, Any]]
Frame = tuple[int, str]
"""An event as it is sent: written once, however many follow."""


class Log(Protocol):
    """The sealed log."""

    def size(self) -> int:
        """Return how many events there are."""
        ...

    def events(self, start: int, limit: int) -> Sequence[Event]:
        """Return events from a place on."""
        ...


class Tail:
    """The end of the log in memory, and a bell for those who wait for more."""

    def __init__(self, log: Log, *, kept: int = _KEPT) -> None:
        """Take the log, and how many of its last events are to be in memory."""
        self._log = log
        self._recent: deque[Frame] = deque(maxlen=kept)
        self._grown = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.size = 0
        self.ended = False

    def end(self) -> None:
        """Let everybody go who waits; called from the event loop."""
        self.ended = True
        self.ring()

    def ring(self) -> None:
        """Wake everybody who waits."""
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def begin(self) -> None:
        """Look at the log, from `size` on, until `stop`."""
        self._task = asyncio.create_task(self._look())

    def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Look at the log as long as the block lasts."""
        self.size = await to_thread.run_sync(self._log.size)
        self.begin()
        try:
            yield
        finally:
            self.stop()
            if self._task is not None:
                with suppress(asyncio.CancelledError):
                    await self._task

    async def after(self, start: int) -> Sequence[Frame]:
        """Return events from `start` on; waits for one, but not longer than a heartbeat."""
        if start >= self.size and not self.ended:
            grown = self._grown
            with suppress(TimeoutError):
                await asyncio.wait_for(grown.wait(), _BEAT_SECONDS)
        if start >= self.size or self.ended:
            return ()
        if self._recent and self._recent[0][0] <= start:
            offset = start - self._recent[0][0]
            return list(islice(self._recent, offset, offset + self.page))
        return await to_thread.run_sync(self._frames, start)

    @property
    def page(self) -> int:
        """Return how many events go out at once."""
        return _PAGE

    def frame(self, index: int, event: Mapping[str, Any]) -> str:
        """Write an event as it is sent."""
        return f"id: {index}\nevent: {event['kind']}\ndata: {json.dumps({'index': index, **event})}\n\n"

    async def rest(self, pause: float) -> float:
        """Wait until the next look at a log that has not grown; returns the pause after that."""
        await asyncio.sleep(pause)
        return pause

    def _frames(self, start: int) -> Sequence[Frame]:
        return [(index, self.frame(index, event)) for index, event in self._log.events(start, self.page)]

    async def _look(self) -> None:
        pause = _LOOK_SECONDS
        while True:
            try:
                frames = await to_thread.run_sync(self._frames, self.size)
            except InterlockError as error:
                _LOG.warning("the log can not be read now: %s", error.message)
                frames = ()
            if frames:
                self._recent.extend(frames)
                self.size = frames[-1][0] + 1
                self.ring()
                pause = _LOOK_SECONDS
            else:
                pause = await self.rest(pause)


class EventStream(StreamingResponse):
    """Server-sent events."""

    media_type = "text/event-stream"


@door.get(
    "",
    response_class=EventStream,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Events of the log, one by one."}},
)
@needs("actions")
async def follow(
    call: Here,
    request: Request,
    after: Annotated[int | None, Query(ge=-1, description="Begin behind this index; -1 for all there is.")] = None,
    last_event_id: Annotated[str | None, Header(description="As `after`; a browser sends it by itself.")] = None,
) -> EventStream:
    """Follow every change: the id of each event is its index in the log."""
    del call
    tail: Tail = request.app.state.tail
    start = _start(last_event_id, after, tail.size)
    lines = _none() if getattr(request.state, "head", False) else _lines(tail, start)
    return EventStream(lines, headers={"X-Accel-Buffering": "no"})


def _start(last: str | None, after: int | None, size: int) -> int:
    if last is not None:
        if not (last.isascii() and last.isdigit() and len(last) < 16):
            raise Invalid("Last-Event-ID is the index of an event")
        return int(last) + 1
    return size if after is None else after + 1


async def _none() -> AsyncIterator[str]:
    """Send nothing: who asks by HEAD does not follow."""
    return
    yield ""


async def _lines(tail: Tail, start: int) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    while not tail.ended:
        frames = await tail.after(start)
        if frames:
            yield "".join(text for _, text in frames)
            start = frames[-1][0] + 1
        elif not tail.ended:
            yield ": alive\n\n"
