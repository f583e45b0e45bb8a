"""Proofs that one head is the beginning of another."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest
from evidence_samples import MemoryLog, exported, leaf, room, signed_log, signer

from interlock.cli.main import main
from interlock.evidence.consistency import Consistency, check_heads, decode_consistency, encode_consistency
from interlock.evidence.errors import ConsistencyRejected, EntryNotCovered, NoteRejected
from interlock.evidence.head import sign_head
from interlock.evidence.models import TreeHead

KNOWN = (signer().verifier(),)
LOG = signed_log(*range(41))


@pytest.mark.parametrize("old", range(0, 41, 4))
def test_every_head_is_shown_to_begin_every_later_one(old: int) -> None:
    for new in range(old, 41, 3):
        proof = room(LOG).consistency(old, new)
        older, newer = check_heads(decode_consistency(proof), KNOWN)
        assert (older.size, newer.size) == (old, new)
        assert encode_consistency(decode_consistency(proof)) == proof


def test_a_saved_head_is_shown_to_begin_the_last() -> None:
    older, newer = check_heads(decode_consistency(room(LOG).consistency(LOG.signed[7].note)), KNOWN)
    assert (older.size, newer.size) == (7, 40)


def test_no_line_of_a_proof_changes_unseen() -> None:
    proof = room(LOG).consistency(11, 40)
    lines = proof.split("\n")
    for place in range(len(lines) - 1):
        for changed in ([], ["x"], [b64encode(bytes(32)).decode()], [lines[place], lines[place]]):
            if changed == [lines[place]]:
                continue
            text = "\n".join([*lines[:place], *changed, *lines[place + 1 :]])
            with pytest.raises((ConsistencyRejected, NoteRejected)):
                check_heads(decode_consistency(text), KNOWN)


def test_the_heads_of_a_forked_log_are_refused() -> None:
    forked = MemoryLog([leaf(99), *LOG.data[1:]])
    room(forked).head()
    with pytest.raises(ConsistencyRejected):
        room(forked).consistency(LOG.signed[7].note)
    path = decode_consistency(room(LOG).consistency(7, 40)).path
    text = encode_consistency(Consistency(path, LOG.signed[7].note, forked.signed[0].note))
    with pytest.raises(ConsistencyRejected):
        check_heads(decode_consistency(text), KNOWN)


def test_the_heads_of_two_logs_with_the_same_entries_are_no_one_log() -> None:
    proof = decode_consistency(room(LOG).consistency(7, 40))
    other = sign_head(TreeHead("elsewhere.example", 40, LOG.signed[40].root), signer())
    with pytest.raises(ConsistencyRejected, match="two logs"):
        check_heads(Consistency(proof.path, proof.old, other), KNOWN)
    with pytest.raises(ConsistencyRejected, match="elsewhere"):
        room(LOG).consistency(other)


def test_a_saved_head_that_the_log_does_not_reach_any_more_is_refused() -> None:
    with pytest.raises(ConsistencyRejected, match="covers 40 entries, the log has 5"):
        room(signed_log(5)).consistency(LOG.signed[40].note)


def test_a_size_that_was_never_signed_a_later_head_first_and_a_stranger_s_are_refused() -> None:
    with pytest.raises(EntryNotCovered):
        room(signed_log(3, 5)).consistency(4)
    with pytest.raises(EntryNotCovered):
        room(MemoryLog()).consistency(0)
    with pytest.raises(ConsistencyRejected):
        room(signed_log(3, 5)).consistency(5, 3)
    with pytest.raises(NoteRejected):
        check_heads(decode_consistency(room(LOG).consistency(3, 5)), [signer(2).verifier()])


def test_a_proof_is_checked_offline_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exported(LOG, tmp_path)
    proof, saved, other = tmp_path / "proof", tmp_path / "saved", tmp_path / "other"
    proof.write_text(room(LOG).consistency(7, 40))
    saved.write_text(LOG.signed[7].note)
    other.write_text(LOG.signed[8].note)
    key = ["--key", str(tmp_path / "log.vkey")]
    assert main(["evidence", "check-consistency", str(proof), *key, "--since", str(saved)]) == 0
    assert "the head of 40 entries extends the one of 7" in capsys.readouterr().out
    assert main(["evidence", "check-consistency", str(proof), *key, "--since", str(other)]) == 29
    proof.write_text(proof.read_text().replace("\n" + proof.read_text().split("\n")[1], "", 1))
    assert main(["evidence", "check-consistency", str(proof), *key]) == 29
