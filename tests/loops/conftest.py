"""A loop for a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.loops.loop import Loop


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    """A loop of which nothing is known yet."""
    return Loop(tmp_path)
