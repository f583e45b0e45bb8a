"""What a server and a worker without a database tell each other, as JSON: claims, lines, pulses.

Both ends are written here, field by field of the dataclasses, so that neither can differ from the other. `PROTOCOL`
rises with every change that an older end would misunderstand; ends of different numbers do not work together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar, cast

from interlock.approval.models import Approved
from interlock.evidence.content import Text
from interlock.queue.models import Executor, Item, ItemKind, ItemStatus
from interlock.runs.models import Claim, LogLine, Pulse, Run, RunStatus, Step, StepName

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Made = TypeVar("Made", bound="DataclassInstance")

PROTOCOL = 1
MOST_LINES = 1_000
"""So many lines are in one batch at most."""
MOST_LINE = 16 * 1024
"""So many characters are in one line at most."""
BATCH_BYTES = 1024 * 1024
"""So large is a batch, as JSON, at most; and a part of a body, before it is JSON."""
PART_BYTES = 768 * 1024


def tell_claim(claim: Claim) -> dict[str, Any]:
    """Write a claim."""
    return {
        "item": _plain(claim.item),
        "run": _plain(claim.run),
        "approved": _plain(claim.approved),
        "steps": [tell_step(step) for step in claim.steps.values()],
    }


def read_claim(data: Mapping[str, Any]) -> Claim:
    """Read a claim; raises KeyError, TypeError or ValueError where it has another shape."""
    steps = [read_step(each) for each in cast("list[Mapping[str, Any]]", data["steps"])]
    item, approved = data["item"], data["approved"]
    words = {
        "status": ItemStatus(item["status"]),
        "kind": ItemKind(item["kind"]),
        "executor": Executor(item["executor"]),
    }
    return Claim(
        item=_made(Item, item, words),
        run=read_run(data["run"]),
        approved=_made(Approved, approved, {name: _text(approved[name]) for name in ("prompt", "content", "context")}),
        steps={step.name: step for step in steps},
    )


def tell_run(run: Run) -> dict[str, Any]:
    """Write a run."""
    return _plain(run)


def read_run(data: Mapping[str, Any]) -> Run:
    """Read a run."""
    return _made(Run, data, {"status": RunStatus(data["status"])})


def tell_step(step: Step) -> dict[str, Any]:
    """Write a step."""
    return _plain(step)


def read_step(data: Mapping[str, Any]) -> Step:
    """Read a step."""
    return _made(Step, data, {"name": StepName(data["name"])})


def tell_line(line: LogLine) -> dict[str, Any]:
    """Write a line that the store has not numbered yet."""
    return {"ts_ms": line.ts_ms, "level": line.level, "source": line.source, "msg": line.msg}


def tell_pulse(pulse: Pulse) -> dict[str, Any]:
    """Write a pulse."""
    return _plain(pulse)


def _plain(thing: DataclassInstance) -> dict[str, Any]:
    return {name: _value(value) for name, value in asdict(thing).items()}


def _value(value: Any) -> Any:  # noqa: ANN401 - any field
    if isinstance(value, Enum):
        return value.value
    return list(cast("tuple[Any, ...]", value)) if isinstance(value, tuple) else value


def _made(kind: type[Made], data: Mapping[str, Any], read: Mapping[str, Any]) -> Made:
    """Make a dataclass of what was told; what this version has no field for is passed over."""
    known = {each.name for each in fields(kind)}
    told = {name: _kept(value) for name, value in data.items() if name in known}
    return kind(**{**told, **read})


def _kept(value: Any) -> Any:  # noqa: ANN401 - any field
    return tuple(cast("list[Any]", value)) if isinstance(value, list) else value


def _text(told: Mapping[str, Any] | None) -> Text | None:
    return None if told is None else Text(ref=str(told["ref"]), body=told["body"])
