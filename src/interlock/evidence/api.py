"""The HTTP doors of evidence: `/ops/audit` and `/ops/evidence`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from fastapi import Depends, Query, Request, Response
from fastapi import Path as InPath
from starlette.responses import StreamingResponse

from interlock.doors.api import ApiCall, Door, Here, Limit, house, needs, problems
from interlock.evidence.answers import (
    ConsistencyShown,
    EntriesPage,
    EntryWhole,
    EventShown,
    HeadShown,
    LogKeyShown,
    Proof,
    show_entry,
    show_head,
    show_page,
    show_signed,
)
from interlock.evidence.browsing import Entry, cosigners, entry_of
from interlock.evidence.directory import KeyDirectory
from interlock.evidence.errors import EntryUnknown, StretchTooLong
from interlock.evidence.keyring import Keyring
from interlock.evidence.models import Body, LogPage, Wanted
from interlock.evidence.policy import Policy, read_policy
from interlock.evidence.service import Evidence

door = Door("/ops", "evidence")

MOST_EXPORTED = 100_000
"""Entries of one download."""
_PAGE = 500
_COLUMNS = ("index", "time", "principal", "kind", "subject", "correlation_id", "payload")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Index = Annotated[int, InPath(ge=0, le=2**53)]
Before = Annotated[int | None, Query(ge=0, le=2**53, description="Only events with a lower index.")]
Size = Annotated[int, Query(ge=0, le=2**53)]


class _Log(Protocol):
    def size(self) -> int: ...

    def leaves(self, start: int, end: int) -> Iterator[bytes]: ...

    def found(self, wanted: Wanted, *, before: int | None, limit: int) -> LogPage: ...

    def events(self, start: int, limit: int) -> Sequence[tuple[int, Mapping[str, Any]]]: ...

    def envelope(self, ref: str) -> bytes | None: ...

    def body(self, ref: str) -> Body: ...


class _House(Protocol):
    @property
    def evidence(self) -> Evidence: ...

    @property
    def event_log(self) -> _Log: ...

    @property
    def keyring(self) -> Keyring: ...

    @property
    def evidence_folder(self) -> Path: ...


def _rooms(call: ApiCall) -> _House:
    return house(call, _House)


def _wanted(
    kind: Annotated[
        str,
        Query(max_length=100, pattern="^([a-z0-9_]+([.][a-z0-9_]+)*)?$", description="A kind, or its family: `draft`."),
    ] = "",
    subject: Annotated[str, Query(max_length=300, description="Only what is about this id.")] = "",
    principal: Annotated[
        str,
        Query(max_length=160, pattern="^((human|agent|service):[A-Za-z0-9_][A-Za-z0-9._@:+-]*)?$", description="Who."),
    ] = "",
    text: Annotated[str, Query(max_length=200, description="A text somewhere in the entry.")] = "",
    outcome: Annotated[Literal["", "allowed", "denied"], Query(description="`denied`: only who was turned away.")] = "",
) -> Wanted:
    return Wanted(kind=kind, subject=subject, principal=principal, text=text, outcome=outcome)


Asked = Annotated[Wanted, Depends(_wanted)]


# --- the log, entry by entry ------------------------------------------------------------------------------------------


@door.get("/audit", response_model=list[EventShown])
@needs("actions")
def audit(
    call: Here, request: Request, response: Response, wanted: Asked, limit: Limit = 200, before: Before = None
) -> list[dict[str, Any]]:
    """List what happened, newest first: every change and every denial.

    With a filter a page may end before it is full, after 50,000 entries; its link to the next one goes on there.
    """
    page = _rooms(call).event_log.found(wanted, before=before, limit=limit)
    if page.following is not None:
        following = request.url.include_query_params(before=page.following)
        response.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return [{"index": index, **event} for index, event in page.entries]


@door.get(
    "/audit/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/jsonl": {}, "text/csv": {}}, "description": "A file, newest first."}},
)
@needs("actions")
def export_audit(
    call: Here,
    wanted: Asked,
    form: Annotated[Literal["jsonl", "csv"], Query(alias="format")] = "jsonl",
    first: Annotated[int | None, Query(ge=0, le=2**53, description="From this entry on; default: the last.")] = None,
    end: Annotated[int | None, Query(ge=0, le=2**53, description="Below this entry; default: all.")] = None,
) -> Response:
    """Download what happened, newest first, out of at most 100,000 entries."""
    log = _rooms(call).event_log
    size = log.size()
    below = size if end is None else min(end, size)
    start = max(0, below - MOST_EXPORTED) if first is None else min(first, below)
    if below - start > MOST_EXPORTED:
        raise StretchTooLong(f"{below - start} entries were asked for, a download has at most {MOST_EXPORTED}")
    write, kind = (_csv, "text/csv") if form == "csv" else (_jsonl, "application/jsonl")
    name = f"audit-{start}-{below}.{form}"
    told = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(write(_stretch(log, wanted, start, below)), media_type=kind, headers=told)


@door.get("/evidence/entries", response_model=EntriesPage)
@needs("actions")
def list_entries(call: Here, wanted: Asked, limit: Limit = 100, before: Before = None) -> dict[str, Any]:
    """List entries, newest first. With a filter at most 50,000 are looked through; `next` goes on there."""
    return show_page(_rooms(call).event_log.found(wanted, before=before, limit=limit))


@door.get("/evidence/entries/{index}", responses=problems(404), response_model=EntryWhole)
@needs("actions")
def get_entry(call: Here, index: Index) -> dict[str, Any]:
    """Return an entry: its leaf byte for byte, the statement that it bears, and what became of what it commits to."""
    last = _rooms(call).evidence.log.last_head()
    return show_entry(_entry(call, index), covered=last is not None and index < last.size)


@door.get(
    "/evidence/entries/{index}/line",
    response_class=Response,
    responses={200: {"content": {"application/jsonl": {}}, "description": "One line."}, **problems(404)},
)
@needs("actions")
def get_line(call: Here, index: Index) -> Response:
    """Download an entry as its ledger line, which `interlock evidence check` reads beside a proof."""
    return _file(_entry(call, index).line, "application/jsonl", f"entry-{index}.jsonl")


@door.get("/evidence/entries/{index}/proof", responses=problems(404, 409), response_model=Proof)
@needs("actions")
def prove(call: Here, index: Index) -> dict[str, Any]:
    """Prove offline that an entry is in the log (C2SP tlog-proof)."""
    return {"id": str(index), "status": "proved", "proof": _rooms(call).evidence.prove(index)}


@door.get(
    "/evidence/entries/{index}/proof.txt",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "A tlog-proof."}, **problems(404, 409)},
)
@needs("actions")
def get_proof_file(call: Here, index: Index) -> Response:
    """Download the proof as the file that `interlock evidence prove` writes."""
    return _file(_rooms(call).evidence.prove(index).encode(), "text/plain", f"entry-{index}.tlog-proof")


# --- heads and keys ---------------------------------------------------------------------------------------------------


@door.get("/evidence/head", responses=problems(404, 409), response_model=HeadShown, response_model_exclude_unset=True)
@needs("actions")
def last_head(call: Here) -> dict[str, Any]:
    """Return the last signed head of the log; keep it somewhere else, it catches a rewrite."""
    rooms = _rooms(call)
    evidence = rooms.evidence
    head, log = evidence.log.last_head(), rooms.event_log
    kept = [] if head is None else [each for each in evidence.log.cosignatures() if each.size == head.size]
    return show_head(
        head,
        entries=log.size(),
        keys=evidence.verifiers,
        cosigned=[] if head is None else cosigners(head.note, kept, _policy(rooms.evidence_folder)),
        origin=evidence.origin,
    )


@door.post("/evidence/head", responses=problems(404, 409), response_model=HeadShown, response_model_exclude_unset=True)
@needs("operator")
def sign_head(call: Here) -> dict[str, Any]:
    """Sign the log as it is now."""
    head = _rooms(call).evidence.head()
    call.wrote()
    return show_signed(head)


@door.get("/evidence/consistency", responses=problems(404, 409), response_model=ConsistencyShown)
@needs("actions")
def consistency(call: Here, first: Size, second: Size) -> dict[str, Any]:
    """Prove offline that one signed head is the beginning of another; each is named by its size."""
    proof = _rooms(call).evidence.consistency(first, second)
    return {"id": f"{first}-{second}", "status": "consistent", "first": first, "second": second, "proof": proof}


@door.get("/evidence/keys", response_model=list[LogKeyShown])
@needs("actions")
def list_keys(call: Here) -> list[dict[str, Any]]:
    """List every key that the log told of, and the entries that each may sign."""
    return [dict(key.to_json()) for key in _rooms(call).keyring.list()]


# ----------------------------------------------------------------------------------------------------------------------


def _entry(call: ApiCall, index: int) -> Entry:
    rooms = _rooms(call)
    leaf = next(rooms.event_log.leaves(index, index + 1), None)
    if leaf is None:
        raise EntryUnknown(f"there is no entry {index}; the log has {rooms.event_log.size()}")
    directory = rooms.keyring.directory() if b'"attestation":' in leaf else KeyDirectory()
    return entry_of(index, leaf, directory=directory, envelope=rooms.event_log.envelope, body=rooms.event_log.body)


def _policy(folder: Path) -> Policy | None:
    path = folder / "policy.tlog"
    return read_policy(path) if path.exists() else None


def _file(content: bytes, media_type: str, name: str) -> Response:
    told = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=told)


def _stretch(log: _Log, wanted: Wanted, start: int, end: int) -> Iterator[dict[str, Any]]:
    below = end
    while below > start:
        page = log.found(wanted, before=below, limit=min(_PAGE, below - start))
        yield from ({"index": index, **event} for index, event in page.entries if index >= start)
        below = page.searched_from


def _jsonl(events: Iterator[dict[str, Any]]) -> Iterator[str]:
    return (json.dumps(event, ensure_ascii=False, sort_keys=True) + "\n" for event in events)


def _csv(events: Iterator[dict[str, Any]]) -> Iterator[str]:
    yield ",".join(_COLUMNS) + "\r\n"
    for event in events:
        line = io.StringIO()
        csv.writer(line).writerow([cell(event[name]) for name in _COLUMNS])
        yield line.getvalue()


def cell(value: object) -> str:
    """Write a value so that no table program takes it for a formula."""
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
