"""What further pages tell to type works as it stands there: evidence, agents, MCP, Temporal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.page import Terminal, sections
from tests.engines.temporal_server import TemporalServer, needs_temporal
from tests.runs.agents.conftest import NAMES, SCRIPT


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    """A folder with stand-ins of the coding agents, under the real ones' names."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in NAMES.values():
        made = folder / name
        made.write_text(f"#!{sys.executable}\n{SCRIPT.read_text()}")
        made.chmod(0o755)
    return folder


@pytest.fixture
def terminal(tmp_path: Path, workspace: Path, home: dict[str, str], agents: Path) -> Iterator[Terminal]:
    """A terminal in a new workspace, beside the repository `~/shop`, on a machine with agents."""
    seen = f"{home['INTERLOCK_WORKER_VISIBLE']},{agents}"
    own = {**home, "PATH": str(agents), "INTERLOCK_WORKER_VISIBLE": seen}
    with Terminal(tmp_path / "terminal", workspace, own) as made:
        yield made


def queued(terminal: Terminal) -> None:
    """Have a piece of work approved, and queue a run of it."""
    terminal.types('interlock draft create --repo ~/shop --prompt "Write the date." --command "sh -c \'date > today\'"')
    terminal.types("interlock draft approve d_…")
    terminal.types("interlock run create a_…")


@pytest.mark.timeout(300)
def test_every_command_of_the_evidence_page_works(terminal: Terminal) -> None:
    queued(terminal)
    terminal.types("interlock worker --once")
    for heading, commands in sections("docs/evidence.md").items():
        if heading != "Without Interlock":  # tests/evidence/test_evidence_page.py
            for command in commands:
                terminal.types(command)


@pytest.mark.timeout(300)
def test_every_command_of_the_agents_page_works_with_agents_that_are_there(terminal: Terminal) -> None:
    terminal.walks("docs/agents.md")
    assert "done" in terminal.said[-1].stdout


@pytest.mark.timeout(300)
def test_every_command_of_the_mcp_page_works(terminal: Terminal) -> None:
    terminal.walks("docs/mcp.md")


@pytest.mark.timeout(300)
def test_every_command_of_the_temporal_page_works_beside_a_temporal_server(terminal: Terminal, tmp_path: Path) -> None:
    needs_temporal()
    place = tmp_path / "temporal"
    place.mkdir()
    server = TemporalServer(place)
    server.start()
    try:
        queued(terminal)
        terminal.instead["temporal.example.org:7233"] = server.address
        terminal.walks("docs/temporal.md")
        assert "done" in terminal.types("interlock run show r_…").stdout
    finally:
        server.kill()
