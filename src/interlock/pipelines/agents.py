"""The agents of the three roles. They are built in and deterministic: the same workspace makes them do the same.

`ACTIONS` is all that they can. An action looks at files of the workspace through `Tools`, which notes each use; it
writes nothing but what its job declares. What it says at the end is what its role's checkpoint is signed with.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, cast

from interlock.kernel.canonical import Json, JsonObject, digest
from interlock.kernel.errors import InterlockError
from interlock.pipelines.artefacts import opened, put, recorded
from interlock.pipelines.documents import show_artefact, show_artefacts
from interlock.pipelines.errors import ActionUnknown, ArtefactTooLarge, RoleUnknown, TaskFailed
from interlock.pipelines.events import TaskDispatched
from interlock.pipelines.models import Artefact, Definition, Job, Pipeline, Status
from interlock.pipelines.report import REPORT_PATH, Row

HEAL_REPORT: Final = "build_output/gateway-self-heal.json"
REVIEW: Final = "build_output/planner_review.json"
TELEMETRY_KEYS: Final = ("requests_total", "rejected_policy", "rejected_auth", "rejected_rate", "events")
_INPUTS: Final = ("agents/data/agent_roles.json", "services/gateway/policy.json", "storage/db/README.md")
_MOST_BYTES: Final = 16 * 2**20
_MOST_INPUTS: Final = 40
_MOST_FINDINGS: Final = 40
_MOST_TEXT: Final = 300


class Deploy(Protocol):
    """Makes a deployment and carries it out; returns its id."""

    def __call__(self, *, name: str, environment: str, version: str, pipeline_id: str) -> str:
        """Raise an `InterlockError` where it fails."""
        ...


Reported = Callable[[Mapping[str, Any], Artefact], None]
"""Takes a self-heal report, and the file that it was read from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What an agent gets to know."""

    root: Path
    pipeline: Pipeline
    """As it is when the action begins."""
    definition: Definition
    job: Job
    agent_id: str
    report_rows: Callable[[], Sequence[Row]]
    """Brings the report up to date, and returns this run's rows in it that are also in the log."""
    heal: Callable[[Path], object] | None = None
    """Looks over the workspace and writes the report of that to a path."""
    reported: Reported | None = None
    """Signs, in the agent's name, for a self-heal report that it reads, and tells of it."""
    deploy: Deploy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What an agent did."""

    summary: str
    """One sentence, not blank."""
    output: JsonObject
    inputs: tuple[Artefact, ...] = ()
    """What it looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """An action that was carried out, or failed."""

    event: TaskDispatched
    output: Output | None
    error: str | None
    """Why it failed; None where it did not."""


@dataclass(slots=True)
class Tools:
    """What an agent can do, and a receipt for each time it does."""

    context: Context
    receipts: list[JsonObject] = field(default_factory=list[JsonObject])
    inputs: list[Artefact] = field(default_factory=list[Artefact])

    def use(
        self,
        name: str,
        capability: str,
        parameters: JsonObject,
        deed: Callable[[], JsonObject],
        *,
        optional: bool = False,
    ) -> JsonObject | None:
        """Do it, and note how it went; raises `TaskFailed` where it did not work, unless that is `optional`."""
        requirement: JsonObject = {
            "name": name,
            "capability": capability,
            "optional": optional,
            "parameters": parameters,
        }
        try:
            output = deed()
        except (InterlockError, OSError, ValueError, RecursionError) as error:
            told = _sentence(error)
            status = "skipped" if optional else "failed"
            self.receipts.append({"requirement": requirement, "status": status, "output": None, "error": told})
            if optional:
                return None
            raise TaskFailed(told) from None
        self.receipts.append({"requirement": requirement, "status": "succeeded", "output": output, "error": None})
        return output

    def look(self, path: str, *, optional: bool = False) -> Artefact | None:
        """Look at a file; None only where it is `optional` and not there."""
        seen: list[Artefact] = []

        def deed() -> JsonObject:
            data = _bytes(self.context.root, path)
            seen.append(Artefact(path=path, sha256=hashlib.sha256(data).hexdigest(), size=len(data)))
            return {"sha256": seen[0].sha256, "size": seen[0].size}

        self.use("file.look", "workspace.read", {"path": path}, deed, optional=optional)
        self.inputs += [each for each in seen if each not in self.inputs]
        return seen[0] if seen else None

    def read(self, path: str) -> tuple[Artefact, Mapping[str, Any]]:
        """Read a file that holds one JSON object."""
        seen: list[tuple[Artefact, Mapping[str, Any]]] = []

        def deed() -> JsonObject:
            data = _bytes(self.context.root, path)
            found = Artefact(path=path, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
            seen.append((found, _object(path, data)))
            return {"sha256": found.sha256, "size": found.size}

        self.use("file.read", "workspace.read", {"path": path}, deed)
        artefact, document = seen[0]
        self.inputs += [artefact] if artefact not in self.inputs else []
        return artefact, document

    def write(self, path: str, document: JsonObject) -> None:
        """Write a declared artefact."""
        data = json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"

        def deed() -> JsonObject:
            if path not in self.context.job.artefacts:
                raise TaskFailed(f"{path} is no artefact of {self.context.job.id}, so it is not written")
            put(self.context.root, path, [data])
            return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}

        self.use("file.write", "workspace.write", {"path": path}, deed)


Action = Callable[[Context, Tools], Output]


def check_action(role: str, action: str) -> None:
    """Raise `RoleUnknown` or `ActionUnknown` unless the role's agent can do that."""
    if role not in ACTIONS:
        raise RoleUnknown(f"role::{role} has no built-in agent; there are {', '.join(sorted(ACTIONS))}")
    if action not in ACTIONS[role]:
        known = ", ".join(sorted(ACTIONS[role]))
        raise ActionUnknown(f"the agent of role::{role} can not {action[:100]!a}; it knows {known}")


def dispatch(context: Context) -> Dispatched:
    """Let the agent of the job's role carry out the job's action. Raises only what `check_action` raises."""
    role, name = context.job.role or "", context.job.action or ""
    check_action(role, name)
    tools = Tools(context)
    output: Output | None = None
    error: str | None = None
    try:
        output = ACTIONS[role][name](context, tools)
    except (InterlockError, OSError, ValueError) as failed:
        error = _sentence(failed)
    told: JsonObject = {"status": "succeeded" if output else "failed", "summary": output.summary if output else error}
    event = TaskDispatched(
        subject=context.pipeline.id,
        workflow_id=context.definition.name,
        stage_id=context.job.stage,
        agent=context.agent_id,
        agent_name=f"role::{role}",
        action=name,
        tool_receipts=tools.receipts,
        output={**told, "job": context.job.id, "result": output.output if output else None},
    )
    return Dispatched(event=event, output=output, error=error)


# --- planner ----------------------------------------------------------------------------------------------------------


def _gather_context(context: Context, tools: Tools) -> Output:
    """List what the run starts from; with the parameter `review`, review a self-heal report as well."""
    wanted = _texts(context.job, "inputs")
    found = [tools.look(path, optional=not wanted) for path in (wanted or (context.definition.path, *_INPUTS))]
    inputs = [each for each in found if each is not None]
    reviewed = _text(context.job, "review")
    if reviewed is not None:
        return _review(context, tools, reviewed)
    listed = show_artefacts(inputs)
    for path in context.job.artefacts[:1]:
        tools.write(path, {**_heading(context), "inputs": listed})
    return Output(
        summary=f"the run starts from {counted(len(inputs), 'input')}, {digest(listed)}",
        output={"inputs": len(inputs), "digest": digest(listed)},
        inputs=tuple(tools.inputs),
    )


def _run_self_heal(context: Context, tools: Tools) -> Output:
    """See that a report of the workspace's health is there, made by the job's commands or here, and review it."""
    path = _text(context.job, "output") or _declared(context.job, Path(HEAL_REPORT).name) or HEAL_REPORT
    heal = context.heal
    if not context.job.lines:
        if heal is None:
            raise TaskFailed("nothing that looks over the workspace is plugged in, and the job has no commands")

        def deed() -> JsonObject:
            heal(context.root / path)
            return {"report": path}

        tools.use("self_heal.run", "workspace.look", {"output": path}, deed)
    return _review(context, tools, path)


def _review(context: Context, tools: Tools, path: str) -> Output:
    """Judge a self-heal report and the telemetry that it names; anything but a healthy workspace is a stop."""
    artefact, report = tools.read(path)
    if context.reported is not None:
        context.reported(report, artefact)
    findings = _unhealthy(report)
    telemetry = str(report.get("telemetry", ""))
    measured = tools.look(telemetry, optional=True) if telemetry else None
    if measured is None:
        findings.append(f"its telemetry {telemetry!a} is not there")
    elif measured.sha256 != _hex(report.get("telemetry_sha256")):
        findings.append(f"its telemetry {telemetry} is not what the report was made with")
    decision = "stop" if findings else "proceed"
    written = _declared(context.job, Path(REVIEW).name)
    if written is None and _text(context.job, "review") is not None:
        written = context.job.artefacts[0] if context.job.artefacts else REVIEW
    if written is not None:
        document: JsonObject = {
            **_heading(context),
            "decision": decision,
            "reviewed": show_artefacts([artefact, *([measured] if measured else [])]),
            "findings": findings[:_MOST_FINDINGS],
        }
        tools.write(written, document)
    if findings:
        raise TaskFailed(f"{path} does not let this go on: {'; '.join(findings[:5])}"[: _MOST_TEXT * 4])
    return Output(
        summary=f"{path} ({artefact.sha256[:12]}) reviewed: the workspace is healthy, its telemetry is as reported",
        output={"decision": decision, "report": show_artefact(artefact)},
        inputs=tuple(tools.inputs),
    )


def _unhealthy(report: Mapping[str, Any]) -> list[str]:
    findings = [] if report.get("status") == "ok" else [f"its status is {str(report.get('status'))[:50]!a}"]
    checks = report.get("checks")
    for each in cast("list[Any]", checks) if isinstance(checks, list) else []:
        if isinstance(each, Mapping):
            check = cast("Mapping[str, Any]", each)
            if check.get("severity") == "attention":
                findings.append(f"check {str(check.get('name'))[:100]!a} asks for attention")
    return findings


# --- operator ---------------------------------------------------------------------------------------------------------


def _deploy_updates(context: Context, tools: Tools) -> Output:
    """Release what the run has made: through a declared deployment where the parameter `deployment` names one."""
    made = sorted(recorded(context.pipeline).values(), key=lambda each: each.path)
    listed = show_artefacts(made)
    name = _text(context.job, "deployment")
    if name is None:
        return Output(
            summary=f"released {counted(len(made), 'artefact')} of the run, {digest(listed)}",
            output={"artefacts": len(made), "digest": digest(listed)},
            inputs=tuple(made[:_MOST_INPUTS]),
        )
    version = _text(context.job, "version") or context.pipeline.commit_sha[:12] or context.pipeline.id
    environment = _text(context.job, "environment") or "development"
    asked: JsonObject = {"deployment": name, "environment": environment, "version": version}
    deploy = context.deploy

    def deed() -> JsonObject:
        if deploy is None:
            raise TaskFailed("no deployments are plugged in here")
        made_id = deploy(name=name, environment=environment, version=version, pipeline_id=context.pipeline.id)
        return {"deployment_id": made_id}

    done = tools.use("deployment.create", "deployments.write", asked, deed) or {}
    return Output(
        summary=f"{version} is on its way into {environment} as {done.get('deployment_id')}",
        output={**asked, **done, "artefacts": len(made), "digest": digest(listed)},
        inputs=tuple(made[:_MOST_INPUTS]),
    )


# --- verifier ---------------------------------------------------------------------------------------------------------


def _audit_deployment(context: Context, tools: Tools) -> Output:
    """See that report, telemetry and self-heal report of this run belong together, and that nothing of it failed."""
    failed = [job.id for job in context.pipeline.jobs if job.status is Status.FAILED]
    if failed:
        raise TaskFailed(f"{failed[0]} of this run has failed")
    rows = _released(context, tools)
    path = _text(context.job, "telemetry")
    if path is None:
        raise TaskFailed("the parameter telemetry is missing: it names the file of the gateway's metrics")
    measured, metrics = tools.read(path)
    missing = [key for key in TELEMETRY_KEYS if key not in metrics]
    if missing:
        raise TaskFailed(f"the telemetry {path} has no {missing[0]}")
    report, told = tools.read(_text(context.job, "report") or HEAL_REPORT)
    if _hex(told.get("telemetry_sha256")) != measured.sha256:
        raise TaskFailed(f"the telemetry {path} is not what {report.path} was made with")
    if told.get("status") != "ok":
        raise TaskFailed(f"{report.path} says {str(told.get('status'))[:50]!a}, not ok")
    seen = tools.look(REPORT_PATH)
    return Output(
        summary=f"the report has {counted(rows, 'row')} of this run; the telemetry {measured.sha256[:12]} is as told",
        output={
            "rows": rows,
            "telemetry": show_artefact(measured),
            "self_heal_report": show_artefact(report),
            "report": show_artefact(seen) if seen else None,
        },
        inputs=tuple(tools.inputs),
    )


def _released(context: Context, tools: Tools) -> int:
    """Return how many rows of this run say that another role did well; what the verifier says of itself is none."""

    def deed() -> JsonObject:
        rows = context.report_rows()
        done = [each for each in rows if each.agent_role != context.job.role and each.status == "succeeded"]
        return {"rows": len(rows), "succeeded": len(done)}

    counted = tools.use("report.rows", "workspace.read", {"path": REPORT_PATH}, deed) or {}
    found = counted["succeeded"]
    if not isinstance(found, int) or found < 1:
        raise TaskFailed(f"{REPORT_PATH} has no row of this run that says that something was released")
    return found


ACTIONS: Final[Mapping[str, Mapping[str, Action]]] = {
    "planner": {"gather_context": _gather_context, "run_self_heal": _run_self_heal},
    "operator": {"deploy_updates": _deploy_updates},
    "verifier": {"audit_deployment": _audit_deployment},
}


# --- words ------------------------------------------------------------------------------------------------------------


def _heading(context: Context) -> dict[str, Json]:
    return {
        "schema_version": 1,
        "pipeline_id": context.pipeline.id,
        "pipeline": context.pipeline.name,
        "job": context.job.id,
        "role": context.job.role,
        "agent_id": context.agent_id,
    }


def _declared(job: Job, name: str) -> str | None:
    return next((path for path in job.artefacts if Path(path).name == name), None)


def _text(job: Job, name: str) -> str | None:
    value = job.parameters.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise TaskFailed(f"the parameter {name} of {job.id} has to be a text")
    return value


def _texts(job: Job, name: str) -> tuple[str, ...]:
    value = job.parameters.get(name, ())
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(each, str) for each in value):
        raise TaskFailed(f"the parameter {name} of {job.id} has to be a list of paths")
    if len(value) > _MOST_INPUTS:
        raise TaskFailed(f"the parameter {name} of {job.id} names more than {_MOST_INPUTS} paths")
    return tuple(str(each) for each in value)


def _bytes(root: Path, path: str) -> bytes:
    with opened(root, path) as descriptor:
        if os.fstat(descriptor).st_size > _MOST_BYTES:
            raise ArtefactTooLarge(f"{path} is larger than {_MOST_BYTES} bytes")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read(_MOST_BYTES)


def _object(path: str, data: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise TaskFailed(f"{path} is no JSON") from None
    if not isinstance(found, dict):
        raise TaskFailed(f"{path} is no JSON object")
    return cast("Mapping[str, Any]", found)


def counted(number: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _hex(value: object) -> str:
    return value.removeprefix("sha256:") if isinstance(value, str) else ""


def _sentence(error: Exception) -> str:
    if isinstance(error, InterlockError):
        return error.message[: _MOST_TEXT * 4]
    return f"{type(error).__name__}: {error}"[:_MOST_TEXT]
