"""A workspace in which pages are typed, and the machine around it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import interlock
from tests.cli.door import copy_of, make_repository


@pytest.fixture
def workspace(fresh_workspace: Path, tmp_path: Path) -> Path:
    """A workspace of the test's own, beside the repository `shop`."""
    make_repository(tmp_path / "shop")
    return copy_of(fresh_workspace, tmp_path / "workspace")


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """A home of the test's own; this checkout may lie in /tmp, where an agent sees nothing else."""
    seen = f"{sys.prefix},{Path(interlock.__file__).parents[1]}"
    return {"HOME": str(tmp_path), "INTERLOCK_WORKER_VISIBLE": seen}
