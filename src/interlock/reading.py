"""The light road: a queue is looked at without plugging the house together. `status` runs here every two seconds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol


class Reading(Protocol):
    """A queue in a database, to be looked at; nothing is created, changed or upgraded."""

    def standing(self, most: int) -> tuple[Mapping[str, int], Sequence[Mapping[str, str]]]:
        """Count items by status, and list what is IN_PROGRESS, in the queue's order, at most so many, as of now."""
        ...

    def active(self) -> Sequence[Mapping[str, str]]:
        """List what is IN_PROGRESS, in the queue's order."""
        ...

    def items(self) -> Iterable[Mapping[str, str]]:
        """Yield every item by its nine columns, in the queue's order."""
        ...

    def retries(self) -> int:
        """Count the retries ever made."""
        ...


def is_server(target: str) -> bool:
    """Say whether `--db` names a database server and not a file."""
    return target.startswith(("postgresql://", "postgres://"))


def reading(target: str) -> Reading:
    """Look at the queue that `--db` names: a SQLite file, ours or of earlier tools, or `postgresql://…`."""
    if not is_server(target):
        from interlock.storage.sqlite.reading import SqliteReading

        return SqliteReading(target)
    from interlock.settings import resolved_address

    return _server(resolved_address(target, "--db"))


def workspace_reading(root: str) -> Reading:
    """Look at the queue of a workspace, wherever its database is."""
    if not _may_name_a_server(root):
        return reading(os.path.join(root, ".interlock", "interlock.db"))
    from pathlib import Path

    from interlock.settings import load
    from interlock.workspace.layout import Layout

    folder = Path(root)
    url = load(folder).database_url()
    return _server(url) if url else reading(str(Layout(folder).database))


def _may_name_a_server(root: str) -> bool:
    """Say whether the settings have to be read: whoever sets no address waits for no parser."""
    if "INTERLOCK_DATABASE_URL" in os.environ:
        return True
    try:
        with open(os.path.join(root, "interlock.toml"), "rb") as file:
            return b"url" in file.read()
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _server(url: str) -> Reading:
    from interlock.storage.postgres.database import PostgresDatabase
    from interlock.storage.reading import StoredReading

    return StoredReading(PostgresDatabase(url))
