"""Tables of any size in a moment: bulk SQL straight into a database that the product has made.

A queue has a past: before the items that wait, a tenth as many are there that are done.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg

from benchmarks.grounds import open_postgres, open_sqlite, sqlite_path

_CHUNK = 50_000
_COLUMNS = "id, status, priority, rank, task, success_criteria, created_at, updated_at, created_ms, claimable"
_VALUES = "'P1', 1, 'sweep the part', 'it is swept', '2026-11-21 17:00', '2026-11-21 17:00', 0"
_INTO_SQLITE = f"INSERT INTO queue_items ({_COLUMNS}) VALUES ('ORCH-' || ?, ?, {_VALUES}, ?)"  # noqa: S608 - our own words
_INTO_POSTGRES = (
    f"INSERT INTO queue_items ({_COLUMNS}) SELECT 'ORCH-' || n, %s, {_VALUES}, %s"  # noqa: S608 - our own words
    " FROM generate_series(%s::int, %s::int) AS n"
)


def fill_sqlite(folder: Path, items: int) -> None:
    """Make the database of a house in this folder, with so many items that wait."""
    open_sqlite(folder).close()
    connection = sqlite3.connect(sqlite_path(folder))
    for first, last, status in _chunks(items):
        claimable = int(status == "PENDING")
        with connection:
            connection.executemany(_INTO_SQLITE, ((number, status, claimable) for number in range(first, last + 1)))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def fill_postgres(url: str, items: int) -> None:
    """Make the tables in this database, with so many items that wait."""
    open_postgres(url).close()
    with psycopg.connect(url, autocommit=True) as connection:
        for first, last, status in _chunks(items):
            connection.execute(_INTO_POSTGRES, (status, int(status == "PENDING"), first, last))
        connection.execute("VACUUM ANALYZE queue_items")
        connection.execute("CHECKPOINT")


def _chunks(items: int) -> Iterator[tuple[int, int, str]]:
    """Yield the first and the last number of each chunk, and the status of its items."""
    done = items // 10
    for start, end, status in ((1, done, "DONE"), (done + 1, done + items, "PENDING")):
        for first in range(start, end + 1, _CHUNK):
            yield first, min(first + _CHUNK - 1, end), status
