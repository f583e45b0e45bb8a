"""Runs as Temporal workflows end as every engine's do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.conformance import Conformance
from tests.engines.temporal_server import TemporalServer
from tests.engines.world import World


@pytest.fixture
def world(tmp_path: Path, temporal: TemporalServer) -> Iterator[World]:
    """A workspace whose workers carry runs out as workflows."""
    made = World(tmp_path, temporal_address=temporal.address)
    yield made
    made.close()


class TestTemporal(Conformance):
    """Its workers share the database and a Temporal server."""
