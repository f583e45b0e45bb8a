"""The command-line door of the queue: `interlock queue`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from interlock.queue.cli import between, looking, steering, working
from interlock.queue.cli.meant import hoisted, mean


class _Group(TyperGroup):
    """Takes `--queue` and `--db` wherever they stand on the line."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # pyright: ignore[reportIncompatibleMethodOverride] - its own Context
        return super().parse_args(ctx, hoisted(args, self._flags()))

    def _flags(self) -> set[str]:
        """Name the options that take no value."""
        options: Iterator[Any] = (option for command in self.commands.values() for option in command.params)
        return {"--help"} | {name for option in options if getattr(option, "is_flag", False) for name in option.opts}


door = typer.Typer(
    help="The queue: what waits, who works on what; work on it, steer it.", cls=_Group, add_completion=False
)


@door.callback(no_args_is_help=True)
def stores(
    queue: Annotated[
        str | None, typer.Option(metavar="PATH", help="A Markdown queue, instead of the database.")
    ] = None,
    db: Annotated[
        str | None, typer.Option(metavar="PATH|URL", help="Another database: a SQLite file or postgresql://….")
    ] = None,
) -> None:
    """See and steer the queue: the workspace's database, or the one that --queue or --db names."""
    mean(queue, db)


for room in (looking, working, steering, between):
    for name, verb in room.VERBS.items():
        door.command(name)(verb)
