"""The command-line doors of approval: `interlock plan`, `interlock draft`, `interlock approved`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Protocol, cast

import typer

from interlock.access.models import Actor
from interlock.approval.compared import Against
from interlock.approval.differences import Line
from interlock.approval.models import Approved, Draft, DraftStatus, Limits, Rung, Work, terms_digest
from interlock.approval.service import Approval, Change
from interlock.approval.shown import show_difference
from interlock.doors.cli import answer, call, house, table
from interlock.kernel.canonical import JsonObject
from interlock.kernel.clock import to_text
from interlock.kernel.errors import InterlockError, Invalid
from interlock.kernel.ids import checked
from interlock.kernel.words import split_command

plan_door = typer.Typer(help="The plan: what all this is for.", no_args_is_help=True, add_completion=False)
draft_door = typer.Typer(help="Drafts: propose work, review it, decide.", no_args_is_help=True, add_completion=False)
approved_door = typer.Typer(
    help="Approved records: what may run, byte for byte.", no_args_is_help=True, add_completion=False
)

_MOST_DIGITS = 16


class _House(Protocol):
    @property
    def approval(self) -> Approval: ...


class _Providers(Protocol):
    def generate(self, actor: Actor, prompt: str, *, context: JsonObject | None = None) -> Draft: ...


class _Generating(Protocol):
    @property
    def providers(self) -> _Providers: ...


def _approval() -> Approval:
    return house(_House).approval


# --- plan -------------------------------------------------------------------------------------------------------------


@plan_door.command("show")
def plan_show() -> None:
    """Show the plan."""
    answer(_approval().plan().body)


@plan_door.command("set")
def plan_set(file: Annotated[str, typer.Argument(help="A JSON file; - reads standard input.")]) -> None:
    """Write the plan from a JSON file."""
    plan = _approval().set_plan(call().actor(), _json_object(_read(file), "the plan"))
    call().wrote()
    answer({"id": "plan", "status": "ok", "version": plan.version}, [f"plan set, version {plan.version}"])


# --- drafts -----------------------------------------------------------------------------------------------------------


class Emptied(Enum):
    """What an edit can take away from work."""

    CHECK = "check"
    ENV = "env"
    ALLOW = "allow"
    NEED = "need"
    RUNG = "rung"
    AGENT_MODEL = "agent-model"


Prompt = Annotated[str | None, typer.Option("--prompt", help="What the agent should do.")]
PromptFile = Annotated[str | None, typer.Option("--prompt-file", help="Read the prompt from a file; - for stdin.")]
Content = Annotated[str | None, typer.Option("--content", help="The content that goes with the prompt.")]
Context = Annotated[str | None, typer.Option("--context", help="A JSON object that goes with the prompt.")]
Repo = Annotated[str | None, typer.Option("--repo", help="The git repository to work on.")]
Base = Annotated[str | None, typer.Option("--base", help="Commit, branch or tag to start from; default HEAD.")]
Command = Annotated[
    str | None, typer.Option("--command", help="The agent's command line; split like a shell would, run without one.")
]
Check = Annotated[
    list[str] | None, typer.Option("--check", help="A command that must succeed on the result; repeatable.")
]
Environment = Annotated[
    list[str] | None, typer.Option("--env", help="Name of an environment variable to hand through; repeatable.")
]
NoNetwork = Annotated[bool | None, typer.Option("--no-network/--network", help="Cut the agent off the network.")]
Limit = Annotated[
    list[str] | None,
    typer.Option("--limit", help="NAME=NUMBER: wall_clock_seconds, check_seconds, output_bytes, disk_bytes, …"),
]
Agent = Annotated[
    str | None,
    typer.Option(
        "--agent",
        help="claude_code, codex, gemini_cli, opencode: writes its command, or with --command reads what that prints.",
    ),
]
AgentModel = Annotated[str | None, typer.Option("--agent-model", help="The model that the agent is told to use.")]
Allow = Annotated[
    list[str] | None, typer.Option("--allow", help="A tool that the agent may use, in its own words; repeatable.")
]
Need = Annotated[list[str] | None, typer.Option("--need", help="NAME or NAME=VALUE that a node must have; repeatable.")]
Rungs = Annotated[
    Rung | None, typer.Option("--rung", help="The least evidence of being done that is accepted for this work.")
]
Without = Annotated[
    list[Emptied] | None, typer.Option("--without", help="What the work is to be rid of altogether; repeatable.")
]
Seen = Annotated[int | None, typer.Option("--version", help="The version you looked at; another one is refused.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the decision.")]


@draft_door.command("create")
def draft_create(
    prompt: Prompt = None,
    prompt_file: PromptFile = None,
    content: Content = None,
    context: Context = None,
    repo: Repo = None,
    base: Base = None,
    command: Command = None,
    check: Check = None,
    env: Environment = None,
    no_network: NoNetwork = None,
    limit: Limit = None,
    agent: Agent = None,
    agent_model: AgentModel = None,
    allow: Allow = None,
    need: Need = None,
    rung: Rungs = None,
) -> None:
    """Propose work. Nothing runs before a human has approved it."""
    text = _prompt(prompt, prompt_file)
    if text is None:
        raise Invalid("a draft needs --prompt or --prompt-file")
    draft = _approval().create(
        call().actor(),
        text,
        content=content,
        context=_json_object(context, "--context") if context is not None else None,
        work=_led(
            _work(Work(limits=_approval().options.defaults.limits), repo, base, command, check, env, no_network, limit),
            agent,
            agent_model,
            allow,
            need,
            rung,
        ),
    )
    call().wrote()
    _show_draft(draft)


@draft_door.command("generate")
def draft_generate(prompt: Prompt = None, prompt_file: PromptFile = None, context: Context = None) -> None:
    """Let the active provider write a draft's content. Nothing runs before a human has approved it."""
    text = _prompt(prompt, prompt_file)
    if text is None:
        raise Invalid("a draft needs --prompt or --prompt-file")
    given = _json_object(context, "--context") if context is not None else None
    try:
        draft = house(_Generating).providers.generate(call().actor(), text, context=given)
    except InterlockError as error:
        if getattr(error, "draft_id", None) is not None:
            call().wrote()
        raise
    call().wrote()
    _show_draft(draft)


@draft_door.command("list")
def draft_list(
    status: Annotated[DraftStatus | None, typer.Option(help="Only drafts that stand so.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
) -> None:
    """List drafts, newest first."""
    rows = [_row(draft) for draft in _approval().drafts(status=status, limit=limit)]
    table(rows, ("id", "status", "author", "created_at", "prompt"), empty="no drafts")


@draft_door.command("show")
def draft_show(draft_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Show exactly what an approval would freeze, with its digest."""
    _show_draft(_approval().draft(draft_id))


@draft_door.command("diff")
def draft_diff(
    draft_id: Annotated[str, typer.Argument(metavar="ID")],
    to: Annotated[Against, typer.Option(help="What it is compared with.")] = Against.PREVIOUS,
) -> None:
    """Show what differs from its version before, or from what was last approved for its repository."""
    difference = _approval().difference(draft_id, to)
    lines = [f"{draft_id}  version {difference.version}  {difference.sentence}"]
    for field in difference.fields:
        lines += [f"  {field.name}", *(_compared(line) for line in field.lines)]
    if difference.other is not None and not difference.fields:
        lines.append("  nothing differs")
    status = "different" if difference.fields else "same" if difference.other is not None else "nothing to compare"
    answer({"id": draft_id, "status": status, **show_difference(difference)}, lines)


@draft_door.command("edit")
def draft_edit(
    draft_id: Annotated[str, typer.Argument(metavar="ID")],
    prompt: Prompt = None,
    prompt_file: PromptFile = None,
    content: Content = None,
    context: Context = None,
    repo: Repo = None,
    base: Base = None,
    command: Command = None,
    check: Check = None,
    env: Environment = None,
    no_network: NoNetwork = None,
    limit: Limit = None,
    agent: Agent = None,
    agent_model: AgentModel = None,
    allow: Allow = None,
    need: Need = None,
    rung: Rungs = None,
    without: Without = None,
    version: Seen = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the version.")] = "",
) -> None:
    """Change a draft that is not decided; what is not named stays."""
    before = _approval().draft(draft_id)
    kept = _rid_of(_freed(before.work, command, agent), without or [])
    work = _led(_work(kept, repo, base, command, check, env, no_network, limit), agent, agent_model, allow, need, rung)
    draft = _approval().edit(
        call().actor(),
        draft_id,
        Change(
            prompt=_prompt(prompt, prompt_file),
            content=content,
            context=_json_object(context, "--context") if context is not None else None,
            work=work if work != before.work else None,
        ),
        seen_version=version if version is not None else before.version,
        reason=reason,
    )
    call().wrote()
    _show_draft(draft)


@draft_door.command("approve")
def draft_approve(
    draft_id: Annotated[str, typer.Argument(metavar="ID")],
    digest: Annotated[str | None, typer.Option(help="The digest you were shown; anything else is refused.")] = None,
    expires_after: Annotated[
        int | None, typer.Option(min=1, max=2**31 - 1, help="Seconds for which runs may start.")
    ] = None,
    reason: Reason = "",
) -> None:
    """Agree to exactly what `draft show` shows. Starts nothing; only a human may."""
    approved = _approval().approve(
        call().actor(), draft_id, seen_digest=digest, expires_after_seconds=expires_after, reason=reason
    )
    call().wrote()
    _show_approved(approved)


@draft_door.command("reject")
def draft_reject(
    draft_id: Annotated[str, typer.Argument(metavar="ID")], reason: Reason = "", version: Seen = None
) -> None:
    """Turn a draft down, for good."""
    draft = _approval().reject(call().actor(), draft_id, reason=reason, seen_version=version)
    call().wrote()
    answer(_row(draft), [f"{draft.id} rejected"])


# --- approved records -------------------------------------------------------------------------------------------------


@draft_door.command("erase")
def draft_erase(
    draft_id: Annotated[str, typer.Argument(metavar="ID")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the log, so without what is to be erased.")],
) -> None:
    """Erase prompt, content and context for good, earlier ones included, and of what was approved; all proofs hold."""
    _erased(checked(draft_id, "d"), reason)


@approved_door.command("erase")
def approved_erase(
    approved_id: Annotated[str, typer.Argument(metavar="ID")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the log, so without what is to be erased.")],
) -> None:
    """Erase what was approved, and the texts of its draft; no run starts from it any more, every proof holds."""
    _erased(checked(approved_id, "a"), reason)


def _erased(some_id: str, reason: str) -> None:
    draft = _approval().erase(call().actor(), some_id, reason=reason)
    call().wrote()
    answer({"id": draft.id, "status": "erased"}, [f"the texts of {draft.id} are erased"])


@approved_door.command("list")
def approved_list(limit: Annotated[int, typer.Option(min=1, max=1000)] = 100) -> None:
    """List approved records, newest first."""
    now = call().app().now()
    rows = [
        {
            "id": approved.id,
            "status": approved.standing(now),
            "approved_by": approved.approved_by,
            "approved_at": to_text(approved.approved_ms),
            "digest": approved.digest,
            "prompt": approved.prompt.body,
        }
        for approved in _approval().all_approved(limit=limit)
    ]
    table(rows, ("id", "status", "approved_by", "approved_at", "prompt"), empty="nothing has been approved")


@approved_door.command("show")
def approved_show(approved_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Show an approved record."""
    _show_approved(_approval().approved(approved_id))


@approved_door.command("revoke")
def approved_revoke(approved_id: Annotated[str, typer.Argument(metavar="ID")], reason: Reason = "") -> None:
    """Take an approval back: no run starts from it any more."""
    approved = _approval().revoke(call().actor(), approved_id, reason=reason)
    call().wrote()
    _show_approved(approved)


_SIGNS = {"same": "    ", "removed": "  - ", "added": "  + "}


def _compared(line: Line) -> str:
    if line.mark == "skipped":
        return f"    … {line.count} {'line is' if line.count == 1 else 'lines are'} the same"
    return _SIGNS[line.mark] + "".join(part.text for part in line.parts)


# --- words in and out -------------------------------------------------------------------------------------------------


def _work(
    before: Work,
    repo: str | None,
    base: str | None,
    command: str | None,
    check: list[str] | None,
    env: list[str] | None,
    no_network: bool | None,
    limit: list[str] | None,
) -> Work:
    return Work(
        command=split_command(command, "--command") if command is not None else before.command,
        repository=repo if repo is not None else before.repository,
        base_ref=base if base is not None else before.base_ref,
        # A new repository or base is looked up anew; otherwise the commit that was shown stays.
        base_commit=before.base_commit if repo is None and base is None else None,
        checks=tuple(split_command(each, "--check") for each in check) if check is not None else before.checks,
        environment=tuple(env) if env is not None else before.environment,
        network=not no_network if no_network is not None else before.network,
        limits=_limits(before.limits, limit or []),
        agent=before.agent,
        needs=before.needs,
        rung=before.rung,
        model=before.model if command is None else None,
        tools=before.tools if command is None else (),
    )


def _freed(before: Work, command: str | None, agent: str | None) -> Work:
    """Let go of an own command where an agent is named in its place."""
    return replace(before, command=None) if agent is not None and command is None else before


def _rid_of(before: Work, without: list[Emptied]) -> Work:
    """Empty what is named; what is then given anew stands alone."""
    fields = {
        Emptied.CHECK: "checks",
        Emptied.ENV: "environment",
        Emptied.ALLOW: "tools",
        Emptied.NEED: "needs",
        Emptied.RUNG: "rung",
        Emptied.AGENT_MODEL: "model",
    }
    empty = Work()
    return replace(before, **{fields[each]: getattr(empty, fields[each]) for each in without})


def _led(
    work: Work,
    agent: str | None,
    model: str | None,
    allow: list[str] | None,
    need: list[str] | None,
    rung: Rung | None,
) -> Work:
    """Say who carries the work out, where, and how well it has to be proven."""
    return replace(
        work,
        agent=agent if agent is not None else work.agent,
        model=model if model is not None else work.model,
        tools=tuple(allow) if allow is not None else work.tools,
        needs=tuple(need) if need is not None else work.needs,
        rung=rung.value if rung is not None else work.rung,
    )


def _limits(before: Limits, changes: list[str]) -> Limits:
    values: dict[str, int] = asdict(before)
    for change in changes:
        name, _, number = change.partition("=")
        if name not in values or not number.isascii() or not number.isdigit() or len(number) > _MOST_DIGITS:
            raise Invalid(f"--limit takes NAME=NUMBER with one of {', '.join(values)}; not {change[:80]!r}")
        values[name] = int(number)
    return Limits(**values)


def _prompt(text: str | None, file: str | None) -> str | None:
    if text is not None and file is not None:
        raise Invalid("--prompt and --prompt-file exclude each other")
    return _read(file) if file is not None else text


def _read(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise Invalid(f"{file} can not be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise Invalid(f"{file} is not UTF-8 text (at byte {error.start})") from None


def _json_object(text: str, name: str) -> JsonObject:
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{name} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Invalid(f"{name} should be a JSON object")
    return cast("JsonObject", value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _row(draft: Draft) -> dict[str, Any]:
    return {
        "id": draft.id,
        "status": draft.status.value,
        "version": draft.version,
        "author": draft.author,
        "created_at": to_text(draft.created_ms),
        "prompt": draft.prompt.body if draft.prompt.body is not None else "erased",
    }


def _show_draft(draft: Draft) -> None:
    terms = _approval().terms(draft)
    digest = terms_digest(terms)
    data = _row(draft) | {
        "context": json.loads(draft.context.body) if draft.context.body is not None else "erased",
        "content": draft.content.body if draft.content else None,
        "base_ref": draft.work.base_ref,
        "provider": draft.provider,
        "generated": draft.generated,
        "error": draft.error,
        "terms": terms,
        "digest": digest,
        "decided_by": draft.decided_by,
        "decision_reason": draft.decision_reason,
    }
    answer(
        data, [f"{draft.id}  {draft.status.value}  version {draft.version}  by {draft.author}", *_lines(data, terms)]
    )


def _show_approved(approved: Approved) -> None:
    standing = approved.standing(call().app().now())
    data: dict[str, Any] = {
        "id": approved.id,
        "status": standing,
        "draft_id": approved.draft_id,
        "digest": approved.digest,
        "approved_by": approved.approved_by,
        "approved_at": to_text(approved.approved_ms),
        "expires_at": to_text(approved.expires_ms) if approved.expires_ms is not None else None,
        "revoked_by": approved.revoked_by,
        "revoke_reason": approved.revoke_reason,
        "prompt": approved.prompt.body if approved.prompt.body is not None else "erased",
        "content": approved.content.body if approved.content else None,
        "context": json.loads(approved.context.body) if approved.context.body is not None else "erased",
        "terms": approved.terms,
        "attestation": approved.attestation,
    }
    head = f"{approved.id}  {standing}  approved by {approved.approved_by} at {data['approved_at']}"
    answer(data, [head, *_lines(data, approved.terms)])


def _lines(data: Mapping[str, Any], terms: JsonObject) -> list[str]:
    """Say what will run, in the order in which a reviewer asks."""
    command = cast("list[str] | None", terms["command"])
    lines = _titled("prompt", str(data["prompt"]))
    if data.get("content"):
        lines += _titled("content", str(data["content"]))
    if data.get("context"):
        lines.append(f"  context     {json.dumps(data['context'], ensure_ascii=False)}")
    lines += _titled("agent", str(terms["agent"])) if terms.get("agent") else []
    lines += [
        f"  command     {shlex.join(command) if command is not None else 'none: waits for an external session'}",
        f"  repository  {terms['repository'] or 'none'}",
        f"  base        {terms['base_commit'] or 'none'}",
    ]
    lines += [f"  check       {shlex.join(check)}" for check in cast("list[list[str]]", terms["checks"])]
    lines += [
        f"  network     {'yes' if terms['network'] else 'no'}",
        f"  environment {', '.join(cast('list[str]', terms['environment'])) or 'nothing beyond the usual'}",
        f"  limits      {', '.join(f'{k}={v}' for k, v in sorted(cast('dict[str, int]', terms['limits']).items()))}",
    ]
    if terms.get("needs"):
        lines.append(f"  needs       {' '.join(cast('list[str]', terms['needs']))}")
    if terms.get("rung"):
        lines.append(f"  rung        {terms['rung']}")
    if data.get("expires_at"):
        lines.append(f"  expires     {data['expires_at']}")
    return [*lines, f"  digest      {data['digest']}"]


def _titled(title: str, text: str) -> list[str]:
    first, *rest = text.splitlines() or [""]
    return [f"  {title:12}{first}", *(f"{'':14}{line}" for line in rest)]
