"""What doctor sees of the machine, with a workspace or without one. Only Python's own library is asked."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from interlock import __version__
from interlock.kernel.clock import Clock, to_text
from interlock.workspace.doctor import Finding, Probe, failed, ok, warning

EXTRAS: Final[Mapping[str, tuple[str, str]]] = {
    "anthropic": ("anthropic", "drafts by Anthropic's models"),
    "gemini": ("google-genai", "drafts by Gemini models"),
    "openai": ("openai", "drafts by models that speak OpenAI's protocol"),
    "otel": ("opentelemetry-sdk", "traces"),
    "sinks": ("apprise", "alerts to mail, Teams, ntfy and others"),
    "temporal": ("temporalio", "the engine `temporal`"),
}
"""Each extra: the package that makes it up, and what it is for."""
_LEAST_GIT = (2, 38)
_LEAST_FILES, _GOOD_FILES = 256, 1024
_LEAST_BYTES, _GOOD_BYTES = 100 << 20, 1 << 30
_LEAST_INODES = 1000
_EARLIEST_MS = 1_767_225_600_000
"""2026-01-01: no machine with this version on it has an earlier date."""
_DRIFT_MS = 500
_LOOKED_SECONDS = 0.05
_ASKED_SECONDS = 5
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*])?([^;]*)(;.*)?")
_AT_LEAST = re.compile(r">=\s*([0-9][0-9.]*)")


def probes(root: Path | None, clock: Clock) -> dict[str, Probe]:
    """Return the probes of the machine by name; `root` is the workspace, whose disk matters most."""
    return {
        "system": _system,
        "python": _python,
        "packages": _packages,
        "extras": _extras,
        "git": _git,
        "temporary folder": lambda: _temporary(Path(tempfile.gettempdir())),
        "disk": lambda: _disk(root or Path.cwd()),
        "open files": _files,
        "clock": lambda: _clock(clock),
    }


def _system() -> Finding:
    named = f"{platform.system()} {platform.release()} on {platform.machine()}"
    if sys.platform.startswith("linux"):
        return ok(named)
    if sys.platform == "darwin":
        return warning(f"{named}: agents are held as well as macOS can", "run workers on Linux where agents do harm")
    return failed(f"{named} is not a system on which Interlock works", "use Linux or macOS")


def _python() -> Finding:
    named = f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}"
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever forces an installation on an older one learns it here
        return failed(f"{named} is too old", "install Interlock with Python 3.11 or later")
    return ok(named)


def _packages() -> Finding:
    """Hold what is installed against what this version asks for."""
    try:
        told = importlib.metadata.distribution("interlock")
    except importlib.metadata.PackageNotFoundError:
        return warning("Interlock is not installed as a package here", "pip install interlock")
    if told.version != __version__:
        return failed(
            f"the package says {told.version}, the code {__version__}", "pip install --force-reinstall interlock"
        )
    wrong = list(_unmet(told.requires or []))
    if wrong:
        return failed(f"Interlock {__version__} misses {', '.join(wrong)}", f"pip install interlock=={__version__}")
    return ok(f"Interlock {__version__} with all that it needs")


def _unmet(requirements: list[str]) -> Iterator[str]:
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match is None or "extra" in (match[3] or ""):
            continue
        found, least = version(match[1]), _AT_LEAST.search(match[2])
        if found is None:
            yield match[1]
        elif least is not None and _numbers(found) < _numbers(least[1]):
            yield f"{match[1]} {least[1]} (there is {found})"


def version(name: str) -> str | None:
    """Return which version of a package is installed; None where none is."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(told: str) -> tuple[int, ...]:
    """Read the leading numbers of a version, without zeros at the end: 1.2 is 1.2.0."""
    numbers = [int(each) for each in re.findall(r"\d+", re.split(r"[a-z+]", told, maxsplit=1)[0])]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _extras() -> Finding:
    there = {name: found for name, (package, _) in EXTRAS.items() if (found := version(package)) is not None}
    told = ", ".join(f"{name} ({EXTRAS[name][0]} {found})" for name, found in there.items()) or "none is installed"
    return ok(f"{told}; there are {', '.join(EXTRAS)}")


def _git() -> Finding:
    program = shutil.which("git")
    if program is None:
        return failed("there is no git on PATH, and every run works in a git worktree", "apt-get install git")
    done = subprocess.run(  # noqa: S603 - the git that runs would use, asked for its version
        [program, "--version"], capture_output=True, text=True, check=False, timeout=_ASKED_SECONDS
    )
    match = re.search(r"(\d+)\.(\d+)", done.stdout)
    if done.returncode or match is None:
        return failed(f"{program} does not say its version", "see whether `git --version` works")
    told = f"git {match[0]} at {program}"
    if (int(match[1]), int(match[2])) < _LEAST_GIT:
        return warning(f"{told} is older than 2.38: `run apply --into-tree` needs that", "install a newer git")
    return ok(told)


def _temporary(folder: Path) -> Finding:
    if not os.access(folder, os.W_OK | os.X_OK) or os.statvfs(folder).f_flag & os.ST_RDONLY:
        return failed(f"{folder} can not be written", f"chmod 1777 {folder}, or set TMPDIR")
    if sys.platform.startswith("linux") and os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return warning(
            f"nothing in {folder} may be executed (noexec), which builds and tests often do",
            f"mount -o remount,exec {folder}, or set TMPDIR to another folder for workers",
        )
    return ok(f"{folder} can be written and executed from")


def _disk(folder: Path) -> Finding:
    found = os.statvfs(folder)
    free, told = found.f_bavail * found.f_frsize, f"{_size(found.f_bavail * found.f_frsize)} free at {folder}"
    todo = "make room: `interlock run purge` archives old runs, `du -sh .interlock/*` shows what is large"
    if free < _LEAST_BYTES or (found.f_files and found.f_favail < _LEAST_INODES):
        return failed(f"{told}, and {found.f_favail} more files: what can not be logged is not done", todo)
    if free < _GOOD_BYTES:
        return warning(f"{told}: mirrors and worktrees take as much as their repositories", todo)
    return ok(told)


def _size(many: int) -> str:
    return f"{many / (1 << 30):.1f} GiB" if many >= 1 << 30 else f"{many >> 20} MiB"


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    told = f"a process may have {'any number of' if soft == resource.RLIM_INFINITY else soft} files open"
    todo = "ulimit -n 4096, or LimitNOFILE=4096 in the systemd unit"
    if soft == resource.RLIM_INFINITY or soft >= _GOOD_FILES:
        return ok(told)
    most = "" if hard == resource.RLIM_INFINITY else f" ({hard} where it asks for more)"
    return (failed if soft < _LEAST_FILES else warning)(f"{told}{most}: each run and each client takes some", todo)


def _clock(clock: Clock) -> Finding:
    """See that the wall clock is near the truth, and goes as fast as the one that only goes forward."""
    began, steady = clock(), time.monotonic()
    time.sleep(_LOOKED_SECONDS)
    ended = clock()
    drift = abs((ended - began) - (time.monotonic() - steady) * 1000)
    todo = "turn time synchronisation on: timedatectl set-ntp true"
    if began < _EARLIEST_MS:
        return failed(f"the clock says {to_text(began)}, which is in the past", todo)
    if drift > _DRIFT_MS:
        return warning(f"the clock jumped by {drift:.0f} ms while it was looked at", todo)
    return ok(f"the clock says {to_text(ended)}")
