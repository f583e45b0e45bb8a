"""Putting a file in its place whole or not at all: a temporary file beside it, fsync, one atomic step, fsync again."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{16}\.tmp")


def replace(path: Path, chunks: Iterable[bytes], *, mode: int = 0o644, durable: bool = True) -> None:
    """Write `chunks` to `path`, in the place of what was there. Raises OSError; then nothing has changed.

    What is not `durable` may be lost, or empty, after a power cut: for many files that can be written again.
    """
    with _written_beside(path, chunks, mode, durable=durable) as fresh:
        fresh.replace(path)


def create(path: Path, data: bytes, *, mode: int) -> None:
    """Write `data` to `path`, which must not exist (FileExistsError). Raises OSError; then nothing has changed.

    A link takes the name, because rename(2) would overwrite.
    """
    with _written_beside(path, [data], mode) as fresh:
        os.link(fresh, path)


def left_over(folder: Path, name: str = "") -> Iterator[Path]:
    """List what writers of a file, or of any in a folder, left half written when they were killed.

    Whoever is still at work has such a file, too: only who keeps other writers away may delete them.
    """
    for entry in folder.iterdir() if folder.is_dir() else ():
        match = _TEMPORARY.fullmatch(entry.name)
        if match and name in {"", match[1]}:
            yield entry


@contextmanager
def _written_beside(path: Path, chunks: Iterable[bytes], mode: int, *, durable: bool = True) -> Generator[Path]:
    """Give a complete, synced temporary file in the same folder; afterwards it is gone, and the folder synced."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(chunks)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        yield fresh
    finally:
        fresh.unlink(missing_ok=True)
    if durable:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
