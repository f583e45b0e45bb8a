"""How access behaves; section `[access]` of interlock.toml."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessOptions:
    """How much a caller may ask, and how long a browser stays logged in."""

    requests_per_minute: int = 600
    """For each principal."""
    burst: int = 100
    """How many requests a principal may make at once."""
    bad_tokens_per_minute: int = 20
    """For each address."""
    session_seconds: int = 12 * 3600
    """How long a browser's session lasts at most."""
    session_idle_seconds: int = 3600
    """How long it lasts without a request."""
