"""A database of an earlier schema is upgraded with every row and every proof, after a backup; reading upgrades nothing.

`recorded/` holds whole databases, as Interlock wrote them when that schema was the newest: a run that is done, one that
waits, a draft, items by hand, one of them claimed, a signed log. What lies between two of them is the earlier one,
brought as far by the migrations that came then.
"""

# ruff: noqa: S608 - the names in every statement are our own tables'

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
import pytest

from interlock.app import Interlock
from interlock.approval.models import DraftStatus
from interlock.evidence.head import open_own_head
from interlock.evidence.note import Verifier
from interlock.evidence.tree import root_of
from interlock.kernel.ids import UlidSource
from interlock.queue.models import Executor
from interlock.runs.models import RunStatus
from interlock.settings import Settings
from interlock.storage.database import Database, latest, migrations
from interlock.storage.evidence import StoredLog
from interlock.storage.postgres.database import PostgresDatabase
from interlock.storage.sqlite.database import SqliteDatabase
from interlock.workspace.layout import Layout
from interlock.workspace.service import make_keys
from tests.conftest import ALICE

RECORDED = {int(path.stem[-2:]): path for path in sorted(Path(__file__).with_name("recorded").glob("schema-*.sql"))}
OLDEST, NEWEST = min(RECORDED), latest("sqlite")
EARLIER = range(OLDEST, NEWEST)
KEPT = ("draft", "approved", "run", "run_step", "run_log", "queue_items", "tree_head", "content", "plan", "acceptance")
"""Whose rows stay what they were, in every column that there was."""
_OURS = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
Rows = Mapping[str, list[dict[str, Any]]]


def recorded(number: int) -> tuple[int, str, Verifier]:
    """Return the recording at or before a schema: its schema, its statements, the key that signed its log."""
    base = max(each for each in RECORDED if each <= number)
    text = RECORDED[base].read_text(encoding="utf-8")
    return base, text, Verifier.parse(text.splitlines()[0].removeprefix("-- key: "))


def _older(path: Path, number: int) -> Verifier:
    """Make a SQLite database of a schema."""
    base, text, key = recorded(number)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(text)
        for each, name, script in migrations("sqlite"):
            if base < each <= number:
                connection.executescript(script)
                connection.execute("INSERT INTO schema_migration VALUES (?, ?, 0)", (each, name))
                connection.execute(f"PRAGMA user_version = {each}")
        connection.execute("PRAGMA journal_mode = WAL")
    return key


def _rows(path: Path) -> Rows:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        names = [row[0] for row in connection.execute(_OURS).fetchall()]
        return {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}").fetchall()] for name in names}


def _schema_of(path: Path) -> int:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _house(database: Database, root: Path) -> Interlock:
    return Interlock(Layout(root), Settings(), database, UlidSource())


def _is_whole(house: Interlock, key: Verifier, events: Sequence[str]) -> None:
    """Hold what today's rooms say against what was recorded: the log, its head, and every thing in its state."""
    log = StoredLog(house.database)
    assert [leaf.decode() for leaf in log.leaves(0, len(events))] == list(events)
    head = log.last_head()
    assert head is not None
    signed = open_own_head(head.note, [key])
    assert root_of(log.leaf_hashes(signed.size)) == signed.root
    runs = {run.status: run for run in house.runs.list()}
    assert runs.keys() == {RunStatus.DONE, RunStatus.PENDING}
    assert [line.msg for line in house.runs.log(runs[RunStatus.DONE].id, limit=1000)]
    assert {draft.status for draft in house.approval.drafts(limit=100)} == {DraftStatus.DRAFT, DraftStatus.APPROVED}
    approved = house.approval.approved(runs[RunStatus.DONE].approved_id)
    assert approved.terms["command"] == ["sh", "-c", "echo more >> README.md"]


def _goes_on(house: Interlock, events: int) -> None:
    """See that the upgraded database takes up work: a draft is approved and run, an item claimed."""
    make_keys(house.layout, StoredLog(house.database).origin(), "alice")
    draft = house.approval.create(ALICE, "after the upgrade")
    run = house.runs.create(ALICE, house.approval.approve(ALICE, draft.id).id)
    assert house.runs.get(run.id).status is RunStatus.PENDING
    with house.queue(ALICE) as queue:
        claimed = queue.claim(Executor.EXTERNAL, "bob")
    assert claimed is not None
    house.database.seal()
    assert StoredLog(house.database).size() > events


def test_there_is_a_recording_and_every_schema_since_is_tried() -> None:
    assert RECORDED
    for number, path in RECORDED.items():
        assert f"PRAGMA user_version = {number};" in path.read_text(), path


@pytest.mark.parametrize("number", EARLIER)
@pytest.mark.proves("install-upgrade")
def test_sqlite_of_an_earlier_schema_is_upgraded_by_the_first_write(tmp_path: Path, number: int) -> None:
    layout = Layout(tmp_path)
    layout.state.mkdir(mode=0o700)
    key, path = _older(layout.database, number), layout.database
    before = _rows(path)
    events = [row["leaf"] for row in before["event"]]
    house = _house(SqliteDatabase(path, wake_folder=layout.wake), tmp_path)
    with closing(house.database):
        _is_whole(house, key, events)
        assert _schema_of(path) == number, "reading upgrades nothing"
        assert not list(layout.state.glob("*.backup"))
        house.approval.create(ALICE, "the first write")
        _kept(before, _rows(path))
        _goes_on(house, len(events))
        assert StoredLog(house.database).leaf_hashes(len(events)) == [row["leaf_hash"] for row in before["event"]]
    backup = layout.state / f"interlock.db.schema-{number}.backup"
    assert _rows(backup) == before
    assert (_schema_of(backup), _schema_of(path)) == (number, NEWEST)
    assert backup.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def _kept(before: Rows, after: Rows) -> None:
    """Assert that every row is there, the same in every column that there still is."""
    for name in KEPT:
        for row in before.get(name, []):
            same = [each for each in after[name] if all(each[key] == row[key] for key in row if key in each)]
            assert len(same) == 1, (name, row)


@pytest.mark.parametrize("number", EARLIER)
@pytest.mark.proves("install-upgrade")
def test_postgresql_of_an_earlier_schema_is_upgraded_by_the_first_connection(
    postgres_url: str, tmp_path: Path, number: int
) -> None:
    _older(tmp_path / "older.db", base := recorded(number)[0])
    before, key = _rows(tmp_path / "older.db"), recorded(number)[2]
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        _migrate(connection, 0, base)
        _fill(connection, before)
        _migrate(connection, base, number)
    events = [row["leaf"] for row in before["event"]]
    house = _house(PostgresDatabase(postgres_url), tmp_path)
    with closing(house.database):
        _is_whole(house, key, events)
        _goes_on(house, len(events))
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute("SELECT array_agg(number ORDER BY number) FROM schema_migration").fetchone()
    assert found == ([each for each, *_ in migrations("postgres")],)


def _migrate(connection: psycopg.Connection, after: int, number: int) -> None:
    for each, name, script in migrations("postgres"):
        if after < each <= number:
            connection.execute(cast("LiteralString", script))
            connection.execute("INSERT INTO schema_migration VALUES (%s, %s, now())", (each, name))


def _fill(connection: psycopg.Connection, rows: Rows) -> None:
    """Put the recorded rows into PostgreSQL's tables of the same schema, each in its place in the log."""
    connection.execute("SET session_replication_role = replica")  # in any order; counts are recorded, too
    columns: dict[str, dict[str, str]] = {}
    for table, column, kind in connection.execute(
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND is_generated = 'NEVER'"
    ).fetchall():
        columns.setdefault(table, {})[column] = kind
    for name in columns.keys() & rows.keys() - {"schema_migration", "event"}:
        connection.execute(f"DELETE FROM {name}".encode())  # what migrations put there
        _put(connection, name, columns[name], rows[name])
    for index, row in enumerate(rows["event"]):
        values = (row["kind"], row["subject"], row["time_ms"], row["leaf"])
        connection.execute(
            "WITH told AS (INSERT INTO event (kind, subject, time_ms, leaf) VALUES (%s, %s, %s, %s) RETURNING event_id)"
            " INSERT INTO leaf SELECT %s, event_id, %s FROM told",
            (*values, index, row["leaf_hash"]),
        )
    for table, column in _identities(connection):
        connection.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'),"
            f" (SELECT COALESCE(MAX({column}), 0) + 1 FROM {table}))".encode()
        )
    connection.execute("SET session_replication_role = origin")


def _put(connection: psycopg.Connection, name: str, columns: Mapping[str, str], rows: list[dict[str, Any]]) -> None:
    for row in rows:
        common = [column for column in row if column in columns]
        values = [_as(columns[each], row[each]) for each in common]
        places = ", ".join(["%s"] * len(common))
        connection.execute(
            f"INSERT INTO {name} ({', '.join(common)}) OVERRIDING SYSTEM VALUE VALUES ({places})".encode(), values
        )


def _as(kind: str, value: object) -> object:
    return bool(value) if kind == "boolean" and value is not None else value


def _identities(connection: psycopg.Connection) -> Iterator[tuple[str, str]]:
    yield from connection.execute(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND is_identity = 'YES'"
    ).fetchall()


def test_a_recording_names_no_table_that_today_s_schema_has_lost_without_a_word() -> None:
    made = set(re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", "".join(each[2] for each in migrations("sqlite"))))
    for path in RECORDED.values():
        old = set(re.findall(r"^CREATE TABLE (?:IF NOT EXISTS )?\"?(\w+)", path.read_text(), re.MULTILINE))
        assert old - made - {"schema_migration", "sqlite_sequence"} == set()
