"""The HTTP doors of access: log in and out, tokens, panic."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from fastapi import Request, Response
from pydantic import Field

from interlock.access.models import Actor, Identity, NewToken, Panic, Principal, PrincipalKind, Role, Token
from interlock.access.service import Access
from interlock.doors.api import ApiCall, Body, Door, Here, Shown, house, needs, problems
from interlock.kernel.clock import to_text

door = Door("/ops", "access")

COOKIE = "interlock_session"


class _House(Protocol):
    @property
    def access(self) -> Access: ...

    def now(self) -> int: ...

    def stop_runs(self, actor: Actor, *, reason: str) -> list[str]: ...


def _access(call: ApiCall) -> Access:
    return house(call, _House).access


class NewTokenBody(Body):
    """A token that is to be made."""

    name: str
    role: Literal["actions", "operator", "admin"]
    kind: Literal["human", "agent", "service"] = "service"
    principal: str | None = Field(
        default=None, pattern="^[^:]*$", description="The name of whom it proves, without its kind; default: its name."
    )
    expires_in_seconds: int | None = Field(default=None, ge=1, le=10 * 366 * 24 * 3600)


class Rotation(Body):
    """How long the old secret still counts."""

    grace_seconds: int = Field(default=0, ge=0, le=7 * 24 * 3600)


class Why(Body):
    """Why; may be left out."""

    reason: str = ""


class PanicBody(Body):
    """Why everything is frozen, and whether what runs is stopped as well."""

    reason: str
    stop_runs: bool = False


class Release(Body):
    """Why it goes on."""

    reason: str


class Me(Shown):
    """Who the server takes the caller for."""

    id: str
    kind: Literal["human", "agent", "service"]
    name: str
    role: Literal["actions", "operator", "admin"]
    may_decide: bool
    token_id: str
    session: bool


class TokenShown(Shown):
    """A token, without its secret."""

    id: str
    status: Literal["valid", "expired", "revoked"]
    name: str
    principal: str
    kind: Literal["human", "agent", "service"]
    role: Literal["actions", "operator", "admin"]
    created_at: str
    created_by: str
    expires_at: str | None
    rotated_at: str | None
    old_until: str | None = Field(description="Until when the secret before the rotation still counts.")
    revoked_at: str | None
    revoked_by: str | None
    last_used_at: str | None


class TokenMade(TokenShown):
    """A token with its text: in this answer and never again."""

    token: str


class PanicShown(Shown):
    """Whether panic mode is on, since when, by whom and why."""

    id: Literal["panic"]
    status: Literal["on", "off"]
    panic_mode: bool
    by: str | None = None
    reason: str | None = None
    since: str | None = None


class PanicRaisedShown(PanicShown):
    """Panic mode as it was raised now."""

    stopped_runs: list[str] = Field(description="What was cancelled with it.")


# --- who am I ---------------------------------------------------------------------------------------------------------


@door.get("/me", response_model=Me)
@needs("actions")
def me(request: Request) -> dict[str, Any]:
    """Say who the server takes you for."""
    return _shown_identity(_identity(request))


@door.post("/session", status_code=201, responses=problems(409), response_model=Me)
@needs("actions")
def log_in(call: Here, request: Request, response: Response) -> dict[str, Any]:
    """Open a browser's session with the token that this request shows; the answer sets its cookie."""
    identity = _identity(request)
    cookie = _access(call).open_session(identity, correlation_id=call.actor.correlation_id)
    response.set_cookie(
        COOKIE, cookie, httponly=True, samesite="strict", secure=request.url.scheme == "https", path="/"
    )
    call.wrote()
    return _shown_identity(identity)


@door.delete("/session", status_code=204)
@needs("actions")
def log_out(call: Here, request: Request, response: Response) -> None:
    """End this session; its cookie is worth nothing from now on."""
    _access(call).end_session(_identity(request), correlation_id=call.actor.correlation_id)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    call.wrote()


# --- tokens -----------------------------------------------------------------------------------------------------------


@door.get("/tokens", response_model=list[TokenShown])
@needs("admin")
def list_tokens(call: Here) -> list[dict[str, Any]]:
    """List tokens, newest first, also those that have ended; their secrets are nowhere."""
    now = house(call, _House).now()
    return [_shown_token(token, now) for token in _access(call).list()]


@door.post("/tokens", status_code=201, responses=problems(409, 413, 415, 423), response_model=TokenMade)
@needs("admin")
def create_token(call: Here, response: Response, body: NewTokenBody) -> dict[str, Any]:
    """Make a token. Its text is in this answer and never again."""
    holder = Principal.parse(f"{body.kind}:{body.principal or body.name}")
    span = None if body.expires_in_seconds is None else body.expires_in_seconds * 1000
    new = NewToken(name=body.name, principal=holder, role=Role(body.role), expires_in_ms=span)
    issued = _access(call).create(call.actor, new, role=Role(call.level))
    call.wrote()
    response.headers["Location"] = f"/ops/tokens/{issued.token.id}"
    return {**_shown_token(issued.token, house(call, _House).now()), "token": issued.text}


@door.get("/tokens/{token_id}", responses=problems(404), response_model=TokenShown)
@needs("admin")
def get_token(call: Here, token_id: str) -> dict[str, Any]:
    """Return a token, without its secret."""
    return _shown_token(_access(call).get(token_id), house(call, _House).now())


@door.post("/tokens/{token_id}/rotate", responses=problems(404, 409, 413, 415, 423), response_model=TokenMade)
@needs("admin")
def rotate_token(call: Here, token_id: str, body: Rotation | None = None) -> dict[str, Any]:
    """Give a token another secret; the old one ends at once, or after a grace."""
    grace = 0 if body is None else body.grace_seconds * 1000
    issued = _access(call).rotate(call.actor, token_id, role=Role(call.level), grace_ms=grace)
    call.wrote()
    return {**_shown_token(issued.token, house(call, _House).now()), "token": issued.text}


@door.post("/tokens/{token_id}/revoke", responses=problems(404, 409, 413, 415), response_model=TokenShown)
@needs("admin")
def revoke_token(call: Here, token_id: str, body: Why | None = None) -> dict[str, Any]:
    """Take a token back, with every session that it opened."""
    reason = "" if body is None else body.reason
    token = _access(call).revoke(call.actor, token_id, role=Role(call.level), reason=reason)
    call.wrote()
    return _shown_token(token, house(call, _House).now())


# --- panic ------------------------------------------------------------------------------------------------------------


@door.get("/panic", response_model=PanicShown, response_model_exclude_unset=True)
@needs("actions")
def get_panic(call: Here) -> dict[str, Any]:
    """Say whether panic mode is on."""
    return _shown_panic(_access(call).panic())


@door.put(
    "/panic", responses=problems(409, 413, 415), response_model=PanicRaisedShown, response_model_exclude_unset=True
)
@needs("operator")
def raise_panic(call: Here, body: PanicBody) -> dict[str, Any]:
    """Freeze every verb that begins something, everywhere, until a human admin releases it."""
    panic = _access(call).raise_panic(call.actor, role=Role(call.level), reason=body.reason)
    stopped = house(call, _House).stop_runs(call.actor, reason="panic") if body.stop_runs else []
    call.wrote()
    return {**_shown_panic(panic), "stopped_runs": stopped}


@door.post(
    "/panic/release", responses=problems(409, 413, 415), response_model=PanicShown, response_model_exclude_unset=True
)
@needs("admin", human=True)
def release_panic(call: Here, body: Release) -> dict[str, Any]:
    """Let everything go on; only a human admin may."""
    panic = _access(call).release_panic(call.actor, role=Role(call.level), reason=body.reason)
    call.wrote()
    return {**_shown_panic(None), "was": _shown_panic(panic)}


# ----------------------------------------------------------------------------------------------------------------------


def _identity(request: Request) -> Identity:
    identity: Identity = request.state.identity
    return identity


def _shown_identity(identity: Identity) -> dict[str, Any]:
    return {
        "id": str(identity.principal),
        "kind": identity.principal.kind.value,
        "name": identity.principal.name,
        "role": identity.role.value,
        "may_decide": identity.principal.kind is PrincipalKind.HUMAN,
        "token_id": identity.token_id,
        "session": identity.session_id is not None,
    }


def _shown_token(token: Token, now_ms: int) -> dict[str, Any]:
    return {
        "id": token.id,
        "status": token.standing(now_ms),
        "name": token.name,
        "principal": str(token.principal),
        "kind": token.principal.kind.value,
        "role": token.role.value,
        "created_at": to_text(token.created_ms),
        "created_by": token.created_by,
        "expires_at": _time(token.expires_ms),
        "rotated_at": _time(token.rotated_ms),
        "old_until": _time(token.previous_until_ms),
        "revoked_at": _time(token.revoked_ms),
        "revoked_by": token.revoked_by,
        "last_used_at": _time(token.last_used_ms),
    }


def _shown_panic(panic: Panic | None) -> dict[str, Any]:
    if panic is None:
        return {"id": "panic", "status": "off", "panic_mode": False}
    return {
        "id": "panic",
        "status": "on",
        "panic_mode": True,
        "by": panic.by,
        "reason": panic.reason,
        "since": to_text(panic.since_ms),
    }


def _time(ms: int | None) -> str | None:
    return None if ms is None else to_text(ms)
