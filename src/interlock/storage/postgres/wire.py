"""Statements on their way to the server: several in one round trip, and prepared where they come again and again.

A cursor waits for every statement by itself, and psycopg's own pipeline costs a client more than that waiting. So this
speaks to libpq by the connection's `pgconn`, with psycopg's own adaptation of values, both ways.
"""

from __future__ import annotations

import os
import select
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import Any

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from interlock.storage.database import Row, Value

Connection = psycopg.Connection[dict[str, Any]]

_CANCEL_SECONDS = 5.0
_OFTEN = 5
"""How many times a statement is sent with its text before it is prepared; a short command prepares nothing."""
_EITHER_WAY = select.POLLIN | select.POLLOUT
_STALE = {
    b"0A000",  # "cached plan must not change result type": another process has upgraded the tables
    b"26000",  # "prepared statement does not exist": somebody has dropped it
}

_Key = tuple[bytes, tuple[int, ...]]
"""A statement, and the types of its values."""


@dataclass(slots=True)
class _Statement:
    """What is known of a statement."""

    sent: int = 0
    name: bytes | None = None
    """By which the server knows it, once it is prepared."""
    columns: Sequence[str] | None = None
    """Of its rows, as long as it is prepared; None until the first answer."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A message to the server that is answered by one result: a statement, or that it is to be prepared."""

    statement: _Statement
    preparing: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a statement."""

    rows: list[Row]
    changed: int
    tag: bytes | None
    """The server's word for what was done: `COMMIT`, `UPDATE 1`."""


class Wire:
    """One connection, as the transactions of its thread use it, one after another."""

    def __init__(self, connection: Connection, *, prepares: bool = True) -> None:
        self.connection = connection
        self._often: float = _OFTEN if prepares else inf
        self.taken = False
        """Whether a transaction has it."""
        self._pgconn = connection.pgconn
        self._transformer = Transformer(connection)
        self._socket = select.poll()
        self._socket.register(self._pgconn.socket, select.POLLIN)
        self._known: dict[_Key, _Statement] = {}
        own = os.urandom(6).hex()  # a connection may have another wire later
        self._names = (f"interlock_{own}_{number}".encode() for number in count())
        self._waiting: list[tuple[_Key, Sequence[Any], Sequence[int]]] = []

    @property
    def idle(self) -> bool:
        """Whether no transaction is open."""
        return not self.taken and self._pgconn.transaction_status == TransactionStatus.IDLE

    @property
    def usable(self) -> bool:
        """Whether the connection stands, as far as it is known."""
        return not self.connection.closed and not self.connection.broken

    @property
    def in_transaction(self) -> bool:
        """Whether the server has something to commit or to roll back."""
        return not self.connection.closed and self._pgconn.transaction_status != TransactionStatus.IDLE

    def send(self, statement: bytes, values: Sequence[Value] = ()) -> None:
        """Take a statement, with `$1` in place of the first of its values; it goes with the next exchange."""
        if values:
            dumped = self._transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
            self._waiting.append(((statement, self._transformer.types or ()), dumped, self._transformer.formats or ()))
        else:
            self._waiting.append(((statement, ()), (), ()))

    def exchange(self) -> list[Answer]:
        """Send what waits, all of it in one round trip; returns the answers, or raises the first that is an error."""
        try:
            asked = self._hand_over()
            results = self._collect()
            self._pgconn.exit_pipeline_mode()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                self.connection.cancel_safe(timeout=_CANCEL_SECONDS)
            self.connection.close()  # what it says next answers nobody's question; the server undoes what was begun
            raise
        return self._read(asked, results)

    def forget(self) -> None:
        """Drop what waits."""
        self._waiting.clear()

    def _hand_over(self) -> list[_Asked]:
        waiting, self._waiting = self._waiting, []
        asked: list[_Asked] = []
        pgconn, known = self._pgconn, self._known
        pgconn.enter_pipeline_mode()
        for key, values, formats in waiting:
            statement = known.get(key)
            if statement is None:
                known[key] = statement = _Statement()
            if statement.name is None and statement.sent >= self._often:
                statement.name = next(self._names)
                pgconn.send_prepare(statement.name, key[0], key[1])
                asked.append(_Asked(statement, preparing=True))
            if statement.name is None:
                pgconn.send_query_params(key[0], values, key[1], formats)
            else:
                pgconn.send_query_prepared(statement.name, values, formats)
            statement.sent += 1
            asked.append(_Asked(statement, preparing=False))
        pgconn.pipeline_sync()
        return asked

    def _collect(self) -> list[PGresult]:
        pgconn = self._pgconn
        while pgconn.flush():
            if self._wait(_EITHER_WAY) & select.POLLIN:
                pgconn.consume_input()
        results: list[PGresult] = []
        while True:
            while pgconn.is_busy():
                self._wait(select.POLLIN)
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:  # stands behind the result of each message
                if pgconn.status != ConnStatus.OK:
                    raise psycopg.OperationalError("the connection is lost")
            elif result.status == ExecStatus.PIPELINE_SYNC:
                return results
            else:
                results.append(result)

    def _wait(self, events: int) -> int:
        """Wait as Python does, so that other threads go on meanwhile; libpq would hold them up."""
        if events != select.POLLIN:
            self._socket.modify(self._pgconn.socket, events)
        ((_, found),) = self._socket.poll()
        if events != select.POLLIN:
            self._socket.modify(self._pgconn.socket, select.POLLIN)
        return found

    def _read(self, asked: list[_Asked], results: list[PGresult]) -> list[Answer]:
        answers: list[Answer] = []
        failed: PGresult | None = None
        for message, result in zip(asked, results, strict=True):
            if result.status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
                if not message.preparing:
                    answers.append(self._answer(message.statement, result))
                continue
            failed = failed or result
            if message.preparing:
                message.statement.name = None
        if failed is not None:
            if failed.error_field(DiagnosticField.SQLSTATE) in _STALE:
                self.connection.close()
            raise error_from_result(failed)
        return answers

    def _answer(self, statement: _Statement, result: PGresult) -> Answer:
        rows: list[Row] = []
        if result.ntuples:
            columns = statement.columns
            if columns is None:
                columns = [(result.fname(number) or b"").decode() for number in range(result.nfields)]
                statement.columns = columns if statement.name is not None else None
            self._transformer.set_pgresult(result)
            rows = self._transformer.load_rows(0, result.ntuples, lambda row: dict(zip(columns, row, strict=True)))
        return Answer(rows, result.command_tuples or 0, result.command_status)
