"""Tables and texts of Markdown, so that whatever the code says stands on the page as it says it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

MADE_BY: Final = "<!-- Made from the code by `python -m tests.docs.reference`; a test holds it. -->"
_CODE: Final = re.compile(r"(`[^`]*`)")


def page(title: str, *parts: str) -> str:
    """Return a whole page."""
    return "\n\n".join([f"# {title}", MADE_BY, *(part.strip("\n") for part in parts if part.strip())]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; empty without rows."""
    lines = ["| " + " | ".join(map(cell, row)) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *lines]) if lines else ""


def cell(text: str) -> str:
    """Return a text for one cell of a table."""
    parts = _CODE.split(" ".join(text.split()))
    return "".join(part.replace("|", "\\|") if part.startswith("`") else prose(part) for part in parts)


def prose(text: str) -> str:
    """Return a text in which nothing but code, links and emphasis means anything."""
    parts = _CODE.split(text)
    return "".join(part if part.startswith("`") else _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    return re.sub(r"<(?!br>)", "&lt;", text.replace("|", "\\|"))


def code(text: object) -> str:
    """Return a text as code."""
    return f"`{text}`"


def codes(words: Iterable[object], joint: str = ", ") -> str:
    """Return words as code, one behind the other."""
    return joint.join(code(word) for word in words)


def sentence(text: str | None) -> str:
    """Return the first paragraph of a docstring as one line."""
    return " ".join((text or "").strip().split("\n\n", 1)[0].split())


def body(text: str | None) -> str:
    """Return a docstring, its paragraphs unwrapped."""
    paragraphs = (text or "").replace("\b\n", "").strip().split("\n\n")
    return "\n\n".join(prose(" ".join(each.split())) for each in paragraphs)


def anchor(heading: str) -> str:
    """Return the anchor that a heading gets on the site."""
    plain = re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower()
    return re.sub(r"[-\s]+", "-", plain)
