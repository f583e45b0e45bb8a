"""`interlock queue` for who looks: status, workers, list, show, explain, consistency-check, kpi, health."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.door import Door, call, files
from tests.cli.stores import LINK, LOG, QUEUE, QueueDoor, Store, document, row, seed_database, whole

ROWS = [
    row("ORCH-001", "PENDING", "P2", notes="급하지 않다"),
    row("ORCH-002", "IN_PROGRESS", "P2", owner_session="w1", started_at_kst="2026-11-20 09:00"),
    row("ORCH-003", "IN_PROGRESS", "P0", owner_session="w2", started_at_kst="2026-11-20 10:00"),
    row("ORCH-004", "FAILED", "P1", task="Paint the SHED"),
    row("ORCH-005", "DONE", "P0", owner_session="w1"),
]
IN_ORDER = ["ORCH-003", "ORCH-005", "ORCH-004", "ORCH-001", "ORCH-002"]


def test_status_and_workers_say_the_seed_s_lines(queue: QueueDoor) -> None:
    queue.store.fill(*ROWS)
    assert queue("status").out == (
        "summary PENDING=1 IN_PROGRESS=2 BLOCKED=0 FAILED=1 DONE=1\n"
        "top_in_progress:\n"
        "- ORCH-003 (P0) owner=w2 started=2026-11-20 10:00\n"
        "- ORCH-002 (P2) owner=w1 started=2026-11-20 09:00\n"
    )
    assert queue("workers").out == (
        "workers_active=2 in_progress=2\n"
        "- w1 tasks=1 p0=0 p1=0 p2=1 ids=ORCH-002 oldest_start=2026-11-20 09:00\n"
        "- w2 tasks=1 p0=1 p1=0 p2=0 ids=ORCH-003 oldest_start=2026-11-20 10:00\n"
    )
    told = queue.json("status")
    counts = {"PENDING": 1, "IN_PROGRESS": 2, "BLOCKED": 0, "FAILED": 1, "DONE": 1}
    assert {name: told[name] for name in counts} == counts
    assert (told["id"], told["paused"], [each["id"] for each in told["top_in_progress"]]) == (
        "queue",
        None,
        ["ORCH-003", "ORCH-002"],
    )
    assert queue.json("workers")["workers"] == [
        {"owner_session": "w1", "tasks": 1, "ids": ["ORCH-002"]},
        {"owner_session": "w2", "tasks": 1, "ids": ["ORCH-003"]},
    ]


def test_status_says_that_the_queue_is_paused_beside_the_answer(ask: Door) -> None:
    ask("queue", "pause", "--reason", "a feast", "--for", "2h")
    answered = ask("queue", "status")
    assert answered.out.startswith("summary ")
    assert "a feast" in answered.err
    told = ask.json("queue", "status")["paused"]
    assert (told["reason"], told["until"] > told["since"]) == ("a feast", True)


# --- list and show ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], IN_ORDER),
        (["--status", "IN_PROGRESS"], ["ORCH-003", "ORCH-002"]),
        (["--status", "BLOCKED"], []),
        (["--priority", "P0"], ["ORCH-003", "ORCH-005"]),
        (["--owner", "w1"], ["ORCH-005", "ORCH-002"]),
        (["--text", "shed"], ["ORCH-004"]),
        (["--text", "급하지"], ["ORCH-001"]),
        (["--text", "orch-00", "--limit", "2"], ["ORCH-003", "ORCH-005"]),
        (["--text", "%"], []),
        (["--status", "DONE", "--priority", "P0", "--owner", "w1"], ["ORCH-005"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType] - pytest gives any value
)
def test_a_list_is_in_the_order_of_the_queue_whatever_is_asked_for(
    queue: QueueDoor, words: list[str], found: list[str]
) -> None:
    queue.store.fill(*ROWS)
    assert [each["id"] for each in queue.json("list", *words)] == found
    answered = queue("list", *words)
    assert [line.split("\t")[0] for line in answered.out.splitlines()] == (found or ["no such item"])
    assert ("there are more" in answered.err) == ("--limit" in words)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--status", "Done"], "--status"),
        (["--priority", "P9"], "P0, P1, P2"),
        (["--owner", ""], "--owner"),
        (["--text", ""], "--text"),
        (["--limit", "0"], "--limit"),
        (["--limit", "10001"], "--limit"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType] - the same
)
def test_a_filter_that_means_nothing_is_refused(queue: QueueDoor, words: list[str], told: str) -> None:
    queue.store.fill(*ROWS)
    queue("list", *words).refuses(2, told)


def test_age_is_known_of_items_and_not_of_rows(ask: Door, in_file: QueueDoor) -> None:
    ask("queue", "add", "--task", "t", "--success-criteria", "s")
    assert ask.json("queue", "list", "--older-than", "1h") == []
    assert len(ask.json("queue", "list", "--older-than", "0s")) == 1
    ask("queue", "list", "--older-than", "yesterday").refuses(2, "--older-than")
    in_file("list", "--older-than", "1h").refuses(4, "a Markdown queue can not tell how old")


def test_an_item_is_shown_field_by_field(queue: QueueDoor) -> None:
    queue.store.fill(*ROWS)
    shown = queue.json("show", "ORCH-003")
    assert {name: shown[name] for name in ROWS[2]} == ROWS[2]
    lines = dict(line.split(None, 1) for line in queue("show", "ORCH-003").out.splitlines() if " " in line.strip())
    assert (lines["status"], lines["started_at_kst"]) == ("IN_PROGRESS", "2026-11-20 10:00")


# --- explain ----------------------------------------------------------------------------------------------------------


def test_explain_names_the_rule_that_holds_an_item(in_database: QueueDoor) -> None:
    for more in ([], ["--delay", "2h"], ["--concurrency-key", "gpu"], ["--concurrency-key", "gpu"]):
        in_database("add", "--task", "t", "--success-criteria", "s", *more)
    in_database("claim", "--owner-session", "w")

    def codes(item: str) -> list[str]:
        return [each["code"] for each in in_database.json("explain", item)["because"]]

    assert codes("ORCH-001")[0] == "claimed"
    assert "not_before" in codes("ORCH-002")
    in_database("claim", "--owner-session", "w")
    assert "concurrency_limit" in codes("ORCH-004")
    in_database("pause", "--reason", "a feast")
    assert codes("ORCH-004")[0] == "queue_paused"
    answered = in_database("explain", "ORCH-001").out.splitlines()
    assert answered[0] == "ORCH-001 is IN_PROGRESS"
    assert answered[1].endswith("[claimed]")


def test_a_row_of_a_file_is_held_by_nothing_that_could_be_explained(in_file: QueueDoor) -> None:
    in_file.store.fill(*ROWS)
    in_file("explain", "ORCH-001").refuses(4, "a Markdown queue can not explain its rows")


# --- another database -------------------------------------------------------------------------------------------------

LOOKS = (["status"], ["workers"], ["list"], ["show", "ORCH-001"], ["explain", "ORCH-001"], ["limit"], ["kpi"])


@pytest.mark.parametrize("older", [False, True], ids=["last columns", "first columns"])
def test_a_database_of_the_seed_s_tools_is_looked_at_as_it_is(ask: Door, tmp_path: Path, *, older: bool) -> None:
    path = tmp_path / "old" / "queue.db"
    path.parent.mkdir()
    before = seed_database(path, *ROWS, older=older)
    for words in LOOKS:
        assert ask("queue", *words, "--db", str(path)).code == 0, words
    assert [each["id"] for each in ask.json("queue", "list", "--db", str(path))] == IN_ORDER
    (tmp_path / "same.md").write_bytes(document(ROWS))
    both = ("--db", str(path), "--queue", str(tmp_path / "same.md"))
    assert ask("queue", "consistency-check", *both).out == "consistency ok total=5\n"
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["queue.db"]


def test_the_first_change_of_it_upgrades_it(ask: Door, tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    seed_database(path, *ROWS)
    assert ask("queue", "cancel", "ORCH-001", "--db", str(path)).out == "ORCH-001 -> BLOCKED\n"
    assert path.with_name("queue.db.schema-0.backup").exists()
    assert ask.json("queue", "show", "ORCH-001", "--db", str(path))["status"] == "BLOCKED"
    assert ask.json("queue", "list") == []
    assert ask.json("queue", "add", "--task", "t", "--success-criteria", "s", "--db", str(path))["id"] == "ORCH-006"


def test_a_command_that_looked_before_it_upgraded_sees_what_it_did(ask: Door, tmp_path: Path) -> None:
    """What it looked at was a picture of the coming database; what follows is the database."""
    path = tmp_path / "queue.db"
    seed_database(path, *ROWS)
    assert ask("queue", "retry", "--status", "FAILED", "--yes", "--db", str(path)).out.startswith("done: matched=1 ")
    with closing(sqlite3.connect(path)) as connection:
        history = connection.execute("SELECT item_id, event_type FROM queue_events ORDER BY event_id").fetchall()
    assert history == [*((each["id"], "added") for each in ROWS), ("ORCH-004", "retried")]


def test_looking_at_a_database_leaves_nothing_behind(ask: Door, tmp_path: Path) -> None:
    ask("queue", "add", "--task", "t", "--success-criteria", "s")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "queue.db").write_bytes((ask.root / ".interlock" / "interlock.db").read_bytes())
    before = whole(tmp_path / "copy")
    for words in LOOKS:
        assert ask("queue", *words, "--db", str(tmp_path / "copy" / "queue.db")).code == 0, words
        assert whole(tmp_path / "copy") == before


def test_the_workspace_s_own_database_by_its_other_name_is_the_same(ask: Door) -> None:
    words = ("add", "--task", "t", "--success-criteria", "s", "--db", str(ask.root / LINK))
    assert ask("queue", *words).code == 0
    assert ask.json("queue", "show", "ORCH-001")["status"] == "PENDING"
    assert ask("windows", "verify").code == 0


# --- consistency-check, kpi, health -----------------------------------------------------------------------------------


def log(root: Path, *commands: str) -> None:
    lines = [{"event": "run_end", "command": command, "duration_ms": 10, "exit_code": 0} for command in commands]
    (root / LOG).write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_drift_is_10_and_told_in_the_seed_s_words(ask: Door) -> None:
    assert ask("queue", "consistency-check").out == "consistency ok total=0\n"
    Store("markdown", ask.root).fill(row("ORCH-001"))
    answered = ask("queue", "consistency-check")
    first = "consistency mismatch missing_in_db=1 missing_in_md=0 field_mismatch=0"
    assert (answered.code, answered.out) == (10, f"{first}\n- missing_in_db ORCH-001\n")
    answered = ask("queue", "consistency-check", "--json")
    assert answered.code == 10
    told = json.loads(answered.out)
    assert (told["status"], told["missing_in_db"], told["total"]) == ("mismatch", ["ORCH-001"], 1)


def test_kpi_alerts_with_20_only_where_that_was_asked_for(ask: Door) -> None:
    log(ask.root, "done", "fail")
    assert ask("queue", "kpi").code == 0
    answered = ask("queue", "kpi", "--fail-on-alert")
    assert (answered.code, answered.out.splitlines()[1]) == (20, "alert failure_rate=0.5000 exceeds 0.2000")
    assert ask("queue", "kpi", "--fail-on-alert", "--max-failure-rate", "0.5").code == 0
    told = ask.json("queue", "kpi")
    assert (told["done"], told["failed"], told["success_rate"], told["latency_p95_ms"]) == (1, 1, 0.5, 10)


@pytest.mark.parametrize("rate", ["high", "-1", "nan", "inf", "1e999999999", "1e-999999999", "", "9" * 5000])
def test_a_rate_that_is_none_is_refused(ask: Door, rate: str) -> None:
    ask("queue", "kpi", "--max-failure-rate", rate).refuses(2, "--max-failure-rate")


def test_figures_are_not_those_of_a_file(in_file: QueueDoor) -> None:
    """They would be the database's, whatever file was named."""
    in_file("kpi").refuses(4, "a Markdown queue can not be judged by figures")


def test_health_is_consistency_first_and_then_the_figures(ask: Door) -> None:
    answered = ask("queue", "health")
    assert (answered.code, answered.out.splitlines()[0], answered.out.splitlines()[-1]) == (
        0,
        "consistency ok total=0",
        "HEALTH_OK",
    )
    log(ask.root, "fail")
    answered = ask("queue", "health")
    assert (answered.code, answered.out.splitlines()[-1]) == (20, "HEALTH_WARN kpi_alert code=2")
    Store("markdown", ask.root).fill(row("ORCH-001"))
    answered = ask("queue", "health")
    assert (answered.code, answered.out.splitlines()[-1]) == (10, "HEALTH_FAIL consistency_mismatch code=3")
    answered = ask("queue", "health", "--json")
    assert (answered.code, json.loads(answered.out)["status"]) == (10, "HEALTH_FAIL")


@pytest.mark.parametrize(
    "name",
    ["MAX_FAILURE_RATE", "MAX_LATENCY_P95_MS", "MAX_STALE_IN_PROGRESS", "STALE_MINUTES"],
)
@pytest.mark.parametrize("value", ["", "x", "-1", "1e999999999"])
def test_a_broken_limit_is_no_alert_but_what_could_not_be_checked(
    ask: Door, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"ORCH_KPI_{name}", value)
    answered = ask("queue", "health")
    assert (answered.code, answered.out.count("\n")) == (30, 1)
    assert answered.out.startswith(f"HEALTH_ERROR ORCH_KPI_{name} is a ")


def test_limits_come_from_the_variables(ask: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    log(ask.root, "fail")
    monkeypatch.setenv("ORCH_KPI_MAX_FAILURE_RATE", "1.0")
    assert ask("queue", "health").code == 0
    monkeypatch.setenv("ORCH_KPI_MAX_LATENCY_P95_MS", "9")
    assert ask("queue", "health").out.splitlines()[-2] == "alert latency_p95_ms=10 exceeds 9"


def test_what_can_not_be_checked_is_30(ask: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for words in (("--queue", str(tmp_path / "no.md")), ("--db", str(tmp_path / "no.db"))):
        answered = ask("queue", "health", *words)
        assert (answered.code, answered.out.count("\n")) == (30, 1)
        assert words[1] in answered.out
    for name in ("ORCH_QUEUE_MD", "ORCH_DB_PATH"):
        with monkeypatch.context() as patch:
            patch.setenv(name, str(tmp_path / "no"))
            assert ask("queue", "health").code == 30, name
    (ask.root / QUEUE).write_text("")
    answered = ask("queue", "health")
    assert (answered.code, "Queue table header not found" in answered.out) == (30, True)
    assert call("queue", "health", at=tmp_path).code == 30


def test_the_variables_of_cron_jobs_name_queue_database_and_log(
    ask: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seed_database(tmp_path / "queue.db", *ROWS)
    (tmp_path / "QUEUE.md").write_bytes(document(ROWS))
    (tmp_path / "logs").mkdir()
    (tmp_path / "log.jsonl").write_text('{"event": "run_end", "command": "done", "exit_code": 0}\n')
    monkeypatch.setenv("ORCH_QUEUE_MD", str(tmp_path / "QUEUE.md"))
    monkeypatch.setenv("ORCH_DB_PATH", str(tmp_path / "queue.db"))
    monkeypatch.setenv("ORCH_LOG_PATH", str(tmp_path / "log.jsonl"))
    before = files(ask.root)
    assert ask("queue", "consistency-check").out == "consistency ok total=5\n"
    assert "success_rate=100.00%" in ask("queue", "kpi").out
    monkeypatch.setenv("ORCH_KPI_MAX_STALE_IN_PROGRESS", "9")
    told = ask("queue", "health").out.splitlines()
    assert (told[0], told[-1]) == ("consistency ok total=5", "HEALTH_OK")
    assert ask("queue", "status").out.startswith("summary PENDING=0 IN_PROGRESS=0 ")
    assert files(ask.root) == before
    assert os.listdir(tmp_path / "logs") == []  # noqa: PTH208 - only names


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-"])
def test_an_error_that_nobody_can_hear_is_still_an_exit_code(workspace: Path, where: str) -> None:
    unheard = ("sh", "-c", f'exec "$@" {where}', "sh")
    for words, code in ((["show", "ORCH-001"], 3), (["nope"], 2), (["cancel"], 2), (["status"], 0)):
        assert call("queue", *words, at=workspace, prefix=unheard).code == code, words
    assert call("queue", "status", at=workspace, prefix=("sh", "-c", 'exec "$@" >/dev/full', "sh")).code == 1
    assert call("queue", "status", at=workspace, prefix=("sh", "-c", 'exec "$@" >&-', "sh")).code == 1
