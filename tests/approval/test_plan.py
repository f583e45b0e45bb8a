"""The plan: the seed's shape, or a sentence that says what is missing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from interlock.app import Interlock
from interlock.approval.errors import PlanInvalid
from interlock.approval.service import EMPTY_PLAN
from tests.approval.behind import counts, events
from tests.conftest import ALICE, BOB, ROBOT

HEAD: dict[str, Any] = dict.fromkeys(("id", "title", "workspace", "created", "objective"), "x")
TASK: dict[str, Any] = dict.fromkeys(("id", "title", "scope", "description"), "t")


def plan(*tasks: object, **more: object) -> dict[str, Any]:
    return {**HEAD, "tasks": list(tasks), **more}


def test_without_a_plan_an_empty_one_is_shown(house: Interlock) -> None:
    assert house.approval.plan().body == EMPTY_PLAN
    assert counts(house)["events"] == 0


@pytest.mark.proves("ops-plan")
def test_a_plan_is_kept_as_it_was_written_and_its_versions_rise(house: Interlock) -> None:
    body = plan(
        TASK, {**TASK, "id": "u", "depends": ["t"], "status": "blocked", "ours": [1]}, note="ünï", constraints=["a"]
    )
    assert house.approval.set_plan(ALICE, body).version == 1
    assert house.approval.plan().body == body
    assert house.approval.set_plan(BOB, plan()).version == 2
    assert (house.approval.plan().updated_by, house.approval.plan().body["tasks"]) == ("human:bob", [])
    assert [event["kind"] for event in events(house)] == ["plan.set", "plan.set"]
    assert house.approval.set_plan(ROBOT, plan()).updated_by == str(ROBOT.principal)


WRONG: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "needs id"),
    **{f"{name} missing": ({k: v for k, v in plan().items() if k != name}, f"needs {name}") for name in HEAD},
    **{f"{name} no text": (plan(**{name: 1}), f"needs {name}") for name in HEAD},
    "tasks missing": (HEAD, "needs tasks"),
    "tasks an object": ({**HEAD, "tasks": {}}, "needs tasks"),
    "task a text": (plan("sweep"), "every task"),
    "task without id": (plan({}), "needs id"),
    "id a list": (plan({**TASK, "id": []}), "id"),
    "id an object": (plan({**TASK, "id": {}}), "id"),
    "ids twice": (plan(TASK, TASK), "an id of its own"),
    **{f"task {name} missing": (plan({k: v for k, v in TASK.items() if k != name}), name) for name in TASK},
    "status unknown": (plan({**TASK, "status": "maybe"}), "maybe"),
    "status a list": (plan({**TASK, "status": []}), "status"),
    "depends on nothing": (plan({**TASK, "depends": ["v"]}), "'v'"),
    "depends a number": (plan({**TASK, "depends": 5}), "depends"),
    "depends null": (plan({**TASK, "depends": None}), "depends"),
    "depends a text": (plan({**TASK, "depends": "t"}), "depends"),
    "depends on an object": (plan({**TASK, "depends": [dict[str, str]()]}), "depends"),
    "constraints a number": (plan(constraints=5), "constraints"),
    "a float": (plan(budget=1.5), "plan.budget"),
    "a surrogate": (plan(note="\ud800"), "plan.note"),
    "a key beyond ASCII": (plan() | {"ü": 1}, "ASCII"),
    "a large number": (plan(n=2**53), "2^53"),
    "a large one": (plan(note="x" * (2 * 1024 * 1024)), "at most"),
    "a deep one": (plan(n=json.loads("[" * 100 + "]" * 100)), "nested"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_plan_is_refused_with_its_place(house: Interlock, wrong: str) -> None:
    body, told = WRONG[wrong]
    with pytest.raises(PlanInvalid) as caught:
        house.approval.set_plan(ALICE, body)
    assert told in caught.value.message
    assert counts(house)["events"] == 0
