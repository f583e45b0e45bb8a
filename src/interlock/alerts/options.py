"""How alerts behave."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertOptions:
    """Repetition, patience, bounds; section `[alerts]`."""

    repeat_seconds: int = 4 * 3600
    """How long the same verdict is not told again."""
    backoff_seconds: int = 5
    """How long the first failed attempt waits for the second; each further one twice as long."""
    most_backoff_seconds: int = 3600
    """The longest wait between two attempts, also where a sink asks for more."""
    lease_seconds: int = 180
    """How long a sender that has died keeps others from sending."""
    breaker_failures: int = 5
    """After how many failures in a row a sink is left alone."""
    breaker_seconds: int = 60
    """For how long."""
    in_flight: int = 4
    """How many deliveries are on their way to one sink at the same time."""
    heartbeat_minutes: int = 0
    """How often the alerter says that it is alive; 0 for never."""
    heartbeat_sink: str = ""
    """The sink that is told so; empty for the default ones."""
    approval_seconds: int = 24 * 3600
    """How long a draft may wait for a human before that is an alert; 0 for ever."""
    evidence_seconds: int = 3600
    """How often the alerter verifies the workspace's evidence; 0 for never."""
    run_seconds: int = 12 * 3600
    """How long a run may go on before that is an alert; 0 for ever."""
