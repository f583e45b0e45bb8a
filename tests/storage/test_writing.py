"""How a transaction ends: whole or not at all, told truly; and how soon its events have their places in the tree."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from interlock.evidence.tree import Frontier
from interlock.kernel.errors import Unreachable
from interlock.kernel.events import Event, to_leaf
from interlock.queue.events import ItemReleased
from interlock.storage.database import Database, Transaction
from interlock.storage.errors import DatabaseFailed
from interlock.storage.evidence import StoredLog
from interlock.storage.postgres.database import PostgresDatabase
from interlock.storage.sqlite.database import SqliteDatabase
from tests.conftest import ALICE, ORIGIN, until

HOLD_SEQUENCERS = "SELECT pg_advisory_xact_lock(1229736706)"
MORE_THAN_IT_TAKES_TO_PREPARE = 12


@dataclass(frozen=True, kw_only=True)
class FileChanged(Event):
    """What is told once for each key."""

    kind = "test.file_changed"


@pytest.fixture
def postgres(postgres_url: str) -> Generator[PostgresDatabase]:
    """A PostgreSQL database, made and empty."""
    made = PostgresDatabase(postgres_url)
    made.create(ORIGIN)
    yield made
    made.close()


def released(subject: str = "ORCH-1") -> Event:
    return ItemReleased(subject=subject, fence=1)


def tell(database: Database, *events: Event) -> None:
    with database.write(ALICE) as transaction:
        for event in events:
            transaction.emit(event)


def pause(transaction: Transaction, reason: str) -> None:
    """Change some state."""
    transaction.run("pause_set", paused_by="human:alice", reason=reason, now=1, until_ms=None)


def paused(database: Database) -> list[str]:
    with database.read() as transaction:
        return [row["reason"] for row in transaction.all("pause_get")]


def sealed(database: Database) -> list[str]:
    """Return the subjects in the log, as far as it is sealed, having made sure that it is whole."""
    log = StoredLog(database)
    frontier = log.frontier()
    assert frontier == Frontier().extend(log.leaf_hashes(frontier.size))
    return [event["subject"] for _, event in log.events(0, frontier.size)]


def past(place: Path | str, script: str) -> None:
    """Do something to a database that the product does not do."""
    if isinstance(place, Path):
        with closing(sqlite3.connect(place)) as connection:
            connection.executescript(script)
    else:
        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute(script.encode())


REFUSING = {
    ("sqlite", "at once"): """
        CREATE TRIGGER refusing BEFORE INSERT ON event WHEN NEW.subject = 'refused'
        BEGIN SELECT RAISE(ABORT, 'refused'); END;
    """,
    ("sqlite", "at the commit"): """
        CREATE TABLE refusal (item TEXT REFERENCES queue_items (id) DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER refusing AFTER INSERT ON event WHEN NEW.subject = 'refused'
        BEGIN INSERT INTO refusal VALUES ('nobody'); END;
    """,
    ("postgres", "at once"): "ALTER TABLE event ADD CONSTRAINT refusing CHECK (subject <> 'refused')",
    ("postgres", "at the commit"): """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
        CREATE CONSTRAINT TRIGGER refusing AFTER INSERT ON event DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW WHEN (NEW.subject = 'refused') EXECUTE FUNCTION refuse();
    """,
}
"""What has a database refuse events about one subject, by the kind of database and the moment."""
CUT_EVERYBODY_OFF = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def test_many_events_of_one_transaction_are_logged_in_the_order_in_which_they_were_told(database: Database) -> None:
    told = [f"ORCH-{number}" for number in range(700)]
    tell(database, *map(released, told))
    assert sealed(database) == told


def test_a_key_is_logged_once_whether_it_comes_again_at_once_or_later(database: Database) -> None:
    keyed = [FileChanged(subject=subject, key=key) for subject, key in (("a", "1"), ("b", "2"), ("c", "1"))]
    tell(database, keyed[0], released(), keyed[1], keyed[2])
    tell(database, *reversed(keyed))
    tell(database, FileChanged(subject="d", key="3"), released("ORCH-2"))
    assert sealed(database) == ["a", "ORCH-1", "b", "d", "ORCH-2"]


@pytest.mark.parametrize("moment", ["at once", "at the commit"])
@pytest.mark.parametrize("others", [(), ("ORCH-1",), ("ORCH-1", "ORCH-2")])
def test_an_event_that_can_not_be_written_takes_the_state_with_it_and_leaves_no_trace(
    database: Database, request: pytest.FixtureRequest, moment: str, others: Sequence[str]
) -> None:
    if isinstance(database, SqliteDatabase):
        past(database.path, REFUSING["sqlite", moment])
    else:
        past(request.getfixturevalue("ready_postgres_url"), REFUSING["postgres", moment])

    def write(*subjects: str) -> None:
        with database.write(ALICE) as transaction:
            pause(transaction, subjects[-1])
            for subject in subjects:
                transaction.emit(released(subject))

    told = [f"ORCH-{number}" for number in range(10, 10 + MORE_THAN_IT_TAKES_TO_PREPARE)]
    write("ORCH-1")
    for before, subject in zip(("ORCH-1", *told), told, strict=False):
        with pytest.raises(DatabaseFailed):
            write(*others, "refused")
        assert paused(database) == [before]
        write(subject)
    assert sealed(database) == ["ORCH-1", *told]


def test_a_transaction_inside_another_of_its_thread_is_refused_and_the_other_goes_on(database: Database) -> None:
    with database.write(ALICE) as transaction:
        pause(transaction, "seen")
        with pytest.raises((RuntimeError, DatabaseFailed)), database.write(ALICE):
            pass
        transaction.emit(released())
    assert paused(database) == ["seen"]
    assert sealed(database) == ["ORCH-1"]


def test_what_another_process_logged_meanwhile_is_not_forgotten(tmp_path: Path) -> None:
    mine, other = (SqliteDatabase(tmp_path / "queue.db") for _ in range(2))
    mine.create(ORIGIN)
    for database, subject in ((mine, "1"), (other, "2"), (other, "3"), (mine, "4"), (mine, "5"), (other, "6")):
        tell(database, released(subject))
    assert sealed(mine) == ["1", "2", "3", "4", "5", "6"]
    for database in (mine, other):
        database.close()


def test_a_key_leads_to_its_event(tmp_path: Path) -> None:
    with closing(SqliteDatabase(tmp_path / "queue.db")) as database:
        database.create(ORIGIN)
        keyed = [FileChanged(subject=f"of {key}", key=key) for key in "abc"]
        tell(database, released(), keyed[0], released(), keyed[0], keyed[1])
        tell(database, keyed[1], released(), keyed[2])
    found = "SELECT key, subject FROM event_key JOIN event USING (leaf_index) ORDER BY key"
    with closing(sqlite3.connect(tmp_path / "queue.db")) as connection:
        assert connection.execute(found).fetchall() == [("a", "of a"), ("b", "of b"), ("c", "of c")]


def test_tables_that_another_process_upgrades_are_read_on(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    with closing(SqliteDatabase(path)) as database:
        database.create(ORIGIN)
        for reason in ("before", "after"):
            with database.write(ALICE) as transaction:
                transaction.run("panic_clear")
                transaction.run("panic_put", raised_by="human:alice", reason=reason, since_ms=1)
                (row,) = transaction.all("panic_get")
                assert row["reason"] == reason
                transaction.run("panic_clear")
            past(path, "ALTER TABLE panic ADD COLUMN later TEXT" if reason == "before" else "")


@pytest.mark.parametrize("events", [(), (released(),)])
def test_nothing_is_committed_behind_a_statement_that_failed_though_nobody_minded(
    postgres: PostgresDatabase, events: Sequence[Event]
) -> None:
    def write() -> None:
        with postgres.write(ALICE) as transaction:
            pause(transaction, "not to be seen")
            with suppress(psycopg.Error):
                transaction.run("item_key_take", key=None, item_id="ORCH-1")
            for event in events:
                transaction.leaves.append(to_leaf(event, principal="human:alice", correlation_id=None, time_ms=1))

    with pytest.raises(DatabaseFailed):
        write()
    assert paused(postgres) == []
    tell(postgres, released("ORCH-2"))
    assert sealed(postgres) == ["ORCH-2"]


@pytest.mark.parametrize("events", [(), (released(),)])
def test_a_connection_that_is_cut_in_the_middle_undoes_and_the_next_transaction_has_a_new_one(
    postgres: PostgresDatabase, postgres_url: str, events: Sequence[Event]
) -> None:
    def write() -> None:
        with postgres.write(ALICE) as transaction:
            pause(transaction, "not to be seen")
            for event in events:
                transaction.emit(event)
            past(postgres_url, CUT_EVERYBODY_OFF)

    with pytest.raises(Unreachable):
        write()
    assert paused(postgres) == []
    tell(postgres, released("ORCH-2"))
    assert sealed(postgres) == ["ORCH-2"]


def test_a_transaction_has_one_instant_and_it_is_the_servers(postgres: PostgresDatabase, postgres_url: str) -> None:
    clock = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    with psycopg.connect(postgres_url, autocommit=True) as other:
        (before,) = other.execute(clock).fetchone() or (0,)
        with postgres.write(ALICE) as transaction:
            first = transaction.now()
            transaction.all("pause_get")
            (after,) = other.execute(clock).fetchone() or (0,)
            time.sleep(0.005)
            assert transaction.now() == first
    assert before <= first <= after + 1


def test_what_fails_behind_the_commit_does_not_make_it_look_undone(
    postgres: PostgresDatabase, postgres_url: str
) -> None:
    past(postgres_url, "ALTER TABLE log_state RENAME TO log_state_away")
    with postgres.write(ALICE) as transaction:
        pause(transaction, "seen")
        transaction.emit(released())
    past(postgres_url, "ALTER TABLE log_state_away RENAME TO log_state")
    assert paused(postgres) == ["seen"]
    assert postgres.seal() == 1
    assert sealed(postgres) == ["ORCH-1"]


@contextmanager
def other_sequencer(url: str, seconds: float) -> Generator[None]:
    """Have another sequencer take its turn, and end it after so many seconds."""
    with psycopg.connect(url) as other:
        other.execute(HOLD_SEQUENCERS.encode())
        ending = threading.Timer(seconds, other.commit)
        ending.start()
        try:
            yield
        finally:
            ending.cancel()
            ending.join()


def test_who_commits_while_another_seals_waits_for_its_turn_and_is_sealed(
    postgres: PostgresDatabase, postgres_url: str
) -> None:
    with other_sequencer(postgres_url, 0.2):
        tell(postgres, released())
        assert sealed(postgres) == ["ORCH-1"]


def test_a_seal_that_gave_up_waiting_leaves_what_the_connection_has_prepared(
    postgres: PostgresDatabase, postgres_url: str
) -> None:
    for number in range(MORE_THAN_IT_TAKES_TO_PREPARE):
        tell(postgres, released(f"ORCH-{number}"))
        assert len(sealed(postgres)) == number + 1
    with other_sequencer(postgres_url, 60.0):
        tell(postgres, released("unsealed"))
        assert postgres.seal() == 0
        tell(postgres, released("unsealed, too"))
    assert postgres.seal() == 2
    assert sealed(postgres)[-2:] == ["unsealed", "unsealed, too"]


def test_a_sequencer_that_hangs_holds_nobody_up_for_long_and_loses_nothing(
    postgres: PostgresDatabase, postgres_url: str
) -> None:
    with other_sequencer(postgres_url, 60.0):
        began = time.monotonic()
        tell(postgres, released())
        assert 0.5 < time.monotonic() - began < 10
        assert sealed(postgres) == []
    tell(postgres, released("ORCH-2"))
    assert sealed(postgres) == ["ORCH-1", "ORCH-2"]


def test_a_process_that_seals_in_the_background_has_its_events_sealed_soon_and_all_at_its_end(
    database: Database,
) -> None:
    with database.sealing():
        began = time.monotonic()
        for number in range(1, 11):
            tell(database, released(str(number)))
            until(lambda: len(sealed(database)) == number)  # noqa: B023 - called at once
        assert time.monotonic() - began < 5, "it did not look when it was told, but once a second"
        for number in range(11, 30):
            tell(database, released(str(number)))
    assert sealed(database) == [str(number) for number in range(1, 30)]
    tell(database, released("30"))
    assert len(sealed(database)) == 30


def test_a_sequencer_goes_on_when_the_database_comes_back(postgres: PostgresDatabase, postgres_url: str) -> None:
    with postgres.sealing():
        tell(postgres, released("1"))
        until(lambda: sealed(postgres) == ["1"])
        past(postgres_url, CUT_EVERYBODY_OFF)
        with pytest.raises(Unreachable):
            tell(postgres, released("lost with its connection"))
        tell(postgres, released("2"))
        until(lambda: sealed(postgres) == ["1", "2"])


def test_what_others_could_not_seal_any_more_is_sealed_by_who_lives(
    postgres: PostgresDatabase, postgres_url: str
) -> None:
    with closing(PostgresDatabase(postgres_url, seal_after_commit=False)) as dying:
        tell(dying, released("left behind"))
    assert sealed(postgres) == []
    with postgres.sealing():
        until(lambda: sealed(postgres) == ["left behind"])
