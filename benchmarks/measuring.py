"""How things are measured: in turns, as medians, within a bound of time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TypeVar

Name = TypeVar("Name")
Found = TypeVar("Found")

_BLOCK = b"\0" * 4096
_FSYNCS = 200
_FEWEST_ROUNDS = 3


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 100) * len(ordered) // 100) - 1)]


def timed(deed: Callable[[], object]) -> float:
    """Return how many seconds it takes."""
    began = time.perf_counter()
    deed()
    return time.perf_counter() - began


def in_turns(contenders: Mapping[Name, Callable[[], Found]], *, rounds: int, seconds: float) -> dict[Name, list[Found]]:
    """Let every contender do a round in turn; returns what each round came to, by contender.

    Nobody is always first. At least three rounds are done; after `seconds` none begins.
    """
    found: dict[Name, list[Found]] = {name: [] for name in contenders}
    names, deadline = list(contenders), time.monotonic() + seconds
    for number in range(rounds):
        if number >= _FEWEST_ROUNDS and time.monotonic() > deadline:
            break
        for name in names[number % len(names) :] + names[: number % len(names)]:
            found[name].append(contenders[name]())
    return found


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of ours to the median of theirs: the two that a row shows."""
    return median(ours) / median(theirs)


def fsyncs(folder: Path) -> Sequence[float]:
    """Return how many milliseconds each of 200 writes of 4 KiB with its fsync takes on the folder's disk."""
    path = folder / "fsync"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        return [timed(lambda place=place: _write_through(descriptor, place)) * 1000 for place in range(_FSYNCS)]
    finally:
        os.close(descriptor)
        path.unlink()


def _write_through(descriptor: int, place: int) -> None:
    os.pwrite(descriptor, _BLOCK, place * len(_BLOCK))
    os.fsync(descriptor)
