"""The supervisor's line to its worker: orders come in on stdin, status goes out on stdout."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False  # typing's own costs an import
if TYPE_CHECKING:
    from interlock.runs.containment.wire import EndedJson, RefusedJson, SpecJson, StartedJson

TERMINATE = b"T"
KILL = b"K"
RENEW = b"R"
"""Followed by the instant until which the lease holds, in milliseconds of `lease_clock`, and `;`."""
FREEZE = b"F"
"""To the keeper only: let everything stand still where it is."""
THAW = b"C"
CLOSED = b""
"""Heard when the worker is gone, or when somebody asks the supervisor itself to terminate."""

_CONTROL, _STATUS = 0, 1


class Line:
    """Both pipes, and the wish that arrives as a signal; `sources` are the descriptors to poll before `hear`."""

    def __init__(self) -> None:
        self._woken = wake_on(signal.SIGTERM)
        self._early = b""
        self.sources = [_CONTROL, self._woken]

    def read_spec(self) -> SpecJson | None:
        """Wait for the specification's line; None if the worker is gone before it ends."""
        text = bytearray()
        while b"\n" not in text:
            part = os.read(_CONTROL, 65536)
            if not part:
                return None
            text += part
        line, _, self._early = bytes(text).partition(b"\n")
        return json.loads(line)

    def has_orders(self) -> bool:
        """Say whether the worker has changed its mind already."""
        poller = select.poll()
        poller.register(_CONTROL, select.POLLIN)
        return bool(self._early or poller.poll(0))

    def hear(self, ready: list[int]) -> bytes | None:
        """Return the orders, `CLOSED`, or None if neither source is among the ready ones."""
        if self._woken in ready:
            return CLOSED
        return os.read(_CONTROL, 64) if _CONTROL in ready else None

    def tell(self, event: StartedJson | RefusedJson | EndedJson) -> None:
        """Write one status line; a worker that is gone does not read it, which is no error."""
        try:
            os.write(_STATUS, json.dumps(event).encode() + b"\n")
        except BrokenPipeError:
            return


def lease_clock() -> float:
    """Return seconds that all processes of this machine count alike, also while it sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform.startswith("linux") else time.monotonic()


def wake_on(number: int) -> int:
    """Return a descriptor that becomes readable whenever this signal arrives."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.signal(number, lambda _number, _frame: None)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return read
