"""The PostgreSQL database: row locks, SKIP LOCKED claims, one sequencer at a time, NOTIFY outside the transaction."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, LiteralString, cast

import psycopg
from psycopg import errors as pg
from psycopg.rows import dict_row
from psycopg.types.numeric import Int8Dumper

from interlock.access.models import Actor
from interlock.evidence.tree import Frontier
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.kernel.threads import Threads
from interlock.storage.database import Transaction, latest, migrations, queries, refuse_newer
from interlock.storage.errors import (
    DatabaseBusy,
    DatabaseDamaged,
    DatabaseFailed,
    DatabaseMissing,
    DatabaseReadOnly,
    DatabaseUnreachable,
    StorageFull,
)
from interlock.storage.postgres.conversation import LIGHT, READING, WRITING, Conversation
from interlock.storage.postgres.sequencer import SEAL_BATCH, Sequencer, seal_batch
from interlock.storage.postgres.wire import Connection, Wire

_DIALECT = "postgres"
_CHANNEL = "interlock_ready"
_MIGRATION_LOCK = 0x494C4B01
_POLL_SECONDS = 1.0
_CONNECT_SECONDS = 10


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
        self._wires: Threads[Wire] = Threads(lambda wire: wire.usable and wire.idle)
        self._opened: list[Connection] = []
        self._lock = threading.Lock()
        self._checked = False
        self._sequencer: Sequencer | None = None

    def create(self, origin: str) -> bool:
        """Make the tables, or upgrade them; returns False where they were there. `origin` names the evidence log."""
        with self._translated():
            fresh = self._upgrade(self._connect().connection, origin)
        self._checked = True
        return fresh

    @contextmanager
    def write(self, actor: Actor, *, calming: bool | None = False) -> Generator[Transaction]:
        """Open a transaction with state and events; commits at the end of the block, or not at all.

        Refused while panic is on, unless `calming`: having read the table of panic holds it shared until the end, and
        who raises panic takes it exclusively.
        """
        with self._open(WRITING, actor, thawed=calming is False) as transaction:
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
        with self._open(LIGHT, None) as transaction:
            yield transaction

    @contextmanager
    def read(self) -> Generator[Transaction]:
        """Open a transaction that sees one consistent state and changes nothing."""
        with self._open(READING, None) as transaction:
            yield transaction

    def seal(self) -> int:
        """Give every committed event its place in the tree, in turn with other sequencers."""
        sealed = 0
        with self._translated():
            wire = self._idle_wire()
            while True:
                batch = seal_batch(wire)
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
        self._wires.forget()

    @contextmanager
    def _open(self, opening: Sequence[bytes], actor: Actor | None, *, thawed: bool = False) -> Generator[Transaction]:
        """Open a transaction, to begin with its first statement; or at once, where that must not wait."""
        try:
            wire = self._idle_wire()
            talk = Conversation(wire, opening, self._now)
            transaction = Transaction(talk.execute, queries(_DIALECT), talk.now, actor, talk.ask_panic)
            wire.taken = True
            try:
                if thawed:
                    transaction.thawed()
                    talk.begin()
                yield transaction
                talk.commit(transaction.leaves)
            except BaseException:
                talk.roll_back()
                raise
            finally:
                wire.taken = False
        except psycopg.Error as error:
            raise translate(error) from error

    def _see_sealed(self) -> None:
        """Have what was just committed sealed: by the sequencer, if there is one in this process."""
        if self._sequencer is not None:
            self._sequencer.tell()
        elif self.seal_after_commit:
            self.seal()

    def _idle_wire(self) -> Wire:
        wire = self._wire()
        if not wire.idle:
            raise RuntimeError("this thread is inside a transaction already")
        return wire

    def _connection(self) -> Connection:
        return self._wire().connection

    def _wire(self) -> Wire:
        """Return this thread's connection."""
        wire = self._wires.mine()
        if wire is not None and wire.usable:
            return wire
        if (left := self._wires.inherit()) is not None:
            return left
        line = self._connect()
        if not self._checked:
            self._upgrade(line.connection, None)
            self._checked = True
        wire = Wire(line.connection, prepares=not line.is_pooled)
        self._wires.keep(wire)
        return wire

    def _hang_up(self) -> None:
        """Close this thread's connection."""
        wire = self._wires.mine()
        if wire is not None:
            wire.connection.close()

    def _connect(self) -> Line:
        connection: Connection = psycopg.Connection[dict[str, Any]].connect(
            self._url, autocommit=True, row_factory=dict_row, connect_timeout=_CONNECT_SECONDS
        )
        # The driver would drop all that is prepared, and a wire's statements with it, where it sees a ROLLBACK.
        connection.prepare_threshold = None
        connection.adapters.register_dumper(int, Int8Dumper)  # else a statement is another one for each size of number
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        with self._lock:
            self._opened = [known for known in self._opened if not known.closed] + [connection]
        line = Line(connection, is_pooled(connection))
        if not line.is_pooled:
            # Statements are prepared once and kept: a plan from when the tables were tiny must not scan them for ever.
            connection.execute("SET enable_seqscan = off")
        return line

    def _upgrade(self, connection: Connection, origin: str | None) -> bool:
        """Apply the migrations that are missing, one process at a time; says whether the database was new."""
        version = _schema(connection)
        refuse_newer(version, _DIALECT, "the database")
        if version == latest(_DIALECT):
            return False
        if version == 0 and origin is None:
            raise DatabaseMissing("the database server has no Interlock tables in this database")
        return bring_up(connection, origin)

    @contextmanager
    def _translated(self) -> Generator[None]:
        """Turn the driver's errors into ours, without the address and its secrets."""
        try:
            yield
        except psycopg.Error as error:
            raise translate(error) from error


def bring_up(connection: Connection, origin: str | None) -> bool:
    """Apply the migrations that are missing, one process at a time; says whether the database was new.

    A new one gets a log of this name.
    """
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


@dataclass(frozen=True, slots=True)
class Line:
    """A connection, and what is known of its other end."""

    connection: Connection
    is_pooled: bool
    """Whether each transaction may be another server process's: then what is prepared, set or listened for is lost."""


def is_pooled(connection: Connection) -> bool:
    """Say whether a pooler answers in the server's place: then another process answers than the one that was named."""
    row = connection.execute("SELECT pg_backend_pid() AS pid").fetchone()
    return row is None or row["pid"] != connection.info.backend_pid


class Listener:
    """Waits for a NOTIFY; looks by itself once a second, because none comes through a pooler."""

    def __init__(self, line: Line) -> None:
        self._connection = line.connection
        self._inside, self._outside = socket.socketpair()
        if not line.is_pooled:
            self._connection.execute(f"LISTEN {_CHANNEL}")

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
            raise translate(error) from error
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


def translate(error: psycopg.Error) -> Exception:  # noqa: PLR0911 - one for each of our errors
    """Turn one of the driver's errors into ours."""
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
        case psycopg.ProgrammingError() if error.sqlstate is None:  # what the driver says of it may show a password
            return DatabaseFailed(
                "the database's address can not be read",
                hint="write spaces and signs in a name or password as %20, %40",
            )
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
