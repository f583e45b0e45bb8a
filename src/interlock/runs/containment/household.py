"""The keeper's household: the agent, and every process that came from it."""

from __future__ import annotations

import os
import select
import signal
import sys

from interlock.runs.containment import processes
from interlock.runs.containment.line import TERMINATE

TYPE_CHECKING = False  # typing's own costs an import
if TYPE_CHECKING:
    from collections.abc import Callable

_LINUX = sys.platform.startswith("linux")


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
        """Reap, and pass on the order to terminate; return when the agent has ended or the order to kill comes."""
        poller = select.poll()
        poller.register(orders, select.POLLIN)
        poller.register(woken, select.POLLIN)
        while self.status is None:
            ready = [descriptor for descriptor, _ in poller.poll()]
            if woken in ready:
                os.read(woken, 4096)
                self.reap()
            if orders in ready:
                if os.read(orders, 1) != TERMINATE:
                    return
                self._terminate()

    def reap(self) -> bool:
        """Bury whoever has died; say whether we still have children."""
        return bury_dead_children(os.WNOHANG, self._bury)

    def _bury(self, pid: int, status: int) -> None:
        if pid == self.agent:
            self.status = status
        else:
            self._others += 1

    def _terminate(self) -> None:
        if self._contained:
            processes.send(-1, signal.SIGTERM)
        elif _LINUX:
            for pid in self._find():
                processes.send(pid, signal.SIGTERM)
        else:
            processes.send(-self.agent, signal.SIGTERM)

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
