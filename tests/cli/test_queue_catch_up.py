"""What follows the log of the queue: `queue_events` and the run log, each event once, whoever died in between."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.door import WITHOUT_PRIVILEGES, Door, call, closed, python
from tests.cli.stores import LINK, LOG, QUEUE, QueueDoor, Store, row, seed_database

ADD = ("queue", "add", "--task", "t", "--success-criteria", "s")


def history(root: Path) -> Counter[tuple[str, str]]:
    """Count the rows of queue_events."""
    with closing(sqlite3.connect(root / LINK)) as connection:
        return Counter(connection.execute("SELECT item_id, event_type FROM queue_events").fetchall())


def ends(root: Path) -> list[tuple[str, str]]:
    """List the work that the run log says has ended; every end has one beginning before it."""
    records = [json.loads(line) for line in (root / LOG).read_text().splitlines()]
    starts = [each["leaf"] for each in records if each["event"] == "run_start"]
    found = [each for each in records if each["event"] == "run_end"]
    assert starts == [each["leaf"] for each in found]
    return [(each["item_id"], each["command"]) for each in found]


def test_work_that_ends_is_logged_in_the_shape_of_the_seed_s_tools(ask: Door, in_file: QueueDoor) -> None:
    ask(*ADD)
    ask("queue", "claim", "--owner-session", "w")
    ask("queue", "complete", "ORCH-001", "--owner-session", "w", "--correlation-id", "ticket-7")
    in_file.store.fill(row("손-1", "IN_PROGRESS", owner_session="w", started_at_kst="2026-11-20 09:00"))
    in_file("fail", "손-1", "--owner-session", "w")
    lines = (ask.root / LOG).read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert ends(ask.root) == [("ORCH-001", "done"), ("손-1", "fail")]
    assert all(list(each) == sorted(each) for each in records)
    assert "손-1" in lines[-1]
    end = records[1]
    assert {name: end[name] for name in ("event", "exit_code", "status", "trace_id")} == {
        "event": "run_end",
        "exit_code": 0,
        "status": "ok",
        "trace_id": "ticket-7",
    }
    assert end["ts_kst"].endswith("+09:00")
    assert end["duration_ms"] >= 0
    assert records[3]["trace_id"].startswith("trace-")
    assert records[3]["duration_ms"] % 60_000 == 0


def test_nothing_but_ends_is_logged(ask: Door) -> None:
    ask(*ADD)
    ask("queue", "claim", "--owner-session", "w")
    ask("queue", "release", "ORCH-001", "--owner-session", "w")
    ask("queue", "cancel", "ORCH-001")
    assert not (ask.root / LOG).exists() or (ask.root / LOG).read_bytes() == b""


def test_lines_of_other_tools_stay_where_they_are(ask: Door) -> None:
    (ask.root / LOG).write_text('{"event": "run_end", "command": "list", "exit_code": 0}\n{"torn')
    ask(*ADD)
    ask("queue", "claim", "--owner-session", "w")
    ask("queue", "complete", "ORCH-001", "--owner-session", "w")
    lines = (ask.root / LOG).read_text().splitlines()
    assert lines[:2] == ['{"event": "run_end", "command": "list", "exit_code": 0}', '{"torn']
    assert len(lines) == 4


PROGRAM = "import sys; from interlock.cli.main import main; sys.exit(main(sys.argv[1:]))"


def test_four_commands_at_once_log_each_event_once(ask: Door) -> None:
    for _ in range(12):
        ask(*ADD)
    script = (
        "i=0; while [ $i -lt 3 ]; do i=$((i+1)); "
        f'"{sys.executable}" -c "$1" queue claim --owner-session "$0-$i" >"$0-$i.id" || exit 1; '
        'item=$(cut -d" " -f1 "$0-$i.id"); '
        f'"{sys.executable}" -c "$1" queue complete "$item" --owner-session "$0-$i" || exit 1; done'
    )
    running = [
        subprocess.Popen(["sh", "-c", script, f"w{number}", PROGRAM], cwd=ask.root, stdout=subprocess.PIPE, text=True)
        for number in range(4)
    ]
    for process in running:
        out, _ = process.communicate(timeout=55)
        assert process.returncode == 0, out
    items = [f"ORCH-{number:03d}" for number in range(1, 13)]
    assert sorted(ends(ask.root)) == [(item, "done") for item in items]
    expected = {(item, kind): 1 for item in items for kind in ("added", "picked", "done")}
    assert history(ask.root) == expected
    assert ask("windows", "verify").code == 0


KILLED = """
import os, sys
from interlock.queue import run_log
from interlock.storage.queue import StoredHistory
from interlock.workspace.windows import Windows
from interlock.workspace import windows
place, when = sys.argv[1].split(":")
target, name = {
    "history": (StoredHistory, "_page"),
    "windows": (Windows, "catch_up"),
    "runs": (Windows, "_log_runs"),
    "append": (run_log, "append"),
    "cursor": (Windows, "_store"),
}[place]
real = getattr(target, name)
def killed(*words, **more):
    if when == "after":
        real(*words, **more)
    os._exit(9)
setattr(target, name, killed)
from interlock.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("place", ["history", "windows", "runs", "append", "cursor"])
def test_what_a_killed_command_left_undone_the_next_one_does_once(ask: Door, place: str, when: str) -> None:
    ask(*ADD)
    ask("queue", "claim", "--owner-session", "w")
    line = ("queue", "complete", "ORCH-001", "--owner-session", "w")
    assert python(KILLED, f"{place}:{when}", *line, at=ask.root).returncode == 9
    assert ask.json("queue", "show", "ORCH-001")["status"] == "DONE"
    for _ in range(2):
        assert ask(*ADD).err == ""
    assert ends(ask.root) == [("ORCH-001", "done")]
    assert history(ask.root)["ORCH-001", "done"] == 1
    assert set(history(ask.root).values()) == {1}
    assert ask("windows", "verify").code == 0


def test_a_change_of_a_file_that_was_killed_before_it_was_logged_is_logged_once(ask: Door, in_file: QueueDoor) -> None:
    in_file.store.fill(row("HAND-1", "IN_PROGRESS", owner_session="w", started_at_kst="2026-11-20 09:00"))
    script = """
import os, sys
from interlock.app import Interlock
Interlock.tell = lambda *_, **__: os._exit(9)
from interlock.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
    line = ("queue", "complete", "HAND-1", "--queue", str(ask.root / QUEUE))
    assert python(script, *line, at=ask.root).returncode == 9
    assert in_file.status("HAND-1") == "DONE"
    for _ in range(2):
        assert ask(*ADD).err == ""
    told = [event for event in ask.json("evidence", "list") if event["subject"] == "HAND-1"]
    assert [event["kind"] for event in told] == ["markdown.changed"]
    assert ends(ask.root) == [("HAND-1", "done")]


def test_a_run_log_that_can_not_be_written_is_told_and_made_up_for(ask: Door) -> None:
    ask(*ADD)
    ask("queue", "claim", "--owner-session", "w")
    with closed((ask.root / LOG).parent, mode=0o555):
        line = ("queue", "complete", "ORCH-001", "--owner-session", "w")
        answered = call(*line, at=ask.root, prefix=WITHOUT_PRIVILEGES)
    assert (answered.code, answered.out) == (0, "ORCH-001 -> DONE\n")
    assert answered.err.count("\n") == 1
    assert "orch_runs.jsonl" in answered.err
    assert ask(*ADD).err == ""
    assert ends(ask.root) == [("ORCH-001", "done")]


def test_what_was_done_in_another_database_is_no_failure_when_its_history_waits(ask: Door, tmp_path: Path) -> None:
    """The change is committed; a script that is told otherwise does it again."""
    seed_database(tmp_path / "old.db", row("ORCH-001"))
    assert ask("queue", "reprioritise", "ORCH-001", "--to", "P0", "--db", str(tmp_path / "old.db")).code == 0
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection, connection:
        connection.execute("ALTER TABLE queue_events RENAME TO gone")
    answered = ask("queue", "cancel", "ORCH-001", "--db", str(tmp_path / "old.db"))
    assert (answered.code, answered.out) == (0, "ORCH-001 -> BLOCKED\n")
    assert answered.err.startswith("warning: done, but")


def test_a_log_is_kept_whichever_store_is_named(ask: Door, tmp_path: Path) -> None:
    seed_database(tmp_path / "old.db", row("ORCH-001"))
    before = ask.log_size()
    assert ask("queue", "cancel", "ORCH-001", "--db", str(tmp_path / "old.db")).code == 0
    assert ask.log_size() == before
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        kinds = [each[0] for each in connection.execute("SELECT kind FROM event ORDER BY leaf_index")]
    assert kinds[-1] == "item.cancelled"
    assert not (ask.root / LOG).exists()
    assert Store("sqlite", ask.root).items() == []
    assert os.listdir(ask.root / ".interlock" / "runs") == []  # noqa: PTH208 - only names
