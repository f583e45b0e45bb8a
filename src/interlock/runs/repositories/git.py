"""The only place that starts git.

Three things keep a repository, or whoever writes into it, from making git run a program:

1. The environment is built from nothing: no system or global configuration, no home folder, no askpass, no agent.
2. What would execute is switched off on every command line, which wins over any configuration file.
3. Commands that touch objects, files or refs do not read the configuration of the repository that they work on at
   all: they go through a stand-in git folder (`standin.py`) whose configuration we write. That is what stops filters,
   merge drivers and whatever keys later versions of git add: a list of forbidden keys would always be one short.

Only the few `rev-parse` and `symbolic-ref` calls of `local.py` that find where a repository is read its own
configuration; they open no index, no object and no connection, so they start nothing.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from interlock.runs.repositories.errors import GitFailed, GitMissing, GitTimedOut, OutputTooLarge

SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.askPass=/bin/false",
    "core.symlinks=true",
    # Grafts and a forged commit graph could show other parents and trees than the commits name.
    "core.commitGraph=false",
    # A step of a run is complete when its output is stored: objects and refs have to survive a power cut.
    "core.fsync=committed",
    "core.fsyncMethod=batch",
    "commit.gpgSign=false",
    "credential.helper=",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    # A new shared part of a split index would be written into a stand-in, and be gone with it.
    "splitIndex.maxPercentChange=100",
)

_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "/bin/false",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    # Without `file`: local repositories are read through packs (transfer.py), so nothing runs upload-pack in one.
    "GIT_ALLOW_PROTOCOL": "https:ssh",
    # ssh finds keys through the password database, not HOME; -F keeps it from ~/.ssh/config, where an agent of the
    # same user could write a ProxyCommand.
    "GIT_SSH_COMMAND": "ssh -F /dev/null -o BatchMode=yes -o ConnectTimeout=20",
    "GIT_SSH_VARIANT": "ssh",
    "GIT_AUTHOR_NAME": "Interlock",
    "GIT_AUTHOR_EMAIL": "interlock@localhost",
    "GIT_COMMITTER_NAME": "Interlock",
    "GIT_COMMITTER_EMAIL": "interlock@localhost",
}

_CHUNK = 1 << 16
_CREDENTIALS = re.compile(r"://[^/\s]+@")
_VERSION = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a git command works; what is None or empty is not given to git."""

    git_dir: Path | None = None
    work_tree: Path | None = None
    index: Path | None = None
    objects: Path | None = None
    """The folder that new objects are written to, instead of the git folder's own."""
    alternates: tuple[Path, ...] = ()
    """More object folders to read from."""
    cwd: Path | None = None
    keep_open: tuple[int, ...] = ()
    """File descriptors that git inherits, so that a lock lives as long as the last git that works under it."""

    def environment(self) -> dict[str, str]:
        """Return the variables that lead git here."""
        given = {"GIT_DIR": self.git_dir, "GIT_WORK_TREE": self.work_tree, "GIT_INDEX_FILE": self.index}
        given["GIT_OBJECT_DIRECTORY"] = self.objects
        found = {name: str(path) for name, path in given.items() if path is not None}
        if self.alternates:
            found["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = ":".join(_quoted(str(path)) for path in self.alternates)
        return found


@dataclass(frozen=True, slots=True)
class Finished:
    """A git command that ended with an accepted code."""

    code: int
    out: bytes
    told: str
    """Its standard error, with credentials in URLs redacted."""

    @property
    def line(self) -> str:
        """The output as text, without the final newline."""
        return os.fsdecode(self.out.removesuffix(b"\n"))


@dataclass(slots=True)
class Git:
    """Starts git: without a shell, bounded in time and output, deaf to every configuration but ours."""

    scratch: Path
    """Folder (mode 0700, made when needed) for private git folders; agents have no business there."""
    timeout_s: float = 120.0
    trusted: tuple[str, ...] = ()
    """Repositories of other users that the operator trusts: absolute paths of their top folders, or `*`."""
    search_path: str | None = None
    """PATH for git and what it starts; None takes ours. Relative entries are dropped: the folder we stand in may be
    an agent's."""

    def run(
        self,
        place: Place,
        *args: str,
        stdin: bytes = b"",
        codes: Sequence[int] = (0,),
        limit: int | None = None,
        timeout_s: float | None = None,
        at_ms: int | None = None,
    ) -> Finished:
        """Run one command to its end.

        `limit` bounds standard output in bytes (`OutputTooLarge`), `timeout_s` the whole call (`GitTimedOut`); any exit
        code outside `codes` is a `GitFailed`. `at_ms` is the date of what is committed.
        """
        seconds = timeout_s or self.timeout_s
        with TemporaryFile() as given, TemporaryFile() as told:
            given.write(stdin)
            given.seek(0)
            process = self._start(place, args, stdin=given, stderr=told, at_ms=at_ms)
            try:
                out = _read(process, time.monotonic() + seconds, limit)
            except TimeoutError:
                raise GitTimedOut(f"git {args[0]} did not end within {seconds:g} s") from None
            finally:
                _stop(process)
            return _judged(args, Finished(process.returncode, out, _told(told)), codes)

    def pipe(
        self,
        source: tuple[Place, Sequence[str]],
        target: tuple[Place, Sequence[str]],
        *,
        stdin: bytes,
        timeout_s: float,
    ) -> Finished:
        """Run two commands, the first one's output feeding the second; both must succeed. Returns the second."""
        started: list[subprocess.Popen[bytes]] = []
        with TemporaryFile() as given, TemporaryFile() as told, TemporaryFile() as target_told:
            given.write(stdin)
            given.seek(0)
            deadline = time.monotonic() + timeout_s
            try:
                started.append(first := self._start(*source, stdin=given, stderr=told))
                between = _output(first)
                started.append(second := self._start(*target, stdin=between, stderr=target_told))
                between.close()  # ours; so the first one notices when the second is gone
                out = _read(second, deadline, None)
                first.wait(max(0.0, deadline - time.monotonic()))
            except (TimeoutError, subprocess.TimeoutExpired):
                raise GitTimedOut(f"git {source[1][0]} did not end within {timeout_s:g} s") from None
            finally:
                for process in started:
                    _stop(process)
            # The producer first: the consumer's complaint (a short pack) only echoes it.
            _judged(source[1], Finished(first.returncode, b"", _told(told)), (0,))
            return _judged(target[1], Finished(second.returncode, out, _told(target_told)), (0,))

    def version(self) -> tuple[int, int]:
        """Return git's major and minor version."""
        said = self.run(Place(), "version").line
        found = _VERSION.search(said)
        if found is None:
            raise GitFailed(f"git does not tell its version: {said!r}")
        return int(found[1]), int(found[2])

    def _start(
        self, place: Place, args: Sequence[str], *, stdin: IO[bytes], stderr: IO[bytes], at_ms: int | None = None
    ) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(
            entry
            for entry in (self.search_path or os.environ.get("PATH", os.defpath)).split(os.pathsep)
            if entry.startswith("/")
        )
        program = shutil.which("git", path=path)
        if program is None:
            raise GitMissing
        environment = {**_ENVIRONMENT, "PATH": path, **place.environment()}
        if at_ms is not None:
            environment["GIT_AUTHOR_DATE"] = environment["GIT_COMMITTER_DATE"] = f"@{at_ms // 1000} +0000"
        settings = (*SETTINGS, *(f"safe.directory={folder}" for folder in self.trusted))
        flags = [word for setting in settings for word in ("-c", setting)]
        return subprocess.Popen(  # noqa: S603 - an argument list, our own program, an environment built from nothing
            [program, "--no-optional-locks", "--no-pager", *flags, *args],
            cwd=place.cwd or place.work_tree or place.git_dir or "/",
            env=environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            pass_fds=place.keep_open,
            # A group of its own, so that a timeout also stops what git started (index-pack, ssh).
            start_new_session=True,
        )


def _judged(args: Sequence[str], finished: Finished, codes: Sequence[int]) -> Finished:
    if finished.code not in codes:
        last = "; ".join(line for line in finished.told.splitlines()[-5:] if line.strip())
        raise GitFailed(f"git {args[0]} ended with {finished.code}: {last[:1000] or 'it said nothing'}")
    return finished


def _output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdout is None:
        raise AssertionError("every git is started with a pipe as its output")
    return process.stdout


def _read(process: subprocess.Popen[bytes], deadline: float, limit: int | None) -> bytes:
    """Read standard output to its end and wait for the process; raises TimeoutError or `OutputTooLarge`."""
    output = _output(process)
    parts: list[bytes] = []
    size = 0
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            part = os.read(output.fileno(), _CHUNK)
            if not part:
                break
            parts.append(part)
            size += len(part)
            if limit is not None and size > limit:
                raise OutputTooLarge(f"git printed more than {limit} bytes")
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    return b"".join(parts)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    _output(process).close()


def _told(stderr: IO[bytes]) -> str:
    stderr.seek(0)
    return redacted(stderr.read(_CHUNK).decode("utf-8", "backslashreplace"))


def redacted(text: str) -> str:
    """Return the text with user names and passwords in URLs blotted out."""
    return _CREDENTIALS.sub("://***@", text)


def _quoted(path: str) -> str:
    """Quote a path for a colon separated list of git, in which a path may hold colons, quotes and newlines."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
