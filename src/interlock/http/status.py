"""How the server is: `/health` for probes, `/status` and `/ui/status` for every role, `/metrics` for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterable
from threading import Thread
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from interlock import __version__
from interlock.doors.api import EVERYWHERE, ApiCall, Door, Here, Shown, house, needs, problems
from interlock.workspace.standing import Measured, Standing, service_status, show_standing

open_door = APIRouter(tags=["status"], responses=problems(*EVERYWHERE))
door = Door("", "status")
_BEGAN = time.monotonic()


class LedgerShown(Shown):
    """The sealed log."""

    entries: int
    head_size: int | None = Field(description="How many entries the last signed head covers.")
    head_signed_at: str | None
    exported: int = Field(description="How many entries the exported ledger, and what follows it, has by now.")
    behind: int = Field(description="How many are not exported yet.")


class TaskShown(Shown):
    """What works beside the server."""

    name: str = Field(
        description="`worker`, `supervisor` (loops), `alerter`, `carrier` (pipelines), or `presence` (the heartbeat)."
    )
    alive: bool


class StatusShown(Shown):
    """How the server is; what can not be known while the database is away is null."""

    version: str
    uptime_seconds: float
    workspace: str
    now: str | None = Field(description="The database's time.")
    database: str = Field(description="`ok`, or the code of what is wrong.")
    queue: dict[str, int] | None = Field(description="Items by status.")
    queue_paused: bool | None
    panic_mode: bool | None
    ledger: LedgerShown | None
    tasks: list[TaskShown] = Field(description="Empty where the server answers, and does nothing else.")


class UiStatusShown(StatusShown):
    """How the server is, with a word for it."""

    service_status: str


@open_door.get("/")
def index() -> dict[str, str]:
    """Say that somebody is there."""
    return {"status": "ok", "name": "interlock", "version": __version__, "api": "/openapi.json"}


@open_door.get("/health")
def health() -> dict[str, str]:
    """Answer a probe; open, and says nothing else."""
    return {"status": "ok"}


@door.get("/status", response_model=StatusShown)
@needs("actions")
def status(call: Here, request: Request) -> dict[str, Any]:
    """Say how the server is."""
    return _status(call, request)


@door.get("/ui/status", response_model=UiStatusShown)
@needs("actions")
def ui_status(call: Here, request: Request) -> dict[str, Any]:
    """Say how the server is, for a console or an editor."""
    shown = _status(call, request)
    agent = request.headers.get("user-agent", "").lower()
    label = "ChatGPT" if "openai" in agent or "gpt" in agent else "Dashboard"
    return {**shown, "service_status": service_status(shown, label)}


@door.get("/metrics", response_class=Response)
@needs("actions")
def metrics(call: Here) -> Response:
    """Return the figures for Prometheus."""
    from interlock.http.metrics import exposed  # noqa: PLC0415 - only this route needs Prometheus's library

    body, media_type = exposed(house(call, Measured), up_seconds=time.monotonic() - _BEGAN)
    return Response(body, media_type=media_type)


def _status(call: ApiCall, request: Request) -> dict[str, Any]:
    beside: Iterable[Thread] = getattr(request.app.state, "beside", ())
    return show_standing(house(call, Standing), began=_BEGAN, beside=beside)
