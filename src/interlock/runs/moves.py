"""How a run moves with its item. The queue calls this in the transaction that moves the item.

run         item          moves by
pending     PENDING       run created; given back or rescued; retry of an errored run
running     IN_PROGRESS   claim
done        DONE          finish
error       FAILED        finish with failure, limit reached, digest mismatch, attempts used up
cancelled   BLOCKED       cancel on either; replan (the item then waits for a new approved draft)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from interlock.approval.models import Rung
from interlock.approval.ports import Desk
from interlock.approval.service import startable
from interlock.kernel.canonical import digest
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.kernel.events import Emit
from interlock.queue.models import Executor, Item, ItemStatus
from interlock.runs.errors import DoneUnproven, RunAlreadyEnded, RunStateConflict
from interlock.runs.events import RunCancelled, RunDone, RunFailed, RunRetried, RunReturned, RunStarted
from interlock.runs.models import MAY_BECOME, LogLine, Run, RunStatus
from interlock.runs.ports import RunStore

WAITS_FOR_CI = "waits_for_ci"


@dataclass(frozen=True, slots=True)
class RunMoves:
    """Moves runs in one open transaction; implements `queue.ports.ItemOwner`."""

    store: RunStore
    approval: Callable[[], Desk]
    """Made only for a run: most items are none."""
    emit: Emit
    now: Clock
    rung: Rung = Rung.EXIT_CODE
    """The least evidence of being done that the workspace accepts."""

    def claimed(self, item: Item) -> InterlockError | None:
        """Take the run up: pending → running. Returns what stands against it where the approval does not hold.

        An Interlock worker holds the approval against what it has done of the run already (`Runs.claim`); a session
        outside begins, and for that the approval has to be valid now.
        """
        run = self._move(item, RunStatus.RUNNING)
        self.emit(
            RunStarted(
                subject=run.id,
                item_id=item.id,
                fence=item.fence,
                attempt=item.attempt_count + 1,
                worker=item.owner_session,
            )
        )
        self._say(run, "INFO", f"Execution started, attempt {item.attempt_count + 1}, by {item.owner_session}")
        if item.executor is Executor.INTERLOCK:
            return None
        try:
            startable(self.approval(), run.approved_id)
        except InterlockError as error:
            return error
        return None

    def completed(self, item: Item) -> None:
        """End the run well: running → done."""
        run = self._move(item, RunStatus.DONE)
        result: dict[str, Any] = dict(run.result or {})
        if item.executor is Executor.EXTERNAL:
            self._check_reported(run)
            self.store.put_rung(run.id, Rung.SELF_REPORTED.value)
        rung = (self.store.get(run.id) or run).rung or Rung.SELF_REPORTED.value
        self.emit(
            RunDone(
                subject=run.id,
                fence=item.fence,
                result_digest=digest(result),
                commit=result.get("commit"),
                patch_digest=cast("dict[str, str]", result.get("patch") or {}).get("digest"),
                files_changed=len(result.get("files") or ()),
                attestation=result.get("attestation"),
                rung=rung,
            )
        )
        self._say(run, "INFO", "Execution completed")

    def _check_reported(self, run: Run) -> None:
        """Refuse the word of an external session where more than a word is needed.

        That a process ends with 0 is asked of what Interlock starts; of an external session nobody sees a process.
        """
        approved = self.approval().approved.get(run.approved_id)
        asked = Rung(approved.work.rung) if approved is not None and approved.work.rung else Rung.SELF_REPORTED
        if asked is Rung.SELF_REPORTED and Rung.EXIT_CODE.reaches(self.rung):
            return
        raise DoneUnproven(
            f"{Rung.highest(asked, self.rung).value} is needed for {run.id}, and an external session only says that it"
            " is done",
            hint="let a worker do it: draft it with a command or an agent; or end this item with `queue fail`",
        )

    def failed(self, item: Item, reason: str, message: str) -> None:
        """End the run in error."""
        run = self._move(item, RunStatus.ERROR, reason=reason, message=message)
        result = cast("dict[str, Any] | None", run.result)
        self.emit(
            RunFailed(
                subject=run.id,
                fence=item.fence,
                reason=reason,
                result_digest=digest(result) if result else None,
                attestation=result.get("attestation") if result else None,
            )
        )
        self._say(run, "ERROR", f"Execution failed: {message} ({reason})")

    def given_back(self, item: Item, reason: str) -> None:
        """Let the run wait for a worker again: running → pending."""
        run = self._move(item, RunStatus.PENDING, reason=reason)
        self.emit(RunReturned(subject=run.id, reason=reason))
        if reason == WAITS_FOR_CI:
            self._say(run, "INFO", "Everything is done; waits for CI to report on exactly this result")
        else:
            self._say(run, "WARN", f"Waiting for a worker again ({reason})")

    def cancelled(self, item: Item, reason: str, message: str) -> None:
        """Stop the run for good; a run that ended before keeps its end when its item is replanned."""
        run = self._run(item)
        if MAY_BECOME.final(run.status) and item.waits_for is not None:
            return
        self._move(item, RunStatus.CANCELLED, reason=reason, message=message or None)
        self.emit(RunCancelled(subject=run.id, previous_status=run.status.value, reason=reason, message=message))
        self._say(run, "WARN", "Cancelled" + (f": {message}" if message else ""))

    def retried(self, item: Item) -> None:
        """Do an errored run anew: error → pending, next generation."""
        run = self._move(item, RunStatus.PENDING)
        generation = self.store.renew(run.id)
        self.emit(RunRetried(subject=run.id, generation=generation))
        self._say(run, "INFO", f"Retry asked for, attempt {item.attempt_count + 1}")

    def _run(self, item: Item) -> Run:
        run = self.store.get(item.run_id or "")
        if run is None:
            raise RuntimeError(f"{item.id} belongs to {item.run_id}, which is not there")
        return run

    def _move(self, item: Item, after: RunStatus, *, reason: str | None = None, message: str | None = None) -> Run:
        run = self._run(item)
        if not MAY_BECOME.allows(run.status, after):
            if MAY_BECOME.final(run.status):
                raise RunAlreadyEnded(f"{run.id} is {run.status.value} already")
            raise RunStateConflict(f"{run.id} is {run.status.value} and can not become {after.value}")
        if not self.store.move(run.id, run.status, after, reason=reason, message=message):
            raise RunStateConflict(f"{run.id} changed while this was done")
        if item.status is ItemStatus.IN_PROGRESS and after is not RunStatus.RUNNING:
            raise RuntimeError(f"{item.id} is still IN_PROGRESS while its run becomes {after.value}")
        return run

    def _say(self, run: Run, level: str, text: str) -> None:
        self.store.log(run.id, [LogLine(ts_ms=self.now(), level=level, source="interlock", msg=text)])
