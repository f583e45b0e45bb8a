"""A worker process for Temporal: it claims runs, gives each its workflow, and carries out the steps of its claims."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit, urlunsplit

from interlock.access.errors import Frozen
from interlock.engines.local import Waiter, Worker
from interlock.engines.temporal.crew import Crew, Key
from interlock.engines.temporal.errors import TemporalUnreachable
from interlock.engines.temporal.options import TemporalOptions
from interlock.engines.temporal.service import Answers, Found, Temporal, workflow_id
from interlock.engines.temporal.workflow import ALIVE, CANCELLED_IN_TEMPORAL, NEXT, STRAY, WORKER_LOST, Order
from interlock.fleet.errors import NodeBehind, NodeNotTaking, NodeUnknown
from interlock.fleet.models import NodeState
from interlock.kernel.errors import Conflict, InterlockError, NotFound, Unreachable
from interlock.queue.models import Held, WorkerProcess
from interlock.runs.models import Claim, StepName
from interlock.runs.service import Runs
from interlock.runs.steps import Bench

_LOG = logging.getLogger("interlock.worker")
ENGINE = "temporal"
_TICK_SECONDS = 0.5
_MOST_BEAT_SECONDS, _BEATS = 1.0, 4
"""How often leases are renewed, and how often at least while nobody takes an agent to be gone."""
_ALIVE_SECONDS = 5.0
_AWAY_SECONDS = 1.0
_POLL_SECONDS = 0.2
_MOST_PAUSE_SECONDS = 60.0
_FAREWELL_SECONDS = 5.0
"""How long a process that ends serves workflows that have nothing left to do but to say so."""
_FIRST_SECONDS = 5.0
"""How long a process that works once waits for Temporal."""


@dataclass(slots=True, kw_only=True)
class TemporalWorker:
    """One worker process; `keeper` does beside it what keeps the house in order: rescues, windows, seals, archive."""

    me: WorkerProcess
    runs: Runs
    bench: Bench
    keeper: Worker
    options: TemporalOptions
    concurrency: int
    once: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    carried_out: int = 0
    _crew: Crew = field(init=False)
    _temporal: Temporal = field(init=False)
    _waiter: Waiter | None = None
    _away: bool = False
    """Whether Temporal did not answer when we last asked."""
    _frozen: bool = False
    _silent: dict[Key, tuple[int, float]] = field(default_factory=dict[Key, tuple[int, float]])
    """How often others' claims had been renewed when we last looked, and since when they were not renewed again."""
    _open_ones: dict[Key, str] = field(default_factory=dict[Key, str])
    """Claims whose workflow we have not seen closed, and their runs."""
    _left: threading.Event = field(default_factory=threading.Event)
    _refusals: int = 0
    """How often in a row a workflow could not be started."""
    _retry_at: float = 0.0
    _next_alive: float = 0.0
    _next_sweep: float = 0.0

    def __post_init__(self) -> None:
        """Plug the parts together; nothing is connected yet."""
        self._crew = Crew(
            bench=self.bench,
            runs=self.runs,
            over=self._over,
            agent_seconds=self.options.heartbeat_seconds,
            next_word=NEXT,
            stray_word=STRAY,
        )
        self._temporal = Temporal(
            options=self.options,
            queue=self._queue(self._owner),
            answers=Answers(step=self._step, settle=self._settle),
        )

    @property
    def _owner(self) -> str:
        return f"{ENGINE}:{self.me.id}"

    def _queue(self, owner: str) -> str:
        return f"{self.options.task_queue}:{owner.removeprefix(f'{ENGINE}:')}"

    def work(self) -> int:
        """Claim runs and carry them out until told to stop; returns how many left our hands."""
        keeping = threading.Thread(target=self.keeper.work, name="keeper", daemon=True)
        keeping.start()
        renewing = threading.Thread(target=self._renew, name="leases", daemon=True)
        renewing.start()
        self._temporal.start()
        try:
            if self.once and not self._temporal.ready(_FIRST_SECONDS):
                raise TemporalUnreachable(f"Temporal at {self.options.address} does not answer")
            self._work()
        finally:
            self._crew.leave()
            self._say_farewell()
            self._temporal.close()
            self.keeper.stop()
            self._left.set()
            keeping.join()
            renewing.join()
        self.carried_out = self._crew.carried_out
        return self.carried_out

    def stop(self) -> None:
        """Stop soon: runs under way are given back, no attempt is used up."""
        self.stopping.set()

    def _work(self) -> None:
        idle = False
        while not self.stopping.is_set() and not idle:
            try:
                with self.keeper.links.listen() as self._waiter:
                    idle = self._turns()
            except Unreachable as error:
                _LOG.warning("the database can not be used, trying again: %s", error.message)
                self.stopping.wait(_AWAY_SECONDS)

    def _turns(self) -> bool:
        while not self.stopping.is_set():
            self._be_present()
            nothing = self._claim()
            self._sweep()
            if self.once and nothing and not self._others():
                return True
            if self._waiter is not None:
                self._waiter.wait(_TICK_SECONDS)
        return False

    def _others(self) -> bool:
        """Say whether anything is claimed for Temporal, by us or by others."""
        return len(self._crew) > 0 or bool(self._held())

    def _say_farewell(self) -> None:
        """Stay until the workflows of what left our hands are closed, so that nobody takes them for open."""
        deadline = time.monotonic() + _FAREWELL_SECONDS
        while self._open_ones and self._temporal.ready() and not self._away and time.monotonic() < deadline:
            self._forget_closed()
            time.sleep(0.05)

    def _forget_closed(self) -> None:
        ours = {(claim.item.id, claim.item.fence) for claim in self._crew.claims()}
        try:
            for key, run_id in list(self._open_ones.items()):
                if key not in ours and self._temporal.look(run_id, key[1]) is not Found.OPEN:
                    del self._open_ones[key]
        except TemporalUnreachable as error:
            _LOG.warning("%s", error.message)
            self._away = True

    # --- leases -------------------------------------------------------------------------------------------------------

    def _renew(self) -> None:
        """Renew the leases of steps at work; beside all else, because Temporal may let us wait."""
        while not self._left.wait(min(_MOST_BEAT_SECONDS, self.options.heartbeat_seconds / _BEATS)):
            try:
                at_work = self._crew.keep()
                if at_work and time.monotonic() >= self._next_alive:
                    self._next_alive = time.monotonic() + _ALIVE_SECONDS
                    self.keeper.links.alive(at_work)
            except (InterlockError, OSError) as error:
                _LOG.warning("leases could not be renewed, trying again: %s", error)

    def _be_present(self) -> None:
        """Hear what is wanted of this node; the keeper says that it lives."""
        presence = self.keeper.links.presence
        if presence is not None:
            presence.tick()
            if presence.state is NodeState.QUARANTINED:
                self._crew.give_all_back()

    # --- the outbox ---------------------------------------------------------------------------------------------------

    def _claim(self) -> bool:
        """Claim what there is room for, and start its workflows; True when nothing was there to claim."""
        while len(self._crew) < self.concurrency and not self.stopping.is_set() and self._open():
            try:
                claim = self._take()
            except (Frozen, NodeNotTaking, NodeBehind, NodeUnknown) as error:
                if not self._frozen:
                    _LOG.warning("nothing is taken up: %s", error.message)
                self._frozen = True
                return True
            if self._frozen:
                self._frozen = False
                _LOG.info("runs are taken up again")
            if claim is None:
                return True
            self._crew.sit(claim)
            self.keeper.moved()
            self.bench.probe("dispatch.claimed")
            self._dispatch(claim)
        return False

    def _take(self) -> Claim | None:
        presence = self.keeper.links.presence
        return self.runs.claim(
            self.bench.actor,
            self.me,
            lambda _: self.keeper.moved(),
            engine=ENGINE,
            lease_seconds=self.options.lease_seconds,
            has=presence.has if presence is not None else frozenset(),
            node_id=presence.node_id or None if presence is not None else None,
        )

    def _open(self) -> bool:
        """Say whether Temporal is there; what it could not be given stays in the queue."""
        if not self._temporal.ready() or time.monotonic() < self._retry_at:
            return False
        if self._away and self._temporal.healthy():
            self._away = False
            _LOG.info("Temporal answers again")
        return not self._away

    def _dispatch(self, claim: Claim) -> None:
        order = self._order(claim.run.id, claim.item.id, claim.item.fence, self._owner)
        try:
            self._begin(order, claim.run.approved_id, claim.approved.work.repository)
        except TemporalUnreachable as error:
            # Whether it heard us or not: a workflow of a claim that was given back finds its fence lost.
            _LOG.warning("%s is given back: %s", claim.run.id, error.message)
            self._away = True
            self._refusals += 1
            self._retry_at = time.monotonic() + min(_MOST_PAUSE_SECONDS, 2.0**self._refusals)
            self._crew.give_back((claim.item.id, claim.item.fence))
            return
        self._refusals = 0
        self._open_ones[claim.item.id, claim.item.fence] = claim.run.id
        self.bench.probe("dispatch.started")

    def _begin(self, order: Order, approved_id: str, repository: str | None) -> None:
        self._temporal.begin(order, approved_id=approved_id, repository=_shown(repository))
        _LOG.info("%s goes on in workflow %s", order.run_id, workflow_id(order.run_id, order.fence))

    def _order(self, run_id: str, item_id: str, fence: int, owner: str) -> Order:
        return Order(
            run_id=run_id,
            item_id=item_id,
            fence=fence,
            queue=self._queue(owner),
            heartbeat_seconds=self.options.heartbeat_seconds,
            take_up_seconds=self.options.take_up_seconds,
        )

    # --- claims and workflows held against each other -----------------------------------------------------------------

    def _held(self) -> list[Held]:
        with self.keeper.links.look() as queue:
            return [each for each in queue.store.held() if each.item.owner_session.startswith(f"{ENGINE}:")]

    def _sweep(self) -> None:
        """Give each claim the workflow that it lacks, and end the claims whose workflow has ended.

        A claim of another process is looked at only where that one shows no sign of life.
        """
        now = time.monotonic()
        if now < self._next_sweep or not self._temporal.ready() or self._away:
            return
        self._next_sweep = now + self.options.sweep_seconds
        self._forget_closed()
        held, before = self._held(), self._silent
        self._silent = {}
        for each in held:
            key, beat = (each.item.id, each.item.fence), each.item.beat
            seen = before.get(key, (beat, now))
            self._silent[key] = seen if seen[0] == beat else (beat, now)
            if each.item.owner_session == self._owner or now - self._silent[key][1] >= self.options.heartbeat_seconds:
                try:
                    self._compare(each)
                except TemporalUnreachable as error:
                    _LOG.warning("%s", error.message)
                    self._away = True
                    return
                except (Conflict, NotFound) as error:
                    _LOG.info("%s is left as it is: %s", each.item.id, error.message)

    def _compare(self, held: Held) -> None:
        item = held.item
        run_id, key = cast("str", item.run_id), (item.id, item.fence)
        found = self._temporal.look(run_id, item.fence)
        if found is Found.OPEN:
            return
        if found is Found.MISSING:
            run = self.runs.get(run_id)
            repository = self._repository(run.approved_id)
            self._begin(self._order(run_id, item.id, item.fence, item.owner_session), run.approved_id, repository)
            return
        if found is Found.CLOSED:
            self.runs.rescue(self.bench.actor, item, reason="workflow_closed")
        else:
            self._cancel(run_id, key, found.value)
        self._crew.drop(key)
        self.keeper.moved()

    def _repository(self, approved_id: str) -> str | None:
        with self.runs.look() as desk:
            approved = desk.approval.approved.get(approved_id)
        return approved.work.repository if approved is not None else None

    def _cancel(self, run_id: str, key: Key, how: str) -> None:
        reason = f"its workflow {workflow_id(run_id, key[1])} was {how} in Temporal"
        self.runs.cancel_held(self.bench.actor, *key, cause=CANCELLED_IN_TEMPORAL, reason=reason)

    # --- answers to workflows -----------------------------------------------------------------------------------------

    def _step(self, order: Order, name: str) -> Future[str]:
        return self._crew.step(order.run_id, (order.item_id, order.fence), StepName(name))

    def _settle(self, order: Order, why: str) -> str:
        """End a claim that Temporal gives up: cancelled there, or its process is gone, as far as Temporal can see."""
        key = (order.item_id, order.fence)
        with self.keeper.links.look() as queue:
            seen = queue.get(order.item_id)
        if (seen.run_id, seen.fence) != (order.run_id, order.fence) or not seen.owner_session.startswith(f"{ENGINE}:"):
            return self._crew.word(order.run_id, key)
        if why == CANCELLED_IN_TEMPORAL:
            self._cancel(order.run_id, key, "cancelled")
        elif why == WORKER_LOST and self._lives(key, seen.beat):
            return ALIVE
        else:
            self.runs.rescue(self.bench.actor, seen, reason=why)
        self._over()
        word = self._crew.word(order.run_id, key)
        return ALIVE if word == STRAY else word

    def _lives(self, key: Key, beat: int) -> bool:
        """Say whether a step renews its lease: its process is cut off from Temporal, and not from the database.

        An agent whose lease is not renewed stands still before we are through: nobody who takes over meets it at work.
        """
        deadline = time.monotonic() + max(self.options.heartbeat_seconds, _MOST_BEAT_SECONDS * _BEATS)
        while time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            with self.keeper.links.look() as queue:
                item = queue.get(key[0])
            if item.fence != key[1] or item.beat != beat:
                return item.fence == key[1]
        return False

    def _over(self) -> None:
        self.keeper.moved()
        if self._waiter is not None:
            self._waiter.rouse()


def _shown(repository: str | None) -> str:
    """Return a repository's name without what proves anybody: Temporal's operators read it."""
    if not repository or "://" not in repository:
        return repository or ""
    parts = urlsplit(repository)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
