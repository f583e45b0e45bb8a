"""A catch-up in a process of its own, with a fate.

A step is a call to the operating system that changes a file of ours. The fate is what befalls it at that step: `killed`
(half of a write has happened by then), `full` (there is no space, now and from then on), `well`.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from interlock.app import Interlock
from interlock.kernel.errors import InterlockError
from interlock.kernel.ids import UlidSource
from interlock.settings import Settings
from interlock.storage.evidence import StoredLog
from interlock.storage.sqlite.database import SqliteDatabase
from interlock.workspace.layout import Layout
from interlock.workspace.pipeline_windows import PipelineWindows
from tests.conftest import ALICE

STEPS = ("open", "pwrite", "fsync", "replace", "rename", "unlink", "mkdir")
SURVIVED = "survived"


def doom(fate: str, step: int) -> None:
    """Let the given step be the one at which it happens."""
    taken = 0

    def doomed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - whatever the call takes and gives
            nonlocal taken
            if name == "open" and (not arguments[1] & os.O_CREAT or str(arguments[0]).endswith(".lock")):
                return call(*arguments, **more)
            taken += 1
            if taken == step and fate == "killed":
                if name == "pwrite":
                    call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2], arguments[2])
                os.kill(os.getpid(), signal.SIGKILL)
            if taken >= step and fate == "full" and name in {"pwrite", "open", "fsync"}:
                if name == "pwrite" and taken == step:
                    call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2], arguments[2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*arguments, **more)

        return wrapped

    for name in STEPS:
        setattr(os, name, doomed(name, getattr(os, name)))


def catch_up(root: Path, fate: str, step: int) -> str:
    """Return what came of it: `SURVIVED`, what was complained of, or nothing where it was killed."""
    return aside(root, lambda house: _catch_up(house, fate, step))


def aside(root: Path, work: Callable[[Interlock], str]) -> str:
    """Return what comes of some work on a workspace in a process of its own."""
    receiving, sending = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with closing(SqliteDatabase(root / ".interlock" / "interlock.db")) as database:
                os.write(sending, work(Interlock(Layout(root), Settings(), database, UlidSource())).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(sending)
    with os.fdopen(receiving, encoding="utf-8") as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return said


def _catch_up(house: Interlock, fate: str, step: int) -> str:
    windows = PipelineWindows(layout=house.layout, log=StoredLog(house.database), tell=house.tell)
    doom(fate, step)
    try:
        windows.catch_up(ALICE)
    except InterlockError as error:
        return f"{error.code}: {error.message}"
    return SURVIVED
