"""Bodies that the log names only by a salted commitment, so that they can be erased without breaking a proof.

A commitment is `salted-sha256:<hex of SHA-256(salt ‖ body)>` with 32 random bytes of salt. Salt and body lie together
and are erased together: what is left can be neither read nor guessed. Plain digests (`sha256:<hex>`) name what is
public by nature: envelopes, patches.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Text:
    """An erasable text and the commitment that stands for it."""

    ref: str
    body: str | None
    """None once it has been erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A body on its way into the store."""

    ref: str
    salt: bytes | None
    body: bytes
    media_type: str


def commit(body: str, media_type: str = "text/plain") -> Sealed:
    """Salt a text and commit to it."""
    salt, data = os.urandom(SALT_BYTES), body.encode("utf-8")
    return Sealed(ref=commitment(salt, data), salt=salt, body=data, media_type=media_type)


def commitment(salt: bytes, body: bytes) -> str:
    """Return the commitment to a body under a salt."""
    return "salted-sha256:" + hashlib.sha256(salt + body).hexdigest()


def named(body: bytes, media_type: str) -> Sealed:
    """Name a public body by its digest."""
    return Sealed(ref="sha256:" + hashlib.sha256(body).hexdigest(), salt=None, body=body, media_type=media_type)


def named_envelope(envelope: bytes) -> Sealed:
    """Name a signed statement by its digest; the media type is DSSE's."""
    return named(envelope, "application/vnd.dsse.envelope.v1+json")


class ContentStore(Protocol):
    """Keeps bodies inside the transaction that is open."""

    def put(self, sealed: Sealed, *, of: str | None = None) -> str:
        """Keep a body; returns its reference. Keeping the same public body twice is one body.

        `of` is the id of what the body belongs to, with which it is erased.
        """
        ...

    def erase(self, of: str, refs: Sequence[str]) -> Sequence[str]:
        """Erase salt and body of these, and of all that belongs to `of`; returns what was there and is gone.

        What is public by nature (no salt) stays.
        """
        ...

    def get(self, ref: str) -> bytes | None:
        """Return a body, or None where it was erased or never kept."""
        ...

    def intact(self, ref: str) -> bool:
        """Say whether the stored body still matches its reference; an erased one has nothing to match."""
        ...
