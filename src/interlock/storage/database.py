"""What both databases are to everybody else: short transactions, named statements, events written last."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Protocol

from interlock.access.errors import Frozen
from interlock.access.models import Actor
from interlock.kernel.clock import Clock, to_text
from interlock.kernel.events import Event, Leaf, to_leaf
from interlock.kernel.once import KEPT_MS, AlreadyMade, Noted, Once
from interlock.storage.errors import NewerSchema

Value = str | int | bytes | None
Row = Mapping[str, Any]
Execute = Callable[[str, Mapping[str, Value]], "tuple[list[Row], int]"]
"""Runs one statement; returns its rows and the number of rows that it changed.

`:now` in it is the transaction's instant, and `:now_kst` that as `kst` shows it, where the values name no other.
"""
Refuse = Callable[[Row | None], None]
"""Is told panic's row, and raises if there is one."""

_HERE = Path(__file__).parent
_NAMED = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_\w+\.sql")
_KST = timedelta(hours=9)


def kst(ms: int) -> str:
    """Show an instant as the seed's columns do: UTC+9 to the minute."""
    return _minute(ms // 60_000)


@lru_cache(16)
def _minute(minutes: int) -> str:
    return f"{datetime.fromtimestamp(minutes * 60, UTC) + _KST:%Y-%m-%d %H:%M}"


def instant(ms: int) -> dict[str, Value]:
    """Return the values that every statement may use without being given them."""
    return {"now": ms, "now_kst": kst(ms)}


class Transaction:
    """One open transaction: the rooms' stores read and write through it, and it collects what happened."""

    def __init__(
        self,
        execute: Execute,
        queries: Mapping[str, str],
        now: Clock,
        actor: Actor | None,
        ask_panic: Callable[[Refuse], None] | None = None,
    ) -> None:
        """Speak through a dialect; `ask_panic` is its own way of finding out, where it has one."""
        self._execute = execute
        self._queries = queries
        self._actor = actor
        self.now = now
        self.leaves: list[Leaf] = []
        self.wakes = False
        self._ask_panic = ask_panic
        self._thawed = False

    @property
    def correlation_id(self) -> str | None:
        """What binds what is done here to what was asked; None for a reader."""
        return None if self._actor is None else self._actor.correlation_id

    def thawed(self) -> None:
        """Make sure that no panic is on, and that none comes on before this transaction has ended; raises `Frozen`.

        That may be raised later, by the first statement or by the end, and then nothing was changed.
        """
        if self._thawed:
            return
        self._thawed = True
        if self._ask_panic is not None:
            self._ask_panic(self._refuse)
        else:
            self._refuse(self.one("panic_get"))

    def _refuse(self, panic: Row | None) -> None:
        if panic is not None:
            self._thawed = False
            since = to_text(panic["since_ms"])
            raise Frozen(f"panic mode is on since {since}, raised by {panic['raised_by']}: {panic['reason']}")

    def all(self, query: str, **values: Value) -> list[Row]:
        """Run a named statement and return its rows."""
        return self._execute(self._queries[query], values)[0]

    def one(self, query: str, **values: Value) -> Row | None:
        """Run a named statement and return its first row."""
        rows = self._execute(self._queries[query], values)[0]
        return rows[0] if rows else None

    def run(self, query: str, **values: Value) -> int:
        """Run a named statement and return how many rows it changed."""
        return self._execute(self._queries[query], values)[1]

    @contextmanager
    def attempt(self) -> Generator[None]:
        """Undo what is done inside, state and events, if it raises; the transaction itself goes on."""
        before = len(self.leaves)
        self._execute("SAVEPOINT attempt", {})
        try:
            yield
        except BaseException:
            self._execute("ROLLBACK TO SAVEPOINT attempt", {})
            del self.leaves[before:]
            raise
        finally:
            self._execute("RELEASE SAVEPOINT attempt", {})

    def emit(self, event: Event) -> None:
        """Take an event; it is written after all state, when the transaction commits."""
        if self._actor is None:
            raise RuntimeError("a reading transaction has no events")
        if not event.calming:
            self.thawed()
        self.leaves.append(
            to_leaf(
                event,
                principal=str(self._actor.principal),
                correlation_id=self._actor.correlation_id,
                time_ms=self.now(),
            )
        )

    def conclude(self) -> None:
        """Note what was made under a key of the caller's; raises `AlreadyMade` where another was faster."""
        once = self._actor.once if self._actor is not None else None
        made = next((leaf.subject for leaf in self.leaves if once is not None and leaf.kind == once.kind), None)
        if once is None or made is None or self._actor is None:
            return
        now = self.now()
        self.run("once_clear", before=now - KEPT_MS)
        noted = self.run(
            "once_add",
            principal=str(self._actor.principal),
            route=once.route,
            key=once.key,
            request=once.request,
            subject=made,
            now=now,
        )
        if not noted:
            raise AlreadyMade

    def made(self, principal: str, once: Once) -> Noted | None:
        """Return what a principal has made under a key."""
        row = self.one("once_get", principal=principal, route=once.route, key=once.key, since=self.now() - KEPT_MS)
        return Noted(request=row["request"], subject=row["subject"]) if row else None

    def wake(self) -> None:
        """Let idle workers know, once this has committed, that there is something to claim."""
        self.wakes = True


class Database(Protocol):
    """A database with an event log."""

    def create(self, origin: str) -> bool:
        """Make the database, or upgrade it; returns False where it was there. `origin` names the evidence log."""
        ...

    def write(self, actor: Actor, *, calming: bool | None = False) -> AbstractContextManager[Transaction]:
        """Open a transaction that may change state; commits at the end of the block, or not at all.

        Refused as `Frozen` while panic is on, unless it only brings something to an end (`calming`). With None whoever
        opens it asks `Transaction.thawed` where it has to; in each of them an event that begins something does.
        """
        ...

    def read(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that sees one consistent state."""
        ...

    def light(self) -> AbstractContextManager[Transaction]:
        """Open a transaction for what may be lost in a power cut and is no event: heartbeats, output lines."""
        ...

    def seal(self) -> int:
        """Give every committed event its place in the tree; returns how many were still waiting."""
        ...

    def sealing(self) -> AbstractContextManager[None]:
        """Seal in the background as long as the block lasts, not behind every commit: for a process that lives long."""
        ...

    def listen(self) -> AbstractContextManager[Waiter]:
        """Listen for `Transaction.wake` of every process that uses this database."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class Waiter(Protocol):
    """Waits until there may be something to claim."""

    def wait(self, seconds: float) -> bool:
        """Return True when woken, False after `seconds`."""
        ...

    def rouse(self) -> None:
        """Wake this waiter from another thread."""
        ...


@cache
def queries(dialect: str) -> Mapping[str, str]:
    """Read the named statements of a dialect: the shared ones and its own."""
    found: dict[str, str] = {}
    for folder in (_HERE / "sql", _HERE / dialect):
        for entry in sorted(folder.iterdir()):
            if entry.suffix == ".sql":
                for name, statement in _named(entry.read_text(encoding="utf-8")):
                    if name in found:
                        raise ValueError(f"{dialect}: the statement {name} stands twice")
                    found[name] = statement
    return found


def _named(text: str) -> Iterator[tuple[str, str]]:
    parts = _NAMED.split(text)
    for name, statement in zip(parts[1::2], parts[2::2], strict=True):
        yield name, statement.strip().rstrip(";")


@cache
def migrations(dialect: str) -> Sequence[tuple[int, str, str]]:
    """List a dialect's migrations in order: number, file name, script."""
    found: list[tuple[int, str, str]] = []
    for entry in (_HERE / dialect / "migrations").iterdir():
        match = _MIGRATION.fullmatch(entry.name)
        if match:
            found.append((int(match[1]), entry.name, entry.read_text(encoding="utf-8")))
    return sorted(found)


def latest(dialect: str) -> int:
    """Return the number of the newest migration."""
    return migrations(dialect)[-1][0]


def refuse_newer(found: int, dialect: str, where: str) -> None:
    """Raise `NewerSchema` for a database that a later Interlock has upgraded."""
    if found > latest(dialect):
        raise NewerSchema(
            f"{where} has schema {found}; this Interlock knows schemas up to {latest(dialect)}",
            hint="use the newer Interlock that upgraded it, or restore the backup that it made beside the database",
        )
