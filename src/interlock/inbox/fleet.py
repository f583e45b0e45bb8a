"""What the rooms that have no table of ours say: loops live in files, claims are judged by the queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any, Final

from interlock.alerts.models import source_of
from interlock.inbox.ports import LoopRow, LostRow
from interlock.kernel.errors import InterlockError
from interlock.loops import files
from interlock.loops.models import text
from interlock.loops.service import Loops, Target
from interlock.queue.service import Queue

MOST_LOOPS, MOST_TROUBLED = 500, 100
"""How many loops are looked at, and of how many it is asked how they are, which takes a dozen small files each."""
_NOBODY: Final = "-"
_AMBIGUOUS: Final = "control_ambiguous"
_TROUBLE: Final = frozenset({"critical", "degraded", "unreadable"})


def troubled(loops: Loops) -> Iterator[LoopRow]:
    """Yield the watched loops that are not as they should be; a run of ours is told as a run."""
    watched = replace(loops, recent_runs=lambda: ())
    restless = (target for target in islice(watched.targets(), MOST_LOOPS) if not _quiet(target))
    for target in islice(restless, MOST_TROUBLED):
        row = watched.row(target)
        ambiguous = _AMBIGUOUS in row["frozen"]
        if ambiguous or row["status"] in _TROUBLE:
            yield _loop(target, row, ambiguous=ambiguous)


def _quiet(target: Target) -> bool:
    """Say, from two files, whether there can be nothing the matter; what is not sure is asked of the room."""
    try:
        state = files.read_json(target.places.of_manager("state.json"))
        intent = files.last_row(target.places.of_manager("intents.jsonl"))
    except InterlockError:
        return False
    return text(state, "health", "status") == "healthy" and text(intent, "status") != "ambiguous"


def _loop(target: Target, row: dict[str, Any], *, ambiguous: bool) -> LoopRow:
    intent = _last_intent(target) if ambiguous else {}
    return LoopRow(
        id=row["id"],
        repo=row["repo"],
        source=source_of(row["repo"], row["id"]),
        health=row["status"],
        reasons=row["reasons"],
        ambiguous=str(intent.get("intent") or "an intent") if ambiguous else None,
        since_ms=_instant(intent.get("timestamp") if ambiguous else row["reconciled_at"]),
    )


def _last_intent(target: Target) -> dict[str, Any]:
    try:
        return files.last_row(target.places.of_manager("intents.jsonl")) or {}
    except InterlockError:
        return {}


def _instant(at: object) -> int | None:
    """Read an instant of a loop's files, which have them to the second."""
    try:
        return round(datetime.fromisoformat(str(at)).timestamp() * 1000)
    except ValueError:
        return None


def lost(look: Callable[[], AbstractContextManager[Queue]]) -> list[LostRow]:
    """List what is claimed by somebody who does not answer, by the queue's own rule."""
    with look() as queue:
        return [
            LostRow(
                item.id,
                item.run_id,
                None if item.owner_session == _NOBODY else item.owner_session,
                item.lease_until_ms or item.started_ms or item.created_ms,
                why,
            )
            for item, why in queue.lost()
        ]
