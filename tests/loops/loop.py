"""A loop in a folder of its own, as the runtime leaves it, and what a reconcile makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from interlock.loops import files
from interlock.loops.files import Document
from interlock.loops.health import Thresholds
from interlock.loops.journal import Tell
from interlock.loops.local import Local
from interlock.loops.models import stamp
from interlock.loops.places import LoopPlaces
from interlock.loops.reconcile import Outcome, ReconcileOptions, reconcile
from interlock.loops.snapshot import Snapshot

NOW = 1_795_000_000
"""The present second, unless a test says otherwise."""
PROFILES = ("strict", "balanced", "relaxed")
DEAD_PID = 2**22 + 1
"""No process has this number: it is above the kernel's highest."""


def seen(**known: object) -> Snapshot:
    """Return a snapshot in which only this is known."""
    bare: dict[str, Any] = dict.fromkeys(Snapshot._fields)
    bare |= {"loop": "docs", "status": "unknown", "run_id": "unknown", "iteration": 0, "offset": 0, "total": 0}
    return Snapshot(**(bare | cast("dict[str, Any]", known)))


@dataclass
class Loop:
    """The loop `docs`, and the clock it lives by."""

    repo: Path
    id: str = "docs"
    now: int = NOW

    def __post_init__(self) -> None:
        self.run.mkdir(parents=True, exist_ok=True)

    # --- the runtime's side -------------------------------------------------------------------------------------------

    @property
    def run(self) -> Path:
        return self.repo / ".superloop" / "loops" / self.id

    @property
    def log(self) -> Path:
        return self.run / "events.jsonl"

    def state(self, *, active: bool = True, **more: object) -> Loop:
        self._put(self.repo / ".superloop" / "state.json", {"active": active, "current_loop_id": self.id, **more})
        return self

    def active_run(self, **more: object) -> Loop:
        self._put(self.repo / ".superloop" / "active-run.json", {"loop_id": self.id, **more})
        return self

    def events(self, *names: str, at: int | None = None, **more: object) -> Loop:
        with self.log.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(self.event(name, at=at, **more)) + "\n" for name in names)
        return self

    def event(self, name: str, *, at: int | None = None, **more: object) -> Document:
        when = stamp(self.now if at is None else at)
        return {"timestamp": when, "event": name, "loop_id": self.id, "run_id": "r-7", "iteration": 2} | more

    def raw(self, data: bytes) -> Loop:
        with self.log.open("ab") as file:
            file.write(data)
        return self

    def summary(self, *, completion_ok: bool = False, ended: int | None = None, **more: object) -> Loop:
        entry = {
            "run_id": "r-7",
            "iteration": 1,
            "gates": {"tests": "ok", "lifecycle": "ok"},
            "stuck": {"streak": 0, "threshold": 3},
            "completion_ok": completion_ok,
            "ended_at": stamp(self.now if ended is None else ended),
        }
        self._put(self.run / "run-summary.json", {"version": 1, "loop_id": self.id, "entries": [entry | more]})
        return self

    def approval(self, status: str = "pending") -> Loop:
        self._put(self.run / "approval.json", {"status": status, "loop_id": self.id, "run_id": "r-7"})
        return self

    def beat(self, age: int = 0, **more: object) -> Loop:
        beat = {"schemaVersion": "v1", "timestamp": stamp(self.now - age), "source": "runtime"}
        self._put(self.run / "heartbeat.v1.json", beat | more)
        return self

    def running(self) -> Loop:
        """Be a healthy loop in its second iteration."""
        return self.state().summary().events("loop_start", "iteration_start")

    # --- the manager's side -------------------------------------------------------------------------------------------

    @property
    def places(self) -> LoopPlaces:
        return LoopPlaces.of(str(self.repo), self.id)

    @property
    def manager(self) -> Path:
        return self.repo / ".superloop" / "ops-manager" / self.id

    def kept(self, name: str) -> Document:
        return json.loads((self.manager / name).read_text(encoding="utf-8"))

    def rows(self, name: str) -> list[Document]:
        return files.last_rows(str(self.manager / name), 10_000)

    def escalated(self) -> list[str]:
        return [each["category"] for each in self.rows("escalations.jsonl")]

    def intent(self, intent: str, status: str, at: int | None = None) -> Loop:
        row = {"timestamp": stamp(self.now if at is None else at), "intent": intent, "status": status}
        files.append(self.places.of_manager("intents.jsonl"), [files.bytes_of(row)])
        return self

    def reconcile(
        self, *, tell: Tell | None = None, clock: Callable[[], int] | None = None, **options: object
    ) -> Outcome:
        asked: dict[str, Any] = {"profiles": PROFILES, "thresholds": Thresholds("balanced"), **options}
        return reconcile(self.places, ReconcileOptions(**asked), Local(), clock or (lambda: self.now * 1000), tell=tell)

    def codes(self, **options: object) -> list[str]:
        """Reconcile and return the reason codes."""
        document = self.reconcile(**cast("dict[str, Any]", options)).document
        return document.get("health", document)["reasonCodes"]

    @staticmethod
    def _put(path: Path, document: Document) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document) + "\n", encoding="utf-8")
