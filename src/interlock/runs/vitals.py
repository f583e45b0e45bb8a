"""What a worker sees of a run at work, collected in one place and written as its pulse, seldom enough to cost nothing.

A pulse is no event and may be late: it is what the reconciler judges by (`truth.py`), and what a later worker goes on
from. What a limit forbids is seen here at once, by the worker itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from interlock.approval.models import Limits
from interlock.runs.models import Pulse

_EVERY_SECONDS = 2.0


class Process(Protocol):
    """A process that has started, as its own machine can find it again."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    @property
    def start_time(self) -> int:
        """When it started, as its machine counts."""
        ...

    @property
    def boot_id(self) -> str:
        """The boot within which that means something."""
        ...


class Vitals:
    """One claim's pulse in the making. Every method may be called from any thread."""

    def __init__(self, put: Callable[[Pulse], object], *, fence: int, host: str, node_id: str | None = None) -> None:
        """Take where a pulse goes, and whose it is."""
        self._put = put
        self._lock = threading.Lock()
        self._pulse = Pulse(fence=fence, host=host, node_id=node_id)
        self._written = self._pulse
        self._next = 0.0

    @property
    def pulse(self) -> Pulse:
        """What was seen until now."""
        return self._pulse

    def process(self, started: Process, now_ms: int) -> None:
        """Note the agent's process; written with the next flush."""
        self._change(pid=started.pid, start_time=started.start_time, boot_id=started.boot_id or None, started_ms=now_ms)
        self._next = 0.0

    def printed(self, now_ms: int, size: int) -> None:
        """Note that something was printed, so many bytes of it."""
        with self._lock:
            self._pulse = replace(self._pulse, output_ms=now_ms, output_bytes=self._pulse.output_bytes + size)

    def told(
        self,
        *,
        session_id: str | None = None,
        turns: int | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cost_microusd: int | None = None,
    ) -> None:
        """Note what the agent says of itself: totals since its start; None leaves what was known."""
        found = {
            "session_id": session_id,
            "turns": turns,
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "cost_microusd": cost_microusd,
        }
        self._change(**{name: value for name, value in found.items() if value is not None})
        if session_id is not None:
            self._next = 0.0  # without it, whoever takes over can not go on in the agent's own conversation

    def ended(self, terminal: str, now_ms: int) -> None:
        """Note the agent's last word on the whole: `success`, `failure` or `limit`; written with the next flush."""
        self._change(terminal=terminal, terminal_ms=now_ms)
        self._next = 0.0

    def broken(self, limits: Limits) -> str | None:
        """Return the limit that the agent has gone over by what it says of itself: `limit_tokens` or `limit_cost`."""
        return over(self._pulse, limits)

    def flush(self, *, end: bool = False) -> None:
        """Write the pulse if it changed and its time has come, or at the `end`."""
        pulse = self._due(end=end)
        if pulse is not None:
            self._put(pulse)
            self._wrote(pulse)

    def beside(self, write: Callable[[Pulse | None], object]) -> None:
        """Let something else be written, and what is due of the pulse with it in one transaction."""
        pulse = self._due(end=False)
        write(pulse)
        if pulse is not None:
            self._wrote(pulse)

    def _change(self, **values: str | int | None) -> None:
        with self._lock:
            self._pulse = replace(self._pulse, **values)  # type: ignore[arg-type] - the callers above name fields

    def _due(self, *, end: bool) -> Pulse | None:
        pulse = self._pulse
        return pulse if pulse != self._written and (end or time.monotonic() >= self._next) else None

    def _wrote(self, pulse: Pulse) -> None:
        self._written = pulse
        self._next = time.monotonic() + _EVERY_SECONDS


def over(pulse: Pulse, limits: Limits) -> str | None:
    """Return which limit a pulse is over; a limit of 0 is none, and a cost that nobody told is not known to be."""
    if limits.tokens and pulse.input_tokens + pulse.output_tokens > limits.tokens:
        return "limit_tokens"
    if limits.cost_microusd and (pulse.cost_microusd or 0) > limits.cost_microusd:
        return "limit_cost"
    return None
