"""A result that was collected on another machine, made again here from its patch: the very commit, or nothing.

A commit is made of its tree, its parent, its message and its time. All but the tree is recorded with the run, and the
patch makes the tree: so the commit's own name proves that nothing is missing and nothing was added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from interlock.approval.models import Approved
from interlock.runs.errors import ResultDiffers
from interlock.runs.models import Run
from interlock.runs.repositories import Mirror
from interlock.runs.repositories.errors import GitFailed
from interlock.runs.repositories.standin import private_folder
from interlock.runs.repositories.transfer import existing


def commit_message(run: Run, approved: Approved) -> str:
    """Return what the result commit of a run says."""
    return f"Interlock run {run.id}\n\nApproved as {approved.id}\n{approved.digest}"


def ensure_result(
    mirror: Mirror, run: Run, approved: Approved, *, base: str, commit: str, patch: Callable[[], bytes]
) -> None:
    """Have a run's result in a mirror: it is there, or is made of the patch, which is asked for only then.

    Raises `ResultDiffers` if the patch makes another commit, and what `Mirror.fetch` raises; then nothing is kept.
    """
    with mirror.opened() as place:
        if existing(mirror.git, place, [commit]):
            return
    mirror.fetch(base, pin=approved.id)
    with mirror.opened(base) as place, private_folder(mirror.git.scratch) as private:
        (private / "objects").mkdir()
        here = replace(
            place, index=private / "index", objects=private / "objects", alternates=(mirror.folder / "objects",)
        )
        git, text = mirror.git, f"{commit_message(run, approved)}\n"
        git.run(here, "read-tree", base)
        try:
            git.run(here, "apply", "--cached", "--whitespace=nowarn", stdin=patch())
        except GitFailed as error:
            raise ResultDiffers(f"the patch of {run.id} does not fit its base commit {base}") from error
        tree = git.run(here, "write-tree").line
        made = git.run(here, "commit-tree", tree, "-p", base, stdin=text.encode(), at_ms=run.created_ms).line
        if made != commit:
            raise ResultDiffers(f"the patch of {run.id} makes {made}, and the run is recorded with {commit}")
        mirror.keep(f"refs/interlock/runs/{run.id}/remade", commit, made_in=here, on=base)
