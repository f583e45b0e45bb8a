"""A SQLite database that is moved elsewhere: nobody writes to it meanwhile, and nobody ever again.

The write lock is held for the whole move, and a locked file beside the database tells others why. What is sealed holds
triggers in each of its tables that refuse every change; also from a program that opened it long ago.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from interlock.storage.catalogue import Column, Table
from interlock.storage.database import migrations
from interlock.storage.errors import DatabaseInUse, DatabaseMoving
from interlock.storage.sqlite.marker import marker
from interlock.storage.sqlite.reading import MOVED, patiently, translate

_PATIENCE_SECONDS = 5.0
_STEP_SECONDS = 0.02
_SEAL = "moved_away"


@dataclass(frozen=True, slots=True)
class Left:
    """What a sealed database says of itself."""

    size: int
    """How many entries its log has."""
    root: str


def check_unused(path: Path, seconds: float = _PATIENCE_SECONDS) -> None:
    """Raise `DatabaseInUse` where another process, or this one, keeps the database open longer than that; no change."""
    deadline = time.monotonic() + seconds
    while True:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)) as alone:
            try:
                alone.execute("PRAGMA busy_timeout = 0")
                alone.execute("PRAGMA locking_mode = EXCLUSIVE")  # granted to whoever has no company
                alone.execute("BEGIN EXCLUSIVE")
                alone.execute("ROLLBACK")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise translate(error, str(path)) from error
            else:
                return
        if time.monotonic() > deadline:
            raise DatabaseInUse(f"{path} is in use by another process")
        time.sleep(_STEP_SECONDS)


class Leaving:
    """The database, its write lock held; to be read, and then sealed."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def rows(self, query: str, batch: int) -> Generator[list[tuple[object, ...]]]:
        """Yield a query's rows in batches of at most so many."""
        try:
            cursor = self._connection.execute(query)
            while rows := cursor.fetchmany(batch):
                yield rows
        except sqlite3.Error as error:
            raise translate(error, str(self.path)) from error

    def one(self, query: str) -> tuple[object, ...]:
        """Return a query's first row."""
        for rows in self.rows(query, 1):
            return rows[0]
        return ()

    def count(self, query: str) -> int:
        """Return the number that a query asks for; 0 where it has no row."""
        row = self.one(query)
        return int(str(row[0])) if row and row[0] is not None else 0

    def tables(self) -> Mapping[str, Table]:
        """List the tables that are there."""
        return _tables(self._connection)

    def broken_references(self) -> list[str]:
        """Name the tables with rows that refer to what is not there."""
        return sorted({str(row[0]) for rows in self.rows("PRAGMA foreign_key_check", 1000) for row in rows})

    def left(self) -> Left | None:
        """Say whether it is sealed."""
        if _SEAL not in self.tables():
            return None
        size, root = self.one(f"SELECT size, root FROM {_SEAL}")  # noqa: S608 - our own word
        return Left(int(str(size)), str(root))

    def seal(self, size: int, root: str) -> None:
        """Let nothing be changed from now on; durable when this returns."""
        run = self._connection.execute
        tables = sorted(self.tables())
        run(f"CREATE TABLE {_SEAL} (size INTEGER NOT NULL, root TEXT NOT NULL)")
        run(f"INSERT INTO {_SEAL} VALUES (?, ?)", (size, root))  # noqa: S608 - our own word
        for number, table in enumerate([*tables, _SEAL]):
            for change in ("INSERT", "UPDATE", "DELETE"):
                quoted = table.replace('"', '""')
                run(
                    f'CREATE TRIGGER {_SEAL}_{change.lower()}_{number} BEFORE {change} ON "{quoted}"'
                    f" BEGIN SELECT RAISE(ABORT, '{MOVED}'); END"
                )
        run("COMMIT")
        run("BEGIN IMMEDIATE")


@contextmanager
def leaving(path: Path) -> Generator[Leaving]:
    """Hold the database so that it can be moved; raises `DatabaseInUse` or `DatabaseMoving`.

    Others go on reading what is there, and are refused as `DatabaseMoving` when they want to write.
    """
    with _marked(path):
        check_unused(path)
        uri = f"{path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)) as connection:
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("PRAGMA synchronous = FULL")
            try:
                patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
            except sqlite3.Error as error:
                raise translate(error, str(path)) from error
            try:
                yield Leaving(path, connection)
            finally:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")


def put_away(path: Path, name: str) -> Path | None:
    """Give a sealed database another name; None, and it stays, while somebody still reads it."""
    away = path.with_name(name)
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)) as connection:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    wal = path.with_name(f"{path.name}-wal")
    if busy or away.exists() or (wal.exists() and wal.stat().st_size):
        return None
    path.rename(away)
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    return away


def our_tables() -> Mapping[str, Table]:
    """List the tables that our migrations make."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for _, _, script in migrations("sqlite"):
            connection.executescript(script)
        return _tables(connection)


def _tables(connection: sqlite3.Connection) -> Mapping[str, Table]:
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_'"
    ).fetchall()
    return {name: Table(name, tuple(_columns(connection, name))) for (name,) in names}


def _columns(connection: sqlite3.Connection, table: str) -> Iterable[Column]:
    for name, kind in connection.execute("SELECT name, type FROM pragma_table_info(?)", (table,)):
        yield Column.of(name, kind)


@contextmanager
def _marked(path: Path) -> Generator[None]:
    """Hold the lock beside the database that tells others why they can not write."""
    beside = marker(path)
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + 1.0  # whoever looks at it holds it for a moment, too
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DatabaseMoving(f"another process is moving {path}") from None
                time.sleep(_STEP_SECONDS)
        try:
            yield
        finally:
            beside.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
