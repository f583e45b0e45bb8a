"""How much a caller may ask, and how denials are counted. Kept in memory, in bounded space, by clocks that are given.

A principal has a bucket of its own, an address has one for bad tokens. Who shows a good token is never held up by the
bad ones of somebody else behind the same address.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from interlock.access.options import AccessOptions

_MOST_KEYS = 10_000
_MINUTE_MS = 60_000

Monotonic = Callable[[], float]
"""Returns seconds that never go back."""


class Decision(NamedTuple):
    """Whether a caller may go on, and what it should know about that."""

    allowed: bool
    limit: int
    """Requests a minute."""
    remaining: int
    """How many would be allowed at once now."""
    retry_after_seconds: float
    """How long to wait; 0 where it is allowed."""


class Buckets:
    """Token buckets by key: each fills at a rate and holds at most a burst. Who was not seen for longest is forgotten.

    A forgotten bucket is a full one; forgetting takes as many keys as there is room for, so it makes nobody freer than
    so many new names would.
    """

    def __init__(self, *, per_minute: int, burst: int, clock: Monotonic, most_keys: int = _MOST_KEYS) -> None:
        self._per_minute, self._burst = per_minute, burst
        self._clock, self._most_keys = clock, most_keys
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: str) -> Decision:
        """Take one of a key's bucket, if it holds one."""
        with self._lock:
            level, now = self._level(key)
            allowed = level >= 1.0
            level -= allowed
            self._known[key] = (level, now)
            self._known.move_to_end(key)
            if len(self._known) > self._most_keys:
                self._known.popitem(last=False)
        return self._decision(level, allowed=allowed)

    def __len__(self) -> int:
        """Count the keys that are remembered."""
        return len(self._known)

    def look(self, key: str) -> Decision:
        """Say what `take` would, and take nothing."""
        with self._lock:
            level, _ = self._level(key)
        return self._decision(level, allowed=level >= 1.0)

    def _level(self, key: str) -> tuple[float, float]:
        now = self._clock()
        level, since = self._known.get(key, (float(self._burst), now))
        return min(self._burst, level + max(0.0, now - since) * self._per_minute / 60), now

    def _decision(self, level: float, *, allowed: bool) -> Decision:
        wait = 0.0 if allowed else (1.0 - level) * 60 / self._per_minute
        return Decision(allowed, self._per_minute, int(level), wait)


class Throttle:
    """What callers may ask."""

    def __init__(self, options: AccessOptions, clock: Monotonic = time.monotonic) -> None:
        self._asked = Buckets(per_minute=options.requests_per_minute, burst=options.burst, clock=clock)
        bad = options.bad_tokens_per_minute
        self._failed = Buckets(per_minute=bad, burst=bad, clock=clock)

    def ask(self, principal: str) -> Decision:
        """Take one request of a principal."""
        return self._asked.take(principal)

    def fail(self, source: str) -> Decision:
        """Take one bad token of an address."""
        return self._failed.take(source)

    def failed(self, source: str) -> Decision:
        """Say whether an address may send another bad token, without counting."""
        return self._failed.look(source)


class Flood(NamedTuple):
    """What one source was denied in one minute."""

    source: str
    minute_ms: int
    times: int
    code: str
    """The code of the first of them."""


class Denials:
    """Folds denials of one source and minute into one."""

    def __init__(self, *, most_sources: int = _MOST_KEYS) -> None:
        self._counted: dict[tuple[int, str], Flood] = {}
        self._most_sources = most_sources
        self._lock = threading.Lock()

    def count(self, source: str, code: str, now_ms: int) -> None:
        """Take one. Sources beyond what is kept are counted together, as `others`."""
        minute = now_ms // _MINUTE_MS * _MINUTE_MS
        with self._lock:
            if (minute, source) not in self._counted and len(self._counted) >= self._most_sources:
                source = "others"
            flood = self._counted.get((minute, source), Flood(source, minute, 0, code))
            self._counted[minute, source] = flood._replace(times=flood.times + 1)

    def waiting(self, now_ms: int) -> bool:
        """Say whether a minute is over that has to be told."""
        minute = now_ms // _MINUTE_MS * _MINUTE_MS
        first = next(iter(self._counted), None)
        return first is not None and first[0] != minute

    def due(self, now_ms: int | None) -> Sequence[Flood]:
        """Give away the minutes that are over; all of them for None."""
        with self._lock:
            minute = None if now_ms is None else now_ms // _MINUTE_MS * _MINUTE_MS
            over = [key for key in self._counted if key[0] != minute]
            return [self._counted.pop(key) for key in over]
