"""The verbs of runs: an operator's and a worker's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from interlock.access.errors import Frozen
from interlock.access.models import Actor, PrincipalKind
from interlock.approval.models import Approved, Rung, Work
from interlock.approval.service import startable, verify_frozen
from interlock.evidence.content import Sealed
from interlock.kernel.canonical import JsonObject, check, digest
from interlock.kernel.errors import InterlockError, Invalid
from interlock.kernel.events import Event
from interlock.kernel.ids import UlidSource, checked
from interlock.queue.models import PRIORITY_RANK, Executor, Item, ItemKind, ItemStatus, NewItem, WorkerProcess
from interlock.runs.errors import CiNeedsAnother, ReportInvalid, RunAlreadyEnded, RunNotFound, RunStateConflict
from interlock.runs.events import RunAgentStarted, RunArchived, RunCiReported, RunCreated, RunStepCompleted
from interlock.runs.models import CiReport, Claim, Found, LogLine, Outcome, Pulse, Run, RunStatus, Step, StepName
from interlock.runs.ports import Look, Open, RunDesk
from interlock.runs.rungs import Judged, judge, names_of, needed

_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_URL = re.compile(r"https?://[^\s@\x00-\x20\x7f]{1,1990}")
SEARCHED = 100_000
"""Lines that one search looks through at most, so that none holds a connection for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Runs; each verb opens the transaction that it needs."""

    open: Open
    look: Look
    light: Look
    """Opens a transaction for what is no event: heartbeats and output."""
    new_ulid: UlidSource
    rung: Callable[[], Rung] = lambda: Rung.EXIT_CODE
    """The least evidence of being done that the workspace accepts."""

    # --- for operators ------------------------------------------------------------------------------------------------

    def create(self, actor: Actor, approved_id: str, *, priority: str = "P1") -> Run:
        """Make a run from an approved record that is valid now; a draft, a path or a wrong id is refused."""
        if priority not in PRIORITY_RANK:
            raise Invalid(f"the priority is one of {', '.join(PRIORITY_RANK)}, not {priority[:20]!a}")
        with self.open(actor) as desk:
            approved = startable(desk.approval, approved_id)
            run_id = f"r_{self.new_ulid()}"
            item = desk.queue.add(_item(run_id, approved, priority, desk.queue.options.max_attempts))
            run = Run(
                id=run_id,
                approved_id=approved.id,
                item_id=item.id,
                status=RunStatus.PENDING,
                reason=None,
                message=None,
                generation=1,
                attempt=1,
                created_ms=desk.now(),
                created_by=str(actor.principal),
                started_ms=None,
                ended_ms=None,
                correlation_id=desk.correlation_id,
                result=None,
            )
            desk.runs.add(run)
            desk.runs.log(run_id, [LogLine(ts_ms=desk.now(), level="INFO", source="interlock", msg="Run created")])
            desk.emit(RunCreated(subject=run_id, approved_id=approved.id, digest=approved.digest, item_id=item.id))
        return run

    def get(self, run_id: str) -> Run:
        """Return a run; raises `RunNotFound`."""
        checked(run_id, "r")
        with self.look() as desk:
            return _run(desk, run_id)

    def in_full(self, run_id: str, *, lines: int) -> tuple[Run, Sequence[Step], Sequence[LogLine]]:
        """Return a run, the steps of its present generation, and the last `lines` of its log, as of one moment."""
        checked(run_id, "r")
        with self.look() as desk:
            run = _run(desk, run_id)
            log = desk.runs.read_log(run_id, after=0, limit=lines, last=True)
            return run, desk.runs.steps(run_id, run.generation), log

    def list(
        self,
        *,
        status: RunStatus | None = None,
        approved_id: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> Sequence[Run]:
        """List runs, newest first, all or those of one approved record; those made before the one called `before`."""
        if approved_id is not None:
            checked(approved_id, "a")
        with self.look() as desk:
            return desk.runs.list(status=status, approved_id=approved_id, limit=limit, before=before)

    def steps(self, run_id: str) -> Sequence[Step]:
        """List the steps of a run's present generation."""
        checked(run_id, "r")
        with self.look() as desk:
            return desk.runs.steps(run_id, _run(desk, run_id).generation)

    def log(self, run_id: str, *, after: int = 0, limit: int = 1000, last: bool = False) -> Sequence[LogLine]:
        """Return log lines numbered above `after`: the first `limit`, or the last."""
        checked(run_id, "r")
        with self.look() as desk:
            _run(desk, run_id)
            return desk.runs.read_log(run_id, after=after, limit=limit, last=last)

    def search(self, run_id: str, text: str, *, after: int = 0, limit: int = 1000) -> Found:
        """Look for a text in the log behind line `after`, in at most `SEARCHED` lines: whoever wants more goes on.

        Letters from A to Z count in either case.
        """
        checked(run_id, "r")
        with self.look() as desk:
            _run(desk, run_id)
            end = max((line.line for line in desk.runs.read_log(run_id, after=0, limit=1, last=True)), default=0)
            until = min(end, after + SEARCHED)
            lines = desk.runs.search_log(run_id, text, after=after, until=until, limit=limit)
        searched_to = lines[-1] if len(lines) == limit else until
        return Found(lines=lines, searched_to=max(after, searched_to), complete=searched_to >= end)

    def patch(self, run_id: str) -> bytes:
        """Return the patch that a run brought about; empty where it changed nothing or has none yet."""
        run = self.get(run_id)
        ref = cast("dict[str, str]", (run.result or {}).get("patch") or {}).get("digest")
        if ref is None:
            return b""
        with self.look() as desk:
            return desk.approval.contents.get(ref) or b""

    def cancel(self, actor: Actor, run_id: str, *, reason: str = "") -> Run:
        """Stop a run for good; its worker ends the whole process tree."""
        checked(run_id, "r")
        with self.open(actor, calming=True) as desk:
            run = _run(desk, run_id)
            if run.status in {RunStatus.DONE, RunStatus.ERROR, RunStatus.CANCELLED}:
                raise RunAlreadyEnded(f"Run already in terminal state: {run.status.value}")
            desk.queue.cancel(run.item_id, reason=reason)
            desk.queue.wake()
            return _run(desk, run_id)

    def retry(self, actor: Actor, run_id: str) -> Run:
        """Do an errored run anew, if its approval still holds."""
        checked(run_id, "r")
        with self.open(actor) as desk:
            run = _run(desk, run_id)
            if run.archived_ms is not None:
                raise RunStateConflict(f"{run_id} is in the archive", hint="make a new run from the approved record")
            if run.status is not RunStatus.ERROR:
                raise RunStateConflict(
                    f"only a run in error can be retried; {run_id} is {run.status.value}",
                    hint="make a new run from the approved record: `interlock run create`",
                )
            startable(desk.approval, run.approved_id)
            desk.queue.retry(run.item_id, backoff=False)
            return _run(desk, run_id)

    def report_ci(self, actor: Actor, run_id: str, *, commit: str, succeeded: bool, url: str = "") -> Run:
        """Note what the project's CI says of a commit; a run that waits for exactly that goes on.

        A service or a human says so, never an agent. The same report again changes nothing. Whether the commit is the
        run's result is found out by the run: a report may come first.
        """
        checked(run_id, "r")
        if actor.principal.kind is PrincipalKind.AGENT:
            raise CiNeedsAnother(f"{actor.principal} is an agent, and does not speak for a CI")
        _check_report(commit, url)
        with self.open(actor, calming=True) as desk:
            run = _run(desk, run_id)
            before = next((each for each in desk.runs.ci(run_id) if each.commit == commit), None)
            if before is not None and (before.succeeded, before.url) == (succeeded, url):
                return run
            if run.status in {RunStatus.DONE, RunStatus.CANCELLED}:
                raise RunAlreadyEnded(f"{run_id} is {run.status.value} already; what CI says now changes nothing")
            matches = commit in names_of(run.result or {})
            desk.runs.put_ci(
                run_id,
                CiReport(commit=commit, succeeded=succeeded, url=url, reported_ms=desk.now(), by=str(actor.principal)),
            )
            if matches:
                desk.queue.word_came(run.item_id, waits_for="ci")
            status = "success" if succeeded else "failure"
            desk.emit(RunCiReported(subject=run_id, commit=commit, status=status, url=url, matches=matches))
            return _run(desk, run_id)

    # --- for the archive ----------------------------------------------------------------------------------------------

    def ended_before(self, before_ms: int, *, limit: int = 100) -> Sequence[Run]:
        """List runs that ended before an instant and are not archived, the oldest end first."""
        with self.look() as desk:
            return desk.runs.ended_before(before_ms, limit)

    def archive(self, actor: Actor, run_id: str, *, ended_before_ms: int, digest: str, log_lines: int) -> bool:
        """Take log and steps away from a run whose archive is written; False if it moved meanwhile."""
        checked(run_id, "r")
        with self.open(actor) as desk:
            if not desk.runs.archive(run_id, ended_before_ms=ended_before_ms):
                return False
            desk.emit(RunArchived(subject=run_id, archive_digest=digest, log_lines=log_lines))
        return True

    # --- for workers --------------------------------------------------------------------------------------------------

    def claim(
        self,
        actor: Actor,
        worker: WorkerProcess,
        on_refused: Callable[[str], None] = lambda _: None,
        *,
        engine: str = "",
        lease_seconds: int | None = None,
        has: frozenset[str] = frozenset(),
        node_id: str | None = None,
    ) -> Claim | None:
        """Take up the next run; one whose approval does not hold any more fails here, and `on_refused` is told.

        Only a run that needs nothing beyond what the node `has`, its labels and capabilities; and none at all, with an
        error, where the node called `node_id` may not take anything up now.
        With the name of an `engine` that finds the next hands for a run itself, the holder is `<engine>:<worker>`, and
        no process stands for it: that one has died says nothing, only a lease that ran out does.
        """
        holder = f"{engine}:{worker.id}" if engine else worker.id
        while True:
            with self.open(actor) as desk:
                if node_id is not None:
                    desk.admit(node_id)
                if not engine:
                    desk.queue.store.register(worker)
                item = desk.queue.claim(
                    Executor.INTERLOCK, holder, lease_seconds=lease_seconds, has=has, node_id=node_id
                )
                if item is None:
                    return None
                run = _run(desk, item.run_id or "")
                steps = {s.name: s for s in desk.runs.steps(run.id, run.generation) if s.output is not None}
                try:
                    approved = _still_approved(desk, run, started=StepName.AGENT in steps)
                except InterlockError as error:
                    desk.queue.fail(item.id, item.fence, reason=error.code, message=error.message)
                    approved = None
            if approved is None:
                on_refused(run.id)
                continue
            return Claim(item=item, run=run, approved=approved, steps=steps)

    def check_startable(self, approved_id: str) -> None:
        """Raise what stands against starting an agent from this record now."""
        with self.look() as desk:
            startable(desk.approval, approved_id)

    def frozen(self) -> bool:
        """Say whether panic is on, so that no agent may be started."""
        try:
            with self.look() as desk:
                desk.queue.thawed()
        except Frozen:
            return True
        return False

    def renew(self, worker_id: str) -> Mapping[str, int]:
        """Renew a worker's leases; returns what it still holds (item id → fence)."""
        with self.light() as desk:
            return desk.queue.renew(worker_id)

    def keep(self, held: Sequence[tuple[str, int]]) -> Sequence[tuple[str, int]]:
        """Renew the leases of these items under these fences; returns those that are lost."""
        with self.light() as desk:
            return [each for each in held if desk.queue.store.beat(*each) is None]

    def cancel_held(self, actor: Actor, item_id: str, fence: int, *, cause: str, reason: str) -> bool:
        """Stop the run that is held under this fence, for a cause that is no operator's word to us; False if none is.

        Raises `ItemNotFound`.
        """
        with self.open(actor, calming=True) as desk:
            seen = desk.queue.get(item_id)
            if seen.status is not ItemStatus.IN_PROGRESS or seen.fence != fence:
                return False
            desk.queue.cancel(item_id, reason=reason, seen=seen, cause=cause)
            desk.queue.wake()
            return True

    def places(self) -> Sequence[tuple[str, int]]:
        """List runs that have not ended with the fences under which they were worked on."""
        with self.look() as desk:
            return desk.runs.places()

    def write_log(self, claim: Claim, lines: Sequence[LogLine], *, pulse: Pulse | None = None) -> None:
        """Append output lines, and the pulse where one is due; a worker that came too late adds nothing."""
        with self.light() as desk:
            if desk.queue.store.hold(claim.item.id, claim.item.fence):
                desk.runs.log(claim.run.id, lines)
                if pulse is not None:
                    desk.runs.put_pulse(claim.run.id, pulse)

    def put_pulse(self, claim: Claim, pulse: Pulse) -> None:
        """Keep what is seen of the agent now; a worker that came too late changes nothing. Not an event."""
        with self.light() as desk:
            if desk.queue.store.hold(claim.item.id, claim.item.fence):
                desk.runs.put_pulse(claim.run.id, pulse)

    def pulse(self, run_id: str) -> Pulse | None:
        """Return what was last seen of a run's agent; None before one was started."""
        checked(run_id, "r")
        with self.look() as desk:
            return desk.runs.pulse(run_id)

    def begin_step(self, actor: Actor, claim: Claim, name: StepName) -> None:
        """Note that a step begins; raises `LeaseLost` if the run is not this worker's any more."""
        with self.open(actor, calming=True) as desk:
            desk.queue.hold(claim.item.id, claim.item.fence)
            desk.runs.begin_step(claim.run, name, claim.item.fence)

    def agent_started(self, actor: Actor, claim: Claim, *, pid: int, start_time: int, boot: str, mode: str) -> None:
        """Record the agent's process, so that it can be found again."""
        with self.open(actor, calming=True) as desk:
            desk.queue.hold(claim.item.id, claim.item.fence)
            desk.emit(
                RunAgentStarted(
                    subject=claim.run.id,
                    key=f"run.agent_started:{claim.run.id}:{claim.item.fence}",
                    fence=claim.item.fence,
                    pid=pid,
                    start_time=start_time,
                    boot_id=boot,
                    containment=mode,
                )
            )

    def complete_step(
        self, actor: Actor, claim: Claim, name: StepName, output: JsonObject, *, bodies: Sequence[Sealed] = ()
    ) -> Step:
        """Keep a step's output and the bodies that it names; a later worker goes on after it."""
        check(output, name.value)
        with self.open(actor, calming=True) as desk:
            desk.queue.hold(claim.item.id, claim.item.fence)
            done = {step.name: step for step in desk.runs.steps(claim.run.id, claim.run.generation)}.get(name)
            if done is not None and done.output is not None and done.fence == claim.item.fence:
                return done  # the answer to an earlier try was lost
            for body in bodies:
                desk.approval.contents.put(body)
            step = desk.runs.end_step(claim.run, name, claim.item.fence, output)
            desk.emit(
                RunStepCompleted(
                    subject=claim.run.id,
                    step=name.value,
                    fence=claim.item.fence,
                    duration_ms=max(0, (step.ended_ms or 0) - step.started_ms),
                    output_digest=digest(output),
                )
            )
        return step

    def finish(self, actor: Actor, claim: Claim, outcome: Outcome, *, bodies: Sequence[Sealed] = ()) -> Run:
        """End a run and its item together; raises `LeaseLost` for a worker that came too late.

        What went well and is not proven as well as is needed ends in error; where only CI has not spoken yet, the run
        waits for that without a worker.
        """
        check(outcome.result, "result")
        item = claim.item
        with self.open(actor, calming=True) as desk:
            desk.queue.hold(item.id, item.fence)
            for body in bodies:
                desk.approval.contents.put(body)
            desk.runs.put_result(claim.run.id, outcome.result)
            judged = self._judged(desk, claim, outcome) if outcome.reason is None else None
            if judged is not None and judged.waits:
                desk.queue.await_word(item.id, item.fence, waits_for="ci")
                return _run(desk, claim.run.id)
            reason = outcome.reason if judged is None else judged.reason
            message = outcome.message if judged is None or judged.reason is None else judged.message
            desk.runs.end_step(claim.run, StepName.FINISH, item.fence, {"reason": reason})
            if judged is not None and reason is None:
                desk.runs.put_rung(claim.run.id, judged.rung.value)
                desk.queue.complete(item.id, item.fence)
            else:
                desk.queue.fail(item.id, item.fence, reason=reason or "failed", message=message)
            return _run(desk, claim.run.id)

    def _judged(self, desk: RunDesk, claim: Claim, outcome: Outcome) -> Judged:
        return judge(outcome.result, needed(claim.approved.work, self.rung()), desk.runs.ci(claim.run.id))

    def tell(self, actor: Actor, event: Event) -> None:
        """Log what happened to a run outside the database."""
        with self.open(actor, calming=True) as desk:
            desk.emit(event)

    def give_back(self, actor: Actor, claim: Claim) -> None:
        """Return a run that this worker will not finish; no attempt is used up."""
        with self.open(actor, calming=True) as desk:
            desk.queue.release(claim.item.id, claim.item.fence)

    def rescue(self, actor: Actor, seen: Item, *, reason: str) -> Item | None:
        """Take a run from a worker that was seen dead."""
        with self.open(actor, calming=True) as desk:
            return desk.queue.rescue(seen, reason=reason)


def _needs(work: Work) -> tuple[str, ...]:
    """Return what a node must have: what was asked for, and the agent's program where it is found by its name alone."""
    if work.agent == "command" or work.command is None:
        return work.needs
    from interlock.runs.agents import AGENTS  # noqa: PLC0415 - only where an adapter is named

    found = AGENTS.get(work.agent)
    by_name = found is not None and work.command[0] == found.executable
    return tuple(sorted({*work.needs, f"agent={work.agent}"})) if by_name else work.needs


def _item(run_id: str, approved: Approved, priority: str, max_attempts: int) -> NewItem:
    return NewItem(
        kind=ItemKind.RUN,
        executor=Executor.EXTERNAL if approved.work.command is None else Executor.INTERLOCK,
        priority=priority,
        # The prompt can be erased; so its words are shown from where they lie and are not copied here.
        task=f"carry out {approved.id}",
        success_criteria="the approved checks pass",
        run_id=run_id,
        max_attempts=max_attempts,
        needs=_needs(approved.work),
        repository=approved.work.repository,
        agent=approved.work.agent,
    )


def _check_report(commit: str, url: str) -> None:
    if not _OBJECT.fullmatch(commit):
        raise ReportInvalid(f"a commit is named by its 40 or 64 hex digits, not {commit[:80]!a}")
    if url and not _URL.fullmatch(url):
        raise ReportInvalid(f"the address is http(s)://…, without a user, at most 2000 characters: {url[:80]!a}")


def _run(desk: RunDesk, run_id: str) -> Run:
    run = desk.runs.get(run_id)
    if run is None:
        raise RunNotFound(f"there is no run {run_id}")
    return run


def _still_approved(desk: RunDesk, run: Run, *, started: bool) -> Approved:
    """Check the digest; and, until the agent has done its part, that the approval has not ended either."""
    if not started:
        return startable(desk.approval, run.approved_id)
    approved = desk.approval.approved.get(run.approved_id)
    if approved is None:
        raise RunNotFound(f"{run.approved_id} is not there any more")
    verify_frozen(desk.approval, approved)
    return approved
