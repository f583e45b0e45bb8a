"""Somebody at a terminal, as a process: `python -m chaos.session HARM ACCOUNT SEED NAME WORKSPACE`.

It adds, claims, ends and steers items with the program's own commands, over and over, until it is killed or told to
stop by the end of its input. Before it asks for something it writes down what, and afterwards what was answered, so
that a kill at any moment leaves a true account of what was promised to it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from chaos.calls import ACCIDENT
from chaos.process import harmed
from interlock.cli import ops
from interlock.cli.main import main

BOARD = "board.md"
"""A Markdown queue beside the workspace's own."""
SHARED = "SHARED"
"""A row of it on which everybody writes a mark."""
_WORKS_SECONDS = (0, 0, 0, 0, 0, 0, 0.2, 5)
"""How long it works on an item; the longest is longer than its lease and the back-off behind that."""


class Session:
    """One session."""

    def __init__(self, account: Path, seed: str, name: str, workspace: Path) -> None:
        """Begin."""
        self._account = os.open(account, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._dice = Random(f"{seed} {name}")
        self._name = name
        self._workspace = workspace
        self._on_board = ("--queue", str(workspace / BOARD))
        self._number = 0
        self._known: list[str] = []

    def act(self) -> None:
        """Do one thing."""
        self._number += 1
        first = [self._add, self._mark, self._row, self._work, self._steer]
        acts = [self._add, self._work, self._work, self._work, self._steer, self._board, self._board, self._look]
        act = first[self._number - 1] if self._number <= len(first) else self._dice.choice(acts)
        act(f"{self._name}/{self._number}")

    # --- what it does -------------------------------------------------------------------------------------------------

    def _add(self, mark: str) -> None:
        words = ("add", "--task", mark, "--success-criteria", "s", "--idempotency-key", mark)
        self._asks("adds", mark)
        if made := self._queue(*words):
            self._asks("added", mark, made["id"])
            self._known = [*self._known[-30:], made["id"]]

    def _work(self, mark: str) -> None:
        item = self._queue("claim", "--owner-session", self._name)
        if not item or item["id"] is None:
            return
        self._asks("claimed", item["id"], item["fence"])
        self._known = [*self._known[-30:], item["id"]]
        verb, *more = self._dice.choice((
            ("complete",),
            ("complete",),
            ("complete",),
            ("release",),
            ("fail", "--class", "transient"),
            ("fail", "--class", "permanent"),
        ))  # fmt: skip
        time.sleep(self._dice.choice(_WORKS_SECONDS))
        if self._queue(verb, item["id"], "--fence", str(item["fence"]), "--notes", mark, *more):
            self._asks("did", verb, item["id"], item["fence"], mark)

    def _steer(self, mark: str) -> None:
        if not self._known:
            return
        item_id = self._dice.choice(self._known)
        words = self._dice.choice((
            ("retry", item_id, "--reason", mark),
            ("replan", item_id, "--notes", mark),
            ("cancel", item_id, "--reason", mark),
            ("rescue", "--once"),
        ))  # fmt: skip
        if self._queue(*words) and words[0] != "rescue":
            self._asks("steered", words[0], item_id, mark)

    def _board(self, mark: str) -> None:
        (self._mark if self._dice.random() < 0.4 else self._row)(mark)

    def _mark(self, mark: str) -> None:
        if self._queue("replan", SHARED, "--notes", mark, *self._on_board):
            self._asks("marked", mark)

    def _row(self, mark: str) -> None:
        added = self._queue("add", "--task", mark, "--success-criteria", "s", *self._on_board)
        if not added:
            return
        self._asks("wrote", added["id"], mark)
        own = ("--owner-session", self._name)
        taken = self._queue("claim", *own, *self._on_board)
        if taken and taken["id"] is not None:
            self._asks("took", taken["id"])
            if self._queue("complete", taken["id"], *own, "--notes", mark, *self._on_board):
                self._asks("finished", taken["id"], mark)

    def _look(self, _: str) -> None:
        verb = self._dice.choice(("status", "workers", "kpi", "consistency-check"))
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
            ops.main([str(self._workspace), verb])
        self._heard((verb,), said.getvalue())

    # --- how ----------------------------------------------------------------------------------------------------------

    def _queue(self, *words: str) -> dict[str, Any] | None:
        """Call `interlock queue`; None where it failed or was refused."""
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as said:
            code = main(["--workspace", str(self._workspace), "--json", "queue", *words])
        self._heard(words, said.getvalue())
        return json.loads(out.getvalue()) if code == 0 else None

    def _heard(self, words: Sequence[str], said: str) -> None:
        if ACCIDENT.search(said):
            self._asks("accident", *words, said)

    def _asks(self, *words: object) -> None:
        line = json.dumps(words).encode() + b"\n"
        while line:  # no file may grow where no disk could be mounted to be full
            try:
                line = line[os.write(self._account, line) :]
            except OSError:
                time.sleep(0.05)  # until there is room again, which the storm sees to


def _until_told() -> threading.Event:
    over = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=listen, daemon=True).start()
    return over


if __name__ == "__main__":
    given_harm, given_account, given_seed, given_name, given_workspace = sys.argv[1:]
    harmed(Path(given_harm))
    ended = _until_told()
    session = Session(Path(given_account), given_seed, given_name, Path(given_workspace))
    session.act()
    while not ended.is_set():
        session.act()
