"""Collect what an agent left in its worktree: a commit on the base, a patch, and the list of files.

The truth is the files. The index, HEAD, configuration and `.git` file that the agent could write are not read: a
private index starts at the base commit and every file is hashed anew. Objects go to a private folder first; the
mirror gets them as one pack when all is well.

Which new files count is decided by the .gitignore files *as they stand in the worktree*: an agent that sets up a
project writes its .gitignore and then builds, and the base's rules would take all it built for its result. Nothing
can be hidden that way, only lost: a file of the base is compared whatever the rules say, the result that is checked
and applied never holds an ignored file, and what was ignored is listed in `left_out`.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from interlock.runs.repositories.changes import ChangedFile, parents, parse, shown
from interlock.runs.repositories.errors import OutputTooLarge, PatchTooLarge, WorktreeMissing
from interlock.runs.repositories.foreign_files import plain_content
from interlock.runs.repositories.git import Git, Place
from interlock.runs.repositories.mirror import Mirror
from interlock.runs.repositories.standin import private_folder
from interlock.runs.repositories.worktrees import Worktree

_GITLINK = b"160000"
_LISTED = 1000
_DIFF = ("diff-tree", "-r", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something in the worktree that is not in the result."""

    path: bytes
    """A folder ends in a slash."""
    reason: str
    """`nested_repository`, `ignored`, `unreadable`, `special_file` (a pipe, a socket, a device), or `git_file_changed`:
    the worktree's own `.git` is not what it was (which has no effect)."""

    @property
    def name(self) -> str:
        """The path as text; see `changes.shown`."""
        return shown(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What came of a run."""

    commit: str | None
    """The result, a child of the base; None when nothing changed."""
    tree: str
    patch: bytes
    """Fits `git apply`; empty when nothing changed."""
    patch_sha256: str
    files: tuple[ChangedFile, ...]
    left_out: tuple[LeftOut, ...]
    """At most 1,000, the ignored ones last."""


def collect(
    mirror: Mirror,
    worktree: Worktree,
    *,
    base: str,
    ref: str,
    message: str,
    at_ms: int,
    max_patch_bytes: int = 16 << 20,
    max_file_bytes: int = 1 << 30,
) -> Collected:
    """Make the result commit at `ref` (below refs/interlock/) from the files of a worktree.

    The same files, base, message and `at_ms` give the same commit, so it may be repeated after a crash.
    `max_file_bytes` bounds the new files together and each tracked file alone, before anything is stored. Raises
    `PatchTooLarge`, `WorktreeMissing`, `GitTimedOut` (a named pipe as .gitignore blocks git), `MirrorDamaged`.
    """
    _require_folder(worktree.path)
    with mirror.opened(base) as place, private_folder(mirror.git.scratch) as private:
        mirror.require(place, base)
        (private / "objects").mkdir()
        here = replace(
            place,
            work_tree=worktree.path,
            index=private / "index",
            objects=private / "objects",
            alternates=(mirror.folder / "objects",),
        )
        tree, left_out = _Files(mirror.git, here, worktree, base, max_file_bytes).recorded()
        patch, files = _difference(mirror.git, here, base, tree, max_patch_bytes)
        commit = None
        if files:
            text = message.replace("\0", "\ufffd").rstrip("\n").encode("utf-8", "replace") + b"\n"
            commit = mirror.git.run(here, "commit-tree", tree, "-p", base, stdin=text, at_ms=at_ms).line
        mirror.keep(ref, commit, made_in=here, on=base)
    return Collected(
        commit=commit,
        tree=tree,
        patch=patch,
        patch_sha256=hashlib.sha256(patch).hexdigest(),
        files=files,
        left_out=left_out,
    )


def _require_folder(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        raise WorktreeMissing(f"{path} is gone") from None
    if not stat.S_ISDIR(mode):
        raise WorktreeMissing(f"{path} is no longer a folder")


@dataclass(frozen=True, slots=True)
class _Files:
    """Records the files of a worktree in a private index."""

    git: Git
    here: Place
    worktree: Worktree
    base: str
    max_file_bytes: int

    def recorded(self) -> tuple[str, tuple[LeftOut, ...]]:
        """Return the tree of the files, and what is not in it."""
        tracked = self._tracked()
        links = {path: line for path, line in tracked.items() if line.startswith(_GITLINK)}
        self.git.run(self.here, "read-tree", self.base)
        # Without its submodules: to compare one, git starts itself inside it, with the configuration found there.
        self._index(b"0 " + b"0" * len(self.base) + b"\t" + path for path in links)
        listed = self.git.run(self.here, "ls-files", "-z", "--others", "--exclude-standard")
        new = [path for path in listed.out.split(b"\0") if path]
        self._refuse_large(tracked, new)
        nested = [path for path in new if path.endswith(b"/")]
        told = listed.told + self._added(nested)
        left_out = [*self._nested(nested, tracked, links), *self._missed(nested, unread="could not open dir" in told)]
        self._index(line for path, line in links.items() if self._still(path))
        return self.git.run(self.here, "write-tree").line, tuple(left_out[:_LISTED])

    def _tracked(self) -> dict[bytes, bytes]:
        """Return the base's files: path to the line that `update-index --index-info` takes."""
        listed = self.git.run(self.here, "ls-tree", "-r", "-z", "--full-tree", self.base).out
        return {line.partition(b"\t")[2]: line for line in listed.split(b"\0") if line}

    def _index(self, lines: Iterable[bytes]) -> None:
        if given := b"".join(line + b"\0" for line in lines):
            self.git.run(self.here, "update-index", "-z", "--index-info", stdin=given)

    def _added(self, nested: list[bytes]) -> str:
        """Add every file but those of nested repositories; what git can not add stays as it was. Returns its words."""
        where = [b".", *(b":(exclude,top,literal)" + path.rstrip(b"/") for path in nested)]
        given = b"".join(one + b"\0" for one in where)
        chosen = ("--pathspec-from-file=-", "--pathspec-file-nul")
        return self.git.run(self.here, "add", "--all", "--ignore-errors", *chosen, stdin=given, codes=(0, 1)).told

    def _refuse_large(self, tracked: Iterable[bytes], new: list[bytes]) -> None:
        total = sum(map(self._size, new))
        if total > self.max_file_bytes:
            raise PatchTooLarge(f"the new files have {total} bytes; {self.max_file_bytes} are allowed")
        for path in tracked:
            if (size := self._size(path)) > self.max_file_bytes:
                raise PatchTooLarge(f"{shown(path)} has {size} bytes; {self.max_file_bytes} are allowed")

    def _size(self, path: bytes) -> int:
        try:
            known = os.lstat(self._full(path))
        except OSError:
            return 0
        return known.st_size if stat.S_ISREG(known.st_mode) else 0

    def _full(self, path: bytes) -> bytes:
        return os.path.join(os.fsencode(self.worktree.path), path)  # noqa: PTH118 - names may be any bytes

    def _nested(self, nested: list[bytes], tracked: Iterable[bytes], links: Iterable[bytes]) -> Iterator[LeftOut]:
        """Report repositories inside the worktree, also where they sit in a folder of the base."""
        own = self._full(b".git")
        if plain_content(own) != self.worktree.link:
            yield LeftOut(path=b".git", reason="git_file_changed")
        folders = {parent for path in tracked for parent in parents(path)} | set(links)
        inside = {folder + b"/" for folder in folders if os.path.lexists(self._full(folder + b"/.git"))}
        for path in sorted({*nested, *inside}):
            yield LeftOut(path=path, reason="nested_repository")

    def _missed(self, nested: list[bytes], *, unread: bool) -> Iterator[LeftOut]:
        """Report what differs from the private index still, and what was ignored."""
        if unread:
            yield from self._unread()
        listed = self.git.run(
            self.here, "status", "--porcelain=v2", "-z", "--no-renames", "--untracked-files=all", "--ignored=matching",
            "--ignore-submodules=all",
        ).out.split(b"\0")  # fmt: skip
        ignored: list[LeftOut] = []
        for line in listed:
            kind, _, rest = line.partition(b" ")
            if kind == b"1" and rest[1:2] != b".":
                yield self._unrecorded(rest.split(b" ", 7)[7])
            elif kind == b"?" and rest not in nested:
                yield self._unrecorded(rest)
            elif kind == b"!" and len(ignored) < _LISTED:
                ignored.append(LeftOut(path=rest, reason="ignored"))
        yield from ignored

    def _unrecorded(self, path: bytes) -> LeftOut:
        try:
            mode = os.lstat(self._full(path)).st_mode
        except OSError:
            mode = 0
        plain = stat.S_ISREG(mode) or stat.S_ISLNK(mode) or not mode
        return LeftOut(path=path, reason="unreadable" if plain else "special_file")

    def _unread(self) -> Iterator[LeftOut]:
        top = os.fsencode(self.worktree.path)
        failed: list[bytes] = []
        for _ in os.walk(top, onerror=lambda error: failed.append(os.fsencode(error.filename))):
            pass
        for path in failed:
            yield LeftOut(path=path.removeprefix(top + b"/") + b"/", reason="unreadable")

    def _still(self, path: bytes) -> bool:
        """Say whether a submodule's folder is still there, and still not a folder of recorded files."""
        if os.path.islink(self._full(path)) or not os.path.isdir(self._full(path)):  # noqa: PTH112, PTH114 - bytes
            return False
        inside = self.git.run(self.here, "ls-files", "-z", "--", f":(top,literal){os.fsdecode(path)}/").out
        return not inside


def _difference(git: Git, here: Place, base: str, tree: str, limit: int) -> tuple[bytes, tuple[ChangedFile, ...]]:
    shape = ("-p", "--binary", "--full-index", "--src-prefix=a/", "--dst-prefix=b/", "-U3", "--diff-algorithm=myers")
    try:
        patch = git.run(here, *_DIFF, *shape, f"{base}^{{tree}}", tree, limit=limit).out
    except OutputTooLarge:
        raise PatchTooLarge(f"the patch is larger than {limit} bytes") from None
    listed = git.run(here, *_DIFF, "-z", "--raw", "--numstat", "--no-abbrev", f"{base}^{{tree}}", tree).out
    return patch, parse(listed)
