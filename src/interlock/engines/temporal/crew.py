"""The claims that this process holds, and their steps at work. It knows no Temporal."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from interlock.kernel.errors import InterlockError
from interlock.queue.models import ItemStatus
from interlock.runs.containment.line import lease_clock
from interlock.runs.errors import RunNotFound
from interlock.runs.models import Claim, RunStatus, StepName
from interlock.runs.service import Runs
from interlock.runs.steps import Bench, Execution

_LOG = logging.getLogger("interlock.worker")
_POLL_SECONDS = 0.05
_OF_ITS_TIME = 0.9
Key = tuple[str, int]
"""A claim: the item and the fence."""


@dataclass(slots=True, kw_only=True)
class Seat:
    """One claim in the hands of this process."""

    execution: Execution
    step: StepName | None = None
    """The step that is at work, or was last."""
    future: Future[str] | None = None
    busy: bool = False


@dataclass(slots=True, kw_only=True)
class Crew:
    """Carries out single steps, each once, however often it is asked for."""

    bench: Bench
    runs: Runs
    over: Callable[[], None]
    """Told when a claim has left our hands."""
    agent_seconds: float
    """How long an agent may be at work on after the lease was renewed last: who takes over waits a little longer."""
    next_word: str
    stray_word: str
    carried_out: int = 0
    _seats: dict[Key, Seat] = field(default_factory=dict[Key, Seat])
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def sit(self, claim: Claim) -> None:
        """Take a claim into our hands."""
        with self._lock:
            self._seats[(claim.item.id, claim.item.fence)] = Seat(
                execution=Execution(bench=self.bench, claim=claim, lease_until=lease_clock())
            )

    def claims(self) -> list[Claim]:
        """Return what is in our hands."""
        with self._lock:
            return [seat.execution.claim for seat in self._seats.values()]

    def __len__(self) -> int:
        """Count what is in our hands."""
        with self._lock:
            return len(self._seats)

    def step(self, run_id: str, key: Key, name: StepName) -> Future[str]:
        """Begin a step, or join it where it is at work; the answer is a word for what comes then."""
        with self._lock:
            seat = self._seats.get(key)
            if seat is None:
                return _done(lambda: self.word(run_id, key))
            if seat.future is not None and (seat.busy or seat.step is name):
                return seat.future
            if name in seat.execution.outputs:
                # A workflow that begins anew, because Temporal lost its data, asks for what is complete already.
                return _done(lambda: self.next_word)
            seat.step, seat.busy, seat.future = name, True, Future()
            future = seat.future
        threading.Thread(target=self._carry_out, args=(seat, key, name, future), name=run_id, daemon=True).start()
        return future

    def _carry_out(self, seat: Seat, key: Key, name: StepName, future: Future[str]) -> None:
        run_id, goes_on = seat.execution.claim.run.id, False
        try:
            self._renew({key: seat})
            goes_on = seat.execution.advance(name)
        except Exception:  # noqa: BLE001 - a thread's last resort: the run is given to other hands
            _LOG.warning("run %s: the worker failed", run_id, exc_info=True)
        if goes_on:
            seat.busy = False
            future.set_result(self.next_word)
            return
        self._leave(seat, key)
        try:
            future.set_result(self.word(run_id, key))
        except Exception as error:  # noqa: BLE001 - the database is away: Temporal asks again
            future.set_exception(error)

    def _leave(self, seat: Seat, key: Key) -> None:
        try:
            seat.execution.close()
        except (InterlockError, OSError) as error:
            _LOG.warning("run %s: not all was cleared up: %s", seat.execution.claim.run.id, error)
        with self._lock:
            self._seats.pop(key, None)
            self.carried_out += 1
        self.over()

    def word(self, run_id: str, key: Key) -> str:
        """Say where a run stands of which nothing is at work here."""
        try:
            run = self.runs.get(run_id)
        except RunNotFound:
            return "gone"
        with self.runs.look() as desk:
            item = desk.queue.get(key[0])
        if item.fence == key[1] and item.status is ItemStatus.IN_PROGRESS:
            return self.stray_word
        return "moved_on" if run.status in {RunStatus.PENDING, RunStatus.RUNNING} else run.status.value

    def keep(self) -> list[str]:
        """Renew the leases of what is at work, and let go of what is not ours any more; returns the runs at work."""
        with self._lock:
            busy = {key: seat for key, seat in self._seats.items() if seat.busy}
        if not busy:
            return []
        self._renew(busy)
        return [seat.execution.claim.run.id for seat in busy.values()]

    def _renew(self, busy: Mapping[Key, Seat]) -> None:
        until = lease_clock() + self.agent_seconds * _OF_ITS_TIME
        lost = set(self.runs.keep(list(busy)))
        for key, seat in busy.items():
            if key in lost:
                seat.execution.lost.set()
            else:
                seat.execution.renewed(until)

    def drop(self, key: Key) -> None:
        """Let go of a claim that Temporal does not know any more; what is at work ends."""
        with self._lock:
            seat = self._seats.get(key)
            if seat is None:
                return
            seat.execution.lost.set()
            if seat.busy:
                return
            seat.busy = True
        self._leave(seat, key)

    def give_back(self, key: Key) -> None:
        """Give one claim back: what is at work ends first, and gives it back itself."""
        with self._lock:
            seat = self._seats.get(key)
            if seat is None:
                return
            seat.execution.returning.set()
            if seat.busy:
                return
            seat.busy = True
        seat.execution.give_back()
        self._leave(seat, key)

    def give_all_back(self) -> None:
        """Give every claim back."""
        with self._lock:
            keys = list(self._seats)
        for key in keys:
            self.give_back(key)

    def leave(self) -> None:
        """Give everything back, and return when its processes have ended."""
        self.give_all_back()
        while len(self):
            time.sleep(_POLL_SECONDS)


def _done(word: Callable[[], str]) -> Future[str]:
    future: Future[str] = Future()
    try:
        future.set_result(word())
    except Exception as error:  # noqa: BLE001 - it is the asker's
        future.set_exception(error)
    return future
