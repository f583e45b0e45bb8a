"""A worker elsewhere that lives long keeps no connection of the runs that it has carried out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.runs.models import RunStatus
from tests.conftest import ALICE
from tests.remote.far_world import FarWorld, wire

pytestmark = pytest.mark.timeout(180)

FIRST, MORE = 8, 16
LONG = 60.0


@pytest.fixture
def far(tmp_path: Path) -> Iterator[FarWorld]:
    """A served workspace."""
    with wire() as made_wire:
        made = FarWorld(tmp_path, wire=made_wire)
        try:
            yield made
        finally:
            made.close()


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def carry_out(far: FarWorld, approved_id: str, count: int) -> None:
    runs = [far.house.runs.create(ALICE, approved_id) for _ in range(count)]
    for run in runs:
        assert far.wait_for(run, seconds=LONG).status is RunStatus.DONE, far.story(run)


def test_many_runs_leave_no_connection_in_a_worker_elsewhere(far: FarWorld) -> None:
    approved = far.approve(("true",), repository=None)
    worker = far.far()
    carry_out(far, approved.id, FIRST)
    before = descriptors(worker.process.pid)
    carry_out(far, approved.id, MORE)
    assert descriptors(worker.process.pid) < before + MORE // 2
