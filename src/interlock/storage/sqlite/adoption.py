"""Taking over a database that the queue's earlier tools made: nothing of it is lost, and what is unclear is refused."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

from interlock.queue.models import ItemStatus
from interlock.queue.words import instant, not_before
from interlock.storage.database import migrations
from interlock.storage.errors import NotADatabase

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
_HISTORY_COLUMNS = {"event_id", "item_id", "event_type", "payload_json", "created_at"}
_TEXTS = {
    **dict.fromkeys(("priority", "task", "success_criteria", "notes", "created_at", "updated_at", "last_error"), ""),
    **dict.fromkeys(("owner_session", "started_at_kst", "due_at_kst"), "-"),
}
_NUMBERS = {"attempt_count": 0, "max_attempts": 3}
_STATUSES = tuple(status.value for status in ItemStatus)
_LEASE_MS = 900_000
_END_OF_TIME = 253_402_300_799
_MADE = re.compile(r"^CREATE (?:UNIQUE )?(?:TABLE|INDEX|TRIGGER|VIEW) (?!IF )(\w+)", re.MULTILINE)
_ADDED = re.compile(r"^ALTER TABLE queue_items ADD COLUMN (\w+)", re.MULTILINE)
_WITHOUT_ROWID = re.compile(r"WITHOUT\s+ROWID\s*$", re.IGNORECASE)


def check(connection: sqlite3.Connection, where: str) -> None:
    """Raise `NotADatabase` unless the database is empty, or a queue that we can carry on; changes nothing."""
    names = {row[0]: row[1] for row in connection.execute("SELECT lower(name), type FROM sqlite_master")}
    if not names:
        return
    if names.get("queue_items") != "table" or not _columns(connection, "queue_items") >= _FIRST_COLUMNS:
        raise NotADatabase(f"{where} was not made by Interlock")
    problem = next(_problems(connection, set(names)), None)
    if problem is not None:
        raise NotADatabase(f"{where}: {problem}", hint="nothing was changed; mend that, or begin with a new database")


def prepare(connection: sqlite3.Connection, where: str) -> bool:
    """Bring the queue to the columns that those tools had last. False where there is none; raises `NotADatabase`."""
    check(connection, where)
    found = _columns(connection, "queue_items")
    if not found:
        return False
    for name, kind in _LATER_COLUMNS.items():
        if name not in found:
            connection.execute(f"ALTER TABLE queue_items ADD COLUMN {name} {kind}")
    for kind, names in (("TEXT", _TEXTS), ("INTEGER", _NUMBERS)):
        for name, empty in names.items():
            connection.execute(
                f"UPDATE queue_items SET {name} = CAST(COALESCE({name}, ?) AS {kind})"  # noqa: S608 - our own words
                f" WHERE typeof({name}) <> '{kind.lower()}'",
                (empty,),
            )
    return True


def finish(connection: sqlite3.Connection, now_ms: int) -> None:
    """Work out what those tools wrote as minutes and notes: the order, times, leases, and when a retry may begin."""
    _put_in_order(connection)
    rows = connection.execute(
        "SELECT rowid, status, created_at, started_at_kst, notes, lease_owner, lease_expires_at FROM queue_items"
    ).fetchall()
    for row in rows:
        until = _seconds(row["lease_expires_at"]) if row["status"] == "IN_PROGRESS" and row["lease_owner"] else None
        later = not_before(row["notes"], now_ms) if row["status"] == "PENDING" else None
        connection.execute(
            "UPDATE queue_items SET created_ms = ?, line_ms = ?, started_ms = ?, lease_until_ms = ?, lease_ms = ?,"
            " lease_owner = CASE WHEN ? THEN lease_owner END, lease_expires_at = ?,"
            " not_before_ms = ?, claimable = CASE WHEN ? THEN 0 ELSE claimable END WHERE rowid = ?",
            (
                instant(row["created_at"]) or now_ms,
                now_ms,
                instant(row["started_at_kst"]),
                None if until is None else until * 1000,
                0 if until is None else _LEASE_MS,
                until is not None,
                until,
                later,
                later is not None,
                row["rowid"],
            ),
        )
    connection.execute(
        "UPDATE counter SET value = (SELECT COALESCE(MAX(CAST(SUBSTR(id, 6) AS INTEGER)), 0) FROM queue_items"
        " WHERE id GLOB 'ORCH-[0-9]*' AND SUBSTR(id, 6) NOT GLOB '*[^0-9]*' AND LENGTH(id) <= 20) WHERE name = 'item'"
    )


def _put_in_order(connection: sqlite3.Connection) -> None:
    """Let the rows stand as those tools list them: the older first, whenever they were written down."""
    rows = [row[0] for row in connection.execute("SELECT rowid FROM queue_items ORDER BY created_at, rowid")]
    if rows == sorted(rows):
        return
    places = ((place, row) for place, row in enumerate(rows, max(rows) + 1))
    connection.executemany("UPDATE queue_items SET rowid = ? WHERE rowid = ?", places)


def _problems(connection: sqlite3.Connection, names: set[str]) -> Iterator[str]:
    """Say what stands against carrying on a queue."""
    columns = _columns(connection, "queue_items")
    script = "".join(script for _, _, script in migrations("sqlite"))
    made = {"schema_migration", *_MADE.findall(script)}
    for name in sorted((names & made) | (columns & set(_ADDED.findall(script)))):
        yield f"it has a {name} of its own, a name that is needed here"
    for table, known in (("queue_items", _FIRST_COLUMNS | _LATER_COLUMNS.keys()), ("queue_events", _HISTORY_COLUMNS)):
        for name in sorted(_demanding(connection, table) - known):
            yield f"{table} has the column {name}, which is unknown here and must have a value"
    if "queue_events" in names and not _columns(connection, "queue_events") >= _HISTORY_COLUMNS:
        yield f"queue_events has not the columns {', '.join(sorted(_HISTORY_COLUMNS))}"
    (words,) = connection.execute("SELECT sql FROM sqlite_master WHERE lower(name) = 'queue_items'").fetchone()
    if _keys(connection) != {"id"} or _WITHOUT_ROWID.search(words):
        yield "the id is not what queue_items is ordered by"
    marks = ", ".join("?" for _ in _STATUSES)
    odd = connection.execute(
        f"SELECT id, status, typeof(id) FROM queue_items"  # noqa: S608 - only marks
        f" WHERE COALESCE(status, '') NOT IN ({marks}) OR typeof(id) <> 'text' LIMIT 1",
        _STATUSES,
    ).fetchone()
    if odd is not None and odd[2] != "text":
        yield f"an item has {odd[0]!a} for its id, which is no text"
    elif odd is not None:
        yield f"the item {odd[0]!a} has the unknown status {odd[1]!a}, which is none of {', '.join(_STATUSES)}"


def _table(connection: sqlite3.Connection, name: str) -> list[sqlite3.Row]:
    return connection.execute(f"PRAGMA table_info({name})").fetchall()


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1].lower() for row in _table(connection, table)}


def _keys(connection: sqlite3.Connection) -> set[str]:
    return {row[1].lower() for row in _table(connection, "queue_items") if row[5]}


def _demanding(connection: sqlite3.Connection, table: str) -> set[str]:
    """Name the columns that a row which leaves them out could not have."""
    return {row[1].lower() for row in _table(connection, table) if row[3] and row[4] is None and not row[5]}


def _seconds(value: object) -> int | None:
    """Read an instant in seconds, however it was stored; None where it is none."""
    try:
        seconds = int(float(str(value)))
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds <= _END_OF_TIME else None
