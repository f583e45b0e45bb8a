"""A draft held against what it was before, or against what was last approved for its repository. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from interlock.approval.differences import Line, compare
from interlock.approval.models import Approved, Draft, Version
from interlock.evidence.content import Text
from interlock.kernel.canonical import JsonObject

_ERASED = "erased"
_NAMES = ("schema", "prompt", "content", "context")


class Against(Enum):
    """What a draft is compared with."""

    PREVIOUS = "previous"
    APPROVED = "approved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field that is not the same."""

    name: str
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What differs, and from what."""

    draft_id: str
    version: int
    to: Against
    other: str | None
    """The id of the approved record, or of the draft for its version before; None where there is neither."""
    other_version: int | None
    by: str | None
    at_ms: int | None
    sentence: str
    """What is compared with what, or why nothing is."""
    fields: Sequence[Field]


def against_version(
    draft: Draft, terms: JsonObject, earlier: Version, past: Draft, past_terms: JsonObject
) -> Difference:
    """Hold a draft against its version before."""
    why = f": {earlier.reason}" if earlier.reason else ""
    by = f", {earlier.how} by {earlier.by}{why}" if earlier.by else ""
    return Difference(
        draft_id=draft.id,
        version=draft.version,
        to=Against.PREVIOUS,
        other=draft.id,
        other_version=earlier.version,
        by=earlier.by,
        at_ms=earlier.written_ms,
        sentence=f"compared with version {earlier.version} of this draft{by}",
        fields=_fields(_texts(past, past_terms), _texts(draft, terms)),
    )


def against_approved(draft: Draft, terms: JsonObject, other: Approved) -> Difference:
    """Hold a draft against an approved record."""
    revoked = ", revoked since" if other.revoked_ms is not None else ""
    return Difference(
        draft_id=draft.id,
        version=draft.version,
        to=Against.APPROVED,
        other=other.id,
        other_version=None,
        by=other.approved_by,
        at_ms=other.approved_ms,
        sentence=f"compared with {other.id}, the last that was approved for this repository, "
        f"by {other.approved_by}{revoked}",
        fields=_fields(_texts(other, other.terms), _texts(draft, terms)),
    )


def against_nothing(draft: Draft, terms: JsonObject, to: Against) -> Difference:
    """Say that there is nothing to compare with, and why."""
    if to is Against.PREVIOUS:
        sentence = "this is the first version of the draft that was kept"
    elif terms["repository"] is None:
        sentence = "the draft names no repository"
    else:
        sentence = "nothing has been approved for this repository yet"
    return Difference(
        draft_id=draft.id,
        version=draft.version,
        to=to,
        other=None,
        other_version=None,
        by=None,
        at_ms=None,
        sentence=sentence,
        fields=(),
    )


def _fields(old: Mapping[str, str], new: Mapping[str, str]) -> list[Field]:
    names = [*new, *(name for name in old if name not in new)]
    found = (Field(name=name, lines=compare(old.get(name, ""), new.get(name, ""))) for name in names)
    return [field for field in found if field.lines]


def _texts(of: Draft | Approved, terms: JsonObject) -> dict[str, str]:
    """Write each field as lines; terms that this version does not know as well."""
    command = cast("list[str] | None", terms["command"])
    return {
        "prompt": _text(of.prompt),
        "content": _text(of.content) if of.content is not None else "",
        "context": "" if of.context.body == "{}" else _text(of.context),
        "command": shlex.join(command) if command is not None else "",
        **{name: _lines(value) for name, value in terms.items() if name not in {*_NAMES, "command"}},
    }


def _text(text: Text) -> str:
    return _ERASED if text.body is None else text.body


def _lines(value: Any) -> str:  # noqa: ANN401 - any field of the terms
    if isinstance(value, Mapping):
        named = cast("Mapping[str, object]", value)
        return "\n".join(f"{name} = {_lines(each)}" for name, each in sorted(named.items()))
    if isinstance(value, list):
        return "\n".join(_line(each) for each in cast("list[object]", value))
    return _line(value)


def _line(value: object) -> str:
    if isinstance(value, list):
        return shlex.join(str(word) for word in cast("list[object]", value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
