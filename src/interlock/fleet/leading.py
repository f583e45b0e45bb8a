"""Leading a loop that only one process of all nodes should run; the others stand by."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from interlock.fleet.models import Process, Term
from interlock.fleet.service import Fleet
from interlock.kernel.errors import InterlockError

_LOG = logging.getLogger("interlock.fleet")
_STANDBY_SECONDS = 1.0


class Part(Protocol):
    """What works beside a server while it leads."""

    def work(self) -> int:
        """Work until told to stop."""
        ...

    def stop(self) -> None:
        """Stop soon."""
        ...


@dataclass(slots=True, kw_only=True)
class Reign:
    """One process's hold on one role. It asks the database only when a third of its term is over."""

    fleet: Fleet
    role: str
    me: Process
    lease_seconds: float
    dead: Callable[[Process], bool]
    """Says whether a process is provably gone on this machine."""
    monotonic: Callable[[], float] = time.monotonic
    _term: Term | None = None
    _asked: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def hold(self) -> Term | None:
        """Return the term under which this process leads now; None where another one does."""
        with self._lock:
            now = self.monotonic()
            if now - self._asked < (_STANDBY_SECONDS if self._term is None else self.lease_seconds / 3):
                return self._term
            before = self._term
            self._term = self.fleet.lead(
                self.role, self.me, lease_ms=round(self.lease_seconds * 1000), held=before, dead=self.dead
            )
            self._asked = now  # of before the question: the term is never thought to be longer than it is
            if before is not None and self._term is None:
                _LOG.warning("%s is led by another process now", self.role)
            return self._term


@dataclass(kw_only=True)
class Led:
    """A part that works while this process leads its role, made anew for each term: it writes under that term only."""

    name: str
    reign: Reign
    make: Callable[[Term], Part]
    _stopping: threading.Event = field(default_factory=threading.Event)
    _part: tuple[Part, threading.Thread, Term] | None = None
    _failed: BaseException | None = None
    _away: bool = False

    def work(self) -> int:
        """Lead or stand by until told to stop; returns 0. Raises what ended the part."""
        try:
            while not self._stopping.is_set():
                self.turn()
                self._stopping.wait(_STANDBY_SECONDS)
        finally:
            self.end()
        return 0

    def stop(self) -> None:
        """Stop soon."""
        self._stopping.set()

    def turn(self) -> None:
        """Look once whether this process leads, and begin or end the part. Raises what ended it by itself."""
        if self._failed is not None:
            raise self._failed
        try:
            term = self.reign.hold()
            self._away = False
        except InterlockError as error:
            if not self._away:
                _LOG.warning("who leads %s can not be asked now: %s", self.reign.role, error.message)
            self._away = True
            return
        if self._part is not None and self._part[2] != term:
            self.end()
        if self._part is None and term is not None:
            self._begin(term)

    def _begin(self, term: Term) -> None:
        _LOG.info("leads %s (epoch %d)", term.role, term.epoch)
        part = self.make(term)

        def carry_on() -> None:
            try:
                part.work()
            except BaseException as error:  # noqa: BLE001 - handed on to the thread that looks after this one
                self._failed = error

        thread = threading.Thread(target=carry_on, name=self.name, daemon=True)
        self._part = part, thread, term
        thread.start()

    def end(self) -> None:
        """End the part, if it works."""
        if self._part is not None:
            part, thread, _ = self._part
            part.stop()
            thread.join()
            self._part = None
