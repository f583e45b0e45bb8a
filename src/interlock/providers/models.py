"""Providers, their configuration without its secrets, and what is asked and answered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from interlock.kernel.canonical import Json, JsonObject, digest

REFERENCE = re.compile(r"\$\{([A-Z0-9_]{1,128})\}")
"""A key that is looked up in the environment when it is used."""
HIDDEN = "***"
"""What is shown in place of a key that stands in the file."""


class ProviderType(Enum):
    """Which protocol a provider speaks."""

    OPENAI_COMPAT = "openai_compat"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"


HOME: Mapping[ProviderType, str] = {
    ProviderType.OPENAI_COMPAT: "https://api.openai.com/v1",
    ProviderType.ANTHROPIC: "https://api.anthropic.com",
    ProviderType.GEMINI: "https://generativelanguage.googleapis.com",
}
"""Where a provider without a base_url is."""
EXTRA: Mapping[ProviderType, tuple[str, str]] = {
    ProviderType.OPENAI_COMPAT: ("openai", "openai"),
    ProviderType.ANTHROPIC: ("anthropic", "anthropic"),
    ProviderType.GEMINI: ("google.genai", "gemini"),
}
"""The client library's module, and the extra of Interlock that installs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEntry:
    """One provider."""

    type: ProviderType
    model: str
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    """`${NAME}`, or the key itself."""

    @property
    def address(self) -> str:
        """Where it is asked."""
        return self.base_url or HOME[self.type]

    @property
    def reference(self) -> str | None:
        """The environment variable that holds the key, if one does."""
        match = REFERENCE.fullmatch(self.api_key or "")
        return match[1] if match else None

    def shown(self) -> dict[str, Json]:
        """Return the entry as everybody may see it."""
        hidden = self.api_key is not None and self.reference is None
        return {
            "type": self.type.value,
            "model": self.model,
            "base_url": self.base_url,
            "api_key": HIDDEN if hidden else self.api_key,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderConfig:
    """The providers, and which of them is asked."""

    active: str
    providers: Mapping[str, ProviderEntry]

    def shown(self) -> JsonObject:
        """Return the configuration as everybody may see it; setting exactly this changes nothing."""
        return {"active": self.active, "providers": {name: entry.shown() for name, entry in self.providers.items()}}

    def version(self) -> str:
        """Name what the configuration says, without its secrets."""
        return digest(self.shown())


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The configuration as it stands."""

    config: ProviderConfig
    version: str
    warnings: tuple[str, ...] = ()
    """What its owner should hear of, as sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom to ask, with the key."""

    name: str
    type: ProviderType
    model: str
    address: str
    key: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to ask."""

    system: str | None
    prompt: str
    max_output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model wrote, and what is known of how."""

    content: str
    model: str | None
    """The model that answered, by its own word."""
    finish: str | None
    """Why it ended, in its provider's words; `length` and the like tell that the content is cut off."""
    input_tokens: int | None
    output_tokens: int | None
    cost_microdollars: int | None = None
    """What it cost, where the provider says so."""


class Condition(Enum):
    """How a provider is."""

    OK = "ok"
    DEGRADED = "degraded"
    """It answers, and a generation would probably be slow or fail."""
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a provider was a moment ago."""

    name: str
    status: Condition
    reason: str
    """One word for programs; `ok` where there is nothing to say."""
    detail: str
    latency_ms: int | None
    active: bool

    def shown(self) -> dict[str, Json]:
        """Return it as JSON."""
        return {
            "id": self.name,
            "status": self.status.value,
            "reason": self.reason,
            "detail": self.detail,
            "latency_ms": self.latency_ms,
            "active": self.active,
        }
