"""Markdown queues that are windows of the database: rendered anew when items moved, never over a change by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from interlock.evidence import publish
from interlock.kernel.errors import InterlockError
from interlock.queue import markdown
from interlock.queue.markdown_service import MarkdownQueue
from interlock.workspace.layout import Layout
from interlock.workspace.windows import EventLog, only_writer

_PAGE = 500


@dataclass(frozen=True, slots=True)
class QueueWindows:
    """The Markdown queues of one workspace that follow its database."""

    layout: Layout
    log: EventLog
    rows: Callable[[], Iterable[Mapping[str, str]]]
    """Reads every item as a row, now."""

    def own(self, path: Path) -> None:
        """Let a queue that has just been rendered follow the database."""
        with only_writer(self.layout):
            known = self._load()
            known[self._named(path)] = {"shown": 0, "digests": [_digest(path.read_bytes())]}
            self._store(known)

    def disown(self, path: Path) -> None:
        """Let it be; it owns its rows."""
        with only_writer(self.layout):
            known = self._load()
            if known.pop(self._named(path), None) is not None:
                self._store(known)

    def catch_up(self) -> tuple[str, ...]:
        """Render what is behind the log; returns what was changed by hand and left alone, as sentences."""
        if not self._file.exists():
            return ()
        differs: list[str] = []
        with only_writer(self.layout):
            known = self._load()
            before, size = json.dumps(known), self.log.size()
            for name, state in known.items():
                told = self._render(name, known) if self._moved(state["shown"], size) else []
                if not told:  # else it is behind, and tried again
                    state["shown"] = size
                differs += told
            if json.dumps(known) != before:
                self._store(known)
        return tuple(differs)

    def _named(self, path: Path) -> str:
        """Name a file by its place in the workspace, which may be moved with all that is in it."""
        real, root = path.resolve(), self.layout.root.resolve()
        return str(real.relative_to(root) if real.is_relative_to(root) else real)

    def _render(self, name: str, known: dict[str, dict[str, Any]]) -> list[str]:
        path, state = self.layout.root / name, known[name]
        try:
            if _digest(path.read_bytes()) not in state["digests"]:
                return [
                    f"{path} follows the database and was changed by hand; `interlock queue render --own` renews it"
                ]
            rows = list(self.rows())
            coming = markdown.rendered(markdown.read(path), rows, banner=True)
            # Noted before it is written: so a file that a killed command leaves is known as ours, old or new.
            state["digests"].append(_digest(coming))
            self._store(known)
            MarkdownQueue(path).replace_rows(rows, banner=True, drop_missing=True)
            state["digests"] = [_digest(path.read_bytes())]
        except (InterlockError, OSError) as error:
            return [f"{path} follows the database and could not be written: {error}"]
        return []

    def _moved(self, start: int, size: int) -> bool:
        while start < size:
            events = self.log.events(start, _PAGE)
            if not events or any(str(event["kind"]).startswith("item.") for _, event in events):
                return bool(events)
            start = events[-1][0] + 1
        return False

    @property
    def _file(self) -> Path:
        return self.layout.state / "queue-windows.json"

    def _load(self) -> dict[str, dict[str, Any]]:
        """Return what is known of each window; what somebody spoilt is forgotten, and `render --own` brings it back."""
        try:
            found: object = json.loads(self._file.read_bytes())
        except (FileNotFoundError, ValueError, RecursionError):
            found = None
        told = cast("dict[str, dict[str, Any]]", found) if isinstance(found, dict) else {}
        return {name: state for name, state in told.items() if _is_path(name) and _is_state(state)}

    def _store(self, known: Mapping[str, Mapping[str, Any]]) -> None:
        publish.replace(self._file, [json.dumps(known, sort_keys=True).encode()], mode=0o600)


def _is_path(name: str) -> bool:
    return name.isprintable() and "\0" not in name


def _is_state(state: object) -> bool:
    known = cast("dict[str, object]", state) if isinstance(state, dict) else {}
    shown, digests = known.get("shown"), known.get("digests")
    if type(shown) is not int or shown < 0 or not isinstance(digests, list):
        return False
    return all(isinstance(each, str) for each in cast("list[object]", digests))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
