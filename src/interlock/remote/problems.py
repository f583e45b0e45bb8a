"""A server's problem (RFC 9457) as the error that the room raised: same kind, same code, same sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from interlock.kernel.errors import Conflict, Failed, InterlockError, Invalid, NotFound, Refused, Unreachable

_KINDS: Mapping[int, type[InterlockError]] = {
    400: Invalid,
    401: Refused,
    403: Refused,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    423: Refused,
    429: Unreachable,
    501: Refused,
    503: Unreachable,
    504: Unreachable,
}
_NO_TOKEN = "is the token in --token-file, INTERLOCK_TOKEN_FILE or INTERLOCK_TOKEN this server's, and still valid?"  # noqa: S105 - no token


def error_of(status: int, body: bytes) -> InterlockError | None:
    """Return the error that an answer tells of; None where it is no problem of ours."""
    told = _problem(body)
    if told is None:
        return None
    kind = _KINDS.get(status, Failed)
    code, message, hint = str(told["code"]), str(told["detail"]), str(told.get("hint") or "")
    if status == 401:
        hint = _NO_TOKEN
    if kind is Failed and not hint:
        hint = f"the server's log tells more under {told.get('correlation_id')}"
    return as_error(kind, code, message, hint)


def as_error(kind: type[InterlockError], code: str, message: str, hint: str) -> InterlockError:
    """Return an error of a room: its own class where the room is here, else one of the kind with its code."""
    known = next((each for each in _below(kind) if each.__dict__.get("code") == code), None)
    chosen = known or type("FromAfar", (kind,), {"__doc__": message, "code": code})
    error = chosen.__new__(chosen)
    InterlockError.__init__(error, message, hint=hint)  # not the class's own: what that asks for stayed with the server
    return error


def _problem(body: bytes) -> Mapping[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    told = cast("Mapping[str, Any]", found)
    return told if isinstance(told.get("code"), str) and isinstance(told.get("detail"), str) else None


def _below(kind: type[InterlockError]) -> Iterator[type[InterlockError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _below(each)
