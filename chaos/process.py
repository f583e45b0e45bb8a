"""A process of the product whose wall clock can be set while it works: `python -m chaos.process CLOCK_FILE WORDS…`.

The file holds by how many seconds the clock is wrong. Only this process sees that: the machine's is the others' too.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from interlock.cli.main import main

_LOOKS_SECONDS = 0.05


def wrong_clock(file: Path) -> None:
    """Let `time.time` be wrong by what the file says, now and later."""
    right, right_ns = time.time, time.time_ns  # noqa: TID251 - the clock itself is what is set here
    wrong_by = [0.0]

    def look() -> None:
        while True:
            wrong_by[0] = float(file.read_text() or "0") if file.exists() else 0.0
            time.sleep(_LOOKS_SECONDS)

    time.time = lambda: right() + wrong_by[0]  # noqa: TID251 - the same
    time.time_ns = lambda: right_ns() + round(wrong_by[0] * 1e9)
    threading.Thread(target=look, daemon=True).start()


if __name__ == "__main__":
    wrong_clock(Path(sys.argv[1]))
    sys.argv[1:] = sys.argv[2:]
    sys.exit(main())
