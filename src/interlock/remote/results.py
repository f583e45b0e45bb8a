"""A run's result, brought from a server to a repository of this machine: the very commit, or nothing.

The server gives the patch and what the commit was made of; here it is made again on the same base, and its id proves
that it is the same. Then it goes the way of every result (`runs.repositories.apply_result`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from interlock.access.models import Actor
from interlock.approval.models import Approved
from interlock.kernel.errors import Failed
from interlock.remote.errors import NotFromAfar
from interlock.runs.errors import NoResult
from interlock.runs.models import Run
from interlock.runs.repositories import Applied, Git, Mirrors, apply_result
from interlock.runs.repositories.mirror import Mirror


class ResultDiffers(Failed):
    """The patch does not make the commit that the run is recorded with."""

    code = "result_differs"
    default_hint = "nothing was changed; what came over the network is not what was collected"


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
            mirror.fetch(base, pin=approved.id)
            self._remake(mirror, run, approved, base, commit)
            branch = None if into_tree else f"interlock/{run_id}"
            return apply_result(mirror, commit=commit, base=base, repository=repository, branch=branch)

    def _remake(self, mirror: Mirror, run: Run, approved: Approved, base: str, commit: str) -> None:
        """Make the commit again as `runs.repositories.collect` made it; another one is no result of this run."""
        message = f"Interlock run {run.id}\n\nApproved as {approved.id}\n{approved.digest}\n"
        git = mirror.git
        with mirror.locked() as place:
            here = replace(place, index=mirror.folder.parent / "index")
            git.run(here, "read-tree", base)
            git.run(here, "apply", "--cached", "--whitespace=nowarn", stdin=self.patch(run.id))
            tree = git.run(here, "write-tree").line
            made = git.run(here, "commit-tree", tree, "-p", base, stdin=message.encode(), at_ms=run.created_ms).line
        if made != commit:
            raise ResultDiffers(f"the patch of {run.id} makes {made}, and the run is recorded with {commit}")
        mirror.keep(f"refs/interlock/runs/{run.id}", commit)
