from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.runs.containment.trees import Mode


@pytest.fixture(params=["require", "never"], ids=["namespaces", "best_effort"])
def mode(request: pytest.FixtureRequest) -> Mode:
    return request.param


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that a run sees: pytest's own may lie in /dev, of which a run has one for itself alone."""
    with tempfile.TemporaryDirectory(prefix="interlock-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
