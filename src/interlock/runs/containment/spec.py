"""What to run, what it may see and write, and when it has to end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from interlock.runs.containment.errors import SpecInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from interlock.runs.containment.wire import SpecJson


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """A folder that the agent may write to without changing it, such as the git mirror."""

    lower: Path
    """What the agent sees, and where; it stays as it is."""
    upper: Path
    """Takes what the agent writes. On the same file system as `work`, outside `lower`."""
    work: Path
    """An empty folder for overlayfs itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One agent command and its limits; every path is absolute. Malformed ones raise `SpecInvalid` when made."""

    argv: tuple[str, ...]
    """The command and its arguments; a name without `/` is looked up in `env`'s PATH."""
    env: Mapping[str, str]
    """The exact environment; only INTERLOCK_RUN is added to it."""
    cwd: Path
    run_marker: str
    """Names this attempt: unique per run *and* fence, or ending the one would end the other."""
    stdin_file: Path = Path("/dev/null")
    """What the agent reads as its input: opened before anything is hidden, and on Linux a sealed copy of the file."""
    wall_clock_seconds: float | None = None
    """After this the agent is stopped politely; counted from its start."""
    lease_until: float | None = None
    """When the right to run ends, by `line.lease_clock`, unless `Contained.renew` puts it off: then everything stands
    still until it is renewed or ended. So whoever takes a run over never meets an earlier one at work."""
    grace_seconds: float = 10.0
    """Between SIGTERM and SIGKILL."""
    max_file_bytes: int | None = None
    """No file may grow beyond this (RLIMIT_FSIZE); writing more is SIGXFSZ."""
    max_processes: int | None = None
    """Processes and threads at a time. With namespaces only; for root on Linux 6.14 or later, up to 300 more."""
    hidden_paths: tuple[Path, ...] = ()
    """Seen as empty. One that does not exist is passed over: make it first."""
    writable_paths: tuple[Path, ...] = ()
    """With namespaces, everything else on the file system is read-only. May lie below hidden ones."""
    readonly_paths: tuple[Path, ...] = ()
    """Still to be seen although a hidden or private folder lies over them."""
    overlay_paths: tuple[Overlay, ...] = ()
    private_tmp_bytes: int | None = None
    """Size of a tmpfs of the run's own, shown as /tmp, /var/tmp and /dev/shm. It is memory."""
    network: bool = True
    """False: nothing but loopback; refused where namespaces are unavailable, because it could not be held."""
    local_services: bool = False
    """False hides the sockets (`view.LOCAL_SERVICES`) by which systemd, D-Bus or Docker would start processes that are
    not in the tree. Abstract sockets and the network are not covered."""
    namespaces: Literal["auto", "never", "require"] = "auto"
    """`auto` goes on with best effort where this host forbids them, `require` refuses, `never` is for tests."""

    def __post_init__(self) -> None:
        for problem in (*self._wrong_words(), *self._wrong_paths(), *self._wrong_limits()):
            raise SpecInvalid(problem)

    def _wrong_words(self) -> Iterator[str]:
        if not self.argv or not self.argv[0]:
            yield "The agent's command is empty."
        if not self.run_marker or not self.run_marker.isprintable() or " " in self.run_marker:
            yield "The run marker is empty or has spaces or control characters."
        if any("\0" in text for text in (*self.argv, *self.env, *self.env.values())):
            yield "A NUL character stands in the agent's command or environment."
        if any(not name or "=" in name for name in self.env):
            yield "A variable of the agent's environment has no name, or one with '='."

    def _wrong_paths(self) -> Iterator[str]:
        for path in self._paths():
            if not path.is_absolute() or "\0" in str(path):
                yield f"{path} is not an absolute path."
        if Path("/") in (*self.hidden_paths, *self.writable_paths):
            yield "The root folder can be neither hidden nor writable."

    def _wrong_limits(self) -> Iterator[str]:
        if not 0 <= self.grace_seconds < float("inf"):
            yield f"grace_seconds is {self.grace_seconds}; it must be a number from 0 up."
        limits = (self.wall_clock_seconds, self.max_file_bytes, self.max_processes, self.private_tmp_bytes)
        if any(limit is not None and not 0 < limit < float("inf") for limit in limits):
            yield "A limit is not a number above 0."

    def _paths(self) -> Iterator[Path]:
        yield from (self.cwd, self.stdin_file, *self.hidden_paths, *self.writable_paths, *self.readonly_paths)
        for overlay in self.overlay_paths:
            yield from (overlay.lower, overlay.upper, overlay.work)

    def as_json(self, *, stdout_fd: int, stderr_fd: int) -> SpecJson:
        """Return the specification as the supervisor reads it, with the pipes that take the agent's output."""
        return {
            "argv": list(self.argv),
            "env": dict(self.env),
            "cwd": str(self.cwd),
            "stdin_file": str(self.stdin_file),
            "stdout_fd": stdout_fd,
            "stderr_fd": stderr_fd,
            "run_marker": self.run_marker,
            "wall_clock_seconds": self.wall_clock_seconds,
            "lease_until": self.lease_until,
            "grace_seconds": self.grace_seconds,
            "max_file_bytes": self.max_file_bytes,
            "max_processes": self.max_processes,
            "hidden_paths": [str(path) for path in self.hidden_paths],
            "writable_paths": [str(path) for path in self.writable_paths],
            "readonly_paths": [str(path) for path in self.readonly_paths],
            "overlay_paths": [
                {"lower": str(one.lower), "upper": str(one.upper), "work": str(one.work)} for one in self.overlay_paths
            ],
            "private_tmp_bytes": self.private_tmp_bytes,
            "network": self.network,
            "local_services": self.local_services,
            "namespaces": self.namespaces,
        }
