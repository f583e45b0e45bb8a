"""A run's result, brought from a server to a repository of this machine: the very commit, or nothing.

The server gives the patch and what the commit was made of; here it is made again (`runs.remaking`), and its id proves
that it is the same. Then it goes the way of every result (`runs.repositories.apply_result`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from interlock.access.models import Actor
from interlock.approval.models import Approved
from interlock.remote.errors import NotFromAfar
from interlock.runs.errors import NoResult
from interlock.runs.models import Run
from interlock.runs.remaking import ensure_result
from interlock.runs.repositories import Applied, Git, Mirrors, apply_result


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteResults:
    """Answers as `runs.results.Results` does, but for telling the server's log."""

    run: Callable[[str], Run]
    approved: Callable[[str], Approved]
    patch: Callable[[str], bytes]
    thawed: Callable[[], None]

    def apply(self, actor: Actor, run_id: str, *, repository: Path | None, into_tree: bool) -> Applied:
        """Make the branch `interlock/<r_id>` in a repository here, or merge into its clean working tree."""
        del actor
        if repository is None:
            raise NotFromAfar("the run's own repository is its server's", hint="name one here: --repo DIR")
        self.thawed()
        run = self.run(run_id)
        commit = (run.result or {}).get("commit")
        if not isinstance(commit, str):
            told = "changed nothing" if run.result else f"is {run.status.value} and has no result"
            raise NoResult(f"{run_id} {told}")
        approved = self.approved(run.approved_id)
        base = cast("str | None", approved.terms.get("base_commit"))
        if base is None:
            raise NoResult(f"{run_id} did not work on a repository")
        with tempfile.TemporaryDirectory(prefix="interlock-result-") as scratch:
            mirrors = Mirrors(git=Git(scratch=Path(scratch) / "git"), folder=Path(scratch) / "mirrors")
            mirror = mirrors.open(str(repository.absolute()), "sha256" if len(commit) == 64 else "sha1")
            ensure_result(mirror, run, approved, base=base, commit=commit, patch=lambda: self.patch(run.id))
            branch = None if into_tree else f"interlock/{run_id}"
            return apply_result(mirror, commit=commit, base=base, repository=repository, branch=branch)
