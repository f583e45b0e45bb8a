"""The command-line door of the queue: `interlock queue`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Annotated, Any, Protocol

import typer

from interlock.access.models import Actor
from interlock.doors.cli import answer, call, house, table
from interlock.kernel.errors import Invalid
from interlock.queue.models import Filter, Item, ItemStatus
from interlock.queue.service import Queue

door = typer.Typer(help="The queue: what waits, who works on what.", no_args_is_help=True)

ItemId = Annotated[str, typer.Argument(metavar="ID")]


class _House(Protocol):
    def queue(self, actor: Actor) -> AbstractContextManager[Queue]: ...

    def queue_look(self) -> AbstractContextManager[Queue]: ...


@door.command("status")
def status() -> None:
    """Count items by status."""
    with house(_House).queue_look() as queue:
        counts = queue.counts()
    answer(
        {"id": "queue", "status": "ok", **counts},
        ["summary " + " ".join(f"{name}={counts[name]}" for name in (s.value for s in ItemStatus))],
    )


@door.command("list")
def list_items(
    status: Annotated[ItemStatus | None, typer.Option(help="Only items that stand so.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
) -> None:
    """List items in the order in which they would be claimed."""
    with house(_House).queue_look() as queue:
        rows = [_shown(item) for item in queue.list(Filter(status=status), limit=limit)]
    table(rows, ("id", "status", "priority", "owner_session", "run_id", "task"), empty="the queue is empty")


@door.command("show")
def show(item_id: ItemId) -> None:
    """Show an item."""
    with house(_House).queue_look() as queue:
        item = _shown(queue.get(item_id))
    answer(item, (f"{name:16}{value}" for name, value in item.items()))


@door.command("cancel")
def cancel(item_id: ItemId, reason: Annotated[str, typer.Option(help="Why; kept in the notes.")] = "") -> None:
    """Stop an item: it becomes BLOCKED, and its run is cancelled."""
    with house(_House).queue(call().actor()) as queue:
        item = queue.cancel(item_id, reason=reason)
        queue.wake()
    _moved(item)


@door.command("replan")
def replan(item_id: ItemId, notes: Annotated[str, typer.Option(help="What has to be planned anew.")]) -> None:
    """Send an item back to planning."""
    if not notes.strip():
        raise Invalid("--notes is blank; say what has to be planned anew")
    with house(_House).queue(call().actor()) as queue:
        item = queue.replan(item_id, notes)
    _moved(item)


@door.command("retry")
def retry(item_id: ItemId) -> None:
    """Give a FAILED item another attempt, after its back-off."""
    with house(_House).queue(call().actor()) as queue:
        item = queue.retry(item_id)
    _moved(item)


def _moved(item: Item) -> None:
    call().wrote()
    answer(_shown(item), [f"{item.id} -> {item.status.value}"])


def _shown(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "status": item.status.value,
        "priority": item.priority,
        "kind": item.kind.value,
        "executor": item.executor.value,
        "run_id": item.run_id,
        "task": item.task,
        "success_criteria": item.success_criteria,
        "owner_session": item.owner_session,
        "attempt_count": item.attempt_count,
        "max_attempts": item.max_attempts,
        "waits_for": item.waits_for,
        "notes": item.notes,
        "last_error": item.last_error,
    }
