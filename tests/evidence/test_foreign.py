"""What Interlock signs is verified by a program that shares no code with it, and the other way round."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from evidence_samples import exported, leaf, room, signed_log, signer

from interlock.evidence.consistency import decode_consistency
from interlock.evidence.cosignature import WitnessSigner
from interlock.evidence.dsse import seal, statement
from interlock.evidence.models import Subject
from interlock.evidence.note import Verifier, open_note, sign, text_of
from interlock.evidence.tree import consistency_path

GOPATH = Path("/usr/share/gocode")
SUMDB = GOPATH / "src/golang.org/x/mod/sumdb"
Ask = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [
    pytest.mark.skipif(
        shutil.which("go") is None or not SUMDB.is_dir(),
        reason="no foreign verifier: apt-get install golang-go golang-golang-x-mod-dev",
    ),
    pytest.mark.timeout(300),  # the first build compiles Go's standard library
]
LOG = signed_log(1, 2, 5, 8, 11, 64, 70)


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Build the Go program; gives a function that asks it."""
    program = tmp_path_factory.mktemp("foreign") / "verify"
    folder = Path(__file__).parent / "foreign"
    # without module mode Debian's packages are used as they are, and nothing is fetched
    cache = os.environ.get("GOCACHE") or str(Path.home() / ".cache" / "go-build")
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(GOPATH), "GOCACHE": cache, "CGO_ENABLED": "0"}
    subprocess.run(["go", "build", "-o", program, "main.go"], cwd=folder, env=environment, check=True)

    def run(**parts: object) -> subprocess.CompletedProcess[str]:
        told = json.dumps({"Vkey": signer().verifier().vkey(), **parts}, default=as_base64)
        return subprocess.run([program], input=told, capture_output=True, text=True, check=False, timeout=30)

    return run


def as_base64(value: Any) -> str:  # noqa: ANN401 - whatever json can not tell, here bytes only
    return b64encode(value).decode()


def accepted(answer: subprocess.CompletedProcess[str]) -> bool:
    assert (answer.returncode, answer.stdout == "ok\n") in ((0, True), (1, False)), answer.stderr
    return answer.returncode == 0


@pytest.mark.parametrize("index", [0, 7, 63, 69])
def test_an_outsider_accepts_our_proof_and_no_proof_of_another_leaf(ask: Ask, index: int) -> None:
    proof = room(LOG).prove(index)
    assert accepted(ask(Proof=proof, Leaf=leaf(index)))
    assert not accepted(ask(Proof=proof, Leaf=leaf(index + 1)))
    assert not accepted(ask(Proof=proof.replace("\n70\n", "\n71\n"), Leaf=leaf(index)))


def test_an_outsider_accepts_every_step_from_head_to_head_and_no_other_path(ask: Ask) -> None:
    hashes = LOG.leaf_hashes(70)
    for old, new in zip(LOG.signed, LOG.signed[1:], strict=False):
        path = consistency_path(hashes, old.size, new.size)
        assert accepted(ask(Old=old.note, New=new.note, Path=path))
        assert not accepted(ask(Old=old.note, New=new.note, Path=[hashes[3], *path[1:]]))


def test_an_outsider_verifies_a_whole_export_and_sees_an_edited_event(ask: Ask, tmp_path: Path) -> None:
    ledger, heads = (path.read_bytes() for path in exported(LOG, tmp_path))
    assert accepted(ask(Ledger=ledger, Heads=heads))
    assert not accepted(ask(Ledger=ledger.replace(b'"number":7', b'"number":8'), Heads=heads))
    shorter = ledger[: ledger.rindex(b"\n", 0, -1) + 1]
    assert not accepted(ask(Ledger=shorter + shorter.splitlines(keepends=True)[-1], Heads=heads))


def test_an_outsider_ignores_a_signature_by_a_key_that_it_does_not_know(ask: Ask) -> None:
    head = LOG.signed[4]
    both = sign(open_note(head.note, [signer().verifier()]).text, [signer(), signer(2, "witness.example")])
    assert accepted(ask(Old=head.note, New=both, Path=[]))
    assert not accepted(ask(Old=head.note, New=both, Path=[], Vkey=signer(3).verifier().vkey()))


def test_an_outsider_accepts_our_attestation_and_no_edited_one(ask: Ask) -> None:
    body = statement(
        [Subject("a", {"sha256": "ab" * 32})], "https://interlock.example/approval/v1", {"decision": "approved"}
    )
    envelope = seal(body, [signer()])
    assert accepted(ask(Envelope=envelope))
    edited = envelope.replace(b64encode(body), b64encode(body.replace(b"approved", b"rejected")))
    assert not accepted(ask(Envelope=edited))


def test_a_note_that_an_outsider_signed_opens_here(ask: Ask) -> None:
    text = "go.example/log\n0\nno head at all, é\n"
    answer = json.loads(ask(Sign=text).stdout)
    assert open_note(answer["note"], [Verifier.parse(answer["vkey"])]).text == text


def test_an_outsider_passes_over_the_lines_of_witnesses_that_it_does_not_know(ask: Ask) -> None:
    old, new = LOG.signed[2], LOG.signed[6]
    cosigner = WitnessSigner("witness.example/w1", Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32))
    cosigned = [f"{head.note}{cosigner.cosign(text_of(head.note), 1_795_262_400)}\n" for head in (old, new)]
    path = decode_consistency(room(LOG).consistency(old.size, new.size)).path
    assert accepted(ask(Old=cosigned[0], New=cosigned[1], Path=path))
    assert not accepted(ask(Old=cosigned[0], New=cosigned[1], Path=path[:-1]))


def test_an_outsider_accepts_our_consistency_proof_between_any_two_heads(ask: Ask) -> None:
    for old in LOG.signed:
        proof = decode_consistency(room(LOG).consistency(old.size, 70))
        assert accepted(ask(Old=proof.old, New=proof.new, Path=proof.path))


def test_a_rotated_logs_heads_are_accepted_by_who_knows_either_key(ask: Ask) -> None:
    head = LOG.signed[4]
    both = sign(text_of(head.note), [signer(), signer(2)])
    for number in (1, 2):
        assert accepted(ask(Old=both, New=both, Path=[], Vkey=signer(number).verifier().vkey()))
    assert not accepted(ask(Old=both, New=both, Path=[], Vkey=signer(3).verifier().vkey()))
