"""What the rooms' pages tell to type works as it stands there; every room with a door has a page with its verbs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from interlock.cli.main import DOORS
from interlock.runs.shown import _REASONS as OF_RUNS  # pyright: ignore[reportPrivateUsage]  # the table itself
from tests.cli.door import commands
from tests.docs.page import ROOT, Terminal
from tests.ports import free_port
from tests.providers.model_server import model_server


@pytest.mark.timeout(300)
@pytest.mark.parametrize("room", ["approval", "runs", "access", "fleet", "console"])
def test_every_command_of_a_room_s_page_works(room: str, workspace: Path, home: dict[str, str], tmp_path: Path) -> None:
    port = str(free_port())
    own = {**home, "INTERLOCK_SERVER_PORT": port}
    with Terminal(tmp_path / "terminal", workspace, own, {"9325": port}) as terminal:
        terminal.walks(f"docs/rooms/{room}.md")


@pytest.mark.timeout(300)
def test_every_command_of_the_workspace_s_page_works(tmp_path: Path) -> None:
    folder = tmp_path / "somewhere"
    folder.mkdir()
    with Terminal(tmp_path / "terminal", folder) as terminal:
        terminal.walks("docs/rooms/workspace.md")


@pytest.mark.timeout(300)
def test_every_command_of_the_providers_page_works_beside_a_model(workspace: Path, tmp_path: Path) -> None:
    with model_server() as model, Terminal(tmp_path / "terminal", workspace) as terminal:
        terminal.types(f"interlock provider set --name local_ollama --base-url {model.origin}/v1 --type openai_compat")
        terminal.walks("docs/rooms/providers.md")
        assert model.asked


PAGES: Mapping[str, str] = {
    "init": "rooms/workspace.md",
    "windows": "rooms/workspace.md",
    "migrate": "rooms/workspace.md",
    "inbox": "OPERATIONS.md",
    "serve": "OPERATIONS.md",
    "scheduler": "OPERATIONS.md",
    "plan": "rooms/approval.md",
    "draft": "rooms/approval.md",
    "approved": "rooms/approval.md",
    "provider": "rooms/providers.md",
    "run": "rooms/runs.md",
    "worker": "rooms/runs.md",
    "queue": "queue.md",
    "pipeline": "runbooks/agent-devops.md",
    "deployment": "runbooks/agent-devops.md",
    "loop": "runbooks/ops-manager.md",
    "alert": "runbooks/alerts.md",
    "node": "rooms/fleet.md",
    "config": "rooms/fleet.md",
    "token": "rooms/access.md",
    "panic": "rooms/access.md",
    "mcp": "mcp.md",
    "evidence": "evidence.md",
    "doctor": "doctor.md",
    "completion": "deploy.md",
}
"""Where an operator reads about each door."""


@pytest.mark.parametrize("door", sorted(DOORS))
def test_a_door_has_a_page_that_names_each_of_its_verbs(door: str) -> None:
    assert door in PAGES, "operators read nowhere what it is for"
    text = (ROOT / "docs" / PAGES[door]).read_text(encoding="utf-8")
    assert f"interlock {door}" in text
    for words in commands():
        if words[0] == door and len(words) > 1:
            verb = words[1]
            assert re.search(rf"\b{door} (?:\S+ \| )*{verb}\b|`{verb}[` ]", text), f"{PAGES[door]}: {door} {verb}"


def test_a_code_that_a_page_says_what_to_do_about_is_one_that_is_given() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src" / "interlock").rglob("*.py"))
    real = set(re.findall(r'^    code = "(\w+)"$', code, re.MULTILINE)) | OF_RUNS.keys()
    told = 0
    for page in (ROOT / "docs" / "rooms").glob("*.md"):
        _, heading, table = page.read_text(encoding="utf-8").partition("| what to do |\n")
        for row in re.findall(r"^\|([^|]*)\|", table.partition("\n\n")[0], re.MULTILINE) if heading else ():
            codes = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", row))
            assert codes <= real, (page.name, codes - real)
            told += len(codes)
    assert told > 25


def test_every_screen_of_the_console_is_on_its_page() -> None:
    page = (ROOT / "docs" / "rooms" / "console.md").read_text(encoding="utf-8")
    names = re.findall(r'view\("/\w+", "([^"]+)"', (ROOT / "ui" / "src" / "views.ts").read_text(encoding="utf-8"))
    assert len(names) > 10
    assert [name for name in names if not re.search(rf"^\|[^|]*\b{name}\b", page, re.MULTILINE)] == []
