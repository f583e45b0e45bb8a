"""Strategies as steps: what they do, in which order, about which version, and what takes it back."""

from __future__ import annotations

import pytest

from interlock.pipelines.models import Line, Strategy
from interlock.pipelines.strategies import (
    HOOKS,
    Change,
    Command,
    DeclaredStep,
    Recipe,
    deploying,
    filled,
    filled_line,
    promoting,
    undoing,
    views,
)

SECOND = Change(environment="Staging", version="2.0", previous="1.0", promoted=1)
FIRST = Change(environment="Staging", version="1.0", previous=None)


def recipe(strategy: Strategy, **more: object) -> Recipe:
    needed, besides = HOOKS[strategy]
    hooks = {name: Line(argv=(name, "${VERSION}", "${COLOUR}${INSTANCE}${WEIGHT}")) for name in needed | besides}
    return Recipe(strategy=strategy, hooks=hooks, **more)  # type: ignore[arg-type] - a case's own value


def told(command: Command | None) -> str | None:
    return " ".join(filled_line(command.line, command.variables).argv).strip() if command else None


def forth(made: Recipe, change: Change) -> list[str]:
    return [told(step.run) or step.name for step in (*deploying(made, change), *promoting(made, change))]


def back(made: Recipe, change: Change, done: int | None = None) -> list[str | None]:
    steps = (*deploying(made, change), *promoting(made, change))
    return [told(each) for each in undoing(steps, len(steps) if done is None else done)]


def test_recreate_stops_the_old_version_before_it_starts_the_new_one() -> None:
    assert forth(recipe("Recreate"), SECOND) == ["stop 1.0", "start 2.0", "probe"]
    assert back(recipe("Recreate"), SECOND) == ["stop 2.0", "start 1.0"]


def test_a_first_version_has_nothing_to_stop_and_nothing_to_go_back_to() -> None:
    assert forth(recipe("Recreate"), FIRST) == ["start 1.0", "probe"]
    assert back(recipe("Recreate"), FIRST) == ["stop 1.0"]
    assert forth(recipe("BlueGreen"), FIRST) == ["start 1.0 blue", "probe-blue", "switch 1.0 blue", "probe-switch"]
    assert back(recipe("BlueGreen"), FIRST) == ["stop 1.0 blue"]


def test_blue_green_starts_the_idle_colour_and_stops_the_old_one_only_at_the_promotion() -> None:
    made = recipe("BlueGreen")
    assert [told(step.run) or step.name for step in deploying(made, SECOND)] == [
        "start 2.0 green",
        "probe-green",
        "switch 2.0 green",
        "probe-switch",
    ]
    assert [told(step.run) for step in promoting(made, SECOND)] == [None, "stop 1.0 blue"]
    assert back(made, SECOND) == ["start 1.0 blue", "switch 1.0 blue", "stop 2.0 green"]


def test_what_only_a_promotion_does_is_taken_back_only_where_one_began() -> None:
    made = recipe("BlueGreen")
    up = len(deploying(made, SECOND))
    assert back(made, SECOND, done=up) == ["switch 1.0 blue", "stop 2.0 green"]
    assert back(made, SECOND, done=up + 1) == ["start 1.0 blue", "switch 1.0 blue", "stop 2.0 green"]


def test_the_colours_take_turns_with_every_promoted_version() -> None:
    third = Change(environment="Staging", version="3.0", previous="2.0", promoted=2)
    assert forth(recipe("BlueGreen"), third)[0] == "start 3.0 blue"
    assert forth(recipe("BlueGreen"), third)[-1] == "stop 2.0 green"


def test_a_colour_brings_variables_of_its_own() -> None:
    made = recipe("BlueGreen", colours={"left": {"PORT": "1"}, "right": {"PORT": "2"}})
    run = deploying(made, SECOND)[0].run
    assert run is not None
    assert (run.variables["COLOUR"], run.variables["COLOR"], run.variables["PORT"]) == ("right", "right", "2")
    assert views(made, SECOND)[0]["PORT"] == "2"
    assert views(made, SECOND, previous=True)[0]["PORT"] == "1"


def test_a_canary_is_looked_at_after_every_weight() -> None:
    made = recipe("Canary", weights=(5, 100))
    assert forth(made, SECOND) == [
        "start 2.0",
        "probe-start",
        "weight 2.0 5",
        "probe-5",
        "weight 2.0 100",
        "probe-100",
        "promotion",
        "stop 1.0",
    ]
    assert [step.after for step in deploying(made, SECOND) if step.run is None] == [
        {"start"},
        {"weight", "weight-5"},
        {"weight", "weight-100"},
    ]


def test_a_failed_canary_loses_all_its_traffic_at_once() -> None:
    made = recipe("Canary")
    assert back(made, SECOND, done=7) == ["weight 2.0 0", "stop 2.0"]


def test_a_rolling_update_goes_from_one_instance_to_the_next_and_back_only_over_those_it_reached() -> None:
    made = recipe("RollingUpdate", instances={"a": {}, "b": {}})
    assert forth(made, SECOND) == [
        *("drain 1.0 a", "stop 1.0 a", "start 2.0 a", "probe-a", "attach 2.0 a"),
        *("drain 1.0 b", "stop 1.0 b", "start 2.0 b", "probe-b", "attach 2.0 b"),
    ]
    assert back(made, SECOND, done=3) == ["stop 2.0 a", "start 1.0 a", "attach 1.0 a"]
    assert [view["INSTANCE"] for view in views(made, SECOND)] == ["a", "b"]


def test_the_step_that_was_under_way_is_taken_back_too() -> None:
    assert back(recipe("Recreate"), SECOND, done=0) == ["start 1.0"]
    assert back(recipe("Recreate"), SECOND, done=1) == ["stop 2.0", "start 1.0"]


def test_commands_for_the_way_back_win_there_and_only_there() -> None:
    made = recipe("Recreate", rollback={"start": Line(argv=("revive", "${VERSION}"))})
    assert forth(made, SECOND)[1] == "start 2.0"
    assert back(made, SECOND) == ["stop 2.0", "revive 1.0"]


def test_the_version_before_is_told_to_every_command_on_both_ways() -> None:
    steps = deploying(recipe("Recreate"), SECOND)
    commands = [step.run for step in steps if step.run] + [step.undo for step in steps if step.undo]
    assert {each.variables["PREVIOUS_VERSION"] for each in commands} == {"1.0"}
    assert {each.variables["ENVIRONMENT"] for each in commands} == {"staging"}


def test_declared_steps_take_the_place_of_the_strategy() -> None:
    made = Recipe(
        strategy="Recreate",
        steps=(
            DeclaredStep(name="copy", run=Line(argv=("cp", "${VERSION}")), undo=Line(argv=("rm", "${VERSION}"))),
            DeclaredStep(name="turn", run=Line(argv=("turn",)), probe=True),
            DeclaredStep(name="tidy", run=Line(argv=("tidy", "${PREVIOUS_VERSION}")), promote=True),
        ),
    )
    assert [step.name for step in deploying(made, SECOND)] == ["copy", "turn", "probe-turn"]
    assert [told(step.run) for step in promoting(made, SECOND)] == [None, "tidy 1.0"]
    assert back(made, SECOND) == ["rm 2.0"]


def test_declared_steps_of_a_blue_green_deployment_know_their_colour() -> None:
    steps = (DeclaredStep(name="up", run=Line(argv=("up", "${COLOUR}"))),)
    made = Recipe(strategy="BlueGreen", steps=steps)
    assert told(deploying(made, SECOND)[0].run) == "up green"


def test_declared_steps_end_with_a_look_also_where_none_is_declared() -> None:
    made = Recipe(strategy="Recreate", steps=(DeclaredStep(name="copy", run=Line(argv=("cp",))),))
    assert [(step.name, step.run is None) for step in deploying(made, SECOND)] == [("copy", False), ("probe", True)]


def test_a_variable_stays_in_its_word_and_is_not_read_again() -> None:
    assert filled_line(Line(argv=("echo", "a${X}b")), {"X": "1 2 ${X}"}).argv == ("echo", "a1 2 ${X}b")
    with pytest.raises(KeyError):
        filled("${NOBODY}", {})
