"""What the runtime has written of a loop, as it is found: there or not, whole or torn, and by which process.

A file that another is just writing may be read torn; it is looked at again before it is called corrupt.
"""

from __future__ import annotations

import os
import time
from typing import Final, NamedTuple

from interlock.loops import files
from interlock.loops.errors import ArtifactCorrupt, ArtifactMissing, ArtifactUnsupported
from interlock.loops.files import Document, FileUnreadable, Log
from interlock.loops.models import at, seconds_of, text, whole
from interlock.loops.places import LoopPlaces

CORRUPT: Final = "corrupt"
UNSUPPORTED: Final = "unsupported"
_LOOKS: Final = 3
_BETWEEN_SECONDS: Final = 0.02
_REUSED_AFTER_SECONDS: Final = 2
_VERSIONS: Final = {"runSummary": ("version", 1), "heartbeat": ("schemaVersion", "v1")}


class Artefact(NamedTuple):
    """One file of the runtime."""

    path: str
    """Absolute."""
    shown_path: str
    """Below the repository."""
    exists: bool = False
    size: int = 0
    lines: int = 0
    sha256: str | None = None
    mtime: int | None = None
    document: Document | None = None
    problem: str = ""

    def shown(self) -> Document:
        """Return what a snapshot says of it."""
        return {
            "path": self.shown_path,
            "exists": self.exists,
            "sizeBytes": self.size,
            "lineCount": self.lines,
            "sha256": self.sha256,
            "mtimeEpoch": self.mtime,
        }

    def check(self) -> None:
        """Raise `ArtifactCorrupt` or `ArtifactUnsupported` if it is there and can not be used."""
        if self.problem == UNSUPPORTED:
            raise ArtifactUnsupported(f"unsupported version in {self.path}")
        if self.problem:
            raise ArtifactCorrupt(f"invalid JSON in {self.path}")


class Artefacts(NamedTuple):
    """The runtime's files of a loop, but for its events."""

    run_summary: Artefact
    state: Artefact
    active_run: Artefact
    approval: Artefact
    heartbeat: Artefact


def read(places: LoopPlaces, *, digests: bool) -> Artefacts:
    """Read them; raises `FileUnreadable`."""
    return Artefacts(
        run_summary=_read(places, places.of_run("run-summary.json"), "runSummary", digests=digests),
        state=_read(places, places.runtime_state, "state", digests=digests),
        active_run=_read(places, places.active_run, "activeRun", digests=digests),
        approval=_read(places, places.of_run("approval.json"), "approval", digests=digests),
        heartbeat=_read(places, places.of_run("heartbeat.v1.json"), "heartbeat", digests=digests),
    )


def check_there(places: LoopPlaces) -> None:
    """Raise `ArtifactMissing` if the runtime has never run the loop."""
    if not os.path.isdir(places.run):
        raise ArtifactMissing(f"required artifact root missing: {places.run}")
    if not os.path.exists(events_path(places)):
        raise ArtifactMissing(f"required artifact missing: {events_path(places)}")


def events_path(places: LoopPlaces) -> str:
    """Return where the loop's events are."""
    return places.of_run("events.jsonl")


def events(places: LoopPlaces, log: Log, lines: int, *, digests: bool) -> Artefact:
    """Describe the event log."""
    path = events_path(places)
    return Artefact(
        path=path,
        shown_path=os.path.relpath(path, places.repo),
        exists=True,
        size=log.size,
        lines=lines,
        sha256=log.digest() if digests else None,
        mtime=log.mtime,
    )


def process_dead(active_run: Document | None, loop: str) -> bool:
    """Say whether the process that carries the loop is known to be gone, or its number to be another's by now."""
    pid = _pid(active_run, loop)
    if pid is None:
        return False
    if not is_there(pid):
        return True
    started, noted = _started(pid), seconds_of(at(active_run, "updated_at"))
    if started is None:
        return False
    return started < 0 or (noted is not None and started > noted + _REUSED_AFTER_SECONDS)


def noted_process(places: LoopPlaces) -> int | None:
    """Return the number of the process that carries the loop, as the runtime has noted it; None where it has not."""
    try:
        return _pid(files.read_json(places.active_run), places.loop)
    except (files.FileCorrupt, files.FileUnreadable):
        return None


def is_there(pid: int) -> bool:
    """Say whether there is a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


# --- inside -----------------------------------------------------------------------------------------------------------


def _pid(active_run: Document | None, loop: str) -> int | None:
    if text(active_run, "loop_id") not in {None, loop}:
        return None
    return whole(active_run, "pid") or None


def _read(places: LoopPlaces, path: str, name: str, *, digests: bool) -> Artefact:
    shown_path = os.path.relpath(path, places.repo)
    found = _looked_at(path, shown_path, name, digests=digests)
    for _ in range(_LOOKS - 1):
        if found.problem != CORRUPT:
            break
        time.sleep(_BETWEEN_SECONDS)
        found = _looked_at(path, shown_path, name, digests=digests)
    return found


def _looked_at(path: str, shown_path: str, name: str, *, digests: bool) -> Artefact:
    seen = files.seen(path)
    if seen is None:
        return Artefact(path, shown_path)
    document = files.parsed(seen.data)
    problem = "" if document is not None else CORRUPT
    if document is not None and name in _VERSIONS:
        key, known = _VERSIONS[name]
        if document.get(key) not in (None, known):
            document, problem = None, UNSUPPORTED
    return Artefact(
        path=path,
        shown_path=shown_path,
        exists=True,
        size=len(seen.data),
        lines=seen.data.count(b"\n"),
        sha256=_digest(seen.data) if digests else None,
        mtime=seen.mtime,
        document=document,
        problem=problem,
    )


def _digest(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _started(pid: int) -> float | None:
    """Return when a process began, in seconds since the epoch; -1 if only its grave is left; None if nobody knows."""
    try:
        about, machine = files.read_bytes(f"/proc/{pid}/stat"), files.read_bytes("/proc/stat")
        fields = (about or b"").rpartition(b")")[2].split()
        booted = int((machine or b"").partition(b"btime ")[2].split(maxsplit=1)[0])
        if fields[0] in {b"Z", b"X"}:
            return -1
        return booted + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (FileUnreadable, OSError, ValueError, IndexError):
        return None
