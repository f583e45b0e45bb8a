"""The embedded engine: a worker claims runs under leases, carries them out, and rescues what others left behind."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from interlock.access.errors import Frozen
from interlock.kernel.errors import InterlockError, Unreachable
from interlock.queue.models import Held, WorkerProcess
from interlock.queue.service import Queue
from interlock.runs.containment.processes import is_alive, kill_marked
from interlock.runs.models import Claim
from interlock.runs.repositories import remove_tree
from interlock.runs.steps import Bench, Execution, check_name, marker, place_name

_LOG = logging.getLogger("interlock.worker")
_RESCUE_SECONDS = 1.0
_PROMOTE_SECONDS = 1.0
_BEATS_PER_LEASE = 4
_MOST_TICK_SECONDS = 1.0
_AWAY_SECONDS = 1.0
_SIGN_SECONDS = 60.0
_ARCHIVE_SECONDS = 600.0
_ALIVE_SECONDS = 5.0
_HEARING_MS = 5_000
"""How long a worker that lives may take to notice that a run is not its own any more."""


class Waiter(Protocol):
    """Waits until there may be something to claim."""

    def wait(self, seconds: float) -> bool:
        """Return True when woken."""
        ...

    def rouse(self) -> None:
        """Wake it from another thread."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """What the engine needs of the house."""

    queue: Callable[[], AbstractContextManager[Queue]]
    look: Callable[[], AbstractContextManager[Queue]]
    listen: Callable[[], AbstractContextManager[Waiter]]
    wrote: Callable[[], None]
    """Brings the windows up to date."""
    seal: Callable[[], int]
    sealing: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    """Seals beside the work, not behind every commit."""
    sign: Callable[[], None]
    """Signs the log as it is."""
    alive: Callable[[Sequence[str]], None] = lambda _: None
    """Says of runs that they are carried out at this moment, where supervision looks."""
    archive: Callable[[], None] = lambda: None
    """Puts runs that ended long ago into the archive."""


@dataclass(slots=True, kw_only=True)
class Rescuer:
    """Finds holders that are gone, and gives their items to whoever is alive.

    A holder is given up only if its process is provably dead on this very machine, or if nothing of its item changed
    for one whole lease on *our* monotonic clock: neither its clock nor the database's can make it look dead.
    """

    me: WorkerProcess
    _silent: dict[tuple[str, int, int], float] = field(default_factory=dict[tuple[str, int, int], float])
    _looked: float | None = None

    def verdicts(self, held: list[Held], now: float) -> list[tuple[Held, str]]:
        """Return what is to be rescued, each with the reason; `now` is monotonic seconds.

        Silence is added up from look to look, and no look counts for more than it should have taken: while we were
        held up ourselves (a stuck writer, a database that was away), nobody else could give a sign of life either.
        """
        passed = min(now - self._looked, _RESCUE_SECONDS * 1.5) if self._looked is not None else 0.0
        silent: dict[tuple[str, int, int], float] = {}
        found: list[tuple[Held, str]] = []
        for each in held:
            sign = (each.item.id, each.item.fence, each.item.beat)
            silent[sign] = self._silent[sign] + passed if sign in self._silent else 0.0
            if self._dead(each):
                found.append((each, "worker_dead"))
            elif silent[sign] >= each.item.lease_ms / 1000:
                found.append((each, "lease_expired"))
        self._silent, self._looked = silent, now
        return found

    def _dead(self, each: Held) -> bool:
        if each.host != self.me.host or each.pid is None or each.start_time is None or each.boot_id is None:
            return False
        return not is_alive(each.pid, each.start_time, each.boot_id)


@dataclass(slots=True, kw_only=True)
class Worker:
    """One worker process."""

    me: WorkerProcess
    bench: Bench
    links: Links
    concurrency: int
    """How many runs at the same time; 0 for a scheduler, which only keeps the house in order."""
    lease_seconds: float
    once: bool = False
    """End when there is nothing left to do, instead of waiting for more."""
    stopping: threading.Event = field(default_factory=threading.Event)
    _under_way: dict[str, tuple[Execution, threading.Thread]] = field(
        default_factory=dict[str, tuple[Execution, threading.Thread]]
    )
    _swept: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    _astray: bool = False
    """Whether we may hold items that nobody here carries out: a thread failed, or a claim's answer was lost."""
    _frozen: bool = False
    """Whether panic was on when we last tried to take something up."""
    _waiter: Waiter | None = None
    _aside: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "aside"))
    _dirty: threading.Event = field(default_factory=threading.Event)
    _unsigned: bool = False
    _archive_at: float = 0.0
    _alive_at: float = 0.0
    _sign_at: float = field(default_factory=lambda: time.monotonic() + _SIGN_SECONDS)
    carried_out: int = 0

    def work(self) -> int:
        """Claim and carry out runs until told to stop; returns how many were carried out."""
        with self.links.sealing():
            self._work()
        return self.carried_out

    def _work(self) -> None:
        self._do_aside(self.tidy)
        rescuer = Rescuer(me=self.me)
        idle = False
        while not self.stopping.is_set() and not idle:
            try:
                with self.links.listen() as self._waiter:
                    idle = self._turns(rescuer)
            except Unreachable as error:
                self._astray = True
                _LOG.warning("the database does not answer, trying again: %s", error.message)
                self.stopping.wait(_AWAY_SECONDS)
        self._leave()

    def _turns(self, rescuer: Rescuer) -> bool:
        """Work until told to stop (False), or until nothing is left to do (True)."""
        beat_every = min(_MOST_TICK_SECONDS, self.lease_seconds / _BEATS_PER_LEASE)
        next_beat = next_rescue = time.monotonic()
        while not self.stopping.is_set():
            now = time.monotonic()
            if now >= next_beat:
                self._beat()
                next_beat = now + beat_every
            if now >= next_rescue:
                self._rescue(rescuer)
                next_rescue = now + _RESCUE_SECONDS
            self._claim()
            self._catch_up()
            self._archive()
            if self.once and not self._under_way:
                return True
            if self._wait(max(0.0, min(next_beat, next_rescue) - time.monotonic())):
                self._beat()
        return False

    def _wait(self, seconds: float) -> bool:
        return self._waiter.wait(seconds) if self._waiter is not None else False

    def tidy(self) -> None:
        """Remove worktrees and private folders that no run needs any more: what killed workers left behind."""
        bench = self.bench

        def living() -> set[str]:
            return {name(*place) for place in bench.runs.places() for name in (place_name, check_name)}

        found = list(bench.folder.iterdir()) if bench.folder.is_dir() else []
        alive = living()
        for folder in found:
            if folder.name not in alive:
                remove_tree(folder)
        for problem in bench.worktrees.prune(bench.mirrors, living).left:
            _LOG.warning("could not be removed: %s", problem)

    def stop(self) -> None:
        """Stop soon: runs under way are given back, no attempt is used up."""
        self.stopping.set()

    def _beat(self) -> None:
        """Renew the leases, and let go of what is not ours any more."""
        self._reap()
        if not self._under_way and not self._astray:
            return
        held = self.bench.runs.renew(self.me.id)
        if self._under_way and time.monotonic() >= self._alive_at:
            self._alive_at = time.monotonic() + _ALIVE_SECONDS
            runs = [execution.claim.run.id for execution, _ in self._under_way.values()]
            self._do_aside(partial(self.links.alive, runs))
        for item_id, (execution, _) in self._under_way.items():
            if held.get(item_id) != execution.claim.item.fence:
                execution.lost.set()
        for item_id in held.keys() - self._under_way.keys():
            # Nobody carries it out, and our own heartbeat would keep it from being rescued.
            with self.links.look() as queue:
                item = queue.get(item_id)
            self.bench.runs.rescue(self.bench.actor, item, reason="worker_failed")
            self._dirty.set()
        self._astray = False

    def _rescue(self, rescuer: Rescuer) -> None:
        self.bench.runs.renew(self.me.id)  # as every holder has to: where we can not write, we judge nobody
        with self.links.look() as queue:
            held = [each for each in queue.store.held() if each.item.owner_session != self.me.id]
        for each, reason in rescuer.verdicts(held, time.monotonic()):
            if reason == "worker_dead" and each.item.run_id is not None:
                kill_marked(marker(each.item.run_id, each.item.fence))
            if self.bench.runs.rescue(self.bench.actor, each.item, reason=reason) is not None:
                _LOG.info("rescued %s from %s (%s)", each.item.id, each.item.owner_session, reason)
                self._dirty.set()
                self._do_aside(self.tidy)
        self._end_stragglers()
        with self.links.look() as queue:
            due = queue.store.due(queue.now())
            stale = [item for item, reason in queue.lost() if reason == "stale"]
        for item in stale:
            if self.bench.runs.rescue(self.bench.actor, item, reason="stale") is not None:
                _LOG.info("took %s back from %s (stale)", item.id, item.owner_session)
                self._dirty.set()
        if due:
            with contextlib.suppress(Frozen), self.links.queue() as queue:
                queue.promote()
        self.links.seal()

    def _end_stragglers(self) -> None:
        """End processes on this machine whose run was stopped while their own worker could not hear it."""
        grace_ms = round(self.bench.options.grace_seconds * 1000) + _HEARING_MS
        for straggler in self.bench.runs.stragglers(ended_for_ms=grace_ms):
            if straggler not in self._swept:
                self._swept.add(straggler)
                self._do_aside(partial(_sweep, marker(*straggler)))

    def _claim(self) -> None:
        self._reap()
        while len(self._under_way) < self.concurrency and not self.stopping.is_set():
            try:
                claim = self.bench.runs.claim(self.bench.actor, self.me, self._refused)
            except Frozen as error:
                self._say_frozen(error.message)
                return
            self._frozen = False
            if claim is None:
                return
            self._dirty.set()
            self._start(claim)

    def _say_frozen(self, sentence: str) -> None:
        """Say once that nothing is taken up; what is under way goes on."""
        if not self._frozen:
            self._frozen = True
            _LOG.warning("nothing is taken up: %s", sentence)

    def _refused(self, _run_id: str) -> None:
        """Clear up after a run that will not go on: an earlier claim may have left something."""
        self._dirty.set()
        self._do_aside(self.tidy)

    def _start(self, claim: Claim) -> None:
        execution = Execution(bench=self.bench, claim=claim)

        def carry_out() -> None:
            try:
                execution.carry_out()
            except Exception:  # noqa: BLE001 - a thread's last resort: the next heartbeat lets go of the run
                self._astray = True
                _LOG.warning("run %s: the worker failed", claim.run.id, exc_info=True)
            finally:
                self._dirty.set()
                if self._waiter is not None:
                    self._waiter.rouse()

        thread = threading.Thread(target=carry_out, name=claim.run.id, daemon=True)
        self._under_way[claim.item.id] = (execution, thread)
        thread.start()

    def _reap(self) -> None:
        for item_id, (_, thread) in list(self._under_way.items()):
            if not thread.is_alive():
                del self._under_way[item_id]
                self.carried_out += 1

    def _catch_up(self) -> None:
        """Bring windows and signed heads up to date; a head hashes the whole log, so it is not signed at every turn."""
        if self._dirty.is_set():
            self._dirty.clear()
            self._unsigned = True
            self._show()
        if self._unsigned and time.monotonic() >= self._sign_at:
            self._unsigned = False
            self._sign_at = time.monotonic() + _SIGN_SECONDS
            self._do_aside(self.links.sign)

    def _archive(self) -> None:
        if not self.once and time.monotonic() >= self._archive_at:
            self._archive_at = time.monotonic() + _ARCHIVE_SECONDS
            self._do_aside(self.links.archive)

    def _do_aside(self, chore: Callable[[], None]) -> None:
        """Do what may take long beside the loop, one after another: no heartbeat waits for a removed worktree."""

        def carefully() -> None:
            try:
                chore()
            except (InterlockError, OSError) as error:
                _LOG.warning("a chore failed and is done again later: %s", error)

        self._aside.submit(carefully)

    def _leave(self) -> None:
        """Give back what is under way, and wait until its processes have ended."""
        for execution, _ in self._under_way.values():
            execution.returning.set()
        for _, thread in self._under_way.values():
            while thread.is_alive():
                thread.join(self.lease_seconds / _BEATS_PER_LEASE)
                with contextlib.suppress(Unreachable):
                    self.bench.runs.renew(self.me.id)
        self._aside.shutdown()
        with contextlib.suppress(Unreachable):
            self._show()
            self.links.sign()

    def _show(self) -> None:
        self.links.seal()  # windows show what is sealed
        self.links.wrote()


def _sweep(run_marker: str) -> None:
    kill_marked(run_marker)
