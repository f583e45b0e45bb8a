"""`ops.py` as a process: its streams, its surroundings, the interpreter that it hands over to, and what it imports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from interlock.queue import markdown, reports
from tests.cli.door import Door, environment
from tests.cli.stores import LINK, LOG, OPS, QUEUE, Ops, Quick, Store, document, one_line, row, whole

TO = ("sh", "-c", 'exec "$@" {}', "sh")


def redirected(where: str) -> tuple[str, ...]:
    return (*TO[:2], TO[2].format(where), TO[3])


# --- streams ----------------------------------------------------------------------------------------------------------


def test_an_answer_that_does_not_get_out_is_no_success(ops: Ops, store: Store) -> None:
    store.fill(row("ORCH-001"))
    for words in (["status"], ["workers"], ["--help"]):
        one_line(ops(*store.options, *words, prefix=redirected(">/dev/full")), 1, "No space left")
    one_line(ops(*store.options, "cancel", "--id", "ORCH-001", prefix=redirected(">/dev/full")), 1, "No space left")
    assert store.rows()["ORCH-001"]["status"] == "BLOCKED"


def test_without_a_standard_output_nothing_is_done(ops: Ops, store: Store) -> None:
    store.fill(row("ORCH-001"))
    before = whole(ops.root)
    for words in (["status"], ["cancel", "--id", "ORCH-001"], ["nope"]):
        one_line(ops(*store.options, *words, prefix=redirected(">&-")), 1, "there is no standard output")
    assert whole(ops.root) == before
    assert store.rows()["ORCH-001"]["status"] == "PENDING"


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full", "2>&- <&-"])
def test_an_error_that_nobody_can_hear_is_still_an_exit_code(ops: Ops, where: str) -> None:
    Store("markdown", ops.root).fill(row("ORCH-001"))
    for words, code in (
        (["status"], 0),
        (["nope"], 64),
        (["retry", "--id", "ORCH-001"], 1),
        (["consistency-check"], 3),
    ):
        answered = ops(*words, prefix=redirected(where))
        assert answered.code == code, (words, answered)
    assert ops("cancel", "--id", "ORCH-001", prefix=redirected(where)).out == "ORCH-001 -> BLOCKED\n"


def test_a_reader_that_has_gone_changes_no_exit_code(ops: Ops) -> None:
    Store("markdown", ops.root).fill(*(row(f"ORCH-{n:04d}", "IN_PROGRESS") for n in range(3000)))
    gone = ("bash", "-c", 'set -o pipefail; "$@" | true', "bash")
    assert [(said.code, said.err) for said in (ops("status", prefix=gone), ops("workers", prefix=gone))] == [
        (0, "")
    ] * 2
    answered = ops("consistency-check", prefix=gone)
    assert (answered.code, answered.err) == (3, "")


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C", "LANG": "C"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    ],
    ids=str,
)
def test_korean_is_read_and_written_in_any_locale(ops: Ops, store: Store, env: dict[str, str]) -> None:
    store.fill(row("작업-1", "IN_PROGRESS", owner_session="세션"), row("작업-2"))
    assert "- 작업-1 (P1) owner=세션 started=-\n" in ops(*store.options, "status", env=env).out
    answered = ops(*store.options, "replan", "--id", "작업-2", "--notes", "범위 축소 😀", env=env)
    assert (answered.out, answered.err) == ("작업-2 -> PENDING\n", "")
    assert store.rows()["작업-2"]["notes"] == "replan:범위 축소 😀"
    one_line(ops(*store.options, "cancel", "--id", "없음", env=env), 1, "Row id not found: 없음")


def test_an_accident_is_one_line_and_whoever_mends_it_sees_where(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object) -> list[str]:
        raise RuntimeError("stumbled\nand fell")

    monkeypatch.setattr(reports, "status_lines", stumble)
    one_line(quick("status"), 1, "this should not have happened", "stumbled and fell", "INTERLOCK_TRACEBACK")
    monkeypatch.setenv("INTERLOCK_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="stumbled"):
        quick("status")


# --- variables --------------------------------------------------------------------------------------------------------


def test_variables_move_the_defaults_of_queue_database_and_log(ops: Ops, tmp_path: Path) -> None:
    (tmp_path / "other.md").write_bytes(document([row("ORCH-001", "DONE")]))
    base = tmp_path / "base"
    (base / "db").mkdir(parents=True)
    (base / "logs").mkdir()
    (base / "logs" / "orch_runs.jsonl").write_text('{"event": "run_end", "command": "done", "exit_code": 0}\n')
    Store("sqlite", ops.root).fill(row("ORCH-001", "DONE"))
    shutil.copy(ops.root / LINK, base / "db" / "queue.db")
    Store("sqlite", ops.root).fill(row("ORCH-002"))
    queue = {"ORCH_QUEUE_MD": str(tmp_path / "other.md")}
    assert " DONE=1\n" in ops("status", env=queue).out
    assert ops("consistency-check", env=queue).code == 3
    assert ops("consistency-check", env={**queue, "ORCH_BASE_DIR": str(base)}).out == "consistency ok total=1\n"
    where = {**queue, "ORCH_DB_PATH": str(base / "db" / "queue.db"), "ORCH_BASE_DIR": "/nowhere"}
    assert ops("consistency-check", env=where).out == "consistency ok total=1\n"
    assert ops("kpi", env={"ORCH_BASE_DIR": str(base)}).out.startswith("kpi success_rate=100.00% ")
    log = str(base / "logs" / "orch_runs.jsonl")
    assert ops("kpi", env={"ORCH_LOG_PATH": log}).out.startswith("kpi success_rate=100.00% ")
    assert ops("kpi").out.startswith("kpi success_rate=- ")
    one_line(ops("status", env={"ORCH_QUEUE_MD": "/nowhere/QUEUE.md"}), 1, "/nowhere/QUEUE.md")
    one_line(ops("kpi", env={"ORCH_DB_PATH": "/nowhere/queue.db"}), 1, "/nowhere/queue.db")


def test_a_variable_that_a_command_does_not_use_can_not_break_it(ops: Ops, store: Store) -> None:
    """In the tool before this one a single empty variable crashed every command."""
    store.fill(row("ORCH-001", "FAILED"))
    names = (
        "ORCH_RETRY_BACKOFF",
        "ORCH_LEASE_SECONDS",
        "ORCH_MAX_ATTEMPTS",
        "ORCH_TZ_OFFSET",
        "ORCH_KPI_STALE_MINUTES",
    )
    broken = {
        **dict.fromkeys(names, "x"),
        "ORCH_QUEUE_MD": "",
        "ORCH_DB_PATH": "",
        "ORCH_BASE_DIR": "",
        "ORCH_TOKEN": "",
    }
    for words in (["status"], ["workers"], ["kpi"], ["retry", "--id", "ORCH-001"]):
        assert ops(*store.options, *words, env=broken).code == 0, words


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "9" * 30, "５"], ids=ascii)  # noqa: RUF001 - no digit of ours
def test_a_broken_number_is_named_by_its_variable(ops: Ops, value: str) -> None:
    one_line(ops("status", env={"ORCH_TOP_IN_PROGRESS": value}), 64, "ORCH_TOP_IN_PROGRESS")
    assert ops("workers", env={"ORCH_TOP_IN_PROGRESS": value}).code == 0


@pytest.mark.parametrize("store", ["markdown", "sqlite"], indirect=True)
def test_who_acts_and_why_stands_in_the_log(ops: Ops, ask: Door, store: Store) -> None:
    store.fill(row("ORCH-001"), row("ORCH-002"))
    before = len(ask.json("evidence", "list"))
    ops(*store.options, "cancel", "--id", "ORCH-001", env={"INTERLOCK_CORRELATION_ID": "ticket-7"})
    ops(*store.options, "cancel", "--id", "ORCH-002", env={"INTERLOCK_RUN": "r_01ARZ3NDEKTSV4RRFFQ69G5FAV"})
    first, second = ask.json("evidence", "list")[before:]
    assert (first["subject"], first["correlation_id"]) == ("ORCH-001", "ticket-7")
    assert first["kind"] == second["kind"] == ("item.cancelled" if store.in_database else "markdown.changed")
    assert first["principal"].startswith("human:")
    assert second["principal"] == "agent:r_01ARZ3NDEKTSV4RRFFQ69G5FAV"
    one_line(
        ops(*store.options, "cancel", "--id", "ORCH-001", env={"INTERLOCK_CORRELATION_ID": "a b"}), 1, "correlation"
    )


def test_a_queue_outside_of_the_workspace_is_nobody_s_business(ops: Ops, ask: Door, tmp_path: Path) -> None:
    (tmp_path / "other.md").write_bytes(document([row("ORCH-001")]))
    before = ask.log_size()
    assert ops("--queue", str(tmp_path / "other.md"), "cancel", "--id", "ORCH-001").out == "ORCH-001 -> BLOCKED\n"
    assert ask.log_size() == before


# --- the entry point --------------------------------------------------------------------------------------------------


def test_a_workspace_that_was_moved_answers_where_it_is(ops: Ops, ask: Door, tmp_path: Path) -> None:
    both = [Store("markdown", ops.root), Store("sqlite", ops.root)]
    for store in both:
        store.fill(row("ORCH-001"))
    moved = Ops(ops.root.rename(tmp_path / "moved here"))
    del ask
    assert moved("consistency-check").out == "consistency ok total=1\n"
    for store in ([], ["--db", LINK]):
        assert moved(*store, "cancel", "--id", "ORCH-001").out == "ORCH-001 -> BLOCKED\n"
        assert moved(*store, "status").err == ""
    assert not ops.root.exists()


def test_a_link_to_the_entry_point_leads_into_its_workspace(ops: Ops, tmp_path: Path) -> None:
    Store("markdown", ops.root).fill(row("ORCH-001"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ops").symlink_to(ops.root / OPS)
    done = subprocess.run(
        ["ops", "status"],
        cwd="/",
        env=environment(PATH=f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("summary PENDING=1 ")


def test_an_interpreter_that_is_gone_is_told_with_what_brings_it_back(ops: Ops, ask: Door) -> None:
    script = ops.root / OPS
    script.write_text(script.read_text().replace(f"PYTHON = {sys.executable!r}", "PYTHON = '/nowhere/bin/python'"))
    answered = ops("status")
    assert (answered.code, answered.out) == (1, "")
    assert answered.err.count("\n") == 1
    assert "/nowhere/bin/python" in answered.err
    assert f"interlock init {ops.root}" in answered.err
    assert ask("init", str(ops.root)).code == 0
    assert ops("status").code == 0


def test_an_interpreter_without_interlock_is_one_line(ops: Ops, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    script = ops.root / OPS
    script.write_text(script.read_text().replace(sys.executable, str(tmp_path / "bare" / "bin" / "python")))
    answered = ops("status")
    assert (answered.code, answered.out, answered.err.count("\n")) == (1, "", 1)
    assert "interlock" in answered.err


def test_files_that_lie_where_it_is_called_are_not_imported(ops: Ops, tmp_path: Path) -> None:
    """The workspace of an agent may hold a module of any name."""
    for name in ("argparse", "interlock", "os", "sqlite3"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(99)")
    env = {"PYTHONPATH": str(tmp_path)} if shutil.which("true") else {}
    done = subprocess.run(
        [sys.executable, "-I", str(ops.root / OPS), "status"],
        cwd=tmp_path,
        env=environment(**env),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


# --- a window of the database -----------------------------------------------------------------------------------------


@pytest.fixture
def window(ask: Door) -> Path:
    """The workspace's Markdown queue, following its database."""
    for number in range(2):
        ask("queue", "add", "--task", f"t{number}", "--success-criteria", "s")
    assert ask("queue", "render", "--own").code == 0
    return ask.root / QUEUE


def test_of_a_window_the_database_is_asked(ops: Ops, window: Path) -> None:
    assert ops("status").out.startswith("summary PENDING=2 ")
    assert ops("cancel", "--id", "ORCH-001").out == "ORCH-001 -> BLOCKED\n"
    assert ops("status").out.startswith("summary PENDING=1 IN_PROGRESS=0 BLOCKED=1 ")
    assert ops("--db", LINK, "status").out == ops("status").out
    assert ops("consistency-check").out == "consistency ok total=2\n"
    assert "| ORCH-001 | BLOCKED | P1 | t0 | s | - | - | - | cancelled_by_operator |\n" in window.read_text()
    one_line(ops("retry", "--id", "ORCH-001"), 1, "in db mode: ORCH-001 (BLOCKED)")
    assert ops("workers").out == "workers: none\n"


def test_a_window_is_known_by_its_first_lines(ops: Ops, window: Path) -> None:
    """However many rows there are, and whatever happened to them, the database answers."""
    with window.open("ab") as file:
        file.truncate(40_000_000)
    assert ops("status", seconds=5).out.startswith("summary PENDING=2 ")
    one_line(ops("--queue", str(window), "status"), 1, "40000000 bytes")


def test_a_queue_that_only_speaks_of_a_window_owns_its_rows(ops: Ops) -> None:
    banner = markdown.BANNER.decode()
    (ops.root / QUEUE).write_bytes(document([row("ORCH-001", task=banner.replace("|", "/"))]) + banner.encode() + b"\n")
    assert ops("status").out.startswith("summary PENDING=1 ")
    assert ops("cancel", "--id", "ORCH-001").out == "ORCH-001 -> BLOCKED\n"


def test_a_window_is_not_written_by_its_name(ops: Ops, window: Path) -> None:
    before = window.read_bytes()
    for words in (["cancel", "--id", "ORCH-001"], ["replan", "--id", "ORCH-001", "--notes", "x"]):
        one_line(ops("--queue", str(window), *words), 1, "is rendered from the database")
    assert window.read_bytes() == before
    assert ops("--queue", str(window), "status").out.startswith("summary PENDING=2 ")


def test_a_window_that_somebody_changed_is_left_alone_and_told_until_it_is_renewed(
    ops: Ops, ask: Door, window: Path
) -> None:
    window.write_bytes(window.read_bytes().replace(b"| t0 |", b"| by hand |"))
    by_hand = window.read_bytes()
    for item in ("ORCH-001", "ORCH-002"):
        answered = ops("cancel", "--id", item)
        assert (answered.code, answered.out) == (0, f"{item} -> BLOCKED\n")
        assert "QUEUE.md follows the database and was changed by hand" in answered.err
    assert window.read_bytes() == by_hand
    assert ask("queue", "render", "--own").code == 0
    assert ops("consistency-check").code == 0
    assert ops("replan", "--id", "ORCH-001", "--notes", "x").err == ""


# --- what it imports --------------------------------------------------------------------------------------------------

IMPORTED = """
import sys
before = set(sys.modules)
import sqlite3
by_sqlite = set(sys.modules) - before
for name in by_sqlite:
    del sys.modules[name]
from interlock.cli.ops import main
code, found = main(sys.argv[1:]), set(sys.modules) - before
import json
print(json.dumps([code, sorted(found), sorted(by_sqlite)]), file=sys.stderr)
"""
HEAVY = {
    "asyncio",
    "dataclasses",
    "datetime",
    "decimal",
    "hashlib",
    "inspect",
    "json",
    "logging",
    "pathlib",
    "random",
} | {
    "shutil",
    "subprocess",
    "tempfile",
    "tomllib",
    "urllib",
    "cryptography",
    "psycopg",
    "rich",
    "typer",
}
LIGHT = {
    "interlock",
    "interlock.cli",
    "interlock.cli.ops",
    "interlock.cli.streams",
    "interlock.kernel",
    "interlock.kernel.errors",
    "interlock.queue",
    "interlock.queue.errors",
    "interlock.queue.markdown",
    "interlock.queue.numbers",
    "interlock.queue.reports",
}
FOR_SQLITE = {
    "interlock.reading",
    "interlock.storage",
    "interlock.storage.errors",
    "interlock.storage.sqlite",
    "interlock.storage.sqlite.reading",
}


def imported(root: Path, *words: str) -> tuple[set[str], set[str]]:
    """Return what a call imports, and what `import sqlite3` alone would."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", IMPORTED, str(root), *words], cwd=root, capture_output=True, text=True, check=True
    )
    code, modules, by_sqlite = json.loads(done.stderr)
    assert code == 0
    return set(modules), set(by_sqlite)


@pytest.mark.parametrize("words", [["status"], ["workers"]], ids=" ".join)
def test_status_and_workers_import_next_to_nothing(workspace: Path, words: list[str]) -> None:
    """They run every two seconds on somebody's screen: every import is felt, and none comes back unnoticed."""
    Store("markdown", workspace).fill(row("ORCH-001", "IN_PROGRESS"))
    Store("sqlite", workspace).fill(row("ORCH-001", "IN_PROGRESS"))
    file, by_sqlite = imported(workspace, *words)
    assert {name for name in file if name.startswith("interlock")} == LIGHT
    assert not file & (HEAVY | {"sqlite3"})
    database, _ = imported(workspace, "--db", LINK, *words)
    assert {name for name in database if name.startswith("interlock")} == LIGHT | FOR_SQLITE
    assert not database & (HEAVY - by_sqlite)
    assert database - file - FOR_SQLITE <= by_sqlite | {"stat"}


def test_of_a_window_they_import_no_more_than_of_the_database(ops: Ops, window: Path) -> None:
    del window
    database, _ = imported(ops.root, "--db", LINK, "status")
    assert imported(ops.root, "status")[0] <= database


def test_what_is_logged_of_work_in_a_window_is_read_by_kpi(ops: Ops, ask: Door, window: Path) -> None:
    del window
    taken = ask.json("queue", "claim", "--owner-session", "w")["id"]
    ask("queue", "complete", taken, "--owner-session", "w")
    assert (ops.root / LOG).read_text().count('"event":"run_end"') == 1
    assert ops("kpi").out.startswith("kpi success_rate=100.00% ")
