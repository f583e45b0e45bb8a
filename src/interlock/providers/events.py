"""What happens to the configuration of providers."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.kernel.canonical import Json
from interlock.kernel.events import Event


@dataclass(frozen=True, kw_only=True)
class ProviderSet(Event):
    """The configuration of providers was changed."""

    kind = "provider.set"
    before_digest: str | None
    """Of what it said, without secrets; None where there was none."""
    digest: str
    active: str
    changed: Json
    """What is another now, as `active` or `providers.NAME.KEY`; a key of a provider is named, never shown."""
    told_for: str | None
    """Who made the change, where the process of that caller died before this was told."""
