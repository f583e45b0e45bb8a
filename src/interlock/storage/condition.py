"""How a database is, found by looking: nothing is created, changed or upgraded, whatever its schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something about a database that an operator should change."""

    grave: bool
    """Whether what is written may be lost, or can not be written at all."""
    sentence: str
    todo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How a database is."""

    engine: str
    """Its name and version."""
    schema: int
    """The newest migration applied; 0 where it is not Interlock's."""
    latest: int
    """The newest that this Interlock knows."""
    now_ms: int | None
    """The database's clock; None where it has none of its own."""
    told_ms: int | None
    """The time of the newest event; None where there is none, or it can not be read."""
    troubles: Sequence[Trouble]
