"""Temporal is killed while runs stand at every step there is: each run ends once, also where Temporal forgot it all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.collector import Collector
from tests.engines.standing import (
    assert_each_once,
    at_every_step,
    create_runs,
    folder_of,
    start,
    wait_until_done,
)
from tests.engines.temporal_server import TemporalServer
from tests.engines.world import World

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def mortal(tmp_path: Path, mortal_temporal: TemporalServer) -> Iterator[World]:
    """A workspace whose workers carry runs out as workflows of a server that is this test's own."""
    mortal_temporal.start()
    made = World(tmp_path, temporal_address=mortal_temporal.address)
    yield made
    made.close()


@pytest.mark.parametrize("memory", ["the same data", "no data"])
@pytest.mark.proves("temporal-away")
@pytest.mark.proves("fleet-kills")
def test_temporal_killed_while_runs_stand_at_every_step_costs_no_run_an_attempt(
    mortal: World, mortal_temporal: TemporalServer, collector: Collector, memory: str
) -> None:
    runs, folder = create_runs(mortal, collector), folder_of(mortal)
    words = ("--engine", "temporal", "--temporal-address", mortal_temporal.address)
    # Patient, so that only what is killed here is taken to be gone, however busy the machine is.
    worker = start(mortal, folder, "worker", *words, INTERLOCK_TEMPORAL_TAKE_UP_SECONDS="60")
    at_every_step(mortal, folder, runs)
    mortal_temporal.kill()
    (folder / "go").touch()
    if memory == "no data":
        mortal_temporal.forget()
    mortal_temporal.start()
    wait_until_done(mortal, runs)

    assert_each_once(mortal, collector, runs, lambda _: 1)
    assert worker.is_there(), worker.words()
