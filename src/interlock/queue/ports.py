"""What the queue needs: its rows, and the word of whoever owns an item's run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from interlock.kernel.errors import InterlockError
from interlock.queue.models import (
    LAST,
    Concurrency,
    Executor,
    Filter,
    HandRow,
    Held,
    Holder,
    Item,
    ItemStatus,
    Meant,
    NewItem,
    Pause,
    Place,
    Taker,
    UsedUp,
    WorkerProcess,
)
from interlock.queue.trends import Span


class ItemStore(Protocol):
    """Reads and writes items inside the transaction that is open.

    Every write is a compare-and-set: it returns the item as it is then, or None where it was not as expected.
    """

    def add(self, new: NewItem) -> tuple[Item, bool]:
        """Insert a PENDING item under the next ORCH number; or find the one with its idempotency key (False)."""
        ...

    def get(self, item_id: str) -> Item | None:
        """Return an item."""
        ...

    def page(self, which: Filter, after: Place, limit: int, until: Place = LAST) -> Sequence[tuple[Item, Place]]:
        """List items behind a place and up to another, in the queue's order, each with its place."""
        ...

    def count(self, which: Filter) -> Mapping[str, int]:
        """Count the items that a filter names, by status."""
        ...

    def meant(self, which: Filter, limit: int) -> Sequence[Meant]:
        """List whom a filter names, in the queue's order."""
        ...

    def workers(self, limit: int) -> Sequence[Holder]:
        """List who holds items, by name."""
        ...

    def trend(self, span: Span) -> Sequence[tuple[int, str, int]]:
        """Add up what happened from a span's first minute on: place among its points, what, amount."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Count items by status, without looking at them."""
        ...

    def waiting(self, executor: Executor) -> bool:
        """Say whether anything is claimable; only reads."""
        ...

    def claim(self, taker: Taker) -> Item | None:
        """Lease the first claimable item that it may take and that no limit forbids, unless the queue is paused."""
        ...

    def hold(self, item_id: str, fence: int) -> bool:
        """Say whether the item is held under this fence, and keep it so until the transaction ends."""
        ...

    def beat(self, item_id: str, fence: int) -> Item | None:
        """Renew one lease."""
        ...

    def renew(self, owner_session: str) -> Mapping[str, int]:
        """Renew every lease of one holder; returns the ids still held with their fences."""
        ...

    def end(
        self, item_id: str, fence: int, status: ItemStatus, *, last_error: str, note: str, beat: int | None
    ) -> Item | None:
        """Move a held item to DONE or FAILED; `beat` makes it conditional on silence."""
        ...

    def give_back(
        self,
        item_id: str,
        fence: int,
        *,
        beat: int | None,
        burn: bool,
        not_before_ms: int | None = None,
        note: str = "",
        last_error: str = "",
    ) -> Item | None:
        """Make a held item PENDING again; `burn` counts the attempt, `beat` makes it conditional on silence."""
        ...

    def park(self, seen: Item, status: ItemStatus, note: str, waits_for: str | None) -> Item | None:
        """Move an item as it was seen to BLOCKED or PENDING by an operator's word; the holder loses it."""
        ...

    def requeue(self, seen: Item, note: str, not_before_ms: int | None) -> Item | None:
        """Make an item PENDING with one attempt more; the holder loses it."""
        ...

    def defer(self, seen: Item, note: str, not_before_ms: int | None) -> Item | None:
        """Let a PENDING item wait until an instant, or no longer."""
        ...

    def rank(self, seen: Item, priority: str, note: str) -> Item | None:
        """Give an item another priority."""
        ...

    def held(self) -> Sequence[Held]:
        """List everything that is IN_PROGRESS under a lease."""
        ...

    def unleased(self, started_before_ms: int) -> Sequence[Item]:
        """List what is IN_PROGRESS without a lease since before an instant, or since nobody knows when."""
        ...

    def stale(self, started_before_ms: int) -> int:
        """Count what is IN_PROGRESS since before an instant."""
        ...

    def due(self, now_ms: int) -> bool:
        """Say whether `promote` would find anything; only reads."""
        ...

    def ageing(self, before_ms: int) -> bool:
        """Say whether `age` would find anything; only reads."""
        ...

    def age(self, before_ms: int, span_ms: int, limit: int) -> int:
        """Let what stands in line since before an instant count as one priority higher; returns how many."""
        ...

    def promote(self, now_ms: int, limit: int) -> int:
        """Let items begin whose `not_before` has passed, and what a cut-off left waiting; returns how many, or keys."""
        ...

    def before(self, item: Item) -> int:
        """Count the claimable items that go before this one, up to 1,000."""
        ...

    def settle(self, concurrency_key: str) -> None:
        """Make the first items of a key claimable, as many as its limit leaves room for, and no others."""
        ...

    def set_concurrency(self, key: str, most: int) -> None:
        """Set a key's limit."""
        ...

    def concurrencies(self) -> Sequence[Concurrency]:
        """List the keys with their limits."""
        ...

    def holders(self, key: str) -> Sequence[tuple[str, str]]:
        """List who holds items of a key: item id and owner, at most 20."""
        ...

    def set_placement(self, key: str, most: int | None) -> None:
        """Set or remove the limit of a `repository:…`, `agent:…` or `node:…`."""
        ...

    def used_up(self, item: Item) -> Sequence[UsedUp]:
        """List the limits that let an item not begin, and the nodes that are full, at most 20."""
        ...

    def has_limits(self) -> bool:
        """Say whether there is any limit of a repository, agent or node."""
        ...

    def pause(self) -> Pause | None:
        """Return the pause that was set, also when it has ended by itself."""
        ...

    def set_pause(self, pause: Pause | None) -> None:
        """Pause the queue, or let it go on."""
        ...

    def take_in(self, rows: Collection[HandRow], max_attempts: int) -> Sequence[str]:
        """Insert rows whose ids are not there; returns their ids."""
        ...

    def take_over(self, row: HandRow) -> Item | None:
        """Replace a hand-written item by a row of the same id; None where it is not there, or belongs to a run."""
        ...

    def retries(self) -> int:
        """Count the retries ever made, by operators and by the rescuer."""
        ...

    def register(self, worker: WorkerProcess) -> None:
        """Remember a worker's process."""
        ...


class ItemOwner(Protocol):
    """Moves what an item stands for, in the same transaction; raises to refuse the move."""

    def claimed(self, item: Item) -> InterlockError | None:
        """The item was leased; returns what stands against working on it, and then it fails."""
        ...

    def completed(self, item: Item) -> None:
        """The item is DONE."""
        ...

    def failed(self, item: Item, reason: str, message: str) -> None:
        """The item is FAILED."""
        ...

    def given_back(self, item: Item, reason: str) -> None:
        """The item is claimable again."""
        ...

    def cancelled(self, item: Item, reason: str, message: str) -> None:
        """The item was stopped by an operator."""
        ...

    def retried(self, item: Item) -> None:
        """An operator wants another attempt of a FAILED item."""
        ...
