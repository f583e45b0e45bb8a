"""The lines that operators' scripts parse, and the figures behind them."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from interlock.queue.kpi import Limits, RunLog, figures
from interlock.queue.reports import by_priority, compare, status_lines, workers_lines


def item(
    item_id: str, priority: str = "P1", owner: str = "-", started: str = "-", status: str = "IN_PROGRESS"
) -> dict[str, str]:
    return {
        "id": item_id,
        "status": status,
        "priority": priority,
        "owner_session": owner,
        "started_at_kst": started,
        "due_at_kst": "-",
    }


def test_status_names_all_five_and_says_when_nothing_is_under_way() -> None:
    assert status_lines({"PENDING": 2, "DONE": 1}, []) == [
        "summary PENDING=2 IN_PROGRESS=0 BLOCKED=0 FAILED=0 DONE=1",
        "top_in_progress: none",
    ]


def test_a_p0_is_not_cut_behind_five_p2() -> None:
    rows = by_priority([*(item(f"A-{n}", "P2") for n in range(6)), item("A-9", "P0", "w1", "2026-11-21 08:00")])
    lines = status_lines({"IN_PROGRESS": 7}, rows)
    assert lines[1:3] == ["top_in_progress:", "- A-9 (P0) owner=w1 started=2026-11-21 08:00"]
    assert len(lines) == 7


def test_workers_are_grouped_and_the_oldest_start_is_the_earliest() -> None:
    rows = [
        item("B-1", "P0", "w2", "2026-11-21 09:00"),
        item("B-2", "P1", "w2", "2026-11-21 08:00"),
        item("B-3", "", "", "-"),
        item("B-4", "P7", "W1", "2026-11-21 07:00"),
    ]
    assert workers_lines(rows) == [
        "workers_active=3 in_progress=4",
        "- - tasks=1 p0=0 p1=0 p2=1 ids=B-3 oldest_start=-",
        "- W1 tasks=1 p0=0 p1=0 p2=0 ids=B-4 oldest_start=2026-11-21 07:00",
        "- w2 tasks=2 p0=1 p1=1 p2=0 ids=B-1,B-2 oldest_start=2026-11-21 08:00",
    ]
    assert workers_lines([]) == ["workers: none"]


def test_a_comparison_counts_fields_and_bounds_its_details() -> None:
    same = {"C-1": item("C-1")}
    assert compare(same, same).lines() == ["consistency ok total=1"]
    left = {f"C-{n:02d}": item(f"C-{n:02d}") for n in range(40)}
    right = {"C-00": item("C-00", "P2", "w", status="DONE"), "X-1": item("X-1")}
    lines = compare(left, right).lines()
    assert lines[0] == "consistency mismatch missing_in_db=39 missing_in_md=1 field_mismatch=3"
    assert sum(line.startswith("- missing_in_db") for line in lines) == 20
    assert "- mismatch C-00:status:md=IN_PROGRESS db=DONE" in lines


def ended(command: str, duration: object = 10, code: object = 0) -> bytes:
    return json.dumps({"event": "run_end", "command": command, "exit_code": code, "duration_ms": duration}).encode()


@pytest.mark.parametrize(("done", "failed", "limit"), [(7, 3, "0.3"), (17, 3, "0.15"), (9, 1, "0.1")])
def test_a_rate_at_its_limit_is_no_alert(done: int, failed: int, limit: str) -> None:
    log = RunLog()
    log.add([*[ended("done")] * done, *[ended("fail")] * failed])
    kpi = figures(log, retry_count=0, stale_in_progress=0)
    assert kpi.alerts(Limits(max_failure_rate=Decimal(limit))) == []
    assert kpi.alerts(Limits(max_failure_rate=Decimal(limit) - Decimal("0.0001")))


@pytest.mark.parametrize(
    ("durations", "p95"), [([50, 100, 300], 100), ([1, 2], 1), (list(range(1, 21)), 19), ([], None), ([7], 7)]
)
def test_the_percentile_takes_a_value_that_was_there(durations: list[int], p95: int | None) -> None:
    log = RunLog()
    log.add(ended("list", duration) for duration in durations)
    assert figures(log, retry_count=None, stale_in_progress=0).latency_p95_ms == p95


def test_the_line_is_the_one_that_scripts_parse() -> None:
    log = RunLog()
    log.add([ended("done", 100), ended("done", 110), ended("fail", 105)])
    kpi = figures(log, retry_count=4, stale_in_progress=1)
    assert kpi.line() == (
        "kpi success_rate=66.67% latency_p95_ms=105 latency_avg_ms=105 retry_count=4 stale_in_progress=1"
    )
    assert kpi.alerts(Limits(max_latency_p95_ms=104)) == [
        "alert failure_rate=0.3333 exceeds 0.2000",
        "alert latency_p95_ms=105 exceeds 104",
        "alert stale_in_progress=1 exceeds 0",
    ]


def test_no_data_is_no_alert_and_says_so() -> None:
    kpi = figures(RunLog(), retry_count=None, stale_in_progress=0)
    assert (
        kpi.line() == "kpi success_rate=- latency_p95_ms=None latency_avg_ms=None retry_count=None stale_in_progress=0"
    )
    assert kpi.alerts(Limits(max_failure_rate=Decimal(0), max_latency_p95_ms=0)) == []


def test_odd_lines_are_counted_and_never_fatal() -> None:
    log = RunLog()
    log.add(
        [
            b"",
            b"  \n",
            b"{",
            b"[1]",
            b"3",
            b"\xff",
            ended("done", 1.5),
            ended("done", duration=True),
            ended("fail", 5, 1),
            b"[" * 9999,
        ]
    )
    assert (log.malformed, log.done, log.failed, log.durations_ms) == (5, 2, 0, [5])
