"""The queue's verbs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from interlock.kernel.clock import Clock
from interlock.kernel.events import Emit
from interlock.queue.errors import AttemptsExhausted, ItemNotFound, ItemStateConflict, LeaseLost
from interlock.queue.events import (
    ItemAdded,
    ItemCancelled,
    ItemClaimed,
    ItemCompleted,
    ItemFailed,
    ItemReleased,
    ItemReplanned,
    ItemRescued,
    ItemRetried,
)
from interlock.queue.models import MAY_BECOME, Executor, Item, ItemKind, ItemStatus, NewItem
from interlock.queue.options import QueueOptions
from interlock.queue.ports import ItemOwner, ItemStore


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue, bound to one open transaction."""

    store: ItemStore
    owner: ItemOwner
    emit: Emit
    now: Clock
    wake: Callable[[], None]
    options: QueueOptions

    def add(self, new: NewItem) -> Item:
        """Put an item on the queue."""
        item = self.store.add(new)
        self.emit(
            ItemAdded(
                subject=item.id,
                item_kind=item.kind.value,
                executor=item.executor.value,
                priority=item.priority,
                run_id=item.run_id,
            )
        )
        self.wake()
        return item

    def get(self, item_id: str) -> Item:
        """Return an item; raises `ItemNotFound`."""
        item = self.store.get(item_id)
        if item is None:
            raise ItemNotFound(f"there is no item {item_id[:64]!a}")
        return item

    def list(self, *, status: ItemStatus | None = None, limit: int = 100) -> Sequence[Item]:
        """List items in the order in which they would be claimed."""
        return self.store.list(status=status, limit=limit)

    def counts(self) -> Mapping[str, int]:
        """Count items by status; every status is there."""
        return {status.value: 0 for status in ItemStatus} | dict(self.store.counts())

    def claim(self, executor: Executor, owner_session: str) -> Item | None:
        """Lease the oldest item of the highest priority, or return None."""
        item = self.store.claim(executor, owner_session, self.options.lease_seconds * 1000)
        if item is None:
            return None
        self._owner(item).claimed(item)
        self.emit(
            ItemClaimed(subject=item.id, owner_session=owner_session, fence=item.fence, attempt=item.attempt_count + 1)
        )
        return item

    def hold(self, item_id: str, fence: int) -> None:
        """Make sure that the item is still held under this fence; raises `LeaseLost`."""
        if not self.store.hold(item_id, fence):
            raise LeaseLost(f"{item_id} is not held under fence {fence} any more")

    def renew(self, owner_session: str) -> Mapping[str, int]:
        """Renew every lease of one holder; returns what it still holds (id → fence). Not an event."""
        return self.store.renew(owner_session)

    def complete(self, item_id: str, fence: int) -> Item:
        """Finish a held item."""
        if not self.store.end(item_id, fence, ItemStatus.DONE, ""):
            raise LeaseLost(f"{item_id} is not held under fence {fence} any more")
        item = self.get(item_id)
        self._owner(item).completed(item)
        self.emit(ItemCompleted(subject=item.id, owner_session=item.owner_session, fence=fence))
        return item

    def fail(self, item_id: str, fence: int, *, reason: str, message: str) -> Item:
        """End a held item as FAILED."""
        if not self.store.end(item_id, fence, ItemStatus.FAILED, message):
            raise LeaseLost(f"{item_id} is not held under fence {fence} any more")
        item = self.get(item_id)
        self._owner(item).failed(item, reason, message)
        self.emit(ItemFailed(subject=item.id, fence=fence, reason=reason))
        return item

    def release(self, item_id: str, fence: int) -> Item:
        """Give a held item back; no attempt is used up, and the old holder is shut out."""
        if not self.store.give_back(item_id, fence, beat=None, burn=False):
            raise LeaseLost(f"{item_id} is not held under fence {fence} any more")
        item = self.get(item_id)
        self._owner(item).given_back(item, "released")
        self.emit(ItemReleased(subject=item.id, fence=item.fence))
        self.wake()
        return item

    def rescue(self, seen: Item, *, reason: str) -> Item | None:
        """Take an item from a holder that was seen dead; None if it moved or gave a sign of life meanwhile."""
        if seen.attempt_count + 1 >= seen.max_attempts:
            return self._give_up(seen, reason)
        if not self.store.give_back(seen.id, seen.fence, beat=seen.beat, burn=True):
            return None
        item = self.get(seen.id)
        self._owner(item).given_back(item, reason)
        self.emit(
            ItemRescued(
                subject=item.id,
                fence=item.fence,
                attempt=item.attempt_count,
                reason=reason,
                lost_owner=seen.owner_session,
            )
        )
        self.wake()
        return item

    def _give_up(self, seen: Item, reason: str) -> Item | None:
        message = f"its worker was lost ({reason}) in attempt {seen.attempt_count + 1} of {seen.max_attempts}"
        still = self.store.get(seen.id)
        if (
            still is None
            or still.beat != seen.beat
            or not self.store.end(seen.id, seen.fence, ItemStatus.FAILED, message)
        ):
            return None
        item = self.get(seen.id)
        self._owner(item).failed(item, "attempts_exhausted", message)
        self.emit(ItemFailed(subject=item.id, fence=item.fence, reason="attempts_exhausted"))
        return item

    def cancel(self, item_id: str, *, reason: str = "") -> Item:
        """Stop an item: it becomes BLOCKED, its holder loses it, its run is cancelled."""
        seen = self.get(item_id)
        if not MAY_BECOME.allows(seen.status, ItemStatus.BLOCKED):
            raise ItemStateConflict(f"cannot cancel terminal item: {seen.id} ({seen.status.value})")
        note = f"cancelled_by_operator: {reason}" if reason else "cancelled_by_operator"
        self._must(self.store.park(seen.id, seen, ItemStatus.BLOCKED, note, None), seen)
        item = self.get(seen.id)
        self._owner(item).cancelled(item, "cancelled_by_operator", reason)
        self.emit(ItemCancelled(subject=item.id, previous_status=seen.status.value, fence=item.fence))
        return item

    def replan(self, item_id: str, notes: str) -> Item:
        """Send an item back to planning: IN_PROGRESS becomes BLOCKED, everything else PENDING.

        The item of a run then waits for a new approved draft: the old run never runs again.
        """
        seen = self.get(item_id)
        status = ItemStatus.BLOCKED if seen.status is ItemStatus.IN_PROGRESS else ItemStatus.PENDING
        waits_for = "approval" if seen.kind is ItemKind.RUN else None
        self._must(self.store.park(seen.id, seen, status, f"replan:{notes.strip()}", waits_for), seen)
        item = self.get(seen.id)
        self._owner(item).cancelled(item, "replanned", notes.strip())
        self.emit(
            ItemReplanned(
                subject=item.id, previous_status=seen.status.value, status=item.status.value, fence=item.fence
            )
        )
        self.wake()
        return item

    def retry(self, item_id: str, *, backoff: bool = True) -> Item:
        """Give a FAILED item another attempt."""
        seen = self.get(item_id)
        if seen.attempt_count + 1 > seen.max_attempts:
            raise AttemptsExhausted(f"max attempts reached: {seen.id} ({seen.attempt_count}/{seen.max_attempts})")
        if seen.status is not ItemStatus.FAILED:
            raise ItemStateConflict(f"retry allowed only for FAILED items: {seen.id} ({seen.status.value})")
        not_before = self.now() + self.options.backoff_ms(seen.attempt_count) if backoff else None
        note = f"retry_not_before={not_before // 1000}" if not_before else "retry_requested"
        self._must(self.store.requeue(seen.id, seen, note, not_before), seen)
        item = self.get(seen.id)
        self._owner(item).retried(item)
        self.emit(ItemRetried(subject=item.id, attempt=item.attempt_count + 1, not_before_ms=not_before))
        self.wake()
        return item

    def promote(self) -> int:
        """Make items claimable whose time has come; returns how many. Not an event: nothing was decided."""
        promoted = self.store.promote(self.now())
        if promoted:
            self.wake()
        return promoted

    def _must(self, done: bool, seen: Item) -> None:  # noqa: FBT001 - a compare-and-set's answer
        if not done:
            raise ItemStateConflict(
                f"{seen.id} changed while this was done", hint="look at it again and repeat what you still want"
            )

    def _owner(self, item: Item) -> ItemOwner:
        return self.owner if item.run_id is not None else _NOBODY


class _Nobody:
    """The owner of an item that stands for itself."""

    def claimed(self, item: Item) -> None: ...
    def completed(self, item: Item) -> None: ...
    def failed(self, item: Item, reason: str, message: str) -> None: ...
    def given_back(self, item: Item, reason: str) -> None: ...
    def cancelled(self, item: Item, reason: str, message: str) -> None: ...
    def retried(self, item: Item) -> None: ...


_NOBODY = _Nobody()
