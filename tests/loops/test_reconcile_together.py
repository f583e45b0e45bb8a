"""Many reconciles of one loop at once: one does the work, the others say that it is being done."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from interlock.loops import files
from tests.loops.loop import Loop

ROOT = Path(__file__).parents[2]
AT_ONCE = """
import sys
from tests.loops import doomed
sys.stdin.readline()
sys.exit(doomed.main(sys.argv[1], sys.argv[2], "well", "0"))
"""


def together(loop: Loop, count: int) -> list[tuple[int, dict[str, object]]]:
    """Reconcile so often at once, each in a process of its own."""
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", AT_ONCE, str(loop.repo), f"t-{number}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(count)
    ]
    for each in crowd:
        assert each.stdin is not None
        each.stdin.write("now\n")
        each.stdin.flush()
    found = [(each.communicate()[0], each.returncode) for each in crowd]
    return [(code, json.loads(printed)) for printed, code in found]


@pytest.mark.proves("loop-one-at-a-time")
@pytest.mark.parametrize("count", [2, 6, 20])
def test_one_does_the_work_and_escalates_and_the_others_say_so(loop: Loop, count: int) -> None:
    loop.state(active=False).events(*["role_end"] * 50)
    found = together(loop, count)
    busy = [document for code, document in found if code == 1]
    done = [document for code, document in found if code == 0]
    assert len(busy) + len(done) == count
    assert len(done) >= 1
    assert all(each["reasonCodes"] == ["reconcile_busy"] for each in busy)
    assert all("divergence" in each for each in done)
    assert loop.escalated() == ["divergence_detected", "health_degraded"]
    rows = loop.rows("telemetry/reconcile.jsonl")
    assert len(rows) == len(done)
    assert [row["eventsIngested"] for row in rows] == [50, *[0] * (len(done) - 1)]
    assert loop.kept("cursor.json")["eventLineOffset"] == 50


def test_events_that_arrive_meanwhile_are_each_read_once(loop: Loop) -> None:
    loop.state().events("loop_start")
    written = 1
    for _ in range(4):
        loop.events(*["role_start"] * 25)
        written += 25
        together(loop, 4)
    loop.reconcile()
    assert sum(row["eventsIngested"] for row in loop.rows("telemetry/reconcile.jsonl")) == written
    assert all(row["sequenceStatus"] == "ok" for row in loop.rows("telemetry/reconcile.jsonl"))


def test_loops_of_one_repository_do_not_wait_for_each_other(loop: Loop) -> None:
    other = Loop(loop.repo, "other")
    loop.state().events("loop_start")
    other.raw(b"")

    with files.held(other.places.of_manager(".lock"), wait=False):
        assert loop.reconcile().exit_code == 0
        assert other.reconcile().busy
