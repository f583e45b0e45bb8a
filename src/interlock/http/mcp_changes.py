"""The log's tail, as MCP follows it: the one look at the log that is there already serves its streams, too."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from interlock.http.live import Tail
from interlock.mcp.ports import Change

_DATA = "data: "


@dataclass(frozen=True, slots=True)
class TailChanges:
    """What the tail tells, as changes."""

    tail: Tail

    @asynccontextmanager
    async def follow(self) -> AsyncGenerator[AsyncIterator[Sequence[Change]]]:
        """Follow it from its end on."""
        yield self._pages(self.tail.size)

    async def _pages(self, start: int) -> AsyncGenerator[Sequence[Change]]:
        while not self.tail.ended:
            frames = await self.tail.after(start)
            if frames:
                start = frames[-1][0] + 1
                yield [_change(text) for _, text in frames]


def _change(frame: str) -> Change:
    told = json.loads(frame[frame.index(_DATA) + len(_DATA) :])
    return Change(str(told["kind"]), str(told["subject"]))
