"""What people may write into a queue: checked once, whichever store it goes to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from interlock.kernel.errors import Invalid
from interlock.kernel.words import LABEL
from interlock.queue.models import PRIORITY_RANK, NewItem

MOST_TEXT = 64 * 1024
_MOST_LINE = 2_000
_MOST_NAME = 128
_BREAKS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_DUE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d", re.ASCII)
_MARKER = re.compile(r"retry_not_before=(\d{1,11})(?!\d)")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_MOST_NEEDS = 512
_MOST_ADDRESS = 1_024
PLACED = ("repository", "agent", "node")
"""What a limit can be for, beside a concurrency key: `repository:…`, `agent:…`, `node:…`."""
_KST = timedelta(hours=9)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END_OF_TIME_MS = 253_402_300_799_999  # the end of the year 9999, behind which no calendar goes
_MOST_ATTEMPTS = 1_000


def checked_priority(priority: str) -> str:
    """Return a priority; raises `Invalid` for an unknown one."""
    if priority not in PRIORITY_RANK:
        raise Invalid(f"the priority is one of {', '.join(PRIORITY_RANK)}, not {priority[:20]!a}")
    return priority


def checked_owner(name: str, what: str = "owner session") -> str:
    """Return the name of a session or a key: 1 to 128 printable characters, no `|`, no space around."""
    if (
        not name
        or name == "-"
        or len(name) > _MOST_NAME
        or not name.isprintable()
        or "|" in name
        or name != name.strip()
    ):
        raise Invalid(f"{name[:64]!a} is no {what}: 1 to {_MOST_NAME} printable characters, no |, no space around")
    return name


def checked_label(label: str) -> str:
    """Return a label or capability: NAME or NAME=VALUE."""
    if not LABEL.fullmatch(label):
        raise Invalid(f"a label is NAME or NAME=VALUE, like gpu or region=eu, not {label[:80]!a}")
    return label


def checked_needs(labels: Iterable[str]) -> tuple[str, ...]:
    """Return what an item asks for, sorted, each once."""
    needs = tuple(sorted({checked_label(label) for label in labels}))
    if len(" ".join(needs)) > _MOST_NEEDS:
        raise Invalid(f"an item asks for labels of at most {_MOST_NEEDS} characters together")
    return needs


def placed(key: str) -> tuple[str, str] | None:
    """Take `repository:…`, `agent:…` or `node:…` apart; None for a concurrency key."""
    kind, colon, name = key.partition(":")
    return (kind, name) if colon and kind in PLACED else None


def checked_address(name: str, what: str) -> str:
    """Return a repository's address or the name of an agent or a node: printable, no space around."""
    fits = name and len(name.encode("utf-8", "surrogatepass")) <= _MOST_ADDRESS
    if not fits or not name.isprintable() or name != name.strip():
        raise Invalid(f"{name[:64]!a} is no {what}: 1 to {_MOST_ADDRESS} printable characters, no space around")
    return name


def checked_line(text: str, what: str) -> str:
    """Return a text as a note can hold it: one line, without what would break it or hide in it."""
    line = _BREAKS.sub(" ", text).strip()
    if len(line) > _MOST_LINE:
        raise Invalid(f"the {what} has {len(line)} characters; at most {_MOST_LINE} fit")
    _no_nul(line, what)
    return line


def checked_text(text: str, what: str) -> str:
    """Return a text of several lines that says something."""
    if not text.strip():
        raise Invalid(f"the {what} is blank")
    if len(text.encode("utf-8", "surrogatepass")) > MOST_TEXT:
        raise Invalid(f"the {what} is larger than {MOST_TEXT} bytes")
    _no_nul(text, what)
    return text


def checked_due(text: str) -> str:
    """Return a due time: `-`, or `2026-11-21 17:00`, which is UTC+9."""
    if text != "-" and not _DUE.fullmatch(text):
        raise Invalid(f"the due time is - or of the form 2026-11-21 17:00 (UTC+9), not {text[:40]!a}")
    return text


def checked_words(text: str, what: str) -> str:
    """Return a text that somebody else's program gave: as a note can hold it, cut where it is too long."""
    line = _UNSTORABLE.sub("\ufffd", _BREAKS.sub(" ", text)).strip()
    return checked_line(line if len(line) <= _MOST_LINE else line[: _MOST_LINE - 1] + "…", what)


def checked_instant(ms: int, what: str) -> int:
    """Return an instant that a calendar knows."""
    if not 0 <= ms <= _END_OF_TIME_MS:
        raise Invalid(f"{what} lies outside of the years 1970 to 9999")
    return ms


def checked_new(new: NewItem) -> NewItem:
    """Return an item that is about to be added, its notes on one line; raises `Invalid`."""
    checked_priority(new.priority)
    checked_text(new.task, "task")
    checked_text(new.success_criteria, "success criteria")
    checked_due(new.due_at_kst)
    for key, what in ((new.idempotency_key, "idempotency key"), (new.concurrency_key, "concurrency key")):
        if key is not None:
            checked_owner(key, what)
    if new.concurrency_key is not None and placed(new.concurrency_key) is not None:
        raise Invalid("a concurrency key does not begin with repository:, agent: or node:; these are counted anyway")
    for name, what in ((new.repository, "repository"), (new.agent, "agent")):
        if name is not None:
            checked_address(name, what)
    if new.not_before_ms is not None:
        checked_instant(new.not_before_ms, "the instant before which it may not begin")
    if not 0 <= new.max_attempts <= _MOST_ATTEMPTS:
        raise Invalid(f"an item is tried from 0 to {_MOST_ATTEMPTS} times, not {new.max_attempts}")
    return replace(new, notes=checked_line(new.notes, "notes"), needs=checked_needs(new.needs))


def storable(text: str) -> bool:
    """Say whether a database can hold a text: no NUL, no half of a surrogate pair."""
    return _UNSTORABLE.search(text) is None


def instant(text: str) -> int | None:
    """Read `2026-11-21 17:00`, UTC+9, in milliseconds since the epoch; None for anything else."""
    try:
        moment = datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC) - _KST
    except (ValueError, OverflowError):
        return None
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def not_before(notes: str, now_ms: int) -> int | None:
    """Return the instant that the last retry marker names, if it is still to come."""
    found = _MARKER.findall(notes)
    return int(found[-1]) * 1000 if found and int(found[-1]) * 1000 > now_ms else None


def _no_nul(text: str, what: str) -> None:
    if not storable(text):
        raise Invalid(f"the {what} holds a character that can not be stored (NUL, or half of a surrogate pair)")
