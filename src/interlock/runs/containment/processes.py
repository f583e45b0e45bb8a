"""Processes of this host: which one is meant, whether it lives, which belong to a run, and ending those.

A process is named by pid, start time and boot id, so that a pid that was given to another process in the meantime is
never taken for it. A process belongs to a run when it carries the run's marker in its environment, or descends from one
that does. Nothing here raises because a process ends while it is being looked at: it is then simply not there.

Linux reads `/proc`; macOS asks `ps`, and knows neither markers nor descendants of others. The supervisor imports this
module, and there every millisecond of start-up counts: it imports only what is cheap.
"""

# ruff: noqa: PTH115, PTH208 - pathlib's import would cost as much as the rest of the start

from __future__ import annotations

import os
import signal
import sys
import time

TYPE_CHECKING = False  # typing's own costs an import
if TYPE_CHECKING:
    from collections.abc import Callable

MARKER_VARIABLE = "INTERLOCK_RUN"
SUPERVISOR_FILE = "supervisor.py"

_LINUX = sys.platform.startswith("linux")
_SWEEPS_AT_MOST_SECONDS = 10.0
_PAUSE_BETWEEN_SWEEPS_SECONDS = 0.001
_SUPERVISORS_MAY_TAKE_SECONDS = 2.0


def start_time_of(pid: int) -> int | None:
    """Return when a process started, or None if there is no such process or it is only waiting to be reaped.

    Clock ticks since boot on Linux (field 22 of its `stat`), seconds since 1970 on macOS: compare, do not calculate.
    """
    if not _LINUX:
        return _start_time_by_ps(pid)
    fields = _stat(pid)
    return None if fields is None or fields[0] in ("Z", "X") else int(fields[19])


def stands_still(pid: int) -> bool:
    """Say whether a process was stopped by a signal, or is not there."""
    fields = _stat(pid)
    return fields is None or fields[0] in ("T", "t", "Z", "X")


def boot_id() -> str:
    """Name the boot and the process namespace within which pids and start times mean something; empty if unknown.

    Two containers on one host share the boot but not the pids, which is why the namespace is part of it.
    """
    if not _LINUX:
        return _answer("/usr/sbin/sysctl", "-n", "kern.bootsessionuuid").strip()
    boot = _read("/proc/sys/kernel/random/boot_id").decode().strip()
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return boot
    return f"{boot}:{namespace.removeprefix('pid:[').removesuffix(']')}"


def is_alive(pid: int, start_time: int, boot: str) -> bool:
    """Say whether exactly this process still runs here.

    False also when `boot` is another boot, host or container: the caller has to know that the process was here.
    """
    return boot == boot_id() and start_time_of(pid) == start_time


def marked(marker: str) -> list[int]:
    """Return the processes that carry this run's marker in the environment they were started with.

    Only those whose environment this user may read. Always empty on macOS.
    """
    wanted = f"{MARKER_VARIABLE}={marker}".encode()
    return [pid for pid in _every_pid() if wanted in _read(f"/proc/{pid}/environ").split(b"\0")]


def markers() -> dict[str, list[int]]:
    """Return every run marker that a process of this user carries, with its processes; empty on macOS."""
    found: dict[str, list[int]] = {}
    for pid in _every_pid():
        marker = _marker_of(pid)
        if marker is not None:
            found.setdefault(marker, []).append(pid)
    return found


def descendants(root: int) -> list[int]:
    """Return the living processes below one, however deep; a zombie counts as dead."""
    children: dict[int, list[int]] = {}
    dead: set[int] = set()
    for pid in _every_pid():
        fields = _stat(pid)
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(pid)
            if fields[0] in ("Z", "X"):
                dead.add(pid)
    found: list[int] = []
    waiting = list(children.get(root, ()))
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting.extend(children.get(pid, ()))
    return [pid for pid in found if pid not in dead]


def tree(marker: str) -> list[int]:
    """Return the processes of a run that can be found from this one: marked, or below this process; never this one.

    Direct children are looked up last and stand first: whoever forks and exits all the time is hard to meet, but he
    becomes one of them.
    """
    me = os.getpid()
    found = {*descendants(me), *marked(marker)}
    mine = [int(child) for child in _read(f"/proc/{me}/task/{me}/children").split()]
    return [*mine, *(found - {me, *mine})]


def kill_marked(marker: str) -> list[int]:
    """End what a dead worker left of a run on this host; returns who would not die (empty: nothing is left).

    Supervisors are asked first, because they know descendants that have shed the marker; then everything marked is
    killed until two sweeps in a row find nothing. Takes at most about twelve seconds.
    """
    for pid in marked(marker):
        if _supervised_run(pid) == marker:
            send(pid, signal.SIGTERM)
    patience = time.monotonic() + _SUPERVISORS_MAY_TAKE_SECONDS
    while any(_supervised_run(pid) == marker for pid in marked(marker)) and time.monotonic() < patience:
        time.sleep(_PAUSE_BETWEEN_SWEEPS_SECONDS)
    return sweep(lambda: [pid for pid in marked(marker) if pid != os.getpid()])[1]


def outlast(pid: int, start_time: int) -> list[int]:
    """Kill a process and wait until it is gone, ten seconds at most; returns it if it would not go, else nothing."""
    deadline = time.monotonic() + _SWEEPS_AT_MOST_SECONDS
    while start_time_of(pid) == start_time:
        if time.monotonic() > deadline:
            return [pid]
        send(pid, signal.SIGKILL)
        time.sleep(_PAUSE_BETWEEN_SWEEPS_SECONDS)
    return []


def sweep(find: Callable[[], list[int]], reap: Callable[[], bool] = lambda: False) -> tuple[set[int], list[int]]:
    """Kill what `find` finds until two sweeps in a row find nothing; returns (killed, left at the deadline).

    `reap` buries dead children of ours and says whether others live. That there are none is the proof, where orphans
    become our children, that nothing below us is left, however fast it moves.
    """
    killed: dict[int, int | None] = {}
    quiet = 0
    deadline = time.monotonic() + _SWEEPS_AT_MOST_SECONDS
    while True:
        childless = not reap()
        found = find()
        # What dies sheds its marker before it is gone, and the first of a namespace goes after all others in it.
        found += [pid for pid, began in killed.items() if pid not in found and began and start_time_of(pid) == began]
        quiet = quiet + 1 if childless and not found else 0
        if quiet == 2 or time.monotonic() > deadline:
            return set(killed), found
        for pid in found:
            killed.setdefault(pid, start_time_of(pid))
            send(pid, signal.SIGKILL)
        if found:
            time.sleep(_PAUSE_BETWEEN_SWEEPS_SECONDS)


def inside_run() -> str | None:
    """Return the marker of the run that this process is part of, or None.

    Looks at the own environment, then at every ancestor: its environment where that may be read, and its command line,
    which shows a keeper even to an agent that may not read its environment.
    """
    own = os.environ.get(MARKER_VARIABLE)
    if own:
        return own
    pid = os.getppid()
    while pid > 0:
        marker = _marker_of(pid) or _supervised_run(pid)
        if marker:
            return marker
        pid = _parent_of(pid)
    return None


def send(pid: int, number: int) -> None:
    """Send a signal; that the process is gone or not ours is no error."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _every_pid() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _stat(pid: int) -> list[str] | None:
    """Return the fields of `/proc/<pid>/stat` from the third (state) on; the name before may contain anything."""
    text = _read(f"/proc/{pid}/stat").decode(errors="replace")
    return text.rpartition(")")[2].split() or None


def _parent_of(pid: int) -> int:
    if not _LINUX:
        return int(_answer("/bin/ps", "-o", "ppid=", "-p", str(pid)).strip() or 0)
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _marker_of(pid: int) -> str | None:
    prefix = f"{MARKER_VARIABLE}=".encode()
    for entry in _read(f"/proc/{pid}/environ").split(b"\0"):
        if entry.startswith(prefix):
            return os.fsdecode(entry[len(prefix) :]) or None
    return None


def _supervised_run(pid: int) -> str | None:
    """Return the run that a supervisor or keeper was started for, from its command line."""
    if _LINUX:
        words = [os.fsdecode(word) for word in _read(f"/proc/{pid}/cmdline").split(b"\0")]
    else:
        words = _answer("/bin/ps", "-o", "command=", "-p", str(pid)).split()
    suffix = f"/containment/{SUPERVISOR_FILE}"
    place = next((number for number, word in enumerate(words) if word.endswith(suffix)), len(words))
    return next(iter(words[place + 1 :]), None) or None


def _read(path: str) -> bytes:
    """Return a file of `/proc`, or nothing if it is gone or closed to us."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    parts: list[bytes] = []
    try:
        while part := os.read(descriptor, 65536):
            parts.append(part)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
    return b"".join(parts)


def _start_time_by_ps(pid: int) -> int | None:
    state, _, started = _answer("/bin/ps", "-o", "state=,lstart=", "-p", str(pid)).strip().partition(" ")
    if not started or state.startswith("Z"):
        return None
    return int(time.mktime(time.strptime(started.strip(), "%a %b %d %H:%M:%S %Y")))


def _answer(*argv: str) -> str:
    """Return what a command prints, or nothing if it fails."""
    import subprocess  # noqa: PLC0415 - macOS only, and 10 ms that the supervisor would pay on Linux

    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False, env={"LC_ALL": "C"}).stdout  # noqa: S603 - fixed words
    except OSError:
        return ""
