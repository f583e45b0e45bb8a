"""Several workers on one PostgreSQL: how soon one of them takes a new run up, and what the others' waking costs.

Runs are created one at a time, each when every worker has nothing to do: all of them hear of it at the same moment.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from benchmarks.grounds import ALICE, Grounds, approved, compiled, workspace
from benchmarks.measuring import percentile
from benchmarks.table import Aim, Peer, Row
from interlock.app import Interlock
from interlock.approval.models import Work
from interlock.kernel.clock import from_text
from interlock.runs.models import MAY_BECOME, RunStatus
from interlock.storage.evidence import StoredLog

WORKERS = (1, 4, 8)
_RUNS, _RUNS_QUICK = 60, 6
_SECONDS, _SECONDS_QUICK = 30.0, 4.0
_IDLE_SECONDS, _IDLE_SECONDS_QUICK = 5.0, 2.0
_LONGEST_SECONDS = 60.0
_LOOK_SECONDS = 0.02
_AIMS = {
    1: Aim(of="value", bound=25.0, at_most=True),
    8: Aim(of="value", bound=50.0, at_most=True),
}
PROGRAM = Path(sys.executable).parent / "interlock"


@dataclass(frozen=True, slots=True)
class _Took:
    """What some workers came to."""

    claimed: list[float] = field(default_factory=list[float])
    """Milliseconds from `run.created` to `run.started`, as the log tells them."""
    cpu: list[float] = field(default_factory=list[float])
    """Milliseconds of processor time of all workers together for each run, beyond what they take when idle."""


def measure(grounds: Grounds) -> Iterator[Row]:
    """Time runs one after another, with one, four and eight workers of one node."""
    alone: _Took | None = None
    for count in WORKERS:
        with _working(grounds, count) as (house, record, workers):
            took = _runs(grounds, house, record, workers)
        alone = alone or took
        for share in (0.5, 0.95):
            value, beside = percentile(took.claimed, share), percentile(alone.claimed, share)
            yield Row(
                name=f"create to claimed, PostgreSQL, idle workers: {count}, p{share * 100:.0f} of {len(took.claimed)}",
                value=value,
                unit="ms",
                peer=grounds.disk if count == 1 else Peer(name="1 worker", value=beside),
                ratio=value / (grounds.disk.value if count == 1 else beside),
                aim=_AIMS.get(count) if share > 0.5 else None,
            )
        cpu = took.cpu[0]
        yield Row(
            name=f"processor time of all workers for a run, PostgreSQL, idle workers: {count}",
            value=cpu,
            unit="ms",
            peer=Peer(name="1 worker", value=alone.cpu[0]),
            ratio=cpu / alone.cpu[0],
        )


@contextmanager
def _working(grounds: Grounds, count: int) -> Generator[tuple[Interlock, str, Sequence[subprocess.Popen[bytes]]]]:
    """Give a workspace with so many workers that are awake, and what runs are made from."""
    name = f"fleet-{count}"
    url = grounds.postgres(f"fleet_{count}")
    house = workspace(grounds.folder / name, database_url=url)
    record = approved(house, Work(command=("true",))).id
    with processes(grounds, house.layout.root, count) as workers:
        until(lambda: listening(url) >= count)
        _one(house, record)
        yield house, record, workers
    house.database.close()


@contextmanager
def processes(grounds: Grounds, root: Path, count: int, *words: str) -> Generator[Sequence[subprocess.Popen[bytes]]]:
    """Start so many `interlock worker` over a workspace, and end them afterwards."""
    started: list[subprocess.Popen[bytes]] = []
    with (grounds.folder / f"{root.name}.log").open("ab") as log:
        command = [PROGRAM, "worker", "--workspace", str(root), *words]
        try:
            for _ in range(count):
                started.append(subprocess.Popen(command, env=compiled(grounds), stdout=log, stderr=log))  # noqa: PERF401 - what was started is ended
            yield started
        finally:
            for each in started:
                each.send_signal(signal.SIGTERM)
            for each in started:
                each.wait(_LONGEST_SECONDS)


def listening(url: str) -> int:
    """Say how many workers wait for work: each does so on a connection of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"
        row = connection.execute(waiting).fetchone()
    return int(row[0]) if row else 0


def _runs(grounds: Grounds, house: Interlock, record: str, workers: Sequence[subprocess.Popen[bytes]]) -> _Took:
    """Carry out one run after another, each when the workers have nothing to do."""
    took, start = _Took(), StoredLog(house.database).size()
    idle = _idle_cpu_ms(workers, _IDLE_SECONDS_QUICK if grounds.quick else _IDLE_SECONDS)
    began, before, runs = time.monotonic(), _cpu_ms(workers), 0
    deadline = began + (_SECONDS_QUICK if grounds.quick else _SECONDS)
    for _ in range(_RUNS_QUICK if grounds.quick else _RUNS):
        _one(house, record)
        runs += 1
        time.sleep(random.uniform(0.02, 0.1))  # noqa: S311 - so that runs fall on no beat of a worker's
        if time.monotonic() > deadline:
            break
    seconds = time.monotonic() - began
    took.cpu.append(max(0.001, (_cpu_ms(workers) - before - idle * seconds) / runs))
    house.database.seal()
    took.claimed.extend(_logged(house, start))
    return took


def _one(house: Interlock, record: str) -> None:
    run = house.runs.create(ALICE, record)
    until(lambda: MAY_BECOME.final(house.runs.get(run.id).status))
    ended = house.runs.get(run.id)
    if ended.status is not RunStatus.DONE:
        raise RuntimeError(f"{run.id} is {ended.status.value}: {ended.message}")


def _logged(house: Interlock, start: int) -> list[float]:
    at: dict[tuple[str, str], int] = {}
    for _, event in StoredLog(house.database).events(start, 1_000_000):
        at.setdefault((event["kind"], event["subject"]), from_text(event["time"]))
    return [moment - at["run.created", run] for (kind, run), moment in at.items() if kind == "run.started"]


def _idle_cpu_ms(workers: Sequence[subprocess.Popen[bytes]], seconds: float) -> float:
    """Return the milliseconds of processor time that all workers together take in a second with nothing to do."""
    before, began = _cpu_ms(workers), time.monotonic()
    time.sleep(seconds)
    return (_cpu_ms(workers) - before) / (time.monotonic() - began)


def _cpu_ms(workers: Sequence[subprocess.Popen[bytes]]) -> float:
    """Return the processor time of the workers' own, without what they started."""
    tick = os.sysconf("SC_CLK_TCK")
    stats = [Path(f"/proc/{each.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split() for each in workers]
    return sum(int(each[11]) + int(each[12]) for each in stats) * 1000 / tick


def until(condition: Callable[[], bool], seconds: float = _LONGEST_SECONDS) -> None:
    """Wait for a condition; raises `TimeoutError`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing came about within {seconds:.0f} s")
        time.sleep(_LOOK_SECONDS)
