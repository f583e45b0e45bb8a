"""The keeper: the parent of everything that the agent starts.

With namespaces it is process 1 of the agent's process namespace: the kernel kills the rest when it ends, and it ends
with the supervisor (by signal, and by the end of the orders pipe). Without, it is a subreaper: orphans become its
children, and when the supervisor dies it sweeps them before it goes. If it is the keeper that is killed, they become
the supervisor's.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from interlock.runs.containment import agent, linux, processes, view
from interlock.runs.containment.household import Household, bury_dead_children
from interlock.runs.containment.line import wake_on

TYPE_CHECKING = False  # typing's own costs an import
if TYPE_CHECKING:
    from typing import NoReturn

    from interlock.runs.containment.wire import LastWordJson, SpecJson, ViewJson

_LINUX = sys.platform.startswith("linux")
_NAMESPACES = linux.CLONE_NEWUSER | linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWIPC
_PID_MAX_OF_A_NAMESPACE = (6, 14)  # before, that setting is the whole machine's: writing it would be a disaster
_NEVER_REUSED_PIDS = 300  # the kernel keeps the first ones to itself; so the bound lies between `most` and 300 above it


class Keeper:
    """The supervisor's handle on its keeper: a process id, and our ends of the pipes between us."""

    __slots__ = ("birth", "contained", "orders", "pid", "report")

    def __init__(self, pid: int, *, birth: int, report: int, orders: int, contained: bool) -> None:
        """Take the keeper's id, the pipes `birth` and `report` to read and `orders` to write, and the mode."""
        self.pid = pid
        self.birth = birth
        self.report = report
        self.orders = orders
        self.contained = contained

    def order(self, what: bytes) -> None:
        """Pass an order on; a keeper that is gone needs none."""
        try:
            os.write(self.orders, what)
        except BrokenPipeError:
            return

    def bury(self, marker: str) -> tuple[int, int]:
        """See to it that the keeper is gone, then end what it left to us; returns (how many, how many won't)."""
        processes.send(self.pid, signal.SIGKILL)  # it has had its say; what it has not finished, we or the kernel do
        os.waitpid(self.pid, 0)
        if self.contained or not _LINUX:
            return 0, 0
        killed, left = processes.sweep(lambda: processes.tree(marker), _reap)
        return len(killed), len(left)


def _reap() -> bool:
    return bury_dead_children(os.WNOHANG, lambda _pid, _status: None)


class Pipes:
    """The keeper's ends of the same pipes."""

    __slots__ = ("birth", "orders", "report")

    def __init__(self, *, birth: int, report: int, orders: int) -> None:
        """Take `birth` and `report` to write and `orders` to read."""
        self.birth = birth
        self.report = report
        self.orders = orders


def start(spec: SpecJson, streams: agent.Streams, *, contained: bool) -> Keeper:
    """Fork the keeper, into new namespaces if `contained`; raises `OSError` if the kernel refuses."""
    birth, report, orders = os.pipe(), os.pipe(), os.pipe()
    ids = os.geteuid(), os.getegid()  # asked here: inside a new user namespace nobody has one yet
    network = 0 if spec["network"] else linux.CLONE_NEWNET
    try:
        pid = linux.clone(_NAMESPACES | network) if contained else os.fork()
    except OSError:
        for descriptor in (*birth, *report, *orders):
            os.close(descriptor)
        raise
    if pid == 0:
        try:
            for descriptor in (0, 1, birth[0], report[0], orders[1]):
                os.close(descriptor)
            pipes = Pipes(birth=birth[1], report=report[1], orders=orders[0])
            _keep(spec, streams, pipes, ids if contained else None)
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker should hear of it
            agent.tell(birth[1], {"refused": "supervisor_failed", "message": f"The keeper failed: {error!r}."})
        finally:
            os._exit(1)
    for descriptor in (birth[1], report[1], orders[0]):
        os.close(descriptor)
    return Keeper(pid, birth=birth[0], report=report[0], orders=orders[1], contained=contained)


def _keep(spec: SpecJson, streams: agent.Streams, pipes: Pipes, ids: tuple[int, int] | None) -> NoReturn:
    """Prepare the world, start the agent, and stay until it ends or the order to kill comes.

    `ids` are the user and group to be in the new namespaces, None where there are no namespaces.
    """
    household = Household(spec["run_marker"], contained=ids is not None)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a rescuer asks the supervisor, and we hear it from there
    made = _settle(spec, streams, pipes.birth, ids) if ids else _stay_outside(spec)
    agent.tell(pipes.birth, {"view": made})
    woken = wake_on(signal.SIGCHLD)
    gate, opener = os.pipe()
    household.agent = os.fork()
    if household.agent == 0:
        os.close(opener)
        if os.read(gate, 1):
            agent.become(spec, streams, pipes.birth, contained=ids is not None)
        os._exit(1)
    streams.close()
    os.close(pipes.birth)  # before the agent goes on: from now on the pipe ends exactly when its program starts
    os.write(opener, b"!")
    os.close(gate)
    os.close(opener)
    household.until_agent_ends(pipes.orders, woken)
    leftovers = household.kill_everything()
    if household.status is not None:
        word: LastWordJson = {"status": household.status, "leftovers": leftovers}
        os.write(pipes.report, json.dumps(word).encode() + b"\n")
    os._exit(0)


def _settle(spec: SpecJson, streams: agent.Streams, birth: int, ids: tuple[int, int]) -> ViewJson:
    """Make the new namespaces a place to live in; ends this process, with the reason on the birth pipe, if it can't."""
    try:
        linux.die_with_parent()
        _map_to_ourselves(ids, streams.processes)
        notes = _limit_processes(spec["max_processes"], streams.processes)
        if not spec["network"]:
            linux.raise_loopback()
        made = view.build(spec)
        made["notes"] += notes
    except view.Unavailable as error:
        agent.tell(birth, {"unavailable": str(error)})
    except view.PathMissing as error:
        agent.tell(birth, {"refused": "path_missing", "message": f"There is no {error} to show to the agent."})
    except OSError as error:
        agent.tell(birth, {"refused": "view_failed", "message": f"The agent's view can't be built: {error}."})
    else:
        return made
    os._exit(1)


def _map_to_ourselves(ids: tuple[int, int], worker_processes: int | None) -> None:
    """Keep our user and group id in the new user namespace; no other ids exist in it."""
    user, group = ids
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            descriptor = os.open(f"self/{name}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=worker_processes)
            os.write(descriptor, text.encode())
            os.close(descriptor)
    except OSError as error:
        raise view.Unavailable(f"the user namespace: {error.strerror}") from error


def _limit_processes(most: int | None, worker_processes: int | None) -> list[str]:
    """Bound what no limit of the agent's own process can: the kernel exempts root from `RLIMIT_NPROC`."""
    if most is None:
        return []
    root = os.getuid() == 0
    if not linux.is_at_least(*(_PID_MAX_OF_A_NAMESPACE if root else agent.PROCESSES_OF_A_NAMESPACE)):
        return ["max_processes_not_enforced"]
    if root:
        descriptor = os.open("sys/kernel/pid_max", os.O_WRONLY | os.O_CLOEXEC, dir_fd=worker_processes)
        os.write(descriptor, str(_NEVER_REUSED_PIDS + most + 1).encode())
        os.close(descriptor)
    return []


def _stay_outside(spec: SpecJson) -> ViewJson:
    """Prepare the mode without namespaces, and say what it does not hold."""
    notes: list[str] = []
    if _LINUX:
        linux.become_subreaper()
    else:
        notes.append("process_group_only")
    paths = (spec["hidden_paths"], spec["writable_paths"], spec["readonly_paths"], spec["overlay_paths"])
    if any(paths) or spec["private_tmp_bytes"] is not None:
        notes.append("paths_not_enforced")
    if spec["max_processes"] is not None:
        notes.append("max_processes_not_enforced")
    return {"git": "none", "notes": notes}
