"""Principals: `human:alice`, `agent:r_…`, `service:worker@host`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from interlock.access.errors import HumanNeeded, MalformedCorrelationId, MalformedPrincipal

_CORRELATION = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@:+-]{0,127}")


class PrincipalKind(Enum):
    """What sort of being acts."""

    HUMAN = "human"
    AGENT = "agent"
    SERVICE = "service"


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
