"""The SQLite database: WAL, full durability, our own fair retry, events sealed in the same transaction."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path

from interlock.access.models import Actor
from interlock.evidence.tree import Frontier, leaf_hash
from interlock.kernel.clock import Clock, system_clock
from interlock.kernel.events import Leaf
from interlock.kernel.threads import Threads
from interlock.storage.database import (
    Execute,
    Row,
    Transaction,
    Value,
    instant,
    latest,
    migrations,
    queries,
    refuse_newer,
)
from interlock.storage.errors import DatabaseMissing, NotADatabase
from interlock.storage.sqlite import adoption
from interlock.storage.sqlite.marker import refuse_moving
from interlock.storage.sqlite.reading import APPLICATION_ID, open_reading, patiently, schema, translate
from interlock.storage.sqlite.wake import Doorbell, ring

_DIALECT = "sqlite"

_Known = tuple[bytes, Frontier]
"""The log's end as it is stored, and what that means."""


def _usable(connection: sqlite3.Connection) -> bool:
    """Say whether a connection is open, between two transactions, and of the file: not of a copy for an older one."""
    try:
        return not connection.in_transaction and bool(connection.execute("PRAGMA database_list").fetchone()[2])
    except sqlite3.Error:
        return False


class SqliteDatabase:
    """A workspace's database in one file."""

    def __init__(
        self, path: Path, *, now: Clock = system_clock, wake_folder: Path | None = None, adopts_as: str | None = None
    ) -> None:
        """Name the file; nothing is opened yet. `wake_folder` is where idle workers keep their doorbells.

        A queue of earlier tools is refused, or taken over by the first write, its evidence log named `adopts_as`.
        """
        self.path = path
        self._now = now
        self._wake_folder = wake_folder
        self._adopts_as = adopts_as
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._kept = {role: Threads(_usable) for role in ("full", "light", "read", "watch")}
        self._lock = threading.Lock()
        self._upgraded = False
        self._columns: dict[str, Sequence[str]] = {}

    def create(self, origin: str) -> bool:
        """Make the database, or upgrade it; returns False where it was there. `origin` names the evidence log."""
        fresh = not self.path.exists() or self.path.stat().st_size == 0
        with self._translated():
            opened = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            connection = patiently(partial(self._open, opened))
            if fresh:
                self.path.chmod(0o600)
            patiently(partial(_make_ours, connection, self.path))
            self._upgrade(connection, origin)
        self._upgraded = True
        self._kept["full"].keep(connection)
        return fresh

    @contextmanager
    def write(self, actor: Actor, *, calming: bool | None = False) -> Generator[Transaction]:
        """Open a transaction with state and events; commits at the end of the block, or not at all.

        Refused while panic is on, unless `calming`; who holds the write lock sees whether it is.
        """
        connection = self._connection("full")
        try:
            _begin(connection, self.path)
            transaction = self._transaction(connection, actor)
            try:
                if calming is False:
                    transaction.thawed()
                yield transaction
                transaction.conclude()
                if transaction.leaves:
                    known: _Known | None = getattr(self._local, "log", None)
                    self._local.log = _append(connection, transaction.leaves, known)
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:  # said here, not by `_translated`: the queue's speed depends on this road
            raise translate(error, str(self.path)) from error
        if transaction.wakes and self._wake_folder is not None:
            with suppress(OSError):  # it is committed; who was not woken looks by himself in a second
                ring(self._wake_folder)

    @contextmanager
    def light(self) -> Generator[Transaction]:
        """Open a transaction for heartbeats and output lines: no fsync, so it may be lost in a power cut."""
        connection = self._connection("light")
        with self._translated():
            _begin(connection, self.path)
            try:
                yield self._transaction(connection, None)
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def read(self) -> Generator[Transaction]:
        """Open a transaction that sees one consistent state and changes nothing."""
        connection = self._connection("read")
        with self._translated():
            patiently(partial(_begin_reading, connection))
            try:
                yield self._transaction(connection, None)
            finally:
                connection.execute("ROLLBACK")

    def seal(self) -> int:
        """Do nothing: here an event has its place in the tree from the moment that it is written."""
        return 0

    def sealing(self) -> AbstractContextManager[None]:
        """Do nothing, for the same reason."""
        return nullcontext()

    @contextmanager
    def listen(self) -> Generator[Doorbell]:
        """Listen for work that becomes ready."""
        with Doorbell(self._wake_folder, self._data_version) as bell:
            yield bell

    def close(self) -> None:
        """Close every connection of every thread."""
        with self._lock:
            for connection in self._opened:
                connection.close()
            self._opened.clear()
        for kept in self._kept.values():
            kept.forget()
        self._local = threading.local()

    def _transaction(self, connection: sqlite3.Connection, actor: Actor | None) -> Transaction:
        return Transaction(_executor(connection, self._now, self._columns), queries(_DIALECT), self._now, actor)

    def _data_version(self) -> int:
        version: int = self._connection("watch").execute("PRAGMA data_version").fetchone()[0]
        return version

    def _connection(self, role: str) -> sqlite3.Connection:
        """Return this thread's connection for a role: full, light, read, watch."""
        kept = self._kept[role]
        connection = kept.mine() or kept.inherit()
        if connection is None:
            if not self.path.exists():
                raise DatabaseMissing(f"there is no database at {self.path}")
            with self._translated():
                opening = self._open_reader if role in {"read", "watch"} else partial(self._open_writer, role)
                connection = patiently(opening)  # whoever closes it last holds it alone for a moment
            kept.keep(connection)
        return connection

    def _open_writer(self, role: str) -> sqlite3.Connection:
        refuse_moving(self.path)
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        connection = self._open(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False))
        if role == "light":
            connection.execute("PRAGMA synchronous = NORMAL")
        if not self._upgraded:
            if self._adopts_as is not None:
                _make_ours(connection, self.path)
            self._upgrade(connection, self._adopts_as)
            self._upgraded = True
        return connection

    def _open_reader(self) -> sqlite3.Connection:
        connection = open_reading(str(self.path))
        version = schema(connection)
        if version != latest(_DIALECT):
            connection = self._upgraded_copy(connection)
        return self._open(connection)

    def _upgraded_copy(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Return a database in memory that is as the first write will make this one: reading upgrades nothing."""
        with closing(connection):
            self._check_upgrade(connection, self._adopts_as)
            copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            connection.backup(copy)
        copy.row_factory = sqlite3.Row
        self._bring_up(copy, self._adopts_as)
        return copy

    def _open(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 4000")  # pages, 16 MB: each checkpoint is two more fsyncs
        with self._lock:
            self._opened.append(connection)
        return connection

    def _upgrade(self, connection: sqlite3.Connection, origin: str | None) -> None:
        """Apply the migrations that are missing, after a backup of what is there."""
        version = schema(connection)
        if version == latest(_DIALECT):
            return
        self._check_upgrade(connection, origin)
        if connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
            self._back_up(connection, version)
        self._bring_up(connection, origin)
        if (reader := self._kept["read"].mine()) is not None:
            reader.close()  # it read what was there before
            self._kept["read"].drop()

    def _check_upgrade(self, connection: sqlite3.Connection, origin: str | None) -> None:
        version = schema(connection)
        refuse_newer(version, _DIALECT, str(self.path))
        if version == 0 and origin is None:
            raise NotADatabase(f"{self.path} was not made by Interlock")

    def _bring_up(self, connection: sqlite3.Connection, origin: str | None) -> None:
        _begin(connection, self.path)
        try:
            version = schema(connection)
            made = version == 0
            adopted = made and adoption.prepare(connection, str(self.path))
            for number, name, script in migrations(_DIALECT):
                if number > version:
                    _apply(connection, number, name, script, self._now())
            if adopted:
                adoption.finish(connection, self._now())
            if made:
                connection.execute("INSERT INTO log_state VALUES (1, ?, ?)", (origin, Frontier().encode()))
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    def _back_up(self, connection: sqlite3.Connection, version: int) -> None:
        """Copy the database beside itself, whole whatever others write meanwhile; an older backup is kept."""
        path = self.path.with_name(f"{self.path.name}.schema-{version}.backup")
        if path.exists():
            return
        unfinished = path.with_name(f"{path.name}.{os.getpid()}")
        with closing(sqlite3.connect(unfinished)) as backup:
            unfinished.chmod(0o600)
            connection.backup(backup)
        unfinished.rename(path)

    @contextmanager
    def _translated(self) -> Generator[None]:
        """Turn the driver's errors into ours."""
        try:
            yield
        except sqlite3.Error as error:
            raise translate(error, str(self.path)) from error


def _make_ours(connection: sqlite3.Connection, path: Path) -> None:
    """Switch a database to a write-ahead log, if it is ours, empty, or one that can be adopted."""
    connection.execute("BEGIN")  # one look: another process may be adopting it in this moment
    try:
        if schema(connection) == 0:
            adoption.check(connection, str(path))
    finally:
        connection.execute("ROLLBACK")
    connection.execute("PRAGMA journal_mode = WAL")


def _apply(connection: sqlite3.Connection, number: int, name: str, script: str, now_ms: int) -> None:
    for statement in _statements(script):
        connection.execute(statement)
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migration (number INTEGER PRIMARY KEY, name TEXT, applied_ms INTEGER)"
    )
    connection.execute("INSERT INTO schema_migration VALUES (?, ?, ?)", (number, name, now_ms))
    connection.execute(f"PRAGMA user_version = {number}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _statements(script: str) -> Iterator[str]:
    """Split a script; `executescript` would commit behind our back."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def _begin(connection: sqlite3.Connection, path: Path) -> None:
    """Take the write lock; raises `DatabaseMoving` where it is held for as long as that takes."""
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        patiently(partial(_begin_again, connection, path))


def _begin_again(connection: sqlite3.Connection, path: Path) -> None:
    refuse_moving(path)
    connection.execute("BEGIN IMMEDIATE")


def _begin_reading(connection: sqlite3.Connection) -> None:
    """Open a snapshot now, so that nothing later finds the file held."""
    connection.execute("BEGIN")
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _executor(connection: sqlite3.Connection, now: Clock, columns: dict[str, Sequence[str]]) -> Execute:
    """Run statements on a connection; `columns` remembers what a statement's rows are made of: asking takes long."""

    def execute(statement: str, values: Mapping[str, Value]) -> tuple[list[Row], int]:
        cursor = connection.execute(statement, {**instant(now()), **values} if ":now" in statement else values)
        found = cursor.fetchall()
        if not found:
            return [], cursor.rowcount
        names = columns.get(statement)
        if names is None or len(names) != len(found[0]):  # another process has upgraded the tables
            columns[statement] = names = [name for name, *_ in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in found], cursor.rowcount

    return execute


def _append(connection: sqlite3.Connection, leaves: Sequence[Leaf], known: _Known | None) -> _Known:
    """Write events at the end of the log, with index and frontier: the write lock that is held is the order.

    `known` is the log's end as this thread left it, which saves reading it where nobody else wrote since.
    """
    keyed = any(leaf.key is not None for leaf in leaves)
    if known is not None and not keyed and (after := _extend(connection, leaves, known)) is not None:
        return after
    stored: bytes = connection.execute("SELECT frontier FROM log_state").fetchone()[0]
    known = stored, Frontier.decode(stored)
    if keyed:
        leaves = _not_logged(connection, leaves, known[1].size)
    return _extend(connection, leaves, known) or known


def _not_logged(connection: sqlite3.Connection, leaves: Sequence[Leaf], size: int) -> Sequence[Leaf]:
    """Leave out what has a key under which something is logged; `size` is the index of the first of the rest."""
    fresh: list[Leaf] = []
    for leaf in leaves:
        if leaf.key is not None:
            place = (leaf.key, size + len(fresh))
            if connection.execute("INSERT INTO event_key VALUES (?, ?) ON CONFLICT DO NOTHING", place).rowcount == 0:
                continue
        fresh.append(leaf)
    return fresh


def _extend(connection: sqlite3.Connection, leaves: Sequence[Leaf], known: _Known) -> _Known | None:
    """Write events where the log ends as `known` says; None, and nothing is written, where it does not."""
    stored, before = known
    hashes = [leaf_hash(leaf.data) for leaf in leaves]
    frontier = before.extend(hashes)
    encoded = frontier.encode()
    moved = connection.execute("UPDATE log_state SET frontier = ? WHERE frontier = ?", (encoded, stored))
    if moved.rowcount == 0:
        return None
    for index, (leaf, hashed) in enumerate(zip(leaves, hashes, strict=True), before.size):
        connection.execute(
            "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)",
            (index, leaf.kind, leaf.subject, leaf.time_ms, leaf.data.decode("utf-8"), hashed),
        )
    return encoded, frontier
