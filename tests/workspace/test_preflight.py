"""The place of seed 4's server in a workspace."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.door import call
from tests.http.processes import READER, process


@pytest.mark.proves("ops-preflight")
def test_the_server_starts_as_the_seed_starts_it_and_says_how_it_is(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    assert call("init", str(workspace), at=tmp_path).code == 0
    with process(workspace, begin=(sys.executable, "-m", "tools.repo_orchestrator.main")) as server:
        status = server.client(READER).get("/status")
    assert (status.status_code, status.json()["panic_mode"]) == (200, False)
