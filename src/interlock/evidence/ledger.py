"""The exported ledger: one line per leaf, in the log's order, that carries the event and a projection of it.

A line is canonical JSON, UTF-8, ended by one newline, with exactly these keys:

    event             the leaf itself: what the tree is built over
    index             the leaf's place, from 0; equal to the line's own place
    kind              the event's, but `PipelineEvent` for `pipeline.*` and `deployment.*`
    leaf_hash         RFC 6962 leaf hash of the event's canonical bytes, hex
    payload           the event's
    reference         the digest of the payload's attestation, else `sha256:<leaf_hash>`
    signed_operation  the payload's attestation, else null
    timestamp         the event's time in milliseconds since the epoch

An attestation is a payload's object `attestation` that names its envelope by a text `digest`; anything else under that
key is plain payload. Every line is a function of its index and leaf; reading demands that very line byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from json.encoder import encode_basestring as quoted
from typing import Final, NamedTuple, cast

from interlock.evidence.errors import (
    EventMalformed,
    EvidenceError,
    IndexMismatch,
    LeafMismatch,
    LineMalformed,
    ProjectionMismatch,
    TailTorn,
)
from interlock.evidence.models import LedgerEntry, LoggedEvent
from interlock.evidence.strict_json import decode_at, parse
from interlock.evidence.tree import leaf_hash
from interlock.kernel.canonical import Json, canonical, check
from interlock.kernel.clock import from_text
from interlock.kernel.events import MAX_LEAF_BYTES

MAX_LINE: Final = 3 * MAX_LEAF_BYTES + 1024
"""Bytes, newline included: payload and attestation stand there again, outside the event."""

_OPENING: Final = '{"event":'
_UNATTESTED: Final = re.compile(rb'"signed_operation":null,"timestamp":-?\d+}\n\Z')
_TAIL: Final = 80
"""Bytes in which the last two keys fit."""
_EVENT_KEYS: Final = LoggedEvent.__required_keys__
_LINE_KEYS: Final = frozenset(
    {"event", "index", "kind", "leaf_hash", "payload", "reference", "signed_operation", "timestamp"}
)
_COPIES: Final = ("kind", "payload", "reference", "signed_operation", "timestamp")
_instant = lru_cache(maxsize=64)(from_text)  # neighbours share their time often


class _Made(NamedTuple):
    """What an event comes to."""

    line: bytes
    leaf: bytes
    leaf_hash: bytes


def render_line(index: int, leaf: bytes) -> bytes:
    """Return the ledger's line for a leaf; raises `EventMalformed` if the leaf is not an event's canonical JSON."""
    return _from_leaf(index, leaf)[1].line


def read_leaf(leaf: bytes) -> LoggedEvent:
    """Return the event that a leaf holds; raises `EventMalformed` for anything that the log must not hold."""
    return _from_leaf(0, leaf)[0]


def _from_leaf(index: int, leaf: bytes) -> tuple[LoggedEvent, _Made]:
    if len(leaf) > MAX_LEAF_BYTES:
        raise EventMalformed(
            f"an event has at most {MAX_LEAF_BYTES} bytes, this one {len(leaf)}: store the body by digest"
        )
    try:
        event = _shaped(parse(leaf))
        made = _compose(index, event)
        _check_keys(leaf, event)
    except (ValueError, TypeError, RecursionError) as error:
        raise EventMalformed(f"not an event: {error}") from None
    if made.leaf != leaf:
        raise EventMalformed("the event is not in canonical form")
    return event, made


def _check_keys(leaf: bytes, event: LoggedEvent) -> None:
    """Raise ValueError for a key beyond ASCII, which only a leaf beyond ASCII can hold: canonical JSON escapes none."""
    if not leaf.isascii():
        check(event)


def read_line(line: bytes, expect_index: int) -> LedgerEntry:
    """Return the checked entry of a line that stands at place `expect_index`.

    Raises one class of `errors` per kind of failure: `TailTorn`, `LineMalformed`, `IndexMismatch`, `LeafMismatch`,
    `ProjectionMismatch`, each naming the entry.
    """
    try:
        event = cast("LoggedEvent", decode_at(line.decode(), len(_OPENING))[0])
        made = _compose(expect_index, event)
        if made.line == line and len(made.leaf) <= MAX_LEAF_BYTES:
            _check_keys(made.leaf, event)
            return LedgerEntry(expect_index, made.leaf, made.leaf_hash, event)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass  # whatever it was, the slow road tells it in words
    raise _explained(line, expect_index)


def attested_event(line: bytes) -> LoggedEvent | None:
    """Return the event of a line that `read_line` took, if it has an attestation."""
    if _UNATTESTED.search(line, max(0, len(line) - _TAIL)):
        return None
    return cast("LoggedEvent", decode_at(line.decode(), len(_OPENING))[0])


def _compose(index: int, event: LoggedEvent) -> _Made:
    """Spell out leaf and line. The texts are joined by hand because the payload is encoded once for both, not twice.

    Raises TypeError or KeyError where the event lacks a key or has another type; a key too many shows by comparison.
    """
    payload, kind, time, version = event["payload"], event["kind"], event["time"], event["version"]
    if not isinstance(payload, dict) or type(version) is not int:
        raise TypeError("an event's payload is an object and its version a whole number")
    body = canonical(payload).decode()
    leaf = (
        f'{{"correlation_id":{_text_or_null(event["correlation_id"])},"key":{_text_or_null(event["key"])},'
        f'"kind":{quoted(kind)},"payload":{body},"principal":{quoted(event["principal"])},'
        f'"subject":{quoted(event["subject"])},"time":{quoted(time)},"version":{version}}}'
    )
    data = leaf.encode()
    digest = leaf_hash(data)
    shown = digest.hex()
    reference, operation = _attestation(payload, shown)
    line = (
        f'{_OPENING}{leaf},"index":{index},"kind":{quoted(_kind_shown(kind))},"leaf_hash":"{shown}","payload":{body},'
        f'"reference":{quoted(reference)},"signed_operation":{operation},"timestamp":{_instant(time)}}}\n'
    )
    return _Made(line.encode(), data, digest)


def _text_or_null(value: str | None) -> str:
    return "null" if value is None else quoted(value)


def _kind_shown(kind: str) -> str:
    return "PipelineEvent" if kind.startswith(("pipeline.", "deployment.")) else kind


def _attestation(payload: Mapping[str, Json], leaf_hash_hex: str) -> tuple[str, str]:
    """Return `reference` as text and `signed_operation` as JSON."""
    found = payload.get("attestation")
    if isinstance(found, Mapping) and isinstance(digest := found.get("digest"), str):
        return digest, canonical(found).decode()
    return f"sha256:{leaf_hash_hex}", "null"


def _shaped(event: object) -> LoggedEvent:
    """Return `event` if it has an event's keys and types, else raise TypeError."""
    if not isinstance(event, dict):
        raise TypeError("it is not an object")
    fields = cast("dict[str, object]", event)
    if fields.keys() != _EVENT_KEYS:
        raise TypeError(f"it has the keys {', '.join(sorted(fields))[:200]!a}, not {', '.join(sorted(_EVENT_KEYS))}")
    wrong = [key for key in ("kind", "principal", "subject", "time") if not isinstance(fields[key], str)]
    wrong += [key for key in ("correlation_id", "key") if not isinstance(fields[key], str | None)]
    if wrong:
        raise TypeError(f"{wrong[0]} is not text")
    return cast("LoggedEvent", fields)


def _explained(line: bytes, index: int) -> EvidenceError:
    """Return the error that says what is wrong with a line that is not the one expected."""
    try:
        _explain(line, index)
    except EvidenceError as error:
        return type(error)(error.message, hint=error.hint, index=index, line=index + 1)
    except (ValueError, TypeError, RecursionError) as error:
        return LineMalformed(str(error), index=index, line=index + 1)
    return LineMalformed("the line is not in canonical form", index=index, line=index + 1)


def _explain(line: bytes, index: int) -> None:
    """Raise for what is wrong with the line as a line, then for what is wrong with its event."""
    if len(line) > MAX_LINE:
        raise LineMalformed(f"a line has at most {MAX_LINE} bytes")
    if not line.endswith(b"\n"):
        raise TailTorn
    found = parse(line)
    if not isinstance(found, dict):
        raise LineMalformed("the line is not an object")
    fields = cast("dict[str, object]", found)
    if fields.keys() != _LINE_KEYS:
        raise LineMalformed(f"the line's keys are {', '.join(sorted(fields))[:200]!a}")
    if type(fields["index"]) is not int:
        raise LineMalformed("the index is not a whole number")
    if fields["index"] != index:
        raise IndexMismatch(f"the line says index {fields['index']}: lines were dropped, added or swapped")
    _explain_event(fields)


def _explain_event(fields: Mapping[str, object]) -> None:
    """Raise for an edited event, then for one that never was an event, then for copies that differ from it."""
    event = fields["event"]
    check(event)
    leaf = canonical(cast("Json", event))
    if leaf_hash(leaf).hex() != fields["leaf_hash"]:
        raise LeafMismatch(f"the event hashes to {leaf_hash(leaf).hex()}, which is not the line's leaf_hash")
    if len(leaf) > MAX_LEAF_BYTES:
        raise LineMalformed(f"an event has at most {MAX_LEAF_BYTES} bytes, this one {len(leaf)}")
    made = cast("dict[str, object]", parse(_compose(0, _shaped(event)).line))
    wrong = [key for key in _COPIES if canonical(cast("Json", fields[key])) != canonical(cast("Json", made[key]))]
    if wrong:
        raise ProjectionMismatch(f"{', '.join(wrong)} differ from the event")
