"""The three stores of the queue, filled as a test wants them, and `ops.py` as operators call it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from interlock.app import Interlock
from interlock.cli.ops import main
from interlock.queue import exchange, markdown
from tests.cli.door import Door, Said, environment
from tests.cli.lived import ME

OPS = "automation/orchestrator/ops.py"
QUEUE = "automation/orchestrator/QUEUE.md"
LINK = "automation/orchestrator/db/queue.db"
LOG = "automation/orchestrator/logs/orch_runs.jsonl"
NAMES = " | ".join(markdown.COLUMNS)

BEFORE = "# Queue\r\n\r\n## Status\n- 대기 PENDING\n\n## Queue\n\n"
AFTER = "\n## Tips\n\n* a bar | here is prose\n\n\n"


def row(item_id: str, status: str = "PENDING", priority: str = "P1", **cells: str) -> dict[str, str]:
    """Return a row by its columns."""
    usual = {"task": f"task of {item_id}", "success_criteria": "it is done", "owner_session": "-"}
    return {
        **dict.fromkeys(markdown.COLUMNS, ""),
        **usual,
        "started_at_kst": "-",
        "due_at_kst": "-",
        **cells,
        "id": item_id,
        "status": status,
        "priority": priority,
    }


def document(rows: Iterable[Mapping[str, str]]) -> bytes:
    """Return a Markdown queue with prose around its table."""
    lines = ["| " + " | ".join(each[name] for name in markdown.COLUMNS) + " |\n" for each in rows]
    return (f"{BEFORE}| {NAMES} |\n|{'---|' * 9}\n" + "".join(lines) + AFTER).encode()


@dataclass(frozen=True)
class Ops:
    """`ops.py` of one workspace, as a process."""

    root: Path

    def __call__(
        self,
        *words: str,
        at: Path | None = None,
        python: str = sys.executable,
        script: str | Path = OPS,
        prefix: Sequence[str | bytes] = (),
        env: Mapping[str, str] | None = None,
        seconds: float = 45,
    ) -> Said:
        """Call it, from the workspace unless told otherwise."""
        done = subprocess.run(
            [*prefix, python, str(script), *words],
            cwd=at or self.root,
            env=environment(**(env or {})),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=seconds,
        )
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())


def one_line(said: Said, code: int, *words: str) -> None:
    """Assert the shape of every failure: its exit code, nothing on stdout, one line on stderr that names its object."""
    said.refuses(code, *words)
    assert said.err.count("\n") == 1, said


@dataclass(frozen=True)
class Store:
    """One of the three stores, and how `ops.py` is told to use it."""

    kind: str
    root: Path
    url: str = ""

    @property
    def options(self) -> list[str]:
        """The global options that name it."""
        return {"markdown": [], "sqlite": ["--db", LINK], "postgres": ["--db", self.url]}[self.kind]

    @property
    def in_database(self) -> bool:
        return self.kind != "markdown"

    def fill(self, *rows: Mapping[str, str]) -> None:
        """Put rows in, whatever state they are in."""
        if not self.in_database:
            (self.root / QUEUE).write_bytes(document(rows))
            return
        house = Interlock.at(self.root)
        with (house.beside(self.url) if self.url else house).queue(ME) as queue:
            assert exchange.take_in(queue, [exchange.hand_row(each, queue.now()) for each in rows]) == len(rows)
        house.catch_up(ME)
        house.close()

    def rows(self) -> dict[str, dict[str, str]]:
        """Read every row by its id."""
        if not self.in_database:
            return {each.id: each.cells for each in markdown.read(self.root / QUEUE).rows}
        return {each["id"]: {name: str(each[name]) for name in markdown.COLUMNS} for each in self.items()}

    def items(self) -> list[dict[str, Any]]:
        """Read every column of the database's items."""
        if self.url:
            with psycopg.connect(self.url) as connection, connection.cursor(row_factory=dict_row) as cursor:
                return cursor.execute("SELECT * FROM queue_items ORDER BY id").fetchall()
        with closing(sqlite3.connect(self.root / LINK)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(each) for each in connection.execute("SELECT * FROM queue_items ORDER BY id")]

    def history(self) -> list[tuple[str, str]]:
        """Read item and type of every row of queue_events."""
        statement = "SELECT item_id, event_type FROM queue_events ORDER BY event_id"
        if self.url:
            with psycopg.connect(self.url) as connection:
                return [(each[0], each[1]) for each in connection.execute(statement)]
        with closing(sqlite3.connect(self.root / LINK)) as connection:
            return list(connection.execute(statement))

    def execute(self, statement: str, *values: object) -> None:
        """Change the database behind Interlock's back; `?` stands for a value."""
        if self.url:
            with psycopg.connect(self.url) as connection:
                connection.execute(statement.replace("?", "%s").encode(), values)
            return
        with closing(sqlite3.connect(self.root / LINK)) as connection, connection:
            connection.execute(statement, values)


def whole(folder: Path) -> dict[str, bytes | str | None]:
    """Return all that lies below a folder but lock files: bytes by path, None for folders, the target of links."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix != ".lock":
            name = str(path.relative_to(folder))
            found[name] = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found


SEED_COLUMNS = (
    "id TEXT PRIMARY KEY, status TEXT NOT NULL, priority TEXT NOT NULL, task TEXT NOT NULL,"
    " success_criteria TEXT NOT NULL, owner_session TEXT NOT NULL DEFAULT '-',"
    " started_at_kst TEXT NOT NULL DEFAULT '-', due_at_kst TEXT NOT NULL DEFAULT '-',"
    " notes TEXT NOT NULL DEFAULT '', created_at TEXT NOT NULL, updated_at TEXT NOT NULL"
)
LATER_COLUMNS = (
    ", lease_owner TEXT, lease_expires_at INTEGER, attempt_count INTEGER NOT NULL DEFAULT 0,"
    " max_attempts INTEGER NOT NULL DEFAULT 3, idempotency_key TEXT, last_error TEXT NOT NULL DEFAULT ''"
)


def seed_database(path: Path, *rows: Mapping[str, str], older: bool = False) -> bytes:
    """Make a database as the tools of seed 1 do, by their script; returns its bytes."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE queue_items ({SEED_COLUMNS}{'' if older else LATER_COLUMNS})")
        connection.execute(
            "CREATE TABLE queue_events (event_id INTEGER PRIMARY KEY AUTOINCREMENT, item_id TEXT NOT NULL,"
            " event_type TEXT NOT NULL, payload_json TEXT NOT NULL, created_at TEXT NOT NULL,"
            " FOREIGN KEY(item_id) REFERENCES queue_items(id) ON DELETE CASCADE)"
        )
        connection.execute("CREATE INDEX idx_queue_items_status_priority ON queue_items(status, priority)")
        connection.execute("CREATE INDEX idx_queue_items_updated_at ON queue_items(updated_at)")
        for place, each in enumerate(rows):
            marks = ", ".join("?" * (len(markdown.COLUMNS) + 2))
            when = f"2026-01-01 09:{place:02d}"
            connection.execute(
                f"INSERT INTO queue_items ({', '.join(markdown.COLUMNS)}, created_at, updated_at) VALUES ({marks})",  # noqa: S608 - columns and marks of our own
                (*(each[name] for name in markdown.COLUMNS), when, when),
            )
            connection.execute(
                "INSERT INTO queue_events (item_id, event_type, payload_json, created_at) VALUES (?, 'added', '{}', ?)",
                (each["id"], when),
            )
    return path.read_bytes()


@dataclass(frozen=True)
class Quick:
    """`ops.py` of one workspace in this process, where many calls are needed."""

    root: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *words: str) -> Said:
        self.capture.readouterr()
        code = main([str(self.root), *words])
        told = self.capture.readouterr()
        return Said(code, told.out, told.err)


@dataclass(frozen=True)
class QueueDoor:
    """`interlock queue` on one store."""

    ask: Door
    store: Store

    @property
    def where(self) -> tuple[str, ...]:
        """The options that name the store; none for the workspace's database."""
        path = str(self.store.root / QUEUE)
        return {"markdown": ("--queue", path), "sqlite": (), "postgres": ("--db", self.store.url)}[self.store.kind]

    def __call__(self, *words: str) -> Said:
        return self.ask("queue", *words, *self.where)

    def json(self, *words: str) -> Any:  # noqa: ANN401 - JSON of any shape
        """Call with --json, which has to succeed."""
        return self.ask.json("queue", *words, *self.where)

    def status(self, item: str) -> str:
        """Return how an item stands."""
        return str(self.json("show", item)["status"])
