"""What the inbox asks the other rooms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol


class WaitingDraft(NamedTuple):
    """A draft that waits for a decision."""

    id: str
    author: str
    updated_ms: int
    version: int
    prompt: str
    """Its beginning; empty where it was erased."""


class ExpiringRow(NamedTuple):
    """An approval of which nothing was made yet."""

    id: str
    draft_id: str
    approved_by: str
    approved_ms: int
    expires_ms: int
    prompt: str


class RunningRow(NamedTuple):
    """A run that goes on."""

    id: str
    item_id: str
    approved_id: str
    started_ms: int
    held_by: str | None
    priority: str
    last_ms: int | None
    """When it last said something."""


class AskingRow(NamedTuple):
    """A run of which the reconciler asks a person what to do."""

    id: str
    item_id: str
    approved_id: str
    verdict: str
    says: str
    since_ms: int
    held_by: str | None
    priority: str


class PendingRow(NamedTuple):
    """A run that has not begun."""

    id: str
    item_id: str
    approved_id: str
    created_ms: int
    priority: str


class FailedRow(NamedTuple):
    """A run that failed."""

    id: str
    item_id: str
    approved_id: str
    ended_ms: int
    reason: str | None
    message: str | None
    priority: str


class PipelineRow(NamedTuple):
    """A run of a pipeline that failed."""

    id: str
    name: str
    reason: str | None
    message: str | None
    ended_ms: int


class OpenAlertRow(NamedTuple):
    """An alert that nobody has acknowledged."""

    id: str
    source: str
    category: str
    severity: str
    opened_ms: int
    summary: str
    subjects: frozenset[str]
    """What it names: a loop's source, or the subject and what else an event or a probe told of."""


class LostRow(NamedTuple):
    """An item that is claimed by somebody who does not answer."""

    id: str
    run_id: str | None
    held_by: str | None
    since_ms: int
    reason: str


class LoopRow(NamedTuple):
    """A loop that is looked after, and is not as it should be."""

    id: str
    repo: str
    source: str
    """What alerts call it."""
    health: str
    reasons: Sequence[str]
    ambiguous: str | None
    """The intent of which nobody knows whether it took effect."""
    since_ms: int | None
    """When that intent was asked for; else when it was looked at last."""


class PanicRow(NamedTuple):
    """Panic mode."""

    by: str
    reason: str
    since_ms: int


class WaitingStore(Protocol):
    """Finds what waits, at most so much of it."""

    def drafts(self, limit: int) -> Sequence[WaitingDraft]:
        """List drafts that wait for a decision, the longest wait first."""
        ...

    def expiring(self, now: int, soon: int, at_once: int, limit: int) -> Sequence[ExpiringRow]:
        """List unused approvals that expire between now and `soon`, the first to expire first."""
        ...

    def running(self, before: int, limit: int) -> Sequence[RunningRow]:
        """List runs that began before an instant and have not ended, the oldest first."""
        ...

    def asking(self, limit: int) -> Sequence[AskingRow]:
        """List runs of which the reconciler asks a person what to do, the oldest verdict first."""
        ...

    def pending(self, before: int, limit: int) -> Sequence[PendingRow]:
        """List runs that were made before an instant and have not begun, the oldest first."""
        ...

    def failed(self, since: int, limit: int) -> Sequence[FailedRow]:
        """List runs that failed since an instant and that nobody has looked after, the oldest first."""
        ...

    def pipelines(self, limit: int) -> Sequence[PipelineRow]:
        """List pipelines whose last run failed and that nobody has looked after, the oldest first."""
        ...

    def alerts(self, limit: int) -> Sequence[OpenAlertRow]:
        """List alerts that nobody has acknowledged, the gravest and then the oldest first."""
        ...

    def judged_ms(self, loop: str, repo: str) -> int | None:
        """Return since when the log has a loop's last verdict; None where it has none among its newest."""
        ...


class Desk(NamedTuple):
    """What is in the database, as of one instant."""

    waiting: WaitingStore
    now: Callable[[], int]


Look = Callable[[], AbstractContextManager[Desk]]
Panicked = Callable[[], PanicRow | None]
Lost = Callable[[], Iterable[LostRow]]
Troubled = Callable[[], Iterable[LoopRow]]
