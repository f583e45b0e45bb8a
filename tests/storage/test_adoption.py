"""A queue that earlier tools made is taken over where it lies, whole; what can not be is left byte for byte."""

# ruff: noqa: S608 - the words of every statement are the tests' own

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from interlock.kernel.clock import from_text
from interlock.queue.models import Executor, Filter, Item, ItemStatus
from interlock.storage.database import migrations
from interlock.storage.errors import DatabaseBusy, DatabaseDamaged, DatabaseReadOnly, NotADatabase
from interlock.storage.queue import StoredHistory
from interlock.storage.sqlite import reading
from interlock.storage.sqlite.database import SqliteDatabase
from tests.cli.door import WITHOUT_PRIVILEGES
from tests.conftest import ALICE, ORIGIN
from tests.queue.crowd import queue
from tests.queue.desk import MANUAL

NOON_MS = from_text("2026-11-21T12:00:00.000Z")
NOON = NOON_MS // 1000

ITEMS = """
CREATE TABLE queue_items (
    id TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    priority TEXT NOT NULL,
    task TEXT NOT NULL,
    success_criteria TEXT NOT NULL,
    owner_session TEXT NOT NULL DEFAULT '-',
    started_at_kst TEXT NOT NULL DEFAULT '-',
    due_at_kst TEXT NOT NULL DEFAULT '-',
    notes TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL{more}
);
CREATE INDEX idx_queue_items_status_priority ON queue_items (status, priority);
CREATE INDEX idx_queue_items_updated_at ON queue_items (updated_at);
"""
LATER = """,
    lease_owner TEXT,
    lease_expires_at INTEGER,
    attempt_count INTEGER NOT NULL DEFAULT 0,
    max_attempts INTEGER NOT NULL DEFAULT 3,
    idempotency_key TEXT,
    last_error TEXT NOT NULL DEFAULT ''"""
EVENTS = """
CREATE TABLE queue_events (
    event_id INTEGER PRIMARY KEY AUTOINCREMENT,
    item_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    payload_json TEXT NOT NULL,
    created_at TEXT NOT NULL,
    FOREIGN KEY (item_id) REFERENCES queue_items (id) ON DELETE CASCADE
);
"""
FULL = (
    ITEMS.format(more=LATER)
    + EVENTS
    + """
CREATE INDEX idx_queue_items_lease ON queue_items (lease_expires_at);
CREATE INDEX idx_queue_items_idempotency ON queue_items (idempotency_key);
"""
)
OLDER = ITEMS.format(more="")
BASE = "id, status, priority, task, success_criteria, created_at, updated_at"
TIMES = "'2026-11-20 09:00', '2026-11-21 10:30'"


def row(name: str, status: str = "PENDING", priority: str = "P1", **more: object) -> str:
    names, values = ["", *more], ["", *(repr(value) for value in more.values())]
    return (
        f"INSERT INTO queue_items ({BASE}{', '.join(names)})"
        f" VALUES ('{name}', '{status}', '{priority}', '일 {name}', 'it is done', {TIMES}{', '.join(values)});\n"
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


def made(path: Path, script: str) -> bytes:
    """Make a database as those tools do; returns the file's bytes."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path.read_bytes()


@contextmanager
def adopted(path: Path) -> Generator[SqliteDatabase]:
    database = SqliteDatabase(path, now=lambda: NOON_MS)
    try:
        database.create(ORIGIN)
        yield database
    finally:
        database.close()


def items(database: SqliteDatabase) -> dict[str, Item]:
    with database.read() as transaction:
        return {item.id: item for item in queue(transaction).list(Filter(), limit=10_000)}


def claimed(database: SqliteDatabase) -> list[str]:
    found: list[str] = []
    with database.write(ALICE) as transaction:
        while (item := queue(transaction).claim(Executor.EXTERNAL, "w")) is not None:
            found.append(item.id)
    return found


def told(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(statement).fetchall()


def refused(path: Path, kind: type[Exception], words: str) -> None:
    """Be refused with these words, and leave the file and its folder as they were."""
    before, content = sorted(path.parent.iterdir()), path.read_bytes()
    with pytest.raises(kind) as caught, adopted(path):
        pass
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content
    assert sorted(path.parent.iterdir()) == before


# --- what is taken over -----------------------------------------------------------------------------------------------


def test_every_row_and_every_word_of_a_whole_queue_is_kept(path: Path) -> None:
    script = (
        FULL
        + row(
            "ORCH-012",
            "DONE",
            "P0",
            owner_session="ada",
            started_at_kst="2026-11-20 10:00",
            notes="a | b",
            attempt_count=2,
        )
        + row("ORCH-013", "FAILED", last_error="boom", max_attempts=5, idempotency_key="mail-1")
        + row("손-1", "BLOCKED", "P9")
        + row("ORCH-014", idempotency_key="mail-1")
        + row("ORCH-015", "PENDING", "P0", due_at_kst="2026-12-01 00:00")
        + "INSERT INTO queue_events (item_id, event_type, payload_json, created_at)"
        " VALUES ('ORCH-012', 'done', '{\"notes\": \"끝\"}', '2026-11-20 11:00'), ('nobody', 'guardrail', '{}', 'x');"
    )
    made(path, script)
    columns = ", ".join(str(name) for _, name, *_ in told(path, "PRAGMA table_info(queue_items)"))
    everything = f"SELECT {columns} FROM queue_items ORDER BY id"
    before, events = told(path, everything), told(path, "SELECT * FROM queue_events")
    with adopted(path) as database:
        assert told(path, everything) == before
        assert told(path, "SELECT * FROM queue_events") == events
        found = items(database)
        assert list(found) == ["ORCH-012", "ORCH-015", "ORCH-013", "ORCH-014", "손-1"], "by priority, then by age"
        done = found["ORCH-012"]
        assert (done.created_ms, done.started_ms) == (
            from_text("2026-11-20T00:00:00.000Z"),
            from_text("2026-11-20T01:00:00.000Z"),
        )
        assert claimed(database) == ["ORCH-015", "ORCH-014"]
        with database.read() as transaction:
            assert queue(transaction).counts() == {"PENDING": 0, "IN_PROGRESS": 2, "BLOCKED": 1, "FAILED": 1, "DONE": 1}
            assert queue(transaction).store.retries() == 0
    assert told(path, "PRAGMA integrity_check") == [("ok",)]


def test_the_backup_is_what_was_there_and_only_its_owner_may_read_it(path: Path) -> None:
    made(path, FULL + row("ORCH-001", "BLOCKED"))
    with adopted(path):
        pass
    backup = path.with_name("queue.db.schema-0.backup")
    assert told(backup, "SELECT id, status FROM queue_items") == [("ORCH-001", "BLOCKED")]
    assert told(backup, "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'") == [(3,)]
    assert backup.stat().st_mode & 0o777 == 0o600


def test_a_queue_that_knew_no_leases_and_no_history_is_given_them(path: Path) -> None:
    made(
        path,
        OLDER
        + row("ORCH-001")
        + row("ORCH-002", "IN_PROGRESS", owner_session="ada", started_at_kst="2026-11-21 20:59"),
    )
    with adopted(path) as database:
        found = items(database)
        assert (found["ORCH-001"].attempt_count, found["ORCH-001"].max_attempts, found["ORCH-001"].last_error) == (
            0,
            3,
            "",
        )
        held = found["ORCH-002"]
        assert (held.owner_session, held.lease_until_ms, held.started_ms) == ("ada", None, NOON_MS - 60_000)
        assert claimed(database) == ["ORCH-001"]
        StoredHistory(database).keep_up()
    assert told(path, "SELECT item_id, event_type FROM queue_events") == [("ORCH-001", "picked")]


def test_the_history_goes_on_where_it_ended(path: Path) -> None:
    made(
        path,
        FULL
        + row("ORCH-001")
        + "INSERT INTO queue_events VALUES (41, 'ORCH-001', 'added', '{}', 'x');"
        + "INSERT INTO queue_events VALUES (42, 'ORCH-001', 'retried', '{}', 'x');",
    )
    with adopted(path) as database:
        assert claimed(database) == ["ORCH-001"]
        with database.read() as transaction:
            assert queue(transaction).store.retries() == 1
        StoredHistory(database).keep_up()
    assert told(path, "SELECT event_id, event_type FROM queue_events") == [
        (41, "added"),
        (42, "retried"),
        (43, "picked"),
    ]


def test_leases_hold_as_long_as_they_were_given_and_only_for_what_is_under_way(path: Path) -> None:
    made(
        path,
        FULL
        + row("live", "IN_PROGRESS", owner_session="ada", lease_owner="ada", lease_expires_at=NOON + 60)
        + row("ended", "IN_PROGRESS", owner_session="bob", lease_owner="bob", lease_expires_at=NOON - 60)
        + row("forgotten", "DONE", owner_session="cyd", lease_owner="cyd", lease_expires_at=NOON + 60)
        + row("odd", "IN_PROGRESS", owner_session="dan", lease_owner="dan", lease_expires_at="soon")
        + row("real", "IN_PROGRESS", owner_session="eve", lease_owner="eve", lease_expires_at=NOON + 0.5)
        + row("pending", lease_owner="fay", lease_expires_at=NOON + 60),
    )
    with adopted(path) as database:
        untils = {name: item.lease_until_ms for name, item in items(database).items()}
        assert untils == {
            "live": NOON_MS + 60_000,
            "ended": NOON_MS - 60_000,
            "forgotten": None,
            "odd": None,
            "real": NOON_MS,
            "pending": None,
        }
        with database.write(ALICE) as transaction:
            assert queue(transaction).renew("ada") == {"live": 0}
            lost = {item.id: reason for item, reason in queue(transaction).lost()}
            assert lost == {"ended": "lease_expired", "real": "lease_expired", "odd": "stale"}
            assert queue(transaction).retry("ended").attempt_count == 1
        assert claimed(database) == ["pending"]


def test_a_retry_that_was_told_to_wait_waits(path: Path) -> None:
    """Those tools wrote the marker, and none of them ever kept to it."""
    soon, past = f"retry_not_before={NOON + 60}", f"retry_not_before={NOON - 60}"
    made(
        path,
        FULL
        + row("waits", notes=f"x | {past} | {soon}")
        + row("due", notes=f"{soon} | {past}")
        + row("failed", "FAILED", notes=soon),
    )
    with adopted(path) as database:
        assert items(database)["waits"].not_before_ms == NOON_MS + 60_000
        assert claimed(database) == ["due"]
        assert items(database)["failed"].not_before_ms is None


def test_the_oldest_goes_first_in_whatever_order_the_rows_were_written(path: Path) -> None:
    made(path, FULL + row("late") + row("early") + row("also late"))
    made(path, "UPDATE queue_items SET created_at = '2026-11-19 09:00' WHERE id = 'early'")
    with adopted(path) as database:
        assert claimed(database) == ["early", "late", "also late"]


def test_numbers_go_on_behind_the_highest_that_a_queue_could_have(path: Path) -> None:
    names = ("ORCH-041", "ORCH-7", "ORCH-" + "9" * 25, "ORCH-12x", "orch-99")
    made(path, FULL + "".join(row(name, "BLOCKED") for name in names))
    with adopted(path) as database, database.write(ALICE) as transaction:
        assert queue(transaction).add(MANUAL).id == "ORCH-042"


def test_an_idempotency_key_that_was_used_twice_is_the_older_item_s(path: Path) -> None:
    made(path, FULL + row("first", "BLOCKED", idempotency_key="k") + row("second", idempotency_key="k"))
    with adopted(path):
        pass
    assert told(path, "SELECT key, item_id FROM item_key") == [("k", "first")]


def test_columns_tables_and_values_that_are_unknown_are_kept(path: Path) -> None:
    loose = ITEMS.format(more=", extra TEXT").replace("notes TEXT NOT NULL DEFAULT ''", "notes TEXT")
    made(path, loose + row("a", extra="kept") + "CREATE TABLE other (x); INSERT INTO other VALUES (7);")
    with adopted(path) as database:
        assert (items(database)["a"].notes, claimed(database)) == ("", ["a"])
    assert told(path, "SELECT extra FROM queue_items") == [("kept",)]
    assert told(path, "SELECT x FROM other") == [(7,)]


def test_values_of_odd_types_are_read_as_what_they_stand_for(path: Path) -> None:
    odd = "max_attempts = 'many', notes = x'ec9d8c', started_at_kst = 'yesterday', created_at = ''"
    made(path, FULL + row("a", attempt_count="2") + f"UPDATE queue_items SET {odd};")
    with adopted(path) as database:
        item = items(database)["a"]
        assert (item.attempt_count, item.max_attempts, item.notes) == (2, 0, "음")
        assert (item.started_ms, item.created_ms) == (None, NOON_MS)


def test_an_empty_queue_and_an_empty_file_become_an_empty_queue(tmp_path: Path) -> None:
    made(tmp_path / "a.db", FULL)
    (tmp_path / "b.db").touch()
    for name in ("a.db", "b.db"):
        with adopted(tmp_path / name) as database:
            assert items(database) == {}
    assert not (tmp_path / "b.db.schema-0.backup").exists()


def test_a_queue_that_was_adopted_is_not_adopted_again(path: Path) -> None:
    made(path, FULL + row("a", notes="x"))
    with adopted(path) as database:
        assert claimed(database) == ["a"]
    before = told(path, "SELECT * FROM queue_items")
    backup = path.with_name("queue.db.schema-0.backup").read_bytes()
    with adopted(path) as database:
        assert database.create(ORIGIN) is False
        assert items(database)["a"].status is ItemStatus.IN_PROGRESS
    assert told(path, "SELECT * FROM queue_items") == before
    assert path.with_name("queue.db.schema-0.backup").read_bytes() == backup


def test_the_old_tool_can_go_on_reading_and_writing(path: Path) -> None:
    """It names its columns; ours have defaults. What it adds is seen, though no event tells of it."""
    made(path, FULL + row("ORCH-001"))
    with adopted(path) as database:
        made(path, row("ORCH-002", "BLOCKED") + "UPDATE queue_items SET status = 'DONE' WHERE id = 'ORCH-001';")
        assert {name: item.status.value for name, item in items(database).items()} == {
            "ORCH-001": "DONE",
            "ORCH-002": "BLOCKED",
        }
        with database.read() as transaction:
            assert queue(transaction).counts()["BLOCKED"] == 1


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            FULL + row("a") + row("b", "PAUSED"),
            "the item 'b' has the unknown status 'PAUSED', which is none of PENDING,",
        ),
        (FULL + row("a", "pending"), "the item 'a' has the unknown status 'pending'"),
        (FULL + row("a") + "UPDATE queue_items SET id = NULL;", "an item has None for its id, which is no text"),
        (OLDER.replace("notes TEXT", "memo TEXT"), "was not made by Interlock"),
        ("CREATE TABLE customers (name TEXT);", "was not made by Interlock"),
        (EVENTS, "was not made by Interlock"),
        (FULL.replace("id TEXT PRIMARY KEY", "id TEXT"), "the id is not what queue_items is ordered by"),
        (ITEMS.format(more="").replace("\n);", "\n) WITHOUT ROWID;"), "the id is not what queue_items is ordered by"),
        (ITEMS.format(more=", kind TEXT"), "it has a kind of its own, a name that is needed here"),
        (FULL + "CREATE TABLE Plan (x);", "it has a plan of its own, a name that is needed here"),
        (FULL + "CREATE VIEW sealed AS SELECT 1;", "it has a sealed of its own, a name that is needed here"),
        (FULL + "CREATE TABLE schema_migration (x);", "it has a schema_migration of its own"),
        (
            ITEMS.format(more=", team TEXT NOT NULL"),
            "queue_items has the column team, which is unknown here and must have a value",
        ),
        (
            ITEMS.format(more="") + "CREATE TABLE queue_events (item_id TEXT, what TEXT);",
            "queue_events has not the columns",
        ),
        (
            FULL.replace("payload_json TEXT NOT NULL,", "payload_json TEXT NOT NULL, by TEXT NOT NULL,"),
            "the column by,",
        ),
    ],
)
def test_a_queue_that_could_not_be_carried_on_is_left_byte_for_byte(path: Path, script: str, words: str) -> None:
    made(path, script)
    refused(path, NotADatabase, words)


def test_what_is_no_database_or_a_damaged_one_is_left_byte_for_byte(path: Path) -> None:
    path.write_bytes(b"| id | status | priority | task |\n" * 200)
    refused(path, NotADatabase, "is not a database")
    content = made(path.with_name("whole.db"), FULL + "".join(row(f"ORCH-{number}") for number in range(500)))
    path.with_name("whole.db").unlink()
    path.write_bytes(content[: len(content) // 2])
    refused(path, DatabaseDamaged, "is damaged")


def test_a_queue_that_another_process_is_writing_is_waited_for_and_then_left(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PATIENCE_SECONDS", 0.2)
    made(path, FULL + row("ORCH-001"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        for lock in ("BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"):
            content = path.read_bytes()
            other.execute(lock)
            with pytest.raises(DatabaseBusy), adopted(path):
                pass
            other.execute("ROLLBACK")
            assert path.read_bytes() == content
            assert [each.name for each in path.parent.iterdir()] == ["queue.db"]
    with adopted(path) as database:
        assert claimed(database) == ["ORCH-001"]


ADOPT = """
import os, signal, sys
from pathlib import Path
from interlock.storage.sqlite import adoption
from interlock.storage.sqlite.database import SqliteDatabase

def dies(at):
    def die(*given):
        at(*given)
        os.kill(os.getpid(), signal.SIGKILL)
    return die

if "backed up" in sys.argv:
    SqliteDatabase._back_up = dies(SqliteDatabase._back_up)
if "half done" in sys.argv:
    adoption.finish = dies(adoption.finish)
try:
    SqliteDatabase(Path(sys.argv[1])).create("interlock.test/log")
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def elsewhere(path: Path, *words: str, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Adopt in a process of its own."""
    command = [*prefix, sys.executable, "-c", ADOPT, str(path), *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_queue_where_nothing_can_be_written_is_left_byte_for_byte(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    path = folder / "queue.db"
    content = made(path, FULL + row("ORCH-001"))
    closed, mode = (path, 0o444) if what == "file" else (folder, 0o555)
    before = closed.stat().st_mode
    closed.chmod(mode)
    try:
        process = elsewhere(path, prefix=WITHOUT_PRIVILEGES)
        _, words = process.communicate(timeout=20)
    finally:
        closed.chmod(before)
    assert process.returncode == 1
    assert words.startswith(DatabaseReadOnly.__name__), words
    assert path.read_bytes() == content
    assert told(path, "SELECT id FROM queue_items") == [("ORCH-001",)]


def test_four_processes_that_adopt_at_once_adopt_once(path: Path) -> None:
    made(path, FULL + "".join(row(f"ORCH-{number:03d}") for number in range(1, 300)))
    processes = [elsewhere(path) for _ in range(4)]
    assert [process.communicate(timeout=30)[1] for process in processes] == [""] * 4
    assert told(path, "SELECT COUNT(*), SUM(claimable) FROM queue_items") == [(299, 299)]
    assert told(path, "SELECT number FROM schema_migration") == [(number,) for number, *_ in migrations("sqlite")]
    assert told(path.with_name("queue.db.schema-0.backup"), "SELECT COUNT(*) FROM queue_items") == [(299,)]


@pytest.mark.parametrize("moment", ["backed up", "half done"])
def test_one_that_is_killed_while_it_adopts_leaves_the_queue_as_it_was(path: Path, moment: str) -> None:
    made(path, FULL + "".join(row(f"ORCH-{number:03d}", notes="x" * 200) for number in range(1, 400)))
    before = told(path, "SELECT * FROM queue_items")
    killed = elsewhere(path, moment)
    killed.communicate(timeout=20)
    assert killed.returncode == -9
    assert told(path, "SELECT * FROM queue_items") == before
    assert told(path, "PRAGMA user_version") == [(0,)]
    with adopted(path) as database:
        assert len(items(database)) == 399
    assert told(path, "PRAGMA integrity_check") == [("ok",)]
