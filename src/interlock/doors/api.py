"""What the HTTP doors share: who calls, what a verb needs, entity tags, paging, and the shape of an error.

A room's `api.py` makes a `Door`, a router whose every route says which role it needs. The role is checked before the
body is read, so that who may not call learns nothing about what a right body would be.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from inspect import iscoroutinefunction
from types import GenericAlias
from typing import Annotated, Any, Literal, Protocol, TypeVar, cast

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from interlock.kernel.canonical import MAX_DEPTH, MAX_INTEGER
from interlock.kernel.errors import Conflict, Invalid, Refused
from interlock.kernel.once import AlreadyMade, KeyUsed, Noted, Once

Level = Literal["actions", "operator", "admin"]
House = TypeVar("House")
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

LEVELS: Sequence[Level] = ("actions", "operator", "admin")
_NEEDS = "_interlock_needs"
_HUMAN = "_interlock_human"
_NOTHING: Any = object()
_MOST_DIGITS = 17
_ENTITY_TAG = re.compile(r'(?:W/)?"(\d{1,15})"')


class LevelTooLow(Refused):
    """Your role may not do this."""

    code = "role_too_low"


class WrongMediaType(Invalid):
    """The body is not JSON."""

    code = "unsupported_media_type"
    status = 415
    default_hint = "send it with Content-Type: application/json"


class MalformedJson(Invalid):
    """The body is not JSON that can be kept exactly."""

    code = "malformed_json"


class MalformedText(Invalid):
    """A text holds a NUL or a lone surrogate, which is not text."""

    code = "malformed_text"


class PreconditionFailed(Conflict):
    """It has changed since you looked."""

    code = "precondition_failed"
    status = 412
    default_hint = "get it again, look, and repeat what you still want with the new ETag"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """One authenticated request."""

    actor: Any
    """An `access.models.Actor`, from a room that stands above this one."""
    level: Level
    house: Any
    """The plugged-together rooms."""
    wrote: Callable[[], None]
    """Brings what follows the log up to date, after a verb that changed something."""


async def _call(request: Request) -> ApiCall:
    return cast("ApiCall", request.state.call)


Here = Annotated[ApiCall, Depends(_call)]
IfMatch = Annotated[str | None, Header(description="The ETag that you saw; another version is refused with 412.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        pattern="^[!-~]+$",
        description="Names this request for a day: repeated with the same body it makes nothing more, and answers "
        "with what it made.",
    ),
]
Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many.")]
Before = Annotated[
    str | None, Query(max_length=64, description="Go on behind this id: the last one of the page before.")
]


def house(call: ApiCall, kind: type[House]) -> House:
    """Return the rooms, as the protocol that a door asks for."""
    del kind
    return cast("House", call.house)


def needs(level: Level, *, human: bool = False) -> Callable[[Endpoint], Endpoint]:
    """Say which role a route needs at least, and whether the room lets only humans do it; a test holds both."""

    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _NEEDS, level)
        setattr(endpoint, _HUMAN, human)
        return endpoint

    return mark


def needed(endpoint: Callable[..., Any]) -> Level:
    """Return which role a route needs."""
    return cast("Level", getattr(endpoint, _NEEDS))


def for_humans(endpoint: Callable[..., Any]) -> bool:
    """Say whether only a human may, whatever the role."""
    return bool(getattr(endpoint, _HUMAN))


class GuardedRoute(APIRoute):
    """A route that checks role and media type before anything else is looked at."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:  # noqa: ANN401 - FastAPI's own
        extra: dict[str, Any] = dict(options.pop("openapi_extra", None) or {})
        super().__init__(path, _answering(endpoint, options), openapi_extra={**extra, **_rights(endpoint)}, **options)

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # pyright: ignore[reportIncompatibleMethodOverride] - any awaitable is awaited
        """Wrap FastAPI's handler."""
        inner, level, takes_body = super().get_route_handler(), needed(self.endpoint), self.body_field is not None

        async def handler(request: Request) -> Response:
            have: ApiCall = request.state.call
            if LEVELS.index(have.level) < LEVELS.index(level):
                raise LevelTooLow(
                    f"{level} role or higher required", hint=f"you are {have.actor.principal}, {have.level}"
                )
            if b"%00" in request.scope["query_string"]:
                raise MalformedText
            if not takes_body:
                return await inner(request)
            if not _is_json(request):
                raise WrongMediaType
            return await inner(_Read(request.scope, request.receive, parsed(await request.body())))

        return handler


def _answering(endpoint: Endpoint, options: Mapping[str, Any]) -> Endpoint:
    """Let an endpoint write its answer in the thread that it runs in: FastAPI would go to another one for that."""
    model: Any = options.get("response_model")
    if not isinstance(model, type | GenericAlias) or iscoroutinefunction(endpoint):
        return endpoint
    writer = cast("TypeAdapter[Any]", TypeAdapter(cast("type[Any]", model)))
    left_out = bool(options.get("response_model_exclude_unset"))

    @wraps(endpoint)
    def answering(*given: Any, **named: Any) -> Response:  # noqa: ANN401 - what the endpoint takes
        found = endpoint(*given, **named)
        content = writer.dump_json(writer.validate_python(found), exclude_unset=left_out, by_alias=True)
        answer = Response(content, status_code=options.get("status_code") or 200, media_type="application/json")
        if "response" in named:
            answer.raw_headers.extend(named["response"].raw_headers)
        return answer

    return cast("Endpoint", answering)


def _rights(endpoint: Callable[..., Any]) -> dict[str, Any]:
    return {"x-required-role": needed(endpoint), **({"x-only-humans": True} if for_humans(endpoint) else {})}


class _Read(Request):
    """A request whose body has been read strictly."""

    def __init__(self, scope: Any, receive: Any, body: Any) -> None:  # noqa: ANN401 - ASGI's own
        super().__init__(scope, receive)
        self._parsed = body
        self._body = b"" if body is _NOTHING else b"{}"

    async def json(self) -> Any:  # noqa: ANN401 - JSON of any shape
        return self._parsed


def parsed(body: bytes) -> Any:  # noqa: ANN401 - JSON of any shape
    """Read JSON strictly: what two readers could take for two things is refused. Raises `MalformedJson`."""
    if not body:
        return _NOTHING
    try:
        value = _decode(body.decode("utf-8"))
        if b"\\u" in body:
            _check_texts(value)
    except RecursionError:
        raise MalformedJson(f"it is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise MalformedJson(f"it is not JSON: {error}"[:300]) from None
    return value


def _check_texts(value: Any) -> None:  # noqa: ANN401 - JSON of any shape
    """Refuse what only an escape can bring in: NUL and lone surrogates."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedText from None
    if "\\u0000" in text.replace("\\\\", ""):
        raise MalformedText


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS or abs(int(digits)) > MAX_INTEGER:
        raise ValueError("a whole number is beyond 2^53")
    return int(digits)


def _fraction(digits: str) -> float:
    value = float(digits)
    if value in {float("inf"), float("-inf")}:
        raise ValueError("a number is too large")
    return value


def _no_number(word: str) -> Any:  # noqa: ANN401 - never returns
    raise ValueError(f"{word} is no JSON number")


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_whole, parse_float=_fraction, parse_constant=_no_number
).decode


def _is_json(request: Request) -> bool:
    given = request.headers.get("content-type")
    if given is None:
        return request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers
    kind = given.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


class Door(APIRouter):
    """The routes of one room."""

    def __init__(self, prefix: str, tag: str) -> None:
        """Take the path that they share, and the word under which they are documented."""
        super().__init__(prefix=prefix, tags=[tag], route_class=GuardedRoute, responses=problems(*EVERYWHERE, 501))


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="`urn:interlock:error:<code>`")
    title: str
    status: int
    detail: str
    code: str
    hint: str | None = None
    correlation_id: str
    errors: list[dict[str, Any]] | None = Field(default=None, description="Where a body or parameter is wrong.")


class Body(BaseModel):
    """A body that is taken: unknown fields are refused, nothing is guessed."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Shown(BaseModel):
    """What an answer holds at least; later versions may say more."""

    model_config = ConfigDict(extra="allow")


_TITLES = {
    401: "No valid token",
    403: "Not allowed",
    404: "Not found",
    409: "The state does not allow it",
    412: "Changed since you looked",
    413: "Too large",
    415: "Not JSON",
    422: "Not valid",
    423: "Panic mode",
    429: "Too many requests",
    500: "Failed",
    501: "Switched off",
    502: "What was asked on your behalf failed",
    503: "Unreachable",
    504: "What was asked on your behalf was too slow",
}


def title(status: int) -> str:
    """Return the short words for a status."""
    return _TITLES.get(status, "Failed")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document the errors that a route may answer with."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {"description": title(status), "content": {"application/problem+json": schema}} for status in statuses
    }


EVERYWHERE = (401, 403, 422, 429, 500, 503)
"""What any route may answer with."""


class _Remembers(Protocol):
    def made_once(self, actor: Any, once: Once) -> Noted | None: ...  # noqa: ANN401 - as `ApiCall.actor`


def made(
    call: ApiCall,
    response: Response,
    key: str | None,
    route: str,
    kind: str,
    body: BaseModel,
    make: Callable[[Any], str],
) -> str:
    """Make something and return its id. What the same caller has made under the same key is not made again.

    `kind` is the event that tells of the making: the key is noted in the transaction that it is a part of. Raises
    `KeyUsed` for a key under which something else was asked for.
    """
    if key is None:
        return make(call.actor)
    request = "sha256:" + hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    once = Once(route=route, key=key, request=request, kind=kind)
    before = house(call, _Remembers).made_once(call.actor, once)
    if before is None:
        try:
            return make(replace(call.actor, once=once))
        except AlreadyMade:
            before = house(call, _Remembers).made_once(call.actor, once)
            if before is None:
                raise
    if before.request != request:
        raise KeyUsed(f"under this key {before.subject} was made from another request")
    response.headers["Idempotency-Replayed"] = "true"
    return before.subject


def seen(if_match: str | None) -> int | None:
    """Return the version that an `If-Match` names; None for `*` or none."""
    if if_match is None or if_match.strip() == "*":
        return None
    match = _ENTITY_TAG.fullmatch(if_match.strip())
    if match is None:
        raise PreconditionFailed("If-Match names no version that was ever given out")
    return int(match[1])


def tagged(response: Response, version: int) -> None:
    """Say which version an answer shows."""
    response.headers["ETag"] = f'"{version}"'


def paged(request: Request, response: Response, shown: Sequence[dict[str, Any]], limit: int) -> None:
    """Say where the next page is, if there may be one."""
    if len(shown) == limit:
        following = request.url.include_query_params(before=shown[-1]["id"])
        response.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
