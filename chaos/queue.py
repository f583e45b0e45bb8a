"""The scene `queue`: sessions work on the workspace's queue and on a Markdown queue, and are killed in the middle."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from chaos.calls import Calls
from chaos.fleet import ALICE
from chaos.invariants import logged
from chaos.process import clock_jumping
from chaos.scene import Hand, Scene
from chaos.session import BOARD, SHARED
from chaos.workspace import PROGRAM, Workspace
from interlock.kernel.errors import InterlockError
from interlock.queue import run_log
from interlock.queue.kpi import RunLog
from interlock.queue.markdown import read
from interlock.queue.models import Executor, ItemKind, NewItem

_ROOT = Path(__file__).resolve().parents[1]
_SESSIONS = ("1", "2", "3")
_BOARD = (
    "| id | status | priority | task | success_criteria | owner_session | started_at_kst | due_at_kst | notes |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
    f"| {SHARED} | PENDING | P2 | everybody's | s | - | - | - |  |\n"
)
_PROMISES = ("added", "claimed", "did", "steered", "marked", "wrote", "took", "finished")
"""What a session writes down of what was promised to it."""
_HELD = {"item.completed", "item.failed", "item.returned", "item.released"}
"""What only the holder of the last claim may do."""
_BECOMES = {
    "item.added": "PENDING",
    "item.claimed": "IN_PROGRESS",
    "item.completed": "DONE",
    "item.failed": "FAILED",
    "item.returned": "PENDING",
    "item.released": "PENDING",
    "item.rescued": "PENDING",
    "item.cancelled": "BLOCKED",
    "item.retried": "PENDING",
}
_VERBS = {
    "complete": (("item.completed", 0),),
    "release": (("item.released", 1),),
    "fail": (("item.failed", 0), ("item.returned", 1)),
}
_STEERS = {"retry": "item.retried", "replan": "item.replanned", "cancel": "item.cancelled"}


class Queue(Scene):
    """Three sessions at once; who is killed is followed by another one."""

    name = "queue"
    kinds: ClassVar[Mapping[str, Sequence[str]]] = {
        "killed": _SESSIONS,
        "paused": _SESSIONS,
        "clock_jumps": _SESSIONS,
    }
    lasts = (0.2, 1.0, 3.0)
    pace = (0.5, 3.0)

    def __init__(self, workspace: Workspace, seed: int) -> None:
        """Prepare both queues, and let the sessions begin."""
        self._workspace = workspace
        self._seed = seed
        self._place = workspace.place / "sessions"
        self._place.mkdir()
        self._log = workspace.place / "sessions.log"
        (workspace.root / BOARD).write_text(_BOARD)
        self._dice = Random(seed)
        self._calls = Calls(workspace.root, workspace.environment)
        self._call("queue", "render", "--own")
        self._harms = {each: workspace.harm(f"session-{each}") for each in _SESSIONS}
        self._sessions: dict[str, subprocess.Popen[bytes]] = {}
        self._begun = 0
        self._wrong: list[str] = []
        self._guard = threading.Lock()
        workspace.limited.append(lambda: [each.pid for each in list(self._sessions.values()) if each.poll() is None])

    def hands(self) -> Sequence[Hand]:
        """Let another session begin wherever one is gone."""
        return (self._look_after,)

    def calm(self) -> None:
        """Let the sessions end what they are at, ask again for what was never answered, and tell what was not told."""
        for slot, session in self._sessions.items():
            session.communicate(timeout=120)
            self._is_as_meant(slot, 0)
        known = {words[1] for words in self._told("added")}
        with self._workspace.house.queue(ALICE) as queue:
            for _, mark in self._told("adds"):
                if mark not in known:
                    queue.add(_new(mark))
        self._call("queue", "replan", SHARED, "--notes", "calm", "--queue", str(self._workspace.root / BOARD))
        self._call("queue", "render")

    def told(self) -> str:
        """Count."""
        acts = sum(len(self._told(each)) for each in _PROMISES)
        return f"{acts} promises to {self._begun} sessions"

    def close(self) -> None:
        """End the sessions."""
        for session in self._sessions.values():
            session.send_signal(signal.SIGCONT)
            session.kill()
            session.communicate()

    # --- what befalls it ----------------------------------------------------------------------------------------------

    @contextmanager
    def killed(self, on: str) -> Generator[None]:
        """A session dies by `kill -9`, and is followed by another one."""
        with self._guard:
            if on in self._sessions:
                self._sessions[on].kill()
                self._sessions[on].communicate()
                self._is_as_meant(on, -signal.SIGKILL)
                del self._sessions[on]
        yield

    @contextmanager
    def paused(self, on: str) -> Generator[None]:
        """A session stands still, for longer than its lease as it may be, and wakes late."""
        with self._guard:
            session = self._sessions.get(on)
        if session is not None:
            session.send_signal(signal.SIGSTOP)
        yield
        if session is not None:
            session.send_signal(signal.SIGCONT)

    @contextmanager
    def clock_jumps(self, on: str) -> Generator[None]:
        """A session's clock goes an hour ahead, then an hour behind, then right again."""
        with clock_jumping(self._harms[on]):
            yield

    # --- what must hold -----------------------------------------------------------------------------------------------

    def broken(self) -> Iterator[str]:
        """Hold what was promised, the log, the counts, the files and the figures against each other."""
        yield from self._wrong
        yield from self._calls.accidents
        yield from (f"an accident: {' '.join(map(str, words[1:]))}" for words in self._told("accident"))
        yield from (f"nobody was promised anything by `{verb}`" for verb in _PROMISES if not self._told(verb))
        events = logged(self._workspace.house)
        items = [each for each in events if each["kind"].startswith("item.")]
        yield from _in_order(items)
        yield from self._counts_agree(items)
        yield from self._promises_are_kept(items)
        yield from self._board_is_as_told([each for each in events if each["kind"] == "markdown.changed"])
        yield from self._figures_agree(events)
        for words in (("queue", "consistency-check"), ("queue", "health")):
            said = self._called(*words)
            if said.code not in {0, 20}:  # a figure above its limit is no wonder in a storm
                yield f"{' '.join(words)} says {said}"

    def _counts_agree(self, items: Sequence[dict[str, Any]]) -> Iterator[str]:
        folded = {
            each["subject"]: each["payload"].get("status") or _BECOMES[each["kind"]]
            for each in items
            if each["kind"] in _BECOMES or "status" in each["payload"]
        }
        with closing(sqlite3.connect(self._workspace.house.layout.database)) as connection:
            there = dict(connection.execute("SELECT id, status FROM queue_items").fetchall())
        for item_id in folded.keys() | there.keys():
            if folded.get(item_id) != there.get(item_id):
                yield f"{item_id} is {there.get(item_id)}, and the log comes to {folded.get(item_id)}"
        with self._workspace.house.queue_look() as queue:
            counts = {status: number for status, number in queue.counts().items() if number}
        if counts != Counter(there.values()):
            yield f"the queue counts {counts}, and there are {dict(Counter(there.values()))}"

    def _promises_are_kept(self, items: Sequence[dict[str, Any]]) -> Iterator[str]:
        claims = Counter(
            (each["subject"], each["payload"]["fence"], each["payload"]["owner_session"])
            for each in items
            if each["kind"] == "item.claimed"
        )
        for session, words in self._accounts("claimed"):
            times = claims[words[1], words[2], session]
            if times != 1:
                yield f"{session} was given {words[1]} under {words[2]}, which is {times} times in the log"
        ends = Counter((each["kind"], each["subject"], each["payload"].get("fence")) for each in items)
        for _, verb, item_id, fence, mark in self._told("did"):
            # Giving an item back raises its fence, ending it does not.
            times = sum(ends[kind, item_id, fence + rises] for kind, rises in _VERBS[verb])
            if times != 1 or not self._noted(item_id, mark):
                yield f"{verb} of {item_id} under {fence} ({mark}) was promised, and is {times} times in the log"
        reasons = Counter((each["kind"], each["payload"].get("reason")) for each in items)
        reasons += Counter((each["kind"], each["payload"].get("notes")) for each in items if "notes" in each["payload"])
        for _, verb, item_id, mark in self._told("steered"):
            times = reasons[_STEERS[verb], mark]
            if times != 1:
                yield f"{verb} of {item_id} ({mark}) was promised, and is {times} times in the log"
        yield from self._added_once(items)

    def _added_once(self, items: Sequence[dict[str, Any]]) -> Iterator[str]:
        added = Counter(each["subject"] for each in items if each["kind"] == "item.added")
        yield from (f"{item_id} was added {times} times" for item_id, times in added.items() if times > 1)
        with closing(sqlite3.connect(self._workspace.house.layout.database)) as connection:
            rows = connection.execute("SELECT task, id FROM queue_items WHERE task LIKE '%/%'").fetchall()
        tasks = Counter(task for task, _ in rows)
        yield from (f"`{task}` is there {times} times" for task, times in tasks.items() if times > 1)
        found = dict(rows)
        for _, mark in self._told("adds"):
            if mark not in found:
                yield f"`{mark}` was asked for, and asked for again, and is not there"
        for _, mark, item_id in self._told("added"):
            if found.get(mark) != item_id:
                yield f"`{mark}` was added as {item_id}, and is {found.get(mark)}"

    def _noted(self, item_id: str, mark: str) -> bool:
        with self._workspace.house.queue_look() as queue:
            return mark in queue.get(item_id).notes

    def _board_is_as_told(self, changes: Sequence[dict[str, Any]]) -> Iterator[str]:
        rows = {each.id: each.cells for each in read(self._workspace.root / BOARD).rows}
        stands: dict[str, str | None] = {SHARED: "PENDING"}
        for each in changes:
            if each["payload"]["previous_status"] != stands.get(each["subject"]):
                yield f"{each['subject']} of the board was {stands.get(each['subject'])} before {each['payload']}"
            stands[each["subject"]] = each["payload"]["status"]
        for row_id in rows.keys() | stands.keys():
            now = rows[row_id]["status"] if row_id in rows else None
            if now != stands.get(row_id):
                yield f"{row_id} of the board is {now}, and the log comes to {stands.get(row_id)}"
        marks = Counter(rows[SHARED]["notes"].split(" / "))
        promised = {f"replan:{mark}" for _, mark in self._told("marked")}
        yield from (f"the mark {mark} stands {marks[mark]} times" for mark in promised if marks[mark] != 1)
        yield from (f"the mark {mark} stands {times} times" for mark, times in marks.items() if times > 1)
        taken = Counter(row_id for _, row_id in self._told("took"))
        yield from (f"{row_id} of the board was taken {times} times" for row_id, times in taken.items() if times > 1)
        for _, row_id, mark in self._told("wrote"):
            if row_id not in rows or rows[row_id]["task"] != mark:
                yield f"{row_id} of the board ({mark}) was promised, and is {rows.get(row_id)}"
        for _, row_id, mark in self._told("finished"):
            if rows.get(row_id, {}).get("status") != "DONE" or mark not in rows[row_id]["notes"]:
                yield f"{row_id} of the board was finished ({mark}), and is {rows.get(row_id)}"

    def _figures_agree(self, events: Sequence[dict[str, Any]]) -> Iterator[str]:
        figures = RunLog()
        figures.add(run_log.read(self._workspace.house.layout.run_log))
        done = sum(each["kind"] == "item.completed" or each["payload"].get("verb") == "complete" for each in events)
        failed = sum(each["kind"] == "item.failed" or each["payload"].get("verb") == "fail" for each in events)
        if (figures.done, figures.failed) != (done, failed):
            yield f"the run log counts {figures.done} done and {figures.failed} failed, the log {done} and {failed}"

    # --- inside -------------------------------------------------------------------------------------------------------

    def _look_after(self, _: Random) -> None:
        time.sleep(0.1)
        for each in _SESSIONS:
            with self._guard:
                if each in self._sessions and self._sessions[each].poll() is not None:
                    self._is_as_meant(each, None)
                    del self._sessions[each]
                if each not in self._sessions:
                    self._start(each)

    def _is_as_meant(self, slot: str, code: int | None) -> None:
        """Take down a session that ended otherwise than we let it."""
        if (came := self._sessions[slot].returncode) != code:
            self._wrong.append(f"session {slot} ended by itself with {came}: {self._log.read_text()[-2000:]}")

    def _start(self, slot: str) -> None:
        self._begun += 1
        name = f"s{slot}-{self._begun}"
        words = (self._harms[slot], self._place / name, self._seed, name, self._workspace.root)
        with self._log.open("ab") as output:
            self._sessions[slot] = subprocess.Popen(
                [sys.executable, "-m", "chaos.session", *map(str, words)],
                cwd=_ROOT,
                env=self._workspace.environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _told(self, verb: str) -> list[list[Any]]:
        return [words for _, words in self._accounts(verb)]

    def _accounts(self, verb: str) -> list[tuple[str, list[Any]]]:
        """Return what sessions wrote down of this kind, each with the session's name; half a line was not written."""
        lines = [(file.name, line) for file in self._place.iterdir() for line in file.read_bytes().split(b"\n")[:-1]]
        found = [(name, json.loads(line)) for name, line in lines]
        return [(name, words) for name, words in found if words[0] == verb]

    def _called(self, *words: str) -> Any:  # noqa: ANN401 - a `Called`
        return self._calls.call(self._dice, PROGRAM, *words)

    def _call(self, *words: str) -> None:
        said = self._called(*words)
        if said.code:
            raise InterlockError(f"{words} does not work: {said}")


def _new(mark: str) -> NewItem:
    return NewItem(
        kind=ItemKind.MANUAL,
        executor=Executor.EXTERNAL,
        priority="P1",
        task=mark,
        success_criteria="s",
        idempotency_key=mark,
        max_attempts=100,
    )


def _in_order(items: Sequence[dict[str, Any]]) -> Iterator[str]:
    """No claim begins before the one before it is over, and only who holds an item ends it."""
    held: dict[str, int | None] = {}
    last: dict[str, int] = {}
    for each in items:
        item_id, kind, payload = each["subject"], each["kind"], each["payload"]
        if kind == "item.claimed":
            if held.get(item_id) is not None:
                yield f"{item_id} was claimed under {payload['fence']} while it was held under {held[item_id]}"
            if payload["fence"] <= last.get(item_id, -1):
                yield f"{item_id} was claimed under {payload['fence']} after {last[item_id]}"
            held[item_id] = last[item_id] = payload["fence"]
        elif kind in _HELD and held.get(item_id) is None and payload.get("reason") != "attempts_exhausted":
            yield f"{kind} of {item_id} under {payload['fence']}, which nobody held"
        elif kind in {"item.completed", "item.failed"} and payload["fence"] != held[item_id]:
            yield f"{kind} of {item_id} under {payload['fence']}, which is held under {held[item_id]}"
        if (kind in _BECOMES and kind not in {"item.claimed", "item.added"}) or "status" in payload:
            held[item_id] = None
