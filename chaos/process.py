"""A process of the product whose clock and disk can be wrong while it works: `python -m chaos.process HARM WORDS…`.

`HARM.clock` holds by how many seconds its clock is wrong, `HARM.disk` how many seconds each `fsync` takes: two files,
so that neither fault undoes the other. Only this process sees that: the machine's clock and disk are the others' too.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from interlock.cli.main import main

_LOOKS_SECONDS = 0.05
_HOUR = 3600
_OURS = ("INTERLOCK_", "ORCH_", "OPS_", "NOA_")


@contextmanager
def clock_jumping(harm: Path) -> Generator[None]:
    """Let a process's clock go an hour ahead, then an hour behind, then right again."""
    clock = _clock(harm)
    clock.write_text(str(_HOUR))
    yield
    clock.write_text(str(-_HOUR))
    time.sleep(1)  # that is the fault, as long as it is behind
    clock.write_text("0")


@contextmanager
def disk_slow(harm: Path, seconds: float) -> Generator[None]:
    """Let each `fsync` of a process take so long."""
    _disk(harm).write_text(str(seconds))
    yield
    _disk(harm).write_text("0")


def plain_environment() -> dict[str, str]:
    """Return this process's environment without what would speak to Interlock."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


def harmed(harm: Path) -> None:
    """Let `time.time` be wrong, and `os.fsync` slow, by what the files say, now and later."""
    right, right_ns = time.time, time.time_ns  # noqa: TID251 - the clock itself is what is set here
    wrong_by = [0.0, 0.0]

    def look() -> None:
        while True:
            wrong_by[:] = _told(_clock(harm)), _told(_disk(harm))
            time.sleep(_LOOKS_SECONDS)

    def slow(call: Callable[[int], None]) -> Callable[[int], None]:
        def waits(descriptor: int) -> None:
            time.sleep(wrong_by[1])  # that is the slow disk
            call(descriptor)

        return waits

    time.time = lambda: right() + wrong_by[0]  # noqa: TID251 - the same
    time.time_ns = lambda: right_ns() + round(wrong_by[0] * 1e9)
    os.fsync, os.fdatasync = slow(os.fsync), slow(os.fdatasync)
    threading.Thread(target=look, daemon=True).start()


def _clock(harm: Path) -> Path:
    return harm.with_suffix(".clock")


def _disk(harm: Path) -> Path:
    return harm.with_suffix(".disk")


def _told(file: Path) -> float:
    return float(file.read_text() or 0) if file.exists() else 0.0


if __name__ == "__main__":
    harmed(Path(sys.argv[1]))
    sys.argv[1:] = sys.argv[2:]
    sys.exit(main())
