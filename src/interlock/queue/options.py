"""How the queue behaves; section `[queue]` of interlock.toml."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOptions:
    """Leases, attempts and back-off."""

    lease_seconds: int = 20
    """How long a claim holds without a heartbeat."""
    max_attempts: int = 3
    """How often an item is tried before it is FAILED."""
    backoff_seconds: tuple[int, ...] = (60, 180, 600)
    """How long a retried item waits, by the number of attempts before."""

    def backoff_ms(self, attempts: int) -> int:
        """Return the wait before the next attempt, in milliseconds."""
        return self.backoff_seconds[min(attempts, len(self.backoff_seconds) - 1)] * 1000
