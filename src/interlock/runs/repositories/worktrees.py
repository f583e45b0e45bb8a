"""Worktrees: the folders in which agents work and checks run, `<root>/<name>`, one per run and fence.

We make them as git describes them (gitrepository-layout: `worktrees/<name>/{HEAD,commondir,gitdir,index}`), not with
`git worktree add`: parallel calls of that fail on one repository, it reads the mirror's configuration, and it leaves
half a worktree when it is killed. Here the files are checked out beside, outside of any lock, and renamed into place
last, so a worktree that is there is whole. Ordinary git then works in it.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from interlock.runs.repositories.errors import WorktreeExists, WorktreeNotRemoved
from interlock.runs.repositories.foreign_files import remove_tree
from interlock.runs.repositories.locks import locked
from interlock.runs.repositories.mirror import Mirror, Mirrors, checked_name
from interlock.runs.repositories.standin import sweep

_CHECKOUT_TIMEOUT_S = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Worktree:
    """A folder with the files of a commit, its own HEAD (detached) and index."""

    name: str
    path: Path
    mirror: Path
    """The mirror's folder."""

    @property
    def link(self) -> bytes:
        """What its `.git` file says."""
        return os.fsencode(f"gitdir: {self.mirror}/worktrees/{self.name}\n")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What `prune` did."""

    removed: tuple[str, ...]
    """Names of worktrees that are gone now."""
    left: tuple[str, ...]
    """One line for each thing that would not go."""


@dataclass(frozen=True, slots=True)
class Worktrees:
    """The worktrees of one state folder."""

    root: Path
    """`<state>/worktrees`; everything directly in it is a worktree, or one that is being made."""

    def at(self, mirror: Mirror, name: str) -> Worktree:
        """Return the worktree of that name, there or not; `name` is `<r_id>-<fence>`."""
        return Worktree(name=checked_name(name), path=self.root / name, mirror=mirror.folder)

    def add(self, mirror: Mirror, commit: str, name: str) -> Worktree:
        """Make a worktree of a commit that the mirror holds: its bytes as they are, submodules as empty folders.

        Raises `WorktreeExists`, `CommitNotInMirror`, `MirrorDamaged`, `MirrorBusy`.
        """
        worktree = self.at(mirror, name)
        self._refuse_existing(worktree)
        with self._beside(name) as beside, mirror.opened(commit) as place:
            mirror.require(place, commit)
            files, index = beside / "files", beside / "index"
            files.mkdir()
            here = replace(place, work_tree=files, index=index)
            mirror.git.run(here, "read-tree", "-m", "-u", commit, timeout_s=_CHECKOUT_TIMEOUT_S)
            (files / ".git").write_bytes(worktree.link)
            with mirror.locked():
                self._refuse_existing(worktree)
                self._register(worktree, commit, index.read_bytes())
                try:
                    files.rename(worktree.path)
                except OSError as error:
                    raise WorktreeExists(f"{worktree.path}: {error.strerror}") from error
        return worktree

    def remove(self, mirror: Mirror, name: str) -> None:
        """Remove a worktree: whole, half made or already gone. Raises `WorktreeNotRemoved` with what would not go."""
        worktree = self.at(mirror, name)
        left = [line for path in (worktree.path, *self._unfinished(name)) for line in remove_tree(path)]
        with mirror.locked():
            left += remove_tree(mirror.folder / "worktrees" / name)
        if left:
            raise WorktreeNotRemoved("; ".join(left[:5]) + (f"; and {len(left) - 5} more" if len(left) > 5 else ""))

    def prune(self, mirrors: Mirrors, living: Callable[[], Collection[str]]) -> Pruned:
        """Remove every worktree whose name is not among the living, and what killed processes left.

        `living` is asked after looking, so a worktree that was claimed before it was made is never taken for dead.
        """
        found = self.names()
        known = {folder: self._registered(folder) for folder in sorted(mirrors.folder.glob("*.git"))}
        alive = set(living())
        dead = sorted({*found, *(name for names in known.values() for name in names)} - alive)
        left: dict[str, list[str]] = {name: remove_tree(self.root / name) for name in dead}
        for entry in self._unfinished("*"):
            if _owner(entry.name) not in alive:
                left.setdefault(_owner(entry.name), []).extend(remove_tree(entry))
        for folder, names in known.items():
            with locked(folder.with_suffix(".lock"), timeout_s=mirrors.lock_timeout_s):
                for name in names - alive:
                    left[name] += remove_tree(folder / "worktrees" / name)
        sweep(mirrors.git.scratch)
        gone = tuple(sorted(name for name, lines in left.items() if not lines))
        return Pruned(gone, tuple(line for lines in left.values() for line in lines))

    def names(self) -> set[str]:
        """Return the names of all worktrees that are there."""
        try:
            return {entry.name for entry in self.root.iterdir() if not entry.name.startswith(".")}
        except FileNotFoundError:
            return set()

    @staticmethod
    def _registered(folder: Path) -> set[str]:
        try:
            return {entry.name for entry in (folder / "worktrees").iterdir()}
        except OSError:
            return set()

    def _unfinished(self, name: str) -> list[Path]:
        return sorted(self.root.glob(f".{name}~*"))

    @contextmanager
    def _beside(self, name: str) -> Generator[Path]:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{name}~", dir=self.root))
        try:
            yield beside
        finally:
            remove_tree(beside)

    @staticmethod
    def _refuse_existing(worktree: Worktree) -> None:
        if os.path.lexists(worktree.path):
            raise WorktreeExists(f"{worktree.path} is there already")

    @staticmethod
    def _register(worktree: Worktree, commit: str, index: bytes) -> None:
        admin = worktree.mirror / "worktrees" / worktree.name
        if stuck := remove_tree(admin):  # of the same name, left by a kill
            raise OSError(errno.EBUSY, "; ".join(stuck))
        admin.mkdir(mode=0o700)
        (admin / "gitdir").write_bytes(os.fsencode(f"{worktree.path}/.git\n"))
        (admin / "commondir").write_bytes(b"../..\n")
        (admin / "HEAD").write_text(f"{commit}\n", encoding="ascii")
        (admin / "index").write_bytes(index)


def _owner(entry: str) -> str:
    return entry[1:].partition("~")[0]
