"""What is found in a room, as an entry of the list: a sentence, where it stands, and the verb that ends the wait."""

from __future__ import annotations

from urllib.parse import quote

from interlock.inbox.models import Entry, Kind, Next
from interlock.inbox.ports import (
    AskingRow,
    ExpiringRow,
    FailedRow,
    LoopRow,
    LostRow,
    OpenAlertRow,
    PanicRow,
    PendingRow,
    PipelineRow,
    RunningRow,
    WaitingDraft,
)

_MOST_WORDS = 100
_CHECKPOINTS = ("checkpoint_", "report_row_missing")
_GRAVITY = {"critical": 0, "warning": 1}
_PRIORITIES = {"P0": 0, "P1": 1, "P2": 2}


def of_panic(found: PanicRow) -> Entry:
    """Panic mode is on."""
    return Entry(
        kind=Kind.PANIC,
        id="panic",
        sentence=f"Panic mode is on, raised by {found.by}: {_line(found.reason)}",
        since_ms=found.since_ms,
        href="/maintenance",
        next=Next("Release", ("panic", "release", "--reason", "it may go on"), "admin", human=True),
        ids={"by": found.by},
        keys=frozenset({"panic"}),
    )


def of_loop(found: LoopRow, since_ms: int) -> Entry:
    """A loop of which nobody knows whether an intent took effect, or that is not healthy."""
    where = (found.id, "--repo", found.repo)
    why = f": {', '.join(found.reasons[:4])}" if found.reasons else ""
    if found.ambiguous:
        kind, gravity = Kind.AMBIGUOUS, 0
        sentence = f"Nobody knows whether `{found.ambiguous}` took effect on the loop {found.id}; it is {found.health}"
        verb = Next("Acknowledge", ("loop", "acknowledge", *where), "operator", human=True)
    else:
        kind, gravity = Kind.LOOP, int(found.health == "degraded")
        sentence = f"The loop {found.id} is {found.health}{why}"
        verb = Next("Reconcile", ("loop", "reconcile", *where), "operator")
    return Entry(
        kind=kind,
        id=found.id,
        sentence=sentence,
        since_ms=since_ms,
        href=f"/loops/{quote(found.id, safe='')}?repo={quote(found.repo, safe='')}",
        next=verb,
        gravity=gravity,
        ids={"loop": found.id, "repo": found.repo},
        keys=frozenset({found.source}),
    )


def of_running(found: RunningRow, now_ms: int) -> Entry:
    """A run that goes on for longer than a run should."""
    said = (
        "it has said nothing yet" if found.last_ms is None else f"it last said something {_ago(now_ms, found.last_ms)}"
    )
    return Entry(
        kind=Kind.STUCK,
        id=found.id,
        sentence=f"The run of {found.item_id} ({found.priority}) goes on for longer than runs should; {said}",
        since_ms=found.started_ms,
        href=f"/runs/{found.id}",
        next=_cancel(found.id),
        ids={"run": found.id, "item": found.item_id, "approved": found.approved_id}
        | ({"worker": found.held_by} if found.held_by else {}),
        keys=frozenset({found.id, found.item_id}),
    )


def of_asking(found: AskingRow) -> Entry:
    """A run that is not what it should be, and of which a person is asked what to do."""
    return Entry(
        kind=Kind.STUCK,
        id=found.id,
        sentence=f"The run of {found.item_id} ({found.priority}) is {found.verdict}: {found.says}",
        since_ms=found.since_ms,
        href=f"/runs/{found.id}",
        next=_cancel(found.id),
        ids={"run": found.id, "item": found.item_id, "approved": found.approved_id}
        | ({"worker": found.held_by} if found.held_by else {}),
        keys=frozenset({found.id, found.item_id}),
    )


def of_lost(found: LostRow) -> Entry:
    """An item, or the run that is one, that is claimed by somebody who does not answer."""
    held = found.held_by or "somebody without a lease"
    silent = "has let its lease expire" if found.reason == "lease_expired" else "was never heard of again"
    return Entry(
        kind=Kind.STUCK,
        id=found.run_id or found.id,
        sentence=f"{found.id} is claimed by {held}, who {silent}",
        since_ms=found.since_ms,
        href=f"/runs/{found.run_id}" if found.run_id else f"/queue/{quote(found.id, safe='')}",
        next=Next("Rescue", ("queue", "rescue", "--once"), "operator", console=False),
        ids={"item": found.id}
        | ({"run": found.run_id} if found.run_id else {})
        | ({"worker": found.held_by} if found.held_by else {}),
        keys=frozenset({found.id} | ({found.run_id} if found.run_id else set())),
    )


def of_pending(found: PendingRow) -> Entry:
    """A run that no worker has taken up for long."""
    return Entry(
        kind=Kind.WAITING,
        id=found.id,
        sentence=f"The run of {found.item_id} ({found.priority}) was made and no worker has taken it up",
        since_ms=found.created_ms,
        href=f"/runs/{found.id}",
        next=Next("Explain", ("queue", "explain", found.item_id), "actions"),
        gravity=_PRIORITIES.get(found.priority, len(_PRIORITIES)),
        ids={"run": found.id, "item": found.item_id, "approved": found.approved_id},
        keys=frozenset({found.id, found.item_id}),
    )


def of_failed(found: FailedRow) -> Entry:
    """A run that failed, and nobody has looked after it."""
    why = _line(found.message or found.reason or "for no reason that is known")
    return Entry(
        kind=Kind.FAILED,
        id=found.id,
        sentence=f"The run of {found.item_id} ({found.priority}) failed: {why}",
        since_ms=found.ended_ms,
        href=f"/runs/{found.id}",
        next=Next("Retry", ("run", "retry", found.id), "operator"),
        gravity=_PRIORITIES.get(found.priority, len(_PRIORITIES)),
        ids={"run": found.id, "item": found.item_id, "approved": found.approved_id},
        keys=frozenset({found.id, found.item_id}),
    )


def of_pipeline(found: PipelineRow) -> Entry:
    """A pipeline whose last run failed, at a checkpoint or elsewhere."""
    at_checkpoint = (found.reason or "").startswith(_CHECKPOINTS)
    why = _line(found.message or found.reason or "for no reason that is known")
    what = "stands still before a checkpoint" if at_checkpoint else "failed"
    return Entry(
        kind=Kind.CHECKPOINT if at_checkpoint else Kind.PIPELINE,
        id=found.id,
        sentence=f"The pipeline {found.name} {what}: {why}",
        since_ms=found.ended_ms,
        href=f"/pipelines/runs/{found.id}",
        next=Next("Resume", ("pipeline", "resume", found.id), "operator", console=False),
        ids={"pipeline": found.id, "name": found.name},
        keys=frozenset({found.id}),
    )


def of_approved(found: ExpiringRow) -> Entry:
    """An approval that expires soon, and nothing was made of it."""
    return Entry(
        kind=Kind.EXPIRING,
        id=found.id,
        sentence=f"Approved by {found.approved_by} and never run: {_line(found.prompt) or 'its text was erased'}",
        since_ms=found.approved_ms,
        deadline_ms=found.expires_ms,
        href=f"/approved/{found.id}",
        next=Next("Run", ("run", "create", found.id), "operator"),
        ids={"approved": found.id, "draft": found.draft_id},
        keys=frozenset({found.id}),
    )


def of_draft(found: WaitingDraft) -> Entry:
    """A draft that waits for a decision."""
    return Entry(
        kind=Kind.DRAFT,
        id=found.id,
        sentence=f"{found.author} asks for: {_line(found.prompt) or 'a text that was erased'}",
        since_ms=found.updated_ms,
        href=f"/review/{found.id}",
        next=Next("Review", ("draft", "show", found.id), "admin", human=True),
        ids={"draft": found.id, "author": found.author},
        keys=frozenset({found.id}),
    )


def of_alert(found: OpenAlertRow) -> Entry:
    """An alert that nobody has acknowledged."""
    return Entry(
        kind=Kind.CRITICAL if found.severity == "critical" else Kind.ALERT,
        id=found.id,
        sentence=_line(found.summary) or found.category,
        since_ms=found.opened_ms,
        href=f"/alerts/{found.id}",
        next=Next("Acknowledge", ("alert", "ack", found.id), "operator"),
        gravity=_GRAVITY.get(found.severity, len(_GRAVITY)),
        ids={"alert": found.id, "source": found.source},
        subjects=found.subjects,
    )


def _cancel(run_id: str) -> Next:
    return Next("Cancel", ("run", "cancel", run_id, "--reason", "it does not end"), "operator")


def _line(text: str) -> str:
    """Return the first line that says something, cut; a character that hides, or turns the others round, is named."""
    line = next((each.strip() for each in text.splitlines() if each.strip()), "")
    cut = line if len(line) <= _MOST_WORDS else f"{line[: _MOST_WORDS - 1].rstrip()}…"
    return "".join(each if each.isprintable() else f"<U+{ord(each):04X}>" for each in cut)


def _ago(now_ms: int, then_ms: int) -> str:
    minutes = max(0, now_ms - then_ms) // 60_000
    if minutes < 1:
        return "just now"
    if minutes < 120:
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days ago"
