"""The five resources, by their addresses."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from mcp_types import Annotations, ListResourcesResult, ReadResourceResult, Resource, ResourceTemplate
from mcp_types import TextResourceContents as Contents

from interlock.kernel.clock import system_clock, to_text
from interlock.kernel.ids import has_prefix
from interlock.mcp.errors import ArgumentInvalid, NoSuchResource
from interlock.mcp.ids import id_of, refuse_draft
from interlock.mcp.ports import Bridge

_JSON = "application/json"
_PAGE = 50
_LISTED = 100
_LOG_LINES = 200
_URI = re.compile(r"ops://(plan|approved|context|(approved|runs)/([^/?#]{1,256}))")
_FIXED = (
    Resource(
        uri="ops://plan",
        name="plan",
        title="The plan",
        description="Objective, tasks and constraints, as a human wrote them.",
        mime_type=_JSON,
    ),
    Resource(
        uri="ops://approved",
        name="approved",
        title="Approved records",
        description=f"What humans approved, newest first: the last {_LISTED}, ended ones included.",
        mime_type=_JSON,
    ),
    Resource(
        uri="ops://context",
        name="context",
        title="How Interlock is",
        description="Queue counts, panic mode, whether the database answers.",
        mime_type=_JSON,
    ),
)
TEMPLATES = [
    ResourceTemplate(
        uri_template="ops://approved/{id}",
        name="approved record",
        description="One approved record, a_…: exactly what may run, with its digest.",
        mime_type=_JSON,
    ),
    ResourceTemplate(
        uri_template="ops://runs/{id}",
        name="run",
        description=f"One run, r_…: status, steps, result and the last {_LOG_LINES} lines of its log.",
        mime_type=_JSON,
    ),
]


def checked_uri(uri: str) -> tuple[str, str | None]:
    """Return which resource an address names, and its id; raises `DraftOutOfReach`, `NotAnId`, `NoSuchResource`."""
    refuse_draft(uri)
    found = _URI.fullmatch(uri)
    if found is None:
        raise NoSuchResource
    if found[2] is None:
        return found[1], None
    return found[2], id_of(found[3], "a" if found[2] == "approved" else "r")


def read_resource(bridge: Bridge, uri: str) -> ReadResourceResult:
    """Return what a resource holds now."""
    return ReadResourceResult(contents=[Contents(uri=uri, mime_type=_JSON, text=json.dumps(_read(bridge, uri)))])


def _read(bridge: Bridge, uri: str) -> Any:  # noqa: ANN401 - JSON of any shape
    match checked_uri(uri):
        case "plan", _:
            return bridge.plan()
        case "approved", None:
            return bridge.approved_list(limit=_LISTED)
        case "approved", str(approved_id):
            return bridge.approved(approved_id)
        case "runs", str(run_id):
            return bridge.run(run_id, log_lines=_LOG_LINES)
        case _:
            return bridge.context()


def list_resources(bridge: Bridge, cursor: str | None) -> ListResourcesResult:
    """List the fixed resources and what may run now, newest first, by pages."""
    before = None if cursor is None else _place(cursor)
    page = bridge.approved_list(limit=_PAGE, before=before)
    found = [_resource(each) for each in page if is_valid(each)]
    following = page[-1]["id"] if len(page) == _PAGE else None
    return ListResourcesResult(resources=[*(_FIXED if before is None else ()), *found], next_cursor=following)


def _place(cursor: str) -> str:
    if not has_prefix(cursor, "a"):
        refuse_cursor(cursor)
    return cursor


def refuse_cursor(cursor: str) -> NoReturn:
    """Refuse a cursor that was not given out."""
    refuse_draft(cursor)
    raise ArgumentInvalid("the cursor is none that was given out")


def _resource(approved: Mapping[str, Any]) -> Resource:
    first = next(iter(str(approved["prompt"]).strip().splitlines()), "")
    return Resource(
        uri=f"ops://approved/{approved['id']}",
        name=str(approved["id"]),
        title=first[:80],
        description=f"Approved by {approved['approved_by']} at {approved['approved_at']}.",
        mime_type=_JSON,
        annotations=Annotations(audience=["assistant"], last_modified=str(approved["approved_at"])),
    )


def is_valid(approved: Mapping[str, Any]) -> bool:
    """Say whether an approval has neither been revoked nor expired."""
    ends = approved["expires_at"]
    return approved["revoked_at"] is None and (ends is None or ends > to_text(system_clock()))


def complete_id(bridge: Bridge, kind: str, begun: str) -> Sequence[str]:
    """Return the newest ids that begin so; of approved records only those that may run."""
    if kind == "a":
        found = [str(each["id"]) for each in bridge.approved_list(limit=_LISTED) if is_valid(each)]
    else:
        found = list(bridge.run_ids(_LISTED))
    return [each for each in found if each.startswith(begun)]
