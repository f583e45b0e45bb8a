"""Repairs of a workspace that can be taken back: folders are made, and what is in the way is moved into quarantine.

Nothing is deleted and nothing overwritten. Everything moved goes to `.workspace/quarantine/<session>/`, where a list of
all steps, `undo.json`, lies on the disk before the first of them is taken; so a process that dies at any point leaves
what is needed to take its steps back. Only the workspace is touched, and in it neither git's data nor the evidence:
every folder on the way is opened by its name without following links, and stays open until the step is done.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import stat
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

from interlock.kernel.clock import Clock, to_text
from interlock.kernel.errors import InterlockError
from interlock.kernel.events import Event
from interlock.pipelines.healing_errors import (
    PlaceForbidden,
    RepairFailed,
    RepairsBusy,
    RepairsNotFound,
    UndoBlocked,
    UndoListMalformed,
)
from interlock.pipelines.healing_events import AutoFixApplied, AutoFixPlanned, FileRelocated

Tell = Callable[[Event], None]
"""Logs an event; raises InterlockError where that can not be."""
QUARANTINE: Final = ".workspace/quarantine"
UNDO_LIST: Final = "undo.json"
UNDONE_LIST: Final = "undone.json"
SESSION = re.compile(r"h_[0-7][0-9A-HJKMNP-TV-Z]{25}|\d{8}_\d{6}(?:_\d{1,3})?", re.ASCII)
_NEVER: Final = frozenset({".git", ".interlock"})
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LIST_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change. Paths are relative to the workspace, with `/`."""

    do: Literal["make", "move"]
    path: str
    to: str = ""
    """Where a thing is moved to, relative to the session's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One repair of one thing, planned."""

    name: str
    target: str
    description: str
    steps: tuple[Step, ...]

    @property
    def changed_paths(self) -> list[str]:
        """Return what is made or moved away."""
        return [step.path for step in self.steps]

    def commands(self, session: str) -> list[str]:
        """Return the steps as a person would type them."""
        return [
            f"mkdir {step.path}" if step.do == "make" else f"mv {step.path} {QUARANTINE}/{session}/{step.to}"
            for step in self.steps
        ]


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo did."""

    restored: tuple[str, ...]
    removed: tuple[str, ...]
    """Folders that were made, and were still empty."""


# --- what may be touched ----------------------------------------------------------------------------------------------


def forbidden(path: str) -> str | None:
    """Say why repairs leave a path alone, or None."""
    parts = path.split("/")
    if not path or "\0" in path or any(part in {"", ".", ".."} for part in parts):
        return "it is not a path below the workspace"
    if any(part in _NEVER for part in parts):
        return "git's and Interlock's own folders are never touched"
    if parts[:2] == ["storage", "db"]:
        return "the evidence is never touched"
    if parts[:2] == [".workspace", "quarantine"] and len(parts) > 2:
        return "it is in quarantine already"
    return None


def obstacle(root: Path, path: str) -> str | None:
    """Say why a thing can not be moved into quarantine, or None."""
    with ExitStack() as stack:
        try:
            return forbidden(path) or _obstacle(_opened(stack, root), path)
        except OSError as error:
            return f"it can not be looked at: {error.strerror}"


def _obstacle(top: int, path: str) -> str | None:
    """Say why the thing may not be moved; raises OSError."""
    with _parent(top, path) as (folder, name):
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            return "it is a link"
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            return "it is neither a file nor a folder"
        if found.st_dev != os.fstat(top).st_dev:
            return "it lies on another file system"
        if stat.S_ISDIR(found.st_mode):
            for _, folders, files, _ in os.fwalk(name, dir_fd=folder, follow_symlinks=False):
                if not _NEVER.isdisjoint([*folders, *files]):
                    return "it holds git's or Interlock's data"
    return None


# --- plans ------------------------------------------------------------------------------------------------------------


def missing_folders(root: Path, folders: Sequence[str]) -> list[Action]:
    """Plan to make the folders that are missing; what stands there and is no folder is left alone."""
    planned: list[Action] = []
    known: set[str] = set()
    for folder in folders:
        parts = folder.split("/")
        ways = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        if any(os.path.lexists(root / way) and not _is_folder(root / way) for way in ways):
            continue
        wanted = [way for way in ways if way not in known and not os.path.lexists(root / way)]
        known.update(wanted)
        if wanted:
            steps = tuple(Step(do="make", path=way) for way in wanted)
            planned.append(
                Action(name="artefact_folders", target=folder, description=f"make the folder {folder}", steps=steps)
            )
    return planned


def build_trees(root: Path) -> tuple[list[Action], dict[str, str]]:
    """Plan to move `target`, `phase*/target`; returns also what stays, each with the reason."""
    found = [root / "target", *sorted(root.glob("phase*/target"))]
    paths = [path.relative_to(root).as_posix() for path in found if path.is_dir()]
    return _moves(root, "build_trees", "move the build tree away", [(path, _flat("build", path)) for path in paths])


def left_configuration(root: Path) -> tuple[list[Action], dict[str, str]]:
    """Plan to move `Cargo_*.toml` and `Cargo.toml.backup`; returns also what stays, each with the reason."""
    found = [*root.glob("Cargo_*.toml"), *root.glob("Cargo.toml.backup")]
    names = sorted(path.name for path in found if path.is_file())
    moves = [(name, _flat("config", name)) for name in names]
    return _moves(root, "left_configuration", "move the left-over configuration away", moves)


def stale_locks(root: Path, paths: Sequence[str]) -> tuple[list[Action], dict[str, str]]:
    """Plan to move lock files that are stale; returns also what stays, each with the reason."""
    moves = [(path, _flat("locks", path)) for path in paths]
    return _moves(root, "stale_locks", "move the stale lock file away", moves)


def _flat(kind: str, path: str) -> str:
    return f"{kind}/{path.replace('/', '_')}"


def _moves(
    root: Path, name: str, description: str, moves: Sequence[tuple[str, str]]
) -> tuple[list[Action], dict[str, str]]:
    planned: list[Action] = []
    left: dict[str, str] = {}
    taken: set[str] = set()
    for path, wanted in moves:
        reason = obstacle(root, path)
        if reason:
            left[path] = reason
            continue
        to, number = wanted, 1
        while to in taken:
            number += 1
            to = f"{wanted}.{number}"
        taken.add(to)
        step = Step(do="move", path=path, to=to)
        planned.append(Action(name=name, target=path, description=f"{description}: {path}", steps=(step,)))
    return planned, left


# --- carrying out -----------------------------------------------------------------------------------------------------


def apply(
    root: Path, session: str, actions: Sequence[Action], *, at_ms: int, took: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Take the steps of all actions, and return the paths that were made or moved; `took` is told each at once.

    Raises `RepairsBusy` before anything is done, `PlaceForbidden`, or `RepairFailed`: then some steps may have been
    taken, and `undo` takes them back.
    """
    _check_session(session)
    steps = [step for action in actions for step in action.steps]
    _check(steps)
    with _quarantine(root) as (top, quarantine), ExitStack() as stack:
        try:
            os.mkdir(session, 0o700, dir_fd=quarantine)
            own = _open(stack, session, quarantine)
            _write_list(own, session, steps, at_ms)
            os.fsync(quarantine)
            return list(_taken(top, own, steps, took))
        except OSError as error:
            raise RepairFailed(
                f"{error.filename or session}: {error.strerror}", hint=f"`--undo {session}` takes back what was done"
            ) from None


def undo(root: Path, session: str) -> Undone:
    """Take the steps of a session back, the last first; what was not done, or is back already, is passed over.

    Raises `RepairsNotFound`, `UndoListMalformed`, `RepairsBusy`, or `UndoBlocked` before anything is moved.
    """
    _check_session(session)
    if not (root / QUARANTINE / session).is_dir():
        raise RepairsNotFound(f"there is no {QUARANTINE}/{session}")
    with _quarantine(root) as (top, quarantine), ExitStack() as stack:
        try:
            own = _open(stack, session, quarantine)
            steps = _read_list(own, session)
            blocked = [step.path for step in steps if step.do == "move" and _is_blocked(top, own, step)]
            if blocked:
                raise UndoBlocked(f"something stands at {', '.join(blocked)} by now")
            restored = [step.path for step in reversed(steps) if step.do == "move" and _bring_back(top, own, step)]
            removed = [step.path for step in reversed(steps) if step.do == "make" and _remove_empty(top, step.path)]
            _close_list(own)
        except OSError as error:
            raise RepairFailed(
                f"{error.filename or session}: {error.strerror}", hint="mend that and undo again"
            ) from None
    return Undone(tuple(restored), tuple(removed))


def _check_session(session: str) -> None:
    if not SESSION.fullmatch(session):
        raise RepairsNotFound(f"this is not the id of repairs: {session[:80]!a}")


def _check(steps: Sequence[Step]) -> None:
    for step in steps:
        for path in (step.path, *([step.to] if step.do == "move" else [])):
            reason = forbidden(path)
            if reason:
                raise PlaceForbidden(f"{path[:200]!a}: {reason}")


def _take(top: int, own: int, step: Step) -> bool:
    """Take one step; says whether it changed something. Raises OSError, `PlaceForbidden`."""
    with ExitStack() as stack:
        if step.do == "make":
            folder, name = stack.enter_context(_parent(top, step.path))
            with suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=folder)
                os.fsync(folder)
                return True
            return False
        reason = _obstacle(top, step.path)
        if reason:
            raise PlaceForbidden(f"{step.path}: {reason}")
        folder, name = stack.enter_context(_parent(top, step.path))
        there, new = stack.enter_context(_parent(own, step.to, make=True))
        if _exists(there, new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), step.to)
        os.rename(name, new, src_dir_fd=folder, dst_dir_fd=there)
        os.fsync(there)
        os.fsync(folder)
        return True


def _taken(top: int, own: int, steps: Sequence[Step], took: Callable[[str], None]) -> Iterator[str]:
    for step in steps:
        if _take(top, own, step):
            took(step.path)
            yield step.path


def _is_blocked(top: int, own: int, step: Step) -> bool:
    """Say whether a thing that was moved has no way back."""
    moved = _found(own, step.to)
    back = _found(top, step.path)
    return moved is not None and back is not None and not os.path.samestat(moved, back)


def _bring_back(top: int, own: int, step: Step) -> bool:
    """Move a thing back; says whether it was there. Neither way overwrites: a folder only replaces an empty one."""
    if _found(own, step.to) is None:
        return False
    with ExitStack() as stack:
        folder, name = stack.enter_context(_parent(top, step.path, make=True))
        there, moved = stack.enter_context(_parent(own, step.to))
        if stat.S_ISDIR(os.stat(moved, dir_fd=there, follow_symlinks=False).st_mode):
            os.rename(moved, name, src_dir_fd=there, dst_dir_fd=folder)
        else:
            with suppress(FileExistsError):  # an undo before this one came as far as that
                os.link(moved, name, src_dir_fd=there, dst_dir_fd=folder, follow_symlinks=False)
            os.fsync(folder)
            os.unlink(moved, dir_fd=there)
        os.fsync(folder)
        os.fsync(there)
    return True


def _remove_empty(top: int, path: str) -> bool:
    with suppress(FileNotFoundError), _parent(top, path) as (folder, name):
        try:
            os.rmdir(name, dir_fd=folder)
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR}:
                return False
            raise
        return True
    return False


# --- telling ----------------------------------------------------------------------------------------------------------


def carry_out(
    root: Path, session: str, actions: Sequence[Action], *, clock: Clock, tell: Tell | None, fixer: str
) -> None:
    """Tell of every action, take their steps, and tell of them again. Raises what `apply` and `tell` raise.

    What can not be told beforehand is not done. Where a step fails, those before it are told all the same.
    """
    _check([step for action in actions for step in action.steps])
    for action in actions:
        if tell is not None:
            tell(AutoFixPlanned(**told(action, session, fixer, dry_run=False)))
    taken: list[str] = []
    try:
        apply(root, session, actions, at_ms=clock(), took=taken.append)
    except InterlockError:
        with suppress(InterlockError):  # what failed first is what matters
            done = [action for action in actions if not set(taken).isdisjoint(action.changed_paths)]
            _tell_applied(done, session, tell, fixer)
        raise
    _tell_applied(actions, session, tell, fixer)


def _tell_applied(actions: Sequence[Action], session: str, tell: Tell | None, fixer: str) -> None:
    if tell is None:
        return
    for action in actions:
        tell(AutoFixApplied(**told(action, session, fixer, dry_run=False)))
        for step in action.steps:
            if step.do == "move":
                moved = f"{QUARANTINE}/{session}/{step.to}"
                tell(FileRelocated(subject=session, source=as_text(step.path), target=as_text(moved)))


def told(action: Action, session: str, fixer: str, *, dry_run: bool) -> dict[str, Any]:
    """Return the fields of an event about an action."""
    return {
        "subject": session,
        "fixer": f"{fixer}.{action.name}",
        "target": as_text(action.target),
        "plan": {
            "description": as_text(action.description),
            "commands": [as_text(command) for command in action.commands(session)],
            "dry_run": dry_run,
        },
        "policy": {
            "decision": "review" if dry_run else "allow",
            "reason": f"auto-fix::{action.name}",
            "signals": [f"auto_fix::{action.name}"],
            "metadata": {"dry_run": dry_run, "target": as_text(action.target)},
        },
    }


def as_text(path: str) -> str:
    """Return a path whose bytes are not UTF-8 with those escaped."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


# --- the list of steps ------------------------------------------------------------------------------------------------


def _write_list(own: int, session: str, steps: Sequence[Step], at_ms: int) -> None:
    document = {
        "schema_version": 1,
        "session": session,
        "planned_at": to_text(at_ms),
        "steps": [
            {"do": step.do, "path": step.path} | ({"to": step.to} if step.do == "move" else {}) for step in steps
        ],
    }
    fresh = f".{UNDO_LIST}.tmp"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=own)
    with os.fdopen(descriptor, "wb") as file:
        file.write(json.dumps(document, indent=2).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.rename(fresh, UNDO_LIST, src_dir_fd=own, dst_dir_fd=own)
    os.fsync(own)


def _read_list(own: int, session: str) -> list[Step]:
    """Return the steps of a session; none where it died before its list was written, or was taken back already."""
    try:
        descriptor = os.open(UNDO_LIST, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=own)
    except FileNotFoundError:
        return []
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(_MOST_LIST_BYTES)
    try:
        steps = [_step(found) for found in json.loads(data)["steps"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UndoListMalformed(f"{QUARANTINE}/{session}/{UNDO_LIST} is not a list of steps") from None
    _check(steps)
    return steps


def _step(found: object) -> Step:
    fields = cast("dict[str, object]", found)
    do, path, to = fields["do"], fields["path"], fields.get("to", "")
    if do not in {"make", "move"} or not isinstance(path, str) or not isinstance(to, str):
        raise TypeError("not a step")
    return Step(do=cast("Literal['make', 'move']", do), path=path, to=to)


def _close_list(own: int) -> None:
    with suppress(FileNotFoundError):
        os.rename(UNDO_LIST, UNDONE_LIST, src_dir_fd=own, dst_dir_fd=own)
        os.fsync(own)


# --- folders, opened without following a link -------------------------------------------------------------------------


@contextmanager
def _quarantine(root: Path) -> Generator[tuple[int, int]]:
    """Yield the workspace and its quarantine, opened, the latter locked; raises `RepairsBusy`, `RepairFailed`."""
    with ExitStack() as stack:
        try:
            top = _opened(stack, root)
            quarantine = top
            for name in QUARANTINE.split("/"):
                with suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=quarantine)
                    os.fsync(quarantine)
                quarantine = _open(stack, name, quarantine)
            fcntl.flock(quarantine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RepairsBusy from None
        except OSError as error:
            raise RepairFailed(f"{QUARANTINE} can not be used: {error.strerror}") from None
        yield top, quarantine


def _opened(stack: ExitStack, root: Path) -> int:
    descriptor = os.open(os.path.realpath(root), _FOLDER)
    stack.callback(os.close, descriptor)
    return descriptor


def _open(stack: ExitStack, name: str, folder: int) -> int:
    descriptor = os.open(name, _FOLDER, dir_fd=folder)
    stack.callback(os.close, descriptor)
    return descriptor


@contextmanager
def _parent(top: int, path: str, *, make: bool = False) -> Generator[tuple[int, str]]:
    """Yield the folder that a path lies in, opened, and its last name; raises OSError, also for a link on the way."""
    *ways, name = path.split("/")
    with ExitStack() as stack:
        folder = top
        for way in ways:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(way, 0o755, dir_fd=folder)
                    os.fsync(folder)
            folder = _open(stack, way, folder)
        yield folder, name


def _found(top: int, path: str) -> os.stat_result | None:
    try:
        with _parent(top, path) as (folder, name):
            return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _exists(folder: int, name: str) -> bool:
    with suppress(FileNotFoundError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        return True
    return False


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(os.lstat(path).st_mode)


def sessions(root: Path) -> Iterator[str]:
    """Yield the ids of repairs that can still be taken back, oldest names first."""
    folder = root / QUARANTINE
    if folder.is_dir():
        for each in sorted(folder.iterdir()):
            if SESSION.fullmatch(each.name) and (each / UNDO_LIST).is_file():
                yield each.name
