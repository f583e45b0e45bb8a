"""Codes that the code says without a sentence of its own, in words; `found()` reads them out of the code.

What is said here and in no module, and the other way round, fails in tests/docs/test_references.py.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

SOURCE: Final = Path(__file__).resolve().parents[3] / "src" / "interlock"
_CODE: Final = re.compile(r"[a-z]+(?:_[a-z]+)*\Z")
_BEGINNING: Final = re.compile(r"[a-z]+(?:_[a-z]+)*(?:_|: )\Z")


class Subject(NamedTuple):
    """The codes of some modules."""

    title: str
    about: str
    modules: Sequence[str]
    """Paths below src/interlock, as patterns."""
    words: Mapping[str, str]
    not_reasons: frozenset[str] = frozenset()
    """What looks like a code of these modules and is something else."""
    constants: bool = True
    """Whether constants of these modules are codes."""


SUBJECTS: Final = (
    Subject(
        "Why an item of the queue waits, or runs",
        "`interlock queue explain`, `GET /ops/queue/items/{item_id}/explain`. The first of them decides.",
        ("queue/explain.py",),
        {
            "waits_for_approval": "It was replanned: its old run never runs again; a new draft makes a new one.",
            "waits_for_ci": "Its work is done, and it waits for its CI to report on exactly its result.",
            "queue_paused": "Somebody paused the queue; it says who, why and until when.",
            "not_before": "It was retried or snoozed, and its time has not come.",
            "promotion_due": "Its time has come; the next look of a worker lets it begin.",
            "concurrency_limit": "As many items with its concurrency key are under way as may be.",
            "limit_repository": "As many items of its repository are under way as may be.",
            "limit_agent": "As many items of its agent are under way as may be.",
            "limit_node": "As many items are under way on a node as may be there.",
            "needs": "Only who has what it needs takes it; it says how many live nodes do.",
            "needs_unmet": "No live node has what it needs.",
            "next": "It is the next; it waits for somebody to claim it.",
            "behind_others": "Others go first: P0 before P1 before P2, then the older.",
            "aged": "It has waited long, and counts as a higher priority than the one that was given.",
            "claimed": "Somebody holds it.",
            "no_lease": "Its owner took no lease; it is given up when it is stale.",
            "lease_live": "Its lease lasts.",
            "lease_expired": "Its lease is over; the rescuer or `queue retry` makes it PENDING.",
            "blocked": "Somebody blocked it; its last note says why.",
            "attempts_exhausted": "It was tried as often as it may be; `queue replan` opens it again.",
            "failed": "It failed; its last error says why.",
            "done": "It is completed; only `queue replan` opens it again.",
        },
    ),
    Subject(
        "What an agent's processes ended by, and how far they were held",
        "`ended_by` of a run's steps and checks, and the notes of their containment.",
        ("runs/containment/*.py",),
        {
            "exited": "The agent ended by itself.",
            "wall_clock": "It took longer than it may, and was ended.",
            "stopped": "It was asked to stop, and ended or was ended.",
            "control_closed": "Its worker is gone; the supervisor ended everything.",
            "supervisor_lost": "Its supervisor is gone, so how it ended is not known; everything of it was ended.",
            "process_group_only": "Without namespaces: its process group and its marked processes are held.",
            "paths_not_enforced": "Without namespaces: hidden and read-only folders are not enforced.",
            "max_processes_not_enforced": "The machine can not limit how many processes the agent has.",
            "overlay_unavailable": "The machine has no overlay; the repository is shown read-only instead.",
            "proc_not_private": "The agent sees other processes in /proc; it can not touch them.",
        },
        frozenset({"supervisor_failed"}),  # an error
        constants=False,
    ),
    Subject(
        "What a run's result left out",
        "`left_out` of the collect step: what the agent left in the worktree that is no part of the result.",
        ("runs/repositories/collect.py",),
        {
            "nested_repository": "A repository inside the worktree.",
            "ignored": "A .gitignore of the worktree ignores it.",
            "unreadable": "It can not be read.",
            "special_file": "A pipe, a socket or a device.",
            "git_file_changed": "The worktree's own `.git` is not what it was, which has no effect.",
        },
    ),
    Subject(
        "Why a provider wrote nothing",
        "`reason` of a failed call, of `interlock provider check` and of a draft in error.",
        ("providers/**/*.py", "remote/providers.py"),
        {
            "ok": "It answers, and knows the model.",
            "model_unknown": "It answers, and does not know the model that is configured.",
            "slow": "It answers late, or had not answered when its time was over.",
            "busy": "As many calls are under way as may be.",
            "cancelled": "Whoever asked has gone.",
            "key_missing": "The variable or the file of the key is not there.",
            "key_malformed": "What should be the key is none.",
            "key_refused": "The provider does not take the key.",
            "rate_limited": "The provider asks to come back later.",
            "refused": "The model refused to answer.",
            "malformed": "The answer is not what the protocol has, or holds no text.",
            "too_large": "The answer is larger than is taken.",
            "error": "The provider answered with an error of its own.",
            "status_": "`status_` and the HTTP status that the provider answered with.",
            "redirect": "The provider redirects, which is not followed.",
            "misdirected": "The request would have left the provider's own address.",
            "address_forbidden": "Its address is one that may not be asked, such as a machine's metadata service.",
            "name_unknown": "Its host name is not known.",
            "offline": "It can not be reached.",
            "broken_off": "It broke its answer off, or speaks no HTTP.",
            "failed": "It did not work; the server's answer says no more.",
        },
        constants=False,
    ),
    Subject(
        "Why an escalation was not sent, or a sink did not take it",
        "`reasonCode` in the files of dispatch, `reason` of a delivery.",
        ("alerts/**/*.py",),
        {
            "severity_below_min": "Its severity is below what its route or the default asks for.",
            "no_dispatchable_sinks": "No sink of its route is there and switched on.",
            "silenced": "Somebody silenced it.",
            "deduplicated": "The same was told already, and it is too early to tell it again.",
            "route_resolution_failed": "Where it should go could not be found out: the configuration is wrong, or the "
            "resolver did not run.",
            "invalid_route_resolution": "The resolver printed something else than a resolution.",
            "invalid_escalation_json": "The row is no JSON object.",
            "missing_escalation_category": "The row has no category.",
            "partial_dispatch_failure": "Some of its sinks took it, and some did not.",
            "dispatch_failed": "None of its sinks took it.",
            "alert_dispatch_failed": "The dispatch of a loop failed as a whole; nothing is lost, the next one goes on.",
            "http_error": "The sink answered with another status than 2xx.",
            "request_failed": "The sink could not be reached, or gave no whole answer in time.",
            "missing_secret": "A variable that the sink needs is not set.",
            "unsupported_sink_type": "There is no such type of sink, or what it needs is not installed.",
            "invalid_sink_result": "The sink said nothing that could be understood.",
            "sink_dispatch_failed": "The sink did not take it, for a reason of its own.",
        },
        frozenset({"alert_dispatch", "alerter_heartbeat", "event", "log"}),
    ),
    Subject(
        "Why a pipeline's job, its run or a deployment ended as it did",
        "`reason` in `pipeline show`, `deployment show` and their events. Beside these, the code of any "
        "[error](errors.md) of a checkpoint, a definition or a step stands there.",
        (
            "pipelines/running.py",
            "pipelines/jobs.py",
            "pipelines/budget.py",
            "pipelines/deployments.py",
            "pipelines/service.py",
        ),
        {
            "command_failed": "A command ended with another code than 0, or by a signal.",
            "job_failed": "A command could not be run.",
            "task_failed": "The agent of its role could not carry its task out.",
            "limit_wall_clock": "It took longer than its definition allows.",
            "limit_output": "It printed more than its definition allows.",
            "protected_path_made": "It made a path that is not a job's to make.",
            "artefact_changed": "An artefact was changed while it was looked at.",
            "secret_in_artefact": "An artefact holds a secret.",
            "definition_changed": "The definition is another one than the one that was accepted.",
            "budget": "It was dropped to keep its stage's budget.",
            "budget_escalated": "Its stage would take more than its budget, and nothing more can be dropped.",
            "runner_failed": "What carries the pipeline out failed.",
            "stopped": "It was stopped with its run.",
            "cancelled": "Somebody cancelled the run.",
            "interrupted": "Whoever carried it out was stopped by a signal; its holder takes it up again.",
            "egress_not_enforced": "A note: without namespaces its network could not be cut off.",
            "paths_not_enforced": "A note: without namespaces the paths that it may write to are not enforced.",
            "no_pipeline": "The deployment was made by no run of a pipeline, so nobody has verified it.",
            "health_failed": "A health probe failed.",
            "step_failed": "A declared step of the deployment failed.",
            "rolling_back": "Somebody asked for the way back, and it is under way.",
            "rollback_incomplete": "The way back could not be finished.",
        },
        frozenset({"deploy", "pipeline"}),
    ),
    Subject(
        "Loops: by what an intent was seen to take effect",
        "`reason` of a confirmation.",
        ("loops/confirmation.py",),
        {
            "inactive_not_running": "A cancelled loop is not active, and its state is not `running`.",
            "completion_observed": "An approved loop is complete.",
            "approval_recorded": "The runtime has recorded the approval.",
            "rejection_observed": "The runtime has recorded the rejection.",
            "timeout": "Nothing was seen of it in time.",
        },
    ),
    Subject(
        "What the database's history says of an item",
        "`reason` of rows of `queue_events`, which tools of seed 1 read.",
        ("queue/history.py",),
        {
            "operator_retry": "Somebody asked for another attempt.",
            "failed_or_timeout": "It was taken from a holder that failed or fell silent.",
        },
        frozenset({"retried", "reason"}),
    ),
    Subject(
        "Why a key does not sign any more",
        "`reason` in `interlock evidence keys list`, unless somebody gave one.",
        ("evidence/keyring.py",),
        {"retired": "It was retired: what it signed stands.", "rotated": "It has a successor."},
        frozenset({"log", "service", "next"}),
    ),
)

SERVICE: Final = {
    "unauthorized": "No token, or not the one that is asked for.",
    "invalid_request": "The request can not be read.",
    "invalid_json": "The body is no JSON.",
    "length_required": "A body needs its Content-Length.",
    "too_large": "The body is larger than is taken.",
    "not_found": "There is no such route.",
    "unsupported_method": "The method is not answered here.",
    "overloaded": "Too many connections.",
    "runtime_error": "The loop's runtime failed; `reason` says more.",
    "internal_error": "This should not have happened; the log says more.",
}
"""What the loop service answers beside the errors of the rooms."""
HTTP: Final = {
    "bad_request": "This is not HTTP.",
    "not_found": "There is no such route.",
    "method_not_allowed": "The route does not take this method.",
    "body_too_large": "The body is larger than 2 MiB.",
    "http_error": "HTTP itself refuses it.",
    "not_valid": "A parameter or the body is not what the route takes; `errors` says where.",
    "too_many_requests": "Too many requests; `Retry-After` says how long to wait.",
    "switched_off": "The OPS routes are switched off (`server.ops_enabled`).",
    "failed": "This should not have happened; the server's log says more under the correlation id.",
}
"""What the server answers beside the errors of the rooms."""

_NAMED: Final = frozenset({"reason", "code", "cause", "reason_code", "refused"})
_KEYS: Final = frozenset({"reason", "reasonCode"})
_POSITIONAL: Final = {
    "_Failed": 0,
    "_stop": 0,
    "_fail": 0,
    "_block": 0,
    "fail": 0,
    "_becomes": 1,
    "_ended": 0,
}


def found(subject: Subject) -> frozenset[str]:
    """Return the codes that the subject's modules say."""
    codes = {
        code
        for pattern in subject.modules
        for path in SOURCE.glob(pattern)
        for code in said_in(path, constants=subject.constants)
    }
    return frozenset(codes - subject.not_reasons)


def unsaid(subject: Subject) -> frozenset[str]:
    """Return the codes that stand here, and of which no module of the subject holds as much as the beginning."""
    texts = {
        each.value
        for pattern in subject.modules
        for path in SOURCE.glob(pattern)
        for each in ast.walk(parsed(path))
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    }
    begun = {text for text in texts if text.endswith("_")}
    return frozenset(
        word
        for word in subject.words
        if word not in texts
        and not any(text.startswith(f"{word}: ") for text in texts)
        and not any(word.startswith(text) for text in begun if len(text) > 1)
    )


def said_in(path: Path, *, constants: bool = False) -> frozenset[str]:
    """Return the codes that a module gives as a reason, with the beginnings of those that it puts together."""
    notes = path.parent.name == "containment"  # where a list of notes is filled
    return frozenset(_said(parsed(path), {**_POSITIONAL, **({"append": 0} if notes else {})}, constants=constants))


def _said(tree: ast.Module, places: Mapping[str, int], *, constants: bool) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in _NAMED:
            yield from _texts(node.value)
        elif isinstance(node, ast.Call):
            yield from _positional(node, places)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in _KEYS:
                    yield from _texts(value)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and constants and node in tree.body:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if (
                isinstance(target, ast.Name)
                and target.id.lstrip("_").isupper()
                and isinstance(node.value, ast.Constant)
            ):
                yield from _texts(node.value)


@cache
def parsed(path: Path) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def _positional(call: ast.Call, places: Mapping[str, int]) -> Iterator[str]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    place = places.get(name)
    if place is not None and len(call.args) > place:
        yield from _texts(call.args[place])


def _texts(node: ast.expr) -> Iterator[str]:
    """Return what an expression may say: a text, the beginning of one, or either side of a choice."""
    match node:
        case ast.Constant(value=str(text)) if _CODE.match(text):
            yield text
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]) if _BEGINNING.match(text):
            yield text.rstrip(": ")
        case ast.IfExp(body=body, orelse=orelse):
            yield from (*_texts(body), *_texts(orelse))
        case ast.BoolOp(values=values):
            for each in values:
                yield from _texts(each)
        case _:
            pass
