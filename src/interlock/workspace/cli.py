"""The command-line door of the workspace's files: `interlock windows`."""

from __future__ import annotations

from typing import Any, Protocol

import typer

from interlock.access.models import Actor
from interlock.doors.cli import answer, call, house
from interlock.kernel.ids import UlidSource
from interlock.workspace.errors import WindowsDiffer
from interlock.workspace.windows import Difference

door = typer.Typer(help="Windows: the files that show what the database says.", no_args_is_help=True)


class _Windows(Protocol):
    def differences(self) -> list[Difference]: ...

    def rebuild(self, actor: Actor, keep_as: str) -> list[Difference]: ...


class _House(Protocol):
    @property
    def windows(self) -> _Windows: ...


@door.command("verify")
def verify() -> None:
    """Hold every window against the database; exit 1 if one differs. Repairs nothing."""
    found = house(_House).windows.differences()
    if found:
        answer({"id": "windows", "status": "differ", "items": _shown(found)}, _lines(found))
        raise WindowsDiffer(f"{len(found)} window files are not what the database says")
    answer({"id": "windows", "status": "ok", "items": []}, ["every window says what the database says"])


@door.command("rebuild")
def rebuild() -> None:
    """Write anew what differs; each old file is kept under .interlock/kept."""
    replaced = house(_House).windows.rebuild(call().actor(), UlidSource()())
    answer(
        {"id": "windows", "status": "rebuilt", "items": _shown(replaced)},
        [*_lines(replaced), f"{len(replaced)} windows written anew"],
    )


def _shown(found: list[Difference]) -> list[dict[str, Any]]:
    return [{"path": str(each.path), "problem": each.problem} for each in found]


def _lines(found: list[Difference]) -> list[str]:
    return [f"{each.problem:11}{each.path}" for each in found]
