"""Providers from afar. A key that is set goes to the server and never comes back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from interlock.access.models import Actor
from interlock.approval.models import Draft, DraftStatus
from interlock.kernel.canonical import JsonObject
from interlock.kernel.errors import Conflict
from interlock.providers.errors import ConfigurationChanged, ProviderFailed
from interlock.providers.models import Condition, Health, ProviderConfig, ProviderEntry, ProviderType, Stored
from interlock.remote.approval import read_draft
from interlock.remote.connection import LONG_SECONDS, Answer, Connection, several, understood

_VERSION = re.compile(r"sha256:[0-9a-f]{64}")
_NEVER = f"sha256:{'0' * 64}"


# --- what `providers/models.py` shows, read ---------------------------------------------------------------------------


def read_config(data: Mapping[str, Any]) -> ProviderConfig:
    """Read the providers; a key is `${NAME}`, or what stands for one."""
    entries: Mapping[str, Any] = data["providers"]
    return ProviderConfig(active=data["active"], providers={name: _entry(each) for name, each in entries.items()})


def _entry(data: Mapping[str, Any]) -> ProviderEntry:
    return ProviderEntry(
        type=ProviderType(data["type"]), model=data["model"], base_url=data["base_url"], api_key=data["api_key"]
    )


def read_health(data: Mapping[str, Any]) -> Health:
    """Read how a provider was."""
    return Health(
        name=data["id"],
        status=Condition(data["status"]),
        reason=data["reason"],
        detail=data["detail"],
        latency_ms=data["latency_ms"],
        active=data["active"],
    )


# --- the room ---------------------------------------------------------------------------------------------------------


class RemoteProviders:
    """Answers as `providers.service.Providers` does."""

    def __init__(self, server: Connection) -> None:
        self._server = server

    def show(self) -> Stored:
        """Return the providers as they stand."""
        return _stored(self._server.get("/ops/provider"))

    def set(self, actor: Actor, body: Mapping[str, Any], *, seen_version: str | None = None) -> Stored:
        """Change the providers."""
        del actor
        # What has not the form of a version can not be said in a header, and is none that it could be now.
        seen = seen_version if seen_version is None or _VERSION.fullmatch(seen_version) else _NEVER
        try:
            return _stored(self._server.send("PUT", "/ops/provider", body, if_match=seen))
        except Conflict as error:
            if error.code == "precondition_failed":
                raise ConfigurationChanged(error.message) from None
            raise

    def health(self) -> Sequence[Health]:
        """Ask every provider how it is."""
        found = self._server.get("/ops/provider/health").json
        return several(read_health, understood(lambda told: told["items"], found))

    def generate(self, actor: Actor, prompt: str, *, context: JsonObject | None = None) -> Draft:
        """Let the active provider write a draft."""
        del actor
        body = {"prompt": prompt, "context": context}
        draft = understood(read_draft, self._server.make("/ops/generate", body, seconds=LONG_SECONDS).json)
        if draft.status is DraftStatus.ERROR:  # what a second try finds that the first one left
            raise ProviderFailed(draft.error or "", reason="failed", draft_id=draft.id).about(draft.id)
        return draft


def _stored(answer: Answer) -> Stored:
    return Stored(config=understood(read_config, answer.json), version=answer.tag)
