"""What the loops need from outside their room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from interlock.access.models import Actor
from interlock.kernel.clock import Clock
from interlock.kernel.events import Emit


class Watch(NamedTuple):
    """What the supervisor looks after."""

    id: str
    repo: str
    loop: str | None
    """None for every loop of the repository, also those to come."""
    added_ms: int
    added_by: str


class WatchStore(Protocol):
    """Reads and writes watches inside the transaction that is open."""

    def add(self, watch: Watch) -> bool:
        """Insert a watch; False if repository and loop are watched already."""
        ...

    def get(self, watch_id: str) -> Watch | None:
        """Return a watch."""
        ...

    def list(self) -> Sequence[Watch]:
        """List watches, the oldest first."""
        ...

    def remove(self, watch_id: str) -> bool:
        """Delete a watch; False if it was gone."""
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """One open transaction, as this room sees it."""

    watches: WatchStore
    emit: Emit
    now: Clock


Open = Callable[[Actor], AbstractContextManager[Desk]]
Look = Callable[[], AbstractContextManager[Desk]]
