"""The HTTP doors of providers: `/ops/provider` and `/ops/generate`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Protocol

from anyio import from_thread
from fastapi import Query, Request, Response
from pydantic import Field

from interlock.approval.shown import show_draft
from interlock.doors.api import ApiCall, Body, Door, Here, IfMatch, PreconditionFailed, house, needs, problems
from interlock.kernel.errors import Invalid
from interlock.providers.errors import ConfigurationChanged, ProviderError
from interlock.providers.models import Stored
from interlock.providers.service import Providers

door = Door("/ops", "providers")

_ENTITY_TAG = re.compile(r'"(sha256:[0-9a-f]{64})"')


class _House(Protocol):
    @property
    def providers(self) -> Providers: ...


def _providers(call: ApiCall) -> Providers:
    return house(call, _House).providers


class PromptMissing(Invalid):
    """There is no prompt, in the body or as a parameter."""

    code = "prompt_missing"


class NewGeneration(Body):
    """What a model is to write."""

    prompt: str
    context: dict[str, Any] | None = Field(
        default=None, description="Goes along with the prompt; a text under `system` is the system's message."
    )


@door.get("/provider", responses=problems(404, 409))
@needs("admin")
def get_provider(call: Here, response: Response) -> dict[str, Any]:
    """Return the providers. A key is `${NAME}` or `***`, never the key; putting exactly this back changes nothing."""
    return _shown(_providers(call).show(), response)


@door.put("/provider", responses=problems(404, 409, 412, 413, 415))
@needs("admin")
def put_provider(call: Here, response: Response, body: dict[str, Any], if_match: IfMatch = None) -> dict[str, Any]:
    """Change the providers: what is left out stays, `***` keeps a key, null takes it away. Only a human may."""
    try:
        stored = _providers(call).set(call.actor, body, seen_version=_seen(if_match))
    except ConfigurationChanged as error:
        raise PreconditionFailed(error.message) from None
    call.wrote()
    return _shown(stored, response)


@door.get("/provider/health", responses=problems(404, 409))
@needs("operator")
def get_provider_health(call: Here) -> dict[str, Any]:
    """Ask every provider how it is: `ok`, `degraded` or `down`, with the reason; takes at most about five seconds."""
    return {"items": [each.shown() for each in _providers(call).health()]}


@door.post("/generate", status_code=201, responses=problems(404, 409, 413, 415, 502, 504))
@needs("admin")
def generate(
    call: Here,
    request: Request,
    response: Response,
    body: NewGeneration | None = None,
    prompt: Annotated[
        str | None, Query(min_length=1, max_length=8000, description="The prompt, where there is no body.")
    ] = None,
) -> dict[str, Any]:
    """Let the active provider write a draft. A failure answers 502, 503 or 504 and names the draft in error."""
    asked = body or (NewGeneration(prompt=prompt) if prompt is not None else None)
    if asked is None:
        raise PromptMissing
    try:
        draft = _providers(call).generate(
            call.actor,
            asked.prompt,
            context=asked.context,
            called_off=lambda: from_thread.run(request.is_disconnected),
        )
    except ProviderError as error:
        if error.draft_id is not None:
            call.wrote()
        raise
    call.wrote()
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
