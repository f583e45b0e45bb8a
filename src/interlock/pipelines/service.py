"""The verbs over definitions and runs of pipelines. Carrying one out is `running`, which calls these.

Every verb that changes a run folds its events and writes them with it, in one transaction, over the revision that it
saw and under the fence that its caller holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from interlock.access.models import Actor, Principal, PrincipalKind, require_human
from interlock.evidence.content import Sealed, named_envelope
from interlock.evidence.predicates import CHECKPOINT, DEPLOYMENT_OUTCOME, PIPELINE_ACCEPTANCE, ROLE_CHANGE
from interlock.kernel.canonical import Json, JsonObject, digest
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.kernel.events import Event
from interlock.kernel.ids import UlidSource, checked
from interlock.pipelines.checkpoints import Gate, artefact_of, predicate
from interlock.pipelines.declared import Looked
from interlock.pipelines.documents import show_artefact, show_artefacts
from interlock.pipelines.errors import (
    AssetsMissing,
    CheckpointMissing,
    CheckpointRefusedError,
    CheckpointSummaryBlank,
    CheckpointWrongRole,
    DefinitionNotAccepted,
    DigestChanged,
    PipelineMissing,
    PipelineNotMovable,
    PipelineTaken,
    ReportRowMissing,
    VariableSecret,
)
from interlock.pipelines.events import (
    CheckpointPassed,
    CheckpointRefused,
    DefinitionAccepted,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionStarted,
    JobEnded,
    JobStarted,
    OutcomeRecorded,
    PipelineCreated,
    PipelineEnded,
    PipelineStatusChanged,
    PipelineTriggered,
    RoleChanged,
    StageChanged,
)
from interlock.pipelines.fold import FoldBroken, after_pipeline, changes
from interlock.pipelines.models import (
    PIPELINE_MOVES,
    Acceptance,
    Artefact,
    Checkpoint,
    Definition,
    LogLine,
    Pipeline,
    Standing,
    Status,
)
from interlock.pipelines.options import PipelineOptions
from interlock.pipelines.ports import AgentKey, Attest, Desk, Look, Open, Publish, Signed
from interlock.pipelines.roles import RoleDirectory

PREFIX: Final = "pipeline"


class Declares(Protocol):
    """Reads what the workspace's files declare; `declared.Declared` is it."""

    def names(self) -> Sequence[str]:
        """Return the names of every definition."""
        ...

    def load(self, name: str) -> Definition:
        """Return a definition; raises `DefinitionMissing`, `DefinitionInvalid` or `RoleFileInvalid`."""
        ...

    def look(self, name: str, accepted: Acceptance | None) -> Looked:
        """Read a definition once, and hold it, with all that it names, against what was accepted."""
        ...

    def roles(self) -> RoleDirectory:
        """Return the role directory; raises `RoleFileInvalid`."""
        ...

    def assets_missing(self) -> Sequence[str]:
        """Return what has to be there before a pipeline starts, and is not."""
        ...


@dataclass(frozen=True, slots=True)
class Hold:
    """That somebody carries a run out."""

    pipeline_id: str
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a job ended."""

    status: Status
    reason: str | None = None
    message: str | None = None
    exit_code: int | None = None
    containment: str | None = None
    notes: tuple[str, ...] = ()
    artefacts: tuple[Artefact, ...] = ()
    duration_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A row of the report of deployment outcomes."""

    subject: str
    """The run or the deployment."""
    workflow: str
    stage: str
    role: str
    agent_id: str
    action: str
    status: str
    notes: JsonObject


@dataclass(frozen=True, kw_only=True)
class Pipelines:
    """The pipelines of one workspace."""

    root: Path
    open: Open
    look: Look
    new_ulid: UlidSource
    declared: Declares
    gate: Gate
    attest: Attest
    agent_key: AgentKey
    publish: Publish
    report_rows: Callable[[str], int]
    """Counts the rows of a run in the report."""
    commit_of: Callable[[], str]
    """Names the workspace's commit; empty where it is no repository."""
    clock: Clock
    options: PipelineOptions

    # --- definitions --------------------------------------------------------------------------------------------------

    def names(self) -> Sequence[str]:
        """Return the names of every definition."""
        return self.declared.names()

    def definition(self, name: str) -> Definition:
        """Return a definition as it is now; raises `DefinitionMissing` or what is wrong with it."""
        return self.declared.load(name)

    def acceptance(self, name: str) -> Acceptance | None:
        """Return what a human accepted last under a name."""
        with self.look() as desk:
            return desk.acceptances.get(name)

    def standing(self, name: str) -> Standing:
        """Say whether a definition may run as it is now."""
        return self.look_at(name).standing

    def look_at(self, name: str) -> Looked:
        """Read a definition once; returns it, whether it may run, and what accepting it now would keep."""
        return self.declared.look(name, self.acceptance(name))

    def accept(self, actor: Actor, name: str, *, seen_digest: str | None = None) -> Standing:
        """Accept a definition with every command, script, probe and program that it names; only a human may.

        `seen_digest` is the digest that was looked at: anything else is refused as `DigestChanged`.
        """
        require_human(actor.principal, "accept a pipeline")
        self.keep(actor, self.look_at(name).proposed, seen_digest=seen_digest)
        return self.standing(name)

    def keep(self, actor: Actor, proposed: Acceptance, *, seen_digest: str | None = None) -> Acceptance:
        """Sign and keep an acceptance, and tell how roles changed since the log last told of them."""
        require_human(actor.principal, "accept a definition")
        if seen_digest is not None and seen_digest != proposed.digest:
            raise DigestChanged(f"{proposed.name} is {proposed.digest} by now, not {seen_digest[:80]!a}")
        _check_variables(proposed)
        self._keep_roles(actor)
        signed = self.attest(
            actor,
            predicate_type=PIPELINE_ACCEPTANCE,
            subject=proposed.name,
            digest=proposed.digest,
            predicate={
                "name": proposed.name,
                "digest": proposed.digest,
                "search_path": proposed.search_path,
                "variables": dict(proposed.variables),
                "materials": [
                    {"name": each.name, "kind": each.kind, "path": each.path, "sha256": each.sha256}
                    for each in proposed.materials
                ],
            },
        )
        with self.open(actor) as desk:
            before = desk.acceptances.get(proposed.name)
            kept = replace(
                proposed, accepted_by=str(actor.principal), accepted_ms=desk.now(), envelope=_digest_of(signed)
            )
            desk.acceptances.put(kept)
            desk.contents.put(named_envelope(signed.envelope))
            desk.emit(
                DefinitionAccepted(
                    subject=kept.name,
                    digest=kept.digest,
                    previous_digest=before.digest if before else None,
                    materials=len(kept.materials),
                    attestation=signed.attestation,
                )
            )
        return kept

    def _keep_roles(self, actor: Actor) -> None:
        """Tell of every role that is not as the log last said, and see that each role's agent has a key."""
        directory = self.declared.roles()
        with self.look() as desk:
            before = desk.acceptances.roles()
        now = {role.name: (role.agent_id, role.description) for role in directory.roles.values()}
        for name in sorted(before.keys() | now.keys()):
            if before.get(name) != now.get(name):
                self._keep_role(actor, name, before.get(name), now.get(name), directory.digest)
        for role in directory.roles.values():
            self.agent_key(actor, role.agent_id, role.name)

    def _keep_role(
        self, actor: Actor, name: str, before: tuple[str, str] | None, now: tuple[str, str] | None, role_file: str
    ) -> None:
        agent_id, description = now or (None, "")
        told: dict[str, Json] = {
            "role": name,
            "agent_id": agent_id,
            "previous_agent_id": before[0] if before else None,
            "role_file": role_file,
        }
        signed = self.attest(actor, predicate_type=ROLE_CHANGE, subject=name, digest=role_file, predicate=told)
        with self.open(actor) as desk:
            desk.acceptances.put_role(name, agent_id, description)
            desk.contents.put(named_envelope(signed.envelope))
            desk.emit(
                RoleChanged(
                    subject=name,
                    agent_id=agent_id,
                    previous_agent_id=before[0] if before else None,
                    role_file=role_file,
                    attestation=signed.attestation,
                )
            )

    # --- runs: what operators ask for ---------------------------------------------------------------------------------

    def create(self, actor: Actor, name: str, *, trigger: str = "manual") -> Pipeline:
        """Ask for a run of an accepted definition; nothing is carried out yet.

        Raises `AssetsMissing`, `DefinitionNotAccepted`, or what is wrong with the definition.
        """
        missing = self.declared.assets_missing()
        if missing:
            raise AssetsMissing(f"before a pipeline starts there have to be: {', '.join(missing)}")
        looked = self.accepted(name)
        definition = looked.definition
        now = self.clock()
        event = PipelineCreated(
            subject=f"{PREFIX}_{self.new_ulid()}",
            name=name,
            status=Status.PENDING.value,
            commit_sha=self.commit_of(),
            triggered_at=now // 1000,
            triggered_ms=now,
            triggered_by=str(actor.principal),
            auto_approved=False,
            digest=looked.standing.digest,
            stages=[{"name": each.name, "stage_type": each.type} for each in definition.stages],
            jobs=[{"id": each.id, "stage": each.stage, "role": each.role} for each in definition.jobs],
            checkpoints=[
                {"name": each.name, "role": each.role, "artefact": each.artefact} for each in definition.checkpoints
            ],
        )
        with self.open(actor) as desk:
            made = after_pipeline(None, event.kind, event.subject, event.payload())
            desk.pipelines.add(made)
            desk.emit(event)
            desk.emit(PipelineTriggered(subject=made.id, trigger=trigger))
        return made

    def accepted(self, name: str) -> Looked:
        """Read a definition that may run as it is; raises `DefinitionNotAccepted` with the reasons."""
        looked = self.look_at(name)
        standing = looked.standing
        if standing.may_run:
            return looked
        hint = f"look at it, then accept it: interlock pipeline show {name}; interlock pipeline approve {name}"
        if standing.accepted is None:
            raise DefinitionNotAccepted(f"no human has accepted {name} yet", hint=hint)
        raise DefinitionNotAccepted(f"{name} is not what was accepted: {'; '.join(standing.changes)}", hint=hint)

    def get(self, pipeline_id: str) -> Pipeline:
        """Return a run; raises `PipelineMissing`."""
        checked(pipeline_id, PREFIX)
        with self.look() as desk:
            return _found(desk, pipeline_id)

    def list(
        self, *, name: str | None = None, status: Status | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[Pipeline]:
        """List runs, newest first; those made before the one called `before`."""
        with self.look() as desk:
            return desk.pipelines.list(name=name, status=status, limit=limit, before=before)

    def log(self, pipeline_id: str, *, after: int = 0, limit: int = 1000, job: str | None = None) -> Sequence[LogLine]:
        """Return the lines of a run's log after one."""
        checked(pipeline_id, PREFIX)
        with self.look() as desk:
            _found(desk, pipeline_id)
            return desk.pipelines.lines(pipeline_id, after=after, limit=limit, job=job)

    def cancel(self, actor: Actor, pipeline_id: str, *, reason: str = "") -> Pipeline:
        """End a run as Failed, reason `cancelled`; whoever carries it out is shut out and stops."""
        checked(pipeline_id, PREFIX)
        with self.look() as desk:
            before = _found(desk, pipeline_id)
        said = f"cancelled by {actor.principal}" + (f": {reason}" if reason else "")
        return self._end(actor, before, Status.FAILED, fence=before.fence + 1, reason="cancelled", message=said)

    def refuse(self, actor: Actor, pipeline_id: str, error: InterlockError) -> None:
        """End a run that can not be begun or taken up again, for the reason that stands against it.

        Only for a run that nobody holds; it can be resumed once that is mended.
        """
        with self.look() as desk:
            before = _found(desk, pipeline_id)
        if before.status in {Status.PENDING, Status.RUNNING}:
            self._end(actor, before, Status.FAILED, fence=before.fence + 1, reason=error.code, message=error.message)

    # --- runs: what whoever carries one out does ----------------------------------------------------------------------

    def begin(self, actor: Actor, pipeline_id: str) -> tuple[Pipeline, Hold]:
        """Take a run up: a new one, a failed one, or one whose holder is gone. Who held it before is shut out."""
        checked(pipeline_id, PREFIX)
        with self.look() as desk:
            before = _found(desk, pipeline_id)
        if not PIPELINE_MOVES.allows(before.status, Status.RUNNING):
            raise PipelineNotMovable(f"{pipeline_id} is {before.status.value}; it is not carried out again")
        event = PipelineStatusChanged(
            subject=pipeline_id,
            previous_status=before.status.value,
            current_status=Status.RUNNING.value,
            fence=before.fence + 1,
            at_ms=self.clock(),
        )
        told = ExecutionStarted(subject=pipeline_id, name=before.name, fence=before.fence + 1)
        return self._write(actor, before, [event, told]), Hold(pipeline_id, before.fence + 1)

    def start_stage(self, actor: Actor, hold: Hold, stage: str) -> Pipeline:
        """Say that a stage begins."""
        return self._stage(actor, hold, stage, Status.RUNNING, None)

    def end_stage(self, actor: Actor, hold: Hold, stage: str, status: Status, duration_ms: int) -> Pipeline:
        """Say how a stage ended."""
        return self._stage(actor, hold, stage, status, duration_ms)

    def _stage(self, actor: Actor, hold: Hold, stage: str, status: Status, duration_ms: int | None) -> Pipeline:
        before = self._held(hold)
        event = StageChanged(
            subject=hold.pipeline_id,
            stage=stage,
            previous_status=before.stage(stage).status.value,
            current_status=status.value,
            duration_ms=duration_ms,
        )
        return self._write(actor, before, [event], calming=status is not Status.RUNNING)

    def start_job(self, actor: Actor, hold: Hold, job_id: str) -> Pipeline:
        """Let a job begin: its definition is still the accepted one, and every checkpoint that it requires holds.

        Raises `DefinitionNotAccepted`, or a `CheckpointRefusedError`, which is in the log by then.
        """
        before = self._held(hold)
        looked = self.accepted(before.name)
        if looked.standing.digest != before.digest:
            raise DefinitionNotAccepted(f"{before.name} was accepted anew since this run began; run it anew")
        job = looked.definition.job(job_id)
        for requirement in job.requires:
            self._require(actor, before, requirement.checkpoint, f"job {job_id}")
        event = JobStarted(
            subject=before.id,
            job=job_id,
            stage=job.stage,
            attempt=before.job(job_id).attempt + 1,
            at_ms=self.clock(),
        )
        return self._write(actor, before, [event])

    def end_job(self, actor: Actor, hold: Hold, job_id: str, ended: Ended) -> Pipeline:
        """Say how a job ended."""
        before = self._held(hold)
        event = JobEnded(
            subject=before.id,
            job=job_id,
            stage=before.job(job_id).stage,
            status=ended.status.value,
            reason=ended.reason,
            message=ended.message,
            exit_code=ended.exit_code,
            containment=ended.containment,
            notes=ended.notes,
            artefacts=show_artefacts(ended.artefacts),
            duration_ms=ended.duration_ms,
            at_ms=self.clock(),
        )
        return self._write(actor, before, [event], calming=True)

    def pass_checkpoint(
        self, hold: Hold, name: str, *, job_id: str, summary: str, inputs: Sequence[Artefact] = ()
    ) -> Checkpoint:
        """Let the agent of the checkpoint's role look at the artefact, sign what it saw, and tell.

        Raises a `CheckpointRefusedError` where the artefact is not there or empty, or `summary` says nothing.
        """
        if not summary.strip():
            raise CheckpointSummaryBlank(f"checkpoint {name} says nothing")
        before = self._held(hold)
        definition = self.declared.load(before.name)
        rule = definition.checkpoint(name)
        agent_id = definition.roles[rule.role]
        agent = Actor(principal=Principal(PrincipalKind.AGENT, agent_id))
        if rule.artefact in self.gate.growing:
            self.publish(agent)
        artefact = artefact_of(self.root, rule.artefact, name)
        now = self.clock()
        expires = now + self.options.checkpoint_seconds * 1000
        told = predicate(
            before,
            rule,
            definition.job(job_id),
            agent_id=agent_id,
            summary=summary,
            artefact=artefact,
            inputs=inputs,
            issued_ms=now,
            expires_ms=expires,
        )
        signed = self.attest(
            agent, predicate_type=CHECKPOINT, subject=artefact.path, digest=f"sha256:{artefact.sha256}", predicate=told
        )
        keyid = str(signed.attestation["keyid"])
        if self.gate.key_stands(keyid, rule.role, agent_id) is not None:
            raise CheckpointWrongRole(
                f"checkpoint {name} is not signed: {agent_id}, the {rule.role}, has no key here that counts; "
                "accepting the definition again gives it one, on the machine that has the log's key"
            )
        event = CheckpointPassed(
            subject=before.id,
            checkpoint=name,
            role=rule.role,
            agent_id=agent_id,
            keyid=keyid,
            job=job_id,
            summary=summary,
            artefact=show_artefact(artefact),
            issued_ms=now,
            expires_ms=expires,
            attestation=signed.attestation,
        )
        after = self._write(agent, before, [event], bodies=[named_envelope(signed.envelope)], calming=True)
        passed = after.passed(name)
        if passed is None:
            raise PipelineTaken(f"{before.id} was taken up by somebody else")
        return passed

    def record_outcome(self, outcome: Outcome) -> None:
        """Let a role's agent add a row to the report, signed with its key."""
        agent = Actor(principal=Principal(PrincipalKind.AGENT, outcome.agent_id))
        told: dict[str, Json] = {
            "workflow": outcome.workflow,
            "stage": outcome.stage,
            "agent_role": outcome.role,
            "agent_id": outcome.agent_id,
            "action": outcome.action,
            "status": outcome.status,
            "notes": outcome.notes,
        }
        signed = self.attest(
            agent,
            predicate_type=DEPLOYMENT_OUTCOME,
            subject=outcome.subject,
            digest=digest(told),
            predicate={**told, "role": outcome.role},
        )
        with self.open(agent, calming=True) as desk:
            desk.contents.put(named_envelope(signed.envelope))
            desk.emit(
                OutcomeRecorded(
                    subject=outcome.subject,
                    workflow=outcome.workflow,
                    stage=outcome.stage,
                    agent_role=outcome.role,
                    agent_id=outcome.agent_id,
                    action=outcome.action,
                    status=outcome.status,
                    notes=outcome.notes,
                    attestation=signed.attestation,
                )
            )

    def tell(self, actor: Actor, hold: Hold, *events: Event, bodies: Sequence[Sealed] = ()) -> Pipeline:
        """Tell what came of a run: receipts, dispatches, scans, budgets, documents."""
        return self._write(actor, self._held(hold), events, bodies=bodies, calming=True)

    def end(
        self, actor: Actor, hold: Hold, status: Status, *, reason: str | None = None, message: str | None = None
    ) -> Pipeline:
        """End a run; well only if every checkpoint that it has still holds, else a `CheckpointRefusedError`."""
        before = self._held(hold)
        if status is Status.SUCCESS:
            for rule in before.rules:
                self._require(actor, before, rule.name, "the end")
        return self._end(actor, before, status, fence=hold.fence, reason=reason, message=message)

    def _end(
        self, actor: Actor, before: Pipeline, status: Status, *, fence: int, reason: str | None, message: str | None
    ) -> Pipeline:
        if not PIPELINE_MOVES.allows(before.status, status):
            raise PipelineNotMovable(f"{before.id} is {before.status.value}; it has ended")
        event = PipelineEnded(
            subject=before.id,
            previous_status=before.status.value,
            current_status=status.value,
            fence=fence,
            reason=reason,
            message=message,
            at_ms=self.clock(),
        )
        told = (
            ExecutionCompleted(subject=before.id, name=before.name)
            if status is Status.SUCCESS
            else ExecutionFailed(subject=before.id, name=before.name, reason=reason, message=message)
        )
        return self._write(actor, before, [event, told], calming=True)

    def still_held(self, hold: Hold) -> bool:
        """Say whether a run is still the holder's; it is not once it was cancelled or taken over."""
        found = self.get(hold.pipeline_id)
        return found.fence == hold.fence and found.status is Status.RUNNING

    def check_going(self, actor: Actor, hold: Hold) -> None:
        """Raise `Frozen` while panic is on, and `PipelineTaken` where the run is not the holder's any more."""
        with self.open(actor) as desk:
            _check_fence(_found(desk, hold.pipeline_id), hold)

    def write_log(self, hold: Hold, lines: Sequence[tuple[str, str, int, str]]) -> None:
        """Append lines (job, stream, time in ms, text), redacted by whoever read them, to a run's log."""
        keeper = Actor(principal=Principal(PrincipalKind.SERVICE, "pipelines"))
        with self.open(keeper, calming=True) as desk:
            _check_fence(_found(desk, hold.pipeline_id), hold)
            desk.pipelines.add_lines(hold.pipeline_id, lines)

    # --- what promotion needs -----------------------------------------------------------------------------------------

    def check_promotion(self, actor: Actor, pipeline_id: str) -> Pipeline:
        """Return a run behind which a deployment may be promoted.

        It has not failed, its verifier's checkpoints hold, and the report has a row of it; else a
        `CheckpointRefusedError`, which is in the log by then.
        """
        pipeline = self.get(pipeline_id)
        if pipeline.status not in {Status.RUNNING, Status.SUCCESS}:
            raise CheckpointMissing(f"{pipeline_id} is {pipeline.status.value}: nothing is promoted behind it")
        verifiers = [rule.name for rule in pipeline.rules if rule.role == "verifier"]
        if not verifiers:
            raise ReportRowMissing(
                f"{pipeline.name} has no verifier's checkpoint, so nothing can be promoted behind it"
            )
        for name in verifiers:
            self._require(actor, pipeline, name, "promotion")
        if not self.report_rows(pipeline_id):
            raise ReportRowMissing(f"the report of deployment outcomes has no row of {pipeline_id}")
        return pipeline

    def _require(self, actor: Actor, pipeline: Pipeline, name: str, before: str) -> None:
        rule = next((each for each in pipeline.rules if each.name == name), None)
        if rule is not None and rule.artefact in self.gate.growing:
            self.publish(actor)
        try:
            with self.look() as desk:
                bodies = {each.envelope: desk.contents.get(each.envelope) for each in pipeline.checkpoints}
            self.gate.check(pipeline, name, body=bodies.get, now_ms=self.clock())
        except CheckpointRefusedError as error:
            with self.open(actor, calming=True) as desk:
                desk.emit(
                    CheckpointRefused(
                        subject=pipeline.id,
                        checkpoint=name,
                        role=rule.role if rule else "",
                        reason=error.code,
                        message=error.message,
                        before=before,
                    )
                )
            raise

    # --- writing ------------------------------------------------------------------------------------------------------

    def _held(self, hold: Hold) -> Pipeline:
        with self.look() as desk:
            found = _found(desk, hold.pipeline_id)
        _check_fence(found, hold)
        return found

    def _write(
        self,
        actor: Actor,
        before: Pipeline,
        events: Sequence[Event],
        *,
        bodies: Sequence[Sealed] = (),
        calming: bool = False,
    ) -> Pipeline:
        """Fold events over the run that was seen, and write both; if it moved meanwhile, over what it is by now.

        Raises `PipelineTaken` where somebody else took it up, `PipelineNotMovable` where it can not go there any more.
        """
        with self.open(actor, calming=calming) as desk:
            found = _found(desk, before.id)
            if found.fence != before.fence:
                raise PipelineTaken(f"{before.id} was taken up by somebody else, or cancelled")
            after = found
            try:
                for event in events:
                    if changes(event.kind):
                        after = after_pipeline(after, event.kind, event.subject, event.payload())
            except FoldBroken as error:
                raise PipelineNotMovable(f"{before.id}: {error}") from None
            if after is not found and not desk.pipelines.replace(after, seen_revision=found.revision):
                raise PipelineTaken(f"{before.id} moved meanwhile")
            for body in bodies:
                desk.contents.put(body)
            for event in events:
                desk.emit(event)
        return after


def _check_variables(proposed: Acceptance) -> None:
    """Refuse a variable that looks like a secret: an acceptance is signed and shown to everybody."""
    from interlock.access.redaction import redact  # noqa: PLC0415 - 36 MB that only an acceptance needs

    for name, value in proposed.variables.items():
        told = f"{name}={value}"
        if redact(told) != told:
            raise VariableSecret(f"the variable {name} of {proposed.name} looks like a secret")


def _found(desk: Desk, pipeline_id: str) -> Pipeline:
    found = desk.pipelines.get(pipeline_id)
    if found is None:
        raise PipelineMissing(f"there is no run {pipeline_id}")
    return found


def _check_fence(found: Pipeline, hold: Hold) -> None:
    if found.fence != hold.fence or found.status is not Status.RUNNING:
        raise PipelineTaken(f"{found.id} was taken up by somebody else, or cancelled")


def _digest_of(signed: Signed) -> str:
    return str(signed.attestation["digest"])
