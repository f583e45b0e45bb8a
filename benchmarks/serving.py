"""The server beside a bare FastAPI application on the same uvicorn, and its live events with many readers.

Both answer with the same bodies from a SQLite database of their own; ours also proves the caller, checks role and
panic, throttles, notes the event and seals it. The client writes and reads bytes, so that it is not what is measured.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.grounds import ALICE, Grounds, approved, sqlite_path, workspace
from benchmarks.measuring import in_turns, percentile, ratio
from benchmarks.table import Aim, Peer, Row
from interlock.app import Interlock
from interlock.approval.models import Work
from interlock.kernel.clock import from_text, system_clock
from interlock.queue.models import Executor, ItemKind, NewItem

_RUNS, _RUNS_QUICK = 100_000, 5_000
_CALLERS = 4
_PAGE = 100
_READERS, _READERS_QUICK = 200, 50
_EVENTS_PER_SECOND = 50
_FOLLOW_SECONDS, _FOLLOW_SECONDS_QUICK = 30, 6
_HALF = Aim(of="ratio", bound=0.5)
_A_SECOND = Aim(of="value", bound=1_000, at_most=True)
_FLAT = Aim(of="ratio", bound=1.1, at_most=True)
_SAID = re.compile(rb"http://127\.0\.0\.1:(\d+)")
_TIME = re.compile(rb'"time": "([^"]+)"')


def measure(grounds: Grounds) -> Iterator[Row]:
    """Measure reads, writes and live events."""
    root = grounds.new_folder("serving")
    with closing(workspace(root)) as house:
        _fill(house, root, _RUNS_QUICK if grounds.quick else _RUNS)
    token = secrets.token_urlsafe(24)
    with ours_served(root, token) as ours, _bare(root) as bare:
        for name, path, body, rows in (
            ("GET /ops/runs", f"?limit={_PAGE}", None, _PAGE),
            ("POST /ops/drafts", "", b'{"prompt":"sweep the part"}', 1),
        ):
            method, _, route = name.partition(" ")
            contenders: dict[str, Callable[[], _Round]] = {
                "ours": _Load(ours, method, f"{route}{path}", token, body).round,
                "bare": _Load(bare, method, f"{route}{path}", token, body).round,
            }
            found = in_turns(contenders, rounds=3 if grounds.quick else 9, seconds=40)
            yield from _rows(name + (f" of {rows}" if rows > 1 else ""), found["ours"], found["bare"])
    yield from _followed(grounds, root, token)


def _rows(name: str, ours: list[_Round], bare: list[_Round]) -> Iterator[Row]:
    rates = [each.per_second for each in ours], [each.per_second for each in bare]
    yield Row(
        name=f"{name}, {_CALLERS} callers",
        value=median(rates[0]),
        unit="requests/s",
        peer=Peer(name="bare FastAPI", value=median(rates[1])),
        ratio=ratio(*rates),
        aim=_HALF if name.startswith("GET") else None,
    )
    late = [ms for each in ours for ms in each.ms], [ms for each in bare for ms in each.ms]
    yield Row(
        name=f"{name}, {_CALLERS} callers: p99",
        value=percentile(late[0], 0.99),
        unit="ms",
        peer=Peer(name="bare FastAPI", value=percentile(late[1], 0.99)),
    )


# --- load -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Round:
    per_second: float
    ms: list[float]


@dataclass(slots=True)
class _Load:
    """Callers that ask for the same again and again, each on a connection of its own."""

    port: int
    method: str
    path: str
    token: str
    body: bytes | None
    seconds: float = 1.5
    _request: bytes = field(init=False)

    def __post_init__(self) -> None:
        body = self.body or b""
        kind = "Content-Type: application/json\r\n" if body else ""
        self._request = (
            f"{self.method} {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self.token}\r\n"
            f"{kind}Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    def round(self) -> _Round:
        """Ask for a while."""
        times: list[float] = []
        began = time.perf_counter()
        callers = [threading.Thread(target=self._ask, args=(times, began + self.seconds)) for _ in range(_CALLERS)]
        for each in callers:
            each.start()
        for each in callers:
            each.join()
        return _Round(len(times) / (time.perf_counter() - began), times)

    def _ask(self, times: list[float], end: float) -> None:
        with closing(socket.create_connection(("127.0.0.1", self.port))) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (began := time.perf_counter()) < end:
                connection.sendall(self._request)
                _take(connection)
                times.append((time.perf_counter() - began) * 1000)


def _take(connection: socket.socket) -> None:
    data = connection.recv(65_536)
    head, _, rest = data.partition(b"\r\n\r\n")
    if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
        raise RuntimeError(data[:300].decode())
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    if length is None:
        raise RuntimeError("the answer does not say how long it is")
    missing = int(length[1]) - len(rest)
    while missing > 0:
        missing -= len(connection.recv(min(missing, 262_144)))


# --- servers ----------------------------------------------------------------------------------------------------------


def _fill(house: Interlock, root: Path, runs: int) -> None:
    """Make a run, and copies of its row."""
    made = house.runs.create(ALICE, approved(house, Work(command=("true",))).id)
    with closing(sqlite3.connect(sqlite_path(root))) as connection, connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(run)") if row[1] not in {"seq", "id"}]
        names = ", ".join(columns)
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"  # noqa: S608 - our own words
            f" INSERT INTO run (id, {names}) SELECT 'r_' || printf('%026d', i), {names} FROM run, n WHERE id = ?",
            (runs, made.id),
        )


@contextmanager
def ours_served(root: Path, token: str) -> Generator[int]:
    """Serve a workspace to whoever shows this token, without a worker; gives the port."""
    limits = {"INTERLOCK_ACCESS_REQUESTS_PER_MINUTE": "100000000", "INTERLOCK_ACCESS_BURST": "100000000"}
    words = [sys.executable, "-m", "interlock.cli.main", "--workspace", str(root), "serve", "--api-only", "--port", "0"]
    with _started(words, {**os.environ, **limits, "ORCH_TOKEN": token}, root.with_name("serve.log")) as (port, _):
        yield port


@contextmanager
def _bare(root: Path) -> Generator[int]:
    words = [sys.executable, "-m", "benchmarks.bare_server", str(sqlite_path(root))]
    with _started(words, dict(os.environ), root.with_name("bare.log")) as (port, _):
        yield port


@contextmanager
def _started(words: list[str], environment: dict[str, str], log: Path) -> Generator[tuple[int, int]]:
    """Start a server and give its port and process; end it afterwards."""
    with log.open("wb") as said:
        process = subprocess.Popen(words, env=environment, stdout=said, stderr=said)
    try:
        deadline = time.monotonic() + 30
        while not (found := _SAID.search(log.read_bytes())):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text())
            time.sleep(0.05)
        yield int(found[1]), process.pid
    finally:
        process.terminate()
        process.wait(30)


# --- live events ------------------------------------------------------------------------------------------------------


def _followed(grounds: Grounds, root: Path, token: str) -> Iterator[Row]:
    """Let many read what happens, while it happens."""
    readers = _READERS_QUICK if grounds.quick else _READERS
    seconds = _FOLLOW_SECONDS_QUICK if grounds.quick else _FOLLOW_SECONDS
    limits = {"INTERLOCK_ACCESS_REQUESTS_PER_MINUTE": "100000000", "INTERLOCK_ACCESS_BURST": "100000000"}
    words = [sys.executable, "-m", "interlock.cli.main", "--workspace", str(root), "serve", "--api-only", "--port", "0"]
    environment = {**os.environ, **limits, "ORCH_TOKEN": token}
    with _started(words, environment, root.with_name("follow.log")) as (port, pid):
        found = asyncio.run(_read(port, token, readers, lambda: _write(root, seconds), pid))
    yield Row(
        name=f"{readers} readers, {_EVENTS_PER_SECOND} events/s: the latest that anybody was told",
        value=max(found.late_ms),
        unit="ms",
        peer=Peer(name="p50", value=percentile(found.late_ms, 0.5)),
        aim=_A_SECOND,
    )
    expected = readers * _EVENTS_PER_SECOND * seconds
    if len(found.late_ms) != expected:
        raise RuntimeError(f"{len(found.late_ms)} of {expected} events were told")
    yield Row(
        name=f"{readers} readers: memory of the server at the end",
        value=found.memory[-1],
        unit="MiB",
        peer=Peer(name="when a third was told", value=found.memory[0]),
        ratio=found.memory[-1] / found.memory[0],
        aim=_FLAT,
    )


@dataclass(slots=True)
class _Followed:
    late_ms: list[float] = field(default_factory=list[float])
    memory: list[float] = field(default_factory=list[float])


async def _read(port: int, token: str, readers: int, write: Callable[[], None], pid: int) -> _Followed:
    found = _Followed()
    request = f"GET /ops/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    streams = [await asyncio.open_connection("127.0.0.1", port, limit=2**20) for _ in range(readers)]
    for reader, writer in streams:
        writer.write(request)
        while b"retry" not in await reader.readline():
            pass
    tasks = [asyncio.create_task(_listen(reader, found.late_ms)) for reader, _ in streams]
    writing = asyncio.create_task(asyncio.to_thread(write))
    began = time.monotonic()
    while not writing.done():
        await asyncio.sleep(0.5)
        if time.monotonic() - began > 2 or writing.done():
            found.memory.append(_memory(pid))
    await asyncio.sleep(1.5)
    found.memory = [found.memory[len(found.memory) // 3], _memory(pid)]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _, writer in streams:
        writer.close()
    return found


async def _listen(reader: asyncio.StreamReader, late_ms: list[float]) -> None:
    while line := await reader.readline():
        if line.startswith(b"data:"):
            told = _TIME.search(line)
            if told is not None:
                late_ms.append(system_clock() - from_text(told[1].decode()))


def _write(root: Path, seconds: int) -> None:
    """Make events at an even rate."""
    new = NewItem(kind=ItemKind.MANUAL, executor=Executor.EXTERNAL, priority="P1", task="t", success_criteria="c")
    with closing(Interlock.at(root)) as house:
        began = time.monotonic()
        for number in range(seconds * _EVENTS_PER_SECOND):
            time.sleep(max(0.0, began + number / _EVENTS_PER_SECOND - time.monotonic()))
            with house.queue(ALICE) as queue:
                queue.add(new)


def _memory(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    found = re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
