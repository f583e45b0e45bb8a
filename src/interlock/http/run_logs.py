"""`GET /ops/runs/{run_id}/log/stream`: a run's log as it is written, over server-sent events.

The id of an event is its line's number, so who was cut off goes on from there. One follower looks at each log that
somebody watches, however many do; they are served from its last lines in memory, or page by page from the database
where they begin earlier. It looks less often at a log that is quiet. When the run has ended and everything was sent,
an event `end` says so and the stream closes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Protocol

from anyio import to_thread
from fastapi import Header, Query, Request

from interlock.doors.api import Door, Here, house, needs, problems
from interlock.http.live import Event, EventStream, Tail
from interlock.kernel.errors import Invalid, Unreachable
from interlock.kernel.ids import checked
from interlock.runs.models import ENDED, LogLine
from interlock.runs.service import Runs
from interlock.runs.shown import show_line

_MOST_LOGS = 64
_KEPT = 256
"""Lines of each log in memory; a line has at most 16 KiB."""
_PAGE = 100
_SLOWEST_SECONDS = 1.0

door = Door("/ops/runs", "runs")


class TooManyLogs(Unreachable):
    """More logs are watched at once than this server follows."""

    code = "too_many_logs"
    default_hint = "read it page by page: GET /ops/runs/{run_id}/log?after=N"


class _House(Protocol):
    @property
    def runs(self) -> Runs: ...


class _Lines:
    """A run's log as `Tail` reads one: line n is event n; 0, which no line has, is the beginning."""

    def __init__(self, runs: Runs, run_id: str) -> None:
        self._runs, self._run_id = runs, run_id
        self._correlation_id = runs.get(run_id).correlation_id
        self.over = False

    def size(self) -> int:
        """Return the number behind the last line's."""
        found = self._runs.log(self._run_id, limit=1, last=True)
        return found[-1].line + 1 if found else 1

    def events(self, start: int, limit: int) -> Sequence[Event]:
        """Return lines from a number on; notes when there is nothing more to come."""
        lines = self._read(start, limit)
        if not lines and self._runs.get(self._run_id).status in ENDED:
            lines = self._read(start, limit)  # once more: its last line may be older than its end
            self.over = not lines
        return [(line.line, show_line(line, self._correlation_id)) for line in lines]

    def _read(self, start: int, limit: int) -> Sequence[LogLine]:
        return self._runs.log(self._run_id, after=max(0, start - 1), limit=limit)


class RunTail(Tail):
    """The end of one run's log, and a bell for those who watch it."""

    def __init__(self, runs: Runs, run_id: str) -> None:
        """Take the run; reads it."""
        self._lines = _Lines(runs, run_id)
        super().__init__(self._lines, kept=_KEPT)
        self.size = self._lines.size()
        self.watchers = 0

    @property
    def page(self) -> int:
        """Return how many lines go out at once."""
        return _PAGE

    @property
    def over(self) -> bool:
        """Say whether the run has ended and all its lines were seen."""
        return self._lines.over

    def frame(self, index: int, event: Mapping[str, Any]) -> str:
        """Write a line as it is sent."""
        return f"id: {index}\nevent: line\ndata: {json.dumps(event)}\n\n"

    async def rest(self, pause: float) -> float:
        """Wait longer and longer while nothing comes; lets watchers see that it is over."""
        if self.over:
            self.ring()
        await asyncio.sleep(pause)
        return min(pause * 1.5, _SLOWEST_SECONDS)


class Watched:
    """The logs that somebody watches now, each followed once."""

    def __init__(self) -> None:
        """Begin with none."""
        self._tails: dict[str, RunTail] = {}
        self.ended = False

    def end(self) -> None:
        """Let everybody go who watches; called from the event loop."""
        self.ended = True
        for tail in self._tails.values():
            tail.end()

    def __len__(self) -> int:
        """Return how many logs are followed."""
        return len(self._tails)

    def admit(self, run_id: str) -> None:
        """Raise `TooManyLogs` unless a log can be watched."""
        if run_id not in self._tails and len(self._tails) >= _MOST_LOGS:
            raise TooManyLogs

    @asynccontextmanager
    async def watching(self, run_id: str, made: RunTail) -> AsyncGenerator[RunTail]:
        """Follow a log as long as somebody watches it: by what follows it already, or by what was made for it."""
        tail = self._tails.get(run_id)
        if tail is None or tail.over:  # one that is over tells nothing of a run that is done anew
            tail = self._tails[run_id] = made
        tail.watchers += 1
        try:
            if tail is made:
                tail.begin()
            yield tail
        finally:
            tail.watchers -= 1
            if tail.watchers == 0:
                if self._tails.get(run_id) is tail:
                    del self._tails[run_id]
                tail.stop()


@door.get(
    "/{run_id}/log/stream",
    response_class=EventStream,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "Events `line`, and `end` behind the last."},
        **problems(404),
    },
)
@needs("actions")
async def follow_log(
    call: Here,
    request: Request,
    run_id: str,
    after: Annotated[int, Query(ge=0, le=2**53, description="Begin behind this line.")] = 0,
    last_event_id: Annotated[str | None, Header(description="As `after`; a browser sends it by itself.")] = None,
) -> EventStream:
    """Follow a run's log: the id of each event is its line's number."""
    runs = house(call, _House).runs
    checked(run_id, "r")
    start = _start(last_event_id, after)
    tail = await to_thread.run_sync(RunTail, runs, run_id)
    watched: Watched = request.app.state.watched
    if getattr(request.state, "head", False):
        return EventStream(_none(), headers={"X-Accel-Buffering": "no"})
    watched.admit(run_id)
    return EventStream(_sent(watched, run_id, tail, start), headers={"X-Accel-Buffering": "no"})


def _start(last: str | None, after: int) -> int:
    if last is None:
        return after + 1
    if not (last.isascii() and last.isdigit() and len(last) < 16):
        raise Invalid("Last-Event-ID is the number of a line")
    return int(last) + 1


async def _none() -> AsyncIterator[str]:
    """Send nothing: who asks by HEAD does not follow."""
    return
    yield ""


async def _sent(watched: Watched, run_id: str, made: RunTail, start: int) -> AsyncIterator[str]:
    async with watched.watching(run_id, made) as tail:
        yield "retry: 2000\n\n"
        while not (tail.ended or watched.ended):
            frames = () if tail.over and start >= tail.size else await tail.after(start)
            if frames:
                yield "".join(text for _, text in frames)
                start = frames[-1][0] + 1
            elif not tail.over:
                yield ": alive\n\n"
            elif not tail.ended:  # everything was sent, or the rest has gone into the archive
                yield 'event: end\ndata: {"status":"ended"}\n\n'
                return
