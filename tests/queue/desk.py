"""A queue on one kind of database under a clock that a test sets, with one transaction for each verb."""

# ruff: noqa: S608 - the words of every statement are the tests' own

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

import psycopg
import pytest

from interlock.access.models import Actor
from interlock.app import Interlock
from interlock.kernel.clock import from_text
from interlock.queue.models import Executor, Item, ItemKind, NewItem
from interlock.queue.service import Queue
from interlock.storage.evidence import StoredLog
from tests.conftest import ALICE, WORKER

Done = TypeVar("Done")

NOON_MS = from_text("2026-11-21T12:00:00.000Z")
MANUAL = NewItem(
    kind=ItemKind.MANUAL, executor=Executor.EXTERNAL, priority="P1", task="sweep", success_criteria="swept"
)
UNEVEN = """
SELECT concurrency.key, most,
    (SELECT COUNT(*) FROM queue_items WHERE concurrency_key = concurrency.key AND status = 'IN_PROGRESS'),
    (SELECT COUNT(*) FROM queue_items WHERE concurrency_key = concurrency.key AND claimable = 1),
    (SELECT COUNT(*) FROM queue_items WHERE concurrency_key = concurrency.key AND waits_for = 'limit')
FROM concurrency
"""
"""Of each key its limit, what is held, what may begin, and what waits for its turn."""
TOLD = ("DONE", "FAILED", "BLOCKED", "PENDING", "IN_PROGRESS")


class Wanted(TypedDict, total=False):
    """What a test may want of a new item."""

    executor: Executor
    priority: str
    task: str
    success_criteria: str
    max_attempts: int
    due_at_kst: str
    notes: str
    not_before_ms: int | None
    idempotency_key: str | None
    concurrency_key: str | None
    needs: tuple[str, ...]
    repository: str | None
    agent: str | None


@dataclass
class SetClock:
    """A clock that stands until it is moved."""

    ms: int = NOON_MS

    def __call__(self) -> int:
        return self.ms

    def move(self, **by: float) -> None:
        """Move it, by the words of `timedelta`."""
        self.ms += round(timedelta(**by) / timedelta(milliseconds=1))


@dataclass(frozen=True)
class Desk:
    """Where an operator and the sessions of a queue stand."""

    house: Interlock
    clock: SetClock
    place: str
    """A PostgreSQL address, or a SQLite file's path."""

    @property
    def on_postgres(self) -> bool:
        return self.place.startswith("postgresql:")

    # --- one transaction each -----------------------------------------------------------------------------------------

    def do(self, deed: Callable[[Queue], Done], actor: Actor = ALICE) -> Done:
        with self.house.queue(actor) as queue:
            return deed(queue)

    def look(self, question: Callable[[Queue], Done]) -> Done:
        with self.house.queue_look() as queue:
            return question(queue)

    def add(self, **wanted: Unpack[Wanted]) -> Item:
        return self.do(lambda queue: queue.add(replace(MANUAL, **wanted)))

    def claim(self, owner: str = "w", executor: Executor = Executor.EXTERNAL) -> Item | None:
        return self.do(lambda queue: queue.claim(executor, owner), WORKER)

    def held(self, owner: str = "w", executor: Executor = Executor.EXTERNAL) -> Item:
        """Claim, and be sure to get something."""
        item = self.claim(owner, executor)
        assert item is not None, "nothing could be claimed"
        return item

    def drained(self, executor: Executor = Executor.EXTERNAL) -> list[str]:
        """Claim until there is nothing left; returns the ids."""
        taken: list[str] = []
        while (item := self.claim(executor=executor)) is not None:
            taken.append(item.id)
        return taken

    def complete(self, item: Item, notes: str = "") -> Item:
        return self.do(lambda queue: queue.complete(item.id, item.fence, notes=notes), WORKER)

    def fail(self, item: Item, *, transient: bool = False, notes: str = "") -> Item:
        return self.do(
            lambda queue: queue.fail(
                item.id, item.fence, reason="tests_failed", message="2 of 9", transient=transient, notes=notes
            ),
            WORKER,
        )

    def release(self, item: Item) -> Item:
        return self.do(lambda queue: queue.release(item.id, item.fence), WORKER)

    def rescue(self, item: Item, reason: str = "lease_expired") -> Item | None:
        return self.do(lambda queue: queue.rescue(item, reason=reason), WORKER)

    def cancel(self, item_id: str, reason: str = "") -> Item:
        return self.do(lambda queue: queue.cancel(item_id, reason=reason))

    def replan(self, item_id: str, notes: str = "smaller steps") -> Item:
        return self.do(lambda queue: queue.replan(item_id, notes))

    def retry(self, item_id: str, reason: str = "") -> Item:
        return self.do(lambda queue: queue.retry(item_id, reason=reason))

    def snooze(self, item_id: str, until_ms: int | None, reason: str = "") -> Item:
        return self.do(lambda queue: queue.snooze(item_id, until_ms, reason=reason))

    def rank(self, item_id: str, priority: str, reason: str = "") -> Item:
        return self.do(lambda queue: queue.reprioritise(item_id, priority, reason=reason))

    def take(self, owner: str = "w", *has: str, node: str | None = None) -> Item | None:
        """Claim with labels, on a node."""
        return self.do(lambda queue: queue.claim(Executor.EXTERNAL, owner, has=frozenset(has), node_id=node), WORKER)

    def limit(self, key: str, most: int | None) -> None:
        self.do(lambda queue: queue.limit(key, most))

    # --- what can be seen ---------------------------------------------------------------------------------------------

    def item(self, item_id: str) -> Item:
        return self.look(lambda queue: queue.get(item_id))

    def codes(self, item_id: str) -> list[str]:
        """Return the codes by which the item's state is explained."""
        return [each.code for each in self.look(lambda queue: queue.explain(item_id))]

    def told(self, *kinds: str) -> list[tuple[str, dict[str, Any]]]:
        """Return the events of the log, as kind and payload; by default all."""
        self.house.database.seal()
        log = StoredLog(self.house.database)
        events = [event for _, event in log.events(0, log.size())]
        return [(event["kind"], event["payload"]) for event in events if not kinds or event["kind"] in kinds]

    def rows(self, statement: str) -> Sequence[tuple[Any, ...]]:
        """Ask the database itself, beside the product."""
        if self.on_postgres:
            with psycopg.connect(self.place, autocommit=True) as connection:
                return connection.execute(statement.encode()).fetchall()
        with closing(sqlite3.connect(self.place)) as connection:
            return connection.execute(statement).fetchall()

    def write(self, statement: str) -> None:
        """Change the database itself, as another tool would."""
        if self.on_postgres:
            with psycopg.connect(self.place, autocommit=True) as connection:
                connection.execute(statement.encode())
        else:
            with closing(sqlite3.connect(self.place, isolation_level=None)) as connection:
                connection.execute(statement)

    def counted(self) -> dict[str, int]:
        """Count by status, by looking at every row."""
        return dict.fromkeys(TOLD, 0) | dict(self.rows("SELECT status, COUNT(*) FROM queue_items GROUP BY status"))

    def history(self, item_id: str | None = None) -> list[tuple[str, dict[str, Any]]]:
        """Return the rows that seed-1 tools read."""
        where = "" if item_id is None else f"WHERE item_id = '{item_id}'"
        found = self.rows(f"SELECT event_type, payload_json FROM queue_events {where} ORDER BY event_id")
        return [(kind, json.loads(payload)) for kind, payload in found]


def at_once(deeds: Sequence[Callable[[], Done]]) -> list[Done]:
    """Do all at the same moment, each in a thread of its own; returns what they return."""
    start = threading.Barrier(len(deeds))

    def do(deed: Callable[[], Done]) -> Done:
        start.wait(10)
        return deed()

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(do, deeds))


def ids(items: Sequence[Item]) -> list[str]:
    return [item.id for item in items]


def assert_settled(desk: Desk) -> None:
    """No more than may, and no fewer than could."""
    for key, most, held, claimable, waiting in desk.rows(UNEVEN):
        assert claimable == min(max(0, most - held), claimable + waiting), (key, most, held, claimable, waiting)
    assert (
        desk.rows("SELECT id FROM queue_items WHERE claimable = 1 AND (status <> 'PENDING' OR waits_for <> '')") == []
    )


def refused(kind: type[Exception], deed: Callable[[], object]) -> str:
    """Do what has to be refused, and return the sentence."""
    with pytest.raises(kind) as caught:
        deed()
    return str(caught.value)


def sqlite_place(folder: Path) -> Path:
    return folder / ".interlock" / "interlock.db"
