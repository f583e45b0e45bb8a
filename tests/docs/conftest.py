"""A workspace in which pages are typed, and the machine around it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import interlock
from interlock.access.local import local_principal
from interlock.access.models import Actor
from interlock.founding import create_workspace
from tests.cli.door import copy_of, make_repository


@pytest.fixture(scope="session")
def fresh_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace as `init` leaves it; copied, never used."""
    root = tmp_path_factory.mktemp("fresh") / "workspace"
    create_workspace(root, Actor(principal=local_principal(lambda: None, None)), database_url="", replace=False)
    return root


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
