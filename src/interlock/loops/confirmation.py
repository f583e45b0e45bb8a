"""Whether what was asked of the runtime has come about: looked at again and again, for as long as one is patient.

An approval whose effect comes only when the loop next runs is confirmed by the recorded decision. A rejection is
confirmed by a rejection, not by any decision.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from interlock.kernel.clock import Clock, system_clock
from interlock.kernel.errors import InterlockError, Invalid
from interlock.loops import artefacts, files, snapshot
from interlock.loops.artefacts import Artefacts
from interlock.loops.files import Document, Log
from interlock.loops.models import stamp, text
from interlock.loops.places import LoopPlaces
from interlock.loops.snapshot import LogSeen, Snapshot

INTENTS: Final = ("cancel", "approve", "reject")


class IntentUnknown(Invalid):
    """An intent must be one of cancel, approve, reject."""

    code = "intent_unknown"


class Observed(NamedTuple):
    """What a loop looks like from outside, as far as an intent can change it."""

    status: str
    active: bool
    completion_ok: bool
    last_event: str | None
    last_event_status: str | None
    approval_status: str | None


class Patience(NamedTuple):
    """How long to look, how often, and by which watch."""

    timeout_seconds: int = 30
    interval_seconds: int = 2
    sleep: Callable[[float], None] = time.sleep
    watch: Callable[[], float] = time.monotonic


class Confirmation(NamedTuple):
    """What was seen in the end."""

    confirmed: bool
    document: Document


def checked(intent: str) -> str:
    """Return an intent that there is; raises `IntentUnknown`."""
    if intent not in INTENTS:
        raise IntentUnknown(f"intent must be one of {', '.join(INTENTS)}, not {intent[:64]!a}")
    return intent


def reason(intent: str, seen: Observed) -> str | None:
    """Say by what an intent is confirmed; None where it is not."""
    if intent == "cancel":
        return None if seen.active or seen.status == "running" else "inactive_not_running"
    decided = seen.last_event_status if seen.last_event == "approval_decision" else None
    if intent == "reject":
        rejected = "rejected" in {seen.approval_status, decided} or seen.last_event == "approval_rejected"
        return "rejection_observed" if rejected else None
    if seen.completion_ok or seen.status == "complete" or seen.last_event == "loop_complete":
        return "completion_observed"
    approved = "approved" in {seen.approval_status, decided} or seen.last_event == "approval_consumed"
    return "approval_recorded" if approved else None


def confirm(
    intent: str, look: Callable[[], Observed | None], patience: Patience, clock: Clock = system_clock
) -> Confirmation:
    """Look until the intent is confirmed or patience ends, at least once."""
    interval, begun, attempts = max(1, patience.interval_seconds), patience.watch(), 0
    while True:
        seen, attempts = look(), attempts + 1
        found = reason(intent, seen) if seen is not None else None
        left = patience.timeout_seconds - (patience.watch() - begun)
        if found is not None or left <= 0:
            break
        patience.sleep(min(interval, left))
    document = {
        "intent": intent,
        "confirmed": found is not None,
        "reason": found or "timeout",
        "attempts": attempts,
        "timeoutSeconds": patience.timeout_seconds,
        "observedStatus": seen.status if seen else "unknown",
        "observedLastEvent": seen.last_event if seen else None,
        "observedApprovalStatus": seen.approval_status if seen else None,
        "observedActive": seen.active if seen else False,
        "observedAt": stamp(clock() // 1000),
    }
    return Confirmation(found is not None, document)


def observed(places: LoopPlaces) -> Observed | None:
    """Look once; None where there is nothing to see, or it can not be read now. Events are not counted for this."""
    try:
        artefacts.check_there(places)
        found = artefacts.read(places, digests=False)
        for each in found:
            each.check()
        with files.log(artefacts.events_path(places)) as log:
            return None if log is None else _seen(places, found, log)
    except InterlockError:
        return None


def _seen(places: LoopPlaces, found: Artefacts, log: Log) -> Observed:
    lines = (files.parsed(line) for line in log.backwards(log.end()))
    last = next((line for line in lines if line is not None), None)
    events = LogSeen(artefacts.events(places, log, 0, digests=False), 0, last)
    envelope = snapshot.document(places, found, events, now=0, run_id=None, trace_id=None)
    seen = Snapshot.of(envelope, places.loop)
    return Observed(
        status=seen.status,
        active=seen.active,
        completion_ok=seen.completion_ok,
        last_event=seen.last_event_name,
        last_event_status=text(last, "status"),
        approval_status=text(seen.approval, "status"),
    )
