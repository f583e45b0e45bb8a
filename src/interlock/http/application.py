"""The application: the rooms' doors behind the gate."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route

from interlock import __version__
from interlock.access import api as access
from interlock.alerts import api as alerts
from interlock.approval import api as approval
from interlock.evidence import api as evidence
from interlock.fleet import api as fleet
from interlock.http import document, live, run_logs, status
from interlock.http.gate import Access, Gate, Throttle
from interlock.http.live import Log, Tail
from interlock.http.mcp_changes import TailChanges
from interlock.http.problems import install, problem
from interlock.inbox import api as inbox
from interlock.kernel.ids import UlidSource
from interlock.loops import api as loops
from interlock.mcp.mounted import PATH as MCP
from interlock.mcp.mounted import Mounted
from interlock.pipelines import api as pipelines
from interlock.providers import api as providers
from interlock.queue import api as queue
from interlock.runs import api as runs
from interlock.runs import truth_api, worker_api
from interlock.web.pages import Console

_OPS = "/ops"
DOORS = tuple(
    each.door
    for each in (
        status,
        inbox,
        access,
        approval,
        providers,
        runs,
        worker_api,
        truth_api,
        queue,
        pipelines,
        loops,
        alerts,
        fleet,
        evidence,
        live,
        run_logs,
    )
)
"""What is behind the gate: each of their routes says which role it needs."""
ABOUT = """\
Interlock holds every run of a coding agent behind a human approval of exactly what will run.

Draft → review → approve → run → observe → verify. There is no road from a draft to a run.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the application is plugged together of."""

    house: Any
    access: Access
    throttle: Throttle
    log: Log
    wrote: Callable[[], None]
    names: Sequence[str] = ()
    """Under which names MCP is called besides this machine's own."""
    ops: bool = True
    """Whether `/ops/*` answers; else it is switched off (501) and everything else goes on."""


def create_application(parts: Parts) -> FastAPI:
    """Return the application."""
    new_ulid = UlidSource()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        tail = Tail(parts.log)
        app.state.tail = tail
        app.state.watched = run_logs.Watched()
        app.state.mcp = mcp = Mounted(TailChanges(tail), parts.names)
        async with tail.running(), mcp.running():
            yield

    app = FastAPI(
        title="Interlock",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
    )
    install(app)
    for door in (status.open_door, *DOORS):
        app.router.routes.extend(door.routes)  # included, each router would be asked twice
    app.router.routes.insert(0, Route(MCP, _Mcp()))  # first: an agent that follows a run asks all day
    app.add_middleware(_Switch, ops=parts.ops)
    app.add_middleware(
        Gate,
        access=parts.access,
        throttle=parts.throttle,
        house=parts.house,
        wrote=parts.wrote,
        new_id=lambda: f"req-{new_ulid()}",
    )
    app.add_middleware(Console)  # outermost: its files are open to all, and no path of the API is one of them
    document.served(app)
    return app


class _Mcp:
    """Hands over to MCP, which begins with the server and not with the application."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's own
        await scope["app"].state.mcp(scope, receive, send)


class _Switch:
    """Answers 501 on `/ops/*` and `/mcp` while that is switched off; the data stays where it is."""

    def __init__(self, app: Any, *, ops: bool) -> None:  # noqa: ANN401 - any ASGI application
        self._app, self._ops = app, ops

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's own
        path = scope.get("path", "")
        if not self._ops and scope["type"] == "http" and (path in {_OPS, MCP} or path.startswith(f"{_OPS}/")):
            answer = problem(
                501, "switched_off", "the OPS routes are switched off", correlation_id=scope["state"]["correlation_id"]
            )
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)
