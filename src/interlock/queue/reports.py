"""What operators read all day: `status`, `workers`, `consistency-check`, in the lines that scripts parse. Pure.

As the reading of a Markdown queue, this is cheap to import.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

NOBODY = "-"
STATUSES = ("PENDING", "IN_PROGRESS", "BLOCKED", "FAILED", "DONE")
COMPARED = ("status", "priority", "owner_session", "started_at_kst", "due_at_kst")
"""Fields in which a Markdown queue and a database must agree; task, criteria and notes differ by design."""

_PRIORITIES = ("P0", "P1", "P2")
_MOST_MISSING = 20
_MOST_MISMATCHES = 30

Fields = Mapping[str, str]
"""One item by column name, as both forms spell it."""


def by_priority(rows: Iterable[Fields]) -> list[Fields]:
    """Order rows like the queue does: P0, P1, P2, anything else; within one, as they stand."""
    rank = {name: place for place, name in enumerate(_PRIORITIES)}
    return sorted(rows, key=lambda row: rank.get(row["priority"], len(rank)))


def standing(rows: Iterable[Fields]) -> tuple[Mapping[str, int], list[Fields]]:
    """Count rows by status, and return those that are IN_PROGRESS in the queue's order."""
    counts: dict[str, int] = dict.fromkeys(STATUSES, 0)
    active: list[Fields] = []
    for row in rows:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
        if row["status"] == "IN_PROGRESS":
            active.append(row)
    return counts, by_priority(active)


def status_lines(counts: Mapping[str, int], active: Sequence[Fields], top: int = 5) -> list[str]:
    """Return the summary line, and the first of what is IN_PROGRESS (given in the queue's order)."""
    summary = "summary " + " ".join(f"{name}={counts.get(name, 0)}" for name in STATUSES)
    if not active:
        return [summary, "top_in_progress: none"]
    shown = [
        f"- {row['id']} ({row['priority']}) owner={row['owner_session'] or NOBODY}"
        f" started={row['started_at_kst'] or NOBODY}"
        for row in active[:top]
    ]
    return [summary, "top_in_progress:", *shown]


def workers_lines(active: Sequence[Fields]) -> list[str]:
    """Return what is IN_PROGRESS by owner, owners in code point order; blank owners are one, shown as `-`."""
    if not active:
        return ["workers: none"]
    owners = by_owner(active)
    lines = [f"workers_active={len(owners)} in_progress={len(active)}"]
    for owner, rows in owners:
        counted = " ".join(f"{name.lower()}={sum(_priority(row) == name for row in rows)}" for name in _PRIORITIES)
        starts = sorted(row["started_at_kst"] for row in rows if row["started_at_kst"].strip() not in {"", NOBODY})
        ids = ",".join(row["id"] for row in rows)
        oldest = starts[0] if starts else NOBODY
        lines.append(f"- {owner} tasks={len(rows)} {counted} ids={ids} oldest_start={oldest}")
    return lines


def by_owner(active: Iterable[Fields]) -> list[tuple[str, list[Fields]]]:
    """Group rows by owner, owners in code point order; blank owners are one, shown as `-`."""
    owners: dict[str, list[Fields]] = defaultdict(list)
    for row in active:
        owners[row["owner_session"].strip() or NOBODY].append(row)
    return sorted(owners.items())


def _priority(row: Fields) -> str:
    return row["priority"].strip() or "P2"


class Comparison(NamedTuple):
    """How a Markdown queue and a database differ."""

    total: int
    missing_in_db: tuple[str, ...]
    missing_in_md: tuple[str, ...]
    mismatches: tuple[str, ...]
    """`<id>:<field>:md=<value> db=<value>`."""

    @property
    def ok(self) -> bool:
        """Whether they agree."""
        return not (self.missing_in_db or self.missing_in_md or self.mismatches)

    def lines(self) -> list[str]:
        """Return the result line, and details up to a bound."""
        if self.ok:
            return [f"consistency ok total={self.total}"]
        missing = f"missing_in_db={len(self.missing_in_db)} missing_in_md={len(self.missing_in_md)}"
        return [
            f"consistency mismatch {missing} field_mismatch={len(self.mismatches)}",
            *(f"- missing_in_db {item_id}" for item_id in self.missing_in_db[:_MOST_MISSING]),
            *(f"- missing_in_md {item_id}" for item_id in self.missing_in_md[:_MOST_MISSING]),
            *(f"- mismatch {text}" for text in self.mismatches[:_MOST_MISMATCHES]),
        ]


def compare(markdown: Mapping[str, Fields], database: Mapping[str, Fields]) -> Comparison:
    """Hold a Markdown queue against a database, by id."""
    mismatches: list[str] = []
    for item_id in sorted(markdown.keys() & database.keys()):
        ours, theirs = markdown[item_id], database[item_id]
        mismatches += [
            f"{item_id}:{name}:md={ours[name]} db={theirs[name]}"
            for name in COMPARED
            if (ours[name] or NOBODY) != (theirs[name] or NOBODY)
        ]
    return Comparison(
        total=len(markdown),
        missing_in_db=tuple(sorted(markdown.keys() - database.keys())),
        missing_in_md=tuple(sorted(database.keys() - markdown.keys())),
        mismatches=tuple(mismatches),
    )
