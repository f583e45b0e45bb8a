"""A Markdown queue: one table in a file that people also edit by hand. The file owns its rows.

Reading is strict and names the line. Writing changes the bytes of the cells that change and no others: prose, line
endings, column spacing, Korean text and `-` markers stay. A change is made under a lock file, on what the file says at
that moment, and put in place by rename only if the file still is what was read: an editor's save in between is seen.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from interlock.evidence import publish
from interlock.queue.errors import (
    ItemNotFound,
    MarkdownChanged,
    MarkdownLocked,
    MarkdownMalformed,
    MarkdownMissing,
    MarkdownReadOnly,
)
from interlock.queue.models import PRIORITY_RANK, ItemStatus

COLUMNS = (
    "id",
    "status",
    "priority",
    "task",
    "success_criteria",
    "owner_session",
    "started_at_kst",
    "due_at_kst",
    "notes",
)
NOBODY = "-"
MAX_BYTES = 32 * 1024 * 1024

_PATIENCE_SECONDS = 30.0
_SEPARATOR = re.compile(r":?-+:?")
_BREAKS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_BOM = b"\xef\xbb\xbf"
_STATUSES = frozenset(status.value for status in ItemStatus)


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its cells, and where each stands in the line."""

    line: int
    """From 1."""
    cells: Mapping[str, str]
    spans: tuple[tuple[int, int], ...]
    """Byte offsets of each cell's segment, between its bars."""

    @property
    def id(self) -> str:
        """The item's id."""
        return self.cells["id"]


@dataclass(frozen=True, slots=True)
class Table:
    """A file with one queue table in it."""

    path: Path
    lines: tuple[bytes, ...]
    """With their line ends; joined they are the file."""
    rows: tuple[Row, ...]
    end: int
    """Index of the first line after the table."""

    def row(self, item_id: str) -> Row:
        """Return a row; raises `ItemNotFound`."""
        for row in self.rows:
            if row.id == item_id:
                return row
        raise ItemNotFound(f"Row id not found: {item_id[:64]}")

    def with_cells(self, item_id: str, changes: Mapping[str, str]) -> bytes:
        """Return the file with some cells of one row changed."""
        row = self.row(item_id)
        data = self.lines[row.line - 1]
        for name in sorted(changes, key=COLUMNS.index, reverse=True):
            start, end = row.spans[COLUMNS.index(name)]
            if cell(changes[name]) != row.cells[name]:
                data = data[:start] + _fitted(data[start:end], cell(changes[name])) + data[end:]
        return b"".join((*self.lines[: row.line - 1], data, *self.lines[row.line :]))

    def with_row(self, cells: Mapping[str, str]) -> bytes:
        """Return the file with a row more at the table's end, in the file's own line endings."""
        ending = b"\r\n" if self.lines[self.end - 1].endswith(b"\r\n") else b"\n"
        before = list(self.lines[: self.end])
        if not before[-1].endswith(b"\n"):
            before[-1] += ending
        text = "| " + " | ".join(cell(cells[name]) for name in COLUMNS) + " |"
        return b"".join((*before, text.encode("utf-8") + ending, *self.lines[self.end :]))


def cell(text: str) -> str:
    """Return a text as a cell can hold it: a bar becomes a slash, everything that breaks a line a space."""
    return _BREAKS.sub(" ", text).replace("|", "/").strip()


def read(path: Path) -> Table:
    """Read a queue; raises `MarkdownMissing` or `MarkdownMalformed`, naming the line."""
    return parse(path, _content(path))


def parse(path: Path, data: bytes) -> Table:
    """Find the table in a file's content."""
    if len(data) > MAX_BYTES:
        raise MarkdownMalformed(f"{path} is {len(data)} bytes; a Markdown queue has at most {MAX_BYTES}")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MarkdownMalformed(f"{path} line {line}: not UTF-8 text") from None
    lines = tuple(data.splitlines(keepends=True)) if b"\r" not in data.replace(b"\r\n", b"") else _split(data)
    header = _header(path, lines)
    if header + 1 >= len(lines) or not _is_separator(lines[header + 1]):
        raise MarkdownMalformed(f"{path} line {header + 2}: the separator line under the table's header is missing")
    rows: list[Row] = []
    place = header + 2
    while place < len(lines) and lines[place].lstrip().startswith(b"|"):
        rows.append(_row(path, lines[place], place + 1))
        place += 1
    _check_rest(path, lines, place)
    _check_rows(path, rows)
    return Table(path, lines, tuple(rows), place)


@contextmanager
def changing(path: Path) -> Generator[Change]:
    """Hold a queue alone and give what it says now; `Change.write` puts the new content in its place."""
    if os.environ.get("ORCH_QUEUE_MD_READ_ONLY", "").lower() in {"1", "true", "yes", "on"}:
        raise MarkdownReadOnly("QUEUE.md is read-only in DB SSOT mode (ORCH_QUEUE_MD_READ_ONLY is set)")
    real = path.resolve()
    if not real.is_file():
        _content(path)  # says what is wrong
    with _locked(real):
        data = _content(path)
        yield Change(parse(path, data), real, data)


@dataclass(frozen=True, slots=True)
class Change:
    """A queue that is held for one change."""

    table: Table
    real: Path
    read: bytes

    def write(self, content: bytes) -> None:
        """Put the new content in place, if the file still says what was read; raises `MarkdownChanged`."""
        if content == self.read:
            return
        parse(self.table.path, content)  # what we write must be readable, by us and by everybody else
        mode = self.real.stat().st_mode & 0o7777
        if _content(self.table.path) != self.read:
            raise MarkdownChanged(f"{self.table.path} was changed by somebody else in this moment")
        publish.replace(self.real, [content], mode=mode)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise MarkdownMissing(f"there is no queue {path}") from None
    except IsADirectoryError:
        raise MarkdownMissing(f"{path} is a folder, not a queue") from None
    except OSError as error:
        raise MarkdownMissing(f"{path} can not be read: {error.strerror}") from None


def _split(data: bytes) -> tuple[bytes, ...]:
    """Split at line feeds only: a lone carriage return is a character inside a cell."""
    parts = data.split(b"\n")
    return (*(part + b"\n" for part in parts[:-1]), *((parts[-1],) if parts[-1] else ()))


def _header(path: Path, lines: Sequence[bytes]) -> int:
    found = [place for place, line in enumerate(lines) if _is_header(line)]
    if not found:
        raise MarkdownMalformed(
            f"{path}: Queue table header not found", hint="the header is | " + " | ".join(COLUMNS) + " |"
        )
    if len(found) > 1:
        raise MarkdownMalformed(f"{path} line {found[1] + 1}: a second queue table; there may be one")
    return found[0]


def _is_header(line: bytes) -> bool:
    text = line.removeprefix(_BOM).strip()
    return text.startswith(b"|") and tuple(part.strip() for part in _segments(text.decode("utf-8"))) == COLUMNS


def _is_separator(line: bytes) -> bool:
    text = line.strip().decode("utf-8")
    cells = _segments(text)
    return text.startswith("|") and len(cells) == len(COLUMNS) and all(_SEPARATOR.fullmatch(c.strip()) for c in cells)


def _segments(text: str) -> list[str]:
    inner = text.removeprefix("|")
    return inner.removesuffix("|").split("|")


def _row(path: Path, line: bytes, number: int) -> Row:
    stripped = line.rstrip()
    start = len(line) - len(line.lstrip()) + 1
    end = len(stripped) - 1 if stripped.endswith(b"|") and len(stripped) > start else len(stripped)
    spans: list[tuple[int, int]] = []
    place = start
    for segment in line[start:end].split(b"|"):
        spans.append((place, place + len(segment)))
        place += len(segment) + 1
    if len(spans) != len(COLUMNS):
        raise MarkdownMalformed(
            f"{path} line {number}: Expected {len(COLUMNS)} cells in row, got {len(spans)}",
            hint="a | inside a cell is written as /",
        )
    cells = {name: line[a:b].decode("utf-8").strip() for name, (a, b) in zip(COLUMNS, spans, strict=True)}
    return Row(number, cells, tuple(spans))


def _check_rest(path: Path, lines: Sequence[bytes], end: int) -> None:
    """Refuse rows that a blank line has cut off: they would drop out of every count."""
    for place in range(end, len(lines)):
        text = lines[place].strip()
        if not text.startswith(b"|"):
            if text:
                return
            continue
        if len(_segments(text.decode("utf-8"))) == len(COLUMNS):
            raise MarkdownMalformed(
                f"{path} line {place + 1}: a row after a blank line is outside of the table",
                hint=f"take the blank line {place} away",
            )
        return


def _check_rows(path: Path, rows: Sequence[Row]) -> None:
    seen: dict[str, int] = {}
    for row in rows:
        if not row.id:
            raise MarkdownMalformed(f"{path} line {row.line}: the id is empty")
        if row.id in seen:
            raise MarkdownMalformed(f"{path} line {row.line}: the id {row.id} stands in line {seen[row.id]} already")
        seen[row.id] = row.line
        if row.cells["status"] not in _STATUSES:
            raise MarkdownMalformed(
                f"{path} line {row.line}: {row.id} has the unknown status {row.cells['status']!r}",
                hint="one of " + ", ".join(status.value for status in ItemStatus),
            )
        if row.cells["priority"] not in PRIORITY_RANK:
            raise MarkdownMalformed(
                f"{path} line {row.line}: {row.id} has the unknown priority {row.cells['priority']!r}",
                hint="one of " + ", ".join(PRIORITY_RANK),
            )


def _fitted(segment: bytes, text: str) -> bytes:
    """Put a text into a cell with the spacing that the cell has."""
    inner = segment.strip()
    if not inner:
        return b" " + text.encode("utf-8") + b" " if text else segment
    start = segment.index(inner)
    return segment[:start] + text.encode("utf-8") + segment[start + len(inner) :]


@contextmanager
def _locked(real: Path) -> Generator[None]:
    lock = real.with_name(f".{real.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise MarkdownReadOnly(f"{lock} can not be made: {error.strerror}") from None
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise MarkdownLocked(f"another process has been changing {real} for 30 s") from None
                time.sleep(0.005)
        yield
    finally:
        os.close(descriptor)
