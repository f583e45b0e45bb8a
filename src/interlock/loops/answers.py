"""What the HTTP doors of loops answer with."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from interlock.doors.api import Shown


class Word(Shown):
    """A word of the product, and what it means."""

    code: str
    title: str
    means: str
    do: str = Field(description="What to do about it; empty where nothing is to be done.")


class LoopShown(Shown):
    """A loop that is looked after, in a line."""

    id: str
    status: str = Field(description="Its health; or `not_reconciled`, `unreadable`.")
    repo: str
    watch: str | None = Field(description="Null for a run of ours.")
    state: str | None
    reasons: list[str]
    why: list[str] = Field(description="The same in words.")
    heartbeat_lag_seconds: int | None = Field(description="As it was when it was reconciled.")
    heartbeat_at: str | None
    sequence: str | None = Field(description="`ok`, or what is wrong with the order of its events.")
    divergence: bool = Field(description="Whether its records contradict each other.")
    drift: str | None
    last_control: str | None
    frozen: list[str] = Field(description="Why machines may not steer it now.")
    reconciled_at: str | None


class LoopReason(Word):
    """Why a loop is not healthy."""

    severity: str
    metric: str | None
    observed: str | None
    threshold: str | None


class LoopLifecycle(Shown):
    """What a loop does."""

    state: str
    title: str
    means: str
    before: str | None
    signal: str | None = Field(description="What made it so.")
    confidence: str | None
    run_id: str | None
    iteration: int | None
    last_event: str | None
    last_event_at: str | None
    pending_approval: bool


class LoopHeartbeat(Shown):
    """When the runtime last said that it lives."""

    status: str
    at: str | None
    lag_seconds: int | None = Field(description="As it was when it was reconciled.")
    degraded_after_seconds: int | None
    critical_after_seconds: int | None
    trouble: Word | None


class LoopSequence(Shown):
    """Whether events came in their order, and none is lost."""

    status: str
    expected: int | None = Field(description="The highest event that had been read before.")
    seen: int | None = Field(description="The highest event that is known now.")
    log_before: int | None
    log_now: int | None
    ingested: int | None
    violations: list[Word]
    at: str | None


class LoopDrift(Shown):
    """Whether another threshold profile would suit it."""

    status: str
    title: str
    means: str
    do: str
    applied: str | None
    recommended: str | None
    confidence: str | None
    streak: int | None
    required: int | None
    rationale: str | None


class IntentShown(Shown):
    """What came of an intent."""

    intent: str
    status: str = Field(description="`confirmed`, `executed_unconfirmed`, `ambiguous`, `failed_command`, …")
    title: str
    means: str
    do: str
    by: str | None
    at: str | None
    note: str | None
    transport: str | None
    trace_id: str | None
    output: str | None
    failure: str | None
    observed: str | None = Field(description="By what its effect was seen, or `timeout`.")
    attempts: int | None


class LoopReconcile(Shown):
    """How the last look at it went."""

    status: str
    at: str | None
    transport: str | None
    failure_code: str | None
    failure: str | None
    duration_seconds: int | None


class TraceShown(Shown):
    """Which call a part of what is known comes from."""

    surface: Literal["control", "invocation", "reconcile", "heartbeat", "sequence", "alert"]
    trace_id: str


class LoopView(Shown):
    """Everything that is known of a loop, with a sentence for every word."""

    lifecycle: LoopLifecycle
    judged_at: str | None
    profile: str | None
    reasons: list[LoopReason]
    heartbeat: LoopHeartbeat | None
    sequence: LoopSequence | None
    divergence: list[Word]
    drift: LoopDrift | None
    intents: list[IntentShown] = Field(description="The last of them, the newest first.")
    reconcile: LoopReconcile | None
    traces: list[TraceShown]
    shared_trace_id: str | None = Field(description="The one call that reconciled it and told of it.")
    frozen: list[Word]
    events_read: int
    events_total: int


class LoopInFull(LoopShown):
    """A loop that is looked after."""

    view: LoopView | None = Field(description="Null for one that was never reconciled, or can not be read.")
    detail: dict[str, Any] | None = Field(description="As `ops-manager-status.sh` prints it.")


class LoopReconciled(LoopInFull):
    """A loop that was just looked at."""

    ingested: bool = Field(description="Whether its files could be read.")
    detail: dict[str, Any] | None = Field(description="As `ops-manager-reconcile.sh` prints it.")


class LoopControlled(IntentShown):
    """What came of an intent; the record of it stands beside, in its own words."""

    id: str


class LoopUnfrozenShown(Shown):
    """What machines may do again."""

    id: str
    status: Literal["released"]


class WatchShown(Shown):
    """What the supervisor looks after."""

    id: str
    repo: str
    loop: str | None = Field(description="Null for every loop of the repository.")
    added_at: str
    added_by: str
