"""Tree heads: a log's size and root as a signed note (c2sp.org/tlog-checkpoint), and the line of `heads.jsonl`.

The note's text is three lines: origin, size in decimal, root in base64. Extension lines are not written and not read.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from typing import cast

from interlock.evidence.errors import HeadMalformed, LineMalformed
from interlock.evidence.models import SignedHead, TreeHead
from interlock.evidence.note import MAX_NOTE, Signer, Verifier, decode_base64, open_note, sign, text_of
from interlock.evidence.strict_json import parse
from interlock.evidence.tree import HASH_BYTES
from interlock.kernel.canonical import MAX_INTEGER, canonical
from interlock.kernel.clock import from_text, to_text

MAX_HEAD_LINE = 2 * MAX_NOTE + 1024
"""Bytes: a note whose every character is escaped, and the rest."""
_SIZE = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)
_KEYS = {"note", "root", "size", "time"}


def body(head: TreeHead) -> str:
    """Return the text that is signed; raises `HeadMalformed` if the head can not be told in it."""
    text = f"{head.origin}\n{head.size}\n{b64encode(head.root).decode()}\n"
    if parse_body(text) != head:
        raise HeadMalformed(f"these can not be a tree head's origin, size and root: {head!a}")
    return text


def parse_body(text: str) -> TreeHead:
    """Read what `body` wrote; raises `HeadMalformed` for anything else."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0]:
        raise HeadMalformed("a tree head is three lines: origin, size, root")
    origin, size, encoded, _ = lines
    root = decode_base64(encoded)
    if not _SIZE.fullmatch(size) or int(size) > MAX_INTEGER:
        raise HeadMalformed(f"not a tree's size: {size[:40]!a}")
    if root is None or len(root) != HASH_BYTES:
        raise HeadMalformed(f"not a root hash in base64: {encoded[:80]!a}")
    return TreeHead(origin, int(size), root)


def sign_head(head: TreeHead, *signers: Signer) -> str:
    """Return the signed note of a head. Whether it may be signed is the caller's question (`Evidence.head`)."""
    return sign(body(head), signers)


def open_head(note: str | bytes, verifiers: Iterable[Verifier]) -> TreeHead:
    """Return the head that a trusted key signed; raises a `NoteRejected` otherwise."""
    return parse_body(open_note(note, verifiers).text)


def open_own_head(note: str | bytes, verifiers: Iterable[Verifier]) -> TreeHead:
    """Return the head that a trusted key of its own log signed; raises a `NoteRejected` otherwise.

    A log's key bears the log's name. Where several logs are trusted, none of them may speak in another's name.
    """
    origin = parse_body(text_of(note)).origin
    return open_head(note, [verifier for verifier in verifiers if verifier.name == origin])


def render_head(head: SignedHead) -> bytes:
    """Return the head's line of `heads.jsonl`: canonical JSON of `note`, `root` (hex), `size` and `time`."""
    return canonical({"note": head.note, "root": head.root.hex(), "size": head.size, "time": to_text(head.at)}) + b"\n"


def read_head(line: bytes) -> SignedHead:
    """Read what `render_head` wrote, without trusting it yet; raises `LineMalformed` for any other bytes."""
    try:
        head = _shaped(parse(line))
        same = render_head(head) == line
    except (ValueError, TypeError) as error:
        raise LineMalformed(f"not a line of heads.jsonl: {error}") from None
    if not same:
        raise LineMalformed("the line of heads.jsonl is not in canonical form")
    return head


def _shaped(found: object) -> SignedHead:
    """Return the head that decoded JSON holds; raises TypeError or ValueError if it holds none."""
    if not isinstance(found, dict) or (fields := cast("dict[str, object]", found)).keys() != _KEYS:
        raise TypeError("a head is an object with the keys note, root, size and time")
    note, root, size, time = fields["note"], fields["root"], fields["size"], fields["time"]
    if type(size) is not int or not (isinstance(note, str) and isinstance(root, str) and isinstance(time, str)):
        raise TypeError("a head's size is a number, the rest is text")
    return SignedHead(size=size, root=bytes.fromhex(root), at=from_text(time), note=note)
