"""Rooms over both databases whose clock the test sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from interlock.app import Interlock
from interlock.kernel.ids import UlidSource
from interlock.settings import Settings
from interlock.storage.postgres.database import PostgresDatabase
from interlock.storage.sqlite.database import SqliteDatabase
from interlock.workspace.layout import Layout
from interlock.workspace.service import make_keys
from tests.conftest import ORIGIN

NOON = 1_795_000_000_000


@dataclass
class Time:
    """The time that the rooms are told."""

    ms: int = NOON

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(params=["sqlite", "postgres"])
def timed(request: pytest.FixtureRequest, tmp_path: Path, time: Time) -> Iterator[Interlock]:
    """The rooms over each kind of database, at a time that the test sets."""
    layout = Layout(tmp_path)
    layout.state.mkdir()
    made: SqliteDatabase | PostgresDatabase
    if request.param == "sqlite":
        made = SqliteDatabase(layout.database, now=time)
    else:
        made = PostgresDatabase(request.getfixturevalue("ready_postgres_url"), now=time)
    made.create(ORIGIN)
    make_keys(layout, ORIGIN, "alice")
    yield Interlock(layout, Settings(), made, UlidSource())
    made.close()
