"""The evidence files of seed 3, following the log: nine logs in two copies, the report, the state, the snapshots.

What a file should say is `pipelines.rendering`'s business; here it is brought onto the disk. An appended file that
ends early (cut, or torn in a crash) is completed, and that is an event. Any other difference is left alone, said with
every command that writes, and made good only by `rebuild`, which keeps a copy. How far everything is stands in the
state folder, written after the files: what a crash leaves is a file that is ahead, and its bytes are the next ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, Final, NamedTuple, Protocol, cast

from interlock.access.models import Actor
from interlock.evidence import publish
from interlock.evidence.errors import EvidenceError, StateMismatch
from interlock.evidence.tree import leaf_hash
from interlock.kernel.errors import Failed
from interlock.kernel.events import Event
from interlock.pipelines.rendering import (
    STATE_PATH,
    STREAMS,
    SUMMARY_PATH,
    Changes,
    Projection,
    States,
    concerns,
    kind_of,
    paths_of,
)
from interlock.workspace.events import WindowCompleted, WindowsRebuilt
from interlock.workspace.layout import Layout
from interlock.workspace.replay import Held, Problem, Watched, read_plain
from interlock.workspace.windows import Difference, only_writer

_PAGE: Final = 500
_CATCHING_UP_SECONDS: Final = 2.0
_SHA256: Final = re.compile(r"(?:[0-9a-f]{64})?")
_MAY_BE_STUCK: Final = frozenset({STATE_PATH, *(path for stream in STREAMS for path in paths_of(stream))})
_LEFT_ALONE: Final = "differs from the log and was left alone"


class WindowUnwritable(Failed):
    """A file that follows the log can not be written."""

    code = "window_unwritable"
    default_hint = "make room for it, or mend its folder; the next command that writes completes it"


class Leaves(Protocol):
    """The sealed log, as far as it is needed here."""

    def size(self) -> int:
        """Return how many leaves are sealed."""
        ...

    def leaves(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the leaf bytes of `start <= index < end` in order."""
        ...


class _State(NamedTuple):
    """What `state.json` should say, since it was last written."""

    sha256: str
    """Hex, and the name of our own copy; empty before there is any."""
    size: int
    last_index: int | None


@dataclass(slots=True)
class _Cursor:
    """How far the files are."""

    projection: Projection
    state: _State = field(default_factory=lambda: _State("", 0, None))
    stuck: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    """Files that differ and were left alone, by path, as they were when that was seen: size and time of change."""


@dataclass(frozen=True, kw_only=True)
class PipelineWindows:
    """One workspace's evidence files of seed 3."""

    layout: Layout
    log: Leaves
    tell: Callable[[Actor, Event], None]
    """Logs an event about the files themselves."""

    def catch_up(self, actor: Actor) -> tuple[str, ...]:
        """Bring every file up to the log's end; returns what differs and was left alone, as sentences.

        Raises `WindowUnwritable`; the next call completes what was not written. `StateMismatch` for an event that no
        verb of ours could have written.
        """
        cursor = self._load()
        if self._is_current(cursor):
            return self._sentences(cursor)
        with only_writer(self.layout):
            return self._follow(actor, self._load())

    def differences(self) -> list[Difference]:
        """Hold every file against the log; returns what is missing, differs, or should not be there.

        What a command is just writing differs for a moment; so what is found is looked at once more.
        """
        if not (found := self._differences()):
            return []
        deadline = time.monotonic() + _CATCHING_UP_SECONDS
        while not self._is_followed(self._load().projection) and time.monotonic() < deadline:
            time.sleep(0.02)
        with self._held_still():
            still = self._differences()
        return [each for each in found if each in still]

    def rebuild(self, actor: Actor, keep_as: str) -> list[Difference]:
        """Write anew what differs; a copy of each old file is kept in the state folder under `keep_as`."""
        with only_writer(self.layout):
            replaced = self._differences()
            if replaced:  # told before it is done, because it may be refused: panic freezes it
                self.tell(actor, WindowsRebuilt(subject="pipeline windows", replaced=len(replaced)))
            for each in replaced:
                if os.path.lexists(each.path):
                    kept = self.layout.kept / keep_as / each.path.relative_to(self.layout.root)
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    each.path.rename(kept)
            if replaced:
                self._follow(actor, self._fresh())
        return replaced

    # --- following the log --------------------------------------------------------------------------------------------

    def _follow(self, actor: Actor, cursor: _Cursor) -> tuple[str, ...]:
        writer = _Writer(self.layout, cursor)
        try:
            size = self.log.size()
            for changes in self._pages(cursor.projection, size):
                writer.append(changes)
                writer.put(changes)
                if cursor.projection.next_index < size:
                    self._store(cursor)
            self._mend(writer, size)
            self._put_state(writer, cursor)
            self._store(cursor)
        except OSError as error:
            path = error.filename or writer.at
            raise WindowUnwritable(f"{path} can not be written: {error.strerror or error}") from None
        finally:
            for path, entries in writer.completed.items():
                self.tell(actor, WindowCompleted(subject=path, entries=entries))
        return (*self._sentences(cursor), *writer.differs)

    def _put_state(self, writer: _Writer, cursor: _Cursor) -> None:
        """Bring `state.json` up to date; what is in it already must be what we wrote, or it is left alone."""
        projection, copies = cursor.projection, {path.stem for path in self._copies.glob("*.json")}
        if not projection.next_index:
            return
        before = cursor.state.sha256

        def is_ours(found: bytes) -> bool:
            return hashlib.sha256(found).hexdigest() == before or self._said_once(found)

        if not cursor.state.sha256 or cursor.state.last_index != projection.last_index:
            data = projection.state()
            cursor.state = _State(hashlib.sha256(data).hexdigest(), len(data), projection.last_index)
            self._copies.mkdir(mode=0o700, exist_ok=True)
            publish.replace(self._copies / f"{cursor.state.sha256}.json", [data], mode=0o600)
            writer.put_state(data, is_ours, expected=bool(before))
        elif not _is_as_left(self.layout.root, STATE_PATH, cursor.state.size, cursor.stuck):
            writer.put_state(projection.state(), is_ours, expected=True)
        for name in copies - {cursor.state.sha256}:
            (self._copies / f"{name}.json").unlink(missing_ok=True)

    def _said_once(self, found: bytes) -> bool:
        """Say whether `state.json` said exactly this once: what the log comes to at the entry that it names."""
        try:
            last = json.loads(found)["last_index"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return False
        if type(last) is not int or not 0 <= last < self.log.size():
            return False
        return self._replayed(last).state() == found

    def _pages(self, projection: Projection, size: int) -> Iterator[Changes]:
        """Follow the log, page by page; always gives one page, which may say nothing new."""
        while True:
            changes = Changes()
            for leaf in self.log.leaves(projection.next_index, min(size, projection.next_index + _PAGE)):
                try:
                    projection.take(leaf, changes)
                except (KeyError, TypeError, ValueError) as error:
                    index = projection.next_index
                    raise StateMismatch(f"it can not be followed: {error}", index=index, line=index + 1) from None
            yield changes
            if projection.next_index >= size:
                return

    def _mend(self, writer: _Writer, size: int) -> None:
        """Hold what is not as it was left against the whole log, and complete what only ends early."""
        suspects = writer.all_suspects()
        if not suspects:
            return
        seen = {path: Watched(self.layout.root, path) for path in suspects}
        for changes in self._pages(Projection(folds=False), size):
            for path, stream in suspects.items():
                seen[path].expect(b"".join(changes.appended.get(stream, ())))
        early = {path: each.agreed for path, each in seen.items() if writer.judge(path, suspects[path], each.close())}
        if early:
            places = dict.fromkeys(early, 0)
            for changes in self._pages(Projection(folds=False), size):
                for path, agreed in early.items():
                    data = b"".join(changes.appended.get(suspects[path], ()))
                    writer.complete(path, data, places[path], agreed)
                    places[path] += len(data)

    def _differences(self) -> list[Difference]:
        held, projection = Held(self.layout.root), Projection()
        for changes in self._pages(projection, self.log.size()):
            held.expect(changes)
        problems = held.close(projection.state() if projection.next_index else None)
        words = {"ends early": "differs"}
        return [Difference(self.layout.root / each.path, words.get(each.problem, each.problem)) for each in problems]

    def _held_still(self) -> AbstractContextManager[None]:
        return only_writer(self.layout) if os.access(self.layout.state, os.W_OK) else nullcontext()

    def _sentences(self, cursor: _Cursor) -> tuple[str, ...]:
        return tuple(f"{self.layout.root / path} {_LEFT_ALONE}" for path in sorted(cursor.stuck))

    def _is_followed(self, projection: Projection) -> bool:
        """Say whether nothing new in the log concerns these files."""
        size = self.log.size()
        if not projection.next_index:
            return size == 0
        if not 0 <= size - projection.next_index < _PAGE:
            return False
        return not any(concerns(kind_of(leaf)) for leaf in self.log.leaves(projection.next_index, size))

    def _is_current(self, cursor: _Cursor) -> bool:
        """Say whether no file can need anything, from a look at sizes and at what is new in the log."""
        projection = cursor.projection
        if not self._is_followed(projection):
            return False
        if not projection.next_index:
            return True
        expected = {path: projection.tails[stream].size_bytes for stream in STREAMS for path in paths_of(stream)}
        expected[STATE_PATH] = cursor.state.size
        return all(_is_as_left(self.layout.root, path, size, cursor.stuck) for path, size in expected.items())

    # --- where we left off --------------------------------------------------------------------------------------------

    @property
    def _cursor_file(self) -> Path:
        return self.layout.state / "pipeline_windows.json"

    @property
    def _copies(self) -> Path:
        """What `state.json` said: our own copy, which no agent can reach."""
        return self.layout.state / "pipeline_windows"

    def _fresh(self) -> _Cursor:
        return _Cursor(Projection())

    def _load(self) -> _Cursor:
        """Return where we left off. Without a cursor of this very log all is gone through again: slow, and right."""
        try:
            found: Mapping[str, Any] = json.loads(self._cursor_file.read_bytes())
            state = _State(*found["state"])
            _check_left(state, found["stuck"])
            projection = Projection.from_json(found["projection"], lambda: self._read_copy(state, projection))
            cursor = _Cursor(projection, state, dict(found["stuck"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, RecursionError, EvidenceError):
            return self._fresh()
        index = projection.next_index
        known = next(iter(self.log.leaves(index - 1, index)), None) if index else None
        return cursor if known is not None and leaf_hash(known).hex() == projection.last_leaf else self._fresh()

    def _read_copy(self, state: _State, projection: Projection) -> States:
        data = read_plain(self._copies / f"{state.sha256}.json") if state.sha256 else None
        if (
            data is not None
            and state.last_index == projection.last_index
            and hashlib.sha256(data).hexdigest() == state.sha256
        ):
            return States.of(data)
        return self._replayed(projection.last_index).states  # our copy is gone, or of another moment

    def _replayed(self, last: int | None) -> Projection:
        replayed = Projection()
        if last is not None:
            for _ in self._pages(replayed, last + 1):
                pass
        return replayed

    def _store(self, cursor: _Cursor) -> None:
        data = {"projection": cursor.projection.to_json(), "state": list(cursor.state), "stuck": cursor.stuck}
        publish.replace(self._cursor_file, [json.dumps(data).encode()], mode=0o600)


def _check_left(state: _State, stuck: Mapping[str, Any]) -> None:
    """Raise TypeError for what `_store` does not write of the files as they were left."""
    size_and_time = all(
        isinstance(each, list) and [type(one) for one in cast("list[Any]", each)] == [int, int]
        for each in stuck.values()
    )
    numbers = type(state.size) is int and type(state.last_index) in {int, NoneType}
    if not (numbers and _SHA256.fullmatch(state.sha256) and size_and_time and stuck.keys() <= _MAY_BE_STUCK):
        raise TypeError("this is not how files were left")


class _Writer:
    """Writes what follows the log, and never over what is not as it was left."""

    def __init__(self, layout: Layout, cursor: _Cursor) -> None:
        self._root, self._cursor = layout.root, cursor
        tails = cursor.projection.tails
        self._sizes = {stream: tails[stream].size_bytes if tails else 0 for stream in STREAMS}
        self._suspects: dict[str, str] = {}
        self.completed: dict[str, int] = {}
        """Files that had ended early, with how many entries they have now."""
        self.differs: list[str] = []
        """What else was found and left alone, as sentences."""
        self.at = ""
        """The file that is being written."""

    def append(self, changes: Changes) -> None:
        """Append what a page of the log adds."""
        for stream in STREAMS:
            data = b"".join(changes.appended.get(stream, ()))
            for path in paths_of(stream):
                self._append(path, stream, data)
            self._sizes[stream] += len(data)

    def _append(self, path: str, stream: str, data: bytes) -> None:
        before, found = self._sizes[stream], _look(self._root / path)
        stuck = self._cursor.stuck.get(path)
        if path in self._suspects or (stuck is not None and found == stuck):
            return
        if stuck is not None or (found and found[0] < 0):
            self._suspects[path] = stream
        elif (size := found[0] if found else 0) == before and (found or not before):
            self.write(path, data, before)
        elif size < before:
            self._suspects[path] = stream
        else:
            self._catch_up(path, stream, data, size)

    def _catch_up(self, path: str, stream: str, data: bytes, size: int) -> None:
        """Go on where a crash left a file that is ahead of the cursor, if these are the bytes that it has there."""
        before = self._sizes[stream]
        with (self._root / path).open("rb") as file:
            file.seek(before)
            ahead = file.read(min(size - before, len(data)))
        if not data.startswith(ahead):
            self._suspects[path] = stream
        elif len(ahead) < len(data):
            if not ahead.endswith(b"\n"):
                self.completed[path] = self._entries(stream)
            self.write(path, data[len(ahead) :], before + len(ahead))

    def all_suspects(self) -> Mapping[str, str]:
        """Return each file that is not as long as it should be by now, with its stream."""
        for stream, size in self._sizes.items():
            for path in paths_of(stream):
                if not _is_as_left(self._root, path, size, self._cursor.stuck):
                    self._suspects[path] = stream
        return self._suspects

    def judge(self, path: str, stream: str, problem: Problem | None) -> bool:
        """Decide what becomes of a suspect; says whether it is to be completed."""
        self._cursor.stuck.pop(path, None)
        if problem is None:
            return False
        found = _look(self._root / path)
        if problem.problem == "differs" or (found and found[0] < 0):
            self._cursor.stuck[path] = found or [0, 0]
            return False
        self.completed[path] = self._entries(stream)
        return True

    def _entries(self, stream: str) -> int:
        return self._cursor.projection.tails[stream].entries

    def complete(self, path: str, data: bytes, place: int, agreed: int) -> None:
        """Write these bytes of a file, which begin at `place`, as far as they lie beyond those that it has."""
        skipped = max(0, agreed - place)
        self.write(path, data[skipped:], place + skipped)

    def put(self, changes: Changes) -> None:
        """Write the snapshots, and the rolling summary."""
        for path, data in changes.whole.items():
            found = read_plain(self._root / path)
            if found is None or path == SUMMARY_PATH:
                self._replace(path, data)
            elif found != data:
                self.differs.append(f"{self._root / path} {_LEFT_ALONE}")

    def put_state(self, data: bytes, is_ours: Callable[[bytes], bool], *, expected: bool) -> None:
        """Write `state.json` over what is ours; where it is gone though it was `expected`, it is completed."""
        stuck, look, found = self._cursor.stuck, _look(self._root / STATE_PATH), read_plain(self._root / STATE_PATH)
        if look is not None and stuck.get(STATE_PATH) == look:
            return
        stuck.pop(STATE_PATH, None)
        if found == data:
            return
        missing = look is None or look[0] == 0
        if not missing and (found is None or not is_ours(found)):
            stuck[STATE_PATH] = look or [0, 0]
            return
        self._replace(STATE_PATH, data)
        if missing and expected:
            fleet = self._cursor.projection.states.fleet()
            self.completed[STATE_PATH] = len(fleet.pipelines) + len(fleet.deployments)

    def write(self, path: str, data: bytes, offset: int) -> None:
        """Write bytes to their place in a file."""
        if not data:
            return
        target = self._ready(path)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        try:
            done = 0
            while done < len(data):
                done += os.pwrite(descriptor, data[done:], offset + done)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _replace(self, path: str, data: bytes) -> None:
        publish.replace(self._ready(path), [data])

    def _ready(self, path: str) -> Path:
        """Return where a file lies, its folder made; refuses one that a link would have us make elsewhere."""
        self.at = str(target := self._root / path)
        if not Path(os.path.realpath(target.parent)).is_relative_to(os.path.realpath(self._root)):
            raise WindowUnwritable(f"{target.parent} leads out of the workspace")
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


def _look(path: Path) -> list[int] | None:
    """Return a file's size and time of change, the size of what is no plain file as -1; None where nothing is."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return [found.st_size if stat.S_ISREG(found.st_mode) else -1, found.st_mtime_ns]


def _is_as_left(root: Path, path: str, size: int, stuck: Mapping[str, list[int]]) -> bool:
    found = _look(root / path)
    if path in stuck:
        return found == stuck[path]
    return found is not None and found[0] == size
