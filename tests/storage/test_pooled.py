"""Behind a pooler that gives everybody another connection for each transaction, nothing is lost, doubled or refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from interlock.app import Interlock
from interlock.evidence.tree import Frontier
from interlock.kernel.ids import UlidSource
from interlock.queue.models import Executor
from interlock.settings import Settings
from interlock.storage.evidence import StoredLog
from interlock.storage.postgres.condition import look_at
from interlock.storage.postgres.database import PostgresDatabase
from interlock.workspace.layout import Layout
from interlock.workspace.service import make_keys
from tests.conftest import ALICE, ORIGIN, WORKER, until
from tests.engines.world import World
from tests.storage.pooler import pooled
from tests.storage.test_conformance import MANUAL

_OFTEN = 24
"""Each statement comes so often that it would be prepared, were it not for the pooler."""


@pytest.fixture(params=["as it is", "that repeats its reads"])
def address(
    request: pytest.FixtureRequest, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    if request.param != "as it is":
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            name = connection.info.dbname
            connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'".encode())
    with pooled(postgres_url, tmp_path_factory.mktemp("pooler") / "socket") as found:
        yield found


def test_the_pooler_is_one(address: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        asked = [connection.execute("SELECT pg_backend_pid()").fetchone() for _ in range(4)]
    assert len(set(asked)) == 3


def test_many_who_write_claim_and_end_at_once_leave_a_dense_log_and_do_each_thing_once(
    address: str, tmp_path: Path
) -> None:
    with closing(PostgresDatabase(address)) as database:
        assert database.create(ORIGIN)
        make_keys(Layout(tmp_path), ORIGIN, "alice")
        house = Interlock(Layout(tmp_path), Settings(), database, UlidSource())
        taken: list[str] = []
        lock = threading.Lock()

        def work(number: int) -> None:
            for _ in range(_OFTEN):
                with house.queue(ALICE) as queue:
                    queue.add(MANUAL)
                with house.queue(WORKER) as queue:
                    item = queue.claim(Executor.EXTERNAL, f"session-{number}")
                assert item is not None
                assert item.fence is not None
                with house.queue(WORKER) as queue:
                    queue.complete(item.id, item.fence)
                with lock:
                    taken.append(item.id)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert len(set(taken)) == len(taken) == 8 * _OFTEN
        database.seal()
        log = StoredLog(database)
        assert log.size() == 3 * 8 * _OFTEN
        assert log.frontier() == Frontier().extend(log.leaf_hashes(log.size()))


@pytest.mark.timeout(120)
def test_an_idle_worker_takes_a_run_up_and_the_evidence_holds(address: str, tmp_path: Path) -> None:
    world = World(tmp_path, address)
    try:
        worker = world.worker(product=True)
        until(lambda: "works" in worker.words(), 60)
        run = world.create("echo done > done.txt")
        until(lambda: world.run(run).status.value == "done", 60)
        world.verified()
    finally:
        world.close()


def test_the_doctor_says_what_a_pooler_costs(address: str) -> None:
    with closing(PostgresDatabase(address)) as database:
        database.create(ORIGIN)
    (trouble,) = look_at(address).troubles
    assert not trouble.grave
    assert "planned each time" in trouble.sentence
    assert "too few connections" in trouble.todo
