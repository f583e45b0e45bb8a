"""What the page on pipelines tells to type works as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.door import call

PAGE = Path(__file__).resolve().parent.parent / "docs" / "runbooks" / "agent-devops.md"


@pytest.mark.timeout(300)
def test_every_command_of_the_devops_page_works(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    assert call("init", str(root), at=tmp_path).code == 0
    commands = re.findall(r"^    (\S.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commands) > 40
    foreign = ("INTERLOCK_", "NOA_", "OPS_", "ORCH_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    for command in commands:
        named = re.fullmatch(r"export (\w+)=(.*)", command)
        done = subprocess.run(
            ["sh", "-c", f"printf %s {named[2]}" if named else command],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        if named:
            environment[named[1]] = done.stdout
            assert done.stdout, command
