"""What every test may ask for: a real database of each kind, a workspace, people."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

import psycopg
import pytest

from interlock.access.local import local_principal
from interlock.access.models import Actor, Principal, PrincipalKind
from interlock.app import Interlock
from interlock.founding import create_workspace
from interlock.kernel.ids import UlidSource
from interlock.settings import Settings
from interlock.storage.database import Database
from interlock.storage.postgres.database import PostgresDatabase
from interlock.storage.sqlite.database import SqliteDatabase
from interlock.workspace.layout import Layout
from interlock.workspace.service import make_keys
from tests.around import KEEP, ours
from tests.founded import Founded
from tests.postgres import MEMORY, roomy_memory, running_server

ALICE = Actor(principal=Principal(PrincipalKind.HUMAN, "alice"), correlation_id="test-1")
BOB = Actor(principal=Principal(PrincipalKind.HUMAN, "bob"))
ROBOT = Actor(principal=Principal(PrincipalKind.AGENT, "r_01ARZ3NDEKTSV4RRFFQ69G5FAV"))
WORKER = Actor(principal=Principal(PrincipalKind.SERVICE, "worker@test"))
ORIGIN = "interlock.test/log"


class Found(Protocol):
    """Lays a fresh workspace down at a place, over `sqlite` or `postgres`; returns the address of its database."""

    def __call__(self, root: Path, kind: str, actor: Actor = ...) -> str: ...


def pytest_configure(config: pytest.Config) -> None:
    """Let no test see settings of whoever runs it.

    Let the tests' folders lie in memory, where there is room: they make some hundred thousand files.
    """
    for name in ours():
        del os.environ[name]
    memory = roomy_memory()
    if memory is not None and config.getoption("basetemp") is None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


@pytest.fixture
def path_on_disk() -> Iterator[Path]:
    """A folder that a run sees: pytest's own may lie in /dev, of which a run has one for itself alone."""
    with tempfile.TemporaryDirectory(prefix="interlock-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server of our own, or the one that INTERLOCK_TEST_POSTGRES_URL names; never skipped."""
    named = os.environ.get(KEEP)
    if named:
        yield named
        return
    with running_server(roomy_memory()) as url:
        yield url


@pytest.fixture(scope="session")
def _databases(postgres_server: str) -> Iterator[Databases]:
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        databases = Databases(postgres_server, connection)
        yield databases
        databases.drop_used()
        databases.drop_templates()


class Databases:
    """Databases on the tests' server, each used by one test."""

    def __init__(self, server: str, connection: psycopg.Connection) -> None:
        self._server, self._connection = server, connection
        self._used: list[str] = []
        self._templates: list[str] = []
        self._ready = ""
        # In memory its files are copied quicker than they go through its log; on a disk that is the other way round.
        self._how = " STRATEGY FILE_COPY" if roomy_memory() is not None and f"={MEMORY}/" in server else ""

    def empty(self) -> str:
        """Make one without anything in it; returns its address."""
        return self._address(self._made(""))

    def ready(self) -> str:
        """Make one with the schema and an empty log: a copy of one that was made once."""
        if not self._ready:
            self._ready = self.template()
            with closing(PostgresDatabase(self._ready)) as template:
                template.create(ORIGIN)
        return self.copied(self._ready)

    def template(self) -> str:
        """Make one that others are copies of; nobody may be connected to it then."""
        self._templates.append(self._made(""))
        return self._address(self._templates[-1])

    def copied(self, url: str) -> str:
        """Make a copy of a template."""
        return self._address(self._made(f" TEMPLATE {_name(url)}{self._how}"))

    def used(self, url: str) -> None:
        """Note that a database is not needed any more."""
        self._used.append(_name(url))

    def drop_used(self) -> None:
        """Drop what is not needed any more; later, because to drop what was just closed waits a tenth of a second."""
        while self._used:
            self._connection.execute(f"DROP DATABASE {self._used.pop()} WITH (FORCE)".encode())

    def drop_templates(self) -> None:
        for name in self._templates:
            self._connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def _made(self, how: str) -> str:
        self.drop_used()
        name = f"t_{uuid.uuid4().hex}"
        self._connection.execute(f"CREATE DATABASE {name}{how}".encode())
        return name

    def _address(self, name: str) -> str:
        return self._server.replace("/postgres?", f"/{name}?")


def _name(url: str) -> str:
    return url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]


@pytest.fixture
def postgres_url(_databases: Databases) -> Iterator[str]:
    """A fresh database on the server."""
    url = _databases.empty()
    yield url
    _databases.used(url)


@pytest.fixture
def ready_postgres_url(_databases: Databases) -> Iterator[str]:
    """A fresh database on the server, with the schema and an empty log."""
    url = _databases.ready()
    yield url
    _databases.used(url)


@pytest.fixture(scope="session")
def _founded_once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Founded:
    return Founded(tmp_path_factory.mktemp("founded"), lambda: request.getfixturevalue("_databases"))


@pytest.fixture
def founded(_founded_once: Founded) -> Iterator[Found]:
    """Lays a fresh workspace down: `founded(root, kind, actor)` returns its database's address, empty for SQLite."""
    urls: list[str] = []

    def lay(root: Path, kind: str, actor: Actor = ALICE) -> str:
        if url := _founded_once.lay(root, kind, actor):
            urls.append(url)
        return url

    yield lay
    for url in urls:
        _founded_once.used(url)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Each kind of database in turn, made and empty."""
    made: SqliteDatabase | PostgresDatabase
    if request.param == "sqlite":
        (tmp_path / ".interlock").mkdir(exist_ok=True)
        made = SqliteDatabase(tmp_path / ".interlock" / "interlock.db", wake_folder=tmp_path / ".interlock" / "wake")
        made.create(ORIGIN)
    else:
        made = PostgresDatabase(request.getfixturevalue("ready_postgres_url"))
    yield made
    made.close()


@pytest.fixture
def house(database: Database, tmp_path: Path) -> Interlock:
    """The rooms over each kind of database."""
    layout = Layout(tmp_path)
    make_keys(layout, ORIGIN, "alice")
    return Interlock(layout, Settings(), database, UlidSource())


@pytest.fixture(scope="session")
def fresh_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of whoever runs the tests, as `init` leaves it; copied, never used."""
    root = tmp_path_factory.mktemp("fresh") / "workspace"
    create_workspace(root, Actor(principal=local_principal(lambda: None, None)), database_url="", replace=False)
    return root


@pytest.fixture
def workspace(fresh_workspace: Path, tmp_path: Path) -> Path:
    """The same, of the test's own."""
    return Path(shutil.copytree(fresh_workspace, tmp_path / "workspace", symlinks=True))


def until(condition: object, seconds: float = 5.0) -> None:
    """Wait for a condition, and fail after `seconds`: no test sleeps and hopes.

    It looks ever more seldom: to look a hundred times a second for seconds takes the time from who is waited for.
    """
    assert callable(condition)
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        if waited > seconds:
            pytest.fail(f"waited {seconds} s in vain for {condition}")
        time.sleep(min(0.05, 0.005 + waited / 20))
