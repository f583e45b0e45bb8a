"""A workspace to call the command line in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.door import Door, copy_of
from tests.cli.lived import Lived, live
from tests.cli.stores import Ops, QueueDoor, Quick, Store


@pytest.fixture
def ask(workspace: Path, capsys: pytest.CaptureFixture[str]) -> Door:
    """The command line of that workspace, in this process."""
    return Door(workspace, capsys)


@pytest.fixture
def ops(workspace: Path) -> Ops:
    """`ops.py` of that workspace, as a process."""
    return Ops(workspace)


@pytest.fixture
def quick(workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Quick:
    """The same, in this process."""
    monkeypatch.chdir(workspace)
    return Quick(workspace, capsys)


@pytest.fixture(params=["markdown", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, workspace: Path) -> Store:
    """Each store of the queue in turn, empty."""
    return _store(request, workspace)


@pytest.fixture(params=["sqlite", "postgres"])
def database_store(request: pytest.FixtureRequest, workspace: Path) -> Store:
    """Each database in turn, empty."""
    return _store(request, workspace)


def _store(request: pytest.FixtureRequest, workspace: Path) -> Store:
    if request.param != "postgres":
        return Store(request.param, workspace)
    return Store("postgres", workspace, request.getfixturevalue("ready_postgres_url"))


@pytest.fixture
def queue(ask: Door, store: Store) -> QueueDoor:
    """`interlock queue` on each store in turn."""
    return QueueDoor(ask, store)


@pytest.fixture
def in_database(ask: Door, database_store: Store) -> QueueDoor:
    """`interlock queue` on each database in turn."""
    return QueueDoor(ask, database_store)


@pytest.fixture
def in_file(ask: Door) -> QueueDoor:
    """`interlock queue` on the workspace's Markdown queue."""
    return QueueDoor(ask, Store("markdown", ask.root))


@pytest.fixture(scope="session")
def lived_once(fresh_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """A workspace in which everything has happened; copied, never used."""
    folder = tmp_path_factory.mktemp("lived")
    return live(copy_of(fresh_workspace, folder / "workspace"), folder)


@pytest.fixture
def lived(lived_once: Lived, tmp_path: Path) -> Lived:
    """The same, of the test's own."""
    return replace(lived_once, root=copy_of(lived_once.root, tmp_path / "lived"))
