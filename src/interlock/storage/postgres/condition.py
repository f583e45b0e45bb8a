"""How a PostgreSQL database is, found by looking."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.rows import dict_row

from interlock.storage.condition import Condition, Trouble
from interlock.storage.database import latest
from interlock.storage.postgres.database import translate
from interlock.storage.postgres.wire import Connection

_CONNECT_SECONDS = 5
_LEAST_VERSION = 140_000
_NEARLY_ALL = 0.8
_SETTINGS = """
SELECT current_setting('synchronous_commit') AS synchronous, current_setting('fsync') AS fsync,
    current_setting('full_page_writes') AS whole_pages, current_setting('server_encoding') AS encoding,
    current_setting('default_transaction_read_only') AS read_only, current_setting('max_connections')::int AS most,
    (SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connected,
    pg_is_in_recovery() AS standby, pg_backend_pid() AS backend,
    (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint AS now_ms,
    to_regclass('schema_migration') IS NOT NULL AS ours
"""


def look_at(url: str) -> Condition:
    """Look at a database on a server, in one read-only transaction; raises `DatabaseUnreachable` and its like."""
    try:
        connection = psycopg.Connection[dict[str, Any]].connect(
            url, row_factory=dict_row, connect_timeout=_CONNECT_SECONDS
        )
        with connection:
            connection.read_only = True
            settings = connection.execute(_SETTINGS).fetchall()[0]
            version = connection.info.server_version
            schema = _schema(connection) if settings["ours"] else 0
            return Condition(
                engine=f"PostgreSQL {version // 10_000}.{version % 10_000}",
                schema=schema,
                latest=latest("postgres"),
                now_ms=settings["now_ms"],
                told_ms=_told(connection) if schema else None,
                troubles=list(_troubles(settings, version, connection.info.backend_pid)),
            )
    except psycopg.Error as error:
        raise translate(error) from error


def _schema(connection: Connection) -> int:
    return connection.execute("SELECT COALESCE(MAX(number), 0) AS number FROM schema_migration").fetchall()[0]["number"]


def _told(connection: Connection) -> int | None:
    with suppress(psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn), connection.transaction():
        rows = connection.execute("SELECT time_ms FROM event ORDER BY event_id DESC LIMIT 1").fetchall()
        return rows[0]["time_ms"] if rows else None
    return None


def _troubles(settings: dict[str, Any], version: int, reached: int) -> Iterator[Trouble]:
    yield from _unfit(settings, version)
    if settings["fsync"] == "off" or settings["whole_pages"] == "off":
        off = "fsync" if settings["fsync"] == "off" else "full_page_writes"
        yield Trouble(
            grave=True,
            sentence=f"{off} is off: a power cut may tear the log",
            todo=f"ALTER SYSTEM SET {off} = on; SELECT pg_reload_conf();",
        )
    if settings["synchronous"] == "off":
        yield Trouble(
            grave=True,
            sentence="synchronous_commit is off: a crash loses approvals that were answered",
            todo="ALTER DATABASE … SET synchronous_commit = on, or leave it out of the address",
        )
    if settings["backend"] != reached:
        yield Trouble(
            grave=False,
            sentence="a pooler stands before it: idle workers look once a second, statements are planned each time",
            todo="name the server itself, unless it has too few connections for all",
        )
    if settings["connected"] >= _NEARLY_ALL * settings["most"]:
        yield Trouble(
            grave=False,
            sentence=f"{settings['connected']} of {settings['most']} connections are taken",
            todo="raise max_connections, or stop what holds them (SELECT * FROM pg_stat_activity)",
        )


def _unfit(settings: dict[str, Any], version: int) -> Iterator[Trouble]:
    if version < _LEAST_VERSION:
        yield Trouble(grave=True, sentence="Interlock needs PostgreSQL 14 or later", todo="upgrade the server")
    if settings["encoding"] != "UTF8":
        yield Trouble(
            grave=True, sentence=f"the database is in {settings['encoding']}, not UTF8", todo="createdb -E UTF8 NAME"
        )
    if settings["standby"] or settings["read_only"] == "on":
        yield Trouble(
            grave=True,
            sentence="nothing can be written there: it is a standby, or read-only",
            todo="name the primary in [database] url",
        )
