"""Which queue is meant, and how its items are shown."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from interlock.access.models import Actor
from interlock.doors.cli import answer, call, follow, house, note
from interlock.kernel.clock import to_text
from interlock.kernel.errors import Invalid
from interlock.queue.errors import ItemStateConflict
from interlock.queue.markdown import Row
from interlock.queue.markdown_service import MarkdownQueue
from interlock.queue.models import Item
from interlock.queue.service import Queue

_SPAN = re.compile(r"(\d{1,9})([smhd]?)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_MOST_MS = 2**53 - 1


class Rooms(Protocol):
    """What this door asks of the house."""

    def queue(self, actor: Actor) -> AbstractContextManager[Queue]:
        """Open the queue for writing."""
        ...

    def queue_look(self) -> AbstractContextManager[Queue]:
        """Open the queue for reading."""
        ...

    def markdown(self, path: str | Path, actor: Actor) -> MarkdownQueue:
        """Return a Markdown queue."""
        ...

    def beside(self, target: str) -> Rooms:
        """Return the rooms over another database."""
        ...

    def catch_up(self, actor: Actor) -> tuple[str, ...]:
        """Bring what follows the log up to its end."""
        ...

    @property
    def ours(self) -> bool:
        """Whether the database is the workspace's."""
        ...

    def own_queue_window(self, path: Path, *, owned: bool) -> None:
        """Let a Markdown queue follow the database from now on, or no longer."""
        ...

    @property
    def places(self) -> Places:
        """Where the workspace's files of the queue lie."""
        ...


class Places(Protocol):
    """Where the workspace's files of the queue lie."""

    @property
    def markdown_queue(self) -> Path:
        """The Markdown queue."""
        ...

    @property
    def run_log(self) -> Path:
        """The run log."""
        ...


class _Meant(NamedTuple):
    queue: str | None
    db: str | None


_meant: ContextVar[_Meant] = ContextVar("meant")


def mean(queue: str | None, db: str | None) -> None:
    """Take what the command line names."""
    for name, value in (("--queue", queue), ("--db", db)):
        if value == "":
            raise Invalid(f"{name} is empty; leave it out for the workspace's database")
    _meant.set(_Meant(queue, db))


def mean_as_scripts() -> None:
    """Let the variables of cron jobs name what the command line does not."""
    queue, db = _meant.get()
    _meant.set(_Meant(queue or os.environ.get("ORCH_QUEUE_MD") or None, db or os.environ.get("ORCH_DB_PATH") or None))


def hoisted(words: list[str], flags: set[str]) -> list[str]:
    """Move `--queue` and `--db` before the verb; what is the value of another option stays with it."""
    end = words.index("--") if "--" in words else len(words)
    first: list[str] = []
    rest: list[str] = []
    place = 0
    while place < end:
        word = words[place]
        takes_value = word.startswith("--") and "=" not in word and word not in flags and place + 1 < end
        if takes_value:
            (first if word in {"--queue", "--db"} else rest).extend(words[place : place + 2])
            place += 1
        elif word.startswith(("--queue=", "--db=")):
            first.append(word)
        else:
            rest.append(word)
        place += 1
    return [*first, *rest, *words[end:]]


def rooms() -> Rooms:
    """Return the rooms over the database that is meant."""
    target = _meant.get().db
    return house(Rooms) if target is None else house(Rooms).beside(target)


def in_file() -> MarkdownQueue | None:
    """Return the Markdown queue, if one is meant."""
    path, target = _meant.get()
    if path is None:
        return None
    if target is not None:
        raise Invalid("--queue and --db name two queues; this works on one")
    return house(Rooms).markdown(path, call().actor())


def markdown_path() -> Path:
    """Return the Markdown queue that is meant, which is the workspace's where none is named."""
    path = _meant.get().queue
    return house(Rooms).places.markdown_queue if path is None else Path(path)


def is_queue_named() -> bool:
    """Say whether a Markdown queue was named."""
    return _meant.get().queue is not None


def only_database(what: str) -> None:
    """Refuse a verb that a Markdown queue has no cells for."""
    if _meant.get().queue is not None:
        raise ItemStateConflict(f"a Markdown queue can not {what}", hint="leave --queue out for the database")


@contextmanager
def writing() -> Generator[Queue]:
    """Open the queue for writing."""
    with rooms().queue(call().actor()) as queue:
        yield queue


@contextmanager
def looking() -> Generator[Queue]:
    """Open the queue for reading."""
    with rooms().queue_look() as queue:
        yield queue


def wrote(queue: MarkdownQueue | None = None) -> None:
    """Bring up to date what follows the log, and say what a changed file could not tell it yet."""
    for sentence in queue.warnings if queue is not None else ():
        note(f"warning: {sentence}")
    follow(lambda: rooms().catch_up(call().actor()))


def moved(item: Item | Row) -> None:
    """Answer with an item after it moved."""
    shown = shown_item(item) if isinstance(item, Item) else shown_row(item)
    answer(shown, [f"{shown['id']} -> {shown['status']}"])


def shown_item(item: Item) -> dict[str, Any]:
    """Return an item as JSON shows it; times in UTC, `*_kst` in UTC+9 to the minute."""
    return {
        "id": item.id,
        "status": item.status.value,
        "priority": item.priority,
        "kind": item.kind.value,
        "executor": item.executor.value,
        "run_id": item.run_id,
        "task": item.task,
        "success_criteria": item.success_criteria,
        "owner_session": item.owner_session,
        "started_at_kst": item.started_at_kst,
        "due_at_kst": item.due_at_kst,
        "fence": item.fence,
        "lease_until": _time(item.lease_until_ms),
        "attempt_count": item.attempt_count,
        "max_attempts": item.max_attempts,
        "not_before": _time(item.not_before_ms),
        "waits_for": item.waits_for,
        "concurrency_key": item.concurrency_key,
        "needs": list(item.needs),
        "repository": item.repository,
        "agent": item.agent,
        "node_id": item.node_id,
        "aged": item.aged,
        "idempotency_key": item.idempotency_key,
        "created_at": _time(item.created_ms),
        "notes": item.notes,
        "last_error": item.last_error,
    }


def shown_row(row: Row) -> dict[str, Any]:
    """Return a row of a Markdown queue as JSON shows it."""
    return dict(row.cells)


def lines_of(shown: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each field."""
    return (f"{name:17}{'-' if value is None else value}" for name, value in shown.items())


def span_ms(text: str, what: str) -> int:
    """Read `90`, `90s`, `15m`, `2h` or `3d`, in milliseconds."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise Invalid(f"{what} is a span such as 90s, 15m, 2h or 3d, not {text[:40]!a}")
    return int(match[1]) * _SECONDS[match[2]] * 1000


def instant_ms(text: str, what: str) -> int:
    """Read an instant of ISO 8601 that names its zone, in milliseconds since the epoch."""
    try:
        moment = datetime.fromisoformat(text)
        ms = round(moment.timestamp() * 1000) if moment.tzinfo is not None else -1
    except (ValueError, OverflowError):
        ms = -1
    if not 0 < ms < _MOST_MS:
        raise Invalid(f"{what} is an instant with its zone, such as 2026-11-21T08:00:00Z, not {text[:40]!a}")
    return ms


def _time(ms: int | None) -> str | None:
    return None if ms is None else to_text(ms)
