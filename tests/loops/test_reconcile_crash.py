"""A reconcile that dies, or runs out of space, at any step: the next one makes it good, and nothing is there twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from interlock.loops import files
from interlock.loops.files import Document, FileUnwritten
from interlock.loops.journal import NAME
from tests.loops import doomed as process
from tests.loops.loop import Loop

ESCALATED = ["divergence_detected", "ordering_drift_detected", "health_degraded"]


class Ended(NamedTuple):
    """How a process ended, and what it had to say."""

    status: int
    """Its exit status; below 0, the signal that killed it."""
    printed: str


def doomed(loop: Loop, trace: str, fate: str, step: int) -> Ended:
    """Reconcile in a process of its own (a fork: there are hundreds of them)."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if not child:
            os.dup2(output.fileno(), 1)
            os._exit(process.main(str(loop.repo), trace, fate, str(step)))
        _, status = os.waitpid(child, 0)
        output.seek(0)
        return Ended(os.waitstatus_to_exitcode(status), output.read().decode())


def eventful(repo: Path) -> Loop:
    """A loop that was once reconciled, and of which there is much to tell since."""
    loop = Loop(repo).running().beat(3)
    loop.reconcile(trace_id="t-0")
    loop.log.write_bytes(b"")
    loop.events("loop_start").state(active=False).events("role_end", "role_end").beat(5)
    return loop


def recover(loop: Loop) -> None:
    """Reconcile normally, and once more, so that the ordering drift is over whoever has found it."""
    for trace in ("t-2", "t-3"):
        assert doomed(loop, trace, "well", 0).status == 0


def facts(loop: Loop) -> dict[str, Any]:
    """What has to be the same whether a reconcile died or not: all but traces and the telemetry of single tries."""
    kept = {name: loop.kept(name) for name in ("state.json", "cursor.json", "health.json", "heartbeat.json")}
    events = sum(row["eventsIngested"] for row in loop.rows("telemetry/reconcile.jsonl"))
    return {
        "escalated": loop.escalated(),
        "events": events,
        "cursor": kept["cursor.json"]["eventLineOffset"],
        "divergence": kept["state.json"]["divergence"],
        "health": (kept["health.json"]["status"], kept["state.json"]["health"] == kept["health.json"]),
        "mark": loop.kept("sequence-state.json")["events"]["last"],
        "beat": kept["heartbeat.json"]["lastHeartbeatAt"],
    }


def traces(loop: Loop, name: str) -> list[str]:
    return [each["traceId"] for each in loop.rows(name)]


def heard(loop: Loop) -> list[Document]:
    return files.last_rows(str(loop.repo / "heard.jsonl"), 1000)


@pytest.fixture
def expected(tmp_path: Path) -> dict[str, Any]:
    """What is made of the eventful loop when nobody dies. (The third reconcile finds nothing new.)"""
    loop = eventful(tmp_path / "unharmed")
    assert doomed(loop, "t-1", "well", 0).status == 0
    recover(loop)
    found = facts(loop)
    assert found["escalated"] == [*ESCALATED, "health_degraded"], "the drift is over, the divergence stays"
    assert found["events"] == 5
    return found


@pytest.mark.proves("loop-reconcile")
@pytest.mark.timeout(300)
def test_killed_at_any_step_and_reconciled_again_everything_is_right_and_nothing_twice(
    tmp_path: Path, expected: dict[str, Any]
) -> None:
    prepared = eventful(tmp_path / "prepared")
    survived, step, completed = False, 0, 0
    while not survived:
        step += 1
        loop = Loop(Path(shutil.copytree(prepared.repo, tmp_path / f"step-{step}")))
        done = doomed(loop, "t-1", "killed", step)
        survived = done.status == 0
        assert survived or done.status == -signal.SIGKILL
        completed += (loop.manager / NAME).exists()
        recover(loop)
        assert facts(loop) == expected, step
        for name in ("reconcile", "sequence", "heartbeat"):
            assert len(set(traces(loop, f"telemetry/{name}.jsonl"))) == len(traces(loop, f"telemetry/{name}.jsonl"))
        assert not (loop.manager / NAME).exists()
        assert_told_once(loop, step)
        shutil.rmtree(loop.repo)
    assert step > 40
    assert completed > 20, "most steps lie behind the journal"


def assert_told_once(loop: Loop, step: int) -> None:
    """Every escalation was told under exactly one trace, though perhaps more than once."""
    told = {each["traceId"]: each["escalations"] for each in heard(loop)}
    escalated = [row["category"] for rows in told.values() for row in rows]
    assert sorted(escalated) == sorted(loop.escalated()), step
    assert all(each["before"] != each["after"] or each["escalations"] for each in heard(loop))


@pytest.mark.timeout(300)
def test_out_of_space_at_any_step_is_told_and_made_good_when_there_is_space_again(
    tmp_path: Path, expected: dict[str, Any]
) -> None:
    prepared = eventful(tmp_path / "prepared")
    step, failed = 0, True
    while failed:
        step += 1
        loop = Loop(Path(shutil.copytree(prepared.repo, tmp_path / f"step-{step}")))
        done = doomed(loop, "t-1", "full", step)
        failed = "error" in json.loads(done.printed)
        assert done.status == int(failed)
        assert not failed or "can not be written: No space left on device" in json.loads(done.printed)["error"]
        recover(loop)
        assert facts(loop) == expected, step
        shutil.rmtree(loop.repo)
    assert step > 20


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="only root can make a small disk")
def test_a_disk_that_is_really_full_is_told_and_made_good(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], check=False)
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        loop = eventful(disk / "repo")
        with pytest.raises(OSError, match="No space left"):
            (disk / "ballast").write_bytes(b"x" * 2**20)
        for _ in range(2):
            with pytest.raises(FileUnwritten, match="can not be written: No space left on device"):
                loop.reconcile()
        assert loop.kept("state.json")["trace"] == {"reconcileTraceId": "t-0"}
        (disk / "ballast").unlink()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(FileUnwritten, match="can not be written: Read-only file system"):
            loop.reconcile()
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        loop.reconcile()
        assert loop.escalated() == ESCALATED
        assert loop.kept("cursor.json")["eventLineOffset"] == 3
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_loop_that_is_killed_again_and_again_comes_through(tmp_path: Path, expected: dict[str, Any]) -> None:
    loop = eventful(tmp_path / "repo")
    for step in (5, 25, 12, 40, 33, 3, 21, 9):
        doomed(loop, "t-1", "killed", step)
    recover(loop)
    assert facts(loop) == expected
