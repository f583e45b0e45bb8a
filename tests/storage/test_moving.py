"""Moving from SQLite to PostgreSQL: every table has a rule, every row arrives, and what would not is found out."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from interlock.app import Interlock
from interlock.evidence.tree import Frontier
from interlock.kernel.events import to_leaf
from interlock.kernel.ids import UlidSource
from interlock.queue.models import Executor, ItemKind, NewItem
from interlock.settings import Settings
from interlock.storage.catalogue import Column, NoRule, Table, plan
from interlock.storage.errors import (
    DatabaseDamaged,
    DatabaseInUse,
    DatabaseMoved,
    DatabaseMoving,
    MoveFailed,
    TargetNotEmpty,
)
from interlock.storage.evidence import StoredLog
from interlock.storage.moving import Moving
from interlock.storage.postgres.arriving import arriving
from interlock.storage.postgres.database import PostgresDatabase
from interlock.storage.sqlite.database import SqliteDatabase
from interlock.storage.sqlite.leaving import check_unused, leaving, our_tables
from interlock.workspace.events import WorkspaceMigrated
from interlock.workspace.layout import Layout
from tests.conftest import ALICE, ORIGIN

ONE = "one"
"""The column of tables that have a single row."""
WORDS = re.compile(r"\b(\w+) IN \(('[^)]*')\)")
"""Where a table allows certain words only."""
FILLED_BY_THE_PRODUCT = {"event", "log_state", "counter", "item_count", "tree_head", "projection"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database lies that has a few items and events."""
    folder = tmp_path / ".interlock"
    folder.mkdir()
    database = SqliteDatabase(folder / "interlock.db")
    database.create(ORIGIN)
    house = Interlock(Layout(tmp_path), Settings(), database, UlidSource())
    add(house, "first", "second", "third")
    database.close()
    return folder / "interlock.db"


def add(house: Interlock, *tasks: str) -> list[str]:
    """Add items; returns their ids."""
    with house.queue(ALICE) as queue:
        new = NewItem(
            kind=ItemKind.MANUAL, executor=Executor.EXTERNAL, priority="P1", task="", success_criteria="it is done"
        )
        return [queue.add(replace(new, task=task)).id for task in tasks]


def listed(house: Interlock) -> list[tuple[str, str]]:
    with house.queue_look() as queue:
        return [(item.id, item.task) for item in queue.list(limit=1000)]


def carry(path: Path, url: str) -> tuple[int, str]:
    """Move everything, as far as storage goes; returns the log's size and root."""
    with leaving(path) as source:
        moving = Moving(source)
        standing = moving.standing
        with arriving(url) as target:
            moving.carry(target, silent)
            told = WorkspaceMigrated(subject="workspace", moved_from="sqlite", size=standing.size, root=standing.root)
            moving.tell(target, to_leaf(told, principal="human:alice", correlation_id=None, time_ms=target.now()))
        return standing.size, standing.root


def silent(_table: str, _done: int, _total: int) -> None:
    """Take no notice of progress."""


def is_empty(url: str) -> bool:
    with arriving(url) as target:
        return not target.strangers()


# --- rules ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def schemas(postgres_url: str) -> Iterator[tuple[dict[str, Table], dict[str, Table], list[str]]]:
    """The tables of both databases as our migrations make them, and PostgreSQL's sequences."""
    with closing(PostgresDatabase(postgres_url)) as database:
        database.create(ORIGIN)
    with arriving(postgres_url) as target:
        yield dict(our_tables()), dict(target.tables()), list(target.sequences())


def test_every_table_and_column_of_both_databases_has_a_rule(
    schemas: tuple[dict[str, Table], dict[str, Table], list[str]],
) -> None:
    ours, target, sequences = schemas
    made = plan(ours, target, sequences)
    filled = {move.table for move in made.moves}
    assert target.keys() - filled == {"event_unsealed", "item_move", "schema_migration"}
    assert {each.name for each in made.likenesses} == filled - {"leaf"}
    for move in made.moves:
        assert set(move.columns) == {column.name for column in target[move.table].columns}, move.table
    places = {move.table: place for place, move in enumerate(made.moves)}
    for table in target.values():
        for other in table.needs - {table.name}:
            assert places[other] < places[table.name], (table.name, other)


NEW = Table("new", (Column("id", "text"),), ("id",))


@pytest.mark.parametrize(
    ("ours", "theirs", "sequence", "says"),
    [
        (NEW, None, None, "SQLite's table new has none"),
        (None, NEW, None, "PostgreSQL's table new has none"),
        (NEW, Table("new", (*NEW.columns, Column("more", "text")), ("id",)), None, "the column more of new"),
        (Table("new", (*NEW.columns, Column("more", "text"))), NEW, None, "the column more of new"),
        (NEW, Table("new", (Column("id", "jsonb"),), ("id",)), None, "no rule says how text of new.id becomes jsonb"),
        (NEW, Table("new", (Column("id", "integer"),), ("id",)), None, "becomes integer"),
        (NEW, Table("new", NEW.columns), None, "new has no key"),
        (None, None, "ticket_number", "the sequence ticket_number"),
        (NEW, replace(NEW, needs=frozenset({"newer"})), None, "in a circle"),
    ],
)
def test_what_a_later_migration_adds_can_not_be_forgotten(
    schemas: tuple[dict[str, Table], dict[str, Table], list[str]],
    ours: Table | None,
    theirs: Table | None,
    sequence: str | None,
    says: str,
) -> None:
    here, there, sequences = schemas
    if ours:
        here["new"] = ours
    if theirs:
        there["new"] = theirs
        if theirs.needs:
            here["newer"] = replace(NEW, name="newer")
            there["newer"] = replace(NEW, name="newer", needs=frozenset({"new"}))
    if sequence:
        sequences.append(sequence)
    with pytest.raises(NoRule, match=says):
        plan(here, there, sequences)


def test_a_truth_value_becomes_one(schemas: tuple[dict[str, Table], dict[str, Table], list[str]]) -> None:
    here, there, sequences = schemas
    here["new"] = Table("new", (Column("id", "text"), Column("sure", "integer")))
    there["new"] = Table("new", (Column("id", "text"), Column("sure", "boolean")), ("id",))
    made = {move.table: move for move in plan(here, there, sequences).moves}
    assert made["new"].booleans == (1,)


# --- rows -------------------------------------------------------------------------------------------------------------


def fill(path: Path) -> None:
    """Write two rows into every table, each value as its column wants it; references meet, for values are alike."""
    with closing(sqlite3.connect(path)) as connection, connection:
        log = Frontier.decode(connection.execute("SELECT frontier FROM log_state").fetchone()[0])
        hashes = [row[0] for row in connection.execute("SELECT leaf_hash FROM event ORDER BY leaf_index")]
        for size in (0, 1):
            root = Frontier().extend(hashes[:size]).root().hex()
            connection.execute("INSERT INTO tree_head VALUES (?, ?, 5, 'a note\n— k x\n')", (size, root))
        assert log.size > 1
        words = {name: _words(script) for name, script in connection.execute("SELECT name, sql FROM sqlite_master")}
        for name, table in our_tables().items():
            if name in FILLED_BY_THE_PRODUCT:
                continue
            single = any(column.name == ONE for column in table.columns)
            for number in (1,) if single else (0, 1):
                values = [_value(column, number, words[name]) for column in table.columns]
                marks = ", ".join("?" for _ in values)
                connection.execute(f"INSERT OR REPLACE INTO {name} VALUES ({marks})", values)  # noqa: S608 - our own names


def _words(script: str | None) -> Mapping[str, Sequence[str]]:
    return {column: re.findall(r"'([^']*)'", words) for column, words in WORDS.findall(script or "")}


def _value(column: Column, number: int, words: Mapping[str, Sequence[str]]) -> str | int | bytes:
    if column.name in words:
        return words[column.name][number]
    if column.kind == "text":
        return f"k{number}"
    return number if column.kind == "integer" else bytes([0, 255, number])


def test_rows_of_every_table_arrive(path: Path, postgres_url: str) -> None:
    fill(path)
    with leaving(path) as source:
        tables = Moving(source).standing.tables
    assert [name for name, rows in tables.items() if not rows] == []
    size, root = carry(path, postgres_url)
    with psycopg.connect(postgres_url) as connection:
        for name, rows in tables.items():
            if name not in {"counter", "event"}:
                found = connection.execute(f"SELECT COUNT(*) FROM {name}".encode()).fetchone()  # noqa: S608 - our own names
                assert found == (rows,), name
        assert connection.execute("SELECT body FROM content ORDER BY ref").fetchall() == [
            (b"\0\xff\0",),
            (b"\0\xff\1",),
        ]
    with closing(PostgresDatabase(postgres_url)) as database:
        log = StoredLog(database)
        assert log.size() == size + 1
        assert Frontier().extend(log.leaf_hashes(size)).root().hex() == root


def test_order_numbers_and_counts_go_on(path: Path, postgres_url: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE queue_items SET rowid = 70 WHERE task = 'first'")
        connection.execute("UPDATE sqlite_sequence SET seq = 41 WHERE name = 'queue_events'")
    with closing(SqliteDatabase(path)) as database:
        before = Interlock(Layout(path.parent.parent), Settings(), database, UlidSource())
        rows = listed(before)
        drafts = [before.approval.create(ALICE, text).id for text in ("one", "two")]
    assert [task for _, task in rows] == ["second", "third", "first"]
    carry(path, postgres_url)
    with closing(PostgresDatabase(postgres_url)) as database:
        house = Interlock(Layout(path.parent.parent), Settings(), database, UlidSource())
        assert listed(house) == rows
        assert add(house, "fourth") == ["ORCH-004"]
        assert [task for _, task in listed(house)][-1] == "fourth"
        with house.queue_look() as queue:
            assert queue.counts()["PENDING"] == 4
        drafts.append(house.approval.create(ALICE, "three").id)
        assert [draft.id for draft in house.approval.drafts()] == drafts[::-1]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("UPDATE queue_items SET notes = 'a' || char(0) || 'b' WHERE task = 'second'", "1 rows of queue_items hold"),
        ("UPDATE queue_items SET rank = 'high' WHERE task = 'second'", "1 rows of queue_items hold"),
        ("INSERT INTO queue_events VALUES (9, 'ORCH-999', 'added', '{}', '-')", "queue_events refer to rows"),
        ("INSERT INTO counter VALUES ('ticket', 5)", "the counter ticket"),
    ],
)
def test_what_postgresql_can_not_hold_is_named_and_nothing_is_moved(
    path: Path, postgres_url: str, spoil: str, says: str
) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(spoil)
    with pytest.raises((MoveFailed, NoRule), match=says):
        carry(path, postgres_url)
    assert is_empty(postgres_url)


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE event SET leaf = replace(leaf, 'item', 'itme') WHERE leaf_index = 1",
        "UPDATE event SET leaf_index = 9 WHERE leaf_index = 2",
        "DELETE FROM event WHERE leaf_index = 2",
        "INSERT INTO tree_head VALUES (2, 'aa', 5, 'note')",
        "INSERT INTO tree_head VALUES (99, 'aa', 5, 'note')",
    ],
)
def test_a_log_that_was_changed_is_not_moved(path: Path, postgres_url: str, spoil: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(spoil)
    with pytest.raises(DatabaseDamaged):
        carry(path, postgres_url)
    assert is_empty(postgres_url)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("UPDATE queue_items SET notes = 'other' WHERE id = 'ORCH-002'", "queue_items did not arrive"),
        ("DELETE FROM queue_items WHERE id = 'ORCH-003'", "queue_items did not arrive"),
        (
            "ALTER TABLE queue_items ALTER seq SET GENERATED BY DEFAULT; UPDATE queue_items SET seq = 90 - seq",
            "queue_items did not arrive",
        ),
        ("UPDATE event SET leaf = '{}' WHERE event_id = 1", "event did not arrive"),
        ("UPDATE leaf SET leaf_hash = '\\x00' WHERE leaf_index = 1", "event did not arrive"),
        ("UPDATE log_state SET frontier = '\\x0000000000000000'", "log_state did not arrive"),
    ],
)
def test_a_row_that_arrived_otherwise_is_found(path: Path, postgres_url: str, spoil: str, says: str) -> None:
    with leaving(path) as source, pytest.raises(MoveFailed, match=says), arriving(postgres_url) as target:  # noqa: PT012 - the transaction is undone by what is raised in it
        moving = Moving(source)
        moving.carry(target, silent)
        target._run(spoil)  # pyright: ignore[reportPrivateUsage] - inside the very transaction
        moving.compare(target, plan(our_tables(), target.tables(), target.sequences()).likenesses)
    assert is_empty(postgres_url)


# --- the target -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "says"),
    [
        ("CREATE TABLE theirs (a int)", "it holds theirs"),
        ("CREATE VIEW theirs AS SELECT 1", "it holds theirs"),
        ("CREATE SEQUENCE theirs", "it holds theirs"),
    ],
)
def test_a_target_that_holds_something_is_refused(path: Path, postgres_url: str, there: str, says: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(there.encode())
    with pytest.raises(TargetNotEmpty, match=says):
        carry(path, postgres_url)


def test_the_log_of_another_workspace_is_refused(path: Path, postgres_url: str) -> None:
    with closing(PostgresDatabase(postgres_url)) as database:
        database.create("interlock.test/another")
    with pytest.raises(TargetNotEmpty, match="the log of another workspace"):
        carry(path, postgres_url)


def test_what_a_killed_move_left_behind_is_replaced(path: Path, postgres_url: str) -> None:
    carry(path, postgres_url)
    with closing(SqliteDatabase(path)) as database:
        house = Interlock(Layout(path.parent.parent), Settings(), database, UlidSource())
        add(house, "meanwhile")
    size, _ = carry(path, postgres_url)
    with closing(PostgresDatabase(postgres_url)) as database:
        house = Interlock(Layout(path.parent.parent), Settings(), database, UlidSource())
        assert [task for _, task in listed(house)] == ["first", "second", "third", "meanwhile"]
        assert StoredLog(database).size() == size + 1


def test_a_copy_on_which_somebody_works_is_not_replaced(path: Path, postgres_url: str) -> None:
    carry(path, postgres_url)
    with closing(PostgresDatabase(postgres_url)) as database:
        add(Interlock(Layout(path.parent.parent), Settings(), database, UlidSource()), "there")
    with pytest.raises(TargetNotEmpty, match="holds this workspace's log already"):
        carry(path, postgres_url)


def test_a_copy_with_a_head_over_its_end_is_not_replaced(path: Path, postgres_url: str) -> None:
    size, _ = carry(path, postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("INSERT INTO tree_head VALUES (%s, 'aa', 5, 'note')", (size + 1,))
    with pytest.raises(TargetNotEmpty):
        carry(path, postgres_url)


# --- the source -------------------------------------------------------------------------------------------------------


def test_nobody_writes_while_it_is_moved_and_everybody_reads(path: Path) -> None:
    with closing(SqliteDatabase(path)) as early, closing(SqliteDatabase(path)) as late:
        with leaving(path):
            house = Interlock(Layout(path.parent.parent), Settings(), late, UlidSource())
            assert len(listed(house)) == 3
            began = time.monotonic()
            with pytest.raises(DatabaseMoving, match="is being moved"):
                add(house, "late")
            assert time.monotonic() - began < 5
        add(Interlock(Layout(path.parent.parent), Settings(), early, UlidSource()), "early")
        assert len(listed(house)) == 4


def test_a_connection_that_was_open_before_is_refused_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def company_is_overlooked(_path: Path) -> None: ...

    monkeypatch.setattr("interlock.storage.sqlite.leaving.check_unused", company_is_overlooked)
    with closing(SqliteDatabase(path)) as database:
        house = Interlock(Layout(path.parent.parent), Settings(), database, UlidSource())
        add(house, "before")
        with leaving(path) as source:
            began = time.monotonic()
            with pytest.raises(DatabaseMoving):
                add(house, "meanwhile")
            assert time.monotonic() - began < 5
            source.seal(4, "aa")
        with pytest.raises(DatabaseMoved, match="was moved to PostgreSQL"):
            add(house, "after")
        with pytest.raises(DatabaseMoved), database.light() as transaction:
            transaction._execute("UPDATE queue_items SET beat = 9", {})  # pyright: ignore[reportPrivateUsage] - any write
        assert len(listed(house)) == 4


def test_two_moves_at_once_are_one(path: Path) -> None:
    with leaving(path), pytest.raises(DatabaseMoving, match="another process"), leaving(path):
        pytest.fail("two hold it")


def test_a_database_that_somebody_keeps_open_is_not_moved(path: Path) -> None:
    with closing(SqliteDatabase(path)) as database:
        with database.read():
            pass
        with pytest.raises(DatabaseInUse, match="in use"):
            check_unused(path, 0.1)
    check_unused(path, 0.1)
