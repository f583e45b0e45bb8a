"""What arguments may be, by their grammar alone: nothing is looked up, and nothing of what was given is said again."""

from __future__ import annotations

import re
import unicodedata

from interlock.kernel.ids import has_prefix
from interlock.mcp.errors import ArgumentInvalid, DraftOutOfReach, FileOutside, NotAnId

_NAMES = {"a": "an approved record's id", "r": "a run's id", "d": "a draft's id"}
_DRAFT = re.compile(r"d_[0-9a-z]{26}", re.ASCII)
_AGENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@:+-]{0,127}", re.ASCII)
_MOST_FILE = 1024


def refuse_draft(text: str) -> None:
    """Refuse what a reader would take for a draft's id, in whatever letters it is written."""
    if _DRAFT.search(unicodedata.normalize("NFKC", text[:4096]).casefold()):
        raise DraftOutOfReach


def id_of(text: object, prefix: str) -> str:
    """Return an id of this kind; raises `DraftOutOfReach`, `NotAnId`."""
    if not isinstance(text, str):
        raise ArgumentInvalid(f"{_NAMES[prefix]} is a text")
    refuse_draft(text)
    if has_prefix(text, prefix):
        return text
    other = next((name for kind, name in _NAMES.items() if has_prefix(text, kind)), None)
    if other is not None:
        raise NotAnId(f"this is {other}; what is asked for is {_NAMES[prefix]}, {prefix}_…")
    raise NotAnId(f"this is no id; {_NAMES[prefix]} is {prefix}_ and 26 letters and digits", hint=_where(prefix))


def _where(prefix: str) -> str:
    return "ops://approved lists what may run" if prefix == "a" else "create_run answers with it"


def agent_name(text: object) -> str:
    """Return the name of an agent; raises `ArgumentInvalid`."""
    if not isinstance(text, str) or not _AGENT.fullmatch(text):
        raise ArgumentInvalid("agent is a name: 1 to 128 of A-Z a-z 0-9 . _ @ : + -")
    refuse_draft(text)
    return text


def file_name(text: object) -> str:
    """Return the path of a file inside of a repository; raises `FileOutside`."""
    if not isinstance(text, str) or not 0 < len(text) <= _MOST_FILE or not text.isprintable():
        raise FileOutside(f"file is 1 to {_MOST_FILE} printable characters")
    refuse_draft(text)
    parts = text.split("/")
    if "\\" in text or ":" in parts[0] or text.startswith("~") or not {"", ".", ".."}.isdisjoint(parts):
        raise FileOutside
    if any(unicodedata.normalize("NFKC", part).casefold().strip(". ") in {"", "git"} for part in parts):
        raise FileOutside
    return text


def wait_seconds(value: object, most: int) -> float:
    """Return how long to wait; raises `ArgumentInvalid`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise ArgumentInvalid(f"wait_seconds is a number from 0 to {most}")
    return float(value)
