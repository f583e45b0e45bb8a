"""Moving a workspace's database from SQLite to PostgreSQL, row by row, and seeing whether all of it has arrived."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from interlock.evidence.tree import Frontier, leaf_hash
from interlock.kernel.events import Leaf
from interlock.storage.catalogue import COUNTERS, Likeness, NoRule, Plan, plan
from interlock.storage.errors import DatabaseDamaged, MoveFailed
from interlock.storage.postgres.arriving import Arriving, Copied, check_empty
from interlock.storage.sqlite.leaving import Leaving, our_tables

MOVED = "workspace.migrated"
"""The kind of the event that ends a move."""
_BATCH = 2_000
Progress = Callable[[str, int, int], None]
"""Is told of a table, how many of its rows are done, and how many there are."""
Rows = Sequence[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is to move."""

    origin: str
    size: int
    root: str
    tables: Mapping[str, int]
    """How many rows each table has."""
    left_behind: Mapping[str, int]
    """Rows in tables, or columns by `table.column`, of other tools; they stay in the old file."""
    held: int
    """Items that somebody holds by a lease."""

    @property
    def rows(self) -> int:
        """How many rows there are in all."""
        return sum(self.tables.values())


class Moving:
    """One database on its way; the one that it leaves is held, so nothing changes meanwhile."""

    def __init__(self, source: Leaving) -> None:
        self.source = source

    @cached_property
    def standing(self) -> Standing:
        """Look through what is there; raises `DatabaseDamaged` where the log is not what its tree says."""
        ours = our_tables()
        there = self.source.tables()
        size, root = self._log()
        return Standing(
            origin=str(self.source.one("SELECT origin FROM log_state")[0]),
            size=size,
            root=root,
            tables={name: self._count(name) for name in sorted(ours.keys() & there.keys() - {"schema_migration"})},
            left_behind={
                **{name: self._count(name) for name in sorted(there.keys() - ours.keys() - {"schema_migration"})},
                **{
                    f"{name}.{column.name}": self._count(name)
                    for name in sorted(ours.keys() & there.keys())
                    for column in there[name].columns
                    if column.name not in {each.name for each in ours[name].columns}
                },
            },
            held=self.source.count("SELECT COUNT(*) FROM queue_items WHERE status = 'IN_PROGRESS'"),
        )

    def check_target(self, target: Arriving) -> bool:
        """Raise where the target can take nothing; True where it holds what a move that was killed left behind."""
        target.check_fit()
        found, log = target.strangers(), target.copied()
        if log is not None and self._unfinished(log):
            return True
        check_empty(found, log, self.standing.origin)
        return False

    def carry(self, target: Arriving, progress: Progress) -> None:
        """Fill the target with everything, and hold both sides against each other; raises `MoveFailed`."""
        if self.check_target(target):
            target.clear()
        target.make(self.standing.origin)
        steps = plan(our_tables(), target.tables(), target.sequences())
        self._check_rows(steps)
        for move in steps.moves:
            total, done = self._rows_of(move.table), 0
            progress(move.table, 0, total)
            for rows in target.copy(move, self.source.rows(move.select, _BATCH)):
                done += rows
                progress(move.table, done, total)
        target.finish(self._counters(), self._highest())
        self.compare(target, steps.likenesses)

    def compare(self, target: Arriving, likenesses: Iterable[Likeness]) -> None:
        """Raise `MoveFailed` unless every table is the same on both sides, and so is the log's tree."""
        for each in likenesses:
            here = digest(self.source.rows(each.in_sqlite, _BATCH))
            there = digest(target.rows(each.in_postgres, _BATCH))
            if here != there:
                raise MoveFailed(f"{each.name} did not arrive as it left: {here} is now {there}")
        rows = target.rows("SELECT leaf_index, leaf, leaf_hash FROM sealed ORDER BY leaf_index", _BATCH)
        size, root = walked(rows, target.frontier(), self._heads())
        if (size, root) != (self.standing.size, self.standing.root):
            raise MoveFailed(
                f"the log had {self.standing.size} entries with root {self.standing.root}, now {size}, {root}"
            )

    def leaves(self, target: Arriving, end: int) -> Iterator[bytes]:
        """Yield the first `end` leaves of the log as they arrived."""
        query = f"SELECT leaf FROM sealed WHERE leaf_index < {int(end)} ORDER BY leaf_index"  # noqa: S608 - a number
        for rows in target.rows(query, _BATCH):
            for (leaf,) in rows:
                yield str(leaf).encode("utf-8")

    def tell(self, target: Arriving, leaf: Leaf) -> None:
        """Log the move where everything has arrived."""
        target.tell(leaf)
        if target.frontier().size != self.standing.size + 1:
            raise MoveFailed("the log did not take the event of its move")

    def _unfinished(self, log: Copied) -> bool:
        """Say whether this is our own log as a move left it, and nothing has been added or signed since."""
        last: Any = json.loads(log.last) if log.last else {}
        if log.origin != self.standing.origin or last.get("kind") != MOVED:
            return False
        size, root = last["payload"]["size"], last["payload"]["root"]
        untouched = log.size == size + 1 and log.signed <= size <= self.standing.size
        return untouched and self._root_of(size) == root

    def _root_of(self, size: int) -> str:
        query = f"SELECT leaf_hash FROM event WHERE leaf_index < {int(size)} ORDER BY leaf_index"  # noqa: S608 - a number
        hashes = (bytes(_blob(row[0])) for rows in self.source.rows(query, _BATCH) for row in rows)
        return Frontier().extend(hashes).root().hex()

    def _log(self) -> tuple[int, str]:
        stored = Frontier.decode(_blob(self.source.one("SELECT frontier FROM log_state")[0]))
        rows = self.source.rows("SELECT leaf_index, leaf, leaf_hash FROM event ORDER BY leaf_index", _BATCH)
        return walked(rows, stored, self._heads())

    def _heads(self) -> Mapping[int, str]:
        rows = self.source.rows("SELECT size, root FROM tree_head", _BATCH)
        return {int(str(size)): str(root) for batch in rows for size, root in batch}

    def _check_rows(self, steps: Plan) -> None:
        """Raise `MoveFailed` for what PostgreSQL could not hold, before anything is copied."""
        broken = self.source.broken_references()
        if broken:
            raise MoveFailed(f"rows of {', '.join(broken)} refer to rows that are not there")
        for each in steps.likenesses:
            doubtful = self.source.count(each.doubtful) if each.doubtful else 0
            if doubtful:
                raise MoveFailed(f"{doubtful} rows of {each.name} hold a value that PostgreSQL's columns can not hold")

    def _counters(self) -> Mapping[str, int]:
        rows = [row for batch in self.source.rows("SELECT name, value FROM counter", _BATCH) for row in batch]
        for name, _ in rows:
            if name not in COUNTERS:
                raise NoRule(f"no sequence goes on from the counter {name}")
        return {str(name): int(str(value)) for name, value in rows}

    def _highest(self) -> Mapping[str, int]:
        rows = self.source.rows("SELECT name, seq FROM sqlite_sequence", _BATCH)
        return {str(name): int(str(seq)) for batch in rows for name, seq in batch}

    def _rows_of(self, table: str) -> int:
        return self.standing.tables.get("event" if table == "leaf" else table, 0)

    def _count(self, table: str) -> int:
        quoted = table.replace('"', '""')
        return self.source.count(f'SELECT COUNT(*) FROM "{quoted}"')  # noqa: S608 - a table that is there


def walked(batches: Iterable[Rows], stored: Frontier, heads: Mapping[int, str]) -> tuple[int, str]:
    """Hash a whole log anew; returns its size and root. Rows are index, leaf and its hash.

    Raises `DatabaseDamaged` where an entry, the stored frontier, or the root of a signed head is another one.
    """
    tree = Frontier()
    _check_root(tree, heads)
    for rows in batches:
        for index, leaf, hashed in rows:
            if index != tree.size or leaf_hash(str(leaf).encode("utf-8")) != _blob(hashed):
                raise DatabaseDamaged(f"entry {tree.size} of the log is not what its hash says")
            tree = tree.append(_blob(hashed))
            _check_root(tree, heads)
    if tree != stored or any(size > tree.size for size in heads):
        raise DatabaseDamaged(f"the log has {tree.size} entries, but its tree or a signed head says something else")
    return tree.size, tree.root().hex()


def _check_root(tree: Frontier, heads: Mapping[int, str]) -> None:
    root = heads.get(tree.size)
    if root is not None and root != tree.root().hex():
        raise DatabaseDamaged(f"the first {tree.size} entries of the log are not those that a head signed")


def digest(batches: Iterable[Rows]) -> str:
    """Return how many rows there are and their SHA-256, each row as Python writes it: no two rows are written alike."""
    hashed, count = hashlib.sha256(), 0
    for rows in batches:
        count += len(rows)
        hashed.update(("\n".join(map(repr, rows)) + "\n").encode("utf-8"))
    return f"{count} rows sha256:{hashed.hexdigest()}"


def _blob(value: object) -> bytes:
    return value if isinstance(value, bytes) else bytes(value)  # pyright: ignore[reportArgumentType] - a memoryview
