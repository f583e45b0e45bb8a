"""Whether each attested entry's envelope is there, whole, signed by a key that may, and about this entry.

An envelope lies as `<hex>.json` in a folder, named by the digest that its entry gives. Keys come from the log's own
directory. Entries before the log's first key event may be signed by keys of which it never told: these are counted as
unverified, which is a caveat and no failure.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, cast

from interlock.evidence.directory import Change, Key, KeyDirectory, candidates, check_change, is_key_change
from interlock.evidence.dsse import Envelope, read_envelope
from interlock.evidence.envelopes import Envelopes, stated
from interlock.evidence.errors import (
    AttestationMismatch,
    EnvelopeRejected,
    EvidenceError,
    FileMissing,
    KeyNoLongerValid,
    KeyNotAllowed,
    SignaturePolicyUnmet,
)
from interlock.evidence.models import Attestations, LoggedEvent
from interlock.evidence.note import Verifier
from interlock.evidence.predicates import AGENT_RUN, ALLOWED, APPROVAL, CHECKPOINT, DEMANDED, KEY_CHANGE
from interlock.kernel.canonical import Json
from interlock.kernel.canonical import digest as content_digest

_CHUNK: Final = 256
_UNVERIFIED: Final = "unverified"


@dataclass(frozen=True, slots=True)
class Attested:
    """An entry with an attestation."""

    index: int
    event: LoggedEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What attestations are held against."""

    directory: KeyDirectory
    envelopes: Envelopes
    own_signatures: bool = False
    """Whether approvals must bear the principal's own signature."""

    def one(self, entry: Attested) -> str:
        """Return whose signature an entry's statement bears, or raise, naming the entry."""
        try:
            return self._one(entry)
        except EvidenceError as error:
            if error.index is not None:
                raise
            raise type(error)(error.message, hint=error.hint, index=entry.index, line=entry.index + 1) from None

    def several(self, entries: Sequence[Attested]) -> Counter[str]:
        """Count whose signatures they bear."""
        return Counter(map(self.one, entries))

    def _one(self, entry: Attested) -> str:
        told = stated(entry.event)
        if is_key_change(entry.event["kind"]):
            return told["signed_by"]  # `take_change` has seen to it
        begun = self.directory.begun_at
        early = begun is None or entry.index < begun
        try:
            envelope = read_envelope(self.envelopes.read(told["digest"]))
        except FileMissing:
            if early:
                return _UNVERIFIED
            raise
        keys = [key for keyid, _ in envelope.signatures for key in self.directory.named(keyid)]
        signed = envelope.signed_by(key.verifier for key in keys)
        key = next((key for key in keys if key.verifier in signed and key.keyid == told["keyid"]), None)
        if key is not None:
            self._fits(entry, told, envelope, key)
            return told["signed_by"]
        if not signed and early:
            return _UNVERIFIED
        raise EnvelopeRejected("no key that the log knows signed the statement")

    def _fits(self, entry: Attested, told: Mapping[str, str], envelope: Envelope, key: Key) -> None:
        statement = envelope.statement
        kind = str(statement["predicateType"])
        if kind != told["predicate_type"]:
            raise AttestationMismatch(f"the statement is a {kind[:200]}, the entry says {told['predicate_type'][:200]}")
        if kind == KEY_CHANGE:
            raise AttestationMismatch("a change of keys is no other entry's statement")
        if DEMANDED.get(entry.event["kind"], kind) != kind:
            raise AttestationMismatch(f"a {entry.event['kind']} is signed as another statement: {kind[:200]}")
        if key.purpose not in ALLOWED.get(kind, ()):
            raise KeyNotAllowed(f"{key}, a key of {key.owner} for {key.purpose}, may not sign a {kind[:200]}")
        predicate = cast("Mapping[str, Json]", statement["predicate"])
        if key.purpose == "agent":
            _check_role(entry.event, kind, predicate, key)
        if not key.covers(entry.index):
            raise KeyNoLongerValid(key.outside(entry.index))
        _check_signer(entry.event, told, predicate, key)
        _check_about(entry.event, kind, statement)
        if self.own_signatures and kind == APPROVAL and told["signed_by"] != "principal":
            raise SignaturePolicyUnmet(f"the service signed on behalf of {entry.event['principal']}")


def take_change(directory: KeyDirectory, roots: Sequence[Verifier], envelopes: Envelopes, entry: Attested) -> None:
    """Let a directory follow a key event; raises, naming the entry, unless it is proven and says something sensible."""
    prove_change(directory, roots, envelopes, entry)
    try:
        directory.follow(entry.index, entry.event)
    except EvidenceError as error:
        raise type(error)(error.message, hint=error.hint, index=entry.index, line=entry.index + 1) from None


def prove_change(directory: KeyDirectory, roots: Sequence[Verifier], envelopes: Envelopes, entry: Attested) -> None:
    """Raise, naming the entry, unless a key event is signed as the directory before it demands."""
    try:
        told = stated(entry.event)
        envelope = read_envelope(envelopes.read(told["digest"]))
        keyids = {keyid for keyid, _ in envelope.signatures}
        signed = envelope.signed_by(candidates(directory, roots, entry.event, keyids))
        if told["keyid"] not in {verifier.key_id.hex() for verifier in signed}:
            raise EnvelopeRejected("the key that the entry names did not sign")
        check_change(directory, roots, Change(entry.index, entry.event, envelope.statement, signed))
    except EvidenceError as error:
        raise type(error)(error.message, hint=error.hint, index=entry.index, line=entry.index + 1) from None


def check_signed(entry: Attested) -> None:
    """Raise `EnvelopeRejected` for an entry that must name a signed statement, and names none."""
    if entry.event["kind"] in DEMANDED:
        told = entry.event["payload"].get("attestation")
        if not isinstance(told, Mapping) or not isinstance(told.get("digest"), str):
            raise EnvelopeRejected(
                f"a {entry.event['kind']} that nobody signed", index=entry.index, line=entry.index + 1
            )


def _check_role(event: LoggedEvent, kind: str, predicate: Mapping[str, Json], key: Key) -> None:
    """Hold what an agent signed against its role, and a checkpoint against its run of a pipeline."""
    stated_role = predicate.get("role", None if kind == CHECKPOINT else key.role)
    if stated_role != key.role:
        raise KeyNotAllowed(f"{key} is a {key.role}'s key; it may not sign as a {str(stated_role)[:50]}")
    if kind != CHECKPOINT:
        return
    if predicate.get("pipeline_id") != event["subject"]:
        raise AttestationMismatch(
            f"the checkpoint was signed for {str(predicate.get('pipeline_id'))[:100]}, not for {event['subject'][:100]}"
        )
    if event["payload"].get("role", key.role) != key.role:
        raise AttestationMismatch("the checkpoint's role is not the one that the entry tells")


def _check_signer(event: LoggedEvent, told: Mapping[str, str], predicate: Mapping[str, Json], key: Key) -> None:
    principal, signed_by = event["principal"], told["signed_by"]
    if predicate.get("principal") != principal:
        raise AttestationMismatch(
            f"{str(predicate.get('principal'))[:100]} stated this, the entry is {principal[:100]}'s"
        )
    if predicate.get("signed_by") != signed_by:
        raise AttestationMismatch(f"statement and entry differ in whose signature it is: {signed_by[:40]}")
    if signed_by == "principal":
        own = principal.startswith("service:") if key.purpose == "service" else key.owner == principal
    else:
        own = signed_by == "service_on_behalf" and key.purpose == "service"
    if not own:
        raise KeyNotAllowed(f"{key} is the key of {key.owner}; it can not sign as {principal[:100]} ({signed_by[:40]})")


def _check_about(event: LoggedEvent, kind: str, statement: Mapping[str, Json]) -> None:
    """Hold the statement's first subject against what the event names."""
    first = cast("Sequence[Mapping[str, Json]]", statement["subject"])[0]
    digests = cast("Mapping[str, str]", first["digest"])
    payload = event["payload"]
    if not _names(payload, {str(first["name"])}) and first["name"] != event["subject"]:
        raise AttestationMismatch(f"the statement is about {str(first['name'])[:100]}, which the entry does not name")
    if kind == AGENT_RUN:  # an ended run's entry does not name the digest: its result holds the attestation itself
        return
    if _names(payload, {*digests.values(), *(f"{name}:{digest}" for name, digest in digests.items())}):
        return
    whole = content_digest({name: value for name, value in payload.items() if name != "attestation"})
    if whole not in {f"{name}:{digest}" for name, digest in digests.items()}:
        raise AttestationMismatch(f"the statement is about another content of {str(first['name'])[:100]}")


def _names(payload: Mapping[str, Json], texts: set[str]) -> bool:
    """Say whether one of these stands in a payload, however deep, but in the attestation itself."""
    shallow = {value for name, value in payload.items() if isinstance(value, str) and name != "attestation"}
    return not shallow.isdisjoint(texts) or any(text in texts for text in _texts(payload))


def _texts(value: Json) -> Iterator[str]:
    """Yield every text in a payload but the attestation's own."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if name != "attestation":
                yield from _texts(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _texts(inner)


def check_all(check: Check, entries: Iterator[Attested], progress: Callable[[int], None] | None = None) -> Attestations:
    """Check every attested entry, in parallel where there are many; the first failure in the log's order is raised.

    Signatures are checked outside of the interpreter's lock, so threads are enough.
    """
    found: Counter[str] = Counter(map(check.one, islice(entries, _CHUNK)))
    if sum(found.values()) == _CHUNK:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - 3 ms that only many statements need

        workers = os.cpu_count() or 1
        with ThreadPoolExecutor(workers) as pool:
            while batch := list(islice(entries, workers * _CHUNK)):
                chunks = [batch[at : at + _CHUNK] for at in range(0, len(batch), _CHUNK)]
                for counted in pool.map(check.several, chunks):
                    found.update(counted)
                if progress:
                    progress(sum(found.values()))
    return _counted(found)


def _counted(found: Mapping[str, int]) -> Attestations:
    return Attestations(
        principal=found.get("principal", 0),
        on_behalf=found.get("service_on_behalf", 0),
        log=found.get("log", 0),
        unverified=found.get(_UNVERIFIED, 0),
    )
