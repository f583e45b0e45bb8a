"""The HTTP doors of providers: `/ops/provider` and `/ops/generate`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Protocol

from anyio import from_thread
from fastapi import Query, Request, Response
from pydantic import Field

from interlock.approval.api import DraftShown
from interlock.approval.service import Approval
from interlock.approval.shown import show_draft
from interlock.doors.api import (
    ApiCall,
    Body,
    Door,
    Here,
    IdempotencyKey,
    IfMatch,
    PreconditionFailed,
    Shown,
    house,
    made,
    needs,
    problems,
)
from interlock.kernel.clock import to_text
from interlock.kernel.errors import Invalid
from interlock.providers.errors import ConfigurationChanged, ProviderError
from interlock.providers.models import Stored
from interlock.providers.service import Providers

door = Door("/ops", "providers")

_ENTITY_TAG = re.compile(r'"(sha256:[0-9a-f]{64})"')


class _House(Protocol):
    def now(self) -> int: ...

    @property
    def providers(self) -> Providers: ...

    @property
    def approval(self) -> Approval: ...


def _providers(call: ApiCall) -> Providers:
    return house(call, _House).providers


class PromptMissing(Invalid):
    """There is no prompt, in the body or as a parameter."""

    code = "prompt_missing"


class EntryShown(Shown):
    """One provider, without its key."""

    type: str
    model: str | None
    base_url: str | None
    api_key: str | None = Field(description="`${NAME}`, or `***` for one that lies in the file.")


class ProvidersShown(Shown):
    """The providers (ProviderConfig)."""

    active: str
    providers: dict[str, EntryShown]


class HealthShown(Shown):
    """How a provider is."""

    id: str
    status: Literal["ok", "degraded", "down"]
    reason: str
    detail: str
    latency_ms: int | None
    active: bool


class HealthsShown(Shown):
    """How every provider is."""

    items: list[HealthShown]
    at: str = Field(description="When they were asked, by the server's clock.")


class NewGeneration(Body):
    """What a model is to write."""

    prompt: str
    context: dict[str, Any] | None = Field(
        default=None, description="Goes along with the prompt; a text under `system` is the system's message."
    )


@door.get("/provider", responses=problems(404, 409), response_model=ProvidersShown)
@needs("admin")
def get_provider(call: Here, response: Response) -> dict[str, Any]:
    """Return the providers. A key is `${NAME}` or `***`, never the key; putting exactly this back changes nothing."""
    return _shown(_providers(call).show(), response)


@door.put("/provider", responses=problems(404, 409, 412, 413, 415), response_model=ProvidersShown)
@needs("admin", human=True)
def put_provider(call: Here, response: Response, body: dict[str, Any], if_match: IfMatch = None) -> dict[str, Any]:
    """Change the providers: what is left out stays, `***` keeps a key, null takes it away. Only a human may."""
    try:
        stored = _providers(call).set(call.actor, body, seen_version=_seen(if_match))
    except ConfigurationChanged as error:
        raise PreconditionFailed(error.message) from None
    call.wrote()
    return _shown(stored, response)


@door.get("/provider/health", responses=problems(404, 409), response_model=HealthsShown)
@needs("operator")
def get_provider_health(call: Here) -> dict[str, Any]:
    """Ask every provider how it is: `ok`, `degraded` or `down`, with the reason; takes at most about five seconds."""
    found = _providers(call).health()
    return {"items": [each.shown() for each in found], "at": to_text(house(call, _House).now())}


@door.post("/generate", status_code=201, responses=problems(404, 409, 413, 415, 502, 504), response_model=DraftShown)
@needs("admin")
def generate(
    call: Here,
    request: Request,
    response: Response,
    body: NewGeneration | None = None,
    prompt: Annotated[
        str | None, Query(min_length=1, max_length=8000, description="The prompt, where there is no body.")
    ] = None,
    key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Let the active provider write a draft. A failure answers 502, 503 or 504 and names the draft in error.

    Under the `Idempotency-Key` of a request that failed there is that draft: its status says `error`.
    """
    asked = body or (NewGeneration(prompt=prompt) if prompt is not None else None)
    if asked is None:
        raise PromptMissing

    def make(actor: Any) -> str:  # noqa: ANN401 - as `ApiCall.actor`
        return (
            _providers(call)
            .generate(
                actor,
                asked.prompt,
                context=asked.context,
                called_off=lambda: from_thread.run(request.is_disconnected),
            )
            .id
        )

    try:
        draft_id = made(call, response, key, "POST /ops/generate", "draft.created", asked, make)
    except ProviderError as error:
        if error.draft_id is not None:
            call.wrote()
        raise
    call.wrote()
    draft = house(call, _House).approval.draft(draft_id)
    response.headers["Location"] = f"/ops/drafts/{draft.id}"
    response.headers["ETag"] = f'"{draft.version}"'
    return show_draft(draft)


def _shown(stored: Stored, response: Response) -> dict[str, Any]:
    response.headers["ETag"] = f'"{stored.version}"'
    return dict(stored.config.shown())


def _seen(if_match: str | None) -> str | None:
    if if_match is None or if_match.strip() == "*":
        return None
    match = _ENTITY_TAG.fullmatch(if_match.strip())
    if match is None:
        raise PreconditionFailed("If-Match names no version that was ever given out")
    return match[1]
