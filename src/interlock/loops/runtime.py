"""The runtime's command line (`SUPERLOOP_BIN`), which carries out what an operator wants of a loop on this machine.

It gets its own process group, no terminal and no token of ours; what it prints is read to its end and only the end of
that is kept. It has an hour; then everything that it started is ended with it.
"""

from __future__ import annotations

import errno
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from interlock.access.redaction import redact
from interlock.access.tokens import without_tokens
from interlock.loops import files
from interlock.loops.places import LoopPlaces
from interlock.runs.containment import processes

VARIABLE: Final = "SUPERLOOP_BIN"
SERVICE_TOKEN: Final = "OPS_MANAGER_SERVICE_TOKEN"  # noqa: S105 - a variable's name
LIMIT_SECONDS: Final = 3600.0
_LAST_LINES = 40
_MOST_TOLD = 16 * 1024
_MOST_KEPT = 64 * 1024
_LINGER_SECONDS = 0.2
"""What it left behind may hold its output open: nobody waits longer than this for what that prints."""
_ENDED_AFTER_LIMIT, _NOT_EXECUTABLE, _NOT_FOUND, _SIGNALLED = 124, 126, 127, 128


class Done(NamedTuple):
    """What came of a command."""

    command: str
    exit_code: int
    output: str | None


class Runtime(NamedTuple):
    """The runtime's program, as it is called on this machine."""

    binary: str
    environment: Mapping[str, str]
    limit_seconds: float = LIMIT_SECONDS

    @classmethod
    def of(cls, root: str, environment: Mapping[str, str]) -> Runtime:
        """Return the one that the environment names, else the root's own."""
        return cls(environment.get(VARIABLE) or os.path.join(root, "superloop.sh"), environment)

    def carry_out(self, places: LoopPlaces, intent: str, by: str, note: str | None) -> Done:
        """Call it. What can not be called, or must not be, has failed like a call that went wrong."""
        argv = [self.binary, *_words(places, intent, by, note)]
        command = redact(shlex.join(argv))
        if intent == "cancel" and (refusal := _other_loop(places)):
            return Done(command, 1, refusal)
        try:
            code, output = self._call(argv)
        except FileNotFoundError:
            return Done(command, _NOT_FOUND, f"{self.binary} is not there; {VARIABLE} names the runtime's program")
        except OSError as error:
            return Done(command, _NOT_EXECUTABLE, f"{self.binary} can not be called: {error.strerror}")
        told = _told(output)
        if code is None:
            told = "\n".join(filter(None, (told, f"ended after {self.limit_seconds:g} seconds, with all it started")))
            return Done(command, _ENDED_AFTER_LIMIT, told)
        return Done(command, _SIGNALLED - code if code < 0 else code, told or None)

    def _call(self, argv: Sequence[str]) -> tuple[int | None, bytes]:
        started = self._start(argv)
        try:
            output, ended = _listened(started, self.limit_seconds)
        except BaseException:
            _end(started)
            raise
        if not ended:
            _end(started)
        return (started.wait() if ended else None), output

    def _start(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        environment = without_tokens(self.environment)
        plain = {name: value for name, value in environment.items() if name != SERVICE_TOKEN}
        try:
            return _popen(argv, plain)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            return _popen(["/bin/sh", *argv], plain)  # a script that does not say whose it is, as a shell would


def _words(places: LoopPlaces, intent: str, by: str, note: str | None) -> list[str]:
    where = ["--repo", places.repo, "--loop", places.loop]
    if intent == "cancel":
        return ["cancel", *where]
    noted = ["--note", note] if note else []
    return ["approve", *where, "--by", by, *noted, *(["--reject"] if intent == "reject" else [])]


def _other_loop(places: LoopPlaces) -> str | None:
    """Say why a cancel must not be sent: the runtime ends whatever is active in the repository, and that is another."""
    try:
        run = files.read_json(places.active_run) or {}
        state = files.read_json(places.runtime_state) or {}
    except (files.FileCorrupt, files.FileUnreadable) as error:
        return f"nothing was cancelled: which loop is active can not be told: {error.message}"
    running, current = run.get("loop_id"), state.get("current_loop_id")
    named = {running} if isinstance(running, str) and running else set[str]()
    if isinstance(current, str) and current and (state.get("active") is True or not named):
        named.add(current)
    others = sorted(named - {places.loop})
    return f"nothing was cancelled: the active loop is {', '.join(others)}, not {places.loop}" if others else None


def _popen(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - the operator's own program, without a shell
        argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _listened(started: subprocess.Popen[bytes], limit: float) -> tuple[bytes, bool]:
    """Read until it has ended; returns the end of what it printed, and whether it ended by itself in time."""
    pipe = started.stdout
    assert pipe is not None  # noqa: S101 - for the type checker: it was asked for
    deadline, kept, open_ended = time.monotonic() + limit, b"", True
    with pipe, selectors.DefaultSelector() as ready:
        os.set_blocking(pipe.fileno(), False)
        ready.register(pipe, selectors.EVENT_READ)
        while open_ended and time.monotonic() < deadline:
            if started.poll() is not None:
                deadline = min(deadline, time.monotonic() + _LINGER_SECONDS)
            if ready.select(0.05) and (part := pipe.read(_MOST_KEPT)) is not None:
                kept, open_ended = (kept + part)[-_MOST_KEPT:], bool(part)
        # Whoever has closed its output may still be at work; the pipe stays open, because its end would be a signal.
        return kept, _waited(started, deadline)


def _waited(started: subprocess.Popen[bytes], deadline: float) -> bool:
    try:
        started.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(started: subprocess.Popen[bytes]) -> None:
    """End the command with its process group and with everything below it."""
    below = {pid: processes.start_time_of(pid) for pid in processes.descendants(started.pid)}
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    processes.sweep(lambda: [pid for pid, began in below.items() if began and processes.start_time_of(pid) == began])


def _told(output: bytes) -> str:
    """Return the last lines, without secrets."""
    lines = output.decode("utf-8", "replace").rstrip("\n").split("\n")
    return redact("\n".join(lines[-_LAST_LINES:]))[-_MOST_TOLD:] if output else ""
