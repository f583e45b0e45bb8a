"""What an agent prints, read from its two pipes by whoever wants it, and let go of safely from any thread."""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Stream = Literal["stdout", "stderr"]

_CHUNK_BYTES = 65536


class Output:
    """The reading ends of the agent's stdout and stderr.

    An escaped process (possible without namespaces) could hold them open for ever, so their end of file is not what
    ends the reading: once the tree is known to have ended, what is in the pipes is read, and that was it.
    """

    def __init__(self, pipes: dict[int, Stream]) -> None:
        """Take the descriptors over; they are closed by `close`."""
        self._open = dict(pipes)
        self._reading = threading.Lock()
        self._waking = threading.Lock()
        wake_read, wake = os.pipe()
        self._wake_read, self._wake = [wake_read], [wake]  # empty once closed
        self._stopped = False
        for pipe in pipes:
            os.set_blocking(pipe, False)

    def chunks(self) -> Iterator[tuple[Stream, bytes]]:
        """Yield (stream, bytes) as they come, at most 64 KiB each, until `finish`, `close` or both ends of file."""
        while True:
            with self._reading:
                chunks = [] if self._stopped else self._read()
            if not chunks:
                return
            yield from chunks

    def _read(self) -> list[tuple[Stream, bytes]]:
        """Wait for output and return it; nothing when there will be no more."""
        while self._open:
            poller = select.poll()
            for pipe in (*self._open, *self._wake_read):
                poller.register(pipe, select.POLLIN)
            ready = {pipe for pipe, _ in poller.poll()}
            chunks = [chunk for pipe in ready & self._open.keys() if (chunk := self._take(pipe))]
            if chunks or ready.intersection(self._wake_read):
                return chunks
        return []

    def _take(self, pipe: int) -> tuple[Stream, bytes] | None:
        try:
            data = os.read(pipe, _CHUNK_BYTES)
        except BlockingIOError:
            return None
        if data:
            return self._open[pipe], data
        del self._open[pipe]
        os.close(pipe)
        return None

    def finish(self) -> None:
        """Let the reading end as soon as the pipes are empty: nobody is left to fill them."""
        self._rouse()

    def close(self) -> None:
        """End the reading now, in whichever thread it is, and close the pipes; what was not read is lost."""
        self._stopped = True
        self._rouse()
        with self._reading, self._waking:
            for pipe in (*self._open, *self._wake_read, *self._wake):
                os.close(pipe)
            self._open.clear()
            self._wake.clear()
            self._wake_read.clear()

    def _rouse(self) -> None:
        """Wake the reader for good: the byte stays in the pipe."""
        with self._waking:
            for wake in self._wake:
                os.write(wake, b".")
