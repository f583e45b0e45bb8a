"""Reading and writing a loop's files. Nothing else in this room opens one.

A JSON file changes whole or not at all. A JSONL file gets whole lines; a torn last line (a writer was killed) is ended
and left, so that what follows is not lost with it. A full one is put aside as `<name>.000001`, rising; readers go
through all of them, the oldest first.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple, cast

from interlock.kernel.errors import Failed, Invalid

ROTATE_BYTES: Final = 16 * 1024 * 1024
MOST_JSON: Final = 64 * 1024 * 1024
MOST_LINE: Final = 16 * 1024 * 1024
_BLOCK: Final = 64 * 1024
_STRIDE: Final = 1024 * 1024
_TAIL: Final = 4096
_DEEP: Final = 400
_COMPACT: Final = (",", ":")

Document = dict[str, Any]


class FileCorrupt(Invalid):
    """A file holds no JSON object."""

    code = "file_corrupt"


class FileUnreadable(Failed):
    """A file can not be read."""

    code = "file_unreadable"


class FileUnwritten(Failed):
    """A file can not be written."""

    code = "file_unwritten"


# --- JSON files -------------------------------------------------------------------------------------------------------


def read_json(path: str) -> Document | None:
    """Return the object in a file, or None where there is no file; raises `FileCorrupt`, `FileUnreadable`."""
    data = read_bytes(path)
    if data is None:
        return None
    document = parsed(data)
    if document is None:
        raise FileCorrupt(f"invalid JSON in {path}")
    return document


def read_bytes(path: str) -> bytes | None:
    """Return what a file holds, or None where there is none; raises `FileUnreadable`."""
    found = seen(path)
    return None if found is None else found.data


class Seen(NamedTuple):
    """What a file held when it was looked at."""

    data: bytes
    mtime: int


def seen(path: str) -> Seen | None:
    """Return what a file holds and when it was last written; None where there is none; raises `FileUnreadable`."""
    descriptor = _descriptor(path)
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        found = os.fstat(descriptor)
        if found.st_size > MOST_JSON:
            raise FileUnreadable(f"{path} is larger than {MOST_JSON} bytes")
        return Seen(file.readall(), int(found.st_mtime))


def _refuse(name: str) -> Any:  # noqa: ANN401 - it never returns
    raise ValueError(f"{name} is no JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse)


def parsed(text: bytes, *, around: int = 0) -> Document | None:
    """Return the JSON object that a text holds; None for anything else, and for one nested beyond reason.

    `around`: how many levels somebody has wrapped around what is to be within reason.
    """
    try:
        document = _DECODER.decode(text.removeprefix(b"\xef\xbb\xbf").decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    deep = _DEEP + around
    if text.count(b"{") + text.count(b"[") > deep and _depth(document) > deep:
        return None
    return cast("Document", document)


def _depth(value: Any) -> int:  # noqa: ANN401 - JSON of any shape
    level: list[Any] = [value]
    depth = 0
    while level:
        depth += 1
        level = [inner for each in level for inner in _inside(each)]
    return depth


def _inside(value: Any) -> Iterable[Any]:  # noqa: ANN401 - JSON of any shape
    if isinstance(value, dict):
        return cast("Document", value).values()
    return cast("list[Any]", value) if isinstance(value, list) else ()


def text_of(document: Mapping[str, Any], *, pretty: bool = False) -> str:
    """Return a document as one line, or indented by two; no newline at the end. A number beyond all bounds is null."""
    indent, separators = (2, None) if pretty else (None, _COMPACT)
    try:
        return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=indent, separators=separators)
    except ValueError:
        return json.dumps(_bounded(document), ensure_ascii=False, indent=indent, separators=separators)


def _bounded(value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    if isinstance(value, dict):
        return {key: _bounded(each) for key, each in cast("Document", value).items()}
    if isinstance(value, list):
        return [_bounded(each) for each in cast("list[Any]", value)]
    return None if isinstance(value, float) and value - value != 0 else value


def bytes_of(document: Mapping[str, Any], *, pretty: bool = False) -> bytes:
    """Return a document as a file holds it. A lone surrogate, which UTF-8 can not hold, stays escaped."""
    text = text_of(document, pretty=pretty)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        # One can only stand inside a string, where JSON knows the same escape as Python.
        return text.encode(errors="backslashreplace") + b"\n"


class Replacement(NamedTuple):
    """A file's new content."""

    path: str
    data: bytes
    lasting: bool = True
    """On the disk when it is in its place. Without, a power cut may leave it empty."""


def replace(path: str, data: bytes) -> None:
    """Put a file in its place, whole and lasting; raises `FileUnwritten`, and then nothing has changed."""
    replace_all([Replacement(path, data)])


def replace_all(replacements: Sequence[Replacement]) -> None:
    """Put files in their places in this order, each of them whole; raises `FileUnwritten`.

    All are written before the first is put, so that where there is no space for all of them nothing has changed.
    """
    fresh: dict[str, Replacement] = {}
    path = ""
    try:
        for each in replacements:
            path, (folder, name) = each.path, os.path.split(each.path)
            beside = os.path.join(folder, f".{name}.{os.urandom(8).hex()}.tmp")
            fresh[beside] = each
            _write_fresh(beside, each)
        for beside, each in list(fresh.items()):
            path = each.path
            os.rename(beside, path)
            del fresh[beside]
        for folder in {os.path.dirname(each.path) for each in replacements if each.lasting}:
            _sync(folder)
    except OSError as error:
        raise FileUnwritten(f"{path} can not be written: {error.strerror}") from None
    finally:
        for beside in fresh:
            with suppress(OSError):
                os.unlink(beside)


def _write_fresh(path: str, replacement: Replacement) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        _write(descriptor, replacement.data)
        if replacement.lasting:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def forget(path: str) -> None:
    """Remove a file that has done its service."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def remove_old(path: str) -> None:
    """Remove a temporary file that nobody can still be writing."""
    with suppress(OSError):
        if os.stat(path).st_mtime + 60 < os.stat(os.path.dirname(path)).st_mtime:
            os.unlink(path)


# --- JSONL files ------------------------------------------------------------------------------------------------------


class Addition(NamedTuple):
    """Lines that are to stand at a file's end once, however often they are added."""

    path: str
    data: bytes
    expected: int
    """How long the file was when this was planned."""
    aside: str | None = None
    """Where the file, which is full, goes first."""


def append(path: str, lines: Sequence[bytes], *, lasting: bool = False) -> None:
    """Write whole lines (each ends with a newline) at a file's end; raises `FileUnwritten`.

    Only who holds the loop's lock, or its record lock, may call this. `lasting`: on the disk when this returns.
    """
    if lines:
        add(planned(path, lines), lasting=lasting)


def planned(path: str, lines: Sequence[bytes]) -> Addition:
    """Say what adding lines to a file as it is now will do; raises `FileUnwritten`."""
    data = b"".join(lines)
    try:
        with _opened(path) as descriptor:
            size = os.fstat(descriptor).st_size
            torn = size and os.pread(descriptor, 1, size - 1) != b"\n"
    except FileNotFoundError:
        return Addition(path, data, 0)
    except OSError as error:
        raise FileUnwritten(f"{path} can not be written: {error.strerror}") from None
    if size and size + len(data) > ROTATE_BYTES:
        return Addition(path, data, 0, _next_aside(path))
    return Addition(path, b"\n" + data if torn else data, size)


def add(addition: Addition, *, lasting: bool = False) -> None:
    """Add what is not there yet; what a writer that died has left of it is written anew. Raises `FileUnwritten`."""
    path = addition.path
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if addition.aside is not None and not os.path.lexists(addition.aside):
            with suppress(FileNotFoundError):
                os.rename(path, addition.aside)
        with _opened(path, os.O_CREAT) as descriptor:
            size = os.fstat(descriptor).st_size
            if not _added(descriptor, addition, size):
                _write(descriptor, addition.data)
            if lasting:
                os.fsync(descriptor)
        if lasting and (not size or addition.aside is not None):
            _sync(os.path.dirname(path))
    except OSError as error:
        raise FileUnwritten(f"{path} can not be written: {error.strerror}") from None


def _added(descriptor: int, addition: Addition, size: int) -> bool:
    if size <= addition.expected:
        return False
    rest = os.pread(descriptor, size - addition.expected, addition.expected)
    if addition.data in rest:
        return True
    if addition.data.startswith(rest):
        os.ftruncate(descriptor, addition.expected)
    return False


def last_rows(path: str, most: int) -> list[Document]:
    """Return the last rows that are whole JSON objects, the oldest first, at most so many, across rotations.

    Blank, torn and foreign lines are passed over: one of them must not hide the others.
    """
    rows: list[Document] = []
    for line in lines_backwards(path):
        row = parsed(line) if line.strip() else None
        if row is not None:
            rows.append(row)
            if len(rows) >= most:
                break
    return rows[::-1]


def last_row(path: str) -> Document | None:
    """Return the last row that is a whole JSON object."""
    rows = last_rows(path, 1)
    return rows[0] if rows else None


def lines_backwards(path: str) -> Iterator[bytes]:
    """Yield the lines of a file and of those put aside, the last first, a block of the file at a time."""
    for each in (path, *reversed(rotated(path))):
        descriptor = _descriptor(each)
        if descriptor is None:
            continue
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            yield from _backwards(descriptor, file.seek(0, os.SEEK_END))


def rotated(path: str) -> list[str]:
    """List what was put aside, the oldest first."""
    folder, name = os.path.split(path)
    pattern = re.compile(re.escape(name) + r"\.(\d{6,18})", re.ASCII)
    try:
        found = sorted((int(match[1]), each) for each in os.listdir(folder) if (match := pattern.fullmatch(each)))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise FileUnreadable(f"{folder} can not be read: {error.strerror}") from None
    return [os.path.join(folder, each) for _, each in found]


def aside(path: str, number: int) -> str:
    """Return what a full file is called that was put aside."""
    return f"{path}.{number:06d}"


# --- locks ------------------------------------------------------------------------------------------------------------


@contextmanager
def held(path: str, *, wait: bool, about: Mapping[str, Any] | None = None) -> Generator[bool]:
    """Hold a lock file alone while inside; without `wait`, give False at once if somebody else holds it.

    The lock is the kernel's (flock): it ends with the process, however that ends. `about` is what who finds it held can
    read in it. Raises `FileUnwritten`.
    """
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise FileUnwritten(f"{path} can not be written: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        _say(descriptor, b"" if about is None else bytes_of(about))
        yield True
        _say(descriptor, b"")
    finally:
        os.close(descriptor)


def _say(descriptor: int, text: bytes) -> None:
    """Write who holds a lock; on a full disk it is held all the same."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text, 0)


# --- a log that grows ------------------------------------------------------------------------------------------------


class Log:
    """A file of lines, open for reading, as long as it was when it was opened; it may grow beyond reach of memory."""

    def __init__(self, descriptor: int) -> None:
        """Take an open file."""
        found = os.fstat(descriptor)
        self._descriptor = descriptor
        self.size = found.st_size
        self.device, self.inode, self.mtime = found.st_dev, found.st_ino, int(found.st_mtime)

    def end(self) -> int:
        """Return the place after the last whole line."""
        place = self.size
        while place:
            start = max(0, place - _BLOCK)
            found = os.pread(self._descriptor, place - start, start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            place = start
        return 0

    def count(self, start: int, stop: int) -> int:
        """Count the lines that end between two places."""
        return sum(block.count(b"\n") for _, block in self._blocks(start, stop))

    def after(self, lines: int, stop: int) -> int | None:
        """Return the place after so many lines; None if there are fewer before `stop`."""
        if not lines:
            return 0
        for place, block in self._blocks(0, stop):
            found = block.count(b"\n")
            if found >= lines:
                at = -1
                for _ in range(lines):
                    at = block.index(b"\n", at + 1)
                return place + at + 1
            lines -= found
        return None

    def lines(self, start: int, stop: int) -> Iterator[tuple[int, bytes | None]]:
        """Yield each line between two places, and the place after it; None for one that is longer than reason."""
        rest, long = b"", False
        for place, block in self._blocks(start, stop):
            at = 0
            while (found := block.find(b"\n", at)) >= 0:
                line = rest + block[at:found]
                yield place + found + 1, None if long or len(line) > MOST_LINE else line
                rest, long, at = b"", False, found + 1
            rest = b"" if long else rest + block[at:]
            if len(rest) > MOST_LINE:
                rest, long = b"", True

    def backwards(self, stop: int) -> Iterator[bytes]:
        """Yield the lines before a place, the last first."""
        lines = iter(_backwards(self._descriptor, stop))
        next(lines, None)  # what stands behind the last newline: nothing
        yield from lines

    def mark(self, stop: int) -> int:
        """Return a number by which to know again what stands before a place."""
        start = max(0, stop - _TAIL)
        return zlib.crc32(os.pread(self._descriptor, stop - start, start))

    def digest(self) -> str:
        """Return the SHA-256 of it all, in hexadecimal."""
        import hashlib

        whole = hashlib.sha256()
        for _, block in self._blocks(0, self.size):
            whole.update(block)
        return whole.hexdigest()

    def _blocks(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        while start < stop:
            block = os.pread(self._descriptor, min(_STRIDE, stop - start), start)
            if not block:
                return
            yield start, block
            start += len(block)


@contextmanager
def log(path: str) -> Generator[Log | None]:
    """Open a log while inside; None where there is none; raises `FileUnreadable`."""
    descriptor = _descriptor(path)
    if descriptor is None:
        yield None
        return
    try:
        yield Log(descriptor)
    finally:
        os.close(descriptor)


# --- inside -----------------------------------------------------------------------------------------------------------


def _descriptor(path: str) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FileUnreadable(f"{path} can not be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileUnreadable(f"{path} is no file")
    return descriptor


@contextmanager
def _opened(path: str, flags: int = 0) -> Generator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | flags, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _next_aside(path: str) -> str:
    before = rotated(path)
    last = int(before[-1].rpartition(".")[2]) if before else 0
    return aside(path, last + 1)


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _backwards(descriptor: int, place: int) -> Iterator[bytes]:
    """Yield the lines before a place, the last first; of one longer than reason only a piece."""
    parts: list[bytes] = []
    size = 0
    while place:
        start = max(0, place - _BLOCK)
        first, *lines = os.pread(descriptor, place - start, start).split(b"\n")
        if lines:
            yield b"".join((lines.pop(), *reversed(parts)))
            yield from reversed(lines)
            parts, size = [], 0
        size += len(first)
        parts = [*parts, first] if size <= MOST_LINE else []
        place = start
    yield b"".join(reversed(parts))
