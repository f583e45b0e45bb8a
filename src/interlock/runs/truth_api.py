"""The HTTP doors of what is true of runs: `/ops/truth`, `/ops/runs/{id}/truth`."""

from __future__ import annotations

from typing import Any, Protocol

from pydantic import Field

from interlock.doors.api import ApiCall, Door, Here, Limit, Shown, house, needs, problems
from interlock.runs.truth_shown import show_truth
from interlock.runs.watching import Truths

door = Door("/ops", "runs")


class _House(Protocol):
    @property
    def truths(self) -> Truths: ...


class TruthShown(Shown):
    """What is true of a run, and what is done about it."""

    id: str = Field(examples=["r_01ARZ3NDEKTSV4RRFFQ69G5FAV"])
    status: str = Field(description="The verdict; `none` where nobody holds the run and nothing of it is left.")
    reason: str | None
    says: str = Field(description="The verdict as a sentence.")
    action: str | None = Field(description="wait, ask, take_over, finalise or kill.")
    fence: int | None
    host: str | None = Field(description="Whose look it was; `-` where only the database was looked at.")
    since: str | None
    seen: str | None
    details: dict[str, Any]


def _truths(call: ApiCall) -> Truths:
    return house(call, _House).truths


@door.get("/truth", response_model=list[TruthShown])
@needs("actions")
def list_truths(call: Here, limit: Limit = 100) -> list[dict[str, Any]]:
    """List what is true of runs that go on for a minute or are not in good order, the oldest verdict first."""
    return [show_truth(each.run_id, each) for each in _truths(call).list(limit=limit)]


@door.get("/runs/{run_id}/truth", responses=problems(404), response_model=TruthShown)
@needs("actions")
def get_truth(call: Here, run_id: str) -> dict[str, Any]:
    """Return what is true of a run: one verdict with its reason, and what is done about it."""
    return show_truth(run_id, _truths(call).get(run_id))
