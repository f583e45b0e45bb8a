"""That one head is the beginning of another, as one text that verifies offline.

interlock/consistency@v1
<base64 of a hash>         (zero or more lines, RFC 6962 section 2.1.2)

<the older signed tree head, as it is>

<the newer signed tree head, as it is>
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from interlock.evidence.errors import ConsistencyRejected, ProofRejected
from interlock.evidence.head import open_head
from interlock.evidence.models import TreeHead
from interlock.evidence.note import Verifier, decode_base64
from interlock.evidence.tree import HASH_BYTES, check_consistency

MAX_PATH = 63
_TITLE = "interlock/consistency@v1"
_PARTS = 5


@dataclass(frozen=True, slots=True)
class Consistency:
    """A path between two heads."""

    path: tuple[bytes, ...]
    old: str
    """The signed notes."""
    new: str


def encode_consistency(proof: Consistency) -> str:
    """Return the proof's text."""
    hashes = [b64encode(digest).decode() for digest in proof.path]
    return "\n".join([_TITLE, *hashes, "", proof.old, proof.new])


def decode_consistency(text: str) -> Consistency:
    """Read what `encode_consistency` wrote, without checking it; raises `ConsistencyRejected` for any other text."""
    parts = text.split("\n\n")
    title, *lines = parts[0].split("\n")
    if title != _TITLE or len(parts) != _PARTS:
        raise ConsistencyRejected(f"a proof begins with the line {_TITLE} and ends with two signed tree heads")
    _, old_text, old_lines, new_text, new_lines = parts
    return Consistency(decode_path(lines), f"{old_text}\n\n{old_lines}\n", f"{new_text}\n\n{new_lines}")


def decode_path(lines: Sequence[str]) -> tuple[bytes, ...]:
    """Read hashes in base64, one a line; raises `ConsistencyRejected`."""
    path = [decode_base64(line) for line in lines]
    if len(path) > MAX_PATH:
        raise ConsistencyRejected(f"a path has at most {MAX_PATH} hashes")
    found = tuple(digest for digest in path if digest is not None and len(digest) == HASH_BYTES)
    if len(found) != len(path):
        raise ConsistencyRejected("a path is made of hashes of 32 bytes in base64")
    return found


def check_heads(proof: Consistency, verifiers: Iterable[Verifier]) -> tuple[TreeHead, TreeHead]:
    """Return the two heads, the older first, once they are seen to be of one log.

    Raises `ConsistencyRejected`, or a `NoteRejected` if a head is not signed by a trusted key.
    """
    known = tuple(verifiers)
    old, new = open_head(proof.old, known), open_head(proof.new, known)
    if old.origin != new.origin:
        raise ConsistencyRejected(f"the heads are of two logs, {old.origin} and {new.origin}")
    check_path(old, new, proof.path)
    return old, new


def check_path(old: TreeHead, new: TreeHead, path: Sequence[bytes]) -> None:
    """Raise `ConsistencyRejected` unless the path leads from one head to the other."""
    try:
        check_consistency(old.size, new.size, old.root, new.root, path)
    except ProofRejected as error:
        raise ConsistencyRejected(error.message) from None
