"""How a SQLite file is, found by looking."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from interlock.storage.condition import Condition, Trouble
from interlock.storage.database import latest
from interlock.storage.sqlite.marker import refuse_moving
from interlock.storage.sqlite.reading import SqliteReading, open_reading, patiently, schema, translate

_MOST_LOG_BYTES = 256 << 20


def look_at(path: Path) -> Condition:
    """Look at a file; raises `DatabaseMissing`, `NotADatabase`, `DatabaseDamaged` and others of `storage.errors`."""
    SqliteReading(str(path))
    refuse_moving(path)
    try:
        with closing(patiently(lambda: open_reading(str(path)))) as connection:
            version = schema(connection)
            return Condition(
                engine=f"SQLite {sqlite3.sqlite_version}",
                schema=version,
                latest=latest("sqlite"),
                now_ms=None,
                told_ms=_told(connection) if version else None,
                troubles=list(_troubles(connection, path)) if version else [],
            )
    except sqlite3.Error as error:
        raise translate(error, str(path)) from error


def _told(connection: sqlite3.Connection) -> int | None:
    with suppress(sqlite3.OperationalError):  # a schema of earlier or later times may tell it elsewhere
        row = connection.execute("SELECT time_ms FROM event ORDER BY leaf_index DESC LIMIT 1").fetchone()
        return row[0] if row else None
    return None


def _troubles(connection: sqlite3.Connection, path: Path) -> Iterator[Trouble]:
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    if mode != "wal":
        yield Trouble(
            grave=False,
            sentence=f"its journal is {mode!a} and not a write-ahead log: readers and writers wait for one another",
            todo="nothing; the next command that writes switches it back",
        )
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size > _MOST_LOG_BYTES:
        yield Trouble(
            grave=False,
            sentence=f"its write-ahead log is {log.stat().st_size >> 20} MiB: a reader has held it for long",
            todo="stop what reads it without end (a backup, a shell), and restart `interlock serve`",
        )
