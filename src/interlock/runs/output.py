"""An agent's output on its way into the run's log: whole lines, bounded, without the secrets that it was handed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from interlock.kernel.clock import Clock
from interlock.runs.models import LogLine

_LINE_BYTES = 16 * 1024
_SECRET_CHARACTERS = 8
# Shorter values are words like `true` or `C.UTF-8`: replacing them would hide half the log and no secret.


class OutputLog:
    """Collects what is printed and hands it on in batches."""

    def __init__(
        self,
        write: Callable[[Sequence[LogLine]], None],
        *,
        now: Clock,
        limit_bytes: int,
        secrets: Mapping[str, str],
    ) -> None:
        """Take where lines go, and the values (by variable name) that must not be in them."""
        self._write = write
        self._now = now
        self._limit = limit_bytes
        self._secrets = {
            part.encode("utf-8", "surrogateescape"): f"[REDACTED:{name}]".encode()
            for name, value in secrets.items()
            for part in (value, *value.splitlines())  # a key of several lines is printed line by line
            if len(part) >= _SECRET_CHARACTERS
        }
        self._overlap = max(map(len, self._secrets), default=1) - 1
        self._lock = threading.Lock()
        self._open: dict[str, bytes] = {}
        self._lines: list[LogLine] = []
        self.total_bytes = 0
        self.exceeded = threading.Event()

    def take(self, source: str, chunk: bytes) -> None:
        """Add what was printed; beyond the limit nothing is kept, and `exceeded` is set."""
        with self._lock:
            room = self._limit - self.total_bytes
            self.total_bytes += len(chunk)
            if len(chunk) > room:
                chunk = chunk[: max(0, room)]
                self.exceeded.set()
            *whole, rest = (self._open.get(source, b"") + chunk).split(b"\n")
            for line in whole:
                self._add(source, self.hidden(line.removesuffix(b"\r")), 0)
            # Cut a long line only after what is complete is hidden, and keep enough for what is not.
            if len(rest) > _LINE_BYTES + self._overlap:
                rest = self._add(source, self.hidden(rest), self._overlap + 1)
            self._open[source] = rest

    def note(self, level: str, text: str) -> None:
        """Add what was made of the output for people to read, behind what has come so far."""
        with self._lock:
            self._lines.append(LogLine(ts_ms=self._now(), level=level, source="agent", msg=text))

    def flush(self, *, end: bool = False) -> None:
        """Hand on what there is; at the `end` also lines that were never finished."""
        with self._lock:
            if end:
                for source, rest in self._open.items():
                    if rest:
                        self._add(source, self.hidden(rest), 0)
                self._open.clear()
            lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            self._write(lines)
        except BaseException:
            with self._lock:
                self._lines[:0] = lines
            raise

    def _add(self, source: str, data: bytes, keep: int) -> bytes:
        """Add a line, in pieces if it is long; with `keep`, leave an unfinished end of at least that many bytes."""
        while len(data) - keep > _LINE_BYTES:
            cut = _LINE_BYTES
            while cut > 1 and data[cut] & 0xC0 == 0x80:  # never inside a character
                cut -= 1
            self._lines.append(self._line(source, data[:cut]))
            data = data[cut:]
        if keep:
            return data
        self._lines.append(self._line(source, data))
        return b""

    def _line(self, source: str, data: bytes) -> LogLine:
        text = data.decode("utf-8", "replace").replace("\0", "\ufffd")
        return LogLine(ts_ms=self._now(), level="INFO", source=source, msg=text)

    def hidden(self, data: bytes) -> bytes:
        """Return it with the secrets' names in their places."""
        for secret, shown in self._secrets.items():
            data = data.replace(secret, shown)
        return data
