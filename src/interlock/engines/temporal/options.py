"""What the engine is told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporalOptions:
    """Where Temporal is, and how patient we are with it and with one another."""

    address: str
    """`HOST:PORT`."""
    namespace: str
    task_queue: str
    """The queue of workflows, shared by all worker processes over one database, and by nobody else."""
    tls: bool = False
    tls_ca_file: str = ""
    tls_certificate_file: str = ""
    tls_key_file: str = ""
    api_key_file: str = ""
    lease_seconds: int = 600
    """So long a run stays claimed although no step is at work: Temporal may be away for that time."""
    heartbeat_seconds: int = 10
    take_up_seconds: int = 10
    sweep_seconds: int = 5
    """How often it is looked whether each claim has its workflow."""
