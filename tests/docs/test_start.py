"""What docs/start.md and the README tell to type works as it stands there, and answers what stands there."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.cli.door import git
from tests.docs.page import ROOT, Terminal
from tests.ports import free_port
from tests.postgres import ON_THE_PAGES


@pytest.mark.timeout(300)
def test_five_minutes_lead_from_nothing_to_a_proof(home: dict[str, str], tmp_path: Path) -> None:
    with Terminal(tmp_path / "terminal", tmp_path, home) as terminal:
        terminal.walks("docs/start.md")
    assert (tmp_path / "ops" / "interlock.toml").is_file()


@pytest.mark.timeout(300)
def test_the_walk_of_the_readme_leads_from_make_to_a_second_machine(
    home: dict[str, str], tmp_path: Path, postgres_url: str
) -> None:
    shop = tmp_path / "code" / "shop"
    shop.mkdir(parents=True)
    (shop / "shop.py").write_text("import os\nimport abc\n\nprint(os.name, abc.ABC)\n")
    git(shop, "init", "--quiet")
    git(shop, "add", ".")
    git(shop, "commit", "--quiet", "--message", "Begin")
    port = str(free_port())
    own = {**home, "INTERLOCK_SERVER_PORT": port}
    # What `make` would do here is done already: this test runs in what it makes. It has to know what it would do.
    there = {"make ": "make --dry-run ", "9325": port, ON_THE_PAGES: shlex.quote(postgres_url)}
    with Terminal(tmp_path / "terminal", ROOT, own, there) as terminal:
        terminal.walks("README.md")
        assert terminal.value("PWD") == str(tmp_path / "ops")
    assert "checked" in "".join(said.stdout for said in terminal.said if " run show " in said.command)
