"""A search of the log reads one stretch of it by its own order, and never the whole."""

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

EVENTS = "SELECT n, CASE n % 100 WHEN 0 THEN 'draft.created' ELSE 'item.claimed' END, 'd_' || n, 1, '{}'"
TO_SQLITE = (
    "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 50000)"  # noqa: S608 - our own words
    f" INSERT INTO event {EVENTS}, x'00' FROM numbers"
)
TO_POSTGRES = f"INSERT INTO event OVERRIDING SYSTEM VALUE {EVENTS} FROM generate_series(1, 50000) AS n"
LEAVES = "INSERT INTO leaf SELECT n, n, decode('00', 'hex') FROM generate_series(1, 50000) AS n"
NUMBERS = {"start": 49000, "end": 50000, "limit": 50}


@pytest.mark.parametrize("afterwards", ["ANALYZE", "SELECT 1"])
def test_a_file_is_searched_by_the_logs_own_order(tmp_path: Path, afterwards: str) -> None:
    place = tmp_path / "queue.db"
    with closing(SqliteDatabase(place)) as database:
        database.create(ORIGIN)
    statement = queries("sqlite")["sealed_found"]
    values = {name: NUMBERS.get(name, "draft") for name in re.findall(r":(\w+)", statement)}
    with closing(sqlite3.connect(place)) as connection:
        connection.execute(TO_SQLITE)
        connection.execute(afterwards)
        connection.commit()
        steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert steps == ["SEARCH event USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
def test_a_server_is_searched_by_the_logs_own_order(postgres_url: str, mode: str) -> None:
    with closing(PostgresDatabase(postgres_url)) as database:
        database.create(ORIGIN)
    names: list[str] = []

    def numbered(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    statement = re.sub(r":(\w+)", numbered, queries("postgres")["sealed_found"])
    given = ", ".join(str(NUMBERS.get(name, "'draft'")) for name in names)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for step in (TO_POSTGRES, LEAVES, "ANALYZE", f"SET plan_cache_mode = {mode}"):
            connection.execute(step.encode())
        connection.execute(cast("LiteralString", f"PREPARE asked AS {statement}"))
        plan = " ".join(str(row[0]) for row in connection.execute(f"EXPLAIN EXECUTE asked ({given})".encode()))
    assert "leaf_pkey" in plan
    assert "event_pkey" in plan
    assert "Seq Scan" not in plan
