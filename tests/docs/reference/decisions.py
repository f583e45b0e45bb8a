"""docs/decisions/index.md: every decision in a line, from the pages' own first lines."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.docs.reference import DOCS
from tests.docs.reference.markdown import page, table


def pages() -> Mapping[str, str]:
    """Return the page."""
    rows = [_row(path.name, path.read_text(encoding="utf-8")) for path in sorted((DOCS / "decisions").glob("0*.md"))]
    about = "Why it is built so: what was chosen, what was not, and what was measured."
    return {"decisions/index.md": page("Decisions", about, table(["number", "decision", "first of all"], rows))}


def _row(name: str, text: str) -> tuple[str, str, str]:
    number, title = name[:4], text.splitlines()[0].removeprefix("# ").partition(". ")[2]
    return str(int(number)), f"[{title}]({name})", _first_words(text)


def _first_words(text: str) -> str:
    """Return the first sentence, where the page begins with prose; links and emphasis are taken off."""
    plain = " ".join(text.split("\n\n")[1].split())
    if plain[0] in "|#":
        return ""
    plain = re.sub(r"\*\*|\[([^\]]*)\]\([^)]*\)", lambda match: match[1] or "", plain)
    return re.split(r"(?<=[.;:])\s", plain, maxsplit=1)[0].rstrip(";:.") + "."
