from __future__ import annotations

import pytest
from evidence_samples import ORIGIN, leaf, room, signed_log, signer
from hypothesis import given
from hypothesis import strategies as st

from interlock.evidence.errors import EvidenceError, NoteRejected, ProofRejected
from interlock.evidence.proof import Proof, check_proof, decode_proof, encode_proof

HASHES = st.lists(st.binary(min_size=32, max_size=32), max_size=63).map(tuple)
LOG = signed_log(5, 11)
PROOF = room(LOG).prove(7)
KNOWN = [signer().verifier()]


def test_a_proof_is_the_text_that_the_specification_shows() -> None:
    lines = PROOF.split("\n")
    assert lines[:2] == ["c2sp.org/tlog-proof@v1", "index 7"]
    assert [len(line) for line in lines[2:7]] == [44, 44, 44, 44, 0]
    assert lines[7:9] == [ORIGIN, "11"]


def test_a_proof_shows_its_leaf_under_the_signed_head() -> None:
    head = check_proof(PROOF, leaf(7), KNOWN)
    assert (head.origin, head.size) == (ORIGIN, 11)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 13])
def test_every_entry_of_a_log_can_be_proven(size: int) -> None:
    log = signed_log(size)
    for index in range(size):
        assert check_proof(room(log).prove(index), leaf(index), KNOWN).size == size


@given(st.integers(0, 2**53 - 1), HASHES, st.binary())
def test_a_proof_is_read_back_as_it_was_written(index: int, path: tuple[bytes, ...], extra: bytes) -> None:
    proof = Proof(index, path, "origin\n1\nroot\n\n— key sig\n", extra)
    assert decode_proof(encode_proof(proof)) == proof


def test_a_proof_of_one_leaf_does_not_prove_another() -> None:
    with pytest.raises(ProofRejected):
        check_proof(PROOF, leaf(6), KNOWN)
    with pytest.raises(ProofRejected):
        check_proof(PROOF.replace("index 7", "index 6"), leaf(7), KNOWN)


def test_a_proof_under_a_strangers_head_is_refused() -> None:
    with pytest.raises(NoteRejected):
        check_proof(PROOF, leaf(7), [signer(2).verifier()])


@given(st.data())
def test_no_byte_of_a_proof_changes_unseen(data: st.DataObject) -> None:
    text = bytearray(PROOF.encode())
    text[data.draw(st.integers(0, len(text) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(EvidenceError):
        check_proof(text.decode(errors="surrogateescape"), leaf(7), KNOWN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2sp.org/tlog-proof@v1\n\nhead\n",
        "c2sp.org/tlog-proof@v2\nindex 1\n\nhead\n",
        "c2sp.org/tlog-proof@v1\nindex 1\n",
        "c2sp.org/tlog-proof@v1\nindex 01\n\nhead\n",
        "c2sp.org/tlog-proof@v1\nindex \u0661\n\nhead\n",
        "c2sp.org/tlog-proof@v1\nindex 9007199254740992\n\nhead\n",
        "c2sp.org/tlog-proof@v1\nindex 1\nQUFB\n\nhead\n",
        "c2sp.org/tlog-proof@v1\nindex 1\n%\n\nhead\n",
        "c2sp.org/tlog-proof@v1\nextra\nindex 1\n\nhead\n",
        "c2sp.org/tlog-proof@v1\nextra \nindex 1\n\nhead\n",
        "c2sp.org/tlog-proof@v1\nextra QR==\nindex 1\n\nhead\n",
        "c2sp.org/tlog-proof@v1\nextra QQ==\n\nhead\n",
        "c2sp.org/tlog-proof@v1\nindex 1\n" + f"{'A' * 43}=\n" * 64 + "\nhead\n",
    ],
)
def test_what_is_not_formed_like_a_proof_is_refused(text: str) -> None:
    with pytest.raises(ProofRejected):
        decode_proof(text)
