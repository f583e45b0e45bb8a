"""Looking at a queue on a database server, in the same words as at one in a file (`sqlite/reading.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

from interlock.queue.exchange import as_row
from interlock.queue.models import FIRST, Filter, ItemStatus, Place
from interlock.storage.database import Database, Transaction
from interlock.storage.queue import StoredItems

_PAGE = 1_000
_ALL = 2**31 - 1


@dataclass(frozen=True, slots=True)
class StoredReading:
    """A queue in a database of ours, to be looked at; no connection is kept."""

    database: Database

    def standing(self, most: int) -> tuple[Mapping[str, int], list[Mapping[str, str]]]:
        """Count items by status and list what is IN_PROGRESS, at most so many, as of one instant."""
        with closing(self.database), self.database.read() as transaction:
            return StoredItems(transaction).counts(), _active(transaction, most)

    def active(self) -> list[Mapping[str, str]]:
        """List what is IN_PROGRESS, in the queue's order."""
        with closing(self.database), self.database.read() as transaction:
            return _active(transaction, _ALL)

    def items(self) -> Iterator[Mapping[str, str]]:
        """Yield every item by its nine columns, in the queue's order."""
        with closing(self.database), self.database.read() as transaction:
            store, place = StoredItems(transaction), FIRST
            more: Place | None = place
            while more is not None:
                page = store.page(Filter(), more, _PAGE)
                yield from (as_row(item) for item, _ in page)
                more = page[-1][1] if len(page) == _PAGE else None

    def retries(self) -> int:
        """Count the retries ever made."""
        with closing(self.database), self.database.read() as transaction:
            return StoredItems(transaction).retries()


def _active(transaction: Transaction, most: int) -> list[Mapping[str, str]]:
    page = StoredItems(transaction).page(Filter(status=ItemStatus.IN_PROGRESS), FIRST, most)
    return [as_row(item) for item, _ in page]
