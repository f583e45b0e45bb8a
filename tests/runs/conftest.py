"""The fixtures of runs: a world with real workers, on SQLite or on what a test says."""

from __future__ import annotations

from tests.engines.conftest import world

__all__ = ["world"]
