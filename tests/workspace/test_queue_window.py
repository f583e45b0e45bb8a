"""Markdown queues that follow the database: rendered when items moved, never over a change by hand, never forgotten."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from interlock.queue import markdown
from tests.cli.door import WITHOUT_PRIVILEGES, Door, call, closed, python, said
from tests.cli.stores import QUEUE, document

BY_HAND = "was changed by hand"


def add(ask: Door, task: str) -> str:
    """Put an item into the database."""
    return str(ask.json("queue", "add", "--task", task, "--success-criteria", "s")["id"])


def shown(path: Path) -> dict[str, str]:
    """Return what a queue says of each id."""
    return {each.id: each.cells["status"] for each in markdown.read(path).rows}


@pytest.fixture
def window(ask: Door) -> Path:
    """The workspace's Markdown queue, following its database, in which there is one item."""
    add(ask, "one")
    assert ask("queue", "render", "--own").out == "rendered 1 rows\n"
    return ask.root / QUEUE


def test_a_window_follows_every_move_of_an_item(ask: Door, window: Path) -> None:
    add(ask, "two | 둘\nlines")
    assert shown(window) == {"ORCH-001": "PENDING", "ORCH-002": "PENDING"}
    assert "| two / 둘 lines |" in window.read_text()
    ask("queue", "claim", "--owner-session", "w")
    assert shown(window)["ORCH-001"] == "IN_PROGRESS"
    ask("queue", "complete", "ORCH-001", "--owner-session", "w", "--notes", "a|b")
    assert shown(window)["ORCH-001"] == "DONE"
    assert ask("queue", "consistency-check").out == "consistency ok total=2\n"


def test_what_moves_no_item_writes_no_window(ask: Door, window: Path) -> None:
    add(ask, "two")
    before = window.stat().st_ino
    ask.draft()
    ask("queue", "pause", "--reason", "a feast")
    assert window.stat().st_ino == before


def test_the_text_around_the_table_stays_as_it_is(ask: Door) -> None:
    (ask.root / QUEUE).write_bytes(document([]))
    before, _, after = document([]).partition(b"| id |")
    add(ask, "one")
    ask("queue", "render", "--own")
    add(ask, "two")
    content = (ask.root / QUEUE).read_bytes()
    assert content.startswith(before + markdown.BANNER_START)
    assert content.endswith(after.partition(b"|\n\n")[2])
    assert len(shown(ask.root / QUEUE)) == 2


def test_a_window_that_could_not_be_written_is_told_and_made_up_for_by_the_next_command(
    ask: Door, window: Path
) -> None:
    with closed(window.parent, mode=0o555):
        line = ("queue", "add", "--task", "two", "--success-criteria", "s")
        answered = call(*line, at=ask.root, prefix=WITHOUT_PRIVILEGES)
    assert (answered.code, answered.out) == (0, "Added ORCH-002\n")
    assert str(window) in answered.err
    assert shown(window) == {"ORCH-001": "PENDING"}
    ask.draft()  # moves no item, and still finds what is behind
    assert shown(window) == {"ORCH-001": "PENDING", "ORCH-002": "PENDING"}


def test_a_window_changed_by_hand_is_left_alone_and_told_by_every_command(ask: Door, window: Path) -> None:
    window.write_bytes(window.read_bytes().replace(b"| one |", b"| mine |"))
    by_hand = window.read_bytes()
    for task in ("two", "three"):
        answered = ask("queue", "add", "--task", task, "--success-criteria", "s")
        assert answered.code == 0
        assert f"warning: {window} follows the database and {BY_HAND}" in answered.err
    assert window.read_bytes() == by_hand
    assert ask("queue", "render", "--own").err == ""
    assert len(shown(window)) == 3
    assert ask("queue", "add", "--task", "four", "--success-criteria", "s").err == ""


def test_a_window_that_is_gone_is_told_until_it_is_disowned(ask: Door, window: Path) -> None:
    window.unlink()
    assert str(window) in ask("queue", "add", "--task", "two", "--success-criteria", "s").err
    ask("queue", "render", "--disown").refuses(3, str(window))
    assert ask("queue", "add", "--task", "three", "--success-criteria", "s").err == ""
    assert not window.exists()


def test_a_disowned_window_owns_its_rows_again(ask: Door, window: Path) -> None:
    assert ask("queue", "render", "--disown").out == "rendered 1 rows\n"
    content = window.read_bytes()
    assert markdown.BANNER_START not in content
    add(ask, "two")
    assert window.read_bytes() == content
    assert ask("queue", "--queue", str(window), "cancel", "ORCH-001").out == "ORCH-001 -> BLOCKED\n"
    assert ask.json("queue", "show", "ORCH-001")["status"] == "PENDING"


def test_several_queues_can_follow_wherever_they_lie(ask: Door, tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside.md", ask.root / "docs" / "QUEUE.md"
    inside.parent.mkdir(exist_ok=True)
    for path in (outside, inside):
        path.write_bytes(document([]))
        assert ask("queue", "render", "--own", "--queue", str(path)).code == 0
    add(ask, "one")
    assert shown(outside) == shown(inside) == {"ORCH-001": "PENDING"}
    assert shown(ask.root / QUEUE) == {}


def test_a_window_follows_through_a_link_which_stays_one(ask: Door, tmp_path: Path) -> None:
    (tmp_path / "real.md").write_bytes(document([]))
    (ask.root / QUEUE).unlink()
    (ask.root / QUEUE).symlink_to(tmp_path / "real.md")
    ask("queue", "render", "--own")
    add(ask, "one")
    assert (ask.root / QUEUE).is_symlink()
    assert shown(tmp_path / "real.md") == {"ORCH-001": "PENDING"}


def test_a_workspace_that_was_moved_takes_its_window_along(ask: Door, window: Path, tmp_path: Path) -> None:
    del window
    moved = ask.root.rename(tmp_path / "moved")
    answered = said(ask.capture, "--workspace", str(moved), "queue", "add", "--task", "two", "--success-criteria", "s")
    assert (answered.code, answered.err) == (0, "")
    assert shown(moved / QUEUE) == {"ORCH-001": "PENDING", "ORCH-002": "PENDING"}


@pytest.mark.parametrize("content", [b"", b"{", b"[]"])
def test_a_memory_of_windows_that_is_lost_is_told_of_no_command(ask: Door, window: Path, content: bytes) -> None:
    """Whoever spoilt it can have it made anew by `render --own`."""
    (ask.root / ".interlock" / "queue-windows.json").write_bytes(content)
    assert ask("queue", "add", "--task", "two", "--success-criteria", "s").code == 0
    assert shown(window) == {"ORCH-001": "PENDING"}
    assert ask("queue", "render", "--own").code == 0
    assert len(shown(window)) == 2


def test_work_that_a_worker_did_is_shown_too(ask: Door, window: Path) -> None:
    approved = ask.approved("--command", "true")
    item = str(ask.json("run", "create", approved)["item_id"])
    assert shown(window)[item] == "PENDING"
    assert call("worker", "--once", at=ask.root).code == 0
    assert shown(window)[item] in {"DONE", "FAILED"}
    assert ask("queue", "consistency-check").code == 0


KILLED = """
import os, sys
from interlock.workspace import queue_window
from interlock.queue import markdown_service
place, name = sys.argv[1].rsplit(".", 1)
target = {"QueueWindows": queue_window.QueueWindows, "MarkdownQueue": markdown_service.MarkdownQueue}[place]
real = getattr(target, name)
def killed(*words, **more):
    if sys.argv[2] == "after":
        real(*words, **more)
    os._exit(9)
setattr(target, name, killed)
from interlock.cli.main import main
sys.exit(main(sys.argv[3:]))
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("place", ["MarkdownQueue.replace_rows", "QueueWindows._store"])
def test_a_command_that_was_killed_while_it_rendered_is_made_up_for(
    ask: Door, window: Path, place: str, when: str
) -> None:
    line = ("--workspace", str(ask.root), "queue", "add", "--task", "two", "--success-criteria", "s")
    assert python(KILLED, place, when, *line, at=ask.root).returncode == 9
    assert ask("queue", "add", "--task", "three", "--success-criteria", "s").err == ""
    assert len(shown(window)) == 3


def test_four_commands_at_once_leave_a_window_that_shows_all_of_them(ask: Door, window: Path) -> None:
    line = [sys.executable, "-c", "import sys; from interlock.cli.main import main; sys.exit(main())", "queue", "add"]
    running = [
        subprocess.Popen(
            [*line, "--task", f"t{number}", "--success-criteria", "s"],
            cwd=ask.root,
            env={**os.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(4)
    ]
    assert [process.communicate(timeout=45)[1] for process in running] == [b""] * 4
    assert len(shown(window)) == 5
    assert not list(window.parent.glob(".*.tmp"))
