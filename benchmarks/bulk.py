"""Cancelling very many items by a filter, while another process claims and completes all the time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from benchmarks.filling import fill_postgres, fill_sqlite
from benchmarks.grounds import ALICE, Grounds, house_over, open_postgres, open_sqlite
from benchmarks.measuring import percentile
from benchmarks.table import Aim, Peer, Row
from interlock.app import Interlock
from interlock.queue.bulk import choose, move
from interlock.queue.models import Executor, Filter, Item, ItemKind, ItemStatus, NewItem
from interlock.queue.service import Queue

_ITEMS, _ITEMS_QUICK = 100_000, 10_000
_SPARE = 60_000
"""Items that the filter does not name, more than one can claim meanwhile."""
_LONGEST = Aim(of="value", bound=250.0, at_most=True)


def measure(grounds: Grounds) -> Iterator[Row]:
    """Cancel in bulk on both databases."""
    items = _ITEMS_QUICK if grounds.quick else _ITEMS
    folder = grounds.new_folder("bulk")
    fill_sqlite(folder, items)
    yield from _measured("SQLite", house_over(folder, open_sqlite(folder)), items, ("sqlite", str(folder)))
    url = grounds.postgres("bulk")
    fill_postgres(url, items)
    yield from _measured("PostgreSQL", house_over(Path(), open_postgres(url)), items, ("postgres", url))


def _measured(name: str, house: Interlock, items: int, where: tuple[str, str]) -> Iterator[Row]:
    with closing(house.database):
        _add_spare(house)
        alone = _claimer(where, seconds=2.0)
        quiet = _waits(alone)
        beside = _claimer(where, seconds=0.0)
        began = time.monotonic()
        with house.queue_look() as queue:
            chosen = choose(queue, Filter(priority="P1", status=ItemStatus.PENDING))
        changed = 0
        for progress in move(chosen, _cancel, partial(house.queue, ALICE)):
            changed = progress.changed
        seconds = time.monotonic() - began
        busy = _waits(beside)
    if changed != items:
        raise RuntimeError(f"{changed} of {items} items were cancelled")
    yield Row(name=f"bulk cancel of {items:,} items, {name}", value=items / seconds, unit="items/s")
    yield Row(
        name=f"bulk cancel, {name}: longest wait of who claims meanwhile",
        value=max(busy),
        unit="ms",
        peer=Peer(name="longest without it", value=max(quiet)),
        aim=_LONGEST,
    )
    yield Row(
        name=f"bulk cancel, {name}: p95 of claim+complete meanwhile",
        value=percentile(busy, 0.95),
        unit="ms",
        peer=Peer(name="p95 without it", value=percentile(quiet, 0.95)),
    )


def _cancel(queue: Queue, seen: Item) -> Item:
    return queue.cancel(seen.id, reason="not needed", seen=seen)


def _add_spare(house: Interlock) -> None:
    new = NewItem(
        kind=ItemKind.MANUAL, executor=Executor.EXTERNAL, priority="P0", task="sweep", success_criteria="swept"
    )
    for _ in range(0, _SPARE, 500):
        with house.queue(ALICE) as queue:
            for _ in range(500):
                queue.add(new)


def _claimer(where: tuple[str, str], *, seconds: float) -> subprocess.Popen[str]:
    """Start a process that claims and completes; for so long, or until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bulk", *where, str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if process.stdout is None or process.stdout.readline() != "ready\n":
        raise RuntimeError("the claimer did not start")
    return process


def _waits(process: subprocess.Popen[str]) -> list[float]:
    """End the claimer and return how long each pair took, in milliseconds."""
    told, _ = process.communicate("end\n", timeout=60)
    if process.returncode:
        raise RuntimeError("the claimer failed")
    return [float(line) for line in told.split()]


def claim_all_the_time(kind: str, where: str, seconds: float) -> None:
    """Claim and complete one item after another; print how long each took."""
    import select  # noqa: PLC0415 - only in this process

    house = house_over(Path(where), open_sqlite(Path(where))) if kind == "sqlite" else _on_postgres(where)
    print("ready", flush=True)
    times: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or (not seconds and not select.select([sys.stdin], [], [], 0)[0]):
        began = time.monotonic()
        with house.queue(ALICE) as queue:
            item = queue.claim(Executor.EXTERNAL, "beside")
        if item is None:
            break
        with house.queue(ALICE) as queue:
            queue.complete(item.id, item.fence)
        times.append(1000 * (time.monotonic() - began))
    house.database.close()
    print("\n".join(map(str, times)))


def _on_postgres(url: str) -> Interlock:
    return house_over(Path(), open_postgres(url))


if __name__ == "__main__":
    claim_all_the_time(sys.argv[1], sys.argv[2], float(sys.argv[3]))
