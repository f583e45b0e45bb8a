"""Supervision of loops: a glance as a whole process, reconciles in one process, a long log, a thousand idle loops."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median

from tests.loops.loop import PROFILES, Loop
from tests.loops.sprite import serving

from benchmarks.grounds import ALICE, Grounds, compiled, workspace
from benchmarks.measuring import in_turns, ratio, timed
from benchmarks.table import Aim, Peer, Row
from interlock.kernel.clock import system_clock
from interlock.loops import reconcile as steps
from interlock.loops.health import Thresholds
from interlock.loops.local import Local, Transport
from interlock.loops.models import stamp
from interlock.loops.reconcile import LoopFiles, Order, ReconcileOptions
from interlock.loops.sprite_transport import SpriteService
from interlock.loops.status import status

_BARE = "python -c pass"
_AT_MOST = Aim(of="ratio", bound=8.0, at_most=True)
_SHORT, _LONG, _LONG_QUICK = 1_000, 1_000_000, 100_000
_NEW = 10
_LOOPS, _LOOPS_QUICK = 1_000, 200
_WATCHED_SECONDS, _WATCHED_SECONDS_QUICK = 40.0, 8.0


def measure(grounds: Grounds) -> Iterator[Row]:
    """Measure one loop, many rounds, many loops."""
    yield from _glances(grounds)
    yield from _in_process(grounds)
    yield from _as_the_log_grows(grounds)
    yield from _idle(grounds)
    yield from _over_the_service(grounds)


def _glances(grounds: Grounds) -> Iterator[Row]:
    """Start the scripts in a workspace, on a loop that has nothing new."""
    root = grounds.folder / "looping"
    workspace(root).database.close()
    loop = _loop(root, _SHORT)
    loop.reconcile(clock=system_clock)
    environment = compiled(grounds)
    started: dict[str, Callable[[], float]] = {
        _BARE: partial(_started, root, environment, (sys.executable, "-c", "pass"))
    }
    for name in ("reconcile", "status"):
        words = (str(root / "scripts" / f"ops-manager-{name}.sh"), "--repo", str(root), "--loop", "docs")
        started[f"ops-manager-{name}.sh, nothing new"] = partial(_started, root, environment, words)
    for warm_up in started.values():
        warm_up()
    rounds, seconds = (10, 10.0) if grounds.quick else (40, 40.0)
    found = in_turns(started, rounds=rounds, seconds=seconds)
    bare = found.pop(_BARE)
    for name, times in found.items():
        yield Row(
            name=name,
            value=median(times),
            unit="ms",
            peer=Peer(name=_BARE, value=median(bare)),
            ratio=ratio(times, bare),
            aim=_AT_MOST,
        )


def _in_process(grounds: Grounds) -> Iterator[Row]:
    loop = _loop(grounds.new_folder("looping-process"), _SHORT)
    loop.reconcile(clock=system_clock)
    order = Order(
        loop.places,
        LoopFiles.of(loop.places),
        ReconcileOptions(trace_id="bench", profiles=PROFILES, thresholds=Thresholds("balanced")),
        "local",
        system_clock() // 1000,
        system_clock() // 1000,
    )
    kept = steps.read(order)
    ingested = steps.ingest(order, kept, Local())
    times = 300 if grounds.quick else 2_000
    computed = times / timed(lambda: [steps.evaluate(order, kept, ingested) for _ in range(times)])
    yield Row(
        name="reconciles in one process: computing, on files already read",
        value=computed,
        unit="loops/s",
        aim=Aim(of="value", bound=500),
    )
    times = 50 if grounds.quick else 300
    lasting = times / timed(lambda: [loop.reconcile(clock=system_clock) for _ in range(times)])
    yield Row(
        name="reconciles in one process: whole, every state file on the disk",
        value=lasting,
        unit="loops/s",
        aim=Aim(of="value", bound=100),
    )


def _as_the_log_grows(grounds: Grounds) -> Iterator[Row]:
    """Reconcile ten new events behind a short log and behind a long one."""
    size = _LONG_QUICK if grounds.quick else _LONG
    short = _loop(grounds.new_folder("looping-short"), _SHORT)
    long = _loop(grounds.new_folder("looping-long"), size)
    for loop in (short, long):
        loop.reconcile(clock=system_clock)
    before = _peak_memory()
    contenders = {"short": partial(_ten_more, short), "long": partial(_ten_more, long)}
    found = in_turns(contenders, rounds=15 if grounds.quick else 60, seconds=30)
    yield Row(
        name=f"reconcile of {_NEW} new events, log of {size:,}",
        value=median(found["long"]),
        unit="ms",
        peer=Peer(name=f"{_SHORT:,} events", value=median(found["short"])),
        ratio=ratio(found["long"], found["short"]),
        aim=Aim(of="ratio", bound=1.2, at_most=True),
    )
    yield Row(name="peak of memory meanwhile, more than before", value=_peak_memory() - before, unit="MiB")
    looks = {"short": partial(_look, short), "long": partial(_look, long)}
    found = in_turns(looks, rounds=60 if grounds.quick else 400, seconds=10)
    yield Row(
        name=f"status of a loop, log of {size:,}",
        value=median(found["long"]),
        unit="ms",
        peer=Peer(name=f"{_SHORT:,} events", value=median(found["short"])),
        ratio=ratio(found["long"], found["short"]),
        aim=Aim(of="ratio", bound=1.2, at_most=True),
    )


def _look(loop: Loop) -> float:
    return 1000 * timed(lambda: status(loop.places, stamp(system_clock() // 1000)))


def _ten_more(loop: Loop) -> float:
    loop.events(*["role_start"] * _NEW, at=system_clock() // 1000)
    return 1000 * timed(lambda: loop.reconcile(clock=system_clock))


def _idle(grounds: Grounds) -> Iterator[Row]:
    """Watch very many loops in which nothing happens."""
    root = grounds.folder / "looping-idle"
    count = _LOOPS_QUICK if grounds.quick else _LOOPS
    fleet = grounds.new_folder("looping-fleet")
    first = _loop(fleet, 100)
    for number in range(count - 1):
        shutil.copytree(first.run, first.run.with_name(f"docs{number}"))
        Loop(fleet, f"docs{number}", now=system_clock() // 1000).beat(
            age=number % 110
        )  # so that some go stale meanwhile
    with closing(workspace(root)) as house:
        house.loops.watch(ALICE, str(fleet))
        supervisor = house.supervisor()
        thread = threading.Thread(target=supervisor.work)
        thread.start()
        try:
            began = time.monotonic()
            while supervisor.reconciled < count and time.monotonic() - began < 300:
                time.sleep(0.1)
            taken_up = time.monotonic() - began
            cpu, started = time.process_time(), time.monotonic()
            time.sleep(_WATCHED_SECONDS_QUICK if grounds.quick else _WATCHED_SECONDS)
            share = (time.process_time() - cpu) / (time.monotonic() - started)
        finally:
            supervisor.stop()
            thread.join()
    yield Row(name=f"supervisor: {count:,} loops seen for the first time", value=count / taken_up, unit="loops/s")
    yield Row(name=f"supervisor: {count:,} loops, nothing happens: processor", value=100 * share, unit="% of one CPU")


def _over_the_service(grounds: Grounds) -> Iterator[Row]:
    """Ask a service on the loopback, and reconcile over it and without it in turns."""
    loop = _loop(grounds.new_folder("looping-service"), _SHORT)
    rounds, seconds = (50, 5.0) if grounds.quick else (400, 20.0)
    with serving(loop.repo) as running:
        client = running.client()
        trips = sorted(1000 * timed(lambda: client.get("/healthz")) for _ in range(4 * rounds))
        ways = {"local": Local(), "service": SpriteService(client)}
        rounds_of: dict[str, Callable[[], float]] = {
            name: partial(_reconciled, loop, transport) for name, transport in ways.items()
        }
        for warm_up in rounds_of.values():
            warm_up()
        found = in_turns(rounds_of, rounds=rounds, seconds=seconds)
    yield Row(name="service: round trip on the loopback, p95", value=trips[int(len(trips) * 0.95)], unit="ms")
    yield Row(
        name="reconcile over the service, nothing new",
        value=median(found["service"]),
        unit="ms",
        peer=Peer(name="reconcile local, nothing new", value=median(found["local"])),
        ratio=ratio(found["service"], found["local"]),
    )


def _reconciled(loop: Loop, transport: Transport) -> float:
    options = ReconcileOptions(trace_id="bench", profiles=PROFILES, thresholds=Thresholds("balanced"))
    return 1000 * timed(lambda: steps.reconcile(loop.places, options, transport, system_clock))


def _loop(folder: Path, events: int) -> Loop:
    loop = Loop(folder, now=system_clock() // 1000).state().summary().beat()
    line = json.dumps(loop.event("role_start", role="planner", data={"n": 1})) + "\n"
    with loop.log.open("w", encoding="utf-8") as file:
        for _ in range(events):
            file.write(line)
    return loop


def _started(root: Path, environment: Mapping[str, str], command: tuple[str, ...]) -> float:
    return 1000 * timed(
        lambda: subprocess.run(command, cwd=root, env=environment, stdout=subprocess.DEVNULL, check=True)
    )


def _peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
