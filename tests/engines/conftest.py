"""The engine's fixtures: a world on SQLite, or on each kind of database."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Found
from tests.engines.collector import Collector, collecting
from tests.engines.temporal_server import TemporalServer, needs_temporal
from tests.engines.world import World

pytest.register_assert_rewrite("tests.engines.conformance", "tests.engines.standing")


@pytest.fixture
def world(request: pytest.FixtureRequest, founded: Found, tmp_path: Path) -> Iterator[World]:
    """A workspace with a repository, on SQLite or on what `on_both` says."""
    made = World(tmp_path, founded(tmp_path / "workspace", getattr(request, "param", "sqlite")))
    yield made
    made.close()


@pytest.fixture
def visible_world(request: pytest.FixtureRequest, founded: Found) -> Iterator[World]:
    """A workspace that does not lie below /tmp, which an agent has for itself alone and where everything is hidden."""
    cache = request.config.cache
    assert cache is not None, "these tests need pytest's cache folder"
    folder = cache.mkdir("engines")
    place = Path(tempfile.mkdtemp(dir=Path.home() if folder.is_relative_to("/tmp") else folder))  # noqa: S108 - asked
    made = World(place, founded(place / "workspace", "sqlite"))
    yield made
    made.close()
    shutil.rmtree(place)


@pytest.fixture(scope="session")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporalServer]:
    """A Temporal server for all tests that leave it alive; each world has a task queue of its own there."""
    needs_temporal()
    server = TemporalServer(tmp_path_factory.mktemp("temporal"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Whom agents tell what they do."""
    with collecting() as made:
        yield made


@pytest.fixture
def mortal_temporal(tmp_path: Path) -> Iterator[TemporalServer]:
    """A Temporal server that a test may kill; not started."""
    needs_temporal()
    (tmp_path / "temporal").mkdir()
    server = TemporalServer(tmp_path / "temporal")
    yield server
    server.kill()
