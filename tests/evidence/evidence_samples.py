"""Small logs, keys and files for the evidence tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from interlock.evidence.ledger import read_leaf
from interlock.evidence.models import Cosignature, LoggedEvent, SignedHead
from interlock.evidence.note import Signer
from interlock.evidence.service import Evidence
from interlock.evidence.tree import leaf_hash
from interlock.kernel.canonical import Json, canonical

ORIGIN = "evidence.example/workspace-1"
NOON = 1_795_262_400_000


def signer(number: int = 1, name: str = ORIGIN) -> Signer:
    """Make a signer that is the same in every run."""
    return Signer(name, Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


def event(number: int, **changes: Json) -> dict[str, Json]:
    plain: dict[str, Json] = {
        "correlation_id": f"cli-{number}",
        "key": None,
        "kind": "run.step_completed",
        "payload": {"run_id": "r_01K9ABCDEFGHJKMNPQRSTVWXYZ", "step": "collect", "number": number, "note": "é ✓"},
        "principal": "service:worker@host",
        "subject": "r_01K9ABCDEFGHJKMNPQRSTVWXYZ",
        "time": "2026-11-21T08:00:00.125Z",
        "version": 1,
    }
    return {**plain, **changes}


def leaf(number: int, **changes: Json) -> bytes:
    return canonical(event(number, **changes))


@dataclass
class MemoryLog:
    """A log in memory: reads and keeps heads."""

    data: list[bytes] = field(default_factory=list[bytes])
    signed: list[SignedHead] = field(default_factory=list[SignedHead])
    envelopes: dict[str, bytes] = field(default_factory=dict[str, bytes])
    cosigned: list[Cosignature] = field(default_factory=list[Cosignature])
    asked: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """Which leaf hashes were asked for, each time: from where, and up to where."""

    def size(self) -> int:
        return len(self.data)

    def leaves(self, start: int, end: int) -> Iterator[bytes]:
        return iter(self.data[start:end])

    def leaf_hashes(self, end: int, start: int = 0) -> Sequence[bytes]:
        self.asked.append((start, end))
        return [leaf_hash(data) for data in self.data[start:end]]

    def heads(self) -> Sequence[SignedHead]:
        return tuple(self.signed)

    def last_head(self) -> SignedHead | None:
        return self.signed[-1] if self.signed else None

    def add_head(self, head: SignedHead) -> None:
        self.signed.append(head)

    def key_events(self) -> Sequence[tuple[int, LoggedEvent]]:
        told = [(index, read_leaf(data)) for index, data in enumerate(self.data) if b'"kind":"key.' in data]
        return [(index, each) for index, each in told if each["kind"].startswith("key.")]

    def envelope(self, ref: str) -> bytes | None:
        return self.envelopes.get(ref)

    def cosignatures(self) -> Sequence[Cosignature]:
        return tuple(self.cosigned)

    def add_cosignatures(self, cosignatures: Sequence[Cosignature]) -> None:
        self.cosigned += [each for each in cosignatures if each not in self.cosigned]


def room(log: MemoryLog, by: Signer | None = None) -> Evidence:
    """Open the room over a log with one key."""
    key = by or signer()
    return Evidence(
        log=log, heads=log, verifiers=(key.verifier(),), now=lambda: NOON, origin=ORIGIN, sign=lambda: [key]
    )


def signed_log(*sizes: int, after: int = 0) -> MemoryLog:
    """Make a log with a head at each of these sizes, and some entries after the last."""
    log = MemoryLog()
    for size in sizes:
        log.data.extend(leaf(number) for number in range(log.size(), size))
        room(log).head()
    log.data.extend(leaf(number) for number in range(log.size(), log.size() + after))
    return log


def exported(log: MemoryLog, folder: Path) -> tuple[Path, Path]:
    """Export a log; return the paths of ledger and heads."""
    room(log).export(folder)
    return folder / "ledger.jsonl", folder / "heads.jsonl"
