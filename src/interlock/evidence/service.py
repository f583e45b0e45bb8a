"""The verbs of the room over one log: sign its head, prove an entry, export it. Verification needs no log: `verify`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from interlock.evidence.errors import EntryNotCovered, HeadRefused, KeyMissing, NoteRejected
from interlock.evidence.export import write_export
from interlock.evidence.head import open_head, sign_head
from interlock.evidence.models import SignedHead, TreeHead
from interlock.evidence.note import Signer, Verifier
from interlock.evidence.ports import HeadWriter, LogReader
from interlock.evidence.proof import Proof, encode_proof
from interlock.evidence.tree import Frontier, inclusion_path, root_of
from interlock.kernel.clock import Clock


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
    sign: Callable[[], Signer] | None = None
    """Gives the log's key, when something is to be signed; absent where only reading is allowed."""

    def head(self) -> SignedHead:
        """Return a signed head of the present log, signing one if there is none of its size.

        The log is hashed anew and must extend its last signed head, else `HeadRefused`. `KeyMissing` without a signer.
        """
        last = self.log.last_head()
        size = self.log.size()
        old = last.size if last else 0
        if old > size:
            raise HeadRefused(f"the last signed head covers {old} entries, the log has {size}")
        leaves = iter(self.log.leaf_hashes(size))
        before = Frontier().extend(islice(leaves, old))
        if last:
            self._check_last(last, before.root())
            if old == size:
                return last
        return self._sign(before.extend(leaves))

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

    def export(self, folder: Path) -> None:
        """Write `ledger.jsonl`, `heads.jsonl`, `log.vkey` and `README.txt` into `folder`, each atomically."""
        write_export(self.log, self.verifiers, self.origin, folder)

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
        note = sign_head(TreeHead(self.origin, tree.size, root), self.sign())
        head = SignedHead(size=tree.size, root=root, at=self.now(), note=note)
        self.heads.add_head(head)
        return head
