"""Inclusion proofs as one text file that verifies offline (c2sp.org/tlog-proof@v1).

c2sp.org/tlog-proof@v1
extra <base64>             (left out if there is none; not authenticated)
index <decimal>
<base64 of a sibling hash> (zero or more lines, from the leaf towards the root)

<the signed tree head, as it is>
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass

from interlock.evidence.errors import ProofRejected
from interlock.evidence.head import open_head
from interlock.evidence.models import TreeHead
from interlock.evidence.note import Verifier, decode_base64
from interlock.evidence.tree import HASH_BYTES, check_inclusion, leaf_hash
from interlock.kernel.canonical import MAX_INTEGER

MAX_PATH = 63
"""Hashes: a tree of less than 2^63 leaves is not higher."""
_TITLE = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,15})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Proof:
    """That a leaf stands in a log, seen from one signed head."""

    index: int
    path: tuple[bytes, ...]
    head: str
    """The signed note."""
    extra: bytes = b""
    """Whatever the writer adds; nobody vouches for it."""


def encode_proof(proof: Proof) -> str:
    """Return the proof's text; the path's hashes have 32 bytes each."""
    extra = [f"extra {b64encode(proof.extra).decode()}"] if proof.extra else []
    hashes = [b64encode(digest).decode() for digest in proof.path]
    return "\n".join([_TITLE, *extra, f"index {proof.index}", *hashes, "", proof.head])


def decode_proof(text: str) -> Proof:
    """Read what `encode_proof` wrote, without checking it; raises `ProofRejected` for any other text."""
    top, gap, head = text.partition("\n\n")
    title, *lines = top.split("\n")
    if title != _TITLE or not gap:
        raise ProofRejected(f"a proof begins with the line {_TITLE} and ends with a signed tree head")
    extra = b""
    if lines and lines[0].startswith("extra "):
        extra = _base64(lines.pop(0).removeprefix("extra "))
    match = _INDEX.fullmatch(lines[0]) if lines else None
    if match is None or int(match[1]) > MAX_INTEGER or len(lines) > MAX_PATH + 1:
        raise ProofRejected(f"a proof names an index and at most {MAX_PATH} hashes")
    path = tuple(_base64(line) for line in lines[1:])
    if any(len(digest) != HASH_BYTES for digest in path):
        raise ProofRejected("a proof's hashes have 32 bytes each")
    return Proof(int(match[1]), path, head, extra)


def check_proof(text: str, leaf: bytes, verifiers: Iterable[Verifier]) -> TreeHead:
    """Return the signed head that vouches for the leaf's bytes.

    Raises `ProofRejected`, or a `NoteRejected` if the head is not signed by a trusted key.
    """
    proof = decode_proof(text)
    head = open_head(proof.head, verifiers)
    check_inclusion(proof.index, head.size, leaf_hash(leaf), proof.path, head.root)
    return head


def _base64(text: str) -> bytes:
    data = decode_base64(text)
    if not data:
        raise ProofRejected(f"not base64: {text[:100]!a}")
    return data
