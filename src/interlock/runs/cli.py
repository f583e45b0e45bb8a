"""The command-line door of runs: `interlock run`."""

from __future__ import annotations

import json
import sys
import time
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, cast

import typer

from interlock.access.models import Actor
from interlock.doors.cli import answer, call, house, note, table
from interlock.kernel.clock import to_text
from interlock.kernel.errors import Invalid
from interlock.kernel.words import span_ms
from interlock.runs.models import MAY_BECOME, LogLine, Run, RunStatus, Step
from interlock.runs.service import Runs

if TYPE_CHECKING:
    from interlock.runs.results import Receipts, Results
    from interlock.runs.watching import Truths

door = typer.Typer(
    help="Runs: carry out what was approved, and see what came of it.", no_args_is_help=True, add_completion=False
)

_LOG_PAGE = 1000
_FOLLOW_SECONDS = 0.3

RunId = Annotated[str, typer.Argument(metavar="ID")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the event.")]


class _House(Protocol):
    @property
    def runs(self) -> Runs: ...

    @property
    def truths(self) -> Truths: ...

    @property
    def results(self) -> Results: ...

    @property
    def receipts(self) -> Receipts: ...

    @property
    def settings(self) -> _Settings: ...

    def purge_runs(self, actor: Actor, *, older_than_ms: int) -> list[str]: ...


class _Settings(Protocol):
    @property
    def runs(self) -> _RunSettings: ...


class _RunSettings(Protocol):
    @property
    def archive_after_seconds(self) -> int: ...


def _runs() -> Runs:
    return house(_House).runs


@door.command("create")
def create(
    approved_id: Annotated[str, typer.Argument(metavar="APPROVED_ID")],
    priority: Annotated[str, typer.Option(help="P0, P1 or P2.")] = "P1",
) -> None:
    """Make a run from an approved record; a worker takes it up."""
    run = _runs().create(call().actor(), approved_id, priority=priority)
    call().wrote()
    answer(_shown(run), [f"{run.id}  {run.status.value}  {run.item_id}"])


@door.command("list")
def list_runs(
    status: Annotated[RunStatus | None, typer.Option(help="Only runs that stand so.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
) -> None:
    """List runs, newest first."""
    rows = [_shown(run) for run in _runs().list(status=status, limit=limit)]
    table(rows, ("id", "status", "reason", "attempt", "item_id", "approved_id", "created_at"), empty="no runs")


@door.command("show")
def show(run_id: RunId) -> None:
    """Show a run: its steps, its result, its checks, and what is true of it while it is under way."""
    run, steps = _runs().get(run_id), [_step(step) for step in _runs().steps(run_id)]
    found = _truth_of(run_id) if run.status is RunStatus.RUNNING else None
    shown = _shown(run) | {"steps": steps, "truth": found}
    answer(shown, _lines(run, steps) + ([_truth_line(found)] if found else []))


@door.command("truth")
def truth(
    run_id: Annotated[str | None, typer.Argument(metavar="[ID]", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
) -> None:
    """Say what is really true of a run, or of all that are watched: a verdict, its reason, what is done about it."""
    if run_id is not None:
        found = _truth_of(run_id)
        answer(found, _truth_lines(found))
        return
    from interlock.runs.truth_shown import show_truth

    rows = [show_truth(each.run_id, each) for each in house(_House).truths.list(limit=limit)]
    table(rows, ("id", "status", "reason", "action", "since", "host"), empty="no run is under way")


@door.command("log")
def log(
    run_id: RunId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    after: Annotated[int, typer.Option(min=0, max=2**53, help="Only lines numbered above this.")] = 0,
) -> None:
    """Show a run's log."""
    shown: list[dict[str, Any]] = []
    while True:
        run = _runs().get(run_id)
        while lines := _runs().log(run_id, after=after, limit=_LOG_PAGE):
            after = lines[-1].line
            if call().as_json:
                shown += [_line(line, run) for line in lines]
            else:
                answer(None, [f"{to_text(line.ts_ms)} {line.source:9} {line.msg}" for line in lines])
        if not follow or MAY_BECOME.final(run.status) or run.status is RunStatus.ERROR:
            break
        sys.stdout.flush()
        time.sleep(_FOLLOW_SECONDS)
    if call().as_json:
        answer(shown)


@door.command("purge")
def purge(
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="SPAN", help="2h, 3d; default: the setting.")
    ] = None,
) -> None:
    """Put log and steps of runs that ended long ago into the archive; their results and proofs stay."""
    rooms = house(_House)
    ms = rooms.settings.runs.archive_after_seconds * 1000 if older_than is None else span_ms(older_than, "--older-than")
    if older_than is None and not ms:
        raise Invalid("[runs] archive_after_seconds is 0: never", hint="say --older-than SPAN")
    archived = rooms.purge_runs(call().actor(), older_than_ms=ms)
    call().wrote()
    answer({"id": "runs", "status": "archived", "archived": archived}, [f"archived {len(archived)} runs"])


@door.command("diff")
def diff(run_id: RunId) -> None:
    """Print the patch that a run brought about; it fits `git apply`."""
    patch = _runs().patch(run_id)
    if call().as_json:
        answer(
            {"id": run_id, "status": "patch" if patch else "empty", "patch": patch.decode("utf-8", "backslashreplace")}
        )
    else:
        sys.stdout.buffer.write(patch)


@door.command("receipt")
def receipt(
    run_id: RunId,
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
) -> None:
    """Give out what an outsider needs to check how a run ended; see `evidence check-receipt`."""
    from interlock.evidence import publish

    told = house(_House).receipts.of(run_id)
    text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    try:
        publish.replace(out, [text.encode("utf-8")])
    except OSError as error:
        raise Invalid(f"{out} can not be written: {error.strerror}") from None
    answer({"id": run_id, "status": "written", "file": str(out)}, [f"receipt of {run_id} in {out}"])


@door.command("apply")
def apply(
    run_id: RunId,
    repo: Annotated[Path | None, typer.Option("--repo", help="Another repository than the run's own.")] = None,
    into_tree: Annotated[
        bool, typer.Option("--into-tree", help="Merge into the clean working tree instead of making a branch.")
    ] = False,
) -> None:
    """Bring a run's result to the user's repository, as the branch interlock/ID."""
    applied = house(_House).results.apply(call().actor(), run_id, repository=repo, into_tree=into_tree)
    call().wrote()
    where = f"branch {applied.branch}" if applied.branch else f"{len(applied.files)} files in the working tree"
    answer(
        {
            "id": run_id,
            "status": "applied",
            "repository": str(applied.repository),
            "branch": applied.branch,
            "changed": applied.changed,
        },
        [f"{run_id} applied to {applied.repository}: {where}" + ("" if applied.changed else " (was there already)")],
    )


@door.command("cancel")
def cancel(run_id: RunId, reason: Reason = "") -> None:
    """Stop a run for good; its whole process tree ends."""
    run = _runs().cancel(call().actor(), run_id, reason=reason)
    call().wrote()
    answer(_shown(run), [f"{run.id} -> {run.status.value}"])


@door.command("retry")
def retry(run_id: RunId) -> None:
    """Do a run in error anew, if its approval still holds."""
    run = _runs().retry(call().actor(), run_id)
    call().wrote()
    answer(_shown(run), [f"{run.id} -> {run.status.value}"])


class CiStatus(Enum):
    """What a CI says."""

    SUCCESS = "success"
    FAILURE = "failure"


@door.command("ci")
def report_ci(
    run_id: RunId,
    commit: Annotated[str, typer.Option("--commit", help="The commit that CI looked at, or its tree: all hex digits.")],
    status: Annotated[CiStatus, typer.Option("--status", help="What it found.")],
    url: Annotated[str, typer.Option("--url", help="Where it can be read.")] = "",
) -> None:
    """Say what the project's CI found of a commit; a run that waits for exactly this goes on."""
    run = _runs().report_ci(call().actor(), run_id, commit=commit, succeeded=status is CiStatus.SUCCESS, url=url)
    call().wrote()
    answer(_shown(run), [f"{run.id}  {run.status.value}" + (f"  {run.reason}" if run.reason else "")])


@door.command("wait")
def wait(
    run_id: RunId, seconds: Annotated[float, typer.Option("--seconds", min=0, help="Give up after this.")] = 3600
) -> None:
    """Wait until a run has ended; exit 0 if it is done, 1 if not."""
    deadline = time.monotonic() + seconds
    while True:
        run = _runs().get(run_id)
        if MAY_BECOME.final(run.status) or run.status is RunStatus.ERROR or time.monotonic() > deadline:
            break
        time.sleep(min(_FOLLOW_SECONDS, seconds))
    answer(_shown(run), [f"{run.id}  {run.status.value}" + (f"  {run.reason}" if run.reason else "")])
    if run.status is not RunStatus.DONE:
        note(f"error: {run.id} is {run.status.value}: {run.message or run.reason or 'not ended yet'}")
        raise typer.Exit(1)


def _shown(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "status": run.status.value,
        "reason": run.reason,
        "message": run.message,
        "approved_id": run.approved_id,
        "item_id": run.item_id,
        "attempt": run.attempt,
        "created_at": to_text(run.created_ms),
        "created_by": run.created_by,
        "started_at": to_text(run.started_ms) if run.started_ms is not None else None,
        "ended_at": to_text(run.ended_ms) if run.ended_ms is not None else None,
        "correlation_id": run.correlation_id,
        "result": run.result,
        "rung": run.rung,
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "name": step.name.value,
        "fence": step.fence,
        "started_at": to_text(step.started_ms),
        "ended_at": to_text(step.ended_ms) if step.ended_ms is not None else None,
        "duration_ms": step.ended_ms - step.started_ms if step.ended_ms is not None else None,
        "output": step.output,
    }


def _line(line: LogLine, run: Run) -> dict[str, Any]:
    return {
        "line": line.line,
        "ts": to_text(line.ts_ms),
        "level": line.level,
        "source": line.source,
        "msg": line.msg,
        "correlation_id": run.correlation_id,
    }


def _truth_of(run_id: str) -> dict[str, Any]:
    from interlock.runs.truth_shown import show_truth

    return show_truth(run_id, house(_House).truths.get(run_id))


def _truth_line(found: dict[str, Any]) -> str:
    return f"  truth       {found['status']} ({found['reason']}): {found['says']}"


def _truth_lines(found: dict[str, Any]) -> list[str]:
    if found["action"] is None:
        return [f"{found['id']}  {found['says']}"]
    seen = ", ".join(f"{name} {value}" for name, value in found["details"].items() if value is not None)
    return [
        f"{found['id']}  {found['status']} ({found['reason']}): {found['says']}",
        f"  action      {found['action']}",
        f"  since       {found['since']}, seen by {found['host']}",
        *([f"  seen        {seen}"] if seen else []),
    ]


def _lines(run: Run, steps: list[dict[str, Any]]) -> list[str]:
    result = cast("dict[str, Any]", run.result or {})
    lines = [
        f"{run.id}  {run.status.value}" + (f"  {run.reason}: {run.message}" if run.reason else ""),
        f"  approved    {run.approved_id}",
        f"  item        {run.item_id}, attempt {run.attempt}",
    ]
    lines += [
        f"  step        {step['name']:9}{step['duration_ms'] if step['duration_ms'] is not None else '…'} ms"
        for step in steps
    ]
    if run.rung:
        lines += [f"  proven      {run.rung}"]
    if result:
        said = cast("dict[str, Any]", result.get("agent") or {})
        if said:
            cost = said.get("cost_microusd")
            told = f"{said['turns']} turns, {said['input_tokens']} tokens read, {said['output_tokens']} written"
            price = "cost unknown" if cost is None else f"{cost / 1_000_000:.4f} USD"
            lines += [f"  {said['name']:12}{told}, {price}, as it says"]
        ended = f"exit {result['exit_code']}" if result["exit_code"] is not None else f"signal {result['signal']}"
        lines += [f"  agent       {ended}, containment {result['containment']}"]
        lines += [f"  result      {result['commit'] or 'nothing changed'}"]
        lines += [
            f"  file        {file['status']} {file['path']} +{file['added']} -{file['deleted']}"
            for file in result["files"]
        ]
        lines += [
            f"  check       {'passed' if check['passed'] else 'FAILED'}  {' '.join(check['command'])}"
            for check in result["checks"]
        ]
    return lines
