"""Which nodes are lost, as whoever leads `nodes` sees it.

A node is given up when nothing of it changed for `lost_seconds` on *our* monotonic clock, added up from look to look,
and no look counts for more than it should have taken: neither its clock nor the database's, set forward or back by an
hour, nor a pause of our own, can make it look lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from interlock.access.models import Actor
from interlock.fleet.models import Node, Term
from interlock.fleet.service import Fleet

_LOOK_SECONDS = 2.0


@dataclass(slots=True, kw_only=True)
class Silence:
    """How long nodes have been silent."""

    lost_seconds: float
    look_seconds: float = _LOOK_SECONDS
    _silent: dict[tuple[str, int], float] = field(default_factory=dict[tuple[str, int], float])
    _looked: float | None = None

    def lost(self, nodes: Sequence[Node], now: float) -> list[Node]:
        """Return who was silent for too long; `now` is monotonic seconds."""
        passed = min(now - self._looked, self.look_seconds * 1.5) if self._looked is not None else 0.0
        silent: dict[tuple[str, int], float] = {}
        for each in nodes:
            sign = (each.id, each.beat)
            silent[sign] = self._silent[sign] + passed if sign in self._silent else 0.0
        self._silent, self._looked = silent, now
        return [each for each in nodes if silent[each.id, each.beat] >= self.lost_seconds]

    def start_anew(self) -> None:
        """Forget what was seen: somebody else was looking meanwhile."""
        self._silent, self._looked = {}, None


@dataclass(slots=True, kw_only=True)
class Watch:
    """Looks now and then, where there are other nodes and this process leads `nodes`."""

    fleet: Fleet
    actor: Actor
    node_id: Callable[[], str]
    lead: Callable[[], Term | None]
    silence: Silence
    monotonic: Callable[[], float] = time.monotonic
    _look_at: float = 0.0

    def turn(self) -> bool:
        """Look, if it is time; says whether it was."""
        now = self.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + self.silence.look_seconds
        nodes = self.fleet.list()
        if all(each.id == self.node_id() for each in nodes):
            return True
        term = self.lead()
        if term is None:
            self.silence.start_anew()
            return True
        for each in nodes:
            if each.lost_ms is not None:
                self.fleet.find_again(self.actor, each, term)
        watched = [each for each in nodes if each.lost_ms is None and each.left_ms is None]
        for each in self.silence.lost(watched, now):
            self.fleet.lose(self.actor, each, term, silent_seconds=round(self.silence.lost_seconds))
        return True
