"""The HTTP doors of evidence: `/ops/audit` and `/ops/evidence`."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

from fastapi import Path, Query, Request, Response
from pydantic import Field

from interlock.doors.api import ApiCall, Door, Here, Limit, Shown, house, needs, problems
from interlock.evidence.keyring import Keyring
from interlock.evidence.models import SignedHead
from interlock.evidence.service import Evidence
from interlock.kernel.clock import to_text

door = Door("/ops", "evidence")

Index = Annotated[int, Path(ge=0, le=2**53)]


class _Log(Protocol):
    def size(self) -> int: ...

    def events(self, start: int, limit: int) -> Sequence[tuple[int, Mapping[str, Any]]]: ...


class _House(Protocol):
    @property
    def evidence(self) -> Evidence: ...

    @property
    def event_log(self) -> _Log: ...

    @property
    def keyring(self) -> Keyring: ...


def _evidence(call: ApiCall) -> Evidence:
    return house(call, _House).evidence


class EventShown(Shown):
    """One event of the log."""

    index: int
    kind: str
    subject: str
    principal: str
    correlation_id: str | None
    time: str
    payload: dict[str, Any]


class KeyShown(Shown):
    """A key, as the log tells of it."""

    keyid: str
    name: str
    owner: str
    purpose: Literal["log", "service", "human", "agent"]
    role: str | None
    vkey: str
    from_index: int = Field(description="It signs entries from here on …")
    until_index: int | None = Field(description="… and before here, once it is retired …")
    revoked_from: int | None = Field(description="… and before here, once it is revoked.")
    reason: str


class HeadShown(Shown):
    """The signed head of the log."""

    size: int
    status: Literal["signed", "unsigned"]
    root: str | None = None
    root_base64: str | None = None
    time: str | None = None
    note: str | None = None


class Proof(Shown):
    """A proof that an entry is in the log."""

    id: str
    status: Literal["proved"]
    proof: str


@door.get("/audit", response_model=list[EventShown])
@needs("actions")
def audit(
    call: Here,
    request: Request,
    response: Response,
    limit: Limit = 200,
    before: Annotated[int | None, Query(ge=0, le=2**53, description="Only events with a lower index.")] = None,
) -> list[dict[str, Any]]:
    """List what happened, newest first: every change and every denial."""
    log = house(call, _House).event_log
    end = log.size() if before is None else min(before, log.size())
    start = max(0, end - limit)
    found = [{"index": index, **event} for index, event in log.events(start, end - start)][::-1]
    if start > 0:
        following = request.url.include_query_params(before=start)
        response.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return found


@door.get("/evidence/head", responses=problems(404, 409), response_model=HeadShown, response_model_exclude_unset=True)
@needs("actions")
def last_head(call: Here) -> dict[str, Any]:
    """Return the last signed head of the log; keep it somewhere else, it catches a rewrite."""
    head = _evidence(call).log.last_head()
    return {"size": 0, "status": "unsigned"} if head is None else _shown(head)


@door.post("/evidence/head", responses=problems(404, 409), response_model=HeadShown)
@needs("operator")
def sign_head(call: Here) -> dict[str, Any]:
    """Sign the log as it is now."""
    head = _evidence(call).head()
    call.wrote()
    return _shown(head)


@door.get("/evidence/keys", response_model=list[KeyShown])
@needs("actions")
def list_keys(call: Here) -> list[dict[str, Any]]:
    """List every key that the log told of, and the entries that each may sign."""
    return [dict(key.to_json()) for key in house(call, _House).keyring.list()]


@door.get("/evidence/entries/{index}/proof", responses=problems(404, 409), response_model=Proof)
@needs("actions")
def prove(call: Here, index: Index) -> dict[str, Any]:
    """Prove offline that an entry is in the log (C2SP tlog-proof)."""
    return {"id": str(index), "status": "proved", "proof": _evidence(call).prove(index)}


def _shown(head: SignedHead) -> dict[str, Any]:
    return {
        "size": head.size,
        "status": "signed",
        "root": head.root.hex(),
        "root_base64": base64.b64encode(head.root).decode(),
        "time": to_text(head.at),
        "note": head.note,
    }
