"""The verbs of the room over one log: sign its head, prove, ask witnesses, export. Verification needs no log: `verify`.

Keys have verbs of their own: `keyring`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from interlock.evidence.consistency import Consistency, encode_consistency
from interlock.evidence.errors import (
    ConsistencyRejected,
    CosignatureRejected,
    EntryNotCovered,
    HeadRefused,
    KeyMissing,
    NoteRejected,
)
from interlock.evidence.export import write_export
from interlock.evidence.head import open_head, sign_head
from interlock.evidence.models import Cosignature, SignedHead, TreeHead
from interlock.evidence.note import Signer, Verifier, text_of
from interlock.evidence.policy import Policy
from interlock.evidence.ports import HeadWriter, LogReader
from interlock.evidence.proof import Proof, encode_proof
from interlock.evidence.tree import Frontier, consistency_path, inclusion_path, root_of
from interlock.evidence.witness import Request, read_answer, render_request
from interlock.kernel.clock import Clock

_PAGE = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The evidence room, bound to one log. No verb may run inside a transaction: signing and hashing take time."""

    log: LogReader
    heads: HeadWriter
    verifiers: tuple[Verifier, ...]
    """Every key whose heads count, retired ones included."""
    now: Clock
    origin: str
    """The log's name in its heads."""
    sign: Callable[[], Sequence[Signer]] | None = None
    """Gives the log's keys, when something is to be signed (two while one follows the other); absent where only reading
    is allowed."""

    def head(self) -> SignedHead:
        """Return a signed head of the present log, signing one if there is none of its size.

        The log is hashed anew and must extend its last signed head, else `HeadRefused`. `KeyMissing` without a signer.
        """
        last = self.log.last_head()
        size = self.log.size()
        old = last.size if last else 0
        if old > size:
            raise HeadRefused(f"the last signed head covers {old} entries, the log has {size}")
        leaves = self._hashes(size)
        before = Frontier().extend(islice(leaves, old))
        if last:
            self._check_last(last, before.root())
            if old == size:
                return last
        return self._sign(before.extend(leaves))

    def _hashes(self, size: int) -> Iterator[bytes]:
        """Yield the log's first leaf hashes, a page at a time: a server signs every minute, however long the log is."""
        for start in range(0, size, _PAGE):
            yield from self.log.leaf_hashes(min(start + _PAGE, size), start)

    def prove(self, index: int) -> str:
        """Return the offline proof (tlog-proof) that entry `index` is covered by the last signed head.

        Raises `EntryNotCovered` if no head covers it, `HeadRefused` if the log no longer agrees with its last head.
        """
        last = self.log.last_head()
        if last is None or not 0 <= index < last.size:
            raise EntryNotCovered(
                f"entry {index} is not covered by a signed head; {last.size if last else 0} entries are"
            )
        leaves = self.log.leaf_hashes(last.size)
        self._check_last(last, root_of(leaves))
        return encode_proof(Proof(index, inclusion_path(leaves, index, last.size), last.note))

    def consistency(self, old: int | str, new: int | str | None = None) -> str:
        """Return the offline proof that one head is the beginning of another; each a size, or a signed note.

        Without `new` it leads to the last head. Raises `EntryNotCovered` for a size that no head has, and
        `ConsistencyRejected` where the log is not the one that a head was signed over.
        """
        last = self.log.last_head()
        if last is None:
            raise EntryNotCovered("no head has been signed yet")
        older, newer = self._note(old), last.note if new is None else self._note(new)
        before, after = self._told(older), self._told(newer)
        leaves = self.log.leaf_hashes(max(before.size, after.size))
        if max(before.size, after.size) > len(leaves):
            raise ConsistencyRejected(
                f"a head covers {max(before.size, after.size)} entries, the log has {len(leaves)}"
            )
        for head in (before, after):
            if root_of(leaves[: head.size]) != head.root:
                raise ConsistencyRejected(f"the log's first {head.size} entries are not those that the head signed")
        if before.size > after.size:
            raise ConsistencyRejected(f"the older head covers {before.size} entries, the newer {after.size}")
        return encode_consistency(Consistency(consistency_path(leaves, before.size, after.size), older, newer))

    def witness_request(self, old: int | None = None) -> str:
        """Return what a witness is asked for the last head: to cosign it, given what it cosigned last (`old` entries).

        Without `old` that is the largest head before, of which the log has a cosignature.
        """
        last = self.log.last_head()
        if last is None:
            raise EntryNotCovered("no head has been signed yet")
        known = [each.size for each in self.log.cosignatures() if each.size < last.size]
        size = max(known, default=0) if old is None else old
        if not 0 <= size <= last.size:
            raise EntryNotCovered(f"the last head covers {last.size} entries; no witness can have cosigned {size}")
        leaves = self.log.leaf_hashes(last.size)
        self._check_last(last, root_of(leaves))
        return render_request(Request(size, consistency_path(leaves, size, last.size), last.note))

    def add_cosignatures(self, answer: str, policy: Policy) -> list[str]:
        """Keep a witness's answer; returns the policy's names of the witnesses that cosigned.

        Raises `RequestMalformed`, or `CosignatureRejected` if no line is a cosignature by a witness of the policy over
        one of the log's heads.
        """
        found: list[Cosignature] = []
        names: list[str] = []
        bodies = [(head.size, text_of(head.note)) for head in reversed(self.log.heads())]
        for line in read_answer(answer):
            for size, body in bodies:
                if cosigned := policy.cosigned(body, [line]):
                    found.append(Cosignature(size, line))
                    names += cosigned
                    break
        if not found:
            raise CosignatureRejected
        self.heads.add_cosignatures(found)
        return names

    def export(self, folder: Path, policy: bytes | None = None) -> None:
        """Write everything that an outsider needs into `folder`, each file atomically; see `export`."""
        write_export(self.log, self.verifiers, self.origin, folder, policy)

    def _note(self, head: int | str) -> str:
        if isinstance(head, str):
            return head
        found = next((each.note for each in self.log.heads() if each.size == head), None)
        if found is None:
            raise EntryNotCovered(f"no head of {head} entries has been signed; `heads.jsonl` lists those that have")
        return found

    def _told(self, note: str) -> TreeHead:
        head = open_head(note, self.verifiers)
        if head.origin != self.origin:
            raise ConsistencyRejected(f"the head is of the log {head.origin}, not of {self.origin}")
        return head

    def _check_last(self, last: SignedHead, root: bytes) -> None:
        try:
            signed = open_head(last.note, self.verifiers)
        except NoteRejected as error:
            raise HeadRefused(f"the last head is not signed by a trusted key: {error.message}") from error
        if signed != TreeHead(self.origin, last.size, last.root):
            raise HeadRefused("the last head's record and its signed note differ")
        if signed.root != root:
            raise HeadRefused(f"the log's first {last.size} entries are not those of its last signed head")

    def _sign(self, tree: Frontier) -> SignedHead:
        if self.sign is None:
            raise KeyMissing(
                "there is no log key to sign with", hint="restore it from a backup, or sign where it is kept"
            )
        root = tree.root()
        note = sign_head(TreeHead(self.origin, tree.size, root), *self.sign())
        head = SignedHead(size=tree.size, root=root, at=self.now(), note=note)
        self.heads.add_head(head)
        return head
