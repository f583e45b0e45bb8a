"""From the creation of a run to its claim by an idle worker: a real process, a real repository, woken, not polled.

Where a claim, a fetch, a worktree and a process start each have their time, they are numbers of their own.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from benchmarks.grounds import ALICE, Grounds, approved, compiled, repository, workspace
from benchmarks.measuring import percentile, timed
from benchmarks.table import Aim, Peer, Row
from interlock.app import Interlock
from interlock.approval.models import Work
from interlock.kernel.clock import from_text
from interlock.runs.models import MAY_BECOME, RunStatus
from interlock.storage.evidence import StoredLog

_SMALL, _LARGE = 20, 2_000
"""Files in the repository."""
_RUNS, _RUNS_QUICK = 60, 8
_SECONDS, _SECONDS_QUICK = 45.0, 4.0
_PAIRS, _PAIRS_QUICK = 15, 4
_LOOK_SECONDS = 0.001
_LONGEST_SECONDS = 60.0
_AWAKE = Aim(of="value", bound=25.0, at_most=True)
_PARTS = ("fetch", "worktree", "start")


@dataclass(frozen=True, slots=True)
class _Took:
    """Milliseconds, by what took them."""

    logged: list[float] = field(default_factory=list[float])
    """From the time of `run.created` to that of `run.started`, as the log tells it."""
    seen: list[float] = field(default_factory=list[float])
    """From the call of `runs.create` until the run is seen to be running, on this process's own clock."""
    parts: dict[str, list[float]] = field(default_factory=lambda: {part: list[float]() for part in _PARTS})
    plain_git: list[float] = field(default_factory=list[float])
    """`git worktree add` by itself, in turn with the runs."""


def measure(grounds: Grounds) -> Iterator[Row]:
    """Time runs one after another: two sizes of repository on SQLite, the small one on PostgreSQL."""
    small = repository(grounds.folder / "repository-small", _SMALL)
    large = repository(grounds.folder / "repository-large", _LARGE)
    with _working(grounds, "wakeup-small", small) as (house, record):
        yield from _rows(grounds, f"SQLite, {_SMALL} files", _runs(grounds, house, record, small))
        behind = _behind(grounds, house, record)
        for share in (0.5, 0.95):
            yield _row(grounds, f"create to claimed, SQLite, {_SMALL} files, within 0.1 s of another", behind, share)
    with _working(grounds, "wakeup-large", large) as (house, record):
        yield from _rows(grounds, f"SQLite, {_LARGE:,} files", _runs(grounds, house, record, large))
    with _working(grounds, "wakeup-postgres", small, grounds.postgres("wakeup")) as (house, record):
        yield from _rows(grounds, f"PostgreSQL, {_SMALL} files", _runs(grounds, house, record, small))


@contextmanager
def _working(grounds: Grounds, name: str, source: Path, url: str = "") -> Generator[tuple[Interlock, str]]:
    """Give a workspace with a worker that has carried out one run already, and what further runs are made from."""
    house = workspace(grounds.folder / name, database_url=url)
    record = approved(house, Work(command=("true",), repository=str(source))).id
    program = Path(sys.executable).parent / "interlock"
    with (grounds.folder / f"{name}.log").open("wb") as log:
        command = [program, "worker", "--workspace", str(house.layout.root)]
        worker = subprocess.Popen(command, env=compiled(grounds), stdout=log, stderr=log)
        try:
            _one(house, record)
            _until_idle(house)
            yield house, record
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(_LONGEST_SECONDS)
            house.database.close()


def _runs(grounds: Grounds, house: Interlock, record: str, source: Path) -> _Took:
    """Carry out one run after another, each when the worker has nothing at all to do."""
    took, start = _Took(), StoredLog(house.database).size()
    deadline = time.monotonic() + (_SECONDS_QUICK if grounds.quick else _SECONDS)
    for _ in range(_RUNS_QUICK if grounds.quick else _RUNS):
        seen, durations = _one(house, record)
        took.seen.append(seen * 1000)
        for part in _PARTS:
            took.parts[part].append(float(durations[part]))
        _until_idle(house)
        took.plain_git.append(_plain_worktree(source, grounds.folder / "plain-worktree"))
        if time.monotonic() > deadline:
            break
    took.logged.extend(_logged(house, start).values())
    return took


def _behind(grounds: Grounds, house: Interlock, record: str) -> list[float]:
    """Create two runs shortly after one another, for a worker that may carry out two; return what the second waits."""
    start, second = StoredLog(house.database).size(), list[str]()
    for _ in range(_PAIRS_QUICK if grounds.quick else _PAIRS):
        house.runs.create(ALICE, record)
        time.sleep(random.uniform(0, 0.1))  # noqa: S311 - so that it falls on any moment of the first one's beginning
        second.append(house.runs.create(ALICE, record).id)
        _until(lambda: all(MAY_BECOME.final(run.status) for run in house.runs.list(limit=2)), 0.02)
        _until_idle(house)
    logged = _logged(house, start)
    return [logged[run] for run in second]


def _one(house: Interlock, record: str) -> tuple[float, Mapping[str, int]]:
    """Create a run and follow it to its end; returns the seconds until it was seen running, and its durations."""
    began = time.perf_counter()
    run = house.runs.create(ALICE, record)
    _until(lambda: house.runs.get(run.id).status is not RunStatus.PENDING, _LOOK_SECONDS)
    seen = time.perf_counter() - began
    _until(lambda: house.runs.get(run.id).status is not RunStatus.RUNNING, 0.02)
    ended = house.runs.get(run.id)
    if ended.status is not RunStatus.DONE or ended.result is None:
        raise RuntimeError(f"{run.id} is {ended.status.value}: {ended.message}")
    return seen, cast("Mapping[str, int]", ended.result["durations_ms"])


def _until_idle(house: Interlock) -> None:
    """Wait until the worker has cleaned up and brought the windows up to date, and then for no particular time."""
    log = StoredLog(house.database)
    _until(lambda: not list(house.layout.runs.iterdir()) and _shown(house) == log.size(), 0.01)
    time.sleep(random.uniform(0.02, 0.1))  # noqa: S311 - so that runs fall on no beat of the worker's


def _shown(house: Interlock) -> int:
    cursor: dict[str, Any] = json.loads((house.layout.state / "windows.json").read_bytes())
    return cursor["entries"]


def _until(condition: Callable[[], bool], pause: float) -> None:
    deadline = time.monotonic() + _LONGEST_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the worker did nothing for a minute")
        time.sleep(pause)


def _logged(house: Interlock, start: int) -> Mapping[str, float]:
    """Return the milliseconds between the log's `run.created` and `run.started`, by run."""
    at: dict[tuple[str, str], int] = {}
    for _, event in StoredLog(house.database).events(start, 1_000_000):
        at.setdefault((event["kind"], event["subject"]), from_text(event["time"]))
    return {run: moment - at["run.created", run] for (kind, run), moment in at.items() if kind == "run.started"}


def _rows(grounds: Grounds, where: str, took: _Took) -> Iterator[Row]:
    yield _row(grounds, f"create to claimed, {where}", took.logged, 0.5)
    yield _row(grounds, f"create to claimed, {where}", took.logged, 0.95, aim=_AWAKE)
    yield _row(grounds, f"create called to seen running, {where}", took.seen, 0.95)
    for part, name in zip(_PARTS, ("fetch", "worktree", "process start"), strict=True):
        for share in (0.5, 0.95):
            peer = (
                Peer(name="git worktree add", value=percentile(took.plain_git, share)) if part == "worktree" else None
            )
            yield _row(grounds, f"{name}, {where}", took.parts[part], share, peer=peer)


def _row(
    grounds: Grounds,
    name: str,
    values: list[float],
    share: float,
    *,
    aim: Aim | None = None,
    peer: Peer | None = None,
) -> Row:
    value, beside = percentile(values, share), peer or grounds.disk
    return Row(
        name=f"{name}, p{share * 100:.0f} of {len(values)}",
        value=value,
        unit="ms",
        peer=beside,
        ratio=value / beside.value,
        aim=aim,
    )


def _plain_worktree(source: Path, place: Path) -> float:
    """Return how many milliseconds git's own command takes for the same files on the same disk."""
    git = ("git", "-C", str(source), "worktree")
    add, remove = (*git, "add", "--quiet", "--detach", str(place)), (*git, "remove", "--force", str(place))
    took = timed(lambda: subprocess.run(add, check=True, capture_output=True))
    subprocess.run(remove, check=True, capture_output=True)
    return 1000 * took
