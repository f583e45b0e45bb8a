"""One call of a provider: how long it may take in all, how it is called off, and what it came to.

It runs in a thread of its own, and whoever waits for it leaves when the time is over, whatever that thread is stuck in:
a look-up of a name, a handshake, an answer that drips. Its connection is broken off then, so the thread ends as well.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from interlock.providers.errors import ProviderCancelled, ProviderError, ProviderTimeout

Done = TypeVar("Done")

_LOOK_SECONDS = 0.1


def never() -> bool:
    """Call nothing off."""
    return False


@dataclass(slots=True, kw_only=True)
class Call:
    """A call under way, as those who carry it out see it."""

    seconds: float
    max_response_bytes: int
    started: float = field(default_factory=time.monotonic)
    sent: bytes | None = None
    """The body of the request, exactly as it went out."""
    answer: Any = None
    """The JSON that came back."""
    verdict: ProviderError | None = None
    """What is wrong, when the connection found it; client libraries wrap what they do not know."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _connection: socket.socket | None = None
    _over: bool = False

    def remaining(self) -> float:
        """Return how many seconds are left; raises `ProviderTimeout` when none are."""
        if self.ended():
            raise self.late()
        return max(0.001, self.started + self.seconds - time.monotonic())

    def ended(self) -> bool:
        """Say whether the time is over, or the call was ended before."""
        return self._over or time.monotonic() >= self.started + self.seconds

    def late(self) -> ProviderTimeout:
        """Return the error of a call that took too long."""
        return ProviderTimeout(f"the provider has not answered within {self.seconds:g} s", reason="slow")

    def holds(self, connection: socket.socket) -> None:
        """Remember what is to be broken off when the time is over."""
        with self._lock:
            self._connection = connection
            over = self._over
        if over:
            self.end()

    def end(self) -> None:
        """Break the call off, wherever it is."""
        with self._lock:
            self._over = True
            connection = self._connection
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@dataclass(slots=True)
class _Outcome(Generic[Done]):
    done: list[Done] = field(default_factory=list[Done])
    failure: BaseException | None = None


def carried_out(call: Call, deed: Callable[[Call], Done], called_off: Callable[[], bool] = never) -> Done:
    """Return what `deed` returns, or raise what it raises, `ProviderTimeout` or `ProviderCancelled`."""
    outcome: _Outcome[Done] = _Outcome()
    ended = threading.Event()

    def carry_out() -> None:
        try:
            outcome.done.append(deed(call))
        except BaseException as failure:  # noqa: BLE001 - it is raised where somebody waits for it
            outcome.failure = failure
        finally:
            ended.set()

    threading.Thread(target=carry_out, name="provider-call", daemon=True).start()
    try:
        while not ended.wait(min(_LOOK_SECONDS, max(0.0, call.remaining()))):
            if called_off():
                raise ProviderCancelled(reason="cancelled")
    finally:
        call.end()
    if outcome.failure is not None:
        raise outcome.failure
    return outcome.done[0]
