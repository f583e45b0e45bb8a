"""Windows: the files under `.orch_data/ops/` and `storage/db/evidence/`, following the log.

Render = lock → read the database now → temporary file and rename → store the cursor. Every command that wrote catches
the cursor up, so repairing after a crash is the ordinary way. A draft's approval is published with one rename(2): the
draft's file gets the approved content, then it moves, so exactly one of the two names exists at every instant.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from interlock.access.models import Actor
from interlock.approval.models import DraftStatus
from interlock.approval.service import Approval
from interlock.approval.shown import show_approved, show_draft, show_plan
from interlock.evidence import publish
from interlock.evidence.head import render_head
from interlock.kernel.clock import from_text, system_clock
from interlock.kernel.events import Event
from interlock.kernel.ids import has_prefix, with_prefix
from interlock.queue import run_log
from interlock.runs.service import Runs
from interlock.workspace import attestations, ledger
from interlock.workspace.attestations import EventLog
from interlock.workspace.errors import WindowsBusy, WindowsUnreadable
from interlock.workspace.events import WindowCompleted, WindowsRebuilt
from interlock.workspace.layout import Layout
from interlock.workspace.rendering import LOG_LINES, as_file, show_run_window
from interlock.workspace.run_loops import RunLoops

_PATIENCE_SECONDS = 30.0
_CATCHING_UP_SECONDS = 2.0
_LATE_MS = 3_600_000
_FOLDERS = ("drafts", "approved", "runs")
_SHOWN = {"plan", "draft", "approval", "run", "content"}
"""Of what kinds of events the subjects have a JSON window."""
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Difference:
    """A window that is not what the database says."""

    path: Path
    problem: str
    """`missing`, `differs` or `unexpected`."""


@dataclass(frozen=True, slots=True)
class _Cursor:
    shown: int
    """Events before this leaf index are in the JSON windows."""
    attested: int
    """The envelopes of events before this leaf index, and what they say of keys, are beside the ledger."""
    ledger: ledger.Tail


@dataclass(frozen=True, kw_only=True)
class Windows:
    """One workspace's windows."""

    layout: Layout
    log: EventLog
    approval: Approval
    runs: Runs
    tell: Callable[[Actor, Event], None]
    """Logs an event about the windows themselves."""

    def catch_up(self, actor: Actor) -> tuple[str, ...]:
        """Bring every window up to the log's end; returns what differs and was left alone, as sentences."""
        with self._locked():
            cursor = self._load()
            caught = ledger.catch_up(
                self._ledger,
                self.log,
                cursor.ledger,
                lambda entries: self.tell(
                    actor, WindowCompleted(subject="storage/db/evidence/ledger.jsonl", entries=entries)
                ),
            )
            attested = attestations.catch_up(self.layout.evidence, self.log, cursor.attested, caught.tail.entries)
            differs = caught.differs or ledger.write_heads(self._heads, self.log, caught.tail.entries)
            attestations.write_cosignatures(self.layout.evidence, self.log)
            shown = self._show_since(cursor.shown)
            self._log_runs(cursor.shown)
            after = _Cursor(shown, attested, caught.tail)
            if after != cursor:
                self._store(after)
        return (differs,) if differs else ()

    def exported(self) -> int:
        """Say how many entries the exported ledger has."""
        return self._load().ledger.entries

    def differences(self) -> list[Difference]:
        """Hold every window against the database; returns what is missing, differs, or should not be there.

        What a command is just writing differs for a moment; so what is found is looked at once more.
        """
        with self.held_still() as entries:
            found = list(self._differences(entries))
        if not found:
            return []
        with self.held_still() as entries:
            still = set(self._differences(entries))
        return [difference for difference in found if difference in still]

    def _differences(self, entries: int) -> Iterator[Difference]:
        expected: set[Path] = set()
        for path, is_right in self._checks(entries):
            expected.add(path)
            if not os.path.lexists(path):
                yield Difference(path, "missing")
            elif not _readable(path) or not is_right(path):
                yield Difference(path, "differs")
        for folder in _FOLDERS:
            for path in sorted((self.layout.ops / folder).glob("*.json")):
                if path not in expected:
                    yield Difference(path, "unexpected")

    def rebuild(self, actor: Actor, keep_as: str) -> list[Difference]:
        """Write anew what differs; a copy of each old file is kept in the state folder under `keep_as`.

        What writers that were killed left half written is cleared away.
        """
        with self._locked():
            for left in self._left_over():
                left.unlink(missing_ok=True)
            replaced = list(self._differences(self.log.size()))
            if replaced:  # told before it is done, because it may be refused: panic freezes it
                self.tell(actor, WindowsRebuilt(subject="windows", replaced=len(replaced)))
            for difference in replaced:
                self._keep(difference.path, keep_as)
            renders = dict(self._all())
            beside = dict(attestations.renders(self.layout.evidence, self.log, self.log.size()))
            for difference in replaced:
                difference.path.parent.mkdir(parents=True, exist_ok=True)  # somebody may have cleared the whole folder
                if difference.path in renders:
                    publish.replace(difference.path, [renders[difference.path](None)])
                elif difference.path in beside:
                    publish.replace(difference.path, [beside[difference.path]()])
            if any(difference.path == self._ledger for difference in replaced):
                before = self._load()
                self._store(_Cursor(before.shown, before.attested, ledger.rewrite(self._ledger, self.log)))
        self.catch_up(actor)
        return replaced

    def _left_over(self) -> Iterator[Path]:
        """List the half-written files in the folders that only the windows' writer writes, and beside its own files."""
        for folder in _FOLDERS:
            yield from publish.left_over(self.layout.ops / folder)
        for path, _ in attestations.renders(self.layout.evidence, self.log, self.log.size()):
            yield from publish.left_over(path.parent, path.name)
        for path in (self._ledger, self._heads, self._cursor_file, self.layout.ops / "plan.json"):
            yield from publish.left_over(path.parent, path.name)

    @contextmanager
    def held_still(self) -> Generator[int]:
        """Keep the exported ledger from growing, and say how many entries it should have.

        Every entry that was sealed before is written by its own command, most in a moment, so that is waited for. A
        verb for many items has them written when it has done all: what a ledger that stands as it was left does not
        have yet is not missing, unless it should have come long ago.
        """
        sealed = self.log.size()
        deadline = time.monotonic() + _CATCHING_UP_SECONDS
        while self._load().ledger.entries < sealed and time.monotonic() < deadline:
            time.sleep(0.02)
        with self._locked() if os.access(self.layout.state, os.W_OK) else nullcontext():
            left = self._load().ledger
            yield min(left.entries if self._is_on_its_way(left) else max(sealed, left.entries), self.log.size())

    def _is_on_its_way(self, left: ledger.Tail) -> bool:
        """Say whether the ledger ends where it was left, and what comes next was sealed not long ago."""
        following = self.log.events(left.entries, 1)
        if not following or not self._ledger.exists() or self._ledger.stat().st_size != left.size_bytes:
            return False
        return system_clock() - from_text(str(following[0][1]["time"])) < _LATE_MS

    # --- the JSON windows ---------------------------------------------------------------------------------------------

    def _show_since(self, start: int) -> int:
        while events := self.log.events(start, _PAGE):
            touched: dict[str, None] = {}
            for folder in _FOLDERS:  # may be another one since `init`: it is a setting
                (self.layout.ops / folder).mkdir(parents=True, exist_ok=True)
            for index, event in events:
                if event["kind"].partition(".")[0] in _SHOWN:  # other things may bear names that look like ours
                    touched[str(event["subject"])] = None
                start = index + 1
            for subject in touched:
                self._show(subject)
            RunLoops(self.layout, self.runs).follow(events)
        return start

    def _log_runs(self, start: int) -> None:
        """Add what ended to the run log. The log itself says how far it is, so nothing is in it twice."""
        resume: int | None = None
        while events := self.log.events(start, _PAGE):
            ended = [(index, lines) for index, event in events if (lines := run_log.lines_of(event, index))]
            if ended and resume is None:
                resume = run_log.resume(self.layout.run_log, before=self.log.size())
            new = [line for index, lines in ended if index >= (resume or 0) for line in lines]
            run_log.append(self.layout.run_log, new)
            start = events[-1][0] + 1

    def _show(self, subject: str) -> None:
        if subject == "plan":
            publish.replace(self.layout.ops / "plan.json", [as_file(show_plan(self.approval.plan()))])
        elif has_prefix(subject, "d"):
            self._show_draft(subject)
        elif has_prefix(subject, "a"):
            publish.replace(self._path("approved", subject), [as_file(show_approved(self.approval.approved(subject)))])
        elif has_prefix(subject, "r"):
            if self.runs.get(subject).archived_ms is not None:
                self._path("runs", subject).unlink(missing_ok=True)
            else:
                publish.replace(self._path("runs", subject), [self._run(subject, None)])

    def _show_draft(self, draft_id: str) -> None:
        draft = self.approval.draft(draft_id)
        path = self._path("drafts", draft_id)
        if draft.status is not DraftStatus.APPROVED:
            publish.replace(path, [as_file(show_draft(draft))])
            return
        approved_id = with_prefix(draft_id, "a")
        target = self._path("approved", approved_id)
        content = as_file(show_approved(self.approval.approved(approved_id)))
        if target.exists() and not path.exists():
            publish.replace(target, [content])
            return
        publish.replace(path, [content])
        path.rename(target)
        for folder in (path.parent, target.parent):
            _sync(folder)

    def _run(self, run_id: str, found: bytes | None) -> bytes:
        """Render a run as of its last move: with `found`, the lines up to the one that this file says it shows."""
        run, lines = self.runs.get(run_id), self.runs.log(run_id, limit=LOG_LINES, last=True)
        through = _log_through(found)
        if through is not None:
            lines = self.runs.log(run_id, after=max(0, through - LOG_LINES), limit=min(through, LOG_LINES))
        return as_file(show_run_window(run, lines))

    def _all(self) -> Iterator[tuple[Path, Callable[[bytes | None], bytes]]]:
        """List every JSON window that there should be, with what it should say."""
        yield self.layout.ops / "plan.json", lambda _: as_file(show_plan(self.approval.plan()))
        for draft in self.approval.drafts(limit=_EVERYTHING):
            if draft.status is not DraftStatus.APPROVED:
                yield self._path("drafts", draft.id), lambda _, draft=draft: as_file(show_draft(draft))
        for approved in self.approval.all_approved(limit=_EVERYTHING):
            yield self._path("approved", approved.id), lambda _, approved=approved: as_file(show_approved(approved))
        for run in self.runs.list(limit=_EVERYTHING):
            yield self._path("runs", run.id), lambda found, run=run: self._run(run.id, found)

    def _checks(self, entries: int) -> Iterator[tuple[Path, Callable[[Path], bool]]]:
        """List every window that there should be, with what tells whether it says what it should."""
        for path, render in self._all():
            yield path, lambda path, render=render: (found := path.read_bytes()) == render(found)
        for path, render in attestations.renders(self.layout.evidence, self.log, entries):
            yield path, lambda path, render=render: path.read_bytes() == render()
        yield self._ledger, lambda path: ledger.is_whole(path, self.log, entries)
        heads = b"".join(render_head(head) for head in self.log.heads())
        yield self._heads, lambda path: path.read_bytes() == heads

    def _path(self, folder: str, name: str) -> Path:
        return self.layout.ops / folder / f"{name}.json"

    # --- cursor, lock, copies -----------------------------------------------------------------------------------------

    @property
    def _ledger(self) -> Path:
        return self.layout.evidence / "ledger.jsonl"

    @property
    def _heads(self) -> Path:
        return self.layout.evidence / "heads.jsonl"

    @property
    def _cursor_file(self) -> Path:
        return self.layout.state / "windows.json"

    def _load(self) -> _Cursor:
        """Return where we left off. Without a cursor of this very log all is rendered again: slow, and right."""
        try:
            data = json.loads(self._cursor_file.read_bytes())
            tail = ledger.Tail(data["entries"], data["size_bytes"])
            cursor = _Cursor(data["shown"], data.get("attested", 0), tail)
            known = range(self.log.size() + 1)
            reached = (cursor.shown, cursor.attested, tail.entries)
            whole = all(type(each) is int for each in (*reached, tail.size_bytes)) and tail.size_bytes >= 0
            if whole and all(each in known for each in reached) and data["last"] == self._last(cursor.shown):
                return cursor
        except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
            pass
        except OSError as error:
            raise WindowsUnreadable(f"{self._cursor_file} can not be read: {error.strerror}") from None
        return _Cursor(0, 0, ledger.Tail(0, 0))

    def _last(self, shown: int) -> str:
        """Name the last entry that is shown: a database from a backup may have another one in its place."""
        leaf = next(iter(self.log.leaves(shown - 1, shown))) if shown else b""
        return hashlib.sha256(leaf).hexdigest()

    def _store(self, cursor: _Cursor) -> None:
        data = {
            "shown": cursor.shown,
            "attested": cursor.attested,
            "last": self._last(cursor.shown),
            "entries": cursor.ledger.entries,
            "size_bytes": cursor.ledger.size_bytes,
        }
        publish.replace(self._cursor_file, [json.dumps(data).encode()])

    def _locked(self) -> AbstractContextManager[None]:
        return only_writer(self.layout)

    def _keep(self, path: Path, keep_as: str) -> None:
        if not os.path.lexists(path):
            return
        inside = path.is_relative_to(self.layout.root)
        kept = self.layout.kept / keep_as / path.relative_to(self.layout.root if inside else path.anchor)
        kept.parent.mkdir(parents=True, exist_ok=True)
        path.rename(kept)


_EVERYTHING = 2**31 - 1


@contextmanager
def only_writer(layout: Layout) -> Generator[None]:
    """Keep every other process from writing the workspace's files meanwhile."""
    descriptor = os.open(layout.state / "windows.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise WindowsBusy("another process has been writing the window files for 30 s") from None
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _readable(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and os.access(path, os.R_OK)


def _log_through(found: bytes | None) -> int | None:
    if found is None:
        return None
    try:
        through = json.loads(found).get("log_through")
    except (ValueError, AttributeError, RecursionError):
        return None
    return through if isinstance(through, int) and through >= 0 else None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
