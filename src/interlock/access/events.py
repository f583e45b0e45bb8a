"""What happens to tokens and sessions, when panic is raised and released, and who was turned away."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.kernel.events import Event


@dataclass(frozen=True, kw_only=True)
class TokenCreated(Event):
    """A token was made."""

    kind = "token.created"
    name: str
    holder: str
    """The principal that it proves."""
    role: str
    expires_ms: int | None


@dataclass(frozen=True, kw_only=True)
class TokenRotated(Event):
    """A token got another secret."""

    kind = "token.rotated"
    old_until_ms: int | None
    """Until when the secret before it still counts; None where it ended at once."""


@dataclass(frozen=True, kw_only=True)
class TokenRevoked(Event):
    """A token was taken back, with every session that it had opened."""

    kind = "token.revoked"
    calming = True
    reason: str


@dataclass(frozen=True, kw_only=True)
class TokenExpired(Event):
    """A token was shown after its time; told once."""

    kind = "token.expired"
    calming = True
    expires_ms: int


@dataclass(frozen=True, kw_only=True)
class SessionOpened(Event):
    """A browser logged in."""

    kind = "session.opened"
    calming = True
    token_id: str


@dataclass(frozen=True, kw_only=True)
class SessionEnded(Event):
    """A browser logged out."""

    kind = "session.ended"
    calming = True
    token_id: str


@dataclass(frozen=True, kw_only=True)
class PanicRaised(Event):
    """Everything that changes something was frozen."""

    kind = "panic.raised"
    calming = True
    reason: str


@dataclass(frozen=True, kw_only=True)
class PanicReleased(Event):
    """What was frozen goes on."""

    kind = "panic.released"
    calming = True
    reason: str
    lasted_ms: int


@dataclass(frozen=True, kw_only=True)
class AccessDenied(Event):
    """Somebody was turned away; a flood from one source is told once a minute, counted."""

    kind = "access.denied"
    calming = True
    code: str
    deed: str
    """What was asked for; empty where nobody knows who asked."""
    source: str | None = None
    """Where it came from, for what no principal stands behind."""
    times: int = 1
    minute_ms: int | None = None
    """The minute that is counted."""
