"""`interlock init DIR`: make a workspace."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from interlock.doors.cli import answer, call, note
from interlock.founding import create_workspace, join_workspace
from interlock.kernel.errors import Invalid
from interlock.workspace.errors import WorkspaceIncomplete

door = typer.Typer(add_completion=False)
_AFTER = "next: cd {root} && interlock draft create --repo DIR --prompt TEXT --command LINE"
_AFTER_JOINING = "next: compare log.vkey with the first machine's; interlock worker waits until the log knows this key"


@door.command()
def init(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Where; made if it is not there.")],
    database: Annotated[
        str, typer.Option(help="postgresql://…; without it, a SQLite file in the workspace. No password in it.")
    ] = "",
    replace_entry_points: Annotated[
        bool, typer.Option("--replace-entry-points", help="Back up and replace files of ours that are there.")
    ] = False,
    join: Annotated[
        bool, typer.Option("--join", help="Take part in the workspace whose database this is, from another machine.")
    ] = False,
) -> None:
    """Make a workspace: settings, keys, database, folders. What is there is kept; doing it twice changes nothing."""
    if not folder:
        raise Invalid("DIR is empty", hint="name the folder; `interlock init .` means this one")
    root = Path(folder).absolute()
    try:
        made = (join_workspace if join else create_workspace)(
            root,
            call().actor(),
            database_url=database,
            replace=replace_entry_points,
            warn=lambda sentence: note(f"warning: {sentence}; see `interlock windows verify`"),
        )
    except OSError as error:
        raise WorkspaceIncomplete(f"{root} is not complete: {error}") from None
    data = [{"path": str(each.path), "status": each.done} for each in made]
    lines = [f"{each.done:10} {each.path}" for each in made]
    answer(
        {"id": str(root), "status": "ok", "items": data},
        [
            *lines,
            f"workspace {root} is ready",
            _AFTER_JOINING if join else _AFTER.format(root=shlex.quote(str(root))),
        ],
    )
