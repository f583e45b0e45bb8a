"""The scene `workspace`: one workspace on SQLite with its server, on a small disk; the other scenes work in it.

A full disk is a real one where we may mount a `tmpfs`; elsewhere no file of the server and of whoever is called just
then may grow (`RLIMIT_FSIZE`), which a program meets at the same places. A slow disk can not be made without a driver,
so it is what one looks like: our processes wait at each `fsync` of their own, and from outside somebody has begun to
write to the database whose commit takes its time.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import httpx2

from chaos.calls import accidents
from chaos.fleet import ALICE, until
from chaos.invariants import proven
from chaos.process import clock_jumping, disk_slow, plain_environment
from chaos.scene import Hand, Scene
from chaos.wire import Wire
from interlock.app import Interlock
from interlock.founding import create_workspace
from interlock.workspace.windows import only_writer

TOKEN = "storm-" + "x" * 32
PROGRAM = Path(sys.executable).with_name("interlock")
_ROOT = Path(__file__).resolve().parents[1]
_MEGABYTES = 192
_SLOW_SECONDS = 0.15
_SETTINGS = {
    "INTERLOCK_ACCESS_BURST": "1000000",
    "INTERLOCK_ACCESS_REQUESTS_PER_MINUTE": "1000000",
    "INTERLOCK_ALERTS_BACKOFF_SECONDS": "1",
    "INTERLOCK_ALERTS_BREAKER_SECONDS": "1",
    "INTERLOCK_ALERTS_LEASE_SECONDS": "4",
    "INTERLOCK_ALERTS_MOST_BACKOFF_SECONDS": "2",
    "INTERLOCK_QUEUE_BACKOFF_SECONDS": "1",
    "INTERLOCK_QUEUE_EXTERNAL_LEASE_SECONDS": "1",
    "INTERLOCK_QUEUE_LEASE_SECONDS": "2",
    "INTERLOCK_QUEUE_MAX_ATTEMPTS": "100",
    "INTERLOCK_WORKER_CONCURRENCY": "2",
    "INTERLOCK_WORKER_GRACE_SECONDS": "1",
    "INTERLOCK_WORKER_VISIBLE": f"{sys.prefix},{_ROOT}",
}


@dataclass(frozen=True)
class Disk:
    """A folder, on a small disk of its own where we may mount one."""

    folder: Path
    is_small: bool


@contextmanager
def small_disk(folder: Path) -> Generator[Disk]:
    """Give a disk."""
    folder.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={_MEGABYTES}m", "interlock-chaos", str(folder)]
    may = os.geteuid() == 0 and sys.platform == "linux"
    is_small = may and subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode == 0
    try:
        yield Disk(folder, is_small)
    finally:
        if is_small:
            subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S607 - where it lies depends on the system


class Workspace(Scene):
    """The workspace, its disk, its server, and the way to that."""

    name = "workspace"
    kinds: ClassVar[Mapping[str, Sequence[str]]] = {
        "disk_full": ("disk",),
        "disk_slow": ("disk",),
        "server_killed": ("server",),
        "server_paused": ("server",),
        "clock_jumps": ("clock",),
        "connections_dropped": ("wire",),
        "connections_stalled": ("wire",),
    }
    pace = (1.5, 4.0)

    def __init__(self, place: Path, disk: Disk) -> None:
        """Make it."""
        self.place = place
        self.disk = disk.folder
        self._is_mounted = disk.is_small
        self.root = self.disk / "workspace"
        create_workspace(self.root, ALICE, database_url="", replace=False)
        self.house = Interlock.at(self.root)
        self.environment = plain_environment() | _SETTINGS | {"ORCH_TOKEN": TOKEN}
        self.limited: list[Callable[[], Sequence[int]]] = [self._server_pids]
        """Who meets a full disk where none can be mounted: each names processes of its own."""
        self.wire = Wire.to_port(self._port)
        self._harms: list[Path] = []
        self._harm = self.harm("server")
        self._server: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._mended = threading.Lock()
        self._down = False

    # --- for the other scenes -----------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Where the server answers, by way of the wire."""
        return f"http://127.0.0.1:{self.wire.port}"

    @property
    def ballast(self) -> Path:
        """What fills the disk."""
        return self.disk / "ballast"

    def harm(self, name: str) -> Path:
        """Return by what a process's clock and disk are wrong; a slow disk is slow for it as well."""
        harm = self.place / name
        self._harms.append(harm)
        return harm

    def tear(self, file: Path, dice: Callable[[], float]) -> int:
        """Cut a file somewhere in its last line, as a power cut may; returns how long the log was then."""
        with only_writer(self.house.layout):
            data = file.read_bytes()
            begun = data.rstrip(b"\n").rfind(b"\n") + 1
            if data.endswith(b"\n"):  # else it is torn already
                os.truncate(file, begun + 1 + int(dice() * (len(data) - begun - 2)))
            return self.house.event_log.size()

    # --- the scene ----------------------------------------------------------------------------------------------------

    def hands(self) -> Sequence[Hand]:
        """Start the server wherever it is gone, as systemd would."""
        return (lambda _: self._look_after(),)

    def calm(self) -> None:
        """Let everything be as it should, with a server that answers."""
        until(self._answers, 120, "the server answers")

    def broken(self) -> Iterator[str]:
        """Hold every window and the exported evidence against the database."""
        self._end()
        yield from accidents(self.place.glob("server-*.log"))
        if not self._starts:
            yield "there was no server"
        self.house.catch_up(ALICE)
        for windows in (self.house.windows, self.house.delivery.windows):
            yield from (f"{each.path} {each.problem}" for each in windows.differences())
        yield from proven(self.house, self.place / "last-export")
        self.house.windows.rebuild(ALICE, "after the storm")  # which clears away what a kill left half written
        yield from (f"left behind: {each}" for each in self.root.rglob(".*.tmp") if each.is_file())

    def told(self) -> str:
        """Count."""
        return f"a log of {self.house.event_log.size()} entries and {self._starts} starts of the server"

    def close(self) -> None:
        """End the server, and give the disk back."""
        self.wire.close()
        if self._server is not None:
            self._server.send_signal(signal.SIGCONT)
            self._server.kill()
            self._server.wait()
        self.house.close()

    # --- what befalls it ----------------------------------------------------------------------------------------------

    @contextmanager
    def disk_full(self, _: str) -> Generator[None]:
        """Nothing can be written any more."""
        filling = threading.Event()
        thread = threading.Thread(target=self._fill if self._is_mounted else self._forbid, args=(filling,))
        thread.start()
        try:
            yield
        finally:
            filling.set()
            thread.join()
            self.ballast.unlink(missing_ok=True)

    @contextmanager
    def disk_slow(self, _: str) -> Generator[None]:
        """Writing takes its time."""
        enough = threading.Event()
        thread = threading.Thread(target=self._commit_slowly, args=(enough,))
        thread.start()
        with ExitStack() as slow:
            for each in self._harms:
                slow.enter_context(disk_slow(each, _SLOW_SECONDS))
            yield
        enough.set()
        thread.join()

    @contextmanager
    def server_killed(self, _: str) -> Generator[None]:
        """The server dies by `kill -9`, and is started again."""
        self._down = True
        with self._mended:
            if self._server is not None:
                self._server.kill()
                self._server.wait()
        yield
        self._down = False

    @contextmanager
    def server_paused(self, _: str) -> Generator[None]:
        """The server stands still."""
        server = self._server
        if server is not None:
            server.send_signal(signal.SIGSTOP)
        yield
        if server is not None:
            server.send_signal(signal.SIGCONT)

    @contextmanager
    def clock_jumps(self, _: str) -> Generator[None]:
        """The server's clock goes an hour ahead, then an hour behind, then right again."""
        with clock_jumping(self._harm):
            yield

    @contextmanager
    def connections_dropped(self, _: str) -> Generator[None]:
        """Every connection breaks, again and again, in the middle of whatever is said."""
        over = threading.Event()
        thread = threading.Thread(target=self._drop, args=(over,))
        thread.start()
        yield
        over.set()
        thread.join()

    @contextmanager
    def connections_stalled(self, _: str) -> Generator[None]:
        """Connections stand, and nothing comes through; then they break."""
        self.wire.stall()
        yield
        self.wire.cut()
        self.wire.heal()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _fill(self, over: threading.Event) -> None:
        with self.ballast.open("wb", buffering=0) as file:
            while True:
                for size in (2**20, 2**12, 2**8):
                    with suppress(OSError):
                        while not over.is_set():
                            file.write(b"x" * size)
                if over.wait(0.05):  # what others gave up meanwhile is filled as well
                    return

    def _forbid(self, over: threading.Event) -> None:
        pids = [pid for each in self.limited for pid in each()]
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        _limit(pids, (1, most))
        over.wait()
        _limit(pids, (most, most))

    def _commit_slowly(self, over: threading.Event) -> None:
        connection = sqlite3.connect(self.house.layout.database, isolation_level=None, timeout=0)
        while not over.is_set():
            with suppress(sqlite3.OperationalError):  # somebody else is writing
                connection.execute("BEGIN IMMEDIATE")
                over.wait(_SLOW_SECONDS)
                connection.execute("ROLLBACK")
            over.wait(0.01)
        connection.close()

    def _drop(self, over: threading.Event) -> None:
        while not over.wait(0.07):
            self.wire.drop()

    def _look_after(self) -> None:
        time.sleep(0.2)
        with self._mended:
            if not self._down and (self._server is None or self._server.poll() is not None):
                self._start()

    def _start(self) -> None:
        self._starts += 1
        with self._said.open("wb") as output:
            self._server = subprocess.Popen(
                [
                    *(sys.executable, "-m", "chaos.process", str(self._harm)),
                    *("--workspace", str(self.root), "serve", "--port", "0"),
                ],
                cwd=_ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def _said(self) -> Path:
        return self.place / f"server-{self._starts}.log"

    def _port(self) -> int:
        """Return where the server listens; raises `ConnectionError` before it does."""
        said = re.search(r" on http://\S+:(\d+)\n", self._said.read_text(errors="replace")) if self._starts else None
        if said is None:
            raise ConnectionError
        return int(said[1])

    def _answers(self) -> bool:
        self._look_after()
        with suppress(httpx2.TransportError):
            return httpx2.get(f"{self.address}/health", timeout=3).status_code == 200
        return False

    def _end(self) -> None:
        if self._server is not None:
            self._server.terminate()
            try:
                self._server.wait(60)
            except subprocess.TimeoutExpired:
                self._server.kill()
                raise

    def _server_pids(self) -> Sequence[int]:
        return [] if self._server is None or self._server.poll() is not None else [self._server.pid]


def _limit(pids: Sequence[int], limits: tuple[int, int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
