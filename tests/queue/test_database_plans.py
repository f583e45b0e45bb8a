"""No statement that is asked all day looks at every item: what a queue costs does not grow with what is done."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, LiteralString, cast

import psycopg
import pytest
from psycopg import sql

from interlock.storage.database import queries
from tests.queue.desk import NOON_MS, Desk

ITEMS = 20_000
KEY = "ORCH-19500"
CHANGE: Mapping[str, Any] = {"id": KEY, "fence": 0, "note": "", "now": NOON_MS, "now_kst": "2026-11-21 21:00"}
SILENT: Mapping[str, Any] = {**CHANGE, "any_beat": 1, "beat": 0, "last_error": ""}
LIST: Mapping[str, Any] = {
    **dict.fromkeys(("priority", "owner", "created_before", "text", "pattern")),
    **dict.fromkeys(("need", "repository", "agent", "node_id")),
    "after_rank": -1,
    "after_seq": -1,
    "until_rank": 2**31 - 1,
    "until_seq": 2**53,
    "limit": 100,
}
CLAIM: Mapping[str, Any] = {
    "executor": "external",
    "owner_session": "w",
    "lease_ms": 1,
    "node_id": None,
    "now": NOON_MS,
    "now_kst": "2026-11-21 21:00",
}
ROAD: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("item_claim", CLAIM),
    ("item_claim_able", {**CLAIM, "has": "cpu gpu"}),
    ("item_claim_in", {**CLAIM, "needs": "gpu", "repository": "/r", "agent": "a", "rank": 1}),
    ("lane_heads", {"executor": "external", "now": NOON_MS}),
    ("item_ageing", {"before": NOON_MS}),
    ("item_age", {"before": NOON_MS, "span": 1, "limit": 1_000}),
    *((f"placement_held_{kind}", {"name": "x"}) for kind in ("repository", "agent", "node")),
    *((f"placement_holders_{kind}", {"name": "x"}) for kind in ("repository", "agent", "node")),
    ("item_get", {"id": KEY}),
    ("item_hold", {"id": KEY, "fence": 1}),
    ("item_beat", {"id": KEY, "fence": 1, "now": NOON_MS}),
    ("item_renew", {"owner_session": "w1", "now": NOON_MS}),
    ("item_end", {**SILENT, "status": "DONE"}),
    ("item_give_back", {**SILENT, "burn": 1, "not_before_ms": None}),
    ("item_park", {**CHANGE, "seen_status": "PENDING", "status": "BLOCKED", "waits_for": None}),
    ("item_requeue", {**CHANGE, "seen_status": "FAILED", "beat": 0, "not_before_ms": None}),
    ("item_defer", {**CHANGE, "not_before_ms": None}),
    ("item_rank", {**CHANGE, "seen_status": "PENDING", "seen_priority": "P1", "priority": "P0", "rank": 0}),
    ("item_counts", {}),
    *(("item_list_open", {**LIST, "status": status}) for status in ("PENDING", "IN_PROGRESS", "BLOCKED", "FAILED")),
    ("item_held", {}),
    ("item_holders", {"limit": 100}),
    ("item_unleased", {"started_before": NOON_MS}),
    ("item_stale_count", {"started_before": NOON_MS}),
    ("item_due", {"now": NOON_MS}),
    ("item_promote", {"now": NOON_MS, "limit": 1_000}),
    ("item_before", {"id": KEY, "executor": "external", "needs": "", "rank": 1}),
    ("item_key_get", {"key": "k"}),
    ("concurrency_lock", {"key": "k1"}),
    ("concurrency_lay_down", {"key": "k1", "most": 1}),
    ("concurrency_take_up", {"key": "k1", "most": 1}),
    ("concurrency_unsettled", {"limit": 1}),
    ("concurrency_holders", {"key": "k1"}),
    ("concurrency_list", {}),
    ("pause_get", {}),
)
COUNTED = "SELECT COUNT(*) FROM queue_items WHERE notes = ''"
PARTIAL = (
    *("queue_claimable", "queue_placed", "queue_ageing", "queue_held", "queue_not_before", "queue_open"),
    *("queue_keyed", "queue_keyed_held", "queue_held_repository", "queue_held_agent", "queue_held_node"),
)
"""Indexes that hold only what is open; to go through one of them is not to go through the table."""

SPREAD = """
INSERT INTO queue_items (id, status, priority, rank, task, success_criteria, created_at, updated_at, created_ms,
    claimable, waits_for, not_before_ms, concurrency_key, lease_owner, lease_until_ms, started_ms)
SELECT 'ORCH-' || n, status, 'P1', 1, 'task', 'done', '', '', 0,
    CASE WHEN status = 'PENDING' AND n % 4 = 0 THEN 1 ELSE 0 END,
    CASE WHEN status = 'PENDING' AND n % 4 = 1 THEN 'limit' END,
    CASE WHEN status = 'PENDING' AND n % 4 = 2 THEN 4000000000000 END,
    CASE WHEN n % 4 = 1 THEN 'k' || (n % 40) END,
    CASE WHEN status = 'IN_PROGRESS' THEN 'w' || (n % 8) END,
    CASE WHEN status = 'IN_PROGRESS' THEN 4000000000000 END,
    CASE WHEN status = 'IN_PROGRESS' THEN 1000 END
FROM (
    SELECT n, CASE WHEN n <= 18000 THEN 'DONE' WHEN n <= 18100 THEN 'BLOCKED' WHEN n <= 18200 THEN 'FAILED'
        WHEN n <= 18300 THEN 'IN_PROGRESS' ELSE 'PENDING' END AS status
    FROM numbers
) AS spread
"""
PAST = """
INSERT INTO queue_items (id, status, priority, rank, task, success_criteria, created_at, updated_at, created_ms,
    claimable, waits_for, concurrency_key)
SELECT 'ORCH-' || n, CASE WHEN n <= 2000 THEN 'DONE' ELSE 'PENDING' END, 'P1', 1, 'task', 'done', '', '', 0,
    CASE WHEN n > 2000 AND {key} IS NULL THEN 1 ELSE 0 END,
    CASE WHEN n > 2000 AND {key} IS NOT NULL THEN 'limit' END,
    {key}
FROM numbers
"""
LABELLED = """
INSERT INTO queue_items (id, status, priority, rank, task, success_criteria, created_at, updated_at, created_ms,
    claimable, needs, repository, agent)
SELECT 'ORCH-' || n, CASE WHEN n <= 2000 THEN 'DONE' ELSE 'PENDING' END, 'P2', 2, 'task', 'done', '', '', 0,
    CASE WHEN n > 2000 THEN 1 ELSE 0 END, CASE WHEN n > 19500 THEN '' ELSE 'gpu' END,
    CASE WHEN n > 19600 THEN '' ELSE '/r' END, 'a'
FROM numbers
"""
SHAPES: Mapping[str, str] = {
    "nearly all is done": SPREAD,
    "the first tenth is done": PAST.format(key="NULL"),
    "the first tenth is done, the rest waits for one limit": PAST.format(key="'k1'"),
    "nearly all needs what few nodes have, in one repository": LABELLED,
}
"""What 20,000 items can be like; where most waits, any index in the queue's order seems as good as another."""
SQLITE_NUMBERS = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000)"
POSTGRES_NUMBERS = "WITH numbers (n) AS (SELECT generate_series(1, 20000))"


def fill(desk: Desk, shape: str = SPREAD) -> None:
    """Put 20,000 items on the queue."""
    desk.write((POSTGRES_NUMBERS if desk.on_postgres else SQLITE_NUMBERS) + shape)
    desk.write(
        "INSERT INTO concurrency (key, most) SELECT DISTINCT concurrency_key, 1 FROM queue_items"
        " WHERE concurrency_key IS NOT NULL"
    )


def sqlite_scans(place: str, statement: str, values: Mapping[str, Any]) -> list[str]:
    """Return the steps of a plan that go through the table of items."""
    with closing(sqlite3.connect(place)) as connection:
        steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    return [
        step
        for step in steps
        if re.match(r"(SCAN|SEARCH) queue_items\b", step)
        and not re.search(rf"INDEX ({'|'.join(PARTIAL)})\b", step)
        and not re.match(r"SEARCH .*(INTEGER PRIMARY KEY|INDEX sqlite_autoindex_queue_items_1) ", step)
    ]


def postgres_scans(connection: psycopg.Connection[Any], statement: str, values: Mapping[str, Any]) -> list[str]:
    """Return the nodes of a plan, made without knowing the values, that go through the table of items."""
    names = list(dict.fromkeys(re.findall(r"(?<![:\w]):([a-z_]\w*)", statement)))
    text = re.sub(r"(?<![:\w]):([a-z_]\w*)", lambda found: f"${names.index(found[1]) + 1}", statement)
    connection.execute("DEALLOCATE ALL")
    connection.execute(cast("LiteralString", f"PREPARE asked AS {text}"))
    given = sql.SQL(", ").join(sql.Literal(values[name]) for name in names)
    call = sql.SQL("EXPLAIN (FORMAT JSON) EXECUTE asked") + (sql.SQL(" ({})").format(given) if names else sql.SQL(""))
    row = connection.execute(call).fetchone()
    assert row is not None
    return [
        f"{node['Node Type']} {node.get('Index Name', '')}"
        for node in _nodes(row[0][0]["Plan"])
        if "Scan" in node["Node Type"]
        and (node.get("Relation Name") == "queue_items" or str(node.get("Index Name", "")).startswith("queue_"))
        and node["Node Type"] != "Bitmap Heap Scan"
        and node.get("Index Name") not in PARTIAL
        and not (node.get("Index Name") == "queue_items_pkey" and "Index Cond" in node)
    ]


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


def scans(desk: Desk) -> dict[str, list[str]]:
    """Ask for the plan of every statement of the road; returns what goes through the table, by name."""
    found: dict[str, list[str]] = {}
    if not desk.on_postgres:
        for name, values in ROAD:
            found[name] = sqlite_scans(desk.place, queries("sqlite")[name], values)
        assert sqlite_scans(desk.place, COUNTED, {}), "it would be seen"
    else:
        with psycopg.connect(desk.place, autocommit=True, prepare_threshold=None) as connection:
            connection.execute("SET enable_seqscan = off")
            for mode in ("force_generic_plan", "force_custom_plan"):
                connection.execute(f"SET plan_cache_mode = {mode}")
                for name, values in ROAD:
                    found[f"{name} {mode}"] = postgres_scans(connection, queries("postgres")[name], values)
            assert postgres_scans(connection, COUNTED, {}), "it would be seen"
    return {name: steps for name, steps in found.items() if steps}


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_that_is_asked_all_day_goes_through_every_item(desk: Desk, shape: str) -> None:
    """Nor by a plan that was made while there was nothing, or while the database knew nothing of what there is."""
    assert scans(desk) == {}
    fill(desk, SHAPES[shape])
    assert scans(desk) == {}
    desk.write("ANALYZE")
    assert scans(desk) == {}


def test_one_that_ends_lets_one_begin_however_many_wait(desk: Desk) -> None:
    fill(desk)
    desk.write(
        "UPDATE queue_items SET concurrency_key = 'big', waits_for = 'limit', claimable = 0, not_before_ms = NULL"
        " WHERE status = 'PENDING'"
    )
    desk.limit("big", 3)
    waiting = "SELECT COUNT(*) FROM queue_items WHERE waits_for = 'limit'"
    ((before,),) = desk.rows(waiting)
    assert desk.rows("SELECT COUNT(*) FROM queue_items WHERE claimable = 1") == [(3,)]
    desk.complete(desk.held())
    assert desk.rows(waiting) == [(before - 1,)]
