"""A workspace to call the command line in."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from interlock.access.local import local_principal
from interlock.access.models import Actor
from interlock.founding import create_workspace
from tests.cli.door import KEEP, Door, copy_of
from tests.cli.lived import Lived, live
from tests.cli.stores import Ops, QueueDoor, Quick, Store


@pytest.fixture(autouse=True)
def nothing_speaks_to_interlock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls see the settings that their test gives them, and no others."""
    for name in os.environ:
        if name.startswith(("INTERLOCK_", "ORCH_")) and name != KEEP:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def fresh_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace as `init` leaves it; copied, never used."""
    root = tmp_path_factory.mktemp("fresh") / "workspace"
    me = Actor(principal=local_principal(lambda: None, None))
    create_workspace(root, me, database_url="", replace=False)
    return root


@pytest.fixture
def workspace(fresh_workspace: Path, tmp_path: Path) -> Path:
    """A workspace of the test's own."""
    return copy_of(fresh_workspace, tmp_path / "workspace")


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
