"""What an upgrade makes of items that are there: where they came from, and since when they stand in line."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import LiteralString, cast

import psycopg

from interlock.storage.database import migrations

PLACEMENT = 17
BEFORE: tuple[LiteralString, ...] = (
    "INSERT INTO content (ref, media_type, created_ms) VALUES ('c', 't', 0)",
    (
        "INSERT INTO draft (id, version, status, prompt_ref, context_ref, work, author, created_ms, updated_ms)"
        " VALUES ('d_1', 1, 'approved', 'c', 'c', '{}', 'a', 0, 0)"
    ),
    (
        "INSERT INTO approved (id, draft_id, digest, terms, prompt_ref, context_ref, approved_ms, approved_by)"
        """ VALUES ('a_1', 'd_1', 'x', '{"repository": "/srv/a", "checks": []}', 'c', 'c', 0, 'a')"""
    ),
    (
        "INSERT INTO run (id, approved_id, item_id, status, generation, created_ms, created_by)"
        " VALUES ('r_1', 'a_1', 'I-1', 'pending', 1, 0, 'a')"
    ),
    (
        "INSERT INTO queue_items (id, status, priority, rank, task, success_criteria, created_at, updated_at,"
        " created_ms, run_id, claimable) VALUES ('I-1', 'PENDING', 'P1', 1, 't', 's', '', '', 5, 'r_1', 1)"
    ),
    (
        "INSERT INTO queue_items (id, status, priority, rank, task, success_criteria, created_at, updated_at,"
        " created_ms, claimable) VALUES ('I-2', 'PENDING', 'P2', 2, 't', 's', '', '', 6, 1)"
    ),
)
AFTER: LiteralString = "SELECT id, repository, agent, needs, line_ms FROM queue_items ORDER BY id"
EXPECTED = [("I-1", "/srv/a", "command", "", 5), ("I-2", "", "", "", 6)]


def test_an_upgrade_of_sqlite_lets_limits_count_runs_that_wait() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for number, _, script in migrations("sqlite"):
            for statement in BEFORE if number == PLACEMENT else ():
                connection.execute(statement)
            if number <= PLACEMENT:
                connection.executescript(script)
        assert connection.execute(AFTER).fetchall() == EXPECTED


def test_an_upgrade_of_postgresql_lets_limits_count_runs_that_wait(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for number, _, script in migrations("postgres"):
            for statement in BEFORE if number == PLACEMENT else ():
                connection.execute(statement)
            if number <= PLACEMENT:
                connection.execute(cast("LiteralString", script))
        assert connection.execute(AFTER).fetchall() == EXPECTED
