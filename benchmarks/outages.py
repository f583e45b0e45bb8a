"""How long work stands when what all of them share is gone: a leader, PostgreSQL, Temporal. Default settings.

A leader is followed when another process has taken the role and acted: an alert is opened of what was told right after
the kill. Of PostgreSQL and Temporal the restart is not ours; it stands beside, and is not in the figure.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from tests.engines.temporal_server import TemporalServer
from tests.postgres import running

from benchmarks.fleet import PROGRAM, until
from benchmarks.grounds import ALICE, Grounds, approved, compiled, workspace
from benchmarks.measuring import percentile
from benchmarks.table import Aim, Peer, Row
from interlock.app import Interlock
from interlock.approval.events import DraftNotGenerated
from interlock.approval.models import Work
from interlock.founding import join_workspace
from interlock.kernel.clock import from_text
from interlock.runs.models import Run, RunStatus, StepName
from interlock.storage.evidence import StoredLog

_EACH, _EACH_QUICK = 10, 3
_LONGEST_SECONDS = 120.0
_HERE, _NODE = "kill -9 of the leader, its node lives", "kill -9 of the leader's whole node"
_AIMS = {
    _HERE: Aim(of="value", bound=5_000.0, at_most=True),
    _NODE: Aim(of="value", bound=30_000.0, at_most=True),
}
_BACK = Aim(of="value", bound=30_000.0, at_most=True)


def measure(grounds: Grounds, elsewhere: Callable[[str], Sequence[str]]) -> Iterator[Row]:
    """Kill each some times; `elsewhere` puts a command on a machine of a name."""
    times = _EACH_QUICK if grounds.quick else _EACH
    for kind, name in ((_HERE, "leader-here"), (_NODE, "leader-node")):
        took = _leaders(grounds, name, times, elsewhere if kind == _NODE else None)
        yield from _rows(f"led again and acted, PostgreSQL, {kind}", took, _AIMS[kind], None)
    took, restarts = _postgres(grounds, times)
    yield from _rows("a run under way goes on, kill -9 of PostgreSQL, restart excluded", took, _BACK, restarts)
    took, restarts = _temporal(grounds, times)
    yield from _rows("a run's next step is done, kill -9 of Temporal, restart excluded", took, _BACK, restarts)


def _rows(name: str, took: Sequence[float], aim: Aim, restarts: Sequence[float] | None) -> Iterator[Row]:
    for share, what in ((0.5, "p50"), (1.0, "the longest")):
        value = percentile(took, share)
        beside = percentile(restarts, share) if restarts else None
        yield Row(
            name=f"{name}, {what} of {len(took)}",
            value=value,
            unit="ms",
            peer=Peer(name="the restart alone", value=beside, swings=True) if beside is not None else None,
            ratio=value / beside if beside is not None else None,
            aim=aim if share == 1.0 else None,
        )


# --- leaders ----------------------------------------------------------------------------------------------------------


def _leaders(
    grounds: Grounds, name: str, times: int, elsewhere: Callable[[str], Sequence[str]] | None
) -> Sequence[float]:
    """Let two servers be there, and kill the one that leads; returns milliseconds until the other has acted."""
    house = workspace(grounds.folder / name, database_url=grounds.postgres(name.replace("-", "_")))
    took: list[float] = []
    with ExitStack() as stack:
        stack.callback(house.close)
        commands: dict[str, Sequence[str | Path]] = {}
        for number in range(2):
            root, host = house.layout.root, f"{name}-{number}"
            if elsewhere is not None:
                root = grounds.folder / host
                join_workspace(root, ALICE, database_url=house.settings.database.url, replace=False)
            before = elsewhere(host) if elsewhere is not None else ()
            commands[host] = [*before, PROGRAM, "serve", "--workspace", str(root), "--port", "0"]
        house.admit_keys()
        servers = {each: stack.enter_context(_process(grounds, each, commands[each])) for each in commands}
        until(lambda: all(_serves(grounds, each, 1) for each in servers), _LONGEST_SECONDS)
        until(lambda: _leader(house, servers, apart=elsewhere is not None) is not None, _LONGEST_SECONDS)
        house.alerter().turn()  # whoever follows begins here
        began = dict.fromkeys(servers, 1)
        for turn in range(times):
            time.sleep(2.0)  # the other one stands by, and knows who leads
            leader = _leader(house, servers, apart=elsewhere is not None)
            assert leader is not None
            servers[leader].kill()
            fell = time.time_ns() // 1_000_000
            draft = house.approval.create(ALICE, f"draft {turn}").id
            house.tell(ALICE, DraftNotGenerated(subject=draft, draft_version=1, reason="bench", generated={}))
            until(lambda wanted=turn + 1: len(_opened(house)) >= wanted, _LONGEST_SECONDS)
            took.append(_opened(house)[turn] - fell)
            servers[leader].wait()
            servers[leader] = stack.enter_context(_process(grounds, leader, commands[leader]))
            began[leader] += 1
            until(lambda one=leader: _serves(grounds, one, began[one]), _LONGEST_SECONDS)
    return took


def _serves(grounds: Grounds, name: str, times: int) -> bool:
    """Say whether a server has begun to serve so many times."""
    return (grounds.folder / f"{name}.log").read_text(errors="replace").count("Interlock serves") >= times


def _leader(house: Interlock, servers: dict[str, subprocess.Popen[bytes]], *, apart: bool) -> str | None:
    """Say which server leads the alerter; elsewhere its process has another number, and its host a name."""
    with psycopg.connect(house.settings.database.url) as connection:
        row = connection.execute("SELECT host, pid FROM leader WHERE role = 'alerter'").fetchone()
    if row is None:
        return None
    return next((each for each in servers if (each == row[0] if apart else servers[each].pid == row[1])), None)


def _opened(house: Interlock) -> list[int]:
    """Return when alerts of what was told were opened."""
    house.database.seal()
    told = [event for _, event in StoredLog(house.database).events(0, 1_000_000)]
    mine = [each for each in told if each["kind"] == "alert.opened"]
    return [from_text(each["time"]) for each in mine if each["payload"]["category"] == "generation_failed"]


# --- what they share --------------------------------------------------------------------------------------------------


def _postgres(grounds: Grounds, times: int) -> tuple[Sequence[float], Sequence[float]]:
    """Kill a server of our own under a run; returns milliseconds until it goes on, and of the restarts."""
    took, restarts = list[float](), list[float]()
    with running() as server, ExitStack() as stack:
        house = workspace(grounds.folder / "outage-postgres", database_url=server.url)
        stack.callback(house.database.close)
        command = [PROGRAM, "worker", "--workspace", str(house.layout.root), "--concurrency", "1"]
        stack.enter_context(_process(grounds, "outage-postgres", command))
        run = _begun(house, Work(command=("sleep", "3600")))
        for _ in range(times):
            time.sleep(1.0)  # its lease is renewed
            server.kill()
            began = time.monotonic()
            server.start()
            ready = time.monotonic()
            house.database.close()
            before = _beat(house, run)
            until(lambda seen=before: _beat(house, run) > seen, _LONGEST_SECONDS)
            took.append((time.monotonic() - ready) * 1000)
            restarts.append((ready - began) * 1000)
        assert house.runs.get(run.id).attempt == 1
    return took, restarts


def _temporal(grounds: Grounds, times: int) -> tuple[Sequence[float], Sequence[float]]:
    """Kill Temporal while an agent works, and start it when that has ended; returns the same."""
    took, restarts = list[float](), list[float]()
    server = TemporalServer(grounds.new_folder("outage-temporal-server"))
    house = workspace(grounds.folder / "outage-temporal")
    server.start()
    with ExitStack() as stack:
        stack.callback(house.database.close)
        stack.callback(server.kill)
        words = ("--engine", "temporal", "--temporal-address", server.address)
        command = [PROGRAM, "worker", "--workspace", str(house.layout.root), *words]
        stack.enter_context(_process(grounds, "outage-temporal", command))
        for _ in range(times):
            run = _begun(house, Work(command=("sleep", "1")))
            until(lambda one=run: StepName.AGENT in _steps(house, one), _LONGEST_SECONDS)
            server.kill()
            until(lambda one=run: StepName.AGENT in _steps(house, one, complete=True), _LONGEST_SECONDS)
            began = time.monotonic()
            server.start()
            ready = time.monotonic()
            until(lambda one=run: StepName.COLLECT in _steps(house, one, complete=True), _LONGEST_SECONDS)
            took.append((time.monotonic() - ready) * 1000)
            restarts.append((ready - began) * 1000)
            until(lambda one=run: house.runs.get(one.id).status is RunStatus.DONE, _LONGEST_SECONDS)
    return took, restarts


def _begun(house: Interlock, work: Work) -> Run:
    run = house.runs.create(ALICE, approved(house, work).id)
    until(lambda: house.runs.get(run.id).status is RunStatus.RUNNING, _LONGEST_SECONDS)
    return run


def _steps(house: Interlock, run: Run, *, complete: bool = False) -> set[StepName]:
    return {each.name for each in house.runs.steps(run.id) if each.output is not None or not complete}


def _beat(house: Interlock, run: Run) -> int:
    with house.queue_look() as queue:
        return queue.get(run.item_id).beat


@contextmanager
def _process(grounds: Grounds, name: str, command: Sequence[str | Path]) -> Generator[subprocess.Popen[bytes]]:
    with (grounds.folder / f"{name}.log").open("ab") as log:
        started = subprocess.Popen(command, env=compiled(grounds), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield started
    finally:
        started.send_signal(signal.SIGKILL)
        started.wait(_LONGEST_SECONDS)
