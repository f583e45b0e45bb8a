"""Between the forms: rows of a Markdown queue into the database, and items as rows of a Markdown queue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from interlock.kernel.errors import Invalid
from interlock.queue.events import ItemImported
from interlock.queue.markdown import NOBODY, cell
from interlock.queue.models import FIRST, Filter, HandRow, Item, ItemStatus, Place
from interlock.queue.service import Queue
from interlock.queue.words import instant, not_before, storable

PER_TRANSACTION = 500
_PAGE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """What an import finds: which rows are new, which are there alike, which are there and differ."""

    new: Sequence[HandRow]
    alike: Sequence[str]
    differing: Sequence[HandRow]


def hand_row(cells: Mapping[str, str], now_ms: int) -> HandRow:
    """Return a row of a Markdown queue as it comes into the database; raises `Invalid` for what it can not hold."""
    for name, text in cells.items():
        if not storable(text):
            raise Invalid(
                f"{cells['id']!a}: the cell {name} holds a NUL character", hint="nothing was changed; mend it"
            )
    return HandRow(
        id=cells["id"],
        status=ItemStatus(cells["status"]),
        priority=cells["priority"],
        task=cells["task"],
        success_criteria=cells["success_criteria"],
        owner_session=cells["owner_session"] or NOBODY,
        started_at_kst=cells["started_at_kst"] or NOBODY,
        started_ms=instant(cells["started_at_kst"]),
        due_at_kst=cells["due_at_kst"] or NOBODY,
        notes=cells["notes"],
        not_before_ms=not_before(cells["notes"], now_ms) if cells["status"] == ItemStatus.PENDING.value else None,
    )


def sort_out(queue: Queue, rows: Sequence[HandRow]) -> Sorted:
    """Hold rows against the database."""
    new: list[HandRow] = []
    alike: list[str] = []
    differing: list[HandRow] = []
    for row in rows:
        item = queue.store.get(row.id)
        if item is None:
            new.append(row)
        elif _as_cells(row) == _as_cells(item):
            alike.append(row.id)
        else:
            differing.append(row)
    return Sorted(new=new, alike=alike, differing=differing)


def take_in(queue: Queue, rows: Sequence[HandRow]) -> int:
    """Add new rows; one that has come meanwhile is left alone. Returns how many were added."""
    added = set(queue.store.take_in(rows, queue.options.max_attempts))
    for row in rows:
        if row.id in added:
            queue.emit(_imported(row, replaced=False))
    queue.wake()
    return len(added)


def take_over(queue: Queue, rows: Sequence[HandRow]) -> int:
    """Let the file's word replace the database's; an item of a run is left alone. Returns how many were replaced."""
    replaced = 0
    with queue.together() as many:
        for row in sorted(rows, key=lambda row: row.id):
            item = many.store.take_over(row)
            if item is not None:
                many.settle(item)
                many.emit(_imported(row, replaced=True))
                replaced += 1
    queue.wake()
    return replaced


def as_rows(queue: Queue) -> Iterator[Mapping[str, str]]:
    """Yield every item as a row of a Markdown queue, in the queue's order."""
    place: Place | None = FIRST
    while place is not None:
        page = queue.store.page(Filter(), place, _PAGE)
        for item, _ in page:
            yield as_row(item)
        place = page[-1][1] if len(page) == _PAGE else None


def as_row(item: Item) -> Mapping[str, str]:
    """Return an item as a row of a Markdown queue, its cells not fitted yet."""
    return {
        "id": item.id,
        "status": item.status.value,
        "priority": item.priority,
        "task": item.task,
        "success_criteria": item.success_criteria,
        "owner_session": item.owner_session,
        "started_at_kst": item.started_at_kst,
        "due_at_kst": item.due_at_kst,
        "notes": item.notes,
    }


_COMPARED = tuple(
    field.name for field in fields(HandRow) if field.name not in {"id", "status", "started_ms", "not_before_ms"}
)


def _as_cells(row: HandRow | Item) -> tuple[str, ...]:
    return (row.status.value, *(cell(getattr(row, name)) or NOBODY for name in _COMPARED))


def _imported(row: HandRow, *, replaced: bool) -> ItemImported:
    return ItemImported(subject=row.id, status=row.status.value, priority=row.priority, replaced=replaced)
