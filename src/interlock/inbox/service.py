"""The inbox: asks every room what waits for a person, and puts it in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from interlock.inbox import entries
from interlock.inbox.models import Entry, Ranked
from interlock.inbox.ports import Desk, Look, Lost, Panicked, Troubled
from interlock.inbox.ranking import ranked

MOST = 25
"""How many of a kind are listed, where nothing else is asked for."""
_MOST_ALERTS = 200
_HOUR_MS = 3_600_000
_SOON_MS = 24 * _HOUR_MS
_RECENT_MS = 7 * 24 * _HOUR_MS


@dataclass(frozen=True, kw_only=True)
class Inbox:
    """What waits for a person in one workspace."""

    look: Look
    panic: Panicked
    lost: Lost
    """Claims of somebody who does not answer, as the queue judges them."""
    loops: Troubled
    """Loops that are looked after and are not as they should be."""
    run_seconds: Callable[[], int]
    """How long a run may go on, or wait to begin, before that is an alert; 0 for ever."""

    def list(self, *, most: int = MOST) -> Ranked:
        """List what waits, the dearest wait first, at most so many of a kind."""
        panic, lost, loops = self.panic(), list(self.lost()), list(self.loops())
        with self.look() as desk:
            now = desk.now()
            found: list[Entry] = [] if panic is None else [entries.of_panic(panic)]
            for each in loops:
                since = None if each.ambiguous else desk.waiting.judged_ms(each.id, each.repo)
                found.append(entries.of_loop(each, since or each.since_ms or now))
            found += self._runs(desk, now, most + 1)
            found += (entries.of_pipeline(each) for each in desk.waiting.pipelines(most + 1) if _counts(each.reason))
            expiring = desk.waiting.expiring(now, now + _SOON_MS, now + _HOUR_MS, most + 1)
            found += (entries.of_approved(each) for each in expiring)
            found += (entries.of_draft(each) for each in desk.waiting.drafts(most + 1))
            found += (entries.of_alert(each) for each in desk.waiting.alerts(most + _MOST_ALERTS))
        named = {entry.id for entry in found}
        found += (entry for each in lost if (entry := entries.of_lost(each)).id not in named)
        return ranked(found, most, now)

    def _runs(self, desk: Desk, now: int, limit: int) -> Iterator[Entry]:
        asking = desk.waiting.asking(limit)
        yield from (entries.of_asking(each) for each in asking)
        longest, asked = self.run_seconds() * 1000, {each.id for each in asking}
        if longest:
            running = desk.waiting.running(now - longest, limit)
            yield from (entries.of_running(each, now) for each in running if each.id not in asked)
            yield from (entries.of_pending(each) for each in desk.waiting.pending(now - longest, limit))
        yield from (entries.of_failed(each) for each in desk.waiting.failed(now - _RECENT_MS, limit))


def _counts(reason: str | None) -> bool:
    """Say whether a failure is one that nobody wanted."""
    return reason != "cancelled"
