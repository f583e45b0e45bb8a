"""One entry beside what speaks for it: whose key signed, whether it counts there, what was committed, who cosigned."""

from __future__ import annotations

from pathlib import Path

import pytest
from attested_samples import ALICE, Workshop
from evidence_samples import ORIGIN, room, signed_log, signer
from test_witness import SECONDS, cosigner, policy, vkey

from interlock.evidence.browsing import Entry, Standing, cosigners, entry_of
from interlock.evidence.models import Body, Cosignature
from interlock.evidence.note import text_of


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path).begin()


def told(shop: Workshop, index: int) -> Entry:
    return entry_of(
        index,
        shop.log.data[index],
        directory=shop.directory(),
        envelope=shop.log.envelope,
        body=lambda ref: Body(ref, "kept", None),
    )


def standing(shop: Workshop, index: int) -> tuple[Standing, str]:
    found = told(shop, index).statement
    assert found is not None
    return found.standing, found.why


def test_a_statement_counts_where_its_key_covers_the_entry(shop: Workshop) -> None:
    index = shop.approval()
    found = told(shop, index).statement
    assert found is not None
    assert (found.standing, found.key and found.key.owner) == ("counts", "human:alice")
    assert found.statement is not None
    assert found.statement["predicateType"] == found.told["predicate_type"]


def test_a_key_that_was_retired_or_revoked_counts_for_what_stood_before(shop: Workshop) -> None:
    alice = shop.signer("human-alice")
    keyid = alice.verifier().key_id.hex()
    before = shop.approval(alice)
    shop.keyring.retire(ALICE, keyid, reason="left")
    after = shop.approval(alice)
    assert standing(shop, before)[0] == "counts"
    assert standing(shop, after)[0] == "retired"
    assert "retired from entry" in standing(shop, after)[1]
    shop.keyring.revoke(ALICE, keyid, reason="stolen", from_index=before)
    assert standing(shop, before)[0] == "revoked"


def test_a_key_of_which_the_log_tells_later_does_not_count_yet(shop: Workshop) -> None:
    early = shop.approval()
    shop.keyring.add(ALICE, "human", "bob")
    late = told(shop, shop.approval("human-bob", principal="human:bob")).statement
    assert late is not None
    moved = entry_of(
        early,
        shop.log.data[-1],
        directory=shop.directory(),
        envelope=shop.log.envelope,
        body=lambda ref: Body(ref, "kept", None),
    ).statement
    assert moved is not None
    assert (late.standing, moved.standing) == ("counts", "not_yet")


def test_a_stranger_a_missing_envelope_and_a_broken_one_are_named_as_such(shop: Workshop) -> None:
    stranger = shop.approval(signer(9, "interlock/human-eve"))
    assert standing(shop, stranger)[0] == "unknown"
    index = shop.approval()
    ref = next(reversed(shop.log.envelopes))
    whole = shop.log.envelopes[ref]
    shop.log.envelopes[ref] = whole.replace(b'"sig":"', b'"sig":"AAAA', 1)
    assert standing(shop, index)[0] == "unsigned"
    shop.log.envelopes[ref] = b"<script>"
    assert standing(shop, index)[0] == "malformed"
    del shop.log.envelopes[ref]
    assert standing(shop, index)[0] == "missing"


def test_commitments_are_found_wherever_they_stand_and_nothing_else_is(shop: Workshop) -> None:
    ref = "salted-sha256:" + "ab" * 32
    index = shop.tell("x.y", "s", "human:alice", {"a": ref, "b": [{"c": ref}, "sha256:" + "ab" * 32], "d": f"{ref}0"})
    found = told(shop, index)
    assert [place for place, _ in found.bodies] == ["a", "b[0].c"]
    assert found.statement is None
    assert found.line.endswith(b"\n")
    assert found.leaf == shop.log.data[index]


def test_a_cosignature_counts_if_a_witness_of_the_policy_is_seen_to_have_signed() -> None:
    log = signed_log(3)
    note = room(log).head().note
    by_one, by_two = (
        cosigner(number, f"witness.example/w{number}").cosign(text_of(note), SECONDS) for number in (1, 2)
    )
    known = policy(f"witness w {vkey(1, 'witness.example/w1')}\nquorum w\n")
    other = cosigner(1, "witness.example/w1").cosign(f"{ORIGIN}\n3\n", SECONDS)
    kept = [Cosignature(3, line) for line in (by_one, by_two, other, "no line", "— short AAAAAAA=")]
    found = cosigners(note, kept, known)
    assert [(each.name, each.counted) for each in found] == [
        ("witness.example/w1", True),
        ("witness.example/w2", False),
        ("witness.example/w1", False),
    ]
    assert found[0].at == SECONDS
    assert not any(each.counted for each in cosigners(note, kept, None))
