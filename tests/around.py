"""What of this process's environment tests pass on: nothing that would speak to Interlock."""

from __future__ import annotations

import os

OURS = ("INTERLOCK_", "NOA_", "OPS_", "ORCH_")
KEEP = "INTERLOCK_TEST_POSTGRES_URL"
"""Where a server for the tests is, which they may pass on."""


def ours() -> list[str]:
    """Return the names of what would speak to Interlock."""
    return [name for name in os.environ if name.startswith(OURS) and name != KEEP]


def without_ours() -> dict[str, str]:
    """Return this process's environment without it."""
    left_out = {*ours()}
    return {name: value for name, value in os.environ.items() if name not in left_out}
