"""`interlock scheduler`: what a worker does beside its runs, and no runs."""

from __future__ import annotations

from typing import Annotated

import typer

from interlock.cli.worker import work
from interlock.doors.cli import call

door = typer.Typer(add_completion=False)


@door.command()
def scheduler(
    once: Annotated[bool, typer.Option("--once", help="Go through everything once.")] = False,
    database: Annotated[str, typer.Option(metavar="URL", help="Another database than the settings name.")] = "",
) -> None:
    """Promote what is due, rescue what was left behind, seal, sign and archive, until SIGTERM or Ctrl-C.

    A server or worker does this too; it is for where all of them run with `--api-only` or on other machines.
    """
    work(call().app(database).worker(once=once, concurrency=0))
