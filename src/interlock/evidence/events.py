"""What happens to keys. The log itself says which keys count, from which entry on, and up to which.

`index` fields count entries of the log; None stands for the entry that the event itself becomes, which nobody knows
while it is written.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.kernel.canonical import JsonObject
from interlock.kernel.events import Event


@dataclass(frozen=True, kw_only=True)
class KeyAdded(Event):
    """A key counts from an entry on. Signed by the log's key and by the key itself, which so is seen to be held."""

    kind = "key.added"
    vkey: str
    keyid: str
    owner: str
    purpose: str
    role: str | None
    from_index: int | None
    reason: str
    attestation: JsonObject


@dataclass(frozen=True, kw_only=True)
class KeyRotated(Event):
    """A key has a successor, signed by both; the old one counts until it is retired."""

    kind = "key.rotated"
    old_keyid: str
    vkey: str
    keyid: str
    owner: str
    purpose: str
    role: str | None
    from_index: int | None
    reason: str
    attestation: JsonObject


@dataclass(frozen=True, kw_only=True)
class KeyRetired(Event):
    """A key signs nothing from an entry on."""

    kind = "key.retired"
    calming = True
    vkey: str
    keyid: str
    until_index: int | None
    reason: str
    attestation: JsonObject


@dataclass(frozen=True, kw_only=True)
class KeyRevoked(Event):
    """What a key signed from an entry on, which may be long past, does not count; what it signed before stands."""

    kind = "key.revoked"
    calming = True
    vkey: str
    keyid: str
    revoked_from: int | None
    reason: str
    attestation: JsonObject


KEY_CHANGES = (KeyAdded.kind, KeyRotated.kind, KeyRetired.kind, KeyRevoked.kind)
