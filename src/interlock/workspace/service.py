"""Making a workspace. Everything that is there is kept; doing it twice changes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from interlock.evidence import publish
from interlock.kernel.ids import UlidSource
from interlock.workspace.errors import WorkspaceInvalid, WorkspaceMissing
from interlock.workspace.layout import STATE_FOLDER, Layout

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
    """`created`, `kept`, `updated`, `adopted`, `backed up`, or `missing` where only its owner can bring it back."""


def find_root(start: Path, *, inside_run: bool) -> Path:
    """Find the workspace that a folder belongs to; raises `WorkspaceMissing`.

    Never from inside a run: a worktree lies below the state folder, and what runs in it is to find no way back.
    """
    if not inside_run and STATE_FOLDER not in start.parts:
        for folder in (start, *start.parents):
            if os.path.isdir(folder / STATE_FOLDER):  # noqa: PTH112 - False, and no error, where we may not look
                return folder
    raise WorkspaceMissing(f"there is no workspace in {start} or above it")


def make_folders(layout: Layout) -> Iterator[Made]:
    """Make the folders of a workspace; the state folder for its owner's eyes only."""
    if STATE_FOLDER in layout.root.parts:
        raise WorkspaceInvalid(f"{layout.root} lies in the state folder of another workspace")
    if layout.root.exists() and not layout.root.is_dir():
        raise WorkspaceInvalid(f"{layout.root} is not a folder")
    private = (layout.state, layout.keys, layout.wake, layout.mirrors, layout.worktrees, layout.runs)
    shown = (
        layout.ops / "drafts",
        layout.ops / "approved",
        layout.ops / "runs",
        layout.evidence,
        layout.run_log.parent,
        layout.database_link.parent,
    )
    try:
        for folder in private:
            yield _made(
                folder, folder.is_dir(), lambda folder=folder: folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            )
        for folder in shown:
            yield _made(folder, folder.is_dir(), lambda folder=folder: folder.mkdir(parents=True, exist_ok=True))
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
    """Move settings, provider configuration and entry point aside, so that they are written anew."""
    for path in (layout.root / "interlock.toml", layout.ops / "provider.json", layout.entry_point):
        if path.exists():
            kept = path.with_name(f"{path.name}.{stamp}.backup")
            path.rename(kept)
            yield Made(kept, "backed up")


def make_keys(layout: Layout, origin: str, person: str | None) -> list[Made]:
    """Make the log's key, the service's, and that of the person at this terminal, if it is one; what is there stays.

    A log that has a public key gets no second one: its private half is kept elsewhere, or lost, and heads that a new
    key signs would be worth nothing to whoever knows the old one. A person gets none either where it is not: the log
    could not be told of it, and what it signs would not count.
    """
    layout.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    layout.evidence.mkdir(parents=True, exist_ok=True)
    log, public = layout.log_key, layout.evidence / "log.vkey"
    if not log.exists() and (public.exists() or log.with_suffix(".vkey").exists()):
        made = [Made(log, "missing")]
    else:
        made = [*_key(log, origin)]
    made += _key(layout.service_key, "interlock/service")
    if person is not None and log.exists():
        made += _key(layout.keys / f"human-{person}.key", f"interlock/human-{person}")
    copy = log.with_suffix(".vkey")
    made.append(_made(public, public.exists(), lambda: publish.replace(public, [copy.read_bytes()])))
    return made


def _key(path: Path, name: str) -> Iterator[Made]:
    """Make a key, or what is lost of it. The public half of a lost key is kept: what it signed still counts."""
    from interlock.evidence.keys import create_key, restore_public  # noqa: PLC0415 - only `init` needs them

    public = path.with_suffix(".vkey")
    if path.exists():
        if not public.exists():
            restore_public(path, name)
        yield Made(path, "kept")
        return
    if public.exists():
        old = public.with_name(f"{public.stem}.{UlidSource()()}.vkey")
        public.rename(old)
        yield Made(old, "backed up")
    create_key(path, name)
    yield Made(path, "created")


def _made(path: Path, there: bool, make: Callable[[], object]) -> Made:  # noqa: FBT001 - one caller's answer
    if there:
        return Made(path, "kept")
    make()
    return Made(path, "created")


def _write(path: Path, text: str, mode: int) -> None:
    publish.replace(path, [text.encode("utf-8")], mode=mode)
    os.chmod(path, mode)  # noqa: PTH101 - the mode whatever the umask is
