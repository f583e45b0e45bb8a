"""Artefacts are searched for secrets before anything goes on. Told are rule and line, never what was found."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from interlock.pipelines.artefacts import Artefacts
from interlock.pipelines.events import SecurityScanned
from interlock.pipelines.models import Artefact

TOOL: Final = "kingfisher"
MOST_BYTES: Final = 8 * 2**20
_MOST_ISSUES: Final = 50
_NOT_SEARCHED: Final = "not-searched"
_MARK = re.compile(r"\[REDACTED:([a-z0-9._-]{1,128})\]", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What came of searching one artefact."""

    status: Literal["passed", "failed", "skipped"]
    issues: tuple[str, ...] = ()
    """`<rule> in line <n>`, at most 50."""
    why: str | None = None
    """Why it was skipped."""


def scan(artefacts: Artefacts, artefact: Artefact) -> Scan:
    """Search what was kept of an artefact; raises OSError where that is gone."""
    if artefact.size > MOST_BYTES:
        return Scan(status="skipped", why=f"larger than {MOST_BYTES} bytes")
    with os.fdopen(artefacts.open(artefact), "rb") as file:
        data = file.read(MOST_BYTES + 1)
    if b"\0" in data[:8192]:
        return Scan(status="skipped", why="not text")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return Scan(status="skipped", why="not text")
    return scan_text(text)


def scan_text(text: str) -> Scan:
    """Search a text."""
    from interlock.access.redaction import redact  # noqa: PLC0415 - it loads 36 MB of rules

    found = list(_found(text, redact(text)))
    secrets = [(rule, line) for rule, line in found if rule != _NOT_SEARCHED]
    if secrets:
        return Scan(status="failed", issues=tuple(f"{rule} in line {line}" for rule, line in secrets[:_MOST_ISSUES]))
    if found:
        return Scan(status="skipped", why=f"it took too long from line {found[0][1]} on")
    return Scan(status="passed")


def told(pipeline_id: str, artefact: Artefact, found: Scan) -> SecurityScanned:
    """Return the event that tells of it."""
    return SecurityScanned(
        subject=pipeline_id,
        scanned=artefact.path,
        tool=TOOL,
        status=found.status,
        issues=found.issues,
        metadata={"sha256": artefact.sha256, "size": artefact.size, "skipped_because": found.why},
    )


def _found(text: str, redacted: str) -> Iterator[tuple[str, int]]:
    """Yield rule and line of each mark that stands in `redacted` and not already in `text`.

    What stands between the marks is the text as it was, so each part is found again behind the one before.
    """
    place, line, counted = 0, 1, 0
    parts = _MARK.split(redacted)
    for at in range(0, len(parts) - 1, 2):
        place = text.find(parts[at], place)
        place = (counted if place < 0 else place) + len(parts[at])
        rule = parts[at + 1]
        mark = f"[REDACTED:{rule}]"
        if text.startswith(mark, place):
            place += len(mark)
            continue
        line += text.count("\n", counted, place)
        counted = place
        yield rule, line
