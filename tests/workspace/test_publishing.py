"""Approving publishes with one rename, and a command that dies between its commit and the files harms nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.door import Door, python
from tests.workspace.moves import watched


def window_of(root: Path, name: str) -> Path:
    folder = {"d": "drafts", "a": "approved", "r": "runs"}[name[0]]
    return root / ".orch_data" / "ops" / folder / f"{name}.json"


def twin(draft: str) -> str:
    return draft.replace("d_", "a_")


@contextmanager
def polled(root: Path, draft: str) -> Generator[Callable[[], tuple[int, list[str]]]]:
    """Look all the time whether exactly one of the two names is there; gives a function that ends it and tells.

    Two names can not be looked at in one instant, so each rule is looked at in the order in which it can not err: a
    name that has gone may not be missed afterwards, and one that has come may not stand beside an older one.
    """
    before, after = window_of(root, draft), window_of(root, twin(draft))
    broken: list[str] = []
    looks = [0]
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            if not before.exists() and not after.exists():
                broken.append("neither is there")
            if after.exists() and before.exists():
                broken.append("both are there")
            looks[0] += 1

    thread = threading.Thread(target=look)
    thread.start()

    def result() -> tuple[int, list[str]]:
        ended.set()
        thread.join()
        return looks[0], broken

    try:
        yield result
    finally:
        result()


def test_approving_publishes_with_one_rename(ask: Door) -> None:
    draft = ask.draft()
    ops = ask.root / ".orch_data" / "ops"
    with watched(ops / "drafts", ops / "approved") as watch:
        ask("draft", "approve", draft)
        moves = [move for move in watch.seen() if not move.name.startswith(".")]
    names = {f"{draft}.json", f"{twin(draft)}.json"}
    assert {move.name for move in moves} == names
    gone = [move for move in moves if (move.folder, move.what) == ("drafts", "moved from")]
    come = [move for move in moves if move.folder == "approved"]
    assert [move.name for move in gone] == [f"{draft}.json"]
    assert [(move.name, move.what, move.cookie) for move in come] == [
        (f"{twin(draft)}.json", "moved to", gone[0].cookie)
    ]
    assert not [move for move in moves if move.what in {"created", "deleted", "modified"}]


def test_at_every_instant_exactly_one_of_the_two_names_is_there(ask: Door) -> None:
    looks = 0
    for _ in range(5):
        draft = ask.draft()
        with polled(ask.root, draft) as ended:
            ask("draft", "approve", draft)
            seen, broken = ended()
        assert broken == []
        looks += seen
    assert looks > 100


def test_what_is_published_is_whole_from_the_first_instant(ask: Door) -> None:
    draft = ask.draft(prompt="x" * 200_000)
    ops = ask.root / ".orch_data" / "ops"
    with watched(ops / "drafts", ops / "approved") as watch:
        digest = ask.json("draft", "approve", draft)["digest"]
        assert all(move.name.startswith(".") for move in watch.seen() if move.what == "modified")
    published = json.loads(window_of(ask.root, twin(draft)).read_text())
    assert (published["digest"], len(published["prompt"])) == (digest, 200_000)


# A command that is killed where it hurts: the function that is named ends the process as `kill -9` would.
KILLED = """
import os, pathlib, sys
import interlock.app
import interlock.evidence.publish as publish
import interlock.workspace.ledger as ledger
import interlock.workspace.windows as windows
die = lambda *_, **__: os._exit(9)
def die_after(function):
    def dead(*given, **named):
        function(*given, **named)
        os._exit(9)
    return dead
replace = publish.replace
def dying_while_it_writes(*given, **named):
    os.fsync = die
    replace(*given, **named)
{plant}
from interlock.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
POINTS = {
    "before any file": "windows.Windows.catch_up = die",
    "before the ledger": "ledger.catch_up = die",
    "in the middle of the ledger": "ledger._write_all = lambda d, data, at: (os.pwrite(d, data[:99], at), os._exit(9))",
    "after the ledger": "ledger.catch_up = die_after(ledger.catch_up)",
    "before the heads": "ledger.write_heads = die",
    "before the window": "windows.Windows._show_since = die",
    "while the window is written": "publish.replace = windows.publish.replace = dying_while_it_writes",
    "after the content, before the rename": "pathlib.Path.rename = die",
    "after the rename": "windows._sync = die",
    "before the cursor": "windows.Windows._store = die",
    "after the cursor": "windows.Windows._store = die_after(windows.Windows._store)",
}


def killed(root: Path, point: str, *words: str) -> None:
    done = python(KILLED.format(plant=POINTS[point]), "--workspace", str(root), *words, at=root)
    assert done.returncode == 9, done.stderr


def is_whole(ask: Door, approved: str) -> None:
    ops = ask.root / ".orch_data" / "ops"
    assert window_of(ask.root, approved).exists()
    assert not (ops / "drafts" / f"{approved.replace('a_', 'd_')}.json").exists()
    assert ask("windows", "verify").code == 0
    assert ask("evidence", "head").code == 0
    assert ask("evidence", "verify").code == 0


@pytest.mark.parametrize("point", POINTS)
def test_an_approval_that_was_killed_after_its_commit_is_shown_by_the_next_command(ask: Door, point: str) -> None:
    draft = ask.draft()
    killed(ask.root, point, "draft", "approve", draft)
    assert ask.json("draft", "show", draft)["status"] == "approved"
    names = [window_of(ask.root, name).exists() for name in (draft, twin(draft))]
    assert names.count(True) == 1, names
    assert ask("draft", "create", "--prompt", "next").err == ""
    is_whole(ask, twin(draft))
    completed = [event["kind"] for event in ask.json("evidence", "list")].count("window.completed")
    assert completed == (point == "in the middle of the ledger")


@pytest.mark.parametrize("point", ["before any file", "after the content, before the rename", "before the cursor"])
def test_the_next_command_may_be_killed_too(ask: Door, point: str) -> None:
    draft = ask.draft()
    killed(ask.root, point, "draft", "approve", draft)
    killed(ask.root, "before the cursor", "draft", "create", "--prompt", "second")
    killed(ask.root, "before the heads", "draft", "create", "--prompt", "third")
    ask.draft(prompt="last")
    is_whole(ask, twin(draft))
    assert len(ask.json("draft", "list")) == 4


def test_a_killed_writer_s_lock_does_not_stay(ask: Door) -> None:
    killed(ask.root, "before the ledger", "draft", "create", "--prompt", "x")
    assert ask("draft", "create", "--prompt", "y").err == ""
