"""Eight who write and eight who read one Markdown queue at once: nothing lost, nothing taken twice, nothing torn.

A few seconds in the suite; INTERLOCK_SOAK_SECONDS makes it longer.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from interlock.kernel.events import Event
from interlock.queue.markdown import read
from interlock.queue.markdown_service import MarkdownQueue
from interlock.storage.evidence import StoredLog
from tests.conftest import ALICE
from tests.queue.test_markdown_journal import HEADER, Workspace, row

SECONDS = float(os.environ.get("INTERLOCK_SOAK_SECONDS", "3"))
BEFORE = f"앞말\r\n\n{HEADER}".encode()
AFTER = "\r\n뒤".encode()


@dataclass
class Written:
    """What one writer did."""

    added: list[str] = field(default_factory=list[str])
    done: list[str] = field(default_factory=list[str])
    marks: list[str] = field(default_factory=list[str])


@pytest.mark.timeout(SECONDS + 60)
def test_eight_writers_and_eight_readers_lose_double_and_tear_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.path.write_bytes(BEFORE + row("SHARED").replace("P1", "P2").encode() + AFTER)
    until = time.monotonic() + SECONDS
    with ProcessPoolExecutor(16) as pool:
        writers = [pool.submit(write, workspace, f"w{number}", until) for number in range(8)]
        readers = [pool.submit(look, workspace.path, until) for _ in range(8)]
        looks = [reader.result() for reader in readers]
        written = {f"w{number}": writer.result() for number, writer in enumerate(writers)}
    rows = {each.id: each.cells for each in read(workspace.path).rows}
    added = [item_id for each in written.values() for item_id in each.added]
    assert sorted([*added, "SHARED"]) == sorted(rows), "every row that was added is there, under an id of its own"
    done = [(item_id, name) for name, each in written.items() for item_id in each.done]
    assert len(done) == len({item_id for item_id, _ in done}) == len(added), "nobody took what another one had taken"
    for item_id, name in done:
        assert (rows[item_id]["owner_session"], rows[item_id]["notes"]) == (name, f"{item_id} by {name}")
    marks = [mark for each in written.values() for mark in each.marks]
    assert Counter(rows["SHARED"]["notes"].split(" / ")) == Counter(marks), "no note on the row of all was lost"
    assert workspace.path.read_bytes().startswith(BEFORE)
    assert workspace.path.read_bytes().endswith(AFTER)
    _as_the_log_says(workspace, 3 * len(added) + len(marks))
    assert min(looks) > 10
    print(f"{len(added)} items, {len(marks)} notes, {sum(looks)} reads in {SECONDS} s")  # noqa: T201 - for a long run


def _as_the_log_says(workspace: Workspace, changes: int) -> None:
    database = workspace.database()
    log = StoredLog(database)
    events = [event for start in range(0, log.size(), 500) for _, event in log.events(start, 500)]
    database.close()
    assert len(events) == len({event["key"] for event in events}) == changes
    stands: dict[str, str | None] = {"SHARED": "PENDING"}
    for event in events:
        assert event["payload"]["previous_status"] == stands.get(event["subject"]), "in the order of the changes"
        stands[event["subject"]] = event["payload"]["status"]


def write(workspace: Workspace, name: str, until: float) -> Written:
    """Add, claim, complete, and note something on the row that all share, until the time is over."""
    database = workspace.database()

    def tell(event: Event) -> None:
        with database.write(ALICE) as transaction:
            transaction.emit(event)

    made = MarkdownQueue(workspace.path, journal=replace(workspace.journal(), tell=tell))
    written = Written()
    while time.monotonic() < until:
        written.added.append(made.add(priority="P0", task="일", success_criteria="swept").id)
        claimed = made.claim(name)
        assert claimed is not None
        made.complete(claimed.id, f"{claimed.id} by {name}", owner_session=name)
        written.done.append(claimed.id)
        mark = f"{name}-{len(written.marks)}"
        made.replan("SHARED", mark)
        written.marks.append(f"replan:{mark}")
    assert made.warnings == []
    return written


def look(path: Path, until: float) -> int:
    """Read until the time is over: rows only become more, and what is DONE stays so."""
    rows, ended, looks = 0, 0, 0
    while time.monotonic() < until:
        found = read(path).rows
        done = sum(each.cells["status"] == "DONE" for each in found)
        assert len(found) >= rows
        assert done >= ended
        rows, ended, looks = len(found), done, looks + 1
        time.sleep(0.002)  # as a person's screen does; else eight readers leave the writers no processor
    return looks
