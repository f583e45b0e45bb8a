"""What an operator may set: `[pipelines]` of interlock.toml."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOptions:
    """How pipelines are carried out."""

    at_once: int = 2
    """Jobs of one run beside each other."""
    checkpoint_seconds: int = 14_400
    """How long a checkpoint counts."""
    head_every: int = 100
    """A tree head is signed at the end of a run, and after so many of its events."""
