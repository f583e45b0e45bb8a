"""One verb for many items: a filter is resolved once, then item after item moves in short transactions.

An item that moved since the filter was resolved is left alone. Between two transactions there is a pause, so that who
claims meanwhile never waits for the whole; stopping in between leaves what is done done, and the rest as it was.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from interlock.kernel.errors import Conflict, Unreachable
from interlock.queue.models import FIRST, Filter, Item, Place
from interlock.queue.service import Queue

MOST_PER_TRANSACTION = 500
_MOST_SECONDS = 0.02
"""A transaction ends after that, however few items it moved: nobody waits much longer than this for the write lock."""
_PAUSE_SECONDS = 0.005
_PAGE = 5_000
_SAMPLE = 10
_TRIES = 3


class Named(Protocol):
    """What many items are, each, to who moves them."""

    @property
    def id(self) -> str:
        """The item's."""
        ...

    @property
    def run_id(self) -> str | None:
        """Of the run that it stands for."""
        ...


Each = TypeVar("Each", bound=Named)
Verb = Callable[[Queue, Each], Item | Each]
"""Moves one item, as it was seen, or returns it as it was; raises `Conflict` where its state does not allow that."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a bulk would do."""

    count: int
    by_status: dict[str, int]
    sample: Sequence[Item]


@dataclass(slots=True)
class Progress:
    """How far a bulk is."""

    of: int
    changed: int = 0
    unchanged: int = 0
    """It was as it should become."""
    refused: Counter[str] = field(default_factory=Counter[str])
    """By error code."""
    examples: list[str] = field(default_factory=list[str])
    """Some of the refusals, in words."""

    @property
    def done(self) -> int:
        """How many items were looked at."""
        return self.changed + self.unchanged + self.refused.total()


@dataclass(frozen=True, slots=True)
class Chosen:
    """The items that a filter meant at one instant."""

    items: Sequence[Item]

    def preview(self) -> Preview:
        """Return how many there are, how they stand, and the first few."""
        counted = Counter(item.status.value for item in self.items)
        return Preview(len(self.items), dict(sorted(counted.items())), self.items[:_SAMPLE])


def choose(queue: Queue, which: Filter) -> Chosen:
    """Resolve a filter in the transaction that is open."""
    found: list[Item] = []
    place: Place | None = FIRST
    while place is not None:
        page = queue.store.page(which, place, _PAGE)
        found += [item for item, _ in page]
        place = page[-1][1] if len(page) == _PAGE else None
    return Chosen(found)


def move(
    chosen: Chosen, verb: Verb[Item], open_queue: Callable[[], AbstractContextManager[Queue]]
) -> Iterator[Progress]:
    """Move every item; yields after each transaction. Whoever stops asking has stopped the bulk."""
    return move_each(chosen.items, verb, open_queue)


def move_each(
    chosen: Sequence[Each], verb: Verb[Each], open_queue: Callable[[], AbstractContextManager[Queue]]
) -> Iterator[Progress]:
    """The same for whoever keeps less of each item than all of it."""
    items, progress = _portions(chosen), Progress(of=len(chosen))
    while progress.done < progress.of:
        portion = items[progress.done // MOST_PER_TRANSACTION][progress.done % MOST_PER_TRANSACTION :]
        told = _patiently(lambda portion=portion: _some(portion, verb, open_queue))
        # Counted only now, when it is committed.
        progress.changed += told.changed
        progress.unchanged += told.unchanged
        progress.refused += told.refused
        progress.examples = (progress.examples + told.examples)[:_SAMPLE]
        yield progress
        time.sleep(_PAUSE_SECONDS)


def _portions(items: Sequence[Each]) -> list[list[Each]]:
    """Cut in the queue's order; inside, in the order of ids: so locks everybody who locks several items."""
    cuts = range(0, len(items), MOST_PER_TRANSACTION)
    return [sorted(items[cut : cut + MOST_PER_TRANSACTION], key=lambda item: item.id) for cut in cuts]


def _some(items: Sequence[Each], verb: Verb[Each], open_queue: Callable[[], AbstractContextManager[Queue]]) -> Progress:
    """Move the first of these in one transaction, as many as its time allows."""
    told = Progress(of=len(items))
    with open_queue() as opened, opened.together() as queue:
        deadline = time.monotonic() + _MOST_SECONDS
        for item in items:
            _one(queue, item, verb, told)
            if time.monotonic() > deadline:
                break
    return told


def _one(queue: Queue, item: Each, verb: Verb[Each], told: Progress) -> None:
    try:
        # Only the owner of a run can object after the item was written.
        with queue.attempt() if item.run_id is not None else nullcontext():
            moved = verb(queue, item) is not item
        told.changed += moved
        told.unchanged += not moved
    except Conflict as error:
        told.refused[error.code] += 1
        if len(told.examples) < _SAMPLE:
            told.examples.append(error.message)


def _patiently(deed: Callable[[], Progress]) -> Progress:
    """Do a transaction again that did not come about: two bulks over the same items may have locked each other out."""
    for _ in range(_TRIES - 1):
        with suppress(Unreachable):
            return deed()
        time.sleep(_PAUSE_SECONDS * 10)
    return deed()
