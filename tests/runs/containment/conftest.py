from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.runs.containment.trees import Mode


@pytest.fixture(params=["require", "never"], ids=["namespaces", "best_effort"])
def mode(request: pytest.FixtureRequest) -> Mode:
    return request.param


@pytest.fixture
def tmp_path(path_on_disk: Path) -> Path:
    return path_on_disk
