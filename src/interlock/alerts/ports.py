"""What alerts need from outside their room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from interlock.access.models import Actor
from interlock.alerts.models import Alert, Breaker, Delivery, Document, Place, Silence
from interlock.kernel.clock import Clock
from interlock.kernel.events import Emit


class AlertStore(Protocol):
    """Reads and writes alerts, and the outbox, inside the transaction that is open."""

    # --- alerts ---

    def add(self, alert: Alert) -> None:
        """Insert an alert."""
        ...

    def put(self, alert: Alert) -> bool:
        """Write an alert; False if it is resolved already."""
        ...

    def get(self, alert_id: str) -> Alert | None:
        """Return an alert."""
        ...

    def by_key(self, key: str) -> Alert | None:
        """Return the alert under this key that is not resolved."""
        ...

    def standing(self, source: str, *, silenced: bool = False, category: str = "") -> Sequence[Alert]:
        """List a source's alerts that are not resolved; or only those that a silence kept quiet, or of a category."""
        ...

    def silenced_sources(self) -> Sequence[str]:
        """List the sources of alerts that a silence kept quiet."""
        ...

    def list(self, state: str, limit: int, before: Alert | None) -> Sequence[Alert]:
        """List alerts, the newest first; `standing` are not resolved, `silenced` were told to nobody."""
        ...

    def history(self, alert_id: str, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return the last events of an alert that are sealed, in their order."""
        ...

    # --- deliveries ---

    def deliver(self, delivery: Delivery) -> None:
        """Insert a delivery; the same once."""
        ...

    def deliveries(self, alert_id: str) -> Sequence[Delivery]:
        """List an alert's deliveries."""
        ...

    def sinks(self, source: str) -> Sequence[str]:
        """List the sinks for which something of a source is pending."""
        ...

    def sources(self, horizon: int, leases: int) -> Sequence[str]:
        """List the sources of which something is due."""
        ...

    def due(self, look: DueLook) -> Sequence[Delivery]:
        """List pending deliveries that may go out, the oldest first."""
        ...

    def hurry(self, source: str) -> None:
        """Make due at once what of a source waits for its next attempt."""
        ...

    def claim(self, delivery: Delivery, until_ms: int, leases: int) -> bool:
        """Take a delivery; False if somebody else has it."""
        ...

    def done(self, delivery: Delivery) -> bool:
        """Write what came of an attempt; False if it is not pending any more."""
        ...

    def again(self, alert_id: str, sink: str, *, delivered: bool) -> int:
        """Make deliveries due at once; returns how many."""
        ...

    def counts(self) -> Sequence[tuple[str, str, int]]:
        """Count deliveries by sink and status."""
        ...

    # --- what came in ---

    def copies(self, source: str, digest: str) -> int:
        """Say how often a row came in."""
        ...

    def came(self, source: str, digest: str) -> None:
        """Note that a row came in."""
        ...

    def wait(self, row_id: str, source: str, body: str) -> None:
        """Keep a row that can not be routed yet."""
        ...

    def waiting(self, source: str, after: str, limit: int) -> Sequence[tuple[str, str]]:
        """List such rows: id and text."""
        ...

    def waiting_sources(self) -> Sequence[str]:
        """List the sources that have such rows."""
        ...

    def waits_no_more(self, row_id: str) -> bool:
        """Forget one; False if it was gone."""
        ...

    def hold(self, source: str, about: str = "") -> None:
        """Keep others from changing this source's alerts until the transaction ends."""
        ...

    def place(self, source: str, file: str) -> Place | None:
        """Say how far a file was read."""
        ...

    def put_place(self, source: str, file: str, place: Place) -> None:
        """Write how far a file was read."""
        ...

    def about(self, source: str) -> str | None:
        """Return what a source's name stands for, as it was given to `hold`."""
        ...

    def abouts(self) -> Sequence[tuple[str, str]]:
        """List every source whose name stands for something, with that."""
        ...

    # --- silences, sinks ---

    def silence(self, silence: Silence) -> None:
        """Insert a silence."""
        ...

    def get_silence(self, silence_id: str) -> Silence | None:
        """Return a silence."""
        ...

    def silences(self) -> Sequence[Silence]:
        """List the silences that hold."""
        ...

    def end_silence(self, silence_id: str) -> bool:
        """End one; False if it has ended."""
        ...

    def breaker(self, sink: str) -> Breaker:
        """Say how a sink has behaved."""
        ...

    def put_breaker(self, sink: str, breaker: Breaker) -> None:
        """Write how a sink behaves."""
        ...


class DueLook(NamedTuple):
    """Which deliveries are wanted."""

    source: str
    sink: str
    horizon: int
    """A later time than this was written by a clock that was wrong."""
    leases: int
    """The same of leases."""
    limit: int


@dataclass(frozen=True, slots=True)
class Desk:
    """One open transaction, as this room sees it."""

    alerts: AlertStore
    emit: Emit
    now: Clock


Open = Callable[[Actor], AbstractContextManager[Desk]]
Look = Callable[[], AbstractContextManager[Desk]]


class Log(Protocol):
    """The event log."""

    def size(self) -> int:
        """Return how many leaves are sealed."""
        ...

    def events(self, start: int, limit: int) -> Sequence[tuple[int, Mapping[str, Any]]]:
        """Return up to `limit` events from `start` on, each with its leaf index."""
        ...


class Condition(NamedTuple):
    """Something that stands as long as a look finds it."""

    subject: str
    severity: str
    summary: str
    codes: Sequence[str] = ()
    """What it is made of: when that changes it is told of again."""


Probe = Callable[[int], Iterable[Condition]]
"""Looks, at an instant, for what stands of one category in the rest of the product."""


class Lines(Protocol):
    """A file of lines that is open."""

    size: int
    inode: int

    def end(self) -> int:
        """Return the place after the last whole line."""
        ...

    def backwards(self, stop: int) -> Iterator[bytes]:
        """Yield the lines before a place, the last first."""
        ...

    def lines(self, start: int, stop: int) -> Iterator[tuple[int, bytes | None]]:
        """Yield each line between two places, and the place after it."""
        ...


class Files(Protocol):
    """A loop's files, read and written as their owner does it."""

    def rotated(self, path: str) -> list[str]:
        """List what was put aside, the oldest first."""
        ...

    def log(self, path: str) -> AbstractContextManager[Lines | None]:
        """Open a file of lines."""
        ...

    def read_bytes(self, path: str) -> bytes | None:
        """Return what a file holds."""
        ...

    def parsed(self, text: bytes) -> Document | None:
        """Return the JSON object that a text holds."""
        ...

    def bytes_of(self, document: Mapping[str, Any]) -> bytes:
        """Return a document as a file holds it."""
        ...

    def replace(self, path: str, data: bytes) -> None:
        """Put a file in its place, whole."""
        ...

    def append(self, path: str, lines: Sequence[bytes]) -> None:
        """Write whole lines at a file's end."""
        ...

    def held(self, path: str, *, wait: bool) -> AbstractContextManager[bool]:
        """Hold a lock file."""
        ...
