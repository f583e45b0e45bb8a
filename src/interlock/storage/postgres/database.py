"""The PostgreSQL database: row locks, SKIP LOCKED claims, one sequencer at a time, NOTIFY outside the transaction."""

from __future__ import annotations

import re
import select
import socket
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, LiteralString, cast

import psycopg
from psycopg import errors as pg
from psycopg.rows import dict_row

from interlock.access.models import Actor
from interlock.evidence.tree import Frontier, leaf_hash
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

_DIALECT = "postgres"
_CHANNEL = "interlock_ready"
_MIGRATION_LOCK = 0x494C4B01
_SEQUENCER_LOCK = 0x494C4B02
_SEAL_BATCH = 1_000
_POLL_SECONDS = 1.0
_CONNECT_SECONDS = 10
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]\w*)")

Connection = psycopg.Connection[dict[str, Any]]


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

    def create(self, origin: str) -> bool:
        """Make the tables, or upgrade them; returns False where they were there. `origin` names the evidence log."""
        with self._translated():
            connection = self._connect()
            fresh = self._upgrade(connection, origin)
        self._checked = True
        return fresh

    @contextmanager
    def write(self, actor: Actor, *, calming: bool = False) -> Generator[Transaction]:
        """Open a transaction with state and events; commits at the end of the block, or not at all.

        Refused while panic is on, unless `calming`: having read the table of panic holds it shared until the end, and
        who raises panic takes it exclusively.
        """
        with self._translated():
            connection = self._connection()
            with connection.transaction():
                transaction = self._transaction(connection, actor)
                if not calming:
                    transaction.thawed()
                yield transaction
                transaction.conclude()
                if transaction.leaves:
                    _append(connection, transaction.leaves)
        # It is committed: what fails from here on must not look as if it were not, or it would be done again.
        with suppress(psycopg.Error, InterlockError):
            if transaction.wakes:
                connection.execute("SELECT pg_notify(%s, '')", (_CHANNEL,))
            if transaction.leaves and self.seal_after_commit:
                self.seal()

    @contextmanager
    def light(self) -> Generator[Transaction]:
        """Open a transaction for heartbeats and output lines: its commit does not wait for the disk."""
        with self._translated():
            connection = self._connection()
            with connection.transaction():
                connection.execute("SET LOCAL synchronous_commit = off")
                yield self._transaction(connection, None)

    @contextmanager
    def read(self) -> Generator[Transaction]:
        """Open a transaction that sees one consistent state and changes nothing."""
        with self._translated():
            connection = self._connection()
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                yield self._transaction(connection, None)

    def seal(self) -> int:
        """Give every committed event its place in the tree, unless another sequencer is at it."""
        sealed = 0
        with self._translated():
            connection = self._connection()
            while True:
                batch = _seal_batch(connection)
                sealed += batch
                if batch < _SEAL_BATCH:
                    return sealed

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

    def _transaction(self, connection: Connection, actor: Actor | None) -> Transaction:
        execute = _executor(connection)
        return Transaction(execute, queries(_DIALECT), self._now or _server_clock(connection), actor)

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

    def _connect(self) -> Connection:
        connection: Connection = psycopg.Connection[dict[str, Any]].connect(
            self._url, autocommit=True, row_factory=dict_row, connect_timeout=_CONNECT_SECONDS
        )
        # Each statement sees what was committed before it, also what its own lock waited for: so panic is seen.
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        # Statements are prepared once and kept: a plan from when the tables were tiny must not scan them for ever.
        connection.execute("SET enable_seqscan = off")
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


def _executor(connection: Connection) -> Execute:
    def execute(statement: str, values: Mapping[str, Value]) -> tuple[list[Row], int]:
        cursor = connection.execute(_adapted(statement), values)
        told = cursor.pgresult  # asking `cursor.description` would build an object for each of 30 columns
        rows: Sequence[Row] = cursor.fetchall() if told is not None and told.nfields else []
        return list(rows), cursor.rowcount

    return execute


def _server_clock(connection: Connection) -> Clock:
    """Return a clock that asks the server once and keeps to it for the transaction."""
    known: list[int] = []

    def now() -> int:
        if not known:
            row = connection.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms").fetchone()
            known.append(row["ms"] if row else 0)
        return known[0]

    return now


def _append(connection: Connection, leaves: list[Leaf]) -> None:
    """Insert events and their places in the waiting room; the sequencer gives them their index."""
    for leaf in leaves:
        if leaf.key is not None:
            done = connection.execute("INSERT INTO event_key VALUES (%s) ON CONFLICT DO NOTHING", (leaf.key,))
            if done.rowcount == 0:
                continue
        connection.execute(
            "WITH told AS (INSERT INTO event (kind, subject, time_ms, leaf) VALUES (%s, %s, %s, %s) RETURNING event_id)"
            " INSERT INTO event_unsealed SELECT event_id FROM told",
            (leaf.kind, leaf.subject, leaf.time_ms, leaf.data.decode("utf-8")),
        )


def _seal_batch(connection: Connection) -> int:
    """Seal up to 1,000 events; 0 when another sequencer holds the lock or nothing waits."""
    with connection.transaction():
        taken = connection.execute("SELECT pg_try_advisory_xact_lock(%s) AS mine", (_SEQUENCER_LOCK,)).fetchone()
        if not (taken and taken["mine"]):
            return 0
        waiting = connection.execute(
            # Written so that no plan made while the tables were small can scan them when they are large.
            "WITH batch AS (DELETE FROM event_unsealed WHERE event_id = ANY (ARRAY"
            " (SELECT event_id FROM event_unsealed ORDER BY event_id LIMIT %s)) RETURNING event_id)"
            " SELECT event_id, (SELECT leaf FROM event WHERE event.event_id = batch.event_id) AS leaf"
            " FROM batch ORDER BY event_id",
            (_SEAL_BATCH,),
        ).fetchall()
        if not waiting:
            return 0
        state = connection.execute("SELECT frontier FROM log_state").fetchone()
        if state is None:
            raise DatabaseDamaged("the log's state is gone from the database")
        frontier = Frontier.decode(bytes(state["frontier"]))
        hashes = [leaf_hash(row["leaf"].encode("utf-8")) for row in waiting]
        connection.execute(
            "INSERT INTO leaf SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bytea[])",
            (
                list(range(frontier.size, frontier.size + len(waiting))),
                [row["event_id"] for row in waiting],
                hashes,
            ),
        )
        connection.execute("UPDATE log_state SET frontier = %s", (frontier.extend(hashes).encode(),))
        return len(waiting)
