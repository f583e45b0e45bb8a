"""The command-line door of pipelines: `interlock pipeline`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from interlock.doors.cli import answer, call, house, note, table
from interlock.kernel.clock import to_text
from interlock.kernel.errors import InterlockError, Invalid
from interlock.pipelines.errors import PipelineFailed, WorkspaceBusy
from interlock.pipelines.models import Job, Material, Pipeline, Status
from interlock.pipelines.service import PREFIX, Pipelines
from interlock.pipelines.shown import definition_whole, line_row, run_row, run_whole, standing_row, standing_word

if TYPE_CHECKING:
    from interlock.pipelines.artefacts import Artefacts
    from interlock.pipelines.declared import Looked

door = typer.Typer(
    help="Pipelines: what role agents carry out at a digest that a human accepted, behind signed checkpoints.",
    no_args_is_help=True,
    add_completion=False,
)
artefact_door = typer.Typer(
    help="What a run has made, as it was when its job ended.", no_args_is_help=True, add_completion=False
)
door.add_typer(artefact_door, name="artefact")

_LOG_PAGE = 1000
_CHUNK = 1 << 20

Name = Annotated[str, typer.Argument(metavar="NAME")]
RunId = Annotated[str, typer.Argument(metavar="ID")]


class _House(Protocol):
    @property
    def pipelines(self) -> Pipelines: ...

    @property
    def delivery(self) -> _Delivery: ...


class _Delivery(Protocol):
    def runner(self, say: Callable[[str], None] = ...) -> _Runner: ...


class _Runner(Protocol):
    @property
    def artefacts(self) -> Artefacts: ...

    def run_new(self, ask: Callable[[], Pipeline]) -> Pipeline: ...

    def resume(self, pipeline_id: str) -> Pipeline: ...


def _pipelines() -> Pipelines:
    return house(_House).pipelines


# --- definitions ------------------------------------------------------------------------------------------------------


@door.command("list")
def list_definitions() -> None:
    """List the pipelines, whether each may run as it is now, and how its last run went."""
    rooms = _pipelines()
    columns = ("name", "status", "last_run", "last_status", "message")
    table([_listed(rooms, name) for name in rooms.names()], columns, empty="no pipelines in cicd/pipelines")


@door.command("show")
def show(which: Annotated[str, typer.Argument(metavar="NAME|ID")]) -> None:
    """Show a run; or a pipeline with every command, file and program that an approval of it covers."""
    rooms = _pipelines()
    if which.startswith(f"{PREFIX}_"):
        found = rooms.get(which)
        answer(run_whole(found), _run_lines(found))
        return
    looked = rooms.look_at(which)
    answer(definition_whole(looked), _looked_lines(looked))


@door.command("approve")
def approve(
    name: Name,
    digest: Annotated[
        str | None, typer.Option("--digest", help="The digest you looked at; another is refused.")
    ] = None,
) -> None:
    """Agree that a pipeline runs exactly as `show` shows it; only a human may."""
    _warn_of_roles()
    standing = _pipelines().accept(call().actor(), name, seen_digest=digest)
    call().wrote()
    answer(standing_row(standing), [f"{name}  {standing_word(standing)}  {standing.digest}"])


@door.command("roles")
def roles() -> None:
    """List the roles, the agents that fill them, and whether the log knows of it."""
    from interlock.pipelines.roles import role_changes

    rooms = _pipelines()
    directory = rooms.declared.roles()
    with rooms.look() as desk:
        changed = {each.role: each for each in role_changes(desk.acceptances.roles(), directory)}
    _warn_of_roles()
    rows = [
        {
            "role": role.name,
            "agent_id": role.agent_id,
            "status": "changed" if role.name in changed else "recorded",
            "description": role.description,
        }
        for role in directory.roles.values()
    ]
    gone = [
        {"role": each.role, "agent_id": each.previous_agent_id, "status": "gone", "description": ""}
        for each in changed.values()
        if each.agent_id is None
    ]
    table([*rows, *gone], ("role", "agent_id", "status", "description"), empty="no roles")


# --- runs -------------------------------------------------------------------------------------------------------------


@door.command("run")
def run(
    name: Name,
    trigger: Annotated[str, typer.Option("--trigger", help="What asks for it; kept with the run.")] = "manual",
) -> None:
    """Carry a pipeline out, here and now; exit 0 if it ends well, 1 if it fails, 4 if it may not run."""
    _warn_of_roles()
    asked: list[str] = []

    def ask() -> Pipeline:
        made = _pipelines().create(call().actor(), name, trigger=trigger)
        call().wrote()
        asked.append(made.id)
        note(f"{made.id}  {name}")
        return made

    try:
        ended = _runner().run_new(ask)
    except WorkspaceBusy:
        note(f"{asked[0]} waits: interlock pipeline resume {asked[0]}")
        raise
    _end(ended)


@door.command("resume")
def resume(pipeline_id: RunId) -> None:
    """Go on with a run that failed or was left behind; what is done and still stands is not done again."""
    _end(_runner().resume(pipeline_id))


@door.command("runs")
def runs(
    name: Annotated[str | None, typer.Option("--name", help="Only runs of this pipeline.")] = None,
    status: Annotated[Status | None, typer.Option("--status", help="Only runs that stand so.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
) -> None:
    """List runs, newest first."""
    found = _pipelines().list(name=name, status=status, limit=limit)
    rows = [run_row(each) for each in found]
    table(rows, ("id", "name", "status", "reason", "triggered_at", "triggered_by"), empty="no runs")


@door.command("cancel")
def cancel(
    pipeline_id: RunId, reason: Annotated[str, typer.Option("--reason", help="Why; kept with the event.")] = ""
) -> None:
    """End a run as Failed; whoever carries it out stops."""
    ended = _pipelines().cancel(call().actor(), pipeline_id, reason=reason)
    call().wrote()
    answer(run_whole(ended), [f"{ended.id} -> {ended.status.value}  {ended.reason}"])


@door.command("log")
def log(
    pipeline_id: RunId,
    after: Annotated[int, typer.Option(min=0, max=2**53, help="Only lines numbered above this.")] = 0,
    job: Annotated[str | None, typer.Option("--job", help="Only what this job said.")] = None,
) -> None:
    """Show what the jobs of a run said."""
    rooms = _pipelines()
    shown: list[dict[str, Any]] = []
    rooms.get(pipeline_id)
    while lines := rooms.log(pipeline_id, after=after, limit=_LOG_PAGE, job=job):
        after = lines[-1].line
        if call().as_json:
            shown += [line_row(each) for each in lines]
        else:
            answer(None, [f"{to_text(each.time_ms)} {each.job} {each.stream:9} {each.text}" for each in lines])
    if call().as_json:
        answer(shown)


@artefact_door.command("list")
def list_artefacts(pipeline_id: RunId) -> None:
    """List what the jobs of a run have made."""
    rows = [
        {"job": job.id, "path": each.path, "size": each.size, "sha256": each.sha256}
        for job in _pipelines().get(pipeline_id).jobs
        for each in job.artefacts
    ]
    table(rows, ("job", "path", "size", "sha256"), empty="no artefacts")


@artefact_door.command("get")
def get_artefact(
    pipeline_id: RunId,
    path: Annotated[str, typer.Argument(metavar="PATH")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to; else to stdout.")] = None,
) -> None:
    """Bring back an artefact as it was when its job ended, whatever the workspace holds by now."""
    from interlock.evidence import publish

    if out is None and call().as_json:
        raise Invalid("an artefact is no JSON", hint="say where to: --out FILE")
    found, kept = _runner().artefacts.find(_pipelines().get(pipeline_id), path)
    with kept.open("rb") as file:
        chunks = iter(lambda: file.read(_CHUNK), b"")
        if out is None:
            for chunk in chunks:
                sys.stdout.buffer.write(chunk)
            return
        try:
            publish.replace(out, chunks)
        except OSError as error:
            raise Invalid(f"{out} can not be written: {error.strerror}") from None
    told = {"id": pipeline_id, "status": "written", **asdict(found), "out": str(out)}
    answer(told, [f"{out}  {found.size} bytes  sha256:{found.sha256}"])


# --- what is shown ----------------------------------------------------------------------------------------------------


def _runner() -> _Runner:
    return house(_House).delivery.runner(say=note)


def _end(ended: Pipeline) -> None:
    """Show how a run ended; a failed one is exit 1, and one line that says where and why."""
    answer(run_whole(ended), _run_lines(ended))
    if ended.status is Status.FAILED:
        where = next((f"job {job.id}: " for job in ended.jobs if job.status is Status.FAILED), "")
        raise PipelineFailed(
            f"{ended.id} failed: {where}{ended.message or ended.reason or 'it did not end well'}",
            hint=f"look: interlock pipeline log {ended.id}; go on: interlock pipeline resume {ended.id}",
        )


def _warn_of_roles() -> None:
    from interlock.pipelines.roles import uncommitted

    told = uncommitted(call().root())
    if told is not None:
        note(f"warning: {told}")


def _listed(rooms: Pipelines, name: str) -> dict[str, Any]:
    last = next(iter(rooms.list(name=name, limit=1)), None)
    row: dict[str, Any] = {
        "name": name,
        "status": "invalid",
        "digest": None,
        "last_run": last.id if last else None,
        "last_status": last.status.value if last else None,
    }
    try:
        standing = rooms.standing(name)
    except InterlockError as error:
        return {**row, "message": error.message}
    return {**row, "status": standing_word(standing), "digest": standing.digest, "message": "; ".join(standing.changes)}


def _looked_lines(looked: Looked) -> Iterator[str]:
    definition, standing = looked.definition, looked.standing
    yield f"{definition.name} {definition.version}  {standing_word(standing)}  {standing.digest}"
    yield from (f"  ! {each}" for each in standing.changes)
    if definition.description:
        yield f"  {definition.description}"
    yield from (f"  role        {role} is {agent_id}" for role, agent_id in definition.roles.items())
    yield from (f"  variable    {name} = {value}" for name, value in definition.variables.items())
    for rule in definition.checkpoints:
        yield f"  checkpoint  {rule.name}: {rule.role} over {rule.artefact}"
    for job in definition.jobs:
        yield from _job_lines(job)
    yield f"  programs in {looked.proposed.search_path}"
    yield from (f"  {_material(each)}" for each in looked.proposed.materials)
    if not standing.may_run:
        yield f"to accept exactly this: interlock pipeline approve {definition.name} --digest {standing.digest}"


def _job_lines(job: Job) -> Iterator[str]:
    does = f"  {job.role}: {job.action}" if job.action else f"  {job.role}" if job.role else ""
    yield f"  job         {job.id}{does}" + (f"  after {', '.join(job.needs)}" if job.needs else "")
    for line in job.lines:
        condition = f"   (if {line.if_exists} is there)" if line.if_exists else ""
        yield f"    $ {shlex.join(line.argv)}{condition}"
    facts = {
        "parameters": ", ".join(f"{name}={value}" for name, value in job.parameters.items()),
        "environment": ", ".join(f"{name}={value}" for name, value in job.environment.items()),
        "in": f"{job.repository} at {job.ref}" if job.repository else "",
        "network": "yes" if job.network else "",
        "waits for": ", ".join(each.checkpoint for each in job.requires),
        "makes": ", ".join(job.artefacts),
        "signs": ", ".join(job.signs),
        "limits": f"{job.limits.seconds} s, {job.limits.output_bytes} B output, {job.limits.file_bytes} B files",
    }
    yield from (f"    {name:11} {value}" for name, value in facts.items() if value)


def _material(material: Material) -> str:
    named = f"{material.kind:11} {material.name}"
    if not material.path:
        return f"{named}  is not there"
    return f"{named}  {material.path}" + (f"  sha256:{material.sha256}" if material.sha256 else "")


def _run_lines(found: Pipeline) -> Iterator[str]:
    yield f"{found.id}  {found.name}  {found.status.value}" + (f"  {found.reason}" if found.reason else "")
    if found.message:
        yield f"  {found.message}"
    yield f"  triggered   {to_text(found.triggered_ms)} by {found.triggered_by}"
    yield f"  definition  {found.digest}"
    for stage in found.stages:
        yield f"  stage       {stage.name:20} {stage.status.value:9} {_took(stage.duration_ms)}"
        for job in found.jobs:
            if job.stage == stage.name:
                took = job.ended_ms - job.started_ms if job.ended_ms and job.started_ms else None
                yield f"    job       {job.id:20} {job.status.value:9} {_took(took)}  {job.message or ''}".rstrip()
    for passed in found.checkpoints:
        yield f"  checkpoint  {passed.name} by {passed.agent_id} ({passed.keyid}) over {passed.artefact.path}"
        yield f"              {passed.summary}"


def _took(ms: int | None) -> str:
    return f"{ms} ms" if ms is not None else "-"
