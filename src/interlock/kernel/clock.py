"""Time is asked for, never taken: everything that needs it is given a `Clock`.

Instants are stored as whole milliseconds since the epoch, UTC, and shown as `2026-11-21T08:00:00.000Z`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

Clock = Callable[[], int]
"""Returns the present instant in milliseconds since the epoch, UTC."""

_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def system_clock() -> int:
    """Read the machine's wall clock."""
    return time.time_ns() // 1_000_000


def to_text(ms: int) -> str:
    """Show an instant as `2026-11-21T08:00:00.000Z`."""
    seconds, milliseconds = divmod(ms, 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(16)
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat().removesuffix("+00:00")


def from_text(text: str) -> int:
    """Read an instant that `to_text` wrote; raises ValueError for any other form."""
    if not _FORM.fullmatch(text):
        raise ValueError(f"not an instant of the form 2026-11-21T08:00:00.000Z: {text[:40]!a}")
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)
