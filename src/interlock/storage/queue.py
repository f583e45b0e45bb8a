"""The queue's rows."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from interlock.queue.history import entry, item_of
from interlock.queue.models import (
    LAST,
    PRIORITY_RANK,
    Concurrency,
    Executor,
    Filter,
    HandRow,
    Held,
    Holder,
    Item,
    ItemKind,
    ItemStatus,
    Meant,
    NewItem,
    Pause,
    Place,
    Taker,
    UsedUp,
    WorkerProcess,
)
from interlock.queue.trends import MINUTE_MS, Span, amounts
from interlock.storage.database import Database, Row, Transaction, Value, kst
from interlock.storage.errors import DatabaseDamaged
from interlock.storage.lanes import Lanes, held
from interlock.storage.lanes import keys as _keys
from interlock.storage.lanes import terms as _terms

_OTHER_RANK = 99
_LAST_BUT_NAMED = 3
"""What another priority counts as where it ages: one behind P2."""
# a look into a dict takes a fifth of the time that asking an enum takes
_STATUS = {each.value: each for each in ItemStatus}
_KIND = {each.value: each for each in ItemKind}
_EXECUTOR = {each.value: each for each in Executor}
_OURS = "ORCH-"
_WILD = re.compile(r"[\\%_]")
"""What stands for more than itself in a pattern."""
_PAGE = 200
_MOST_UNTAKEN = 5_000
_MOST_UNLESS_SET = 1
_MOST_USED_UP = 20


@dataclass(frozen=True, slots=True)
class StoredItems:
    """Items in the transaction that is open; implements `queue.ports.ItemStore`."""

    transaction: Transaction

    def add(self, new: NewItem) -> tuple[Item, bool]:
        """Insert a PENDING item under the next ORCH number; or find the one with its idempotency key (False)."""
        known = self._with_key(new.idempotency_key)
        if known is not None:
            return known, False
        item_id = self._next_id()
        if new.idempotency_key is not None and not self.transaction.run(
            "item_key_take", key=new.idempotency_key, item_id=item_id
        ):  # another transaction was faster, and has committed by now
            known = self._with_key(new.idempotency_key)
            if known is not None:
                return known, False
        while (item := self._insert(item_id, new)) is None:  # a row of this id was brought in from outside
            item_id = self._next_id()
            if new.idempotency_key is not None:
                self.transaction.run("item_key_move", key=new.idempotency_key, item_id=item_id)
        return item, True

    def _next_id(self) -> str:
        row = self.transaction.one("item_number")
        if row is None:
            raise DatabaseDamaged("the counter of item numbers is gone from the database")
        return f"{_OURS}{row['value']:03d}"

    def _with_key(self, key: str | None) -> Item | None:
        row = self.transaction.one("item_key_get", key=key) if key is not None else None
        return self.get(row["item_id"]) if row else None

    def _insert(self, item_id: str, new: NewItem) -> Item | None:
        now = self.transaction.now()
        not_before = new.not_before_ms if new.not_before_ms is not None and new.not_before_ms > now else None
        keyed = new.concurrency_key is not None and not_before is None
        row = self.transaction.one(
            "item_insert",
            id=item_id,
            priority=new.priority,
            rank=PRIORITY_RANK.get(new.priority, _OTHER_RANK),
            task=new.task,
            success_criteria=new.success_criteria,
            due_at_kst=new.due_at_kst,
            notes=new.notes,
            now=now,
            now_kst=kst(now),
            kind=new.kind.value,
            executor=new.executor.value,
            run_id=new.run_id,
            max_attempts=new.max_attempts,
            idempotency_key=new.idempotency_key,
            concurrency_key=new.concurrency_key,
            not_before_ms=not_before,
            claimable=int(not_before is None and not keyed),
            waits_for="limit" if keyed else None,
            needs=" ".join(new.needs),
            repository=new.repository or "",
            agent=new.agent or "",
        )
        return _item(row) if row else None

    def get(self, item_id: str) -> Item | None:
        """Return an item."""
        row = self.transaction.one("item_get", id=item_id)
        return _item(row) if row else None

    def page(self, which: Filter, after: Place, limit: int, until: Place = LAST) -> Sequence[tuple[Item, Place]]:
        """List items behind a place, in the order in which they would be claimed, each with its place."""
        open_only = which.status is not None and which.status is not ItemStatus.DONE
        rows = self.transaction.all(
            "item_list_open" if open_only else "item_list",
            **_words(which),
            after_rank=after[0],
            after_seq=after[1],
            until_rank=until[0],
            until_seq=until[1],
            limit=limit,
        )
        return [(_item(row), (row["rank"], row["seq"])) for row in rows]

    def count(self, which: Filter) -> Mapping[str, int]:
        """Count the items that a filter names, by status."""
        if which == Filter(status=which.status):
            known = self.counts()
            return {name: items for name, items in known.items() if which.status in {None, _STATUS[name]}}
        return {row["status"]: row["items"] for row in self.transaction.all("item_count_of", **_words(which))}

    def meant(self, which: Filter, limit: int) -> Sequence[Meant]:
        """List whom a filter names, in the queue's order."""
        return [
            Meant(row["id"], _STATUS[row["status"]], row["fence"], row["run_id"])
            for row in self.transaction.all("item_meant", **_words(which), limit=limit)
        ]

    def workers(self, limit: int) -> Sequence[Holder]:
        """List who holds items, by name."""
        return [
            Holder(
                owner_session=row["owner_session"],
                items=row["items"],
                first_id=row["first_id"],
                since_ms=row["since_ms"],
                lease_until_ms=row["lease_until_ms"],
                host=row["host"],
                pid=row["pid"],
            )
            for row in self.transaction.all("item_holders", limit=limit)
        ]

    def trend(self, span: Span) -> Sequence[tuple[int, str, int]]:
        """Add up what happened from a span's first minute on, by its points, with what is not yet in the history."""
        rows = self.transaction.all("trend_sum", first=span.first, step=span.step)
        found = [(min(span.points, row["slot"]), str(row["what"]), int(row["amount"])) for row in rows]
        for row in self.transaction.all("trend_untaken", limit=_MOST_UNTAKEN):
            event = json.loads(row["leaf"])
            minute, item_id = row["time_ms"] // MINUTE_MS, item_of(event)
            item = self.get(item_id) if item_id is not None and minute >= span.first else None
            if item is not None:
                found += [(span.slot(minute), what, amount) for what, amount in amounts(event, row["time_ms"], item)]
        return found

    def counts(self) -> Mapping[str, int]:
        """Count items by status, without looking at them."""
        return {row["status"]: row["items"] for row in self.transaction.all("item_counts")}

    def waiting(self, executor: Executor) -> bool:
        """Say whether anything is claimable; only reads."""
        return self.transaction.one("item_waiting", executor=executor.value) is not None

    def claim(self, taker: Taker) -> Item | None:
        """Lease the first claimable item that it may take and that no limit forbids, unless the queue is paused."""
        row = (
            self.transaction.one("item_claim_able", has=" ".join(taker.has), **_terms(taker))
            if taker.has
            else self.transaction.one("item_claim", **_terms(taker))
        )
        if row is None and (taker.has or self.has_limits()):
            row = Lanes(self.transaction, taker).claim()
        return _item(row) if row else None

    def hold(self, item_id: str, fence: int) -> bool:
        """Say whether the item is held under this fence, and keep it so until the transaction ends."""
        return self.transaction.one("item_hold", id=item_id, fence=fence) is not None

    def beat(self, item_id: str, fence: int) -> Item | None:
        """Renew one lease."""
        row = self.transaction.one("item_beat", id=item_id, fence=fence)
        return _item(row) if row else None

    def renew(self, owner_session: str) -> Mapping[str, int]:
        """Renew every lease of one holder; returns the ids still held with their fences."""
        rows = self.transaction.all("item_renew", owner_session=owner_session)
        return {row["id"]: row["fence"] for row in rows}

    def end(
        self, item_id: str, fence: int, status: ItemStatus, *, last_error: str, note: str, beat: int | None
    ) -> Item | None:
        """Move a held item to DONE or FAILED."""
        return self._write(
            "item_end",
            id=item_id,
            fence=fence,
            status=status.value,
            last_error=last_error,
            note=note,
            any_beat=int(beat is None),
            beat=beat or 0,
        )

    def give_back(
        self,
        item_id: str,
        fence: int,
        *,
        beat: int | None,
        burn: bool,
        not_before_ms: int | None = None,
        note: str = "",
        last_error: str = "",
    ) -> Item | None:
        """Make a held item PENDING again."""
        return self._write(
            "item_give_back",
            id=item_id,
            fence=fence,
            burn=int(burn),
            any_beat=int(beat is None),
            beat=beat or 0,
            not_before_ms=not_before_ms,
            note=note,
            last_error=last_error,
        )

    def park(self, seen: Item, status: ItemStatus, note: str, waits_for: str | None) -> Item | None:
        """Move an item as it was seen by an operator's word."""
        return self._write(
            "item_park",
            id=seen.id,
            fence=seen.fence,
            seen_status=seen.status.value,
            status=status.value,
            note=note,
            waits_for=waits_for,
        )

    def requeue(self, seen: Item, note: str, not_before_ms: int | None) -> Item | None:
        """Make an item PENDING with one attempt more."""
        return self._write(
            "item_requeue",
            id=seen.id,
            fence=seen.fence,
            beat=seen.beat,
            seen_status=seen.status.value,
            note=note,
            not_before_ms=not_before_ms,
        )

    def defer(self, seen: Item, note: str, not_before_ms: int | None) -> Item | None:
        """Let a PENDING item wait until an instant, or no longer."""
        return self._write("item_defer", id=seen.id, fence=seen.fence, note=note, not_before_ms=not_before_ms)

    def rank(self, seen: Item, priority: str, note: str) -> Item | None:
        """Give an item another priority."""
        return self._write(
            "item_rank",
            id=seen.id,
            fence=seen.fence,
            seen_status=seen.status.value,
            seen_priority=seen.priority,
            priority=priority,
            rank=PRIORITY_RANK[priority],
            note=note,
        )

    def held(self) -> Sequence[Held]:
        """List everything that is IN_PROGRESS under a lease."""
        return [
            Held(
                item=_item(row),
                host=row["host"],
                boot_id=row["boot_id"],
                pid=row["pid"],
                start_time=row["start_time"],
            )
            for row in self.transaction.all("item_held")
        ]

    def unleased(self, started_before_ms: int) -> Sequence[Item]:
        """List what is IN_PROGRESS without a lease since before an instant, or since nobody knows when."""
        return [_item(row) for row in self.transaction.all("item_unleased", started_before=started_before_ms)]

    def stale(self, started_before_ms: int) -> int:
        """Count what is IN_PROGRESS since before an instant."""
        row = self.transaction.one("item_stale_count", started_before=started_before_ms)
        return int(row["items"]) if row else 0

    def due(self, now_ms: int) -> bool:
        """Say whether `promote` would find anything; only reads."""
        due = self.transaction.one("item_due", now=now_ms) or self.transaction.one("concurrency_unsettled", limit=1)
        return due is not None

    def ageing(self, before_ms: int) -> bool:
        """Say whether `age` would find anything; only reads."""
        return self.transaction.one("item_ageing", before=before_ms) is not None

    def age(self, before_ms: int, span_ms: int, limit: int) -> int:
        """Let what stands in line since before an instant count as one priority higher; returns how many."""
        return self.transaction.run("item_age", before=before_ms, span=span_ms, limit=limit)

    def promote(self, now_ms: int, limit: int) -> int:
        """Let items begin whose `not_before` has passed, and what a cut-off left waiting; returns how many, or keys."""
        rows = self.transaction.all("item_promote", now=now_ms, limit=limit)
        keys = {row["concurrency_key"] for row in rows if row["concurrency_key"] is not None}
        left = {row["key"] for row in self.transaction.all("concurrency_unsettled", limit=limit)}
        for key in sorted(keys | left):
            self.settle(key)
        return len(rows) + len(left - keys)

    def before(self, item: Item) -> int:
        """Count the claimable items that go before this one, up to 1,000."""
        row = self.transaction.one(
            "item_before",
            id=item.id,
            executor=item.executor.value,
            needs=" ".join(item.needs),
            rank=_rank(item),
        )
        return int(row["items"]) if row else 0

    def settle(self, concurrency_key: str) -> None:
        """Make the first items of a key claimable, as many as its limit leaves room for, and no others.

        Comes after every other write of a transaction, key after key in their order: it waits for nobody's items.
        """
        row = self.transaction.one("concurrency_lock", key=concurrency_key)
        if row is None:
            self.transaction.run("concurrency_add", key=concurrency_key, most=_MOST_UNLESS_SET)
            row = self.transaction.one("concurrency_lock", key=concurrency_key)
        most = row["most"] if row else _MOST_UNLESS_SET
        self.transaction.run("concurrency_lay_down", key=concurrency_key, most=most)
        self.transaction.run("concurrency_take_up", key=concurrency_key, most=most)

    def set_concurrency(self, key: str, most: int) -> None:
        """Set a key's limit."""
        self.transaction.run("concurrency_set", key=key, most=most)

    def concurrencies(self) -> Sequence[Concurrency]:
        """List the keys with their limits."""
        return [
            Concurrency(key=row["key"], most=row["most"], held=row["held"], pending=row["pending"])
            for row in self.transaction.all("concurrency_list")
        ] + [
            Concurrency(key=row["key"], most=row["most"], held=held(self.transaction, row["key"]), pending=None)
            for row in self.transaction.all("placement_list")
        ]

    def set_placement(self, key: str, most: int | None) -> None:
        """Set or remove the limit of a `repository:…`, `agent:…` or `node:…`."""
        if most is None:
            self.transaction.run("placement_remove", key=key)
        elif not self.transaction.run("placement_update", key=key, most=most):
            if self.transaction.run("placement_insert", key=key, most=most):
                self.transaction.run("placement_hush")
            else:  # another transaction was faster
                self.transaction.run("placement_update", key=key, most=most)

    def used_up(self, item: Item) -> Sequence[UsedUp]:
        """List the limits that let an item not begin, and the nodes that are full, at most 20."""
        keys = set(_keys(item.repository or "", item.agent or ""))
        found: list[UsedUp] = []
        for row in self.transaction.all("placement_list"):
            key, most = row["key"], row["most"]
            if (key in keys or key.startswith("node:")) and held(self.transaction, key) >= most:
                found.append(UsedUp(key=key, most=most, holders=self._users(key)))
        return sorted(found, key=lambda each: each.key not in keys)[:_MOST_USED_UP]

    def _users(self, key: str) -> tuple[tuple[str, str], ...]:
        kind, _, name = key.partition(":")
        rows = self.transaction.all(f"placement_holders_{kind}", name=name)
        return tuple((row["id"], row["owner_session"]) for row in rows)

    def has_limits(self) -> bool:
        """Say whether there is any limit of a repository, agent or node."""
        return self.transaction.one("placement_any") is not None

    def holders(self, key: str) -> Sequence[tuple[str, str]]:
        """List who holds items of a key: item id and owner, at most 20."""
        return [(row["id"], row["owner_session"]) for row in self.transaction.all("concurrency_holders", key=key)]

    def pause(self) -> Pause | None:
        """Return the pause that was set, also when it has ended by itself."""
        row = self.transaction.one("pause_get")
        return (
            Pause(paused_by=row["paused_by"], reason=row["reason"], since_ms=row["since_ms"], until_ms=row["until_ms"])
            if row
            else None
        )

    def set_pause(self, pause: Pause | None) -> None:
        """Pause the queue, or let it go on."""
        if pause is None:
            self.transaction.run("pause_clear")
        else:
            self.transaction.run(
                "pause_set",
                paused_by=pause.paused_by,
                reason=pause.reason,
                now=pause.since_ms,
                until_ms=pause.until_ms,
            )

    def take_in(self, rows: Collection[HandRow], max_attempts: int) -> Sequence[str]:
        """Insert rows whose ids are not there; returns their ids."""
        taken = [
            row.id for row in rows if self.transaction.run("item_import", max_attempts=max_attempts, **self._hand(row))
        ]
        numbers = [int(each[5:]) for each in taken if each.startswith(_OURS) and _is_number(each[5:])]
        if numbers:
            self.transaction.run("item_number_raise", value=max(numbers))
        return taken

    def take_over(self, row: HandRow) -> Item | None:
        """Replace a hand-written item by a row of the same id; None where it is not there, or belongs to a run."""
        values = self._hand(row)
        del values["now"], values["now_kst"]
        return self._write("item_take_over", **values)

    def _hand(self, row: HandRow) -> dict[str, Value]:
        now = self.transaction.now()
        return {
            "id": row.id,
            "status": row.status.value,
            "priority": row.priority,
            "rank": PRIORITY_RANK.get(row.priority, _OTHER_RANK),
            "task": row.task,
            "success_criteria": row.success_criteria,
            "owner_session": row.owner_session,
            "started_at_kst": row.started_at_kst,
            "started_ms": row.started_ms,
            "due_at_kst": row.due_at_kst,
            "notes": row.notes,
            "not_before_ms": row.not_before_ms,
            "claimable": int(row.status is ItemStatus.PENDING and row.not_before_ms is None),
            "now": now,
            "now_kst": kst(now),
        }

    def retries(self) -> int:
        """Count the retries ever made, by operators and by the rescuer."""
        row = self.transaction.one("history_retries")
        return int(row["retries"]) if row else 0

    def register(self, worker: WorkerProcess) -> None:
        """Remember a worker's process."""
        self.transaction.run(
            "worker_register",
            id=worker.id,
            host=worker.host,
            boot_id=worker.boot_id,
            pid=worker.pid,
            start_time=worker.start_time,
        )

    def _write(self, query: str, **values: Value) -> Item | None:
        row = self.transaction.one(query, **values)
        return _item(row) if row else None


def _words(which: Filter) -> dict[str, Value]:
    return {
        "status": which.status.value if which.status else None,
        "priority": which.priority,
        "owner": which.owner,
        "created_before": which.created_before_ms,
        "text": which.text,
        "need": which.need,
        "repository": which.repository,
        "agent": which.agent,
        "node_id": which.node_id,
        "pattern": None if which.text is None else "%" + _WILD.sub(r"\\\g<0>", which.text) + "%",
    }


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16


def stored_item(row: Row) -> Item:
    """Read an item from a row that holds all columns of one, and perhaps others."""
    return _item(row)


def _item(row: Row) -> Item:
    return Item(
        id=row["id"],
        status=_STATUS[row["status"]],
        priority=row["priority"],
        kind=_KIND[row["kind"]],
        executor=_EXECUTOR[row["executor"]],
        run_id=row["run_id"],
        task=row["task"],
        success_criteria=row["success_criteria"],
        notes=row["notes"],
        owner_session=row["owner_session"],
        started_at_kst=row["started_at_kst"],
        due_at_kst=row["due_at_kst"],
        fence=row["fence"],
        beat=row["beat"],
        attempt_count=row["attempt_count"],
        max_attempts=row["max_attempts"],
        not_before_ms=row["not_before_ms"],
        waits_for=row["waits_for"],
        lease_ms=row["lease_ms"],
        lease_until_ms=row["lease_until_ms"],
        created_ms=row["created_ms"],
        started_ms=row["started_ms"],
        last_error=row["last_error"],
        idempotency_key=row["idempotency_key"],
        concurrency_key=row["concurrency_key"],
        needs=tuple(row["needs"].split()) if row["needs"] else (),
        repository=row["repository"] or None,
        agent=row["agent"] or None,
        node_id=row["node_id"],
        aged=_aged(row["priority"], row["rank"]),
    )


def _aged(priority: str, rank: int) -> int:
    """Return how many priorities higher an item counts than it was given."""
    given = PRIORITY_RANK.get(priority, _OTHER_RANK)
    return 0 if rank >= given else min(given, _LAST_BUT_NAMED) - rank


def _rank(item: Item) -> int:
    given = PRIORITY_RANK.get(item.priority, _OTHER_RANK)
    return min(given, _LAST_BUT_NAMED) - item.aged if item.aged else given


@dataclass(frozen=True, slots=True)
class StoredHistory:
    """Keeps `queue_events` as a projection of the sealed log."""

    database: Database

    def keep_up(self, *, pages: int = 20) -> None:
        """Bring the table up to the log's end, and fold the counts; a bound keeps a single command short."""
        for _ in range(pages):
            with self.database.read() as transaction:
                start = _next_index(transaction)
                waiting = transaction.one("sealed_events", start=start, limit=1) is not None
                unfolded = transaction.one("counts_unfolded") is not None
            if not waiting and not unfolded:
                return
            with self.database.light() as transaction:
                if waiting:
                    self._page(transaction)
                if unfolded:
                    transaction.run("counts_fold")

    def _page(self, transaction: Transaction) -> None:
        start = _next_index(transaction)
        rows = transaction.all("sealed_events", start=start, limit=_PAGE)
        if not rows or not transaction.run("history_advance", before=start, after=rows[-1]["leaf_index"] + 1):
            return  # somebody else was faster
        items, trends = StoredItems(transaction), Counter[tuple[int, str]]()
        for row in rows:
            event = json.loads(row["leaf"])
            item_id = item_of(event)
            item = items.get(item_id) if item_id is not None else None
            if item is not None:
                made = entry(event, item)
                for what, amount in amounts(event, row["time_ms"], item):
                    trends[row["time_ms"] // MINUTE_MS, what] += amount
                transaction.run(
                    "history_add",
                    item_id=made.item_id,
                    event_type=made.event_type,
                    payload_json=made.payload_json,
                    created_at=kst(row["time_ms"]),
                )
        for (minute, what), amount in sorted(trends.items()):
            transaction.run("trend_add", minute=minute, what=what, amount=amount)


def _next_index(transaction: Transaction) -> int:
    row = transaction.one("history_next")
    return int(row["next_index"]) if row else 0
