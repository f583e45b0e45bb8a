"""A worker that meets a full disk waits until there is room; it does not end, and nothing is lost."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from interlock.runs.models import RunStatus
from tests.conftest import until
from tests.engines.world import World

_LONGEST_FILE = 16 * 1024
"""Enough for what the worker says, and too little for what it writes into the database."""


@pytest.mark.timeout(180)
def test_a_worker_whose_disk_is_full_goes_on_as_soon_as_there_is_room(tmp_path: Path) -> None:
    world = World(tmp_path)
    try:
        worker = world.worker(product=True)
        until(lambda: "works" in worker.words(), 60)
        soft, hard = resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (_LONGEST_FILE, hard))
        run = world.create("echo done > done.txt")
        until(lambda: "trying again" in worker.words(), 60)
        assert worker.process.poll() is None
        resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (soft, hard))
        until(lambda: world.run(run).status is RunStatus.DONE, 60)
        assert "can not grow" in worker.words()
        assert "Traceback" not in worker.words()
        world.verified()
    finally:
        world.close()
