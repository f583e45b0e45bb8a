"""What the queue needs: its rows, and the word of whoever owns an item's run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from interlock.queue.models import Executor, Held, Item, ItemStatus, NewItem, WorkerProcess


class ItemStore(Protocol):
    """Reads and writes items inside the transaction that is open; every write is a compare-and-set."""

    def add(self, new: NewItem) -> Item:
        """Insert a PENDING, claimable item under the next ORCH number."""
        ...

    def get(self, item_id: str) -> Item | None:
        """Return an item, its row locked where the database locks rows."""
        ...

    def list(self, *, status: ItemStatus | None, limit: int) -> Sequence[Item]:
        """List items in the order in which they would be claimed."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Count items by status."""
        ...

    def claim(self, executor: Executor, owner_session: str, lease_ms: int) -> Item | None:
        """Lease the oldest claimable item of the highest priority, or return None."""
        ...

    def hold(self, item_id: str, fence: int) -> bool:
        """Say whether the item is held under this fence, and keep it so until the transaction ends."""
        ...

    def renew(self, owner_session: str) -> Mapping[str, int]:
        """Renew every lease of one holder; returns the ids still held with their fences."""
        ...

    def end(self, item_id: str, fence: int, status: ItemStatus, last_error: str) -> bool:
        """Move a held item to DONE or FAILED."""
        ...

    def give_back(self, item_id: str, fence: int, *, beat: int | None, burn: bool) -> bool:
        """Make a held item claimable again; `burn` counts the attempt, `beat` makes it conditional on silence."""
        ...

    def park(self, item_id: str, seen: Item, status: ItemStatus, note: str, waits_for: str | None) -> bool:
        """Move an item as it was seen to BLOCKED or PENDING by an operator's word; the holder loses it."""
        ...

    def requeue(self, item_id: str, seen: Item, note: str, not_before_ms: int | None) -> bool:
        """Make an ended item PENDING with one attempt more."""
        ...

    def held(self) -> Sequence[Held]:
        """List everything that is IN_PROGRESS under a lease."""
        ...

    def due(self, now_ms: int) -> bool:
        """Say whether `promote` would find anything; only reads."""
        ...

    def promote(self, now_ms: int) -> int:
        """Make items claimable whose `not_before` has passed; returns how many."""
        ...

    def register(self, worker: WorkerProcess) -> None:
        """Remember a worker's process."""
        ...


class ItemOwner(Protocol):
    """Moves what an item stands for, in the same transaction; raises to refuse the move."""

    def claimed(self, item: Item) -> None:
        """The item was leased."""
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
