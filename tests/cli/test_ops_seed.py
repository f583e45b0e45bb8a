"""Every line of the seed's command page: its examples by the documented command, what follows mostly in this process.

All in fresh workspaces, on each store.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.cli.door import Door, call, said
from tests.cli.stores import LINK, LOG, QUEUE, Ops, Quick, Store, document, one_line, row, whole
from tests.cli.test_refusals import sentence

PYTHONS = [sys.executable, *(each for each in ["/usr/bin/python3"] if shutil.which(each))]

SHOWN = "summary PENDING=1 IN_PROGRESS=0 BLOCKED=0 FAILED=1 DONE=0\ntop_in_progress: none\n"
EXAMPLES: list[tuple[str, str, int]] = [
    ("python3 automation/orchestrator/ops.py status", SHOWN, 0),
    (f"python3 automation/orchestrator/ops.py --db {LINK} status", SHOWN, 0),
    ("python3 automation/orchestrator/ops.py workers", "workers: none\n", 0),
    (f"python3 automation/orchestrator/ops.py --db {LINK} workers", "workers: none\n", 0),
    ("python3 automation/orchestrator/ops.py consistency-check", "consistency ok total=2\n", 0),
    (
        f"python3 automation/orchestrator/ops.py consistency-check --queue-path {QUEUE} --db-path {LINK}",
        "consistency ok total=2\n",
        0,
    ),
    (
        "python3 automation/orchestrator/ops.py kpi",
        "kpi success_rate=- latency_p95_ms=None latency_avg_ms=None retry_count=0 stale_in_progress=0\n",
        0,
    ),
    (
        "python3 automation/orchestrator/ops.py kpi --max-failure-rate 0.1 --max-latency-p95-ms 1500 --fail-on-alert",
        "kpi success_rate=- latency_p95_ms=None latency_avg_ms=None retry_count=0 stale_in_progress=0\n",
        0,
    ),
    ("python3 automation/orchestrator/ops.py cancel --id ORCH-013", "ORCH-013 -> BLOCKED\n", 0),
    (f"python3 automation/orchestrator/ops.py --db {LINK} cancel --id ORCH-013", "ORCH-013 -> BLOCKED\n", 0),
    (
        'python3 automation/orchestrator/ops.py replan --id ORCH-013 --notes "scope split into W1/W2"',
        "ORCH-013 -> PENDING\n",
        0,
    ),
    (
        f'python3 automation/orchestrator/ops.py --db {LINK} replan --id ORCH-013 --notes "need schema update first"',
        "ORCH-013 -> PENDING\n",
        0,
    ),
    ("python3 automation/orchestrator/ops.py retry --id ORCH-014", "ORCH-014 -> PENDING\n", 0),
    (f"python3 automation/orchestrator/ops.py --db {LINK} retry --id ORCH-014", "ORCH-014 -> PENDING\n", 0),
]
"""The seed's own examples and what they answer; only `retry` names an item that may be retried."""


def both(root: Path, *rows: dict[str, str]) -> None:
    """Fill the Markdown queue and the workspace's database alike."""
    Store("markdown", root).fill(*rows)
    Store("sqlite", root).fill(*rows)


def words_of(line: str, python: str) -> list[str]:
    words = shlex.split(line)
    assert words[0] == "python3"
    return [python, *words[1:]]


@pytest.mark.proves("queue-entry-point")
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("line", "answer", "code"), EXAMPLES, ids=[line.partition("ops.py ")[2] for line, *_ in EXAMPLES]
)
def test_every_example_runs_as_it_is_written_whichever_python_is_first(
    workspace: Path, line: str, answer: str, code: int, python: str
) -> None:
    both(workspace, row("ORCH-013"), row("ORCH-014", "FAILED"))
    done = subprocess.run(
        words_of(line, python), cwd=workspace, capture_output=True, text=True, check=False, timeout=45
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, answer, "")


@pytest.mark.proves("queue-defaults")
@pytest.mark.parametrize("line", [line for line, *_ in EXAMPLES if "/QUEUE.md" not in line and "/queue.db" not in line])
def test_the_defaults_are_the_workspace_s_from_any_folder(workspace: Path, tmp_path: Path, line: str) -> None:
    both(workspace, row("ORCH-013"), row("ORCH-014", "FAILED"))
    words = words_of(line, sys.executable)
    words[1] = str(workspace / words[1])
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=45)
    expected = next((answer, code) for each, answer, code in EXAMPLES if each == line)
    assert (done.stdout, done.returncode, done.stderr) == (*expected, "")
    assert [path.name for path in tmp_path.iterdir()] == ["workspace"]


# --- status -----------------------------------------------------------------------------------------------------------


@pytest.mark.proves("queue-status")
def test_status_counts_all_five_and_shows_the_first_that_are_under_way(quick: Quick, store: Store) -> None:
    store.fill(
        row("ORCH-001", "PENDING"),
        row("ORCH-002", "IN_PROGRESS", "P2", owner_session="세션 하나", started_at_kst="2026-11-20 09:00"),
        row("ORCH-003", "BLOCKED"),
        row("ORCH-004", "FAILED"),
        row("ORCH-005", "DONE"),
        row("ORCH-006", "DONE"),
        row("ORCH-007", "IN_PROGRESS", "P0", owner_session="w2", started_at_kst="2026-11-20 10:00"),
    )
    before = whole(store.root)
    assert quick(*store.options, "status").out == (
        "summary PENDING=1 IN_PROGRESS=2 BLOCKED=1 FAILED=1 DONE=2\n"
        "top_in_progress:\n"
        "- ORCH-007 (P0) owner=w2 started=2026-11-20 10:00\n"
        "- ORCH-002 (P2) owner=세션 하나 started=2026-11-20 09:00\n"
    )
    assert whole(store.root) == before


@pytest.mark.proves("queue-status")
def test_status_of_an_empty_queue_is_five_zeros(quick: Quick, store: Store) -> None:
    answered = quick(*store.options, "status")
    assert (answered.code, answered.err) == (0, "")
    assert answered.out == "summary PENDING=0 IN_PROGRESS=0 BLOCKED=0 FAILED=0 DONE=0\ntop_in_progress: none\n"


def test_status_shows_five_and_the_urgent_ones_first_whatever_stands_first(quick: Quick, store: Store) -> None:
    """The tool before this one cut a P0 off behind five P2 rows of a Markdown queue."""
    store.fill(*(row(f"ORCH-00{n}", "IN_PROGRESS", "P2") for n in range(1, 7)), row("ORCH-007", "IN_PROGRESS", "P0"))
    lines = quick(*store.options, "status").out.splitlines()
    assert lines[0] == "summary PENDING=0 IN_PROGRESS=7 BLOCKED=0 FAILED=0 DONE=0"
    assert [line.split()[1] for line in lines[2:]] == ["ORCH-007", "ORCH-001", "ORCH-002", "ORCH-003", "ORCH-004"]


@pytest.mark.parametrize(("top", "shown"), [("0", 0), ("2", 2), ("99", 6)])
def test_a_variable_says_how_many_status_shows(ops: Ops, store: Store, top: str, shown: int) -> None:
    store.fill(*(row(f"ORCH-00{n}", "IN_PROGRESS") for n in range(1, 7)))
    lines = ops(*store.options, "status", env={"ORCH_TOP_IN_PROGRESS": top}).out.splitlines()
    assert lines[1] == "top_in_progress:"
    assert len(lines) == 2 + shown


# --- workers ----------------------------------------------------------------------------------------------------------


@pytest.mark.proves("queue-workers")
def test_workers_groups_what_is_under_way_by_its_owner(quick: Quick, store: Store) -> None:
    store.fill(
        row("ORCH-001", "IN_PROGRESS", "P2", owner_session="beta", started_at_kst="2026-11-20 09:00"),
        row("ORCH-002", "IN_PROGRESS", "P0", owner_session="beta", started_at_kst="2026-11-20 11:00"),
        row("ORCH-003", "IN_PROGRESS", "P1", owner_session="Alpha", started_at_kst="-"),
        row("ORCH-004", "IN_PROGRESS", "P1", owner_session="-", started_at_kst="2026-11-20 08:00"),
        row("ORCH-005", "IN_PROGRESS", "P1", owner_session="", started_at_kst="-"),
        row("ORCH-006", "PENDING", "P1", owner_session="beta"),
        row("ORCH-007", "DONE", "P1", owner_session="gone"),
    )
    before = whole(store.root)
    assert quick(*store.options, "workers").out == (
        "workers_active=3 in_progress=5\n"
        "- - tasks=2 p0=0 p1=2 p2=0 ids=ORCH-004,ORCH-005 oldest_start=2026-11-20 08:00\n"
        "- Alpha tasks=1 p0=0 p1=1 p2=0 ids=ORCH-003 oldest_start=-\n"
        "- beta tasks=2 p0=1 p1=0 p2=1 ids=ORCH-002,ORCH-001 oldest_start=2026-11-20 09:00\n"
    )
    assert whole(store.root) == before


@pytest.mark.proves("queue-workers")
def test_workers_says_so_when_nobody_works(quick: Quick, store: Store) -> None:
    store.fill(row("ORCH-001"))
    assert quick(*store.options, "workers").out == "workers: none\n"


# --- consistency-check ------------------------------------------------------------------------------------------------


@pytest.mark.proves("queue-consistency")
def test_what_agrees_but_for_its_texts_is_consistent(ops: Ops) -> None:
    """Task, criteria and notes are not compared: a bar in the database is a slash in Markdown."""
    Store("sqlite", ops.root).fill(row("ORCH-001", "BLOCKED", notes="a | b", due_at_kst="2026-12-01 10:00"))
    Store("markdown", ops.root).fill(row("ORCH-001", "BLOCKED", notes="a / b", due_at_kst="2026-12-01 10:00"))
    answered = ops("consistency-check")
    assert (answered.code, answered.out, answered.err) == (0, "consistency ok total=1\n", "")


def test_an_owner_that_is_left_blank_is_nobody_on_both_sides(ops: Ops) -> None:
    both(ops.root, row("ORCH-001", "IN_PROGRESS", owner_session="", started_at_kst=""))
    assert ops("consistency-check").out == "consistency ok total=1\n"


def test_drift_is_told_in_full_and_has_a_code_of_its_own(ops: Ops) -> None:
    Store("markdown", ops.root).fill(
        row("ORCH-001", "PENDING", "P0", owner_session="a"), row("ORCH-002"), row("ORCH-005", "DONE")
    )
    Store("sqlite", ops.root).fill(
        row("ORCH-001", "FAILED", "P1", owner_session="b", due_at_kst="2026-12-01 10:00"),
        row("ORCH-003"),
        row("ORCH-004"),
        row("ORCH-005", "DONE"),
    )
    before = whole(ops.root)
    answered = ops("consistency-check")
    assert (answered.code, answered.err) == (3, "")
    assert answered.out == (
        "consistency mismatch missing_in_db=1 missing_in_md=2 field_mismatch=4\n"
        "- missing_in_db ORCH-002\n"
        "- missing_in_md ORCH-003\n"
        "- missing_in_md ORCH-004\n"
        "- mismatch ORCH-001:status:md=PENDING db=FAILED\n"
        "- mismatch ORCH-001:priority:md=P0 db=P1\n"
        "- mismatch ORCH-001:owner_session:md=a db=b\n"
        "- mismatch ORCH-001:due_at_kst:md=- db=2026-12-01 10:00\n"
    )
    assert whole(ops.root) == before


def test_details_of_drift_are_bounded_and_the_counts_are_not(ops: Ops) -> None:
    Store("markdown", ops.root).fill(*(row(f"M-{n:02d}") for n in range(25)), *(row(f"X-{n:02d}") for n in range(35)))
    Store("sqlite", ops.root).fill(
        *(row(f"D-{n:02d}") for n in range(25)), *(row(f"X-{n:02d}", "DONE") for n in range(35))
    )
    first, *details = ops("consistency-check").out.splitlines()
    assert first == "consistency mismatch missing_in_db=25 missing_in_md=25 field_mismatch=35"
    kinds = [line.split()[1] for line in details]
    assert [kinds.count(kind) for kind in ("missing_in_db", "missing_in_md", "mismatch")] == [20, 20, 30]


def test_each_side_of_the_comparison_can_be_named(quick: Quick, database_store: Store, tmp_path: Path) -> None:
    (tmp_path / "other.md").write_bytes(document([row("ORCH-009", "DONE")]))
    database_store.fill(row("ORCH-009", "DONE"))
    target = database_store.url or LINK
    for words in (
        ("consistency-check", "--queue-path", str(tmp_path / "other.md"), "--db-path", target),
        ("--queue", str(tmp_path / "other.md"), "--db", target, "consistency-check"),
        ("--queue", "/nowhere", "consistency-check", "--db-path", target, "--queue-path", str(tmp_path / "other.md")),
    ):
        answered = quick(*words)
        assert (answered.code, answered.out, answered.err) == (0, "consistency ok total=1\n", ""), words


# --- kpi --------------------------------------------------------------------------------------------------------------


def end(command: str, duration: object = 100, code: int = 0, **more: object) -> str:
    """Return a line as the seed's tools log it."""
    said = {"event": "run_end", "command": command, "duration_ms": duration, "exit_code": code, "item_id": "ORCH-001"}
    return json.dumps({**said, "status": "ok" if code == 0 else "error", **more}, sort_keys=True, ensure_ascii=False)


def log(root: Path, lines: Sequence[str]) -> None:
    (root / LOG).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@pytest.mark.proves("queue-kpi")
def test_kpi_adds_up_the_run_log_of_the_seed_s_tools(ops: Ops) -> None:
    log(
        ops.root,
        [
            end("done", 50),
            end("done", 300),
            end("fail", 100),
            end("done", 7, 1),
            end("list", 1.5),
            json.dumps({"event": "run_start", "command": "done", "duration_ms": 9}),
            "",
        ],
    )
    answered = ops("kpi")
    line = "kpi success_rate=66.67% latency_p95_ms=100 latency_avg_ms=114.25 retry_count=0 stale_in_progress=0"
    assert answered.out == f"{line}\nalert failure_rate=0.3333 exceeds 0.2000\n"
    assert (answered.code, answered.err) == (0, "")


def test_lines_that_are_no_records_are_counted_and_never_fatal(ops: Ops) -> None:
    log(ops.root, [end("done"), "[1, 2]", '"text"', "null", "{torn", "\x00\x01", "7"])
    answered = ops("kpi")
    assert answered.code == 0
    assert answered.out.startswith("kpi success_rate=100.00% latency_p95_ms=100 ")
    assert answered.err == f"{ops.root / LOG}: 6 lines are no run records and were left out\n"


@pytest.mark.parametrize(("done", "failed", "limit"), [(7, 3, "0.3"), (17, 3, "0.15"), (9, 1, "0.1"), (0, 5, "1")])
def test_a_rate_at_its_limit_is_no_alert(ops: Ops, done: int, failed: int, limit: str) -> None:
    """In floats 1 - 0.7 is more than 0.3."""
    log(ops.root, [*[end("done")] * done, *[end("fail")] * failed])
    assert ops("kpi", "--max-failure-rate", limit, "--fail-on-alert").code == 0
    log(ops.root, [*[end("done")] * done, *[end("fail")] * (failed + 1)])
    answered = ops("kpi", "--max-failure-rate", limit, "--fail-on-alert")
    assert answered.code == (0 if limit == "1" else 2)


@pytest.mark.proves("queue-kpi-alerts")
def test_alerts_stand_below_the_line_in_their_order_each_only_above_its_limit(ops: Ops) -> None:
    Store("sqlite", ops.root).fill(row("ORCH-001", "IN_PROGRESS", started_at_kst="2026-01-01 10:00"))
    log(ops.root, [end("done", 2001), end("fail", 2001)])
    answered = ops("kpi", "--fail-on-alert")
    assert (answered.code, answered.err) == (2, "")
    assert answered.out.splitlines() == [
        "kpi success_rate=50.00% latency_p95_ms=2001 latency_avg_ms=2001 retry_count=0 stale_in_progress=1",
        "alert failure_rate=0.5000 exceeds 0.2000",
        "alert latency_p95_ms=2001 exceeds 2000",
        "alert stale_in_progress=1 exceeds 0",
    ]
    generous = ("--max-failure-rate", "0.5", "--max-latency-p95-ms", "2001", "--max-stale-in-progress", "1")
    answered = ops("kpi", "--fail-on-alert", *generous)
    assert (answered.code, answered.out.count("\n")) == (0, 1)


@pytest.mark.proves("queue-kpi-alerts")
def test_without_the_flag_an_alert_is_only_said(ops: Ops) -> None:
    log(ops.root, [end("fail")])
    answered = ops("kpi")
    assert (answered.code, answered.out.splitlines()[1]) == (0, "alert failure_rate=1.0000 exceeds 0.2000")


def test_stale_is_what_was_started_so_long_ago_and_nothing_else(quick: Quick, database_store: Store) -> None:
    database_store.fill(
        row("ORCH-001", "IN_PROGRESS", started_at_kst="2026-01-01 10:00"),
        row("ORCH-002", "IN_PROGRESS", started_at_kst="-"),
        row("ORCH-003", "IN_PROGRESS", started_at_kst="yesterday"),
        row("ORCH-004", "IN_PROGRESS", started_at_kst="2999-01-01 10:00"),
        row("ORCH-005", "DONE", started_at_kst="2026-01-01 10:00"),
    )
    words = ("kpi", "--db-path", database_store.url or LINK)
    assert " stale_in_progress=1\n" in quick(*words).out
    assert " stale_in_progress=0\n" in quick(*words, "--stale-minutes", "99999999").out


def test_the_log_can_be_named_and_a_missing_one_has_nothing_to_tell(ops: Ops, tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text(end("done", 8) + "\n" + end("done", 9) + "\n")
    assert ops("kpi", "--log-path", str(tmp_path / "other.jsonl")).out.startswith(
        "kpi success_rate=100.00% latency_p95_ms=8 latency_avg_ms=8.5 "
    )
    before = whole(ops.root)
    assert ops("kpi", "--log-path", str(tmp_path / "none.jsonl")).out.startswith("kpi success_rate=- ")
    assert whole(ops.root) == before


@pytest.mark.parametrize("name", ["/dev/zero", "pipe", "."])
def test_a_log_that_is_no_file_is_refused_at_once(ops: Ops, tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    one_line(ops("kpi", "--log-path", str(tmp_path / name), seconds=10), 1, str(tmp_path / name))


def test_work_in_the_database_counts_with_the_time_it_took(quick: Quick, ask: Door) -> None:
    for number in range(3):
        ask("queue", "add", "--task", f"t{number}", "--success-criteria", "s")
        taken = ask.json("queue", "claim", "--owner-session", "w")["id"]
        ask.json("queue", "fail" if number else "complete", taken, "--owner-session", "w")
    answered = quick("kpi")
    assert answered.out.startswith("kpi success_rate=33.33% latency_p95_ms=")
    assert "None" not in answered.out
    ask("queue", "retry", "ORCH-002")
    assert " retry_count=1 " in quick("kpi").out


# --- cancel -----------------------------------------------------------------------------------------------------------


@pytest.mark.proves("queue-cancel")
@pytest.mark.parametrize("status", ["PENDING", "IN_PROGRESS", "BLOCKED"])
def test_cancel_blocks_what_is_active_and_keeps_its_notes(quick: Quick, store: Store, status: str) -> None:
    store.fill(row("ORCH-013", status, notes="먼저"), row("ORCH-014", status))
    for item in ("ORCH-013", "ORCH-014"):
        answered = quick(*store.options, "cancel", "--id", item)
        assert (answered.code, answered.out, answered.err) == (0, f"{item} -> BLOCKED\n", "")
    rows, joint = store.rows(), " | " if store.in_database else " / "
    assert [rows[item]["status"] for item in ("ORCH-013", "ORCH-014")] == ["BLOCKED", "BLOCKED"]
    assert rows["ORCH-013"]["notes"] == f"먼저{joint}cancelled_by_operator"
    assert rows["ORCH-014"]["notes"] == "cancelled_by_operator"
    quick(*store.options, "cancel", "--id", "ORCH-014")
    assert store.rows()["ORCH-014"]["notes"] == f"cancelled_by_operator{joint}cancelled_by_operator"


@pytest.mark.proves("queue-cancel-terminal")
@pytest.mark.parametrize("status", ["DONE", "FAILED"])
def test_cancel_rejects_what_has_ended(quick: Quick, store: Store, status: str) -> None:
    store.fill(row("ORCH-013", status, notes="how it ended"))
    before, rows = whole(store.root), store.rows()
    one_line(
        quick(*store.options, "cancel", "--id", "ORCH-013"), 1, f"cannot cancel terminal item: ORCH-013 ({status})"
    )
    assert (whole(store.root), store.rows()) == (before, rows)


def test_cancel_changes_the_row_and_no_other_byte(ops: Ops) -> None:
    store = Store("markdown", ops.root)
    store.fill(row("ORCH-013", "IN_PROGRESS", owner_session="w", started_at_kst="2026-11-20 09:00"), row("ORCH-014"))
    before = (ops.root / QUEUE).read_bytes()
    ops("cancel", "--id", "ORCH-013")
    after = before.replace(b"| ORCH-013 | IN_PROGRESS |", b"| ORCH-013 | BLOCKED |")
    after = after.replace(b"2026-11-20 09:00 | - |  |", b"2026-11-20 09:00 | - | cancelled_by_operator |")
    assert (ops.root / QUEUE).read_bytes() == after


def test_who_held_what_was_cancelled_can_not_finish_it(ops: Ops, ask: Door) -> None:
    ask("queue", "add", "--task", "t", "--success-criteria", "s")
    fence = str(ask.json("queue", "claim", "--owner-session", "w")["fence"])
    ops("--db", LINK, "cancel", "--id", "ORCH-001")
    ask("queue", "complete", "ORCH-001", "--fence", fence).refuses(4, "ORCH-001 is not held")
    (item,) = Store("sqlite", ops.root).items()
    assert (item["status"], item["lease_owner"], item["lease_expires_at"]) == ("BLOCKED", None, None)


def test_cancel_keeps_the_last_error_that_was_told(ops: Ops) -> None:
    store = Store("sqlite", ops.root)
    store.fill(row("ORCH-001"))
    store.execute("UPDATE queue_items SET last_error = 'why it failed before'")
    ops("--db", LINK, "cancel", "--id", "ORCH-001")
    assert store.items()[0]["last_error"] == "why it failed before"


def test_what_happened_stands_in_the_history_that_other_tools_read(quick: Quick, database_store: Store) -> None:
    database_store.fill(row("ORCH-001"), row("ORCH-002", "FAILED"))
    quick(*database_store.options, "cancel", "--id", "ORCH-001")
    quick(*database_store.options, "replan", "--id", "ORCH-001", "--notes", "smaller")
    quick(*database_store.options, "retry", "--id", "ORCH-002")
    assert database_store.history() == [
        ("ORCH-001", "added"),
        ("ORCH-002", "added"),
        ("ORCH-001", "blocked"),
        ("ORCH-001", "replan"),
        ("ORCH-002", "retried"),
    ]


# --- replan -----------------------------------------------------------------------------------------------------------


@pytest.mark.proves("queue-replan")
@pytest.mark.parametrize(
    ("status", "after"),
    [
        ("IN_PROGRESS", "BLOCKED"),
        ("PENDING", "PENDING"),
        ("BLOCKED", "PENDING"),
        ("FAILED", "PENDING"),
        ("DONE", "PENDING"),
    ],
)
def test_replan_follows_the_status_policy_and_keeps_the_notes(
    quick: Quick, store: Store, status: str, after: str
) -> None:
    store.fill(row("ORCH-013", status, notes="먼저", owner_session="w", started_at_kst="2026-11-20 09:00"))
    answered = quick(*store.options, "replan", "--id", "ORCH-013", "--notes", "  scope split into W1/W2 ")
    assert (answered.code, answered.out, answered.err) == (0, f"ORCH-013 -> {after}\n", "")
    found, joint = store.rows()["ORCH-013"], " | " if store.in_database else " / "
    assert (found["status"], found["notes"]) == (after, f"먼저{joint}replan:scope split into W1/W2")
    kept = ("w", "2026-11-20 09:00") if after == "BLOCKED" else ("-", "-")
    assert (found["owner_session"], found["started_at_kst"]) == kept


@pytest.mark.proves("queue-replan-lease")
def test_replan_takes_the_lease_from_whoever_had_it(ops: Ops, ask: Door) -> None:
    ask("queue", "add", "--task", "t", "--success-criteria", "s")
    ask("queue", "claim", "--owner-session", "w")
    assert ops("--db", LINK, "replan", "--id", "ORCH-001", "--notes", "x").out == "ORCH-001 -> BLOCKED\n"
    ask("queue", "complete", "ORCH-001", "--owner-session", "w").refuses(4)
    assert ops("--db", LINK, "replan", "--id", "ORCH-001", "--notes", "y").out == "ORCH-001 -> PENDING\n"
    (item,) = Store("sqlite", ops.root).items()
    assert (item["owner_session"], item["lease_owner"], item["lease_expires_at"]) == ("-", None, None)
    assert ask.json("queue", "claim", "--owner-session", "w2")["id"] == "ORCH-001"


@pytest.mark.proves("queue-replan-notes")
@pytest.mark.parametrize("notes", ["", " ", "\t\n ", "\u2003", "\r\v\f"], ids=ascii)
def test_replan_without_a_word_is_refused(quick: Quick, store: Store, notes: str) -> None:
    store.fill(row("ORCH-013"))
    before, rows = whole(store.root), store.rows()
    one_line(quick(*store.options, "replan", "--id", "ORCH-013", "--notes", notes), 64, "--notes is blank")
    one_line(quick(*store.options, "replan", "--id", "ORCH-013"), 64, "--notes")
    assert (whole(store.root), store.rows()) == (before, rows)


@pytest.mark.parametrize(
    ("notes", "kept"),
    [
        ("-x starts with a dash", "-x starts with a dash"),
        ("--help", "--help"),
        ("범위를 나눈다 😀", "범위를 나눈다 😀"),
        ("one\ntwo\r\nthree", "one two three"),
        ("a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029i", "a b c d e f g h i"),
        ("a\rb", "a b"),
        ("tab\there", "tab\there"),
        ("esc \x1b[2J", "esc \x1b[2J"),
    ],
    ids=ascii,
)
def test_notes_of_every_kind_are_kept_on_one_line(quick: Quick, store: Store, notes: str, kept: str) -> None:
    store.fill(row("ORCH-013"), row("ORCH-014"))
    assert quick(*store.options, "replan", "--id", "ORCH-013", "--notes", notes).out == "ORCH-013 -> PENDING\n"
    rows = store.rows()
    assert (rows["ORCH-013"]["notes"], rows["ORCH-014"]["notes"]) == (f"replan:{kept}", "")


def test_a_bar_in_a_note_is_a_slash_in_markdown_and_a_bar_in_a_database(quick: Quick, store: Store) -> None:
    store.fill(row("ORCH-013"), row("ORCH-014"))
    quick(*store.options, "replan", "--id", "ORCH-013", "--notes", "a|b \\| c")
    assert store.rows()["ORCH-013"]["notes"] == ("replan:a|b \\| c" if store.in_database else "replan:a/b \\/ c")
    assert store.rows().keys() == {"ORCH-013", "ORCH-014"}


# --- retry ------------------------------------------------------------------------------------------------------------


@pytest.mark.proves("queue-retry-markdown")
@pytest.mark.parametrize("status", ["FAILED", "BLOCKED"])
def test_retry_in_markdown_takes_what_failed_or_is_blocked(ops: Ops, status: str) -> None:
    store = Store("markdown", ops.root)
    store.fill(row("ORCH-013", status, owner_session="w", started_at_kst="2026-11-20 09:00", notes="why"))
    assert ops("retry", "--id", "ORCH-013").out == "ORCH-013 -> PENDING\n"
    found = store.rows()["ORCH-013"]
    assert (found["owner_session"], found["started_at_kst"], found["notes"]) == ("-", "-", "why / retry_requested")


@pytest.mark.proves("queue-retry-markdown")
@pytest.mark.parametrize("status", ["PENDING", "IN_PROGRESS", "DONE"])
def test_retry_in_markdown_refuses_everything_else(ops: Ops, status: str) -> None:
    Store("markdown", ops.root).fill(row("ORCH-013", status))
    before = whole(ops.root)
    told = f"retry allowed only for FAILED/BLOCKED in markdown mode: ORCH-013 ({status})"
    one_line(ops("retry", "--id", "ORCH-013"), 1, told)
    assert whole(ops.root) == before


@pytest.mark.proves("queue-retry-database")
@pytest.mark.parametrize(("attempts", "seconds"), [(0, 60), (1, 180), (2, 600)])
def test_retry_in_a_database_waits_longer_each_time_and_says_until_when(
    quick: Quick, database_store: Store, attempts: int, seconds: int
) -> None:
    database_store.fill(row("ORCH-013", "FAILED", owner_session="w", started_at_kst="2026-11-20 09:00", notes="why"))
    database_store.execute("UPDATE queue_items SET attempt_count = ?, last_error = 'told'", attempts)
    assert quick(*database_store.options, "retry", "--id", "ORCH-013").out == "ORCH-013 -> PENDING\n"
    (item,) = database_store.items()
    assert (item["attempt_count"], item["owner_session"], item["started_at_kst"]) == (attempts + 1, "-", "-")
    assert (item["lease_owner"], item["lease_expires_at"], item["last_error"]) == (None, None, "told")
    notes, marker = str(item["notes"]).split(" | retry_not_before=")
    assert notes == "why"
    assert int(marker) == item["not_before_ms"] // 1000
    minute = 60  # `updated_at` is told to the minute
    assert abs(int(marker) - seconds - _epoch(str(item["updated_at"]))) <= minute


def _epoch(kst: str) -> int:
    return int(datetime.strptime(kst, "%Y-%m-%d %H:%M").replace(tzinfo=timezone(timedelta(hours=9))).timestamp())


def test_what_was_retried_is_not_claimed_before_its_time(ops: Ops, ask: Door) -> None:
    """No picker of the tool before this one ever read the marker."""
    store = Store("sqlite", ops.root)
    store.fill(row("ORCH-013", "FAILED", "P0"), row("ORCH-014", "PENDING", "P2"))
    ops("--db", LINK, "retry", "--id", "ORCH-013")
    assert ask.json("queue", "claim", "--owner-session", "w")["id"] == "ORCH-014"
    assert ask.json("queue", "claim", "--owner-session", "w") == {"id": None, "status": "NOOP"}
    store.execute("UPDATE queue_items SET not_before_ms = 1 WHERE id = 'ORCH-013'")
    assert ask.json("queue", "claim", "--owner-session", "w")["id"] == "ORCH-013"


@pytest.mark.parametrize("status", ["PENDING", "BLOCKED", "DONE"])
def test_retry_in_a_database_refuses_what_has_not_failed(quick: Quick, database_store: Store, status: str) -> None:
    database_store.fill(row("ORCH-013", status))
    before = database_store.items()
    told = f"retry allowed only for FAILED or timed-out IN_PROGRESS in db mode: ORCH-013 ({status})"
    one_line(quick(*database_store.options, "retry", "--id", "ORCH-013"), 1, told)
    assert database_store.items() == before


@pytest.mark.proves("queue-retry-limit")
@pytest.mark.parametrize(("attempts", "most"), [(3, 3), (4, 3), (0, 0), (5, 5)])
def test_retry_stops_at_the_attempts_that_an_item_has_also_when_those_are_none(
    quick: Quick, database_store: Store, attempts: int, most: int
) -> None:
    """The tool before this one read 0 attempts as 3."""
    database_store.fill(row("ORCH-013", "FAILED"))
    database_store.execute("UPDATE queue_items SET attempt_count = ?, max_attempts = ?", attempts, most)
    before = database_store.items()
    told = f"max attempts reached: ORCH-013 ({attempts}/{most})"
    one_line(quick(*database_store.options, "retry", "--id", "ORCH-013"), 1, told)
    assert database_store.items() == before


def test_retry_takes_what_timed_out_by_its_lease_or_without_one_by_its_age(quick: Quick, database_store: Store) -> None:
    """What a tool claimed that takes no leases could never be retried."""
    database_store.fill(
        row("ORCH-001", "IN_PROGRESS", owner_session="w", started_at_kst="2999-01-01 10:00"),
        row("ORCH-002", "IN_PROGRESS", owner_session="w", started_at_kst="2026-01-01 10:00"),
        row("ORCH-003", "IN_PROGRESS", owner_session="w", started_at_kst="2999-01-01 10:00"),
    )
    lease = "UPDATE queue_items SET lease_owner = 'w', lease_expires_at = ?, lease_until_ms = ? WHERE id = ?"
    database_store.execute(lease, 1, 1000, "ORCH-001")
    database_store.execute(lease, 10**10, 10**13, "ORCH-003")
    assert quick(*database_store.options, "retry", "--id", "ORCH-001").out == "ORCH-001 -> PENDING\n"
    assert quick(*database_store.options, "retry", "--id", "ORCH-002").out == "ORCH-002 -> PENDING\n"
    one_line(quick(*database_store.options, "retry", "--id", "ORCH-003"), 1, "timed-out", "ORCH-003 (IN_PROGRESS)")


# --- the workspace's own database, whatever it is ---------------------------------------------------------------------


def test_a_workspace_on_postgresql_answers_from_there(
    tmp_path: Path, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "init", str(tmp_path / "pg"), "--database", postgres_url).code == 0
    ops, ask = Ops(tmp_path / "pg"), Door(tmp_path / "pg", capsys)
    assert ops("consistency-check").out == "consistency ok total=0\n"
    ask("queue", "add", "--task", "작업", "--success-criteria", "s", "--priority", "P0")
    answered = ops("consistency-check")
    assert (answered.code, answered.out.splitlines()[1]) == (3, "- missing_in_md ORCH-001")
    taken = ask.json("queue", "claim", "--owner-session", "w")
    ask("queue", "fail", taken["id"], "--fence", str(taken["fence"]))
    answered = ops("kpi", "--fail-on-alert")
    assert (answered.code, answered.out.splitlines()[1]) == (2, "alert failure_rate=1.0000 exceeds 0.2000")
    assert ops("--db", postgres_url, "retry", "--id", "ORCH-001").out == "ORCH-001 -> PENDING\n"
    assert " retry_count=1 " in ops("kpi").out
    assert not (ops.root / LINK).exists()
    assert call("evidence", "head", at=ops.root).code == 0
    assert call("evidence", "verify", at=ops.root).code == 0


# --- options ----------------------------------------------------------------------------------------------------------


def test_global_options_stand_before_the_command_or_behind_it(quick: Quick, tmp_path: Path) -> None:
    (tmp_path / "other.md").write_bytes(document([row("ORCH-001", "DONE")]))
    for words in (
        ("--queue", str(tmp_path / "other.md"), "status"),
        ("status", "--queue", str(tmp_path / "other.md")),
        (f"--queue={tmp_path / 'other.md'}", "status"),
        ("--db", "", "status", "--queue", str(tmp_path / "other.md")),
    ):
        assert " DONE=1\n" in quick(*words).out, words


def test_paths_that_are_named_are_of_the_folder_where_the_call_was_made(ops: Ops, tmp_path: Path) -> None:
    (tmp_path / "other.md").write_bytes(document([row("ORCH-001", "DONE")]))
    entry = ops.root / "automation" / "orchestrator" / "ops.py"
    assert " DONE=1\n" in ops("--queue", "other.md", "status", at=tmp_path, script=entry).out
    one_line(ops("--queue", "other.md", "status"), 1, "there is no queue other.md")
    one_line(ops("--db", "other.db", "status", at=tmp_path, script=entry), 1, "there is no database other.db")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "COMMAND"),
        (["nope"], "'nope'"),
        (["status", "extra"], "extra"),
        (["status", "--nope"], "--nope"),
        (["--queue"], "--queue"),
        (["--queue", "", "status"], "--queue"),
        (["consistency-check", "--queue-path", ""], "--queue-path"),
        (["cancel"], "--id"),
        (["cancel", "--id"], "--id"),
        (["cancel", "ORCH-001"], "--id"),
        (["replan", "--id", "ORCH-001"], "--notes"),
        (["replan", "--notes", "x"], "--id"),
        (["replan", "--id", "ORCH-001", "--notes", "--"], "--notes"),
        (["replan", "--id", "ORCH-001", "--notes=--"], "--notes"),
        (["replan", "--id", "ORCH-001", "--notes", "--id=ORCH-014"], "--notes"),
        (["cancel", "--id", "--"], "--id"),
        (["--db", "--", "status"], "--db"),
        (["retry"], "--id"),
        (["retry", "--i", "ORCH-001"], "--id"),
        (["kpi", "--max-failure-rate", "high"], "--max-failure-rate"),
        (["kpi", "--max-failure-rate", "-0.1"], "--max-failure-rate"),
        (["kpi", "--max-failure-rate", "nan"], "--max-failure-rate"),
        (["kpi", "--max-failure-rate", "inf"], "--max-failure-rate"),
        (["kpi", "--max-failure-rate", "1e999999999"], "--max-failure-rate"),
        (["kpi", "--max-failure-rate", "1e-999999999"], "--max-failure-rate"),
        (["kpi", "--max-failure-rate", "\u0660.\u0662"], "--max-failure-rate"),
        (["kpi", "--max-latency-p95-ms", "1.5"], "--max-latency-p95-ms"),
        (["kpi", "--max-stale-in-progress", "-1"], "--max-stale-in-progress"),
        (["kpi", "--stale-minutes", "9" * 5000], "--stale-minutes"),
        (["kpi", "--stale-minutes", ""], "--stale-minutes"),
        (["kpi", "--fail-on-alert=yes"], "--fail-on-alert"),
    ],
    ids=sentence,
)
def test_a_wrong_command_line_has_a_code_of_its_own(ops: Ops, words: list[str], told: str) -> None:
    """2 is only for an alert, 3 only for drift, so that cron knows which is which."""
    before = whole(ops.root)
    answered = ops(*words)
    one_line(answered, 64, told)
    assert len(answered.err) < 500
    assert whole(ops.root) == before


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["status", "--help"], ["kpi", "--help"], ["replan", "-h"]])
def test_help_is_an_answer(ops: Ops, words: list[str]) -> None:
    answered = ops(*words)
    assert (answered.code, answered.err) == (0, "")
    assert answered.out.startswith("usage: ops.py ")


# --- many at once -----------------------------------------------------------------------------------------------------


def test_eight_calls_at_once_on_eight_items_are_all_done(ops: Ops, store: Store) -> None:
    """Of the tool before this one every fourth call crashed, and some changes were lost."""
    items = [f"ORCH-{n:03d}" for n in range(8)]
    store.fill(*(row(item, "FAILED") for item in items))
    line = [sys.executable, "automation/orchestrator/ops.py", *store.options, "retry", "--id"]
    running = [
        subprocess.Popen([*line, item], cwd=ops.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for item in items
    ]
    for item, process in zip(items, running, strict=True):
        out, err = process.communicate(timeout=45)
        assert (process.returncode, out, err) == (0, f"{item} -> PENDING\n", "")
    assert {each["status"] for each in store.rows().values()} == {"PENDING"}
    assert all("retry" in each["notes"] for each in store.rows().values())


def test_of_eight_calls_at_once_on_one_item_one_is_done(ops: Ops, store: Store) -> None:
    store.fill(row("ORCH-001", "FAILED"))
    line = [sys.executable, "automation/orchestrator/ops.py", *store.options, "retry", "--id", "ORCH-001"]
    running = [
        subprocess.Popen(line, cwd=ops.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    answers = [(process.communicate(timeout=45), process.returncode) for process in running]
    assert sorted(code for _, code in answers) == [0, 1, 1, 1, 1, 1, 1, 1]
    assert all(err.count("\n") == (code == 1) for (_, err), code in answers), answers
    assert store.rows()["ORCH-001"]["notes"].count("retry") == 1
