"""A run, its steps, its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from interlock.approval.models import Approved
from interlock.kernel.canonical import JsonObject
from interlock.kernel.transitions import Transitions
from interlock.queue.models import Item


class RunStatus(Enum):
    """Where a run stands."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    ERROR = "error"
    CANCELLED = "cancelled"


MAY_BECOME = Transitions(
    {
        RunStatus.PENDING: {RunStatus.RUNNING, RunStatus.CANCELLED, RunStatus.ERROR},
        RunStatus.RUNNING: {RunStatus.DONE, RunStatus.ERROR, RunStatus.CANCELLED, RunStatus.PENDING},
        RunStatus.ERROR: {RunStatus.PENDING, RunStatus.CANCELLED},
        RunStatus.DONE: set(),
        RunStatus.CANCELLED: set(),
    }
)


ENDED = frozenset({RunStatus.DONE, RunStatus.ERROR, RunStatus.CANCELLED})
"""Nobody works on these; an errored one may yet be retried."""


class StepName(Enum):
    """The steps of a run, in their order."""

    PREPARE = "prepare"
    AGENT = "agent"
    COLLECT = "collect"
    VERIFY = "verify"
    FINISH = "finish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of one generation of a run."""

    name: StepName
    fence: int
    started_ms: int
    ended_ms: int | None
    output: JsonObject | None
    """What a later worker goes on from; None while the step is not complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What became, or becomes, of one approved record."""

    id: str
    approved_id: str
    item_id: str
    status: RunStatus
    reason: str | None
    """Why it is where it is, as a code: `agent_failed`, `limit_output`, `cancelled`, …"""
    message: str | None
    generation: int
    """Rises when an operator retries; each generation does its steps anew."""
    attempt: int
    """How often it has been claimed and counted, from 1."""
    created_ms: int
    created_by: str
    started_ms: int | None
    ended_ms: int | None
    correlation_id: str | None
    result: Mapping[str, Any] | None
    archived_ms: int | None = None
    """When its log and steps went into the archive."""
    rung: str | None = None
    """How well it is proven done (`approval.models.Rung`); None while it is not done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """What was last seen of the agent at work: what it said of itself, and where its process is."""

    fence: int = 0
    node_id: str | None = None
    """On which node; None where no node is known."""
    host: str | None = None
    pid: int | None = None
    start_time: int | None = None
    boot_id: str | None = None
    started_ms: int | None = None
    """When its process was there."""
    output_ms: int | None = None
    """When it last printed something."""
    output_bytes: int = 0
    session_id: str | None = None
    """The agent's own name of its conversation, by which it can be taken up again."""
    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_microusd: int | None = None
    """Millionths of a US dollar, as the agent says; None where it does not say."""
    terminal: str | None = None
    """Its last word on the whole, where its output has one: `success`, `failure`, `limit` (its provider's)."""
    terminal_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CiReport:
    """What the project's CI said of a commit."""

    commit: str
    """40 or 64 hex digits: a commit's, or a tree's."""
    succeeded: bool
    url: str
    """Where it can be read; empty where nobody said."""
    reported_ms: int
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a run's log."""

    ts_ms: int
    level: str
    """INFO, WARN or ERROR."""
    source: str
    """`interlock`, `stdout`, `stderr`, `check …`, or `agent`: what was made of its output for people to read."""
    msg: str
    line: int = -1
    """Its number, given by the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search of a log has found so far."""

    lines: Sequence[int]
    searched_to: int
    """The last line that was looked at: where the next search goes on."""
    complete: bool
    """Whether that was the log's last line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A run in the hands of one worker, under one fence."""

    item: Item
    run: Run
    approved: Approved
    steps: Mapping[StepName, Step]
    """Steps that are complete already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended, as its worker saw it."""

    reason: str | None
    """None for success, else the code of what went wrong."""
    message: str
    result: JsonObject
