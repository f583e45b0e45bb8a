"""What docs/OPERATIONS.md tells to type works as it stands there, in this order, in bash."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.door import PROGRAM, environment
from tests.http.processes import SECRETS, process

PAGE = Path(__file__).resolve().parents[2] / "docs" / "OPERATIONS.md"
COMMANDS = re.findall(r"^    ((?:interlock|curl|export) .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.proves("ops-curl")
def test_every_command_of_the_page_works(workspace: Path) -> None:
    assert len(COMMANDS) > 20
    with process(workspace, "--api-only") as server:
        script = "\n".join(
            f"{line} >&2 || {{ echo failed: {number} >&2; exit 1; }}" for number, line in enumerate(COMMANDS)
        )
        done = subprocess.run(
            ["bash", "-c", script.replace("http://localhost:9325", server.address)],
            cwd=workspace,
            env={**environment(**SECRETS), "PATH": f"{PROGRAM.parent}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "refactor X" in done.stderr
    assert '"status":"cancelled"' in done.stderr
