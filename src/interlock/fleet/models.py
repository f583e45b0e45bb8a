"""Nodes, terms of leaders, and published configurations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, TypeAlias

from interlock.fleet.errors import NodeLabelInvalid
from interlock.kernel.words import LABEL

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
MOST_LABELS: Final = 64


class NodeState(Enum):
    """What a node may do."""

    ACTIVE = "active"
    DRAINING = "draining"
    """It takes nothing new, and finishes what it has."""
    QUARANTINED = "quarantined"
    """It takes nothing new, and gives back what it has: it is not trusted."""


Standing: TypeAlias = Literal["active", "draining", "drained", "quarantined", "behind", "stopped", "lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a node says of itself when one of its processes starts."""

    id: str
    name: str
    host: str
    boot_id: str
    version: str
    """Of Interlock."""
    capabilities: tuple[str, ...]
    """Found by looking, sorted: `git`, `namespaces`, `agent=codex`, `os=linux`."""
    labels: tuple[str, ...]
    """Given by its settings, sorted."""
    concurrency: int
    """How many runs one of its workers carries out at the same time."""

    @property
    def has(self) -> frozenset[str]:
        """Everything that work may ask for."""
        return frozenset((*self.labels, *self.capabilities))


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node as the fleet knows it."""

    facts: Facts
    state: NodeState
    reason: str
    """Why it is in that state; empty while it is active."""
    changed_by: str
    """The principal that brought it there; empty from the beginning."""
    since_ms: int
    joined_ms: int
    heartbeat_ms: int
    beat: int
    """Rises with every heartbeat."""
    left_ms: int | None
    """When its last process that said so ended in good order; None while one works."""
    lost_ms: int | None
    """When it was given up; None while it is there."""
    config_version: int
    """Which published configuration it follows; 0 for none."""
    notice: str
    """What it wants an operator to know."""
    held: int
    """How many items its workers hold."""

    @property
    def id(self) -> str:
        """Return its id."""
        return self.facts.id

    def standing(self, newest_config: int) -> Standing:
        """Say in one word how it is, what matters most first."""
        if self.state is NodeState.QUARANTINED:
            return "quarantined"
        if self.lost_ms is not None:
            return "lost"
        if self.state is NodeState.DRAINING:
            return "draining" if self.held else "drained"
        if self.left_ms is not None:
            return "stopped"
        return "behind" if self.config_version < newest_config else "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that may lead, as its own machine can find it again."""

    id: str
    host: str
    boot_id: str
    pid: int
    start_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """The right to lead one loop; it ends when somebody else takes the role, or by the database's clock."""

    role: str
    holder: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """Who leads a loop."""

    role: str
    process: Process
    epoch: int
    expires_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One version of the configuration that all nodes follow."""

    version: int
    digest: str
    """`sha256:<hex>` of the text."""
    body: str
    """TOML, as it was published."""
    reason: str
    published_by: str
    published_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAsked:
    """The key of a node that joined from another machine, of which the log does not tell yet."""

    name: str
    vkey: str
    reason: str
    envelope: bytes
    """The statement that adds it, signed by the key itself."""
    asked_by: str


def checked_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Return labels sorted and each once; raises `NodeLabelInvalid`."""
    found = sorted(set(labels))
    for each in found:
        if not LABEL.fullmatch(each):
            raise NodeLabelInvalid(f"a label is like gpu or zone=eu, at most 63 characters a side; not {each[:80]!a}")
    if len(found) > MOST_LABELS:
        raise NodeLabelInvalid(f"a node has at most {MOST_LABELS} labels, not {len(found)}")
    return tuple(found)


def node_name(named: str, host: str) -> str:
    """Return what a node is called: as its settings say, or the machine's own name; raises `NodeLabelInvalid`."""
    if named and not _NAME.fullmatch(named):
        raise NodeLabelInvalid(f"a node's name is letters, digits and . _ -, at most 63; not {named[:80]!a}")
    return named or re.sub(r"[^A-Za-z0-9._-]", "-", host).lstrip("._-")[:63] or "node"
