"""Verifying an export: whether this ledger is what its signed heads, an auditor and the database say.

A first pass in the ledger's order, with one line in memory at a time: the tree's frontier gives the root whenever the
pass reaches the size of a head, and the log's own key events, each proven, say whose heads count from there on. The
first failure stops it, named with its entry and line. A difference from the database's log is only remembered on the
way, because a head that fails later says which of the two sides was changed. A second pass holds every attested entry
against its envelope: a key may be revoked for entries long past, so all keys must be known before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from interlock.evidence.attestations import Attested, Check, Envelopes, check_all, check_signed, take_change
from interlock.evidence.cosignature import read_cosignatures
from interlock.evidence.directory import KeyDirectory, is_key_change
from interlock.evidence.errors import (
    EvidenceError,
    FileMissing,
    HeadOrderBroken,
    HeadSignatureInvalid,
    KeyNoLongerValid,
    LedgerTruncated,
    LedgerUnsigned,
    LineMalformed,
    LogMismatch,
    NoteRejected,
    NoteUntrusted,
    ProjectionMismatch,
    QuorumUnmet,
    RootMismatch,
    SavedHeadMismatch,
    TailTorn,
)
from interlock.evidence.head import MAX_HEAD_LINE, open_head, parse_body, read_head
from interlock.evidence.ledger import MAX_LINE, attested_event, read_line
from interlock.evidence.models import Attestations, LedgerEntry, Report, TreeHead
from interlock.evidence.note import Verifier, text_of
from interlock.evidence.policy import Policy
from interlock.evidence.predicates import DEMANDED
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
    note: str
    trusted: bool
    """Whether a trusted key signed it; else a key must have, of which the log tells before it."""

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
    envelopes: Path | None = None,
    policy: Policy | None = None,
    own_signatures: bool = False,
) -> Report:
    """Check a whole export; return what was found or raise the `EvidenceError` of the first failure.

    `origin` is the log's name, where it is known. `since` are notes of heads that an auditor saved. `reference` yields
    the database's leaves in order; the ledger may be neither shorter nor longer nor different. `envelopes` is the
    folder of attestations (default: beside the ledger), `policy` says which witnesses must have cosigned the last
    head, and with `own_signatures` no approval may be signed by the service on somebody's behalf. Nothing is written.
    """
    known = tuple(verifiers)
    saved = sorted(_saved(since, known), key=_size)
    kept = Envelopes(envelopes if envelopes is not None else ledger.parent / "envelopes")
    with _opened(ledger) as ledger_file, _opened(heads) as heads_file:
        comparison = _Comparison(reference)
        keys = _Keys(known, kept)
        walk = _Walk(keys.follow(comparison.follow(_entries(ledger_file))), comparison, progress, origin, keys)
        for mark in merge(_marks(heads_file, known), saved, key=_size):
            walk.pass_head(mark)
        walk.pass_rest()
        comparison.conclude()
        if walk.last is not None:
            _compare_keys(ledger.parent / "keys.json", keys.directory.render(walk.last.head.origin))
        attested = _attested(ledger_file, walk.tree.size)
        check = Check(directory=keys.directory, envelopes=kept, own_signatures=own_signatures)
        found = check_all(check, attested, progress)
    if walk.last is None:
        raise LedgerUnsigned(f"no signed head vouches for these {walk.tree.size} entries")
    witnesses = _quorum(policy, ledger.parent / "cosignatures.jsonl", walk.last)
    return _report(walk, found, saved=bool(saved), witnesses=witnesses)


def _report(walk: _Walk, found: Attestations, *, saved: bool, witnesses: tuple[str, ...]) -> Report:
    covered = walk.last.size if walk.last else 0
    uncovered = walk.tree.size - covered
    caveats: list[str] = []
    if uncovered:
        caveats.append(f"{uncovered} entries after the last signed head are not covered by a signature")
    if not saved and not witnesses:
        caveats.append("no saved head was given: a rewrite by whoever holds the log's key would not be seen")
    if found.unverified:
        caveats.append(f"{found.unverified} attestations are unverified: the log told of no key that signed them")
    return Report(
        entries=walk.tree.size,
        root=walk.tree.root().hex(),
        heads=walk.heads,
        last_head=covered,
        uncovered=uncovered,
        caveats=tuple(caveats),
        attestations=found,
        keys=len(walk.keys.directory.keys),
        witnesses=witnesses,
    )


def _compare_keys(window: Path, due: bytes) -> None:
    """Hold `keys.json` against the log and its name: readers take it for what the log says."""
    try:
        found = window.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise FileMissing(f"{window} can not be read: {error.strerror}") from None
    if found != due:
        raise ProjectionMismatch(f"{window} does not say what the log says of its keys")


def _quorum(policy: Policy | None, file: Path, last: _Mark) -> tuple[str, ...]:
    """Return the policy's witnesses that cosigned the last head; raises `QuorumUnmet` where they are too few."""
    if policy is None:
        return ()
    policy.check_log(last.note)
    cosigned = policy.cosigned(text_of(last.note), read_cosignatures(file, last.size))
    if not policy.met_by(cosigned):
        names = ", ".join(sorted(cosigned)) or "none"
        raise QuorumUnmet(f"the policy asks for the quorum {policy.quorum}; {last} was cosigned by {names}")
    return tuple(sorted(cosigned))


def _attested(file: BinaryIO, size: int) -> Iterator[Attested]:
    """Yield the attested entries of a ledger that was walked before."""
    file.seek(0)
    for index in range(size):
        if event := attested_event(file.readline(MAX_LINE + 1)):
            yield Attested(index, event)


@dataclass(slots=True)
class _Keys:
    """The log's own keys, learned on the way."""

    roots: tuple[Verifier, ...]
    envelopes: Envelopes
    directory: KeyDirectory = field(default_factory=KeyDirectory)

    def follow(self, entries: Iterator[LedgerEntry]) -> Iterator[LedgerEntry]:
        """Yield the entries as they are."""
        for entry in entries:
            kind = entry.event["kind"]
            if kind in DEMANDED and self.directory.begun_at is not None:
                check_signed(Attested(entry.index, entry.event))
            elif is_key_change(kind):
                take_change(self.directory, self.roots, self.envelopes, Attested(entry.index, entry.event))
            yield entry

    def check_head(self, mark: _Mark) -> None:
        """Raise unless a key signed the head that counts at its last entry."""
        at = max(0, mark.size - 1)
        valid = self.directory.log_verifiers(at, self.roots)
        if mark.trusted and set(self.roots) <= set(valid):
            return
        try:
            open_head(mark.note, valid)
        except NoteUntrusted as error:
            ended = [key for key in self.directory.log_keys() if _signed(mark, key.verifier)]
            if ended:
                raise KeyNoLongerValid(f"{mark}: {ended[0].outside(at)}", line=mark.line) from None
            raise HeadSignatureInvalid(f"{mark}: {error.message}", line=mark.line) from error
        except NoteRejected as error:
            raise HeadSignatureInvalid(f"{mark}: {error.message}", line=mark.line) from error


def _signed(mark: _Mark, verifier: Verifier) -> bool:
    try:
        open_head(mark.note, [verifier])
    except NoteRejected:
        return False
    return True


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
    keys: _Keys
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
        if size >= mark.size or not mark.trusted:
            self.keys.check_head(mark)
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
        mark = _read_mark(kept.note, known, number)
    except LineMalformed as error:
        raise LineMalformed(error.message, line=number) from None
    except NoteRejected as error:
        raise HeadSignatureInvalid(error.message, line=number) from error
    if (kept.size, kept.root) != (mark.head.size, mark.head.root):
        raise HeadSignatureInvalid("size and root are not what the signed note says", line=number)
    return mark


def _read_mark(note: str, known: tuple[Verifier, ...], line: int | None) -> _Mark:
    """Read a signed head; whether a key signed it of which only the log tells, is seen on the way."""
    try:
        return _Mark(open_head(note, known), line, note, trusted=True)
    except NoteUntrusted:
        return _Mark(parse_body(text_of(note)), line, note, trusted=False)


def _saved(notes: Sequence[str], known: tuple[Verifier, ...]) -> Iterator[_Mark]:
    for number, note in enumerate(notes, 1):
        try:
            yield _read_mark(note, known, None)
        except NoteRejected as error:
            raise HeadSignatureInvalid(f"saved head {number}: {error.message}") from error
