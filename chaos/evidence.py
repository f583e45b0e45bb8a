"""The scene `evidence`: heads are signed and exports made while it storms, and each is held against the one before."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import ClassVar

from chaos.calls import Called, Calls
from chaos.invariants import logged
from chaos.scene import Hand, Scene
from chaos.workspace import PROGRAM, Workspace
from interlock.evidence.export import HEADS, LEDGER
from interlock.evidence.head import read_head

_COMPLETED = ("window.completed", f"storage/db/evidence/{LEDGER}")


class Evidence(Scene):
    """An auditor who exports, verifies, and keeps every head that he saw."""

    name = "evidence"
    kinds: ClassVar[Mapping[str, Sequence[str]]] = {
        "exporter_killed": ("exporter",),
        "exporter_paused": ("exporter",),
        "ledger_torn": ("ledger",),
    }
    pace = (1.0, 4.0)

    def __init__(self, workspace: Workspace, seed: int) -> None:
        """Prepare a place for the exports, and sign the first head."""
        self._workspace = workspace
        self._place = workspace.place / "exports"
        self._place.mkdir()
        self._calls = Calls(workspace.root, workspace.environment)
        self._dice = Random(seed)
        self._key = workspace.house.layout.evidence / "log.vkey"
        self._number = 0
        self._tears: list[int] = []
        """How long the log was when the ledger was torn."""
        self._wrong: list[str] = []
        self._heads: list[Path] = []
        self._export(self._dice)
        workspace.limited.append(self._calls.pids)

    def hands(self) -> Sequence[Hand]:
        """Let the auditor work."""
        return (self._audit,)

    def calm(self) -> None:
        """Let the last head be signed, and the last export be made."""
        if not self._export(self._dice):
            self._wrong.append("the last export can not be made")

    def told(self) -> str:
        """Count."""
        return f"{len(self._heads)} exports verified of {self._number}"

    def close(self) -> None:
        """End nothing: whatever was called has ended."""

    # --- what befalls it ----------------------------------------------------------------------------------------------

    @contextmanager
    def exporter_killed(self, _: str) -> Generator[None]:
        """Who signs or exports dies by `kill -9`."""
        with self._calls.killing():
            yield

    @contextmanager
    def exporter_paused(self, _: str) -> Generator[None]:
        """Who signs or exports stands still for a while."""
        with self._calls.pausing():
            yield

    @contextmanager
    def ledger_torn(self, _: str) -> Generator[None]:
        """The last line of the exported ledger is torn, as a power cut leaves it."""
        self._tears.append(self._workspace.tear(self._workspace.house.layout.evidence / LEDGER, self._dice.random))
        yield

    # --- what must hold -----------------------------------------------------------------------------------------------

    def broken(self) -> Iterator[str]:
        """Every export verified, every head that was seen is one of this log, and what was torn was told of."""
        yield from self._wrong
        yield from self._calls.accidents
        if not self._heads:
            yield "no export was made"
            return
        yield from self._still_of_this_log()
        said = self._interlock(self._dice, "evidence", "verify")
        if said.code:
            yield f"evidence verify says {said}"
        events = logged(self._workspace.house)
        told = [index for index, each in enumerate(events) if (each["kind"], each["subject"]) == _COMPLETED]
        for size in self._tears:
            if not told or told[-1] < size:
                yield f"the ledger was torn behind entry {size}, and nobody told of it"

    def _still_of_this_log(self) -> Iterator[str]:
        since = [word for head in self._heads for word in ("--since", str(head))]
        last = self._heads[-1].parent
        said = self._interlock(self._dice, "evidence", "verify", "--dir", str(last), "--key", str(self._key), *since)
        if said.code:
            yield f"the last export says of the heads before it {said}"
        proof = self._place / "proof"
        said = self._interlock(self._dice, "evidence", "consistency", str(self._heads[0]), "--out", str(proof))
        if said.code == 0:
            words = ("check-consistency", str(proof), "--key", str(self._key), "--since", str(self._heads[0]))
            said = self._interlock(self._dice, "evidence", *words)
        if said.code:
            yield f"the first head and the last one: {said}"

    # --- inside -------------------------------------------------------------------------------------------------------

    def _audit(self, dice: Random) -> None:
        self._interlock(dice, "queue", "add", "--task", "something to tell of", "--success-criteria", "it is told of")
        self._export(dice)
        threading.Event().wait(0.5)

    def _export(self, dice: Random) -> bool:
        """Sign, export, verify; who fails at it tries again in the same folder."""
        self._number += 1
        folder = self._place / str(self._number)
        for _ in range(4):
            if self._interlock(dice, "evidence", "head").code:
                continue
            if self._interlock(dice, "evidence", "export", str(folder)).code == 0:
                return self._verified(dice, folder)
        return False

    def _verified(self, dice: Random, folder: Path) -> bool:
        words = ("evidence", "verify", "--dir", str(folder), "--key", str(self._key))
        since = ("--since", str(self._heads[-1])) if self._heads else ()
        said = self._interlock(dice, *words, *since)
        if said.code < 0:
            return False  # the auditor was killed
        if said.code:
            self._wrong.append(f"the export {folder.name} does not verify: {said}")
            return False
        head = folder / "last-head"
        head.write_text(_last_head(folder / HEADS))
        self._heads.append(head)
        return True

    def _interlock(self, dice: Random, *words: str) -> Called:
        return self._calls.call(dice, PROGRAM, *words)


def _last_head(heads: Path) -> str:
    return read_head(heads.read_bytes().splitlines(keepends=True)[-1]).note
