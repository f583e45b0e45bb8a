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
    rung: str
    """How well it is proven: `self_reported`, `exit_code`, `checked` or `ci`."""


@dataclass(frozen=True, kw_only=True)
class RunCiReported(Event):
    """The project's CI said something of a commit; whether it is this run's result, the run finds."""

    kind = "run.ci_reported"
    calming = True  # what a CI found is true whether or not anything may begin
    commit: str
    status: str
    url: str
    matches: bool
    """Whether it was known at that moment to be this run's result."""


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
class RunJudged(Event):
    """What is true of the run is another thing than before, or something else is done about it."""

    kind = "run.judged"
    calming = True
    fence: int
    verdict: str
    reason: str
    action: str
    previous: str | None
    host: str


@dataclass(frozen=True, kw_only=True)
class RunActionFailed(Event):
    """What was to be done about the run could not be done; it is tried again."""

    kind = "run.action_failed"
    calming = True
    fence: int
    verdict: str
    action: str
    error: str
    tries: int


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
