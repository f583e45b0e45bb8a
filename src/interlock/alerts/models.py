"""The room's words."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple, cast

Document = dict[str, Any]
Action = Literal["trigger", "resolve"]

SCHEMA: Final = "v1"
SEVERITIES: Final = ("info", "warning", "critical")
EVENT_SOURCE: Final = "event"
_MOST_KEY = 255
_MOST_SENT = 32


def rank(severity: str) -> int:
    """Say how grave a severity is."""
    return SEVERITIES.index(severity) + 1


def source_of(repo: str, loop: str) -> str:
    """Name a loop as a source of alerts."""
    where = hashlib.sha256(repo.encode("utf-8", "surrogateescape")).hexdigest()
    return f"loop:{where[:12]}:{loop}"


def dedup_key(source: str, category: str, subject: str = "") -> str:
    """Return what a verdict is called, to us and to receivers: the same when it comes back."""
    key = ":".join(each for each in (source, category, subject) if each)
    if len(key) <= _MOST_KEY and key.isascii() and key.isprintable():
        return key
    return f"{source[:160]}:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


class AlertState(StrEnum):
    """Where an alert stands."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    SKIPPED = "skipped"


# --- what comes in ----------------------------------------------------------------------------------------------------


class Escalation(NamedTuple):
    """Something that a human should hear of."""

    source: str
    category: str
    severity: str | None
    """As it says itself; else the routing decides."""
    row: Document
    trace_id: str | None
    summary: str
    codes: tuple[str, ...] = ()
    subject: str = ""
    """Of what it is, where its source has more than one thing to tell of."""

    @property
    def key(self) -> str:
        """By which its alert is known."""
        return dedup_key(self.source, self.category, self.subject)


class Route(NamedTuple):
    """Where an escalation goes."""

    severity: str
    notifies: bool
    """Whether it is grave enough."""
    sinks: tuple[Document, ...]
    """Those that are to be sent to."""
    shown: Document
    """All of it, as the resolver prints it."""


class Unroutable(NamedTuple):
    """Why nothing can be said of where an escalation goes."""

    code: str
    message: str


# --- what is kept -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that is the matter, from its beginning to its end."""

    id: str
    source: str
    category: str
    severity: str
    dedup_key: str
    state: AlertState
    opened_ms: int
    last_ms: int
    count: int
    changes: int
    """How often there was something to tell."""
    summary: str
    row: str
    """The escalation that told of it last, as JSON."""
    trace_id: str | None
    sent: Mapping[str, int]
    """When each verdict was told of."""
    silenced: bool = False
    """Whether nothing could be told, because of a silence or a broken configuration, and is to be when that ends."""
    by: str | None = None
    """Who acknowledged or resolved it."""
    ended_ms: int | None = None

    def told(self, verdict: str, now: int) -> dict[str, int]:
        """Return when each verdict was told of, with this one now."""
        kept = sorted({**self.sent, verdict: now}.items(), key=lambda each: each[1])
        return dict(kept[-_MOST_SENT:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message for one sink."""

    alert_id: str
    change: int
    sink: str
    action: Action
    status: DeliveryStatus
    source: str
    category: str
    dedup_key: str
    severity: str
    row: str
    trace_id: str | None
    target: str
    """The sink as it was routed to, as JSON: no secret, only the names of variables."""
    shown: str
    """The route, as JSON."""
    created_ms: int
    next_ms: int
    attempts: int = 0
    reason: str | None = None
    http_status: int | None = None
    message: str | None = None
    delivered_ms: int | None = None

    @property
    def place(self) -> tuple[str, int, str]:
        """By what it is known."""
        return (self.alert_id, self.change, self.sink)


class Silence(NamedTuple):
    """Alerts that are not to be told of, until when, and why."""

    id: str
    source: str
    category: str
    until_ms: int
    reason: str
    by: str
    created_ms: int

    def covers(self, source: str, category: str, now: int) -> bool:
        """Say whether it holds for these; an empty word holds for all, and one that ends in `*` for what begins so."""
        return now < self.until_ms and _matches(self.source, source) and _matches(self.category, category)


def _matches(pattern: str, word: str) -> bool:
    return not pattern or pattern == word or (pattern.endswith("*") and word.startswith(pattern[:-1]))


class Place(NamedTuple):
    """How far a file of escalations was read."""

    rows: int = 0
    """Over all that were put aside."""
    inode: int = 0
    position: int = 0
    digest: str = ""
    """Of the last row that was read."""


class Breaker(NamedTuple):
    """How a sink has behaved lately."""

    failures: int = 0
    open_until_ms: int = 0


# --- what goes out ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a sink is to tell."""

    action: Action
    category: str
    severity: str
    dedup_key: str
    repo: str
    loop: str
    emitted_at: str
    trace_id: str
    delivery_key: str
    """The same for the same message to the same sink, however often it is sent."""
    escalation: Document = field(default_factory=dict[str, Any])

    @property
    def title(self) -> str:
        """The whole in a line."""
        over = "[resolved]" if self.action == "resolve" else ""
        what = f"{self.category} loop={self.loop} trace={self.trace_id}"
        return f"[ops-manager]{over}[{self.severity}] {what}"


class Delivered(NamedTuple):
    """A sink took it."""

    http_status: int | None = None


class Refused(NamedTuple):
    """A sink did not take it."""

    code: str
    message: str
    http_status: int | None = None
    retry_after: int | None = None
    """After how many seconds it wants to be asked again."""


Outcome = Delivered | Refused


def text_at(document: Document | None, *path: str) -> str | None:
    """Return a string that is not empty, or None."""
    value: Any = document
    for key in path:
        if not isinstance(value, dict):
            return None
        value = cast("Document", value).get(key)
    return value if isinstance(value, str) and value else None


def inner(document: Document | None, key: str) -> Document | None:
    """Return an object, or None."""
    value = (document or {}).get(key)
    return cast("Document", value) if isinstance(value, dict) else None


def texts(document: Document | None, key: str) -> list[str]:
    """Return the strings of a list, without what else it holds."""
    value = (document or {}).get(key)
    return [each for each in cast("list[Any]", value) if isinstance(each, str)] if isinstance(value, list) else []
