"""The HTTP doors of approval: `/ops/plan`, `/ops/drafts`, `/ops/approved`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal, Protocol

from fastapi import Query, Request, Response
from pydantic import Field

from interlock.access.models import Actor
from interlock.approval.compared import Against
from interlock.approval.errors import DraftChanged, InvalidWork, PlanChanged
from interlock.approval.models import Draft, DraftStatus, Limits, Work, terms_digest
from interlock.approval.service import Approval, Change
from interlock.approval.shown import show_approved, show_difference, show_draft, show_plan, show_version
from interlock.doors.api import (
    ApiCall,
    Before,
    Body,
    Door,
    Here,
    IdempotencyKey,
    IfMatch,
    Limit,
    PreconditionFailed,
    Shown,
    house,
    made,
    needs,
    paged,
    problems,
    seen,
    tagged,
)
from interlock.kernel.ids import checked
from interlock.kernel.words import split_command

door = Door("/ops", "approval")
RungName = Literal["self_reported", "exit_code", "checked", "ci"]


class _House(Protocol):
    @property
    def approval(self) -> Approval: ...


def _approval(call: ApiCall) -> Approval:
    return house(call, _House).approval


# --- bodies -----------------------------------------------------------------------------------------------------------


class WorkBody(Body):
    """What would be run, where, and how it is judged."""

    command: str | list[str] | None = Field(
        default=None, description="The agent's argument list; a text is split like a shell would, and run without one."
    )
    repository: str | None = None
    base: str | None = Field(default=None, description="Commit, branch or tag to start from; default HEAD.")
    checks: list[str | list[str]] = Field(default_factory=list[str | list[str]])
    environment: list[str] = Field(default_factory=list[str], description="Names of variables to hand through.")
    network: bool = True
    limits: dict[str, int] = Field(default_factory=dict[str, int])
    agent: str = Field(
        default="command",
        description="`claude_code`, …: its command is written from this work, or it reads what `command` prints.",
    )
    model: str | None = Field(default=None, description="The model that the agent is told to use.")
    tools: list[str] = Field(
        default_factory=list[str], description="What the agent may use without asking, in its own words."
    )
    needs: list[str] = Field(default_factory=list[str], description="NAME or NAME=VALUE that a node must have.")
    rung: RungName | None = Field(
        default=None, description="The least evidence of being done that is accepted; null: the workspace's policy."
    )


class EditedWork(WorkBody):
    """What would be run from now on."""

    base_commit: str | None = Field(
        default=None,
        description="The draft's own, to keep the commit that was shown; absent or null, the base is looked up anew.",
    )


class NewDraft(Body):
    """A proposal."""

    prompt: str
    content: str | None = Field(default=None, description="What goes with the prompt.")
    context: dict[str, Any] | None = None
    work: WorkBody | None = None


class EditDraft(Body):
    """What an edit changes; what is absent or null stays."""

    prompt: str | None = None
    content: str | None = None
    context: dict[str, Any] | None = None
    work: EditedWork | None = None
    reason: str = Field(default="", description="Why; kept with the version.")


class Decision(Body):
    """Why, and what was looked at."""

    reason: str = Field(default="", description="Kept with the decision.")
    digest: str | None = Field(default=None, description="The digest that the reviewer was shown; another is refused.")
    expires_after_seconds: int | None = Field(default=None, ge=1, le=366 * 24 * 3600)


class Reason(Body):
    """Why."""

    reason: str = ""


# --- answers ----------------------------------------------------------------------------------------------------------


class PlanShown(Shown):
    """The plan, as it was written."""

    id: str
    title: str
    workspace: str
    created: str
    objective: str
    tasks: list[dict[str, Any]]
    constraints: list[str] = Field(default_factory=list[str])


class PlanWritten(Shown):
    """That it is written."""

    status: Literal["ok"]
    version: int


class LimitsShown(Shown):
    """What a run may use."""

    wall_clock_seconds: int
    check_seconds: int
    output_bytes: int
    disk_bytes: int
    patch_bytes: int
    tokens: int = Field(default=0, description="Read and written, as the agent says itself; 0: no limit.")
    cost_microusd: int = Field(default=0, description="As the agent says itself; 0: no limit.")


class WorkShown(Shown):
    """What would be run, where, and how it is judged."""

    command: list[str] | None = Field(description="The agent's argument list; null: the workspace's default.")
    repository: str | None
    base_ref: str | None = Field(description="What the author named; the commit is what is approved.")
    base_commit: str | None
    checks: list[list[str]]
    environment: list[str] = Field(description="Names of variables that are handed through.")
    network: bool
    limits: LimitsShown
    agent: str = Field(default="command", description="Who reads what the command prints.")
    model: str | None = None
    tools: list[str] = Field(default_factory=list[str])
    needs: list[str] = Field(default_factory=list[str], description="What a node must have to take the run.")
    rung: RungName | None = Field(default=None, description="The least evidence of being done; null: the policy's.")


class TermsShown(Shown):
    """Exactly what an approval freezes; the digest is over all of its fields, those of later versions too."""

    schema_: str = Field(alias="schema")
    prompt: str = Field(description="The commitment to the text.")
    content: str | None
    context: str
    command: list[str] | None
    repository: str | None
    base_commit: str | None
    checks: list[list[str]]
    environment: list[str]
    network: bool
    limits: LimitsShown
    agent: str = Field(default="command", description="Who reads what the command prints.")
    needs: list[str] = Field(default_factory=list[str], description="What a node must have to take the run.")
    rung: RungName | None = Field(default=None, description="The least evidence of being done; null: the policy's.")


class GeneratedShown(Shown):
    """How a provider was asked, and what it cost; what is not known is absent."""

    request: str | None = Field(default=None, description="The commitment to the exact request.")


class AttestationShown(Shown):
    """Where the signed statement is, and who signed it."""

    digest: str
    keyid: str
    predicate_type: str
    signed_by: str


class DraftShown(Shown):
    """A draft (OpsDraft)."""

    id: str = Field(examples=["d_01ARZ3NDEKTSV4RRFFQ69G5FAV"])
    status: Literal["draft", "approved", "rejected", "error"]
    version: int = Field(description="Also in the ETag; an If-Match with another one is refused.")
    prompt: str
    context: dict[str, Any] | str = Field(description="`erased` where it was.")
    provider: str | None
    generated: GeneratedShown | None
    content: str | None
    error: str | None
    work: WorkShown
    author: str
    created_at: str
    updated_at: str
    decided_by: str | None
    decision_reason: str | None


class DraftInFull(DraftShown):
    """A draft, with what an approval would freeze."""

    terms: TermsShown
    digest: str | None = Field(
        default=None, description="The digest of the terms, to be sent with the approval; not of one in error."
    )


class ApprovedShown(Shown):
    """An approved record (OpsApproved): exactly what may run."""

    id: str = Field(examples=["a_01ARZ3NDEKTSV4RRFFQ69G5FAV"])
    draft_id: str
    digest: str
    prompt: str
    context: dict[str, Any] | str
    provider: str | None
    content: str
    terms: TermsShown
    approved_at: str
    approved_by: str
    expires_at: str | None
    attestation: AttestationShown | None
    revoked_at: str | None
    revoked_by: str | None
    revoke_reason: str | None


class VersionShown(Shown):
    """A version of a draft, without its texts."""

    version: int
    how: str = Field(examples=["created", "edited", "generated"])
    by: str | None
    at: str
    reason: str


class DifferencePart(Shown):
    """A piece of a line."""

    text: str
    changed: bool


class DifferenceLine(Shown):
    """A line of either text; `skipped` stands for so many that are the same in both."""

    mark: Literal["same", "removed", "added", "skipped"]
    parts: list[DifferencePart]
    count: int


class FieldDifference(Shown):
    """A field that is not the same, line by line."""

    name: str = Field(examples=["prompt", "command"])
    lines: list[DifferenceLine]


class DifferenceShown(Shown):
    """What differs, and from what."""

    draft_id: str
    version: int
    to: Literal["previous", "approved"]
    other: str | None = Field(description="The id of what it is compared with; null where there is nothing.")
    other_version: int | None
    by: str | None
    at: str | None
    sentence: str = Field(description="What is compared with what, or why nothing is.")
    fields: list[FieldDifference]


class Defaults(Shown):
    """What a draft gets that leaves it open."""

    work: WorkShown = Field(description="The default agent and repository; its limits hold for every draft.")
    expires_after_seconds: int | None = Field(description="How long runs may start from an approved record.")
    four_eyes: bool = Field(description="Whether who wrote a draft may not approve it.")


class Decided(Shown):
    """What was approved. Nothing has been started."""

    approved: ApprovedShown
    run: None = None


# --- the plan ---------------------------------------------------------------------------------------------------------


@door.get("/plan", responses=problems(404), response_model=PlanShown, response_model_exclude_unset=True)
@needs("actions")
def get_plan(call: Here, response: Response) -> dict[str, Any]:
    """Return the plan."""
    plan = _approval(call).plan()
    tagged(response, plan.version)
    return dict(show_plan(plan))


@door.put("/plan", responses=problems(409, 412, 413, 415), response_model=PlanWritten)
@needs("admin")
def put_plan(call: Here, response: Response, body: dict[str, Any], if_match: IfMatch = None) -> dict[str, Any]:
    """Write the plan."""
    version = seen(if_match)
    try:
        plan = _approval(call).set_plan(call.actor, body, seen_version=version)
    except PlanChanged as error:
        if version is None:
            raise
        raise PreconditionFailed(error.message) from None
    call.wrote()
    tagged(response, plan.version)
    return {"status": "ok", "version": plan.version}


# --- drafts -----------------------------------------------------------------------------------------------------------


@door.get("/defaults", response_model=Defaults)
@needs("actions")
def get_defaults(call: Here) -> dict[str, Any]:
    """Return what a draft gets that leaves it open."""
    options = _approval(call).options
    return {
        "work": options.defaults.to_json(),
        "expires_after_seconds": options.expires_after_seconds,
        "four_eyes": options.four_eyes,
    }


@door.get("/drafts", response_model=list[DraftShown])
@needs("actions")
def list_drafts(
    call: Here,
    request: Request,
    response: Response,
    status: Annotated[DraftStatus | None, Query(description="Only drafts that stand so.")] = None,
    limit: Limit = 100,
    before: Before = None,
) -> list[dict[str, Any]]:
    """List drafts, newest first."""
    found = [show_draft(draft) for draft in _approval(call).drafts(status=status, limit=limit, before=before)]
    paged(request, response, found, limit)
    return found


@door.post("/drafts", status_code=201, responses=problems(409, 413, 415), response_model=DraftShown)
@needs("admin")
def create_draft(call: Here, response: Response, body: NewDraft, key: IdempotencyKey = None) -> dict[str, Any]:
    """Propose work. Nothing runs before a human has approved it."""

    def make(actor: Actor) -> str:
        work = None if body.work is None else _work(body.work, call)
        given = body.content
        return _approval(call).create(actor, body.prompt, content=given, context=body.context, work=work).id

    draft_id = made(call, response, key, "POST /ops/drafts", "draft.created", body, make)
    call.wrote()
    draft = _approval(call).draft(draft_id)
    response.headers["Location"] = f"/ops/drafts/{draft.id}"
    tagged(response, draft.version)
    return show_draft(draft)


@door.get("/drafts/{draft_id}", responses=problems(404), response_model=DraftInFull, response_model_exclude_unset=True)
@needs("actions")
def get_draft(call: Here, response: Response, draft_id: str) -> dict[str, Any]:
    """Return a draft with what an approval would freeze, and its digest."""
    draft = _approval(call).draft(draft_id)
    tagged(response, draft.version)
    terms = _approval(call).terms(draft)
    shown = show_draft(draft) | {"terms": terms}
    return shown if draft.status is DraftStatus.ERROR else shown | {"digest": terms_digest(terms)}


@door.get("/drafts/{draft_id}/versions", responses=problems(404), response_model=list[VersionShown])
@needs("actions")
def list_versions(
    call: Here,
    draft_id: str,
    limit: Annotated[int, Query(ge=1, le=200, description="At most so many.")] = 50,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Only versions below this one.")] = None,
) -> list[dict[str, Any]]:
    """List the versions of a draft that were written, newest first: who, when, why."""
    return [show_version(each) for each in _approval(call).versions(draft_id, limit=limit, before=before)]


@door.get("/drafts/{draft_id}/difference", responses=problems(404), response_model=DifferenceShown)
@needs("actions")
def get_difference(
    call: Here,
    draft_id: str,
    to: Annotated[Against, Query(description="Its version before, or the last approval for its repository.")] = (
        Against.PREVIOUS
    ),
) -> dict[str, Any]:
    """Compare a draft, field by field, with its version before or with what was last approved for its repository."""
    return show_difference(_approval(call).difference(draft_id, to))


@door.put("/drafts/{draft_id}", responses=problems(404, 409, 412, 413, 415), response_model=DraftShown)
@needs("admin")
def edit_draft(
    call: Here, response: Response, draft_id: str, body: EditDraft, if_match: IfMatch = None
) -> dict[str, Any]:
    """Change a draft that is not decided; a draft in error becomes a draft again."""
    change = Change(
        prompt=body.prompt,
        content=body.content,
        context=body.context,
        work=None if body.work is None else _edited(body.work, call, draft_id),
    )
    draft = _matching(
        if_match,
        lambda version: _approval(call).edit(call.actor, draft_id, change, seen_version=version, reason=body.reason),
    )
    call.wrote()
    tagged(response, draft.version)
    return show_draft(draft)


@door.post(
    "/drafts/{draft_id}/approve",
    responses=problems(404, 409, 412, 413, 415),
    response_model=Decided,
    response_model_exclude_unset=True,
)
@needs("admin", human=True)
def approve_draft(call: Here, draft_id: str, body: Decision | None = None, if_match: IfMatch = None) -> dict[str, Any]:
    """Agree to exactly this draft. Starts nothing; only a human may, whatever the role."""
    decision = body or Decision()
    if if_match is not None:
        _unchanged(_approval(call).draft(draft_id).version, if_match)
    approved = _approval(call).approve(
        call.actor,
        draft_id,
        seen_digest=decision.digest,
        expires_after_seconds=decision.expires_after_seconds,
        reason=decision.reason,
    )
    call.wrote()
    return {"approved": show_approved(approved), "run": None}


@door.post("/drafts/{draft_id}/reject", responses=problems(404, 409, 412, 413, 415), response_model=DraftShown)
@needs("admin")
def reject_draft(
    call: Here, response: Response, draft_id: str, body: Reason | None = None, if_match: IfMatch = None
) -> dict[str, Any]:
    """Turn a draft down, for good."""
    reason = body.reason if body is not None else ""
    draft = _matching(
        if_match, lambda version: _approval(call).reject(call.actor, draft_id, reason=reason, seen_version=version)
    )
    call.wrote()
    tagged(response, draft.version)
    return show_draft(draft)


# --- approved records -------------------------------------------------------------------------------------------------


@door.get("/approved", response_model=list[ApprovedShown], response_model_exclude_unset=True)
@needs("actions")
def list_approved(
    call: Here, request: Request, response: Response, limit: Limit = 100, before: Before = None
) -> list[dict[str, Any]]:
    """List approved records, newest first."""
    found = [show_approved(approved) for approved in _approval(call).all_approved(limit=limit, before=before)]
    paged(request, response, found, limit)
    return found


@door.get(
    "/approved/{approved_id}", responses=problems(404), response_model=ApprovedShown, response_model_exclude_unset=True
)
@needs("actions")
def get_approved(call: Here, approved_id: str) -> dict[str, Any]:
    """Return an approved record: exactly what may run."""
    return show_approved(_approval(call).approved(approved_id))


@door.post("/drafts/{draft_id}/erase", responses=problems(404, 409, 413, 415, 423), response_model=DraftShown)
@needs("admin", human=True)
def erase_draft(call: Here, draft_id: str, body: Reason) -> dict[str, Any]:
    """Erase prompt, content and context for good, earlier ones included, and of what was approved; all proofs hold."""
    return _erased(call, checked(draft_id, "d"), body.reason)


@door.post("/approved/{approved_id}/erase", responses=problems(404, 409, 413, 415, 423), response_model=DraftShown)
@needs("admin", human=True)
def erase_approved(call: Here, approved_id: str, body: Reason) -> dict[str, Any]:
    """Erase what was approved, and the texts of its draft; no run starts from it any more, every proof holds."""
    return _erased(call, checked(approved_id, "a"), body.reason)


def _erased(call: ApiCall, some_id: str, reason: str) -> dict[str, Any]:
    draft = _approval(call).erase(call.actor, some_id, reason=reason)
    call.wrote()
    return show_draft(draft)


@door.post(
    "/approved/{approved_id}/revoke",
    responses=problems(404, 409, 413, 415),
    response_model=ApprovedShown,
    response_model_exclude_unset=True,
)
@needs("admin", human=True)
def revoke_approved(call: Here, approved_id: str, body: Reason | None = None) -> dict[str, Any]:
    """Take an approval back: no run starts from it any more. Runs that are under way go on."""
    approved = _approval(call).revoke(call.actor, approved_id, reason=body.reason if body is not None else "")
    call.wrote()
    return show_approved(approved)


# ----------------------------------------------------------------------------------------------------------------------


def _matching(if_match: str | None, verb: Callable[[int | None], Draft]) -> Draft:
    """Do it to the version that the caller saw; to another one it is a failed precondition."""
    version = seen(if_match)
    try:
        return verb(version)
    except DraftChanged as error:
        if version is None:
            raise
        raise PreconditionFailed(error.message) from None


def _unchanged(version: int, if_match: str | None) -> None:
    if seen(if_match) not in {None, version}:
        raise PreconditionFailed(f"it is at version {version}")


def _work(body: WorkBody, call: ApiCall) -> Work:
    if body.repository is not None and "://" not in body.repository and not body.repository.startswith("/"):
        raise InvalidWork("the repository is an absolute path or an address", hint="a server has no current folder")
    defaults = _approval(call).options.defaults.limits
    return Work(
        command=None if body.command is None else _words(body.command, "command"),
        repository=body.repository,
        base_ref=body.base,
        checks=tuple(_words(check, "checks") for check in body.checks),
        environment=tuple(body.environment),
        network=body.network,
        limits=_limits(defaults, body.limits),
        agent=body.agent,
        model=body.model,
        tools=tuple(body.tools),
        needs=tuple(body.needs),
        rung=body.rung,
    )


def _edited(body: EditedWork, call: ApiCall, draft_id: str) -> Work:
    work = _work(body, call)
    if body.base_commit is None:
        return work
    before = _approval(call).draft(draft_id).work
    if (body.repository, body.base_commit) != (before.repository, before.base_commit):
        raise InvalidWork("base_commit keeps the draft's own commit of its own repository; another is looked up")
    return replace(work, base_commit=before.base_commit)


def _limits(defaults: Limits, given: dict[str, int]) -> Limits:
    known: dict[str, int] = asdict(defaults)
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        raise InvalidWork(f"there is no limit {unknown[0][:40]!a}; there are {', '.join(known)}")
    return Limits(**{**known, **given})


def _words(command: str | list[str], where: str) -> tuple[str, ...]:
    return split_command(command, where) if isinstance(command, str) else tuple(command)
