"""What the workspace looks after, and what its log is told of loops."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Never

import pytest

import interlock
from interlock.access.errors import Frozen, HumanNeeded
from interlock.access.models import Role
from interlock.app import Interlock
from interlock.kernel.clock import system_clock
from interlock.kernel.errors import Unreachable
from interlock.kernel.ids import MalformedId
from interlock.loops.control import Request
from interlock.loops.places import LoopIdInvalid, LoopRootMissing
from interlock.loops.service import AlreadyWatched, LoopAmbiguous, LoopUnknown, OurRun, Target, WatchUnknown
from interlock.loops.thresholds import CATALOG
from tests.conftest import ALICE, ROBOT, WORKER, until
from tests.loops.loop import Loop

SHIPPED = Path(interlock.__file__).parent / "workspace" / "shipped" / "config"


@pytest.fixture
def rooms(house: Interlock) -> Interlock:
    """A house with the threshold profiles that a workspace has."""
    catalog = house.layout.root / CATALOG
    catalog.parent.mkdir()
    shutil.copy(SHIPPED / catalog.name, catalog)
    return house


def fresh(tmp_path: Path, name: str = "elsewhere", loop: str = "docs") -> Loop:
    """Make a healthy loop in a repository of its own; its time is the machine's."""
    made = Loop(tmp_path / name, loop, now=system_clock() // 1000)
    return made.running().beat()


def told(house: Interlock, kind: str) -> list[Mapping[str, Any]]:
    house.database.seal()
    return [event for _, event in house.event_log.events(0, 1000) if event["kind"] == kind]


# --- watches ----------------------------------------------------------------------------------------------------------


def test_a_watch_is_kept_told_and_taken_away(rooms: Interlock, tmp_path: Path) -> None:
    loop = fresh(tmp_path)
    made = rooms.loops.watch(ALICE, str(loop.repo), "docs")
    assert rooms.loops.watched() == [made]
    with pytest.raises(AlreadyWatched):
        rooms.loops.watch(ALICE, str(loop.repo) + "/", "docs")
    assert rooms.loops.unwatch(ALICE, made.id) == made
    assert rooms.loops.watched() == []
    with pytest.raises(WatchUnknown):
        rooms.loops.unwatch(ALICE, made.id)
    assert [event["payload"]["loop"] for event in told(rooms, "loop.watched")] == ["docs"]
    assert len(told(rooms, "loop.unwatched")) == 1


def test_eight_who_watch_the_same_at_once_make_one_watch(rooms: Interlock, tmp_path: Path) -> None:
    loop = fresh(tmp_path)

    def watch(_: int) -> bool:
        try:
            rooms.loops.watch(ALICE, str(loop.repo))
        except AlreadyWatched:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(watch, range(8))) == [False] * 7 + [True]


@pytest.mark.parametrize("loop", ["../x", "", "a/b", "-x", ".x", "x" * 129, "é"])
def test_no_name_of_a_loop_leads_out_of_its_repository(rooms: Interlock, tmp_path: Path, loop: str) -> None:
    if loop:
        with pytest.raises(LoopIdInvalid):
            rooms.loops.watch(ALICE, str(tmp_path), loop)
    with pytest.raises(LoopUnknown):
        rooms.loops.find(loop)
    with pytest.raises(MalformedId):
        rooms.loops.unwatch(ALICE, loop)


def test_a_repository_that_is_not_there_is_not_watched(rooms: Interlock, tmp_path: Path) -> None:
    with pytest.raises(LoopRootMissing):
        rooms.loops.watch(ALICE, str(tmp_path / "nowhere"))


def test_a_repository_s_loops_are_found_as_they_come_and_each_is_there_once(rooms: Interlock, tmp_path: Path) -> None:
    first, second = fresh(tmp_path, loop="docs"), fresh(tmp_path, loop="code")
    rooms.loops.watch(ALICE, str(first.repo))
    rooms.loops.watch(ALICE, str(first.repo), "docs")
    assert [(each["id"], each["status"]) for each in rooms.loops.fleet()] == [
        ("code", "not_reconciled"),
        ("docs", "not_reconciled"),
    ]
    assert rooms.loops.find("code").places == second.places
    rooms.loops.watch(ALICE, str(fresh(tmp_path, "other", "code").repo))
    with pytest.raises(LoopAmbiguous):
        rooms.loops.find("code")
    assert rooms.loops.find("code", str(second.repo)).places == second.places


def test_the_fleet_says_of_each_loop_how_it_is(rooms: Interlock, tmp_path: Path) -> None:
    loop = fresh(tmp_path)
    rooms.loops.watch(ALICE, str(loop.repo))
    rooms.loops.reconcile(WORKER, rooms.loops.find("docs"))
    (row,) = rooms.loops.fleet()
    assert (row["status"], row["state"], row["reasons"], row["frozen"]) == ("healthy", "running", [], [])
    assert row["heartbeat_lag_seconds"] < 60
    assert row["reconciled_at"]
    (loop.manager / "state.json").write_text("{")
    (row,) = rooms.loops.fleet()
    assert (row["status"], row["reasons"]) == ("unreadable", ["file_corrupt"])


# --- the log ----------------------------------------------------------------------------------------------------------


@pytest.mark.proves("loop-told")
def test_a_verdict_is_told_when_it_changes_and_once_for_its_trace(rooms: Interlock, tmp_path: Path) -> None:
    loop = fresh(tmp_path)
    target = Target(loop.places, "w_x")
    rooms.loops.reconcile(WORKER, target, trace_id="t-1")
    rooms.loops.reconcile(WORKER, target, trace_id="t-2")
    (judged,) = told(rooms, "loop.judged")
    assert (judged["subject"], judged["correlation_id"], judged["principal"]) == (
        "loop/docs",
        "t-1",
        str(WORKER.principal),
    )
    assert judged["payload"]["before"] is None
    assert judged["payload"]["after"] == {"state": "running", "health": "healthy", "reasons": []}
    again = {"traceId": "t-1", "repo": str(loop.repo), "loop": "docs", "before": None, "after": {"state": "x"}}
    rooms.loops.tell(WORKER, again)
    assert len(told(rooms, "loop.judged")) == 1


def test_an_escalation_is_told_with_its_reasons_also_while_panic_is_on(rooms: Interlock, tmp_path: Path) -> None:
    loop = fresh(tmp_path)
    rooms.access.raise_panic(ALICE, role=Role.ADMIN, reason="look")
    target = Target(loop.places, "w_x")
    rooms.loops.reconcile(WORKER, target)
    loop.log.unlink()
    rooms.loops.reconcile(WORKER, target)
    (escalated,) = told(rooms, "loop.escalated")
    assert escalated["payload"]["category"] == "health_degraded"
    assert escalated["payload"]["reason_codes"] == ["transport_unreachable"]
    with pytest.raises(Frozen):
        rooms.loops.watch(ALICE, str(loop.repo))


def test_where_the_log_is_away_the_files_are_right_and_it_is_told_with_the_next_reconcile(
    rooms: Interlock, tmp_path: Path
) -> None:
    loop = fresh(tmp_path)
    target = Target(loop.places, "w_x")
    outcome = loop.reconcile(trace_id="t-1", tell=_away, clock=rooms.loops.clock)
    assert len(outcome.warnings) == 1
    assert loop.kept("state.json")["transition"]["currentState"] == "running"
    assert told(rooms, "loop.judged") == []
    rooms.loops.reconcile(WORKER, target)
    assert [event["payload"]["trace_id"] for event in told(rooms, "loop.judged")] == ["t-1"]


def _away(_: object) -> Never:
    raise Unreachable


# --- steering ---------------------------------------------------------------------------------------------------------


def test_a_run_of_ours_is_steered_as_a_run(rooms: Interlock, tmp_path: Path) -> None:
    target = Target(fresh(tmp_path).places, None)
    request = Request(intent="cancel", by="alice", trace_id="t-1", idempotency_key="k")
    with pytest.raises(OurRun):
        rooms.loops.control(ALICE, target, request)


def test_an_intent_of_which_the_log_could_not_be_told_is_told_with_the_next_reconcile(
    rooms: Interlock, tmp_path: Path
) -> None:
    target = Target(fresh(tmp_path).places, "w_x")
    request = Request(intent="cancel", by="alice", trace_id="t-9", idempotency_key="k")
    done = replace(rooms.loops, open=_away).control(ALICE, target, request)
    assert done.document["status"] == "failed_command"
    assert told(rooms, "loop.controlled") == []
    rooms.loops.reconcile(WORKER, target)
    rooms.loops.reconcile(WORKER, target)
    assert [event["payload"]["trace_id"] for event in told(rooms, "loop.controlled")] == ["t-9"]


def test_an_intent_is_told_as_it_was_recorded(rooms: Interlock, tmp_path: Path) -> None:
    target = Target(fresh(tmp_path).places, "w_x")
    request = Request(intent="cancel", by="alice", trace_id="t-9", idempotency_key="k")
    done = rooms.loops.control(ALICE, target, request)
    assert done.document["status"] == "failed_command"  # there is no runtime here
    (controlled,) = told(rooms, "loop.controlled")
    assert controlled["payload"]["intent"] == "cancel"
    assert controlled["payload"]["status"] == "failed_command"
    with pytest.raises(HumanNeeded):
        rooms.loops.acknowledge(ROBOT, target)
    rooms.loops.acknowledge(ALICE, target, note="looked")
    until(lambda: len(told(rooms, "loop.controlled")) == 2)
