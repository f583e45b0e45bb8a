"""What the room needs of a log, and who may keep a head. Storage fulfils both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from interlock.evidence.models import Cosignature, LoggedEvent, SignedHead


class LogReader(Protocol):
    """Reads the sealed log. Leaves are dense: indexes 0 to `size() - 1`, none missing, none ever changed."""

    def size(self) -> int:
        """Return how many leaves are sealed."""
        ...

    def leaves(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the leaf bytes of `start <= index < end` in order."""
        ...

    def leaf_hashes(self, end: int, start: int = 0) -> Sequence[bytes]:
        """Return the leaf hashes from `start` up to `end`, which is not among them, 32 bytes each."""
        ...

    def heads(self) -> Sequence[SignedHead]:
        """Return every head ever signed, by rising size."""
        ...

    def last_head(self) -> SignedHead | None:
        """Return the head of the largest size, if one was ever signed."""
        ...

    def key_events(self) -> Sequence[tuple[int, LoggedEvent]]:
        """Return every change of keys with its leaf index, in order."""
        ...

    def envelope(self, ref: str) -> bytes | None:
        """Return the envelope of an attestation by its digest (`sha256:<hex>`), or None where there is none."""
        ...

    def cosignatures(self) -> Sequence[Cosignature]:
        """Return every cosignature ever added, by rising size."""
        ...


class HeadWriter(Protocol):
    """Keeps signed heads, and what witnesses add to them."""

    def add_head(self, head: SignedHead) -> None:
        """Keep a head; the same head a second time changes nothing."""
        ...

    def add_cosignatures(self, cosignatures: Sequence[Cosignature]) -> None:
        """Keep cosignatures; the same one a second time changes nothing."""
        ...
