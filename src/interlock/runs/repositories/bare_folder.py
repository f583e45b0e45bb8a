"""The mirror's folder on the disk: the bytes in it that only we write, and putting them back.

Our own commands see nothing of it but objects and refs (standin.py). The rest is for the agents' own git in their
worktrees, which reads this configuration: what one agent writes here must not run in the next one's session.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from interlock.runs.repositories.errors import MirrorDamaged
from interlock.runs.repositories.foreign_files import plain_content, remove_tree
from interlock.runs.repositories.standin import RAW_ATTRIBUTES, configuration

_FOLDERS = (
    "info",
    "objects",
    "objects/info",
    "objects/pack",
    "refs",
    "refs/heads",
    "refs/interlock",
    "worktrees",
)
# No collection of garbage in one agent's session may drop what another run needs.
_SETTINGS = {
    "core.bare": "true",
    "core.filemode": "true",
    "core.hookspath": "/dev/null",
    "core.logallrefupdates": "false",
    "gc.auto": "0",
    "gc.pruneexpire": "never",
    "gc.worktreepruneexpire": "never",
    "maintenance.auto": "false",
}
# What makes a git folder read something else; we never write these.
_FOREIGN = (
    "branches",
    "commondir",
    "config.worktree",
    "gitdir",
    "hooks",
    "info/exclude",
    "info/grafts",
    "info/sparse-checkout",
    "objects/info/alternates",
    "objects/info/http-alternates",
    "remotes",
)


@dataclass(frozen=True, slots=True)
class BareFolder:
    """A bare git folder in which every byte that configures something is ours."""

    path: Path
    object_format: str
    description: str

    def intact(self) -> bool:
        """Say whether there is nothing to restore."""
        return (
            all(_is_folder(self.path / name) for name in _FOLDERS)
            and not any(os.path.lexists(self.path / name) for name in _FOREIGN)
            and all(plain_content(self.path / name) == content for name, content in self._files().items())
        )

    def restore(self) -> tuple[str, ...]:
        """Make the folder if it is not there; put back what was changed in it and return the names of that.

        Called by who holds its lock. Raises `MirrorDamaged` where a folder of it is none any more.
        """
        if not self.path.is_dir():
            self._make()
        for name in _FOLDERS:
            folder = self.path / name
            if not os.path.lexists(folder):
                folder.mkdir()  # git itself removes folders of refs that have become empty
            if not _is_folder(folder):
                raise MirrorDamaged(f"{folder} is not a folder of its own")
        foreign = [name for name in _FOREIGN if os.path.lexists(self.path / name)]
        for name in foreign:
            remove_tree(self.path / name)
        wanted = self._files()
        changed = [name for name, content in wanted.items() if plain_content(self.path / name) != content]
        for name in changed:
            self.write(name, wanted[name])
        return (*changed, *foreign)

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all, whatever stands in its place."""
        target = self.path / name
        if target.is_dir() and not target.is_symlink():
            remove_tree(target)
        fresh = self.path / f"{name}.interlock"
        remove_tree(fresh)
        fresh.write_bytes(content)
        fresh.rename(target)

    def _files(self) -> dict[str, bytes]:
        return {
            "HEAD": b"ref: refs/heads/interlock-none\n",
            "config": configuration(self.object_format, _SETTINGS),
            "description": os.fsencode(f"{self.description}\n"),
            "info/attributes": RAW_ATTRIBUTES,
        }

    def _make(self) -> None:
        for unfinished in self.path.parent.glob(f".{self.path.name}~*"):
            remove_tree(unfinished)
        new = self.path.with_name(f".{self.path.name}~{os.getpid()}")
        new.mkdir(mode=0o700)
        for name in _FOLDERS:
            (new / name).mkdir()
        for name, content in self._files().items():
            (new / name).write_bytes(content)
        new.rename(self.path)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
