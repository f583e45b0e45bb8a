"""A worker cut off from the database, as by a cable: another finishes its run, and healed it changes nothing of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from interlock.runs.models import RunStatus
from tests.conftest import until
from tests.engines.conformance import EFFECT
from tests.engines.partition import WAYS, Way, make_way
from tests.engines.world import APART, SCRIPT, WorkerUnderTest, World, surroundings

pytestmark = pytest.mark.timeout(400)

PATIENCE_SECONDS = 120.0


def far_worker(world: World, way: Way) -> WorkerUnderTest:
    """Start a worker as on another machine, which has only this way to the database."""
    said, sign = world.place / "said-far", world.place / "sign-far"
    root = world.other_root()
    with said.open("wb") as output:
        process = subprocess.Popen(
            [*way.before, *APART, sys.executable, str(SCRIPT), str(root), "--sign", str(sign), "--host", "elsewhere"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=surroundings(INTERLOCK_DATABASE_URL=way.database_url),
        )
    made = WorkerUnderTest(process, sign, said)
    world.workers.append(made)
    return made


@pytest.mark.parametrize("world", ["postgres"], indirect=True)
@pytest.mark.parametrize("kind", WAYS)
@pytest.mark.proves("fleet-partition")
def test_a_run_of_a_worker_that_is_cut_off_is_finished_once_by_another(world: World, tmp_path: Path, kind: str) -> None:
    run = world.create(f"case $INTERLOCK_RUN in *:1) echo stays; while :; do sleep 0.1; done;; esac; {EFFECT}")
    with make_way(kind, tmp_path, world.database_url) as way:
        far = far_worker(world, way)
        until(lambda: "stays" in world.log(run), PATIENCE_SECONDS)
        way.cut()
        other = world.worker()
        done = world.wait_for(run, RunStatus.DONE, seconds=PATIENCE_SECONDS)
        assert (done.status, done.attempt) == (RunStatus.DONE, 2), world.story(run)
        assert len(world.events(run, "run.returned")) == 1
        until(lambda: world.processes(run) == [], PATIENCE_SECONDS)
        other.signal(signal.SIGTERM)
        assert other.wait() == 0, other.words()
        before, item = world.run(run), world.item(run)

        way.heal()
        later = world.create(EFFECT)  # which nobody else is there to take
        assert world.wait_for(later, seconds=PATIENCE_SECONDS).status is RunStatus.DONE, world.story(later)
        assert (world.run(run), world.item(run)) == (before, item)
        assert world.fences(run, "run.done") == [3]
        assert world.patch(run).count("+carried out\n") == 1
        assert far.is_there(), far.words()
        assert world.verified().uncovered == 0
