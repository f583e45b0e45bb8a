"""The append-only window: `ledger.jsonl` and `heads.jsonl` follow the database's log.

A file that ends early (missing tail, torn last line) is completed. Any other difference is left as it is, reported,
and replaced only on an operator's word, with a copy kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from interlock.evidence import publish
from interlock.evidence.head import render_head
from interlock.evidence.ledger import render_line
from interlock.evidence.ports import LogReader

_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Tail:
    """How far a file followed the log when it was last written."""

    entries: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Caught:
    """What a catch-up did."""

    tail: Tail
    differs: str | None
    """What was found that is no early end, as a sentence; then nothing was written."""


def catch_up(path: Path, log: LogReader, last: Tail, tell: Callable[[int], None]) -> Caught:
    """Append what the log has and the file has not.

    Of a file that ended too early is told, with how many entries it will have, before it is completed: who is killed in
    between tells of it twice, and not never.
    """
    size = log.size()
    found = path.stat().st_size if path.exists() else 0
    if found == last.size_bytes:
        start, completed = last.entries, False
    else:
        # It is not as we left it: torn in a crash, cut, or written to. Hold every line against the log.
        whole = _matching(path, log, size)
        if whole is None:
            return Caught(last, differs=f"{path} differs from the database's log")
        start, completed = whole.entries, found < last.size_bytes or whole.size_bytes != found
        found = whole.size_bytes
    if completed:
        tell(size)
        size = log.size()
    elif start == size:
        return Caught(Tail(start, found), differs=None)
    with _open_for_append(path) as descriptor:
        os.ftruncate(descriptor, found)
        written = found
        for chunk in _chunks(log, start, size):
            written += _write_all(descriptor, chunk, written)
        os.fsync(descriptor)
    return Caught(Tail(size, written), differs=None)


def write_heads(path: Path, log: LogReader, entries: int) -> str | None:
    """Write every head ever signed of the ledger's entries; they are few. Returns what is none of them, as a sentence.

    Two processes may sign at once, so a new head can stand before one that the file has. One that covers more than the
    ledger has by now comes with the entries.
    """
    heads = [render_head(head) for head in log.heads() if head.size <= entries]
    found = path.read_bytes().splitlines(keepends=True) if path.exists() else None
    rest = iter(heads)
    if found and not all(line in rest for line in found):
        return f"{path} differs from the database's heads"
    if found != heads:
        publish.replace(path, heads)
    return None


def is_whole(path: Path, log: LogReader, entries: int) -> bool:
    """Say whether the ledger holds these entries of the log and nothing else."""
    whole = _matching(path, log, entries)
    return whole == Tail(entries, path.stat().st_size)


def rewrite(path: Path, log: LogReader) -> Tail:
    """Write the file anew from the log."""
    size = log.size()
    publish.replace(path, _chunks(log, 0, size))
    return Tail(size, path.stat().st_size)


def _matching(path: Path, log: LogReader, size: int) -> Tail | None:
    """Return how far a file agrees with the log, if it is the log's beginning but for a torn last line."""
    agreed = 0
    if not path.exists():
        return Tail(0, 0)
    with path.open("rb") as file:
        for index, leaf in enumerate(log.leaves(0, size)):
            expected = render_line(index, leaf)
            line = file.read(len(expected))
            if line != expected:
                return Tail(index, agreed) if expected.startswith(line) and not file.read(1) else None
            agreed += len(expected)
        return None if file.read(1) else Tail(size, agreed)


def _chunks(log: LogReader, start: int, end: int) -> Iterator[bytes]:
    pending: list[bytes] = []
    length = 0
    for index, leaf in enumerate(log.leaves(start, end), start):
        line = render_line(index, leaf)
        pending.append(line)
        length += len(line)
        if length >= _BLOCK:
            yield b"".join(pending)
            pending, length = [], 0
    yield b"".join(pending)


class _open_for_append:  # noqa: N801 - reads as the words that it is in a with statement
    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> int:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _write_all(descriptor: int, data: bytes, offset: int) -> int:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)
    return done
