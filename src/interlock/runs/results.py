"""Bringing a run's result to the user's repository. The repository is the owner; the event follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from interlock.access.models import Actor
from interlock.approval.ports import Look
from interlock.runs.errors import NoResult, RunStateConflict
from interlock.runs.events import RunApplied
from interlock.runs.models import ENDED
from interlock.runs.remaking import ensure_result
from interlock.runs.repositories import Applied, Mirrors, apply_result
from interlock.runs.service import Runs

if TYPE_CHECKING:
    from interlock.evidence.models import LoggedEvent
    from interlock.evidence.service import Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What runs brought about, on its way to people."""

    runs: Runs
    look: Look
    mirrors: Mirrors
    thawed: Callable[[], None]
    """Raises `Frozen` while panic is on."""

    def apply(self, actor: Actor, run_id: str, *, repository: Path | None, into_tree: bool) -> Applied:
        """Make the branch `interlock/<r_id>`, or merge into the clean working tree; its own by default.

        What was collected on another machine is made again here from its patch, to the very commit. Hooks and
        configuration of the repository are neither run nor changed. Raises `NoResult`, `ResultDiffers`, and what
        `repositories.apply_result` raises; then nothing has changed.
        """
        self.thawed()
        run = self.runs.get(run_id)
        commit = (run.result or {}).get("commit")
        if not isinstance(commit, str):
            told = "changed nothing" if run.result else f"is {run.status.value} and has no result"
            raise NoResult(f"{run_id} {told}")
        with self.look() as desk:
            approved = desk.approved.get(run.approved_id)
        work = approved.work if approved else None
        if approved is None or work is None or work.repository is None or work.base_commit is None:
            raise NoResult(f"{run_id} did not work on a repository")
        mirror = self.mirrors.open(work.repository, "sha256" if len(commit) == 64 else "sha1")
        ensure_result(
            mirror, run, approved, base=work.base_commit, commit=commit, patch=lambda: self.runs.patch(run_id)
        )
        branch = None if into_tree else f"interlock/{run_id}"
        target = repository if repository is not None else Path(work.repository)
        applied = apply_result(mirror, commit=commit, base=work.base_commit, repository=target, branch=branch)
        mode = "working_tree" if into_tree else "branch"
        key = f"run.applied:{run_id}:{mode}:{applied.repository}:{applied.head or commit}"
        self.runs.tell(actor, RunApplied(subject=run_id, key=key, commit=commit, mode=mode, branch=branch))
        return applied


class RunLog(Protocol):
    """What the evidence log says of runs and approvals."""

    def run_events(self, run_id: str, limit: int) -> Sequence[tuple[int, LoggedEvent]]:
        """Return the first events of a run with their leaf indexes."""
        ...

    def approval_events(self, draft_id: str) -> Sequence[tuple[int, LoggedEvent]]:
        """Return the approvals of a draft with their leaf indexes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipts:
    """What an outsider gets to check how a run ended."""

    runs: Runs
    look: Look
    log: RunLog
    evidence: Callable[[], Evidence]

    def of(self, run_id: str) -> dict[str, Any]:
        """Return the receipt of a run that has ended; see `evidence.receipts`.

        Raises `RunStateConflict` for one that has not, `EntryNotCovered` where no signed head covers its end yet.
        """
        from interlock.evidence.receipts import MAX_ENTRIES, About, write_receipt  # noqa: PLC0415 - cryptography

        run = self.runs.get(run_id)
        if run.status not in ENDED:
            raise RunStateConflict(
                f"{run_id} is {run.status.value} and has no end to give a receipt for",
                hint=f"wait for it: `interlock run wait {run_id}`",
            )
        with self.look() as desk:
            approved = desk.approved.get(run.approved_id)
        draft_id = approved.draft_id if approved else ""
        found = [index for index, _ in self.log.run_events(run_id, MAX_ENTRIES // 2)]
        found += [
            index
            for index, event in self.log.approval_events(draft_id)
            if event["payload"].get("approved_id") == run.approved_id
        ]
        evidence = self.evidence()
        about = About(run_id=run_id, approved_id=run.approved_id, draft_id=draft_id, indexes=found)
        return write_receipt(evidence.log, about, evidence.verifiers, evidence.origin)
