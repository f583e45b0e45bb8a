"""The tables of states are those that the design writes down."""

from __future__ import annotations

from enum import Enum

import pytest

from interlock.kernel.transitions import Transitions
from interlock.queue import models as queue
from interlock.queue.models import ItemStatus
from interlock.runs import models as runs
from interlock.runs.models import RunStatus


class Light(Enum):
    RED = "red"
    GREEN = "green"
    OFF = "off"


LIGHTS = Transitions({Light.RED: {Light.GREEN, Light.OFF}, Light.GREEN: {Light.RED}, Light.OFF: set()})


def test_a_table_says_who_may_become_what() -> None:
    assert LIGHTS.allows(Light.RED, Light.GREEN)
    assert not LIGHTS.allows(Light.GREEN, Light.OFF)
    assert not LIGHTS.allows(Light.RED, Light.RED)
    assert LIGHTS.sources(Light.RED) == (Light.GREEN,)
    assert LIGHTS.sources(Light.OFF) == (Light.RED,)
    assert [state for state in Light if LIGHTS.final(state)] == [Light.OFF]


def test_a_table_can_not_be_changed_by_its_maker() -> None:
    after = {Light.GREEN}
    table = Transitions({Light.RED: after, Light.GREEN: set(), Light.OFF: set()})
    after.add(Light.OFF)
    assert not table.allows(Light.RED, Light.OFF)


@pytest.mark.parametrize("table", [(runs.MAY_BECOME, RunStatus), (queue.MAY_BECOME, ItemStatus)], ids=["run", "item"])
def test_every_state_is_in_its_table(table: tuple[Transitions[Enum], type[Enum]]) -> None:
    moves, states = table
    for state in states:
        assert isinstance(moves.final(state), bool)


def test_a_run_that_is_done_or_cancelled_stays_so() -> None:
    assert [state for state in RunStatus if runs.MAY_BECOME.final(state)] == [RunStatus.DONE, RunStatus.CANCELLED]
    assert runs.MAY_BECOME.sources(RunStatus.DONE) == (RunStatus.RUNNING,)


def test_a_run_moves_as_the_design_s_table_says() -> None:
    """DESIGN.md, section 6: the run and its item move together."""
    allowed = {(now, after) for now in RunStatus for after in RunStatus if runs.MAY_BECOME.allows(now, after)}
    assert allowed >= {
        (RunStatus.PENDING, RunStatus.RUNNING),  # claim
        (RunStatus.RUNNING, RunStatus.DONE),  # finish
        (RunStatus.RUNNING, RunStatus.ERROR),  # finish with failure
        (RunStatus.PENDING, RunStatus.ERROR),  # digest mismatch, seen at the claim
        (RunStatus.PENDING, RunStatus.CANCELLED),  # cancel
        (RunStatus.RUNNING, RunStatus.CANCELLED),
        (RunStatus.ERROR, RunStatus.PENDING),  # retry
        (RunStatus.RUNNING, RunStatus.PENDING),  # release, rescue
    }
    assert not {(now, after) for now, after in allowed if after is RunStatus.DONE and now is not RunStatus.RUNNING}


def test_an_item_that_is_done_is_not_cancelled_and_one_that_failed_is_not_either() -> None:
    for ended in (ItemStatus.DONE, ItemStatus.FAILED):
        assert not queue.MAY_BECOME.allows(ended, ItemStatus.BLOCKED)
    for open_ in (ItemStatus.PENDING, ItemStatus.IN_PROGRESS):
        assert queue.MAY_BECOME.allows(open_, ItemStatus.BLOCKED)
