"""What a plan is: the shape of seed 4's OpsPlan, held where a plan is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from interlock.approval.errors import PlanInvalid
from interlock.kernel.canonical import JsonObject, canonical, check

EMPTY_PLAN: JsonObject = {
    "id": "plan",
    "title": "",
    "workspace": "",
    "created": "",
    "objective": "",
    "tasks": [],
    "constraints": [],
}
_MAX_BYTES = 2 * 1024 * 1024
_STATUSES = ["pending", "in_progress", "done", "blocked"]


def check_plan(body: JsonObject) -> None:
    """Raise `PlanInvalid`, naming the place, unless this is a plan; other keys are its author's own."""
    try:
        check(body, "plan")
    except (ValueError, RecursionError) as error:
        raise PlanInvalid(str(error)) from None
    size = len(canonical(body))
    if size > _MAX_BYTES:
        raise PlanInvalid(f"the plan is {size} bytes; at most {_MAX_BYTES} are taken")
    for name in ("id", "title", "workspace", "created", "objective"):
        if not isinstance(body.get(name), str):
            raise PlanInvalid(f"the plan needs {name}, a text")
    if not isinstance(body.get("tasks"), list):
        raise PlanInvalid("the plan needs tasks, a list")
    if not _texts(body.get("constraints", [])):
        raise PlanInvalid("the plan's constraints are a list of texts")
    _check_tasks(cast("Sequence[object]", body["tasks"]))


def _check_tasks(tasks: Sequence[object]) -> None:
    if not all(isinstance(task, dict) for task in tasks):
        raise PlanInvalid("every task of the plan is an object")
    listed = cast("Sequence[dict[str, Any]]", tasks)
    known: set[str] = set()
    for task in listed:
        _check_task(task)
        if task["id"] in known:
            raise PlanInvalid(f"every task of the plan has an id of its own; {task['id']!r} stands twice")
        known.add(task["id"])
    for task in listed:
        for other in task.get("depends", []):
            if other not in known:
                raise PlanInvalid(f"task {task['id']!r} depends on {other!r}, which is not in the plan")


def _check_task(task: dict[str, Any]) -> None:
    for name in ("id", "title", "scope", "description"):
        if not isinstance(task.get(name), str):
            raise PlanInvalid(f"task {task.get('id')!r} needs {name}, a text")
    if task.get("status", "pending") not in _STATUSES:
        raise PlanInvalid(f"task {task['id']!r} has the status {task['status']!r}, which there is not")
    if not _texts(task.get("depends", [])):
        raise PlanInvalid(f"task {task['id']!r} depends on a list of ids")


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in cast("list[object]", value))
