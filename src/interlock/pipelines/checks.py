"""Checks of a workspace: what could be wrong with it, looked at on the disk, without changing anything.

`CHECKS` is the whole list: a name, and a function from `Place` to `Seen`. What can not be looked at from here (the
state folder is hidden from agents) is skipped with the reason, which counts neither for nor against health.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.kernel.ids import has_prefix
from interlock.pipelines import gateway, gateway_probes, roles
from interlock.pipelines.rendering import LOGS

FOLDERS: Final = (
    "build_output",
    "docs/documentation",
    "docs/reports",
    "docs/runbook",
    "docs/wiki",
    ".workspace/indexes",
    ".workspace/quarantine",
    ".workspace/sop",
)
READMES: Final = tuple(
    f"storage/db/{folder}README.md" for folder in ("", "auto_fix/", "budget_guardian/", "evidence/", "pipelines/")
)
SCHEMAS: Final = tuple(
    f"storage/db/schemas/{name}.schema.json"
    for name in (
        "auto-fix-snapshot",
        "budget-manifest",
        "ledger-line",
        "pipeline-event",
        "rolling-summary",
        "self-heal-metrics",
        "self-heal-report",
        "state",
        "workspace-optimization",
    )
)
_MOST_TAIL_BYTES: Final = 4 << 20
_BLOCK: Final = 64 * 1024
_AGAIN_AFTER_SECONDS: Final = 0.25
_CLOCK_TOLERANCE_MS: Final = 2_000
_SETTLED_SECONDS: Final = 60
_MIN_FREE_FILES: Final = 1_000
_RUN_ID_LENGTH: Final = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPair:
    """A log and its mirror, which are the same bytes."""

    name: str
    index: Path
    mirror: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A workspace, as checks and repairs see it."""

    root: Path
    clock: Clock
    policy: Path
    logs: tuple[LogPair, ...]
    ledger: Path
    heads: Path
    log_vkey: Path
    required: tuple[Path, ...]
    folders: tuple[str, ...]
    """Relative to the root."""
    environment: Mapping[str, str]
    state: Path | None = None
    """The state folder; None where it can not be looked at."""
    hidden: str = ""
    """Why it can not."""
    keys: Path | None = None
    worktrees: Path | None = None
    alive: Callable[[str], bool | None] | None = None
    """Takes a run's id and says whether it is under way; None for one that this workspace does not know."""
    inside_run: str | None = None
    """The run that this is a part of: other processes can then not be judged."""
    min_free_bytes: int = 256 << 20
    uncovered_minutes: int = 24 * 60
    """How long the newest entries may go without a signed tree head over them."""

    @classmethod
    def at(cls, root: Path, *, clock: Clock, environment: Mapping[str, str]) -> Place:
        """Return the workspace with everything where seed 3 has it, and without its state folder."""
        database = root / "storage" / "db"
        evidence = database / "evidence"
        logs = tuple(
            LogPair(name=name, index=root / ".workspace" / "indexes" / f"{name}.log", mirror=database / f"{name}.log")
            for name in LOGS
        )
        return cls(
            root=root,
            clock=clock,
            policy=root / "services" / "gateway" / "policy.json",
            logs=logs,
            ledger=evidence / "ledger.jsonl",
            heads=evidence / "heads.jsonl",
            log_vkey=evidence / "log.vkey",
            required=tuple(root / path for path in (*READMES, *SCHEMAS)),
            folders=FOLDERS,
            environment=environment,
            hidden="the state folder is not to be seen from here",
        )

    def shown(self, path: Path) -> str:
        """Return a path as reports name it."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check saw."""

    findings: tuple[str, ...] = ()
    """Each a sentence that somebody has to do something about."""
    notices: tuple[str, ...] = ()
    """Worth knowing; not counted against the workspace's health."""
    skipped: str | None = None

    @property
    def severity(self) -> str:
        """Return `skipped`, `attention`, `notice` or `ok`."""
        if self.skipped is not None:
            return "skipped"
        return "attention" if self.findings else "notice" if self.notices else "ok"


Check = Callable[[Place], Seen]


def look(name: str, place: Place) -> Seen:
    """Make one check. What a command is just writing differs for a moment, so such things are looked at twice."""
    check = CHECKS[name]
    seen = _guarded(check, place)
    if name in _MOVING and seen.findings:
        time.sleep(_AGAIN_AFTER_SECONDS)
        again = _guarded(check, place)
        still = tuple(finding for finding in again.findings if finding in seen.findings)
        return Seen(still, again.notices, again.skipped)
    return seen


def _guarded(check: Check, place: Place) -> Seen:
    try:
        return check(place)
    except OSError as error:
        return Seen((f"{error.filename or place.root} can not be looked at: {error.strerror or error}",))


def _all(findings: Iterable[str]) -> Seen:
    return Seen(tuple(findings))


def _hidden(place: Place) -> Seen:
    return Seen(skipped=place.hidden or "the state folder is not to be seen from here")


# --- roles ------------------------------------------------------------------------------------------------------------


def role_file(place: Place) -> Seen:
    """Read the role file as pipelines do."""
    try:
        roles.read_roles(place.root)
    except InterlockError as error:
        return Seen((str(error),))
    return Seen()


def role_file_committed(place: Place) -> Seen:
    """Hold the role file against the last commit. A change that is not there is told, not counted."""
    if not os.path.lexists(place.root / ".git"):
        return Seen(skipped="the workspace is not a git repository")
    uncommitted = roles.uncommitted(place.root)
    return Seen(notices=(uncommitted,) if uncommitted else ())


# --- logs and ledger --------------------------------------------------------------------------------------------------


def mirrors_equal(place: Place) -> Seen:
    """Hold each log against its mirror."""
    return _all(problem for pair in place.logs if (problem := _difference(place, pair)))


def _difference(place: Place, pair: LogPair) -> str | None:
    there = [path for path in (pair.index, pair.mirror) if os.path.lexists(path)]
    if not there:
        return None
    if len(there) == 1:
        gone = pair.mirror if there[0] == pair.index else pair.index
        return f"{place.shown(gone)} is missing, {place.shown(there[0])} is there"
    with pair.index.open("rb") as index, pair.mirror.open("rb") as mirror:
        lines = 1
        while True:
            left, right = index.read(_BLOCK), mirror.read(_BLOCK)
            if left == right:
                if not left:
                    return None
                lines += left.count(b"\n")
                continue
            same = next((at for at, (one, other) in enumerate(zip(left, right, strict=False)) if one != other), None)
            lines += left[: len(min(left, right, key=len)) if same is None else same].count(b"\n")
            return f"{place.shown(pair.mirror)} differs from {place.shown(pair.index)} from line {lines} on"


def log_tail_intact(place: Place) -> Seen:
    """Look at the last line of each log, of the ledger and of the tree heads."""
    files = [path for pair in place.logs for path in (pair.index, pair.mirror)]
    return _all(problem for path in (*files, place.ledger, place.heads) if (problem := _torn(place, path)))


def _torn(place: Place, path: Path) -> str | None:
    line = next(_lines_backwards(path), None) if path.exists() else None
    if line is None:
        return None
    if not line.endswith(b"\n"):
        return f"the last line of {place.shown(path)} is torn; the next command that writes completes it"
    return None if isinstance(_json(line), dict) else f"the last line of {place.shown(path)} is no JSON object"


def head_current(place: Place) -> Seen:
    """Check the last tree head's signature, and how long the entries behind it have been waiting for one."""
    if not place.ledger.exists():
        return Seen((f"{place.shown(place.ledger)} is missing",))
    last = next(_entries_backwards(place.ledger), None)
    line = next(_lines_backwards(place.heads), None) if place.heads.exists() else None
    if last is None:
        return Seen(skipped="the ledger is empty")
    if line is None:
        return Seen(notices=("no tree head was signed yet; `interlock evidence head` signs one",))
    try:
        problem = _uncovered(place, _signed_size(place, line), last[0] + 1)
    except InterlockError as error:
        problem = f"the last tree head does not hold: {error}"
    return Seen((problem,)) if problem else Seen()


def _uncovered(place: Place, size: int, entries: int) -> str | None:
    if size > entries:
        return f"the last tree head covers {size} entries, {place.shown(place.ledger)} has {entries}"
    minutes = (place.clock() - _oldest_since(place.ledger, size, place.clock())) // 60_000
    if minutes < place.uncovered_minutes:
        return None
    told = f"{entries - size} entries, the oldest {minutes} minutes old, have no tree head over them"
    return f"{told}; `interlock evidence head` signs one"


def _signed_size(place: Place, line: bytes) -> int:
    """Return how many entries a head covers; raises an EvidenceError if no key of the log signed it."""
    from interlock.evidence.head import open_head, read_head  # noqa: PLC0415 - cryptography comes with it
    from interlock.evidence.note import Verifier  # noqa: PLC0415 - the same

    keys = [Verifier.parse(text) for text in place.log_vkey.read_text(encoding="utf-8").split()]
    return open_head(read_head(line).note, keys).size


def _oldest_since(ledger: Path, size: int, now: int) -> int:
    """Return the time of the entry at index `size`, or `now` if there is none."""
    oldest = now
    for index, time_ms in _entries_backwards(ledger):
        if index < size:
            break
        oldest = time_ms
    return oldest


def clock(place: Place) -> Seen:
    """Hold the machine's clock against the last entry of the ledger."""
    last = next(_entries_backwards(place.ledger), None) if place.ledger.exists() else None
    if last is None:
        return Seen(skipped="the ledger is empty")
    behind = last[1] - place.clock()
    if behind > _CLOCK_TOLERANCE_MS:
        return Seen((f"the clock is {behind // 1000} s behind the last entry of the ledger",))
    return Seen()


def _entries_backwards(ledger: Path) -> Iterator[tuple[int, int]]:
    """Yield index and time in milliseconds of the ledger's entries, the last first; spoilt lines are passed over."""
    for line in _lines_backwards(ledger):
        found = _json(line)
        if isinstance(found, dict):
            entry = cast("dict[str, object]", found)
            index, time_ms = entry.get("index"), entry.get("timestamp")
            if isinstance(index, int) and isinstance(time_ms, int):
                yield index, time_ms


def _lines_backwards(path: Path) -> Iterator[bytes]:
    """Yield a file's lines from the last to the first, a block at a time; one that is too long ends it."""
    with path.open("rb") as file:
        place = file.seek(0, os.SEEK_END)
        rest = b""
        while place:
            start = max(0, place - _BLOCK)
            file.seek(start)
            rest = file.read(place - start) + rest
            place = start
            *whole, last = rest.split(b"\n")
            lines = [line + b"\n" for line in whole] + ([last] if last else [])
            rest = lines.pop(0) if place else b""
            yield from reversed(lines)
            if len(rest) > _MOST_TAIL_BYTES:
                yield rest
                return


def _json(line: bytes) -> Any:  # noqa: ANN401 - JSON of any shape
    with suppress(ValueError, RecursionError):
        return json.loads(line)
    return None


# --- what was left behind ---------------------------------------------------------------------------------------------


def stale_locks(place: Place) -> Seen:
    """Look for lock files that name a dead process and that nobody holds."""
    if place.inside_run:
        return Seen(skipped="processes outside this run are not to be seen from here")
    return _all(f"{path} names process {pid}, which is gone" for path, pid in find_stale_locks(place))


def find_stale_locks(place: Place) -> list[tuple[str, int]]:
    """Return the stale lock files below `.workspace/` and `storage/`, relative to the root, with their process."""
    from interlock.runs.containment.processes import start_time_of  # noqa: PLC0415 - reads /proc

    found: list[tuple[str, int]] = []
    for top in (".workspace", "storage"):
        for folder, folders, files in os.walk(place.root / top):
            folders[:] = sorted(name for name in folders if name not in {".git", "quarantine"})
            for name in sorted(files):
                if not name.endswith(".lock"):
                    continue
                path = Path(folder) / name
                pid = _unheld_by(path)
                if pid is not None and start_time_of(pid) is None:
                    found.append((path.relative_to(place.root).as_posix(), pid))
    return found


def _unheld_by(path: Path) -> int | None:
    """Return the process that a lock file names, if nobody holds the lock; None where that can not be said."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        words = os.read(descriptor, 64).split()
    except OSError:
        return None
    finally:
        os.close(descriptor)
    number = words[0].decode("ascii", "replace") if words else ""
    return int(number) if number.isascii() and number.isdigit() and len(number) <= 10 and int(number) > 0 else None


def orphan_worktrees(place: Place) -> Seen:
    """Look for worktrees of runs that are not under way."""
    if place.worktrees is None:
        return _hidden(place)
    if place.alive is None:
        return Seen(skipped="the database can not be asked which runs are under way")
    if not place.worktrees.is_dir():
        return Seen()
    settled = place.clock() - _SETTLED_SECONDS * 1000
    return _all(
        f"{place.shown(entry)} is of no run that is under way; a worker removes it"
        for entry in sorted(place.worktrees.iterdir())
        if not place.alive(entry.name[:_RUN_ID_LENGTH]) and _changed_ms(entry) < settled
    )


def _changed_ms(path: Path) -> int:
    try:
        return path.lstat().st_mtime_ns // 1_000_000
    except FileNotFoundError:
        return 1 << 62


def orphan_processes(place: Place) -> Seen:
    """Look for processes of runs that have ended."""
    if place.inside_run or place.alive is None:
        return Seen(skipped="which processes belong to runs can not be judged from here")
    return _all(
        f"process {pid} belongs to {run}, which is not under way; `interlock run cancel` or a worker ends it"
        for pid, run in _marked_processes()
        if place.alive(run) is False
    )


def _marked_processes() -> Iterator[tuple[int, str]]:
    """Yield the processes that carry a run's marker, with the run."""
    prefix = b"INTERLOCK_RUN="
    for entry in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        with suppress(OSError):
            for variable in (entry / "environ").read_bytes().split(b"\0"):
                run = variable.removeprefix(prefix).decode("utf-8", "replace").partition(":")[0]
                if variable.startswith(prefix) and has_prefix(run, run.partition("_")[0]):
                    yield int(entry.name), run
                    break


# --- the machine ------------------------------------------------------------------------------------------------------


def disk_space(place: Place) -> Seen:
    """Look whether there is room for more."""
    found = os.statvfs(place.root)
    free = found.f_bavail * found.f_frsize
    problems: list[str] = []
    if free < place.min_free_bytes:
        problems.append(f"{free >> 20} MiB are free, fewer than {place.min_free_bytes >> 20}")
    if found.f_files and found.f_favail < _MIN_FREE_FILES:
        problems.append(f"the file system has room for {found.f_favail} more files only")
    return _all(problems)


def key_permissions(place: Place) -> Seen:
    """Look whether the state folder and the private keys are their owner's alone."""
    if place.state is None or place.keys is None:
        return _hidden(place)
    folders = [path for path in (place.state, place.keys) if path.exists()]
    keys = sorted(place.keys.glob("*.key")) if place.keys.is_dir() else []
    return _all(
        problem
        for path, wanted in (*((path, 0o700) for path in folders), *((path, 0o600) for path in keys))
        if (problem := _exposed(place, path, wanted))
    )


def _exposed(place: Place, path: Path, wanted: int) -> str | None:
    found = path.lstat()
    if wanted == 0o600 and not stat.S_ISREG(found.st_mode):
        return f"{place.shown(path)} is no plain file"
    if stat.S_IMODE(found.st_mode) & ~wanted:
        return f"{place.shown(path)} has mode {stat.S_IMODE(found.st_mode):o}, it should have {wanted:o}"
    if found.st_uid != place.root.stat().st_uid and found.st_uid != os.geteuid():
        return f"{place.shown(path)} belongs to user {found.st_uid}"
    return None


def schema_assets(place: Place) -> Seen:
    """Look whether the READMEs and schemas that the runbook asks for are there and can be read."""
    return _all(problem for path in place.required if (problem := _unreadable(place, path)))


def _unreadable(place: Place, path: Path) -> str | None:
    try:
        data = path.read_bytes()
    except OSError as error:
        return f"{place.shown(path)} can not be read: {error.strerror}"
    if not data.strip():
        return f"{place.shown(path)} is empty"
    if path.suffix == ".json" and not isinstance(_json(data), dict):
        return f"{place.shown(path)} is no JSON object"
    return None


def artefact_folders(place: Place) -> Seen:
    """Look whether the folders are there that pipelines write to."""
    missing = [folder for folder in place.folders if not os.path.lexists(place.root / folder)]
    wrong = [folder for folder in place.folders if folder not in missing and not (place.root / folder).is_dir()]
    return _all([*(f"{each} is missing" for each in missing), *(f"{each} is no folder" for each in wrong)])


def gateway_policy(place: Place) -> Seen:
    """Ask the gateway what it must grant and what it must refuse."""
    try:
        policy = gateway.read_policy(place.policy)
    except FileNotFoundError:
        return Seen((f"{place.shown(place.policy)} is missing; `interlock init` writes it",))
    except InterlockError as error:
        return Seen((str(error),))
    secret = gateway.secret_of(place.environment)
    refused = gateway_probes.ask_each(policy, clock=place.clock, secret=secret).refused
    return _all([*refused, *gateway_probes.wrongly_answered(policy, clock=place.clock, secret=secret)])


CHECKS: Final[Mapping[str, Check]] = {
    "role_file": role_file,
    "role_file_committed": role_file_committed,
    "mirrors_equal": mirrors_equal,
    "log_tail_intact": log_tail_intact,
    "head_current": head_current,
    "stale_locks": stale_locks,
    "orphan_worktrees": orphan_worktrees,
    "orphan_processes": orphan_processes,
    "disk_space": disk_space,
    "clock": clock,
    "key_permissions": key_permissions,
    "schema_assets": schema_assets,
    "artefact_folders": artefact_folders,
    "gateway_policy": gateway_policy,
}
_MOVING: Final = frozenset({"mirrors_equal", "log_tail_intact", "head_current", "orphan_worktrees", "orphan_processes"})
