"""What a run may use is part of what was approved; going over it ends the run, with the limit as the reason."""

from __future__ import annotations

import pytest

from interlock.approval.models import Limits
from interlock.queue.models import ItemStatus
from interlock.runs.models import Run, RunStatus
from tests.engines.world import World

KIB, MIB = 1024, 1024 * 1024


def limits(**given: int) -> Limits:
    return Limits(**{"wall_clock_seconds": 30, **given})


def assert_ended(world: World, run: Run, reason: str, message: str) -> None:
    now, item = world.run(run), world.item(run)
    assert (now.status, now.reason, item.status) == (RunStatus.ERROR, reason, ItemStatus.FAILED), world.story(run)
    assert message in (now.message or "")
    assert world.fences(run, "run.agent_started") == [1]
    assert [told["reason"] for told in world.events(run, "run.failed")] == [reason]
    assert world.processes(run) == []
    assert world.left_behind() == []


def test_an_agent_that_takes_too_long_is_ended(world: World) -> None:
    run = world.create("echo begun; trap '' TERM; while :; do sleep 0.1; done", limits=limits(wall_clock_seconds=1))
    world.work_it_off()

    assert_ended(world, run, "limit_wall_clock", "the agent took longer than 1 s")
    assert "begun" in world.log(run, "stdout")


def test_a_check_that_takes_too_long_has_not_passed(world: World) -> None:
    run = world.create("echo done > effect.txt", checks=["sleep 60"], limits=limits(check_seconds=1))
    world.work_it_off()

    assert_ended(world, run, "check_failed", "the check sh -c sleep 60 did not pass")


@pytest.mark.parametrize(
    "endless",
    ["yes 0123456789abcdef", "tr '\\0' x < /dev/zero", "yes 0123456789abcdef >&2"],
    ids=["lines", "one line", "stderr"],
)
def test_an_agent_that_prints_without_end_is_ended_and_its_log_is_bounded(world: World, endless: str) -> None:
    run = world.create(endless, limits=limits(output_bytes=256 * KIB))
    world.work_it_off()

    assert_ended(world, run, "limit_output", "the agent went over its limit: output")
    printed = sum(len(line) + 1 for source in ("stdout", "stderr") for line in world.log(run, source))
    assert 200 * KIB < printed <= 260 * KIB


@pytest.mark.parametrize(
    "fill",
    [
        "i=0; while :; do i=$((i+1)); head -c 20000 /dev/zero > small-$i; done",
        "i=0; while [ $i -lt 200 ]; do i=$((i+1)); head -c 20000 /dev/zero > small-$i; done",
        "head -c 8000000 /dev/zero > large; sleep 60",
        "head -c 8000000 /dev/zero > large",
        "head -c 8000000 /dev/zero > ignored.txt; true",
        "for i in 1 2 3 4; do head -c 1500000 /dev/urandom > $HOME/$i; done",
        "for i in 1 2 3 4; do head -c 1500000 /dev/urandom | git hash-object -w --stdin; done",
    ],
    ids=[
        "small files without end",
        "many small files",
        "one large file and then nothing",
        "one large file",
        "ignored",
        "home",
        "git",
    ],
)
def test_an_agent_that_writes_more_than_its_disk_is_ended(world: World, fill: str) -> None:
    run = world.create(fill, limits=limits(disk_bytes=2 * MIB))
    world.work_it_off()

    assert_ended(world, run, "limit_disk", "the agent went over its limit: disk")


def test_a_result_that_is_larger_than_a_patch_may_be_is_an_error(world: World) -> None:
    run = world.create("head -c 60000 /dev/urandom | od > large.txt", limits=limits(patch_bytes=10 * KIB))
    world.work_it_off()

    assert_ended(world, run, "patch_too_large", f"the patch is larger than {10 * KIB} bytes")
    assert world.patch(run) == ""
