"""What happens to alerts, as the log tells it. All of it may happen while panic is on."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.kernel.events import Event


@dataclass(frozen=True, kw_only=True)
class AlertOpened(Event):
    """Something is the matter."""

    kind = "alert.opened"
    calming = True
    source: str
    category: str
    severity: str


@dataclass(frozen=True, kw_only=True)
class AlertChanged(Event):
    """It is another matter now: graver, for other reasons, or again."""

    kind = "alert.changed"
    calming = True
    severity: str
    change: int


@dataclass(frozen=True, kw_only=True)
class AlertAcknowledged(Event):
    """Somebody looks after it."""

    kind = "alert.acknowledged"
    calming = True
    note: str


@dataclass(frozen=True, kw_only=True)
class AlertResolved(Event):
    """It is over: the verdict has recovered, or somebody said so."""

    kind = "alert.resolved"
    calming = True
    reason: str


@dataclass(frozen=True, kw_only=True)
class AlertDelivered(Event):
    """A sink took a message."""

    kind = "alert.delivered"
    calming = True
    sink: str
    action: str
    change: int
    attempts: int


@dataclass(frozen=True, kw_only=True)
class AlertReplayed(Event):
    """Somebody wants it to be sent again, or at once."""

    kind = "alert.replayed"
    calming = True
    sink: str
    deliveries: int


@dataclass(frozen=True, kw_only=True)
class AlertSilenced(Event):
    """Some alerts are not told of for a time."""

    kind = "alert.silenced"
    calming = True
    source: str
    category: str
    until_ms: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class AlertUnsilenced(Event):
    """They are told of again."""

    kind = "alert.unsilenced"
    calming = True


@dataclass(frozen=True, kw_only=True)
class SinkTested(Event):
    """Somebody had a test message sent."""

    kind = "sink.tested"
    calming = True
    delivered: bool
    reason: str | None
