"""Each run of ours is a loop: its artefacts follow the log, and supervision says of it what is true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from interlock.app import Interlock
from interlock.founding import create_workspace
from interlock.loops import files
from interlock.loops.service import Target
from interlock.queue.models import Executor, Item
from interlock.runs.models import Run
from interlock.workspace.run_loops import RunLoops
from tests.conftest import ALICE, WORKER


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Interlock]:
    create_workspace(tmp_path, ALICE, database_url="", replace=False)
    with closing(Interlock.at(tmp_path)) as made:
        yield made


def created(house: Interlock) -> Run:
    draft = house.approval.create(ALICE, "sweep")
    return house.runs.create(ALICE, house.approval.approve(ALICE, draft.id).id)


def claimed(house: Interlock) -> Item:
    with house.queue(WORKER) as queue:
        item = queue.claim(Executor.EXTERNAL, "outside")
    assert item is not None
    return item


def artefact(house: Interlock, run: Run, name: str) -> dict[str, Any]:
    return json.loads(Path(RunLoops(house.layout, house.runs).places(run.id).of_run(name)).read_text())


def rows(house: Interlock, run: Run) -> list[dict[str, Any]]:
    return files.last_rows(RunLoops(house.layout, house.runs).places(run.id).of_run("events.jsonl"), 100)


def judged(house: Interlock, run: Run) -> str:
    house.catch_up(ALICE)
    target = Target(RunLoops(house.layout, house.runs).places(run.id), None)
    document = house.loops.reconcile(WORKER, target).document
    assert document["health"]["status"] == "healthy", document["health"]
    return str(document["transition"]["currentState"])


@pytest.mark.proves("loop-runs")
def test_a_run_is_seen_running_and_complete(house: Interlock) -> None:
    run = created(house)
    assert judged(house, run) == "unknown"
    item = claimed(house)
    assert judged(house, run) == "running"
    with house.queue(WORKER) as queue:
        queue.complete(item.id, item.fence)
    assert judged(house, run) == "complete"
    assert [row["event"] for row in rows(house, run)] == ["loop_start", "iteration_start", "loop_complete"]
    assert artefact(house, run, "approval.json")["status"] == "approved"
    assert artefact(house, run, "run-summary.json")["entries"][0]["completion_ok"] is True
    assert [each["id"] for each in house.loops.fleet()] == [run.id]


def test_a_run_that_failed_is_seen_failed_and_its_retry_running_again(house: Interlock) -> None:
    run = created(house)
    item = claimed(house)
    with house.queue(WORKER) as queue:
        queue.fail(item.id, item.fence, reason="broken", message="it broke")
    assert judged(house, run) == "failed"
    house.runs.retry(ALICE, run.id)
    house.catch_up(ALICE)
    assert rows(house, run)[-1]["event"] == "loop_start"


def test_a_cancelled_run_is_seen_stopped(house: Interlock) -> None:
    run = created(house)
    house.runs.cancel(ALICE, run.id, reason="not needed")
    assert judged(house, run) == "stopped"


def test_nothing_is_written_twice_when_all_is_shown_again(house: Interlock) -> None:
    run = created(house)
    claimed(house)
    house.catch_up(ALICE)
    before = rows(house, run)
    (house.layout.state / "windows.json").unlink()
    house.catch_up(ALICE)
    assert rows(house, run) == before


def test_a_heartbeat_is_written_for_runs_that_are_known_and_for_no_others(house: Interlock) -> None:
    run = created(house)
    house.catch_up(ALICE)
    RunLoops(house.layout, house.runs).beat([run.id, "r_01ARZ3NDEKTSV4RRFFQ69G5FAV"], 1_800_000_000_000)
    assert artefact(house, run, "heartbeat.v1.json")["timestamp"] == "2027-01-15T08:00:00Z"
    assert [each.name for each in house.layout.loops.iterdir()] == [run.id]


def test_an_archived_run_is_no_loop_any_more(house: Interlock) -> None:
    run = created(house)
    house.runs.cancel(ALICE, run.id, reason="not needed")
    house.catch_up(ALICE)
    assert house.purge_runs(ALICE, older_than_ms=-1000) == [run.id]
    house.catch_up(ALICE)
    assert house.loops.fleet() == []
    (house.layout.state / "windows.json").unlink()
    house.catch_up(ALICE)
    assert house.loops.fleet() == []
