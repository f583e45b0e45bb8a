"""One look of the reconciler at a thousand running runs, beside a bare read of the same rows."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks.grounds import ALICE, Grounds, approved, workspace
from benchmarks.measuring import in_turns, timed
from benchmarks.table import Aim, Peer, Row
from interlock.access.models import Actor, Principal, PrincipalKind
from interlock.app import Interlock
from interlock.approval.models import Work
from interlock.engines.reconciler import Machine, Reconciler
from interlock.queue.models import WorkerProcess
from interlock.runs.containment.processes import boot_id, start_time_of
from interlock.runs.models import Pulse, StepName

_WORKER = Actor(principal=Principal(PrincipalKind.SERVICE, "worker@bench"))
_WORKERS = 20
_MOST = Aim(of="value", bound=250.0, at_most=True)
"""Milliseconds: a quarter of the second between two looks, and that on one core."""


def measure(grounds: Grounds) -> Iterator[Row]:
    """Reconcile on SQLite and on PostgreSQL."""
    runs, rounds = (200, 5) if grounds.quick else (1000, 15)
    root = grounds.folder / "truth-sqlite"
    yield _row("SQLite", workspace(root), root, runs, rounds)
    root = grounds.folder / "truth-postgres"
    yield _row("PostgreSQL", workspace(root, database_url=grounds.postgres("truth")), root, runs, rounds)


def _row(name: str, house: Interlock, folder: Path, runs: int, rounds: int) -> Row:
    try:
        _fill(house, folder, runs)
        ours, bare = _contenders(house, folder)
        found = in_turns({"look": ours, "bare": bare}, rounds=rounds, seconds=30)
    finally:
        house.database.close()
    look, read = median(found["look"]) * 1000, median(found["bare"]) * 1000
    return Row(
        name=f"one look at {runs:,} running runs, {name}",
        value=look,
        unit="ms",
        peer=Peer(name="a bare loop that reads the same rows", value=read),
        ratio=look / read,
        aim=_MOST,
    )


def _fill(house: Interlock, folder: Path, runs: int) -> None:
    """Let workers of this machine hold so many runs, each with an agent at work: this very process."""
    record = approved(house, Work(command=("true",)))
    places = folder / "places"
    places.mkdir()
    me, boot = os.getpid(), boot_id()
    workers = [
        WorkerProcess(
            id=f"w-{each}", host=socket.gethostname(), boot_id=boot, pid=me, start_time=start_time_of(me) or 0
        )
        for each in range(_WORKERS)
    ]
    pulse = Pulse(host=socket.gethostname(), pid=me, start_time=start_time_of(me), boot_id=boot, input_tokens=1)
    for number in range(runs):
        house.runs.create(ALICE, record.id)
        claim = house.runs.claim(_WORKER, workers[number % _WORKERS])
        assert claim is not None
        house.runs.begin_step(_WORKER, claim, StepName.AGENT)
        house.runs.put_pulse(claim, replace(pulse, fence=claim.item.fence))
        (places / f"{claim.run.id}-{claim.item.fence}").mkdir()


def _contenders(house: Interlock, folder: Path) -> tuple[Callable[[], float], Callable[[], float]]:
    me = WorkerProcess(id="looker", host=socket.gethostname(), boot_id=boot_id(), pid=os.getpid(), start_time=0)
    looker = Reconciler(
        me=me,
        truths=house.truths,
        actor=_WORKER,
        sight=Machine(folder / "places", folder / "mirrors"),
        options=house.settings.truth,
    )
    seconds = iter(range(1_000_000))

    def bare() -> None:
        with house.database.read() as transaction:
            for row in transaction.all("truth_held", any_run=1, run_id=""):
                assert row["fence"]

    # Every look is one that also goes through the processes of the machine: the dearest there is.
    return (lambda: timed(lambda: looker.look(next(seconds) * 10.0))), (lambda: timed(bare))
