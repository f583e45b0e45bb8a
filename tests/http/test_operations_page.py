"""What docs/OPERATIONS.md tells to type works as it stands there, in this order; the server ends before the move."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.docs.page import Terminal, typed
from tests.http.processes import SECRETS, process
from tests.postgres import ON_THE_PAGES
from tests.providers.model_server import model_server

COMMANDS = typed("docs/OPERATIONS.md")


@pytest.mark.proves("ops-curl")
@pytest.mark.timeout(180)
def test_every_command_of_the_page_works(workspace: Path, postgres_url: str, tmp_path: Path) -> None:
    assert len(COMMANDS) > 20
    move = next(number for number, line in enumerate(COMMANDS) if line.startswith("interlock migrate"))
    with model_server() as model, process(workspace, "--api-only") as server:
        there = {"http://localhost:9325": server.address, ON_THE_PAGES: shlex.quote(postgres_url)}
        with Terminal(tmp_path / "terminal", workspace, SECRETS, there) as terminal:
            terminal.types(f"interlock provider set --name local_ollama --base-url {model.origin}/v1")
            served = said(terminal, COMMANDS[:move])
            assert "refactor X" in served
            assert '"status":"cancelled"' in served
            assert server.end() == 0
            assert "would be moved" in said(terminal, COMMANDS[move:])
    assert postgres_url in (workspace / "interlock.toml").read_text()


def said(terminal: Terminal, commands: Sequence[str]) -> str:
    """Type the commands; returns what they said."""
    return "".join(terminal.types(command).stdout for command in commands)
