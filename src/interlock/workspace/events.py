"""What happens to the workspace's files."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.kernel.canonical import Json
from interlock.kernel.events import Event


@dataclass(frozen=True, kw_only=True)
class WorkspaceCreated(Event):
    """The workspace was made; the first entry of its log."""

    kind = "workspace.created"
    origin: str


@dataclass(frozen=True, kw_only=True)
class WorkspaceMigrated(Event):
    """The workspace's database was moved to PostgreSQL; the first entry of its log that was written there."""

    kind = "workspace.migrated"
    calming = True
    moved_from: str
    """`sqlite`."""
    size: int
    """How many entries the log had before this one."""
    root: str
    """The root of their tree, in hex."""

    def payload(self) -> dict[str, Json]:
        """Return the fields; `from` is no name that a field could have."""
        return {"from": self.moved_from, "size": self.size, "root": self.root}


@dataclass(frozen=True, kw_only=True)
class WindowCompleted(Event):
    """A window file had ended early (a crash, a full disk) and was completed from the log."""

    kind = "window.completed"
    calming = True
    entries: int


@dataclass(frozen=True, kw_only=True)
class WindowsRebuilt(Event):
    """An operator had window files that differed written anew; copies were kept."""

    kind = "windows.rebuilt"
    replaced: int
