"""What happens in the fleet. All of it may happen while panic is on, but letting a node go on, and a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interlock.kernel.events import Event


@dataclass(frozen=True, kw_only=True)
class NodeJoined(Event):
    """A node is there for the first time, or says something else of itself than before."""

    kind = "node.joined"
    calming = True
    name: str
    host: str
    interlock: str
    """Which version of Interlock it runs."""
    capabilities: Sequence[str]
    labels: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class NodeDrained(Event):
    """A node takes nothing new from now on, and finishes what it has."""

    kind = "node.drained"
    calming = True
    reason: str


@dataclass(frozen=True, kw_only=True)
class NodeQuarantined(Event):
    """A node is not trusted: it takes nothing, and gives back what it has."""

    kind = "node.quarantined"
    calming = True
    reason: str


@dataclass(frozen=True, kw_only=True)
class NodeResumed(Event):
    """A node may take work again."""

    kind = "node.resumed"
    reason: str
    before: str
    """The state it was in."""


@dataclass(frozen=True, kw_only=True)
class NodeLost(Event):
    """Nothing was heard of a node for so long that it counts as gone."""

    kind = "node.lost"
    calming = True
    silent_seconds: int


@dataclass(frozen=True, kw_only=True)
class NodeFound(Event):
    """A node that counted as gone gives signs of life."""

    kind = "node.found"
    calming = True


@dataclass(frozen=True, kw_only=True)
class NodeForgotten(Event):
    """A node that is gone is not listed any more; if it comes back, it joins anew."""

    kind = "node.forgotten"
    calming = True
    reason: str


@dataclass(frozen=True, kw_only=True)
class NodeKeyAsked(Event):
    """A human lets a workspace on another machine join, whose service has this key; its subject is the node."""

    kind = "node.key_asked"
    name: str
    vkey: str


@dataclass(frozen=True, kw_only=True)
class ConfigPublished(Event):
    """From now on all nodes follow this configuration; its subject is `config`."""

    kind = "config.published"
    number: int
    """Versions are counted from 1."""
    digest: str
    reason: str
