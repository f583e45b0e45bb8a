"""Making something once, however often it is asked for: a caller names its request with a key of its own."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.kernel.errors import Conflict

KEPT_MS = 24 * 3_600_000
"""How long a key is remembered."""


class AlreadyMade(Conflict):
    """It has been made under this key already."""

    code = "already_made"


class KeyUsed(Conflict):
    """The key has been used for something else."""

    code = "idempotency_key_used"
    default_hint = "take a new Idempotency-Key for a new request; repeat an old one only with the same body"


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """A request that makes one thing: noted with it, in its transaction, or not at all."""

    route: str
    key: str
    request: str
    """The digest of what was asked for."""
    kind: str
    """The event that tells of the making; its subject is what was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """What was made under a key."""

    request: str
    subject: str
