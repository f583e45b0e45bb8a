"""What every test may ask for: a real database of each kind, a workspace, people."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from interlock.access.models import Actor, Principal, PrincipalKind
from interlock.app import Interlock
from interlock.kernel.ids import UlidSource
from interlock.settings import Settings
from interlock.storage.database import Database
from interlock.storage.postgres.database import PostgresDatabase
from interlock.storage.sqlite.database import SqliteDatabase
from interlock.workspace.layout import Layout
from interlock.workspace.service import make_keys
from tests.postgres import running_server

ALICE = Actor(principal=Principal(PrincipalKind.HUMAN, "alice"), correlation_id="test-1")
BOB = Actor(principal=Principal(PrincipalKind.HUMAN, "bob"))
ROBOT = Actor(principal=Principal(PrincipalKind.AGENT, "r_01ARZ3NDEKTSV4RRFFQ69G5FAV"))
WORKER = Actor(principal=Principal(PrincipalKind.SERVICE, "worker@test"))
ORIGIN = "interlock.test/log"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server of our own, or the one that INTERLOCK_TEST_POSTGRES_URL names; never skipped."""
    named = os.environ.get("INTERLOCK_TEST_POSTGRES_URL")
    if named:
        yield named
        return
    with running_server() as url:
        yield url


@pytest.fixture(scope="session")
def _databases(postgres_server: str) -> Iterator[Databases]:
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        databases = Databases(postgres_server, connection)
        yield databases
        databases.drop_used()
        databases.drop_template()


class Databases:
    """Databases on the tests' server, each used by one test."""

    def __init__(self, server: str, connection: psycopg.Connection) -> None:
        self._server, self._connection = server, connection
        self._used: list[str] = []
        self._template = ""

    def empty(self) -> str:
        """Make one without anything in it; returns its address."""
        return self._address(self._made(""))

    def ready(self) -> str:
        """Make one with the schema and an empty log: a copy of one that was made once."""
        if not self._template:
            self._template = self._made("")
            with closing(PostgresDatabase(self._address(self._template))) as template:
                template.create(ORIGIN)
        return self._address(self._made(f" TEMPLATE {self._template}"))

    def used(self, url: str) -> None:
        """Note that a database is not needed any more."""
        self._used.append(url.split("?", maxsplit=1)[0].rsplit("/", 1)[1])

    def drop_used(self) -> None:
        """Drop what is not needed any more; later, because to drop what was just closed waits a tenth of a second."""
        while self._used:
            self._connection.execute(f"DROP DATABASE {self._used.pop()} WITH (FORCE)".encode())

    def drop_template(self) -> None:
        if self._template:
            self._connection.execute(f"DROP DATABASE {self._template} WITH (FORCE)".encode())

    def _made(self, how: str) -> str:
        self.drop_used()
        name = f"t_{uuid.uuid4().hex}"
        self._connection.execute(f"CREATE DATABASE {name}{how}".encode())
        return name

    def _address(self, name: str) -> str:
        return self._server.replace("/postgres?", f"/{name}?")


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


def until(condition: object, seconds: float = 5.0) -> None:
    """Wait for a condition, and fail after `seconds`: no test sleeps and hopes."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s in vain for {condition}")
        time.sleep(0.01)
