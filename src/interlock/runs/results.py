"""Bringing a run's result to the user's repository. The repository is the owner; the event follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from interlock.access.models import Actor
from interlock.approval.ports import Look
from interlock.runs.errors import NoResult
from interlock.runs.events import RunApplied
from interlock.runs.repositories import Applied, Mirrors, apply_result
from interlock.runs.service import Runs


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

        Hooks and configuration of the repository are neither run nor changed. Raises `NoResult`, and what
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
        if work is None or work.repository is None or work.base_commit is None:
            raise NoResult(f"{run_id} did not work on a repository")
        mirror = self.mirrors.open(work.repository, "sha256" if len(commit) == 64 else "sha1")
        branch = None if into_tree else f"interlock/{run_id}"
        target = repository if repository is not None else Path(work.repository)
        applied = apply_result(mirror, commit=commit, base=work.base_commit, repository=target, branch=branch)
        mode = "working_tree" if into_tree else "branch"
        key = f"run.applied:{run_id}:{mode}:{applied.repository}:{applied.head or commit}"
        self.runs.tell(actor, RunApplied(subject=run_id, key=key, commit=commit, mode=mode, branch=branch))
        return applied
