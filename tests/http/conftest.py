"""A server for every test of the HTTP door."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from interlock.access.local import local_principal
from interlock.access.models import Actor
from interlock.app import Interlock
from tests.cli.door import copy_of
from tests.conftest import Found
from tests.http.served import Served, serving

ME = Actor(principal=local_principal(lambda: None, None))


@pytest.fixture
def served(workspace: Path) -> Iterator[Served]:
    """That workspace, served."""
    with closing(Interlock.at(workspace)) as house, serving(house) as made:
        yield made


@pytest.fixture(scope="module")
def shared(fresh_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the tests of a module that do not mind each other."""
    root = copy_of(fresh_workspace, tmp_path_factory.mktemp("shared") / "workspace")
    with closing(Interlock.at(root)) as house, serving(house) as made:
        yield made


@pytest.fixture(params=["sqlite", "postgres"])
def any_workspace(request: pytest.FixtureRequest, founded: Found, tmp_path: Path) -> Path:
    """A workspace over each kind of database."""
    root = tmp_path / "workspace"
    founded(root, request.param, ME)
    return root


@pytest.fixture(params=["sqlite", "postgres"])
def any_served(request: pytest.FixtureRequest, founded: Found, tmp_path: Path) -> Iterator[Served]:
    """A workspace over each kind of database, served."""
    founded(tmp_path / "served", request.param, ME)
    with closing(Interlock.at(tmp_path / "served")) as house, serving(house) as made:
        yield made
