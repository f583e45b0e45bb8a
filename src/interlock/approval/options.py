"""How approval behaves; sections `[approval]` and `[agent]` of interlock.toml."""

from __future__ import annotations

from dataclasses import dataclass, field

from interlock.approval.models import Rung, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalOptions:
    """How long approvals hold, and what a draft without a command gets."""

    expires_after_seconds: int | None = 7 * 24 * 3600
    """How long runs may start from an approved record; None for ever."""
    max_text_bytes: int = 2 * 1024 * 1024
    """The largest prompt, content or context."""
    four_eyes: bool = False
    """Whether who wrote a draft, or a part of it, may not approve it."""
    rung: Rung = Rung.EXIT_CODE
    """The least evidence of being done that the workspace accepts; work may ask for more."""
    defaults: Work = field(default_factory=Work)
    """The workspace's default agent and repository."""
