"""How long an approval takes through the rooms: read, sign, freeze, with its events; nothing is started by it."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.grounds import ALICE, Grounds, workspace
from benchmarks.measuring import percentile, timed
from benchmarks.table import Row
from interlock.app import Interlock
from interlock.approval.models import Work

_DRAFTS, _DRAFTS_QUICK = 200, 50
_WORK = Work(command=("true",), checks=(("true",),))


def measure(grounds: Grounds) -> Iterator[Row]:
    """Approve drafts one after another, on both databases."""
    for name, house in (
        ("SQLite", workspace(grounds.folder / "approve-sqlite")),
        ("PostgreSQL", workspace(grounds.folder / "approve-postgres", database_url=grounds.postgres("approve"))),
    ):
        times = _approvals(house, _DRAFTS_QUICK if grounds.quick else _DRAFTS)
        house.database.close()
        for share in (0.5, 0.95):
            value = percentile(times, share)
            yield Row(
                name=f"draft to approved, {name}, p{share * 100:.0f} of {len(times)}",
                value=value,
                unit="ms",
                peer=grounds.disk,
                ratio=value / grounds.disk.value,
            )


def _approvals(house: Interlock, count: int) -> list[float]:
    drafts = [house.approval.create(ALICE, f"do part {number}", work=_WORK).id for number in range(count)]
    return [1000 * timed(lambda draft=draft: house.approval.approve(ALICE, draft)) for draft in drafts]
