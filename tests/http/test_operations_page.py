"""What docs/OPERATIONS.md tells to type works as it stands there, in this order; the server ends before the move."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.door import PROGRAM, environment
from tests.http.processes import SECRETS, process

PAGE = Path(__file__).resolve().parents[2] / "docs" / "OPERATIONS.md"
_ELSEWHERE = "postgresql://interlock@db.example.org/interlock"
COMMANDS = re.findall(r"^    ((?:interlock|curl|export) .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.proves("ops-curl")
@pytest.mark.timeout(180)
def test_every_command_of_the_page_works(workspace: Path, postgres_url: str) -> None:
    assert len(COMMANDS) > 20
    move = next(number for number, line in enumerate(COMMANDS) if line.startswith("interlock migrate"))
    with process(workspace, "--api-only") as server:
        served = said(workspace, [line.replace("http://localhost:9325", server.address) for line in COMMANDS[:move]])
        assert server.end() == 0
    assert "refactor X" in served
    assert '"status":"cancelled"' in served
    moved = said(workspace, [line.replace(_ELSEWHERE, shlex.quote(postgres_url)) for line in COMMANDS[move:]])
    assert "would be moved" in moved
    assert postgres_url in (workspace / "interlock.toml").read_text()


def said(workspace: Path, commands: Sequence[str]) -> str:
    """Type the commands into one shell; returns what they said."""
    script = "\n".join(
        f"{line} >&2 || {{ echo failed: {number} >&2; exit 1; }}" for number, line in enumerate(commands)
    )
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=workspace,
        env={**environment(**SECRETS), "PATH": f"{PROGRAM.parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stderr
