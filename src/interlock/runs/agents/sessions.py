"""An agent's own conversation, kept beside its private folder, so that a later claim on this machine finds it.

What is needed is all on one machine: the files of the conversation in the agent's home, and the worktree in which it
stood, at the very path that the conversation speaks of. So nothing of this is in the database.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

_FILE = "session.json"
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
_MOST_BYTES = 4096
_MOVED = ("upper", "home")
"""What the agent wrote: git's objects, and then its home, without which nothing is found again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A conversation that can be taken up again."""

    session_id: str
    place: Path
    """The worktree, as the agent left it."""
    folder: Path
    """The private folder of the claim that had it."""
    generation: int
    """Of the run: an operator who retries wants it done anew."""

    def move_to(self, folder: Path) -> bool:
        """Take home and git objects over into another claim's private folder; False if they are gone.

        They are moved, not copied: whoever had the claim before and wakes up late finds nothing to write to.
        """
        for name in _MOVED:
            try:
                (folder / name).rmdir()
                (self.folder / name).rename(folder / name)
            except OSError:
                (folder / name).mkdir(mode=0o700, exist_ok=True)
                return False
        keep_session(folder, self.session_id, self.place, self.generation)
        with suppress(OSError):
            (self.folder / _FILE).unlink()
        return True


def keep_session(folder: Path, session_id: str, place: Path, generation: int) -> None:
    """Note in a claim's private folder which conversation goes on where; what can not be noted is not taken up."""
    beside = folder / (_FILE + ".new")
    with suppress(OSError):
        noted = {"session_id": session_id, "place": str(place), "generation": generation}
        beside.write_text(json.dumps(noted), encoding="utf-8")
        beside.replace(folder / _FILE)


class Known(Protocol):
    """A run, as far as its sessions need it."""

    @property
    def id(self) -> str:
        """Its name."""
        ...

    @property
    def generation(self) -> int:
        """Rises when an operator retries."""
        ...


def find_session(folder: Path, worktrees: Path, run: Known, own: str) -> Session | None:
    """Return the conversation of the latest earlier claim of a run that is still whole on this machine."""
    run_id = run.id
    claims = [
        path for path in folder.glob(f"{run_id}-*") if path.name != own and path.name[len(run_id) + 1 :].isdigit()
    ]
    for path in sorted(claims, key=lambda each: int(each.name[len(run_id) + 1 :]), reverse=True):
        found = _read(path)
        if found is None or found.generation != run.generation:
            continue
        place = found.place
        whole = place.parent == worktrees and re.fullmatch(rf"{re.escape(run_id)}-\d+", place.name) is not None
        homes = all(_is_folder(path / name) for name in _MOVED)
        if whole and homes and _is_folder(place):
            return found
    return None


def places_in_use(folder: Path, living: Collection[str]) -> set[str]:
    """Return the names of worktrees in which claims that live may go on, although an earlier claim made them."""
    found = [_read(path) for path in folder.iterdir() if path.name in living] if folder.is_dir() else []
    return {session.place.name for session in found if session is not None}


def _read(folder: Path) -> Session | None:
    """Read the note; where there are no namespaces, an agent could have written it."""
    try:
        descriptor = os.open(folder / _FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        try:
            noted = json.loads(file.read(_MOST_BYTES))
        except (ValueError, RecursionError, OSError):
            return None
    if not isinstance(noted, dict):
        return None
    known = cast("dict[str, object]", noted)
    session_id, place, generation = (known.get(name) for name in ("session_id", "place", "generation"))
    if not isinstance(session_id, str) or not isinstance(place, str) or not isinstance(generation, int):
        return None
    if not _SESSION.fullmatch(session_id):
        return None
    return Session(session_id=session_id, place=Path(place), folder=folder, generation=generation)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
