"""The HTTP doors of pipelines and deployments: `/ops/pipelines`, `/ops/pipeline-runs`, `/ops/deployments`.

A run that is asked for here is carried out beside the server (`carrying`).
"""

from __future__ import annotations

from typing import Annotated, Any, Protocol

from fastapi import Path, Query, Request, Response
from pydantic import Field

from interlock.access.models import Actor
from interlock.doors.api import (
    ApiCall,
    Before,
    Body,
    Door,
    Here,
    IdempotencyKey,
    Limit,
    house,
    made,
    needs,
    paged,
    problems,
)
from interlock.kernel.errors import InterlockError
from interlock.pipelines.answers import (
    DefinitionShown,
    DefinitionWhole,
    DeploymentInFull,
    DeploymentShown,
    PipelineLine,
    RunRow,
    RunWhole,
    StatusWord,
)
from interlock.pipelines.deployments import Deployments
from interlock.pipelines.events import PipelineCreated
from interlock.pipelines.models import Status
from interlock.pipelines.service import Pipelines
from interlock.pipelines.shown import (
    definition_whole,
    deployment_seen,
    deployment_whole,
    line_row,
    run_row,
    run_whole,
    standing_row,
)

door = Door("/ops", "pipelines")

Name = Annotated[str, Path(max_length=64, pattern="^[a-z0-9][a-z0-9-]*$")]


class _House(Protocol):
    @property
    def pipelines(self) -> Pipelines: ...

    @property
    def deployments(self) -> Deployments: ...


class NewAcceptance(Body):
    """What a person has looked at."""

    digest: str = Field(max_length=80, description="Of the definition as it was shown; another is refused.")


class NewPipelineRun(Body):
    """What makes somebody ask for a run."""

    trigger: str = Field(default="http", max_length=200)


class NewReason(Body):
    """Why."""

    reason: str = Field(default="", max_length=2000)


def _pipelines(call: ApiCall) -> Pipelines:
    return house(call, _House).pipelines


def _deployments(call: ApiCall) -> Deployments:
    return house(call, _House).deployments


@door.get("/pipelines", response_model=list[DefinitionShown])
@needs("actions")
def list_pipelines(call: Here) -> list[dict[str, Any]]:
    """List the pipelines, and whether each may run as it is now."""
    rooms = _pipelines(call)
    return [_row(rooms, name) for name in rooms.names()]


@door.get("/pipelines/{name}", responses=problems(404), response_model=DefinitionWhole)
@needs("actions")
def get_pipeline(call: Here, name: Name) -> dict[str, Any]:
    """Return a definition with every command, file and program that an acceptance of it covers."""
    return definition_whole(_pipelines(call).look_at(name))


@door.post("/pipelines/{name}/accept", responses=problems(404, 409, 413, 415, 423), response_model=DefinitionShown)
@needs("admin", human=True)
def accept_pipeline(call: Here, name: Name, body: NewAcceptance) -> dict[str, Any]:
    """Agree that a pipeline runs exactly as it was shown."""
    standing = _pipelines(call).accept(call.actor, name, seen_digest=body.digest)
    call.wrote()
    return standing_row(standing)


@door.post(
    "/pipelines/{name}/runs",
    status_code=201,
    responses=problems(404, 409, 413, 415, 423),
    response_model=RunWhole,
)
@needs("operator")
def create_pipeline_run(
    call: Here, response: Response, name: Name, body: NewPipelineRun, key: IdempotencyKey = None
) -> dict[str, Any]:
    """Ask for a run of an accepted pipeline; it is carried out beside the server."""
    rooms = _pipelines(call)

    def make(actor: Actor) -> str:
        return rooms.create(actor, name, trigger=body.trigger).id

    run_id = made(call, response, key, f"POST /ops/pipelines/{name}/runs", PipelineCreated.kind, body, make)
    call.wrote()
    response.headers["Location"] = f"/ops/pipeline-runs/{run_id}"
    return run_whole(rooms.get(run_id))


@door.get("/pipeline-runs", responses=problems(404), response_model=list[RunRow])
@needs("actions")
def list_pipeline_runs(
    call: Here,
    request: Request,
    response: Response,
    name: Annotated[str | None, Query(max_length=64)] = None,
    status: StatusWord | None = None,
    limit: Limit = 100,
    before: Before = None,
) -> list[dict[str, Any]]:
    """List runs of pipelines, newest first."""
    found = _pipelines(call).list(name=name, status=Status(status) if status else None, limit=limit, before=before)
    shown = [run_row(each) for each in found]
    paged(request, response, shown, limit)
    return shown


@door.get("/pipeline-runs/{pipeline_id}", responses=problems(404), response_model=RunWhole)
@needs("actions")
def get_pipeline_run(call: Here, pipeline_id: str) -> dict[str, Any]:
    """Return a run with its stages, jobs and checkpoints."""
    return run_whole(_pipelines(call).get(pipeline_id))


@door.get("/pipeline-runs/{pipeline_id}/log", responses=problems(404), response_model=list[PipelineLine])
@needs("actions")
def get_pipeline_log(
    call: Here,
    pipeline_id: str,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Limit = 1000,
    job: Annotated[str | None, Query(max_length=100)] = None,
) -> list[dict[str, Any]]:
    """Return lines of a run's log after one."""
    return [line_row(each) for each in _pipelines(call).log(pipeline_id, after=after, limit=limit, job=job)]


@door.post("/pipeline-runs/{pipeline_id}/cancel", responses=problems(404, 409, 413, 415), response_model=RunWhole)
@needs("operator")
def cancel_pipeline_run(call: Here, pipeline_id: str, body: NewReason) -> dict[str, Any]:
    """End a run; whoever carries it out stops."""
    ended = _pipelines(call).cancel(call.actor, pipeline_id, reason=body.reason)
    call.wrote()
    return run_whole(ended)


@door.get("/deployments", responses=problems(404), response_model=list[DeploymentShown])
@needs("actions")
def list_deployments(
    call: Here,
    request: Request,
    response: Response,
    name: Annotated[str | None, Query(max_length=64)] = None,
    limit: Limit = 100,
    before: Before = None,
) -> list[dict[str, Any]]:
    """List deployments, newest first."""
    shown = [deployment_whole(each) for each in _deployments(call).list(name=name, limit=limit, before=before)]
    paged(request, response, shown, limit)
    return shown


@door.get("/deployments/{deployment_id}", responses=problems(404), response_model=DeploymentInFull)
@needs("actions")
def get_deployment(call: Here, deployment_id: str) -> dict[str, Any]:
    """Return a deployment, its steps, what its probes measured, and who signed for the run behind it."""
    return deployment_seen(*_deployments(call).show(deployment_id))


def _row(rooms: Pipelines, name: str) -> dict[str, Any]:
    try:
        return standing_row(rooms.standing(name))
    except InterlockError as error:
        nothing = dict.fromkeys(("digest", "accepted_digest", "accepted_by", "accepted_at"))
        return {"id": name, "status": "invalid", "changes": [error.message], **nothing}
