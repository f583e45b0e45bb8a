"""Two workspaces in which the same has happened: one of this machine, and one that a server holds."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from interlock.app import Interlock
from interlock.providers.models import ProviderType
from interlock.workspace.layout import Layout
from tests.cli.conftest import lived_once
from tests.cli.door import Door, copy_of
from tests.cli.lived import ME, Lived
from tests.conftest import Found
from tests.http.served import Served, serving, tokens_of
from tests.providers.model_server import model_server, write
from tests.remote.far import Far

__all__ = ["lived_once"]


@pytest.fixture
def served(workspace: Path) -> Iterator[Served]:
    """A fresh workspace, served."""
    with closing(Interlock.at(workspace)) as house, serving(house) as made:
        yield made


@pytest.fixture(params=["sqlite", "postgres"])
def any_far(
    request: pytest.FixtureRequest, founded: Found, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Far]:
    """The command line from afar of a workspace over each kind of database."""
    founded(tmp_path / "workspace", request.param, ME)
    with closing(Interlock.at(tmp_path / "workspace")) as house, serving(house) as made:
        yield Far.of(made, tmp_path, capsys)


@pytest.fixture
def far(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Far:
    """The command line of that workspace from afar, with a human admin's token."""
    return Far.of(served, tmp_path, capsys)


@dataclass(frozen=True)
class Pair:
    """The same life twice: seen here, and from afar."""

    here: Door
    here_lived: Lived
    far: Far
    far_lived: Lived


@pytest.fixture
def pair(lived_once: Lived, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Pair]:
    """Two copies of a workspace in which everything has happened, one of them served."""
    with living(lived_once, tmp_path, capsys) as made:
        yield made


@pytest.fixture(scope="module")
def shared(lived_once: Lived, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The same, for the tests of a module that change nothing."""
    nobody: Any = None
    with living(lived_once, tmp_path_factory.mktemp("steady"), nobody) as made:
        yield made


@pytest.fixture
def steady(shared: Pair, capsys: pytest.CaptureFixture[str]) -> Pair:
    """The same, where nothing changes."""
    return replace(shared, here=replace(shared.here, capture=capsys), far=replace(shared.far, capture=capsys))


@contextmanager
def living(once: Lived, folder: Path, capture: pytest.CaptureFixture[str]) -> Generator[Pair]:
    here, there = (replace(once, root=copy_of(once.root, folder / name)) for name in ("here", "there"))
    with model_server() as model:
        entry = {"active": "here", "providers": {"here": model.entry(ProviderType.OPENAI_COMPAT)}}
        for lived in (here, there):
            shutil.copytree(once.outside / "repository", lived.root / "clone")
            write(Layout(lived.root), entry)
        with closing(Interlock.at(here.root)) as house:
            tokens = dict(tokens_of(house))  # as the served one has: so both logs are alike
            house.access.identify(tokens["admin", "human"])
        with closing(Interlock.at(there.root)) as house, serving(house) as made:
            yield Pair(Door(here.root, capture), here, Far.of(made, folder, capture), there)
