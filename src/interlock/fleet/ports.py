"""What the fleet needs: its rows, in the transaction that is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from interlock.access.models import Actor
from interlock.fleet.models import Facts, KeyAsked, Leader, Node, NodeState, Process, Published, Term
from interlock.kernel.clock import Clock
from interlock.kernel.events import Emit


class NodeStore(Protocol):
    """Reads and writes nodes."""

    def get(self, node_id: str) -> Node | None:
        """Return a node."""
        ...

    def list(self) -> Sequence[Node]:
        """List nodes, by name."""
        ...

    def hold(self) -> None:
        """Wait until every claim under way has ended, and let none begin before this transaction has ended."""
        ...

    def join(self, facts: Facts) -> None:
        """Insert a node as active, or write anew what it says of itself."""
        ...

    def beat(self, node_id: str, *, config_version: int, notice: str) -> bool:
        """Note that a node lives; False if it is not known (any more)."""
        ...

    def leave(self, node_id: str) -> None:
        """Note that a process of a node has ended in good order; another's next heartbeat takes that back."""
        ...

    def move(self, node_id: str, state: NodeState, *, reason: str, by: str) -> None:
        """Put a node into a state."""
        ...

    def lose(self, node_id: str, beat: int) -> bool:
        """Give a node up; False if it has given a sign of life since that beat."""
        ...

    def find(self, node_id: str) -> bool:
        """Take a node up again that was given up and has given a sign of life since; False if it has not."""
        ...

    def forget(self, node_id: str) -> bool:
        """Delete a node; False if it was gone."""
        ...

    def state(self, node_id: str) -> NodeState | None:
        """Return the state of a node; None if it is not known."""
        ...

    def admit(self, node_id: str, config_version: int) -> None:
        """Raise `NodeNotTaking`, `NodeBehind` or `NodeUnknown` unless a node may claim in this transaction.

        Whoever changes the node's state, or publishes a configuration, waits until this transaction has ended.
        """
        ...


class LeaderStore(Protocol):
    """Reads and writes who leads."""

    def get(self, role: str) -> Leader | None:
        """Return who leads, or led last."""
        ...

    def list(self) -> Sequence[Leader]:
        """List them, by role."""
        ...

    def take(self, role: str, me: Process, *, seen: int | None, lease_ms: int, dead: bool) -> bool:
        """Take a role whose epoch was seen (None: nobody ever led), if its term is over or its holder `dead`."""
        ...

    def renew(self, term: Term, lease_ms: int) -> bool:
        """Lead on; False if somebody else does."""
        ...

    def release(self, holder: str) -> None:
        """End every term of a process."""
        ...

    def check(self, term: Term) -> None:
        """Raise `NotLeader` unless the term holds now, and until this transaction has ended."""
        ...


class ConfigStore(Protocol):
    """Reads and writes published configurations."""

    def newest(self) -> int:
        """Return the number of the newest; 0 for none."""
        ...

    def get(self, version: int) -> Published | None:
        """Return one."""
        ...

    def list(self, limit: int) -> Sequence[Published]:
        """List them, the newest first."""
        ...

    def add(self, published: Published) -> bool:
        """Insert one; False if its number is taken."""
        ...


class KeyStore(Protocol):
    """Reads and writes the keys that nodes ask for."""

    def ask(self, asked: KeyAsked) -> bool:
        """Insert a wish; False if there is one of this name."""
        ...

    def waiting(self) -> Sequence[KeyAsked]:
        """List what was not granted yet, the oldest first."""
        ...

    def grant(self, name: str) -> bool:
        """Note that the log tells of it; False if that was noted before."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One open transaction, as the fleet sees it."""

    nodes: NodeStore
    leaders: LeaderStore
    configs: ConfigStore
    keys: KeyStore
    emit: Emit
    now: Clock


class Open(Protocol):
    """Opens a transaction that may change something; with `calming`, also while panic is on."""

    def __call__(self, actor: Actor, *, calming: bool = False) -> AbstractContextManager[Desk]:
        """Open it."""
        ...


Look = Callable[[], AbstractContextManager[Desk]]
"""Opens a transaction that reads; or, as `light`, one for what is no event."""
