"""`interlock init DIR`: make a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interlock.app import create_workspace
from interlock.doors.cli import answer, call

door = typer.Typer(add_completion=False)


@door.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where; made if it is not there.")],
    database: Annotated[
        str, typer.Option(help="postgresql://…; without it, a SQLite file in the workspace. No password in it.")
    ] = "",
    replace_entry_points: Annotated[
        bool, typer.Option("--replace-entry-points", help="Back up and replace files of ours that are there.")
    ] = False,
) -> None:
    """Make a workspace: settings, keys, database, folders. What is there is kept; doing it twice changes nothing."""
    made = create_workspace(folder.absolute(), call().actor(), database_url=database, replace=replace_entry_points)
    data = [{"path": str(each.path), "status": each.done} for each in made]
    lines = [f"{each.done:10} {each.path}" for each in made]
    answer(
        {"id": str(folder.absolute()), "status": "ok", "items": data},
        [*lines, f"workspace {folder.absolute()} is ready; try `interlock --help`"],
    )
