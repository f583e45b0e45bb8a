"""The last steps of the agent's process before its own program replaces ours.

Runs in the child that the keeper forked. Tells the birth pipe who it is, sheds everything that is the supervisor's, and
calls `exec`. The birth pipe closes by itself when that works; when it does not, it says why.
"""
# ruff: noqa: PTH118, PTH208 - pathlib's import would cost as much as the rest of the start

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import sys

from interlock.runs.containment import linux, processes

TYPE_CHECKING = False  # typing's own costs an import
if TYPE_CHECKING:
    from typing import NoReturn

    from interlock.runs.containment.wire import BirthJson, SpecJson

PROCESSES_OF_A_NAMESPACE = (5, 14)
"""Since then `RLIMIT_NPROC` counts the processes of the user namespace, before all of the user's."""

_LINUX = sys.platform.startswith("linux")
_NOT_FOUND = (errno.ENOENT, errno.ENOTDIR)
_NOT_EXECUTABLE = (errno.EACCES, errno.ENOEXEC, errno.EPERM, errno.EISDIR)
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


class Streams:
    """What the agent is to be given: its three standard streams, and a look at who it is to the worker."""

    __slots__ = ("processes", "stderr", "stdin", "stdout")

    def __init__(self, *, stdin: int, stdout: int, stderr: int, processes: int | None) -> None:
        """Take descriptors; `processes` is the worker's /proc, by whose numbers the worker knows us (None: macOS)."""
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.processes = processes

    def close(self) -> None:
        """Close them all: the worker's end of the output must see the agent's end, not ours."""
        for descriptor in (self.stdin, self.stdout, self.stderr, self.processes):
            if descriptor is not None:
                os.close(descriptor)


def tell(birth: int, word: BirthJson) -> None:
    """Write one line to the birth pipe."""
    os.write(birth, json.dumps(word).encode() + b"\n")


def become(spec: SpecJson, streams: Streams, birth: int, *, contained: bool) -> NoReturn:
    """Turn this process into the agent; never returns."""
    try:
        pid, start_time = _identity(streams.processes)
        tell(birth, {"pid": pid, "start_time": start_time})
        os.setsid()
        _reset_signals()
        os.umask(0o022)
        _limit(spec, contained=contained)
        _enter(spec["cwd"], birth)
        _keep_only_standard_streams(streams, birth)
        if _LINUX:
            if not contained:
                linux.die_with_parent()  # what outlives the keeper for this long is swept
            linux.drop_privileges()
        _exec(spec, birth)
    except OSError as error:
        tell(birth, {"refused": "agent_start_failed", "message": f"The agent could not be started: {error}."})
    finally:
        os._exit(127)


def _identity(worker_processes: int | None) -> tuple[int, int]:
    """Return our process id and start time as the worker sees them, also from inside a process namespace."""
    if worker_processes is None:
        return os.getpid(), processes.start_time_of(os.getpid()) or 0
    descriptor = os.open("self/stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=worker_processes)
    text = os.read(descriptor, 4096).decode(errors="replace")
    os.close(descriptor)
    return int(text.partition(" ")[0]), int(text.rpartition(")")[2].split()[19])


def _reset_signals() -> None:
    """Give every signal its default action and unblock all: Python ignores some, and `exec` would keep that."""
    for number in signal.valid_signals():
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _limit(spec: SpecJson, *, contained: bool) -> None:
    if spec["max_file_bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (spec["max_file_bytes"], spec["max_file_bytes"]))
    if spec["max_processes"] is not None and contained and linux.is_at_least(*PROCESSES_OF_A_NAMESPACE):
        most = spec["max_processes"] + 1  # the keeper counts too
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def _enter(cwd: str, birth: int) -> None:
    try:
        os.chdir(cwd)
    except OSError as error:
        tell(birth, {"refused": "cwd_missing", "message": f"The agent can't enter {cwd}: {error.strerror}."})
        os._exit(127)


def _keep_only_standard_streams(streams: Streams, birth: int) -> None:
    for number, descriptor in enumerate((streams.stdin, streams.stdout, streams.stderr)):
        os.dup2(descriptor, number)
    for name in os.listdir("/dev/fd" if not _LINUX else "/proc/self/fd"):
        if int(name) > 2 and int(name) != birth:
            try:
                os.close(int(name))
            except OSError:
                continue  # the one that listed the folder


def _exec(spec: SpecJson, birth: int) -> None:
    """Replace this process; returns nothing, and if it returns at all, the birth pipe knows why."""
    command = spec["argv"][0]
    environment = {**spec["env"], processes.MARKER_VARIABLE: spec["run_marker"]}
    worst: OSError | None = None
    for program in _candidates(command, environment.get("PATH", _DEFAULT_PATH)):
        try:
            os.execve(program, spec["argv"], environment)  # noqa: S606 - the approved command, without a shell
        except OSError as error:
            if worst is None or worst.errno in _NOT_FOUND:
                worst = error
    number = worst.errno if worst else errno.ENOENT
    if number in _NOT_FOUND:
        message = f"There is no command {command!r}, or not the program that its first line names."
        tell(birth, {"refused": "agent_command_not_found", "message": message})
    elif number in _NOT_EXECUTABLE:
        why = os.strerror(number)
        tell(birth, {"refused": "agent_command_not_executable", "message": f"{command!r} can't be run: {why}."})
    elif worst:
        raise worst


def _candidates(command: str, path: str) -> list[str]:
    if "/" in command:
        return [command]
    return [os.path.join(folder or ".", command) for folder in path.split(":")]
