"""A fresh workspace, and its commands as processes: what the seed's verification scripts look at."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.around import without_ours


@dataclass(frozen=True)
class Workspace:
    """A workspace that `interlock init` made, used as a person at a terminal would."""

    root: Path

    def interlock(self, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Call `interlock` in it."""
        return self.process(str(Path(sys.executable).with_name("interlock")), *words, environment=environment)

    def process(self, *argv: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Call any command in it."""
        return subprocess.run(
            argv,
            cwd=self.root,
            env={**without_ours(), **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def answers(self, *words: str) -> Any:  # noqa: ANN401 - JSON of any shape
        """Return what a command that works answers."""
        done = self.interlock("--json", *words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A fresh workspace."""
    made = Workspace(tmp_path / "workspace")
    made.root.mkdir()
    done = made.interlock("init", ".")
    assert done.returncode == 0, done.stderr
    return made
