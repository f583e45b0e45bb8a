"""Verifying an export of a million entries on one core, beside a bare SHA-256 over the same bytes; signatures apart."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import median

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.grounds import ALICE, ORIGIN, Grounds
from benchmarks.measuring import in_turns, ratio, timed
from benchmarks.table import Aim, Peer, Row
from interlock.evidence.attestations import Attested, Check, Envelopes, check_all
from interlock.evidence.content import named
from interlock.evidence.directory import KeyDirectory
from interlock.evidence.dsse import seal, statement
from interlock.evidence.head import open_head, render_head, sign_head
from interlock.evidence.ledger import render_line
from interlock.evidence.models import LoggedEvent, SignedHead, Subject, TreeHead
from interlock.evidence.note import Signer, Verifier
from interlock.evidence.predicates import APPROVAL
from interlock.evidence.proof import Proof, check_proof, encode_proof
from interlock.evidence.tree import (
    Frontier,
    check_consistency,
    consistency_path,
    inclusion_path,
    leaf_hash,
    root_of,
)
from interlock.evidence.verify import verify_export
from interlock.kernel.canonical import Json, JsonObject
from interlock.kernel.events import to_leaf
from interlock.queue.events import ItemReleased, ItemRescued

_ENTRIES, _ENTRIES_QUICK = 1_000_000, 20_000
_FEW = 10_000
"""Entries that a verification's memory over all is held against."""
_HEADS, _HEADS_QUICK = 1_000, 200
_STATEMENTS, _STATEMENTS_QUICK = 10_000, 1_000
_LEAVES, _LEAVES_QUICK = 1_000_000, 20_000
_ROUNDS, _SECONDS = 5, 60.0
_NOON = 1_795_262_400_000
_FAST = Aim(of="value", bound=60_000)
_SIGNED = Aim(of="value", bound=8_000)
_FLAT = Aim(of="ratio", bound=1.2, at_most=True)
_PEAK = """
import resource, sys
from pathlib import Path
from interlock.evidence.keys import load_verifiers
from interlock.evidence.verify import verify_export
folder = Path(sys.argv[1])
verify_export(folder / "ledger.jsonl", folder / "heads.jsonl", load_verifiers(folder / "log.vkey"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def measure(grounds: Grounds) -> Iterator[Row]:
    """Verify structure and root, then signatures, then statements; make and check proofs."""
    signer = Signer(ORIGIN, Ed25519PrivateKey.generate())
    folder = grounds.new_folder("verify")
    entries = _ENTRIES_QUICK if grounds.quick else _ENTRIES
    _write(folder, entries, signer)
    yield _structure(folder, entries, signer)
    yield _memory(grounds, folder, signer)
    yield _signatures(grounds, signer)
    yield _statements(grounds)
    yield from _proofs(grounds, signer)


def _write(folder: Path, entries: int, signer: Signer) -> None:
    """Write an export, of two kinds of entries in turn, about 600 bytes each."""
    tree = Frontier()
    with (folder / "ledger.jsonl").open("wb") as ledger:
        for index in range(entries):
            leaf = _leaf(index)
            tree = tree.append(leaf_hash(leaf))
            ledger.write(render_line(index, leaf))
    (folder / "heads.jsonl").write_bytes(render_head(_signed(tree, signer)))
    (folder / "log.vkey").write_text(f"{signer.verifier().vkey()}\n")


def _memory(grounds: Grounds, folder: Path, signer: Signer) -> Row:
    few = grounds.new_folder("verify-few")
    _write(few, _FEW, signer)
    most, least = (
        int(subprocess.run([sys.executable, "-c", _PEAK, where], check=True, capture_output=True).stdout) / 1024
        for where in (folder, few)
    )
    return Row(
        name="verify them: memory at its peak",
        value=most,
        unit="MiB",
        peer=Peer(name=f"{_FEW:,} entries", value=least),
        ratio=most / least,
        aim=_FLAT,
    )


def _statements(grounds: Grounds) -> Row:
    """Check the statements of approvals: envelope, key, window, what they are about. By processor time, on one core."""
    count = _STATEMENTS_QUICK if grounds.quick else _STATEMENTS
    folder = grounds.new_folder("envelopes")
    person = Signer("interlock/human-alice", Ed25519PrivateKey.generate())
    keyid = person.verifier().key_id.hex()
    directory = KeyDirectory(begun_at=0)
    directory.follow(0, _added(person))
    entries: list[Attested] = []
    for number in range(count):
        subject, digest = f"a_{number}", sha256(b"%d" % number).hexdigest()
        predicate = {"draft_id": f"d_{number}", "principal": str(ALICE.principal), "signed_by": "principal"}
        envelope = seal(statement([Subject(subject, {"sha256": digest})], APPROVAL, predicate), [person])
        ref = named(envelope, "").ref
        Envelopes(folder).path(ref).write_bytes(envelope)
        attestation = {"digest": ref, "keyid": keyid, "predicate_type": APPROVAL, "signed_by": "principal"}
        payload = {"approved_id": subject, "digest": f"sha256:{digest}", "attestation": attestation}
        entries.append(Attested(number + 1, _event("draft.approved", f"d_{number}", payload)))
    check = Check(directory=directory, envelopes=Envelopes(folder))

    def by_the_clock_of_one_core() -> float:
        before = time.process_time()
        check.several(entries)
        return count / (time.process_time() - before)

    found = in_turns(
        {"one": by_the_clock_of_one_core, "all": lambda: count / timed(lambda: check_all(check, iter(entries)))},
        rounds=_ROUNDS,
        seconds=_SECONDS,
    )
    return Row(
        name="verify signed statements, a core",
        value=median(found["one"]),
        unit="statements/s",
        peer=Peer(name="all cores, wall clock", value=median(found["all"])),
        aim=_SIGNED,
    )


def _proofs(grounds: Grounds, signer: Signer) -> Iterator[Row]:
    size = _LEAVES_QUICK if grounds.quick else _LEAVES
    leaves = [leaf_hash(b"%d" % number) for number in range(size)]
    root, at = root_of(leaves), size // 3
    note = sign_head(TreeHead(ORIGIN, size, root), signer)
    proof = encode_proof(Proof(at, inclusion_path(leaves, at, size), note))
    path = consistency_path(leaves, at, size)
    known, old = (signer.verifier(),), root_of(leaves[:at])
    made = in_turns(
        {
            "inclusion": lambda: 1000 * timed(lambda: inclusion_path(leaves, at, size)),
            "consistency": lambda: 1000 * timed(lambda: consistency_path(leaves, at, size)),
            "check": lambda: 1000 * timed(lambda: check_proof(proof, b"%d" % at, known)),
            "compare": lambda: 1000 * timed(lambda: check_consistency(at, size, old, root, path)),
        },
        rounds=_ROUNDS,
        seconds=_SECONDS,
    )
    yield Row(name=f"inclusion proof in {size:,} entries: make it", value=median(made["inclusion"]), unit="ms")
    yield Row(name="check it, signed head included", value=median(made["check"]), unit="ms")
    yield Row(name=f"consistency proof to {size:,} entries: make it", value=median(made["consistency"]), unit="ms")
    yield Row(name="check it, heads apart", value=median(made["compare"]), unit="ms")


def _added(signer: Signer) -> LoggedEvent:
    told: dict[str, Json] = {
        "vkey": signer.verifier().vkey(),
        "keyid": signer.verifier().key_id.hex(),
        "owner": str(ALICE.principal),
    }
    more: dict[str, Json] = {"purpose": "human", "role": None, "from_index": 0, "reason": "", "attestation": {}}
    return _event("key.added", "human-alice", {**told, **more})


def _event(kind: str, subject: str, payload: JsonObject) -> LoggedEvent:
    return {
        "correlation_id": None,
        "key": None,
        "kind": kind,
        "payload": payload,
        "principal": str(ALICE.principal),
        "subject": subject,
        "time": "2026-11-21T08:00:00.000Z",
        "version": 1,
    }


def _structure(folder: Path, entries: int, signer: Signer) -> Row:
    ledger, heads = folder / "ledger.jsonl", folder / "heads.jsonl"
    known = (signer.verifier(),)

    def verify() -> float:
        return entries / timed(lambda: verify_export(ledger, heads, known, origin=ORIGIN))

    def hash_alone() -> float:
        return entries / timed(lambda: _hashed(ledger))

    found = in_turns({"verify": verify, "hash": hash_alone}, rounds=_ROUNDS, seconds=_SECONDS)
    return Row(
        name=f"verify {entries:,} entries of {ledger.stat().st_size // entries} bytes: structure and root",
        value=median(found["verify"]),
        unit="entries/s",
        peer=Peer(name="bare SHA-256", value=median(found["hash"])),
        ratio=ratio(found["verify"], found["hash"]),
        aim=_FAST,
    )


def _signatures(grounds: Grounds, signer: Signer) -> Row:
    count = _HEADS_QUICK if grounds.quick else _HEADS
    notes = [sign_head(TreeHead(ORIGIN, size, sha256(b"%d" % size).digest()), signer) for size in range(1, count + 1)]
    public, verifier = signer.private.public_key(), signer.verifier()
    message = b"a head's three lines, more or less, so that the size is the same as that of a real one" * 2
    signature = signer.private.sign(message)

    def check_bare() -> None:
        for _ in notes:
            public.verify(signature, message)

    found = in_turns(
        {
            "heads": lambda: count / timed(lambda: _opened(notes, verifier)),
            "bare": lambda: count / timed(check_bare),
        },
        rounds=_ROUNDS,
        seconds=_SECONDS,
    )
    return Row(
        name="verify signed heads",
        value=median(found["heads"]),
        unit="heads/s",
        peer=Peer(name="bare Ed25519", value=median(found["bare"])),
        ratio=ratio(found["heads"], found["bare"]),
    )


def _leaf(number: int) -> bytes:
    subject = f"ORCH-{number}"
    event = (
        ItemRescued(
            subject=subject,
            fence=number,
            attempt=1,
            reason="lease_expired",
            lost_owner="worker-01ARZ3NDEK",
            not_before_ms=None,
        )
        if number % 2
        else ItemReleased(subject=subject, fence=number)
    )
    return to_leaf(event, principal=str(ALICE.principal), correlation_id=f"c-{number}", time_ms=_NOON + number).data


def _signed(tree: Frontier, signer: Signer) -> SignedHead:
    note = sign_head(TreeHead(ORIGIN, tree.size, tree.root()), signer)
    return SignedHead(size=tree.size, root=tree.root(), at=_NOON, note=note)


def _opened(notes: Sequence[str], verifier: Verifier) -> None:
    for note in notes:
        open_head(note, (verifier,))


def _hashed(path: Path) -> None:
    with path.open("rb") as file:
        for line in file:
            sha256(line).digest()
