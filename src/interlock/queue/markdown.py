"""A Markdown queue: one table in a file that people also edit by hand. The file owns its rows.

Reading is strict and names the line. Writing changes the bytes of the cells that change and no others: prose, line
endings, column spacing, Korean text and `-` markers stay. A change is made under a lock file, on what the file says at
that moment, and put in place by rename only if the file still is what was read: an editor's save in between is seen.
A file whose banner says so is a window of the database; it is rendered, and changed by nobody else.

Operators read queues all day, so importing this and reading costs little; what only writing needs is imported there.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from interlock.queue.errors import (
    ItemNotFound,
    MarkdownChanged,
    MarkdownLocked,
    MarkdownMalformed,
    MarkdownMissing,
    MarkdownReadOnly,
    MarkdownUnwritten,
)

COLUMNS: tuple[str, ...] = (
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
STATUSES = ("PENDING", "IN_PROGRESS", "BLOCKED", "FAILED", "DONE")
PRIORITIES = ("P0", "P1", "P2")
NOBODY = "-"
MAX_BYTES = 32 * 1024 * 1024
MAX_ID = 128
BANNER_START = b"<!-- interlock: rendered from the database"
BANNER = BANNER_START + b"; use `interlock queue`, a change made here is overwritten -->"

_NAMED = 4
"""So many of the header's names tell a queue; the tools that share such files look at no more."""
_LONG_LINE = 64 * 1024
_PATIENCE_SECONDS = 30.0
_SEPARATOR = re.compile(r":?-+:?")
_BREAKS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_BOM = "\ufeff"
_STATUSES = frozenset(STATUSES)
_PRIORITIES = frozenset(PRIORITIES)

Location = str | os.PathLike[str]
Fields = Mapping[str, str]
"""Cells by column name."""


class Row(NamedTuple):
    """One row."""

    line: int
    """From 1."""
    cells: dict[str, str]

    @property
    def id(self) -> str:
        """The item's id."""
        return self.cells["id"]


class Table(NamedTuple):
    """A file with one queue table in it."""

    path: str
    mark: str
    """The byte order mark, or nothing."""
    lines: list[str]
    """The file's text, split at line feeds."""
    header: int
    """Index of the header's line."""
    rows: tuple[Row, ...]
    end: int
    """Index of the first line after the table."""

    def row(self, item_id: str) -> Row:
        """Return a row; raises `ItemNotFound`."""
        for row in self.rows:
            if row.cells["id"] == item_id:
                return row
        raise ItemNotFound(f"Row id not found: {item_id[:64]}")

    def with_changes(self, changes: Mapping[str, Fields]) -> bytes:
        """Return the file with some cells of some rows changed, by id."""
        lines = list(self.lines)
        for item_id, cells in changes.items():
            row = self.row(item_id)
            lines[row.line - 1] = _changed(lines[row.line - 1], row, cells)
        return (self.mark + "\n".join(lines)).encode()

    def with_row(self, cells: Fields) -> bytes:
        """Return the file with a row more at the table's end, in the file's own line endings."""
        ending = _ending(self)
        before, last = self.lines[: self.end - 1], _ended(self, self.end - 1, ending)
        return _joined(self, [*before, last, _line(cells) + ending])


def cell(text: str) -> str:
    """Return a text as a cell can hold it: a bar becomes a slash, everything that breaks a line a space."""
    return _BREAKS.sub(" ", text).replace("|", "/").strip()


def read(path: Location) -> Table:
    """Read a queue; raises `MarkdownMissing` or `MarkdownMalformed`, naming the line."""
    return parse(path, content(path))


def parse(path: Location, data: bytes) -> Table:
    """Find the table in a file's content."""
    shown = os.fspath(path)
    if len(data) > MAX_BYTES:
        raise _too_large(shown, len(data))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MarkdownMalformed(f"{shown} line {line}: not UTF-8 text") from None
    mark = _BOM if text.startswith(_BOM) else ""
    lines = text[len(mark) :].split("\n")  # a lone carriage return is a character inside a cell
    header = _header(shown, lines)
    rows = tuple(_rows(shown, lines, header + 2))
    end = header + 2 + len(rows)
    _check_rest(shown, lines, end)
    return Table(shown, mark, lines, header, rows, end)


def is_window(table: Table) -> bool:
    """Say whether the database renders this queue."""
    return any(map(_is_banner, table.lines[: table.header]))


def begins_as_window(path: Location) -> bool:
    """Say the same by a file's beginning alone; False also where it can not be read."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            while line := file.readline(_LONG_LINE):
                if line.startswith(BANNER_START):
                    return True
                if _is_header(line.decode(errors="replace")):
                    return False
    except (OSError, ValueError):
        pass  # `read` says what is wrong
    return False


def rendered(table: Table, rows: Iterable[Fields], *, banner: bool) -> bytes:
    """Return the file with these rows instead of its own. A row that was there keeps its spacing."""
    there, ending, lines = {row.id: row for row in table.rows}, _ending(table), table.lines[: table.header]
    if not banner:
        lines = [line for line in lines if not _is_banner(line)]
    elif not is_window(table):
        lines.append(BANNER.decode() + ending)
    lines += [table.lines[table.header], _ended(table, table.header + 1, ending)]
    for cells in rows:
        row = there.get(cell(cells["id"]))
        lines.append(_changed(_ended(table, row.line - 1, ending), row, cells) if row else _line(cells) + ending)
    return _joined(table, lines)


@contextmanager
def changing(path: Location, *, rendering: bool = False) -> Generator[Change]:
    """Hold a queue alone and give what it says now; `Change.write` puts the new content in its place.

    Rendering is what keeps a window and a read-only queue up to date, so neither stands against it.
    """
    if not rendering and os.environ.get("ORCH_QUEUE_MD_READ_ONLY", "").lower() in {"1", "true", "yes", "on"}:
        raise MarkdownReadOnly("QUEUE.md is read-only in DB SSOT mode (ORCH_QUEUE_MD_READ_ONLY is set)")
    content(path)  # says what is wrong, before a lock file is made beside it
    real = os.path.realpath(path)
    with locked(real):
        data = content(real)
        table = parse(path, data)
        if not rendering and is_window(table):
            raise MarkdownReadOnly(
                f"{table.path} is rendered from the database; use `interlock queue …` (or `--db`) to change an item"
            )
        yield Change(table, real, data)


class Change(NamedTuple):
    """A queue that is held for one change."""

    table: Table
    real: str
    read: bytes

    def write(self, new: bytes, *, before: Callable[[], None] = lambda: None) -> Table:
        """Put the new content in place, if the file still says what was read; raises `MarkdownChanged`.

        `before` is called when nothing stands against it any more.
        """
        table = parse(self.table.path, new)  # what we write must be readable, by us and by everybody else
        if new == self.read:
            return table
        before()
        if content(self.real) != self.read:
            raise MarkdownChanged(f"{table.path} was changed by somebody else in this moment")
        try:
            _replace(self.real, new)
        except OSError as error:
            raise MarkdownUnwritten(f"{table.path} can not be written: {error.strerror}") from None
        return table


def content(path: Location) -> bytes:
    """Return what a queue's file holds; raises `MarkdownMissing` where there is none, and for one too large."""
    shown = os.fspath(path)
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise MarkdownMissing(f"{shown} is no file, and so no queue")
            if found.st_size > MAX_BYTES:
                raise _too_large(shown, found.st_size)
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise MarkdownMissing(f"there is no queue {shown}") from None
    except IsADirectoryError:
        raise MarkdownMissing(f"{shown} is a folder, not a queue") from None
    except OSError as error:
        raise MarkdownMissing(f"{shown} can not be read: {error.strerror}") from None
    except ValueError:
        raise MarkdownMissing(f"{shown!a} is no file name") from None


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe would keep us until somebody writes into it."""
    return os.open(path, flags | os.O_NONBLOCK)


@contextmanager
def locked(real: str, *, patience_seconds: float = _PATIENCE_SECONDS) -> Generator[None]:
    """Hold a queue's lock file, which lies beside it."""
    import random
    import time

    deadline = time.monotonic() + patience_seconds
    while (descriptor := _try_lock(real)) is None:
        if time.monotonic() > deadline:
            raise MarkdownLocked(f"another process has been changing {real} for {patience_seconds:.0f} s")
        time.sleep(random.uniform(0.001, 0.006))  # noqa: S311 - fairness, not a secret
    try:
        yield
    finally:
        os.close(descriptor)


def _try_lock(real: str) -> int | None:
    """Return the held lock's descriptor, or None where another process holds it."""
    import fcntl

    folder, name = os.path.split(real)
    lock = os.path.join(folder, f".{name}.lock")
    try:
        # Whoever may write the queue may lock it.
        mode = stat.S_IMODE(os.stat(real).st_mode) & 0o666
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode | 0o600)
    except OSError as error:
        raise MarkdownReadOnly(f"{lock} can not be made: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


# --- the table's lines ------------------------------------------------------------------------------------------------


def _header(path: str, lines: Sequence[str]) -> int:
    place = next((place for place, line in enumerate(lines) if _is_header(line)), None)
    if place is None:
        raise MarkdownMalformed(
            f"{path}: Queue table header not found", hint="the header is | " + " | ".join(COLUMNS) + " |"
        )
    names = _names(lines[place])
    if len(names) != len(COLUMNS):
        raise MarkdownMalformed(f"{path} line {place + 1}: the header has {len(names)} columns, not {len(COLUMNS)}")
    for name, wanted in zip(names, COLUMNS, strict=True):
        if name != wanted and name in COLUMNS:
            raise MarkdownMalformed(
                f"{path} line {place + 1}: the column {name} stands where {wanted} belongs",
                hint="the order is " + ", ".join(COLUMNS),
            )
    if place + 1 >= len(lines) or not _is_separator(lines[place + 1]):
        raise MarkdownMalformed(f"{path} line {place + 2}: the separator line under the table's header is missing")
    return place


def _is_header(line: str) -> bool:
    return "status" in line and _names(line)[:_NAMED] == COLUMNS[:_NAMED]


def _names(line: str) -> tuple[str, ...]:
    text = line.strip()
    return tuple(map(str.strip, _segments(text))) if text.startswith("|") else ()


def _is_separator(line: str) -> bool:
    cells = _names(line)
    return len(cells) == len(COLUMNS) and all(map(_SEPARATOR.fullmatch, cells))


def _segments(text: str) -> list[str]:
    return text[1:-1].split("|") if len(text) > 1 and text[-1] == "|" else text[1:].split("|")


def _rows(path: str, lines: Sequence[str], start: int) -> Generator[Row]:
    seen: dict[str, int] = {}
    for place in range(start, len(lines)):
        text = lines[place].strip()
        if text[:1] != "|":
            return
        segments = _segments(text)
        if len(segments) != len(COLUMNS):
            raise MarkdownMalformed(
                f"{path} line {place + 1}: Expected {len(COLUMNS)} cells in row, got {len(segments)}",
                hint="a | inside a cell is written as /",
            )
        cells = dict(zip(COLUMNS, map(str.strip, segments), strict=True))
        item_id = cells["id"]
        if (
            item_id in seen
            or not 0 < len(item_id) <= MAX_ID
            or cells["status"] not in _STATUSES
            or cells["priority"] not in _PRIORITIES
        ):
            raise _wrong(path, lines[place], Row(place + 1, cells), seen)
        seen[item_id] = place + 1
        yield Row(place + 1, cells)


def _wrong(path: str, line: str, row: Row, seen: Mapping[str, int]) -> MarkdownMalformed:
    """Return the error that says what is wrong with a row."""
    where = f"{path} line {row.line}"
    if _is_header(line):
        return _second_table(path, row.line)
    if not row.id:
        return MarkdownMalformed(f"{where}: the id is empty")
    if len(row.id) > MAX_ID:
        return MarkdownMalformed(f"{where}: the id {row.id[:40]!a}… has more than {MAX_ID} characters")
    if row.id in seen:
        return MarkdownMalformed(f"{where}: the id {row.id} stands in line {seen[row.id]} already")
    name, known = ("status", STATUSES) if row.cells["status"] not in _STATUSES else ("priority", PRIORITIES)
    return MarkdownMalformed(
        f"{where}: {row.id} has the unknown {name} {row.cells[name][:40]!r}", hint="one of " + ", ".join(known)
    )


def _check_rest(path: str, lines: Sequence[str], end: int) -> None:
    """Refuse a second table, and rows that something has cut off: they would drop out of every count."""
    if lines[end:] and lines[end].count("|") >= len(COLUMNS) - 1:
        raise MarkdownMalformed(f"{path} line {end + 1}: a row begins with |")
    fenced = other = False
    for place in range(end, len(lines)):
        text = lines[place].strip()
        fenced ^= text.startswith(("```", "~~~"))
        other = text.startswith("|") and (other or _is_rule(lines[place + 1 : place + 2]))
        if fenced or text[:1] != "|":
            continue
        if _is_header(text):
            raise _second_table(path, place + 1)
        if not other and len(_segments(text)) == len(COLUMNS):
            raise MarkdownMalformed(
                f"{path} line {place + 1}: a row after a blank line is outside of the table",
                hint=f"take away what stands between it and the table, which ends in line {end}",
            )


def _is_rule(lines: Sequence[str]) -> bool:
    """Say whether these begin with what rules off the header of any table."""
    cells = _names(lines[0]) if lines else ()
    return bool(cells) and all(map(_SEPARATOR.fullmatch, cells))


def _second_table(path: str, line: int) -> MarkdownMalformed:
    return MarkdownMalformed(f"{path} line {line}: a second queue table; there may be one")


def _too_large(path: str, size: int) -> MarkdownMalformed:
    return MarkdownMalformed(f"{path} is {size} bytes; a Markdown queue has at most {MAX_BYTES}")


# --- writing ----------------------------------------------------------------------------------------------------------


def _line(cells: Fields) -> str:
    return "| " + " | ".join(cell(cells[name]) for name in COLUMNS) + " |"


def _changed(line: str, row: Row, changes: Fields) -> str:
    """Return a row's line with some cells changed; where they stand and what is around them stays."""
    start = line.index("|") + 1
    end = len(line.rstrip())
    if end > start and line[end - 1] == "|":
        end -= 1
    segments = line[start:end].split("|")
    for name, text in changes.items():
        if row.cells[name] not in {text, cell(text)}:
            place = COLUMNS.index(name)
            segments[place] = _fitted(segments[place], cell(text))
    return line[:start] + "|".join(segments) + line[end:]


def _fitted(segment: str, text: str) -> str:
    """Put a text into a cell with the spacing that the cell has."""
    inner = segment.strip()
    if not inner:
        return f" {text} " if text else segment
    start = segment.index(inner)
    return segment[:start] + text + segment[start + len(inner) :]


def _ending(table: Table) -> str:
    """Return what stands before the line feeds of the file's table."""
    return "\r" if table.lines[table.header].endswith("\r") else ""


def _ended(table: Table, place: int, ending: str) -> str:
    """Return a line as it can be followed by another one."""
    return table.lines[place] + (ending if place == len(table.lines) - 1 else "")


def _joined(table: Table, lines: Sequence[str]) -> bytes:
    """Return the file with these lines up to the table's end."""
    return (table.mark + "\n".join([*lines, *(table.lines[table.end :] or [""])])).encode()


def _is_banner(line: str) -> bool:
    return line.startswith(BANNER_START.decode())


def clear(path: Location) -> None:
    """Take away what calls that were killed left half written; only who holds the queue may call this."""
    from pathlib import Path

    from interlock.evidence import publish

    file = Path(path)
    for left in publish.left_over(file.parent, file.name):
        left.unlink(missing_ok=True)


def _replace(real: str, new: bytes) -> None:
    from pathlib import Path

    from interlock.evidence import publish

    clear(real)
    mode = stat.S_IMODE(os.stat(real).st_mode)
    publish.replace(Path(real), [new], mode=mode)
    if stat.S_IMODE(os.stat(real).st_mode) != mode:  # the umask took something off
        os.chmod(real, mode)
