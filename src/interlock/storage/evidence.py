"""The sealed log and its heads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.evidence.models import Body, Cosignature, LoggedEvent, LogPage, SignedHead, Wanted
from interlock.evidence.tree import Frontier
from interlock.kernel.canonical import canonical
from interlock.storage.database import Database, Row, Transaction
from interlock.storage.errors import DatabaseDamaged

STRETCH = 50_000
"""Entries that one search looks through at most; whoever wants more goes on where it ended."""
_PAGE = 1_000
# Short reads: a long one would hold back the write-ahead log's checkpoint, and with it everybody else.


@dataclass(frozen=True, slots=True)
class StoredLog:
    """The sealed log, page by page; implements `evidence.ports.LogReader`. What is sealed never changes."""

    database: Database

    def size(self) -> int:
        """Return how many leaves are sealed."""
        return self.frontier().size

    def frontier(self) -> Frontier:
        """Return the tree's frontier."""
        with self.database.read() as transaction:
            return stored_frontier(transaction)

    def origin(self) -> str:
        """Return the log's name."""
        with self.database.read() as transaction:
            row = transaction.one("log_frontier")
        return str(row["origin"]) if row else ""

    def leaves(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the leaf bytes of `start <= index < end` in order."""
        for page in range(start, end, _PAGE):
            with self.database.read() as transaction:
                rows = transaction.all("sealed_leaves", start=page, end=min(end, page + _PAGE))
            for row in rows:
                yield row["leaf"].encode("utf-8")

    def leaf_hashes(self, end: int, start: int = 0) -> Sequence[bytes]:
        """Return the leaf hashes from `start` up to `end`, which is not among them."""
        with self.database.read() as transaction:
            return [bytes(row["leaf_hash"]) for row in transaction.all("sealed_hashes", start=start, end=end)]

    def heads(self) -> Sequence[SignedHead]:
        """Return every head ever signed, by rising size."""
        with self.database.read() as transaction:
            return [_head(row) for row in transaction.all("head_list")]

    def last_head(self) -> SignedHead | None:
        """Return the head of the largest size."""
        with self.database.read() as transaction:
            row = transaction.one("head_last")
        return _head(row) if row else None

    def key_events(self) -> Sequence[tuple[int, LoggedEvent]]:
        """Return every change of keys with its leaf index, in order."""
        with self.database.read() as transaction:
            return [(row["leaf_index"], json.loads(row["leaf"])) for row in transaction.all("key_events")]

    def outcome_events(self) -> Sequence[tuple[int, bytes, LoggedEvent]]:
        """Return every recorded outcome with its leaf index and leaf hash, in order."""
        with self.database.read() as transaction:
            rows = transaction.all("outcome_events")
        return [(row["leaf_index"], bytes(row["leaf_hash"]), json.loads(row["leaf"])) for row in rows]

    def run_events(self, run_id: str, limit: int) -> Sequence[tuple[int, LoggedEvent]]:
        """Return the first `limit` events of a run with their leaf indexes, in order."""
        with self.database.read() as transaction:
            rows = transaction.all("events_of_run", run_id=run_id, limit=limit)
        return [(row["leaf_index"], json.loads(row["leaf"])) for row in rows]

    def approval_events(self, draft_id: str) -> Sequence[tuple[int, LoggedEvent]]:
        """Return the approvals of a draft with their leaf indexes, in order."""
        with self.database.read() as transaction:
            rows = transaction.all("approval_of_draft", draft_id=draft_id)
        return [(row["leaf_index"], json.loads(row["leaf"])) for row in rows]

    def envelope(self, ref: str) -> bytes | None:
        """Return the envelope of an attestation; only what is public by nature lies under a plain digest."""
        if not ref.startswith("sha256:"):
            return None
        with self.database.read() as transaction:
            row = transaction.one("content_get", ref=ref)
        return bytes(row["body"]) if row and row["body"] is not None else None

    def cosignatures(self) -> Sequence[Cosignature]:
        """Return every cosignature ever added, by rising size."""
        with self.database.read() as transaction:
            return [Cosignature(row["size"], row["line"]) for row in transaction.all("cosignature_list")]

    def events(self, start: int, limit: int) -> Sequence[tuple[int, Mapping[str, Any]]]:
        """Return up to `limit` events from `start` on, each with its leaf index."""
        with self.database.read() as transaction:
            rows = transaction.all("sealed_events", start=start, limit=limit)
        return [(row["leaf_index"], json.loads(row["leaf"])) for row in rows]

    def found(self, wanted: Wanted, *, before: int | None, limit: int) -> LogPage:
        """Return the newest `limit` entries below `before` that are wanted, out of at most `STRETCH` looked through."""
        size = self.size()
        end = size if before is None else min(before, size)
        start = max(0, end - (limit if wanted.everything else STRETCH))
        rows = self._rows(wanted, start, end, limit)
        told = ((row["leaf_index"], json.loads(row["leaf"])) for row in rows)
        return LogPage(
            entries=[each for each in told if wanted.principal in {"", each[1]["principal"]}],
            size=size,
            searched_from=rows[-1]["leaf_index"] if len(rows) == limit else start,
            searched_to=end,
        )

    def _rows(self, wanted: Wanted, start: int, end: int, limit: int) -> list[Row]:
        with self.database.read() as transaction:
            return transaction.all(
                "sealed_found",
                start=start,
                end=end,
                kind=wanted.kind,
                subject=wanted.subject,
                outcome=wanted.outcome,
                principal=_principal_in_leaf(wanted.principal),
                text=_anywhere_in_leaf(wanted.text),
                limit=limit,
            )

    def body(self, ref: str) -> Body:
        """Say what became of the body of a commitment, without reading it."""
        with self.database.read() as transaction:
            row = transaction.one("content_standing", ref=ref)
        if row is None:
            return Body(ref, "unknown", None)
        return Body(ref, "erased", row["erased_ms"]) if row["erased"] else Body(ref, "kept", None)


@dataclass(frozen=True, slots=True)
class StoredHeads:
    """Keeps heads in the transaction that is open; implements `evidence.ports.HeadWriter`."""

    transaction: Transaction

    def add_head(self, head: SignedHead) -> None:
        """Keep a head; the same head a second time changes nothing."""
        self.transaction.run("head_add", size=head.size, root=head.root.hex(), time_ms=head.at, note=head.note)

    def add_cosignatures(self, cosignatures: Sequence[Cosignature]) -> None:
        """Keep cosignatures; the same one a second time changes nothing."""
        for each in cosignatures:
            self.transaction.run("cosignature_add", size=each.size, line=each.line)


def stored_frontier(transaction: Transaction) -> Frontier:
    """Return the tree's frontier as this transaction sees it."""
    row = transaction.one("log_frontier")
    if row is None:
        raise DatabaseDamaged("the log's state is gone from the database")
    return Frontier.decode(bytes(row["frontier"]))


def _head(row: Row) -> SignedHead:
    return SignedHead(size=row["size"], root=bytes.fromhex(row["root"]), at=row["time_ms"], note=row["note"])


def _principal_in_leaf(principal: str) -> str:
    """Return what stands in every leaf of a principal's; a payload may hold it as well, so the event is looked at."""
    return f'"principal":{canonical(principal).decode()},' if principal else ""


def _anywhere_in_leaf(text: str) -> str:
    """Return the pattern of a leaf that holds a text, as JSON spells it."""
    if not text:
        return ""
    spelt = canonical(text).decode()[1:-1]
    lowered = "".join(each.lower() if each.isascii() else each for each in spelt)
    for each in "!%_":
        lowered = lowered.replace(each, f"!{each}")
    return f"%{lowered}%"
