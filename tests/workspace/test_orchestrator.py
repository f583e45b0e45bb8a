"""The places of the seed's tools: what `init` makes there, what it takes over, what it leaves alone."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from interlock.queue import markdown
from tests.cli.door import WITHOUT_PRIVILEGES, Door, call, closed, python, said
from tests.cli.stores import LINK, OPS, QUEUE, Ops, document, row, seed_database, whole
from tests.workspace.test_init import KILLED

ROWS = [
    row("ORCH-007", "IN_PROGRESS", "P0", owner_session="w", started_at_kst="2026-01-01 10:00", task="작업"),
    row("ORCH-041", "FAILED", notes="전에 | retry_not_before=1"),
    row("T-1", "DONE"),
]


def made(root: Path, *rows: dict[str, str], older: bool = False) -> bytes:
    """Put a database of the seed's tools where they keep it."""
    (root / LINK).parent.mkdir(parents=True)
    return seed_database(root / LINK, *rows, older=older)


def statuses(answered: dict[str, Any]) -> dict[str, str]:
    """Return what `init` did, by path within the workspace; it tells each thing once."""
    done = {str(Path(item["path"]).relative_to(answered["id"])): str(item["status"]) for item in answered["items"]}
    assert len(done) == len(answered["items"])
    return done


def test_init_makes_the_places_and_tells_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = statuses(said(capsys, "init", str(tmp_path / "new"), "--json").json)
    for name in (OPS, QUEUE, LINK, "automation/orchestrator/logs", "automation/orchestrator/db"):
        assert done[name] == "created", name
    root = tmp_path / "new"
    assert stat.S_IMODE((root / OPS).stat().st_mode) == 0o755
    assert (root / LINK).resolve() == root / ".interlock" / "interlock.db"
    assert not (root / LINK).readlink().is_absolute()
    assert markdown.read(root / QUEUE).rows == ()


def test_a_workspace_on_postgresql_has_no_link_to_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], postgres_url: str
) -> None:
    done = statuses(said(capsys, "init", str(tmp_path / "new"), "--database", postgres_url, "--json").json)
    assert done[OPS] == done[QUEUE] == "created"
    assert LINK not in done
    assert not (tmp_path / "new" / LINK).is_symlink()


@pytest.mark.parametrize("content", ["", "#!/usr/bin/env python3\nprint('mine')\n", "\xff\xfe"])
def test_an_entry_point_that_somebody_wrote_is_kept(ask: Door, content: str) -> None:
    (ask.root / OPS).write_text(content, encoding="latin-1")
    done = statuses(ask.json("init", str(ask.root)))
    assert done[OPS] == "kept"
    assert (ask.root / OPS).read_text(encoding="latin-1") == content


def test_an_entry_point_of_ours_that_somebody_changed_is_kept(ask: Door) -> None:
    (ask.root / OPS).write_text((ask.root / OPS).read_text() + "# mine\n")
    assert statuses(ask.json("init", str(ask.root)))[OPS] == "kept"
    assert (ask.root / OPS).read_text().endswith("# mine\n")


@pytest.mark.parametrize("old", ["/usr/old/python3", "/it's/there", "back\\slash"])
def test_an_entry_point_that_names_another_interlock_is_brought_up_to_date(ask: Door, old: str) -> None:
    text = (ask.root / OPS).read_text()
    (ask.root / OPS).write_text(text.replace(repr(sys.executable), repr(old)))
    (ask.root / OPS).chmod(0o600)
    assert statuses(ask.json("init", str(ask.root)))[OPS] == "updated"
    assert (ask.root / OPS).read_text() == text
    assert stat.S_IMODE((ask.root / OPS).stat().st_mode) == 0o755
    assert statuses(ask.json("init", str(ask.root)))[OPS] == "kept"


def test_the_entry_point_runs_on_any_python_there_may_be(workspace: Path) -> None:
    """It is read by whatever `python3` comes first on somebody's PATH."""
    text = (workspace / OPS).read_text()
    for word in ('f"', "f'", ":=", "match ", "from __future__", "pathlib"):
        assert word not in text
    assert len(text.splitlines()) < 15


def test_a_queue_that_is_there_is_kept_to_the_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / QUEUE).parent.mkdir(parents=True)
    content = document(ROWS).replace(b" | retry", b" / retry")
    (tmp_path / QUEUE).write_bytes(content)
    assert statuses(said(capsys, "init", str(tmp_path), "--json").json)[QUEUE] == "kept"
    assert (tmp_path / QUEUE).read_bytes() == content
    assert Ops(tmp_path)("status").out.startswith("summary PENDING=0 IN_PROGRESS=1 BLOCKED=0 FAILED=1 DONE=1")


# --- the database of earlier tools ------------------------------------------------------------------------------------


@pytest.mark.parametrize("older", [False, True], ids=["last columns", "first columns"])
def test_the_database_of_earlier_tools_becomes_the_workspace_s(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, older: bool
) -> None:
    made(tmp_path, *ROWS, older=older)
    done = statuses(said(capsys, "init", str(tmp_path), "--json").json)
    assert (done[".interlock/interlock.db"], done[LINK]) == ("adopted", "created")
    assert (tmp_path / LINK).resolve() == tmp_path / ".interlock" / "interlock.db"
    assert stat.S_IMODE((tmp_path / ".interlock" / "interlock.db").stat().st_mode) == 0o600
    ask, ops = Door(tmp_path, capsys), Ops(tmp_path)
    found = {item["id"]: item for item in ask.json("queue", "list")}
    assert {name: found["ORCH-007"][name] for name in ("status", "task", "owner_session", "started_at_kst")} == {
        "status": "IN_PROGRESS",
        "task": "작업",
        "owner_session": "w",
        "started_at_kst": "2026-01-01 10:00",
    }
    assert found["ORCH-041"]["notes"] == "전에 | retry_not_before=1"
    assert ops("--db", LINK, "status").out.startswith("summary PENDING=0 IN_PROGRESS=1 BLOCKED=0 FAILED=1 DONE=1")
    with closing(sqlite3.connect(tmp_path / LINK)) as connection:
        history = connection.execute("SELECT item_id, event_type FROM queue_events").fetchall()
    assert history == [(each["id"], "added") for each in ROWS]
    assert ask.json("queue", "add", "--task", "t", "--success-criteria", "s")["id"] == "ORCH-042"
    assert ask("evidence", "head").code == ask("evidence", "verify").code == 0


def test_what_was_taken_over_is_kept_as_it_was_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, *ROWS)
    assert said(capsys, "init", str(tmp_path)).code == 0
    (backup,) = (tmp_path / LINK).parent.glob("*.backup")
    with closing(sqlite3.connect(backup)) as connection:
        assert [each[0] for each in connection.execute("SELECT id FROM queue_items")] == [each["id"] for each in ROWS]
        assert {each[0] for each in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")} == {
            "queue_items",
            "queue_events",
            "sqlite_sequence",
        }


def test_taking_over_twice_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, *ROWS)
    assert said(capsys, "init", str(tmp_path)).code == 0
    before = whole(tmp_path)
    assert set(statuses(said(capsys, "init", str(tmp_path), "--json").json).values()) == {"kept"}
    assert whole(tmp_path) == before


@pytest.mark.parametrize(
    ("module", "target", "name"),
    [
        ("interlock.founding", "module", "_adopt"),
        ("interlock.storage.sqlite.adoption", "module", "prepare"),
        ("interlock.storage.sqlite.adoption", "module", "finish"),
        ("interlock.workspace.orchestrator", "module.Path", "rename"),
        ("interlock.workspace.orchestrator", "module.Path", "symlink_to"),
        ("interlock.workspace.service", "module", "make_keys"),
    ],
)
def test_an_init_that_was_killed_while_it_took_over_is_completed_by_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], module: str, target: str, name: str
) -> None:
    made(tmp_path / "new", *ROWS)
    done = python(KILLED.format(module=module, target=target, name=name), "init", "new", at=tmp_path)
    assert done.returncode == 9, done.stderr
    assert said(capsys, "init", str(tmp_path / "new")).code == 0
    ask, ops = Door(tmp_path / "new", capsys), Ops(tmp_path / "new")
    assert {item["id"] for item in ask.json("queue", "list")} == {each["id"] for each in ROWS}
    assert (tmp_path / "new" / LINK).is_symlink()
    assert ops("--db", LINK, "cancel", "--id", "ORCH-007").out == "ORCH-007 -> BLOCKED\n"
    assert ask("evidence", "head").code == ask("evidence", "verify").code == ask("windows", "verify").code == 0


def test_a_second_database_of_that_name_is_kept_as_it_is(ask: Door) -> None:
    """A workspace that has its own database takes no other one over."""
    (ask.root / LINK).unlink()
    content = seed_database(ask.root / LINK, *ROWS)
    done = statuses(ask.json("init", str(ask.root)))
    assert (done[".interlock/interlock.db"], done[LINK]) == ("kept", "kept")
    assert (ask.root / LINK).read_bytes() == content
    assert ask.json("queue", "list") == []


def test_nothing_is_taken_over_in_the_place_of_a_database_that_was_lost(ask: Door) -> None:
    for path in (ask.root / ".interlock").glob("interlock.db*"):
        path.unlink()
    (ask.root / LINK).unlink()
    content = seed_database(ask.root / LINK, *ROWS)
    ask("init", str(ask.root)).refuses(2, "ledger.jsonl")
    assert (ask.root / LINK).read_bytes() == content


@pytest.mark.parametrize("content", [b"this is no database" * 300, b"SQLite format 3\0" + b"\xa5" * 8000])
def test_what_can_not_be_taken_over_is_refused_and_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / LINK).parent.mkdir(parents=True)
    (tmp_path / LINK).write_bytes(content)
    for _ in range(2):
        answered = said(capsys, "init", str(tmp_path))
        answered.refuses(answered.code, LINK)
        assert answered.code in {1, 2}
    assert (tmp_path / LINK).read_bytes() == content
    (tmp_path / LINK).unlink()
    assert said(capsys, "init", str(tmp_path)).code == 0


def test_an_unknown_status_is_refused_before_anything_is_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = made(tmp_path, row("ORCH-001", "WAITING"))
    said(capsys, "init", str(tmp_path)).refuses(2, LINK, "ORCH-001", "WAITING")
    assert (tmp_path / LINK).read_bytes() == content


def test_an_empty_file_of_that_name_is_in_nobody_s_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The tool before this one left one behind whenever it found no database."""
    (tmp_path / LINK).parent.mkdir(parents=True)
    (tmp_path / LINK).touch()
    assert said(capsys, "init", str(tmp_path)).code == 0
    assert Ops(tmp_path)("--db", LINK, "status").code == 0


def test_a_database_that_somebody_uses_is_not_taken_from_under_him(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interlock.storage.sqlite.reading.PATIENCE_SECONDS", 0.2)
    content = made(tmp_path, *ROWS)
    with closing(sqlite3.connect(tmp_path / LINK, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        answered = said(capsys, "init", str(tmp_path))
        answered.refuses(5, LINK, "locked")
        connection.execute("ROLLBACK")
    assert (tmp_path / LINK).read_bytes() == content
    assert said(capsys, "init", str(tmp_path)).code == 0


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    made(tmp_path, *ROWS)
    before = (tmp_path / LINK).read_bytes()
    with closed((tmp_path / LINK).parent, mode=0o555):
        answered = call("init", str(tmp_path), at=tmp_path, prefix=WITHOUT_PRIVILEGES)
        answered.refuses(answered.code, str(tmp_path / LINK))
    assert (tmp_path / LINK).read_bytes() == before
    assert call("init", str(tmp_path), at=tmp_path).code == 0


def test_two_inits_at_once_take_it_over_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, *ROWS)
    both = [
        subprocess.Popen([sys.executable, "-m", "interlock.cli.main", "init", str(tmp_path)], stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [process.communicate(timeout=45)[1] for process in both] == [b"", b""]
    ask = Door(tmp_path, capsys)
    assert said(capsys, "init", str(tmp_path)).code == 0
    assert len(ask.json("queue", "list")) == len(ROWS)
