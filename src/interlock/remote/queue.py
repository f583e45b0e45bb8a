"""The queue from afar. What is one transaction here is one request for each verb there; fences hold it together."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from interlock.kernel.clock import from_text
from interlock.queue.errors import ItemNotFound
from interlock.queue.models import (
    FIRST,
    Because,
    Concurrency,
    Executor,
    Filter,
    Item,
    ItemKind,
    ItemStatus,
    NewItem,
    Pause,
    Place,
)
from interlock.queue.options import QueueOptions
from interlock.queue.words import storable
from interlock.remote.connection import Connection, quoted, several, understood

_PAGE = 1000
_THEIRS = 0
"""As a number of attempts: left to the server."""
_EVERYTHING = Filter()


# --- what `queue/shown.py` writes, read -------------------------------------------------------------------------------


def read_item(data: Mapping[str, Any]) -> Item:
    """Read an item; how often and for how long it is held is its server's business."""
    return Item(
        id=data["id"],
        status=ItemStatus(data["status"]),
        priority=data["priority"],
        kind=ItemKind(data["kind"]),
        executor=Executor(data["executor"]),
        run_id=data["run_id"],
        task=data["task"],
        success_criteria=data["success_criteria"],
        notes=data["notes"],
        owner_session=data["owner_session"],
        started_at_kst=data["started_at_kst"],
        due_at_kst=data["due_at_kst"],
        fence=data["fence"],
        beat=0,
        attempt_count=data["attempt_count"],
        max_attempts=data["max_attempts"],
        not_before_ms=_instant(data["not_before"]),
        waits_for=data["waits_for"],
        lease_ms=0,
        lease_until_ms=_instant(data["lease_until"]),
        created_ms=from_text(data["created_at"]),
        started_ms=_instant(data["started_at"]),
        last_error=data["last_error"],
        idempotency_key=data["idempotency_key"],
        concurrency_key=data["concurrency_key"],
        needs=tuple(data["needs"]),
        repository=data["repository"],
        agent=data["agent"],
        node_id=data["node_id"],
        aged=data["aged"],
    )


def read_pause(data: Mapping[str, Any] | None) -> Pause | None:
    """Read a pause."""
    if data is None:
        return None
    return Pause(
        paused_by=data["by"],
        reason=data["reason"],
        since_ms=from_text(data["since"]),
        until_ms=_instant(data["until"]),
    )


def _instant(text: str | None) -> int | None:
    return None if text is None else from_text(text)


# --- the room ---------------------------------------------------------------------------------------------------------


class RemoteItems:
    """What the doors ask of `queue.ports.ItemStore`: to read on, page by page."""

    def __init__(self, server: Connection) -> None:
        self._server = server

    def page(self, which: Filter, after: Place, limit: int) -> Sequence[tuple[Item, Place]]:
        """List items behind a place; the last one's place is exact, which is where somebody goes on."""
        found: list[tuple[Item, Place]] = []
        place: Place | None = after
        while place is not None and len(found) < limit:
            items, place = self._some(which, place, min(_PAGE, limit - len(found)))
            found += [(item, place or after) for item in items]
        return found

    def _some(self, which: Filter, after: Place, limit: int) -> tuple[Sequence[Item], Place | None]:
        answer = self._server.get(
            "/ops/queue/items",
            status=None if which.status is None else which.status.value,
            priority=which.priority,
            owner=which.owner,
            text=which.text,
            need=which.need,
            repository=which.repository,
            agent=which.agent,
            node_id=which.node_id,
            created_before_ms=None if which.created_before_ms is None else max(0, which.created_before_ms),
            limit=limit,
            after=None if after == FIRST else f"{after[0]}.{after[1]}",
        )
        items = several(read_item, answer.json)
        rank, _, number = (answer.following or "").partition(".")
        return items, (int(rank), int(number)) if number else None

    def concurrencies(self) -> Sequence[Concurrency]:
        """List the concurrency keys."""
        found = self._server.get("/ops/queue/limits").json
        return several(_concurrency, found)


def _concurrency(data: Mapping[str, Any]) -> Concurrency:
    return Concurrency(key=data["key"], most=data["most"], held=data["held"], pending=data["pending"])


class RemoteQueue:
    """Answers as `queue.service.Queue` does."""

    def __init__(self, server: Connection) -> None:
        self._server = server
        self.store = RemoteItems(server)
        self.options = replace(QueueOptions(), max_attempts=_THEIRS)
        self._status: Mapping[str, Any] | None = None

    def now(self) -> int:
        """Return the server's time."""
        return self._server.now()

    # --- what there is ------------------------------------------------------------------------------------------------

    def add(self, new: NewItem) -> Item:
        """Put an item on the queue."""
        body = {
            "task": new.task,
            "success_criteria": new.success_criteria,
            "priority": new.priority,
            "due_at_kst": new.due_at_kst,
            "notes": new.notes,
            "not_before_ms": new.not_before_ms,
            "idempotency_key": new.idempotency_key,
            "concurrency_key": new.concurrency_key,
            "needs": list(new.needs),
            "max_attempts": new.max_attempts or None,
        }
        return understood(read_item, self._server.make("/ops/queue/items", body).json)

    def get(self, item_id: str) -> Item:
        """Return an item."""
        return understood(read_item, self._server.get(_path(item_id)).json)

    def list(self, which: Filter = _EVERYTHING, *, limit: int = 100) -> Sequence[Item]:
        """List items in the order in which they would be claimed."""
        return [item for item, _ in self.store.page(which, FIRST, limit)]

    def counts(self) -> Mapping[str, int]:
        """Count items by status."""
        told = self._standing()
        return understood(lambda _: {status.value: int(told[status.value]) for status in ItemStatus}, told)

    def paused(self) -> Pause | None:
        """Return the pause that lasts now."""
        return understood(lambda told: read_pause(told["paused"]), self._standing())

    def _standing(self) -> Mapping[str, Any]:
        if self._status is None:
            self._status = understood(dict[str, Any], self._server.get("/ops/queue/status").json)
        return self._status

    def explain(self, item_id: str) -> Sequence[Because]:
        """Say why an item waits, runs or stands still."""
        found = self._server.get(_path(item_id, "explain")).json
        return understood(
            lambda told: [Because(code=each["code"], text=each["text"]) for each in told["because"]], found
        )

    # --- for who works on items ---------------------------------------------------------------------------------------

    def promote(self) -> int:
        """Do nothing: the server looks what may begin, at every claim."""
        return 0

    def claim(
        self,
        executor: Executor,
        owner_session: str,
        *,
        lease_seconds: int | None = None,
        has: frozenset[str] = frozenset(),
    ) -> Item | None:
        """Lease the oldest item of the highest priority that needs nothing beyond what the session has."""
        del executor  # over the network it is always an external session
        body = {"owner_session": owner_session, "lease_seconds": lease_seconds, "has": sorted(has)}
        found = self._server.send("POST", "/ops/queue/claim", body).json
        return understood(lambda told: read_item(told) if told["id"] is not None else None, found)

    def heartbeat(self, item_id: str, fence: int) -> Item:
        """Renew a lease."""
        return self._move(item_id, "heartbeat", {"fence": fence})

    def complete(self, item_id: str, fence: int, *, notes: str = "") -> Item:
        """Finish a held item."""
        return self._move(item_id, "complete", {"fence": fence, "notes": notes})

    def fail(
        self, item_id: str, fence: int, *, reason: str, message: str, transient: bool = False, notes: str = ""
    ) -> Item:
        """End a held item as FAILED, or give it back to be tried again."""
        del reason  # the server says it by `transient`
        return self._move(item_id, "fail", {"fence": fence, "notes": notes, "transient": transient, "reason": message})

    def release(self, item_id: str, fence: int, *, notes: str = "") -> Item:
        """Give a held item back."""
        return self._move(item_id, "release", {"fence": fence, "notes": notes})

    # --- for operators ------------------------------------------------------------------------------------------------

    def cancel(self, item_id: str, *, reason: str = "", seen: Item | None = None) -> Item:
        """Stop an item."""
        return self._move(item_id, "cancel", {"reason": reason, "seen": _seen(seen)})

    def replan(self, item_id: str, notes: str, *, seen: Item | None = None) -> Item:
        """Send an item back to planning."""
        return self._move(item_id, "replan", {"notes": notes, "seen": _seen(seen)})

    def retry(self, item_id: str, *, reason: str = "", seen: Item | None = None) -> Item:
        """Give an item another attempt."""
        return self._move(item_id, "retry", {"reason": reason, "seen": _seen(seen)})

    def reprioritise(self, item_id: str, priority: str, *, reason: str = "", seen: Item | None = None) -> Item:
        """Give an item another priority; `seen` itself where it has it already."""
        body = {"priority": priority, "reason": reason, "seen": _seen(seen)}
        item = self._move(item_id, "reprioritise", body)
        return seen if seen is not None and seen.priority == item.priority else item

    def snooze(self, item_id: str, until_ms: int | None, *, reason: str = "") -> Item:
        """Let a PENDING item wait."""
        return self._move(item_id, "snooze", {"not_before_ms": until_ms, "reason": reason})

    def pause(self, by: str, *, reason: str, until_ms: int | None = None) -> Pause:
        """Let nothing be claimed; by whom, the token says."""
        del by
        found = self._server.send("PUT", "/ops/queue/pause", {"reason": reason, "until_ms": until_ms}).json
        now = self.now()
        return understood(
            lambda told: Pause(
                paused_by=told["by"], reason=told["reason"], since_ms=now, until_ms=_instant(told["until"])
            ),
            found,
        )

    def resume(self) -> bool:
        """Let items be claimed again."""
        return understood(lambda told: bool(told["was_paused"]), self._server.send("DELETE", "/ops/queue/pause").json)

    def limit(self, key: str, most: int | None) -> None:
        """Set how many items of a key, a repository, an agent or a node may be under way at the same time."""
        self._server.send("PUT", "/ops/queue/limits", {"key": key, "most": most})

    # --- many ---------------------------------------------------------------------------------------------------------

    @contextmanager
    def together(self) -> Generator[RemoteQueue]:
        """Move many items, one request after another."""
        yield self

    @contextmanager
    def attempt(self) -> Generator[None]:
        """Do something that the server undoes by itself where it does not succeed."""
        yield

    def _move(self, item_id: str, verb: str, body: Mapping[str, Any]) -> Item:
        return understood(read_item, self._server.send("POST", _path(item_id, verb), body).json)


def _path(item_id: str, verb: str = "") -> str:
    if not item_id or "/" in item_id or not storable(item_id):
        raise ItemNotFound(f"Row id not found: {item_id[:64]}")
    return f"/ops/queue/items/{quoted(item_id)}{verb and '/'}{verb}"


def _seen(item: Item | None) -> Mapping[str, Any] | None:
    return None if item is None else {"status": item.status.value, "fence": item.fence}
