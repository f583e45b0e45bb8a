"""The supervisor: turns what the worker orders, what the clock says and what the agent does into one end of the run.

It stays in the worker's namespaces, out of the agent's reach when there are namespaces. A running agent is *stopping*
once `SIGTERM` was passed on and the grace period runs, then *killing*; the keeper gets a moment to tell how the agent
ended before it is killed itself. The first reason to stop is the one that is reported.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time

from interlock.runs.containment import birth, linux, processes
from interlock.runs.containment.line import CLOSED, FREEZE, KILL, RENEW, TERMINATE, THAW, Line, lease_clock

TYPE_CHECKING = False  # typing's own costs an import
if TYPE_CHECKING:
    from interlock.runs.containment.wire import EndedJson, LastWordJson, SpecJson, StartedJson, StopReason

_KEEPER_MAY_TAKE_SECONDS = 2.0


def main() -> None:
    """Follow one specification from stdin to the end of its agent, and exit."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a worker's own way with signals is inherited, and would deafen us
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    line = Line()
    spec = line.read_spec()
    if spec is None:
        os._exit(0)
    try:
        if sys.platform.startswith("linux"):
            linux.become_subreaper()
        newborn = birth.deliver(spec, line)
        Watch(spec, newborn, line).run(_started(newborn))
    except birth.Refusal as refusal:
        line.tell({"event": "refused", "reason": refusal.reason, "message": refusal.message})
    except Exception as error:  # noqa: BLE001 - the worker must hear of it; the tree dies with this process
        line.tell({"event": "refused", "reason": "supervisor_failed", "message": f"The supervisor failed: {error!r}."})
    os._exit(0)


def _started(newborn: birth.Newborn) -> StartedJson:
    return {
        "event": "started",
        "pid": newborn.pid,
        "start_time": newborn.start_time,
        "boot_id": processes.boot_id(),
        "supervisor_pid": os.getpid(),
        "keeper_pid": newborn.keeper.pid,
        "keeper_start_time": processes.start_time_of(newborn.keeper.pid) or 0,
        "containment": "namespaces" if newborn.keeper.contained else "best_effort",
        "git": newborn.view["git"],
        "notes": newborn.view["notes"],
    }


class Watch:
    """One running agent and everything that can end it."""

    def __init__(self, spec: SpecJson, newborn: birth.Newborn, line: Line) -> None:
        """Take the specification, the agent with its keeper, and the line to the worker."""
        self._family = newborn.keeper
        self._line = line
        self._marker = spec["run_marker"]
        self._grace = spec["grace_seconds"]
        self._reason: StopReason | None = newborn.interruption
        self._report = bytearray()
        self._started_at = time.monotonic()
        self._wall_clock_at = _after(spec["wall_clock_seconds"])
        self._kill_at = self._give_up_keeper_at = float("inf")
        self._lease_until = spec["lease_until"] or float("inf")
        self._frozen = False
        self._unheard = b""
        self._poller = select.poll()
        for descriptor in (*line.sources, newborn.keeper.report):
            self._poller.register(descriptor, select.POLLIN)

    def run(self, started: StartedJson) -> None:
        """Report the start, see the run through, and report its end."""
        self._line.tell(started)
        while self._turn():
            self._watch_the_clock()
        took = time.monotonic() - self._started_at
        found, survivors = self._family.bury(self._marker)
        self._line.tell(self._ended(round(took * 1000), found, survivors))

    def _turn(self) -> bool:
        """Wait for the next thing to happen and deal with it; False when the keeper has nothing more to say."""
        next_at = min(self._wall_clock_at, self._kill_at, self._give_up_keeper_at)
        waits = min(next_at - time.monotonic(), self._leased_for())
        wait = None if waits == float("inf") else max(0.0, waits) * 1000 + 1
        ready = [descriptor for descriptor, _ in self._poller.poll(wait)]
        orders = self._line.hear(ready)
        if orders is not None:
            self._obey(orders)
        if self._family.report not in ready:
            return True
        part = os.read(self._family.report, 4096)
        self._report += part
        return bool(part)

    def _obey(self, orders: bytes) -> None:
        if orders == CLOSED:
            for descriptor in self._line.sources:
                self._poller.unregister(descriptor)
            self._kill("control_closed")
            return
        self._unheard += orders
        while self._unheard:
            word, self._unheard = self._unheard[:1], self._unheard[1:]
            if word == RENEW:
                until, ended, rest = self._unheard.partition(b";")
                if not ended:  # the rest of it is on its way
                    self._unheard = word + self._unheard
                    return
                self._unheard = rest
                self._renew(int(until) / 1000)
            elif word == KILL:
                self._kill("stopped")
            else:
                self._stop("stopped")

    def _leased_for(self) -> float:
        """Return for how long the agent may still go on; without end where it stands still already, or has to end."""
        return float("inf") if self._frozen or self._reason else self._lease_until - lease_clock()

    def _renew(self, until: float) -> None:
        self._lease_until = until
        if self._frozen and until > lease_clock():
            self._frozen = False
            self._family.order(THAW)

    def _watch_the_clock(self) -> None:
        if self._leased_for() <= 0:
            self._frozen = True
            self._family.order(FREEZE)
        now = time.monotonic()
        if now >= self._wall_clock_at:
            self._stop("wall_clock")
        if now >= self._kill_at:
            self._kill("stopped")
        if now >= self._give_up_keeper_at:
            self._give_up_keeper_at = float("inf")
            processes.send(self._family.pid, signal.SIGKILL)

    def _stop(self, reason: StopReason) -> None:
        """Ask everything in the tree to end, and give it the grace period for that."""
        self._wall_clock_at = float("inf")
        if self._frozen:  # it may be at work elsewhere by now: not a step more here
            self._kill(reason)
        elif self._reason is None:
            self._reason = reason
            self._family.order(TERMINATE)
            self._kill_at = time.monotonic() + self._grace

    def _kill(self, reason: StopReason) -> None:
        self._reason = self._reason or reason
        self._wall_clock_at = self._kill_at = float("inf")
        self._family.order(KILL)
        self._give_up_keeper_at = time.monotonic() + _KEEPER_MAY_TAKE_SECONDS

    def _ended(self, milliseconds: int, found: int, survivors: int) -> EndedJson:
        last: LastWordJson | None = json.loads(self._report) if self._report.endswith(b"\n") else None
        code = os.waitstatus_to_exitcode(last["status"]) if last else None
        leftovers = last["leftovers"] if last else None
        return {
            "event": "ended",
            "exit_code": code if code is not None and code >= 0 else None,
            "signal": -code if code is not None and code < 0 else None,
            "reason": self._reason or ("exited" if last else "supervisor_lost"),
            "duration_ms": milliseconds,
            "killed_leftovers": None if leftovers is None else leftovers + found,
            "survivors": survivors,
        }


def _after(seconds: float | None) -> float:
    return float("inf") if seconds is None else time.monotonic() + seconds
