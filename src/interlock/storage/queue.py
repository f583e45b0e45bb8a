"""The queue's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from interlock.queue.models import (
    PRIORITY_RANK,
    Executor,
    Held,
    Item,
    ItemKind,
    ItemStatus,
    NewItem,
    WorkerProcess,
)
from interlock.storage.database import Row, Transaction

_KST = timedelta(hours=9)
_OTHER_RANK = 99


def kst(ms: int) -> str:
    """Show an instant as the seed's columns do: UTC+9 to the minute."""
    return _minute(ms // 60_000)


@lru_cache(16)
def _minute(minutes: int) -> str:
    return f"{datetime.fromtimestamp(minutes * 60, UTC) + _KST:%Y-%m-%d %H:%M}"


@dataclass(frozen=True, slots=True)
class StoredItems:
    """Items in the transaction that is open; implements `queue.ports.ItemStore`."""

    transaction: Transaction

    def add(self, new: NewItem) -> Item:
        """Insert a PENDING, claimable item under the next ORCH number."""
        number = self.transaction.one("item_number")
        item_id = f"ORCH-{number['value'] if number else 0:03d}"
        now = self.transaction.now()
        self.transaction.run(
            "item_insert",
            id=item_id,
            priority=new.priority,
            rank=PRIORITY_RANK.get(new.priority, _OTHER_RANK),
            task=new.task,
            success_criteria=new.success_criteria,
            now=now,
            now_kst=kst(now),
            kind=new.kind.value,
            executor=new.executor.value,
            run_id=new.run_id,
            max_attempts=new.max_attempts,
        )
        item = self.get(item_id)
        if item is None:
            raise RuntimeError(f"{item_id} was inserted and is not there")
        return item

    def get(self, item_id: str) -> Item | None:
        """Return an item."""
        row = self.transaction.one("item_get", id=item_id)
        return _item(row) if row else None

    def list(self, *, status: ItemStatus | None, limit: int) -> Sequence[Item]:
        """List items in the order in which they would be claimed."""
        rows = self.transaction.all("item_list", status=status.value if status else None, limit=limit)
        return [_item(row) for row in rows]

    def counts(self) -> Mapping[str, int]:
        """Count items by status."""
        return {row["status"]: row["items"] for row in self.transaction.all("item_counts")}

    def claim(self, executor: Executor, owner_session: str, lease_ms: int) -> Item | None:
        """Lease the oldest claimable item of the highest priority, or return None."""
        now = self.transaction.now()
        row = self.transaction.one(
            "item_claim",
            executor=executor.value,
            owner_session=owner_session,
            lease_ms=lease_ms,
            now=now,
            now_kst=kst(now),
        )
        return _item(row) if row else None

    def hold(self, item_id: str, fence: int) -> bool:
        """Say whether the item is held under this fence, and keep it so until the transaction ends."""
        return self.transaction.one("item_hold", id=item_id, fence=fence) is not None

    def renew(self, owner_session: str) -> Mapping[str, int]:
        """Renew every lease of one holder; returns the ids still held with their fences."""
        rows = self.transaction.all("item_renew", owner_session=owner_session, now=self.transaction.now())
        return {row["id"]: row["fence"] for row in rows}

    def end(self, item_id: str, fence: int, status: ItemStatus, last_error: str) -> bool:
        """Move a held item to DONE or FAILED."""
        return self._write("item_end", id=item_id, fence=fence, status=status.value, last_error=last_error)

    def give_back(self, item_id: str, fence: int, *, beat: int | None, burn: bool) -> bool:
        """Make a held item claimable again."""
        return self._write(
            "item_give_back", id=item_id, fence=fence, burn=int(burn), any_beat=int(beat is None), beat=beat or 0
        )

    def park(self, item_id: str, seen: Item, status: ItemStatus, note: str, waits_for: str | None) -> bool:
        """Move an item as it was seen by an operator's word."""
        return self._write(
            "item_park",
            id=item_id,
            fence=seen.fence,
            seen_status=seen.status.value,
            status=status.value,
            note=note,
            waits_for=waits_for,
        )

    def requeue(self, item_id: str, seen: Item, note: str, not_before_ms: int | None) -> bool:
        """Make an ended item PENDING with one attempt more."""
        return self._write(
            "item_requeue",
            id=item_id,
            fence=seen.fence,
            seen_status=seen.status.value,
            note=note,
            not_before_ms=not_before_ms,
        )

    def held(self) -> Sequence[Held]:
        """List everything that is IN_PROGRESS under a lease."""
        return [
            Held(
                item=_item(row),
                host=row["host"],
                boot_id=row["boot_id"],
                pid=row["pid"],
                start_time=row["start_time"],
            )
            for row in self.transaction.all("item_held")
        ]

    def due(self, now_ms: int) -> bool:
        """Say whether `promote` would find anything; only reads."""
        return self.transaction.one("item_due", now=now_ms) is not None

    def promote(self, now_ms: int) -> int:
        """Make items claimable whose `not_before` has passed."""
        return self.transaction.run("item_promote", now=now_ms)

    def register(self, worker: WorkerProcess) -> None:
        """Remember a worker's process."""
        self.transaction.run(
            "worker_register",
            id=worker.id,
            host=worker.host,
            boot_id=worker.boot_id,
            pid=worker.pid,
            start_time=worker.start_time,
            now=self.transaction.now(),
        )

    def _write(self, query: str, **values: str | int | None) -> bool:
        return self.transaction.run(query, now_kst=kst(self.transaction.now()), **values) == 1


def _item(row: Row) -> Item:
    return Item(
        id=row["id"],
        status=ItemStatus(row["status"]),
        priority=row["priority"],
        kind=ItemKind(row["kind"]),
        executor=Executor(row["executor"]),
        run_id=row["run_id"],
        task=row["task"],
        success_criteria=row["success_criteria"],
        notes=row["notes"],
        owner_session=row["owner_session"],
        fence=row["fence"],
        beat=row["beat"],
        attempt_count=row["attempt_count"],
        max_attempts=row["max_attempts"],
        not_before_ms=row["not_before_ms"],
        waits_for=row["waits_for"],
        lease_ms=row["lease_ms"],
        lease_until_ms=row["lease_until_ms"],
        created_ms=row["created_ms"],
        last_error=row["last_error"],
    )
