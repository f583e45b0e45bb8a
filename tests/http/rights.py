"""Writes the table of who may do what in docs/SECURITY.md anew: `.venv/bin/python -m tests.http.rights`."""

from __future__ import annotations

import re
from pathlib import Path

from interlock.doors.api import LEVELS
from tests.http.routes import ways

PAGE = Path(__file__).resolve().parents[2] / "docs" / "SECURITY.md"
_TABLE = re.compile(r"(?<=<!-- rights -->\n).*?(?=<!-- /rights -->)", re.DOTALL)


def table() -> str:
    """Return the table of the code as it is."""
    lines = ["| what | route | actions | operator | admin | only humans |", "|---|---|---|---|---|---|"]
    for way in sorted(ways(), key=lambda way: (way.template, way.method)):
        marks = ["yes" if LEVELS.index(level) >= LEVELS.index(way.level) else "" for level in LEVELS]
        route = f"`{way.method} {way.template}`"
        lines.append(" | ".join(["| " + way.about, route, *marks, "yes" if way.for_humans else ""]) + " |")
    return "\n".join(re.sub(" +", " ", line) for line in lines) + "\n"


def committed() -> str:
    """Return the table as it stands on the page."""
    match = _TABLE.search(PAGE.read_text(encoding="utf-8"))
    return match[0] if match else ""


if __name__ == "__main__":
    PAGE.write_text(_TABLE.sub(lambda _: table(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
