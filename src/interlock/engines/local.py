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
from interlock.engines.reconciler import LOOK_SECONDS, Reconciler
from interlock.fleet.errors import NodeBehind, NodeNotTaking, NodeUnknown, NotLeader
from interlock.fleet.models import NodeState
from interlock.fleet.presence import Presence
from interlock.kernel.errors import InterlockError, Unreachable
from interlock.queue.models import Executor, Item, WorkerProcess
from interlock.queue.service import Queue
from interlock.runs.agents.sessions import places_in_use
from interlock.runs.containment.line import lease_clock
from interlock.runs.models import Claim
from interlock.runs.repositories import remove_tree
from interlock.runs.service import Runs
from interlock.runs.steps import Bench, Execution, check_name, leased_until, place_name

_LOG = logging.getLogger("interlock.worker")
_PROMOTE_SECONDS = 1.0
_BEATS_PER_LEASE = 4
_MOST_TICK_SECONDS = 1.0
_AWAY_SECONDS = 1.0
_SIGN_SECONDS = 60.0
_ARCHIVE_SECONDS = 600.0
_ALIVE_SECONDS = 5.0
_GATHERING_SECONDS = 0.1
"""How long changes gather before the windows show them again: many short runs are shown together."""


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
    promote: Callable[[], None] = lambda: None
    """Lets what is due be claimed, where this process is the one that does."""
    presence: Presence | None = None
    """This process's part in its node; without one, nothing is asked of a fleet."""
    watch: Callable[[], None] = lambda: None
    """Looks which other nodes are lost, where this process is the one that does."""


@dataclass(slots=True, kw_only=True)
class Worker:
    """One worker process."""

    me: WorkerProcess
    runs: Runs
    bench: Bench
    links: Links
    reconciler: Reconciler
    concurrency: int
    """How many runs at the same time; 0 for a scheduler, which only keeps the house in order."""
    lease_seconds: float
    once: bool = False
    """End when there is nothing left to do, instead of waiting for more."""
    stopping: threading.Event = field(default_factory=threading.Event)
    _under_way: dict[str, tuple[Execution, threading.Thread]] = field(
        default_factory=dict[str, tuple[Execution, threading.Thread]]
    )
    _astray: bool = False
    """Whether we may hold items that nobody here carries out: a thread failed, or a claim's answer was lost."""
    _frozen: bool = False
    """Whether panic was on when we last tried to take something up."""
    _waiter: Waiter | None = None
    _aside: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "aside"))
    _dirty: threading.Event = field(default_factory=threading.Event)
    _closing: threading.Event = field(default_factory=threading.Event)
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
        self.reconciler.aside, self.reconciler.moved = self._do_aside, self._taken
        shower = threading.Thread(target=self._keep_shown, name="windows", daemon=True)
        shower.start()
        idle = False
        while not self.stopping.is_set() and not idle:
            try:
                with self.links.listen() as self._waiter:
                    idle = self._turns()
            except Unreachable as error:
                self._astray = True
                _LOG.warning("the database can not be used, trying again: %s", error.message)
                self.stopping.wait(_AWAY_SECONDS)
        self._leave(shower)

    def _turns(self) -> bool:
        """Work until told to stop (False), or until nothing is left to do (True)."""
        beat_every = min(_MOST_TICK_SECONDS, self.lease_seconds / _BEATS_PER_LEASE)
        next_beat = next_rescue = time.monotonic()
        while not self.stopping.is_set():
            now = time.monotonic()
            if now >= next_beat:
                self._beat()
                next_beat = now + beat_every
            if now >= next_rescue:
                self._rescue()
                next_rescue = now + LOOK_SECONDS
            self._be_present()
            self._claim()
            self._sign()
            self._archive()
            if self.once and not self._under_way:
                return True
            if self._wait(max(0.0, min(next_beat, next_rescue) - time.monotonic())):
                self._beat()
        return False

    def _be_present(self) -> None:
        """Give a sign of life, hear what is wanted of this node, and look after the others."""
        presence = self.links.presence
        if presence is None:
            return
        presence.tick()
        if presence.state is NodeState.QUARANTINED:
            for execution, _ in self._under_way.values():
                execution.returning.set()
        self.links.watch()

    def _wait(self, seconds: float) -> bool:
        return self._waiter.wait(seconds) if self._waiter is not None else False

    def tidy(self) -> None:
        """Remove worktrees and private folders that no run needs any more: what killed workers left behind."""
        bench = self.bench

        def living() -> set[str]:
            names = {name(*place) for place in self.runs.places() for name in (place_name, check_name)}
            return names | places_in_use(bench.folder, names)

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
        if self._waiter is not None:
            self._waiter.rouse()

    def moved(self) -> None:
        """Hear that something changed which the windows show."""
        self._dirty.set()
        if self._waiter is not None:
            self._waiter.rouse()

    def _beat(self) -> None:
        """Renew the leases, and let go of what is not ours any more."""
        self._reap()
        if not self._under_way and not self._astray:
            return
        began = lease_clock()
        held = self.runs.renew(self.me.id)
        if self._under_way and time.monotonic() >= self._alive_at:
            self._alive_at = time.monotonic() + _ALIVE_SECONDS
            runs = [execution.claim.run.id for execution, _ in self._under_way.values()]
            self._do_aside(partial(self.links.alive, runs))
        for item_id, (execution, _) in self._under_way.items():
            if held.get(item_id) != execution.claim.item.fence:
                execution.lost.set()
            else:
                execution.renewed(leased_until(began, execution.claim.item))
        for item_id in held.keys() - self._under_way.keys():
            # Nobody carries it out, and our own heartbeat would keep it from being rescued.
            with self.links.look() as queue:
                item = queue.get(item_id)
            self.runs.rescue(self.bench.actor, item, reason="worker_failed")
            self._dirty.set()
        self._astray = False

    def _rescue(self) -> None:
        self.runs.renew(self.me.id)  # as every holder has to: where we can not write, we judge nobody
        self.reconciler.look()
        with self.links.look() as queue:
            due = queue.due()
            stale = [item for item, reason in queue.lost() if reason == "stale"]
        for item in stale:
            if self.runs.rescue(self.bench.actor, item, reason="stale") is not None:
                _LOG.info("took %s back from %s (stale)", item.id, item.owner_session)
                self._dirty.set()
        if due:
            with contextlib.suppress(Frozen, NotLeader):
                self.links.promote()
        self.links.seal()

    def _taken(self, _item: Item, _reason: str) -> None:
        """Hear that a run was taken from who held it: what it left behind is nobody's any more."""
        self._dirty.set()
        self._do_aside(self.tidy)

    def _claim(self) -> None:
        self._reap()
        while len(self._under_way) < self.concurrency and not self.stopping.is_set():
            began = lease_clock()
            if not self._may_find():
                return
            try:
                claim = self._take()
            except (Frozen, NodeNotTaking, NodeBehind, NodeUnknown) as error:
                self._say_frozen(error.message)
                return
            if self._frozen:
                self._frozen = False
                _LOG.info("runs are taken up again")
            if claim is None:
                return
            self._dirty.set()
            self._start(claim, leased_until(began, claim.item))

    def _may_find(self) -> bool:
        """Say whether a claim would find or be told something; many are woken for one item, and looking is cheap."""
        presence = self.links.presence
        if presence is not None and presence.waits_for():
            return True
        with self.links.look() as queue:
            return queue.waiting(Executor.INTERLOCK) or queue.due()

    def _take(self) -> Claim | None:
        presence = self.links.presence
        if presence is None:
            return self.runs.claim(self.bench.actor, self.me, self._refused)
        if waits_for := presence.waits_for():
            raise NodeNotTaking(waits_for)
        return self.runs.claim(
            self.bench.actor, self.me, self._refused, has=presence.has, node_id=presence.node_id or None
        )

    def _say_frozen(self, sentence: str) -> None:
        """Say once that nothing is taken up; what is under way goes on."""
        if not self._frozen:
            self._frozen = True
            _LOG.warning("nothing is taken up: %s", sentence)

    def _refused(self, _run_id: str) -> None:
        """Clear up after a run that will not go on: an earlier claim may have left something."""
        self._dirty.set()
        self._do_aside(self.tidy)

    def _start(self, claim: Claim, until: float) -> None:
        execution = Execution(bench=self.bench, claim=claim, lease_until=until)

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

    def _keep_shown(self) -> None:
        """Bring the windows up to date beside the loop: no claim and no heartbeat waits for their files."""
        while not self._closing.is_set():
            self._dirty.wait()
            self._dirty.clear()
            self._unsigned = True
            try:
                self._show()
            except Exception as error:  # noqa: BLE001 - a thread's last resort: they are tried again
                self._dirty.set()
                known = isinstance(error, InterlockError | OSError)
                _LOG.warning("the windows are brought up to date later: %s", error, exc_info=not known)
                self._closing.wait(_AWAY_SECONDS)
            self._closing.wait(_GATHERING_SECONDS)

    def _sign(self) -> None:
        """Sign what is new now and then: a head hashes the whole log, so not at every turn."""
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

    def _leave(self, shower: threading.Thread) -> None:
        """Give back what is under way, and wait until its processes have ended."""
        for execution, _ in self._under_way.values():
            execution.returning.set()
        for _, thread in self._under_way.values():
            while thread.is_alive():
                thread.join(self.lease_seconds / _BEATS_PER_LEASE)
                with contextlib.suppress(Unreachable):
                    self.runs.renew(self.me.id)
        self._aside.shutdown()
        self._closing.set()
        self._dirty.set()
        shower.join()
        with contextlib.suppress(Unreachable):
            self._show()
            self.links.sign()

    def _show(self) -> None:
        self.links.seal()  # windows show what is sealed
        self.links.wrote()
