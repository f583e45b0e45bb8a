"""Which of the seven states a loop is in: one table, the first line that matches says it.

What was observed wins over what was written down: a process that is gone does not run, and what an earlier run has
reached is not what the present one has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from interlock.loops.files import Document
from interlock.loops.models import (
    AWAITING_APPROVAL,
    COMPLETE,
    FAILED,
    IDLE,
    RUNNING,
    STOPPED,
    UNKNOWN,
    at,
    seconds_of,
    text,
)

_STOPS: Final = frozenset({"loop_stop", "rate_limit_stop", "no_progress_stop"})
_FAILURES: Final = frozenset({"error", "timeout", "blocked", "rate_limited"})


class Facts(NamedTuple):
    """What the table is asked about."""

    loop: str
    state: Document | None
    approval: Document | None
    summary: Document | None
    """The latest entry of the run summary."""
    event: Document | None
    """The last event."""
    process_dead: bool = False
    """The process that the runtime has noted is known to be gone."""

    @property
    def superseded(self) -> bool:
        """Whether a new run began after the one that the latest summary tells of."""
        theirs, ours = text(self.summary, "run_id"), text(self.event, "run_id")
        if theirs is None or ours is None or theirs == ours:
            return False
        ended, seen = seconds_of(at(self.summary, "ended_at")), seconds_of(at(self.event, "timestamp"))
        return ended is not None and seen is not None and seen >= ended

    @property
    def said_to_run(self) -> bool:
        """Whether the runtime has noted that the loop runs."""
        return self.active and at(self.state, "current_loop_id") == self.loop

    @property
    def active(self) -> bool:
        """Whether the runtime has noted that some loop runs."""
        return at(self.state, "active") is True


def state_of(facts: Facts) -> str:
    """Return the state."""
    return next((state for state, holds in _TABLE if holds(facts)), UNKNOWN)


def name_of(event: Document | None) -> str | None:
    """Return an event's name."""
    return text(event, "event") or text(event, "type")


_TABLE: Final[tuple[tuple[str, Callable[[Facts], bool]], ...]] = (
    (AWAITING_APPROVAL, lambda facts: at(facts.approval, "status") == "pending"),
    (COMPLETE, lambda facts: at(facts.summary, "completion_ok") is True and not facts.superseded),
    (FAILED, lambda facts: facts.said_to_run and facts.process_dead),
    (RUNNING, lambda facts: facts.said_to_run),
    (STOPPED, lambda facts: name_of(facts.event) in _STOPS),
    (FAILED, lambda facts: text(facts.event, "status") in _FAILURES),
    (IDLE, lambda facts: facts.state is not None and not facts.active and facts.summary is not None),
)
