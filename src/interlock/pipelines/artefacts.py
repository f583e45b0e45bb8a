"""What jobs made: looked at where it lies, and kept under its digest, so that it can be had back later.

A file is read once, through a descriptor that no link can lead away; what is told, scanned and kept is what was read.
The store is `<state>/artefacts/sha256/<two digits>/<digest>`: each content once, in its place whole or not at all.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from interlock.kernel.errors import InterlockError
from interlock.pipelines.errors import ArtefactEmpty, ArtefactMissing, ArtefactTooLarge, ArtefactUnsafe
from interlock.pipelines.models import Artefact, Pipeline, Status
from interlock.pipelines.report import FOLLOWING, GOVERNING

MOST_BYTES: Final = 256 * 2**20
_PRIVATE: Final = frozenset({".interlock", ".git"})
_BLOCK: Final = 1 << 20
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Artefacts:
    """The artefacts of one workspace."""

    root: Path
    store: Path
    """`<state>/artefacts`."""
    most_bytes: int = MOST_BYTES

    def keep(self, path: str) -> Artefact:
        """Keep a file of the workspace; returns what it is.

        Raises `ArtefactMissing`, `ArtefactEmpty`, `ArtefactTooLarge`, `ArtefactUnsafe` where it leads elsewhere, and
        OSError where it can not be kept.
        """
        with opened(self.root, path) as descriptor:
            if os.fstat(descriptor).st_size > self.most_bytes:
                raise ArtefactTooLarge(f"{path} is larger than {self.most_bytes} bytes")
            digest, size = self._kept(path, descriptor)
        return Artefact(path=path, sha256=digest, size=size)

    def same(self, artefact: Artefact, growing: Collection[str] = ()) -> bool:
        """Say whether a file is still what it was; of one that only grows, whether it still begins like that."""
        try:
            found = look_at(self.root, artefact.path, first=artefact.size if artefact.path in growing else None)
        except (ArtefactMissing, ArtefactEmpty, ArtefactUnsafe, OSError):
            return False
        return found == artefact

    def find(self, pipeline: Pipeline, path: str) -> tuple[Artefact, Path]:
        """Return an artefact of a run as its last job that ended well left it, and the file that keeps its bytes.

        Raises `ArtefactMissing`, also where the file that kept it is gone or was changed.
        """
        found = recorded(pipeline).get(path)
        if found is None:
            raise ArtefactMissing(f"{pipeline.id} has made no {path[:200]!a}")
        kept = self._place(found.sha256)
        try:
            with kept.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ArtefactMissing(f"what {path} was in {pipeline.id} is not kept any more: {error.strerror}") from None
        if digest != found.sha256:
            raise ArtefactMissing(f"what {path} was in {pipeline.id} was changed where it was kept: {kept}")
        return found, kept

    def open(self, artefact: Artefact) -> int:
        """Return a descriptor of what was kept; raises OSError."""
        return os.open(self._place(artefact.sha256), _FILE)

    def sweep(self) -> None:
        """Remove what a killed run was about to keep; to be called while none is carried out."""
        for unfinished in self.store.glob(".*.tmp"):
            unfinished.unlink(missing_ok=True)

    def forget(self, artefact: Artefact) -> None:
        """Remove what was kept of an artefact that no run may have, because there is a secret in it."""
        self._place(artefact.sha256).unlink(missing_ok=True)

    def _kept(self, path: str, descriptor: int) -> tuple[str, int]:
        self.store.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.store / f".{secrets.token_hex(8)}.tmp"
        digest, size = hashlib.sha256(), 0
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400), "wb") as file:
                for block in _blocks(descriptor, self.most_bytes + 1):
                    size += len(block)
                    if size > self.most_bytes:
                        raise ArtefactTooLarge(f"{path} is larger than {self.most_bytes} bytes")
                    digest.update(block)
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            self._put(fresh, digest.hexdigest(), size)
        finally:
            fresh.unlink(missing_ok=True)
        return digest.hexdigest(), size

    def _put(self, fresh: Path, digest: str, size: int) -> None:
        place = self._place(digest)
        if place.exists() and place.stat().st_size == size:
            return
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.replace(place)
        for folder in (place.parent, place.parent.parent, self.store):
            _sync(folder)

    def _place(self, digest: str) -> Path:
        return self.store / "sha256" / digest[:2] / digest


def recorded(pipeline: Pipeline) -> dict[str, Artefact]:
    """Return the artefacts of a run by path, each as the last of its jobs that ended well left it."""
    ended = [job for job in pipeline.jobs if job.status is Status.SUCCESS]
    ended.sort(key=lambda job: job.ended_ms or 0)
    return {artefact.path: artefact for job in ended for artefact in job.artefacts}


def bring_in(source: Path, root: Path, path: str, *, most_bytes: int = MOST_BYTES) -> None:
    """Copy a file from the same path below another folder into the workspace, in the place of what was there.

    Raises what `Artefacts.keep` raises.
    """
    with opened(source, path) as descriptor:
        if os.fstat(descriptor).st_size > most_bytes:
            raise ArtefactTooLarge(f"{path} is larger than {most_bytes} bytes")
        put(root, path, _blocks(descriptor, most_bytes))


def put(root: Path, path: str, chunks: Iterable[bytes]) -> None:
    """Write a file of the workspace, whole or not at all; raises `ArtefactUnsafe` or OSError.

    What no command may write is not written for one either.
    """
    *way, name = _parts(path)
    if any(PurePosixPath(path).is_relative_to(each) for each in (*FOLLOWING, *GOVERNING)):
        raise ArtefactUnsafe(f"{path} is not a job's to make")
    fresh = f".{name}.{secrets.token_hex(8)}.tmp"
    with _folder(root, path, way, make=True) as folder:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(chunks)
                file.flush()
                os.fsync(file.fileno())
            os.rename(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(fresh, dir_fd=folder)
            raise
        os.fsync(folder)


def look_at(root: Path, path: str, *, first: int | None = None) -> Artefact:
    """Return a file of the workspace as it is, or its first bytes.

    Raises `ArtefactMissing`, `ArtefactEmpty`, `ArtefactUnsafe` or OSError.
    """
    with opened(root, path) as descriptor:
        left = os.fstat(descriptor).st_size if first is None else first
        size, digest = 0, hashlib.sha256()
        for block in _blocks(descriptor, left):
            digest.update(block)
            size += len(block)
    return Artefact(path=path, sha256=digest.hexdigest(), size=size)


@contextmanager
def opened(root: Path, path: str) -> Generator[int]:
    """Open an ordinary file below a folder that is not empty, for reading.

    No link is followed on the way: a job could lead us with one to what is hidden from it.
    """
    *way, name = _parts(path)
    with _folder(root, path, way, make=False) as folder:
        try:
            descriptor = os.open(name, _FILE, dir_fd=folder)
        except OSError as error:
            raise _refusal(path, error) from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ArtefactMissing(f"{path} is no ordinary file")
        if found.st_size == 0:
            raise ArtefactEmpty(f"{path} is empty")
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _folder(root: Path, path: str, way: Sequence[str], *, make: bool) -> Generator[int]:
    """Open the folder at the end of `way`, one after the other."""
    folder = os.open(root.resolve(), _FOLDER)
    try:
        for part in way:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=folder)
            try:
                below = os.open(part, _FOLDER, dir_fd=folder)
            except OSError as error:
                raise _refusal(path, error) from None
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)


def _parts(path: str) -> tuple[str, ...]:
    parts = PurePosixPath(path).parts
    if not parts or parts[0] in _PRIVATE or "/" in parts[0] or ".." in parts or "\0" in path:
        raise ArtefactUnsafe(f"{path[:200]!a} is no path of an artefact in the workspace")
    return parts


def _refusal(path: str, error: OSError) -> InterlockError:
    # Linux says ENOTDIR of a link where a folder has to be.
    if error.errno in {errno.ELOOP, errno.ENOTDIR}:
        return ArtefactUnsafe(f"{path} lies behind a link, or behind what is no folder: none is followed")
    return ArtefactMissing(f"{path} is not there" if error.errno == errno.ENOENT else f"{path}: {error.strerror}")


def _blocks(descriptor: int, most: int) -> Iterator[bytes]:
    """Yield the first `most` bytes of a file, or all there are."""
    at = 0
    while at < most and (block := os.pread(descriptor, min(_BLOCK, most - at), at)):
        yield block
        at += len(block)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, _FOLDER)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
