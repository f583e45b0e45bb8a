"""`interlock migrate`: move the workspace's database to PostgreSQL."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interlock.doors.cli import answer, call, note
from interlock.kernel.errors import Invalid

if TYPE_CHECKING:
    from interlock.migrating import Outcome

door = typer.Typer(add_completion=False)

_WORDS = {"moved": "moved", "finished": "the move was ended", "would_move": "would be moved; nothing was changed"}


@door.command()
def migrate(
    to: Annotated[
        str, typer.Option("--to", metavar="URL", help="postgresql://…, an empty database. No password in it.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be moved, and how long it may take.")
    ] = False,
) -> None:
    """Move the workspace from its SQLite file to PostgreSQL: ids, events and proofs stay what they are.

    Stop workers and servers before. Whatever fails, or is killed, the workspace works on: do this again.
    """
    from interlock.migrating import Migration

    if not to:
        raise Invalid("--to is empty", hint="name an empty database: --to postgresql://HOST/NAME")
    shown = _Progress()
    migration = Migration(house=call().app(), address=to, progress=shown.tell)
    try:
        outcome = migration.look() if dry_run else migration.carry_out(call().actor())
    finally:
        shown.end()
    for sentence in outcome.warnings:
        note(f"warning: {sentence}")
    answer(_data(outcome), _lines(outcome, to))


class _Progress:
    """One line on a terminal's stderr, written over; elsewhere nothing."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty()
        self._said = False

    def tell(self, table: str, done: int, total: int) -> None:
        """Say how much of a table is there."""
        if self._shows and total:
            sys.stderr.write(f"\r\x1b[K{table}: {done} of {total} rows")
            sys.stderr.flush()
            self._said = True

    def end(self) -> None:
        """Take the line away."""
        if self._said:
            sys.stderr.write("\r\x1b[K")


def _data(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": "workspace",
        "status": outcome.status,
        "size": outcome.size,
        "root": outcome.root,
        "rows": outcome.rows,
        "tables": dict(outcome.tables),
        "left_behind": dict(outcome.left_behind),
        "held": outcome.held,
        "about_seconds": outcome.about_seconds if outcome.status == "would_move" else None,
        "kept": str(outcome.kept) if outcome.kept else None,
    }


def _lines(outcome: Outcome, to: str) -> list[str]:
    lines = [f"{rows:>9} {table}" for table, rows in outcome.tables.items() if rows]
    lines += [f"{rows:>9} {name}: of other tools, stays in the old file" for name, rows in outcome.left_behind.items()]
    if outcome.held:
        lines.append(f"{outcome.held} items are under way; whoever holds one keeps it")
    if outcome.status == "would_move":
        lines.append(f"{outcome.rows} rows, about {outcome.about_seconds} s")
    lines.append(f"log: {outcome.size} entries, root {outcome.root}")
    lines.append(f"{_WORDS[outcome.status]}: {to}")
    if outcome.kept:
        lines.append(f"the old file is kept as {outcome.kept}")
    return lines
