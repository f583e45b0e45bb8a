"""What operators run every two seconds: `ops.py status` and `workers`, whole process, beside a bare interpreter.

A million items in SQLite of which two thousand are under way, and a Markdown queue of a thousand rows. The peer imports
what the answer can not do without, by the same interpreter that runs the entry point.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.filling import fill_sqlite
from benchmarks.grounds import Grounds, compiled, sqlite_path, workspace
from benchmarks.measuring import in_turns, ratio, timed
from benchmarks.table import Aim, Peer, Row
from interlock.queue.markdown import COLUMNS
from interlock.workspace.layout import Layout

_ITEMS, _ITEMS_QUICK = 1_000_000, 100_000
_HELD = 2_000
_ROWS = 1_000
_ROUNDS, _ROUNDS_QUICK = 40, 10
_SECONDS, _SECONDS_QUICK = 40.0, 10.0
_BARE = 'python3 -c "import sqlite3"'
_AT_MOST = Aim(of="ratio", bound=4.0, at_most=True)


def measure(grounds: Grounds) -> Iterator[Row]:
    """Start `status` and `workers` on both stores."""
    items = _ITEMS_QUICK if grounds.quick else _ITEMS
    root = grounds.folder / "glancing"
    workspace(root).database.close()
    layout = Layout(root)
    layout.markdown_queue.write_text(_markdown(), encoding="utf-8")
    other = grounds.new_folder("glancing-large")
    fill_sqlite(other, items)
    _hold(sqlite_path(other))
    python, environment = sys.executable, compiled(grounds)
    stores: Mapping[str, Sequence[str]] = {
        f"{_ROWS:,} rows of Markdown": (),
        f"{items:,} items in SQLite": ("--db", str(sqlite_path(other))),
    }
    started = {_BARE: partial(_started, root, environment, (python, "-c", "import sqlite3"))}
    for store, words in stores.items():
        for verb in ("status", "workers"):
            command = (python, str(layout.entry_point), *words, verb)
            started[f"ops.py {verb}, {store}"] = partial(_started, root, environment, command)
    for warm_up in started.values():
        warm_up()
    found = in_turns(
        started,
        rounds=_ROUNDS_QUICK if grounds.quick else _ROUNDS,
        seconds=_SECONDS_QUICK if grounds.quick else _SECONDS,
    )
    bare = found.pop(_BARE)
    for name, times in found.items():
        yield Row(
            name=name,
            value=median(times),
            unit="ms",
            peer=Peer(name=_BARE, value=median(bare)),
            ratio=ratio(times, bare),
            aim=_AT_MOST,
        )


def _markdown() -> str:
    names = " | ".join(COLUMNS)
    rows = (
        f"| ORCH-{number:03d} | {'IN_PROGRESS' if number % 20 == 0 else 'PENDING'} | P{number % 3}"
        f" | sweep part {number} | it is swept | {f'w{number % 7}' if number % 20 == 0 else '-'} | - | - | |\n"
        for number in range(1, _ROWS + 1)
    )
    return f"# Queue\n\n| {names} |\n|{'---|' * len(COLUMNS)}\n{''.join(rows)}"


def _hold(path: Path) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(
            "UPDATE queue_items SET status = 'IN_PROGRESS', claimable = 0, owner_session = 'w' || rowid % 50,"
            " started_at_kst = '2026-11-21 17:00' WHERE rowid <= ?",
            (_HELD,),
        )
        connection.execute("UPDATE queue_items SET status = 'DONE', claimable = 0 WHERE rowid > ? * 2", (_HELD,))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _started(root: Path, environment: Mapping[str, str], command: Sequence[str]) -> float:
    """Return how many milliseconds the command takes, from its start to its end."""
    return 1000 * timed(
        lambda: subprocess.run(command, cwd=root, env=environment, stdout=subprocess.DEVNULL, check=True)
    )
