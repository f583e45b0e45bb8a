"""Verbs of who works on items: add, claim, heartbeat, complete, fail, release."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Annotated

import typer

from interlock.doors.cli import answer, note
from interlock.kernel.clock import to_text
from interlock.kernel.errors import Invalid
from interlock.queue.cli.meant import (
    in_file,
    instant_ms,
    moved,
    only_database,
    shown_item,
    shown_row,
    span_ms,
    writing,
    wrote,
)
from interlock.queue.errors import LeaseLost
from interlock.queue.models import Executor, Item, ItemKind, ItemStatus, NewItem
from interlock.queue.service import Queue
from interlock.queue.words import checked_line

ItemId = Annotated[str, typer.Argument(metavar="ID")]
Fence = Annotated[int | None, typer.Option(help="The fence that `claim` gave.")]
OwnerSession = Annotated[str | None, typer.Option(help="Who holds it; enough where the name is yours alone.")]
Notes = Annotated[str, typer.Option(help="Added to the item's notes.")]


class FailureClass(Enum):
    """Whether a failure may pass."""

    TRANSIENT = "transient"
    PERMANENT = "permanent"


def add(
    task: Annotated[str, typer.Option(help="What is to be done.")],
    success_criteria: Annotated[str, typer.Option(help="By what it is seen to be done.")],
    priority: Annotated[str, typer.Option(help="P0, P1 or P2.")] = "P1",
    due: Annotated[str, typer.Option(metavar="TIME", help="2026-11-21 17:00, which is UTC+9; or -.")] = "-",
    notes: Notes = "",
    delay: Annotated[str, typer.Option(metavar="SPAN", help="Not before so long from now: 90s, 15m, 2h, 3d.")] = "",
    not_before: Annotated[str, typer.Option(metavar="INSTANT", help="Not before 2026-11-21T08:00:00Z.")] = "",
    idempotency_key: Annotated[str | None, typer.Option(help="The same key again is the same item.")] = None,
    concurrency_key: Annotated[str | None, typer.Option(help="Items with one key share its limit.")] = None,
    need: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL", help="Only who has it takes the item: gpu; repeat it."),
    ] = None,
    max_attempts: Annotated[int | None, typer.Option(min=1, max=100)] = None,
    item_id: Annotated[str | None, typer.Option("--id", help="In a Markdown queue: the row's id.")] = None,
) -> None:
    """Put an item on the queue."""
    file = in_file()
    if file is not None:
        if delay or not_before or idempotency_key or concurrency_key or need or max_attempts:
            only_database("hold a delay, a key, a need or attempts")
        row = file.add(
            priority=priority, task=task, success_criteria=success_criteria, due=due, notes=notes, item_id=item_id
        )
        wrote(file)
        answer(shown_row(row), [f"Added {row.id}"])
        return
    if item_id is not None:
        raise Invalid("--id is for a Markdown queue; the database numbers its items itself")
    if delay and not_before:
        raise Invalid("--delay and --not-before say the same; give one")
    with writing() as queue:
        later = queue.now() + span_ms(delay, "--delay") if delay else None
        item = queue.add(
            NewItem(
                kind=ItemKind.MANUAL,
                executor=Executor.EXTERNAL,
                priority=priority,
                task=task,
                success_criteria=success_criteria,
                max_attempts=max_attempts or queue.options.max_attempts,
                due_at_kst=due,
                notes=notes,
                not_before_ms=instant_ms(not_before, "--not-before") if not_before else later,
                idempotency_key=idempotency_key,
                concurrency_key=concurrency_key,
                needs=tuple(need or ()),
            )
        )
        item = queue.get(item.id)
    wrote()
    answer(shown_item(item), [f"Added {item.id}"])


def claim(
    owner_session: Annotated[str, typer.Option(help="Who takes it.")],
    lease_seconds: Annotated[int | None, typer.Option(min=1, max=86_400, help="How long without a heartbeat.")] = None,
    has: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="What the session has that items may need; repeat it.")
    ] = None,
) -> None:
    """Take the oldest item of the highest priority; later words about it name its fence, or the session that has it."""
    file = in_file()
    if file is not None:
        if lease_seconds is not None or has:
            only_database("hold a lease or a need")
        row = file.claim(owner_session)
        if row is not None:
            wrote(file)
        answer(shown_row(row) if row else _NOTHING, [row.id if row else "No pending tasks"])
        return
    with writing() as queue:
        queue.promote()
        item = queue.claim(Executor.EXTERNAL, owner_session, lease_seconds=lease_seconds, has=frozenset(has or ()))
        pause = queue.paused() if item is None else None
    if item is not None:
        wrote()
    if pause is not None:
        note(f"the queue is paused by {pause.paused_by}: {pause.reason}")
    answer(
        shown_item(item) if item else _NOTHING,
        [f"{item.id} fence={item.fence} lease_until={to_text(item.lease_until_ms or 0)}"]
        if item
        else ["No pending tasks"],
    )


_NOTHING = {"id": None, "status": "NOOP"}


def heartbeat(item_id: ItemId, fence: Fence = None, owner_session: OwnerSession = None) -> None:
    """Say that the item is still worked on: its lease begins anew."""
    only_database("hold a lease")
    with writing() as queue:
        item = queue.heartbeat(item_id, _fence(queue, item_id, fence, owner_session))
    answer(shown_item(item), [f"{item.id} lease_until={to_text(item.lease_until_ms or 0)}"])


def complete(item_id: ItemId, fence: Fence = None, owner_session: OwnerSession = None, notes: Notes = "") -> None:
    """Finish an item that is held."""
    file = in_file()
    if file is not None:
        row = file.complete(item_id, notes, owner_session=owner_session)
        wrote(file)
        moved(row)
        return
    with writing() as queue:
        item = queue.complete(item_id, _fence(queue, item_id, fence, owner_session), notes=notes)
    wrote()
    moved(item)


def fail(
    item_id: ItemId,
    fence: Fence = None,
    owner_session: OwnerSession = None,
    failure_class: Annotated[
        FailureClass, typer.Option("--class", help="transient is tried again after the back-off, while attempts last.")
    ] = FailureClass.PERMANENT,
    reason: Annotated[str, typer.Option(help="What went wrong.")] = "",
    notes: Notes = "",
) -> None:
    """End an item that is held as FAILED, or give it back to be tried again."""
    file = in_file()
    transient = failure_class is FailureClass.TRANSIENT
    if file is not None:
        if transient:
            only_database("count attempts")
        row = file.fail(item_id, " / ".join(part for part in (reason, notes) if part), owner_session=owner_session)
        wrote(file)
        moved(row)
        return
    with writing() as queue:
        item = queue.fail(
            item_id,
            _fence(queue, item_id, fence, owner_session),
            reason=f"{failure_class.value}_failure",
            message=checked_line(reason, "reason") or notes or "no reason was given",
            transient=transient,
            notes=notes,
        )
    wrote()
    moved(item)


def release(item_id: ItemId, fence: Fence = None, owner_session: OwnerSession = None, notes: Notes = "") -> None:
    """Give an item back; no attempt is used up."""
    file = in_file()
    if file is not None:
        row = file.release(item_id, owner_session=owner_session)
        wrote(file)
        moved(row)
        return
    with writing() as queue:
        item = queue.release(item_id, _fence(queue, item_id, fence, owner_session), notes=notes)
    wrote()
    moved(item)


def _fence(queue: Queue, item_id: str, fence: int | None, owner_session: str | None) -> int:
    """Return the fence under which the caller holds an item: named, or known by the session's name."""
    item = queue.get(item_id)
    if fence is None and owner_session is None:
        raise Invalid("say who you are: --fence N, which `claim` gave, or --owner-session NAME")
    if owner_session is not None and not _holds(item, owner_session):
        raise LeaseLost(f"{item.id} is not held by {owner_session[:64]!a} any more")
    return item.fence if fence is None else fence


def _holds(item: Item, owner_session: str) -> bool:
    return item.status is ItemStatus.IN_PROGRESS and item.owner_session == owner_session


VERBS: Mapping[str, Callable[..., None]] = {
    "add": add,
    "claim": claim,
    "heartbeat": heartbeat,
    "complete": complete,
    "fail": fail,
    "release": release,
}
