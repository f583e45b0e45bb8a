"""Keys, and texts that must not hold them. Pure."""

from __future__ import annotations

import re
from typing import TypeGuard

_KEY = re.compile(r"[!-~]{1,4096}")
_PIECE = 8
"""How many characters of a key in a row are taken for a piece of it."""
_WHOLE = 16
"""From how many characters on a key is taken for a secret."""
_GONE = "[key]"


def is_key(text: str) -> bool:
    """Say whether a text can stand in a header: plain characters, no space, no end of line."""
    return _KEY.fullmatch(text) is not None


def is_secret(key: str | None) -> TypeGuard[str]:
    """Say whether a key is none of the words that people put where a server wants none, like `ollama`."""
    return key is not None and len(key) >= _WHOLE


def without(text: str, key: str | None) -> str:
    """Take a key, and every larger piece of it, out of a text."""
    if not key:
        return text
    text = text.replace(key, _GONE)
    for start in range(len(key) - _PIECE + 1):
        text = text.replace(key[start : start + _PIECE], _GONE)
    return text


def without_whole(text: str, key: str | None) -> str:
    """Take a key out of a text that is to stay as it is otherwise."""
    return text.replace(key, _GONE) if is_secret(key) else text
