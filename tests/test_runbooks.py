"""What the operator's pages tell to type works as it stands there, in this order, in a new workspace."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
_COMMAND = re.compile(r"^    ((?:interlock|python3) .*)$", re.MULTILINE)


def commands(page: str) -> list[str]:
    """List the commands of a page."""
    return _COMMAND.findall((DOCS / page).read_text(encoding="utf-8"))


@pytest.mark.proves("queue-page")
@pytest.mark.timeout(180)
def test_every_command_of_the_queue_s_page_works(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ORCH_KPI_MAX_LATENCY_P95_MS": "600000",  # the items are as slow as this machine types
    }

    def run(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            shlex.split(command), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    assert run("interlock init .").returncode == 0
    told = commands("queue.md")
    assert len(told) > 35
    for command in told:
        done = run(command)
        assert done.returncode == 0, (command, done)
        assert not done.stderr.startswith("error"), (command, done)
    assert "summary PENDING=" in run("python3 automation/orchestrator/ops.py status").stdout


def test_every_place_that_the_seed_map_names_is_there() -> None:
    text = (DOCS / "seed-map.md").read_text(encoding="utf-8")
    here = "\n".join(line.split(" | ", 1)[-1] if line.startswith("|") else line for line in text.splitlines())
    places = set(re.findall(r"`((?:src|docs|tests|examples)/[^`]+)`", here))
    assert len(places) > 10
    assert [place for place in sorted(places) if not (ROOT / place).exists()] == []


def test_every_command_of_seed_1_is_in_the_seed_map() -> None:
    text = (DOCS / "seed-map.md").read_text(encoding="utf-8")
    for word in ("status", "workers", "consistency-check", "kpi", "cancel", "replan", "retry", "--queue", "--db"):
        assert f"`{word}`" in text, word
