"""An agent's output on its way into the run's log: whole lines, bounded, without the secrets that it was handed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from interlock.kernel.clock import Clock
from interlock.runs.models import LogLine

_LINE_CHARACTERS = 16 * 1024
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
            value: f"[REDACTED:{name}]" for name, value in secrets.items() if len(value) >= _SECRET_CHARACTERS
        }
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
            self._lines += [self._line(source, line) for line in whole]
            if len(rest) > _LINE_CHARACTERS:
                self._lines.append(self._line(source, rest[:_LINE_CHARACTERS]))
                rest = rest[_LINE_CHARACTERS:]
            self._open[source] = rest

    def flush(self, *, end: bool = False) -> None:
        """Hand on what there is; at the `end` also lines that were never finished."""
        with self._lock:
            if end:
                self._lines += [self._line(source, rest) for source, rest in self._open.items() if rest]
                self._open.clear()
            lines, self._lines = self._lines, []
        if lines:
            self._write(lines)

    def _line(self, source: str, data: bytes) -> LogLine:
        text = data.rstrip(b"\r").decode("utf-8", "replace").replace("\0", "\ufffd")
        for secret, shown in self._secrets.items():
            text = text.replace(secret, shown)
        if len(text) > _LINE_CHARACTERS:
            text = text[:_LINE_CHARACTERS] + " […]"
        return LogLine(ts_ms=self._now(), level="INFO", source=source, msg=text)
