"""Figures over time: what events add to a minute, and the points of a plot that minutes add up to. Pure.

Durations are counted in classes of a quarter of an octave each: a percentile is exact to a tenth of its value.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.kernel.errors import Invalid
from interlock.queue.models import Item

MINUTE_MS = 60_000
MOST_POINTS = 500
_MOST_MINUTES = 366 * 24 * 60
_DAY_MINUTES = 24 * 60
_CLASSES = 4
"""Of durations, in an octave."""
OPEN = ("PENDING", "IN_PROGRESS", "BLOCKED", "FAILED")
_ENDS = {
    "item.completed": ("completed", None),
    "item.failed": ("failed", "FAILED"),
    "item.returned": ("retried", "PENDING"),
    "item.rescued": ("retried", "PENDING"),
    "item.released": ("released", "PENDING"),
}
"""By kind of what ends a holding: what it is counted as, and how the item stands then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which minutes, and how many of them make a point."""

    first: int
    step: int
    points: int

    @classmethod
    def of(cls, from_ms: int | None, to_ms: int | None, points: int, now_ms: int) -> Span:
        """Cut a stretch of time, by default the last day, into at most so many points of whole minutes."""
        end = (now_ms if to_ms is None else to_ms) // MINUTE_MS + 1
        first = end - _DAY_MINUTES if from_ms is None else from_ms // MINUTE_MS
        if not 0 < end - first <= _MOST_MINUTES:
            raise Invalid("a history begins before it ends, and spans at most 366 days")
        step = -(-(end - first) // points)
        return cls(first=first, step=step, points=-(-(end - first) // step))

    def slot(self, minute: int) -> int:
        """Return the place of a minute among the points; beyond the last, `points`."""
        return min(self.points, (minute - self.first) // self.step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What happened in one stretch of time, and how many items stood how at its end."""

    at_ms: int
    counted: Mapping[str, int]
    wait_p50_ms: int | None
    """From being added to the first claim."""
    wait_p95_ms: int | None
    work_p50_ms: int | None
    """From a claim to its end."""
    work_p95_ms: int | None
    backlog: Mapping[str, int]


def amounts(event: Mapping[str, Any], time_ms: int, item: Item) -> Iterator[tuple[str, int]]:
    """Yield what an event of the log, which happened at an instant, adds to its minute."""
    kind, told = str(event["kind"]), event["payload"]
    match kind:
        case "item.added":
            yield from (("added", 1), ("PENDING", 1))
        case "item.imported" if not told["replaced"]:
            yield from (("added", 1), (str(told["status"]), 1))
        case "item.claimed":
            yield from (("claimed", 1), *_moved("PENDING", "IN_PROGRESS"))
            if told["fence"] == 1:
                yield f"wait:{_class(time_ms - item.created_ms)}", 1
        case "item.cancelled":
            yield from (("cancelled", 1), *_moved(told["previous_status"], "BLOCKED"))
        case "item.replanned":
            yield from _moved(told["previous_status"], told["status"])
        case "item.retried":
            yield from (("retried", 1), *_moved(told.get("previous_status", "FAILED"), "PENDING"))
        case _ if kind in _ENDS:
            counted, becomes = _ENDS[kind]
            yield from ((counted, 1), *_moved("IN_PROGRESS", becomes))
            if told.get("duration_ms") is not None:
                yield f"work:{_class(told['duration_ms'])}", 1
        case _:
            return


def _moved(was: str, becomes: str | None) -> Iterator[tuple[str, int]]:
    yield was, -1
    if becomes is not None:
        yield becomes, 1


def points(span: Span, found: Iterable[tuple[int, str, int]], counts: Mapping[str, int]) -> Sequence[Point]:
    """Make the points out of (slot, what, amount) and of how many items stand how now; the last slot came after them.

    The backlog is worked out backwards from what is there now; so it is right also where the log began later.
    """
    slots: list[Counter[str]] = [Counter() for _ in range(span.points + 1)]
    for slot, what, amount in found:
        slots[slot][what] += amount
    standing = {status: counts.get(status, 0) for status in OPEN}
    made: list[Point] = []
    for place in range(span.points - 1, -1, -1):
        after = slots[place + 1]
        standing = {status: items - after[status] for status, items in standing.items()}
        made.append(_point(span, place, slots[place], standing))
    return made[::-1]


def _point(span: Span, place: int, counted: Counter[str], standing: Mapping[str, int]) -> Point:
    wait, work = _durations(counted, "wait:"), _durations(counted, "work:")
    return Point(
        at_ms=(span.first + place * span.step) * MINUTE_MS,
        counted=counted,
        wait_p50_ms=_percentile(wait, 50),
        wait_p95_ms=_percentile(wait, 95),
        work_p50_ms=_percentile(work, 50),
        work_p95_ms=_percentile(work, 95),
        backlog={status: max(0, items) for status, items in standing.items()},
    )


def _durations(counted: Counter[str], prefix: str) -> list[tuple[int, int]]:
    return sorted((int(what[len(prefix) :]), many) for what, many in counted.items() if what.startswith(prefix))


def _class(ms: int) -> int:
    return 0 if ms < 1 else int(_CLASSES * math.log2(ms)) + 1


def _percentile(classes: Sequence[tuple[int, int]], percent: int) -> int | None:
    left = -(-sum(many for _, many in classes) * percent // 100)
    for number, many in classes:
        left -= many
        if left <= 0:
            return round(2 ** ((number - 0.5) / _CLASSES)) if number else 0
    return None
