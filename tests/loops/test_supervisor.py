"""The supervisor: sees what changes, leaves alone what has ended, and lets nobody wait for a loop that hangs."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from interlock.app import Interlock
from interlock.loops.models import stamp
from interlock.loops.supervisor import Supervisor
from tests.conftest import ALICE, WORKER, until
from tests.loops.loop import Loop
from tests.loops.test_service import fresh, rooms, told

__all__ = ["rooms"]


@contextmanager
def supervising(house: Interlock, **options: float) -> Generator[Supervisor]:
    supervisor = Supervisor(loops=house.loops, actor=WORKER, **options)  # type: ignore[arg-type] - a case's own value
    thread = threading.Thread(target=supervisor.work)
    thread.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()
        thread.join(40)
        assert not thread.is_alive()


def state(loop: Loop) -> str:
    try:
        return str(loop.kept("state.json")["transition"]["currentState"])
    except (OSError, ValueError):
        return "none"


@pytest.mark.proves("loop-watched")
def test_what_changes_is_seen_without_anybody_asking(rooms: Interlock, tmp_path: Path) -> None:
    loop = fresh(tmp_path)
    rooms.loops.watch(ALICE, str(loop.repo))
    with supervising(rooms, interval_seconds=600):
        until(lambda: state(loop) == "running", 20)
        loop.events("loop_complete").summary(completion_ok=True).state(active=False)
        until(lambda: state(loop) == "complete", 20)
        newcomer = fresh(tmp_path, loop="code")
        until(lambda: state(newcomer) == "running", 20)
    assert {event["subject"] for event in told(rooms, "loop.judged")} == {"loop/docs", "loop/code"}


def test_what_goes_stale_is_seen_although_nothing_changes(rooms: Interlock, tmp_path: Path) -> None:
    loop = fresh(tmp_path)
    loop.beat(age=112)
    rooms.loops.watch(ALICE, str(loop.repo))
    with supervising(rooms, interval_seconds=1) as supervisor:
        until(lambda: state(loop) == "running", 20)
        until(lambda: loop.kept("health.json")["status"] == "degraded", 30)
        assert loop.kept("health.json")["reasonCodes"] == ["runtime_heartbeat_stale"]
        assert supervisor.reconciled <= 4  # it knows when: there is no need to look all the time


def test_a_process_that_dies_is_seen_at_once_although_no_file_says_so(rooms: Interlock, tmp_path: Path) -> None:
    loop = fresh(tmp_path)
    process = subprocess.Popen(["sleep", "60"])
    loop.active_run(pid=process.pid, updated_at=stamp(loop.now + 1))
    rooms.loops.watch(ALICE, str(loop.repo))
    with supervising(rooms, interval_seconds=600):
        until(lambda: state(loop) == "running", 20)
        process.kill()
        process.wait()
        until(lambda: state(loop) == "failed", 10)
    assert loop.kept("health.json")["reasonCodes"] == ["runtime_process_dead"]


def test_threads_and_with_them_connections_are_kept_and_not_made_anew(rooms: Interlock, tmp_path: Path) -> None:
    for number in range(12):
        fresh(tmp_path, loop=f"docs{number}")
    rooms.loops.watch(ALICE, str(tmp_path / "elsewhere"))
    before = set(threading.enumerate())
    with supervising(rooms, interval_seconds=600, at_once=2) as supervisor:
        until(lambda: supervisor.reconciled >= 12, 40)
        ours = {thread for thread in set(threading.enumerate()) - before if thread.name.startswith("loops-")}
        assert 1 <= len(ours) <= 2
    until(lambda: not any(thread.is_alive() for thread in ours), 10)


def test_a_loop_that_has_ended_is_left_alone_until_its_files_change(rooms: Interlock, tmp_path: Path) -> None:
    loop = fresh(tmp_path).events("loop_complete").summary(completion_ok=True).state(active=False)
    rooms.loops.watch(ALICE, str(loop.repo))
    with supervising(rooms, interval_seconds=0.2) as supervisor:
        until(lambda: state(loop) == "complete", 20)
        turns = threading.Event()
        turns.wait(3)
        assert supervisor.reconciled == 1
        loop.state().events("loop_start", run_id="r-8")
        until(lambda: state(loop) == "running", 20)


def test_a_loop_that_hangs_holds_up_nobody_else(rooms: Interlock, tmp_path: Path) -> None:
    hanging, well = fresh(tmp_path, "hanging", "slow"), fresh(tmp_path, "well", "quick")
    lock = hanging.manager / ".lock"
    lock.parent.mkdir(parents=True)
    os.mkfifo(lock)  # opening it waits for a reader: so it hangs like a file system that is away
    for loop in (hanging, well):
        rooms.loops.watch(ALICE, str(loop.repo))
    with supervising(rooms, interval_seconds=0.5, most_seconds=1, at_once=1):
        until(lambda: state(well) == "running", 20)
        well.events("loop_complete").summary(completion_ok=True).state(active=False)
        until(lambda: state(well) == "complete", 20)


def test_a_broken_loop_is_tried_later_and_later_and_said_once(
    rooms: Interlock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loop = fresh(tmp_path)
    loop.log.unlink()
    rooms.loops.watch(ALICE, str(loop.repo))
    began = time.monotonic()
    with supervising(rooms, interval_seconds=0.1) as supervisor:
        until(lambda: supervisor.reconciled >= 3, 30)
    assert time.monotonic() - began > 5  # 2 s, then 4 s
    assert len([each for each in caplog.records if "can not be reconciled" in each.message]) == 1


@pytest.mark.proves("loop-escalate-once")
def test_two_supervisors_of_one_loop_escalate_once(rooms: Interlock, tmp_path: Path) -> None:
    loop = fresh(tmp_path)
    rooms.loops.watch(ALICE, str(loop.repo))
    with supervising(rooms, interval_seconds=0.3), supervising(rooms, interval_seconds=0.3):
        until(lambda: state(loop) == "running", 20)
        loop.log.unlink()
        until(lambda: bool(loop.escalated()), 20)
        threading.Event().wait(3)
    assert len(loop.escalated()) == len(set(loop.escalated())) >= 1  # it may have become critical meanwhile
    assert len(told(rooms, "loop.escalated")) == len(loop.escalated())


def test_a_run_that_is_not_recent_any_more_is_looked_at_a_last_time(rooms: Interlock) -> None:
    run_id = "r_01ARZ3NDEKTSV4RRFFQ69G5FAV"
    loop = fresh(rooms.layout.loops, run_id, run_id)
    recent = [run_id]
    supervisor = Supervisor(loops=replace(rooms.loops, recent_runs=lambda: recent), actor=WORKER)
    thread = threading.Thread(target=supervisor.work)
    thread.start()
    try:
        until(lambda: state(loop) == "running", 20)
        loop.events("loop_complete").summary(completion_ok=True).state(active=False)
        recent.clear()
        until(lambda: state(loop) == "complete", 20)
        until(lambda: not supervisor._known, 20)  # pyright: ignore[reportPrivateUsage] - nothing else tells that it let go
    finally:
        supervisor.stop()
        thread.join(40)
    assert rooms.loops.fleet() == []
    assert rooms.loops.find(run_id).places.repo == str(loop.repo)
