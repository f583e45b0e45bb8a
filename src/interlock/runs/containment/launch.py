"""Start an agent in containment, and hold on to it: the worker's side.

The tree lives only as long as this process holds the control pipe: when it ends, however it ends, the kernel closes the
pipe and the supervisor kills the tree. (So does a child that this process *forks* without `exec` hold it: don't.)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from interlock.kernel.errors import InterlockError
from interlock.runs.containment import processes
from interlock.runs.containment.errors import REFUSALS, AgentStartFailed, SupervisorFailed, TookTooLong
from interlock.runs.containment.line import KILL, RENEW, TERMINATE
from interlock.runs.containment.output import Output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.runs.containment.output import Stream
    from interlock.runs.containment.spec import Spec
    from interlock.runs.containment.wire import EndedJson, EndReason, GitMode, Mode, RefusedJson, SpecJson, StartedJson

_SUPERVISOR = Path(__file__).with_name(processes.SUPERVISOR_FILE)
_LOADER_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_CLOSING_MAY_TAKE_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The agent's program runs, as this very process; (pid, start_time, boot_id) stays true after the pid is reused."""

    pid: int
    start_time: int
    boot_id: str
    supervisor_pid: int
    keeper_pid: int
    """The parent of everything that the agent starts; as long as it is there, something of the tree may be."""
    keeper_start_time: int
    containment: Mode
    git: GitMode
    """How the overlaid folders appear: `none` if there are none, or nothing is held (best effort)."""
    notes: tuple[str, ...]
    """What could not be done or held here: a code, for some followed by `: ` and the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The agent has ended and nothing of its tree is left. One of `exit_code` and `signal` is known, at most."""

    exit_code: int | None
    signal: int | None
    reason: EndReason
    duration_ms: int
    killed_leftovers: int | None
    """Processes that had outlived the agent, or were killed with it; None if unknown."""
    survivors: int = 0
    """Processes that even SIGKILL did not end within 10 s; with namespaces there is no end before they are gone."""


def launch(spec: Spec) -> Contained:
    """Start a supervisor with this specification; returns at once, before the agent runs.

    Raises `SupervisorFailed` if not even that can be started; why an *agent* did not start comes from `wait_started`.
    """
    pipes: list[int] = []
    try:
        for _ in range(4):
            pipes += os.pipe()
        control, _, _, status, _, stdout, _, stderr = pipes
        supervisor = subprocess.Popen(  # noqa: S603 - our own program with a marker; the agent's command is not in it
            [sys.executable, "-I", "-S", str(_SUPERVISOR), spec.run_marker],
            stdin=control,
            stdout=status,
            stderr=subprocess.DEVNULL,
            pass_fds=(stdout, stderr),
            env=_environment(spec.run_marker),
            cwd="/",
            start_new_session=True,  # a Ctrl-C in the worker's terminal is the worker's to interpret
        )
    except OSError as error:
        for pipe in pipes:
            os.close(pipe)
        raise SupervisorFailed(f"The supervisor can't be started: {error}.") from error
    for pipe in (control, status, stdout, stderr):
        os.close(pipe)
    _, control, status, _, stdout_read, _, stderr_read, _ = pipes
    run = Contained(
        supervisor, control, status, Output({stdout_read: "stdout", stderr_read: "stderr"}), spec.run_marker
    )
    run.begin(spec.as_json(stdout_fd=stdout, stderr_fd=stderr))
    return run


def _environment(marker: str) -> dict[str, str]:
    """Return the supervisor's own environment: the marker (a sweep finds it by that), what its interpreter needs."""
    needed = {name: os.environ[name] for name in _LOADER_VARIABLES if name in os.environ}
    return {**needed, processes.MARKER_VARIABLE: marker}


class Contained:
    """One agent in containment. `stop`, `kill` and `close` may be called from any thread, at any time, repeatedly."""

    def __init__(
        self, supervisor: subprocess.Popen[bytes], control: int, status: int, output: Output, marker: str
    ) -> None:
        """Take the supervisor, the pipes to and from it, and the agent's output; `launch` makes these."""
        self.marker = marker
        self._supervisor = supervisor
        self._control = [control]  # empty once closed
        self._control_lock = threading.Lock()
        self._output = output
        self._news = threading.Condition()
        self._started: Started | None = None
        self._last: Ended | InterlockError | None = None
        self._listener = threading.Thread(
            target=self._listen, args=(status,), name=f"containment {marker}", daemon=True
        )
        self._listener.start()

    def begin(self, order: SpecJson) -> None:
        """Tell the supervisor what to do; `launch` has done it."""
        self._send(json.dumps(order).encode() + b"\n")

    def wait_started(self, timeout: float | None = None) -> Started:
        """Return once the agent's program runs; raises why it does not, or `TookTooLong` after `timeout` seconds."""
        with self._news:
            self._news.wait_for(lambda: self._started or self._last, timeout)
            if self._started:
                return self._started
            if isinstance(self._last, InterlockError):
                raise self._last
        raise TookTooLong(f"The agent has not started within {timeout} s.")

    def wait(self, timeout: float | None = None) -> Ended:
        """Return once nothing is left of the tree; raises why it never started, or `TookTooLong` after `timeout` s."""
        with self._news:
            self._news.wait_for(lambda: self._last, timeout)
            if isinstance(self._last, InterlockError):
                raise self._last
            if self._last:
                return self._last
        raise TookTooLong(f"The agent has not ended within {timeout} s.")

    def output(self) -> Iterator[tuple[Stream, bytes]]:
        """Yield what the agent prints, as it comes, until the tree has ended or `close` is called.

        The agent stands still when nobody reads: its pipes are full at 64 KiB.
        """
        return self._output.chunks()

    def stop(self) -> None:
        """Ask the tree to end: SIGTERM to every process, and SIGKILL after the grace period."""
        self._send(TERMINATE)

    def kill(self) -> None:
        """Kill the tree at once."""
        self._send(KILL)

    def renew(self, until: float) -> None:
        """Let the agent go on until then, by `line.lease_clock`; what stood still goes on. See `Spec.lease_until`."""
        if self._started:  # before, the supervisor would take any word for a change of mind
            self._send(RENEW + str(round(until * 1000)).encode() + b";")

    def close(self) -> None:
        """Let go: kill what still runs, wait until it is gone (at most 15 s), and close every descriptor."""
        with self._control_lock:
            for control in self._control:
                os.close(control)
            self._control.clear()
        self._listener.join(_CLOSING_MAY_TAKE_SECONDS)
        self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, orders: bytes) -> None:
        with self._control_lock:
            for control in self._control:
                try:
                    while orders:
                        orders = orders[os.write(control, orders) :]
                except BrokenPipeError:
                    return  # the supervisor is gone, and the listener says so

    def _listen(self, status: int) -> None:
        """Read the status pipe to its end, and see to it that there is a last word, spoken when nothing is left."""
        since = time.monotonic()
        last: Ended | InterlockError | None = None
        with open(status, "rb") as lines:
            for line in lines:
                news = _understood(line)
                if isinstance(news, Started):
                    self._publish(started=news)
                else:
                    last = news or last
        self._supervisor.wait()
        if last is None:
            last = self._lost(round((time.monotonic() - since) * 1000))
        self._publish(last=last)
        self._output.finish()

    def _lost(self, milliseconds: int) -> Ended | InterlockError:
        """Clear up after a supervisor that died without a word."""
        left = processes.kill_marked(self.marker)
        started = self._started
        if not started:
            return SupervisorFailed("The supervisor died before it could tell that the agent runs.")
        # Process 1 of a namespace sheds its marker first and is gone last: after everything that lived in it.
        left += processes.outlast(started.keeper_pid, started.keeper_start_time)
        return Ended(
            exit_code=None,
            signal=None,
            reason="supervisor_lost",
            duration_ms=milliseconds,
            killed_leftovers=None,
            survivors=len(left),
        )

    def _publish(self, *, started: Started | None = None, last: Ended | InterlockError | None = None) -> None:
        with self._news:
            self._started = started or self._started
            self._last = last or self._last
            self._news.notify_all()


def _understood(line: bytes) -> Started | Ended | InterlockError | None:
    """Return what a status line says; None for what no supervisor wrote (without namespaces the agent could)."""
    try:
        event: StartedJson | EndedJson | RefusedJson = json.loads(line)
        if event["event"] == "started":
            return _started(event)
        if event["event"] == "ended":
            return _ended(event)
        return REFUSALS.get(event["reason"], AgentStartFailed)(event["message"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _started(event: StartedJson) -> Started:
    return Started(
        pid=event["pid"],
        start_time=event["start_time"],
        boot_id=event["boot_id"],
        supervisor_pid=event["supervisor_pid"],
        keeper_pid=event["keeper_pid"],
        keeper_start_time=event["keeper_start_time"],
        containment=event["containment"],
        git=event["git"],
        notes=tuple(event["notes"]),
    )


def _ended(event: EndedJson) -> Ended:
    return Ended(
        exit_code=event["exit_code"],
        signal=event["signal"],
        reason=event["reason"],
        duration_ms=event["duration_ms"],
        killed_leftovers=event["killed_leftovers"],
        survivors=event["survivors"],
    )
