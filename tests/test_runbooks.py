"""What the operator's pages tell to type works as it stands there, in this order, in a new workspace."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.page import ROOT, Terminal

DOCS = ROOT / "docs"


@pytest.mark.proves("queue-page")
@pytest.mark.timeout(180)
def test_every_command_of_the_queue_s_page_works(tmp_path: Path) -> None:
    slow = {"ORCH_KPI_MAX_LATENCY_P95_MS": "600000"}  # the items are as slow as this machine types
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    with Terminal(tmp_path / "terminal", workspace, slow) as terminal:
        terminal.types("interlock init .")
        terminal.walks("docs/queue.md")
        assert len(terminal.said) > 36
        assert not [said for said in terminal.said if said.stderr.startswith("error")]
        assert "summary PENDING=" in terminal.types("python3 automation/orchestrator/ops.py status").stdout


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
