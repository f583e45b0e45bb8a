"""Threads come and go, a thread for each run; what they had goes to those that come later, and nothing piles up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from interlock.access.models import Actor
from interlock.kernel.threads import Threads
from interlock.storage.database import Database
from interlock.storage.evidence import StoredLog
from interlock.storage.postgres.database import PostgresDatabase
from interlock.workspace.events import WorkspaceCreated
from tests.conftest import ALICE


def in_a_thread(work: Callable[[], object]) -> None:
    failed: list[BaseException] = []

    def carefully() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised below, in the test's own thread
            failed.append(error)

    thread = threading.Thread(target=carefully)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def use(database: Database, by: Actor = ALICE) -> None:
    with database.write(by) as transaction:
        transaction.emit(WorkspaceCreated(subject="workspace", origin="a.b/c"))
    with database.light() as transaction:
        transaction.one("panic_get")
    StoredLog(database).size()


def opened(database: Database) -> int:
    if isinstance(database, PostgresDatabase):
        with psycopg.connect(database._url) as connection:  # pyright: ignore[reportPrivateUsage] - the same place
            row = connection.execute(
                "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
        assert row is not None
        return int(row[0])
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_hundred_threads_one_after_another_need_what_one_needs(database: Database) -> None:
    in_a_thread(lambda: use(database))
    first = opened(database)
    for _ in range(100):
        in_a_thread(lambda: use(database))
    assert opened(database) <= first + 1  # this thread's own way to ask
    assert StoredLog(database).size() == 101


def test_threads_at_the_same_time_never_share(database: Database) -> None:
    together = threading.Barrier(8, timeout=20)

    def inside() -> None:
        with database.read() as transaction:
            together.wait()
            transaction.one("panic_get")

    threads = [threading.Thread(target=inside) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not together.broken


def test_a_connection_that_broke_is_not_handed_on(ready_postgres_url: str) -> None:
    with closing(PostgresDatabase(ready_postgres_url)) as database:
        in_a_thread(lambda: use(database))
        with psycopg.connect(ready_postgres_url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        for connection in database._opened:  # pyright: ignore[reportPrivateUsage] - as the network would
            connection.close()
        in_a_thread(lambda: use(database))


def test_what_is_of_no_use_any_more_is_dropped_and_asked_once() -> None:
    asked: list[int] = []
    kept: Threads[int] = Threads(lambda each: not asked.append(each) and each != 1)
    for each in (1, 2):
        thread = threading.Thread(target=kept.keep, args=(each,))
        thread.start()
        thread.join()
    assert (kept.inherit(), kept.mine(), kept.inherit()) == (2, 2, None)
    assert asked == [1, 2]


def test_what_a_living_thread_has_stays_its_own() -> None:
    kept: Threads[str] = Threads(lambda _: True)
    go_on, there = threading.Event(), threading.Event()

    def stay() -> None:
        kept.keep("its own")
        there.set()
        go_on.wait(20)

    thread = threading.Thread(target=stay)
    thread.start()
    assert there.wait(20)
    assert kept.inherit() is None
    go_on.set()
    thread.join()
    assert kept.inherit() == "its own"
    kept.drop()
    assert kept.mine() is None


@pytest.mark.parametrize("rounds", [3])
def test_a_file_that_was_closed_is_opened_anew(database: Database, rounds: int) -> None:
    for _ in range(rounds):
        in_a_thread(lambda: use(database))
        database.close()
