"""What every test may ask for: a real database of each kind, a workspace, people."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
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


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A fresh database on the server."""
    name = f"t_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield postgres_server.replace("/postgres?", f"/{name}?")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Each kind of database in turn, made and empty."""
    made: SqliteDatabase | PostgresDatabase
    if request.param == "sqlite":
        (tmp_path / ".interlock").mkdir(exist_ok=True)
        made = SqliteDatabase(tmp_path / ".interlock" / "interlock.db", wake_folder=tmp_path / ".interlock" / "wake")
    else:
        made = PostgresDatabase(request.getfixturevalue("postgres_url"))
    made.create(ORIGIN)
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
