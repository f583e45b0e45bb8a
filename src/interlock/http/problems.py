"""Every failure in one shape: `application/problem+json` that also carries `detail`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from interlock.access.redaction import redact
from interlock.doors.api import ApiCall, title
from interlock.kernel.errors import Conflict, InterlockError, Invalid, NotFound, Refused, Unreachable

_LOG = logging.getLogger("interlock.http")
_STATUSES: Sequence[tuple[type[InterlockError], int]] = (
    (Invalid, 422),
    (NotFound, 404),
    (Conflict, 409),
    (Refused, 403),
    (Unreachable, 503),
)
_MOST_DEED = 300
_CODES = {404: "not_found", 405: "method_not_allowed", 400: "bad_request", 413: "body_too_large"}


def install(app: FastAPI) -> None:
    """Answer every failure of an application in our shape."""
    app.add_exception_handler(InterlockError, _ours)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _its_own)
    app.add_exception_handler(Exception, _unforeseen)


def status_of(error: InterlockError) -> int:
    """Return the status for an error of ours."""
    own: int | None = getattr(error, "status", None)
    return own or next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    correlation_id: str,
    hint: str = "",
    errors: Sequence[Mapping[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an answer that says what went wrong."""
    body: dict[str, Any] = {
        "type": f"urn:interlock:error:{code}",
        "title": title(status),
        "status": status,
        "detail": detail,
        "code": code,
        "correlation_id": correlation_id,
    }
    if hint:
        body["hint"] = hint
    if errors is not None:
        body["errors"] = list(errors)
    return Response(json.dumps(body), status, headers=dict(headers or {}), media_type="application/problem+json")


def _correlation(request: Request) -> str:
    return cast("str", getattr(request.state, "correlation_id", "-"))


async def _ours(request: Request, error: Exception) -> Response:
    """Say what a room refused. Its sentences are written for callers and name no secret."""
    failure = cast("InterlockError", error)
    status = status_of(failure)
    call = cast("ApiCall | None", getattr(request.state, "call", None))
    if isinstance(failure, Refused) and call is not None:
        await to_thread.run_sync(_tell, call, failure.code, f"{request.method} {request.url.path}")
    if status >= 500:
        _LOG.error("%s", failure.message, extra={"code": failure.code, "correlation_id": _correlation(request)})
    later: float | None = getattr(failure, "retry_after_seconds", None)
    return problem(
        status,
        failure.code,
        failure.message,
        correlation_id=_correlation(request),
        hint=failure.hint,
        headers={} if later is None else {"Retry-After": str(max(1, round(later)))},
    )


def _tell(call: ApiCall, code: str, deed: str) -> None:
    """Log the denial, in a transaction of its own; that it can not be logged makes it no less a denial."""
    with suppress(InterlockError):
        call.house.access.refused(call.actor, code=code, deed=redact(deed[:_MOST_DEED]))


async def _not_valid(request: Request, error: Exception) -> Response:
    """Say where a body or parameter is wrong; what was sent is not sent back, it may be a secret."""
    found = cast("RequestValidationError", error).errors()
    errors = [{"loc": [str(part) for part in each["loc"]], "msg": each["msg"], "type": each["type"]} for each in found]
    first = errors[0]
    where = ".".join(first["loc"])
    return problem(
        422, "not_valid", f"{where}: {first['msg']}", correlation_id=_correlation(request), errors=errors[:50]
    )


async def _its_own(request: Request, error: Exception) -> Response:
    failure = cast("HTTPException", error)
    code = _CODES.get(failure.status_code, "http_error")
    return problem(
        failure.status_code,
        code,
        str(failure.detail),
        correlation_id=_correlation(request),
        headers=failure.headers,
    )


async def _unforeseen(request: Request, error: Exception) -> Response:
    _LOG.error("this should not have happened", exc_info=error, extra={"correlation_id": _correlation(request)})
    return problem(
        500,
        "failed",
        "this should not have happened; the server's log tells more under the correlation id",
        correlation_id=_correlation(request),
        headers={"X-Correlation-ID": _correlation(request)},
    )
