"""What happens to runs."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.kernel.canonical import JsonObject
from interlock.kernel.events import Event


@dataclass(frozen=True, kw_only=True)
class RunCreated(Event):
    """A run was made from an approved record."""

    kind = "run.created"
    approved_id: str
    digest: str
    item_id: str


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """A worker took the run up."""

    kind = "run.started"
    item_id: str
    fence: int
    attempt: int
    worker: str


@dataclass(frozen=True, kw_only=True)
class RunAgentStarted(Event):
    """The approved command's process is there."""

    kind = "run.agent_started"
    calming = True
    fence: int
    pid: int
    start_time: int
    boot_id: str
    containment: str


@dataclass(frozen=True, kw_only=True)
class RunStepCompleted(Event):
    """A step's output is stored; a later worker goes on after it."""

    kind = "run.step_completed"
    calming = True
    step: str
    fence: int
    duration_ms: int
    output_digest: str


@dataclass(frozen=True, kw_only=True)
class RunDone(Event):
    """The run ended well."""

    kind = "run.done"
    calming = True
    fence: int
    result_digest: str
    commit: str | None
    patch_digest: str | None
    files_changed: int
    attestation: JsonObject | None


@dataclass(frozen=True, kw_only=True)
class RunFailed(Event):
    """The run ended in error."""

    kind = "run.failed"
    calming = True
    fence: int
    reason: str
    result_digest: str | None
    attestation: JsonObject | None


@dataclass(frozen=True, kw_only=True)
class RunCancelled(Event):
    """An operator stopped the run."""

    kind = "run.cancelled"
    calming = True
    previous_status: str
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class RunReturned(Event):
    """The run waits for a worker again: its worker gave it back or was lost."""

    kind = "run.returned"
    calming = True
    reason: str


@dataclass(frozen=True, kw_only=True)
class RunRetried(Event):
    """An operator wants the run done anew."""

    kind = "run.retried"
    generation: int


@dataclass(frozen=True, kw_only=True)
class RunArchived(Event):
    """The run's log and steps went into the archive; its result and its proofs stay."""

    kind = "run.archived"
    archive_digest: str
    log_lines: int


@dataclass(frozen=True, kw_only=True)
class RunApplied(Event):
    """A run's result was brought to the user's repository."""

    kind = "run.applied"
    calming = True  # the repository has been changed; that it may be is asked before
    commit: str
    mode: str
    branch: str | None
