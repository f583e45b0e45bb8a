"""Which rows of a SQLite database go where in a PostgreSQL one: worked out from both schemas, so nothing is missed.

A table goes into the one of its name, column by column. What the two databases keep differently has a rule here; a
table or column for which there is neither is an error, and not left behind.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from interlock.kernel.errors import Failed

_KINDS = {
    "text": "text",
    "integer": "integer",
    "bigint": "integer",
    "blob": "blob",
    "bytea": "blob",
    "boolean": "boolean",
}
_ROWID = "seq"
"""The column in which PostgreSQL's tables keep the order that SQLite's keep by their row's number."""
_APART_IN_SQLITE = frozenset({"event", "event_key", "counter", "schema_migration"})
_APART_IN_POSTGRES = frozenset({"event", "leaf", "event_key", "event_unsealed", "item_move", "schema_migration"})
"""`event_unsealed` and `item_move` hold what is on its way: here all of it has arrived, so they begin empty."""
COUNTERS: Mapping[str, str] = {"item": "item_number"}
"""Which sequence goes on from which of SQLite's counters."""
_LOGGED = "SELECT leaf_index, kind, subject, time_ms, leaf, leaf_hash FROM {} ORDER BY leaf_index"


class NoRule(Failed):
    """A table or a column is there for which nothing says how it is moved."""

    code = "migration_rule_missing"
    default_hint = "nothing was moved; this is a fault of Interlock's, not of the workspace"


@dataclass(frozen=True, slots=True)
class Column:
    """A column and what it holds: `text`, `integer`, `blob` or `boolean`; else the database's own word."""

    name: str
    kind: str

    @classmethod
    def of(cls, name: str, word: str) -> Column:
        """Name a column by the word of its database."""
        return cls(name, _KINDS.get(word.lower(), word.lower()))


@dataclass(frozen=True, slots=True)
class Table:
    """A table of one of the databases."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    """The columns of the primary key."""
    needs: frozenset[str] = frozenset()
    """The other tables that its rows refer to."""


@dataclass(frozen=True, slots=True)
class Move:
    """What one of PostgreSQL's tables gets."""

    table: str
    columns: tuple[str, ...]
    select: str
    """What SQLite is asked for: these columns, in this order."""
    booleans: tuple[int, ...] = ()
    """The places of columns that SQLite keeps as 0 and 1."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """What both databases must answer alike, row by row."""

    name: str
    in_sqlite: str
    in_postgres: str
    doubtful: str
    """Asks SQLite for how many rows hold what PostgreSQL's columns can not."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is moved, what is referred to first; and how to tell that it has arrived."""

    moves: tuple[Move, ...]
    likenesses: tuple[Likeness, ...]


def plan(ours: Mapping[str, Table], target: Mapping[str, Table], sequences: Collection[str] = ()) -> Plan:
    """Work out how the tables that our migrations make in SQLite fill those that they make in PostgreSQL.

    `sequences` are PostgreSQL's that belong to no column. Raises `NoRule` for whatever has no place.
    """
    _refuse_strangers(ours.keys() - target.keys() - _APART_IN_SQLITE, "SQLite's table", "has none in PostgreSQL")
    _refuse_strangers(target.keys() - ours.keys() - _APART_IN_POSTGRES, "PostgreSQL's table", "has none in SQLite")
    _refuse_strangers(set(sequences) - set(COUNTERS.values()), "the sequence", "goes on from no counter")
    shared = sorted(target.keys() - _APART_IN_POSTGRES)
    columns = {name: _columns(ours[name], target[name]) for name in shared}
    moves = {name: _move(ours[name], target[name], columns[name]) for name in shared} | _log_moves()
    order = _in_order(target, moves)
    return Plan(
        moves=tuple(moves[name] for name in order),
        likenesses=(
            *(_likeness(target[name], moves[name], columns[name]) for name in shared),
            _log_likeness(),
            Likeness("event_key", "SELECT key FROM event_key ORDER BY key", _ordered("event_key", "key"), ""),
        ),
    )


def _refuse_strangers(names: Iterable[str], what: str, lack: str) -> None:
    for name in sorted(names):
        raise NoRule(f"{what} {name} {lack}, and no rule says how it is moved")


def _columns(ours: Table, target: Table) -> tuple[Column, ...]:
    """List the columns that get something, as PostgreSQL has them."""
    here = {each.name: each for each in ours.columns}
    there = {each.name: each for each in target.columns}
    of_order = {_ROWID} & (there.keys() - here.keys())
    for name in sorted((here.keys() ^ there.keys()) - of_order):
        raise NoRule(f"the column {name} of {ours.name} is in one of the databases only, and no rule says how it moves")
    for name, column in there.items():
        kind = "integer" if name in of_order else here[name].kind
        if column.kind not in _KINDS.values() or (
            kind != column.kind and (kind, column.kind) != ("integer", "boolean")
        ):
            raise NoRule(f"no rule says how {kind} of {ours.name}.{name} becomes {column.kind}")
    if not target.key:
        raise NoRule(f"{target.name} has no key by which its rows could be compared")
    return target.columns


def _move(ours: Table, target: Table, columns: tuple[Column, ...]) -> Move:
    here = {each.name for each in ours.columns}
    asked = ", ".join(f'"{each.name}"' if each.name in here else "rowid" for each in columns)
    order = ", ".join(f'"{each}"' for each in target.key)
    return Move(
        table=target.name,
        columns=tuple(each.name for each in columns),
        select=f'SELECT {asked} FROM "{target.name}" ORDER BY {order}',  # noqa: S608 - names of our own schema
        booleans=tuple(place for place, each in enumerate(columns) if each.kind == "boolean"),
    )


def _likeness(target: Table, move: Move, columns: tuple[Column, ...]) -> Likeness:
    texts = {each.name for each in columns if each.kind == "text"}
    order = ", ".join(f'"{each}" COLLATE "C"' if each in texts else f'"{each}"' for each in target.key)
    asked = ", ".join(f'"{each.name}"' + ("::int" if each.kind == "boolean" else "") for each in columns)
    return Likeness(
        name=target.name,
        in_sqlite=move.select,
        in_postgres=f'SELECT {asked} FROM "{target.name}" ORDER BY {order}',  # noqa: S608 - the same
        doubtful=_doubtful(target.name, [each for each in columns if each.name != _ROWID]),
    )


def _doubtful(table: str, columns: Iterable[Column]) -> str:
    """Ask how many rows hold another kind of value than their column's, or a NUL inside of a text."""
    wrong: list[str] = []
    for column in columns:
        word = {"text": "text", "blob": "blob"}.get(column.kind, "integer")
        wrong.append(f"typeof(\"{column.name}\") NOT IN ('{word}', 'null')")
        if column.kind == "text":
            wrong.append(f"instr(CAST(\"{column.name}\" AS BLOB), x'00')")
    return f'SELECT COUNT(*) FROM "{table}" WHERE {" OR ".join(wrong)}'  # noqa: S608 - the same


def _log_moves() -> dict[str, Move]:
    """Return how the log moves: SQLite keeps an event and its leaf in one row."""
    return {
        "event": Move(
            "event",
            ("event_id", "kind", "subject", "time_ms", "leaf"),
            "SELECT leaf_index + 1, kind, subject, time_ms, leaf FROM event ORDER BY leaf_index",
        ),
        "leaf": Move(
            "leaf",
            ("leaf_index", "event_id", "leaf_hash"),
            "SELECT leaf_index, leaf_index + 1, leaf_hash FROM event ORDER BY leaf_index",
        ),
        "event_key": Move("event_key", ("key",), "SELECT key FROM event_key ORDER BY key"),
    }


def _log_likeness() -> Likeness:
    return Likeness("event", _LOGGED.format("event"), _LOGGED.format("sealed"), "")


def _ordered(table: str, key: str) -> str:
    return f'SELECT "{key}" FROM "{table}" ORDER BY "{key}" COLLATE "C"'  # noqa: S608 - the same


def _in_order(target: Mapping[str, Table], moves: Mapping[str, Move]) -> list[str]:
    """Put every table behind those that its rows refer to."""
    graph: dict[str, set[str]] = {name: set(target[name].needs) - {name} for name in sorted(moves)}
    try:
        return [name for name in TopologicalSorter(graph).static_order() if name in moves]
    except CycleError as error:
        raise NoRule(f"tables refer to each other in a circle: {error.args[1]}") from None
