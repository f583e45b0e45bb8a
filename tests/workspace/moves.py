"""What the kernel says of files that come, move and go: inotify, through the C library."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_EVENTS = {0x40: "moved from", 0x80: "moved to", 0x100: "created", 0x200: "deleted", 0x2: "modified"}
_HEAD = struct.Struct("iIII")


@dataclass(frozen=True)
class Move:
    """One event: what happened to which name in which folder; the two halves of one rename share a cookie."""

    folder: str
    name: str
    what: str
    cookie: int


@dataclass
class Watch:
    """Folders under watch."""

    descriptor: int
    folders: dict[int, str]

    def seen(self) -> list[Move]:
        """Return what has happened by now."""
        moves: list[Move] = []
        while True:
            try:
                data = os.read(self.descriptor, 65536)
            except BlockingIOError:
                return moves
            while data:
                number, mask, cookie, length = _HEAD.unpack_from(data)
                name = data[_HEAD.size : _HEAD.size + length].rstrip(b"\0").decode()
                moves += [Move(self.folders[number], name, what, cookie) for bit, what in _EVENTS.items() if mask & bit]
                data = data[_HEAD.size + length :]


@contextmanager
def watched(*folders: Path) -> Generator[Watch]:
    """Watch folders for names that come, move and go."""
    library = ctypes.CDLL(None, use_errno=True)
    descriptor: int = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        watch = Watch(descriptor, {})
        for folder in folders:
            number: int = library.inotify_add_watch(descriptor, os.fsencode(folder), sum(_EVENTS))
            assert number >= 0, os.strerror(ctypes.get_errno())
            watch.folders[number] = folder.name
        yield watch
    finally:
        os.close(descriptor)
