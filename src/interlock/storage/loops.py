"""The rows of what the supervisor looks after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interlock.loops.ports import Watch
from interlock.storage.database import Row, Transaction


@dataclass(frozen=True, slots=True)
class StoredWatches:
    """Watches in the transaction that is open; implements `loops.ports.WatchStore`."""

    transaction: Transaction

    def add(self, watch: Watch) -> bool:
        """Insert a watch; False if repository and loop are watched already."""
        changed = self.transaction.run(
            "watch_add",
            id=watch.id,
            repo=watch.repo,
            loop=watch.loop or "",
            added_ms=watch.added_ms,
            added_by=watch.added_by,
        )
        return changed == 1

    def get(self, watch_id: str) -> Watch | None:
        """Return a watch."""
        row = self.transaction.one("watch_get", id=watch_id)
        return _watch(row) if row else None

    def list(self) -> Sequence[Watch]:
        """List watches, the oldest first."""
        return [_watch(row) for row in self.transaction.all("watch_list")]

    def remove(self, watch_id: str) -> bool:
        """Delete a watch; False if it was gone."""
        return self.transaction.run("watch_remove", id=watch_id) == 1


def _watch(row: Row) -> Watch:
    return Watch(
        id=row["id"],
        repo=row["repo"],
        loop=row["loop"] or None,
        added_ms=row["added_ms"],
        added_by=row["added_by"],
    )
