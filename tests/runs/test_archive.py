"""Runs that ended long ago: their log and steps go into the archive, once; what proves them stays."""

from __future__ import annotations

import hashlib
import json

import pytest

from interlock.app import Interlock
from interlock.queue.models import Executor
from interlock.runs.errors import RunStateConflict
from interlock.runs.models import Run
from interlock.workspace.archive import Archive
from tests.conftest import ALICE, WORKER, until


def ended(house: Interlock, *, failed: bool = False) -> Run:
    """Return a run that an outside session has ended."""
    draft = house.approval.create(ALICE, "sweep the floor")
    run = house.runs.create(ALICE, house.approval.approve(ALICE, draft.id).id)
    with house.queue(WORKER) as queue:
        item = queue.claim(Executor.EXTERNAL, "outside")
    assert item is not None
    with house.queue(WORKER) as queue:
        if failed:
            queue.fail(item.id, item.fence, reason="broken", message="it broke")
        else:
            queue.complete(item.id, item.fence)
    return house.runs.get(run.id)


@pytest.mark.proves("ops-run-ttl", "ops-kept")
def test_only_what_ended_before_is_archived_and_only_once(house: Interlock) -> None:
    old = ended(house)
    until(lambda: house.now() > (old.ended_ms or 0) + 1)
    fresh = ended(house)
    waiting = house.runs.create(ALICE, old.approved_id)
    lines = len(house.runs.log(old.id))
    assert lines > 0
    before = (old.ended_ms or 0) + 1
    archive = Archive(house.layout, house.runs)
    assert list(archive.purge(ALICE, before)) == [old.id]
    assert list(archive.purge(ALICE, before)) == []
    assert {run.id for run in house.runs.list()} == {fresh.id, waiting.id}
    assert house.runs.get(old.id).archived_ms is not None
    assert list(house.runs.log(old.id)) == []
    content = (house.layout.archive / f"{old.id}.json").read_bytes()
    assert len(json.loads(content)["log"]) == lines
    told = [event for _, event in house.event_log.events(0, 100) if event["kind"] == "run.archived"]
    assert [event["payload"]["archive_digest"] for event in told] == ["sha256:" + hashlib.sha256(content).hexdigest()]


def test_an_archived_run_is_not_retried(house: Interlock) -> None:
    run = ended(house, failed=True)
    assert house.purge_runs(ALICE, older_than_ms=-1000) == [run.id]
    with pytest.raises(RunStateConflict, match="archive"):
        house.runs.retry(ALICE, run.id)


def test_a_run_that_moved_meanwhile_is_left_alone(house: Interlock) -> None:
    run = ended(house, failed=True)
    assert house.runs.archive(ALICE, run.id, ended_before_ms=run.ended_ms or 0, digest="sha256:x", log_lines=0) is False
    assert len(house.runs.log(run.id)) > 0
