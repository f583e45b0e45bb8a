"""Verbs between the forms: import a Markdown queue into the database, render the database as one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from interlock.doors.cli import answer, call
from interlock.kernel.errors import Invalid
from interlock.queue import exchange, markdown
from interlock.queue.cli.meant import is_queue_named, looking, markdown_path, rooms, writing, wrote
from interlock.queue.errors import ImportDiffers, MarkdownReadOnly, RenderDiffers

_NAMED = 5


def import_rows(
    keep: Annotated[bool, typer.Option("--keep", help="Where a row differs, the database is right.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Where a row differs, the file is right.")] = False,
) -> None:
    """Bring the rows of a Markdown queue into the database; doing it twice changes nothing."""
    if keep and replace:
        raise Invalid("--keep and --replace contradict each other")
    path = markdown_path()
    table = markdown.read(path)
    if markdown.is_window(table):
        raise MarkdownReadOnly(f"{path} was rendered from the database; there is nothing in it to import")
    with looking() as queue:
        now = queue.now()
        found = exchange.sort_out(queue, [exchange.hand_row(row.cells, now) for row in table.rows])
    if found.differing and not (keep or replace):
        named = ", ".join(row.id for row in found.differing[:_NAMED])
        raise ImportDiffers(
            f"{len(found.differing)} rows of {path} differ from the database ({named}); nothing was imported"
        )
    added = replaced = 0
    for start in range(0, len(found.new), exchange.PER_TRANSACTION):
        with writing() as queue:
            added += exchange.take_in(queue, found.new[start : start + exchange.PER_TRANSACTION])
    differing = found.differing if replace else ()
    for start in range(0, len(differing), exchange.PER_TRANSACTION):
        with writing() as queue:
            replaced += exchange.take_over(queue, differing[start : start + exchange.PER_TRANSACTION])
    if added or replaced:
        wrote()
    kept = len(found.differing) - replaced
    answer(
        {
            "id": "queue",
            "status": "imported",
            "added": added,
            "replaced": replaced,
            "alike": len(found.alike),
            "kept": kept,
        },
        [f"Imported {added} rows; replaced={replaced} alike={len(found.alike)} kept={kept}"],
    )


def render(
    own: Annotated[
        bool, typer.Option("--own", help="From now on the file follows the database, and is not changed by hand.")
    ] = False,
    disown: Annotated[bool, typer.Option("--disown", help="From now on the file owns its rows again.")] = False,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Also where rows are only in the file, which loses them.")
    ] = False,
) -> None:
    """Write the database's items into a Markdown queue: its rows are replaced, the text around them stays."""
    if own and disown:
        raise Invalid("--own and --disown contradict each other")
    if not rooms().ours and (own or not is_queue_named()):
        raise Invalid("only the workspace's own database keeps its Markdown queue; name another file with --queue")
    path, actor = markdown_path(), call().actor()
    if disown and not os.path.lexists(path):
        rooms().own_queue_window(path, owned=False)
    with looking() as queue:
        rows = list(exchange.as_rows(queue))
    if not drop_missing:
        _refuse_other_tasks(path, rows)
    count = rooms().markdown(path, actor).replace_rows(rows, banner=not disown, drop_missing=drop_missing)
    if own or disown:
        rooms().own_queue_window(path, owned=own)
    wrote()
    answer({"id": "queue", "status": "rendered", "rows": count, "window": not disown}, [f"rendered {count} rows"])


def _refuse_other_tasks(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Where file and database both own rows, both number them: one id may be two tasks."""
    table = markdown.read(path)
    if markdown.is_window(table):
        return
    tasks = {markdown.cell(row["id"]): markdown.cell(row["task"]) for row in rows}
    others = [row for row in table.rows if tasks.get(row.id, row.cells["task"]) != row.cells["task"]]
    if others:
        named = ", ".join(row.id for row in others[:_NAMED])
        raise RenderDiffers(f"{len(others)} rows of {path} are other tasks than the database's ({named})")


VERBS: Mapping[str, Callable[..., None]] = {"import": import_rows, "render": render}
