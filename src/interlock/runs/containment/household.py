"""The keeper's household: the agent, and every process that came from it."""

from __future__ import annotations

import os
import select
import signal
import sys

from interlock.runs.containment import processes
from interlock.runs.containment.line import FREEZE, TERMINATE, THAW

TYPE_CHECKING = False  # typing's own costs an import
if TYPE_CHECKING:
    from collections.abc import Callable

_LINUX = sys.platform.startswith("linux")
_FREEZES_AT_MOST = 100


class Household:
    """Whom the keeper looks after; `agent` is set once it is born."""

    def __init__(self, marker: str, *, contained: bool) -> None:
        """Take the run's marker, and whether a process namespace draws the line around the household."""
        self.agent = 0
        self.status: int | None = None
        """The agent's wait status, once it has ended."""
        self._others = 0
        self._marker = marker
        self._contained = contained and os.getpid() == 1  # "everybody" (-1) must never mean the whole machine
        self._supervisor = os.getppid()

    def until_agent_ends(self, orders: int, woken: int) -> None:
        """Reap, and pass the orders on; return when the agent has ended or the order to kill comes."""
        poller = select.poll()
        poller.register(orders, select.POLLIN)
        poller.register(woken, select.POLLIN)
        while self.status is None:
            ready = [descriptor for descriptor, _ in poller.poll()]
            if woken in ready:
                os.read(woken, 4096)
                self.reap()
            if orders in ready:
                order = os.read(orders, 1)
                if order == TERMINATE:
                    self._signal(signal.SIGTERM)
                elif order == FREEZE:
                    self._freeze()
                elif order == THAW:
                    self._signal(signal.SIGCONT)
                else:
                    return

    def reap(self) -> bool:
        """Bury whoever has died; say whether we still have children."""
        return bury_dead_children(os.WNOHANG, self._bury)

    def _bury(self, pid: int, status: int) -> None:
        if pid == self.agent:
            self.status = status
        else:
            self._others += 1

    def _signal(self, number: int) -> None:
        if self._contained:
            processes.send(-1, number)
        elif _LINUX:
            for pid in self._find():
                processes.send(pid, number)
        else:
            processes.send(-self.agent, number)

    def _freeze(self) -> None:
        """Stop everything; to who is not stopped yet a child may be born, and only the kernel can tell all at once.

        It is over when the same ones are found twice, and stood still the first time: then nobody could bear any more.
        """
        self._signal(signal.SIGSTOP)
        if self._contained or not _LINUX:
            return
        still: set[int] | None = None
        for _ in range(_FREEZES_AT_MOST):
            found = set(self._find()) - {os.getpid()}
            if found == still:
                return
            moving = [pid for pid in found if not processes.stands_still(pid)]
            still = None if moving else found
            for pid in moving:
                processes.send(pid, signal.SIGSTOP)

    def kill_everything(self) -> int | None:
        """Leave nothing alive; returns how many there were besides the agent (None: unknown, on macOS)."""
        self.reap()
        self._others = 0
        if self._contained:
            processes.send(-1, signal.SIGKILL)
            bury_dead_children(0, self._bury)
            return self._others
        if not _LINUX:
            processes.send(-self.agent, signal.SIGKILL)
            bury_dead_children(0, self._bury)
            return None
        killed, _ = processes.sweep(self._find, self.reap)
        return len(killed - {self.agent})

    def _find(self) -> list[int]:
        return [pid for pid in processes.tree(self._marker) if pid != self._supervisor]


def bury_dead_children(options: int, bury: Callable[[int, int], None]) -> bool:
    """Call `bury` with pid and wait status of each; say whether children are left alive.

    Those that are dead by now (`WNOHANG`), or all, as they die (0).
    """
    try:
        while (dead := os.waitpid(-1, options))[0]:
            bury(*dead)
    except ChildProcessError:
        return False
    return True
