"""Trivial runs from the first one's creation to the last one's end: each engine beside bare loops of processes.

One loop starts each process under a supervisor as an engine does, as many at the same time, and keeps nothing of it:
the ratio says what our record costs. The other one is `subprocess.run`, one after another.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.engines.temporal_server import TemporalServer

from benchmarks.contained import contained_per_second
from benchmarks.grounds import ALICE, Grounds, approved, compiled, workspace
from benchmarks.table import Peer, Row
from interlock.app import Interlock
from interlock.approval.models import Work
from interlock.runs.models import RunStatus

_RUNS, _RUNS_QUICK = 60, 12
_AT_ONCE = 4
_LOOK_SECONDS = 0.02
_LONGEST_SECONDS = 180.0
_COMMAND = ("true",)


def measure(grounds: Grounds) -> Iterator[Row]:
    """Carry the same runs out on the local engine over both databases, and as workflows over SQLite."""
    runs = _RUNS_QUICK if grounds.quick else _RUNS
    contained = contained_per_second(grounds.new_folder("contained"), _COMMAND, runs, at_once=_AT_ONCE)
    bare = Peer(name="bare subprocess loop", value=_bare(runs), unit="runs/s")
    yield Row(
        name=f"contained processes, {_AT_ONCE} at a time",
        value=contained,
        unit="runs/s",
        peer=bare,
        ratio=contained / bare.value,
    )
    beside = Peer(name=f"contained processes, {_AT_ONCE} at a time", value=contained, unit="runs/s")
    for name, engine, url in (
        ("local, SQLite", (), ""),
        ("local, PostgreSQL", (), grounds.postgres("engines")),
    ):
        yield _row(name, _timed(grounds, name, engine, url, runs), beside)
    server = TemporalServer(grounds.new_folder("temporal-server"))
    server.start()
    try:
        engine = ("--engine", "temporal", "--temporal-address", server.address)
        yield _row("Temporal, SQLite", _timed(grounds, "temporal", engine, "", runs), beside)
    finally:
        server.kill()


def _row(name: str, rate: float, beside: Peer) -> Row:
    return Row(name=f"create to done, {name}", value=rate, unit="runs/s", peer=beside, ratio=rate / beside.value)


def _bare(runs: int) -> float:
    began = time.perf_counter()
    for _ in range(runs):
        subprocess.run(_COMMAND, check=True)
    return runs / (time.perf_counter() - began)


def _timed(grounds: Grounds, name: str, engine: tuple[str, ...], url: str, runs: int) -> float:
    """Return how many runs a second one worker brings to their end, four at the same time."""
    folder = grounds.folder / f"engine-{name.replace(', ', '-').lower()}"
    house = workspace(folder, database_url=url)
    record = approved(house, Work(command=_COMMAND)).id
    with _worker(grounds, folder, engine):
        _carried_out(house, record, 1)  # the worker is awake
        began = time.perf_counter()
        _carried_out(house, record, runs)
        took = time.perf_counter() - began
    house.database.close()
    return runs / took


def _carried_out(house: Interlock, record: str, runs: int) -> None:
    waiting = {house.runs.create(ALICE, record).id for _ in range(runs)}
    deadline = time.monotonic() + _LONGEST_SECONDS
    while waiting:
        for run in house.runs.list(limit=runs):
            if run.status in {RunStatus.ERROR, RunStatus.CANCELLED}:
                raise RuntimeError(f"{run.id} is {run.status.value}: {run.message}")
            if run.status is RunStatus.DONE:
                waiting.discard(run.id)
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(waiting)} runs did not end")
        time.sleep(_LOOK_SECONDS)


@contextmanager
def _worker(grounds: Grounds, folder: Path, engine: tuple[str, ...]) -> Generator[None]:
    program = Path(sys.executable).parent / "interlock"
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        command = [program, "worker", "--workspace", folder, "--concurrency", str(_AT_ONCE), *engine]
        worker = subprocess.Popen(command, env=compiled(grounds), stdout=log, stderr=log)
        try:
            yield
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(_LONGEST_SECONDS)
