"""Writes what the console's own checks are held against: `.venv/bin/python tests/evidence/console_vectors.py`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from evidence_samples import leaf, room, signed_log, signer

from interlock.evidence.consistency import decode_consistency
from interlock.evidence.dsse import seal, statement
from interlock.evidence.head import parse_body, sign_head
from interlock.evidence.ledger import render_line
from interlock.evidence.models import Subject, TreeHead
from interlock.evidence.note import text_of
from interlock.evidence.proof import decode_proof, encode_proof
from interlock.evidence.tree import consistency_path, inclusion_path, leaf_hash, root_of

COMMITTED = Path(__file__).resolve().parents[2] / "ui" / "src" / "rooms" / "evidence" / "vectors.json"
PUBLISHED = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
PUBLISHED.append(bytes(range(0x60, 0x70)))
_PLACES = (0, 1, 5, 7, 8, 10)
_SIZES = (1, 3, 7, 8, 11)


def vectors() -> dict[str, Any]:
    """Return a small log's entries, proofs and heads, and the trees of RFC 6962's reference implementation."""
    log = signed_log(*_SIZES, after=1)
    evidence, other = room(log), signer(2)
    body = statement(
        [Subject("draft/d_1", {"sha256": "ab" * 32})], "urn:interlock:predicate:approval/v1", {"said": "é ✓"}
    )
    return {
        "vkey": signer().verifier().vkey(),
        "other_vkey": other.verifier().vkey(),
        "entries": [_entry(evidence.prove(place), place) for place in _PLACES],
        "head": _head(log.signed[-1].note),
        "foreign": _foreign(evidence.prove(5)),
        "consistency": [
            {"first": old, "second": new, **_consistent(evidence.consistency(old, new))}
            for old, new in ((1, 3), (3, 7), (7, 8), (8, 11), (3, 11), (11, 11))
        ],
        "envelope": seal(body, [signer()]).decode(),
        "published": _published(),
    }


def _entry(proof: str, index: int) -> dict[str, Any]:
    data, read = leaf(index), decode_proof(proof)
    return {
        "index": index,
        "leaf": data.decode(),
        "leaf_hash": leaf_hash(data).hex(),
        "line": render_line(index, data).decode(),
        "proof": proof,
        "path": [each.hex() for each in read.path],
    }


def _foreign(proof: str) -> str:
    """Return a proof under a head that the key signed in the name of another log."""
    read = decode_proof(proof)
    head = parse_body(text_of(read.head))
    return encode_proof(replace(read, head=sign_head(TreeHead("other.example/log", head.size, head.root), signer())))


def _head(note: str) -> dict[str, Any]:
    head = parse_body(text_of(note))
    return {"note": note, "origin": head.origin, "size": head.size, "root": head.root.hex()}


def _consistent(proof: str) -> dict[str, Any]:
    read = decode_consistency(proof)
    return {"proof": proof, "old": _head(read.old), "new": _head(read.new)}


def _published() -> dict[str, Any]:
    hashes = [leaf_hash(data) for data in PUBLISHED]
    trees = [
        {
            "size": size,
            "root": root_of(hashes[:size]).hex(),
            "paths": [[each.hex() for each in inclusion_path(hashes, place, size)] for place in range(size)],
            "from": [[each.hex() for each in consistency_path(hashes, old, size)] for old in range(1, size + 1)],
        }
        for size in range(1, len(PUBLISHED) + 1)
    ]
    return {"leaves": [data.hex() for data in PUBLISHED], "trees": trees}


def written() -> str:
    """Return the file's text."""
    return json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    COMMITTED.write_text(written(), encoding="utf-8")
