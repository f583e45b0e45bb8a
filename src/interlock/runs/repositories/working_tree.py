"""Put a result into the user's working tree: all of it or nothing, and only on a clean tree."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from interlock.runs.repositories.changes import parents, shown
from interlock.runs.repositories.errors import (
    ApplyConflict,
    ApplyFailed,
    FilteredPaths,
    GitTooOld,
    NoWorkingTree,
    RepositoryEmpty,
    WorkingTreeDirty,
)
from interlock.runs.repositories.git import Git, Place
from interlock.runs.repositories.local import LocalRepository, opened, top_level
from interlock.runs.repositories.standin import private_folder
from interlock.runs.repositories.transfer import send

_UNDER_WAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply", "index.lock")
_LOOKED = ("not uptodate", "would be overwritten", "would be removed", "would lose", "index.lock")
"""What git says when it stops before writing anything."""
_MERGES_TREES = (2, 38)


def change_working_tree(git: Git, found: LocalRepository, ours: Place, *, commit: str, base: str) -> tuple[bytes, ...]:
    """Merge base..commit into the working tree at its HEAD and stage it; return the changed paths."""
    if found.bare:
        raise NoWorkingTree(f"{found.folder} is bare")
    if found.head is None:
        raise RepositoryEmpty(f"{found.folder} has no commit yet")
    top = top_level(git, found)
    with opened(git, found) as theirs, private_folder(git.scratch) as private:
        (private / "objects").mkdir()
        here = replace(theirs, work_tree=top)
        _refuse_unready(git, here, found)
        # The merge happens in objects of our own: until it is known to fit, the repository gets nothing.
        alternates = tuple(place.git_dir / "objects" for place in (theirs, ours) if place.git_dir)
        aside = replace(theirs, objects=private / "objects", alternates=alternates)
        old = _tree(git, aside, found.head)
        new = _merged(git, aside, found.head, base, commit)
        if new == old:
            return ()
        change = _Change(git, here, top, old, new)
        change.refuse_filtered(aside)
        change.rehearse(replace(aside, work_tree=top, index=_copied(here.index, private)))
        send(git, aside, theirs, wants=[new], haves=[old], timeout_s=git.timeout_s)
        change.make()
        return change.paths(aside)


def _refuse_unready(git: Git, here: Place, found: LocalRepository) -> None:
    for name in _UNDER_WAY:
        if os.path.lexists(found.git_dir / name):
            raise WorkingTreeDirty(f"{found.folder} has an operation under way: {found.git_dir / name} is there")
    options = ("--porcelain=v1", "-z", "--untracked-files=no", "--ignore-submodules=all", "--no-renames")
    changed = [line[3:] for line in git.run(here, "status", *options).out.split(b"\0") if line]
    if changed:
        raise WorkingTreeDirty(f"{found.folder} has uncommitted changes: {_listed(changed)}")


def _copied(index: Path | None, private: Path) -> Path:
    copy = private / "index"
    if index is not None and index.exists():
        copy.write_bytes(index.read_bytes())
    return copy


def _tree(git: Git, place: Place, commit: str) -> str:
    return git.run(place, "rev-parse", "--verify", f"{commit}^{{tree}}").line


def _merged(git: Git, aside: Place, head: str, base: str, commit: str) -> str:
    """Return the tree of `head` with base..commit merged in.

    Between three commits made for it, so that the base is `base` also where the user has rewritten the history since.
    """
    if head == base:
        return _tree(git, aside, commit)
    if git.version() < _MERGES_TREES:
        raise GitTooOld("merging into a working tree that has moved on needs git 2.38")
    root = _bare_commit(git, aside, base)
    mine, result = (_bare_commit(git, aside, one, "-p", root) for one in (head, commit))
    merged = git.run(
        aside, "merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", mine, result, codes=(0, 1)
    )
    tree, *conflicts = merged.out.rstrip(b"\0").split(b"\0")
    if merged.code != 0:
        raise ApplyConflict(f"the result conflicts with the working tree's commit in {_listed(conflicts)}")
    return tree.decode("ascii")


def _bare_commit(git: Git, place: Place, commit: str, *parent: str) -> str:
    return git.run(place, "commit-tree", _tree(git, place, commit), *parent, at_ms=0).line


@dataclass(frozen=True, slots=True)
class _Change:
    """The step of a clean working tree and its index from one tree to another."""

    git: Git
    here: Place
    top: Path
    old: str
    new: str

    def paths(self, place: Place, *filters: str) -> tuple[bytes, ...]:
        """Return the paths that differ, e.g. only the added ones with `--diff-filter=A`."""
        options = ("-r", "-z", "--name-only", "--no-renames", *filters)
        listed = self.git.run(place, "diff-tree", *options, self.old, self.new).out
        return tuple(path for path in listed.split(b"\0") if path)

    def refuse_filtered(self, place: Place) -> None:
        given = b"".join(path + b"\0" for path in self.paths(place))
        told = self.git.run(self.here, "check-attr", "-z", "--stdin", "filter", stdin=given).out.split(b"\0")
        named = [path for path, value in zip(told[::3], told[2::3], strict=False) if value not in _NO_FILTER]
        if named:
            raise FilteredPaths(f"these pass through a git filter: {_listed(named)}")

    def rehearse(self, place: Place) -> None:
        """Raise `ApplyConflict` if a file that nobody committed would be lost.

        With a copy of the index and without writing: git looks at everything first. So what fails after it is the disk.
        """
        removed = set(self.paths(place, "--diff-filter=D"))
        added = self.paths(place, "--diff-filter=A")
        if in_the_way := [path for path in added if self._taken(place, path, removed)]:
            raise ApplyConflict(f"untracked files are in the way: {_listed(in_the_way)}")
        self.git.run(place, "update-index", "-q", "--refresh", codes=(0, 1))
        rehearsed = self.git.run(place, "read-tree", "-m", "-u", "-n", self.old, self.new, codes=range(256))
        if rehearsed.code != 0:
            raise ApplyConflict(f"git refuses: {rehearsed.told.strip()[-300:]}")

    def _taken(self, place: Place, path: bytes, removed: set[bytes]) -> bool:
        """Say whether something that nobody committed is where a new file goes.

        Git itself overwrites what is ignored; an ignored file may be the user's only copy of his secrets.
        """
        for one in (*parents(path), path):
            full = self._full(one)
            if one in removed or not os.path.lexists(full):
                continue
            if os.path.islink(full) or not os.path.isdir(full):  # noqa: PTH112, PTH114 - names may be any bytes
                return True
        if not os.path.isdir(self._full(path)):  # noqa: PTH112 - names may be any bytes
            return False
        return bool(self.git.run(place, "ls-files", "-z", "--others", "--", f":(top,literal){os.fsdecode(path)}").out)

    def make(self) -> None:
        """Write files and index; on any failure put back what was written."""
        self.git.run(self.here, "update-index", "-q", "--refresh", codes=(0, 1))
        done = self.git.run(self.here, "read-tree", "-m", "-u", self.old, self.new, codes=range(256))
        if done.code != 0:
            if any(words in done.told for words in _LOOKED):
                raise ApplyConflict(f"git refuses: {done.told.strip()[-300:]}")
            self._put_back(self.paths(self.here, "--diff-filter=A"))
            raise ApplyFailed(f"git could not write the working tree: {done.told.strip()[-300:]}")

    def _put_back(self, added: tuple[bytes, ...]) -> None:
        for path in added:
            self._take_away(path)
        kept = b"".join(path + b"\0" for path in self.paths(self.here, "--diff-filter=a"))
        self.git.run(self.here, "checkout-index", "-f", "-z", "--stdin", stdin=kept, codes=range(256))

    def _take_away(self, path: bytes) -> None:
        full = self._full(path)
        parent = os.path.dirname(full)  # noqa: PTH120 - bytes
        if os.path.realpath(parent) != parent:
            return  # a link on the way: nothing of ours is behind it
        with suppress(OSError):
            os.unlink(full)  # noqa: PTH108 - bytes
            while parent != os.fsencode(self.top):
                os.rmdir(parent)  # noqa: PTH106 - bytes
                parent = os.path.dirname(parent)  # noqa: PTH120 - bytes

    def _full(self, path: bytes) -> bytes:
        return os.path.join(os.fsencode(self.top), path)  # noqa: PTH118 - names may be any bytes


_NO_FILTER = (b"unspecified", b"unset")


def _listed(paths: list[bytes]) -> str:
    more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
    return ", ".join(map(shown, paths[:5])) + more
