"""Writing an export: the files from which an outsider verifies the log without Interlock's database.

Heads are read before the log's size, so no exported head covers more than the exported ledger. Envelopes take their
places before the ledger that names them, and the ledger first of the rest, so that an export cut short by a crash is a
longer ledger under older heads: still one that verifies.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from interlock.evidence import publish
from interlock.evidence.envelopes import Envelopes, named_envelope
from interlock.evidence.head import render_head
from interlock.evidence.ledger import attested_event, render_line
from interlock.evidence.models import LoggedEvent
from interlock.evidence.note import Verifier
from interlock.evidence.ports import LogReader

LEDGER: Final = "ledger.jsonl"
HEADS: Final = "heads.jsonl"
VERIFIERS: Final = "log.vkey"
KEYS: Final = "keys.json"
COSIGNATURES: Final = "cosignatures.jsonl"
POLICY: Final = "policy.tlog"
ENVELOPES: Final = "envelopes"
README: Final = "README.txt"
PAGE: Final = 1_000
"""Leaves in one read of the log, so that no read keeps a writer or a vacuum waiting for long."""

_README_TEXT: Final = """\
This folder is the evidence log of {origin}, exported.

ledger.jsonl   one line per event, in order: canonical JSON (RFC 8785) of event, index, kind, leaf_hash, payload,
               reference, signed_operation, timestamp
heads.jsonl    every signed tree head: note, root, size, time. The note is a C2SP signed note over origin, size and
               root; the time stands beside it and is the log's own word
log.vkey       the log's public keys (C2SP vkey text), one a line. Compare them with keys that you got another way:
               whoever can replace this folder can replace them too
envelopes/     the signed statements (in-toto, DSSE) that entries name in signed_operation.digest: <hex of it>.json
keys.json      every key with the entries for which it counts, as the log's own key.* entries tell it. Not to be
               trusted for itself: each of these entries is signed, by the log's key and by the key that it tells of
cosignatures.jsonl   signature lines of witnesses (C2SP tlog-cosignature), each for the head of a size
policy.tlog    which witnesses must have cosigned the last head (C2SP tlog-policy), if the log's owner demands any

With Interlock:       interlock evidence verify --help
Without Interlock:    1. A leaf is the canonical JSON of a line's "event"; leaf_hash = SHA-256(0x00 || leaf).
                      2. Build the RFC 6962 tree over the leaves, SHA-256(0x01 || left || right) for a node.
                      3. For each line of heads.jsonl: check the note's Ed25519 signature (Go:
                         golang.org/x/mod/sumdb/note), and that the root of the first `size` leaves is its root.
                      4. Check that index, kind, payload, reference, signed_operation, timestamp follow from the event.
                      5. For each signed_operation: check the envelope's digest and, over its DSSE pre-authentication
                         encoding, the signature by the key of that keyid, which must count at this entry.

Keep a note from heads.jsonl somewhere else. A log can be rewritten by whoever holds its key; only a head that was
saved or cosigned outside shows it.
"""


def write_export(
    log: LogReader, verifiers: Iterable[Verifier], origin: str, folder: Path, policy: bytes | None = None
) -> None:
    """Write the export, each file whole or not at all; raises OSError, `EventMalformed` for a bad leaf."""
    from interlock.evidence.cosignature import render_cosignature  # noqa: PLC0415 - most need only this module's names
    from interlock.evidence.directory import folded  # noqa: PLC0415 - the same

    envelopes = Envelopes(folder / ENVELOPES)
    envelopes.folder.mkdir(parents=True, exist_ok=True)
    cosignatures = [render_cosignature(each) for each in log.cosignatures()]
    heads = [render_head(head) for head in log.heads()]
    size = log.size()
    keys = folded((index, event) for index, event in log.key_events() if index < size)
    publish.replace(folder / LEDGER, _lines(log, size, envelopes))
    publish.replace(folder / HEADS, heads)
    publish.replace(folder / COSIGNATURES, cosignatures)
    publish.replace(folder / KEYS, [keys.render(origin)])
    publish.replace(folder / VERIFIERS, [f"{verifier.vkey()}\n".encode() for verifier in verifiers])
    if policy is not None:
        publish.replace(folder / POLICY, [policy])
    publish.replace(folder / README, [_README_TEXT.format(origin=origin).encode()])


def _lines(log: LogReader, size: int, envelopes: Envelopes) -> Iterator[bytes]:
    for start in range(0, size, PAGE):
        for index, leaf in enumerate(log.leaves(start, min(start + PAGE, size)), start):
            line = render_line(index, leaf)
            if event := attested_event(line):
                _place(log, event, envelopes)
            yield line
    descriptor = os.open(envelopes.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _place(log: LogReader, event: LoggedEvent, envelopes: Envelopes) -> None:
    """Write the envelope that an event names, if it is there to be written; verification says if it should be."""
    ref = named_envelope(event)
    if ref is None or (data := log.envelope(ref)) is None:
        return
    path = envelopes.path(ref)
    if not path.exists() or path.read_bytes() != data:
        publish.replace(path, [data], durable=False)
