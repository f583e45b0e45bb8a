"""The PostgreSQL database: row locks, SKIP LOCKED claims, one sequencer at a time, NOTIFY outside the transaction."""

from __future__ import annotations

import re
import select
import socket
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, LiteralString, cast

import psycopg
from psycopg import errors as pg
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from interlock.access.models import Actor
from interlock.evidence.tree import Frontier
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.kernel.events import Leaf
from interlock.storage.database import Execute, Row, Transaction, Value, latest, migrations, queries, refuse_newer
from interlock.storage.errors import (
    DatabaseBusy,
    DatabaseDamaged,
    DatabaseFailed,
    DatabaseMissing,
    DatabaseReadOnly,
    DatabaseUnreachable,
    StorageFull,
)
from interlock.storage.postgres.sequencer import SEAL_BATCH, Connection, Sequencer, seal_batch

_DIALECT = "postgres"
_CHANNEL = "interlock_ready"
_MIGRATION_LOCK = 0x494C4B01
_POLL_SECONDS = 1.0
_CONNECT_SECONDS = 10
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]\w*)")

_CLOCK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms"
_WRITING = (
    f"BEGIN; {_CLOCK}, raised_by, reason, since_ms"
    " FROM (SELECT 1 AS one) AS always LEFT JOIN panic ON panic.one = always.one"
)
_CALMING = f"BEGIN; {_CLOCK}"
_LIGHT = f"BEGIN; SET LOCAL synchronous_commit = off; {_CLOCK}"
_READING = f"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; {_CLOCK}"
_TELL = (
    "WITH told AS (INSERT INTO event (kind, subject, time_ms, leaf) VALUES (%s, %s, %s, %s) RETURNING event_id)"
    " INSERT INTO event_unsealed SELECT event_id FROM told"
)

Cursor = psycopg.Cursor[dict[str, Any]]


class PostgresDatabase:
    """A workspace's database on a PostgreSQL server."""

    def __init__(self, url: str, *, now: Clock | None = None, seal_after_commit: bool = True) -> None:
        """Name the server; nothing is opened yet.

        `now` replaces the server's clock (tests). With `seal_after_commit` every writer seals what it sees once it has
        committed; a process with a sequencer of its own turns that off.
        """
        self._url = url
        self._now = now
        self.seal_after_commit = seal_after_commit
        self._local = threading.local()
        self._opened: list[Connection] = []
        self._lock = threading.Lock()
        self._checked = False
        self._sequencer: Sequencer | None = None

    def create(self, origin: str) -> bool:
        """Make the tables, or upgrade them; returns False where they were there. `origin` names the evidence log."""
        with self._translated():
            connection = self._connect()
            fresh = self._upgrade(connection, origin)
        self._checked = True
        return fresh

    @contextmanager
    def write(self, actor: Actor, *, calming: bool | None = False) -> Generator[Transaction]:
        """Open a transaction with state and events; commits at the end of the block, or not at all.

        Refused while panic is on, unless `calming`: having read the table of panic holds it shared until the end, and
        who raises panic takes it exclusively.
        """
        with self._open(_CALMING if calming else _WRITING, actor) as transaction:
            if calming is False:
                transaction.thawed()
            yield transaction
            transaction.conclude()
        # It is committed: what fails from here on must not look as if it were not, or it would be done again.
        with suppress(psycopg.Error, InterlockError):
            if transaction.wakes:
                self._connection().execute("SELECT pg_notify(%s, '')", (_CHANNEL,))
            if transaction.leaves:
                self._see_sealed()

    @contextmanager
    def light(self) -> Generator[Transaction]:
        """Open a transaction for heartbeats and output lines: its commit does not wait for the disk."""
        with self._open(_LIGHT, None) as transaction:
            yield transaction

    @contextmanager
    def read(self) -> Generator[Transaction]:
        """Open a transaction that sees one consistent state and changes nothing."""
        with self._open(_READING, None) as transaction:
            yield transaction

    def seal(self) -> int:
        """Give every committed event its place in the tree, in turn with other sequencers."""
        sealed = 0
        with self._translated():
            connection = self._connection()
            while True:
                batch = seal_batch(connection)
                sealed += batch
                if batch < SEAL_BATCH:
                    return sealed

    @contextmanager
    def sealing(self) -> Generator[None]:
        """Seal in the background as long as the block lasts, not behind every commit: for a process that lives long."""
        self._sequencer = sequencer = Sequencer(self.seal, self._hang_up)
        try:
            yield
        finally:
            self._sequencer = None
            sequencer.end()

    @contextmanager
    def listen(self) -> Generator[Listener]:
        """Listen for work that becomes ready, on a connection of its own."""
        with self._translated():
            listener = Listener(self._connect())
        try:
            yield listener
        finally:
            listener.close()

    def close(self) -> None:
        """Close every connection of every thread."""
        with self._lock:
            for connection in self._opened:
                connection.close()
            self._opened.clear()
        self._local = threading.local()

    @contextmanager
    def _open(self, begin: LiteralString, actor: Actor | None) -> Generator[Transaction]:
        try:
            cursor = self._idle_connection().cursor()
            try:
                begun = _begin(cursor, begin)
                now = self._now or (lambda: begun["ms"])
                transaction = Transaction(_executor(cursor), queries(_DIALECT), now, actor)
                if "raised_by" in begun:
                    transaction.look_for_panic = lambda: begun if begun["raised_by"] is not None else None
                yield transaction
                _append(cursor, transaction.leaves)
                _commit(cursor)
            except BaseException:
                _roll_back(cursor)
                raise
        except psycopg.Error as error:
            raise _translate(error) from error

    def _see_sealed(self) -> None:
        """Have what was just committed sealed: by the sequencer, if there is one in this process."""
        if self._sequencer is not None:
            self._sequencer.tell()
        elif self.seal_after_commit:
            self.seal()

    def _idle_connection(self) -> Connection:
        connection = self._connection()
        if connection.pgconn.transaction_status != TransactionStatus.IDLE:
            raise RuntimeError("this thread is inside a transaction already")
        return connection

    def _connection(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is not None and not connection.closed and not connection.broken:
            return connection
        connection = self._connect()
        if not self._checked:
            self._upgrade(connection, None)
            self._checked = True
        self._local.connection = connection
        return connection

    def _hang_up(self) -> None:
        """Close this thread's connection."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()

    def _connect(self) -> Connection:
        connection: Connection = psycopg.Connection[dict[str, Any]].connect(
            self._url, autocommit=True, row_factory=dict_row, connect_timeout=_CONNECT_SECONDS
        )
        # Statements are prepared once and kept: a plan from when the tables were tiny must not scan them for ever.
        connection.execute("SET enable_seqscan = off")
        # What is written is decided on what is there when a lock is had, not on what was there when it was asked for.
        # So is whether panic is on.
        connection.execute("SET default_transaction_isolation = 'read committed'")
        with self._lock:
            self._opened = [known for known in self._opened if not known.closed] + [connection]
        return connection

    def _upgrade(self, connection: Connection, origin: str | None) -> bool:
        """Apply the migrations that are missing, one process at a time; says whether the database was new."""
        version = _schema(connection)
        refuse_newer(version, _DIALECT, "the database")
        if version == latest(_DIALECT):
            return False
        if version == 0 and origin is None:
            raise DatabaseMissing("the database server has no Interlock tables in this database")
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
            version = _schema(connection)
            for number, name, script in migrations(_DIALECT):
                if number > version:
                    connection.execute(cast("LiteralString", script))
                    connection.execute("INSERT INTO schema_migration VALUES (%s, %s, now())", (number, name))
            if version == 0:
                connection.execute("INSERT INTO log_state VALUES (1, %s, %s)", (origin, Frontier().encode()))
        return version == 0

    @contextmanager
    def _translated(self) -> Generator[None]:
        """Turn the driver's errors into ours, without the address and its secrets."""
        try:
            yield
        except psycopg.Error as error:
            raise _translate(error) from error


class Listener:
    """Waits for a NOTIFY; looks by itself once a second in case a connection pooler swallowed it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inside, self._outside = socket.socketpair()
        connection.execute(f"LISTEN {_CHANNEL}")

    def wait(self, seconds: float) -> bool:
        """Return True as soon as there may be something to claim, False after `seconds`."""
        try:
            watched = [self._connection.fileno(), self._outside]
            ready, _, _ = select.select(watched, [], [], min(seconds, _POLL_SECONDS))
            if self._outside in ready:
                self._outside.recv(64)
            if len(ready) > (self._outside in ready):
                for _ in self._connection.notifies(timeout=0):
                    pass
        except psycopg.Error as error:
            raise _translate(error) from error
        return bool(ready) or seconds > _POLL_SECONDS

    def rouse(self) -> None:
        """Wake this waiter from another thread."""
        with suppress(OSError):
            self._inside.send(b"!")

    def close(self) -> None:
        """Stop listening."""
        self._connection.close()
        self._inside.close()
        self._outside.close()


def _translate(error: psycopg.Error) -> Exception:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    match error:
        case pg.DiskFull() | pg.OutOfMemory():
            return StorageFull(f"the database server is out of space: {text}")
        case pg.LockNotAvailable() | pg.DeadlockDetected() | pg.SerializationFailure() | pg.QueryCanceled():
            return DatabaseBusy(f"the database gave up waiting for another transaction: {text}")
        case pg.ReadOnlySqlTransaction() | pg.InsufficientPrivilege():
            return DatabaseReadOnly(f"the database can not be written: {text}")
        case pg.DataCorrupted() | pg.IndexCorrupted():
            return DatabaseDamaged(f"the database reports damage: {text}")
        case psycopg.OperationalError():
            return DatabaseUnreachable(f"the database server does not answer: {text}")
        case _:
            return DatabaseFailed(f"the database refused a statement: {text}")


def _schema(connection: Connection) -> int:
    """Return the number of the newest migration applied; 0 where there is none."""
    connection.execute("SET client_min_messages = warning")
    if not connection.execute("SELECT to_regclass('schema_migration') IS NOT NULL AS there").fetchone()["there"]:  # pyright: ignore[reportOptionalSubscript] - a SELECT without FROM has a row
        return 0
    row = connection.execute("SELECT COALESCE(MAX(number), 0) AS number FROM schema_migration").fetchone()
    return row["number"] if row else 0


@cache
def _adapted(statement: str) -> LiteralString:
    """Write `:name` as the driver's `%(name)s`."""
    return cast("LiteralString", _PARAMETER.sub(r"%(\1)s", statement.replace("%", "%%")))


def _executor(cursor: Cursor) -> Execute:
    def execute(statement: str, values: Mapping[str, Value]) -> tuple[list[Row], int]:
        cursor.execute(_adapted(statement), values)
        told = cursor.pgresult  # asking `cursor.description` would build an object for each of 30 columns
        rows: list[Row] = [*cursor.fetchall()] if told is not None and told.nfields else []
        return rows, cursor.rowcount

    return execute


def _begin(cursor: Cursor, begin: LiteralString) -> Row:
    """Open a transaction and return the server's time, and panic where that is asked for, in one round trip."""
    cursor.execute(begin)
    while cursor.nextset():
        pass
    row = cursor.fetchone()
    return row or {"ms": 0}


def _commit(cursor: Cursor) -> None:
    cursor.execute("COMMIT")
    if cursor.statusmessage != "COMMIT":  # the server rolls back, and calls that an answer, after a failed statement
        raise DatabaseFailed("nothing was changed: a statement had failed before")


def _roll_back(cursor: Cursor) -> None:
    """Undo everything; a connection that can not is closed, and then the server does it."""
    try:
        cursor.execute("ROLLBACK")
    except psycopg.Error:
        cursor.connection.close()


def _append(cursor: Cursor, leaves: list[Leaf]) -> None:
    """Insert events and their places in the waiting room; the sequencer gives them their index."""
    fresh = [
        (leaf.kind, leaf.subject, leaf.time_ms, leaf.data.decode("utf-8"))
        for leaf in leaves
        if leaf.key is None or _is_new(cursor, leaf.key)
    ]
    if len(fresh) == 1:
        cursor.execute(_TELL, fresh[0])
    elif fresh:
        cursor.executemany(_TELL, fresh)


def _is_new(cursor: Cursor, key: str) -> bool:
    cursor.execute("INSERT INTO event_key VALUES (%s) ON CONFLICT DO NOTHING", (key,))
    return cursor.rowcount == 1
