"""Bring a run's result to the user's repository: as a branch, or into its working tree.

Neither reads or writes the repository's configuration, runs its hooks, or moves its HEAD or current branch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interlock.runs.repositories.errors import (
    ApplyConflict,
    BranchExists,
    GitFailed,
    MalformedBranch,
    ObjectsMissing,
)
from interlock.runs.repositories.git import Git, Place
from interlock.runs.repositories.local import LocalRepository, locate, opened
from interlock.runs.repositories.mirror import Mirror
from interlock.runs.repositories.remote import as_path
from interlock.runs.repositories.transfer import existing, send
from interlock.runs.repositories.working_tree import change_working_tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What `apply_result` did."""

    repository: Path
    """The folder that was named, absolute."""
    branch: str | None
    """The branch that now holds the result; None when the working tree was changed."""
    head: str | None
    """The commit that the working tree was at; None for a branch."""
    files: tuple[bytes, ...]
    """The paths that changed in the working tree and are staged; empty for a branch."""
    changed: bool
    """False when all of it was there already."""


def apply_result(mirror: Mirror, *, commit: str, base: str, repository: str | Path, branch: str | None) -> Applied:
    """Bring a result commit, a child of `base`, to a repository.

    With a branch (by custom `interlock/<r_id>`): it is made there, at the very commit. Raises `BranchExists`,
    `MalformedBranch`. With None: the difference is merged into the clean working tree and staged, all or nothing.
    Raises `WorkingTreeDirty`, `ApplyConflict`, `FilteredPaths`, `ApplyFailed`, `NoWorkingTree`.
    """
    git = mirror.git
    found = locate(git, as_path(str(repository)))
    if found.storage.object_format != mirror.object_format:
        raise ApplyConflict(f"{found.folder} stores objects as {found.storage.object_format}, the result is not")
    with mirror.opened() as ours:
        mirror.require(ours, commit)
        if branch is None:
            files = change_working_tree(git, found, ours, commit=commit, base=base)
            return Applied(repository=found.folder, branch=None, head=found.head, files=files, changed=bool(files))
        made = _make_branch(git, found, ours, commit=commit, base=base, branch=branch)
        return Applied(repository=found.folder, branch=branch, head=None, files=(), changed=made)


def _make_branch(git: Git, found: LocalRepository, ours: Place, *, commit: str, base: str, branch: str) -> bool:
    ref = f"refs/heads/{branch}"
    if branch.startswith("-") or "\0" in branch or git.run(ours, "check-ref-format", ref, codes=(0, 1)).code != 0:
        raise MalformedBranch(f"{branch!a} is no name for a branch")
    with opened(git, found, logs=True) as theirs:
        there = git.run(theirs, "rev-parse", "--verify", "--quiet", ref, codes=(0, 1)).line
        if there == commit:
            return False
        if there:
            raise BranchExists(f"{found.folder} already has a branch {branch}, at {there}")
        _bring(git, ours, theirs, commit=commit, base=base)
        try:
            # The zeros: only if nobody made it since.
            git.run(theirs, "update-ref", "-m", "interlock: result of a run", ref, commit, "0" * len(commit))
        except GitFailed as error:
            raise BranchExists(f"{found.folder} can not have a branch {branch}: {error.message}") from error
    return True


def _bring(git: Git, ours: Place, theirs: Place, *, commit: str, base: str) -> None:
    """Copy the result's objects; the whole history too where the repository lost (parts of) the base."""
    for haves in (existing(git, theirs, [base]), set[str]()):
        send(git, ours, theirs, wants=[commit], haves=haves, timeout_s=git.timeout_s)
        whole = git.run(theirs, "rev-list", "--objects", "--quiet", commit, "--not", "--all", codes=(0, 1, 128))
        if whole.code == 0:
            return
    raise ObjectsMissing(f"the repository lacks objects of the base commit {base}, and the mirror has no more history")
