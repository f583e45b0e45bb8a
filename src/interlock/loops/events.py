"""What happens to a loop, as the workspace's log tells it: after the loop's files, once for each trace id.

All of it may happen while panic is on: what a loop does is seen, and a cancellation goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interlock.kernel.canonical import JsonObject
from interlock.kernel.events import Event


@dataclass(frozen=True, kw_only=True)
class LoopJudged(Event):
    """Something else is said of a loop than before: of its state, its health, or the reasons."""

    kind = "loop.judged"
    calming = True
    repo: str
    trace_id: str
    before: JsonObject | None
    after: JsonObject


@dataclass(frozen=True, kw_only=True)
class LoopEscalated(Event):
    """A human should hear of a loop; the row in its `escalations.jsonl` says all of it."""

    kind = "loop.escalated"
    calming = True
    repo: str
    trace_id: str
    category: str
    reason_codes: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class LoopControlled(Event):
    """An intent was carried out, or tried; or its unclear outcome was acknowledged."""

    kind = "loop.controlled"
    calming = True
    repo: str
    trace_id: str
    intent: str
    status: str
    requested_by: str
    transport: str


@dataclass(frozen=True, kw_only=True)
class LoopUnfrozen(Event):
    """A human has let machines steer the loop again."""

    kind = "loop.unfrozen"
    calming = True
    repo: str
    trace_id: str
    reason_codes: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class LoopWatched(Event):
    """The supervisor looks after a loop, or after all of a repository's."""

    kind = "loop.watched"
    repo: str
    loop: str | None


@dataclass(frozen=True, kw_only=True)
class LoopUnwatched(Event):
    """It does not any more."""

    kind = "loop.unwatched"
    repo: str
    loop: str | None
