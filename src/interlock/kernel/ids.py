"""Ids: a letter, an underscore, a ULID (26 Crockford base-32 characters), e.g. `d_01K9…`.

An id is unique and unguessable enough to be a name; it is never an order (rows are ordered by the database).
"""

from __future__ import annotations

import os
import re
import threading

from interlock.kernel.clock import Clock, system_clock
from interlock.kernel.errors import Invalid

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SHOWN_BY = {"d": "draft", "a": "approved", "r": "run"}
_GRAMMAR = re.compile(r"([a-z]+)_([0-7][0-9A-HJKMNP-TV-Z]{25})")


class MalformedId(Invalid):
    """This is not an id."""

    code = "malformed_id"


class UlidSource:
    """Makes ULIDs that rise within one process, also inside one millisecond and when the clock is set back."""

    def __init__(self, now: Clock = system_clock) -> None:
        self._now = now
        self._last = 0
        self._lock = threading.Lock()

    def __call__(self) -> str:
        """Return the next ULID, upper case."""
        with self._lock:
            fresh = (self._now() << 80) | int.from_bytes(os.urandom(10), "big")
            self._last = fresh if fresh >> 80 > self._last >> 80 else self._last + 1
            value = self._last
        return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(125, -1, -5))


def checked(text: str, prefix: str) -> str:
    """Return `text` if it is an id with this prefix, else raise `MalformedId`. Nothing unchecked touches a path."""
    match = _GRAMMAR.fullmatch(text)
    if match is None or match[1] != prefix:
        if match is not None and match[1] in _SHOWN_BY and prefix in _SHOWN_BY:
            raise MalformedId(
                f"{text} is a {_SHOWN_BY[match[1]]} id; a {_SHOWN_BY[prefix]} id begins with {prefix}_",
                hint=f"`interlock {_SHOWN_BY[match[1]]} show {text}` shows it",
            )
        shown = text if text.isprintable() and len(text) <= 64 else ascii(text[:64]) + "…"
        raise MalformedId(f"not a {prefix}_<ulid> id: {shown}")
    return text


def has_prefix(text: str, prefix: str) -> bool:
    """Say whether `text` is a well-formed id with this prefix."""
    match = _GRAMMAR.fullmatch(text)
    return match is not None and match[1] == prefix


def with_prefix(text: str, prefix: str) -> str:
    """Return the id with the same ULID under another prefix (`d_X` → `a_X`)."""
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise MalformedId(f"not an id: {text[:64]!a}")
    return f"{prefix}_{match[2]}"
