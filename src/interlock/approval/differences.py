"""What differs between two texts, by lines and within them by words. Pure, and bounded whatever the texts are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Mark = Literal["same", "removed", "added", "skipped"]
_TOKENS = re.compile(r"\w+|[^\S\n]+|[^\w\s]|\s")
_MOST_LINES, _MOST_LINE_EDITS = 10_000, 400
_MOST_WORDS, _MOST_WORD_EDITS = 2_000, 120
_WORDS_IN_ALL = 40_000
_AROUND = 3
"""Lines that are the same and are shown around what is not."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a line."""

    text: str
    changed: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One line of either text; or, as `skipped`, how many follow that are the same in both."""

    mark: Mark
    parts: tuple[Part, ...] = ()
    count: int = 1


def compare(old: str, new: str) -> tuple[Line, ...]:
    """Return the lines of both texts in reading order; nothing for two texts that are the same."""
    if old == new:
        return ()
    before, after = (text.split("\n") if text else [] for text in (old, new))
    budget = _WORDS_IN_ALL
    lines: list[Line] = []
    for removed, added, same in _hunks(before, after, _MOST_LINES, _MOST_LINE_EDITS):
        marked, spent = _marked(removed, added, budget)
        budget -= spent
        lines += [*marked, *(Line("same", (Part(line, changed=False),)) for line in same)]
    return tuple(_folded(lines))


def _hunks(
    old: Sequence[str], new: Sequence[str], most: int, most_edits: int
) -> Iterator[tuple[Sequence[str], Sequence[str], Sequence[str]]]:
    """Walk both sequences: what is only in the old one, what is only in the new one, what then is in both."""
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    yield (), (), old[:head]
    middle, other = old[head : len(old) - tail], new[head : len(new) - tail]
    at = to = 0
    matches = _matches(middle, other, most_edits) if max(len(middle), len(other)) <= most else []
    for left, right, length in matches:
        yield middle[at:left], other[to:right], middle[left : left + length]
        at, to = left + length, right + length
    yield middle[at:], other[to:], old[len(old) - tail :]


def _matches(old: Sequence[str], new: Sequence[str], most_edits: int) -> list[tuple[int, int, int]]:
    """Return runs that both have, by Myers' shortest edit script; none where they differ in more than so many edits."""
    reach = {1: 0}
    trace: list[dict[int, int]] = []
    for edits in range(min(len(old) + len(new), most_edits) + 1):
        trace.append(dict(reach))
        for diagonal in range(-edits, edits + 1, 2):
            down = diagonal == -edits or (
                diagonal != edits and reach.get(diagonal - 1, -1) < reach.get(diagonal + 1, -1)
            )
            left = reach[diagonal + 1] if down else reach[diagonal - 1] + 1
            while left < len(old) and left - diagonal < len(new) and old[left] == new[left - diagonal]:
                left += 1
            reach[diagonal] = left
            if left >= len(old) and left - diagonal >= len(new):
                return _traced(trace, len(old), len(new))
    return []


def _traced(trace: Sequence[dict[int, int]], left: int, right: int) -> list[tuple[int, int, int]]:
    found: list[tuple[int, int, int]] = []
    for edits in range(len(trace) - 1, -1, -1):
        reach, diagonal = trace[edits], left - right
        down = diagonal == -edits or (diagonal != edits and reach.get(diagonal - 1, -1) < reach.get(diagonal + 1, -1))
        came = diagonal + 1 if down else diagonal - 1
        start = 0 if edits == 0 else reach[came] + (0 if down else 1)
        if left > start:
            found.append((start, start - diagonal, left - start))
        if edits:
            left, right = reach[came], reach[came] - came
    return found[::-1]


def _marked(removed: Sequence[str], added: Sequence[str], budget: int) -> tuple[list[Line], int]:
    """Mark the words that differ, where a line was changed rather than replaced; returns also how much that took."""
    spent = 0
    old: list[tuple[Part, ...]] = [(Part(line, changed=False),) for line in removed]
    new: list[tuple[Part, ...]] = [(Part(line, changed=False),) for line in added]
    for at, (before, after) in enumerate(zip(removed, added, strict=False)):
        if spent >= budget:
            break
        words, others = _TOKENS.findall(before), _TOKENS.findall(after)
        spent += len(words) + len(others)
        old[at], new[at] = _words(words, others) or (old[at], new[at])
    return [*(Line("removed", parts) for parts in old), *(Line("added", parts) for parts in new)], spent


def _words(old: Sequence[str], new: Sequence[str]) -> tuple[tuple[Part, ...], tuple[Part, ...]] | None:
    left: list[Part] = []
    right: list[Part] = []
    kept = 0
    for removed, added, same in _hunks(old, new, _MOST_WORDS, _MOST_WORD_EDITS):
        left += [Part("".join(removed), changed=True)] if removed else []
        right += [Part("".join(added), changed=True)] if added else []
        if same:
            left.append(Part("".join(same), changed=False))
            right.append(left[-1])
        kept += sum(1 for word in same if not word.isspace())
    alike = 3 * kept >= sum(1 for word in max(old, new, key=len) if not word.isspace())
    return (tuple(left), tuple(right)) if alike else None


def _folded(lines: Sequence[Line]) -> Iterator[Line]:
    """Leave out what is the same and not near to what is not."""
    changed = [at for at, line in enumerate(lines) if line.mark != "same"]
    shown = {near for at in changed for near in range(at - _AROUND, at + _AROUND + 1)}
    skipped = 0
    for at, line in enumerate(lines):
        if at in shown:
            if skipped:
                yield Line("skipped", count=skipped)
            skipped = 0
            yield line
        else:
            skipped += 1
    if skipped:
        yield Line("skipped", count=skipped)
