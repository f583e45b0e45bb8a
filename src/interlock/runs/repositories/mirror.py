"""The mirror: Interlock's own bare copy of a repository, `<folder>/<16 hex of its source>.git`.

It holds what was approved (`refs/interlock/base/<a_id>`) and what came of it (`refs/interlock/runs/…`), and is all that
a run needs once the commit is pinned: the user's repository may then move, be rewritten or disappear.

An agent of the same operating system user can write into it where there is no namespace to hide it. Our own commands
see only its objects and refs (standin.py); what the agents' own git would read there is compared with the bytes we
wrote, and put back, before every use; and a commit's objects are hashed again before a worktree is made of them.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from interlock.kernel.errors import InterlockError
from interlock.runs.repositories.bare_folder import BareFolder
from interlock.runs.repositories.errors import (
    BaseCommitGone,
    CommitNotInMirror,
    MalformedName,
    MalformedSource,
    MirrorDamaged,
    NotARepository,
    RepositoryMissing,
    RepositoryNotAFolder,
)
from interlock.runs.repositories.foreign_files import remove_tree
from interlock.runs.repositories.git import Git, Place, redacted
from interlock.runs.repositories.local import locate, opened
from interlock.runs.repositories.locks import locked
from interlock.runs.repositories.remote import as_path, fetch_url, is_url
from interlock.runs.repositories.standin import Storage, stand_in
from interlock.runs.repositories.transfer import boundary, existing, send

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]|\.(?!\.|lock\b))*(?<!\.)")
_FORMATS = ("sha1", "sha256")
_PACKS = 40


def checked_name(name: str) -> str:
    """Return `name` if it can be one part of a path and of a ref, else raise `MalformedName`."""
    if len(name) > 100 or not _NAME.fullmatch(name):
        raise MalformedName(f"{name[:100]!a} can not name a worktree or a ref")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrors:
    """All mirrors of one state folder."""

    git: Git
    folder: Path
    """`<state>/mirrors`."""
    lock_timeout_s: float = 120.0
    fetch_timeout_s: float = 1800.0
    on_restored: Callable[[str, tuple[str, ...]], None] = lambda _source, _names: None
    """Told the source and the names of what was found changed in its mirror and put back: someone tampered."""

    def open(self, source: str, object_format: str = "sha1") -> Mirror:
        """Return the mirror of a source (`RepositoryFacts.source`, or a URL); it is made when it is first used.

        A password in a URL is no part of the name, so it may change.
        """
        if object_format not in _FORMATS:
            raise MalformedSource(f"{object_format!a} is no object format")
        key = hashlib.sha256(os.fsencode(f"{object_format}\n{redacted(source)}")).hexdigest()[:16]
        return Mirror(self, self.folder / f"{key}.git", source, object_format)


@dataclass(frozen=True, slots=True)
class Mirror:
    """The mirror of one repository."""

    home: Mirrors
    folder: Path
    source: str
    object_format: str

    @property
    def name(self) -> str:
        """The source as it may be shown: without a password."""
        return redacted(as_path(self.source))

    @property
    def git(self) -> Git:
        """What runs git for this mirror."""
        return self.home.git

    @contextmanager
    def locked(self) -> Generator[Place]:
        """Hold the mirror alone, restored, and yield a stand-in of it. Raises `MirrorBusy`, `MirrorDamaged`."""
        with self._lock("lock", self.home.lock_timeout_s) as lock:
            self._restore()
            with stand_in(self.git, self._storage()) as place:
                yield replace(place, keep_open=(lock,))

    @contextmanager
    def opened(self, head: str | None = None) -> Generator[Place]:
        """Yield a stand-in of the restored mirror, its HEAD at a commit, without holding it: for reading."""
        if not self._bare.intact():
            with self._lock("lock", self.home.lock_timeout_s):
                self._restore()
        storage = self._storage()
        with stand_in(self.git, replace(storage, head=head or storage.head)) as place:
            yield place

    def fetch(self, commit: str, *, pin: str) -> bool:
        """Bring a commit with its history, unless it is here, and pin it at `refs/interlock/base/<pin>`.

        Says whether it had to be brought. Idempotent. Raises `BaseCommitGone` when neither the mirror nor the source
        has it, `ObjectsMissing` for a partial clone, `RemoteUnreachable`.
        """
        ref = f"refs/interlock/base/{checked_name(pin)}"
        # A lock of its own, and a patient one: bringing a large repository must not stop the runs that need it no more.
        with self._lock("fetch", self.home.fetch_timeout_s) as lock, self.opened() as place:
            here = self._holds(place, commit)
            if not here:
                self._sweep()
                self._bring(replace(place, keep_open=(lock,)), commit)
        with self.locked() as place:
            self._set(place, ref, commit)
        return not here

    def keep(self, ref: str, commit: str | None, *, made_in: Place | None = None, on: str = "") -> None:
        """Let a ref below refs/interlock/ hold a commit (None: nothing), wherever it pointed before; idempotent.

        A new commit is copied from the object folder of `made_in`; `on` is its parent, which is here.
        """
        if not ref.startswith("refs/interlock/"):
            raise MalformedName(f"{ref!a} is not below refs/interlock/")
        for part in ref.split("/"):
            checked_name(part)
        with self.locked() as place:
            if made_in is not None and commit is not None:
                send(self.git, made_in, place, wants=[commit], haves=[on], timeout_s=self.home.fetch_timeout_s)
                self._tidy(place)
            self._set(place, ref, commit)

    def require(self, place: Place, commit: str) -> None:
        """Hash again every object of a commit's tree.

        Raises `CommitNotInMirror` if the commit is not here, `MirrorDamaged` if anything of it is lost or forged: git
        itself trusts the name of an object that it reads.
        """
        if not existing(self.git, place, [commit]):
            raise CommitNotInMirror(f"the mirror of {self.name} does not hold {commit}")
        hashed = self.git.run(
            place, "rev-list", "--quiet", "--no-walk", "--verify-objects", commit, codes=(0, 1, 128), timeout_s=600
        )
        # For a wrong hash git only complains: its exit code stays 0.
        if hashed.code != 0 or hashed.told:
            raise MirrorDamaged(f"{self.folder}: {hashed.told.strip()[-300:]}")

    @property
    def _bare(self) -> BareFolder:
        return BareFolder(self.folder, self.object_format, f"Interlock's mirror of {self.name}")

    def _restore(self) -> None:
        if found := self._bare.restore():
            self.home.on_restored(self.name, found)

    def _lock(self, kind: str, timeout_s: float) -> AbstractContextManager[int]:
        self.home.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return locked(self.folder.with_suffix(f".{kind}"), timeout_s=timeout_s)

    def _storage(self) -> Storage:
        return Storage(folder=self.folder, object_format=self.object_format)

    def _holds(self, place: Place, commit: str) -> bool:
        """Say whether a ref of ours leads to the commit: then all of it is here, as refs are set last."""
        left = self.git.run(place, "rev-list", "-1", commit, "--not", "--glob=refs/interlock/*", codes=(0, 128))
        return left.code == 0 and not left.out

    def _sweep(self) -> None:
        with self.locked():  # and the fetch lock is ours: nobody writes a pack, so these are what a kill left
            for unfinished in (self.folder / "objects/pack").glob("tmp_*"):
                remove_tree(unfinished)

    def _bring(self, place: Place, commit: str) -> None:
        if is_url(self.source):
            fetch_url(
                self.git,
                self._storage(),
                url=self.source,
                commit=commit,
                keep_open=place.keep_open,
                timeout_s=self.home.fetch_timeout_s,
            )
        else:
            self._bring_local(place, commit)
        if not existing(self.git, place, [commit]):
            raise BaseCommitGone(f"{self.name} no longer has the commit {commit}")

    def _bring_local(self, place: Place, commit: str) -> None:
        try:
            found = locate(self.git, as_path(self.source))
        except (RepositoryMissing, RepositoryNotAFolder, NotARepository) as error:
            raise _gone(commit, error) from error
        with opened(self.git, found) as theirs:
            if not existing(self.git, theirs, [commit]):
                return
            haves = self._haves(place, theirs)
            send(self.git, theirs, place, wants=[commit], haves=haves, timeout_s=self.home.fetch_timeout_s)
            self._end_at(place, boundary(found.storage.folder))

    def _haves(self, place: Place, theirs: Place) -> set[str]:
        # Below the end of a shallow history the source may have what we do not: then nothing is taken as had.
        if boundary(self.folder):
            return set()
        ours = self.git.run(place, "for-each-ref", "--format=%(objectname)", "refs/interlock").line.split()
        return existing(self.git, theirs, ours)

    def _end_at(self, place: Place, ends: set[str]) -> None:
        """Write down where the history ends: at those ends of the source whose parents did not come."""
        asked = "".join(f"{one}\n" for one in existing(self.git, place, ends)).encode()
        if not asked:
            return
        told = self.git.run(place, "log", "--no-walk=unsorted", "--format=%H %P", "--stdin", stdin=asked).line
        families = [line.split() for line in told.splitlines()]
        here = existing(self.git, place, {one for family in families for one in family[1:]})
        found = {family[0] for family in families if not here.issuperset(family[1:])}
        if not found:
            return
        lines = sorted(boundary(self.folder) | found)
        self._bare.write("shallow", "".join(f"{one}\n" for one in lines).encode())

    def _set(self, place: Place, ref: str, commit: str | None) -> None:
        # Only we write these refs, and only while we hold the mirror: a lock that is there was left by a kill.
        (self.folder / f"{ref}.lock").unlink(missing_ok=True)
        self.git.run(place, "update-ref", *(("-d", ref) if commit is None else (ref, commit)))

    def _tidy(self, place: Place) -> None:
        """Join small packs, dropping no object, unless other agents work here.

        A pack that goes would be missed in a mount of the mirror that is older (overlayfs promises nothing then).
        """
        busy = sum(1 for _ in (self.folder / "worktrees").iterdir()) > 1
        if not busy and sum(1 for _ in (self.folder / "objects/pack").glob("*.pack")) > _PACKS:
            self.git.run(place, "repack", "--geometric=2", "-d", "-q", "-n", timeout_s=self.home.fetch_timeout_s)


def _gone(commit: str, error: InterlockError) -> BaseCommitGone:
    return BaseCommitGone(f"the commit {commit} was never pinned, and now {error.message}")
