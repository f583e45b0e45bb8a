"""Moving 100,000 items with 100,000 events to PostgreSQL, compared on both sides, beside a bare COPY of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

import psycopg
from psycopg import sql

from benchmarks.filling import fill_sqlite
from benchmarks.grounds import ALICE, Grounds, open_postgres, open_sqlite, sqlite_path
from benchmarks.measuring import in_turns, ratio, timed
from benchmarks.table import Aim, Peer, Row
from interlock.queue.events import ItemReleased
from interlock.storage.moving import Moving
from interlock.storage.postgres.arriving import arriving
from interlock.storage.sqlite.leaving import leaving

_ROWS, _ROWS_QUICK = 100_000, 5_000
_EVENTS_AT_ONCE = 500
_FETCHED = 2_000
_ROUNDS, _SECONDS = 3, 120.0
_TOLD = ItemReleased(subject="ORCH-1", fence=1)
_FAST = Aim(of="value", bound=10_000)
_EVENTS = {
    "event (event_id, kind, subject, time_ms, leaf)": "SELECT leaf_index + 1, kind, subject, time_ms, leaf FROM event",
    "leaf (leaf_index, event_id, leaf_hash)": "SELECT leaf_index, leaf_index + 1, leaf_hash FROM event",
}


def measure(grounds: Grounds) -> Iterator[Row]:
    """Move the same file again and again, each time into an empty database."""
    folder = grounds.new_folder("migrating")
    rows = _ROWS_QUICK if grounds.quick else _ROWS
    fill_sqlite(folder, rows * 10 // 11)
    _tell(folder, rows)
    path, number = sqlite_path(folder), count()
    found = in_turns(
        {
            "moved": lambda: timed(partial(_moved, path, grounds.postgres(f"migrating_{next(number)}"))),
            "bare": lambda: timed(partial(_bare, path, _with_tables(grounds, f"migrating_{next(number)}"))),
        },
        rounds=_ROUNDS,
        seconds=_SECONDS,
    )
    moved, bare = median(found["moved"]), median(found["bare"])
    yield Row(
        name=f"move {rows:,} items and {rows:,} events to PostgreSQL, compared",
        value=2 * rows / moved,
        unit="rows/s",
        peer=Peer(name="bare COPY into the same tables", value=2 * rows / bare),
        ratio=ratio(found["bare"], found["moved"]),
        aim=_FAST,
    )


def _tell(folder: Path, events: int) -> None:
    with closing(open_sqlite(folder)) as database:
        for _ in range(0, events, _EVENTS_AT_ONCE):
            with database.write(ALICE) as transaction:
                for _ in range(_EVENTS_AT_ONCE):
                    transaction.emit(_TOLD)


def _moved(path: Path, url: str) -> None:
    with leaving(path) as source, arriving(url) as target:
        Moving(source).carry(target, lambda _table, _done, _total: None)


def _with_tables(grounds: Grounds, name: str) -> str:
    url = grounds.postgres(name)
    open_postgres(url).close()
    return url


def _bare(path: Path, url: str) -> None:
    """Copy items and events as a script would: from one driver into the other, and look at nothing afterwards."""
    with closing(sqlite3.connect(path)) as source, psycopg.connect(url) as target:
        target.execute("ALTER TABLE queue_items DISABLE TRIGGER USER")
        names = [row[1] for row in source.execute("PRAGMA table_info(queue_items)")]
        items = sql.SQL("queue_items ({})").format(sql.SQL(", ").join(map(sql.Identifier, names))).as_string(target)
        for table, query in {items: f"SELECT {', '.join(names)} FROM queue_items", **_EVENTS}.items():  # noqa: S608 - our own names
            rows = source.execute(query)
            with target.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
                while batch := rows.fetchmany(_FETCHED):
                    for row in batch:
                        copy.write_row(row)
