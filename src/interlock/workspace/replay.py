"""Replay: pipelines and deployments from the exported ledger alone, and every evidence file held against it.

Reads a workspace, or a copy of one: no database, no lock, nothing is written. The first failure of the ledger itself
ends it; what differs in the files that follow the log is collected, and the gravest kind is told first.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from interlock.evidence.attestations import Attested, Check, Envelopes, take_change
from interlock.evidence.directory import KeyDirectory, is_key_change
from interlock.evidence.errors import (
    EvidenceError,
    FileMissing,
    HeadOrderBroken,
    HeadSignatureInvalid,
    LedgerTruncated,
    LineMalformed,
    MirrorDrift,
    NoteRejected,
    ReportMismatch,
    RootMismatch,
    StateMismatch,
)
from interlock.evidence.head import MAX_HEAD_LINE, open_head, read_head
from interlock.evidence.keys import load_verifiers
from interlock.evidence.ledger import MAX_LINE, read_line
from interlock.evidence.models import LedgerEntry, LoggedEvent, SignedHead
from interlock.evidence.note import Verifier
from interlock.kernel.canonical import Json
from interlock.kernel.clock import from_text
from interlock.kernel.errors import Invalid
from interlock.pipelines import receipts
from interlock.pipelines.events import StageReceipted
from interlock.pipelines.rendering import SNAPSHOTS, STATE_PATH, STREAMS, Changes, Projection, paths_of
from interlock.pipelines.report import REPORT_PATH, explain_difference
from interlock.workspace.layout import STATE_FOLDER

if TYPE_CHECKING:  # as in `pipelines.rendering`
    from interlock.pipelines.models import Fleet

_EVIDENCE: Final = "storage/db/evidence"
_LEDGER: Final = f"{_EVIDENCE}/ledger.jsonl"
_SETTLING_SECONDS: Final = 1.0
T = TypeVar("T")
_INDEX: Final = re.compile(r"[0-9]{1,15}", re.ASCII)


class NotThen(Invalid):
    """This is no moment of the log."""

    code = "not_then"
    default_hint = "give the index of an entry, or a time like 2026-11-21T08:00:00Z"


class Problem(NamedTuple):
    """What is wrong with a file that follows the log."""

    path: str
    """Below the workspace."""
    problem: str
    """`missing`, `ends early`, `differs` or `unexpected`."""
    words: str
    """Where, as a sentence."""


class Watched:
    """A file that is only appended to, held against what it should say while that comes."""

    def __init__(self, root: Path, path: str) -> None:
        self.path = path
        self.agreed = 0
        """Bytes that are as they should be."""
        self._lines = 0
        self._problem: Problem | None = None
        self._ended = False
        self._descriptor = self._open(root / path)

    def _open(self, path: Path) -> int | None:
        try:
            return _open_plain(path)
        except FileNotFoundError:
            self._problem = self._is("missing", "it is not there")
        except OSError as error:
            self._problem = self._is("differs", f"it can not be read: {error.strerror}")
        return None

    def expect(self, data: bytes) -> None:
        """Hold the file's next bytes against these."""
        if self._problem or self._descriptor is None:
            return
        found = b"" if self._ended else self._read(len(data))
        if found == data:
            self.agreed += len(data)
            self._lines += _lines(data)
        elif data.startswith(found):
            self.agreed += len(found)
            self._lines += _lines(found)
            self._problem = self._is("ends early", f"it ends in line {self._lines + 1}, the log goes on")
        else:
            line = self._lines + _lines(_common(found, data)) + 1
            self._problem = self._is("differs", f"line {line} is not what the log says")

    def close(self) -> Problem | None:
        """Say what is wrong, now that nothing else should follow."""
        if self._descriptor is not None:
            if not self._problem and self._read(1):
                self._problem = self._is("differs", f"line {self._lines + 1} is one that the log does not tell")
            os.close(self._descriptor)
            self._descriptor = None
        return self._problem

    def _read(self, size: int) -> bytes:
        assert self._descriptor is not None  # noqa: S101 - asked by whoever has seen that it is open
        parts: list[bytes] = []
        while size and (part := self._part(size)):
            parts.append(part)
            size -= len(part)
        self._ended = bool(size)
        return b"".join(parts)

    def _part(self, size: int) -> bytes:
        try:
            return os.read(self._descriptor or 0, size)
        except OSError as error:
            self._problem = self._is("differs", f"it can not be read: {error.strerror}")
            return b""

    def _is(self, problem: str, words: str) -> Problem:
        return Problem(self.path, problem, words)


class Held:
    """Every file that follows the log, held against it while it is followed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._streams = {stream: [Watched(root, path) for path in paths_of(stream)] for stream in STREAMS}
        self._whole: dict[str, bytes] = {}

    def expect(self, changes: Changes) -> None:
        """Hold what a part of the log adds against the files."""
        for stream, lines in changes.appended.items():
            data = b"".join(lines)
            for each in self._streams[stream]:
                each.expect(data)
        self._whole |= changes.whole

    def close(self, state: bytes | None) -> list[Problem]:
        """Return what is wrong; `state` is what `state.json` should say, None where there should be none."""
        found = [each.close() for files in self._streams.values() for each in files]
        if state is None:
            return []
        found += [whole(self._root, path, data) for path, data in self._whole.items()]
        problems = [each for each in found if each]
        if (wrong := whole(self._root, STATE_PATH, state)) is not None:
            problems.append(wrong)
        return [*problems, *self._unexpected()]

    def _unexpected(self) -> Iterator[Problem]:
        for folder, end in SNAPSHOTS.items():
            for path in sorted((self._root / folder).glob(f"*{end}")):
                if (name := f"{folder}/{path.name}") not in self._whole:
                    yield Problem(name, "unexpected", "the log does not tell of it")


def whole(root: Path, path: str, expected: bytes) -> Problem | None:
    """Say what is wrong with a file that is written as a whole."""
    found = read_plain(root / path)
    if found == expected:
        return None
    if found is None:
        return Problem(path, "missing", "it is not there, or no plain file that can be read")
    return Problem(path, "differs", f"line {_lines(_common(found, expected)) + 1} is not what the log says")


def _common(one: bytes, other: bytes) -> bytes:
    end = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:end]


def _lines(data: bytes) -> int:
    return data.count(b"\n")


def read_plain(path: Path) -> bytes | None:
    """Return a file's bytes; None where there is none, or where it is a link or can not be read."""
    try:
        with os.fdopen(_open_plain(path), "rb") as file:
            return file.read()
    except OSError:
        return None


def _open_plain(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is no plain file")


# --- the ledger -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One entry of the ledger, as the history of a pipeline or deployment shows it."""

    index: int
    time: str
    kind: str
    principal: str
    payload: Mapping[str, Json]
    attestation: str | None
    """Digest of its envelope."""
    signed_by: str | None
    """Whose signature the envelope was seen to bear: `principal`, `service_on_behalf`, `log`; `unverified` where the
    log did not tell of a key yet; None where nothing is attested."""
    covered: bool
    """Whether a signed head covers it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What the ledger comes to."""

    fleet: Fleet
    entries: int
    """How many of the ledger's entries were followed."""
    last_index: int | None
    """Of the last entry that changed a pipeline or a deployment."""
    root: str | None
    """Of the tree up to it, hex."""
    state: bytes
    """What `state.json` says then."""
    covered: int
    """How many entries a signed head covers; 0 where none was found."""
    history: tuple[Moment, ...] = ()
    """Of the subject that was asked for."""
    caveats: tuple[str, ...] = ()
    """What this can not say, as sentences."""


def replay(root: Path, at: str | int | None = None, *, subject: str | None = None, key: Path | None = None) -> Replayed:
    """Rebuild pipelines and deployments from the ledger, and hold the files that follow the log against it.

    With `at`, an entry's index or an instant, it ends with that entry or the last one before a later one, and no file
    is looked at. `key` is a file of the log's public keys, got another way; without it the one beside the ledger is
    taken. With `subject` each attested entry of that pipeline or deployment is verified, too. Raises the
    ledger's own errors (exit 10 to 27), `MirrorDrift` (30), `ReportMismatch` (31), `StateMismatch` (32) or `NotThen`.
    """
    ends = _end(at)
    walk = _Walk(root, subject, key)
    held = Held(root) if at is None else None
    try:
        with _opened(root / _LEDGER) as lines:
            for entry in _entries(lines):
                if ends(entry):
                    break
                walk.take(entry)
                told = walk.told()
                if held:
                    held.expect(told)
        if at is None:
            walk.check_end()
        elif isinstance(at, int) or _INDEX.fullmatch(at):
            _reached(walk, int(at))
        problems = held.close(walk.state() if walk.projection.next_index else None) if held else []
    finally:
        if held:
            held.close(None)
    if problems:
        raise _told(root, problems)
    return walk.conclude()


def rebuild(root: Path) -> bytes | None:
    """Return what `state.json` should say by the ledger alone; None where there is no ledger, or an empty one."""
    if not (root / _LEDGER).exists():
        return None
    walk = _Walk(root)
    with _opened(root / _LEDGER) as lines:
        for entry in _entries(lines):
            walk.take(entry)
            walk.told()
    walk.check_end()
    return walk.state() if walk.projection.next_index else None


def render_report(root: Path) -> bytes:
    """Return the report of deployment outcomes as the ledger tells it; raises the ledger's own errors."""
    projection, parts = Projection(folds=False), list[bytes]()
    with _opened(root / _LEDGER) as lines:
        for entry in _entries(lines):
            changes = Changes()
            _follow(projection, entry, changes)
            parts += changes.appended.get(REPORT_PATH, ())
    return b"".join(parts)


def verify_report(root: Path) -> int:
    """Hold the report against the ledger; returns how many rows it has, raises `ReportMismatch`."""
    expected = render_report(root)
    found = read_plain(root / REPORT_PATH)
    if found is None and expected:
        raise ReportMismatch(f"{root / REPORT_PATH} is not there, or no plain file that can be read")
    if words := explain_difference((found or b"").decode("utf-8", "replace"), expected.decode()):
        raise ReportMismatch(f"{root / REPORT_PATH}: {words}")
    return max(0, expected.count(b"\n") - 4)


def settled(root: Path, look: Callable[[], T]) -> T:
    """Look; in a workspace that is in use, where a command may be writing just now, for a moment until it fits."""
    deadline = time.monotonic() + (_SETTLING_SECONDS if os.access(root / STATE_FOLDER, os.W_OK) else 0)
    while True:
        try:
            return look()
        except (MirrorDrift, ReportMismatch, StateMismatch):
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.05)


@dataclass
class _Walk:
    """One pass through the ledger."""

    root: Path
    subject: str | None = None
    key: Path | None = None
    projection: Projection = field(default_factory=Projection)
    directory: KeyDirectory = field(default_factory=KeyDirectory)
    roots: tuple[Verifier, ...] = ()
    covered: int = 0
    about: list[LedgerEntry] = field(default_factory=list[LedgerEntry])
    caveats: list[str] = field(default_factory=list[str])
    _changes: Changes = field(default_factory=Changes)

    def __post_init__(self) -> None:
        folder = self.root / _EVIDENCE
        self.envelopes = Envelopes(folder / "envelopes")
        key = self.key if self.key is not None else folder / "log.vkey"
        if self.key is not None or key.exists():
            self.roots = tuple(load_verifiers(key))
            self._heads = _heads(folder / "heads.jsonl")
        else:
            self._heads = iter(())
            self.caveats.append(f"{key} is not there: no signature was checked")
        self._head = next(self._heads, None)

    def take(self, entry: LedgerEntry) -> None:
        """Follow an entry."""
        _follow(self.projection, entry, self._changes)
        if self.roots and is_key_change(entry.event["kind"]):
            take_change(self.directory, self.roots, self.envelopes, Attested(entry.index, entry.event))
        if self.subject is not None and _is_about(entry.event, self.subject):
            self.about.append(entry)
        while self._head is not None and self._head.size <= self.projection.next_index:
            self._pass_head(self._head)
            self._head = next(self._heads, None)

    def state(self) -> bytes:
        """Return what `state.json` says; raises `StateMismatch` where the events are none that could say something."""
        try:
            return self.projection.state()
        except (KeyError, TypeError, ValueError) as error:
            raise StateMismatch(f"no state can be told of these events: {error!r}") from None

    def told(self) -> Changes:
        """Return what the entries since the last call add to the files."""
        told, self._changes = self._changes, Changes()
        return told

    def check_end(self) -> None:
        """Raise `LedgerTruncated` where a signed head covers more than there was."""
        if self._head is not None:
            raise LedgerTruncated(
                f"a signed head covers {self._head.size} entries, the ledger ends before",
                index=self.projection.next_index,
                line=self.projection.next_index + 1,
            )

    def conclude(self) -> Replayed:
        """Return what it came to."""
        projection, state = self.projection, self.state()
        check = Check(directory=self.directory, envelopes=self.envelopes)
        return Replayed(
            fleet=projection.states.fleet(),
            entries=projection.next_index,
            last_index=projection.last_index,
            root=projection.root,
            state=state,
            covered=self.covered,
            history=tuple(self._moment(entry, check) for entry in self.about),
            caveats=tuple(self.caveats),
        )

    def _moment(self, entry: LedgerEntry, check: Check) -> Moment:
        event, found = entry.event, entry.event["payload"].get("attestation")
        named = found.get("digest") if isinstance(found, Mapping) else None
        return Moment(
            index=entry.index,
            time=event["time"],
            kind=event["kind"],
            principal=event["principal"],
            payload=event["payload"],
            attestation=named if isinstance(named, str) else None,
            signed_by=check.one(Attested(entry.index, event)) if isinstance(named, str) else None,
            covered=entry.index < self.covered,
        )

    def _pass_head(self, head: SignedHead) -> None:
        index = head.size - 1
        if head.size < self.projection.next_index:
            raise HeadOrderBroken(f"the head of {head.size} entries stands behind a larger one")
        if self.projection.tree.root() != head.root:
            raise RootMismatch(f"the signed head of {head.size} entries has another root", index=index, line=head.size)
        try:
            open_head(head.note, self.directory.log_verifiers(max(0, index), self.roots))
        except NoteRejected as error:
            raise HeadSignatureInvalid(f"the head of {head.size} entries: {error.message}") from None
        self.covered = head.size


def _follow(projection: Projection, entry: LedgerEntry, changes: Changes) -> None:
    try:
        projection.take(entry.leaf, changes)
        if entry.event["kind"] == StageReceipted.kind:
            receipts.check(entry.event["payload"])
    except (KeyError, TypeError, ValueError) as error:
        # a KeyError's text is no sentence, and a move that can not be has one of its own
        words = str(error) if isinstance(error, ValueError) else f"it lacks what it has to tell: {error!r}"
        raise StateMismatch(words, index=entry.index, line=entry.index + 1) from None


def _is_about(event: LoggedEvent, subject: str) -> bool:
    told = event["payload"]
    return event["subject"] == subject or subject in (told.get("pipeline_id"), told.get("workflow_id"))


def _heads(path: Path) -> Iterator[SignedHead]:
    if not path.exists():
        return
    with _opened(path, MAX_HEAD_LINE) as lines:
        for number, line in enumerate(lines, 1):
            try:
                head = read_head(line)
            except LineMalformed as error:
                raise LineMalformed(error.message, line=number) from None
            if head.size:
                yield head


class _opened:  # noqa: N801 - reads as the words that it is in a with statement
    """The lines of a file, none longer than it may be."""

    def __init__(self, path: Path, most: int = MAX_LINE) -> None:
        self._path, self._most = path, most

    def __enter__(self) -> Iterator[bytes]:
        try:
            self._file = self._path.open("rb")
        except OSError as error:
            raise FileMissing(f"{self._path} can not be read: {error.strerror}") from None
        return iter(lambda: self._file.readline(self._most + 1), b"")

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _entries(lines: Iterable[bytes]) -> Iterator[LedgerEntry]:
    for index, line in enumerate(lines):
        yield read_line(line, index)


def _end(at: str | int | None) -> Callable[[LedgerEntry], bool]:
    """Return what says of an entry that it comes after the moment that is asked for."""
    if at is None:
        return lambda _: False
    if isinstance(at, int) or _INDEX.fullmatch(at):
        index = int(at)
        return lambda entry: entry.index > index
    until = instant(at)
    return lambda entry: from_text(entry.event["time"]) > until


def _reached(walk: _Walk, index: int) -> None:
    if walk.projection.next_index != index + 1:
        raise NotThen(f"the ledger has no entry {index}: it has {walk.projection.next_index}")


def instant(text: str) -> int:
    """Read an instant with its offset from UTC, in ISO 8601, as milliseconds; raises `NotThen`."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        read = None
    if read is None or read.tzinfo is None:
        raise NotThen(f"neither the index of an entry nor an instant with its offset from UTC: {text[:60]!a}")
    return int(read.timestamp() * 1000)


def _told(root: Path, problems: Sequence[Problem]) -> EvidenceError:
    """Return the error that tells the first problem of the gravest kind, and how many there are besides."""
    order = sorted(problems, key=lambda each: (each.path == REPORT_PATH, each.path == STATE_PATH))
    first = order[0]
    if first.path == REPORT_PATH:
        kind, words = ReportMismatch, _report_words(root) or first.words
    else:
        kind, words = (StateMismatch if first.path == STATE_PATH else MirrorDrift), first.words
    rest = ", ".join(each.path for each in order[1:])
    return kind(f"{first.path}: {words}" + (f" (and also {rest})" if rest else ""))


def _report_words(root: Path) -> str | None:
    try:
        verify_report(root)
    except ReportMismatch as error:
        return error.message.partition(": ")[2]
    return None


def show_replayed(replayed: Replayed) -> dict[str, Any]:
    """Return it as JSON: pipelines and deployments as `state.json` has them."""
    import json  # noqa: PLC0415 - only the door asks

    return {
        "entries": replayed.entries,
        "covered": replayed.covered,
        **json.loads(replayed.state),
        "history": [show_moment(each) for each in replayed.history],
        "caveats": list(replayed.caveats),
    }


def show_moment(moment: Moment) -> dict[str, Any]:
    """Return an entry of a history as JSON."""
    return {name: getattr(moment, name) for name in Moment.__slots__}
