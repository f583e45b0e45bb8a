"""A Markdown queue in a workspace: every change is an event, exactly once, wherever the process dies."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from interlock.kernel.clock import from_text
from interlock.kernel.errors import Unreachable
from interlock.kernel.events import Event
from interlock.queue import markdown
from interlock.queue.errors import ItemStateConflict, MarkdownChanged, MarkdownUnwritten
from interlock.queue.markdown import COLUMNS, read
from interlock.queue.markdown_journal import Journal
from interlock.queue.markdown_service import MarkdownQueue
from interlock.storage.evidence import StoredLog
from interlock.storage.sqlite.database import SqliteDatabase
from tests.conftest import ALICE, ORIGIN

NOON = from_text("2026-11-21T03:00:30.000Z")
HEADER = "| " + " | ".join(COLUMNS) + " |\n" + "|---" * 9 + "|\n"


def row(item_id: str, status: str = "PENDING", *, owner: str = "-", started: str = "-", notes: str = "") -> str:
    return f"| {item_id} | {status} | P1 | 일 | swept | {owner} | {started} | - | {notes} |\n"


def held(item_id: str, *, started: str = "2026-11-21 11:00") -> str:
    return row(item_id, "IN_PROGRESS", owner="w1", started=started)


@dataclass
class Workspace:
    """A workspace as a Markdown queue sees it: a root, a state folder, a log."""

    root: Path
    away: bool = False

    def __post_init__(self) -> None:
        (self.root / ".interlock").mkdir(exist_ok=True)
        self.path = self.root / "QUEUE.md"
        with closing(self.database()) as database:  # tests fork: a child must not inherit an open database
            database.create(ORIGIN)

    def database(self) -> SqliteDatabase:
        state = self.root / ".interlock"
        return SqliteDatabase(state / "interlock.db", wake_folder=state / "wake")

    def tell(self, event: Event) -> None:
        if self.away:
            raise Unreachable("the database does not answer")
        database = self.database()
        with database.write(ALICE) as transaction:
            transaction.emit(event)
        database.close()

    def journal(self, by: str = "human:alice") -> Journal:
        return Journal(root=self.root, folder=self.root / ".interlock" / "markdown", tell=self.tell, by=by)

    def queue(self, *rows: str, probe: Callable[[str], None] = lambda _: None) -> MarkdownQueue:
        if rows:
            self.path.write_text(HEADER + "".join(rows), encoding="utf-8")
        return MarkdownQueue(self.path, lambda: NOON, journal=self.journal(), probe=probe)

    def events(self) -> list[dict[str, Any]]:
        database = self.database()
        events = [dict(event) for _, event in StoredLog(database).events(0, 1000)]
        database.close()
        return events

    def moves(self) -> list[tuple[str, str, str | None, str]]:
        """List what the log says: item, verb, status before and after."""
        found: list[tuple[str, str, str | None, str]] = []
        for event in self.events():
            said = event["payload"]
            found.append((event["subject"], said["verb"], said["previous_status"], said["status"]))
        return found

    def left(self) -> list[str]:
        """List what lies about: intents, temporary files."""
        return sorted(each.name for each in self.root.rglob("*") if each.suffix in {".json", ".tmp", ".unreadable"})

    def kill(self, deed: Callable[[MarkdownQueue], object], at: str) -> None:
        """Do it in a process that is killed at a probe."""

        def probe(point: str) -> None:
            if point == at:
                os.kill(os.getpid(), signal.SIGKILL)

        assert in_a_process(lambda: deed(self.queue(probe=probe))) == -signal.SIGKILL


def in_a_process(deed: Callable[[], object]) -> int | None:
    """Do it in a process of its own; returns how that one ended."""
    process = multiprocessing.get_context("fork").Process(target=deed)
    process.start()
    process.join(20)
    return process.exitcode


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


# --- what is told -----------------------------------------------------------------------------------------------------


def test_a_change_tells_what_it_did_after_the_file_was_written(workspace: Workspace) -> None:
    workspace.queue(held("A-1"), row("A-2")).complete("A-1", "so")
    (event,) = workspace.events()
    key = event.pop("key")
    assert event["kind"] == "markdown.changed"
    assert (event["subject"], event["principal"], event["correlation_id"]) == ("A-1", "human:alice", "test-1")
    assert event["payload"] == {
        "path": "QUEUE.md",
        "verb": "complete",
        "previous_status": "IN_PROGRESS",
        "status": "DONE",
        "file_digest": "sha256:" + hashlib.sha256(workspace.path.read_bytes()).hexdigest(),
        "duration_ms": 3_600_000,
        "told_for": None,
    }
    assert key.startswith("markdown:")
    assert len(key.removeprefix("markdown:")) == 26
    assert workspace.left() == []


@pytest.mark.parametrize(
    ("started", "duration"),
    [("2026-11-21 12:00", 0), ("2026-11-21 12:01", 0), ("2026-11-20 12:00", 86_400_000), ("-", None), ("soon", None)],
)
def test_a_duration_is_never_negative_and_none_where_no_start_is_known(
    workspace: Workspace, started: str, duration: int | None
) -> None:
    workspace.queue(held("A-1", started=started)).fail("A-1")
    assert workspace.events()[0]["payload"]["duration_ms"] == duration


def test_every_verb_tells_and_what_changes_nothing_does_not(workspace: Workspace) -> None:
    made = workspace.queue(held("A-1"), held("A-2"), row("A-3"))
    made.add(priority="P0", task="t", success_criteria="s")
    made.claim("w9")
    made.release("ORCH-001")
    made.reprioritise("A-3", "P1")
    made.reprioritise("A-3", "P0")
    made.cancel("A-3")
    made.cancel("A-3")
    made.retry("A-3")
    made.replan("A-1", "x")
    made.rescue(60)
    assert made.rescue(60) == []
    assert workspace.moves() == [
        ("ORCH-001", "add", None, "PENDING"),
        ("ORCH-001", "claim", "PENDING", "IN_PROGRESS"),
        ("ORCH-001", "release", "IN_PROGRESS", "PENDING"),
        ("A-3", "reprioritise", "PENDING", "PENDING"),
        ("A-3", "cancel", "PENDING", "BLOCKED"),
        ("A-3", "cancel", "BLOCKED", "BLOCKED"),
        ("A-3", "retry", "BLOCKED", "PENDING"),
        ("A-1", "replan", "IN_PROGRESS", "BLOCKED"),
        ("A-2", "rescue", "IN_PROGRESS", "PENDING"),
    ]
    assert made.warnings == []


def test_a_file_that_loses_its_rows_to_the_database_tells_it_and_a_window_does_not(workspace: Workspace) -> None:
    made = workspace.queue(row("A-1"))
    cells = dict(made.row("A-1").cells)
    made.replace_rows([cells], banner=False)
    made.replace_rows([cells, dict(cells, id="A-2")], banner=True)
    made.replace_rows([cells, dict(cells, id="A-2", status="DONE")], banner=True)
    (event,) = workspace.events()
    assert (event["kind"], event["subject"]) == ("markdown.rendered", "QUEUE.md")
    assert (event["payload"]["rows"], event["payload"]["window"]) == (2, True)


# --- killed -----------------------------------------------------------------------------------------------------------

DEEDS: dict[str, Callable[[MarkdownQueue], object]] = {
    "claim": lambda made: made.claim("w2"),
    "rescue": lambda made: made.rescue(60),
    "add": lambda made: made.add(priority="P0", task="t", success_criteria="s"),
    "render": lambda made: made.replace_rows(
        [dict(each.cells, status="DONE") for each in made.rows()], banner=True, drop_missing=True
    ),
}
OTHERS: dict[str, Callable[[MarkdownQueue], object]] = {
    "replace": lambda made: made.replace_rows([dict(each.cells, status="DONE") for each in made.rows()], banner=False)
}
TOLD = {"claim": ["A-3"], "rescue": ["A-1", "A-2"], "add": ["ORCH-001"], "render": ["QUEUE.md"]}
ROWS = (held("A-1"), held("A-2"), row("A-3"))


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("at", ["intent.written", "file.written", "intent.removed"])
def test_a_killed_call_is_completed_by_the_next_one(workspace: Workspace, deed: str, at: str) -> None:
    workspace.queue(*ROWS)
    workspace.kill(DEEDS[deed], at)
    if at == "intent.removed":
        assert workspace.left() == []
    else:
        assert len(workspace.left()) == 1
        assert workspace.events() == []
    workspace.queue().cancel("A-3") if deed != "render" else workspace.journal().complete_all()
    expected = [] if at == "intent.written" else TOLD[deed]
    assert [event["subject"] for event in workspace.events()] == [*expected, *(["A-3"] if deed != "render" else [])]
    assert workspace.left() == []


def test_a_call_killed_after_its_event_was_told_is_not_told_again(workspace: Workspace) -> None:
    workspace.queue(*ROWS)

    def tell_and_die(event: Event) -> None:
        workspace.tell(event)
        if event.subject == "A-2":
            os.kill(os.getpid(), signal.SIGKILL)

    def die() -> None:
        journal = Journal(root=workspace.root, folder=workspace.journal().folder, tell=tell_and_die, by="human:alice")
        MarkdownQueue(workspace.path, lambda: NOON, journal=journal).rescue(60)

    assert in_a_process(die) == -signal.SIGKILL
    assert len(workspace.left()) == 1
    workspace.journal().complete_all()
    assert [event["subject"] for event in workspace.events()] == ["A-1", "A-2"]
    assert workspace.left() == []


WRITES = frozenset({"open", "replace", "unlink", "fsync", "writelines", "flush", "mkdir", "chmod", "execute", "close"})


@pytest.mark.parametrize("deed", DEEDS)
def test_a_call_killed_between_any_two_of_its_writes_loses_and_doubles_nothing(tmp_path: Path, deed: str) -> None:
    turn, ended, seen = 0, -signal.SIGKILL, set[tuple[bool, int]]()
    while ended == -signal.SIGKILL:
        root = tmp_path / str(turn)
        root.mkdir()
        workspace = Workspace(root)
        workspace.queue(*ROWS)
        before = workspace.path.read_bytes()
        ended = in_a_process(lambda turn=turn, workspace=workspace: _killed_at(turn, DEEDS[deed], workspace))
        changed, told = workspace.path.read_bytes() != before, len(workspace.events())
        seen.add((changed, told))
        assert changed or not told, f"at {turn} an event came before its change"
        workspace.journal().complete_all()
        assert [event["subject"] for event in workspace.events()] == (TOLD[deed] if changed else []), turn
        if not changed:
            DEEDS[deed](workspace.queue())
        assert [event["subject"] for event in workspace.events()] == TOLD[deed], turn
        assert all(name.endswith(".tmp") for name in workspace.left()), turn
        turn += 1
    assert ended == 0
    assert turn > 20
    assert {(False, 0), (True, 0), (True, len(TOLD[deed]))} <= seen


def _killed_at(turn: int, deed: Callable[[MarkdownQueue], object], workspace: Workspace) -> None:
    """Do it, and die before the call of that number that reaches for the disk."""
    made, count = workspace.queue(), 0

    def watch(_frame: FrameType, event: str, called: Any) -> None:  # noqa: ANN401 - any built-in function
        nonlocal count
        if event == "c_call" and called.__name__ in WRITES:
            if count == turn:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

    sys.setprofile(watch)
    deed(made)
    sys.setprofile(None)


def test_what_killed_calls_left_half_written_is_cleared_away(workspace: Workspace) -> None:
    made = workspace.queue(row("A-1"))
    assert made.journal is not None
    for name in (".QUEUE.md.0123456789abcdef.tmp", ".QUEUE.md.mine.tmp", ".OTHER.md.0123456789abcdef.tmp"):
        (workspace.root / name).touch()
    name = hashlib.sha256(os.fsencode(workspace.path)).hexdigest()
    made.journal.folder.mkdir()
    (made.journal.folder / f".{name}.json.0123456789abcdef.tmp").touch()
    made.cancel("A-1")
    assert workspace.left() == [".OTHER.md.0123456789abcdef.tmp", ".QUEUE.md.mine.tmp"]


# --- edited since -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deed", "at", "edited", "told"),
    [
        # made, and something else was edited
        ("claim", "file.written", [*ROWS[:2], row("A-3", "IN_PROGRESS", owner="w2"), row("A-4")], ["A-3"]),
        # never made
        ("claim", "intent.written", [*ROWS, row("A-4")], []),
        # made and undone by hand: what the file says now is what counts
        ("claim", "file.written", [*ROWS, row("A-4")], []),
        ("claim", "file.written", [row("A-4")], []),
        # of two rows one was edited
        ("rescue", "file.written", [row("A-1"), row("A-2", "DONE"), row("A-3")], ["A-1"]),
        ("add", "file.written", [row("ORCH-001"), row("A-9")], ["ORCH-001"]),
        ("add", "intent.written", [row("A-9")], []),
        ("render", "file.written", [row("A-9")], []),
        # never made, and as many rows as there would be
        ("replace", "intent.written", [*ROWS], []),
    ],
)
def test_where_the_file_was_edited_since_its_rows_say_what_was_done(
    workspace: Workspace, deed: str, at: str, edited: list[str], told: list[str]
) -> None:
    workspace.queue(*ROWS)
    workspace.kill((DEEDS | OTHERS)[deed], at)
    workspace.path.write_text(HEADER + "".join(edited), encoding="utf-8")
    after = workspace.path.read_bytes()
    workspace.journal().complete_all()
    assert [event["subject"] for event in workspace.events()] == told
    assert workspace.path.read_bytes() == after
    assert workspace.left() == []


@pytest.mark.parametrize(("notes", "told"), [("", []), ("cancelled_by_operator", ["A-1"])])
def test_where_the_status_stays_the_other_cells_say_what_was_done(
    workspace: Workspace, notes: str, told: list[str]
) -> None:
    workspace.queue(row("A-1", "BLOCKED"))
    workspace.kill(lambda made: made.cancel("A-1"), "intent.written")
    workspace.queue(row("A-1", "BLOCKED", notes=notes), row("A-2"))
    workspace.journal().complete_all()
    assert [event["subject"] for event in workspace.events()] == told


def test_a_file_that_was_changed_in_between_is_left_alone_and_nothing_is_told(workspace: Workspace) -> None:
    def edit(point: str) -> None:
        if point == "intent.written":
            # The very change that was meant, by another hand: it is not ours to tell.
            workspace.path.write_text(HEADER + row("A-1", "BLOCKED") + row("A-2"), encoding="utf-8")

    with pytest.raises(MarkdownChanged):
        workspace.queue(row("A-1"), probe=edit).cancel("A-1")
    assert len(read(workspace.path).rows) == 2
    assert workspace.left() == []
    workspace.journal().complete_all()
    assert workspace.events() == []


# --- no database, no folder, no file ----------------------------------------------------------------------------------


def test_while_the_database_is_away_the_file_is_changed_and_told_later_in_order(workspace: Workspace) -> None:
    workspace.queue(row("A-1"))
    workspace.away = True
    for verb, word in (("claim", "w2"), ("complete", "A-1"), ("retry", "A-1"), ("replan", "A-1")):
        made = workspace.queue()
        if verb == "retry":
            with pytest.raises(ItemStateConflict):
                made.retry(word)
        else:
            getattr(made, verb)(word, *(["x"] if verb == "replan" else []))
        assert "is not yet logged: the database does not answer" in made.warnings[-1]
    assert read(workspace.path).row("A-1").cells["status"] == "PENDING"
    assert len(workspace.left()) == 1
    workspace.away = False
    made = workspace.queue()
    made.cancel("A-1")
    assert made.warnings == []
    assert [verb for _, verb, _, _ in workspace.moves()] == ["claim", "complete", "replan", "cancel"]
    assert workspace.left() == []


def test_what_waited_for_the_database_is_told_whatever_the_file_says_by_then(workspace: Workspace) -> None:
    made = workspace.queue(row("A-1"))
    workspace.away = True
    made.cancel("A-1")
    workspace.away = False
    workspace.path.write_text(HEADER + row("A-1", "DONE"), encoding="utf-8")
    workspace.journal().complete_all()
    assert workspace.moves() == [("A-1", "cancel", "PENDING", "BLOCKED")]


def test_who_completes_the_call_of_another_says_for_whom(workspace: Workspace) -> None:
    workspace.queue(row("A-1"))
    workspace.kill(lambda made: made.cancel("A-1"), "file.written")
    workspace.journal(by="human:bob").complete_all()
    assert workspace.events()[0]["payload"]["told_for"] == "human:alice"


def test_without_a_place_for_the_intent_nothing_is_changed(workspace: Workspace) -> None:
    workspace.queue(row("A-1"))
    (workspace.root / "file").touch()
    journal = Journal(root=workspace.root, folder=workspace.root / "file" / "markdown", tell=workspace.tell)
    with pytest.raises(MarkdownUnwritten, match="Not a directory"):
        MarkdownQueue(workspace.path, journal=journal).cancel("A-1")
    assert workspace.path.read_text(encoding="utf-8") == HEADER + row("A-1")
    assert workspace.events() == []


@pytest.mark.parametrize("trouble", ["gone", "malformed"])
def test_what_can_not_be_judged_now_is_kept_and_said_and_the_others_go_on(workspace: Workspace, trouble: str) -> None:
    workspace.queue(row("A-1"))
    workspace.kill(lambda made: made.cancel("A-1"), "file.written")
    whole = workspace.path.read_bytes()
    workspace.path.unlink() if trouble == "gone" else workspace.path.write_text("# empty\n", encoding="utf-8")
    first, workspace.path = workspace.path, workspace.root / "OTHER.md"
    workspace.queue(row("B-1"))
    workspace.kill(lambda made: made.cancel("B-1"), "file.written")
    journal = workspace.journal()
    journal.complete_all()
    assert "still waits to be logged" in journal.warnings[0]
    assert [event["subject"] for event in workspace.events()] == ["B-1"]
    first.write_bytes(whole)
    workspace.journal().complete_all()
    assert [event["subject"] for event in workspace.events()] == ["B-1", "A-1"]
    assert workspace.left() == []


def test_a_queue_that_somebody_holds_is_left_to_them(workspace: Workspace) -> None:
    workspace.queue(row("A-1"))
    workspace.kill(lambda made: made.cancel("A-1"), "file.written")
    journal = workspace.journal()
    began = time.monotonic()
    with markdown.locked(str(workspace.path)):
        journal.complete_all()
    assert time.monotonic() - began < 0.5
    assert (workspace.events(), journal.warnings) == ([], [])
    journal.complete_all()
    assert len(workspace.events()) == 1


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"queue":1,"intents":[]}', b'{"queue":"x","intents":[{}]}', b"\xff"]
)
def test_an_intent_that_can_not_be_read_is_moved_aside_and_said(workspace: Workspace, data: bytes) -> None:
    made = workspace.queue(row("A-1"))
    made.cancel("A-1")
    name = hashlib.sha256(os.fsencode(workspace.path)).hexdigest()
    (workspace.journal().folder / f"{name}.json").write_bytes(data)
    made.retry("A-1")
    assert "was moved aside" in made.warnings[0]
    assert len(workspace.events()) == 2
    assert workspace.left() == [f"{name}.unreadable"]


def test_the_names_of_files_need_not_be_text(workspace: Workspace) -> None:
    folder = workspace.root / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    workspace.path = folder / "QUEUE.md"
    workspace.queue(row("A-1"))
    workspace.kill(lambda made: made.cancel("A-1"), "file.written")
    workspace.journal().complete_all()
    assert workspace.events()[0]["payload"]["path"] == "caf\\xe9/QUEUE.md"
    assert json.dumps(workspace.events())
