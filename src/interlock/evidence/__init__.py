"""Evidence: what happened, in a form that an outsider can check without Interlock and without trusting it.

What this room is: the RFC 6962 tree over the event log's leaves, the signed notes that fix its heads (C2SP), the
offline proofs, the DSSE envelopes of attestations, the exported ledger line, and the verification of an export.

What it is not: it stores nothing, knows no database and no other room. It sees bytes, trees and keys; a log is read
through `ports.LogReader`. It judges no event: that a thing was recorded is evidence, that it was right is not.

Invariants:
- A leaf's bytes are fixed for ever: canonical JSON of one event, at most 32 KiB.
- A head is signed only for a tree that extends the last signed head; every head ever signed is kept.
- Verification reads, repairs nothing, writes nothing, and needs the exported files and public keys only.
- Every format is read strictly: one value has exactly one spelling, so a flipped byte is always seen.
- No default key exists. A private key is a file of mode 0600, made once and never overwritten.

A signed Merkle root is a *tree head* here; the word checkpoint belongs to an agent's gate.
"""
