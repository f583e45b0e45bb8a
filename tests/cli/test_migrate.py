"""`interlock migrate`: a workspace in which everything has happened goes on in PostgreSQL as if nothing were."""

from __future__ import annotations

import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from interlock.app import Interlock
from interlock.evidence.tree import Frontier
from interlock.queue.models import Executor, ItemStatus
from interlock.settings import SettingsInvalid, with_database
from tests.cli.door import CHECKOUT, Door, call, environment, files
from tests.cli.lived import Lived
from tests.conftest import until

SCRIPT = Path(__file__).with_name("migrate_process.py")
STEPS = (
    "held",
    "verified",
    "copying queue_items",
    "copied",
    "told",
    "committed",
    "sealed",
    "pointed",
    "put away",
    "unlinked",
)


@pytest.fixture
def old(lived: Lived, capsys: pytest.CaptureFixture[str]) -> Door:
    """The command line of the workspace that moves."""
    return Door(lived.root, capsys)


def kinds(root: Path) -> list[str]:
    with closing(Interlock.at(root)) as house:
        return [str(event["kind"]) for _, event in house.event_log.events(0, 100_000)]


def state(ask: Door) -> list[object]:
    """Return what people see of everything."""
    shown = (
        "queue list",
        "draft list",
        "approved list",
        "run list",
        "token list",
        "plan show",
        "queue status",
    )
    return [ask.json(*words.split()) for words in shown]


def head_of(ask: Door, tmp_path: Path) -> Path:
    """Save the log's signed head as an auditor does."""
    with closing(Interlock.at(ask.root)) as house:
        (tmp_path / "head").write_text(house.evidence.head().note)
    ask.json("windows", "rebuild")
    return tmp_path / "head"


# --- everything goes on -----------------------------------------------------------------------------------------------


@pytest.mark.proves("fleet-moved")
def test_everything_is_as_before_and_goes_on(old: Door, lived: Lived, postgres_url: str, tmp_path: Path) -> None:
    saved = head_of(old, tmp_path)
    before, size = state(old), len(kinds(old.root))
    moved = old.json("migrate", "--to", postgres_url)
    assert moved["status"] == "moved"
    assert moved["size"] == size
    assert state(old) == before
    assert kinds(old.root)[size:] == ["workspace.migrated"]

    approved = old.json("draft", "approve", lived["to approve"])["id"]
    assert old.json("run", "create", approved)["status"] == "pending"
    assert old.json("run", "retry", lived["failed"])["status"] == "pending"
    assert old.json("run", "cancel", lived["to cancel"])["status"] == "cancelled"
    assert old.json("queue", "add", "--task", "later", "--success-criteria", "done")["id"].startswith("ORCH-")
    assert call("worker", "--once", at=old.root).code == 0
    assert old.json("run", "list", "--limit", "1")

    verified = old.json("evidence", "verify", "--since", str(saved))
    assert verified["entries"] > size
    assert old("windows", "verify").code == 0
    check = old("evidence", "check", str(lived.outside / "proof"), str(lived.outside / "entry"))
    assert check.code == 0, check


def test_loops_pipelines_and_what_other_tools_keep_are_thought_of(old: Door, postgres_url: str) -> None:
    assert old("pipeline", "run", "agent-self-heal").code == 0
    old.json("loop", "watch", "--repo", str(old.root))
    with closing(sqlite3.connect(old.root / ".interlock" / "interlock.db")) as connection, connection:
        connection.execute("CREATE TABLE theirs (what)")
        connection.execute("INSERT INTO theirs VALUES ('a'), ('b')")
        connection.execute("ALTER TABLE queue_items ADD COLUMN colour TEXT")
    lists = (["pipeline", "runs"], ["loop", "watches"], ["alert", "list"], ["deployment", "list"])
    before = [old.json(*words) for words in lists]
    moved = old.json("migrate", "--to", postgres_url)
    assert moved["left_behind"].keys() == {"theirs", "queue_items.colour"}
    assert moved["left_behind"]["theirs"] == 2
    assert [old.json(*words) for words in lists] == before
    assert before[0]
    assert before[1]
    assert old("pipeline", "run", "agent-self-heal").code == 0
    with closing(Interlock.at(old.root)) as house:
        _, event = next(iter(house.event_log.events(moved["size"], 1)))
    assert event["kind"] == "workspace.migrated"
    assert event["payload"] == {"from": "sqlite", "size": moved["size"], "root": moved["root"]}


def test_a_frozen_workspace_stays_frozen(old: Door, postgres_url: str) -> None:
    old.json("panic", "on", "--reason", "look")
    old.json("migrate", "--to", postgres_url)
    old("draft", "create", "--prompt", "more").refuses(4, "panic mode is on")
    old.json("panic", "release", "--reason", "looked")
    assert old.draft()


def test_the_settings_keep_their_words_and_the_old_file_its_rows(
    old: Door, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = old.root / "interlock.toml"
    settings.write_text("# ours\n[queue] # and ours\nlease_seconds = 77\n\n[approval]\nfour_eyes = false # why\n")
    settings.chmod(0o640)
    monkeypatch.setenv("INTERLOCK_TEST_WORD", "sesame")
    address = postgres_url.replace("postgres@", "postgres:${INTERLOCK_TEST_WORD}@")
    moved = old.json("migrate", "--to", address)
    text = settings.read_text()
    assert text.startswith("# ours\n[queue] # and ours\nlease_seconds = 77\n\n[approval]\nfour_eyes = false # why\n")
    assert text.endswith(f'\n[database]\nurl = "{address}"\n')
    assert "sesame" not in text
    assert settings.stat().st_mode & 0o777 == 0o640
    kept = Path(moved["kept"])
    assert kept.name == f"interlock.db.migrated-{moved['size']}"
    assert old.json("queue", "list", "--db", str(kept))
    old("queue", "add", "--db", str(kept), "--task", "t", "--success-criteria", "s").refuses(
        4, "was moved to PostgreSQL"
    )
    assert not (old.root / ".interlock" / "interlock.db").exists()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "\n[database]\nurl = 'U'\n"),
        ("[queue]\nx = 1", "[queue]\nx = 1\n\n[database]\nurl = 'U'\n"),
        ("[database] # where\n[queue]\nx = 1\n", "[database] # where\nurl = 'U'\n[queue]\nx = 1\n"),
        ("[ database ]\n# none\n  url = ''\n[queue]\n", "[ database ]\n# none\nurl = 'U'\n[queue]\n"),
        ("[database]", "[database]\nurl = 'U'\n"),
    ],
)
def test_the_address_is_put_into_the_settings_and_nothing_else_is_touched(before: str, after: str) -> None:
    assert with_database(before, "U").replace('"', "'") == after


@pytest.mark.parametrize("text", ["database = {}\n", "database.url = ''\n", 'a = """\n[database]\n"""\n'])
def test_settings_written_in_another_way_are_never_spoilt(text: str) -> None:
    with pytest.raises(SettingsInvalid, match="can not be put"):
        with_database(text, "U")


def test_the_queue_s_old_name_says_where_to_look(old: Door, postgres_url: str) -> None:
    link = old.root / "automation" / "orchestrator" / "db" / "queue.db"
    assert link.is_symlink()
    old.json("migrate", "--to", postgres_url)
    assert not link.is_symlink()
    ops = [sys.executable, str(old.root / "automation" / "orchestrator" / "ops.py")]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*ops, *words], env=environment(), capture_output=True, text=True, check=False)

    assert run("consistency-check").returncode in {0, 3}
    told = run("--db", str(link), "status")
    assert told.returncode == 1
    assert "was moved to PostgreSQL; leave --db" in told.stderr
    assert not link.exists()


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_dry_run_changes_nothing(old: Door, postgres_url: str) -> None:
    before = files(old.root)
    told = old.json("migrate", "--to", postgres_url, "--dry-run")
    assert told["status"] == "would_move"
    assert told["rows"] == sum(told["tables"].values()) > 100
    assert told["held"] == 1
    assert files(old.root) == before
    moved = old.json("migrate", "--to", postgres_url)["tables"]
    follows = {"queue_events", "queue_minute", "projection", "event"}  # what follows the log is caught up before
    assert {name: moved[name] for name in moved.keys() - follows} == {
        name: told["tables"][name] for name in moved.keys() - follows
    }


@pytest.mark.parametrize(
    ("address", "code", "says"),
    [
        ("", 2, "--to is empty"),
        ("mysql://x/y", 2, "postgresql://"),
        ("postgresql://me:secret@localhost/x", 2, "holds a password"),
        ("postgresql://me:${INTERLOCK_NOT_SET}@localhost/x", 2, "is not set"),
        ("postgresql://me:${SPACED}@localhost/x", 1, "address can not be read"),
        ("postgresql://me@/x?host=/nowhere", 5, "does not answer"),
    ],
)
def test_an_address_that_is_none_changes_nothing(
    old: Door, monkeypatch: pytest.MonkeyPatch, address: str, code: int, says: str
) -> None:
    monkeypatch.setenv("SPACED", "open sesame")
    before = kinds(old.root)
    refused = old("migrate", "--to", address)
    refused.refuses(code, says)
    assert "sesame" not in refused.err
    assert kinds(old.root) == before


def test_an_agent_moves_nothing(old: Door, postgres_url: str) -> None:
    old("--as", "agent:r_01ARZ3NDEKTSV4RRFFQ69G5FAV", "migrate", "--to", postgres_url).refuses(4, "only a human may")


def test_a_workspace_that_was_moved_is_not_moved_again(old: Door, postgres_url: str) -> None:
    old.json("migrate", "--to", postgres_url)
    old("migrate", "--to", postgres_url).refuses(4, "nothing left to move")
    old("migrate", "--to", "postgresql://localhost/other").refuses(4, "the workspace's database is")


def test_a_ledger_that_does_not_verify_is_not_moved(old: Door, postgres_url: str) -> None:
    ledger = old.root / "storage" / "db" / "evidence" / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b"draft.created", b"draft.kreated", 1))
    assert old("migrate", "--to", postgres_url).code >= 10
    assert (old.root / ".interlock" / "interlock.db").exists()
    assert old.draft()


def test_a_worker_that_works_stands_in_the_way(old: Door, postgres_url: str) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-m", "interlock.cli.main", "worker", "--workspace", str(old.root)],
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        assert worker.stderr is not None
        while b" works; stop it" not in worker.stderr.readline():
            assert worker.poll() is None
        with closing(Interlock.at(old.root)) as house:

            def works() -> bool:
                with house.queue_look() as queue:
                    return not any(
                        item.executor is Executor.INTERLOCK and item.status is ItemStatus.PENDING
                        for item in queue.list()
                    )

            until(works, 30)
        old("migrate", "--to", postgres_url).refuses(4, "in use by another process", "stop its workers")
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=30)
    assert old.json("migrate", "--to", postgres_url)["status"] == "moved"


# --- killed at every step ---------------------------------------------------------------------------------------------


def killed_at(root: Path, url: str, step: str, sign: Path) -> None:
    """Move, and be killed as `kill -9` does when it has come to a step."""
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), str(root), url, step, str(sign)], env=environment(), cwd=CHECKOUT
    ) as process:
        until(lambda: sign.exists() or process.poll() is not None, 45)
        assert sign.exists(), f"it ended with {process.poll()} before it came to {step}"
        process.kill()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.proves("fleet-moved")
def test_killed_at_any_step_the_workspace_works_and_the_next_move_ends_it(
    lived: Lived, capsys: pytest.CaptureFixture[str], postgres_url: str, tmp_path: Path, step: str
) -> None:
    ask = Door(lived.root, capsys)
    before = ask.json("queue", "list")
    killed_at(ask.root, postgres_url, step, tmp_path / "sign")
    assert ask.json("queue", "list") == before
    words = ("queue", "add", "--task", "after", "--success-criteria", "done")
    added = ask("--json", *words)
    if step == "sealed":
        added.refuses(4, "was moved to PostgreSQL", "interlock migrate --to")
    else:
        assert added.code == 0, added
    again = ask("--json", "migrate", "--to", postgres_url)
    if step == "unlinked":
        again.refuses(4, "nothing left to move")
    elif step in {"sealed", "pointed", "put away"}:
        assert again.json["status"] == "finished"
    else:
        assert again.json["status"] == "moved"
    if step == "sealed":
        assert ask(*words).code == 0
    assert [item["task"] for item in ask.json("queue", "list")].count("after") == 1
    assert kinds(ask.root).count("workspace.migrated") == 1
    assert ask("windows", "verify").code == 0
    assert not (ask.root / ".interlock" / "interlock.db").exists()
    assert not (ask.root / "automation" / "orchestrator" / "db" / "queue.db").is_symlink()
    with closing(Interlock.at(ask.root)) as house:
        log = house.event_log
        assert Frontier().extend(log.leaf_hashes(log.size())) == log.frontier()
        house.evidence.head()
    assert ask("windows", "rebuild").code == 0
    assert ask("evidence", "verify").code == 0


def test_a_move_that_was_sealed_ends_only_where_it_went(
    lived: Lived, capsys: pytest.CaptureFixture[str], postgres_url: str, postgres_server: str, tmp_path: Path
) -> None:
    ask = Door(lived.root, capsys)
    killed_at(ask.root, postgres_url, "sealed", tmp_path / "sign")
    ask("migrate", "--to", postgres_server).refuses(1, "was moved elsewhere")
    assert ask.json("migrate", "--to", postgres_url)["status"] == "finished"


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_commands_of_the_page_work(old: Door, postgres_url: str) -> None:
    page = (CHECKOUT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
    section = page.split("## Moving to PostgreSQL")[1].split("\n## ")[0]
    commands = re.findall(r"^    (interlock .*)$", section, re.MULTILINE)
    assert len(commands) >= 4
    for command in commands:
        words = [postgres_url if "postgresql://" in word else word for word in shlex.split(command)[1:]]
        done = call(*words, at=old.root)
        assert done.code == 0, (command, done)
