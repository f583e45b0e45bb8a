"""A session or an onlooker as a process of its own, among many: `python -m tests.queue.crowd PLACE ROLE SEED SECONDS`.

It begins when it is told to by a line, and writes down what the database has confirmed to it, word by word, so that a
kill at any moment leaves a true account: what stands there was promised.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from interlock.access.models import Actor, Principal, PrincipalKind
from interlock.kernel.errors import Conflict
from interlock.queue.models import FIRST, Executor, Filter, Item, ItemKind, ItemStatus, NewItem
from interlock.queue.options import QueueOptions
from interlock.queue.service import Queue
from interlock.storage.database import Database, Transaction
from interlock.storage.queue import StoredHistory, StoredItems

Done = TypeVar("Done")

KEYS = (None, None, "one", "two")
LABELS = (frozenset[str](), frozenset({"gpu"}), frozenset({"gpu", "region=eu"}), frozenset({"region=eu"}))
REPOSITORIES, AGENTS, NODES = (None, "/a", "/b"), (None, "codex", "claude_code"), ("n_1", "n_2", "n_3")
NEW = NewItem(kind=ItemKind.MANUAL, executor=Executor.EXTERNAL, priority="P1", task="t", success_criteria="s")
ROOT = Path(__file__).parents[2]


def opened(place: str) -> Database:
    """Open the database of this place with no more than is needed."""
    if place.startswith("postgresql:"):
        from interlock.storage.postgres.database import PostgresDatabase  # noqa: PLC0415 - 100 ms that SQLite does not need

        return PostgresDatabase(place)
    from interlock.storage.sqlite.database import SqliteDatabase  # noqa: PLC0415 - the same

    return SqliteDatabase(Path(place))


def queue(transaction: Transaction) -> Queue:
    """Return the queue in a transaction, without runs."""
    return Queue(
        store=StoredItems(transaction),
        owner=None,  # pyright: ignore[reportArgumentType] - no item here belongs to a run
        emit=transaction.emit,
        now=transaction.now,
        wake=transaction.wake,
        attempt=transaction.attempt,
        thawed=transaction.thawed,
        options=QueueOptions(),
    )


# --- in the process ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Session:
    """One who adds, claims and ends items at random."""

    database: Database
    name: str
    dice: random.Random
    is_placed: bool = False
    """Whether its items have needs, repositories and agents, and it says what it has and where it is."""

    @property
    def has(self) -> frozenset[str]:
        return LABELS[ord(self.name[-1]) % len(LABELS)] if self.is_placed else frozenset()

    def acts(self, number: int) -> None:
        if self.dice.random() < 0.3:
            added = self._do(lambda queue: queue.add(self._new(number)))
            confirm("added", added.id)
        item = self._do(self._claim)
        if item is None:
            return
        confirm("claimed", item.id, item.fence)
        if self.is_placed:
            confirm("took", item.id, item.fence, list(item.needs), sorted(self.has))
        note = f"{self.name}/{number}"
        ways: list[tuple[str, Callable[[Queue], Item | None]]] = [
            ("completed", lambda queue: queue.complete(item.id, item.fence, notes=note)),
            ("completed", lambda queue: queue.complete(item.id, item.fence, notes=note)),
            ("released", lambda queue: queue.release(item.id, item.fence, notes=note)),
            ("failed", lambda queue: queue.fail(item.id, item.fence, reason="x", message="y", notes=note)),
            ("cancelled", lambda queue: queue.cancel(item.id, reason=note)),
            ("replanned", lambda queue: queue.replan(item.id, note)),
        ]
        verb, way = self.dice.choice(ways)
        self._do(way)
        confirm(verb, item.id, item.fence, note)

    def _claim(self, queue: Queue) -> Item | None:
        node = self.dice.choice(NODES) if self.is_placed else None
        return queue.claim(Executor.EXTERNAL, self.name, has=self.has, node_id=node)

    def _new(self, number: int) -> NewItem:
        if self.is_placed:
            return replace(
                NEW,
                needs=tuple(self.dice.choice(LABELS)),
                repository=self.dice.choice(REPOSITORIES),
                agent=self.dice.choice(AGENTS),
                priority=self.dice.choice(("P0", "P1", "P2")),
                idempotency_key=f"{self.name}/{number}",
            )
        return replace(NEW, concurrency_key=self.dice.choice(KEYS), idempotency_key=f"{self.name}/{number}")

    def _do(self, deed: Callable[[Queue], Done]) -> Done:
        actor = Actor(principal=Principal(PrincipalKind.SERVICE, self.name))
        with self.database.write(actor) as transaction:
            return deed(queue(transaction))


def look(database: Database, seen: dict[str, int]) -> None:
    """Look once; whatever others do meanwhile, what is seen is of one moment."""
    with database.read() as transaction:
        found = queue(transaction)
        counts = found.counts()
        under_way = found.store.page(Filter(status=ItemStatus.IN_PROGRESS), FIRST, 10_000)
        limits = found.store.concurrencies()
        total = sum(counts.values())
    assert len(under_way) == counts["IN_PROGRESS"], (len(under_way), counts)
    assert all(each.held <= each.most for each in limits), limits
    for item, _ in under_way:
        assert item.owner_session != "-", item
        assert item.started_ms is not None, item
        assert item.lease_until_ms is not None, item
    assert total >= seen.get("total", 0), "an item was seen, and is gone"
    assert counts["DONE"] >= seen.get("done", 0), "what is done stays done"
    seen.update(total=total, done=counts["DONE"])


def confirm(*words: object) -> None:
    """Write down what was confirmed; a killed process leaves whole lines."""
    os.write(1, (json.dumps(words) + "\n").encode())


def live(place: str, role: str, seed: str, seconds: str) -> None:
    database, dice = opened(place), random.Random(seed)  # noqa: S311 - a test's dice
    history = StoredHistory(database)
    session = Session(database, f"{role}-{seed}", dice, is_placed=role == "placed")
    with database.read():
        pass
    confirm("ready")
    sys.stdin.readline()
    deadline, number, seen = time.monotonic() + float(seconds), 0, dict[str, int]()
    while time.monotonic() < deadline:
        number += 1
        if role == "reader":
            look(database, seen)
            continue
        with suppress(Conflict):  # somebody else was faster
            session.acts(number)
        if number % 20 == 0:
            history.keep_up()
    confirm("looked" if role == "reader" else "acted", number)


# --- whoever starts them ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Member:
    """A process of the crowd."""

    process: subprocess.Popen[bytes]
    account: Path

    def told(self) -> list[list[Any]]:
        """Return what was confirmed to it; a last line that was cut short was not written."""
        lines = self.account.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines]


def crowd(stack: ExitStack, place: str, folder: Path, roles: list[str], seconds: float) -> list[Member]:
    """Start processes, and let them begin together once all are ready."""
    members = [_member(stack, [place, role], folder, seconds) for role in roles]
    for member in members:
        while not member.told():
            assert member.process.poll() is None, "it ended before it began"
            time.sleep(0.01)
    for member in members:
        assert member.process.stdin is not None
        member.process.stdin.write(b"go\n")
        member.process.stdin.flush()
    return members


def _member(stack: ExitStack, words: list[str], folder: Path, seconds: float) -> Member:
    number = len(list(folder.iterdir()))
    account = folder / f"account-{number}"
    command = [sys.executable, "-m", "tests.queue.crowd", *words, str(number), str(seconds)]
    output = stack.enter_context(account.open("wb"))
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, cwd=ROOT)
    stack.callback(_end, process)
    return Member(process, account)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


if __name__ == "__main__":
    live(*sys.argv[1:])
