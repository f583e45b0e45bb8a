"""A process of the product whose clock and disk can be wrong while it works: `python -m chaos.process FILE WORDS…`.

The file holds by how many seconds the clock is wrong, and behind that how many seconds each `fsync` takes. Only this
process sees that: the machine's clock and disk are the others' too.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from interlock.cli.main import main

_LOOKS_SECONDS = 0.05


def harmed(file: Path) -> None:
    """Let `time.time` be wrong, and `os.fsync` slow, by what the file says, now and later."""
    right, right_ns = time.time, time.time_ns  # noqa: TID251 - the clock itself is what is set here
    wrong_by = [0.0, 0.0]

    def look() -> None:
        while True:
            told = file.read_text().split() if file.exists() else []
            for place in range(2):
                wrong_by[place] = float(told[place]) if len(told) > place else 0.0
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


if __name__ == "__main__":
    harmed(Path(sys.argv[1]))
    sys.argv[1:] = sys.argv[2:]
    sys.exit(main())
