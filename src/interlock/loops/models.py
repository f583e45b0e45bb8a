"""The room's words, and how JSON that somebody else wrote is read."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from time import gmtime
from typing import Any, Final, NamedTuple, cast

from interlock.loops.files import Document

SCHEMA: Final = "v1"

# --- the states of a loop ---------------------------------------------------------------------------------------------

AWAITING_APPROVAL: Final = "awaiting_approval"
COMPLETE: Final = "complete"
RUNNING: Final = "running"
STOPPED: Final = "stopped"
FAILED: Final = "failed"
IDLE: Final = "idle"
UNKNOWN: Final = "unknown"
STATES: Final = frozenset({AWAITING_APPROVAL, COMPLETE, RUNNING, STOPPED, FAILED, IDLE, UNKNOWN})
AT_REST: Final = STATES - {RUNNING, UNKNOWN}
"""No event and no heartbeat is to be expected of a loop in one of these."""

# --- what is found ----------------------------------------------------------------------------------------------------

HEALTHY: Final = "healthy"
DEGRADED: Final = "degraded"
CRITICAL: Final = "critical"


class Finding(NamedTuple):
    """One reason why a loop is not healthy."""

    code: str
    severity: str
    metric: str
    observed: str
    threshold: str

    @property
    def key(self) -> str:
        """By what two of them are the same."""
        return f"{self.code}:{self.severity}"

    def document(self) -> Document:
        """Return it as `health.json` has it."""
        return dict(zip(self._fields, self, strict=True))


def artifact_corrupt(metric: str, observed: str) -> Finding:
    """Say that a file could not be read as what it should be, and that work went on without it."""
    return Finding("artifact_corrupt", DEGRADED, metric, observed, "valid")


# --- time: whole seconds, as the files of a loop have it --------------------------------------------------------------

_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def stamp(seconds: int) -> str:
    """Show an instant as `2026-11-21T08:00:00Z`."""
    return "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z".format(*gmtime(seconds)[:6])


def seconds_of(value: object) -> int | None:
    """Read an RFC 3339 instant, of any offset and with fractions; None for anything else."""
    match = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(each) for each in match.groups()[:6])
    try:
        at = datetime(year, month, day, hour, minute, min(second, 59) if second == 60 else second, tzinfo=UTC)
    except ValueError:
        return None
    offset = 0
    if match[7]:
        offset = (int(match[8]) * 60 + int(match[9])) * (60 if match[7] == "+" else -60)
    found = at - _EPOCH
    return found.days * 86_400 + found.seconds - offset


def lag(now: int, value: object, touched: int | None = None) -> int | None:
    """Return how many seconds ago something was; None if its time can not be read.

    A time ahead of our clock says nothing of when it was: then the file's own time does, if it is known.
    """
    at = seconds_of(value)
    if at is None:
        return None
    if at > now and touched is not None:
        at = touched
    return max(0, now - at)


# --- JSON of any shape ------------------------------------------------------------------------------------------------


def text(document: Document | None, *path: str) -> str | None:
    """Return a string that is not empty, or None."""
    value = at(document, *path)
    return value if isinstance(value, str) and value else None


def whole(document: Document | None, *path: str) -> int | None:
    """Return a whole number not below 0, or None. Digits in a string count."""
    value = at(document, *path)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 18:
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def inner(document: Document | None, *path: str) -> Document | None:
    """Return an object, or None."""
    value = at(document, *path)
    return cast("Document", value) if isinstance(value, dict) else None


def objects(document: Document | None, *path: str) -> list[Document]:
    """Return the objects of a list, without what else it holds."""
    value = at(document, *path)
    if not isinstance(value, list):
        return []
    return [cast("Document", each) for each in cast("list[Any]", value) if isinstance(each, dict)]


def texts(document: Document | None, *path: str) -> list[str]:
    """Return the strings of a list, without what else it holds."""
    value = at(document, *path)
    return [each for each in cast("list[Any]", value) if isinstance(each, str)] if isinstance(value, list) else []


def at(document: Document | None, *path: str) -> Any:  # noqa: ANN401 - JSON of any shape
    """Return what stands at the end of a path of keys, or None."""
    value: Any = document
    for key in path:
        if not isinstance(value, dict):
            return None
        value = cast("Document", value).get(key)
    return value


def stripped(document: Document) -> Document:
    """Leave out the keys whose value is null."""
    return {key: value for key, value in document.items() if value is not None}


def new_trace() -> str:
    """Make a trace id: a random UUID in lower case."""
    value = (int.from_bytes(os.urandom(16), "big") & ~(0xF000 << 64) & ~(3 << 62)) | 4 << 76 | 2 << 62
    shown = f"{value:032x}"
    return "-".join((shown[:8], shown[8:12], shown[12:16], shown[16:20], shown[20:]))
