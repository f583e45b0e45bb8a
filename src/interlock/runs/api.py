"""The HTTP doors of runs: `/ops/runs`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

from fastapi import Query, Request, Response
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
    Shown,
    house,
    made,
    needs,
    paged,
    problems,
)
from interlock.kernel.errors import Invalid
from interlock.runs.models import RunStatus
from interlock.runs.results import Receipts
from interlock.runs.service import Runs
from interlock.runs.shown import show_found, show_in_full, show_line, show_run

door = Door("/ops/runs", "runs")

_LOG_LINES = 200


class _House(Protocol):
    @property
    def runs(self) -> Runs: ...

    @property
    def settings(self) -> _Settings: ...

    @property
    def receipts(self) -> Receipts: ...

    def purge_runs(self, actor: Actor, *, older_than_ms: int) -> list[str]: ...


class _Settings(Protocol):
    @property
    def runs(self) -> _RunSettings: ...


class _RunSettings(Protocol):
    @property
    def archive_after_seconds(self) -> int: ...


def _runs(call: ApiCall) -> Runs:
    return house(call, _House).runs


class NewRun(Body):
    """Which approved record is to be carried out."""

    approved_id: str = Field(description="`a_<ulid>`; a draft can not be run.")
    priority: str = Field(default="P1", description="P0, P1 or P2.")


class Reason(Body):
    """Why."""

    reason: str = ""


class CiReported(Body):
    """What the project's CI found."""

    commit: str = Field(description="The commit that it looked at, or its tree: all 40 or 64 hex digits.")
    status: Literal["success", "failure"]
    url: str = Field(default="", description="Where it can be read.")


class Purge(Body):
    """Which runs go into the archive."""

    older_than_seconds: int | None = Field(
        default=None, ge=0, le=2**40, description="Those that ended so long ago; default: the server's setting."
    )


class Purged(Shown):
    """The runs that went into the archive."""

    id: Literal["runs"]
    status: Literal["archived"]
    archived: list[str]


class StepShown(Shown):
    """A step of a run."""

    name: str
    fence: int
    started_at: str
    ended_at: str | None
    duration_ms: int | None
    output: dict[str, Any] | None


class LineShown(Shown):
    """A line of a run's log."""

    line: int
    ts: str
    level: str
    source: str
    msg: str
    correlation_id: str | None


class PatchShown(Shown):
    """The patch that a run brought about."""

    digest: str
    bytes: int


class FileShown(Shown):
    """A file that a run changed."""

    path: str
    status: str = Field(description="added, modified, deleted, … as git says.")
    added: int | None
    deleted: int | None
    binary: bool
    mode: str | None


class LeftOut(Shown):
    """A file that was not collected, and why."""

    path: str
    reason: str


class CheckShown(Shown):
    """An approved check of a run's result."""

    command: list[str]
    exit_code: int | None
    ended_by: str | None
    duration_ms: int
    passed: bool


class AgentSaid(Shown):
    """What an agent said of itself."""

    name: str
    session_id: str | None
    turns: int
    input_tokens: int
    output_tokens: int
    cost_microusd: int | None = Field(description="Millionths of a US dollar; null where it is not known.")
    terminal: Literal["success", "failure", "limit"] | None = Field(description="Its last word on the whole.")
    resets_at: str | None = Field(description="When its provider lets it go on.")


class ProofShown(Shown):
    """How well the result is proven by the worker itself, and of which tree that is true."""

    rung: Literal["self_reported", "exit_code", "checked", "ci"]
    tree: str | None
    commit: str | None
    at_ms: int
    checks: list[CheckShown]


class ResultShown(Shown):
    """What a run came to; its fields are there as far as its steps came."""

    base_commit: str | None = None
    agent: AgentSaid | None = Field(default=None, description="What the agent said of itself; null for any command.")
    proof: ProofShown | None = None
    exit_code: int | None = None
    signal: int | str | None = None
    ended_by: str | None = None
    containment: str | None = None
    git: str | None = None
    notes: list[str] = Field(default_factory=list[str])
    output_bytes: int = 0
    commit: str | None = None
    patch: PatchShown | None = None
    files: list[FileShown] = Field(default_factory=list[FileShown])
    files_total: int = 0
    left_out: list[LeftOut] = Field(default_factory=list[LeftOut])
    checks: list[CheckShown] = Field(default_factory=list[CheckShown])
    durations_ms: dict[str, int | None] = Field(default_factory=dict[str, int | None])
    attestation: dict[str, Any] | None = Field(default=None, description="Names the signed statement about it.")


class WhyShown(Shown):
    """Why a run is where it is."""

    reason: str
    says: str
    hint: str = Field(description="What to do next.")


class Found(Shown):
    """Lines of a log that hold a text."""

    id: str
    status: Literal["complete", "partial"] = Field(description="partial: go on with `after` = `searched_to`.")
    lines: list[int] = Field(description="Their numbers, rising.")
    searched_to: int


class ReceiptEntry(Shown):
    """An entry of the evidence log."""

    index: int
    line: str = Field(description="The ledger's line, byte for byte.")
    proof: str = Field(description="That the entry is under the head (c2sp.org/tlog-proof).")


class Receipt(Shown):
    """How a run ended, for an outsider to check offline (docs/evidence.md, Receipts)."""

    format: Literal["interlock-run-receipt/v1"]
    run_id: str
    approved_id: str
    draft_id: str
    origin: str
    head: str = Field(description="The signed tree head (C2SP signed note).")
    entries: list[ReceiptEntry]
    envelopes: dict[str, str] = Field(description="The signed statements (in-toto, DSSE) by their digests.")


class RunShown(Shown):
    """A run (OpsRun), without its log."""

    id: str = Field(examples=["r_01ARZ3NDEKTSV4RRFFQ69G5FAV"])
    approved_id: str
    item_id: str
    status: Literal["pending", "running", "done", "error", "cancelled"]
    reason: str | None
    message: str | None
    attempt: int
    created_at: str
    created_by: str
    started_at: str | None
    ended_at: str | None
    correlation_id: str | None
    result: ResultShown | None
    archived_at: str | None = Field(description="When its log and its steps went into the archive.")
    rung: Literal["self_reported", "exit_code", "checked", "ci"] | None = Field(
        default=None, description="How well it is proven done; null while it is not done."
    )


class RunInFull(RunShown):
    """A run with its steps and the last lines of its log."""

    steps: list[StepShown]
    log: list[LineShown] = Field(description=f"The last {_LOG_LINES}.")
    log_lines: int = Field(description="How many lines the log has; they are numbered from 1 without a gap.")
    why: WhyShown | None = Field(description="Why it is where it is, where something is wrong.")


@door.get("", response_model=list[RunShown])
@needs("actions")
def list_runs(
    call: Here,
    request: Request,
    response: Response,
    status: Annotated[RunStatus | None, Query(description="Only runs that stand so.")] = None,
    approved_id: Annotated[str | None, Query(max_length=64, description="Only runs of this approved record.")] = None,
    limit: Limit = 100,
    before: Before = None,
) -> list[dict[str, Any]]:
    """List runs, newest first, without their logs."""
    runs = _runs(call).list(status=status, approved_id=approved_id, limit=limit, before=before)
    found = [show_run(run) for run in runs]
    paged(request, response, found, limit)
    return found


@door.post("", status_code=201, responses=problems(404, 409, 413, 415, 423), response_model=RunInFull)
@needs("operator")
def create_run(call: Here, response: Response, body: NewRun, key: IdempotencyKey = None) -> dict[str, Any]:
    """Queue a run of an approved record that is valid now."""

    def make(actor: Actor) -> str:
        return _runs(call).create(actor, body.approved_id, priority=body.priority).id

    run_id = made(call, response, key, "POST /ops/runs", "run.created", body, make)
    call.wrote()
    response.headers["Location"] = f"/ops/runs/{run_id}"
    return _with_log(call, run_id)


@door.post("/purge", responses=problems(409, 413, 415, 423), response_model=Purged)
@needs("admin")
def purge_runs(call: Here, body: Purge | None = None) -> dict[str, Any]:
    """Put log and steps of runs that ended long ago into the archive; their results and proofs stay."""
    rooms = house(call, _House)
    seconds = body.older_than_seconds if body is not None else None
    if seconds is None:
        seconds = rooms.settings.runs.archive_after_seconds
        if not seconds:
            raise Invalid("[runs] archive_after_seconds is 0: never", hint="say older_than_seconds")
    archived = rooms.purge_runs(call.actor, older_than_ms=seconds * 1000)
    call.wrote()
    return {"id": "runs", "status": "archived", "archived": archived}


@door.get("/{run_id}", responses=problems(404), response_model=RunInFull)
@needs("actions")
def get_run(call: Here, run_id: str) -> dict[str, Any]:
    """Return a run with its steps and the last lines of its log."""
    return _with_log(call, run_id)


@door.get("/{run_id}/log", responses=problems(404), response_model=list[LineShown])
@needs("actions")
def get_log(
    call: Here,
    run_id: str,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only lines with a higher number.")] = 0,
    limit: Limit = 1000,
) -> list[dict[str, Any]]:
    """Return lines of a run's log, in their order."""
    run = _runs(call).get(run_id)
    return [show_line(line, run.correlation_id) for line in _runs(call).log(run_id, after=after, limit=limit)]


@door.get("/{run_id}/log/search", responses=problems(404), response_model=Found)
@needs("actions")
def search_log(
    call: Here,
    run_id: str,
    text: Annotated[str, Query(min_length=1, max_length=200, description="Letters from A to Z count in either case.")],
    after: Annotated[int, Query(ge=0, le=2**53, description="Only lines with a higher number.")] = 0,
    limit: Limit = 1000,
) -> dict[str, Any]:
    """Find the lines of a log that hold a text, in their order; what is left to look through, it says."""
    return show_found(run_id, _runs(call).search(run_id, text, after=after, limit=limit))


@door.get("/{run_id}/receipt", responses=problems(404, 409), response_model=Receipt)
@needs("actions")
def get_receipt(call: Here, response: Response, run_id: str) -> dict[str, Any]:
    """Return what an outsider needs to check how a run ended: entries, proofs, signed statements."""
    receipt = house(call, _House).receipts.of(run_id)
    response.headers["Content-Disposition"] = f'attachment; filename="{run_id}.receipt.json"'
    return receipt


@door.get(
    "/{run_id}/diff",
    response_class=Response,
    responses={200: {"content": {"text/x-diff": {}}, "description": "The patch."}, **problems(404)},
)
@needs("actions")
def get_diff(call: Here, run_id: str) -> Response:
    """Return the patch that a run brought about; empty where it changed nothing or has none yet."""
    return Response(_runs(call).patch(run_id), media_type="text/x-diff")


@door.post("/{run_id}/cancel", responses=problems(404, 409, 413, 415), response_model=RunInFull)
@needs("operator")
def cancel_run(call: Here, run_id: str, body: Reason | None = None) -> dict[str, Any]:
    """Stop a run for good; its worker ends the whole process tree. Allowed in panic mode."""
    _runs(call).cancel(call.actor, run_id, reason=body.reason if body is not None else "")
    call.wrote()
    return _with_log(call, run_id)


@door.post("/{run_id}/retry", responses=problems(404, 409, 423), response_model=RunInFull)
@needs("operator")
def retry_run(call: Here, run_id: str) -> dict[str, Any]:
    """Do an errored run anew, if its approval still holds."""
    _runs(call).retry(call.actor, run_id)
    call.wrote()
    return _with_log(call, run_id)


@door.post("/{run_id}/ci", responses=problems(403, 404, 409, 413, 415), response_model=RunInFull)
@needs("operator")
def report_ci(call: Here, run_id: str, body: CiReported) -> dict[str, Any]:
    """Say what the project's CI found of a commit; a run that waits for exactly this goes on. Never an agent."""
    succeeded = body.status == "success"
    _runs(call).report_ci(call.actor, run_id, commit=body.commit, succeeded=succeeded, url=body.url)
    call.wrote()
    return _with_log(call, run_id)


def _with_log(call: ApiCall, run_id: str) -> dict[str, Any]:
    return show_in_full(*_runs(call).in_full(run_id, lines=_LOG_LINES))
