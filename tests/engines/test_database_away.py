"""A database that goes away and comes back costs a run nothing but time."""

from __future__ import annotations

import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from interlock.runs.models import Run, RunStatus
from tests.conftest import until
from tests.engines.world import LEASE_SECONDS, PATIENCE_SECONDS, World

ON_POSTGRES = pytest.mark.parametrize("world", ["postgres"], indirect=True)
LINES = [f"line {number}" for number in range(1, 51)]
TALKATIVE = "for i in $(seq 50); do echo line $i; sleep 0.1; done; echo done > effect.txt"


@contextmanager
def away(world: World, server: str) -> Generator[None]:
    """Let the server refuse this database, and cut every connection to it."""
    name = urlsplit(world.database_url).path.removeprefix("/")
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        try:
            yield
        finally:
            admin.execute(allow.format(sql.Identifier(name), sql.SQL("true")))
    world.house.database.close()


def assert_finished_once(world: World, run: Run) -> None:
    done = world.wait_for(run, seconds=15)
    assert (done.status, done.attempt) == (RunStatus.DONE, 1), world.story(run)
    for kind in ("run.started", "run.agent_started", "run.done"):
        assert world.fences(run, kind) == [1], world.story(run)
    assert [told["step"] for told in world.events(run, "run.step_completed")] == [
        "prepare",
        "agent",
        "collect",
        "verify",
    ]
    assert world.patch(run).count("+done\n") == 1
    assert world.verified().uncovered == 0


@ON_POSTGRES
def test_a_database_that_is_away_while_the_agent_works_costs_neither_an_attempt_nor_a_line(
    world: World, postgres_server: str
) -> None:
    run = world.create(TALKATIVE)
    first = world.worker()
    world.wait_for_line(run, LINES[2])
    second = world.worker()
    until(lambda: _listeners(world, postgres_server) == 2, 20)
    with away(world, postgres_server):
        time.sleep(LEASE_SECONDS + 1)  # how long it is away is what this is about
        first.signal(signal.SIGSTOP)
    until(lambda: _listeners(world, postgres_server) == 1, 10)  # the idle one is back first, and must not judge yet
    first.signal(signal.SIGCONT)

    assert_finished_once(world, run)
    assert world.log(run, "stdout") == LINES
    assert first.is_there(), first.words()
    assert second.is_there(), second.words()


def _listeners(world: World, server: str) -> int:
    """Return how many workers listen."""
    name = urlsplit(world.database_url).path.removeprefix("/")
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND query LIKE 'LISTEN%%'"
    with psycopg.connect(server) as admin:
        row = admin.execute(query, (name,)).fetchone()
    return row[0] if row else 0


@ON_POSTGRES
@pytest.mark.parametrize("point", ["prepare.made", "finish.begun"])
def test_a_database_that_is_away_when_a_step_is_to_be_written_gets_it_later(
    world: World, postgres_server: str, point: str
) -> None:
    run = world.create("echo done > effect.txt", checks=["true"])
    worker = world.worker(stop_at=point)
    worker.wait_until_it_stands()
    with away(world, postgres_server):
        worker.go_on()
        time.sleep(1)  # as above

    assert_finished_once(world, run)
    assert worker.is_there(), worker.words()


@ON_POSTGRES
@pytest.mark.parametrize("kind", ["run.started", "run.agent_started", "run.step_completed", "run.done"])
def test_a_connection_that_breaks_right_after_a_commit_makes_nothing_happen_twice(world: World, kind: str) -> None:
    run = world.create("echo done > effect.txt", checks=["true"])
    with psycopg.connect(world.database_url, autocommit=True) as connection:
        connection.execute("CREATE SEQUENCE broken")  # a sequence does not forget when its transaction is undone
        connection.execute(
            "CREATE FUNCTION break_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF EXISTS (SELECT 1 FROM event WHERE event_id = NEW.event_id AND kind = TG_ARGV[0])"
            " AND nextval('broken') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;"
            " RETURN NEW; END $$"
        )
        connection.execute(
            sql.SQL(
                "CREATE TRIGGER break_once BEFORE INSERT ON leaf FOR EACH ROW EXECUTE FUNCTION break_once({})"
            ).format(sql.Literal(kind))
        )
    worker = world.worker()

    world.wait_for(run)
    with psycopg.connect(world.database_url, autocommit=True) as connection:  # a seal of our own would break otherwise
        until(lambda: connection.execute("SELECT 1 FROM broken WHERE is_called").fetchone(), PATIENCE_SECONDS)
    assert_finished_once(world, run)
    assert worker.is_there(), worker.words()
