"""Making a workspace. Everything that is there is kept; doing it twice changes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from interlock.evidence import publish
from interlock.evidence.keys import create_key
from interlock.workspace.errors import WorkspaceInvalid, WorkspaceMissing
from interlock.workspace.layout import STATE_FOLDER, Layout

LOG_KEY = "log.key"
SERVICE_KEY = "service.key"

_SETTINGS = """\
# Settings of this workspace. Every key can also be given as INTERLOCK_<SECTION>_<KEY>; docs/settings.md lists all.
{database}
[agent]
# What a draft without a command of its own gets, frozen in when it is approved.
# command = "claude -p"
# repository = "/path/to/repository"
"""

_PROVIDER = {
    "active": "local_ollama",
    "providers": {
        "local_ollama": {
            "type": "openai_compat",
            "base_url": "http://localhost:11434/v1",
            "model": "qwen2.5-coder:7b",
            "api_key": None,
        }
    },
}


@dataclass(frozen=True, slots=True)
class Made:
    """What `init` did with one thing."""

    path: Path
    done: str
    """`created`, `kept`, or `backed up`."""


def find_root(start: Path, *, inside_run: bool) -> Path:
    """Find the workspace that a folder belongs to; raises `WorkspaceMissing`.

    Never from inside a run: a worktree lies below the state folder, and what runs in it is to find no way back.
    """
    if not inside_run:
        for folder in (start, *start.parents):
            if folder.name == STATE_FOLDER:
                break
            if (folder / STATE_FOLDER).is_dir():
                return folder
    raise WorkspaceMissing(f"there is no workspace in {start} or above it")


def make_folders(layout: Layout) -> Iterator[Made]:
    """Make the folders of a workspace; the state folder for its owner's eyes only."""
    if layout.root.exists() and not layout.root.is_dir():
        raise WorkspaceInvalid(f"{layout.root} is not a folder")
    private = (layout.state, layout.keys, layout.wake, layout.mirrors, layout.worktrees, layout.runs)
    shown = (layout.ops / "drafts", layout.ops / "approved", layout.ops / "runs", layout.evidence)
    try:
        for folder in private:
            yield _made(folder, folder.is_dir(), lambda folder=folder: folder.mkdir(mode=0o700, parents=True))
        for folder in shown:
            yield _made(folder, folder.is_dir(), lambda folder=folder: folder.mkdir(parents=True))
    except OSError as error:
        raise WorkspaceInvalid(f"{error.filename} can not be made: {error.strerror}") from None


def make_files(layout: Layout, database_url: str) -> Iterator[Made]:
    """Write settings, provider configuration and the state folder's own .gitignore, where they are missing."""
    database = f"\n[database]\nurl = {json.dumps(database_url)}\n" if database_url else ""
    provider = json.dumps(_PROVIDER, indent=2) + "\n"
    for path, text, mode in (
        (layout.root / "interlock.toml", _SETTINGS.format(database=database), 0o644),
        (layout.ops / "provider.json", provider, 0o600),
        (layout.state / ".gitignore", "*\n", 0o600),
    ):
        yield _made(path, path.exists(), lambda path=path, text=text, mode=mode: _write(path, text, mode))


def backed_up(layout: Layout, stamp: str) -> Iterator[Made]:
    """Move settings and provider configuration aside, so that they are written anew."""
    for path in (layout.root / "interlock.toml", layout.ops / "provider.json"):
        if path.exists():
            kept = path.with_name(f"{path.name}.{stamp}.backup")
            path.rename(kept)
            yield Made(kept, "backed up")


def checked_address(database_url: str) -> None:
    """Refuse a database address that is none, or that holds a password: settings are readable by others."""
    if not database_url:
        return
    parts = urlsplit(database_url)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise WorkspaceInvalid("--database takes a postgresql://… address")
    if parts.password is not None and not parts.password.startswith("${"):
        raise WorkspaceInvalid(
            "the database address holds a password, which would lie open in interlock.toml",
            hint="write ${NAME} in its place and set NAME, or use PostgreSQL's password file (~/.pgpass)",
        )


def make_keys(layout: Layout, origin: str, person: str) -> list[Made]:
    """Make the log's key, the service's, and the key of the person at this terminal, where they are missing."""
    layout.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    layout.evidence.mkdir(parents=True, exist_ok=True)
    made: list[Made] = []
    for file, name in (
        (LOG_KEY, origin),
        (SERVICE_KEY, "interlock/service"),
        (f"human-{person}.key", f"interlock/human-{person}"),
    ):
        path = layout.keys / file
        made.append(_made(path, path.exists(), lambda path=path, name=name: create_key(path, name)))
    public = layout.evidence / "log.vkey"
    vkey = (layout.keys / "log.vkey").read_bytes()
    made.append(_made(public, public.exists(), lambda: publish.replace(public, [vkey])))
    return made


def _made(path: Path, there: bool, make: Callable[[], object]) -> Made:  # noqa: FBT001 - one caller's answer
    if there:
        return Made(path, "kept")
    make()
    return Made(path, "created")


def _write(path: Path, text: str, mode: int) -> None:
    publish.replace(path, [text.encode("utf-8")], mode=mode)
    os.chmod(path, mode)  # noqa: PTH101 - the mode whatever the umask is
