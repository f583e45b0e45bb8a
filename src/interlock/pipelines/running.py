"""Carrying a run of a pipeline out: its jobs in their order, in this process, until the first one fails.

One run at a time works in a workspace, under a lock that no crash leaves behind. Everything that happens is told
through `service`, under the fence of the hold, so a run that was cancelled or taken over writes nothing any more. A
job has ended well only when its artefacts are kept, searched for secrets, and its checkpoints signed: what is recorded
as done needs nothing after it, and a resumed run goes on behind it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Generator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

from interlock.access.models import Actor, Principal, PrincipalKind
from interlock.evidence import publish
from interlock.kernel.canonical import Json, JsonObject
from interlock.kernel.errors import InterlockError
from interlock.pipelines import agents, budget, receipts, scanning
from interlock.pipelines.artefacts import Artefacts, bring_in, recorded
from interlock.pipelines.errors import (
    AssetsMissing,
    CheckpointRefusedError,
    DefinitionNotAccepted,
    LockUnusable,
    PipelineNotMovable,
    PipelineTaken,
    TaskFailed,
    WorkspaceBusy,
)
from interlock.pipelines.events import DocumentUpdated
from interlock.pipelines.jobs import (
    STOPPED,
    Errand,
    Ground,
    LinesEnded,
    Workshop,
    environment_of,
    hidden_by_tmp,
    run_lines,
    tidy,
    worktree,
)
from interlock.pipelines.models import WORK_MOVES, Acceptance, Artefact, Definition, Job, Pipeline, Stage, Status
from interlock.pipelines.report import REPORT_PATH, Row, rows_for
from interlock.pipelines.service import Ended, Hold, Outcome, Pipelines
from interlock.runs.containment.processes import kill_marked

_T = TypeVar("_T")

CANCELLED: Final = "cancelled"
CHANGED: Final = "definition_changed"
INTERRUPTED: Final = "interrupted"
SECRET_FOUND: Final = "secret_in_artefact"  # noqa: S105 - a reason's code
_PACKAGE: Final = Path(__file__).resolve().parents[1]
_WATCH_SECONDS: Final = 0.1
_HELD_SECONDS: Final = 0.5
_MOST_MESSAGE: Final = 2_000
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Carries runs of one workspace out."""

    pipelines: Pipelines
    workshop: Workshop
    artefacts: Artefacts
    actor: Actor
    """The service whose doing the runner's own events are; agents sign for themselves."""
    lock: Path
    """`<state>/pipelines.lock`."""
    sign_head: Callable[[], None] = lambda: None
    """Signs a tree head over the log as it is."""
    heal: Callable[[Path], object] | None = None
    """Looks over the workspace and writes the report of that to a path."""
    reported: Callable[[Actor, Mapping[str, Any], Artefact], None] | None = None
    """Signs, as an agent, for a self-heal report, and tells of it."""
    deploy: agents.Deploy | None = None
    halt: threading.Event = field(default_factory=threading.Event)
    """Once set, the run is interrupted, as by a signal."""
    say: Callable[[str], None] = lambda _: None
    """Told how it goes, line by line."""
    probe: Callable[[str], None] = lambda _: None
    """Told where a run stands; tests stop the world there."""

    def run(self, pipeline_id: str) -> Pipeline:
        """Carry a new run out; returns it as it ended, well or not.

        Raises `WorkspaceBusy`, `DefinitionNotAccepted`, `AssetsMissing`, `PipelineNotMovable`, and `PipelineTaken` if
        somebody else takes the run up meanwhile.
        """
        return self._carry_out(pipeline_id, {Status.PENDING})

    def run_new(self, ask: Callable[[], Pipeline]) -> Pipeline:
        """Ask for a run and carry it out, with nobody between: whoever takes up what waits finds the place taken.

        Where another one is carried out, the run is asked for all the same, and `WorkspaceBusy` raised: it waits.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(self._alone())
            except WorkspaceBusy:
                ask()
                raise
            return self._alone_with(ask().id, {Status.PENDING})

    def resume(self, pipeline_id: str) -> Pipeline:
        """Go on with a run that failed or was left behind; what is done and still stands is not done again."""
        return self._carry_out(pipeline_id, {Status.PENDING, Status.FAILED, Status.RUNNING})

    def _carry_out(self, pipeline_id: str, allowed: Collection[Status]) -> Pipeline:
        self.pipelines.get(pipeline_id)  # what is no run needs no lock
        with self._alone():
            return self._alone_with(pipeline_id, allowed)

    def _alone_with(self, pipeline_id: str, allowed: Collection[Status]) -> Pipeline:
        before = self.pipelines.get(pipeline_id)
        if before.status not in allowed:
            raise PipelineNotMovable(f"{pipeline_id} is {before.status.value}")
        self._check_assets()
        definition, acceptance = self._accepted(before)
        self._end_leftovers(before)
        tidy(self.workshop)
        self.artefacts.sweep()
        self.sign()  # self-heal asks how long something has waited for a head
        self.pipelines.publish(self.actor)
        self._mark_held(pipeline_id)
        pipeline, hold = self.pipelines.begin(self.actor, pipeline_id)
        try:
            execution = _Execution(runner=self, definition=definition, acceptance=acceptance, hold=hold)
            ended = execution.carry_out(pipeline)
        except PipelineTaken:
            (self._held / pipeline_id).unlink(missing_ok=True)
            raise
        finally:
            self.sign()
            self.pipelines.publish(self.actor)
        (self._held / pipeline_id).unlink(missing_ok=True)
        return ended

    def left_behind(self, pipeline_id: str) -> bool:
        """Say whether a run that is `Running` may have lost its holder here; another machine's is not ours to judge."""
        return (self._held / pipeline_id).exists()

    def _mark_held(self, pipeline_id: str) -> None:
        try:
            publish.replace(self._held / pipeline_id, [b""])
        except OSError as error:
            raise LockUnusable(f"{self.workshop.folder / 'held'} can not be written: {error.strerror}") from None

    @property
    def _held(self) -> Path:
        folder = self.workshop.folder / "held"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _check_assets(self) -> None:
        missing = self.pipelines.declared.assets_missing()
        if missing:
            raise AssetsMissing(f"before a pipeline starts there have to be: {', '.join(missing)}")

    def _accepted(self, pipeline: Pipeline) -> tuple[Definition, Acceptance]:
        looked = self.pipelines.accepted(pipeline.name)
        standing = looked.standing
        if standing.accepted is None or standing.digest != pipeline.digest:
            raise DefinitionNotAccepted(f"{pipeline.name} was accepted anew since {pipeline.id} was made; run it anew")
        return looked.definition, standing.accepted

    @contextmanager
    def _alone(self) -> Generator[None]:
        try:
            self.lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise LockUnusable(f"{self.lock} can not be used: {error.strerror}") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
                raise WorkspaceBusy(f"process {holder or 'unknown'} carries a pipeline out here") from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
            yield
        finally:
            os.close(descriptor)

    def _end_leftovers(self, pipeline: Pipeline) -> None:
        """End what earlier holders may have left running on this machine."""
        for job in pipeline.jobs:
            if job.status is Status.RUNNING or job.reason == pipeline.reason == CANCELLED:
                for fence in range(1, pipeline.fence + 1):
                    kill_marked(marker(pipeline.id, fence, job.id))

    def sign(self) -> None:
        """Have a tree head signed; where there is no key for that, say so."""
        try:
            self.sign_head()
        except InterlockError as error:
            self.say(f"no tree head was signed: {error.message}")


class _Stop(Exception):
    """The run can not go on."""

    def __init__(self, reason: str, message: str) -> None:
        """Take a code and a sentence."""
        super().__init__(reason, message)
        self.reason, self.message = reason, message[:_MOST_MESSAGE]


class _Work(NamedTuple):
    """What a job did, before it is said to have ended."""

    lines: LinesEnded
    summary: str
    inputs: tuple[Artefact, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Execution:
    """One hold being used up."""

    runner: Runner
    definition: Definition
    acceptance: Acceptance
    hold: Hold
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when anything failed, or the run is not ours any more: what runs is killed, nothing begins."""
    failure: _Stop | None = None
    """What failed first."""
    interrupted: list[str] = field(default_factory=list[str])
    done: set[str] = field(default_factory=set[str])
    """Ids of jobs that need not run: ended well, and still standing, or dropped."""
    stages: dict[str, float] = field(default_factory=dict[str, float])
    """When each open stage began, on the monotonic clock."""
    closed: set[str] = field(default_factory=set[str])
    told: int = 0
    _one: threading.RLock = field(default_factory=threading.RLock)
    """Jobs beside each other write one after the other: each folds over what the one before wrote."""

    def carry_out(self, pipeline: Pipeline) -> Pipeline:
        """Do what is left; returns the run as it ended. Raises `PipelineTaken`."""
        try:
            with _listening(self._interrupt):
                try:
                    self._all(pipeline)
                    return self._end(Status.SUCCESS, None, None)
                except _Stop as stop:
                    first = self.failure or stop
                    return self._fail(first.reason, first.message)
                except PipelineTaken:
                    raise
                except InterlockError as error:
                    return self._fail(error.code, error.message)
                except Exception as error:  # noqa: BLE001 - whatever it is, the run must not stay behind as running
                    return self._fail("runner_failed", f"{type(error).__name__}: {error}")
        except PipelineTaken:
            found = self._pipelines.get(self.hold.pipeline_id)
            if found.status is Status.FAILED:
                self.runner.say(f"{found.id}: {found.message}")
                return found
            raise

    # --- the order ----------------------------------------------------------------------------------------------------

    def _all(self, pipeline: Pipeline) -> None:
        self.done = self._standing(pipeline)
        for stage in self.definition.stages:
            if pipeline.stage(stage.name).status is Status.SUCCESS and self._finished(stage):
                self.closed.add(stage.name)
        under_way: dict[Future[None], Job] = {}
        look_at = 0.0
        with ThreadPoolExecutor(max_workers=self._at_once) as pool:
            try:
                while True:
                    self._check_interrupted()
                    self._close_stages()
                    self._begin_jobs(pool, under_way)
                    if not under_way:
                        break
                    for ended in wait(under_way, timeout=_WATCH_SECONDS, return_when=FIRST_COMPLETED).done:
                        job = under_way.pop(ended)
                        ended.result()
                        self.done.add(job.id)
                    if time.monotonic() >= look_at:
                        self._check_held()
                        look_at = time.monotonic() + _HELD_SECONDS
            finally:
                self.stopping.set()
        self._close_stages()
        left = [job.id for job in self.definition.jobs if job.id not in self.done]
        if left:
            raise _Stop("not_carried_out", f"{left[0]} could not begin, because what it needs has not ended well")
        self._check_definition()

    def _begin_jobs(self, pool: ThreadPoolExecutor, under_way: dict[Future[None], Job]) -> None:
        busy = {job.id for job in under_way.values()}
        for job in self.definition.jobs:
            if len(busy) >= self._at_once:
                return
            if job.id in self.done or job.id in busy or not self.done.issuperset(job.needs):
                continue
            self._open_stage(self._stage(job.stage))
            if job.id not in self.done:
                busy.add(job.id)
                under_way[pool.submit(self._job, job)] = job

    @property
    def _at_once(self) -> int:
        return max(1, self._pipelines.options.at_once)

    def _check_interrupted(self) -> None:
        if self.runner.halt.is_set() and not self.interrupted:
            self._interrupt("the end of the process that carries it out")
        if self.interrupted:
            raise _Stop(INTERRUPTED, f"stopped by {self.interrupted[0]}")

    def _check_held(self) -> None:
        if not self._pipelines.still_held(self.hold):
            raise PipelineTaken(f"{self.hold.pipeline_id} was taken up by somebody else, or cancelled")

    def _check_going(self) -> None:
        """See that a command or an action may begin, whenever its job did; raises `Frozen` or `PipelineTaken`."""
        self._pipelines.check_going(self._actor, self.hold)

    def _check_definition(self) -> None:
        """See once more that nothing that was accepted was edited while it was used."""
        standing = self._pipelines.standing(self.definition.name)
        if standing.digest != self.acceptance.digest:
            raise _Stop(CHANGED, f"{self.definition.name} was changed meanwhile: {'; '.join(standing.changes)}")

    def _interrupt(self, name: str) -> None:
        # Sets no event: a signal may come while one is being set, by this very thread, and would wait for itself.
        self.interrupted.append(name)

    # --- what stands from before --------------------------------------------------------------------------------------

    def _standing(self, pipeline: Pipeline) -> set[str]:
        """Return the jobs that need not run: done, with what they made unchanged, and nothing redone before them."""
        again = self._again(pipeline)
        for job_id in sorted(again):
            if pipeline.job(job_id).status is Status.SUCCESS:
                self.runner.say(f"{job_id}: done again, because what it made does not stand any more")
        return {job.id for job in self.definition.jobs} - again

    def _again(self, pipeline: Pipeline) -> set[str]:
        again = set[str]()
        latest = recorded(pipeline)
        for job in self.definition.jobs:
            state = pipeline.job(job.id)
            if state.status is Status.SKIPPED:
                continue
            if (
                state.status is not Status.SUCCESS
                or again.intersection(job.needs)
                or any(latest[each.path] == each and not self._same(each) for each in state.artefacts)
                or not all(self._stands(pipeline, name) for name in job.signs)  # at the latest the end asks for it
            ):
                again.add(job.id)
        return again

    def _same(self, artefact: Artefact) -> bool:
        return self.runner.artefacts.same(artefact, self._pipelines.gate.growing)

    def _stands(self, pipeline: Pipeline, checkpoint: str) -> bool:
        with self._pipelines.look() as desk:
            bodies = {each.envelope: desk.contents.get(each.envelope) for each in pipeline.checkpoints}
        try:
            self._pipelines.gate.check(pipeline, checkpoint, body=bodies.get, now_ms=self._pipelines.clock())
        except CheckpointRefusedError:
            return False
        return True

    # --- stages -------------------------------------------------------------------------------------------------------

    def _stage(self, name: str) -> Stage:
        return next(stage for stage in self.definition.stages if stage.name == name)

    def _finished(self, stage: Stage) -> bool:
        return all(job.id in self.done for job in self.definition.jobs if job.stage == stage.name)

    def _open_stage(self, stage: Stage) -> None:
        if stage.name in self.stages:
            return
        self._tell(lambda: self._pipelines.start_stage(self._actor, self.hold, stage.name))
        self.stages[stage.name] = time.monotonic()
        self.runner.say(f"stage {stage.name}")
        if budget.declares(stage) and not self._finished(stage):
            self._keep_budget(stage)

    def _keep_budget(self, stage: Stage) -> None:
        pipeline = self._pipelines.get(self.hold.pipeline_id)
        dropped = {job.id for job in pipeline.jobs if job.status is Status.SKIPPED}
        begun = {job.id for job in pipeline.jobs if job.status is not Status.PENDING}
        decision = budget.decide(self.definition, stage, gone=dropped, begun=begun)
        event = budget.told(pipeline.id, self.definition, stage, decision)
        self._tell(lambda: self._pipelines.tell(self._actor, self.hold, event))
        if decision.action == "escalate":
            raise self._stop(
                budget.REASON_ESCALATED,
                f"stage {stage.name} would take {decision.tokens} tokens and {decision.latency_ms} ms, "
                f"its budget is {stage.budget.tokens} and {stage.budget.latency_ms}, and nothing more can be dropped",
            )
        for job_id in decision.dropped:
            skipped = Ended(
                status=Status.SKIPPED, reason=budget.REASON_DROPPED, message="dropped to keep the stage's budget"
            )
            self._tell(lambda job_id=job_id, skipped=skipped: self._end_job(job_id, skipped))
            self.done.add(job_id)
            self.runner.say(f"{job_id}: dropped to keep the budget")

    def _close_stages(self) -> None:
        for stage in self.definition.stages:
            if stage.name in self.closed or not self._finished(stage):
                continue
            self._open_stage(stage)
            pipeline = self._pipelines.get(self.hold.pipeline_id)
            states = {state.id: state for state in pipeline.jobs if state.status is Status.SUCCESS}
            leaves = [
                receipts.leaf(job, states[job.id].artefacts)
                for job in self.definition.jobs
                if job.stage == stage.name and job.id in states
            ]
            event = receipts.receipt(pipeline.id, self.definition, stage, leaves)
            self._tell(lambda event=event: self._pipelines.tell(self._actor, self.hold, event))
            self._end_stage(stage.name, Status.SUCCESS)
            self.closed.add(stage.name)

    def _end_stage(self, name: str, status: Status) -> None:
        took = round((time.monotonic() - self.stages[name]) * 1000)
        self._tell(lambda: self._pipelines.end_stage(self._actor, self.hold, name, status, took))
        del self.stages[name]

    # --- the end ------------------------------------------------------------------------------------------------------

    def _end(self, status: Status, reason: str | None, message: str | None) -> Pipeline:
        self.runner.probe("end")
        return self._tell(lambda: self._pipelines.end(self._actor, self.hold, status, reason=reason, message=message))

    def _fail(self, reason: str, message: str) -> Pipeline:
        for name in list(self.stages):
            self._end_stage(name, Status.FAILED)
        self.runner.say(f"failed ({reason}): {message}")
        return self._end(Status.FAILED, reason, message[:_MOST_MESSAGE])

    # --- one job ------------------------------------------------------------------------------------------------------

    def _job(self, job: Job) -> None:
        """Carry one job out, in a thread of its own; raises `_Stop` when it failed, after saying so."""
        began = time.monotonic()
        self._start(job)
        self.runner.say(f"{job.id}: begins")
        self.runner.probe(f"{job.id}.begun")
        work = _Work(LinesEnded(reason=None), "")
        kept: tuple[Artefact, ...] = ()
        try:
            work = self._work(job)
            kept = self._keep(job)
            self.runner.probe(f"{job.id}.kept")
            self._sign(job, work, kept)
            self.runner.probe(f"{job.id}.signed")
        except PipelineTaken:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the job must not stay behind as running
            self._failed(job, error, _ended(Status.FAILED, _lines_of(error) or work.lines, kept, began))
        self._tell(lambda: self._end_job(job.id, _ended(Status.SUCCESS, work.lines, kept, began)))
        self.runner.probe(f"{job.id}.ended")
        self.runner.say(f"{job.id}: done")

    def _start(self, job: Job) -> None:
        try:
            self._tell(lambda: self._pipelines.start_job(self._actor, self.hold, job.id))
        except (CheckpointRefusedError, DefinitionNotAccepted) as error:
            reason = CHANGED if isinstance(error, DefinitionNotAccepted) else error.code
            stop = self._stop(reason, f"{job.id}: {error.message}")
            self._refused(job, reason, error.message)
            raise stop from None

    def _refused(self, job: Job, reason: str, message: str) -> None:
        """Say of a job that was not let begin why, where it has not been done before."""
        status = self._pipelines.get(self.hold.pipeline_id).job(job.id).status
        if WORK_MOVES.allows(status, Status.FAILED):
            ended = Ended(status=Status.FAILED, reason=reason, message=message[:_MOST_MESSAGE])
            self._tell(lambda: self._end_job(job.id, ended))

    def _failed(self, job: Job, error: Exception, ended: Ended) -> NoReturn:
        """Say that a job failed, and stop the run."""
        reason, message = _told(error)
        stop = self._stop(reason, f"{job.id}: {message}")
        ended = replace(ended, reason=reason, message=message[:_MOST_MESSAGE])
        self._tell(lambda: self._end_job(job.id, ended))
        raise stop

    def _stop(self, reason: str, message: str) -> _Stop:
        """Stop the run. What failed first is why; jobs that are killed for it end after it."""
        with self._one:
            if self.failure is None:
                told = (INTERRUPTED, f"stopped by {self.interrupted[0]}") if self.interrupted else (reason, message)
                self.failure = _Stop(*told)
            self.stopping.set()
            return self.failure

    def _end_job(self, job_id: str, ended: Ended) -> Pipeline:
        return self._pipelines.end_job(self._actor, self.hold, job_id, ended)

    def _work(self, job: Job) -> _Work:
        """Run a job's commands, then its agent's action."""
        lines = LinesEnded(reason=None)
        if job.lines:
            with self._ground(job) as ground:
                lines = self._lines(job, ground)
                if lines.reason is not None:
                    raise _Failed(lines.reason, lines.message, lines)
                if ground is not None:
                    for path in job.artefacts:
                        bring_in(ground.cwd, self.runner.workshop.root, path)
        if self.stopping.is_set():
            raise _Failed(STOPPED, "stopped with the run", lines)
        if job.role is None or job.action is None:
            return _Work(lines, f"{agents.counted(len(job.lines), 'command')} of {job.id} ended well")
        output = self._act(job, lines)
        return _Work(lines, output.summary, output.inputs)

    def _lines(self, job: Job, ground: Ground | None) -> LinesEnded:
        shop, fence = self.runner.workshop, self.hold.fence
        files = [Path(each.path) for each in self.acceptance.materials if each.path and each.sha256 is not None]
        seen = [Path(each.path) for each in self.acceptance.materials if each.path]
        seen += [Path(each) for each in self.acceptance.search_path.split(os.pathsep) if each]
        seen += [Path(sys.prefix), Path(sys.base_prefix), _PACKAGE]  # the shipped scripts run on what we run on
        errand = Errand(
            job=job.id,
            marker=marker(self.hold.pipeline_id, fence, job.id),
            environment=environment_of(
                shop.root,
                self.acceptance.search_path,
                self.definition.variables,
                job.environment,
                {"INTERLOCK_PIPELINE_ID": self.hold.pipeline_id, "INTERLOCK_PIPELINE_JOB": job.id},
            ),
            limits=job.limits,
            network=job.network,
            readonly=tuple(each for each in files if each.is_relative_to(shop.root.resolve())),
            ground=ground,
        )
        return run_lines(
            replace(shop, visible=(*shop.visible, *hidden_by_tmp(shop.root, seen))),
            job.lines,
            errand,
            write=lambda printed: self._pipelines.write_log(self.hold, printed),
            stopped=self.stopping,
            before=self._check_going,
        )

    def _ground(self, job: Job) -> AbstractContextManager[Ground | None]:
        if job.repository is None:
            return nullcontext()
        name = f"{self.hold.pipeline_id}-{self.hold.fence}-{hashlib.sha256(job.id.encode()).hexdigest()[:12]}"
        return worktree(self.runner.workshop, job.repository, job.ref, name)

    def _act(self, job: Job, lines: LinesEnded) -> agents.Output:
        role, action = str(job.role), str(job.action)
        self._check_going()
        dispatched = agents.dispatch(
            agents.Context(
                root=self.runner.workshop.root,
                pipeline=self._pipelines.get(self.hold.pipeline_id),
                definition=self.definition,
                job=job,
                agent_id=self.definition.roles[role],
                report_rows=self._report_rows,
                heal=self.runner.heal,
                reported=self._reported(role),
                deploy=self.runner.deploy,
            )
        )
        self._tell(lambda: self._pipelines.tell(self._agent(role), self.hold, dispatched.event))
        self.runner.probe(f"{job.id}.dispatched")
        if "deploy" in action:
            self._record(job, dispatched)
        if dispatched.output is None:
            raise _Failed("task_failed", dispatched.error or "it failed", lines)
        return dispatched.output

    def _reported(self, role: str) -> agents.Reported | None:
        tell = self.runner.reported
        if tell is None:
            return None
        return lambda report, found: self._tell(lambda: tell(self._agent(role), report, found))

    def _record(self, job: Job, dispatched: agents.Dispatched) -> None:
        """Add the row of an action that deploys to the report."""
        event = dispatched.event
        used: list[JsonObject] = [{"name": _name(each), "status": str(each["status"])} for each in event.tool_receipts]
        notes: dict[str, Json] = {
            "pipeline": self.definition.name,
            "job": job.id,
            "parameters": receipts.exact(job.parameters),
            "tool_receipts": used,
            "output": event.output["result"],
        }
        outcome = Outcome(
            subject=self.hold.pipeline_id,
            workflow=self.hold.pipeline_id,
            stage=job.stage,
            role=str(job.role),
            agent_id=event.agent,
            action=event.action,
            status="succeeded" if dispatched.output else "failed",
            notes={**notes, **({"error": dispatched.error} if dispatched.error else {})},
        )
        self._tell(lambda: self._pipelines.record_outcome(outcome))
        self.runner.probe(f"{job.id}.recorded")

    def _report_rows(self) -> list[Row]:
        """Return this run's rows; raises `TaskFailed` where the report says more or less of it than the log."""
        self._pipelines.publish(self._actor)
        text = (self.runner.workshop.root / REPORT_PATH).read_text(encoding="utf-8", errors="replace")
        rows = rows_for(text, self.hold.pipeline_id)
        logged = self._pipelines.report_rows(self.hold.pipeline_id)
        if len(rows) != logged:
            raise TaskFailed(f"{REPORT_PATH} has {len(rows)} rows of this run, the log has {logged}")
        return rows

    def _keep(self, job: Job) -> tuple[Artefact, ...]:
        """Keep what a job had to make, search it for secrets, and tell of documents."""
        if any(path in self._pipelines.gate.growing for path in job.artefacts):
            self._pipelines.publish(self._actor)
        before = recorded(self._pipelines.get(self.hold.pipeline_id))
        kept = tuple(self.runner.artefacts.keep(path) for path in job.artefacts)
        found = [scanning.scan(self.runner.artefacts, each) for each in kept]
        events = [scanning.told(self.hold.pipeline_id, *each) for each in zip(kept, found, strict=True)]
        if events:
            self._tell(lambda: self._pipelines.tell(self._actor, self.hold, *events), len(events))
        secret = [(artefact, scan) for artefact, scan in zip(kept, found, strict=True) if scan.status == "failed"]
        for artefact, _ in secret:
            self.runner.artefacts.forget(artefact)
        if secret:
            artefact, scan = secret[0]
            raise _Failed(SECRET_FOUND, f"{artefact.path} holds a secret: {', '.join(scan.issues[:5])}")
        if self._stage(job.stage).type == "DocsRefresh":
            self._tell_documents(job, [each for each in kept if before.get(each.path) != each])
        return kept

    def _tell_documents(self, job: Job, changed: Collection[Artefact]) -> None:
        told = [
            DocumentUpdated(subject=self.hold.pipeline_id, path=each.path, sha256=each.sha256, job=job.id)
            for each in changed
        ]
        if told:
            self._tell(lambda: self._pipelines.tell(self._actor, self.hold, *told), len(told))

    def _sign(self, job: Job, work: _Work, kept: Collection[Artefact]) -> None:
        made = {each.path: each for each in kept if each.path not in self._pipelines.gate.growing}
        for name in job.signs:
            description = self.definition.checkpoint(name).description.strip()
            summary = f"{description.rstrip('.')}: {work.summary}" if description else work.summary
            passed = self._tell(
                lambda name=name, summary=summary: self._pipelines.pass_checkpoint(
                    self.hold, name, job_id=job.id, summary=summary, inputs=work.inputs
                )
            )
            seen = passed.artefact
            if made.get(seen.path, seen) != seen:
                raise _Failed("artefact_changed", f"{seen.path} was changed while it was looked at")
            self.runner.say(f"{job.id}: checkpoint {name} signed")

    # --- telling ------------------------------------------------------------------------------------------------------

    def _tell(self, deed: Callable[[], _T], events: int = 1) -> _T:
        with self._one:
            found = deed()
            before, self.told = self.told, self.told + events
            every = self._pipelines.options.head_every
            due = before // every != self.told // every
        if due:
            self.runner.sign()
        return found

    def _agent(self, role: str) -> Actor:
        agent_id = self.definition.roles[role]
        return Actor(principal=Principal(PrincipalKind.AGENT, agent_id), correlation_id=self._actor.correlation_id)

    @property
    def _pipelines(self) -> Pipelines:
        return self.runner.pipelines

    @property
    def _actor(self) -> Actor:
        return self.runner.actor


class _Failed(Exception):
    """A job did not do what it had to."""

    def __init__(self, reason: str, message: str, lines: LinesEnded | None = None) -> None:
        """Take a code, a sentence, and how its commands ended if that is known better than outside."""
        super().__init__(reason, message)
        self.reason, self.message, self.lines = reason, message, lines


def marker(pipeline_id: str, fence: int, job_id: str) -> str:
    """Return the word by which the processes of one attempt of a job are found."""
    return f"{pipeline_id}:{fence}:{job_id}"


def _told(error: Exception) -> tuple[str, str]:
    if isinstance(error, _Failed):
        return error.reason, error.message
    if isinstance(error, InterlockError):
        return error.code, error.message
    return "job_failed", f"{type(error).__name__}: {error}"


def _lines_of(error: Exception) -> LinesEnded | None:
    return error.lines if isinstance(error, _Failed) else None


def _ended(status: Status, lines: LinesEnded, kept: tuple[Artefact, ...], began: float) -> Ended:
    return Ended(
        status=status,
        exit_code=lines.exit_code,
        containment=lines.containment,
        notes=lines.notes,
        artefacts=kept,
        duration_ms=round((time.monotonic() - began) * 1000),
    )


def _name(tool_receipt: JsonObject) -> str:
    requirement = tool_receipt["requirement"]
    return str(requirement["name"]) if isinstance(requirement, Mapping) else ""


@contextmanager
def _listening(interrupt: Callable[[str], None]) -> Generator[None]:
    """Take Ctrl-C and SIGTERM as a wish to stop, instead of as an end in the middle of anything."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _: FrameType | None) -> None:
        interrupt(signal.Signals(number).name)

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
