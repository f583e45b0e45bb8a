"""Refuses a wheel without the console; it builds nothing itself, so that nobody needs Node to install from source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleIsThere(BuildHookInterface):
    """Looks for the page before a wheel is made; an editable installation may do without."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Refuse, where the page is missing."""
        del build_data
        page = Path(self.root) / "src" / "interlock" / "web" / "assets" / "index.html"
        if version != "editable" and not page.is_file():
            raise RuntimeError(f"there is no console in this wheel: run `make ui` first ({page} is missing)")
