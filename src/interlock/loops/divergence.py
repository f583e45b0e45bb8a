"""Divergence: where what the runtime noted and what it did contradict each other, or its past has changed."""

from __future__ import annotations

from typing import Final, NamedTuple

from interlock.loops.files import Document
from interlock.loops.models import at, seconds_of, text, whole
from interlock.loops.polling import Batch
from interlock.loops.snapshot import Snapshot

_OF_A_RUNNING_LOOP: Final = frozenset({
    "iteration_start",
    "role_start",
    "role_end",
    "iteration_end",
    "tests_start",
    "tests_end",
    "validation_start",
    "validation_end",
})  # fmt: skip
_CARRIED_OUT: Final = frozenset({"confirmed", "executed_unconfirmed", "executed"})


class Divergence(NamedTuple):
    """The three contradictions that are looked for."""

    active_mismatch: bool = False
    """The last event is one of a running loop, and the runtime says that none is active."""
    approval_completion_conflict: bool = False
    """The loop is complete, and an approval of it pending."""
    cursor_regression: bool = False
    """The log lost what it once held. That stands until it has been replayed from its start."""

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return any(self)

    def flags(self) -> Document:
        """Return them by their names in the files."""
        return {
            "activeMismatch": self.active_mismatch,
            "approvalCompletionConflict": self.approval_completion_conflict,
            "cursorRegression": self.cursor_regression,
        }

    def document(self) -> Document:
        """Return what `state.json` says of it."""
        return {"any": self.any, "flags": self.flags()}


def evaluate(
    snapshot: Snapshot,
    batch: Batch,
    previous: Document | None,
    *,
    cancelled: bool = False,
    restarted: bool = False,
    replayed: bool = False,
) -> Divergence:
    """Look for contradictions.

    `cancelled`: the loop ended because an operator wanted it to. `restarted`: the log does not hold what had
    been read of it. `replayed`: the batch began at the log's start.
    """
    ran_last = last_event_name(snapshot, batch) in _OF_A_RUNNING_LOOP
    shorter = restarted or (whole(previous, "cursor", "eventLineOffset") or 0) > snapshot.offset
    noted = at(previous, "divergence", "flags", "cursorRegression") is True
    return Divergence(
        active_mismatch=ran_last and not snapshot.active and not cancelled,
        approval_completion_conflict=snapshot.pending and snapshot.completion_ok,
        cursor_regression=shorter or (noted and not replayed),
    )


def last_event_name(snapshot: Snapshot, batch: Batch) -> str | None:
    """Return the name of the log's last event: the snapshot's, unless the batch was read later than that."""
    later = batch.last is not None and batch.last >= snapshot.offset
    return batch.last_name if later or snapshot.last_event_name is None else snapshot.last_event_name


def cancelled(intent: Document | None, snapshot: Snapshot) -> bool:
    """Say whether the newest intent is a cancellation that was carried out after the loop's last event.

    The runtime's cancel removes its state and writes no event, so nothing else tells of it.
    """
    if snapshot.active or text(intent, "intent") != "cancel" or text(intent, "status") not in _CARRIED_OUT:
        return False
    done, last = seconds_of(at(intent, "timestamp")), seconds_of(snapshot.last_event_at)
    return done is not None and (last is None or done >= last)
