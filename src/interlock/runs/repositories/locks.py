"""A lock between processes on one host, that no crash leaves behind: `flock` on a file that is never removed."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from interlock.runs.repositories.errors import MirrorBusy

_POLL_S = 0.01


@contextmanager
def locked(path: Path, *, timeout_s: float) -> Generator[int]:
    """Hold the lock and yield its file descriptor; raises `MirrorBusy` when it is not free within `timeout_s` seconds.

    The kernel frees it when the last holder of the descriptor is gone. Given to a child process (`Place.keep_open`),
    it also outlives a killed parent until that child has ended: nobody starts while an orphaned git still writes.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _wait(descriptor, path, time.monotonic() + timeout_s, timeout_s)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _wait(descriptor: int, path: Path, deadline: float, timeout_s: float) -> None:
    while not taken(descriptor):
        if time.monotonic() > deadline:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            raise MirrorBusy(f"{path} was not free within {timeout_s:g} s; process {holder or 'unknown'} took it last")
        time.sleep(_POLL_S)


def taken(descriptor: int) -> bool:
    """Take the lock if it is free; say whether it is ours now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
