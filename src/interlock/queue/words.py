"""What people may write into a queue: checked once, whichever store it goes to."""

from __future__ import annotations

import re

from interlock.kernel.errors import Invalid
from interlock.queue.models import PRIORITY_RANK, NewItem

MOST_TEXT = 64 * 1024
_MOST_LINE = 2_000
_MOST_NAME = 128
_BREAKS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_DUE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d", re.ASCII)


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


def checked_new(new: NewItem) -> NewItem:
    """Return an item that is about to be added; raises `Invalid`."""
    checked_priority(new.priority)
    checked_text(new.task, "task")
    checked_text(new.success_criteria, "success criteria")
    checked_due(new.due_at_kst)
    checked_line(new.notes, "notes")
    for key, what in ((new.idempotency_key, "idempotency key"), (new.concurrency_key, "concurrency key")):
        if key is not None:
            checked_owner(key, what)
    return new


def _no_nul(text: str, what: str) -> None:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise Invalid(f"the {what} holds a character that can not be stored (NUL, or half of a surrogate pair)")
