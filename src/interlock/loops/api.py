"""The HTTP doors of loops: `/ops/loops`. Only what is looked after is shown; a path is named only to be watched."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Any, Literal, Protocol

from fastapi import Query, Response
from pydantic import Field

from interlock.doors.api import (
    ApiCall,
    Body,
    Door,
    Here,
    house,
    needs,
    problems,
)
from interlock.kernel.clock import to_text
from interlock.kernel.errors import InterlockError, Unreachable
from interlock.loops import shown, status
from interlock.loops.answers import (
    LoopControlled,
    LoopInFull,
    LoopReconciled,
    LoopShown,
    LoopUnfrozenShown,
    WatchShown,
)
from interlock.loops.confirmation import Patience
from interlock.loops.control import Request
from interlock.loops.errors import ReconcileBusy
from interlock.loops.files import Document
from interlock.loops.models import new_trace, stamp
from interlock.loops.ports import Watch
from interlock.loops.service import Loops, Target

door = Door("/ops/loops", "loops")

Repo = Annotated[
    str | None, Query(max_length=4096, description="The repository, where loops of that name are watched in several.")
]


_PLACES = threading.BoundedSemaphore(8)
"""How many requests may wait for a runtime or a disk at once: each holds a thread that panic may need."""


class LoopsBusy(Unreachable):
    """As many loops are being steered or reconciled over HTTP as may be at the same time."""

    code = "loops_busy"
    default_hint = "try again in a few seconds"


@contextmanager
def _a_place() -> Generator[None]:
    if not _PLACES.acquire(blocking=False):
        raise LoopsBusy
    try:
        yield
    finally:
        _PLACES.release()


class _House(Protocol):
    @property
    def loops(self) -> Loops: ...


class NewWatch(Body):
    """What is to be looked after."""

    repo: str = Field(min_length=1, max_length=4096, pattern="^/")
    loop: str | None = Field(default=None, max_length=128)


class NewControl(Body):
    """What is wanted of a loop."""

    intent: Literal["cancel", "approve", "reject"]
    note: str | None = Field(default=None, max_length=2000)
    confirm: bool = True
    timeout_seconds: int = Field(default=10, ge=0, le=60)


class NewNote(Body):
    """Why."""

    note: str | None = Field(default=None, max_length=2000)


def _loops(call: ApiCall) -> Loops:
    return house(call, _House).loops


@door.get("", response_model=list[LoopShown])
@needs("actions")
def list_loops(call: Here) -> list[dict[str, Any]]:
    """List every loop that is looked after, our own runs among them, and how each is."""
    return _loops(call).fleet()


@door.get("/watches", response_model=list[WatchShown])
@needs("actions")
def list_watches(call: Here) -> list[dict[str, Any]]:
    """List what the supervisor looks after."""
    return [_watch(each) for each in _loops(call).watched()]


@door.post("/watches", status_code=201, responses=problems(409, 413, 415, 423), response_model=WatchShown)
@needs("admin")
def watch(call: Here, response: Response, body: NewWatch) -> dict[str, Any]:
    """Look after a loop of a repository on the server, or after all of them."""
    made = _loops(call).watch(call.actor, body.repo, body.loop)
    call.wrote()
    response.headers["Location"] = "/ops/loops/watches"
    return _watch(made)


@door.delete("/watches/{watch_id}", responses=problems(404, 409, 423), response_model=WatchShown)
@needs("admin")
def unwatch(call: Here, watch_id: str) -> dict[str, Any]:
    """Look after it no more; its files stay."""
    found = _loops(call).unwatch(call.actor, watch_id)
    call.wrote()
    return _watch(found)


@door.get("/{loop_id}", responses=problems(404), response_model=LoopInFull)
@needs("actions")
def get_loop(call: Here, loop_id: str, repo: Repo = None) -> dict[str, Any]:
    """Return everything that is known of a loop: for people, and as `ops-manager-status.sh` prints it."""
    return _whole(call, _found(call, loop_id, repo))


@door.post("/{loop_id}/reconcile", responses=problems(404, 409, 423), response_model=LoopReconciled)
@needs("operator")
def reconcile_loop(call: Here, loop_id: str, repo: Repo = None, from_start: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - a query parameter
    """Find out now what is true of a loop."""
    found = _found(call, loop_id, repo)
    with _a_place():
        outcome = _loops(call).reconcile(
            call.actor, found, trace_id=call.actor.correlation_id or "", from_start=from_start
        )
    call.wrote()
    if outcome.busy:
        raise ReconcileBusy
    return {**_whole(call, found), "detail": outcome.document, "ingested": outcome.exit_code == 0}


@door.post("/{loop_id}/control", responses=problems(404, 409, 413, 415, 423), response_model=LoopControlled)
@needs("operator")
def control_loop(call: Here, loop_id: str, body: NewControl, repo: Repo = None) -> dict[str, Any]:
    """Cancel a loop, or decide what it waits for (only a human approves); the outcome is in `status`."""
    found = _found(call, loop_id, repo)
    trace = call.actor.correlation_id or new_trace()
    request = Request(
        intent=body.intent,
        by=call.actor.principal.name,
        trace_id=trace,
        idempotency_key=f"{body.intent}-{trace}",
        note=body.note,
        confirm=body.confirm,
        patience=Patience(body.timeout_seconds, 1),
    )
    with _a_place():
        done = _loops(call).control(call.actor, found, request)
    call.wrote()
    return _intent(found, done.document)


@door.post("/{loop_id}/acknowledge", responses=problems(404, 409, 413, 415, 423), response_model=LoopControlled)
@needs("operator", human=True)
def acknowledge_loop(call: Here, loop_id: str, body: NewNote, repo: Repo = None) -> dict[str, Any]:
    """Say that you have looked after an intent whose outcome was not clear."""
    found = _found(call, loop_id, repo)
    row = _loops(call).acknowledge(call.actor, found, note=body.note)
    call.wrote()
    return _intent(found, row)


@door.post("/{loop_id}/unfreeze", responses=problems(404, 409, 413, 415, 423), response_model=LoopUnfrozenShown)
@needs("operator", human=True)
def unfreeze_loop(call: Here, loop_id: str, body: NewNote, repo: Repo = None) -> dict[str, Any]:
    """Let machines steer a loop again in spite of what stands there now."""
    found = _found(call, loop_id, repo)
    released = _loops(call).unfreeze(call.actor, found, note=body.note)
    call.wrote()
    return {"id": found.places.loop, "status": "released", **released}


def _found(call: ApiCall, loop_id: str, repo: str | None) -> Target:
    return _loops(call).find(loop_id, repo)


def _whole(call: ApiCall, found: Target) -> dict[str, Any]:
    loops = _loops(call)
    row = loops.row(found)
    try:
        told = status.status(found.places, stamp(loops.clock() // 1000))
        return {**row, "view": shown.view(found.places, told), "detail": told}
    except InterlockError:  # the row says which: never reconciled, or not to be read
        return {**row, "view": None, "detail": None}


def _intent(found: Target, record: Document) -> dict[str, Any]:
    return {**record, **shown.intent_row(record), "id": found.places.loop}


def _watch(watch: Watch) -> dict[str, Any]:
    return {
        "id": watch.id,
        "repo": watch.repo,
        "loop": watch.loop,
        "added_at": to_text(watch.added_ms),
        "added_by": watch.added_by,
    }
