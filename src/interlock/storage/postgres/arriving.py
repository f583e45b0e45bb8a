"""A PostgreSQL database into which a whole workspace is moved: in one transaction, so it is there whole or not at all.

A move that was killed after that transaction leaves a complete copy behind that nobody works on yet. It is known by its
log, which ends with the event of the move, and the next move begins anew in its place.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql
from psycopg.rows import dict_row, tuple_row

from interlock.evidence.tree import Frontier
from interlock.kernel.events import Leaf
from interlock.storage.catalogue import COUNTERS, Column, Move, Table
from interlock.storage.errors import DatabaseBusy, TargetNotEmpty, TargetUnfit
from interlock.storage.postgres.database import bring_up, translate
from interlock.storage.postgres.sequencer import seal_within
from interlock.storage.postgres.wire import Connection, Wire

_LEAST_VERSION = 140_000
_CONNECT_SECONDS = 10
_LOCK = 0x494C4B03
_STRANGERS = """
SELECT c.oid::regclass::text AS name, c.relkind AS kind FROM pg_class AS c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    AND NOT EXISTS (SELECT 1 FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype IN ('e', 'i', 'a')
        AND d.classid = 'pg_class'::regclass)
ORDER BY c.relkind = 'S', c.relname
"""
_FUNCTIONS = """
SELECT p.oid::regprocedure::text AS name FROM pg_proc AS p WHERE p.pronamespace = current_schema()::regnamespace
    AND NOT EXISTS (SELECT 1 FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e')
"""
_COLUMNS = """
SELECT table_name, column_name, data_type, is_identity FROM information_schema.columns
JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' ORDER BY table_name, ordinal_position
"""
_KEYS = """
SELECT c.conrelid::regclass::text AS name, a.attname AS part FROM pg_constraint AS c
CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY AS key (number, place)
JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = key.number
WHERE c.contype = 'p' AND c.connamespace = current_schema()::regnamespace ORDER BY c.conrelid, key.place
"""
_REFERENCES = """
SELECT conrelid::regclass::text AS name, confrelid::regclass::text AS other FROM pg_constraint
WHERE contype = 'f' AND connamespace = current_schema()::regnamespace
"""
_SEQUENCES = """
SELECT c.relname AS name FROM pg_class AS c
WHERE c.relkind = 'S' AND c.relnamespace = current_schema()::regnamespace
    AND NOT EXISTS (SELECT 1 FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype IN ('i', 'a'))
"""
_TRIGGERED = "SELECT DISTINCT tgrelid::regclass::text AS name FROM pg_trigger WHERE NOT tgisinternal"


@dataclass(frozen=True, slots=True)
class Copied:
    """What is known of a log in a database: how long it is, its last event as JSON, and the largest signed head."""

    origin: str
    size: int
    last: str
    signed: int


class Arriving:
    """The database, inside the transaction that fills it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def check_fit(self) -> None:
        """Raise `TargetUnfit` for a server that can not take a workspace."""
        version = self._connection.info.server_version
        if version < _LEAST_VERSION:
            raise TargetUnfit(f"the server is PostgreSQL {version // 10_000}; Interlock needs 14 or newer")
        encoding = self._all("SHOW server_encoding")[0]["server_encoding"]
        if encoding != "UTF8":
            raise TargetUnfit(f"the database is in {encoding}; Interlock needs UTF8", hint="createdb -E UTF8 NAME")
        if self._all("SELECT current_schema() AS name")[0]["name"] is None:
            raise TargetUnfit("the database has no schema in which tables could be made")

    def strangers(self) -> list[str]:
        """Name what is in the schema already."""
        return [row["name"] for row in self._all(_STRANGERS)]

    def copied(self) -> Copied | None:
        """Say which log is here; None where there is none."""
        if not {"schema_migration", "log_state", "tree_head", "event_unsealed"} <= set(self.strangers()):
            return None
        found = self._all(
            "SELECT origin, (SELECT COUNT(*) FROM event) AS size,"
            " (SELECT COALESCE(MAX(size), 0) FROM tree_head) AS signed,"
            " (SELECT leaf FROM event ORDER BY event_id DESC LIMIT 1) AS last FROM log_state"
        )
        return (
            Copied(found[0]["origin"], found[0]["size"], found[0]["last"] or "", found[0]["signed"]) if found else None
        )

    def clear(self) -> None:
        """Take away everything that is in the schema."""
        kinds = {"v": "VIEW", "m": "MATERIALIZED VIEW", "S": "SEQUENCE", "f": "FOREIGN TABLE"}
        for row in self._all(_STRANGERS):
            kind = kinds.get(_word(row["kind"]), "TABLE")
            self._run(f"DROP {kind} IF EXISTS {row['name']} CASCADE")
        for row in self._all(_FUNCTIONS):
            self._run(f"DROP FUNCTION {row['name']}")

    def make(self, origin: str) -> None:
        """Make the tables, empty, but for the log's name."""
        bring_up(self._connection, origin)
        names = ", ".join(f'"{name}"' for name in self.tables() if name != "schema_migration")
        self._run(f"TRUNCATE {names}")
        for row in self._all(_TRIGGERED):
            self._run(f"ALTER TABLE {row['name']} DISABLE TRIGGER USER")

    def finish(self, counters: Mapping[str, int], highest: Mapping[str, int]) -> None:
        """Let the sequences go on behind what arrived, the tables' triggers work again, and the planner know the rows.

        `counters` are SQLite's by their names; `highest` says for a table how far its own numbers have ever come.
        """
        for row in self._all(_COLUMNS):
            if row["is_identity"] == "YES":
                table, column = row["table_name"], row["column_name"]
                last = self._all(f'SELECT COALESCE(MAX("{column}"), 0) AS last FROM "{table}"')[0]["last"]  # noqa: S608 - names of our own schema
                self._set(f"pg_get_serial_sequence('\"{table}\"', '{column}')", max(last, highest.get(table, 0)))
        for name, value in counters.items():
            self._set(f"'{COUNTERS[name]}'", value)
        for row in self._all(_TRIGGERED):
            self._run(f"ALTER TABLE {row['name']} ENABLE TRIGGER USER")
        names = ", ".join(f'"{name}"' for name in self.tables())
        self._run(f"ANALYZE {names}")

    def copy(self, move: Move, batches: Iterable[Sequence[tuple[object, ...]]]) -> Generator[int]:
        """Fill a table; says after each batch how many rows that were."""
        columns = sql.SQL(", ").join(map(sql.Identifier, move.columns))
        into = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(move.table), columns)
        with self._connection.cursor() as cursor, cursor.copy(into) as copy:
            for rows in batches:
                for row in rows:
                    copy.write_row(_with_booleans(row, move.booleans) if move.booleans else row)
                yield len(rows)

    def rows(self, query: str, batch: int) -> Generator[list[tuple[object, ...]]]:
        """Yield a query's rows in batches of at most so many."""
        with self._connection.cursor(name="moved", row_factory=tuple_row) as cursor:
            cursor.execute(_words(query))
            while rows := cursor.fetchmany(batch):
                yield rows

    def tell(self, leaf: Leaf) -> None:
        """Log an event, and give it its place in the tree."""
        row = self._connection.execute(
            "INSERT INTO event (kind, subject, time_ms, leaf) VALUES (%s, %s, %s, %s) RETURNING event_id",
            (leaf.kind, leaf.subject, leaf.time_ms, leaf.data.decode("utf-8")),
        ).fetchone()
        self._connection.execute("INSERT INTO event_unsealed VALUES (%(event_id)s)", row)
        seal_within(Wire(self._connection))

    def frontier(self) -> Frontier:
        """Return the tree's frontier as it is stored."""
        return Frontier.decode(bytes(self._all("SELECT frontier FROM log_state")[0]["frontier"]))

    def now(self) -> int:
        """Return the server's time in milliseconds since the epoch."""
        return int(self._all("SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint AS ms")[0]["ms"])

    def tables(self) -> Mapping[str, Table]:
        """List the tables that are there."""
        columns: dict[str, list[Column]] = {}
        for row in self._all(_COLUMNS):
            columns.setdefault(row["table_name"], []).append(Column.of(row["column_name"], row["data_type"]))
        keys: dict[str, list[str]] = {}
        for row in self._all(_KEYS):
            keys.setdefault(row["name"], []).append(row["part"])
        needs: dict[str, set[str]] = {}
        for row in self._all(_REFERENCES):
            needs.setdefault(row["name"], set()).add(row["other"])
        return {
            name: Table(name, tuple(found), tuple(keys.get(name, ())), frozenset(needs.get(name, ())))
            for name, found in columns.items()
        }

    def sequences(self) -> list[str]:
        """Name the sequences that belong to no column."""
        return [row["name"] for row in self._all(_SEQUENCES)]

    def _set(self, sequence: str, value: int) -> None:
        self._run(f"SELECT setval({sequence}, {max(value, 1)}, {str(value > 0).lower()})")

    def _all(self, query: str) -> list[dict[str, Any]]:
        return self._connection.execute(_words(query)).fetchall()

    def _run(self, statement: str) -> None:
        self._connection.execute(_words(statement))


@contextmanager
def arriving(url: str) -> Generator[Arriving]:
    """Open the transaction that fills a database; commits at the end of the block, or leaves it as it was."""
    try:
        with (
            psycopg.Connection[dict[str, Any]].connect(
                url, autocommit=True, row_factory=dict_row, connect_timeout=_CONNECT_SECONDS
            ) as connection,
            connection.transaction(),
        ):
            for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
                connection.execute(_words(f"SET LOCAL {setting} = 0"))
            connection.execute("SET LOCAL synchronous_commit = on")
            connection.execute("SET LOCAL client_min_messages = warning")
            row = connection.execute("SELECT pg_try_advisory_xact_lock(%s) AS had", (_LOCK,)).fetchone()
            if row is None or not row["had"]:
                raise DatabaseBusy("another process is moving a workspace into this database")
            yield Arriving(connection)
    except psycopg.Error as error:
        raise translate(error) from error


def check_empty(found: list[str], log: Copied | None, origin: str) -> None:
    """Raise `TargetNotEmpty` for a database that holds anything; the sentence says what."""
    if log is not None and log.origin == origin:
        raise TargetNotEmpty(
            f"the database holds this workspace's log already, with {log.size} entries, and is worked on",
            hint="nothing was changed; name it as [database] url to work on it, or another one to move to",
        )
    if log is not None:
        raise TargetNotEmpty("the database holds the log of another workspace")
    if found:
        raise TargetNotEmpty(f"the database is not empty: it holds {', '.join(found[:3])}")


def _with_booleans(row: tuple[object, ...], places: Sequence[int]) -> tuple[object, ...]:
    values = list(row)
    for place in places:
        value = values[place]
        values[place] = None if value is None else bool(value)
    return tuple(values)


def _word(kind: object) -> str:
    """Read PostgreSQL's one-byte type, which the driver gives as bytes."""
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _words(statement: str) -> LiteralString:
    return cast("LiteralString", statement)  # made of our own words and of names that the server has quoted
