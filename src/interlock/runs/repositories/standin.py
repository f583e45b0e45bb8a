"""A stand-in: a private git folder that shows another one's objects and refs, but has our configuration.

Git reads `config`, `hooks` and `info` from the folder that it is pointed at. So we point it at a folder of our own, in
which only what is data leads to the real one: `objects`, `refs`, `packed-refs`, `shallow`. It is what git's own
contrib/workdir/git-new-workdir does, for the opposite reason: there the configuration is shared, here it is the one
thing that is not. What is let through is a short list; a list of dangerous keys to override (filter.*, merge.*,
remote.*.uploadpack, url.*.insteadOf, core.alternateRefsCommand, include.path …) would be one short with the next
git, and could be changed between reading it and running the command.

Writing through it is safe beside other gits: lock files and new refs land in the real folders.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from interlock.runs.repositories.foreign_files import remove_tree
from interlock.runs.repositories.git import Git, Place
from interlock.runs.repositories.locks import taken

RAW_ATTRIBUTES = b"* -text !eol -filter -ident !working-tree-encoding !diff !merge !whitespace !conflict-marker-size\n"
"""For `info/attributes`, which wins over every .gitattributes: a file's bytes are its blob's bytes, both ways.

No filter can run whatever the configuration says, nothing that an agent left untouched shows up as changed, what it
wrote is recorded as it wrote it, and no `-diff` hides text from the reviewer of a patch."""

_SHARED = ("objects", "refs", "packed-refs", "reftable", "shallow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What of a git folder a stand-in lets through."""

    folder: Path
    """The (common) git folder that holds objects and refs."""
    object_format: str = "sha1"
    head: str = "ref: refs/heads/interlock-none"
    """The content of HEAD: a commit, or `ref: refs/heads/…`."""
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    """Configuration that only describes how data is stored, already checked to be plain words."""
    links: Mapping[str, Path] = field(default_factory=dict[str, Path])
    """More names to let through, each with what it leads to (`logs`, `info/exclude`, `sharedindex.…`)."""
    attributes: bytes | None = RAW_ATTRIBUTES
    """The content of `info/attributes`; None writes none."""


@contextmanager
def stand_in(git: Git, storage: Storage) -> Generator[Place]:
    """Yield the place of a stand-in that lives as long as the context."""
    with private_folder(git.scratch) as folder:
        (folder / "info").mkdir()
        (folder / "HEAD").write_text(f"{storage.head}\n", encoding="utf-8", errors="surrogateescape")
        (folder / "config").write_bytes(configuration(storage.object_format, storage.settings))
        if storage.attributes is not None:
            (folder / "info/attributes").write_bytes(storage.attributes)
        for name in _SHARED:  # there or not: another git may make it any moment
            (folder / name).symlink_to(storage.folder / name)
        for name, target in storage.links.items():
            (folder / name).symlink_to(target)
        yield Place(git_dir=folder)


def configuration(object_format: str, settings: Mapping[str, str]) -> bytes:
    """Write a configuration file: the format, then `settings` (each `section.key` to a plain word) in order."""
    extended = object_format != "sha1" or any(key.startswith("extensions.") for key in settings)
    lines = ["[core]", f"\trepositoryformatversion = {int(extended)}"]
    if object_format != "sha1":
        lines += ["[extensions]", f"\tobjectformat = {object_format}"]
    for key, value in sorted(settings.items()):
        section, name = key.split(".", 1)
        lines += [f"[{section}]", f"\t{name} = {value}"]
    return ("\n".join(lines) + "\n").encode()


@contextmanager
def private_folder(scratch: Path) -> Generator[Path]:
    """Yield a new folder that only this user may enter; it goes with the context, or with `sweep` after a crash."""
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        folder = Path(tempfile.mkdtemp(prefix="git-", dir=scratch))
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        # A sweep may have come between making and locking it; then it is gone, and we make another.
        if taken(descriptor) and folder.exists():
            break
        os.close(descriptor)
    try:
        yield folder
    finally:
        remove_tree(folder)
        os.close(descriptor)


def sweep(scratch: Path) -> int:
    """Remove the private folders whose process is dead; return how many."""
    swept = 0
    for folder in scratch.glob("git-*"):
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            if taken(descriptor):
                remove_tree(folder)
                swept += 1
        finally:
            os.close(descriptor)
    return swept
