"""A stage's receipt as an auditor sees it, who has no code of ours: RFC 6962 over the hashes of its jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Return the Merkle root over hashed leaves."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else sha256(b"").digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + root_of(leaves[:half]) + root_of(leaves[half:])).digest()


def assert_receipt(told: Mapping[str, Any]) -> None:
    """Hold that leaves, levels and root of a receipt's payload follow from what it says of its jobs."""
    pairs = [bytes.fromhex(each["task_hash"]) + bytes.fromhex(each["artifact_hash"]) for each in told["leaves"]]
    leaves = [sha256(b"\0" + pair).digest() for pair in pairs]
    assert [(each["index"], each["hash"]) for each in told["leaves"]] == [
        (index, leaf.hex()) for index, leaf in enumerate(leaves)
    ]
    levels = [1 << level for level in range((len(leaves) - 1).bit_length() + 1)] if leaves else []
    nodes = [[root_of(leaves[at : at + span]).hex() for at in range(0, len(leaves), span)] for span in levels]
    assert told["levels"] == [{"level": level, "nodes": each} for level, each in enumerate(nodes)]
    assert told["root"] == root_of(leaves).hex()
