"""What makes every change of a Markdown queue in a workspace an event, told exactly once.

The file owns its rows, so it is written first and its event follows. An intent lies on disk from before the one until
after the other; a process that dies between the two leaves it, and the next call completes it. The event's key keeps
single what is told twice.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from interlock.evidence import publish
from interlock.kernel.canonical import Json
from interlock.kernel.errors import InterlockError
from interlock.kernel.events import Event
from interlock.queue import markdown
from interlock.queue.errors import MarkdownLocked, MarkdownUnwritten
from interlock.queue.events import MarkdownRendered, MarkdownRowChanged
from interlock.queue.markdown import Table


class Telling(TypedDict):
    """An event that is to be told, and by what else than the status the change can be known again."""

    kind: str
    subject: str
    key: str
    payload: dict[str, Json]
    cells: dict[str, str]


class Intent(TypedDict):
    """One change of a file."""

    before: str
    after: str
    by: str
    happened: bool
    """Known to have been made; only its events are still to be told."""
    events: list[Telling]


CALMING = frozenset({"complete", "fail", "release", "cancel", "rescue"})
"""The verbs on a Markdown queue that go on while panic is on."""
_KINDS: Mapping[str, Callable[..., Event]] = {each.kind: each for each in (MarkdownRowChanged, MarkdownRendered)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """Makes every change of a Markdown queue in a workspace an event, told exactly once.

    One file for each queue lists its intents in their order; only who holds the queue's lock touches it.
    """

    root: Path
    """The workspace, from which paths are told."""
    folder: Path
    """Where the intents are, in the workspace's state folder."""
    tell: Callable[[Event], None]
    by: str = ""
    """The principal that acts."""
    warnings: list[str] = field(default_factory=list[str])
    """What the caller should hear of, as sentences."""

    def complete_all(self) -> None:
        """Complete what calls that died have left undone, but for what somebody is at this very moment."""
        for file in sorted(self.folder.glob("*.json")):
            try:
                found = self._read(file)
                if found is not None:
                    with markdown.locked(found["queue"], patience_seconds=0):
                        self.complete(found["queue"])
            except MarkdownLocked:
                continue
            except InterlockError as error:
                self.warnings.append(f"a change still waits to be logged: {error.message} ({file})")

    def complete(self, real: str) -> None:
        """Complete what is undone of one queue, whose lock is held."""
        intents = self._load(real)
        if intents and not intents[-1]["happened"]:
            intents[-1]["events"] = _made(intents[-1], real)
        if intents:
            self._tell(real, intents)

    def begin(self, real: str, before: bytes, after: bytes, events: list[Telling]) -> None:
        """Remember what is about to be done; raises `MarkdownUnwritten`, and then it must not be."""
        intent: Intent = {
            "before": digest(before),
            "after": digest(after),
            "by": self.by,
            "happened": False,
            "events": events,
        }
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._store(real, [*self._load(real), intent])
        except OSError as error:
            raise MarkdownUnwritten(f"{self.folder} can not be written: {error.strerror}") from None

    def withdraw(self, real: str) -> None:
        """Forget what was begun and not done after all."""
        self._tell(real, [intent for intent in self._load(real) if intent["happened"]])

    def made(self, real: str) -> None:
        """Tell what was done."""
        self._tell(real, self._load(real))

    def shown(self, real: str) -> str:
        """Return a path as an event tells it."""
        path, root = Path(real), self.root.resolve()
        shown = path.relative_to(root) if path.is_relative_to(root) else path
        return os.fsencode(shown).decode(errors="backslashreplace")

    def _tell(self, real: str, intents: Sequence[Intent]) -> None:
        """Tell what has been made, in its order; what can not be told now is kept for the next call."""
        for place, intent in enumerate(intents):
            told_for = intent["by"] if intent["by"] != self.by else None
            try:
                for each in intent["events"]:
                    self.tell(_event(each, told_for))
            except InterlockError as error:
                self.warnings.append(f"{real} was changed, and that is not yet logged: {error.message}")
                with suppress(OSError):  # then it is told by what the file says
                    self._store(real, [{**each, "happened": True} for each in intents[place:]])
                return
        with suppress(OSError):  # then it is told again under the same key
            self._file(real).unlink(missing_ok=True)

    def _file(self, real: str) -> Path:
        return self.folder / f"{hashlib.sha256(os.fsencode(real)).hexdigest()}.json"

    def _store(self, real: str, intents: Sequence[Intent]) -> None:
        markdown.clear(self._file(real))
        # Escaped beyond ASCII, because a file's name need not be text.
        data = json.dumps({"intents": intents, "queue": real}, sort_keys=True, separators=(",", ":"))
        publish.replace(self._file(real), [data.encode()], mode=0o600)

    def _load(self, real: str) -> list[Intent]:
        found = self._read(self._file(real))
        return [] if found is None else found["intents"]

    def _read(self, file: Path) -> Any:  # noqa: ANN401 - what we wrote; held against its shape here
        try:
            found = json.loads(file.read_bytes())
            for each in found["intents"]:
                for telling in each["events"]:
                    _event(telling, each["by"])
            os.fsencode(found["queue"])
        except FileNotFoundError:
            return None
        except OSError as error:
            raise MarkdownUnwritten(f"{file} can not be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            with suppress(OSError):
                file.rename(file.with_suffix(".unreadable"))
            self.warnings.append(f"{file} can not be read and was moved aside: {error}")
            return None
        return found


def ends(event: Event) -> bool:
    """Say whether an event tells of a verb that only brings something to an end, so that panic does not freeze it."""
    return isinstance(event, MarkdownRowChanged) and event.verb in CALMING


def digest(data: bytes) -> str:
    """Name a file's content."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _event(telling: Telling, told_for: str | None) -> Event:
    kind = _KINDS[telling["kind"]]
    return kind(subject=telling["subject"], key=telling["key"], **telling["payload"], told_for=told_for)


def _made(intent: Intent, real: str) -> list[Telling]:
    """Return which events of a change came true: by the file's bytes or, where it was edited since, by its rows."""
    data = markdown.content(real)
    found = digest(data)
    if found == intent["before"]:
        return []
    if found == intent["after"]:
        return intent["events"]
    table = markdown.parse(real, data)
    return [telling for telling in intent["events"] if _is_so(telling, table)]


def _is_so(telling: Telling, table: Table) -> bool:
    said = telling["payload"]
    if telling["kind"] == MarkdownRendered.kind:
        return markdown.is_window(table) is said["window"] and len(table.rows) == said["rows"]
    row = next((row for row in table.rows if row.id == telling["subject"]), None)
    if row is None or row.cells["status"] != said["status"]:
        return False
    moved = said["previous_status"] != said["status"]
    return moved or all(markdown.cell(row.cells[name]) == text for name, text in telling["cells"].items())
