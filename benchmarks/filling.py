"""Tables of any size in a moment: bulk SQL straight into a database that the product has made."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg

from benchmarks.grounds import open_postgres, open_sqlite, sqlite_path

_CHUNK = 50_000
_COLUMNS = "id, status, priority, rank, task, success_criteria, created_at, updated_at, created_ms, claimable"
_VALUES = "'PENDING', 'P1', 1, 'sweep the part', 'it is swept', '2026-11-21 17:00', '2026-11-21 17:00', 0, 1"
_INTO_SQLITE = f"INSERT INTO queue_items ({_COLUMNS}) VALUES ('ORCH-' || ?, {_VALUES})"  # noqa: S608 - our own words
_INTO_POSTGRES = (
    f"INSERT INTO queue_items ({_COLUMNS}) SELECT 'ORCH-' || n, {_VALUES}"  # noqa: S608 - our own words
    " FROM generate_series(%s::int, %s::int) AS n"
)


def fill_sqlite(folder: Path, items: int) -> None:
    """Make the database of a house in this folder, with so many items that wait."""
    open_sqlite(folder).close()
    connection = sqlite3.connect(sqlite_path(folder))
    for first in range(1, items + 1, _CHUNK):
        with connection:
            connection.executemany(_INTO_SQLITE, ((number,) for number in range(first, _end(first, items))))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def fill_postgres(url: str, items: int) -> None:
    """Make the tables in this database, with so many items that wait."""
    open_postgres(url).close()
    with psycopg.connect(url, autocommit=True) as connection:
        for first in range(1, items + 1, _CHUNK):
            connection.execute(_INTO_POSTGRES, (first, _end(first, items) - 1))
        connection.execute("VACUUM ANALYZE queue_items")
        connection.execute("CHECKPOINT")


def _end(first: int, items: int) -> int:
    return min(first + _CHUNK, items + 1)
