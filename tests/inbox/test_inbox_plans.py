"""What waits is found by indexes that hold nothing else: the list costs the same however much does not wait."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import LiteralString, cast

import psycopg
import pytest

from interlock.storage.database import queries
from interlock.storage.postgres.database import PostgresDatabase
from interlock.storage.sqlite.database import SqliteDatabase
from tests.conftest import ORIGIN

VALUES: dict[str, int | str] = {
    "limit": 26,
    "now": 1,
    "soon": 2,
    "at_once": 1,
    "before": 1,
    "since": 1,
    "alert": "a",
    "failed": "f",
    "refused": "r",
    "subject": "loop/docs",
}
FOUND_BY = {
    "inbox_drafts": "draft_waiting",
    "inbox_expiring": "approved_expiring",
    "inbox_running": "run_running",
    "inbox_pending": "run_pending",
    "inbox_failed": "run_failed",
    "inbox_pipelines": "pipeline_failed",
    "inbox_alerts": "alert_open",
    "inbox_judged": "event_of_loop",
}


def test_every_query_of_the_inbox_is_looked_at() -> None:
    assert {name for name in queries("sqlite") if name.startswith("inbox_")} == FOUND_BY.keys()


@pytest.mark.parametrize("name", FOUND_BY)
def test_no_table_is_gone_through_in_a_file(tmp_path: Path, name: str) -> None:
    place = tmp_path / "queue.db"
    with closing(SqliteDatabase(place)) as database:
        database.create(ORIGIN)
    with closing(sqlite3.connect(place)) as connection:
        asked = f"EXPLAIN QUERY PLAN {queries('sqlite')[name]}"
        plan = [row[3] for row in connection.execute(asked, VALUES)]
    assert any(f"INDEX {FOUND_BY[name]}" in line for line in plan), plan
    assert [line for line in plan if line.startswith("SCAN") and FOUND_BY[name] not in line] == []


@pytest.mark.parametrize("name", FOUND_BY)
def test_no_table_is_gone_through_on_a_server(postgres_url: str, name: str) -> None:
    with closing(PostgresDatabase(postgres_url)) as database:
        database.create(ORIGIN)
    text = re.sub(r"(?<!:):(\w+)", r"%(\1)s", queries("postgres")[name])
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off")
        rows = connection.execute(cast("LiteralString", f"EXPLAIN {text}"), VALUES)
        plan = "\n".join(str(row[0]) for row in rows)
    assert FOUND_BY[name] in plan
    assert "Seq Scan" not in plan
