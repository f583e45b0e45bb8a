"""What the pages about deploying and about doctor tell to type works as it stands there, and names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from interlock.examining import probes
from tests.cli.door import call
from tests.docs.page import Terminal
from tests.packaging.conftest import ROOT
from tests.ports import free_port


@pytest.mark.timeout(240)
@pytest.mark.parametrize("page", ["docs/deploy.md", "docs/doctor.md"])
def test_every_command_of_the_page_works(page: str, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    assert call("init", str(workspace), at=tmp_path).code == 0
    with Terminal(tmp_path / "terminal", workspace, {"INTERLOCK_SERVER_PORT": str(free_port())}) as terminal:
        terminal.walks(page)


def test_the_page_about_doctor_names_every_probe_in_its_order(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    assert call("init", str(workspace), at=tmp_path).code == 0
    with probes(lambda: workspace) as every:
        told = re.findall(r"^\| `([a-z ]+)` \|", (ROOT / "docs" / "doctor.md").read_text(), re.MULTILINE)
        assert told == list(every)


def test_the_page_about_deploying_names_units_and_files_that_there_are() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text()
    units = {path.name.removesuffix(".service") for path in (ROOT / "deploy" / "systemd").glob("*.service")}
    named = {name + "@" * bool(at) for name, at in re.findall(r"\b(interlock-(?:server|worker|scheduler))(@?)", text)}
    assert named == units
    for path in re.findall(r"\bdeploy/[\w./]+", text):
        assert (ROOT / path).exists(), path
