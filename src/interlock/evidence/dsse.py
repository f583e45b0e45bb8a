"""Attestations: in-toto statements in DSSE envelopes (secure-systems-lab/dsse v1), signed with the same keys as notes.

What is signed is the pre-authentication encoding of type and body, so a signature never depends on how JSON is spelt.
Our envelopes and statements are canonical JSON all the same, and only such are opened: the log names an envelope by the
digest of its bytes, and one envelope must not have two names.

An envelope's `keyid` is the 8 hex digits of the key's note key id, the middle part of its vkey text. It only says
which key to try; what counts is that the signature fits a trusted key.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from interlock.evidence.errors import EnvelopeRejected
from interlock.evidence.models import Subject
from interlock.evidence.note import Signer, Verifier, decode_base64
from interlock.evidence.strict_json import parse
from interlock.kernel.canonical import Json, canonical, check

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
MAX_SIGNATURES: Final = 100
_STATEMENT_KEYS: Final = {"_type", "predicate", "predicateType", "subject"}


def pae(payload_type: str, body: bytes) -> bytes:
    """Return the pre-authentication encoding, the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


def statement(subject: Sequence[Subject], predicate_type: str, predicate: Mapping[str, Json]) -> bytes:
    """Return an in-toto Statement v1 as canonical JSON; raises ValueError if it has no subject or can not be told."""
    if not subject or not all(item.digest for item in subject):
        raise ValueError("a statement is about at least one subject, and each has a digest")
    told: dict[str, Json] = {
        "_type": STATEMENT_TYPE,
        "predicate": predicate,
        "predicateType": predicate_type,
        "subject": [{"digest": dict(item.digest), "name": item.name} for item in subject],
    }
    check(told)
    return canonical(told)


def seal(body: bytes, signers: Sequence[Signer]) -> bytes:
    """Return the envelope of a statement's bytes, signed by every signer in order."""
    if not signers:
        raise ValueError("an envelope needs a signer")
    message = pae(PAYLOAD_TYPE, body)
    signatures: list[Json] = [
        {"keyid": signer.verifier().key_id.hex(), "sig": b64encode(signer.sign(message)).decode()} for signer in signers
    ]
    return canonical(
        {"payload": b64encode(body).decode(), "payloadType": PAYLOAD_TYPE, "signatures": signatures},
    )


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope, read and not yet trusted."""

    message: bytes
    """What was signed."""
    statement: Mapping[str, Json]
    signatures: tuple[tuple[str, bytes], ...]
    """Key id and signature, in the envelope's order."""

    def signed_by(self, verifiers: Iterable[Verifier]) -> list[Verifier]:
        """Return the keys out of these that signed, in the envelope's order.

        A signature by a key that is not among them is ignored; a wrong one under a known key id, or the same key
        twice, is `EnvelopeRejected`.
        """
        known: dict[str, list[Verifier]] = {}
        for verifier in verifiers:
            known.setdefault(verifier.key_id.hex(), []).append(verifier)
        found: list[Verifier] = []
        for keyid, signature in self.signatures:
            named = known.get(keyid, [])
            signed = [verifier for verifier in named if verifier.verify(self.message, signature)]
            if named and not signed:
                raise EnvelopeRejected(f"the signature by {named[0].name}+{keyid} does not fit the envelope")
            if any(verifier in found for verifier in signed):
                raise EnvelopeRejected(f"{signed[0].name}+{keyid} signed this envelope twice")
            found += signed
        return found


def read_envelope(data: bytes) -> Envelope:
    """Read an envelope's form and its statement; raises `EnvelopeRejected`. Whose signatures count is the caller's."""
    body, signatures = _unwrap(data)
    return Envelope(pae(PAYLOAD_TYPE, body), _read_statement(body), tuple(signatures))


def open_envelope(data: bytes, verifiers: Iterable[Verifier]) -> tuple[dict[str, Json], tuple[str, ...]]:
    """Return the statement and the trusted keys that signed it, as `name+keyid` in the envelope's order.

    Signatures by unknown keys are ignored; a wrong one by a trusted key, or none by any, is `EnvelopeRejected`.
    """
    envelope = read_envelope(data)
    signed = envelope.signed_by(verifiers)
    if not signed:
        raise EnvelopeRejected("no trusted key signed this envelope")
    return dict(envelope.statement), tuple(f"{verifier.name}+{verifier.key_id.hex()}" for verifier in signed)


def _unwrap(data: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Return an envelope's body and signatures (keyid, signature), nothing checked but the form."""
    found = _canonical_object(data, "envelope")
    if found.keys() != {"payload", "payloadType", "signatures"} or found["payloadType"] != PAYLOAD_TYPE:
        raise EnvelopeRejected(f"an envelope has payload, payloadType ({PAYLOAD_TYPE}) and signatures")
    body, signatures = _decoded(found["payload"]), found["signatures"]
    if not isinstance(signatures, list) or not 0 < len(signatures) <= MAX_SIGNATURES:
        raise EnvelopeRejected(f"an envelope has 1 to {MAX_SIGNATURES} signatures")
    return body, [_signature(item) for item in signatures]


def _signature(item: Json) -> tuple[str, bytes]:
    if not isinstance(item, dict) or item.keys() != {"keyid", "sig"} or not isinstance(item["keyid"], str):
        raise EnvelopeRejected("an envelope's signature has a keyid and a sig")
    return item["keyid"], _decoded(item["sig"])


def _decoded(value: Json) -> bytes:
    data = decode_base64(value) if isinstance(value, str) else None
    if data is None:
        raise EnvelopeRejected("an envelope's payload and signatures are base64")
    return data


def _read_statement(body: bytes) -> dict[str, Json]:
    found = _canonical_object(body, "statement")
    if found.keys() != _STATEMENT_KEYS or found["_type"] != STATEMENT_TYPE:
        raise EnvelopeRejected(f"the envelope does not hold a {STATEMENT_TYPE}")
    if not isinstance(found["predicateType"], str) or not isinstance(found["predicate"], dict):
        raise EnvelopeRejected("a statement has a predicate and its type")
    subjects = found["subject"]
    if not isinstance(subjects, list) or not subjects or not all(map(_is_subject, subjects)):
        raise EnvelopeRejected("a statement is about subjects with a name and a digest")
    return found


def _is_subject(item: Json) -> bool:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        return False
    digest = item.get("digest")
    return isinstance(digest, dict) and bool(digest) and all(isinstance(value, str) for value in digest.values())


def _canonical_object(data: bytes, what: str) -> dict[str, Json]:
    try:
        found = cast("Json", parse(data))
        if not data.isascii():
            check(found)  # only there can a key be beyond ASCII: canonical JSON escapes none
        same = canonical(found) == data
    except (ValueError, RecursionError) as error:
        raise EnvelopeRejected(f"the {what} is not JSON that we write: {error}") from None
    if not same or not isinstance(found, dict):
        raise EnvelopeRejected(f"the {what} is not an object in canonical JSON")
    return found
