"""Principals: `human:alice`, `agent:r_…`, `service:worker@host`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias

from interlock.access.errors import HumanNeeded, MalformedCorrelationId, MalformedPrincipal
from interlock.kernel.once import Once

TokenStanding: TypeAlias = Literal["valid", "expired", "revoked"]

_CORRELATION = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@:+-]{0,127}")


class PrincipalKind(Enum):
    """What sort of being acts."""

    HUMAN = "human"
    AGENT = "agent"
    SERVICE = "service"


class Role(Enum):
    """Who may call, from the least to the most. It says nothing about who decides: that is the principal's kind."""

    ACTIONS = "actions"
    """Reads."""
    OPERATOR = "operator"
    """Runs and cancels."""
    ADMIN = "admin"
    """Changes everything."""

    def covers(self, other: Role) -> bool:
        """Say whether this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts, after it has been proven."""

    kind: PrincipalKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> Principal:
        """Read `kind:name`; raises `MalformedPrincipal`."""
        kind, _, name = text.partition(":")
        try:
            return cls(PrincipalKind(kind), checked_name(name))
        except ValueError:
            raise MalformedPrincipal(f"not a principal: {text[:64]!a}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A principal in the middle of one request."""

    principal: Principal
    correlation_id: str | None = None
    once: Once | None = None
    """Under which key of the caller's it makes something, so that the same request makes it once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who calls over the network, as a token or a session proves it."""

    principal: Principal
    role: Role
    token_id: str
    """`t_<ulid>`, or `env:<VARIABLE>` for a token of the environment."""
    session_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token that is to be made."""

    name: str
    principal: Principal
    role: Role
    expires_in_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A named token. Its secret is nowhere, only what that hashes to."""

    id: str
    name: str
    principal: Principal
    role: Role
    digest: str
    """SHA-256 of the secret, in hex."""
    previous_digest: str | None
    """The secret before the last rotation, where it was given time to end."""
    previous_until_ms: int | None
    created_ms: int
    created_by: str
    expires_ms: int | None
    rotated_ms: int | None
    revoked_ms: int | None
    revoked_by: str | None
    last_used_ms: int | None
    """When it was last used, coarsely."""

    def standing(self, now_ms: int) -> TokenStanding:
        """Say whether it is valid at an instant, and if not, why."""
        if self.revoked_ms is not None:
            return "revoked"
        if self.expires_ms is not None and self.expires_ms <= now_ms:
            return "expired"
        return "valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A browser's session."""

    id: str
    digest: str
    """SHA-256 of the cookie's secret, in hex."""
    token_id: str
    token_digest: str
    """The token's secret with which it was opened: another secret ends it."""
    opened_ms: int
    seen_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Panic:
    """Panic mode, while it is on."""

    by: str
    reason: str
    since_ms: int


def checked_name(name: str) -> str:
    """Return `name` if a principal may be called that; raises `MalformedPrincipal`."""
    if not _NAME.fullmatch(name):
        raise MalformedPrincipal(f"not a name for a principal: {name[:64]!a}")
    return name


def checked_correlation_id(text: str) -> str:
    """Return a correlation id that has the right form; raises `MalformedCorrelationId`."""
    if not _CORRELATION.fullmatch(text):
        raise MalformedCorrelationId(f"not a correlation id: {text[:64]!a}; it is 1 to 128 of A-Z a-z 0-9 . _ : -")
    return text


def require_human(principal: Principal, deed: str) -> None:
    """Refuse an agent or a service; `deed` completes the sentence «only a human may …»."""
    if principal.kind is not PrincipalKind.HUMAN:
        raise HumanNeeded(f"only a human may {deed}; this call comes from {principal}")
