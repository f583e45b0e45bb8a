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
    node_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ItemCompleted(Event):
    """The holder finished the item."""

    kind = "item.completed"
    calming = True
    owner_session: str
    fence: int
    duration_ms: int | None
    """From the claim on."""


@dataclass(frozen=True, kw_only=True)
class ItemFailed(Event):
    """The item failed for good."""

    kind = "item.failed"
    calming = True
    fence: int
    reason: str
    duration_ms: int | None


@dataclass(frozen=True, kw_only=True)
class ItemReturned(Event):
    """The holder failed for a reason that may pass; the item is tried again later."""

    kind = "item.returned"
    calming = True
    fence: int
    attempt: int
    reason: str
    not_before_ms: int


@dataclass(frozen=True, kw_only=True)
class ItemReleased(Event):
    """The holder gave the item back without using up an attempt."""

    kind = "item.released"
    calming = True
    owner_session: str = ""
    fence: int


@dataclass(frozen=True, kw_only=True)
class ItemRescued(Event):
    """The holder was given up and the item made claimable again."""

    kind = "item.rescued"
    calming = True
    fence: int
    attempt: int
    reason: str
    lost_owner: str
    not_before_ms: int | None


@dataclass(frozen=True, kw_only=True)
class ItemCancelled(Event):
    """An operator stopped the item."""

    kind = "item.cancelled"
    calming = True
    previous_status: str
    fence: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class ItemReplanned(Event):
    """An operator sent the item back to planning."""

    kind = "item.replanned"
    previous_status: str
    status: str
    fence: int
    notes: str


@dataclass(frozen=True, kw_only=True)
class ItemRetried(Event):
    """An operator gave the item another attempt."""

    kind = "item.retried"
    attempt: int
    not_before_ms: int | None
    reason: str
    previous_status: str


@dataclass(frozen=True, kw_only=True)
class ItemSnoozed(Event):
    """The item waits until an instant, or no longer."""

    kind = "item.snoozed"
    not_before_ms: int | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class ItemReprioritised(Event):
    """The item has another priority."""

    kind = "item.reprioritised"
    previous_priority: str
    priority: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ItemImported(Event):
    """A row of a Markdown queue came into the database."""

    kind = "item.imported"
    status: str
    priority: str
    replaced: bool


@dataclass(frozen=True, kw_only=True)
class QueuePaused(Event):
    """Nothing is claimed until an instant, or until somebody resumes."""

    kind = "queue.paused"
    reason: str
    until_ms: int | None


@dataclass(frozen=True, kw_only=True)
class QueueResumed(Event):
    """Items are claimed again."""

    kind = "queue.resumed"


@dataclass(frozen=True, kw_only=True)
class BulkBegun(Event):
    """A server began to move many items; each of them tells its own move."""

    kind = "bulk.begun"
    calming = True  # whether the verb may be used now is asked before
    verb: str
    matched: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class BulkEnded(Event):
    """All were looked at (done), somebody stopped it (stopped), or it could not go on (failed)."""

    kind = "bulk.ended"
    calming = True
    status: str
    changed: int
    unchanged: int
    refused: int
    message: str


@dataclass(frozen=True, kw_only=True)
class ConcurrencySet(Event):
    """A concurrency key, or a `repository:…`, `agent:…`, `node:…`, has another limit."""

    kind = "concurrency.set"
    most: int | None
    """None: it has none any more."""


@dataclass(frozen=True, kw_only=True)
class MarkdownRowChanged(Event):
    """A row was changed in a Markdown queue, which owns it; told after the file was written."""

    kind = "markdown.changed"
    calming = True  # the file has been written; that it may be is asked before
    path: str
    """From the workspace's folder on."""
    verb: str
    previous_status: str | None
    """None: the row is new."""
    status: str
    file_digest: str
    """Of the whole file after the change."""
    duration_ms: int | None = None
    """From the start on, where the verb ended the work."""
    told_for: str | None = None
    """Who changed the file, where that call was cut off and another one tells it."""


@dataclass(frozen=True, kw_only=True)
class MarkdownRendered(Event):
    """All rows of a Markdown queue, which owned them, were replaced by the database's."""

    kind = "markdown.rendered"
    calming = True  # the file has been written; that it may be is asked before
    path: str
    rows: int
    window: bool
    """Whether the database owns the file from now on."""
    file_digest: str
    told_for: str | None = None
