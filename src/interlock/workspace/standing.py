"""How a workspace is, in the one shape that its doors show: `/status`, `/ui/status`, `ops://context`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

from interlock import __version__
from interlock.access.service import Access
from interlock.fleet.service import Fleet
from interlock.kernel.clock import to_text
from interlock.kernel.errors import InterlockError
from interlock.queue.service import Queue

_STORED = ("now", "queue", "queue_paused", "panic_mode", "ledger")


class _Head(Protocol):
    @property
    def size(self) -> int: ...

    @property
    def at(self) -> int: ...


class Sealed(Protocol):
    """The sealed log."""

    def size(self) -> int:
        """Return how many entries it has."""
        ...

    def last_head(self) -> _Head | None:
        """Return the last signed head."""
        ...


class Exported(Protocol):
    """What follows the log as files."""

    def exported(self) -> int:
        """Return how many entries they have by now."""
        ...


class Placed(Protocol):
    """Where a workspace is."""

    @property
    def root(self) -> Path:
        """Its folder."""
        ...


class Standing(Protocol):
    """The rooms that are asked how they are."""

    @property
    def access(self) -> Access:
        """Panic."""
        ...

    @property
    def event_log(self) -> Sealed:
        """The sealed log."""
        ...

    @property
    def windows(self) -> Exported:
        """What follows the log as files."""
        ...

    @property
    def places(self) -> Placed:
        """Where the workspace is."""
        ...

    def now(self) -> int:
        """Return the database's time."""
        ...

    def queue_look(self) -> AbstractContextManager[Queue]:
        """Open the queue for reading."""
        ...


class Measured(Standing, Protocol):
    """The rooms that are measured."""

    @property
    def fleet(self) -> Fleet:
        """Nodes."""
        ...


def show_standing(rooms: Standing, *, began: float, beside: Iterable[Thread]) -> dict[str, Any]:
    """Say how a workspace is; what can not be known while its database is away is null.

    `began` is when the process began, by `time.monotonic`; `beside` is what works beside it.
    """
    return {
        "version": __version__,
        "uptime_seconds": round(time.monotonic() - began, 3),
        "workspace": str(rooms.places.root),
        **_stored(rooms),
        "tasks": [{"name": each.name, "alive": each.is_alive()} for each in beside],
    }


def service_status(shown: dict[str, Any], reader: str) -> str:
    """Return the word for how it is, with who reads it: `RUNNING (Dashboard)`."""
    return f"{'RUNNING' if shown['database'] == 'ok' else 'DEGRADED'} ({reader})"


def _stored(rooms: Standing) -> dict[str, Any]:
    try:
        with rooms.queue_look() as queue:
            pause = queue.paused()
            shown = {"database": "ok", "queue": dict(queue.counts()), "queue_paused": pause is not None}
        return {
            **shown,
            "now": to_text(rooms.now()),
            "panic_mode": rooms.access.panic() is not None,
            "ledger": _ledger(rooms),
        }
    except InterlockError as error:
        return {"database": error.code, **dict.fromkeys(_STORED)}


def _ledger(rooms: Standing) -> dict[str, Any]:
    log = rooms.event_log
    entries, head, exported = log.size(), log.last_head(), rooms.windows.exported()
    return {
        "entries": entries,
        "head_size": head.size if head else None,
        "head_signed_at": to_text(head.at) if head else None,
        "exported": exported,
        "behind": max(0, entries - exported),
    }
