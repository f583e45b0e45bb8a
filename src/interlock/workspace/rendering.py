"""What a window holds: the rooms' JSON as a file, and a run together with the end of its log. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from interlock.runs.models import LogLine, Run
from interlock.runs.shown import show_line, show_run

LOG_LINES = 200
"""How many of a run's last log lines its window shows."""


def as_file(shown: Any) -> bytes:  # noqa: ANN401 - JSON of any shape
    """Return the bytes of a window: pretty JSON, UTF-8, one final newline."""
    return (json.dumps(shown, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def show_run_window(run: Run, lines: Sequence[LogLine]) -> dict[str, Any]:
    """Return a run's window: the run, and the last lines of its log as it was when the run last moved."""
    return show_run(run) | {
        "log_through": lines[-1].line if lines else 0,
        "log": [show_line(line, run.correlation_id) for line in lines],
    }
