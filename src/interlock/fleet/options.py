"""How the fleet behaves; sections `[node]` and `[fleet]` of interlock.toml."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """What this machine says of itself."""

    name: str = ""
    """What people call it; default: the machine's own name."""
    labels: tuple[str, ...] = ()
    """What work may ask for: `gpu`, `zone=eu`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """What holds for all nodes."""

    lost_seconds: int = 20
    """After how long without a heartbeat a node counts as lost."""
    leader_seconds: int = 8
    """How long a leader that gives no sign of life keeps others from leading."""

    @property
    def beat_seconds(self) -> float:
        """How often a node says that it lives."""
        return min(5.0, self.lost_seconds / 4)
