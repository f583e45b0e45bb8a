"""An agent's output on its way to its reader: whole lines, bounded, without the secrets that the agent was handed."""

from __future__ import annotations

from collections.abc import Callable

from interlock.runs.agents.port import Reader, Said

MOST_BYTES = 1024 * 1024
"""A line that is longer is not read; in the log it is kept like every other."""


class Hearing:
    """Listens to one process."""

    def __init__(self, reader: Reader, hidden: Callable[[bytes], bytes]) -> None:
        """Take who reads, and what hides secrets."""
        self._reader = reader
        self._hidden = hidden
        self._open: dict[str, bytearray] = {}
        self._skipping: set[str] = set()

    def take(self, source: str, chunk: bytes) -> list[Said]:
        """Return what the lines that end in this chunk come to."""
        said: list[Said] = []
        *ends, rest = chunk.split(b"\n")
        for piece in ends:
            self._add(source, piece)
            line, skipped = bytes(self._open.pop(source, b"")), source in self._skipping
            self._skipping.discard(source)
            if skipped:
                said.append(Said(text=f"a line of more than {MOST_BYTES} bytes was not read", level="WARN"))
            else:
                said += self._read(line, source)
        self._add(source, rest)
        return said

    def end(self) -> list[Said]:
        """Return what lines without an end come to, and what the reader still has to say."""
        said: list[Said] = []
        for source, line in self._open.items():
            if line and source not in self._skipping:
                said += self._read(bytes(line), source)
        self._open.clear()
        return said + self._reader.end()

    def _read(self, line: bytes, source: str) -> list[Said]:
        try:
            return self._reader.take(self._hidden(line).decode("utf-8", "replace"), source)
        except Exception as error:  # noqa: BLE001 - no line that an agent prints may end its run
            return [Said(text=f"a line could not be read: {type(error).__name__}", level="WARN")]

    def _add(self, source: str, piece: bytes) -> None:
        if source in self._skipping:
            return
        line = self._open.setdefault(source, bytearray())
        if len(line) + len(piece) > MOST_BYTES:
            self._skipping.add(source)
            line.clear()
        else:
            line += piece
