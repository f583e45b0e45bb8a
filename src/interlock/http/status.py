"""How the server is: `/health` for probes, `/status` and `/ui/status` for every role, `/metrics` for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from fastapi import APIRouter, Request, Response

from interlock import __version__
from interlock.access.service import Access
from interlock.doors.api import EVERYWHERE, ApiCall, Door, Here, house, needs, problems
from interlock.kernel.errors import InterlockError
from interlock.queue.service import Queue

open_door = APIRouter(tags=["status"], responses=problems(*EVERYWHERE))
door = Door("", "status")
_BEGAN = time.monotonic()


class _House(Protocol):
    @property
    def access(self) -> Access: ...

    def queue_look(self) -> AbstractContextManager[Queue]: ...


@open_door.get("/")
def index() -> dict[str, str]:
    """Say that somebody is there."""
    return {"status": "ok", "name": "interlock", "version": __version__, "api": "/openapi.json"}


@open_door.get("/health")
def health() -> dict[str, str]:
    """Answer a probe; open, and says nothing else."""
    return {"status": "ok"}


@door.get("/status")
@needs("actions")
def status(call: Here) -> dict[str, Any]:
    """Say how the server is."""
    return {"version": __version__, "uptime_seconds": round(time.monotonic() - _BEGAN, 3), **_queue(call)}


@door.get("/ui/status")
@needs("actions")
def ui_status(call: Here, request: Request) -> dict[str, Any]:
    """Say how the server is, for a console or an editor."""
    shown = status(call)
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


def _queue(call: ApiCall) -> dict[str, Any]:
    try:
        with house(call, _House).queue_look() as queue:
            pause = queue.paused()
            shown = {"database": "ok", "queue": dict(queue.counts()), "queue_paused": pause is not None}
        return {**shown, "panic_mode": house(call, _House).access.panic() is not None}
    except InterlockError as error:
        return {"database": error.code, "queue": None, "queue_paused": None, "panic_mode": None}
