"""Verifying an export of 100,000 entries on one core, beside a bare SHA-256 over the same bytes; signatures apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import median

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.grounds import ALICE, ORIGIN, Grounds
from benchmarks.measuring import in_turns, ratio, timed
from benchmarks.table import Aim, Peer, Row
from interlock.evidence.head import open_head, render_head, sign_head
from interlock.evidence.ledger import render_line
from interlock.evidence.models import SignedHead, TreeHead
from interlock.evidence.note import Signer, Verifier
from interlock.evidence.tree import Frontier, leaf_hash
from interlock.evidence.verify import verify_export
from interlock.kernel.events import to_leaf
from interlock.queue.events import ItemReleased, ItemRescued

_ENTRIES, _ENTRIES_QUICK = 100_000, 20_000
_HEADS, _HEADS_QUICK = 1_000, 200
_ROUNDS, _SECONDS = 5, 20.0
_NOON = 1_795_262_400_000
_FAST = Aim(of="value", bound=60_000)


def measure(grounds: Grounds) -> Iterator[Row]:
    """Verify structure and root, then signatures."""
    signer = Signer(ORIGIN, Ed25519PrivateKey.generate())
    yield _structure(grounds, signer)
    yield _signatures(grounds, signer)


def _structure(grounds: Grounds, signer: Signer) -> Row:
    entries = _ENTRIES_QUICK if grounds.quick else _ENTRIES
    folder = grounds.new_folder("verify")
    ledger, heads = folder / "ledger.jsonl", folder / "heads.jsonl"
    tree, lines = _ledger(entries)
    ledger.write_bytes(b"".join(lines))
    heads.write_bytes(render_head(_signed(tree, signer)))
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


def _ledger(entries: int) -> tuple[Frontier, list[bytes]]:
    """Make the lines of a ledger, of two kinds in turn, about 600 bytes each, and the tree over their leaves."""
    leaves = [_leaf(number) for number in range(entries)]
    return (
        Frontier().extend(leaf_hash(leaf) for leaf in leaves),
        [render_line(index, leaf) for index, leaf in enumerate(leaves)],
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
