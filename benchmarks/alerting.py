"""Sending very many escalations: to a sink that is quick, and beside one that takes two seconds for each."""

from __future__ import annotations

import json
import resource
import subprocess
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.loops.loop import Loop

from benchmarks.grounds import Grounds, compiled, workspace
from benchmarks.measuring import timed
from benchmarks.table import Aim, Peer, Row
from interlock.kernel.clock import system_clock
from interlock.loops import files
from interlock.loops.models import stamp
from interlock.loops.places import LoopPlaces

_MANY, _MANY_QUICK = 10_000, 1_000
_FEW, _FEW_QUICK = 1_000, 200
_SLOW_SECONDS = 2.0
_PATIENCE = Aim(of="value", bound=5.0, at_most=True)
_NOT_HELD_UP = Aim(of="ratio", bound=1.5, at_most=True)


def measure(grounds: Grounds) -> Iterator[Row]:
    """Send to one sink, then to two."""
    many, few = (_MANY_QUICK, _FEW_QUICK) if grounds.quick else (_MANY, _FEW)
    seconds = _sent(grounds, "alerting-many", many, slow=False)
    yield Row(name=f"{many:,} escalations to a quick sink", value=many / seconds, unit="escalations/s")
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    yield Row(name=f"{many:,} escalations: memory of the dispatch at most", value=memory, unit="MiB")
    alone = _sent(grounds, "alerting-alone", few, slow=False)
    beside = _sent(grounds, "alerting-beside", few, slow=True)
    yield Row(
        name=f"{few:,} escalations to a quick sink beside one that takes 2 s for each",
        value=beside,
        unit="s",
        peer=Peer(name="without it", value=alone),
        ratio=beside / alone,
        aim=_NOT_HELD_UP,
    )
    yield from _held_up(grounds, few)


def _held_up(grounds: Grounds, count: int) -> Iterator[Row]:
    """Reconcile a loop that has very many escalations waiting for the slow sink."""
    root = grounds.folder / "alerting-reconcile"
    workspace(root).database.close()
    loop = Loop(root, now=system_clock() // 1000).running().beat()
    loop.reconcile(clock=system_clock)
    _escalate(loop.places, count)
    script = str(root / "scripts" / "ops-manager-reconcile.sh")
    words = [script, "--repo", str(root), "--loop", "docs", "--alerts-enabled"]
    with _sink(_SLOW_SECONDS) as (lame, _):
        _configure(root, slow=True)
        environment = {**compiled(grounds), "OPS_MANAGER_ALERT_WEBHOOK_URL": lame, "LAME_URL": lame}
        without, beside = (
            timed(lambda on=on: subprocess.run([*words, on], env=environment, stdout=subprocess.DEVNULL, check=True))
            for on in ("false", "true")
        )
    yield Row(
        name=f"reconcile with {count:,} escalations waiting for sinks that take 2 s for each",
        value=beside,
        unit="s",
        peer=Peer(name="--alerts-enabled false", value=without),
        aim=_PATIENCE,
    )


def _escalate(places: LoopPlaces, count: int) -> None:
    at = stamp(system_clock() // 1000)
    rows = [{"timestamp": at, "loopId": "docs", "traceId": f"t-{i}", "category": f"case_{i}"} for i in range(count)]
    files.append(places.of_manager("escalations.jsonl"), [files.bytes_of(row) for row in rows])


def _sent(grounds: Grounds, name: str, count: int, *, slow: bool) -> float:
    """Return how long it takes until the quick sink has them all."""
    root = grounds.folder / name
    workspace(root).database.close()
    places = LoopPlaces(str(root), "docs")
    (root / ".superloop" / "loops" / "docs").mkdir(parents=True)
    _escalate(places, count)
    with _sink(0.0) as (quick, got), _sink(_SLOW_SECONDS) as (lame, _):
        _configure(root, slow=slow)
        environment = {**compiled(grounds), "OPS_MANAGER_ALERT_WEBHOOK_URL": quick, "LAME_URL": lame}
        words = [root / "scripts" / "ops-manager-alert-dispatch.sh", "--repo", str(root), "--loop", "docs"]
        began = time.monotonic()
        process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)
        try:
            while len(got) < count:
                if process.poll() not in {None, 0} or time.monotonic() - began > 300:
                    raise RuntimeError(f"{len(got)} of {count} were sent")
                time.sleep(0.005)
            seconds = time.monotonic() - began
        finally:
            if slow:
                process.kill()
            process.wait(60)
    if len(got) != count:
        raise RuntimeError(f"{len(got)} were sent, of {count}")
    return seconds


def _configure(root: Path, *, slow: bool) -> None:
    path = root / "config" / "ops-manager-alert-sinks.v1.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    hook = {"enabled": True, "type": "webhook", "timeoutSeconds": 5}
    config["sinks"] = {"quick": {**hook, "urlEnv": "OPS_MANAGER_ALERT_WEBHOOK_URL"}}
    if slow:
        config["sinks"]["lame"] = {**hook, "urlEnv": "LAME_URL"}
    config["routing"] = {"defaultSinks": list(config["sinks"]), "categorySeverity": {}, "routes": []}
    path.write_text(json.dumps(config), encoding="utf-8")


@contextmanager
def _sink(seconds: float) -> Generator[tuple[str, list[Mapping[str, Any]]]]:
    """Receive posts, each in so many seconds; gives the address, and what came."""
    got: list[Mapping[str, Any]] = []

    class Sink(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            time.sleep(seconds)
            got.append(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hook", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
