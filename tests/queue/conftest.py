"""The queue's fixtures: a desk at each kind of database, under a clock that the test sets."""

from __future__ import annotations

from collections.abc import Iterator
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
from tests.queue.desk import Desk, SetClock, sqlite_place


@pytest.fixture(params=["sqlite", "postgres"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """Each kind of database in turn, made and empty."""
    clock, layout = SetClock(), Layout(tmp_path)
    database: SqliteDatabase | PostgresDatabase
    if request.param == "sqlite":
        place = str(sqlite_place(tmp_path))
        layout.state.mkdir()
        database = SqliteDatabase(Path(place), now=clock, wake_folder=layout.wake)
    else:
        place = request.getfixturevalue("ready_postgres_url")
        database = PostgresDatabase(place, now=clock)
    database.create(ORIGIN)
    make_keys(layout, ORIGIN, "alice")
    yield Desk(Interlock(layout, Settings(), database, UlidSource()), clock, place)
    database.close()
