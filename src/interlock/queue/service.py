"""The queue's verbs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

from interlock.kernel.canonical import MAX_INTEGER
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError, Invalid
from interlock.kernel.events import Emit, Event
from interlock.queue.errors import (
    AttemptsExhausted,
    IdempotencyKeyReused,
    ItemNotFound,
    ItemStateConflict,
    LeaseLost,
    NotesBlank,
)
from interlock.queue.events import (
    ConcurrencySet,
    ItemAdded,
    ItemCancelled,
    ItemClaimed,
    ItemCompleted,
    ItemFailed,
    ItemReleased,
    ItemReplanned,
    ItemReprioritised,
    ItemRescued,
    ItemRetried,
    ItemReturned,
    ItemSnoozed,
    QueuePaused,
    QueueResumed,
)
from interlock.queue.explain import Facts, because
from interlock.queue.models import (
    FIRST,
    MAY_BECOME,
    Because,
    Executor,
    Filter,
    Item,
    ItemKind,
    ItemStatus,
    NewItem,
    Pause,
    Taker,
)
from interlock.queue.options import QueueOptions
from interlock.queue.ports import ItemOwner, ItemStore
from interlock.queue.trends import Point, Span, points
from interlock.queue.words import (
    checked_address,
    checked_instant,
    checked_label,
    checked_line,
    checked_new,
    checked_owner,
    checked_priority,
    checked_words,
    placed,
    storable,
)

EVERYTHING = Filter()
_ENDED = {ItemStatus.DONE, ItemStatus.FAILED}
_MINUTE_MS = 60_000
_MOST_LEASE_SECONDS = 7 * 24 * 3600
_MOST_PROMOTED = 1_000
_MOST_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue, bound to one open transaction."""

    store: ItemStore
    owner: ItemOwner
    emit: Emit
    now: Clock
    wake: Callable[[], None]
    attempt: Callable[[], AbstractContextManager[None]]
    """Undoes what is done inside if it raises; the transaction goes on."""
    thawed: Callable[[], None]
    """Raises `Frozen` while panic is on; asked by every verb that begins something or steers what waits."""
    options: QueueOptions
    unsettled: set[str] | None = None
    """The keys whose limits are settled later; None where that is done at once."""
    nodes_that_have: Callable[[frozenset[str]], int | None] = lambda _: None
    """Counts the live nodes that have such labels and capabilities; None: nobody knows."""

    # --- what there is ------------------------------------------------------------------------------------------------

    def add(self, new: NewItem) -> Item:
        """Put an item on the queue; with an idempotency key that is known, return the item that has it."""
        self.thawed()
        new = checked_new(new)
        item, made = self.store.add(new)
        if not made:
            if (item.task, item.success_criteria) != (new.task, new.success_criteria):
                raise IdempotencyKeyReused(f"the idempotency key belongs to {item.id}, which is another task")
            return item
        self._moved(
            item,
            ItemAdded(
                subject=item.id,
                item_kind=item.kind.value,
                executor=item.executor.value,
                priority=item.priority,
                run_id=item.run_id,
            ),
        )
        return item

    def get(self, item_id: str) -> Item:
        """Return an item; raises `ItemNotFound`."""
        item = self.store.get(item_id) if storable(item_id) else None
        if item is None:
            raise ItemNotFound(f"Row id not found: {item_id[:64]}")
        return item

    def list(self, which: Filter = EVERYTHING, *, limit: int = 100) -> Sequence[Item]:
        """List items in the order in which they would be claimed."""
        return [item for item, _ in self.store.page(which, FIRST, limit)]

    def counts(self) -> Mapping[str, int]:
        """Count items by status; every status is there."""
        return {status.value: 0 for status in ItemStatus} | dict(self.store.counts())

    def history(self, span: Span) -> Sequence[Point]:
        """Return the figures of a stretch of time, point by point."""
        return points(span, self.store.trend(span), self.store.counts())

    def explain(self, item_id: str) -> Sequence[Because]:
        """Say why an item waits, runs or stands still; the deciding reason first."""
        item = self.get(item_id)
        limits = {each.key: each.most for each in self.store.concurrencies()} if item.concurrency_key else {}
        return because(
            Facts(
                item=item,
                now_ms=self.now(),
                pause=self.paused(),
                before=self.store.before(item),
                most=limits.get(item.concurrency_key or ""),
                holders=self.store.holders(item.concurrency_key) if item.concurrency_key else (),
                nodes=self.nodes_that_have(frozenset(item.needs)) if item.needs else None,
                used_up=self.store.used_up(item) if item.status is ItemStatus.PENDING else (),
            )
        )

    # --- for who works on items ---------------------------------------------------------------------------------------

    def claim(
        self,
        executor: Executor,
        owner_session: str,
        *,
        lease_seconds: int | None = None,
        has: frozenset[str] = frozenset(),
        node_id: str | None = None,
    ) -> Item | None:
        """Lease the oldest item of the highest priority, or return None. One that may not begin fails on the way.

        Only what asks for nothing beyond what the claimer `has` (labels and capabilities), and what no limit of its
        repository, its agent or the claimer's node forbids.
        """
        self.thawed()
        if lease_seconds is None:
            ours = executor is Executor.INTERLOCK
            lease_seconds = self.options.lease_seconds if ours else self.options.external_lease_seconds
        if not 1 <= lease_seconds <= _MOST_LEASE_SECONDS:
            raise Invalid(f"a lease lasts from 1 to {_MOST_LEASE_SECONDS} seconds, not {lease_seconds}")
        taker = Taker(
            executor=executor,
            owner_session=checked_owner(owner_session),
            lease_ms=lease_seconds * 1000,
            has=frozenset(map(checked_label, has)),
            node_id=None if node_id is None else checked_owner(node_id, "node"),
        )
        while (item := self._lease(taker)) is not None:
            refusal = self._owner(item).claimed(item)
            self.emit(
                ItemClaimed(
                    subject=item.id,
                    owner_session=item.owner_session,
                    fence=item.fence,
                    attempt=item.attempt_count + 1,
                    node_id=node_id,
                )
            )
            if refusal is None:
                return item
            self.fail(item.id, item.fence, reason=refusal.code, message=refusal.message)
        return None

    def _lease(self, taker: Taker) -> Item | None:
        item = self.store.claim(taker)
        if item is None and self.promote():  # where no worker runs, nobody has looked since its time came
            item = self.store.claim(taker)
        return item

    def hold(self, item_id: str, fence: int) -> None:
        """Make sure that the item is still held under this fence; raises `LeaseLost`."""
        if not (_nameable(item_id, fence) and self.store.hold(item_id, fence)):
            raise _lost(item_id, fence)

    def heartbeat(self, item_id: str, fence: int) -> Item:
        """Renew one lease; raises `LeaseLost`. Not an event."""
        self._check_named(item_id, fence)
        return self._held(self.store.beat(item_id, fence), item_id, fence)

    def renew(self, owner_session: str) -> Mapping[str, int]:
        """Renew every lease of one holder; returns what it still holds (id → fence). Not an event."""
        return self.store.renew(owner_session)

    def complete(self, item_id: str, fence: int, *, notes: str = "") -> Item:
        """Finish a held item."""
        note = checked_line(notes, "notes")
        self._check_named(item_id, fence)
        item = self._held(
            self.store.end(item_id, fence, ItemStatus.DONE, last_error="", note=note, beat=None), item_id, fence
        )
        self._owner(item).completed(item)
        self._moved(
            item,
            ItemCompleted(
                subject=item.id, owner_session=item.owner_session, fence=fence, duration_ms=self._duration(item)
            ),
        )
        return item

    def fail(
        self, item_id: str, fence: int, *, reason: str, message: str, transient: bool = False, notes: str = ""
    ) -> Item:
        """End a held item as FAILED; a transient failure is tried again after the back-off, while attempts last."""
        note, reason, message = (
            checked_line(notes, "notes"),
            checked_line(reason, "reason"),
            checked_words(message, "message"),
        )
        self._check_named(item_id, fence)
        seen = self.get(item_id)
        if transient and seen.attempt_count + 1 < seen.max_attempts:
            return self._return(seen, fence, reason=reason, message=message, note=note)
        item = self._held(
            self.store.end(item_id, fence, ItemStatus.FAILED, last_error=message, note=note, beat=None), item_id, fence
        )
        self._failed(item, reason, message)
        return item

    def _return(self, seen: Item, fence: int, *, reason: str, message: str, note: str) -> Item:
        not_before = self._later(seen)
        marker = _joined(note, _not_before(not_before))
        item = self._held(
            self.store.give_back(
                seen.id, fence, beat=None, burn=True, not_before_ms=not_before, note=marker, last_error=message
            ),
            seen.id,
            fence,
        )
        self._owner(item).given_back(item, reason)
        self._moved(
            item,
            ItemReturned(
                subject=item.id, fence=item.fence, attempt=item.attempt_count, reason=reason, not_before_ms=not_before
            ),
        )
        return item

    def release(self, item_id: str, fence: int, *, notes: str = "") -> Item:
        """Give a held item back; no attempt is used up, and the old holder is shut out."""
        note = checked_line(notes, "notes")
        seen = self.get(item_id)
        self._check_named(item_id, fence)
        item = self._held(self.store.give_back(item_id, fence, beat=None, burn=False, note=note), item_id, fence)
        self._owner(item).given_back(item, "released")
        self._moved(item, ItemReleased(subject=item.id, owner_session=seen.owner_session, fence=item.fence))
        return item

    def await_word(self, item_id: str, fence: int, *, waits_for: str) -> Item:
        """Give a held item back, unclaimable until `word_came`: nothing is left to do but to hear of something."""
        self.hold(item_id, fence)
        seen = self.get(item_id)
        item = self._as_seen(self.store.park(seen, ItemStatus.PENDING, f"waits_for={waits_for}", waits_for), seen)
        self._owner(item).given_back(item, f"waits_for_{waits_for}")
        self._moved(item, ItemReleased(subject=item.id, owner_session=seen.owner_session, fence=item.fence))
        return item

    def word_came(self, item_id: str, *, waits_for: str) -> None:
        """Let an item be claimed again that waits for this, if it does; whoever calls tells what came."""
        seen = self.get(item_id)
        if seen.status is ItemStatus.PENDING and seen.waits_for == waits_for:
            self.settle(self._as_seen(self.store.park(seen, ItemStatus.PENDING, f"{waits_for} reported", None), seen))
            self.wake()

    # --- the rescuer --------------------------------------------------------------------------------------------------

    def rescue(self, seen: Item, *, reason: str) -> Item | None:
        """Take an item from a holder that was seen dead; None if it moved or gave a sign of life meanwhile.

        What an Interlock worker held goes on at once with the next one: the work did not fail, its worker did. What a
        external session held comes back after the back-off, as that session may yet find its way back.
        """
        if seen.attempt_count + 1 >= seen.max_attempts:
            return self._give_up(seen, reason)
        not_before = None if seen.executor is Executor.INTERLOCK else self._later(seen)
        note = "" if not_before is None else _not_before(not_before)
        item = self.store.give_back(seen.id, seen.fence, beat=seen.beat, burn=True, not_before_ms=not_before, note=note)
        if item is None:
            return None
        self._owner(item).given_back(item, reason)
        self._moved(
            item,
            ItemRescued(
                subject=item.id,
                fence=item.fence,
                attempt=item.attempt_count,
                reason=reason,
                lost_owner=seen.owner_session,
                not_before_ms=not_before,
            ),
        )
        return item

    def _give_up(self, seen: Item, reason: str) -> Item | None:
        message = f"its worker was lost ({reason}) in attempt {seen.attempt_count + 1} of {seen.max_attempts}"
        item = self.store.end(seen.id, seen.fence, ItemStatus.FAILED, last_error=message, note="", beat=seen.beat)
        if item is not None:
            self._failed(item, "attempts_exhausted", message)
        return item

    def lost(self, *, stale_minutes: int | None = None) -> Sequence[tuple[Item, str]]:
        """List what nobody can be working on any more, by the database's clock, each with the reason.

        A single look can not know a stopped clock from a dead worker; so an Interlock worker, which beats every few
        seconds, is given one lease more.
        """
        now, minutes = self.now(), self.options.stale_minutes if stale_minutes is None else stale_minutes
        expired = [
            (each.item, "lease_expired")
            for each in self.store.held()
            if (each.item.lease_until_ms or 0) + _grace(each.item) <= now
        ]
        return [*expired, *((item, "stale") for item in self.store.unleased(now - minutes * _MINUTE_MS))]

    def waiting(self, executor: Executor) -> bool:
        """Say whether a claim could find anything; only reads, so that many who are woken for one item cost little."""
        return self.store.waiting(executor)

    def due(self) -> bool:
        """Say whether `promote` would find anything; only reads."""
        now, span = self.now(), self.options.ageing_seconds * 1000
        return self.store.due(now) or (span > 0 and self.store.ageing(now - span))

    def promote(self) -> int:
        """Let items begin whose time has come, and those count higher that have waited long; 0 when there is no more.

        At most 1,000 of each at once. Not an event: nobody decided.
        """
        self.thawed()
        now, span = self.now(), self.options.ageing_seconds * 1000
        promoted = self.store.promote(now, _MOST_PROMOTED) if self.store.due(now) else 0
        if promoted:
            self.wake()
        if span > 0 and self.store.ageing(now - span):
            promoted += self.store.age(now - span, span, _MOST_PROMOTED)
        return promoted

    # --- for operators ------------------------------------------------------------------------------------------------

    def cancel(
        self, item_id: str, *, reason: str = "", seen: Item | None = None, cause: str = "cancelled_by_operator"
    ) -> Item:
        """Stop an item: it becomes BLOCKED, its holder loses it, its run is cancelled, for a cause that is a code."""
        reason = checked_line(reason, "reason")
        seen = seen or self.get(item_id)
        if not MAY_BECOME.allows(seen.status, ItemStatus.BLOCKED):
            raise ItemStateConflict(f"cannot cancel terminal item: {seen.id} ({seen.status.value})")
        note = f"cancelled_by_operator: {reason}" if reason else "cancelled_by_operator"
        item = self._as_seen(self.store.park(seen, ItemStatus.BLOCKED, note, None), seen)
        self._stop_run(item, seen, cause, reason)
        self._moved(
            item,
            ItemCancelled(subject=item.id, previous_status=seen.status.value, fence=item.fence, reason=reason),
        )
        return item

    def replan(self, item_id: str, notes: str, *, seen: Item | None = None) -> Item:
        """Send an item back to planning: IN_PROGRESS becomes BLOCKED, everything else PENDING.

        The item of a run then waits for a new approved draft: the old run never runs again.
        """
        self.thawed()
        notes = checked_line(notes, "notes")
        if not notes:
            raise NotesBlank("the notes are blank")
        seen = seen or self.get(item_id)
        status = ItemStatus.BLOCKED if seen.status is ItemStatus.IN_PROGRESS else ItemStatus.PENDING
        waits_for = "approval" if seen.kind is ItemKind.RUN else None
        item = self._as_seen(self.store.park(seen, status, f"replan:{notes}", waits_for), seen)
        self._stop_run(item, seen, "replanned", notes)
        self._moved(
            item,
            ItemReplanned(
                subject=item.id,
                previous_status=seen.status.value,
                status=item.status.value,
                fence=item.fence,
                notes=notes,
            ),
        )
        return item

    def retry(self, item_id: str, *, reason: str = "", backoff: bool = True, seen: Item | None = None) -> Item:
        """Give an item that FAILED, or whose holder was lost, another attempt."""
        self.thawed()
        reason = checked_line(reason, "reason")
        seen = seen or self.get(item_id)
        if seen.attempt_count >= seen.max_attempts:
            raise AttemptsExhausted(f"max attempts reached: {seen.id} ({seen.attempt_count}/{seen.max_attempts})")
        timed_out = self._timed_out(seen)
        if seen.status is not ItemStatus.FAILED and not timed_out:
            raise ItemStateConflict(
                f"retry allowed only for FAILED or timed-out IN_PROGRESS in db mode: {seen.id} ({seen.status.value})"
            )
        not_before = self._later(seen) if backoff else None
        marker = "retry_requested" if not_before is None else _not_before(not_before)
        item = self._as_seen(self.store.requeue(seen, _joined(reason and f"retry: {reason}", marker), not_before), seen)
        if timed_out:
            self._owner(item).given_back(item, "lease_expired")
        else:
            self._owner(item).retried(item)
        self._moved(
            item,
            ItemRetried(
                subject=item.id,
                attempt=item.attempt_count + 1,
                not_before_ms=not_before,
                reason=reason,
                previous_status=seen.status.value,
            ),
        )
        return item

    def snooze(self, item_id: str, until_ms: int | None, *, reason: str = "") -> Item:
        """Let a PENDING item wait until an instant; None lets it go on now."""
        self.thawed()
        reason = checked_line(reason, "reason")
        seen = self.get(item_id)
        if seen.status is not ItemStatus.PENDING:
            raise ItemStateConflict(f"only a PENDING item can be snoozed: {seen.id} ({seen.status.value})")
        if seen.waits_for in {"approval", "ci"}:
            what = "a new approved draft" if seen.waits_for == "approval" else "the word of its CI"
            raise ItemStateConflict(f"{seen.id} waits for {what}, and for no instant")
        if until_ms is not None and checked_instant(until_ms, "the instant until which it waits") <= self.now():
            until_ms = None
        item = self._as_seen(self.store.defer(seen, reason and f"snooze: {reason}", until_ms), seen)
        self._moved(item, ItemSnoozed(subject=item.id, not_before_ms=until_ms, reason=reason))
        return item

    def reprioritise(self, item_id: str, priority: str, *, reason: str = "", seen: Item | None = None) -> Item:
        """Give an item another priority; what is DONE keeps the one that it had."""
        self.thawed()
        reason, priority = checked_line(reason, "reason"), checked_priority(priority)
        seen = seen or self.get(item_id)
        if seen.status is ItemStatus.DONE:
            raise ItemStateConflict(f"cannot reprioritise a finished item: {seen.id} (DONE)")
        if seen.priority == priority:
            return seen
        note = reason and f"{seen.priority}->{priority}: {reason}"
        item = self._as_seen(self.store.rank(seen, priority, note), seen)
        self._moved(
            item,
            ItemReprioritised(subject=item.id, previous_priority=seen.priority, priority=priority, reason=reason),
        )
        return item

    def pause(self, by: str, *, reason: str, until_ms: int | None = None) -> Pause:
        """Let nothing be claimed, until an instant or until somebody resumes; what is held goes on."""
        self.thawed()
        reason = checked_line(reason, "reason")
        if not reason:
            raise Invalid("the reason is blank", hint="say why nothing may start: --reason TEXT")
        now = self.now()
        if until_ms is not None and checked_instant(until_ms, "the pause's end") <= now:
            raise Invalid("the pause would have ended already")
        pause = Pause(paused_by=by, reason=reason, since_ms=now, until_ms=until_ms)
        self.store.set_pause(pause)
        self.emit(QueuePaused(subject="queue", reason=reason, until_ms=until_ms))
        return pause

    def paused(self) -> Pause | None:
        """Return the pause that lasts now."""
        pause = self.store.pause()
        return pause if pause is not None and pause.lasts(self.now()) else None

    def resume(self) -> bool:
        """Let items be claimed again; False where nothing stood against it."""
        self.thawed()
        paused = self.paused() is not None
        self.store.set_pause(None)
        if paused:
            self.emit(QueueResumed(subject="queue"))
        self.wake()
        return paused

    def limit(self, key: str, most: int | None) -> None:
        """Set how many items of a concurrency key may be under way at the same time.

        Or of a `repository:…`, an `agent:…`, a `node:…`, where None removes the limit.
        """
        self.thawed()
        if most is not None and not 0 <= most <= _MOST_LIMIT:
            raise Invalid(f"a limit is from 0 to {_MOST_LIMIT}, not {most}")
        place = placed(key)
        if place is not None:
            checked_address(place[1], place[0])
            self.store.set_placement(key, most)
        elif most is None:
            raise Invalid("a concurrency key always has a limit, one unless it is set; set another one")
        else:
            self.store.set_concurrency(checked_owner(key, "concurrency key"), most)
            self._settle(key)
        self.emit(ConcurrencySet(subject=key, most=most))
        self.wake()

    # --- many moves in one transaction --------------------------------------------------------------------------------

    @contextmanager
    def together(self) -> Generator[Queue]:
        """Move many items, one after another in the order of their ids; limits are settled after the last of them.

        Who held a key's limit and still asked for items would lock others out, and be locked out by them.
        """
        keys: set[str] = set()
        yield replace(self, unsettled=keys)
        for key in sorted(keys):
            self.store.settle(key)

    def settle(self, item: Item) -> None:
        """Where an item counts towards a limit, let the next one of its key begin."""
        if item.concurrency_key is not None:
            self._settle(item.concurrency_key)

    def _settle(self, key: str) -> None:
        if self.unsettled is None:
            self.store.settle(key)
        else:
            self.unsettled.add(key)

    # ------------------------------------------------------------------------------------------------------------------

    def _moved(self, item: Item, event: Event) -> None:
        """Tell what happened, and let who was held up by it go on."""
        self.settle(item)
        self.emit(event)
        if item.status not in _ENDED or item.concurrency_key is not None or self._was_counted(item):
            self.wake()

    def _was_counted(self, item: Item) -> bool:
        """Say whether its end may leave room below a limit; what has no agent is no run, and counts towards none."""
        return (item.agent is not None or item.repository is not None) and self.store.has_limits()

    def _stop_run(self, item: Item, seen: Item, reason: str, message: str) -> None:
        """Stop an item's run, unless it was stopped before: then it stays as it ended."""
        if seen.status is not ItemStatus.BLOCKED and seen.waits_for != "approval":
            self._owner(item).cancelled(item, reason, message)

    def _failed(self, item: Item, reason: str, message: str) -> None:
        self._owner(item).failed(item, reason, message)
        self._moved(
            item, ItemFailed(subject=item.id, fence=item.fence, reason=reason, duration_ms=self._duration(item))
        )

    def _later(self, seen: Item) -> int:
        return self.now() + self.options.backoff_ms(seen.attempt_count)

    def _duration(self, item: Item) -> int | None:
        return None if item.started_ms is None else max(0, self.now() - item.started_ms)

    def _timed_out(self, seen: Item) -> bool:
        if seen.status is not ItemStatus.IN_PROGRESS:
            return False
        if seen.lease_until_ms is not None:
            return seen.lease_until_ms <= self.now()
        return (seen.started_ms or 0) <= self.now() - self.options.stale_minutes * _MINUTE_MS

    def _check_named(self, item_id: str, fence: int) -> None:
        """Answer for an item and a fence that no database could be asked for."""
        if not _nameable(item_id, fence):
            self._held(None, item_id, fence)

    def _held(self, item: Item | None, item_id: str, fence: int) -> Item:
        if item is None:
            self.get(item_id)
            raise _lost(item_id, fence)
        return item

    def _as_seen(self, item: Item | None, seen: Item) -> Item:
        if item is None:
            raise ItemStateConflict(
                f"{seen.id} changed while this was done", hint="look at it again and repeat what you still want"
            )
        return item

    def _owner(self, item: Item) -> ItemOwner:
        return self.owner if item.run_id is not None else _NOBODY


def _nameable(item_id: str, fence: int) -> bool:
    return storable(item_id) and 0 <= fence <= MAX_INTEGER


def _lost(item_id: str, fence: int) -> LeaseLost:
    return LeaseLost(f"{item_id} is not held under fence {fence} any more")


def _grace(item: Item) -> int:
    return item.lease_ms if item.executor is Executor.INTERLOCK else 0


def _not_before(ms: int) -> str:
    return f"retry_not_before={ms // 1000}"


def _joined(*notes: str) -> str:
    return " | ".join(note for note in notes if note)


class _Nobody:
    """The owner of an item that stands for itself."""

    def claimed(self, item: Item) -> InterlockError | None: ...
    def completed(self, item: Item) -> None: ...
    def failed(self, item: Item, reason: str, message: str) -> None: ...
    def given_back(self, item: Item, reason: str) -> None: ...
    def cancelled(self, item: Item, reason: str, message: str) -> None: ...
    def retried(self, item: Item) -> None: ...


_NOBODY = _Nobody()
