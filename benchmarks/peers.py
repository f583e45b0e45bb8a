"""Other queues on PostgreSQL: one job fetched and told finished, by the very calls that their own workers make.

procrastinate writes a row of history for each move, by trigger; pgqueuer likewise, and moves a finished job out of its
table. Neither chains what it writes. Both keep their defaults, and with them a commit that waits for the disk.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, cast

import asyncpg
import psycopg
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.queries import Queries
from pgqueuer.types import QueueEntrypoint, QueueManagerId
from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Status

from benchmarks.clients import Work

_NAME = "sweep"
_HEARTBEAT = timedelta(seconds=30)
_FILL_PROCRASTINATE = (
    "SET session_replication_role = replica",  # else each row is a NOTIFY
    (
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status)"
        " SELECT 'bench', 'sweep', 'succeeded' FROM generate_series(1, {items} / 10)"
    ),
    "INSERT INTO procrastinate_jobs (queue_name, task_name) SELECT 'bench', 'sweep' FROM generate_series(1, {items})",
    "INSERT INTO procrastinate_events (job_id, type) SELECT id, 'deferred' FROM procrastinate_jobs",
    "VACUUM ANALYZE",
    "CHECKPOINT",
)
_FILL_PGQUEUER = (
    "INSERT INTO pgqueuer (priority, entrypoint, status) SELECT 0, 'sweep', 'queued' FROM generate_series(1, {items})",
    "INSERT INTO pgqueuer_log (job_id, status, priority, entrypoint) SELECT id, 'queued', 0, 'sweep' FROM pgqueuer",
    "VACUUM ANALYZE",
    "CHECKPOINT",
)


def fill_procrastinate(url: str, items: int) -> None:
    """Make procrastinate's tables in this database, with so many jobs that wait."""

    async def make() -> None:
        async with _procrastinate(url).open_async() as app:
            await app.schema_manager.apply_schema_async()

    asyncio.run(make())
    _fill(url, _FILL_PROCRASTINATE, items)


def fill_pgqueuer(url: str, items: int) -> None:
    """Make pgqueuer's tables in this database, with so many jobs that wait."""

    async def make() -> None:
        await (await _pgqueuer(url)).install()

    asyncio.run(make())
    _fill(url, _FILL_PGQUEUER, items)


def _fill(url: str, statements: tuple[str, ...], items: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.format(items=items).encode())


def procrastinate_on_postgres(url: str, _session: str) -> Work:
    """Fetch and finish through procrastinate's job manager, over its own connection pool."""
    app, loop = _procrastinate(url), asyncio.Runner()

    async def join() -> int:
        await app.open_async()
        return await app.job_manager.register_worker()

    worker_id = loop.run(join())

    async def one() -> None:
        job = await app.job_manager.fetch_job(queues=None, worker_id=worker_id)
        if job is None:
            raise RuntimeError("procrastinate finds nothing to fetch")
        await app.job_manager.finish_job(job, Status.SUCCEEDED, delete_job=False)

    return _repeated(loop, one)


def pgqueuer_on_postgres(url: str, _session: str) -> Work:
    """Dequeue and log jobs through pgqueuer's query class, one by one, on asyncpg, its faster driver."""
    loop = asyncio.Runner()
    queries = loop.run(_pgqueuer(url))
    me = QueueManagerId(uuid.uuid4())
    entrypoints = {QueueEntrypoint(_NAME): EntrypointExecutionParameter(concurrency_limit=0)}

    async def one() -> None:
        (job,) = await queries.dequeue(
            batch_size=1,
            entrypoints=entrypoints,
            queue_manager_id=me,
            global_concurrency_limit=None,
            heartbeat_timeout=_HEARTBEAT,
        )
        await queries.log_jobs([(job, "successful", None)])

    return _repeated(loop, one)


def _procrastinate(url: str) -> App:
    return App(connector=PsycopgConnector(conninfo=url, min_size=1))


async def _pgqueuer(url: str) -> Queries:
    connect = cast("Callable[[str], Awaitable[Any]]", asyncpg.connect)  # pyright: ignore[reportUnknownMemberType] - the library leaves it open
    return Queries.from_asyncpg_connection(await connect(url))


_loops: list[asyncio.Runner] = []
"""Kept until the process ends: a loop that is collected before complains of the tasks that its pool has."""


def _repeated(loop: asyncio.Runner, one: Callable[[], Awaitable[None]]) -> Work:
    _loops.append(loop)

    async def work(times: int) -> None:
        for _ in range(times):
            await one()

    def run(times: int) -> None:
        loop.run(work(times))

    return run
