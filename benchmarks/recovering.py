"""How long a run stands when who carries it out is gone, from the kill to its next `run.started`: default settings.

What all of them share, and who leads, is killed too: see `outages`.

All on one PostgreSQL. Each victim carries out one run; somebody with time to spare stands by. A node is a workspace
folder of its own under a host name and in a process namespace of its own, so that nobody sees its processes end.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks import outages
from benchmarks.fleet import PROGRAM, processes, until
from benchmarks.grounds import ALICE, Grounds, approved, compiled, workspace
from benchmarks.measuring import percentile
from benchmarks.table import Aim, Row
from interlock.app import Interlock
from interlock.approval.models import Work
from interlock.founding import join_workspace
from interlock.kernel.clock import from_text
from interlock.runs.models import RunStatus
from interlock.storage.evidence import StoredLog

_KINDS: Mapping[str, Aim] = {
    "kill -9 of a worker, its node lives": Aim(of="value", bound=5_000.0, at_most=True),
    "kill -9 of a whole node": Aim(of="value", bound=30_000.0, at_most=True),
    "SIGSTOP of a worker": Aim(of="value", bound=30_000.0, at_most=True),
}
_WORKER, _NODE, _STOPPED = _KINDS
_EACH, _EACH_QUICK = 10, 3
_APART_SECONDS, _APART_SECONDS_QUICK = 0.5, 0.2
"""Victims fall one after another, so that they fall on any moment of a heartbeat."""
_LONGEST_SECONDS = 120.0
_AS_ROOT = () if os.geteuid() == 0 else ("--user", "--map-root-user")
_ELSEWHERE = ("unshare", *_AS_ROOT, "--pid", "--fork", "--kill-child", "--mount-proc", "--uts", "--")
_NAMED = 'echo "$1" > /proc/sys/kernel/hostname && shift && exec "$@"'


@dataclass(frozen=True, slots=True)
class _Victim:
    kind: str
    name: str
    process: subprocess.Popen[bytes]

    def fall(self) -> None:
        """Kill it, or let it stand still."""
        self.process.send_signal(signal.SIGSTOP if self.kind == _STOPPED else signal.SIGKILL)


def measure(grounds: Grounds) -> Iterator[Row]:
    """Kill each kind of holder some times; all kinds at once where there is little time."""
    each = _EACH_QUICK if grounds.quick else _EACH
    rounds = [list(_KINDS)] if grounds.quick else [[kind] for kind in _KINDS]
    for number, kinds in enumerate(rounds):
        found = _round(grounds, f"recovery-{number}", [kind for kind in kinds for _ in range(each)])
        for kind in kinds:
            yield from _rows(kind, found[kind])
    yield from outages.measure(grounds, lambda name: [*_ELSEWHERE, "sh", "-c", _NAMED, "sh", name])


def _rows(kind: str, took: Sequence[float]) -> Iterator[Row]:
    name = f"taken over and started again, PostgreSQL, {kind}"
    yield Row(name=f"{name}, p50 of {len(took)}", value=percentile(took, 0.5), unit="ms")
    yield Row(name=f"{name}, the longest of {len(took)}", value=max(took), unit="ms", aim=_KINDS[kind])


def _round(grounds: Grounds, name: str, kinds: Sequence[str]) -> Mapping[str, Sequence[float]]:
    """Let victims of these kinds each take up a run, and fall; returns the milliseconds until others began it anew."""
    url, apart = grounds.postgres(name.replace("-", "_")), _APART_SECONDS_QUICK if grounds.quick else _APART_SECONDS
    house = workspace(grounds.folder / name, database_url=url)
    with ExitStack() as stack:
        stack.callback(house.database.close)
        victims = [_victim(grounds, house, kind, f"{name}-{place}", stack) for place, kind in enumerate(kinds)]
        house.admit_keys()
        record = approved(house, Work(command=("sleep", "600"))).id
        runs = {house.runs.create(ALICE, record).id for _ in victims}
        until(lambda: _running(house, runs), _LONGEST_SECONDS)
        held = _held(house, victims)
        stack.enter_context(processes(grounds, house.layout.root, 1, "--concurrency", str(min(64, 2 * len(runs)))))
        time.sleep(3.0)  # who stands by is awake, and every victim has renewed its lease since
        fell: dict[str, int] = {}
        for run_id, victim in held.items():
            fell[run_id] = time.time_ns() // 1_000_000
            victim.fall()
            time.sleep(random.uniform(0, 2 * apart))  # noqa: S311 - so that they fall on no beat
        until(lambda: all(len(starts) > 1 for starts in _begun(house).values()), _LONGEST_SECONDS)
        took: dict[str, list[float]] = {kind: [] for kind in kinds}
        for run_id, starts in _begun(house).items():
            took[held[run_id].kind].append(starts[1] - fell[run_id])
        return took


def _victim(grounds: Grounds, house: Interlock, kind: str, name: str, stack: ExitStack) -> _Victim:
    """Start a worker that carries out one run at a time: of this node, or of another one."""
    root, before = house.layout.root, list[str]()
    if kind == _NODE:
        root = grounds.folder / name
        join_workspace(root, ALICE, database_url=house.settings.database.url, replace=False)
        before = [*_ELSEWHERE, "sh", "-c", _NAMED, "sh", name]
    log = stack.enter_context((grounds.folder / f"{name}.log").open("wb"))
    process = subprocess.Popen(
        [*before, PROGRAM, "worker", "--workspace", str(root), "--concurrency", "1"],
        env=compiled(grounds),
        stdout=log,
        stderr=log,
    )
    stack.callback(_end, process)
    return _Victim(kind, name, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(_LONGEST_SECONDS)


def _running(house: Interlock, runs: set[str]) -> bool:
    return all(house.runs.get(run_id).status is RunStatus.RUNNING for run_id in runs)


def _held(house: Interlock, victims: Sequence[_Victim]) -> Mapping[str, _Victim]:
    """Say who carries out which run: on another node by its name, in this one by the process."""
    named = {victim.name: victim for victim in victims if victim.kind == _NODE}
    numbered = {victim.process.pid: victim for victim in victims if victim.kind != _NODE}
    _, watched = house.truths.held()
    found: dict[str, _Victim] = {}
    for held in (each.held for each in watched):
        victim = named.get(held.host or "") or numbered.get(held.pid or 0)
        if victim is None or held.item.run_id is None:
            raise RuntimeError(f"{held.item.id} is held by {held.host}, {held.pid}, which is no victim")
        found[held.item.run_id] = victim
    return found


def _begun(house: Interlock) -> Mapping[str, list[int]]:
    """Return when each run was started, again and again, in the log's order."""
    house.database.seal()
    begun: dict[str, list[int]] = {}
    for _, event in StoredLog(house.database).events(0, 1_000_000):
        if event["kind"] == "run.started":
            begun.setdefault(event["subject"], []).append(from_text(event["time"]))
    return begun
