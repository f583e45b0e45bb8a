"""The file beside a database that is locked while somebody moves it elsewhere; every writer looks for it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from interlock.storage.errors import DatabaseMoving


def marker(path: Path) -> Path:
    """Return the file that is locked while a database is moved."""
    return path.with_name(f"{path.name}.moving")


def refuse_moving(path: Path) -> None:
    """Raise `DatabaseMoving` while somebody moves the database; who was killed doing so holds no lock any more."""
    try:
        descriptor = os.open(marker(path), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DatabaseMoving(f"{path} is being moved to PostgreSQL; nothing was changed") from None
    finally:
        os.close(descriptor)
