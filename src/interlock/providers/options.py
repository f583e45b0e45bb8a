"""How providers are asked; section `[providers]` of interlock.toml."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderOptions:
    """How long a provider may take, and how much it may answer."""

    timeout_seconds: int = 30
    """From the look-up of its name to the last byte of its answer."""
    concurrency: int = 4
    """How many drafts are generated at the same time by one process."""
    max_response_bytes: int = 2 * 1024 * 1024
    """The largest answer that is read."""
    max_output_tokens: int = 8192
    """What a type of provider that wants to know is told as the most it may write."""
