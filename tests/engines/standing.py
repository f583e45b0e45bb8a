"""Runs that stand at every step there is, and what must be true of them when all has gone on."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from interlock.runs.models import Run, RunStatus, StepName
from tests.conftest import ALICE, until
from tests.engines.collector import Collector, agent
from tests.engines.world import ENDED, INTERLOCK, WorkerUnderTest, World, surroundings

SCRIPT = Path(__file__).with_name("standing_process.py")
RUNS = 18
"""More than there are points; where they become too few, `at_every_step` says so."""
EFFECT = "echo carried out >> effect.txt"
ONE_EFFECT = 'test "$(cat effect.txt)" = "carried out"'
PATIENCE_SECONDS = 150.0
"""However busy the machine is; nobody waits for longer than it takes."""
FIRST, SECOND = 1, 3
"""Fences: a claim raises it, and so does who takes a run back."""


def start(world: World, folder: Path | None, *words: str, **environment: str) -> WorkerUnderTest:
    """Start the product over the world's workspace; with a folder, as one in which runs and requests stand."""
    said = world.place / f"said-{len(world.workers)}"
    program = [str(INTERLOCK)] if folder is None else [sys.executable, str(SCRIPT), str(folder)]
    with said.open("wb") as output:
        process = subprocess.Popen(
            [*program, *words, "--workspace", str(world.root)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=surroundings(INTERLOCK_WORKER_CONCURRENCY=str(RUNS), **environment),
        )
    made = WorkerUnderTest(process, said, said)
    world.workers.append(made)
    return made


def folder_of(world: World) -> Path:
    """Return a new folder for the signs of who stands."""
    made = world.place / f"standing-{len(world.workers)}"
    made.mkdir()
    return made


def create_runs(world: World, collector: Collector) -> list[Run]:
    """Make enough runs for every step; their agents tell the collector that they begin."""
    approved = world.approve(agent(collector.port, EFFECT), checks=[ONE_EFFECT])
    return [world.house.runs.create(ALICE, approved.id) for _ in range(RUNS)]


def standing_at(folder: Path) -> Mapping[str, str]:
    """Return who stands where: run → point."""
    return {each.read_text(): each.name.removeprefix("step.") for each in folder.glob("step.*")}


def at_every_step(world: World, folder: Path, runs: Sequence[Run]) -> Mapping[str, str]:
    """Return where each run stands once every step has one: run → point; the others have ended."""

    def settled() -> bool:
        stand = standing_at(folder)
        return all(each.id in stand or world.run(each).status is not RunStatus.PENDING for each in runs) and all(
            each.id in stand or world.run(each).status is RunStatus.DONE for each in runs
        )

    until(settled, PATIENCE_SECONDS)
    stand = standing_at(folder)
    assert len(stand) < len(runs), "there are more steps than runs: none was left that passed all of them"
    points = set(stand.values())
    assert {f"{step.value}.{'done' if step is StepName.FINISH else 'made'}" for step in StepName} <= points
    assert "agent.started" in points
    return stand


def wait_until_done(world: World, runs: Sequence[Run], seconds: float = PATIENCE_SECONDS) -> None:
    """Return when every run has ended; fails with the story of one that is not done."""
    until(lambda: all(world.run(each).status in ENDED for each in runs), seconds)
    for run in runs:
        assert world.run(run).status is RunStatus.DONE, world.story(run)


def assert_each_once(world: World, collector: Collector, runs: Sequence[Run], attempt: Callable[[Run], int]) -> None:
    """Assert that every run ended once, in the attempt that is expected, with its effect once and with its proof.

    And that no agent began twice under one claim, whatever the log says: the world outside has counted.
    """
    heard = {claim.partition(":")[0] for claim in collector.claims()}
    missing = [run.id for run in runs if run.id not in heard]
    assert missing == [], f"never heard of; heard: {collector.told()}"
    assert [claim for claim, times in Counter(collector.claims()).items() if times > 1] == []
    for run in runs:
        now, expected = world.run(run), attempt(run)
        assert (now.status, now.attempt) == (RunStatus.DONE, expected), world.story(run)
        assert world.patch(run).count("+carried out\n") == 1, world.story(run)
    assert_told_once(world, runs, attempt)
    until(lambda: all(world.processes(run) == [] for run in runs), PATIENCE_SECONDS)
    until(lambda: world.left_behind() == [], PATIENCE_SECONDS)
    assert world.verified().uncovered == 0


def assert_told_once(world: World, runs: Sequence[Run], attempt: Callable[[Run], int]) -> None:
    """Assert of the log that no agent began twice under one claim, and that each run ended under its last one."""
    world.seal()
    told: dict[tuple[str, str], list[int]] = {}
    for _, event in world.house.windows.log.events(0, world.house.evidence.log.size()):
        if event["kind"] in {"run.started", "run.agent_started", "run.done"}:
            told.setdefault((event["subject"], event["kind"]), []).append(event["payload"]["fence"])
    for run in runs:
        claims = [FIRST] if attempt(run) == 1 else [FIRST, SECOND]
        assert told[run.id, "run.started"] == claims, world.story(run)
        assert told[run.id, "run.done"] == claims[-1:], world.story(run)
        begun = told[run.id, "run.agent_started"]
        assert len(begun) == len(set(begun)), world.story(run)
        assert set(begun) <= set(claims), world.story(run)
