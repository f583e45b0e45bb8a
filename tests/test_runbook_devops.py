"""What the page on pipelines tells to type works as it stands there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.door import call
from tests.docs.page import Terminal


@pytest.mark.timeout(300)
def test_every_command_of_the_devops_page_works(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    assert call("init", str(root), at=tmp_path).code == 0
    with Terminal(tmp_path / "terminal", root) as terminal:
        terminal.walks("docs/runbooks/agent-devops.md")
        assert len(terminal.said) > 40
