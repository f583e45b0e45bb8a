"""How the server is: `/health` for probes, `/status` and `/ui/status` for every role, `/metrics` for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

from fastapi import APIRouter, Request, Response
from pydantic import Field

from interlock import __version__
from interlock.access.service import Access
from interlock.doors.api import EVERYWHERE, ApiCall, Door, Here, Shown, house, needs, problems
from interlock.kernel.clock import to_text
from interlock.kernel.errors import InterlockError
from interlock.queue.service import Queue

open_door = APIRouter(tags=["status"], responses=problems(*EVERYWHERE))
door = Door("", "status")
_BEGAN = time.monotonic()


class _Head(Protocol):
    @property
    def size(self) -> int: ...

    @property
    def at(self) -> int: ...


class _Log(Protocol):
    def size(self) -> int: ...

    def last_head(self) -> _Head | None: ...


class _Windows(Protocol):
    def exported(self) -> int: ...


class _Places(Protocol):
    @property
    def root(self) -> Path: ...


class _House(Protocol):
    @property
    def access(self) -> Access: ...

    @property
    def event_log(self) -> _Log: ...

    @property
    def windows(self) -> _Windows: ...

    @property
    def places(self) -> _Places: ...

    def now(self) -> int: ...

    def queue_look(self) -> AbstractContextManager[Queue]: ...


class LedgerShown(Shown):
    """The sealed log."""

    entries: int
    head_size: int | None = Field(description="How many entries the last signed head covers.")
    head_signed_at: str | None
    exported: int = Field(description="How many entries the exported ledger, and what follows it, has by now.")
    behind: int = Field(description="How many are not exported yet.")


class TaskShown(Shown):
    """What works beside the server."""

    name: str = Field(description="`worker`, `supervisor` (loops), `alerter` or `carrier` (pipelines).")
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
    word = "RUNNING" if shown["database"] == "ok" else "DEGRADED"
    return {**shown, "service_status": f"{word} ({label})"}


@door.get("/metrics", response_class=Response)
@needs("actions")
def metrics(call: Here) -> Response:
    """Return the figures for Prometheus."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest  # noqa: PLC0415 - only this route needs it
    from prometheus_client.exposition import CONTENT_TYPE_LATEST  # noqa: PLC0415

    registry = CollectorRegistry()
    Gauge("interlock_up_seconds", "How long the server has been up.", registry=registry).set(time.monotonic() - _BEGAN)
    items = Gauge("interlock_items", "Items of the queue by status.", ["status"], registry=registry)
    for name, count in _counts(call).items():
        items.labels(name).set(count)
    panic = Gauge("interlock_panic", "1 while panic mode is on.", registry=registry)
    panic.set(house(call, _House).access.panic() is not None)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _counts(call: ApiCall) -> Mapping[str, int]:
    with house(call, _House).queue_look() as queue:
        return queue.counts()


def _status(call: ApiCall, request: Request) -> dict[str, Any]:
    beside: Iterable[Thread] = getattr(request.app.state, "beside", ())
    return {
        "version": __version__,
        "uptime_seconds": round(time.monotonic() - _BEGAN, 3),
        "workspace": str(house(call, _House).places.root),
        **_stored(house(call, _House)),
        "tasks": [{"name": each.name, "alive": each.is_alive()} for each in beside],
    }


def _stored(rooms: _House) -> dict[str, Any]:
    try:
        with rooms.queue_look() as queue:
            pause = queue.paused()
            shown = {"database": "ok", "queue": dict(queue.counts()), "queue_paused": pause is not None}
        return {
            **shown,
            "now": to_text(rooms.now()),
            "panic_mode": rooms.access.panic() is not None,
            "ledger": _ledger(rooms),
        }
    except InterlockError as error:
        unknown = dict.fromkeys(("now", "queue", "queue_paused", "panic_mode", "ledger"))
        return {"database": error.code, **unknown}


def _ledger(rooms: _House) -> dict[str, Any]:
    log = rooms.event_log
    entries, head, exported = log.size(), log.last_head(), rooms.windows.exported()
    return {
        "entries": entries,
        "head_size": head.size if head else None,
        "head_signed_at": to_text(head.at) if head else None,
        "exported": exported,
        "behind": max(0, entries - exported),
    }
