"""The bare peer of a room: its own named statements of state, each in a transaction of its own, and nothing else."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
from psycopg.rows import dict_row

from benchmarks.grounds import sqlite_path
from interlock.storage.database import queries

Run = Callable[[str, Mapping[str, Any]], Sequence[Mapping[str, Any]]]
"""Runs a named statement in a transaction; returns its rows."""

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]\w*)")


def bare_sqlite(folder: str) -> Run:
    """Connect to the SQLite database of a house, at the house's durability."""
    statements = queries("sqlite")
    connection = sqlite3.connect(sqlite_path(Path(folder)), isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA synchronous = FULL")

    def run(name: str, values: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        connection.execute("BEGIN IMMEDIATE")
        rows = connection.execute(statements[name], values).fetchall()
        connection.execute("COMMIT")
        return rows

    return run


def bare_postgres(url: str) -> Run:
    """Connect to a PostgreSQL database; its durability is the server's default."""
    statements: dict[str, LiteralString] = {
        name: cast("LiteralString", _PARAMETER.sub(r"%(\1)s", text.replace("%", "%%")))
        for name, text in queries("postgres").items()
    }
    connection = psycopg.Connection[dict[str, Any]].connect(url, autocommit=True, row_factory=dict_row)

    def run(name: str, values: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        with connection.transaction():
            cursor = connection.execute(statements[name], values)
            told = cursor.pgresult
            return cursor.fetchall() if told is not None and told.nfields else []

    return run
