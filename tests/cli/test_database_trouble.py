"""A database that is damaged, foreign, newer, locked, read-only or full: a clear error, and nothing is lost."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from interlock.app import Interlock
from interlock.storage.errors import DatabaseBusy
from interlock.storage.sqlite import reading
from tests.cli.door import (
    FRESH,
    PROGRAM,
    WITHOUT_PRIVILEGES,
    Door,
    call,
    call_all,
    closed,
    copy_of,
    environment,
    files,
    said,
)
from tests.cli.lived import ME, Lived
from tests.conftest import until

READS = [
    ["plan", "show"],
    ["draft", "list"],
    ["approved", "list"],
    ["run", "list"],
    ["queue", "status"],
    ["queue", "list"],
    ["evidence", "list"],
    ["evidence", "verify"],
    ["windows", "verify"],
]
WRITES = [["draft", "create", "--prompt", "x"], ["plan", "set", "-"], ["evidence", "head"], ["worker", "--once"]]


def database(root: Path) -> Path:
    return root / ".interlock" / "interlock.db"


@contextmanager
def opened(root: Path) -> Generator[sqlite3.Connection]:
    with closing(sqlite3.connect(database(root), isolation_level=None)) as connection:
        yield connection


def replaced(root: Path, content: bytes) -> bytes:
    """Put a file in the database's place, without its side files."""
    for path in database(root).parent.glob("interlock.db*"):
        path.unlink()
    database(root).write_bytes(content)
    return content


@pytest.fixture
def whole(ask: Door) -> bytes:
    """The bytes of a database in which something has happened."""
    ask.approved()
    with opened(ask.root) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
    return database(ask.root).read_bytes()


def everything_refuses(ask: Door, code: int, *told: str) -> None:
    before = files(ask.root)
    for words in [*READS, *WRITES[:1], *WRITES[2:3]]:
        ask(*words).refuses(code, str(database(ask.root)), *told)
    assert files(ask.root) == before


def test_a_file_that_is_no_database_is_left_as_it_is(ask: Door) -> None:
    content = replaced(ask.root, os.urandom(20_000))
    everything_refuses(ask, 2, "is not a database", "nothing was changed")
    said(ask.capture, "init", str(ask.root)).refuses(2, "is not a database")
    assert database(ask.root).read_bytes() == content


@pytest.mark.parametrize("share", [0.001, 0.03, 0.5])
def test_a_database_that_was_cut_is_damaged_and_left_as_it_is(ask: Door, whole: bytes, share: float) -> None:
    content = replaced(ask.root, whole[: int(len(whole) * share)])
    everything_refuses(ask, 1, "is damaged", "restore a backup")
    said(ask.capture, "init", str(ask.root)).refuses(1, "is damaged")
    assert database(ask.root).read_bytes() == content


def test_an_empty_file_is_not_a_database(ask: Door) -> None:
    replaced(ask.root, b"")
    everything_refuses(ask, 2, "was not made by Interlock")


def test_a_page_that_was_overwritten_is_damage_and_no_traceback(ask: Door, whole: bytes) -> None:
    for place in range(4096, len(whole), 4096 * 3):
        replaced(ask.root, whole[:place] + b"\xa5" * 4096 + whole[place + 4096 :])
        for words in (
            ["draft", "list"],
            ["approved", "list"],
            ["evidence", "list"],
            ["draft", "create", "--prompt", "x"],
        ):
            answered = ask(*words)
            assert answered.code in {0, 1, 2}, (place, answered)
            if answered.code:
                answered.refuses(answered.code)


def test_a_newer_database_is_not_read_and_not_written(ask: Door, whole: bytes) -> None:
    del whole
    with opened(ask.root) as connection:
        connection.execute("PRAGMA user_version = 999")
    everything_refuses(ask, 4, "schema 999", "newer Interlock")
    said(ask.capture, "init", str(ask.root)).refuses(4, "schema 999")
    with opened(ask.root) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (999,)


def test_a_missing_database_is_not_made_by_commands(ask: Door) -> None:
    for path in database(ask.root).parent.glob("interlock.db*"):
        path.unlink()
    everything_refuses(ask, 3, "there is no database", "interlock init")
    assert not database(ask.root).exists()


def test_somebody_else_s_database_is_not_taken_over(ask: Door) -> None:
    replaced(ask.root, b"")
    with opened(ask.root) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
        connection.execute("INSERT INTO customers VALUES ('Ada')")
    content = database(ask.root).read_bytes()
    everything_refuses(ask, 2, "was not made by Interlock")
    said(ask.capture, "init", str(ask.root)).refuses(2, "was not made by Interlock")
    assert database(ask.root).read_bytes() == content


def test_a_folder_in_the_database_s_place_is_told_as_it_is(ask: Door) -> None:
    for path in database(ask.root).parent.glob("interlock.db*"):
        path.unlink()
    database(ask.root).mkdir()
    for words in (["draft", "list"], ["draft", "create", "--prompt", "x"]):
        answered = ask(*words)
        answered.refuses(answered.code, str(database(ask.root)))
        assert "free some space" not in answered.err


# --- reading changes nothing ------------------------------------------------------------------------------------------


def test_reading_creates_and_changes_nothing(lived: Lived) -> None:
    root = lived.root
    before, content = files(root), database(root).read_bytes()
    times = {path: path.stat().st_mtime_ns for path in [*root.rglob("*"), root] if ".db-" not in path.name}
    state = times.pop(root / ".interlock")
    more = [["run", "show", lived["done"]], ["run", "log", lived["done"]], ["evidence", "prove", "0"]]
    assert {answered.code for answered in call_all(*READS, *more, at=root)} == {0}
    assert files(root) == before
    assert database(root).read_bytes() == content
    assert times == {path: path.stat().st_mtime_ns for path in times}
    assert state <= (root / ".interlock").stat().st_mtime_ns  # SQLite's side files come and go there


def test_reading_leaves_what_a_killed_writer_left(ask: Door, tmp_path: Path) -> None:
    """A log that was not yet carried over into the database's file is a writer's to carry over."""
    house = Interlock.at(ask.root)
    house.approval.create(ME, "in the log only")
    house.windows.catch_up(ME)
    root = copy_of(ask.root, tmp_path / "killed")
    house.database.close()
    written = database(root).with_name("interlock.db-wal")
    before = (database(root).read_bytes(), written.read_bytes())
    assert before[1]
    *answers, drafts = call_all(*READS, ["draft", "list", "--json"], at=root)
    assert [answer.code for answer in answers if answer.code != 21] == [0] * (len(READS) - 1)
    assert drafts.json[0]["prompt"] == "in the log only"
    assert (database(root).read_bytes(), written.read_bytes()) == before


@pytest.mark.parametrize("part", ["interlock.db", "."], ids=["file", "folder"])
def test_reading_works_where_nothing_can_be_written(lived: Lived, part: str) -> None:
    with closed(database(lived.root).parent / part, mode=0o400 if part == "interlock.db" else 0o500):
        reads = call_all(*READS, ["run", "show", lived["done"]], at=lived.root, prefix=WITHOUT_PRIVILEGES)
        assert {answered.code for answered in reads} == {0}
        if part == "interlock.db":
            refused = call("draft", "create", "--prompt", "x", at=lived.root, prefix=WITHOUT_PRIVILEGES)
            refused.refuses(4, "is read-only", "check the permissions")


def test_every_reading_command_works_on_a_medium_that_is_read_only(lived: Lived) -> None:
    everything = [path for path in [lived.root, *lived.root.rglob("*")] if not path.is_symlink()]
    modes = {path: path.stat().st_mode for path in everything}
    for path in everything:
        path.chmod(path.stat().st_mode & 0o555)
    try:
        for words, answered in zip(READS, call_all(*READS, at=lived.root, prefix=WITHOUT_PRIVILEGES), strict=True):
            assert (answered.code, answered.err) == (0, ""), words
        call("draft", "create", "--prompt", "x", at=lived.root, prefix=WITHOUT_PRIVILEGES).refuses(4)
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


# --- a database that others use ---------------------------------------------------------------------------------------


def test_a_writer_waits_for_another_process_and_then_succeeds(ask: Door) -> None:
    ask.draft()
    with opened(ask.root) as connection:
        connection.execute("BEGIN IMMEDIATE")
        child = subprocess.Popen(
            [str(PROGRAM), "draft", "create", "--prompt", "patient"],
            cwd=ask.root,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        until(lambda: has_open(child.pid, database(ask.root)) or child.poll() is not None, 20)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.4)
        assert said(ask.capture, "draft", "list", "--workspace", str(ask.root), "--json").json[0]["prompt"] != "patient"
        connection.execute("ROLLBACK")
        out, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (0, "")
    assert "patient" in out


def has_open(pid: int, path: Path) -> bool:
    """Say whether a process has opened a file (Linux)."""
    try:
        return any(os.path.realpath(link) == str(path.resolve()) for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def test_a_lock_that_stays_is_exit_5_and_nothing_is_written(ask: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    ask.draft()
    monkeypatch.setattr(reading, "PATIENCE_SECONDS", 0.2)
    with opened(ask.root) as connection:
        connection.execute("BEGIN IMMEDIATE")
        ask("draft", "create", "--prompt", "x").refuses(5, "stayed locked", "nothing was changed", "try again")
        assert ask("draft", "list").code == 0
        connection.execute("ROLLBACK")
    assert len(ask.json("draft", "list")) == 1


WRITER = """
import sys
from interlock.cli.main import main
codes = [main(["draft", "create", "--prompt", f"{sys.argv[1]}-{number}"]) for number in range(5)]
sys.exit(max(codes))
"""
READER = """
import io, json, sys
from pathlib import Path
from interlock.cli.main import main
seen, looks = 0, 0
while True:
    last = Path(sys.argv[1]).exists()
    sys.stdout = io.StringIO()
    assert main(["draft", "list", "--json"]) == 0
    found = len(json.loads(sys.stdout.getvalue()))
    assert found >= seen, (found, seen)
    seen, looks = found, looks + 1
    if last:
        break
sys.stdout = sys.__stdout__
print(seen, looks)
"""


def test_writers_and_a_reader_at_once_lose_nothing(ask: Door, tmp_path: Path) -> None:
    def start(script: str, word: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", script, word],
            cwd=ask.root,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    reader = start(READER, str(tmp_path / "ended"))
    writers = [start(WRITER, name) for name in ("a", "b", "c", "d")]
    for writer in writers:
        assert writer.communicate(timeout=45)[1] == ""
        assert writer.returncode == 0
    (tmp_path / "ended").touch()
    out, err = reader.communicate(timeout=45)
    assert (reader.returncode, err) == (0, "")
    assert int(out.split()[0]) == 20
    drafts = ask.json("draft", "list")
    assert {draft["prompt"] for draft in drafts} == {f"{name}-{number}" for name in "abcd" for number in range(5)}
    assert len({draft["id"] for draft in drafts}) == 20
    assert [event["index"] for event in ask.json("evidence", "list")] == list(range(FRESH + 20))
    assert ask("windows", "verify").code == 0
    assert ask("evidence", "head").code == 0
    assert ask("evidence", "verify").code == 0


def test_a_reader_that_met_a_lock_is_not_blind_from_then_on(ask: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is busy is no database in a read-only folder: what is read of it goes on to change."""
    monkeypatch.setattr(reading, "PATIENCE_SECONDS", 0.5)
    with opened(ask.root) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("UPDATE log_state SET origin = origin")
        connection.execute("COMMIT")
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
        reader = Interlock.at(ask.root)
        with suppress(DatabaseBusy):
            assert list(reader.approval.drafts()) == []
    ask.draft(prompt="afterwards")
    assert [draft.prompt.body for draft in reader.approval.drafts()] == ["afterwards"]
    reader.database.close()


OPENER = """
import sys
from pathlib import Path
from interlock.access.models import Actor, Principal, PrincipalKind
from interlock.app import Interlock
me = Actor(principal=Principal(PrincipalKind.HUMAN, "opener"))
for number in range(150):
    house = Interlock.at(Path(sys.argv[1]))
    if number % 2:
        house.approval.create(me, f"{number}")
    else:
        house.approval.drafts(limit=1)
    house.database.close()
"""


def test_who_opens_the_database_while_another_closes_it_waits_for_that(workspace: Path) -> None:
    """The last one to close has the database for itself for a moment; that is no lock that stays."""
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, str(workspace)], env=environment(), stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    told = [opener.communicate(timeout=45)[1] for opener in openers]
    assert told == ["", "", ""], told[0][-500:] + told[1][-500:] + told[2][-500:]


# --- a disk that is full ----------------------------------------------------------------------------------------------


@dataclass
class Disk:
    """Where a workspace lies, and how to make it full."""

    folder: Path
    prefix: list[str] = field(default_factory=list[str])
    real: bool = True

    def fill(self) -> None:
        if not self.real:
            self.prefix = ["prlimit", "--fsize=150000"]
            return
        with (self.folder / "filler").open("wb", buffering=0) as filler:
            for size in (65536, 1024, 1):
                with suppress(OSError):
                    while filler.write(b"x" * size):
                        pass

    def free(self) -> None:
        self.prefix = []
        (self.folder / "filler").unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path) -> Generator[Disk]:
    """A disk of one megabyte; without the right to mount one, a limit on how large a file may grow."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    yield Disk(folder, real=mounted.returncode == 0)
    if mounted.returncode == 0:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_loses_nothing_and_is_told(ask: Door, disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    root = disk.folder / "workspace"
    assert said(capsys, "init", str(root)).code == 0
    small = Door(root, capsys)
    small.draft(prompt="before")
    disk.fill()
    for _ in range(2):
        full = call("draft", "create", "--prompt", "x" * 100_000, at=root, prefix=disk.prefix)
        full.refuses(5, "nothing was changed", "free some space")
    assert [draft["prompt"] for draft in small.json("draft", "list")] == ["before"]
    disk.free()
    small.draft(prompt="after")
    assert [draft["prompt"] for draft in small.json("draft", "list")] == ["after", "before"]
    with opened(root) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert small("windows", "verify").code == 0
    assert small("evidence", "head").code == 0
    assert small("evidence", "verify").code == 0
    assert small.log_size() == FRESH + 2
    assert ask.root.exists()


def test_a_file_that_may_not_grow_loses_nothing_and_is_told(ask: Door) -> None:
    ask.draft(prompt="before")
    limited = ("prlimit", f"--fsize={database(ask.root).stat().st_size + 60_000}")
    (ask.root / "long").write_text("x" * 1_500_000)
    full = call("draft", "create", "--prompt-file", "long", at=ask.root, prefix=limited)
    full.refuses(5, "nothing was changed")
    assert [draft["prompt"] for draft in ask.json("draft", "list")] == ["before"]
    ask.draft(prompt="after")
    assert ask("windows", "verify").code == 0
    assert ask.log_size() == FRESH + 2


def test_a_ledger_that_may_not_grow_is_completed_later(ask: Door) -> None:
    """The database has room, the export has none: what was done is done, and said."""
    for _ in range(3):
        ask.draft(prompt="x" * 10)
    ledger = ask.root / "storage" / "db" / "evidence" / "ledger.jsonl"
    with (ask.root / "padding").open("wb"):
        limit = ledger.stat().st_size + 300
    assert limit < database(ask.root).stat().st_size
    script = (
        "import resource, sys; import interlock.workspace.ledger as ledger; real = ledger._write_all\n"
        "def limited(*given):\n"
        f"    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "    return real(*given)\n"
        "ledger._write_all = limited\n"
        "from interlock.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "draft", "create", "--prompt", "y", "--json"],
        cwd=ask.root,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("warning: done, but the window files were not brought up to date")
    assert ask("draft", "create", "--prompt", "z").err == ""
    assert ask.json("evidence", "list")[-1]["kind"] == "window.completed"
    assert ask("evidence", "head").code == 0
    assert ask("evidence", "verify").code == 0


def test_init_on_a_full_disk_is_told_and_completed_later(disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    disk.fill()
    full = call("init", str(disk.folder / "workspace"), at=disk.folder, prefix=disk.prefix)
    if disk.real:
        full.refuses(5)
        assert "disk is full" in full.err or "No space left" in full.err
    disk.free()
    assert said(capsys, "init", str(disk.folder / "workspace")).code == 0
    Door(disk.folder / "workspace", capsys).approved()
