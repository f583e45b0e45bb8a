"""Fresh workspaces: made once for each founder and kind of database, as `init` leaves them, and copied for a test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.access.models import Actor
from interlock.founding import create_workspace

if TYPE_CHECKING:
    from tests.conftest import Databases


class Founded:
    """Lays workspaces down. Their keys, origins and first events are the same: no two share a database."""

    def __init__(self, folder: Path, databases: Callable[[], Databases]) -> None:
        self._folder, self._databases = folder, databases
        self._made: dict[tuple[str, Actor], tuple[Path, str]] = {}

    def lay(self, root: Path, kind: str, actor: Actor) -> str:
        """Lay one down over `sqlite` or `postgres`; returns the address of its database, empty for SQLite."""
        template, template_url = self._template(kind, actor)
        shutil.copytree(template, root, symlinks=True)
        if not template_url:
            return ""
        url = self._databases().copied(template_url)
        named = root / "interlock.toml"
        named.write_text(named.read_text().replace(template_url, url))
        return url

    def used(self, url: str) -> None:
        """Note that the database of one is not needed any more."""
        self._databases().used(url)

    def _template(self, kind: str, actor: Actor) -> tuple[Path, str]:
        if (kind, actor) not in self._made:
            root = self._folder / f"{kind}-{len(self._made)}"
            url = self._databases().template() if kind == "postgres" else ""
            create_workspace(root, actor, database_url=url, replace=False)
            self._made[kind, actor] = root, url
        return self._made[kind, actor]
