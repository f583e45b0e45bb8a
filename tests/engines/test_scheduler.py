"""A scheduler keeps queue and log in order, and carries nothing out."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from interlock.app import Interlock
from interlock.queue.models import Executor, Item, ItemKind, NewItem
from interlock.runs.models import RunStatus
from tests.conftest import ALICE, WORKER, until
from tests.engines.world import World


def _ended(house: Interlock) -> str:
    run = house.runs.create(ALICE, house.approval.approve(ALICE, house.approval.create(ALICE, "sweep").id).id)
    with house.queue(WORKER) as queue:
        item = queue.claim(Executor.EXTERNAL, "outside")
    assert item is not None
    with house.queue(WORKER) as queue:
        queue.complete(item.id, item.fence)
    return run.id


def _item(house: Interlock, item_id: str) -> Item:
    with house.queue_look() as queue:
        return queue.get(item_id)


@pytest.mark.proves("ops-run-ttl")
@pytest.mark.parametrize("world", ["sqlite", "postgres"], indirect=True)
def test_it_promotes_archives_and_signs_and_starts_no_run(world: World) -> None:
    settings = replace(world.house.settings, runs=replace(world.house.settings.runs, archive_after_seconds=1))
    house = replace(world.house, settings=settings)
    ended = _ended(house)
    until(lambda: house.now() > (house.runs.get(ended).ended_ms or 0) + 1_000)
    soon = house.now() + 300
    with house.queue(ALICE) as queue:
        due = queue.add(
            NewItem(
                kind=ItemKind.MANUAL,
                executor=Executor.EXTERNAL,
                priority="P1",
                task="mop",
                success_criteria="mopped",
                not_before_ms=soon,
            )
        )
    waiting = world.create("true").id
    scheduler = house.worker(concurrency=0)
    thread = threading.Thread(target=scheduler.work)
    thread.start()
    try:
        until(lambda: house.runs.get(ended).archived_ms is not None, 20)
        until(lambda: _item(house, due.id).not_before_ms is None, 20)
    finally:
        scheduler.stop()
        thread.join()
    assert house.runs.get(waiting).status is RunStatus.PENDING
    head = house.evidence.log.last_head()
    assert head is not None
    assert head.size == house.event_log.size()
