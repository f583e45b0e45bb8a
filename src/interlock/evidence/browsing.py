"""One entry of the log beside everything that speaks for it: its leaf, its statement, whose key, what was committed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from interlock.evidence.cosignature import WitnessKey
from interlock.evidence.directory import Key, KeyDirectory
from interlock.evidence.dsse import Envelope, read_envelope
from interlock.evidence.envelopes import named_envelope, stated
from interlock.evidence.errors import EnvelopeRejected, EvidenceError, NoteMalformed
from interlock.evidence.ledger import read_leaf, render_line
from interlock.evidence.models import Body, Cosignature, LoggedEvent
from interlock.evidence.note import parse_signature, text_of
from interlock.evidence.policy import Policy
from interlock.evidence.tree import leaf_hash
from interlock.kernel.canonical import Json

_COMMITMENT: Final = re.compile(r"salted-sha256:[0-9a-f]{64}")
_MOST_BODIES: Final = 100
_ID_BYTES: Final = 4
_TIME_BYTES: Final = 8
_SIGNATURE_BYTES: Final = 64

Standing = Literal["counts", "not_yet", "retired", "revoked", "unknown", "unsigned", "missing", "malformed"]
"""Whether a statement's signature counts: its key covers the entry, or why not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What an entry's envelope says, and by whose key."""

    told: Mapping[str, str]
    """The entry's own `attestation`: digest, keyid, predicate type, whose signature."""
    envelope: str | None
    """The envelope's text; None where it is not kept here."""
    statement: Mapping[str, Json] | None
    key: Key | None
    standing: Standing
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry, whole."""

    index: int
    event: LoggedEvent
    leaf: bytes
    leaf_hash: bytes
    line: bytes
    """As it stands in the exported ledger."""
    statement: Statement | None
    bodies: Sequence[tuple[str, Body]]
    """Each commitment in the payload: where it stands, and what became of its body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigner:
    """A witness whose cosignature over a head is kept."""

    name: str
    keyid: str
    at: int
    """In seconds since the epoch: the witness's own word."""
    counted: bool
    """Whether a witness of this workspace's policy is seen to have signed."""


def entry_of(
    index: int,
    leaf: bytes,
    *,
    directory: KeyDirectory,
    envelope: Callable[[str], bytes | None],
    body: Callable[[str], Body],
) -> Entry:
    """Put an entry together; proves nothing, that is for whoever reads it."""
    event = read_leaf(leaf)
    named = list(_commitments(event["payload"]))[:_MOST_BODIES]
    return Entry(
        index=index,
        event=event,
        leaf=leaf,
        leaf_hash=leaf_hash(leaf),
        line=render_line(index, leaf),
        statement=_statement(index, event, directory, envelope),
        bodies=[(place, body(ref)) for place, ref in named],
    )


def cosigners(note: str, kept: Sequence[Cosignature], policy: Policy | None) -> Sequence[Cosigner]:
    """Return who cosigned a head, out of the cosignatures kept for its size."""
    text, found = text_of(note), list[Cosigner]()
    witnesses: Sequence[WitnessKey] = list(policy.witnesses.values()) if policy else []
    for each in kept:
        try:
            name, blob = parse_signature(each.line)
        except NoteMalformed:
            continue
        if len(blob) != _ID_BYTES + _TIME_BYTES + _SIGNATURE_BYTES:
            continue
        seconds = int.from_bytes(blob[_ID_BYTES : _ID_BYTES + _TIME_BYTES], "big")
        counted = any(witness.cosigned(text, each.line) is not None for witness in witnesses)
        found.append(Cosigner(name=name, keyid=blob[:_ID_BYTES].hex(), at=seconds, counted=counted))
    return found


def _statement(
    index: int, event: LoggedEvent, directory: KeyDirectory, envelope: Callable[[str], bytes | None]
) -> Statement | None:
    ref = named_envelope(event)
    if ref is None:
        return None
    told, data = stated(event), envelope(ref)
    if data is None:
        return Statement(
            told=told, envelope=None, statement=None, key=None, standing="missing", why="its envelope is not kept here"
        )
    text = data.decode("utf-8", "replace")
    try:
        read = read_envelope(data)
        key, standing, why = _judged(index, told["keyid"], read, directory)
    except EvidenceError as error:
        return Statement(told=told, envelope=text, statement=None, key=None, standing="malformed", why=error.message)
    return Statement(told=told, envelope=text, statement=read.statement, key=key, standing=standing, why=why)


def _judged(index: int, keyid: str, read: Envelope, directory: KeyDirectory) -> tuple[Key | None, Standing, str]:
    known = directory.named(keyid)
    if not known:
        return None, "unknown", f"the log tells of no key {keyid}"
    try:
        signed = read.signed_by(key.verifier for key in known)
    except EnvelopeRejected as error:
        return known[0], "unsigned", error.message
    key = next((key for key in known if key.verifier in signed), None)
    if key is None:
        return known[0], "unsigned", f"{known[0]} did not sign it"
    if key.covers(index):
        return key, "counts", f"{key} counts at entry {index}"
    return key, _outside(key, index), key.outside(index)


def _outside(key: Key, index: int) -> Standing:
    if key.revoked_from is not None and index >= key.revoked_from:
        return "revoked"
    return "retired" if key.until_index is not None and index >= key.until_index else "not_yet"


def _commitments(value: Json, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if _COMMITMENT.fullmatch(value):
            yield place, value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _commitments(each, f"{place}.{name}" if place else str(name))
    elif isinstance(value, Sequence):
        for number, each in enumerate(value):
            yield from _commitments(each, f"{place}[{number}]")
