"""What `ops.py` can not read, find or write: one line that names it, an exit code, and nothing changed or created."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from interlock.storage.sqlite import reading
from tests.cli.door import WITHOUT_PRIVILEGES, Door, closed, python
from tests.cli.stores import (
    LINK,
    NAMES,
    QUEUE,
    Ops,
    Quick,
    Store,
    document,
    one_line,
    row,
    seed_database,
    whole,
)
from tests.conftest import until

READS = (["status"], ["workers"], ["consistency-check"])
CHANGES = (
    ["cancel", "--id", "ORCH-001"],
    ["replan", "--id", "ORCH-001", "--notes", "x"],
    ["retry", "--id", "ORCH-001"],
)
HEAD = f"# Queue\n\n| {NAMES} |\n|{'---|' * 9}\n"
GOOD = "| ORCH-001 | FAILED | P1 | t | s | - | - | - |  |\n"


# --- Markdown that can not be read ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "Queue table header not found"),
        (b"# Queue\n\nno table here\n", "Queue table header not found"),
        (HEAD.encode().replace(b"---|", b"") + GOOD.encode(), "line 4: the separator line"),
        (f"| {NAMES} |\n{GOOD}".encode(), "line 2: the separator line"),
        (f"| {NAMES} |".encode(), "line 2: the separator line"),
        (f"{HEAD}{GOOD}| ORCH-002 | PENDING | P1 |\n".encode(), "line 6: Expected 9 cells in row, got 3"),
        (f"{HEAD}| ORCH-001 | FAILED | P1 | a|b | s | - | - | - |  |\n".encode(), "line 5: Expected 9 cells"),
        (f"{HEAD}{GOOD}\n{GOOD.replace('001', '002')}".encode(), "line 7: a row after a blank line"),
        (f"{HEAD}{GOOD}{GOOD}".encode(), "line 6: the id ORCH-001 stands in line 5 already"),
        (f"{HEAD}{GOOD.replace('FAILED', 'Failed')}".encode(), "line 5: ORCH-001 has the unknown status 'Failed'"),
        (f"{HEAD}{GOOD.replace('P1', 'P7')}".encode(), "line 5: ORCH-001 has the unknown priority 'P7'"),
        (f"{HEAD}{GOOD.replace('ORCH-001', '')}".encode(), "line 5: the id is empty"),
        (f"{HEAD}{GOOD}\n{HEAD}{GOOD}".encode(), "a second queue table"),
        (f"{HEAD}{GOOD}".encode().replace(b"| t |", b"| \xff |"), "line 5: not UTF-8 text"),
        (f"{HEAD}{GOOD}".encode("utf-16"), "not UTF-8 text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.proves("queue-trouble")
def test_a_malformed_table_is_refused_by_every_command_and_named_with_its_line(
    quick: Quick, content: bytes, told: str
) -> None:
    (quick.root / QUEUE).write_bytes(content)
    before = whole(quick.root)
    for words in (*READS, *CHANGES):
        one_line(quick(*words), 1, str(quick.root / QUEUE), told)
    assert whole(quick.root) == before


def _large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100_000_000)


NO_QUEUE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _: None, "there is no queue"),
    "folder": (lambda path: path.mkdir(), "is a folder, not a queue"),
    "pipe": (os.mkfifo, "is no file"),
    "loop": (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    "dangling": (lambda path: path.symlink_to("nowhere"), "there is no queue"),
    "100 MB": (_large, "100000000 bytes"),
}


@pytest.mark.parametrize("name", NO_QUEUE)
def test_what_is_no_queue_is_refused_at_once(ops: Ops, name: str) -> None:
    (make, told), path = NO_QUEUE[name], ops.root / "other.md"
    make(path)
    before = sorted(ops.root.rglob("*"))
    for words in (*READS, *CHANGES):
        one_line(ops("--queue", "other.md", *words, seconds=10), 1, "other.md", told)
    assert sorted(ops.root.rglob("*")) == before


def test_a_queue_that_may_not_be_read_or_written_is_refused(ops: Ops) -> None:
    Store("markdown", ops.root).fill(row("ORCH-001", "FAILED"))
    before = whole(ops.root)
    with closed(ops.root / QUEUE, mode=0o000):
        one_line(ops("status", prefix=WITHOUT_PRIVILEGES), 1, QUEUE, "Permission denied")
        one_line(ops("retry", "--id", "ORCH-001", prefix=WITHOUT_PRIVILEGES), 1, QUEUE, "Permission denied")
    with closed((ops.root / QUEUE).parent, mode=0o555):
        assert ops("status", prefix=WITHOUT_PRIVILEGES).code == 0
        one_line(ops("retry", "--id", "ORCH-001", prefix=WITHOUT_PRIVILEGES), 1, "Permission denied")
    assert whole(ops.root) == before


def test_a_queue_that_is_read_only_by_agreement_is_not_changed(ops: Ops) -> None:
    """The tool before this one asked only its other program for that."""
    Store("markdown", ops.root).fill(row("ORCH-001", "FAILED"))
    before = whole(ops.root)
    for words in CHANGES:
        one_line(ops(*words, env={"ORCH_QUEUE_MD_READ_ONLY": "yes"}), 1, "QUEUE.md is read-only in DB SSOT mode")
    assert whole(ops.root) == before
    assert ops("status", env={"ORCH_QUEUE_MD_READ_ONLY": "1"}).code == 0
    assert ops("retry", "--id", "ORCH-001", env={"ORCH_QUEUE_MD_READ_ONLY": "0"}).code == 0


def test_a_queue_with_a_byte_order_mark_and_foreign_line_ends_keeps_them(ops: Ops) -> None:
    rows = document([row("ORCH-001", "FAILED"), row("ORCH-002")]).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    (ops.root / QUEUE).write_bytes(b"\xef\xbb\xbf" + rows)
    assert ops("retry", "--id", "ORCH-001").out == "ORCH-001 -> PENDING\n"
    after = rows.replace(b"| ORCH-001 | FAILED |", b"| ORCH-001 | PENDING |")
    after = after.replace(
        b"of ORCH-001 | it is done | - | - | - |  |", b"of ORCH-001 | it is done | - | - | - | retry_requested |"
    )
    assert (ops.root / QUEUE).read_bytes() == b"\xef\xbb\xbf" + after


def test_a_change_waits_for_whoever_holds_the_queue(ops: Ops) -> None:
    Store("markdown", ops.root).fill(row("ORCH-001", "FAILED"))
    with (ops.root / QUEUE).with_name(".QUEUE.md.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = subprocess.Popen(
            [sys.executable, "automation/orchestrator/ops.py", "retry", "--id", "ORCH-001"],
            cwd=ops.root,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert ops("status").out.startswith("summary PENDING=0 IN_PROGRESS=0 BLOCKED=0 FAILED=1")
        assert waiting.poll() is None
    assert waiting.communicate(timeout=30) == ("ORCH-001 -> PENDING\n", None)


# --- databases that can not be read -----------------------------------------------------------------------------------


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE songs (title TEXT)")


def _few_columns(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE queue_items (id TEXT)")


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"PRAGMA application_id = {reading.APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 999")
        connection.execute("CREATE TABLE queue_items (id TEXT)")


def _cut(path: Path) -> None:
    data = seed_database(path, *(row(f"ORCH-{n:03d}", notes="x" * 500) for n in range(200)))
    path.write_bytes(data[: len(data) // 3])


def _overwritten(path: Path) -> None:
    data = seed_database(path, *(row(f"ORCH-{n:03d}", "IN_PROGRESS", notes="x" * 500) for n in range(200)))
    path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _: None, "there is no database"),
    "empty": (lambda path: path.touch(), "is empty"),
    "folder": (lambda path: path.mkdir(), "is no file"),
    "pipe": (os.mkfifo, "is no file"),
    "loop": (lambda path: path.symlink_to(path), "can not be opened"),
    "text": (lambda path: path.write_bytes(b"this is a text " * 500), "is not a database"),
    "markdown": (lambda path: path.write_bytes(document([row("ORCH-001")])), "is not a database"),
    "foreign": (_foreign, "holds no queue"),
    "few columns": (_few_columns, "holds no queue"),
    "newer": (_newer, "schema 999"),
    "cut": (_cut, ""),
    "overwritten": (_overwritten, ""),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.proves("queue-trouble")
def test_what_is_no_queue_database_is_refused_by_every_command_and_left_as_it_is(quick: Quick, name: str) -> None:
    make, told = BAD[name]
    Store("markdown", quick.root).fill(row("ORCH-001", "FAILED"))
    path = str(quick.root / "other.db")
    make(Path(path))
    before = sorted(quick.root.rglob("*"))
    content = Path(path).read_bytes() if Path(path).is_file() else b""
    for words in (["status"], ["workers"], *CHANGES):
        one_line(quick("--db", path, *words), 1, path, told)
    for words in (["consistency-check"], ["kpi"]):
        one_line(quick(*words, "--db-path", path), 1, path, told)
        one_line(quick("--db", path, *words), 1, path, told)
    assert sorted(quick.root.rglob("*")) == before
    assert (Path(path).read_bytes() if Path(path).is_file() else b"") == content


@pytest.mark.proves("queue-trouble")
def test_a_missing_folder_is_not_made(ops: Ops) -> None:
    one_line(ops("--db", "nowhere/queue.db", "status"), 1, "nowhere/queue.db")
    one_line(ops("--queue", "nowhere/QUEUE.md", "status"), 1, "nowhere/QUEUE.md")
    assert not (ops.root / "nowhere").exists()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("postgresql://postgres@localhost:1/none", "does not answer"),
        ("postgres://localhost:notaport/none", ""),
        ("postgresql://me:secret@localhost:1/none", "password"),
        ("postgresql://localhost/${INTERLOCK_NOT_SET}", "INTERLOCK_NOT_SET"),
    ],
)
def test_a_server_that_can_not_be_asked_is_one_line(quick: Quick, address: str, told: str) -> None:
    before = whole(quick.root)
    for words in (["status"], ["kpi"], *CHANGES[:1]):
        answered = quick("--db", address, *words)
        one_line(answered, 1, told)
        assert "secret" not in answered.err
    assert whole(quick.root) == before


def test_a_server_without_a_queue_is_told_and_gets_none(quick: Quick, postgres_url: str) -> None:
    for words in (["status"], ["workers"], ["kpi"], *CHANGES):
        one_line(quick("--db", postgres_url, *words), 1)
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def test_an_unsaid_database_that_is_lost_is_named(ops: Ops) -> None:
    for path in (ops.root / ".interlock").glob("interlock.db*"):
        path.unlink()
    for words in (["kpi"], ["consistency-check"], ["--db", LINK, "status"]):
        one_line(ops(*words), 1, "there is no database")
    assert ops("status").code == 0
    assert not list((ops.root / ".interlock").glob("interlock.db*"))


# --- reads change nothing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("older", [False, True], ids=["last columns", "first columns"])
@pytest.mark.proves("queue-older")
def test_a_database_of_the_seed_s_tools_is_read_as_it_is(ops: Ops, *, older: bool) -> None:
    rows = [
        row("ORCH-001", "IN_PROGRESS", "P2", owner_session="w"),
        row("ORCH-002", "IN_PROGRESS", "P0"),
        row("ORCH-003"),
    ]
    before = seed_database(ops.root / "old.db", *rows, older=older)
    (ops.root / "old.md").write_bytes(document(rows))
    tree = whole(ops.root)
    assert ops("--db", "old.db", "status").out.splitlines() == [
        "summary PENDING=1 IN_PROGRESS=2 BLOCKED=0 FAILED=0 DONE=0",
        "top_in_progress:",
        "- ORCH-002 (P0) owner=- started=-",
        "- ORCH-001 (P2) owner=w started=-",
    ]
    assert ops("--db", "old.db", "workers").out.startswith("workers_active=2 in_progress=2\n")
    assert ops("--db", "old.db", "--queue", "old.md", "consistency-check").out == "consistency ok total=3\n"
    assert " retry_count=0 " in ops("--db", "old.db", "kpi").out
    assert (ops.root / "old.db").read_bytes() == before
    assert whole(ops.root) == tree


@pytest.mark.proves("queue-older")
def test_the_first_change_upgrades_it_and_keeps_a_copy_and_every_row(ops: Ops) -> None:
    before = seed_database(ops.root / "old.db", row("ORCH-001", "IN_PROGRESS"), row("ORCH-002", notes="전에"))
    one_line(ops("--db", "old.db", "retry", "--id", "ORCH-002"), 1, "retry allowed only for")
    assert ops("--db", "old.db", "replan", "--id", "ORCH-002", "--notes", "smaller").out == "ORCH-002 -> PENDING\n"
    with closing(sqlite3.connect(ops.root / "before.db")) as connection:
        connection.deserialize(before)
        rows = connection.execute("SELECT * FROM queue_items").fetchall()
    with closing(sqlite3.connect(ops.root / "old.db.schema-0.backup")) as connection:
        assert connection.execute("SELECT * FROM queue_items").fetchall() == rows
    with closing(sqlite3.connect(ops.root / "old.db")) as connection:
        assert connection.execute("SELECT id, status, notes FROM queue_items ORDER BY id").fetchall() == [
            ("ORCH-001", "IN_PROGRESS", ""),
            ("ORCH-002", "PENDING", "전에 | replan:smaller"),
        ]
        assert connection.execute("SELECT item_id, event_type FROM queue_events").fetchall() == [
            ("ORCH-001", "added"),
            ("ORCH-002", "added"),
            ("ORCH-002", "replan"),
        ]
    assert ops("--db", "old.db", "status").out.startswith("summary PENDING=1 IN_PROGRESS=1 ")


@pytest.mark.proves("queue-read-only")
def test_reading_a_database_of_ours_leaves_no_file_beside_it(ops: Ops, ask: Door) -> None:
    ask("queue", "add", "--task", "t", "--success-criteria", "s")
    (ops.root / "other").mkdir()
    (ops.root / "other" / "copy.db").write_bytes((ops.root / ".interlock" / "interlock.db").read_bytes())
    before = whole(ops.root)
    for words in (["status"], ["workers"], ["kpi"], ["consistency-check"]):
        assert ops("--db", "other/copy.db", *words).err == ""
        assert whole(ops.root) == before


HALF_DONE = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 5")
connection.execute("BEGIN")
connection.execute("UPDATE queue_items SET status = 'DONE', notes = notes || 'y'")
os._exit(9)
"""


def test_what_a_killed_writer_left_half_done_is_not_read(ops: Ops) -> None:
    seed_database(ops.root / "old.db", *(row(f"ORCH-{n:03d}", notes="x" * 2000) for n in range(300)))
    assert python(HALF_DONE, str(ops.root / "old.db"), at=ops.root).returncode == 9
    assert (ops.root / "old.db-journal").stat().st_size > 0
    assert ops("--db", "old.db", "status").out.startswith("summary PENDING=300 IN_PROGRESS=0 BLOCKED=0 FAILED=0 DONE=0")


def test_what_a_killed_writer_committed_is_read_through_the_link(ops: Ops, ask: Door) -> None:
    ask("queue", "add", "--task", "t", "--success-criteria", "s")
    writer = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("UPDATE queue_items SET status = 'BLOCKED'")
os._exit(9)
"""
    file = ops.root / ".interlock" / "interlock.db"
    assert python(writer, str(file), at=ops.root).returncode == 9
    log = file.with_name("interlock.db-wal")
    before = (file.read_bytes(), log.read_bytes())
    assert before[1]
    assert ops("--db", LINK, "status").out.startswith("summary PENDING=0 IN_PROGRESS=0 BLOCKED=1 ")
    assert (file.read_bytes(), log.read_bytes()) == before


@pytest.mark.proves("queue-read-only")
def test_reading_works_where_nothing_can_be_written(ops: Ops, ask: Door) -> None:
    ask("queue", "add", "--task", "t", "--success-criteria", "s")
    seed_database(ops.root / "automation" / "old.db", row("ORCH-001"))
    folders = [path for path in [ops.root, *ops.root.rglob("*")] if path.is_dir() and not path.is_symlink()]
    with closed(*folders, mode=0o555), closed(ops.root / ".interlock" / "interlock.db", mode=0o444):
        for words in (
            ["status"],
            ["workers"],
            ["kpi"],
            ["--db", "automation/old.db", "status"],
            ["--db", LINK, "status"],
        ):
            answered = ops(*words, prefix=WITHOUT_PRIVILEGES)
            assert (answered.code, answered.err) == (0, ""), words
        before = whole(ops.root)
        for where in ([], ["--db", LINK], ["--db", "automation/old.db"]):
            one_line(ops(*where, "cancel", "--id", "ORCH-001", prefix=WITHOUT_PRIVILEGES), 1)
        assert whole(ops.root) == before


# --- locked -----------------------------------------------------------------------------------------------------------


@contextmanager
def held(path: Path, *statements: str) -> Generator[None]:
    """Hold a database locked, in a process of its own."""
    script = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement)
print("held", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path), *statements], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.communicate(timeout=10)


def test_reading_waits_for_an_exclusive_lock_and_then_answers(quick: Quick) -> None:
    path = quick.root / "old.db"
    seed_database(path, row("ORCH-001"))
    answers: list[str] = []
    with held(path, "BEGIN EXCLUSIVE", "UPDATE queue_items SET status = 'DONE'"):
        reader = threading.Thread(target=lambda: answers.append(quick("--db", str(path), "status").out))
        reader.start()
        reader.join(0.5)
        assert reader.is_alive()
    reader.join(20)
    assert answers[0].startswith("summary PENDING=1 ")


@pytest.mark.parametrize("words", [["status"], ["workers"], ["consistency-check"], ["kpi"], *CHANGES], ids=" ".join)
def test_a_lock_that_stays_is_told_and_nothing_is_changed(
    quick: Quick, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr(reading, "PATIENCE_SECONDS", 0.2)
    path = quick.root / "old.db"
    seed_database(path, row("ORCH-001", "FAILED"))
    with held(path, "BEGIN EXCLUSIVE"):
        before = whole(quick.root)
        one_line(quick("--db", str(path), *words), 1, str(path), "locked")
        assert whole(quick.root) == before
    assert quick("--db", str(path), "status").code == 0


def test_a_change_waits_for_another_writer_and_reading_does_not(ops: Ops, ask: Door) -> None:
    ask("queue", "add", "--task", "t", "--success-criteria", "s")
    with held(ops.root / LINK, "BEGIN IMMEDIATE"):
        waiting = subprocess.Popen(
            [sys.executable, "automation/orchestrator/ops.py", "--db", LINK, "cancel", "--id", "ORCH-001"],
            cwd=ops.root,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert ops("--db", LINK, "status").out.startswith("summary PENDING=1 ")
        assert waiting.poll() is None
    assert waiting.communicate(timeout=30) == ("ORCH-001 -> BLOCKED\n", None)
    until(lambda: not list((ops.root / ".interlock").glob("interlock.db-*")))


# --- ids --------------------------------------------------------------------------------------------------------------

HOSTILE = [
    "",
    " ",
    "-x",
    "--help",
    "-",
    "../../etc/passwd",
    "/etc/passwd",
    "orch-001",
    "ORCH-001 ",
    "ORCH-1",
    "ORCH-001\n",
    "ORCH-001|",
    "ORCH-001' OR '1'='1",
    "%",
    "*",
    "ORCH-００１",  # noqa: RUF001 - digits that only look alike
    "ORCH-001\udcff",
    "\x1b[2J",
    "\u202eORCH-001",
    "O" * 10_000,
]


@pytest.mark.parametrize("words", [["cancel"], ["retry"], ["replan", "--notes", "x"]], ids=" ".join)
@pytest.mark.proves("queue-trouble")
def test_an_id_that_is_not_there_is_not_found_by_any_trick(quick: Quick, store: Store, words: list[str]) -> None:
    store.fill(row("ORCH-001", "FAILED"), row("ORCH-002", "FAILED"))
    before, rows = whole(store.root), store.rows()
    for wrong in HOSTILE:
        answered = quick(*store.options, *words, "--id", wrong)
        one_line(answered, 1, "Row id not found:")
        assert len(answered.err) < 500
    assert (whole(store.root), store.rows()) == (before, rows)


def test_an_id_that_looks_like_an_option_or_a_path_is_found_where_it_is_one(quick: Quick, store: Store) -> None:
    for item in ("-x", "../../etc/passwd", "작업 1", "--help"):
        store.fill(row(item, "FAILED")) if store.in_database else None
    if not store.in_database:
        store.fill(*(row(item, "FAILED") for item in ("-x", "../../etc/passwd", "작업 1", "--help")))
    for item in ("-x", "../../etc/passwd", "작업 1", "--help"):
        assert quick(*store.options, "retry", "--id", item).out == f"{item} -> PENDING\n"
    assert {each["status"] for each in store.rows().values()} == {"PENDING"}


# --- notes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("notes", ["n" * 10_000, "a\0b", "half \udcff"], ids=["10 kB", "NUL", "no text"])
def test_notes_that_can_not_be_kept_are_refused(quick: Quick, store: Store, notes: str) -> None:
    store.fill(row("ORCH-001"))
    before, rows = whole(store.root), store.rows()
    answered = quick(*store.options, "replan", "--id", "ORCH-001", "--notes", notes)
    one_line(answered, 1, "notes")
    assert len(answered.err) < 500
    assert (whole(store.root), store.rows()) == (before, rows)


def test_what_could_deceive_a_terminal_is_shown_and_not_obeyed(quick: Quick, store: Store) -> None:
    store.fill(row("ORCH-001", "IN_PROGRESS", owner_session="\x1b[2J\u202eevil\x07", started_at_kst="\x9b31m"))
    for words in (["status"], ["workers"]):
        answered = quick(*store.options, *words)
        assert "\\x1b[2J\\u202eevil\\x07" in answered.out
        assert all(line.isprintable() for line in answered.out.splitlines())
