"""The command-line door of deployments: `interlock deployment`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, Protocol

import typer

from interlock.doors.cli import answer, call, house, note, table
from interlock.kernel.clock import to_text
from interlock.kernel.errors import InterlockError
from interlock.pipelines.deployment_definitions import DeploymentDefinition
from interlock.pipelines.deployments import Deployments
from interlock.pipelines.errors import DeploymentFailed
from interlock.pipelines.models import Deployment, Standing, Status
from interlock.pipelines.shown import deployment_whole

door = typer.Typer(
    help="Deployments: bring a version into an environment, look after it, promote it or roll it back.",
    no_args_is_help=True,
    add_completion=False,
)

DeploymentId = Annotated[str, typer.Argument(metavar="ID")]
Name = Annotated[str, typer.Argument(metavar="NAME")]


class _House(Protocol):
    @property
    def deployments(self) -> Deployments: ...


def _deployments() -> Deployments:
    return replace(house(_House).deployments, say=note)


@door.command("list")
def list_deployments(
    name: Annotated[str | None, typer.Option(help="Only those of this definition.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
) -> None:
    """List deployments, newest first."""
    rows = [deployment_whole(each) for each in _deployments().list(name=name, limit=limit)]
    columns = ("id", "name", "environment", "version", "status", "healthy", "reason", "created_at")
    table(rows, columns, empty="no deployments")


@door.command("show")
def show(deployment_id: DeploymentId) -> None:
    """Show a deployment."""
    found = _deployments().get(deployment_id)
    answer(deployment_whole(found), _lines(found))


@door.command("definitions")
def definitions(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show all that this one runs.")] = None,
) -> None:
    """List what can be deployed, and whether it may run as it is; or show one, as `approve` takes it."""
    rooms = _deployments()
    if name is None:
        table(
            [_standing_of(rooms, each) for each in rooms.names()],
            ("name", "strategy", "environments", "status", "changes"),
            empty="no definitions in cicd/deployments",
        )
        return
    definition = rooms.definition(name)
    standing = rooms.standing_of(definition)
    answer(_defined(definition, standing), _defined_lines(definition, standing))


@door.command("approve")
def approve(
    name: Name,
    digest: Annotated[
        str | None, typer.Option("--digest", help="The digest you looked at; another is refused.")
    ] = None,
) -> None:
    """Accept a definition with every command, script, probe and program that it names; only a human may."""
    standing = _deployments().accept(call().actor(), name, seen_digest=digest)
    call().wrote()
    answer(_stands(standing) | {"id": standing.name}, [f"{standing.name} accepted at {standing.digest}"])


@door.command("create")
def create(
    name: Name,
    environment: Annotated[str, typer.Option("--environment", help="development, staging or production.")],
    version: Annotated[str, typer.Option("--version", help="The version to deploy.")],
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", metavar="ID", help="The run that made it; promotion needs one.")
    ] = None,
) -> None:
    """Bring a version into an environment; exit 0 if it is up and healthy, 1 if it was rolled back."""
    rooms, actor = _deployments(), call().actor()
    _end(_told(lambda: rooms.create(actor, name, environment=environment, version=version, pipeline_id=pipeline)))


@door.command("resume")
def resume(deployment_id: DeploymentId) -> None:
    """Go on with a deployment, or a roll back, that was cut off."""
    rooms, actor = _deployments(), call().actor()
    rooms.get(deployment_id)
    _end(_told(lambda: rooms.resume(actor, deployment_id)))


@door.command("monitor")
def monitor(deployment_id: DeploymentId) -> None:
    """Look at the health of what is deployed; it is rolled back (exit 1) if it is not healthy."""
    rooms, actor = _deployments(), call().actor()
    rooms.get(deployment_id)
    _end(_told(lambda: rooms.monitor(actor, deployment_id)))


@door.command("promote")
def promote(deployment_id: DeploymentId) -> None:
    """Let a version stay: it is healthy now, and the verifier has signed for the run that made it."""
    rooms, actor = _deployments(), call().actor()
    rooms.get(deployment_id)
    _end(_told(lambda: rooms.promote(actor, deployment_id)))


@door.command("rollback")
def rollback(
    deployment_id: DeploymentId,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the event.")],
) -> None:
    """Take a version back, promoted or not, and bring back the one before."""
    rooms, actor = _deployments(), call().actor()
    rooms.get(deployment_id)
    found = _told(lambda: rooms.rollback(actor, deployment_id, reason=reason))
    _end(found, well=frozenset({Status.ROLLED_BACK}))


def _told(verb: Callable[[], Deployment]) -> Deployment:
    try:
        return verb()
    except InterlockError:
        call().wrote()  # how far it came, and that it was stopped there, is told, too
        raise


def _end(found: Deployment, *, well: frozenset[Status] = frozenset({Status.RUNNING, Status.SUCCESS})) -> None:
    call().wrote()
    answer(
        deployment_whole(found), [f"{found.id}  {found.status.value}" + (f"  {found.reason}" if found.reason else "")]
    )
    if found.status not in well:
        raise DeploymentFailed(f"{found.id} is {found.status.value}: {found.message or found.reason}")


def _lines(found: Deployment) -> list[str]:
    health = found.health
    looked = {True: "healthy", False: "NOT healthy", None: "not looked at"}[found.healthy]
    return [
        f"{found.id}  {found.status.value}" + (f"  {found.reason}: {found.message}" if found.reason else ""),
        f"  definition  {found.name}, {found.digest}",
        f"  version     {found.version} in {found.environment} by {found.strategy}",
        f"  before      {found.previous_version or 'nothing'}",
        f"  run         {found.pipeline_id or 'none, so it can not be promoted'}",
        f"  made        {to_text(found.created_ms)} by {found.created_by}, {found.steps_done} steps done",
        (
            f"  health      {looked}; errors {health.error_rate_milli / 1000} %, answers {health.response_time_ms} ms,"
            f" cpu {health.cpu_usage_milli / 1000} %, memory {health.memory_usage_milli / 1000} %,"
            f" {health.active_connections} connections"
        ),
    ]


def _standing_of(rooms: Deployments, name: str) -> dict[str, Any]:
    """Return the row of a definition, also of one that can't be read."""
    try:
        definition = rooms.definition(name)
        return _defined(definition, rooms.standing_of(definition))
    except InterlockError as error:
        return {
            "name": name,
            "strategy": None,
            "environments": [],
            "status": error.code,
            "digest": None,
            "changes": [error.message],
        }


def _stands(standing: Standing) -> dict[str, Any]:
    accepted = standing.accepted
    return {
        "status": "accepted" if standing.may_run else "changed" if accepted else "not_accepted",
        "digest": standing.digest,
        "accepted_digest": accepted.digest if accepted else None,
        "accepted_by": accepted.accepted_by if accepted else None,
        "accepted_at": to_text(accepted.accepted_ms) if accepted else None,
        "changes": list(standing.changes),
    }


def _defined(definition: DeploymentDefinition, standing: Standing) -> dict[str, Any]:
    return {
        "name": definition.name,
        "description": definition.description,
        "path": definition.path,
        "strategy": definition.recipe.strategy,
        "environments": sorted(each.lower() for each in definition.environments),
        "network": definition.network,
        "commands": [list(line.argv) for line in definition.lines()],
        "probes": [_probe(each.name, each.kind, each.url or each.file) for each in definition.probes],
        **_stands(standing),
    }


def _probe(name: str, kind: str, place: str | None) -> dict[str, str | None]:
    return {"name": name, "kind": kind, "looks_at": place}


def _defined_lines(definition: DeploymentDefinition, standing: Standing) -> Sequence[str]:
    shown = _stands(standing)
    where = ", ".join(sorted(each.lower() for each in definition.environments))
    lines = [
        f"{definition.name}  {shown['status']}",
        *([f"  {definition.description}"] if definition.description else []),
        f"  file        {definition.path}",
        f"  digest      {standing.digest}",
        f"  strategy    {definition.recipe.strategy} in {where}",
        f"  network     {'yes' if definition.network else 'no'}",
    ]
    lines += [f"  command     {shlex.join(line.argv)}" for line in definition.lines()]
    lines += [f"  probe       {each.name}: {each.kind} {each.url or each.file or ''}" for each in definition.probes]
    lines += [f"  changed     {each}" for each in standing.changes]
    return lines
