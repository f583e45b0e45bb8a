"""From a specification to a running agent: with namespaces, without where they are forbidden, or not at all.

Whatever the worker says while the agent is not yet running ends the attempt. If the agent's program might have begun by
then, that is told as a start and an end, never as no start.
"""
# ruff: noqa: PTH112 - pathlib's import would cost as much as the rest of the start

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import stat
import sys

from interlock.runs.containment import agent, keeper, processes
from interlock.runs.containment.line import CLOSED

TYPE_CHECKING = False  # typing's own costs an import
if TYPE_CHECKING:
    from interlock.runs.containment.line import Line
    from interlock.runs.containment.wire import BirthJson, SpecJson, StopReason, ViewJson

_STOPPED = "The run was stopped before the agent's program was started."
_COPY_BYTES = 1 << 20
_LINUX = sys.platform.startswith("linux")


class Refusal(Exception):
    """The agent is not started: a reason code and a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        """Take both."""
        super().__init__(reason, message)
        self.reason = reason
        self.message = message


class Unavailable(Exception):
    """This host has no namespaces for us; the argument says at which step."""


class Newborn:
    """An agent whose program has just been started: its name as a process, its keeper, its view.

    `interruption` is why its keeper has already been killed, None if it lives.
    """

    __slots__ = ("interruption", "keeper", "pid", "start_time", "view")

    def __init__(
        self, family: keeper.Keeper, pid: int, start_time: int, view: ViewJson, interruption: StopReason | None
    ) -> None:
        """Take them."""
        self.interruption: StopReason | None = interruption
        self.keeper = family
        self.pid = pid
        self.start_time = start_time
        self.view = view


def deliver(spec: SpecJson, line: Line) -> Newborn:
    """Start the agent in the strongest mode that is wanted and possible; raises `Refusal`."""
    if line.has_orders():
        raise Refusal("stopped_before_start", _STOPPED)
    streams = _open_streams(spec)
    try:
        if not _LINUX or spec["namespaces"] == "never":
            return _without_namespaces(spec, streams, line, [])
        try:
            return _attempt(spec, streams, line, contained=True)
        except Unavailable as why:
            return _without_namespaces(spec, streams, line, [f"namespaces_unavailable: {why}"])
    finally:
        streams.close()


def _open_streams(spec: SpecJson) -> agent.Streams:
    if not os.path.isdir(spec["cwd"]):
        raise Refusal("cwd_missing", f"There is no folder {spec['cwd']} to start the agent in.")
    try:
        stdin = _prompt(spec["stdin_file"])
    except OSError as error:
        raise Refusal("stdin_file_missing", f"{spec['stdin_file']} can't be opened: {error.strerror}.") from error
    seen = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if _LINUX else None
    return agent.Streams(stdin=stdin, stdout=spec["stdout_fd"], stderr=spec["stderr_fd"], processes=seen)


def _prompt(path: str) -> int:
    """Open what the agent reads as its input; of a file it gets a copy.

    Through /proc/self/fd it could open the file itself again, for writing, and past everything that its view denies.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a named pipe must not hold us up
    kind = os.fstat(descriptor).st_mode
    if not _LINUX or not stat.S_ISREG(kind):
        os.set_blocking(descriptor, True)
        return descriptor
    copy = os.memfd_create("stdin", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    while os.sendfile(copy, descriptor, None, _COPY_BYTES):
        pass
    os.close(descriptor)
    fcntl.fcntl(
        copy, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    )
    os.lseek(copy, 0, os.SEEK_SET)
    return copy


def _without_namespaces(spec: SpecJson, streams: agent.Streams, line: Line, notes: list[str]) -> Newborn:
    if spec["namespaces"] == "require" or not spec["network"]:
        wanted = "they are required" if spec["network"] else "the network can't be cut off without them"
        raise Refusal("namespaces_unavailable", f"There are no namespaces here ({'; '.join(notes)}), and {wanted}.")
    newborn = _attempt(spec, streams, line, contained=False)
    newborn.view["notes"][:0] = notes
    return newborn


def _attempt(spec: SpecJson, streams: agent.Streams, line: Line, *, contained: bool) -> Newborn:
    """Start a keeper and listen until its agent runs; raises `Refusal` or `Unavailable`, and leaves nothing then."""
    try:
        family = keeper.start(spec, streams, contained=contained)
    except OSError as error:
        raise (Unavailable if contained else OSError)(f"{error.strerror} at the fork") from error
    word, interruption = _listen(family, line)
    if "pid" in word and "start_time" in word and "view" in word and "refused" not in word:
        return Newborn(family, word["pid"], word["start_time"], word["view"], interruption)
    family.bury(spec["run_marker"])
    if interruption:
        raise Refusal("stopped_before_start", _STOPPED)
    if "unavailable" in word:
        raise Unavailable(word["unavailable"])
    message = word.get("message", "The agent's keeper died before it could start the agent.")
    raise Refusal(word.get("refused", "agent_start_failed"), message)


def _listen(family: keeper.Keeper, line: Line) -> tuple[BirthJson, StopReason | None]:
    """Return everything said until the birth pipe closes, and whether (and how) the worker interrupted."""
    poller = select.poll()
    for descriptor in (*line.sources, family.birth):
        poller.register(descriptor, select.POLLIN)
    heard = bytearray()
    interruption: StopReason | None = None
    while True:
        if interruption:
            processes.send(family.pid, signal.SIGKILL)
        ready = [descriptor for descriptor, _ in poller.poll()]
        if family.birth in ready:  # first: an order that comes when the agent already runs is not for us
            part = os.read(family.birth, 65536)
            heard += part
            if not part:
                break
        elif (orders := line.hear(ready)) is not None:
            interruption = "control_closed" if orders == CLOSED else "stopped"
            for descriptor in line.sources:
                poller.unregister(descriptor)
    os.close(family.birth)
    word: BirthJson = {}
    for text in bytes(heard).splitlines():
        word.update(json.loads(text))
    return word, interruption
