"""Claims where one look does not do: limits of repository, agent and node, or several lanes that others take from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from interlock.queue.models import Taker
from interlock.storage.database import Row, Transaction, Value

_ANY_RANK = 2**31 - 1


def terms(taker: Taker) -> dict[str, Value]:
    """Return what every claim's statement is told of the taker."""
    return {
        "executor": taker.executor.value,
        "owner_session": taker.owner_session,
        "lease_ms": taker.lease_ms,
        "node_id": taker.node_id,
    }


def keys(repository: str, agent: str) -> Sequence[str]:
    """Return the keys of the limits that can count an item, in the order in which they are locked."""
    found = (("agent", agent), ("repository", repository))
    return [f"{kind}:{name}" for kind, name in found if name]


def held(transaction: Transaction, key: str) -> int:
    """Count what is under way of a `repository:…`, `agent:…` or `node:…`."""
    kind, _, name = key.partition(":")
    row = transaction.one(f"placement_held_{kind}", name=name)
    return int(row["items"]) if row else 0


class _Nothing(Exception):
    """There is nothing to take in this lane."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """The lanes that a taker may take from: the items of a lane need the same, and count towards the same limits."""

    transaction: Transaction
    taker: Taker
    full: set[str] = field(default_factory=set[str])
    """Keys whose limits were seen used up."""

    def claim(self) -> Row | None:
        """Lease the first item that no limit forbids.

        What stands in the way is passed by at once, lane by lane: the first of equals, then what comes behind.
        """
        limits = {row["key"]: row["most"] for row in self.transaction.all("placement_list")}
        if not self._node_has_room(limits):
            return None
        heads = self.transaction.all("lane_heads", executor=self.taker.executor.value)
        lanes = [head for head in heads if self.taker.has.issuperset(head["needs"].split())]
        for rank in [*sorted({lane["rank"] for lane in lanes}), _ANY_RANK]:
            for lane in lanes:
                counted = [key for key in keys(lane["repository"], lane["agent"]) if key in limits]
                if lane["rank"] > rank or self._is_full(counted, limits):
                    continue
                row = self._take_counted(lane, rank, counted) if counted else self._take(lane, rank)
                if row is not None:
                    return row
        return None

    def _node_has_room(self, limits: dict[str, int]) -> bool:
        key = f"node:{self.taker.node_id}"
        if self.taker.node_id is None or key not in limits:
            return True
        return self._has_room(key)

    def _is_full(self, counted: Sequence[str], limits: dict[str, int]) -> bool:
        """Say whether a limit is used up as far as can be seen without waiting for others."""
        for key in counted:
            if key not in self.full and held(self.transaction, key) >= limits[key]:
                self.full.add(key)
        return not self.full.isdisjoint(counted)

    def _has_room(self, key: str) -> bool:
        """Wait until nobody else takes what this limit counts; say whether it leaves room."""
        row = self.transaction.one("placement_lock", key=key)
        return row is None or held(self.transaction, key) < row["most"]

    def _take_counted(self, lane: Row, rank: int, counted: Sequence[str]) -> Row | None:
        """Take from a lane that limits count: no more than may, whoever takes beside."""
        try:
            with self.transaction.attempt():
                return self._take_below(lane, rank, counted)
        except _Nothing:  # the savepoint is gone, and its locks with it: nobody waits for who took nothing
            return None

    def _take_below(self, lane: Row, rank: int, counted: Sequence[str]) -> Row:
        for key in counted:
            if not self._has_room(key):
                self.full.add(key)
                raise _Nothing
        row = self._take(lane, rank)
        if row is None:
            raise _Nothing
        return row

    def _take(self, lane: Row, rank: int) -> Row | None:
        return self.transaction.one(
            "item_claim_in",
            needs=lane["needs"],
            repository=lane["repository"],
            agent=lane["agent"],
            rank=rank,
            **terms(self.taker),
        )
