"""Outside witnesses: cosignatures, policies, and the small witness that needs no workspace."""

from __future__ import annotations

import json
import stat
import threading
from base64 import b64decode
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from evidence_samples import ORIGIN, MemoryLog, exported, leaf, room, signed_log, signer

from interlock.access.models import Actor, Principal
from interlock.cli.main import main
from interlock.evidence.cosignature import WitnessKey, WitnessSigner, read_cosignatures
from interlock.evidence.errors import (
    ConsistencyRejected,
    CosignatureRejected,
    EntryNotCovered,
    HeadSignatureInvalid,
    KeyExists,
    KeyMalformed,
    LineMalformed,
    NoteUntrusted,
    PolicyMalformed,
    QuorumUnmet,
    RequestMalformed,
    WitnessStateDamaged,
)
from interlock.evidence.head import sign_head
from interlock.evidence.models import Report, TreeHead
from interlock.evidence.note import Verifier, open_note, text_of
from interlock.evidence.policy import Policy, parse_policy
from interlock.evidence.tree import root_of
from interlock.evidence.verify import verify_export
from interlock.evidence.witness import Request, Witness, load_witness, make_witness, read_request, render_request
from interlock.founding import create_workspace

ALICE = Actor(principal=Principal.parse("human:alice"))
SECONDS = 1_795_262_400


def cosigner(number: int, name: str = "witness.example/w1") -> WitnessSigner:
    return WitnessSigner(name, Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


def policy(text: str) -> Policy:
    return parse_policy(text.encode())


def vkey(number: int, name: str) -> str:
    return cosigner(number, name).public().vkey()


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness(signer=cosigner(9), logs=(signer().verifier(),), state=tmp_path / "state.json")


# --- a cosignature ----------------------------------------------------------------------------------------------------


def test_a_cosignature_signs_the_time_and_the_heads_text_as_c2sp_says() -> None:
    body = text_of(signed_log(3).signed[0].note)
    line = cosigner(9).cosign(body, 1_679_315_147)
    dash, name, blob = line.split(" ")
    data = b64decode(blob)
    public = cosigner(9).public()
    assert (dash, name, len(data)) == ("—", "witness.example/w1", 4 + 8 + 64)
    assert data[:4] == sha256(b"witness.example/w1\n\x04" + public.public).digest()[:4]
    assert int.from_bytes(data[4:12], "big") == 1_679_315_147
    message = b"cosignature/v1\ntime 1679315147\n" + body.encode()
    Ed25519PublicKey.from_public_bytes(public.public).verify(data[12:], message)
    assert public.cosigned(body, line) == 1_679_315_147


def test_a_cosignature_over_another_head_or_by_another_witness_is_none() -> None:
    one, other = signed_log(3).signed[0].note, signed_log(4).signed[0].note
    line = cosigner(9).cosign(text_of(one), SECONDS)
    assert cosigner(9).public().cosigned(text_of(other), line) is None
    assert cosigner(8).public().cosigned(text_of(one), line) is None
    assert cosigner(9, "witness.example/w2").public().cosigned(text_of(one), line) is None
    assert cosigner(9).public().cosigned(text_of(one), "no signature line") is None


def test_who_does_not_know_the_witness_reads_the_head_as_before() -> None:
    note = signed_log(3).signed[0].note
    both = f"{note}{cosigner(9).cosign(text_of(note), SECONDS)}\n"
    opened = open_note(both, [signer().verifier()])
    assert (opened.text, opened.unknown) == (text_of(note), 1)


def test_a_witnesss_vkey_is_read_back_and_a_logs_is_no_witnesss() -> None:
    public = cosigner(9).public()
    assert WitnessKey.parse(public.vkey()) == public
    for wrong in (signer().verifier().vkey(), public.vkey().replace("+", "+0", 1), "", "a+b", public.vkey() + "x"):
        with pytest.raises(KeyMalformed):
            WitnessKey.parse(wrong)
    with pytest.raises(KeyMalformed):
        Verifier.parse(public.vkey())


# --- the witness ------------------------------------------------------------------------------------------------------


def test_a_witness_cosigns_a_log_that_grows_and_remembers_how_far(witness: Witness) -> None:
    log = signed_log(3)
    policy_ = policy(f"witness w {witness.signer.public().vkey()}\nquorum w\n")
    for size in (3, 5, 5, 64):
        log.data.extend(leaf(number) for number in range(log.size(), size))
        evidence = room(log)
        evidence.head()
        last = json.loads(witness.state.read_bytes())[ORIGIN]["size"] if witness.state.exists() else 0
        line = witness.cosign(evidence.witness_request(last), SECONDS)
        assert evidence.add_cosignatures(line, policy_) == ["w"]
    assert json.loads(witness.state.read_bytes())[ORIGIN]["size"] == 64
    assert stat.S_IMODE(witness.state.stat().st_mode) == 0o600
    assert [each.size for each in log.cosigned] == [3, 5, 64]


def test_a_request_begins_by_itself_where_the_last_cosignature_ended(witness: Witness) -> None:
    log = signed_log(3)
    policy_ = policy(f"witness w {witness.signer.public().vkey()}\nquorum w\n")
    room(log).add_cosignatures(witness.cosign(room(log).witness_request(), SECONDS), policy_)
    log.data.extend(leaf(number) for number in range(3, 9))
    room(log).head()
    assert read_request(room(log).witness_request()).old == 3
    witness.cosign(room(log).witness_request(), SECONDS)


def test_a_witness_refuses_a_shorter_and_a_forked_log_and_says_its_size(witness: Witness) -> None:
    log = signed_log(3, 5)
    witness.cosign(room(log).witness_request(0), SECONDS)
    before = witness.state.read_bytes()
    with pytest.raises(ConsistencyRejected, match="one of 5 has been cosigned"):
        witness.cosign(room(signed_log(3)).witness_request(0), SECONDS)
    forked = MemoryLog([leaf(number + 1) for number in range(7)])
    room(forked).head()
    for old in (5, 0, 3):
        with pytest.raises(ConsistencyRejected):
            witness.cosign(room(forked).witness_request(old), SECONDS)
    same = MemoryLog([leaf(number + 1) for number in range(5)])
    room(same).head()
    with pytest.raises(ConsistencyRejected):
        witness.cosign(room(same).witness_request(5), SECONDS)
    with pytest.raises(ConsistencyRejected, match="covers 5 entries, not 3") as told:
        witness.cosign(room(signed_log(3, 9)).witness_request(3), SECONDS)
    assert "--old 5" in told.value.hint
    assert witness.state.read_bytes() == before


def test_a_witness_cosigns_no_log_that_it_does_not_know(witness: Witness) -> None:
    log = MemoryLog([leaf(0)])
    room(log, signer(2)).head()
    with pytest.raises(NoteUntrusted):
        witness.cosign(room(log, signer(2)).witness_request(0), SECONDS)
    assert not witness.state.exists()


def test_a_witness_cosigns_no_head_that_another_log_signed_in_this_ones_name(witness: Witness) -> None:
    watched = replace(witness, logs=(signer().verifier(), signer(2, "other.example/log").verifier()))
    log = MemoryLog([leaf(number) for number in range(9)])
    note = sign_head(TreeHead(ORIGIN, 9, root_of(log.leaf_hashes(9))), signer(2, "other.example/log"))
    with pytest.raises(NoteUntrusted):
        watched.cosign(render_request(Request(0, (), note)), SECONDS)
    assert not witness.state.exists()
    watched.cosign(room(signed_log(3)).witness_request(0), SECONDS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "old 3",
        "old 03\n\nx",
        "old -1\n\nx",
        "new 3\n\nx",
        "old 3\nAAAA\n\nx",
        "old 3\n" + "\n".join(["A" * 43 + "="] * 64) + "\n\nx",
    ],
)
def test_what_is_no_request_is_refused(witness: Witness, text: str) -> None:
    with pytest.raises(RequestMalformed):
        witness.cosign(text, SECONDS)


def test_a_witness_that_forgot_what_it_cosigned_signs_nothing(witness: Witness) -> None:
    for damage in (
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        json.dumps({ORIGIN: {"size": 3}}).encode(),
        json.dumps({ORIGIN: 3}).encode(),
    ):
        witness.state.write_bytes(damage)
        with pytest.raises(WitnessStateDamaged):
            witness.cosign(room(signed_log(3)).witness_request(0), SECONDS)


def test_of_two_requests_at_once_the_witness_never_goes_back(witness: Witness) -> None:
    log = signed_log(*range(1, 40))
    requests = {head.size: head for head in log.signed}
    small, large = MemoryLog(log.data[:10], [requests[10]]), log
    barrier = threading.Barrier(2)
    refused: list[str] = []

    def ask(of: MemoryLog) -> None:
        barrier.wait()
        try:
            witness.cosign(room(of).witness_request(0), SECONDS)
        except ConsistencyRejected as error:
            refused.append(error.message)

    threads = [threading.Thread(target=ask, args=(of,)) for of in (small, large)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert json.loads(witness.state.read_bytes())[ORIGIN]["size"] in {10, 39}


def test_a_witnesss_key_is_made_once_for_its_owner_only_and_loaded_by_its_name(tmp_path: Path) -> None:
    key = tmp_path / "w" / "witness.key"
    made = make_witness(key, "witness.example/w1")
    assert load_witness(key).public() == made
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with pytest.raises(KeyExists):
        make_witness(key, "witness.example/w1")
    with pytest.raises(KeyMalformed):
        make_witness(tmp_path / "x" / "witness.key", "no name")
    key.with_suffix(".vkey").write_text(cosigner(9).public().vkey())
    with pytest.raises(KeyMalformed):
        load_witness(key)


# --- the log's side ---------------------------------------------------------------------------------------------------


def test_a_request_needs_a_head_and_a_size_that_it_covers() -> None:
    with pytest.raises(EntryNotCovered):
        room(MemoryLog()).witness_request()
    with pytest.raises(EntryNotCovered):
        room(signed_log(3)).witness_request(4)


def test_an_answer_that_no_witness_of_the_policy_gave_is_not_kept() -> None:
    log = signed_log(3)
    mine = policy(f"witness w {vkey(9, 'w')}\nquorum w\n")
    line = cosigner(8, "w").cosign(text_of(log.signed[0].note), SECONDS)
    with pytest.raises(CosignatureRejected):
        room(log).add_cosignatures(line + "\n", mine)
    for text in ("", line, "no line\n", f"{line}\n\n"):
        with pytest.raises(RequestMalformed):
            room(log).add_cosignatures(text, mine)
    assert log.cosigned == []


# --- policies ---------------------------------------------------------------------------------------------------------

THREE = "".join(f"witness w{number} {vkey(number, f'n{number}')}\n" for number in (1, 2, 3))


@pytest.mark.proves("evidence-witness")
@pytest.mark.parametrize(
    ("rule", "cosigned", "met"),
    [
        ("quorum none\n", "", True),
        ("quorum w1\n", "w1", True),
        ("quorum w1\n", "w2 w3", False),
        ("group g 2 w1 w2 w3\nquorum g\n", "w1 w3", True),
        ("group g 2 w1 w2 w3\nquorum g\n", "w3", False),
        ("group g all w1 w2\nquorum g\n", "w1 w2", True),
        ("group g all w1 w2\nquorum g\n", "w1", False),
        ("group g any w1 w2\nquorum g\n", "w2", True),
        ("group g any w1 w2\ngroup h all g w3\nquorum h\n", "w2 w3", True),
        ("group g any w1 w2\ngroup h all g w3\nquorum h\n", "w1 w2", False),
    ],
)
def test_a_quorum_is_met_by_enough_of_its_members(rule: str, cosigned: str, met: bool) -> None:  # noqa: FBT001 - a row
    assert policy(THREE + rule).met_by(cosigned.split()) is met


def test_a_policy_is_read_with_its_comments_tabs_addresses_and_odd_names() -> None:
    text = (
        f"# ours\n\n \t log\t{signer().verifier().vkey()} https://log.example/ \n"
        f"witness caf\xe9 {vkey(1, 'n')} https://w.example/\n  # end\nquorum caf\xe9\n"
    )
    read = parse_policy(text.encode("latin-1"))
    assert (len(read.logs), list(read.witnesses)) == (1, ["caf\udce9"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "quorum w1\n",
        "quorum none\nquorum none\n",
        "quorum none",
        "quorum none\r\n",
        f"{THREE}group g 0 w1\nquorum g\n",
        f"{THREE}group g 2 w1\nquorum g\n",
        f"{THREE}group g x w1\nquorum g\n",
        f"{THREE}group g any\nquorum g\n",
        f"{THREE}group g any w1 w1\nquorum g\n",
        f"{THREE}group g any w1\ngroup h any w1\nquorum h\n",
        f"{THREE}group g any h\ngroup h any w1\nquorum g\n",
        f"{THREE}group g any none\nquorum g\n",
        f"{THREE}group w1 any w2\nquorum w1\n",
        f"{THREE}witness none {vkey(7, 'x')}\nquorum none\n",
        f"{THREE}witness w4 {vkey(1, 'other')}\nquorum w4\n",
        f"witness w {signer().verifier().vkey()}\nquorum w\n",
        f"log {vkey(1, 'n')}\nquorum none\n",
        f"log {signer().verifier().vkey()}\nlog {signer().verifier().vkey()}\nquorum none\n",
        "log\nquorum none\n",
        "quorum none extra\n",
        "other\nquorum none\n",
    ],
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(PolicyMalformed):
        policy(text)


def verified(folder: Path, rules: Policy) -> Report:
    return verify_export(folder / "ledger.jsonl", folder / "heads.jsonl", [signer().verifier()], policy=rules)


def test_verification_holds_the_last_head_against_the_policy(tmp_path: Path, witness: Witness) -> None:
    log = signed_log(3)
    rules = policy(f"log {signer().verifier().vkey()}\nwitness w {witness.signer.public().vkey()}\nquorum w\n")
    exported(log, tmp_path)
    with pytest.raises(QuorumUnmet, match="none"):
        verified(tmp_path, rules)
    room(log).add_cosignatures(witness.cosign(room(log).witness_request(), SECONDS), rules)
    exported(log, tmp_path)
    found = verified(tmp_path, rules)
    assert (found.witnesses, found.caveats) == (("w",), ())
    log.data.append(leaf(3))
    room(log).head()
    exported(log, tmp_path)
    with pytest.raises(QuorumUnmet):
        verified(tmp_path, rules)


def test_a_policy_for_another_log_is_not_met(tmp_path: Path) -> None:
    exported(signed_log(3), tmp_path)
    with pytest.raises(HeadSignatureInvalid):
        verified(tmp_path, policy(f"log {signer(1, 'elsewhere.example').verifier().vkey()}\nquorum none\n"))
    assert verified(tmp_path, policy("quorum none\n")).witnesses == ()


def test_a_log_of_the_policys_name_but_of_another_key_is_not_met(tmp_path: Path) -> None:
    exported(signed_log(3), tmp_path)
    with pytest.raises(HeadSignatureInvalid, match="no key that the policy lists"):
        verified(tmp_path, policy(f"log {signer(2).verifier().vkey()}\nquorum none\n"))
    both = f"log {signer(2).verifier().vkey()}\nlog {signer().verifier().vkey()}\nquorum none\n"
    assert verified(tmp_path, policy(both)).entries == 3


def test_a_line_of_cosignatures_that_we_do_not_write_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cosignatures.jsonl"
    assert read_cosignatures(file, 3) == ()
    for text in (b"x\n", b"{}\n", b'{"line":3,"size":3}\n', b'{"line":"a", "size":3}\n', b'{"line":"a","size":3}'):
        file.write_bytes(text)
        with pytest.raises(LineMalformed):
            read_cosignatures(file, 3)


@pytest.mark.proves("evidence-witness")
def test_a_head_is_cosigned_over_an_air_gap_by_commands_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, key = tmp_path / "w", tmp_path / "outside" / "witness.key"
    create_workspace(root, ALICE, database_url="", replace=False)
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str]:
        code = main(["--workspace", str(root), "evidence", *words])
        return code, capsys.readouterr().out.strip()

    assert call("head")[0] == 0
    _, public = call("witness", "init", str(key), "--name", "witness.example/w1")
    evidence = root / "storage" / "db" / "evidence"
    (evidence / "policy.tlog").write_text(f"witness w1 {public}\nquorum w1\n")
    assert call("verify")[0] == 28
    sign = ["witness", "sign", "request", "--key", str(key), "--state", "state.json", "--log-key"]
    sign += [str(evidence / "log.vkey"), "--out", "answer"]
    assert call("witness", "request", "--out", "request")[0] == 0
    assert call(*sign)[0] == 0
    assert call("witness", "add", "answer") == (0, "cosigned by w1")
    code, told = call("verify")
    assert (code, "cosigned by w1" in told, "no saved head" in told) == (0, True, False)
    assert call("export", str(tmp_path / "bundle"))[0] == 0
    assert call("verify", "--dir", str(tmp_path / "bundle"))[0] == 0
    assert call("keys", "rotate", "service")[0] == 0
    assert call("head")[0] == 0
    assert call("witness", "request", "--out", "request", "--old", "0")[0] == 0
    assert call(*sign)[0] == 29
    assert call("verify")[0] == 28
    assert main(["--workspace", str(root), "windows", "verify"]) == 0
