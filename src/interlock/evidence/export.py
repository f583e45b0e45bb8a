"""Writing an export: the four files from which an outsider verifies the log without Interlock's database.

Heads are read before the log's size, so no exported head covers more than the exported ledger, and the ledger takes its
place first, so that an export cut short by a crash is a longer ledger under older heads: still one that verifies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from interlock.evidence import publish
from interlock.evidence.head import render_head
from interlock.evidence.ledger import render_line
from interlock.evidence.note import Verifier
from interlock.evidence.ports import LogReader

LEDGER: Final = "ledger.jsonl"
HEADS: Final = "heads.jsonl"
VERIFIERS: Final = "log.vkey"
README: Final = "README.txt"
PAGE: Final = 1_000
"""Leaves in one read of the log, so that no read keeps a writer or a vacuum waiting for long."""

_README_TEXT: Final = """\
This folder is the evidence log of {origin}, exported.

ledger.jsonl   one line per event, in order: canonical JSON (RFC 8785) of event, index, kind, leaf_hash, payload,
               reference, signed_operation, timestamp
heads.jsonl    every signed tree head: note, root, size, time. The note is a C2SP signed note over origin, size and
               root; the time stands beside it and is the log's own word
log.vkey       the public keys (C2SP vkey text), one a line. Compare them with keys that you got another way:
               whoever can replace this folder can replace them too

With Interlock:       interlock evidence verify --help
Without Interlock:    1. A leaf is the canonical JSON of a line's "event"; leaf_hash = SHA-256(0x00 || leaf).
                      2. Build the RFC 6962 tree over the leaves, SHA-256(0x01 || left || right) for a node.
                      3. For each line of heads.jsonl: check the note's Ed25519 signature (Go:
                         golang.org/x/mod/sumdb/note), and that the root of the first `size` leaves is its root.
                      4. Check that index, kind, payload, reference, signed_operation, timestamp follow from the event.

Keep a note from heads.jsonl somewhere else. A log can be rewritten by whoever holds its key; only a head that was
saved outside shows it.
"""


def write_export(log: LogReader, verifiers: Iterable[Verifier], origin: str, folder: Path) -> None:
    """Write the four files into `folder`, each whole or not at all; raises OSError, `EventMalformed` for a bad leaf."""
    folder.mkdir(parents=True, exist_ok=True)
    heads = [render_head(head) for head in log.heads()]
    publish.replace(folder / LEDGER, _lines(log))
    publish.replace(folder / HEADS, heads)
    publish.replace(folder / VERIFIERS, [f"{verifier.vkey()}\n".encode() for verifier in verifiers])
    publish.replace(folder / README, [_README_TEXT.format(origin=origin).encode()])


def _lines(log: LogReader) -> Iterator[bytes]:
    size = log.size()
    for start in range(0, size, PAGE):
        for index, leaf in enumerate(log.leaves(start, min(start + PAGE, size)), start):
            yield render_line(index, leaf)
