"""One verb for many items in a process that lives long: shown first, then carried out in the background.

What was shown is what may be moved: a preview keeps whom its filter meant, and as what. Who came to match it since is
not touched, and who moved since is left alone, as `queue.bulk` has it. A preview is kept for a quarter of an hour, and
nothing of it outlives the process; what was done stands in the log, with its beginning and its end.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Literal

from interlock.access.models import Actor
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError, Invalid
from interlock.queue.bulk import Preview, Progress, Verb, move_each
from interlock.queue.errors import BulkBusy, BulkNotFound, BulkTooLarge, ItemStateConflict
from interlock.queue.events import BulkBegun, BulkEnded
from interlock.queue.models import FIRST, Filter, Item, Meant
from interlock.queue.service import EVERYTHING, Queue
from interlock.queue.words import checked_line, checked_priority

_LOG = logging.getLogger("interlock.queue")
MOST_ITEMS = 1_000_000
MOST_NAMED = 1_000
_SAMPLE = 10
_KEPT = 20
_MOST_KEPT_ITEMS = 2_000_000
_PREVIEW_MS = 15 * 60_000
_PATIENCE_SECONDS = 60.0
_CHOOSING_SECONDS = 10.0
_FOLLOWED = 4_000
"""So many events what follows the log takes at a time."""

VerbName = Literal["cancel", "replan", "retry", "reprioritise"]
Status = Literal["preview", "running", "done", "stopped", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """A verb with what it needs; raises `Invalid` for words that it can not take."""

    verb: VerbName
    reason: str = ""
    to: str | None = None

    def __post_init__(self) -> None:
        """Refuse what every single item would be refused for."""
        if not checked_line(self.reason, "reason") and self.verb == "replan":
            raise Invalid("the notes are blank", hint="say what has to be planned anew: reason")
        if (self.to is None) != (self.verb != "reprioritise"):
            raise Invalid("`to` is the priority that `reprioritise` gives, and belongs to no other verb")
        if self.to is not None:
            checked_priority(self.to)

    @property
    def outcome(self) -> str:
        """Say what the items would do, as the command line does."""
        return {
            "cancel": "become BLOCKED",
            "replan": "become PENDING, what is IN_PROGRESS becomes BLOCKED",
            "retry": "become PENDING after their back-off, with one attempt more",
            "reprioritise": f"get the priority {self.to}",
        }[self.verb]

    def on(self, queue: Queue, seen: Item) -> Item:
        """Do it to one item, as it was seen."""
        match self.verb:
            case "cancel":
                return queue.cancel(seen.id, reason=self.reason, seen=seen)
            case "replan":
                return queue.replan(seen.id, self.reason, seen=seen)
            case "retry":
                return queue.retry(seen.id, reason=self.reason, seen=seen)
            case "reprioritise":
                return queue.reprioritise(seen.id, self.to or "", reason=self.reason, seen=seen)


@dataclass(slots=True, kw_only=True)
class Bulk:
    """One verb for many items, and how far it is."""

    id: str
    by: str
    deed: Deed
    preview: Preview
    progress: Progress
    made_ms: int
    meant: Sequence[Meant]
    """Whom it still has to look at; let go when it has ended."""
    status: Status = "preview"
    message: str = ""
    """Why it failed."""
    began_ms: int | None = None
    ended_ms: int | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


@dataclass(frozen=True, slots=True)
class Bulks:
    """The bulks of this process."""

    open: Callable[[Actor], AbstractContextManager[Queue]]
    look: Callable[[], AbstractContextManager[Queue]]
    new_ulid: Callable[[], str]
    clock: Clock
    _known: dict[str, Bulk] = field(default_factory=dict[str, Bulk])
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _choosing: threading.Lock = field(default_factory=threading.Lock)

    def preview(self, actor: Actor, deed: Deed, which: Filter, ids: Sequence[str] | None = None) -> Bulk:
        """Choose the items of a filter, or those that are named; changes nothing. Raises `BulkBusy` under a crowd."""
        meant, sample = self._chosen(which, ids)
        counted = Counter(each.status.value for each in meant)
        bulk = Bulk(
            id=f"qb_{self.new_ulid()}",
            by=str(actor.principal),
            deed=deed,
            preview=Preview(len(meant), dict(sorted(counted.items())), sample),
            progress=Progress(of=len(meant)),
            made_ms=self.clock(),
            meant=meant,
        )
        with self._lock:
            self._known[bulk.id] = bulk
            self._forget()
        return bulk

    def _chosen(self, which: Filter, ids: Sequence[str] | None) -> tuple[Sequence[Meant], Sequence[Item]]:
        """Resolve a filter, one at a time: while it is read, each item takes half a kilobyte."""
        if not self._choosing.acquire(timeout=_CHOOSING_SECONDS):
            raise BulkBusy("another bulk is just being shown")
        try:
            with self.look() as queue:
                return _named(queue, ids) if ids is not None else _filtered(queue, which)
        finally:
            self._choosing.release()

    def get(self, bulk_id: str) -> Bulk:
        """Return a bulk; raises `BulkNotFound`."""
        with self._lock:
            self._forget()
            bulk = self._known.get(bulk_id)
        if bulk is None:
            raise BulkNotFound(f"there is no bulk {bulk_id[:64]}")
        return bulk

    def list(self) -> Sequence[Bulk]:
        """List what was begun, the newest first."""
        with self._lock:
            return [bulk for bulk in reversed(self._known.values()) if bulk.status != "preview"]

    def run(self, actor: Actor, bulk_id: str, wrote: Callable[[], None]) -> Bulk:
        """Carry out what the same caller was shown, in the background; one that has begun is only returned."""
        bulk = self.get(bulk_id)
        if bulk.by != str(actor.principal):
            raise BulkNotFound(f"there is no bulk {bulk_id[:64]}", hint="who carries it out is who was shown it")
        with self._lock:
            if bulk.status != "preview":
                return bulk
            if any(each.status == "running" for each in self._known.values()):
                raise BulkBusy("another bulk is under way")
            with self.open(actor) as queue:
                if bulk.deed.verb != "cancel":
                    queue.thawed()
                queue.emit(
                    BulkBegun(subject=bulk.id, verb=bulk.deed.verb, matched=bulk.preview.count, reason=bulk.deed.reason)
                )
            bulk.status, bulk.began_ms = "running", self.clock()
            bulk.thread = threading.Thread(target=self._carry_out, args=(actor, bulk, wrote), name="bulk", daemon=True)
            bulk.thread.start()
        return bulk

    def stop(self, bulk_id: str) -> Bulk:
        """Let a bulk end with the transaction that is open; what is done stays done."""
        bulk = self.get(bulk_id)
        bulk.stopping.set()
        return bulk

    def close(self) -> None:
        """Stop all that is under way, and wait for it a while."""
        for bulk in self.list():
            bulk.stopping.set()
        for bulk in self.list():
            if bulk.thread is not None:
                bulk.thread.join(_PATIENCE_SECONDS)

    def _carry_out(self, actor: Actor, bulk: Bulk, wrote: Callable[[], None]) -> None:
        try:
            for progress in move_each(bulk.meant, _as_shown(bulk.deed.on), lambda: self.open(actor)):
                bulk.progress = progress
                if bulk.stopping.is_set():
                    break
            status: Status = "done" if bulk.progress.done == bulk.progress.of else "stopped"
        except InterlockError as error:
            status, bulk.message = "failed", error.message
        except Exception as error:  # noqa: BLE001 - a thread's last resort; whoever asks is told
            _LOG.warning("the bulk %s failed", bulk.id, exc_info=True)
            status, bulk.message = "failed", f"it could not go on ({type(error).__name__}); see the server's log"
        self._ended(actor, bulk, status, wrote)

    def _ended(self, actor: Actor, bulk: Bulk, status: Status, wrote: Callable[[], None]) -> None:
        bulk.meant, bulk.ended_ms = (), self.clock()
        told = BulkEnded(
            subject=bulk.id,
            status=status,
            changed=bulk.progress.changed,
            unchanged=bulk.progress.unchanged,
            refused=bulk.progress.refused.total(),
            message=bulk.message,
        )
        try:
            with self.open(actor) as queue:
                queue.emit(told)
                bulk.status = status  # whoever hears of it and asks finds it so
            for _ in range(0, bulk.progress.changed + 1, _FOLLOWED):
                wrote()
        except Exception:  # noqa: BLE001 - or it would be under way for ever, and no other could begin
            bulk.status = status
            _LOG.warning("the end of the bulk %s could not be told", bulk.id, exc_info=True)

    def _forget(self) -> None:
        """Let go what nobody will ask for: old previews, and the oldest of too many; never what is under way."""
        old = self.clock() - _PREVIEW_MS
        items = 0
        for place, (name, bulk) in enumerate(list(reversed(self._known.items()))):
            items += len(bulk.meant)
            is_stale = bulk.status == "preview" and bulk.made_ms < old
            is_too_much = place > 0 and (place >= _KEPT or items > _MOST_KEPT_ITEMS)
            if bulk.status != "running" and (is_stale or is_too_much):
                del self._known[name]


def _filtered(queue: Queue, which: Filter) -> tuple[Sequence[Meant], Sequence[Item]]:
    if replace(which, text=which.text or None) == EVERYTHING:  # every item holds the empty text
        raise Invalid("name items, or a filter such as the status FAILED")
    meant = queue.store.meant(which, MOST_ITEMS + 1)
    if len(meant) > MOST_ITEMS:
        raise BulkTooLarge(f"more than {MOST_ITEMS} items match")
    return meant, [item for item, _ in queue.store.page(which, FIRST, _SAMPLE)]


def _named(queue: Queue, ids: Sequence[str]) -> tuple[Sequence[Meant], Sequence[Item]]:
    items = [queue.get(item_id) for item_id in dict.fromkeys(ids)]
    return [Meant(each.id, each.status, each.fence, each.run_id) for each in items], items[:_SAMPLE]


def _as_shown(deed: Callable[[Queue, Item], Item]) -> Verb[Meant]:
    """Do it only to who stands as he was shown."""

    def verb(queue: Queue, meant: Meant) -> Item | Meant:
        seen = queue.get(meant.id)
        if (seen.status, seen.fence) != (meant.status, meant.fence):
            raise ItemStateConflict(f"{meant.id} changed while this was done")
        moved = deed(queue, seen)
        return meant if moved is seen else moved

    return verb
