"""How the queue behaves; section `[queue]` of interlock.toml."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOptions:
    """Leases, attempts and back-off."""

    lease_seconds: int = 20
    """How long the claim of an Interlock worker, which beats every few seconds, holds without a heartbeat."""
    external_lease_seconds: int = 900
    """The same for an external session, which beats when it comes to it."""
    max_attempts: int = 3
    """How often an item is tried before it is FAILED."""
    backoff_seconds: tuple[int, ...] = (60, 180, 600)
    """How long a retried item waits, by the number of attempts before."""

    stale_minutes: int = 60
    """After how long an item is given up that was claimed by a tool that takes no leases."""
    ageing_seconds: int = 3600
    """For every such span in line an item counts as one priority higher, up to P1; 0: never."""

    def backoff_ms(self, attempts: int) -> int:
        """Return the wait before the next attempt, in milliseconds."""
        return self.backoff_seconds[min(attempts, len(self.backoff_seconds) - 1)] * 1000
