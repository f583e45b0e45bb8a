"""Taking over a database that the queue's earlier tools made: nothing of it is lost, and what is unclear is refused."""

from __future__ import annotations

import re
import sqlite3
from datetime import datetime, timedelta, timezone

from interlock.storage.errors import NotADatabase

_KST = timezone(timedelta(hours=9))
_FIRST_COLUMNS = {"id", "status", "priority", "task", "success_criteria", "notes", "created_at", "updated_at"}
_LATER_COLUMNS = {
    "owner_session": "TEXT NOT NULL DEFAULT '-'",
    "started_at_kst": "TEXT NOT NULL DEFAULT '-'",
    "due_at_kst": "TEXT NOT NULL DEFAULT '-'",
    "lease_owner": "TEXT",
    "lease_expires_at": "INTEGER",
    "attempt_count": "INTEGER NOT NULL DEFAULT 0",
    "max_attempts": "INTEGER NOT NULL DEFAULT 3",
    "idempotency_key": "TEXT",
    "last_error": "TEXT NOT NULL DEFAULT ''",
}
_STATUSES = ("PENDING", "IN_PROGRESS", "BLOCKED", "FAILED", "DONE")
_LEASE_MS = 900_000
_MARKER = re.compile(r"retry_not_before=(\d{1,12})")


def adoptable(connection: sqlite3.Connection) -> bool:
    """Say whether a database that we did not make is empty, or one of the queue's tools that we know."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return not tables or ("queue_items" in tables and _columns(connection) >= _FIRST_COLUMNS)


def prepare(connection: sqlite3.Connection, where: str) -> bool:
    """Add the columns that older tools did not know; refuse rows that we could not read. False where no queue is."""
    found = _columns(connection)
    if not found:
        return False
    for name, kind in _LATER_COLUMNS.items():
        if name not in found:
            connection.execute(f"ALTER TABLE queue_items ADD COLUMN {name} {kind}")
    marks = ", ".join("?" for _ in _STATUSES)
    odd = connection.execute(
        f"SELECT id, status FROM queue_items WHERE status NOT IN ({marks}) LIMIT 1",  # noqa: S608 - only marks
        _STATUSES,
    ).fetchone()
    if odd is not None:
        raise NotADatabase(
            f"{where}: the item {odd[0]!a} has the unknown status {odd[1]!a}",
            hint=f"nothing was changed; give it one of {', '.join(_STATUSES)}",
        )
    return True


def finish(connection: sqlite3.Connection, now_ms: int) -> None:
    """Work out what those tools wrote as minutes and notes: times, leases, and when a retry may begin."""
    rows = connection.execute(
        "SELECT rowid, status, created_at, started_at_kst, notes, lease_owner, lease_expires_at FROM queue_items"
    ).fetchall()
    for row in rows:
        leased = bool(row["lease_owner"]) and row["lease_expires_at"] is not None
        later = _not_before(row["notes"], now_ms) if row["status"] == "PENDING" else None
        connection.execute(
            "UPDATE queue_items SET created_ms = ?, started_ms = ?, lease_until_ms = ?, lease_ms = ?,"
            " lease_owner = CASE WHEN ? THEN lease_owner END,"
            " not_before_ms = ?, claimable = CASE WHEN ? THEN 0 ELSE claimable END WHERE rowid = ?",
            (
                _instant(row["created_at"]) or now_ms,
                _instant(row["started_at_kst"]),
                row["lease_expires_at"] * 1000 if leased else None,
                _LEASE_MS if leased else 0,
                leased,
                later,
                later is not None,
                row["rowid"],
            ),
        )


def _columns(connection: sqlite3.Connection) -> set[str]:
    return {row[1] for row in connection.execute("PRAGMA table_info(queue_items)")}


def _instant(text: object) -> int | None:
    """Read `2026-11-21 17:00`, UTC+9; None for anything else."""
    try:
        return round(datetime.strptime(str(text), "%Y-%m-%d %H:%M").replace(tzinfo=_KST).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _not_before(notes: str, now_ms: int) -> int | None:
    """Return the instant that the last retry marker names, if it is still to come."""
    found = _MARKER.findall(notes)
    return int(found[-1]) * 1000 if found and int(found[-1]) * 1000 > now_ms else None
