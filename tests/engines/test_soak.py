"""A worker that lives long keeps nothing of the runs that it has carried out: no thread, no descriptor, no memory."""

from __future__ import annotations

import gc
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Generator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from interlock.engines.local import Worker
from interlock.runs.models import RunStatus
from tests.conftest import ALICE, until
from tests.engines.world import World

pytestmark = pytest.mark.timeout(300)

AT_ONCE = 4
FIRST, MORE = 40, 110
MUST_BE_FLAT = MORE // 4
"""How far what is counted may go up and down by itself: a quarter of one for each run."""


@dataclass(frozen=True, slots=True)
class Held:
    """What this process holds at an instant."""

    threads: int
    descriptors: int
    connections: int
    folders: int
    objects: Counter[str]
    """By their kind: of ours, and how much is in what they refer to."""


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough


def connections(world: World) -> int:
    """Count the connections to the world's database."""
    if not world.database_url:
        kept = [Path(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd")]  # noqa: PTH208 - as above
        return sum(link.is_symlink() and str(link.readlink()).endswith("interlock.db") for link in kept)
    with psycopg.connect(world.database_url) as connection:
        (row,) = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(row[0])


def folders(world: World) -> int:
    """Count what lies where runs have their places, and where everybody puts what is not kept."""
    layout = world.house.layout
    places = (layout.runs, layout.worktrees)
    kept = sum(len(list(place.iterdir())) for place in places if place.is_dir())
    return kept + len([each for each in Path(tempfile.gettempdir()).iterdir() if each.name.startswith("interlock-git")])


def objects() -> Counter[str]:
    """Count what is of our own kinds, and what is in their containers."""
    gc.collect()
    found: Counter[str] = Counter()
    for each in gc.get_objects():
        kind = cast("type[Any]", type(each))  # not its `__class__`, which a stand-in may answer itself
        name = f"{kind.__module__}.{kind.__qualname__}"
        if not name.startswith("interlock."):
            continue
        found[name] += 1
        for other in gc.get_referents(each):
            if type(other) in (dict, set, list):
                found[f"in {name}"] += len(cast("Sized", other))
    return found


def held(world: World) -> Held:
    return Held(threading.active_count(), descriptors(), connections(world), folders(world), objects())


def grown(before: Held) -> dict[str, int]:
    """Return of which objects there are more than before; a statement is its connection's, and those are counted."""
    more = objects() - before.objects
    return {kind: each for kind, each in more.items() if each >= MUST_BE_FLAT and not kind.endswith("._Statement")}


@contextmanager
def working(worker: Worker) -> Generator[None]:
    thread = threading.Thread(target=worker.work, name="worker")
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join(30)


def carry_out(world: World, worker: Worker, approved_id: str, count: int) -> None:
    """Have so many runs done, and wait until nothing of them is under way."""
    goal = worker.carried_out + count
    runs = [world.house.runs.create(ALICE, approved_id).id for _ in range(count)]
    until(lambda: worker.carried_out >= goal, 120)
    assert {world.house.runs.get(each).status for each in (runs[0], runs[-1])} == {RunStatus.DONE}
    until(lambda: not any(world.house.layout.runs.iterdir()), 20)


@pytest.mark.parametrize("world", ["sqlite", "postgres"], indirect=True)
def test_many_runs_leave_a_worker_as_it_was(world: World) -> None:
    approved = world.approve(("true",), repository=None)
    worker = world.house.worker(concurrency=AT_ONCE)
    with working(worker):
        carry_out(world, worker, approved.id, FIRST)
        before = held(world)
        carry_out(world, worker, approved.id, MORE)
        after = held(world)
        deadline = time.monotonic() + 20
        while (more := grown(before)) and time.monotonic() < deadline:
            time.sleep(0.2)  # what only passes by is not there at every look
    assert after.threads <= before.threads + AT_ONCE
    assert after.descriptors <= before.descriptors + 3 * AT_ONCE
    assert after.connections <= before.connections + AT_ONCE
    assert after.folders <= before.folders + AT_ONCE
    assert more == {}
