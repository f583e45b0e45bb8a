"""A dispatch in a process of its own that is killed at a step: `python -m tests.alerts.doomed ROOT URL HOOK STEP`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from interlock.storage.postgres.database import PostgresDatabase
from interlock.storage.sqlite.database import SqliteDatabase
from tests.alerts.conftest import Time, Town


def main() -> None:
    """Dispatch, and die."""
    root, url, hook, step = sys.argv[1:]
    time = Time()
    place = Path(root) / ".interlock" / "interlock.db"
    database = PostgresDatabase(url, now=time) if url else SqliteDatabase(place, now=time)

    def probe(found: str) -> None:
        if found == step:
            os.kill(os.getpid(), signal.SIGKILL)

    Town(Path(root), database, time, environment={"S_HOOK": hook}, probe=probe).dispatch()


if __name__ == "__main__":
    main()
