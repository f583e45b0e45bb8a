"""A transaction on PostgreSQL begins with its first statement and is told of panic together with the answer to it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest

from interlock.access.errors import Frozen
from interlock.kernel.errors import InterlockError
from interlock.kernel.events import Event
from interlock.queue.events import ItemAdded, ItemReleased
from interlock.queue.models import Executor, ItemKind, ItemStatus, NewItem, Taker
from interlock.storage.database import Database, Transaction, kst
from interlock.storage.errors import DatabaseFailed
from interlock.storage.evidence import StoredLog
from interlock.storage.postgres.database import PostgresDatabase
from interlock.storage.queue import StoredItems
from tests.conftest import ALICE, ORIGIN, until

NEW = NewItem(kind=ItemKind.MANUAL, executor=Executor.EXTERNAL, priority="P1", task="sweep", success_criteria="swept")
MORE_THAN_IT_TAKES_TO_PREPARE = 7
ROOT = Path(__file__).resolve().parents[2]
PANIC = "INSERT INTO panic VALUES (1, 'human:alice', 'a rogue agent', 1)"
WAITS_FOR_A_LOCK = (
    "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)
WRITES_AND_IS_INTERRUPTED = """
import signal, sys
from interlock.storage.postgres.database import PostgresDatabase
from tests.conftest import ALICE
from tests.storage.test_conversation import pause, paused
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started us may have it ignored
database = PostgresDatabase(sys.argv[1])
try:
    with database.write(ALICE) as transaction:
        pause(transaction, "not to be seen")
except KeyboardInterrupt:
    print("interrupted", *paused(database))
"""
NOTES_HOW_IT_COMMITS = """
    CREATE TABLE noted (way TEXT);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN INSERT INTO noted VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
    CREATE TRIGGER noting AFTER INSERT OR UPDATE ON queue_pause FOR EACH ROW EXECUTE FUNCTION note();
"""


@pytest.fixture
def postgres(postgres_url: str) -> Generator[PostgresDatabase]:
    """A PostgreSQL database, made and empty."""
    made = PostgresDatabase(postgres_url)
    made.create(ORIGIN)
    yield made
    made.close()


def past(url: str, script: str) -> list[tuple[object, ...]]:
    """Do something to a database that the product does not do, or ask what it does not tell."""
    with psycopg.connect(url, autocommit=True) as connection:
        done = connection.execute(script.encode())
        return done.fetchall() if done.description else []


def pause(transaction: Transaction, reason: str) -> None:
    """Change some state."""
    transaction.run("pause_set", paused_by="human:alice", reason=reason, now=2**53 - 1, until_ms=None)


def paused(database: PostgresDatabase) -> list[str]:
    with database.read() as transaction:
        return [row["reason"] for row in transaction.all("pause_get")]


def added() -> Event:
    return ItemAdded(subject="ORCH-1", item_kind="manual", executor="external", priority="P1", run_id=None)


# --- panic ------------------------------------------------------------------------------------------------------------


def test_a_refusal_that_nobody_minds_lets_nothing_be_committed(postgres: PostgresDatabase, postgres_url: str) -> None:
    past(postgres_url, PANIC)

    def write() -> None:
        with postgres.write(ALICE, calming=None) as transaction:
            transaction.thawed()
            with suppress(Frozen):
                pause(transaction, "not to be seen")
            with suppress(Frozen):
                pause(transaction, "nor this")

    with pytest.raises(Frozen):
        write()
    assert paused(postgres) == []
    past(postgres_url, "DELETE FROM panic")
    write()
    assert paused(postgres) == ["nor this"]


def test_who_asks_for_panic_and_for_nothing_else_is_told_of_it(postgres: PostgresDatabase, postgres_url: str) -> None:
    for _ in range(2):
        with postgres.write(ALICE, calming=None) as transaction:
            transaction.thawed()
        with postgres.read() as transaction:
            transaction.thawed()
    past(postgres_url, PANIC)
    with pytest.raises(Frozen), postgres.write(ALICE, calming=None) as transaction:
        transaction.thawed()
    with pytest.raises(Frozen), postgres.read() as transaction:
        transaction.thawed()


def test_panic_is_asked_for_in_the_midst_of_a_transaction_too(postgres: PostgresDatabase, postgres_url: str) -> None:
    past(postgres_url, PANIC)
    reached: list[str] = []

    def write() -> None:
        with postgres.write(ALICE, calming=None) as transaction:
            pause(transaction, "not to be seen")
            reached.append("the change")
            transaction.emit(added())
            reached.append("the event")

    with pytest.raises(Frozen):
        write()
    assert reached == ["the change"]
    assert paused(postgres) == []


def test_a_transaction_that_is_not_calming_is_refused_before_its_block_begins(
    postgres: PostgresDatabase, postgres_url: str
) -> None:
    past(postgres_url, PANIC)
    reached: list[str] = []
    with pytest.raises(Frozen), postgres.write(ALICE):
        reached.append("the block")
    assert reached == []


def test_who_asked_for_panic_holds_it_off_until_the_end(postgres: PostgresDatabase, postgres_url: str) -> None:
    raising = threading.Thread(target=past, args=(postgres_url, f"BEGIN; LOCK TABLE panic; {PANIC}; COMMIT"))
    with postgres.write(ALICE, calming=None) as transaction:
        transaction.thawed()
        pause(transaction, "seen")
        raising.start()
        until(lambda: past(postgres_url, WAITS_FOR_A_LOCK) == [(1,)])
        transaction.emit(added())
    raising.join()
    assert paused(postgres) == ["seen"]
    assert past(postgres_url, "SELECT COUNT(*) FROM panic") == [(1,)]


def test_who_was_refused_is_refused_again(database: Database) -> None:
    with database.write(ALICE, calming=True) as transaction:
        transaction.run("panic_put", raised_by="human:alice", reason="a rogue agent", since_ms=1)
    with database.read() as transaction:
        transaction.all("pause_get")
        for _ in range(2):
            with pytest.raises(Frozen, match="a rogue agent"):
                transaction.thawed()


# --- its beginning and its end ----------------------------------------------------------------------------------------


def test_a_transaction_inside_another_is_refused_also_before_that_has_said_anything(postgres: PostgresDatabase) -> None:
    with postgres.write(ALICE, calming=None) as transaction:
        with pytest.raises(RuntimeError), postgres.read():
            pass
        pause(transaction, "seen")
    assert paused(postgres) == ["seen"]


def test_nothing_is_committed_behind_a_first_statement_that_failed(postgres: PostgresDatabase) -> None:
    def write(changes: int) -> None:
        with postgres.write(ALICE, calming=None) as transaction:
            with suppress(psycopg.Error):
                transaction.run("item_key_take", key=None, item_id="ORCH-1")
            for _ in range(changes):
                with suppress(psycopg.Error):
                    pause(transaction, "not to be seen")

    for changes in (0, 1, MORE_THAN_IT_TAKES_TO_PREPARE, 0):
        with pytest.raises(DatabaseFailed):
            write(changes)
    with postgres.write(ALICE) as transaction:
        pause(transaction, "seen")
        assert transaction.run("item_key_take", key="k", item_id="ORCH-1") == 1
    assert paused(postgres) == ["seen"]


def test_what_is_undone_in_a_transaction_that_goes_on_is_prepared_again(postgres: PostgresDatabase) -> None:
    for number in range(3):
        with postgres.write(ALICE) as transaction:
            with suppress(psycopg.Error), transaction.attempt():
                transaction.run("item_key_take", key=None, item_id="ORCH-1")
            pause(transaction, str(number))
        assert paused(postgres) == [str(number)]


def test_an_event_that_can_not_be_sent_leaves_nothing_behind_for_the_next_transaction(
    postgres: PostgresDatabase,
) -> None:
    def write(*subjects: str) -> None:
        with postgres.write(ALICE) as transaction:
            for subject in subjects:
                transaction.emit(ItemReleased(subject=subject, fence=1))

    with pytest.raises(InterlockError):
        write("not to be seen", "no database has a \0")
    write("seen")
    assert [event["subject"] for _, event in StoredLog(postgres).events(0, 9)] == ["seen"]


def test_a_question_that_can_not_be_sent_leaves_nothing_behind_for_the_next_transaction(
    postgres: PostgresDatabase,
) -> None:
    with pytest.raises(InterlockError), postgres.read() as transaction:
        transaction.all("item_get", id="no database has a \0")
    with postgres.write(ALICE, calming=None) as transaction:
        pause(transaction, "seen")
    assert paused(postgres) == ["seen"]


def test_of_several_statements_the_one_that_failed_is_told(postgres: PostgresDatabase, postgres_url: str) -> None:
    past(postgres_url, "ALTER TABLE event ADD CONSTRAINT only_three CHECK (subject <> 'four')")
    with pytest.raises(DatabaseFailed, match="only_three"), postgres.write(ALICE) as transaction:
        transaction.emit(ItemReleased(subject="four", fence=1))


def test_an_event_alone_is_a_transaction_also_where_the_clock_is_another(postgres_url: str) -> None:
    with closing(PostgresDatabase(postgres_url, now=lambda: 86_400_000)) as database:
        database.create(ORIGIN)
        with database.write(ALICE, calming=True) as transaction:
            transaction.emit(ItemReleased(subject="ORCH-1", fence=1))
        with database.write(ALICE, calming=True) as transaction:
            StoredItems(transaction).add(NEW)
            item = StoredItems(transaction).claim(Taker(executor=Executor.EXTERNAL, owner_session="w", lease_ms=1))
        assert item is not None
        assert (item.started_ms, item.started_at_kst) == (86_400_000, "1970-01-02 09:00")
        assert [event["time"] for _, event in StoredLog(database).events(0, 9)] == ["1970-01-02T00:00:00.000Z"]


def test_values_come_back_as_they_were_given(postgres: PostgresDatabase) -> None:
    given = "100% of 'quoted' \"words\" \\ :now $1 \u2713 \U0001f600\n"
    with postgres.write(ALICE) as transaction:
        pause(transaction, given)
        transaction.run("content_put", ref="r", salt=bytes(range(256)), body=b"", media_type="", of=None, now=-1)
    with postgres.read() as transaction:
        for _ in range(MORE_THAN_IT_TAKES_TO_PREPARE):
            assert transaction.all("pause_get") == [
                {"paused_by": "human:alice", "reason": given, "since_ms": 2**53 - 1, "until_ms": None}
            ]
    with pytest.raises(InterlockError), postgres.write(ALICE) as transaction:
        pause(transaction, "no database has a \0")
    assert paused(postgres) == [given]


def test_a_claim_its_lease_and_its_event_have_one_instant(postgres: PostgresDatabase) -> None:
    with postgres.write(ALICE) as transaction:
        StoredItems(transaction).add(NEW)
    with postgres.write(ALICE) as transaction:
        item = StoredItems(transaction).claim(Taker(executor=Executor.EXTERNAL, owner_session="w", lease_ms=20_000))
        transaction.emit(ItemReleased(subject="ORCH-1", fence=1))
        now = transaction.now()
    assert item is not None
    assert item.status is ItemStatus.IN_PROGRESS
    assert (item.started_ms, item.lease_until_ms, item.started_at_kst) == (now, now + 20_000, kst(now))
    with postgres.read() as transaction:
        assert [row["time_ms"] for row in transaction.all("sealed_events", start=0, limit=9)] == [now]


def test_events_of_many_megabytes_go_out_while_answers_come_in(postgres: PostgresDatabase) -> None:
    subjects = [f"{number}-" + "x" * 30_000 for number in range(500)]
    with postgres.write(ALICE) as transaction:
        for subject in subjects:
            transaction.emit(ItemReleased(subject=subject, fence=1))
    log = StoredLog(postgres)
    assert [event["subject"] for _, event in log.events(0, 1_000)] == subjects


def test_only_what_may_be_lost_does_not_wait_for_the_disk(postgres: PostgresDatabase, postgres_url: str) -> None:
    past(postgres_url, NOTES_HOW_IT_COMMITS)
    with postgres.write(ALICE) as transaction:
        pause(transaction, "a change")
    with postgres.light() as transaction:
        pause(transaction, "a heartbeat")
    with postgres.write(ALICE, calming=None) as transaction:
        pause(transaction, "a change")
    assert past(postgres_url, "SELECT way FROM noted") == [("on",), ("off",), ("on",)]


# --- the connection ---------------------------------------------------------------------------------------------------


def test_tables_that_another_process_upgrades_fail_one_transaction_at_most(
    postgres: PostgresDatabase, postgres_url: str
) -> None:
    def look() -> None:
        with postgres.read() as transaction:
            transaction.all("item_get", id="ORCH-1")

    for _ in range(MORE_THAN_IT_TAKES_TO_PREPARE):
        look()
    past(postgres_url, "ALTER TABLE queue_items ADD COLUMN later TEXT")
    with suppress(DatabaseFailed):
        look()
    look()


def test_who_interrupts_a_wait_gets_the_thread_back_and_nothing_is_changed(
    postgres: PostgresDatabase, postgres_url: str
) -> None:
    with postgres.write(ALICE) as transaction:
        pause(transaction, "before")
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT 1 FROM queue_pause FOR UPDATE")
        waiting = subprocess.Popen(
            [sys.executable, "-c", WRITES_AND_IS_INTERRUPTED, postgres_url], stdout=subprocess.PIPE, cwd=ROOT
        )
        until(lambda: past(postgres_url, WAITS_FOR_A_LOCK) == [(1,)] or waiting.poll() is not None, 30)
        waiting.send_signal(signal.SIGINT)
        told, _ = waiting.communicate(timeout=30)  # before the lock is free
        assert told.decode().split() == ["interrupted", "before"]
        until(lambda: past(postgres_url, WAITS_FOR_A_LOCK) == [(0,)])
    assert paused(postgres) == ["before"]
