"""A window's own note of how far it is: whatever stands in its place, the files follow on and stay right."""

# A queue's window is opened by nobody but the house.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from interlock.app import Interlock
from interlock.kernel.ids import UlidSource
from interlock.queue import markdown
from interlock.settings import Settings
from interlock.storage.sqlite.database import SqliteDatabase
from interlock.workspace.events import WorkspaceCreated
from interlock.workspace.layout import Layout
from interlock.workspace.service import make_keys
from tests.conftest import ALICE, ORIGIN
from tests.fuzz.effort import FACTOR, effort
from tests.fuzz.spoiling import ODD_BYTES, ODD_JSON, anything, swapped
from tests.queue.crowd import NEW
from tests.workspace.told import everything, expected, following, say, there


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Interlock]:
    """The rooms over SQLite alone: the notes are files."""
    (tmp_path / ".interlock").mkdir()
    database = SqliteDatabase(tmp_path / ".interlock" / "interlock.db")
    database.create(ORIGIN)
    make_keys(Layout(tmp_path), ORIGIN, "alice")
    yield Interlock(Layout(tmp_path), Settings(), database, UlidSource())
    database.close()


def spoil(note: Path, look: Callable[[], None], most: int) -> None:
    """Put everything odd in the note's place, and look each time."""
    seed = note.read_bytes()
    json.loads(seed)

    @settings(effort(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(anything([seed]))
    def hold(data: bytes) -> None:
        note.write_bytes(data)
        look()

    for data in (*swapped(seed, most * FACTOR), *ODD_BYTES, *(each.encode() for each in ODD_JSON)):
        note.write_bytes(data)
        look()
    hold()
    note.unlink()
    look()


def test_the_windows_follow_whatever_their_note_says(own: Interlock) -> None:
    own.approval.set_plan(
        ALICE, {**dict.fromkeys(("id", "title", "workspace", "created", "objective"), ""), "tasks": []}
    )
    own.approval.approve(ALICE, own.approval.create(ALICE, "dust").id)
    own.windows.catch_up(ALICE)
    number = 0

    def look() -> None:
        nonlocal number
        number += 1
        if number % 10 == 0:
            own.approval.create(ALICE, f"sweep {number}")
        assert own.windows.catch_up(ALICE) == ()
        assert own.windows.differences() == []

    spoil(own.layout.state / "windows.json", look, 60)


def test_the_evidence_files_follow_whatever_their_note_says(own: Interlock) -> None:
    say(own, WorkspaceCreated(subject="workspace", origin=ORIGIN), *everything())
    assert following(own).catch_up(ALICE) == ()

    def look() -> None:
        told = following(own).catch_up(ALICE)
        assert all("was left alone" in each or "changed" in each for each in told), told
        assert there(own.layout.root) == expected(own)
        assert following(own).differences() == []

    spoil(own.layout.state / "pipeline_windows.json", look, 60)


def test_a_queue_follows_or_is_left_alone_whatever_its_note_says(own: Interlock) -> None:
    path = own.layout.root / "QUEUE.md"
    with own.queue(ALICE) as queue:
        queue.add(NEW)
    path.write_bytes(markdown.rendered(markdown.parse(path, TABLE), own._item_rows(), banner=True))
    own._queue_windows.own(path)
    before = path.read_bytes()

    def look() -> None:
        for each in own._queue_windows.catch_up():
            assert "changed by hand" in each or "could not be written" in each
        assert path.read_bytes() == before

    spoil(own.layout.state / "queue-windows.json", look, 200)


TABLE = b"|" + b"|".join(name.encode() for name in markdown.COLUMNS) + b"|\n" + b"|---" * 9 + b"|\n"
