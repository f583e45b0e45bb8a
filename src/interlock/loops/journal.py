"""What makes the files of a reconcile change together: all is noted before any of it is done.

The note lies in the manager's folder from before the first change until after the last. A process that dies between
leaves it, and the next that holds the loop's lock completes it: files are put in their place again, and lines are added
that are not there yet. Only then is the workspace told, and what could not be told is told the next time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import NamedTuple

from interlock.kernel.errors import InterlockError
from interlock.loops import files
from interlock.loops.files import Addition, Document, Replacement
from interlock.loops.models import SCHEMA, objects, text, whole

NAME = ".journal.json"
MOST_UNTOLD = 1000

Tell = Callable[[Document], None]
"""Tells the workspace of something, once for each trace id, however often it is called."""


class Appending(NamedTuple):
    """Lines for a file's end."""

    path: str
    lines: tuple[bytes, ...]
    lasting: bool = False


class Changes(NamedTuple):
    """Everything that is to happen together."""

    replacements: tuple[Replacement, ...] = ()
    appendings: tuple[Appending, ...] = ()
    told: Document | None = None


class Journal:
    """The journal of one loop. Only who holds the loop's lock touches it."""

    def __init__(self, folder: str, paths: Collection[str], tell: Tell | None) -> None:
        """Take the manager's folder, and the only paths that may be written, whatever a journal says."""
        self._folder = folder
        self._file = os.path.join(folder, NAME)
        self._paths = frozenset(paths)
        self._tell = tell
        self.warnings: list[str] = []
        """What the caller should hear of, as sentences."""

    def complete(self) -> None:
        """Complete what a process that died has left undone; raises `files.FileUnwritten`."""
        self._sweep()
        data = files.read_bytes(self._file)
        if data is None:
            return
        found = files.parsed(data)
        if found is None:
            self.warnings.append(f"{self._file} was no journal and was removed")
            self._forget()
            return
        self._make(found)

    def carry_out(self, changes: Changes) -> None:
        """Note the changes, make them, tell of them; raises `files.FileUnwritten`: then they are made the next time."""
        untold = self._untold()
        if changes.told is not None and self._tell is not None:
            untold.append(changes.told)
        noted: Document = {
            "schemaVersion": SCHEMA,
            "replace": [
                self._shown(each.path) | {"lasting": each.lasting, "text": each.data.decode()}
                for each in changes.replacements
            ],
            "append": [self._addition(each) for each in changes.appendings if each.lines],
            "told": untold[-MOST_UNTOLD:],
        }
        files.replace(self._file, files.bytes_of(noted))
        self._make(noted)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _make(self, noted: Document) -> None:
        replacements: list[Replacement] = []
        for each in objects(noted, "replace"):
            path, content = self._path(each), each.get("text")
            if path is not None and isinstance(content, str):
                replacements.append(Replacement(path, content.encode(), lasting=each.get("lasting") is not False))
        files.replace_all(replacements)
        for each in objects(noted, "append"):
            path, content = self._path(each), text(each, "text")
            if path is not None and content is not None:
                aside = whole(each, "aside")
                plan = Addition(
                    path,
                    content.encode(),
                    expected=whole(each, "expected") or 0,
                    aside=None if aside is None else files.aside(path, aside),
                )
                files.add(plan, lasting=each.get("lasting") is True)
        self._tell_of(objects(noted, "told"))

    def _tell_of(self, untold: Sequence[Document]) -> None:
        if not untold:
            self._forget()
            return
        self._keep(untold)
        if self._tell is None:
            return
        for place, each in enumerate(untold):
            try:
                self._tell(each)
            except InterlockError as error:
                self.warnings.append(f"the loop's files were changed, and that is not yet logged: {error.message}")
                self._keep(untold[place:])
                return
        self._forget()

    def _keep(self, untold: Sequence[Document]) -> None:
        files.replace(self._file, files.bytes_of({"schemaVersion": SCHEMA, "told": untold}))

    def _untold(self) -> list[Document]:
        data = files.read_bytes(self._file)
        return [] if data is None else objects(files.parsed(data), "told")

    def _sweep(self) -> None:
        """Remove what a process that died has left half written beside our files."""
        ours = {f".{os.path.basename(each)}." for each in (*self._paths, self._file)}
        for folder in {os.path.dirname(each) for each in self._paths}:
            with suppress(OSError):
                for each in os.listdir(folder):
                    if each.endswith(".tmp") and each[: -len("0123456789abcdef.tmp")] in ours:
                        files.remove_old(os.path.join(folder, each))

    def _forget(self) -> None:
        with suppress(OSError):  # then it is completed again, which changes nothing
            os.unlink(self._file)

    def _addition(self, appending: Appending) -> Document:
        plan = files.planned(appending.path, appending.lines)
        return self._shown(appending.path) | {
            "expected": plan.expected,
            "aside": None if plan.aside is None else int(plan.aside.rpartition(".")[2]),
            "lasting": appending.lasting,
            "text": plan.data.decode(),
        }

    def _shown(self, path: str) -> Document:
        inside = path.startswith(self._folder + os.sep)
        return {"path": path[len(self._folder) + 1 :] if inside else path}

    def _path(self, noted: Document) -> str | None:
        path = os.path.join(self._folder, text(noted, "path") or "")
        if path in self._paths:
            return path
        self.warnings.append(f"a journal wanted to write {path[:256]!a}, which is no file of this reconcile")
        return None
