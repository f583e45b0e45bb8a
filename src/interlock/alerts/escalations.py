"""A loop's file of escalations, read on from where it was left, whatever became of it: put aside, cut, made anew."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from interlock.alerts.models import Document, Escalation, Place, inner, text_at, texts
from interlock.alerts.ports import Files

_MOST_CATEGORY = 128
_MOST_TRACE = 200
_MOST_CODES = 64


class Line(NamedTuple):
    """One whole line, and the place behind it."""

    data: bytes | None
    """None for one that is longer than reason."""
    digest: str
    place: Place


class Following(NamedTuple):
    """What is to be read."""

    lines: Iterator[Line]
    anew: bool
    """Whether it begins at the start, so that some of it may have been read before."""


def follow(files: Files, path: str, place: Place | None) -> Following:
    """Go on behind a place; without one, or where that is not found any more, at the start."""
    paths = [*files.rotated(path), path]
    if place is None or not place.rows:
        return Following(_numbered(files, paths, 0), anew=False)
    for number, each in enumerate(paths):
        with files.log(each) as log:
            if log is None or log.inode != place.inode or log.end() < place.position:
                continue
            if digest_of(next(log.backwards(place.position), None)) == place.digest:
                return Following(_onward(files, paths[number:], place), anew=False)
    return _searched(files, paths, place)


def _searched(files: Files, paths: list[str], place: Place) -> Following:
    """Look for the last row that was read, where it does not stand any more where it stood."""
    found: Place | None = None
    for line in _numbered(files, paths, 0):
        if line.digest == place.digest:
            found = line.place
    if found is None:
        return Following(_numbered(files, paths, 0), anew=True)
    return Following((line for line in _numbered(files, paths, 0) if line.place.rows > found.rows), anew=False)


def _onward(files: Files, paths: list[str], place: Place) -> Iterator[Line]:
    rows, position = place.rows, place.position
    for path in paths:
        with files.log(path) as log:
            if log is None:
                continue
            for after, data in log.lines(position, log.end()):
                rows += 1
                digest = digest_of(data)
                yield Line(data, digest, Place(rows, log.inode, after, digest))
        position = 0


def _numbered(files: Files, paths: list[str], rows: int) -> Iterator[Line]:
    return _onward(files, paths, Place(rows=rows))


def digest_of(line: bytes | None) -> str:
    """Return by what a line is known again."""
    return hashlib.sha256(b"\0" if line is None else line).hexdigest()


# --- what a line says -------------------------------------------------------------------------------------------------


def escalation_of(row: Document, source: str, loop: str) -> Escalation | None:
    """Read a row; None if it says nothing of what is the matter."""
    category = row.get("category")
    if not isinstance(category, str) or not 0 < len(category) <= _MOST_CATEGORY or not _is_plain(category):
        return None
    severity = row.get("severity")
    trace = text_at(row, "traceId")
    return Escalation(
        source=source,
        category=category,
        severity=severity if severity in {"info", "warning", "critical"} else None,
        row=row,
        trace_id=trace if trace and len(trace) <= _MOST_TRACE and _is_plain(trace) else None,
        summary=f"{category} in loop {loop}",
        codes=tuple(codes_of(row)),
    )


def codes_of(row: Document) -> list[str]:
    """Return the reasons that a row gives."""
    codes = texts(row, "reasonCodes")
    codes += [name for name, on in (inner(row, "divergenceFlags") or {}).items() if on is True]
    if not codes and text_at(row, "reasonCode"):
        codes = [str(row["reasonCode"])]
    return [each[:128] for each in codes if _is_plain(each)][:_MOST_CODES]


def _is_plain(text: str) -> bool:
    return text.isprintable()
