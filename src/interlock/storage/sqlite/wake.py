"""Waking idle workers on one host: a local datagram to each, and a look at the file's version behind it."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_POLL_SECONDS = 1.0


class Doorbell:
    """One worker's bell in the wake folder."""

    def __init__(self, folder: Path | None, data_version: Callable[[], int]) -> None:
        self._folder = folder
        self._data_version = data_version
        self._name = f"{os.getpid()}-{os.urandom(4).hex()}.sock"
        self._inside, self._outside = socket.socketpair()
        self._bell: socket.socket | None = None
        self._seen = -1

    def __enter__(self) -> Self:
        if self._folder is not None:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            bell.settimeout(0)
            with suppress(OSError), _short(self._folder) as folder:
                bell.bind(f"{folder}/{self._name}")
                self._bell = bell
        self._seen = self._data_version()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for end in (self._inside, self._outside, self._bell):
            if end is not None:
                end.close()
        if self._folder is not None:
            (self._folder / self._name).unlink(missing_ok=True)

    def wait(self, seconds: float) -> bool:
        """Return True as soon as there may be something to claim, False after `seconds`."""
        deadline = time.monotonic() + seconds
        listening = [end for end in (self._outside, self._bell) if end is not None]
        while (left := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select(listening, [], [], min(left, _POLL_SECONDS))
            for end in ready:
                with suppress(BlockingIOError):
                    while end.recv(64, socket.MSG_DONTWAIT):
                        pass
            version = self._data_version()
            changed, self._seen = version != self._seen, version
            if ready or changed:
                return True
        return False

    def rouse(self) -> None:
        """Wake this waiter from another thread."""
        with suppress(OSError):
            self._inside.send(b"!")


def ring(folder: Path) -> None:
    """Ring every bell in the folder, and take away those of processes that are gone."""
    bells = list(folder.glob("*.sock")) if folder.exists() else []
    if not bells:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hand, _short(folder) as short:
        hand.settimeout(0)
        for bell in bells:
            try:
                hand.sendto(b"!", f"{short}/{bell.name}")
            except BlockingIOError:
                continue  # it has unread rings already
            except OSError:
                bell.unlink(missing_ok=True)


class _short:  # noqa: N801 - reads as the word it is in a with statement
    """Give a folder a name short enough for a socket's address (108 bytes) where the system has one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor = -1

    def __enter__(self) -> str:
        if len(str(self._folder)) < 60 or not Path("/proc/self/fd").exists():
            return str(self._folder)
        self._descriptor = os.open(self._folder, os.O_PATH | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._descriptor}"

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
