"""What is asked of the event log stays cheap as it grows, though only what is asked for has an index."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import LiteralString, cast

import psycopg
import pytest

from interlock.storage.database import queries
from interlock.storage.postgres.database import PostgresDatabase
from interlock.storage.sqlite.database import SqliteDatabase
from tests.conftest import ORIGIN

ASKED = ("draft_written", "approved_logged")
EVENTS = "SELECT n, CASE n % 100 WHEN 0 THEN 'draft.created' ELSE 'item.claimed' END, 'd_' || n, 1, '{}'"
TO_SQLITE = (
    "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 5000)"  # noqa: S608 - our own words
    f" INSERT INTO event {EVENTS}, x'00' FROM numbers"
)
TO_POSTGRES = f"INSERT INTO event OVERRIDING SYSTEM VALUE {EVENTS} FROM generate_series(1, 5000) AS n"


def sqlite_plan(place: Path, name: str) -> str:
    with closing(sqlite3.connect(place)) as connection:
        asked = f"EXPLAIN QUERY PLAN {queries('sqlite')[name]}"
        return " ".join(row[3] for row in connection.execute(asked, {"draft_id": "d_100"}))


def postgres_plan(url: str, name: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in ("enable_seqscan = off", "plan_cache_mode = force_generic_plan"):
            connection.execute(f"SET {setting}")
        text = re.sub(r":draft_id\b", "$1", queries("postgres")[name])
        connection.execute(cast("LiteralString", f"PREPARE asked AS {text}"))
        return " ".join(str(row[0]) for row in connection.execute("EXPLAIN EXECUTE asked ('d_100')"))


@pytest.mark.parametrize("afterwards", ["ANALYZE", "SELECT 1"])
def test_a_drafts_events_are_found_by_their_index_in_a_file(tmp_path: Path, afterwards: str) -> None:
    place = tmp_path / "queue.db"
    with closing(SqliteDatabase(place)) as database:
        database.create(ORIGIN)
    with closing(sqlite3.connect(place)) as connection:
        connection.execute(TO_SQLITE)
        connection.execute(afterwards)
        connection.commit()
    assert [name for name in ASKED if "SEARCH event USING INDEX event_of_draft" not in sqlite_plan(place, name)] == []


@pytest.mark.parametrize("afterwards", ["ANALYZE", "SELECT 1"])
def test_a_drafts_events_are_found_by_their_index_on_a_server(postgres_url: str, afterwards: str) -> None:
    with closing(PostgresDatabase(postgres_url)) as database:
        database.create(ORIGIN)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(TO_POSTGRES)
        connection.execute(afterwards.encode())
    assert [name for name in ASKED if "Scan using event_of_draft" not in postgres_plan(postgres_url, name)] == []
