"""What runs need from outside their room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from interlock.access.models import Actor
from interlock.approval.ports import Desk
from interlock.evidence.content import Sealed
from interlock.kernel.canonical import JsonObject
from interlock.kernel.clock import Clock
from interlock.kernel.events import Emit
from interlock.queue.service import Queue
from interlock.runs.models import CiReport, Claim, LogLine, Outcome, Pulse, Run, RunStatus, Step, StepName

if TYPE_CHECKING:
    from interlock.runs.truth import Truth, Watched  # a command that looks at no truth need not know what it is


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

    def put_rung(self, run_id: str, rung: str) -> None:
        """Keep how well a run is proven done."""
        ...

    def put_ci(self, run_id: str, report: CiReport) -> None:
        """Keep what CI said of a commit, in the place of what it said of it before."""
        ...

    def ci(self, run_id: str) -> Sequence[CiReport]:
        """List what CI said, each commit's last word."""
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


class Standing(NamedTuple):
    """Where a run stands, for whoever found something of it."""

    status: RunStatus
    fence: int
    ended_ms: int | None


class TruthStore(Protocol):
    """Reads and writes what is true of runs inside the transaction that is open."""

    def held(self, run_id: str | None) -> Sequence[Watched]:
        """List everything that is held, or one run, with what the database knows of it."""
        ...

    def standing(self, run_id: str) -> Standing | None:
        """Say where a run stands; None if it is not of this database."""
        ...

    def get(self, run_id: str) -> Truth | None:
        """Return the verdict on a run."""
        ...

    def list(self, limit: int) -> Sequence[Truth]:
        """List the verdicts on runs that are under way, or of which something is left; the oldest first."""
        ...

    def asks(self, limit: int) -> Sequence[Truth]:
        """List the verdicts that ask a person, the oldest first."""
        ...

    def over(self, limit: int) -> Sequence[Truth]:
        """List verdicts on runs that have ended."""
        ...

    def put(self, truth: Truth, seen: Truth | None) -> bool:
        """Keep a verdict in the place of the one that was seen; False if that is not there any more."""
        ...

    def drop(self, seen: Truth) -> None:
        """Take a verdict away, as it was seen."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDesk:
    """One open transaction, as runs see it."""

    runs: RunStore
    truth: TruthStore
    queue: Queue
    approval: Desk
    emit: Emit
    now: Clock
    correlation_id: str | None
    admit: Callable[[str], None] = lambda _: None
    """Raises unless the node of this id may take something up in this transaction."""


class Open(Protocol):
    """Opens a transaction that may change something; with `calming`, also while panic is on."""

    def __call__(self, actor: Actor, *, calming: bool = False) -> AbstractContextManager[RunDesk]:
        """Open it."""
        ...


Look = Callable[[], AbstractContextManager[RunDesk]]


class WorkerRuns(Protocol):
    """What a worker asks while it carries runs out: `runs.service.Runs` with a database, or a server over HTTP.

    Everything that writes holds the claim's fence: it raises `LeaseLost`, or writes nothing where it says so, once the
    run is not this worker's any more. Whatever is asked again after a lost answer is done once. `Unreachable` may be
    raised by all.
    """

    def get(self, run_id: str) -> Run:
        """Return a run."""
        ...

    def steps(self, run_id: str) -> Sequence[Step]:
        """List the steps of a run's present generation."""
        ...

    def check_startable(self, approved_id: str) -> None:
        """Raise what stands against starting an agent from this record now."""
        ...

    def frozen(self) -> bool:
        """Say whether panic is on."""
        ...

    def begin_step(self, actor: Actor, claim: Claim, name: StepName) -> None:
        """Note that a step begins."""
        ...

    def complete_step(
        self, actor: Actor, claim: Claim, name: StepName, output: JsonObject, *, bodies: Sequence[Sealed] = ()
    ) -> Step:
        """Keep a step's output and the bodies that it names."""
        ...

    def agent_started(self, actor: Actor, claim: Claim, *, pid: int, start_time: int, boot: str, mode: str) -> None:
        """Record the agent's process."""
        ...

    def write_log(self, claim: Claim, lines: Sequence[LogLine], *, pulse: Pulse | None = None) -> None:
        """Append output lines, and the pulse where one is due; too late, it adds nothing."""
        ...

    def put_pulse(self, claim: Claim, pulse: Pulse) -> None:
        """Keep what is seen of the agent now; too late, it changes nothing."""
        ...

    def finish(self, actor: Actor, claim: Claim, outcome: Outcome, *, bodies: Sequence[Sealed] = ()) -> Run:
        """End a run and its item together."""
        ...

    def give_back(self, actor: Actor, claim: Claim) -> None:
        """Return a run that this worker will not finish; no attempt is used up."""
        ...


class FarStore(Protocol):
    """Keeps what workers elsewhere sent and could not finish sending, inside the transaction that is open."""

    def take_batch(self, item_id: str, fence: int, batch: int, chars: int) -> int | None:
        """Note a batch of log lines; returns how many characters came under this fence, None if it came before."""
        ...

    def put_part(self, item_id: str, fence: int, ref: str, place: int, data: bytes) -> None:
        """Keep a part of a body; the same part again changes nothing."""
        ...

    def parts_bytes(self, item_id: str, fence: int) -> int:
        """Add up what was kept of bodies under this fence."""
        ...

    def body(self, item_id: str, fence: int, ref: str) -> bytes:
        """Return the parts of a body in their order."""
        ...

    def sweep(self) -> None:
        """Take away what was kept of claims that nobody holds any more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FarDesk:
    """One open transaction, as workers elsewhere need it."""

    run: RunDesk
    far: FarStore
