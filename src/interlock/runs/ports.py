"""What runs need from outside their room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from interlock.access.models import Actor
from interlock.approval.ports import Desk
from interlock.kernel.canonical import JsonObject
from interlock.kernel.clock import Clock
from interlock.kernel.events import Emit
from interlock.queue.service import Queue
from interlock.runs.models import LogLine, Pulse, Run, RunStatus, Step, StepName


class RunStore(Protocol):
    """Reads and writes runs inside the transaction that is open."""

    def add(self, run: Run) -> None:
        """Insert a run."""
        ...

    def get(self, run_id: str) -> Run | None:
        """Return a run."""
        ...

    def list(
        self, *, status: RunStatus | None, approved_id: str | None, limit: int, before: str | None
    ) -> Sequence[Run]:
        """List runs, newest first, all or those of one approved record; those made before the one called `before`."""
        ...

    def ended_before(self, before_ms: int, limit: int) -> Sequence[Run]:
        """List runs that ended before an instant and are not archived, the oldest end first."""
        ...

    def archive(self, run_id: str, *, ended_before_ms: int) -> bool:
        """Take log and steps away from a run that ended before an instant; False if it moved meanwhile."""
        ...

    def move(self, run_id: str, seen: RunStatus, after: RunStatus, *, reason: str | None, message: str | None) -> bool:
        """Move a run from the status that was seen; sets its start or end; False if it moved meanwhile."""
        ...

    def renew(self, run_id: str) -> int:
        """Open a new generation without result, reason and end; returns its number."""
        ...

    def put_result(self, run_id: str, result: JsonObject) -> None:
        """Keep what the run brought about."""
        ...

    def steps(self, run_id: str, generation: int) -> Sequence[Step]:
        """List the steps of a generation."""
        ...

    def begin_step(self, run: Run, name: StepName, fence: int) -> None:
        """Note that a step was begun, also when it had been begun before."""
        ...

    def end_step(self, run: Run, name: StepName, fence: int, output: JsonObject) -> Step:
        """Keep a step's output."""
        ...

    def places(self) -> Sequence[tuple[str, int]]:
        """List runs that have not ended with the fences under which they were worked on."""
        ...

    def stragglers(self, since_ms: int, before_ms: int) -> Sequence[tuple[str, int]]:
        """List runs that ended in this time with the fences of steps that were never seen to end."""
        ...

    def pulse(self, run_id: str) -> Pulse | None:
        """Return what was last seen of a run's agent."""
        ...

    def put_pulse(self, run_id: str, pulse: Pulse) -> None:
        """Keep what is seen of a run's agent now."""
        ...

    def log(self, run_id: str, lines: Sequence[LogLine]) -> None:
        """Append lines to a run's log."""
        ...

    def read_log(self, run_id: str, *, after: int, limit: int, last: bool) -> Sequence[LogLine]:
        """Return lines numbered above `after`: the first of them, or with `last` the last."""
        ...

    def search_log(self, run_id: str, text: str, *, after: int, until: int, limit: int) -> Sequence[int]:
        """Return the numbers of lines in `after < line <= until` that hold a text, the first `limit` of them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDesk:
    """One open transaction, as runs see it."""

    runs: RunStore
    queue: Queue
    approval: Desk
    emit: Emit
    now: Clock
    correlation_id: str | None


class Open(Protocol):
    """Opens a transaction that may change something; with `calming`, also while panic is on."""

    def __call__(self, actor: Actor, *, calming: bool = False) -> AbstractContextManager[RunDesk]:
        """Open it."""
        ...


Look = Callable[[], AbstractContextManager[RunDesk]]
