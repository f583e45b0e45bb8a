"""The order of the list: by what waiting costs; one entry for one matter; at most so many of a kind. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from interlock.inbox.models import RANK_OF, RANKS, Entry, Kind, Listed, Ranked

_ALERTS = frozenset({Kind.ALERT, Kind.CRITICAL})


def rank(entry: Entry) -> tuple[int, int, int, int, str]:
    """Return what entries are ordered by: the kind, its gravity, what expires first, what waits longest, the id."""
    never = 1 << 62
    deadline = never if entry.deadline_ms is None else entry.deadline_ms
    return (RANK_OF[entry.kind], entry.gravity, deadline, entry.since_ms, entry.id)


def ranked(found: Iterable[Entry], most: int, now_ms: int = 0) -> Ranked:
    """Put entries in order, at most so many of a kind; of each kind it is said whether there are more."""
    by_kind: dict[Kind, list[Entry]] = defaultdict(list)
    for entry in sorted(merged(list(found)), key=rank):
        by_kind[entry.kind].append(entry)
    kinds = [
        Listed(about, min(len(by_kind[about.kind]), most), len(by_kind[about.kind]) > most)
        for about in RANKS
        if about.kind in by_kind
    ]
    return Ranked([entry for about in RANKS for entry in by_kind.get(about.kind, [])[:most]], kinds, now_ms)


def merged(found: Sequence[Entry]) -> Sequence[Entry]:
    """Let an alert about something that is listed itself be told there, and nowhere else."""
    alerts = [each for each in found if each.kind in _ALERTS]
    matters = [each for each in found if each.kind not in _ALERTS]
    told: set[str] = set()
    for place, matter in enumerate(matters):
        about = [alert for alert in alerts if alert.subjects & matter.keys]
        if about:
            matters[place] = replace(matter, alerts=tuple(alert.id for alert in about))
            told |= {alert.id for alert in about}
    return [*matters, *(alert for alert in alerts if alert.id not in told)]
