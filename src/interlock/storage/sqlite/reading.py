"""Opening a SQLite file to read it, and nothing else: creates, upgrades and locks nothing. Imported in every `status`.

It reads databases of ours and of the queue's earlier tools alike, by the columns that they share.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from interlock.storage.errors import (
    DatabaseBusy,
    DatabaseDamaged,
    DatabaseFailed,
    DatabaseMissing,
    DatabaseMoved,
    DatabaseReadOnly,
    NotADatabase,
    StorageFull,
)

Done = TypeVar("Done")

APPLICATION_ID = 0x494C4B31  # "ILK1"
PATIENCE_SECONDS = 30.0
_STEPS_SECONDS = (0.0005, 0.005)
# Measured with 8 writers: SQLite's own busy handler let one of them do 1 transaction in 5 s; short random steps never
# let anybody wait above 0.4 s. So busy_timeout stays 0 and we wait ourselves.
_COUNTED_SINCE = 2
"""The schema that keeps counts; before it, and in a database of other tools, a small table is counted through."""

_ORDER = "CASE priority WHEN 'P0' THEN 0 WHEN 'P1' THEN 1 WHEN 'P2' THEN 2 ELSE 99 END, created_at, rowid"
_SHORT = ("id", "status", "priority", "owner_session", "started_at_kst")
_WHOLE = (*_SHORT, "task", "success_criteria", "due_at_kst", "notes")


def open_reading(path: str) -> sqlite3.Connection:
    """Open a file for reading only; works in a folder that can not be written."""
    path = os.path.realpath(path)  # its side files lie beside the file itself, not beside a link to it
    # The log of a writer that was killed is a writer's to carry over. Where there is none, whoever closes the file last
    # may take its side files with him; and of a transaction that is half in the file SQLite must undo that half.
    mode = "ro" if _has_content(path + "-wal") else "rw"
    try:
        return _opened(path, mode)
    except sqlite3.OperationalError as error:
        # No shared memory can be made here. With no log beside it, the file alone is the whole database.
        busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
        if busy or any(_has_content(path + end) for end in ("-wal", "-journal")):
            raise
        return _opened(path, "ro&immutable=1")


def _opened(path: str, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{_quoted(path)}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA query_only = ON")
        schema(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def schema(connection: sqlite3.Connection) -> int:
    """Return the number of the newest migration applied; 0 for a database of somebody else's."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    return version if application == APPLICATION_ID else 0


def patiently(deed: Callable[[], Done]) -> Done:
    """Do it as soon as the file is free, waiting in short random steps."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return deed()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            import random  # a file is seldom held

            time.sleep(random.uniform(*_STEPS_SECONDS))  # noqa: S311 - fairness, not a secret


def translate(error: sqlite3.Error, where: str) -> Exception:
    """Turn one of the driver's errors into ours."""
    name: str = getattr(error, "sqlite_errorname", "")
    if str(error) == MOVED:
        return DatabaseMoved(f"{where} was left behind ({error})")
    for prefix, kind, sentence in _MEANINGS:
        if name.startswith(prefix):
            return kind(f"{where} {sentence} ({error})")
    return DatabaseFailed(f"{where}: {error}")


class SqliteReading:
    """A queue in a SQLite file, to be looked at."""

    def __init__(self, path: str) -> None:
        """Name the file; raises `DatabaseMissing` where there is none, `NotADatabase` for what is no file."""
        try:
            found = os.stat(path)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            hint = "name one that is there, or make a workspace with `interlock init DIR`"
            if os.path.exists(path + ".moved"):
                hint = "it was moved to PostgreSQL; leave --db, ORCH_DB_PATH and ORCH_BASE_DIR out to work there"
            raise DatabaseMissing(f"there is no database {path}", hint=hint) from None
        except OSError as error:
            raise DatabaseReadOnly(f"{path} can not be opened: {error.strerror}") from None
        if not stat.S_ISREG(found.st_mode):
            raise NotADatabase(f"{path} is no file")  # nor would opening a pipe ever end
        if not found.st_size:
            raise NotADatabase(f"{path} is empty")
        self.path = path

    def standing(self, most: int) -> tuple[Mapping[str, int], list[Mapping[str, str]]]:
        """Count items by status and list what is IN_PROGRESS, at most so many, as of one instant."""
        return self._look(lambda connection: (_counts(connection), _active(connection, most)))

    def active(self) -> list[Mapping[str, str]]:
        """List what is IN_PROGRESS by its five short columns, in the queue's order."""
        return self._look(lambda connection: _active(connection, -1))

    def items(self) -> list[Mapping[str, str]]:
        """List every item by its nine columns, in the queue's order."""
        return self._look(lambda connection: _rows(connection, _WHOLE, "", -1))

    def retries(self) -> int:
        """Count the retries ever made: what is in the history, and what is not yet."""
        return self._look(_retries)

    def _look(self, question: Callable[[sqlite3.Connection], Done]) -> Done:
        try:
            connection = patiently(lambda: open_reading(self.path))
            try:
                self._refuse_newer(schema(connection))
                connection.execute("BEGIN")
                return patiently(lambda: question(connection))
            finally:
                connection.close()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "") == "SQLITE_ERROR":
                raise NotADatabase(f"{self.path} holds no queue that can be read ({error})") from error
            raise translate(error, self.path) from error

    def _refuse_newer(self, version: int) -> None:
        if version > _newest():
            from interlock.storage.database import refuse_newer

            refuse_newer(version, "sqlite", self.path)


def _newest() -> int:
    """Return the number of our newest migration, by its file's name alone."""
    folder = os.path.join(os.path.dirname(__file__), "migrations")
    return max(int(name[:4]) for name in os.listdir(folder) if name.endswith(".sql"))


def _counts(connection: sqlite3.Connection) -> Mapping[str, int]:
    counted = schema(connection) >= _COUNTED_SINCE
    rows = connection.execute(
        "SELECT status, items FROM item_count"
        if counted
        else "SELECT status, COUNT(*) FROM queue_items GROUP BY status"
    )
    return {row[0]: row[1] for row in rows}


def _active(connection: sqlite3.Connection, most: int) -> list[Mapping[str, str]]:
    # Said twice, so that the index of what is open is known to hold all that is asked for.
    return _rows(connection, _SHORT, "WHERE status = 'IN_PROGRESS' AND status <> 'DONE'", most)


def _rows(connection: sqlite3.Connection, names: tuple[str, ...], where: str, most: int) -> list[Mapping[str, str]]:
    ours = schema(connection) > 0
    order = "rank, rowid" if ours else _ORDER
    columns = ", ".join(names if ours else (f"CAST(COALESCE({name}, '') AS TEXT)" for name in names))
    rows = connection.execute(
        f"SELECT {columns} FROM queue_items {where} ORDER BY {order} LIMIT ?",  # noqa: S608 - our own words
        (most,),
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def _retries(connection: sqlite3.Connection) -> int:
    (known,) = connection.execute("SELECT COUNT(*) FROM queue_events WHERE event_type = 'retried'").fetchone()
    if schema(connection) >= _COUNTED_SINCE:
        known += connection.execute(
            "SELECT COUNT(*) FROM event WHERE kind IN ('item.retried', 'item.rescued', 'item.returned')"
            " AND leaf_index >= (SELECT next_index FROM projection WHERE name = 'queue_events')"
        ).fetchone()[0]
    return int(known)


def _has_content(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0
    except OSError:
        return False


def _quoted(path: str) -> str:
    """Write a path as SQLite's URIs want it; `urllib.parse` would cost more than the whole reading."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


MOVED = "this database was moved to PostgreSQL and takes nothing more"
"""What the triggers say of a database that was left behind."""
_MEANINGS: tuple[tuple[str, type[Exception], str], ...] = (
    ("SQLITE_FULL", StorageFull, "can not grow: the disk is full"),
    ("SQLITE_IOERR_WRITE", StorageFull, "can not grow"),
    ("SQLITE_IOERR_SHMSIZE", StorageFull, "can not grow"),
    ("SQLITE_IOERR", DatabaseFailed, "could not be read or written; look at the disk"),
    ("SQLITE_BUSY", DatabaseBusy, f"stayed locked by another process for {PATIENCE_SECONDS:.0f} s"),
    ("SQLITE_LOCKED", DatabaseBusy, "is locked by another process"),
    ("SQLITE_NOTADB", NotADatabase, "is not a database"),
    ("SQLITE_CORRUPT", DatabaseDamaged, "is damaged"),
    ("SQLITE_READONLY", DatabaseReadOnly, "is read-only"),
    ("SQLITE_CANTOPEN", DatabaseReadOnly, "can not be opened"),
    ("SQLITE_PERM", DatabaseReadOnly, "may not be opened"),
)
