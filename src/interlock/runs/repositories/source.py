"""The repository that an operator named: what it is, and which commit a ref means.

Only looks; nothing here writes to the repository, reads its hooks or lets its configuration run anything.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from interlock.runs.repositories.errors import (
    ObjectsMissing,
    RefNotFound,
    RepositoryEmpty,
)
from interlock.runs.repositories.git import Git, Place
from interlock.runs.repositories.local import locate, opened, top_level
from interlock.runs.repositories.remote import as_path, is_url, resolve_url

Resolved = tuple[str, str]
"""A full commit id and the object format it is in: `sha1` (40 hex) or `sha256` (64 hex)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryFacts:
    """What an operator and an approval need to know of a local repository."""

    path: Path
    """The top folder of the working tree (of the git folder, if bare), absolute, links resolved."""
    source: str
    """What to store and to give to `Mirrors.open`."""
    head_commit: str
    branch: str | None
    """Full name without refs/heads/; None when HEAD is detached."""
    dirty: bool
    """Tracked files differ from HEAD: they are not part of any run."""
    untracked: bool
    """There are new files that no .gitignore of the repository covers (the user's global one is not read)."""
    object_format: str
    bare: bool
    shallow: bool
    submodules: bool
    """The commit has submodules: their folders stay empty in a worktree."""
    lfs: bool
    """The commit keeps files in Git LFS: a worktree holds their pointers."""


def inspect(git: Git, path: str | Path) -> RepositoryFacts:
    """Look at a local repository; every way in which it can not be used is an error of its own (errors.py)."""
    found = locate(git, path)
    top = top_level(git, found)
    if found.head is None:
        raise RepositoryEmpty(f"{top} has no commit yet")
    with opened(git, found) as place:
        _existing(git, place, found.head)
        changes = [] if found.bare else _changes(git, replace(place, work_tree=top))
        return RepositoryFacts(
            path=top,
            source=found.source,
            head_commit=found.head,
            branch=found.branch,
            dirty=any(not line.startswith(b"?? ") for line in changes),
            untracked=any(line.startswith(b"?? ") for line in changes),
            object_format=found.storage.object_format,
            bare=found.bare,
            shallow=(found.storage.folder / "shallow").exists(),
            submodules=bool(git.run(place, "ls-tree", "-z", found.head, "--", ".gitmodules").out),
            lfs=_uses_lfs(git, place, found.head),
        )


def resolve(git: Git, source: str | Path, ref: str = "HEAD") -> Resolved:
    """Return the commit that a ref means in a repository, given by its path or URL.

    Raises `RefNotFound`, what `inspect` raises for a path, and `RemoteUnreachable` for a URL.
    """
    text = os.fspath(source)
    if is_url(text):
        return resolve_url(git, text, ref)
    found = locate(git, as_path(text))
    if found.head is None:
        raise RepositoryEmpty(f"{text} has no commit yet")
    if not ref or "\0" in ref:
        raise RefNotFound(f"{ref!a} can not be a branch, tag or commit")
    with opened(git, found) as place:
        asked = git.run(
            place, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}", codes=(0, 1, 128)
        )
        if asked.code != 0 or not asked.line:
            raise RefNotFound(f"{text} has no branch, tag or commit {ref!a}")
        return asked.line, found.storage.object_format


def _existing(git: Git, place: Place, commit: str) -> None:
    if git.run(place, "cat-file", "-e", f"{commit}^{{tree}}", codes=(0, 1, 128)).code != 0:
        raise ObjectsMissing(f"the repository lacks objects of its own commit {commit}")


def _changes(git: Git, place: Place) -> list[bytes]:
    """List what differs from HEAD, one porcelain line each.

    Submodules are not looked into: for that git starts itself inside them, with their configuration.
    """
    listed = git.run(
        place, "status", "--porcelain=v1", "-z", "--untracked-files=normal", "--ignore-submodules=all", "--no-renames"
    )
    return [line for line in listed.out.split(b"\0") if line]


def _uses_lfs(git: Git, place: Place, commit: str) -> bool:
    asked = git.run(
        place, "grep", "-q", "--no-textconv", "-e", "filter=lfs", commit, "--", ":(glob)**/.gitattributes", codes=(0, 1)
    )
    return asked.code == 0
