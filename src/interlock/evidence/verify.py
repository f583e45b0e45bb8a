"""Verifying an export: whether this ledger is what its signed heads, an auditor and the database say.

One pass in the ledger's order with one line in memory at a time: the tree's frontier gives the root whenever the pass
reaches the size of a head. The first failure stops it, named with its entry and line. A difference from the database's
log is only remembered on the way, because a head that fails later says which of the two sides was changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from interlock.evidence.errors import (
    EvidenceError,
    FileMissing,
    HeadOrderBroken,
    HeadSignatureInvalid,
    LedgerTruncated,
    LedgerUnsigned,
    LineMalformed,
    LogMismatch,
    NoteRejected,
    RootMismatch,
    SavedHeadMismatch,
    TailTorn,
)
from interlock.evidence.head import MAX_HEAD_LINE, open_head, read_head
from interlock.evidence.ledger import MAX_LINE, read_line
from interlock.evidence.models import LedgerEntry, Report, TreeHead
from interlock.evidence.note import Verifier
from interlock.evidence.tree import Frontier

Progress = Callable[[int], None]
"""Is told, now and then, how many entries are checked."""

_BATCH = 4096


@dataclass(frozen=True, slots=True)
class _Mark:
    """A signed head at which the pass compares roots."""

    head: TreeHead
    line: int | None
    """Of heads.jsonl; None for a head that an auditor saved."""

    @property
    def size(self) -> int:
        return self.head.size

    def __str__(self) -> str:
        origin = "a saved head" if self.line is None else f"the head on line {self.line} of heads.jsonl"
        return f"{origin} (size {self.size})"


def verify_export(
    ledger: Path,
    heads: Path,
    verifiers: Iterable[Verifier],
    *,
    origin: str | None = None,
    since: Sequence[str] = (),
    reference: Iterable[bytes] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Check a whole export; return what was found or raise the `EvidenceError` of the first failure.

    `origin` is the log's name, where it is known. `since` are notes of heads that an auditor saved. `reference` yields
    the database's leaves in order; the ledger may be neither shorter nor longer nor different. Nothing is written.
    """
    known = tuple(verifiers)
    saved = sorted(_saved(since, known), key=_size)
    with _opened(ledger) as ledger_file, _opened(heads) as heads_file:
        comparison = _Comparison(reference)
        walk = _Walk(comparison.follow(_entries(ledger_file)), comparison, progress, origin)
        for mark in merge(_marks(heads_file, known), saved, key=_size):
            walk.pass_head(mark)
        walk.pass_rest()
    comparison.conclude()
    if walk.last is None:
        raise LedgerUnsigned(f"no signed head vouches for these {walk.tree.size} entries")
    return _report(walk, covered=walk.last.size, saved=bool(saved))


def _report(walk: _Walk, *, covered: int, saved: bool) -> Report:
    uncovered = walk.tree.size - covered
    caveats: list[str] = []
    if uncovered:
        caveats.append(f"{uncovered} entries after the last signed head are not covered by a signature")
    if not saved:
        caveats.append("no saved head was given: a rewrite by whoever holds the log's key would not be seen")
    return Report(
        entries=walk.tree.size,
        root=walk.tree.root().hex(),
        heads=walk.heads,
        last_head=covered,
        uncovered=uncovered,
        caveats=tuple(caveats),
    )


@dataclass(slots=True)
class _Comparison:
    """Holds the ledger's leaves against the database's, and remembers the first difference."""

    reference: Iterable[bytes] | None
    difference: LogMismatch | None = None

    def follow(self, entries: Iterator[LedgerEntry]) -> Iterator[LedgerEntry]:
        """Yield the entries as they are."""
        if self.reference is None:
            yield from entries
            return
        theirs, size = iter(self.reference), 0
        for entry in entries:
            size += 1
            if self.difference is None and (leaf := next(theirs, None)) != entry.leaf:
                what = "is not in the database's log" if leaf is None else "differs from the database's log"
                self.difference = LogMismatch(f"the entry {what}", index=entry.index, line=entry.index + 1)
            yield entry
        if self.difference is None and next(theirs, None) is not None:
            self.difference = LogMismatch("the ledger ends, the database's log goes on", index=size, line=size + 1)

    def conclude(self) -> None:
        """Raise what was remembered."""
        if self.difference:
            raise self.difference


@dataclass(slots=True)
class _Walk:
    """One pass through the ledger, from head to head."""

    entries: Iterator[LedgerEntry]
    comparison: _Comparison
    progress: Progress | None
    origin: str | None
    tree: Frontier = field(default_factory=Frontier)
    last: _Mark | None = None
    heads: int = 0

    def pass_head(self, mark: _Mark) -> None:
        """Go on to the head's size and compare roots."""
        if self.origin not in (None, mark.head.origin):
            raise HeadSignatureInvalid(f"{mark} is of the log {mark.head.origin}, not of {self.origin}", line=mark.line)
        if self.last and mark.head.origin != self.last.head.origin:
            raise _head_error(HeadOrderBroken, mark, f"{mark} is of another log than {self.last}", other=self.last)
        self._advance(mark.size)
        size = self.tree.size
        if size < mark.size:
            raise _head_error(LedgerTruncated, mark, f"{mark} covers it, but the ledger ends before", index=size)
        if self.tree.root() != mark.head.root:
            raise _head_error(
                RootMismatch,
                mark,
                f"this entry, or one up to {size - 1}, is not what {mark} signed",
                index=self._suspect(),
            )
        self.last = mark
        self.heads += 1

    def pass_rest(self) -> None:
        """Go on to the ledger's end."""
        self._advance(None)

    def _suspect(self) -> int:
        """Return the first entry that can be at fault: the one unlike the database's, or the first not vouched for."""
        found = self.comparison.difference
        return found.index if found and found.index is not None else (self.last.size if self.last else 0)

    def _advance(self, size: int | None) -> None:
        while size is None or self.tree.size < size:
            room = _BATCH if size is None else min(_BATCH, size - self.tree.size)
            batch = [entry.leaf_hash for entry in islice(self.entries, room)]
            if not batch:
                return
            self.tree = self.tree.extend(batch)
            if self.progress:
                self.progress(self.tree.size)


def _head_error(
    kind: type[EvidenceError], mark: _Mark, message: str, *, index: int | None = None, other: _Mark | None = None
) -> EvidenceError:
    """Return an error of this kind, or `SavedHeadMismatch` where an auditor's head is what shows it."""
    shown_by_auditor = mark.line is None or (other is not None and other.line is None)
    line = mark.line if index is None else index + 1
    return (SavedHeadMismatch if shown_by_auditor else kind)(message, index=index, line=line)


def _size(mark: _Mark) -> int:
    return mark.size


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise FileMissing(f"{path} can not be read: {error.strerror}") from None


def _entries(file: BinaryIO) -> Iterator[LedgerEntry]:
    index = 0
    while line := file.readline(MAX_LINE + 1):
        yield read_line(line, index)
        index += 1


def _marks(file: BinaryIO, known: tuple[Verifier, ...]) -> Iterator[_Mark]:
    """Yield the heads of a heads.jsonl, each signed, by rising size."""
    before: _Mark | None = None
    number = 0
    while line := file.readline(MAX_HEAD_LINE + 1):
        number += 1
        mark = _mark(line, number, known)
        if before and (mark.size < before.size or (mark.size == before.size and mark.head.root != before.head.root)):
            raise HeadOrderBroken(f"{mark} contradicts {before}", line=number)
        yield mark
        before = mark


def _mark(line: bytes, number: int, known: tuple[Verifier, ...]) -> _Mark:
    if len(line) > MAX_HEAD_LINE:
        raise LineMalformed(f"a head's line has at most {MAX_HEAD_LINE} bytes", line=number)
    if not line.endswith(b"\n"):
        raise TailTorn(line=number)
    try:
        kept = read_head(line)
        signed = open_head(kept.note, known)
    except LineMalformed as error:
        raise LineMalformed(error.message, line=number) from None
    except NoteRejected as error:
        raise HeadSignatureInvalid(error.message, line=number) from error
    if (kept.size, kept.root) != (signed.size, signed.root):
        raise HeadSignatureInvalid("size and root are not what the signed note says", line=number)
    return _Mark(signed, number)


def _saved(notes: Sequence[str], known: tuple[Verifier, ...]) -> Iterator[_Mark]:
    for number, note in enumerate(notes, 1):
        try:
            yield _Mark(open_head(note, known), None)
        except NoteRejected as error:
            raise HeadSignatureInvalid(f"saved head {number}: {error.message}") from error
