"""What happens to items."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.kernel.events import Event


@dataclass(frozen=True, kw_only=True)
class ItemAdded(Event):
    """An item was put on the queue."""

    kind = "item.added"
    item_kind: str
    executor: str
    priority: str
    run_id: str | None


@dataclass(frozen=True, kw_only=True)
class ItemClaimed(Event):
    """A session took the item under a lease."""

    kind = "item.claimed"
    owner_session: str
    fence: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class ItemCompleted(Event):
    """The holder finished the item."""

    kind = "item.completed"
    owner_session: str
    fence: int


@dataclass(frozen=True, kw_only=True)
class ItemFailed(Event):
    """The item failed for good."""

    kind = "item.failed"
    fence: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class ItemReleased(Event):
    """The holder gave the item back without using up an attempt."""

    kind = "item.released"
    fence: int


@dataclass(frozen=True, kw_only=True)
class ItemRescued(Event):
    """The holder was given up and the item made claimable again."""

    kind = "item.rescued"
    fence: int
    attempt: int
    reason: str
    lost_owner: str


@dataclass(frozen=True, kw_only=True)
class ItemCancelled(Event):
    """An operator stopped the item."""

    kind = "item.cancelled"
    previous_status: str
    fence: int


@dataclass(frozen=True, kw_only=True)
class ItemReplanned(Event):
    """An operator sent the item back to planning."""

    kind = "item.replanned"
    previous_status: str
    status: str
    fence: int


@dataclass(frozen=True, kw_only=True)
class ItemRetried(Event):
    """An operator gave the item another attempt."""

    kind = "item.retried"
    attempt: int
    not_before_ms: int | None
