"""An item and its states."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from interlock.kernel.transitions import Transitions


class ItemStatus(Enum):
    """Where an item stands; the words are the operators' own."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    BLOCKED = "BLOCKED"
    FAILED = "FAILED"
    DONE = "DONE"


MAY_BECOME = Transitions(
    {
        ItemStatus.PENDING: {ItemStatus.PENDING, ItemStatus.IN_PROGRESS, ItemStatus.BLOCKED, ItemStatus.FAILED},
        ItemStatus.IN_PROGRESS: {ItemStatus.PENDING, ItemStatus.BLOCKED, ItemStatus.FAILED, ItemStatus.DONE},
        ItemStatus.BLOCKED: {ItemStatus.PENDING, ItemStatus.BLOCKED},
        ItemStatus.FAILED: {ItemStatus.PENDING},
        ItemStatus.DONE: {ItemStatus.PENDING},
    }
)


class ItemKind(Enum):
    """Whose work an item is."""

    MANUAL = "manual"
    RUN = "run"


class Executor(Enum):
    """Who may claim an item."""

    EXTERNAL = "external"
    """An external session: it claims by command line or HTTP and reports back."""
    INTERLOCK = "interlock"
    """An Interlock worker, which runs the approved command."""


PRIORITY_RANK = {"P0": 0, "P1": 1, "P2": 2}
"""Lower goes first; anything else is last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One piece of work in the queue."""

    id: str
    status: ItemStatus
    priority: str
    kind: ItemKind
    executor: Executor
    run_id: str | None
    task: str
    success_criteria: str
    notes: str
    owner_session: str
    """`-` when nobody holds it."""
    started_at_kst: str
    due_at_kst: str
    fence: int
    """Rises at every claim, release, rescue, cancel and replan."""
    beat: int
    attempt_count: int
    max_attempts: int
    not_before_ms: int | None
    waits_for: str | None
    lease_ms: int
    lease_until_ms: int | None
    created_ms: int
    started_ms: int | None
    last_error: str
    idempotency_key: str | None
    concurrency_key: str | None
    needs: tuple[str, ...] = ()
    """Labels and capabilities, sorted: only who has them all takes it."""
    repository: str | None = None
    """What a limit `repository:…` counts it by; of a run's item the approved address."""
    agent: str | None = None
    """The same for `agent:…`."""
    node_id: str | None = None
    """The node that holds it now, where its holder said so."""
    aged: int = 0
    """How many priorities higher it counts, because it has waited long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """An item that is about to be added."""

    kind: ItemKind
    executor: Executor
    priority: str
    task: str
    success_criteria: str
    run_id: str | None = None
    max_attempts: int = 3
    due_at_kst: str = "-"
    notes: str = ""
    not_before_ms: int | None = None
    idempotency_key: str | None = None
    """The same key again is the same item."""
    concurrency_key: str | None = None
    """Of the items with one key, only so many are under way at the same time as its limit says."""
    needs: tuple[str, ...] = ()
    """Labels and capabilities that whoever takes it must have, `gpu` or `region=eu`."""
    repository: str | None = None
    agent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which items are meant; what is None does not matter."""

    status: ItemStatus | None = None
    priority: str | None = None
    owner: str | None = None
    created_before_ms: int | None = None
    text: str | None = None
    """Stands in id, task, criteria or notes, whatever the case of its letters."""
    need: str | None = None
    """A label that it asks for."""
    repository: str | None = None
    agent: str | None = None
    node_id: str | None = None
    """The node that holds it now."""


Place = tuple[int, int]
"""Where an item stands in the queue's order: its rank, and its number among all items of this database."""
FIRST: Place = (-1, -1)
LAST: Place = (2**31 - 1, 2**53)


@dataclass(frozen=True, slots=True)
class Meant:
    """An item as it stood when many were chosen."""

    id: str
    status: ItemStatus
    fence: int
    run_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds items, since when, and for how long at least."""

    owner_session: str
    items: int
    first_id: str
    since_ms: int | None
    lease_until_ms: int | None
    """The first of its leases that ends; None where it took none."""
    host: str | None
    """Of an Interlock worker: where its process is."""
    pid: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Nothing is claimed while it lasts."""

    paused_by: str
    reason: str
    since_ms: int
    until_ms: int | None
    """None: until somebody resumes."""

    def lasts(self, now_ms: int) -> bool:
        """Say whether it has not ended by itself."""
        return self.until_ms is None or self.until_ms > now_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """A concurrency key, or a `repository:…`, `agent:…`, `node:…`; its limit, and how far it is used."""

    key: str
    most: int
    held: int
    pending: int | None
    """What waits; None where that is not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taker:
    """Who takes items, and what it has to offer."""

    executor: Executor
    owner_session: str
    lease_ms: int
    has: frozenset[str] = frozenset()
    """Labels and capabilities."""
    node_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedUp:
    """A limit that is used up: its key, how many it allows, and who uses it (item id and owner, at most 20)."""

    key: str
    most: int
    holders: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HandRow:
    """A row of a Markdown queue on its way into the database."""

    id: str
    status: ItemStatus
    priority: str
    task: str
    success_criteria: str
    owner_session: str
    started_at_kst: str
    started_ms: int | None
    due_at_kst: str
    notes: str
    not_before_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Because:
    """One reason why an item stands as it does."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An item somebody holds, and what is known of the holder's process."""

    item: Item
    host: str | None
    boot_id: str | None
    pid: int | None
    start_time: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerProcess:
    """A worker as its own machine can find it again."""

    id: str
    host: str
    boot_id: str
    pid: int
    start_time: int
