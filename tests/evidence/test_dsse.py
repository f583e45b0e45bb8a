from __future__ import annotations

import json
from typing import Any

import pytest
from evidence_samples import signer
from hypothesis import given
from hypothesis import strategies as st

from interlock.evidence.dsse import PAYLOAD_TYPE, open_envelope, pae, seal, statement
from interlock.evidence.errors import EnvelopeRejected
from interlock.evidence.models import Subject
from interlock.kernel.canonical import Json, canonical

ALICE, BOB = signer(1, "alice.example"), signer(2, "bob.example")
SUBJECT = Subject("a_01K9ABCDEFGHJKMNPQRSTVWXYZ", {"sha256": "ab" * 32})
TYPE = "https://interlock.example/approval/v1"
BODY = statement([SUBJECT], TYPE, {"decision": "approved"})


def test_the_published_encoding_is_what_gets_signed() -> None:
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@given(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.text(st.characters(exclude_categories=["Cs"])) | st.booleans())
)
def test_a_sealed_statement_is_opened_as_it_was(predicate: dict[str, Json]) -> None:
    found, by = open_envelope(seal(statement([SUBJECT], TYPE, predicate), [ALICE]), [ALICE.verifier()])
    assert found == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": SUBJECT.name, "digest": {"sha256": "ab" * 32}}],
        "predicateType": TYPE,
        "predicate": predicate,
    }
    assert by == (f"alice.example+{ALICE.verifier().key_id.hex()}",)


def test_the_keyid_is_the_note_key_id_of_the_same_key() -> None:
    envelope = json.loads(seal(BODY, [ALICE]))
    assert envelope["signatures"][0]["keyid"] == ALICE.verifier().vkey().split("+")[1]


def test_signatures_by_unknown_keys_are_ignored_and_both_known_ones_are_named() -> None:
    envelope = seal(BODY, [BOB, ALICE])
    assert [name.split("+")[0] for name in open_envelope(envelope, [ALICE.verifier()])[1]] == ["alice.example"]
    both = open_envelope(envelope, [ALICE.verifier(), BOB.verifier()])[1]
    assert [name.split("+")[0] for name in both] == ["bob.example", "alice.example"]


def test_an_envelope_without_a_trusted_signature_is_refused() -> None:
    with pytest.raises(EnvelopeRejected, match="no trusted key"):
        open_envelope(seal(BODY, [BOB]), [ALICE.verifier()])


def test_one_key_signing_twice_is_not_two_signatures() -> None:
    with pytest.raises(EnvelopeRejected, match="twice"):
        open_envelope(seal(BODY, [ALICE, ALICE]), [ALICE.verifier()])


def test_a_wrong_signature_by_a_trusted_key_is_refused_although_another_is_right() -> None:
    envelope = json.loads(seal(BODY, [BOB, ALICE]))
    envelope["signatures"][1]["sig"] = envelope["signatures"][0]["sig"]
    with pytest.raises(EnvelopeRejected, match=r"alice\.example"):
        open_envelope(canonical(envelope), [ALICE.verifier(), BOB.verifier()])


@given(st.data())
def test_no_byte_of_an_envelope_changes_unseen(data: st.DataObject) -> None:
    envelope = bytearray(seal(BODY, [ALICE]))
    envelope[data.draw(st.integers(0, len(envelope) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(EnvelopeRejected):
        open_envelope(bytes(envelope), [ALICE.verifier()])


def changed(**changes: Any) -> bytes:  # noqa: ANN401 - broken on purpose
    return canonical({**json.loads(seal(BODY, [ALICE])), **changes})


@pytest.mark.parametrize(
    "envelope",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        seal(BODY, [ALICE]) + b"\n",
        json.dumps(json.loads(seal(BODY, [ALICE]))).encode(),
        changed(payloadType="text/plain"),
        changed(extra=1),
        changed(payload=1),
        changed(payload="%%%"),
        changed(signatures=[]),
        changed(signatures={}),
        changed(signatures=[{}]),
        changed(signatures=[{"keyid": 1, "sig": ""}]),
        changed(signatures=[{"keyid": "00000000", "sig": "%"}]),
        changed(signatures=[{"keyid": "00000000", "sig": ""}] * 100 + json.loads(seal(BODY, [ALICE]))["signatures"]),
    ],
)
def test_what_is_not_formed_like_an_envelope_is_refused(envelope: bytes) -> None:
    with pytest.raises(EnvelopeRejected):
        open_envelope(envelope, [ALICE.verifier()])


def restated(**changes: Any) -> bytes:  # noqa: ANN401 - broken on purpose
    told: dict[str, Any] = json.loads(BODY)
    return canonical({key: value for key, value in {**told, **changes}.items() if value != "gone"})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"text",
        json.dumps(json.loads(BODY), indent=1).encode(),
        restated(_type="https://in-toto.io/Statement/v0.1"),
        restated(extra=True),
        restated(predicate="gone"),
        restated(predicate="text"),
        restated(predicate={"é": 1}),
        restated(predicateType=1),
        restated(subject=[]),
        restated(subject=["a"]),
        restated(subject=[{"name": "a"}]),
        restated(subject=[{"name": "a", "digest": {}}]),
        restated(subject=[{"name": "a", "digest": {"sha256": 1}}]),
        restated(subject=[{"name": 1, "digest": {"sha256": "ab"}}]),
    ],
)
def test_a_signed_body_that_is_no_statement_is_refused(body: bytes) -> None:
    with pytest.raises(EnvelopeRejected):
        open_envelope(seal(body, [ALICE]), [ALICE.verifier()])


def test_a_statement_needs_a_subject_with_a_digest_and_an_envelope_a_signer() -> None:
    with pytest.raises(ValueError, match="subject"):
        statement([], TYPE, {})
    with pytest.raises(ValueError, match="subject"):
        statement([Subject("a", {})], TYPE, {})
    with pytest.raises(ValueError, match="signer"):
        seal(BODY, [])


def test_the_body_is_what_in_toto_tools_expect() -> None:
    assert PAYLOAD_TYPE == "application/vnd.in-toto+json"
    assert BODY.decode() == (
        '{"_type":"https://in-toto.io/Statement/v1","predicate":{"decision":"approved"},'
        f'"predicateType":"{TYPE}","subject":[{{"digest":{{"sha256":"{"ab" * 32}"}},"name":"{SUBJECT.name}"}}]}}'
    )
