"""The queue's verbs on a Markdown file, which owns its rows.

A row has an owner and no lease; `rescue` gives up what has been under way for too long. In a workspace every change is
an event as well, which `markdown_journal` sees to.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from interlock.kernel.canonical import Json
from interlock.kernel.clock import Clock, system_clock
from interlock.kernel.errors import Invalid
from interlock.kernel.events import Event
from interlock.kernel.ids import UlidSource
from interlock.queue import markdown
from interlock.queue.errors import (
    ItemExists,
    ItemStateConflict,
    LeaseLost,
    MarkdownChanged,
    MarkdownMalformed,
    MarkdownMissing,
    MarkdownRowsMissing,
    NotesBlank,
)
from interlock.queue.events import MarkdownRendered, MarkdownRowChanged
from interlock.queue.markdown import NOBODY, Change, Fields, Row, Table
from interlock.queue.markdown_journal import CALMING, Journal, Telling, digest
from interlock.queue.words import checked_due, checked_line, checked_owner, checked_priority, checked_text

TIME_ZONE_VARIABLE = "ORCH_TZ_OFFSET"

_MINUTE_MS = 60_000
_MINUTE = "%Y-%m-%d %H:%M"
_START = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d", re.ASCII)
_OFFSET = re.compile(r"[+-]?\d{1,2}", re.ASCII)
_NUMBERED = re.compile(r"ORCH-(\d+)", re.ASCII)
_NEW_ID = re.compile(rf"\w[\w.:-]{{0,{markdown.MAX_ID - 1}}}")
_NOT_BEFORE = re.compile(r"(?<!\w)retry_not_before=(\d{1,12})(?!\d)", re.ASCII)
_ENDED = frozenset({"DONE", "FAILED"})
_NAMED = 5
_FREE = {"owner_session": NOBODY, "started_at_kst": NOBODY}


@dataclass(frozen=True, slots=True)
class MarkdownQueue:
    """A Markdown queue and what operators and sessions do with it."""

    path: markdown.Location
    now: Clock = system_clock
    journal: Journal | None = None
    """None outside of a workspace: then there is no log to tell."""
    new_ulid: Callable[[], str] = field(default_factory=UlidSource)
    probe: Callable[[str], None] = lambda _: None
    thawed: Callable[[], None] = lambda: None
    """Raises `Frozen` while panic is on; outside of a workspace there is none."""

    @property
    def warnings(self) -> Sequence[str]:
        """What was done but is not logged yet, as sentences."""
        return self.journal.warnings if self.journal is not None else ()

    def rows(self) -> tuple[Row, ...]:
        """List the rows as they stand."""
        return markdown.read(self.path).rows

    def row(self, item_id: str) -> Row:
        """Return a row; raises `ItemNotFound`."""
        return markdown.read(self.path).row(item_id)

    # --- for whoever works --------------------------------------------------------------------------------------------

    def add(
        self,
        *,
        priority: str,
        task: str,
        success_criteria: str,
        due: str = NOBODY,
        notes: str = "",
        item_id: str | None = None,
    ) -> Row:
        """Put a row at the table's end, under the given id or the next ORCH number."""
        if item_id is not None and not _NEW_ID.fullmatch(item_id):
            raise Invalid(f"{item_id[:64]!a} is no id: 1 to {markdown.MAX_ID} letters, digits and . _ : - inside")
        cells = {
            "status": "PENDING",
            "priority": checked_priority(priority),
            "task": checked_text(task, "task"),
            "success_criteria": checked_text(success_criteria, "success criteria"),
            **_FREE,
            "due_at_kst": checked_due(due),
            "notes": checked_line(notes, "notes"),
        }
        with self._changing("add") as change:
            item_id = item_id or _next_id(change.table)
            if any(row.id == item_id for row in change.table.rows):
                raise ItemExists(f"{change.table.path} has a row {item_id} already")
            table = self._write(change, "add", change.table.with_row({"id": item_id, **cells}), {item_id: {}})
        return table.row(item_id)

    def claim(self, owner_session: str) -> Row | None:
        """Take the first PENDING row of the highest priority, or return None."""
        checked_owner(owner_session)
        with self._changing("claim") as change:
            now = self.now()
            free = (row for row in change.table.rows if row.cells["status"] == "PENDING" and not _waits(row, now))
            row = min(free, key=lambda row: markdown.PRIORITIES.index(row.cells["priority"]), default=None)
            if row is None:
                return None
            start = {"owner_session": owner_session, "started_at_kst": _shown_minute(now)}
            return self._move(change, "claim", row, {"status": "IN_PROGRESS", **start})

    def complete(self, item_id: str, notes: str = "", *, owner_session: str | None = None) -> Row:
        """End a row as DONE; with `owner_session`, only while that session holds it."""
        return self._end("complete", item_id, "DONE", notes, owner_session)

    def fail(self, item_id: str, notes: str = "", *, owner_session: str | None = None) -> Row:
        """End a row as FAILED; with `owner_session`, only while that session holds it."""
        return self._end("fail", item_id, "FAILED", notes, owner_session)

    def release(self, item_id: str, *, owner_session: str | None = None) -> Row:
        """Give a row back that is under way."""
        with self._changing("release") as change:
            row = change.table.row(item_id)
            if owner_session is not None:
                _held(row, owner_session)
            elif row.cells["status"] != "IN_PROGRESS":
                raise ItemStateConflict(f"only an IN_PROGRESS item can be released: {_named(row)}")
            return self._move(change, "release", row, {"status": "PENDING", **_FREE})

    # --- for operators ------------------------------------------------------------------------------------------------

    def cancel(self, item_id: str, *, reason: str = "") -> Row:
        """Stop a row: it becomes BLOCKED."""
        reason = checked_line(reason, "reason")
        note = f"cancelled_by_operator: {reason}" if reason else "cancelled_by_operator"
        with self._changing("cancel") as change:
            row = change.table.row(item_id)
            if row.cells["status"] in _ENDED:
                raise ItemStateConflict(f"cannot cancel terminal item: {_named(row)}")
            return self._move(change, "cancel", row, {"status": "BLOCKED", "notes": _noted(row, note)})

    def replan(self, item_id: str, notes: str) -> Row:
        """Send a row back to planning: IN_PROGRESS becomes BLOCKED, everything else PENDING."""
        notes = checked_line(notes, "notes")
        if not notes:
            raise NotesBlank
        with self._changing("replan") as change:
            row = change.table.row(item_id)
            after = {"status": "BLOCKED"} if row.cells["status"] == "IN_PROGRESS" else {"status": "PENDING", **_FREE}
            return self._move(change, "replan", row, {**after, "notes": _noted(row, f"replan:{notes}")})

    def retry(self, item_id: str, *, reason: str = "") -> Row:
        """Make a FAILED or BLOCKED row PENDING again."""
        reason = checked_line(reason, "reason")
        note = f"retry_requested: {reason}" if reason else "retry_requested"
        with self._changing("retry") as change:
            row = change.table.row(item_id)
            if row.cells["status"] not in {"FAILED", "BLOCKED"}:
                raise ItemStateConflict(f"retry allowed only for FAILED/BLOCKED in markdown mode: {_named(row)}")
            return self._move(change, "retry", row, {"status": "PENDING", **_FREE, "notes": _noted(row, note)})

    def reprioritise(self, item_id: str, priority: str, *, reason: str = "") -> Row:
        """Give a row another priority; what is DONE keeps the one that it had."""
        reason, priority = checked_line(reason, "reason"), checked_priority(priority)
        with self._changing("reprioritise") as change:
            row = change.table.row(item_id)
            if row.cells["status"] == "DONE":
                raise ItemStateConflict(f"cannot reprioritise a finished item: {_named(row)}")
            if row.cells["priority"] == priority:
                return row
            notes = _noted(row, reason and f"{row.cells['priority']}->{priority}: {reason}")
            return self._move(change, "reprioritise", row, {"priority": priority, "notes": notes})

    def rescue(self, stale_minutes: int = 60) -> list[str]:
        """Give up what has been under way for so long; returns the ids. A start that can not be read is never old."""
        if stale_minutes < 0:
            raise Invalid(f"the minutes are 0 or more, not {stale_minutes}")
        with self._changing("rescue") as change:
            limit = self.now() - stale_minutes * _MINUTE_MS
            stale = [
                row
                for row in change.table.rows
                if row.cells["status"] == "IN_PROGRESS" and (start := _started_ms(row)) is not None and start <= limit
            ]
            moves = {
                row.id: {"status": "PENDING", **_FREE, "notes": _noted(row, "[watchdog] stale reset")} for row in stale
            }
            self._write(change, "rescue", change.table.with_changes(moves), moves)
            return list(moves)

    def replace_rows(self, rows: Iterable[Fields], *, banner: bool, drop_missing: bool = False) -> int:
        """Replace all rows, with a banner or without; returns how many there are now.

        Refuses to drop rows that are only here, unless told. It is an event where the file owned its rows.
        """
        rows = list(rows)
        with self._changing("render", rendering=True) as change:
            given = {markdown.cell(row["id"]) for row in rows}
            lost = [row.id for row in change.table.rows if row.id not in given]
            if lost and not drop_missing:
                more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
                raise MarkdownRowsMissing(f"{change.table.path} alone has {', '.join(lost[:_NAMED])}{more}")
            new = markdown.rendered(change.table, rows, banner=banner)
            if markdown.is_window(change.table):
                change.write(new)
            else:
                self._put(change, new, lambda: [self._rendered(change, new, len(rows), window=banner)])
        return len(rows)

    # ------------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _changing(self, verb: str, *, rendering: bool = False) -> Generator[Change]:
        if verb not in CALMING:
            self.thawed()
        with markdown.changing(self.path, rendering=rendering) as change:
            if self.journal is not None:
                self.journal.complete(change.real)
            yield change

    def _end(self, verb: str, item_id: str, status: str, notes: str, owner_session: str | None) -> Row:
        notes = checked_line(notes, "notes")
        with self._changing(verb) as change:
            row = change.table.row(item_id)
            if owner_session is not None:
                _held(row, owner_session)
            elif row.cells["status"] in _ENDED:
                raise ItemStateConflict(f"cannot {verb} terminal item: {_named(row)}")
            return self._move(change, verb, row, {"status": status, "notes": _noted(row, notes)})

    def _move(self, change: Change, verb: str, row: Row, cells: Fields) -> Row:
        moves = {row.id: cells}
        return self._write(change, verb, change.table.with_changes(moves), moves).row(row.id)

    def _write(self, change: Change, verb: str, new: bytes, moves: Mapping[str, Fields]) -> Table:
        return self._put(
            change, new, lambda: [self._changed(change, verb, new, item_id, moves[item_id]) for item_id in moves]
        )

    def _put(self, change: Change, new: bytes, tellings: Callable[[], list[Telling]]) -> Table:
        """Write the file, and tell it: intent, file, event."""
        journal = self.journal
        if journal is None:
            return change.write(new)

        def begin() -> None:
            journal.begin(change.real, change.read, new, tellings())
            self.probe("intent.written")

        try:
            table = change.write(new, before=begin)
        except (MarkdownChanged, MarkdownMissing, MarkdownMalformed):
            journal.withdraw(change.real)
            raise
        self.probe("file.written")
        journal.made(change.real)
        self.probe("intent.removed")
        return table

    def _changed(self, change: Change, verb: str, new: bytes, item_id: str, cells: Fields) -> Telling:
        old = next((row for row in change.table.rows if row.id == item_id), None)
        duration = None
        if old is not None and verb in {"complete", "fail"}:
            start = _started_ms(old)
            duration = None if start is None else max(0, self.now() // _MINUTE_MS * _MINUTE_MS - start)
        previous = None if old is None else old.cells["status"]
        return self._telling(
            MarkdownRowChanged,
            item_id,
            {
                "path": self._shown(change),
                "verb": verb,
                "previous_status": previous,
                "status": cells.get("status", previous or "PENDING"),
                "file_digest": digest(new),
                "duration_ms": duration,
            },
            {name: markdown.cell(text) for name, text in cells.items()},
        )

    def _rendered(self, change: Change, new: bytes, rows: int, *, window: bool) -> Telling:
        path = self._shown(change)
        payload: dict[str, Json] = {"path": path, "rows": rows, "window": window, "file_digest": digest(new)}
        return self._telling(MarkdownRendered, path, payload, {})

    def _telling(self, kind: type[Event], subject: str, payload: dict[str, Json], cells: dict[str, str]) -> Telling:
        key = f"markdown:{self.new_ulid()}"
        return {"kind": kind.kind, "subject": subject, "key": key, "payload": payload, "cells": cells}

    def _shown(self, change: Change) -> str:
        return self.journal.shown(change.real) if self.journal is not None else change.real


# --- rows -------------------------------------------------------------------------------------------------------------


def _named(row: Row) -> str:
    return f"{row.id} ({row.cells['status']})"


def _held(row: Row, owner_session: str) -> None:
    if row.cells["status"] != "IN_PROGRESS" or row.cells["owner_session"] != owner_session:
        holder = f"it is {row.cells['status']}, its owner {row.cells['owner_session'] or NOBODY}"
        raise LeaseLost(f"{row.id} is not held by {owner_session[:64]}: {holder}")


def _noted(row: Row, note: str) -> str:
    """Return a row's notes with one more."""
    return " / ".join(each for each in (row.cells["notes"], markdown.cell(note)) if each)


def _waits(row: Row, now: int) -> bool:
    """Say whether a row's last `retry_not_before` is still to come."""
    marks = _NOT_BEFORE.findall(row.cells["notes"])
    return bool(marks) and int(marks[-1]) * 1000 > now


def _next_id(table: Table) -> str:
    numbers = [int(match[1]) for row in table.rows if (match := _NUMBERED.fullmatch(row.id))]
    return f"ORCH-{max(numbers, default=0) + 1:03d}"


# --- time -------------------------------------------------------------------------------------------------------------


def _offset() -> timedelta:
    """Return how far the times in the file are before UTC."""
    text = os.environ.get(TIME_ZONE_VARIABLE, "9")
    hours = int(text) if _OFFSET.fullmatch(text) else 24
    if abs(hours) > 23:
        raise Invalid(f"{TIME_ZONE_VARIABLE} is {text[:40]!a}; it is a whole number of hours from -23 to 23, like 9")
    return timedelta(hours=hours)


def _shown_minute(ms: int) -> str:
    return (datetime.fromtimestamp(ms // 1000, UTC) + _offset()).strftime(_MINUTE)


def _started_ms(row: Row) -> int | None:
    """Return when a row was started, if its cell says so."""
    text = row.cells["started_at_kst"]
    if not _START.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text).replace(tzinfo=UTC) - _offset()
    except (ValueError, OverflowError):
        return None
    return round(moment.timestamp()) * 1000
