"""What a verb of a room needs of one transaction, put together over the database: the room's desk."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Generic, TypeVar

from interlock.access.models import Actor
from interlock.approval.models import Rung
from interlock.approval.ports import Desk
from interlock.kernel.events import Emit
from interlock.queue.service import Queue
from interlock.runs.moves import RunMoves
from interlock.runs.ports import RunDesk
from interlock.settings import Settings

if TYPE_CHECKING:
    from interlock.access.ports import Desk as AccessDesk
    from interlock.alerts.ports import Desk as AlertDesk
    from interlock.fleet.ports import Desk as FleetDesk
    from interlock.inbox.ports import Desk as InboxDesk
    from interlock.loops.ports import Desk as LoopDesk
    from interlock.runs.ports import FarDesk
    from interlock.storage.database import Database, Transaction
    from interlock.storage.queue import StoredItems
    from interlock.storage.runs import StoredRuns

Laid = TypeVar("Laid")


@dataclass(frozen=True)
class Transactions(Generic[Laid]):
    """The three ways to a room's desk."""

    database: Database
    lay: Callable[[Transaction], Laid]
    calming: bool | None = False
    """Whether panic lets its verbs pass; None where each event says so itself."""

    @contextmanager
    def open(self, actor: Actor, *, calming: bool = False) -> Generator[Laid]:
        """Write: state and events together. A `calming` verb passes while panic is on."""
        with self.database.write(actor, calming=calming or self.calming) as transaction:
            yield self.lay(transaction)

    @contextmanager
    def look(self) -> Generator[Laid]:
        """Read."""
        with self.database.read() as transaction:
            yield self.lay(transaction)

    @contextmanager
    def light(self) -> Generator[Laid]:
        """Write what is no event, such as a heartbeat."""
        with self.database.light() as transaction:
            yield self.lay(transaction)


@dataclass(frozen=True)
class Desks:
    """Each room's."""

    database: Database
    settings: Callable[[], Settings]
    """Asked each time: a published configuration changes them."""
    config_version: Callable[[], int]

    @cached_property
    def approval(self) -> Transactions[Desk]:
        """Drafts, approved records, the plan."""
        return Transactions(self.database, _approval)

    @cached_property
    def access(self) -> Transactions[AccessDesk]:
        """Tokens, sessions, panic."""
        return Transactions(self.database, _access)

    @cached_property
    def loops(self) -> Transactions[LoopDesk]:
        """Loops that are watched."""
        return Transactions(self.database, _loops, calming=None)

    @cached_property
    def fleet(self) -> Transactions[FleetDesk]:
        """Nodes, leaders, configurations."""
        return Transactions(self.database, _fleet)

    @cached_property
    def alerts(self) -> Transactions[AlertDesk]:
        """Alerts and what waits to be sent; panic stops none."""
        return Transactions(self.database, _alerts, calming=True)

    @cached_property
    def inbox(self) -> Transactions[InboxDesk]:
        """What waits for a person."""
        return Transactions(self.database, _inbox)

    @cached_property
    def providers(self) -> Transactions[Emit]:
        """What providers' verbs tell."""
        return Transactions(self.database, lambda transaction: transaction.emit)

    @cached_property
    def queue(self) -> Transactions[Queue]:
        """The queue itself: which of its verbs panic freezes, each knows."""
        return Transactions(self.database, self._queue, calming=None)

    @cached_property
    def runs(self) -> Transactions[RunDesk]:
        """Runs with their items and what was approved."""
        return Transactions(self.database, self._runs)

    @cached_property
    def far_runs(self) -> Transactions[FarDesk]:
        """Runs of workers that have no database."""
        return Transactions(self.database, self._far)

    def _queue(self, transaction: Transaction) -> Queue:
        items, runs = _queue_stores()
        return Queue(
            store=items(transaction),
            owner=RunMoves(
                runs(transaction),
                partial(_approval, transaction),
                transaction.emit,
                transaction.now,
                Rung(self.settings().runs.rung),
            ),
            emit=transaction.emit,
            now=transaction.now,
            wake=transaction.wake,
            attempt=transaction.attempt,
            thawed=transaction.thawed,
            options=self.settings().queue,
            nodes_that_have=partial(_nodes_that_have, transaction),
        )

    def _runs(self, transaction: Transaction) -> RunDesk:
        from interlock.storage.runs import StoredRuns
        from interlock.storage.truth import StoredTruths

        return RunDesk(
            runs=StoredRuns(transaction),
            truth=StoredTruths(transaction),
            queue=self._queue(transaction),
            approval=_approval(transaction),
            emit=transaction.emit,
            now=transaction.now,
            correlation_id=transaction.correlation_id,
            admit=partial(self._admit, transaction),
        )

    def _far(self, transaction: Transaction) -> FarDesk:
        from interlock.runs.ports import FarDesk
        from interlock.storage.far import StoredFar

        return FarDesk(run=self._runs(transaction), far=StoredFar(transaction))

    def _admit(self, transaction: Transaction, node_id: str) -> None:
        from interlock.storage.fleet import StoredNodes

        StoredNodes(transaction).admit(node_id, self.config_version())


def _nodes_that_have(transaction: Transaction, needs: frozenset[str]) -> int:
    """Count the nodes that are there and could take what needs this."""
    from interlock.storage.fleet import StoredConfigs, StoredNodes

    newest = StoredConfigs(transaction).newest()
    there = [node for node in StoredNodes(transaction).list() if node.standing(newest) in {"active", "behind"}]
    return sum(needs <= node.facts.has for node in there)


@cache
def _queue_stores() -> tuple[type[StoredItems], type[StoredRuns]]:
    """Import once what every transaction of the queue needs: an import statement costs each of them a microsecond."""
    from interlock.storage.queue import StoredItems
    from interlock.storage.runs import StoredRuns

    return StoredItems, StoredRuns


def _approval(transaction: Transaction) -> Desk:
    from interlock.storage.approval import StoredApproved, StoredContents, StoredDrafts, StoredPlan

    return Desk(
        drafts=StoredDrafts(transaction),
        approved=StoredApproved(transaction),
        plans=StoredPlan(transaction),
        contents=StoredContents(transaction),
        emit=transaction.emit,
        now=transaction.now,
    )


def _loops(transaction: Transaction) -> LoopDesk:
    from interlock.loops.ports import Desk as LoopDesk
    from interlock.storage.loops import StoredWatches

    return LoopDesk(watches=StoredWatches(transaction), emit=transaction.emit, now=transaction.now)


def _fleet(transaction: Transaction) -> FleetDesk:
    from interlock.fleet.ports import Desk as FleetDesk
    from interlock.storage.fleet import StoredConfigs, StoredKeys, StoredLeaders, StoredNodes

    return FleetDesk(
        keys=StoredKeys(transaction),
        nodes=StoredNodes(transaction),
        leaders=StoredLeaders(transaction),
        configs=StoredConfigs(transaction),
        emit=transaction.emit,
        now=transaction.now,
    )


def _alerts(transaction: Transaction) -> AlertDesk:
    from interlock.alerts.ports import Desk as AlertDesk
    from interlock.storage.alerts import StoredAlerts

    return AlertDesk(alerts=StoredAlerts(transaction), emit=transaction.emit, now=transaction.now)


def _access(transaction: Transaction) -> AccessDesk:
    from interlock.access.ports import Desk as AccessDesk
    from interlock.storage.access import StoredPanic, StoredSessions, StoredTokens

    return AccessDesk(
        tokens=StoredTokens(transaction),
        sessions=StoredSessions(transaction),
        panic=StoredPanic(transaction),
        emit=transaction.emit,
        now=transaction.now,
    )


def _inbox(transaction: Transaction) -> InboxDesk:
    from interlock.inbox.ports import Desk as InboxDesk
    from interlock.storage.inbox import StoredWaiting

    return InboxDesk(StoredWaiting(transaction), transaction.now)
