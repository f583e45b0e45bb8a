"""`interlock queue` for operators: one item or many, snooze, pause, limit; the rescuer once and as a loop."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.door import PROGRAM, Door, environment, files
from tests.cli.stores import LINK, QueueDoor, Store, row, whole
from tests.conftest import until

ADD = ("queue", "add", "--task", "t", "--success-criteria", "s")


def statuses(root: Path) -> dict[str, int]:
    """Count the workspace's items by status."""
    with closing(sqlite3.connect(root / LINK)) as connection:
        return dict(connection.execute("SELECT status, COUNT(*) FROM queue_items GROUP BY status"))


# --- one item ---------------------------------------------------------------------------------------------------------


def test_one_item_is_steered_by_its_id(queue: QueueDoor) -> None:
    queue.store.fill(row("ORCH-001"), row("ORCH-002", "FAILED"), row("ORCH-003", "IN_PROGRESS", owner_session="w"))
    assert queue("cancel", "ORCH-001", "--reason", "not this week").out == "ORCH-001 -> BLOCKED\n"
    assert queue("retry", "ORCH-002", "--reason", "once more").out == "ORCH-002 -> PENDING\n"
    assert queue("replan", "ORCH-003", "--notes", "in two steps").out == "ORCH-003 -> BLOCKED\n"
    assert queue("reprioritise", "ORCH-001", "--to", "P0", "--reason", "now").out == "ORCH-001 -> BLOCKED\n"
    notes = {item: str(queue.json("show", item)["notes"]) for item in ("ORCH-001", "ORCH-002", "ORCH-003")}
    joint = " / " if queue.store.kind == "markdown" else " | "
    assert notes["ORCH-001"] == f"cancelled_by_operator: not this week{joint}P1->P0: now"
    assert "once more" in notes["ORCH-002"]
    assert notes["ORCH-003"] == "replan:in two steps"
    assert queue.json("show", "ORCH-001")["priority"] == "P0"


def test_what_the_state_does_not_allow_is_refused_in_the_seed_s_words(queue: QueueDoor) -> None:
    queue.store.fill(row("ORCH-001", "DONE"), row("ORCH-002", "PENDING"))
    before, rows = whole(queue.ask.root), queue.store.rows()
    queue("cancel", "ORCH-001").refuses(4, "cannot cancel terminal item: ORCH-001 (DONE)")
    queue("retry", "ORCH-001").refuses(4, "retry allowed only for FAILED", "ORCH-001 (DONE)")
    queue("reprioritise", "ORCH-001", "--to", "P0").refuses(4, "cannot reprioritise a finished item: ORCH-001")
    queue("reprioritise", "ORCH-002", "--to", "P7").refuses(2, "P0, P1, P2")
    queue("replan", "ORCH-002", "--notes", " ").refuses(2, "--notes is blank")
    queue("cancel", "ORCH-002", "--reason", "r" * 3000).refuses(2, "at most 2000")
    assert (whole(queue.ask.root), queue.store.rows()) == (before, rows)


def test_an_id_and_a_filter_exclude_each_other(queue: QueueDoor) -> None:
    """Else the filter would be passed over in silence, and the wrong item moved."""
    queue.store.fill(row("ORCH-001"))
    for words in (("cancel",), ("retry",), ("replan", "--notes", "x"), ("reprioritise", "--to", "P0")):
        for which in (("--status", "FAILED"), ("--priority", "P1"), ("--owner", "w"), ("--text", "t")):
            queue(*words, "ORCH-001", *which).refuses(2, "exclude each other")
    assert queue.status("ORCH-001") == "PENDING"


# --- many items -------------------------------------------------------------------------------------------------------

MANY = [
    *(row(f"F-{n:02d}", "FAILED", "P1") for n in range(12)),
    *(row(f"D-{n:02d}", "DONE", "P1") for n in range(3)),
    *(row(f"P-{n:02d}", "PENDING", "P2", owner_session="w") for n in range(4)),
]


@pytest.mark.parametrize("words", [["cancel"], ["retry"], ["replan", "--notes", "x"], ["reprioritise", "--to", "P0"]])
def test_without_yes_many_are_only_shown(in_database: QueueDoor, words: list[str]) -> None:
    in_database.store.fill(*MANY)
    before = in_database.store.items()
    lines = in_database(*words, "--priority", "P1").out.splitlines()
    assert lines[0] == "15 items DONE=3 FAILED=12"
    assert lines[1] == "- F-00 (P1) FAILED owner=- task of F-00"
    assert len(lines) == 13
    assert lines[-2] == "- …"
    assert "nothing was changed, --yes does it" in lines[-1]
    told = in_database.json(*words, "--priority", "P1")
    assert (told["status"], told["matched"], told["by_status"]) == ("preview", 15, {"DONE": 3, "FAILED": 12})
    assert len(told["sample"]) == 10
    assert in_database.store.items() == before


def test_with_yes_each_is_moved_with_its_reason_and_what_may_not_is_told(in_database: QueueDoor) -> None:
    in_database.store.fill(*MANY)
    answered = in_database("retry", "--priority", "P1", "--reason", "the network is back", "--yes")
    lines = answered.out.splitlines()
    assert (answered.code, lines[0]) == (0, "done: matched=15 changed=12 refused=3")
    assert lines[1].startswith("- retry allowed only for FAILED")
    rows = in_database.store.rows()
    assert {rows[f"F-{n:02d}"]["status"] for n in range(12)} == {"PENDING"}
    assert all("the network is back" in rows[f"F-{n:02d}"]["notes"] for n in range(12))
    assert {rows[f"D-{n:02d}"]["status"] for n in range(3)} == {"DONE"}
    assert {rows[f"P-{n:02d}"]["notes"] for n in range(4)} == {""}


def test_where_none_could_be_moved_the_exit_code_says_so(in_database: QueueDoor) -> None:
    in_database.store.fill(*MANY)
    answered = in_database("cancel", "--status", "DONE", "--yes", "--json")
    assert answered.code == 4
    told = json.loads(answered.out)
    assert (told["status"], told["matched"], told["changed"], told["refused"]) == (
        "done",
        3,
        0,
        {"item_state_conflict": 3},
    )
    answered = in_database("cancel", "--owner", "nobody", "--yes")
    assert (answered.code, answered.out) == (0, "done: matched=0 changed=0 refused=0\n")


def test_what_is_as_it_should_become_is_not_refused(in_database: QueueDoor) -> None:
    in_database.store.fill(*MANY)
    told = in_database.json("reprioritise", "--to", "P2", "--status", "PENDING", "--yes")
    assert (told["matched"], told["changed"], told["refused"]) == (4, 0, {})


@pytest.mark.parametrize("words", [["cancel"], ["retry"], ["replan", "--notes", "x"], ["reprioritise", "--to", "P0"]])
def test_everything_is_never_meant_by_accident(ask: Door, in_file: QueueDoor, words: list[str]) -> None:
    ask(*ADD)
    for more in ([], ["--yes"], ["--reason", "x", "--yes"][: 0 if words[0] == "replan" else 3]):
        ask("queue", *words, *more).refuses(2, "name an ID, or a filter")
    in_file(*words, "--status", "FAILED", "--yes").refuses(4, "a Markdown queue can not be changed by a filter")
    assert ask.json("queue", "show", "ORCH-001")["status"] == "PENDING"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_bulk_that_is_stopped_leaves_what_is_done_done_and_the_rest_as_it_was(
    ask: Door, workspace: Path, number: signal.Signals
) -> None:
    many = 8000
    Store("sqlite", workspace).fill(*(row(f"X-{n:05d}") for n in range(many)))
    line = [str(PROGRAM), "queue", "cancel", "--status", "PENDING", "--reason", "all of it", "--yes"]
    with subprocess.Popen(
        line, cwd=workspace, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as bulk:
        until(lambda: statuses(workspace).get("BLOCKED", 0) > 0, 30)
        bulk.send_signal(number)
        out, err = bulk.communicate(timeout=45)
    found = statuses(workspace)
    assert bulk.returncode == 130, (out, err)
    assert 0 < found["BLOCKED"] < many
    assert found["BLOCKED"] + found["PENDING"] == many
    assert out.splitlines() == [
        f"stopped: matched={many} changed={found['BLOCKED']} refused=0",
        f"stopped before {found['PENDING']} items, which are as they were",
    ]
    with closing(sqlite3.connect(workspace / LINK)) as connection:
        logged = connection.execute("SELECT COUNT(*) FROM event WHERE kind = 'item.cancelled'").fetchone()
        assert logged == (found["BLOCKED"],)
        for _ in range(3):  # one command brings only so much of the history up to date
            assert ask("queue", "resume").code == 0
        history = connection.execute("SELECT COUNT(*) FROM queue_events WHERE event_type = 'blocked'").fetchone()
        assert history == logged


# --- snooze, pause, limit ---------------------------------------------------------------------------------------------


def test_a_snoozed_item_waits_and_is_woken(in_database: QueueDoor) -> None:
    in_database("add", "--task", "t", "--success-criteria", "s")
    assert in_database("snooze", "ORCH-001", "--for", "2h", "--reason", "night").out.startswith(
        "ORCH-001 -> PENDING not_before=20"
    )
    assert in_database.json("claim", "--owner-session", "w")["id"] is None
    assert in_database("snooze", "ORCH-001", "--for", "0").out == "ORCH-001 -> PENDING not_before=-\n"
    assert in_database.json("claim", "--owner-session", "w")["id"] == "ORCH-001"
    in_database("snooze", "ORCH-001", "--for", "2h").refuses(4, "only a PENDING item can be snoozed")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--for", "1h", "--until", "2999-01-01T00:00:00Z"],
        ["--for", "soon"],
        ["--until", "2999-01-01"],
        ["--until", "99999-01-01T00:00:00Z"],
        ["--for", "999999999d"],
    ],
    ids=str,
)
def test_an_instant_that_is_none_is_refused(ask: Door, words: list[str]) -> None:
    ask(*ADD)
    ask("queue", "snooze", "ORCH-001", *words).refuses(2)
    if words:
        ask("queue", "pause", "--reason", "x", *words).refuses(2)
    assert ask.json("queue", "status")["paused"] is None


def test_a_pause_says_who_why_and_until_when_and_holds_up_only_claims(in_database: QueueDoor) -> None:
    for _ in range(2):
        in_database("add", "--task", "t", "--success-criteria", "s")
    in_database("claim", "--owner-session", "w")
    assert in_database("pause", "--reason", "a feast").out == "queue -> paused until somebody resumes it\n"
    told = in_database.json("pause", "--reason", "a longer feast", "--for", "2h")
    assert (told["status"], told["reason"], told["by"][:6]) == ("paused", "a longer feast", "human:")
    assert in_database.json("claim", "--owner-session", "w2") == {"id": None, "status": "NOOP"}
    assert in_database("complete", "ORCH-001", "--owner-session", "w").out == "ORCH-001 -> DONE\n"
    assert in_database.json("resume") == {"id": "queue", "status": "running", "was_paused": True}
    assert in_database.json("resume")["was_paused"] is False
    assert in_database.json("claim", "--owner-session", "w2")["id"] == "ORCH-002"
    in_database("pause", "--reason", " ").refuses(2, "the reason is blank")
    in_database("pause", "--reason", "x", "--until", "2001-01-01T00:00:00Z").refuses(2, "ended already")


def test_a_file_can_neither_be_paused_nor_wait_nor_hold_keys(in_file: QueueDoor) -> None:
    in_file.store.fill(row("ORCH-001"))
    before = files(in_file.ask.root)
    for words in (["pause", "--reason", "x"], ["resume"], ["snooze", "ORCH-001", "--for", "1h"], ["limit"]):
        in_file(*words).refuses(4, "a Markdown queue can not")
    assert files(in_file.ask.root) == before


def test_a_limit_holds_up_the_items_of_its_key_until_it_is_raised(in_database: QueueDoor) -> None:
    for _ in range(3):
        in_database("add", "--task", "t", "--success-criteria", "s", "--concurrency-key", "gpu")
    assert in_database("limit", "gpu", "--most", "2").out == "gpu -> at most 2\n"
    taken = [in_database.json("claim", "--owner-session", "w")["id"] for _ in range(3)]
    assert taken == ["ORCH-001", "ORCH-002", None]
    assert in_database.json("limit") == [{"key": "gpu", "most": 2, "held": 2, "pending": 1}]
    assert in_database("limit", "gpu").out == "gpu\t2\t2\t1\n"
    assert in_database("limit", "other").out == "there is no limit\n"
    in_database("limit", "gpu", "--most", "3")
    assert in_database.json("claim", "--owner-session", "w")["id"] == "ORCH-003"
    in_database("limit", "--most", "3").refuses(2, "say which key")
    in_database("limit", "gpu", "--most", "-1").refuses(2, "--most")
    in_database("limit", "a|b", "--most", "1").refuses(2, "concurrency key")


def test_a_limit_of_a_repository_an_agent_or_a_node_is_set_shown_and_removed(in_database: QueueDoor) -> None:
    in_database("limit", "node:n_1", "--most", "3")
    assert in_database("limit", "agent:codex", "--most", "2").out == "agent:codex -> at most 2\n"
    assert in_database.json("limit") == [
        {"key": "agent:codex", "most": 2, "held": 0, "pending": None},
        {"key": "node:n_1", "most": 3, "held": 0, "pending": None},
    ]
    assert in_database("limit", "agent:codex", "--remove").out == "agent:codex -> no limit\n"
    assert [each["key"] for each in in_database.json("limit")] == ["node:n_1"]
    in_database("limit", "--remove").refuses(2, "say which key")
    in_database("limit", "node:n_1", "--remove", "--most", "1").refuses(2, "contradict")
    in_database("limit", "gpu", "--remove").refuses(2, "always has a limit")
    in_database("limit", "repository:", "--most", "1").refuses(2, "is no repository")


# --- rescue -----------------------------------------------------------------------------------------------------------

LEASE_OVER = "UPDATE queue_items SET lease_until_ms = 1, lease_expires_at = 0 WHERE id = 'ORCH-001'"


def test_what_nobody_holds_any_more_comes_back(in_database: QueueDoor) -> None:
    for _ in range(2):
        in_database("add", "--task", "t", "--success-criteria", "s")
        in_database("claim", "--owner-session", "w")
    assert in_database("rescue", "--once").out == "NOOP\n"
    in_database.store.execute(LEASE_OVER)
    assert in_database("rescue", "--once").out == "RESET ORCH-001\n"
    assert in_database.json("rescue", "--once") == {"id": "queue", "status": "NOOP", "reset": []}
    item = in_database.json("show", "ORCH-001")
    assert (item["status"], item["owner_session"], item["attempt_count"]) == ("PENDING", "-", 1)
    assert "retry_not_before=" in item["notes"]
    assert in_database.status("ORCH-002") == "IN_PROGRESS"


def test_what_was_started_long_ago_in_a_file_comes_back(in_file: QueueDoor) -> None:
    in_file.store.fill(
        row("ORCH-001", "IN_PROGRESS", owner_session="w", started_at_kst="2026-01-01 10:00"),
        row("ORCH-002", "IN_PROGRESS", owner_session="w", started_at_kst="-"),
    )
    assert in_file("rescue", "--once", "--stale-minutes", "99999999").out == "NOOP\n"
    assert in_file("rescue", "--once").out == "RESET ORCH-001\n"
    assert in_file.json("show", "ORCH-001")["notes"] == "[watchdog] stale reset"
    assert in_file.status("ORCH-002") == "IN_PROGRESS"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_the_rescuer_goes_on_until_it_is_told_to_stop_and_says_only_what_it_did(
    ask: Door, number: signal.Signals
) -> None:
    ask(*ADD)
    ask("queue", "claim", "--owner-session", "w")
    Store("sqlite", ask.root).execute(LEASE_OVER)
    script = """
import sys
from interlock.queue.cli import steering
steering._RESCUE_EVERY_SECONDS = 0.05
from interlock.cli.main import main
sys.exit(main(["queue", "rescue", "--stale-minutes", "5"]))
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ask.root,
        env=environment(PYTHONUNBUFFERED=""),
        stdout=subprocess.PIPE,
        text=True,
    ) as rescuer:
        assert rescuer.stdout is not None
        assert rescuer.stdout.readline() == "RESET ORCH-001\n"  # although its output is a pipe
        Store("sqlite", ask.root).execute("UPDATE queue_items SET not_before_ms = 1")
        until(lambda: ask.json("queue", "show", "ORCH-001")["not_before"] is None, 20)
        assert rescuer.poll() is None
        rescuer.send_signal(number)
        assert rescuer.communicate(timeout=20)[0] == ""
    assert rescuer.returncode == 0
    assert ask("windows", "verify").code == 0


def test_the_rescuer_outlives_a_database_that_is_busy(ask: Door) -> None:
    ask(*ADD)
    ask("queue", "claim", "--owner-session", "w")
    Store("sqlite", ask.root).execute(LEASE_OVER)
    script = """
import sys
from interlock.queue.cli import steering
from interlock.storage.sqlite import reading
reading.PATIENCE_SECONDS, steering._RESCUE_EVERY_SECONDS = 0.2, 0.05
from interlock.cli.main import main
sys.exit(main(["queue", "rescue", *sys.argv[1:]]))
"""
    with closing(sqlite3.connect(ask.root / LINK, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        once = subprocess.run(
            [sys.executable, "-c", script, "--once"], cwd=ask.root, capture_output=True, text=True, check=False
        )
        assert (once.returncode, once.stdout, "locked" in once.stderr) == (5, "", True)
        with subprocess.Popen(
            [sys.executable, "-c", script], cwd=ask.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as rescuer:
            assert rescuer.stdout is not None
            assert rescuer.stderr is not None
            assert "it is tried again" in rescuer.stderr.readline()
            connection.execute("ROLLBACK")
            assert rescuer.stdout.readline() == "RESET ORCH-001\n"
            rescuer.terminate()
            rescuer.communicate(timeout=20)
    assert rescuer.returncode == 0
