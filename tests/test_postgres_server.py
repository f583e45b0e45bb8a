"""The tests' own PostgreSQL server leaves nothing behind, whatever becomes of the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import until

ROOT = Path(__file__).parents[1]
STARTS = """
import sys
from tests.postgres import running
with running() as server:
    print(server.data, flush=True)
    sys.stdin.read()
"""


def is_there(pid: int) -> bool:
    """Say whether a process runs; what nobody has reaped yet does not."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def test_it_ends_and_its_folder_goes_when_who_started_it_is_killed() -> None:
    command = [sys.executable, "-c", STARTS]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        data = Path(started.stdout.readline().strip())
        server = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        started.kill()
    until(lambda: not data.parent.exists(), 30)
    until(lambda: not is_there(server), 30)
