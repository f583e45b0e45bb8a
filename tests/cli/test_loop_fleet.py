"""The fleet at the command line: watch, list, supervise, unwatch."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from interlock.kernel.clock import system_clock
from tests.cli.door import PROGRAM, Door, environment
from tests.conftest import until
from tests.loops.loop import Loop


def running(folder: Path, name: str = "docs") -> Loop:
    return Loop(folder, name, now=system_clock() // 1000).running().beat()


def test_the_loops_of_a_repository_are_watched_listed_and_left(ask: Door, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    running(repo)
    watch = ask.json("loop", "watch", "--repo", str(repo))
    assert (watch["loop"], watch["status"]) == (None, "watched")
    ask("loop", "watch", "--repo", str(repo)).refuses(4, "watched already")
    assert [(each["id"], each["status"]) for each in ask.json("loop", "list")] == [("docs", "not_reconciled")]
    ask.json("loop", "reconcile", "docs", "--repo", str(repo))
    (row,) = ask.json("loop", "list")
    assert (row["status"], row["state"]) == ("healthy", "running")
    assert ask.json("loop", "list", "--status", "critical") == []
    assert [each["id"] for each in ask.json("loop", "watches")] == [watch["id"]]
    assert ask.json("loop", "unwatch", watch["id"])["status"] == "unwatched"
    assert ask.json("loop", "list") == []
    ask("loop", "unwatch", watch["id"]).refuses(3, watch["id"])


def test_what_can_not_be_watched_is_refused(ask: Door, tmp_path: Path) -> None:
    ask("loop", "watch", "--repo", str(tmp_path / "nowhere")).refuses(2, "nowhere")
    ask("loop", "watch", "--repo", str(tmp_path), "--loop", "../x").refuses(2, "../x")
    ask("loop", "unwatch", "docs").refuses(2, "docs")


def test_a_supervisor_sees_what_changes_until_it_is_told_to_stop(ask: Door, workspace: Path, tmp_path: Path) -> None:
    loop = running(tmp_path / "repo")
    ask.json("loop", "watch", "--repo", str(loop.repo))
    supervisor = subprocess.Popen(
        [str(PROGRAM), "loop", "supervise"], cwd=workspace, env=environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        until(lambda: ask.json("loop", "list")[0]["state"] == "running", 30)
        loop.events("loop_complete").summary(completion_ok=True).state(active=False)
        until(lambda: ask.json("loop", "list")[0]["state"] == "complete", 30)
        supervisor.send_signal(signal.SIGTERM)
        told, _ = supervisor.communicate(timeout=40)
    finally:
        supervisor.kill()
    assert supervisor.returncode == 0
    assert "reconciles were made" in told
