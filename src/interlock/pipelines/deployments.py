"""Deployments: a version on its way into an environment, by the steps that an accepted definition declares.

Invariants:
- Nothing is carried out that a human did not accept: the definition, with all that it names, is held against its
  acceptance before every step.
- One deployment at a time is under way in an environment: the newest one that was not rolled back.
- A step is recorded when it has ended. What was cut off is carried out again by `resume`, or taken back by `rollback`.
- A failed step or failed health rolls back. A roll back begins by making the deployment `Failed` and ends it as
  `RolledBack`; where it could not be finished it stays `Failed`, for the reason `rollback_incomplete`.
- A version stays only behind health at that moment and a verifier's word for the run that made it.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn, Protocol

from interlock.access.models import Actor
from interlock.kernel.canonical import Json
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.kernel.events import Event
from interlock.kernel.ids import UlidSource, checked
from interlock.pipelines.declared import Named
from interlock.pipelines.deployment_definitions import (
    ENVIRONMENTS,
    DeploymentDefinition,
    deployment_names,
    read_deployment_definition,
)
from interlock.pipelines.errors import (
    CheckpointRefusedError,
    DefinitionNotAccepted,
    DeploymentBusy,
    DeploymentFailed,
    DeploymentMissing,
    DeploymentNotMovable,
    EnvironmentUnknown,
    PipelineMissing,
    PromotionBlocked,
    VersionInvalid,
)
from interlock.pipelines.events import (
    DeploymentCreated,
    DeploymentHealthFailed,
    DeploymentHealthPassed,
    DeploymentProbed,
    DeploymentPromoted,
    DeploymentPromotionBlocked,
    DeploymentRolledBack,
    DeploymentStarted,
    DeploymentStatusChanged,
    DeploymentStepped,
)
from interlock.pipelines.fold import FoldBroken, after_deployment, changes
from interlock.pipelines.jobs import (
    Errand,
    LinesEnded,
    Printed,
    Workshop,
    environment_of,
    hidden_by_tmp,
    run_lines,
)
from interlock.pipelines.models import Acceptance, Deployment, Health, Line, Pipeline, Role, Standing, Status
from interlock.pipelines.ports import Desk, Look, Open
from interlock.pipelines.probes import Finding, Probe, Prober, health_of, named
from interlock.pipelines.service import Outcome
from interlock.pipelines.strategies import (
    Change,
    Command,
    Step,
    deploying,
    filled_line,
    promoting,
    undoing,
    views,
)

PREFIX: Final = "deploy"
ROLLING_BACK: Final = "rolling_back"
ROLLBACK_INCOMPLETE: Final = "rollback_incomplete"
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}", re.ASCII)
_PAGE: Final = 200
_TOLD: Final = 1000
_LAST_LINES: Final = 5
_MOST_HISTORY: Final = 500


class DeploymentSeen(NamedTuple):
    """A deployment with what is known around it."""

    deployment: Deployment
    history: Sequence[Mapping[str, Any]]
    """What the log tells of it, as events."""
    run: Pipeline | None
    """The run of a pipeline that made it."""


class Judge(Protocol):
    """Holds what a definition names against what was accepted; `declared.Declared` is it."""

    def standing_of(self, named: Named, accepted: Acceptance | None) -> tuple[Standing, Acceptance]:
        """Say whether a definition may run, and what accepting it now would keep, still without who and when."""
        ...


class Keep(Protocol):
    """Signs and keeps an acceptance; only a human's. `service.Pipelines.keep` is it."""

    def __call__(self, actor: Actor, proposed: Acceptance, *, seen_digest: str | None = None) -> Acceptance:
        """Raises `HumanNeeded`, or `DigestChanged` where `seen_digest` is another one by now."""
        ...


@dataclass(frozen=True, kw_only=True)
class Deployments:
    """The deployments of one workspace."""

    root: Path
    locks: Path
    """A folder of the state folder."""
    open: Open
    look: Look
    new_ulid: UlidSource
    judge: Judge
    keep: Keep
    check_promotion: Callable[[Actor, str], object]
    """Raises a `CheckpointRefusedError` where nothing may be promoted behind this run."""
    record_outcome: Callable[[Outcome], None]
    operator: Callable[[], Role]
    """The role whose agent signs the rows of the report."""
    shop: Workshop
    clock: Clock
    say: Callable[[str], None] = lambda _: None
    """Told of progress, for people."""
    pause: Callable[[float], None] = time.sleep
    """Waits between two tries of a probe."""
    probe: Callable[[str], None] = lambda _: None
    """Told where a deployment stands; tests stop the world there."""

    # --- definitions --------------------------------------------------------------------------------------------------

    def names(self) -> tuple[str, ...]:
        """Return the names of every definition."""
        return deployment_names(self.root)

    def definition(self, name: str) -> DeploymentDefinition:
        """Return a definition as it is now; raises `DefinitionMissing` or `DefinitionInvalid`."""
        return read_deployment_definition(self.root, name)

    def standing(self, name: str) -> Standing:
        """Say whether a definition may run as it is now."""
        return self.standing_of(self.definition(name))

    def standing_of(self, definition: DeploymentDefinition) -> Standing:
        """Say whether a definition that was read may run."""
        return self._judged(definition)[0]

    def _judged(self, definition: DeploymentDefinition) -> tuple[Standing, Acceptance]:
        with self.look() as desk:
            accepted = desk.acceptances.get(definition.accepted_as)
        named = Named(
            name=definition.accepted_as,
            path=definition.path,
            data=definition.text,
            commands=[line.argv for line in definition.lines()],
            made=definition.made(),
        )
        return self.judge.standing_of(named, accepted)

    def accept(self, actor: Actor, name: str, *, seen_digest: str | None = None) -> Standing:
        """Accept a definition with everything that it names; only a human may."""
        definition = self.definition(name)
        self.keep(actor, self._judged(definition)[1], seen_digest=seen_digest)
        return self.standing(name)

    # --- what there is ------------------------------------------------------------------------------------------------

    def get(self, deployment_id: str) -> Deployment:
        """Return a deployment; raises `DeploymentMissing`."""
        checked(deployment_id, PREFIX)
        with self.look() as desk:
            return _found(desk, deployment_id)

    def show(self, deployment_id: str) -> DeploymentSeen:
        """Return a deployment, what happened to it, and the run behind it; raises `DeploymentMissing`."""
        checked(deployment_id, PREFIX)
        with self.look() as desk:
            found = _found(desk, deployment_id)
            run = desk.pipelines.get(found.pipeline_id) if found.pipeline_id else None
            return DeploymentSeen(found, desk.deployments.history(deployment_id, _MOST_HISTORY), run)

    def list(self, *, name: str | None = None, limit: int = 100, before: str | None = None) -> Sequence[Deployment]:
        """List deployments, newest first; those made before the one called `before`."""
        with self.look() as desk:
            return desk.deployments.list(name=name, limit=limit, before=before)

    def at_work(self, deployment_id: str) -> bool:
        """Say whether somebody on this machine is at work in its environment; raises `DeploymentMissing`."""
        found = self.get(deployment_id)
        try:
            with self._alone(found.name, found.environment):
                return False
        except DeploymentBusy:
            return True

    # --- verbs --------------------------------------------------------------------------------------------------------

    def create(
        self, actor: Actor, name: str, *, environment: str, version: str, pipeline_id: str | None = None
    ) -> Deployment:
        """Bring a version into an environment, by steps and looks at its health; returns what came of it.

        That is a `Running` deployment, healthy, which can be promoted; or one that was rolled back. Raises
        `DefinitionNotAccepted`, `EnvironmentUnknown`, `VersionInvalid`, `PipelineMissing`, `DeploymentBusy`.
        """
        if not _VERSION.fullmatch(version):
            raise VersionInvalid(f"{version[:64]!a} can not be the name of a version")
        definition = self.definition(name)
        where = ENVIRONMENTS.get(environment.lower(), "Development")
        if environment.lower() not in ENVIRONMENTS or where not in definition.environments:
            declared = ", ".join(sorted(each.lower() for each in definition.environments))
            raise EnvironmentUnknown(f"{definition.path} declares {declared}, not {environment[:64]!a}")
        accepted = self.accepted(definition)
        with self._alone(name, where):
            made = self._add(
                actor,
                definition,
                digest=accepted.digest,
                environment=where,
                version=version,
                pipeline_id=pipeline_id,
            )
            work = self._work(actor, made, definition)
            with self._told(work, "create"):
                work.deploy()
        return work.state

    def deploy(self, actor: Actor, name: str, *, environment: str, version: str, pipeline_id: str | None = None) -> str:
        """Do `create` and return the id; raises `DeploymentFailed` where the version is not up and healthy.

        What the same run has begun already, before it was cut off, is gone on with.
        """
        begun = self._begun(name, environment, version, pipeline_id)
        if begun is None:
            made = self.create(actor, name, environment=environment, version=version, pipeline_id=pipeline_id)
        else:
            try:
                made = self.resume(actor, begun)
            except DeploymentNotMovable:
                made = self.monitor(actor, begun)
        if made.status is not Status.RUNNING:
            raise DeploymentFailed(f"{made.id} is {made.status.value}: {made.message or made.reason}")
        return made.id

    def _begun(self, name: str, environment: str, version: str, pipeline_id: str | None) -> str | None:
        where = ENVIRONMENTS.get(environment.lower())
        if pipeline_id is None or where is None:
            return None
        with self.look() as desk:
            newest = _newest(desk, name, where)
        same = newest is not None and (newest.version, newest.pipeline_id) == (version, pipeline_id)
        return newest.id if newest is not None and same and newest.status is Status.RUNNING else None

    def resume(self, actor: Actor, deployment_id: str) -> Deployment:
        """Go on where somebody was cut off: on the way there with the unfinished step, on the way back from its start.

        Raises `DeploymentNotMovable` where nothing was cut off.
        """
        with self._held(actor, deployment_id) as work:
            forward = work.state.status is Status.RUNNING and work.state.steps_done < len(work.forth)
            if not forward and work.state.status is not Status.FAILED:
                raise DeploymentNotMovable(f"{deployment_id} is {work.state.status.value}, and was not cut off")
            with self._told(work, "resume"):
                if forward:
                    work.deploy()
                else:
                    work.roll_back()
        return work.state

    def monitor(self, actor: Actor, deployment_id: str) -> Deployment:
        """Look at the health of what is deployed; where it is not healthy, roll it back."""
        with self._held(actor, deployment_id) as work:
            work.check_up(Status.RUNNING, Status.SUCCESS)
            with self._told(work, "monitor"):
                if not work.look_at_all():
                    work.roll_back()
        return work.state

    def promote(self, actor: Actor, deployment_id: str) -> Deployment:
        """Let a version stay: healthy now, and with a verifier's word for its run.

        Raises `PromotionBlocked`; health that failed has been rolled back by then.
        """
        with self._held(actor, deployment_id) as work:
            work.check_up(Status.RUNNING)
            with self._told(work, "promote"):
                work.promote()
        return work.state

    def rollback(self, actor: Actor, deployment_id: str, *, reason: str) -> Deployment:
        """Take a version back, promoted or not, and bring back the one before."""
        with self._held(actor, deployment_id) as work:
            if work.state.status not in {Status.RUNNING, Status.SUCCESS, Status.FAILED}:
                raise DeploymentNotMovable(f"{deployment_id} is {work.state.status.value}")
            with self._told(work, "rollback"):
                said = f"asked for by {actor.principal}" + (f": {reason}" if reason else "")
                work.fail(ROLLING_BACK, said[:_TOLD])
                work.roll_back()
        return work.state

    # --- one after the other ------------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self, name: str, environment: str) -> Generator[None]:
        """Keep others of this machine out of an environment; between machines the status and revision do."""
        import fcntl  # noqa: PLC0415 - only what deploys pays for it
        import os  # noqa: PLC0415 - the same

        self.locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.locks / f"{name}-{environment.lower()}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DeploymentBusy(f"somebody is at work on {name} in {environment.lower()}") from None
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _held(self, actor: Actor, deployment_id: str) -> Generator[_Work]:
        """Take up a deployment that is the newest in its environment, or raise why not."""
        seen = self.get(deployment_id)
        with self._alone(seen.name, seen.environment):
            with self.look() as desk:
                found = _found(desk, deployment_id)
                newest = _newest(desk, found.name, found.environment)
            if newest is not None and newest.id != deployment_id:
                raise DeploymentNotMovable(f"{deployment_id} is {found.status.value}; after it came {newest.id}")
            definition = self.definition(found.name)
            self.accepted(definition)
            yield self._work(actor, found, definition)

    @contextmanager
    def _told(self, work: _Work, action: str) -> Generator[None]:
        """Add a row to the report when an action has ended, however it ended."""
        role = self.operator()
        try:
            yield
        except InterlockError as error:
            status = "blocked" if isinstance(error, PromotionBlocked) else "stopped"
            self._record(work, role, action, status=status, reason=error.code)
            raise
        self._record(work, role, action, status=_outcome(work.state, action), reason=work.state.reason)

    def _record(self, work: _Work, role: Role, action: str, *, status: str, reason: str | None) -> None:
        state = work.state
        notes: dict[str, Json] = {
            "by": str(work.actor.principal),
            "healthy": state.healthy,
            "name": state.name,
            "pipeline_id": state.pipeline_id,
            "previous_version": state.previous_version,
            "probes": [finding.shown() for finding in work.findings[:10]],
            "reason": reason,
            "strategy": state.strategy,
            "version": state.version,
        }
        self.record_outcome(
            Outcome(
                subject=state.id,
                workflow=f"deployment::{state.id}",
                stage=state.environment,
                role=role.name,
                agent_id=role.agent_id,
                action=action,
                status=status,
                notes=notes,
            )
        )

    # --- writing ------------------------------------------------------------------------------------------------------

    def accepted(self, definition: DeploymentDefinition) -> Acceptance:
        """Return the acceptance under which a definition may run as it is; raises `DefinitionNotAccepted`."""
        standing = self.standing_of(definition)
        if standing.may_run and standing.accepted is not None:
            return standing.accepted
        hint = f"look at it, then accept it: interlock deployment approve {definition.name}"
        if standing.accepted is None:
            raise DefinitionNotAccepted(f"no human has accepted {definition.accepted_as} yet", hint=hint)
        raise DefinitionNotAccepted(
            f"{definition.accepted_as} is not what was accepted: {'; '.join(standing.changes)}",
            hint=f"{hint}; what its own commands make stands under artefacts",
        )

    def _add(
        self,
        actor: Actor,
        definition: DeploymentDefinition,
        *,
        digest: str,
        environment: str,
        version: str,
        pipeline_id: str | None,
    ) -> Deployment:
        strategy = definition.recipe.strategy
        with self.open(actor) as desk:
            if pipeline_id is not None and desk.pipelines.get(checked(pipeline_id, "pipeline")) is None:
                raise PipelineMissing(f"there is no run {pipeline_id}")
            _check_free(desk, definition.name, environment)
            current = desk.deployments.current(definition.name, environment)
            event = DeploymentCreated(
                subject=f"{PREFIX}_{self.new_ulid()}",
                release=version,
                name=definition.name,
                environment=environment,
                strategy=strategy,
                previous_version=current.version if current else None,
                status=Status.RUNNING.value,
                auto_approved=False,
                digest=digest,
                pipeline_id=pipeline_id,
                created_ms=self.clock(),
                created_by=str(actor.principal),
            )
            made = after_deployment(None, event.kind, event.subject, event.payload())
            desk.deployments.add(made)
            desk.emit(event)
            desk.emit(DeploymentStarted(subject=made.id, release=version, environment=environment, strategy=strategy))
        return made

    def _work(self, actor: Actor, state: Deployment, definition: DeploymentDefinition) -> _Work:
        if state.environment not in definition.environments:
            raise EnvironmentUnknown(f"{definition.path} declares no {state.environment.lower()} any more")
        promoted = 0
        if definition.recipe.strategy == "BlueGreen":
            with self.look() as desk:
                promoted = _promoted(desk, state)
        change = Change(
            environment=state.environment, version=state.version, previous=state.previous_version, promoted=promoted
        )
        return _Work(self, actor, definition, change, state)

    def write(self, actor: Actor, before: Deployment, events: Sequence[Event], *, calming: bool = True) -> Deployment:
        """Fold events over the deployment that was seen, and write both; raises `DeploymentNotMovable` if it moved."""
        with self.open(actor, calming=calming) as desk:
            found = _found(desk, before.id)
            if found.revision != before.revision:
                raise DeploymentNotMovable(f"{before.id} was moved by somebody else meanwhile")
            after = found
            try:
                for event in events:
                    if changes(event.kind):
                        after = after_deployment(after, event.kind, event.subject, event.payload())
            except FoldBroken as error:
                raise DeploymentNotMovable(f"{before.id}: {error}") from None
            if after is not found and not desk.deployments.replace(after, seen_revision=found.revision):
                raise DeploymentNotMovable(f"{before.id} was moved by somebody else meanwhile")
            for event in events:
                desk.emit(event)
        return after


@dataclass(slots=True)
class _Work:
    """One deployment in the hands of one caller."""

    rooms: Deployments
    actor: Actor
    definition: DeploymentDefinition
    change: Change
    state: Deployment
    forth: tuple[Step, ...] = field(init=False)
    last: tuple[Step, ...] = field(init=False)
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        self.forth = deploying(self.definition.recipe, self.change)
        self.last = promoting(self.definition.recipe, self.change)

    # --- on the way there ---------------------------------------------------------------------------------------------

    def deploy(self) -> None:
        """Carry out what is left of the steps; what fails is rolled back."""
        if not self._carry_out(self.forth, 0):
            self.roll_back()

    def promote(self) -> None:
        """Look, ask for the verifier's word, carry out the last steps, and let the version stay."""
        pipeline_id = self.state.pipeline_id
        if pipeline_id is None:
            self._block("no_pipeline", "it was not made by a run of a pipeline, so nobody has verified it")
        if not self.look_at_all():
            blocked = f"it is not healthy: {_said(self.findings)}"
            self._tell_blocked("unhealthy", blocked)
            self.roll_back()
            raise PromotionBlocked(f"{self.state.id} is not promoted: {blocked}; it is {self.state.status.value} now")
        try:
            self.rooms.check_promotion(self.actor, pipeline_id)
        except CheckpointRefusedError as error:
            self._block(error.code, error.message)
        if not self._carry_out(self.last, len(self.forth)):
            said = self.state.message or ""
            self.roll_back()
            raise PromotionBlocked(f"{self.state.id} is not promoted: {said}; it is {self.state.status.value} now")
        subject, environment = self.state.id, self.state.environment
        self._write(
            self._becomes(Status.SUCCESS),
            DeploymentPromoted(
                subject=subject, release=self.state.version, environment=environment, pipeline_id=pipeline_id
            ),
            calming=False,
        )

    def _carry_out(self, steps: Sequence[Step], first: int) -> bool:
        """Carry out those of `steps` that are not done; the first of them has the number `first`."""
        self._check_same()
        for number, step in enumerate(steps, first):
            if number < self.state.steps_done:
                continue
            self._go_on()
            self.rooms.probe(f"{step.name}.begun")
            done = self._one(number, step)
            self.rooms.probe(f"{step.name}.done")
            if not done:
                return False
        return True

    def _one(self, number: int, step: Step) -> bool:
        if step.run is not None:
            return self._step(number, step, step.run)
        probes = [each for each in self.definition.probes if not each.at or each.at & step.after]
        if probes and not step.begins:
            return self._looked(number, step, probes)
        self._write(self._stepped(number, step, 0))  # nobody looked, so nothing is said of health
        return True

    def _go_on(self) -> None:
        """Let the next step begin: nothing is frozen, nobody else moved it, and all is as it was accepted."""
        with self.rooms.open(self.actor) as desk:
            if _found(desk, self.state.id).revision != self.state.revision:
                raise DeploymentNotMovable(f"{self.state.id} was moved by somebody else meanwhile")
        self._check_same()

    def _check_same(self) -> None:
        standing = self.rooms.standing(self.state.name)
        if not standing.may_run or standing.digest != self.state.digest:
            why = "; ".join(standing.changes) or "it was accepted anew"
            raise DefinitionNotAccepted(
                f"{self.definition.accepted_as} is not what {self.state.id} began with: {why}",
                hint="put it back and resume, or accept it and roll back; what commands make stands under artefacts",
            )

    def _step(self, number: int, step: Step, command: Command) -> bool:
        ended, tail = self._run(command, step.name)
        well = ended.reason is None
        message = None if well else _message(ended, tail)
        stepped = self._stepped(number, step, ended.duration_ms, message, ended)
        self._write(
            stepped, *([] if well else [self._becomes(Status.FAILED, "step_failed", f"{step.name}: {message}")])
        )
        return well

    def _looked(self, number: int, step: Step, probes: Sequence[Probe]) -> bool:
        began = time.monotonic()
        self.findings = tuple(self._prober(step.name).look(each, self._all(step.view)) for each in probes)
        well = all(finding.passed for finding in self.findings)
        took = round((time.monotonic() - began) * 1000)
        self._write(*self._told_health(self._stepped(number, step, took, None if well else _said(self.findings))))
        return well

    def _stepped(
        self, number: int, step: Step, duration_ms: int, message: str | None = None, ended: LinesEnded | None = None
    ) -> Event:
        """Return the event of a step that has ended, badly where there is something to say."""
        return DeploymentStepped(
            subject=self.state.id,
            step=step.name,
            number=number + 1,
            status=(Status.SUCCESS if message is None else Status.FAILED).value,
            exit_code=ended.exit_code if ended else None,
            message=message,
            duration_ms=duration_ms,
            containment=ended.containment if ended else None,
            notes=ended.notes if ended else (),
        )

    # --- health -------------------------------------------------------------------------------------------------------

    def check_up(self, *allowed: Status) -> None:
        """Raise `DeploymentNotMovable` unless the whole version is up and stands so."""
        if self.state.status not in allowed:
            raise DeploymentNotMovable(f"{self.state.id} is {self.state.status.value}")
        if self.state.steps_done < len(self.forth):
            raise DeploymentNotMovable(
                f"{self.state.id} was cut off after {self.state.steps_done} of {len(self.forth)} steps",
                hint=f"interlock deployment resume {self.state.id}",
            )

    def look_at_all(self) -> bool:
        """Look with every probe at all that is deployed; health that failed makes the deployment `Failed`."""
        self.findings = tuple(self._look_everywhere(previous=False))
        self._write(*self._told_health())
        return all(finding.passed for finding in self.findings)

    def _look_everywhere(self, *, previous: bool) -> Iterator[Finding]:
        """Look once through each view, under the instance's name where there are several."""
        prober = self._prober("probe")
        for view in views(self.definition.recipe, self.change, previous=previous):
            for probe in self.definition.probes:
                if previous and probe.kind == "metric":
                    continue  # numbers still tell of the version that was taken back
                found = prober.look(probe, self._all(view))
                yield named(found, f"{probe.name}[{view['INSTANCE']}]") if view["INSTANCE"] else found

    def _told_health(self, *stepped: Event) -> list[Event]:
        """Return the events of a look: the state's first, then what it means."""
        subject, environment = self.state.id, self.state.environment
        failed = [finding.name for finding in self.findings if not finding.passed]
        shown = [finding.shown() for finding in self.findings]
        probed = DeploymentProbed(
            subject=subject, healthy=not failed, health=_shown_health(health_of(self.findings)), probes=shown
        )
        if not failed:
            return [*stepped, probed, DeploymentHealthPassed(subject=subject, environment=environment)]
        return [
            *stepped,
            probed,
            self._becomes(Status.FAILED, "health_failed", _said(self.findings)),
            DeploymentHealthFailed(subject=subject, environment=environment, failed=failed),
        ]

    # --- on the way back ----------------------------------------------------------------------------------------------

    def fail(self, reason: str, message: str) -> None:
        """Make the deployment `Failed`, which every way back begins with."""
        self._write(self._becomes(Status.FAILED, reason, message))

    def roll_back(self) -> None:
        """Take back what was done, as far as it goes, and look whether what was there before answers again."""
        self.rooms.say(f"{self.state.id}: rolling back ({self.state.message or self.state.reason})")
        why = self.state.message if self.state.reason != ROLLBACK_INCOMPLETE else None
        troubles = self._undo()
        if not troubles and self.state.previous_version is not None:
            before = tuple(self._look_everywhere(previous=True))
            if not all(finding.passed for finding in before):
                troubles = [f"{self.state.previous_version} does not answer as it should: {_said(before)}"]
        back = DeploymentRolledBack(
            subject=self.state.id,
            release=self.state.version,
            environment=self.state.environment,
            previous_version=self.state.previous_version,
            complete=not troubles,
        )
        if troubles:
            told = f"the roll back is incomplete: {'; '.join(troubles)}" + (f" (after: {why})" if why else "")
            self._write(self._becomes(Status.FAILED, ROLLBACK_INCOMPLETE, told), back)
        else:
            reason = self.state.reason if why is not None else ROLLING_BACK
            self._write(self._becomes(Status.ROLLED_BACK, reason, why), back)

    def _undo(self) -> list[str]:
        """Run every undo, also after one that failed; returns what went wrong."""
        troubles: list[str] = []
        for number, command in enumerate(self._undoing(), 1):
            name = f"undo-{number}"
            self.rooms.probe(f"{name}.begun")
            ended, tail = self._run(command, name)
            well = ended.reason is None
            message = None if well else _message(ended, tail)
            if message is not None:
                troubles.append(message)
            self._write(
                DeploymentStepped(
                    subject=self.state.id,
                    step=name,
                    number=number,
                    status=(Status.ROLLED_BACK if well else Status.FAILED).value,
                    exit_code=ended.exit_code,
                    message=message,
                    duration_ms=ended.duration_ms,
                    containment=ended.containment,
                    notes=ended.notes,
                )
            )
            self.rooms.probe(f"{name}.done")
        return troubles

    def _undoing(self) -> tuple[Command, ...]:
        steps = (*self.forth, *self.last)
        standing = self.rooms.standing_of(self.definition)
        # Under another definition that was accepted meanwhile steps do not count alike: all of it is taken back.
        return undoing(steps, self.state.steps_done if standing.digest == self.state.digest else len(steps))

    # --- shared -------------------------------------------------------------------------------------------------------

    def _block(self, reason: str, message: str) -> NoReturn:
        self._tell_blocked(reason, message)
        raise PromotionBlocked(f"{self.state.id} is not promoted: {message}")

    def _tell_blocked(self, reason: str, message: str) -> None:
        environment = self.state.environment
        self._write(
            DeploymentPromotionBlocked(
                subject=self.state.id, environment=environment, reason=reason, message=message[:_TOLD]
            )
        )

    def _becomes(self, status: Status, reason: str | None = None, message: str | None = None) -> Event:
        return DeploymentStatusChanged(
            subject=self.state.id,
            previous_status=self.state.status.value,
            current_status=status.value,
            reason=reason,
            message=message[:_TOLD] if message else None,
        )

    def _write(self, *events: Event, calming: bool = True) -> None:
        self.state = self.rooms.write(self.actor, self.state, events, calming=calming)

    def _all(self, variables: Mapping[str, str]) -> dict[str, str]:
        general = next(found for name, found in self.definition.environments.items() if name == self.state.environment)
        return {**general, **variables}

    def _prober(self, step: str) -> Prober:
        def run(line: Line, variables: Mapping[str, str], seconds: int) -> tuple[int | None, str]:
            ended, tail = self._contained(line, variables, f"{step}/probe", seconds)
            return (0 if ended.reason is None else ended.exit_code or None), _message(ended, tail)

        return Prober(root=self.rooms.root, run=run, now=self.rooms.clock, pause=self.rooms.pause)

    def _run(self, command: Command, step: str) -> tuple[LinesEnded, str]:
        variables = self._all(command.variables)
        self.rooms.say(f"{self.state.id}: {step}")
        return self._contained(filled_line(command.line, variables), variables, step, self.definition.limits.seconds)

    def _contained(self, line: Line, variables: Mapping[str, str], step: str, seconds: int) -> tuple[LinesEnded, str]:
        """Run a command contained; returns how it ended and the last that it printed."""
        accepted = self.rooms.accepted(self.definition)
        rooms, last = self.rooms, deque[str](maxlen=_LAST_LINES)
        own = {"INTERLOCK_DEPLOYMENT_ID": self.state.id, "INTERLOCK_DEPLOYMENT_STEP": step}
        errand = Errand(
            job=f"deployment/{self.state.name}/{step}",
            marker=f"{self.state.id}:{rooms.new_ulid()}",
            environment=environment_of(rooms.root, accepted.search_path, variables, own),
            limits=replace(self.definition.limits, seconds=seconds),
            network=self.definition.network,
        )
        seen = hidden_by_tmp(rooms.root, [Path(each.path) for each in accepted.materials if each.path])
        shop = replace(rooms.shop, visible=(*rooms.shop.visible, *seen))

        def write(lines: Sequence[Printed]) -> None:
            last.extend(text for _, _, _, text in lines)
            self._log(lines)

        return run_lines(shop, [line], errand, write=write), " | ".join(last)

    def _log(self, lines: Sequence[Printed]) -> None:
        """Keep what was printed in the log of the run that made the deployment, and show it."""
        for _, _, _, text in lines:
            self.rooms.say(text)
        if self.state.pipeline_id is not None:
            with self.rooms.open(self.actor, calming=True) as desk:
                desk.pipelines.add_lines(self.state.pipeline_id, lines)


def _found(desk: Desk, deployment_id: str) -> Deployment:
    found = desk.deployments.get(deployment_id)
    if found is None:
        raise DeploymentMissing(f"there is no deployment {deployment_id}")
    return found


def _all_of(desk: Desk, name: str, environment: str) -> Iterator[Deployment]:
    """Yield the deployments of an environment, newest first."""
    before: str | None = None
    while page := desk.deployments.list(name=name, limit=_PAGE, before=before):
        yield from (each for each in page if each.environment == environment)
        before = page[-1].id


def _newest(desk: Desk, name: str, environment: str) -> Deployment | None:
    return next((each for each in _all_of(desk, name, environment) if each.status is not Status.ROLLED_BACK), None)


def _promoted(desk: Desk, state: Deployment) -> int:
    others = _all_of(desk, state.name, state.environment)
    return sum(each.status is Status.SUCCESS and each.id != state.id for each in others)


def _check_free(desk: Desk, name: str, environment: str) -> None:
    newest = _newest(desk, name, environment)
    if newest is None or newest.status is Status.SUCCESS or newest.reason == ROLLBACK_INCOMPLETE:
        return
    going = "promote it or roll it back" if newest.status is Status.RUNNING else "its roll back was cut off"
    raise DeploymentBusy(
        f"{newest.id} ({newest.version}) is {newest.status.value} in {environment.lower()}: {going}",
        hint=f"interlock deployment show {newest.id}",
    )


def _outcome(state: Deployment, action: str) -> str:
    if state.status is Status.ROLLED_BACK:
        return "rolled_back"
    if state.status is Status.FAILED:
        return "failed"
    return {"create": "created", "resume": "created", "monitor": "healthy", "promote": "promoted"}.get(action, "done")


def _said(findings: Sequence[Finding]) -> str:
    return "; ".join(f"{each.name}: {each.message}" for each in findings if not each.passed)[:_TOLD]


def _message(ended: LinesEnded, tail: str) -> str:
    return (ended.message + (f" ({tail})" if tail else ""))[:_TOLD]


def _shown_health(health: Health) -> dict[str, Json]:
    return {
        "error_rate_milli": health.error_rate_milli,
        "response_time_ms": health.response_time_ms,
        "cpu_usage_milli": health.cpu_usage_milli,
        "memory_usage_milli": health.memory_usage_milli,
        "active_connections": health.active_connections,
    }
