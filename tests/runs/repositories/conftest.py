"""The world of these tests: `git_world.World` in a temporary folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from git_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
