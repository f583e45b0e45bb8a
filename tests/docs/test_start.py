"""What docs/start.md and the README tell to type works as it stands there, and answers what stands there."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

import interlock
from tests.cli.door import git
from tests.docs.page import ROOT, Terminal
from tests.engines.temporal_server import free_port

SEEN = f"{sys.prefix},{Path(interlock.__file__).parents[1]}"
"""This checkout may lie in /tmp, where an agent sees nothing else."""
_ELSEWHERE = "postgresql://interlock@db.example.org/interlock"


@pytest.mark.timeout(240)
def test_five_minutes_lead_from_nothing_to_a_proof(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "INTERLOCK_WORKER_VISIBLE": SEEN}
    with Terminal(tmp_path / "terminal", tmp_path, home) as terminal:
        terminal.walks("docs/start.md")
    assert (tmp_path / "ops" / "interlock.toml").is_file()


@pytest.mark.timeout(300)
def test_the_walk_of_the_readme_leads_from_make_to_a_second_machine(tmp_path: Path, postgres_url: str) -> None:
    shop = tmp_path / "code" / "shop"
    shop.mkdir(parents=True)
    (shop / "shop.py").write_text("import os\nimport abc\n\nprint(os.name, abc.ABC)\n")
    git(shop, "init", "--quiet")
    git(shop, "add", ".")
    git(shop, "commit", "--quiet", "--message", "Begin")
    port = str(free_port())
    home = {"HOME": str(tmp_path), "INTERLOCK_WORKER_VISIBLE": SEEN, "INTERLOCK_SERVER_PORT": port}
    # What `make` would do here is done already: this test runs in what it makes. It has to know what it would do.
    there = {"make ": "make --dry-run ", "9325": port, _ELSEWHERE: shlex.quote(postgres_url)}
    with Terminal(tmp_path / "terminal", ROOT, home, there, seconds=120) as terminal:
        terminal.walks("README.md")
        assert terminal.value("PWD") == str(tmp_path / "ops")
    assert "checked" in "".join(said.stdout for said in terminal.said if " run show " in said.command)
