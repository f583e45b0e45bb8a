"""States as a table: who may become what, said once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Generic, TypeVar

State = TypeVar("State", bound=Enum)


class Transitions(Generic[State]):
    """A table of allowed moves between the states of one kind of thing."""

    def __init__(self, table: Mapping[State, Collection[State]]) -> None:
        self._table = {state: frozenset(after) for state, after in table.items()}

    def allows(self, now: State, after: State) -> bool:
        """Say whether something that is `now` may become `after`."""
        return after in self._table[now]

    def sources(self, after: State) -> tuple[State, ...]:
        """List the states from which `after` can be reached in one move."""
        return tuple(state for state, targets in self._table.items() if after in targets)

    def final(self, state: State) -> bool:
        """Say whether nothing follows."""
        return not self._table[state]
