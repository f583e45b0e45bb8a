"""Commands in containment, one after the other: the lines of a job, or one step of a deployment.

A command works in the workspace (or in a worktree of its own), sees nothing of the state folder, can not write what
governs it, and has no network unless its definition says so. What could not be held here is in its notes.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from interlock.kernel.clock import Clock, system_clock
from interlock.kernel.errors import InterlockError
from interlock.pipelines.models import Limits, Line
from interlock.pipelines.report import FOLLOWING, GOVERNING
from interlock.runs.containment.errors import NamespacesUnavailable, TookTooLong
from interlock.runs.containment.launch import Contained, Ended, Started, launch
from interlock.runs.containment.processes import start_time_of
from interlock.runs.containment.spec import Overlay, Spec
from interlock.runs.models import LogLine
from interlock.runs.options import Namespaces
from interlock.runs.output import OutputLog
from interlock.runs.repositories import Git, Mirror, Mirrors, Worktrees, inspect, remove_tree, resolve
from interlock.runs.repositories.errors import WorktreeNotRemoved

Printed = tuple[str, str, int, str]
"""A line of a run's log: job, stream, time in ms, text."""
Write = Callable[[Sequence[Printed]], None]

EGRESS_NOT_ENFORCED: Final = "egress_not_enforced"
PATHS_NOT_ENFORCED: Final = "paths_not_enforced"
STOPPED: Final = "stopped"
_TEMPORARY: Final = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))  # noqa: S108 - what a command gets for itself
_WATCH_SECONDS: Final = 0.1
_START_SECONDS: Final = 60.0
_SECRET_WORDS: Final = ("TOKEN", "SECRET", "PASSWORD", "PASSPHRASE", "CREDENTIAL", "KEY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Where commands work, and what is kept from them."""

    root: Path
    """The workspace."""
    state: Path
    """Its state folder; hidden. Private folders of commands are made below it."""
    hidden: tuple[Path, ...] = ()
    """What else is hidden."""
    visible: tuple[Path, ...] = ()
    """What is seen, read-only, although a command's own /tmp lies over it."""
    namespaces: Namespaces = "auto"
    """`auto` goes on without where this host has none, and says so; `require` refuses; `never` is for tests."""
    grace_seconds: float = 10.0
    private_tmp_bytes: int = 512 * 1024 * 1024
    now: Clock = system_clock

    @property
    def folder(self) -> Path:
        """Where pipelines keep what is theirs alone: private folders, mirrors, worktrees."""
        return self.state / "pipelines"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where the commands of one job stand."""

    cwd: Path
    writable: tuple[Path, ...]
    overlays: tuple[Overlay, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What all commands of one job have in common."""

    job: str
    """As the log calls it."""
    marker: str
    """Names the attempt: no two attempts of the product share it. No spaces."""
    environment: Mapping[str, str]
    """See `environment_of`; HOME is added."""
    limits: Limits = field(default_factory=Limits)
    network: bool = False
    readonly: tuple[Path, ...] = ()
    """What of the workspace can not be written besides, such as the scripts that were accepted."""
    ground: Ground | None = None
    """None: the workspace itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinesEnded:
    """How commands ended; the last one that was run speaks for all."""

    reason: str | None
    """None: each with exit code 0. `command_failed`, `limit_wall_clock`, `limit_output`, `protected_path_made`,
    `stopped`, or the code of the error for which one could not be started."""
    message: str = ""
    exit_code: int | None = None
    containment: str | None = None
    """`namespaces`, `best_effort`, None where no command was run."""
    notes: tuple[str, ...] = ()
    duration_ms: int = 0
    output_bytes: int = 0


def environment_of(root: Path, search_path: str, *given: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a command but for HOME; of `given` the later count more."""
    found = {"LANG": "C.UTF-8", "TERM": "dumb", "TMPDIR": "/tmp"}  # noqa: S108 - its own
    for each in given:
        found.update(each)
    return {**found, "PATH": search_path, "NOA_WORKFLOW_ROOT": str(root)}


def run_lines(
    shop: Workshop,
    lines: Sequence[Line],
    errand: Errand,
    *,
    write: Write,
    stopped: threading.Event | None = None,
    before: Callable[[], None] = lambda: None,
) -> LinesEnded:
    """Run commands one after the other until one fails, the time is up, or `stopped` is set: then they are killed.

    `before` is called before each, and raises an `InterlockError` where it may not begin. Nothing of them is left when
    this returns, or raises what `write` raised. Output goes to `write` line by line.
    """
    with _private(shop) as private:
        work = _Work(shop, errand, private, write, stopped or threading.Event(), before)
        return work.all(lines)


@dataclass(slots=True)
class _Work:
    """The commands of one job while they run."""

    shop: Workshop
    errand: Errand
    private: Path
    write: Write
    stopped: threading.Event
    before: Callable[[], None]
    log: OutputLog = field(init=False)
    notes: dict[str, None] = field(default_factory=dict[str, None])
    containment: str | None = None
    unwritten: BaseException | None = None
    """Why output could not be handed on: the run is somebody else's, or it can not be told."""
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.log = OutputLog(
            self._pass_on,
            now=self.shop.now,
            limit_bytes=self.errand.limits.output_bytes,
            secrets=_secrets(self.errand.environment),
        )

    def all(self, lines: Sequence[Line]) -> LinesEnded:
        missing = [name for name in GOVERNING if not os.path.lexists(self.shop.root / name)]
        code: int | None = None
        for line in lines:
            if line.if_exists is not None and not (self.shop.root / line.if_exists).exists():
                self._say(f"left out, because {line.if_exists} is not there: {line.argv[0]}")
                continue
            try:
                reason, message, code = self._one(line.argv)
            except (InterlockError, OSError) as error:
                if error is self.unwritten:
                    raise
                reason, message, code = _refusal(line.argv[0], error)
            if reason is not None:
                return self._ended(reason, message, code)
        made = [name for name in missing if os.path.lexists(self.shop.root / name)]
        if made:
            return self._ended("protected_path_made", f"{made[0]} was made, which is not a job's to make", code)
        return self._ended(None, "", code)

    def _one(self, argv: tuple[str, ...]) -> tuple[str | None, str, int | None]:
        seconds = self.errand.limits.seconds - (time.monotonic() - self.began)
        if self.stopped.is_set():
            return STOPPED, "stopped before it began", None
        if seconds <= 0:
            return self._too_long(argv)
        self.before()
        spec = self._spec(argv, seconds, network=self.errand.network)
        try:
            return self._launched(spec)
        except NamespacesUnavailable:
            if self.errand.network or self.shop.namespaces == "require":
                raise
        self.notes[EGRESS_NOT_ENFORCED] = None
        return self._launched(self._spec(argv, seconds, network=True))

    def _launched(self, spec: Spec) -> tuple[str | None, str, int | None]:
        with launch(spec) as contained:
            started = contained.wait_started(_START_SECONDS)
            self._note(started)
            ended, broken = self._watch(contained)
        return self._judged(spec.argv, ended, broken)

    def _watch(self, contained: Contained) -> tuple[Ended, str | None]:
        reader = threading.Thread(target=_read, args=(contained, self.log), daemon=True)
        reader.start()
        broken: str | None = None
        while True:
            try:
                ended = contained.wait(_WATCH_SECONDS)
                break
            except TookTooLong:
                self.log.flush()
            if broken is None:
                broken = STOPPED if self.stopped.is_set() else "limit_output" if self.log.exceeded.is_set() else None
                if broken is not None:
                    contained.kill()
        reader.join(_START_SECONDS)
        self.log.flush(end=True)
        if broken is None and self.log.exceeded.is_set():
            broken = "limit_output"
        return ended, broken

    def _judged(self, argv: tuple[str, ...], ended: Ended, broken: str | None) -> tuple[str | None, str, int | None]:
        name, code = argv[0], ended.exit_code
        if broken == STOPPED:
            return STOPPED, f"{name} was stopped", code
        if broken == "limit_output":
            return broken, f"{name} printed more than {self.errand.limits.output_bytes} bytes", code
        if ended.reason == "wall_clock":
            return self._too_long(argv)
        if code != 0:
            told = f"exit code {code}" if code is not None else f"signal {ended.signal}"
            return "command_failed", f"{name} ended with {told}", code
        return None, "", 0

    def _too_long(self, argv: tuple[str, ...]) -> tuple[str, str, None]:
        return "limit_wall_clock", f"{argv[0]} was not done after {self.errand.limits.seconds} s of this job", None

    def _ended(self, reason: str | None, message: str, code: int | None) -> LinesEnded:
        return LinesEnded(
            reason=reason,
            message=message,
            exit_code=code,
            containment=self.containment,
            notes=tuple(self.notes),
            duration_ms=round((time.monotonic() - self.began) * 1000),
            output_bytes=self.log.total_bytes,
        )

    def _note(self, started: Started) -> None:
        self.containment = started.containment
        self.notes.update(dict.fromkeys(started.notes))
        if started.containment != "namespaces":
            self.notes[PATHS_NOT_ENFORCED] = None

    def _spec(self, argv: tuple[str, ...], seconds: float, *, network: bool) -> Spec:
        shop, errand = self.shop, self.errand
        ground = errand.ground or Ground(cwd=shop.root, writable=(shop.root,))
        kept = [shop.root]
        if errand.ground is None:
            kept = [*(shop.root / name for name in (*FOLLOWING, *GOVERNING)), *errand.readonly]
        return Spec(
            argv=argv,
            env={"HOME": str(self.private), **errand.environment},
            cwd=ground.cwd,
            run_marker=errand.marker,
            wall_clock_seconds=seconds,
            grace_seconds=shop.grace_seconds,
            max_file_bytes=errand.limits.file_bytes,
            hidden_paths=tuple(path for path in (shop.state, *shop.hidden) if path.is_dir()),
            writable_paths=(*ground.writable, *_ways(shop.root, kept), self.private),
            readonly_paths=tuple(path for path in (*kept, *shop.visible) if path.exists()),
            overlay_paths=ground.overlays,
            private_tmp_bytes=shop.private_tmp_bytes,
            network=network,
            namespaces=shop.namespaces,
        )

    def _say(self, text: str) -> None:
        self.write([(self.errand.job, "interlock", self.shop.now(), text)])

    def _pass_on(self, lines: Sequence[LogLine]) -> None:
        try:
            self.write([(self.errand.job, each.source, each.ts_ms, each.msg) for each in lines])
        except BaseException as error:
            self.unwritten = error
            raise


@contextmanager
def _private(shop: Workshop) -> Generator[Path]:
    """Give a home folder that nothing else sees, and remove it."""
    homes = shop.folder / "homes"
    homes.mkdir(mode=0o700, parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=homes))
    try:
        yield home
    finally:
        remove_tree(home)


@contextmanager
def worktree(shop: Workshop, repository: str, ref: str, name: str) -> Generator[Ground]:
    """Give a worktree of what a ref means in a repository, by path from the workspace, and remove it.

    The mirror is the pipelines' own, so a worker that tidies up after runs has no part in it. Raises what
    `repositories` raises where the repository can not be used.
    """
    mirrors, worktrees = _repositories(shop)
    facts = inspect(mirrors.git, shop.root / repository)
    commit, object_format = resolve(mirrors.git, facts.source, ref)
    mirror = mirrors.open(facts.source, object_format)
    mirror.fetch(commit, pin=name)
    scratch = shop.folder / "overlays" / name
    try:
        worktrees.remove(mirror, name)
        made = worktrees.add(mirror, commit, name)
        yield Ground(cwd=made.path, writable=(made.path,), overlays=(_overlay(mirror, scratch),))
    finally:
        with suppress(WorktreeNotRemoved):  # the next run tries again
            worktrees.remove(mirror, name)
        mirror.keep(f"refs/interlock/base/{name}", None)
        remove_tree(scratch)


def tidy(shop: Workshop) -> None:
    """Remove what a killed run left: to be called while no run of a pipeline is carried out in this workspace."""
    mirrors, worktrees = _repositories(shop)
    if worktrees.root.is_dir():
        worktrees.prune(mirrors, lambda: ())
    remove_tree(shop.folder / "overlays")
    for home in (shop.folder / "homes").glob("*-*"):
        owner = home.name.partition("-")[0]
        if owner.isdecimal() and start_time_of(int(owner)) is None:
            remove_tree(home)


def _repositories(shop: Workshop) -> tuple[Mirrors, Worktrees]:
    git = Git(scratch=shop.folder / "git")
    return Mirrors(git=git, folder=shop.folder / "mirrors"), Worktrees(shop.folder / "worktrees")


def _overlay(mirror: Mirror, scratch: Path) -> Overlay:
    remove_tree(scratch)
    for name in ("upper", "work"):
        (scratch / name).mkdir(mode=0o700, parents=True)
    return Overlay(lower=mirror.folder, upper=scratch / "upper", work=scratch / "work")


def hidden_by_tmp(root: Path, paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return those of `paths` that a command's own /tmp would hide, though they are not in the workspace."""
    return tuple(
        path
        for path in dict.fromkeys(paths)
        if path.is_absolute()
        and any(path.is_relative_to(each) and path != each for each in _TEMPORARY)
        and not path.is_relative_to(root)
        and path.exists()
    )


def _ways(root: Path, kept: Sequence[Path]) -> tuple[Path, ...]:
    """Return the folders between the workspace and what is kept from being written.

    Each is mounted over itself: a mount point can not be renamed, so nothing else can be put in the place of what lies
    below it.
    """
    top = root.resolve()
    return tuple(
        dict.fromkeys(
            way
            for path in kept
            if path.exists()
            for way in path.resolve().parents
            if way != top and way.is_relative_to(top)
        )
    )


def _read(contained: Contained, log: OutputLog) -> None:
    for stream, chunk in contained.output():
        log.take(stream, chunk)


def _secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables whose names say that nobody should read them."""
    return {name: value for name, value in environment.items() if any(word in name.upper() for word in _SECRET_WORDS)}


def _refusal(name: str, error: InterlockError | OSError) -> tuple[str, str, None]:
    if isinstance(error, InterlockError):
        return error.code, f"{name} could not be run: {error.message}", None
    return "job_failed", f"{name} could not be run: {error.strerror or type(error).__name__}", None
