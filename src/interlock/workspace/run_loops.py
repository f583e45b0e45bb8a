"""Each run of ours as a loop: its artefacts in the shapes of seed 2, so that the same supervision covers it.

One root for each run, because a `state.json` knows only one active loop: `<ops folder>/loops/<run>/.superloop/…`; the
loop's id is the run's. What happened follows the log, each line with its event's place (`data.leaf`), so that nothing
is in it twice; the heartbeat is written by the worker while it holds the run.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlock.kernel.clock import from_text
from interlock.kernel.ids import has_prefix
from interlock.loops import files
from interlock.loops.files import Document
from interlock.loops.models import stamp, stripped, whole
from interlock.loops.places import LoopPlaces
from interlock.runs.models import Run, StepName
from interlock.runs.service import Runs
from interlock.workspace.layout import Layout

_NAMES = {
    "run.created": "loop_start",
    "run.retried": "loop_start",
    "run.started": "iteration_start",
    "run.agent_started": "role_start",
    "run.step_completed": "role_end",
    "run.returned": "iteration_returned",
    "run.failed": "iteration_failed",  # an `iteration_end` of a loop that is not active would be divergence
    "run.done": "loop_complete",
    "run.cancelled": "loop_stop",
}
_STATUS = {"run.failed": "error", "run.returned": "returned", "run.done": "ok"}
_ACTIVE = {"run.started": True, "run.returned": False, "run.failed": False, "run.done": False, "run.cancelled": False}
_CHECKS = "validation_end"


@dataclass(frozen=True, slots=True)
class RunLoops:
    """The artefacts of one workspace's runs."""

    layout: Layout
    runs: Runs

    def follow(self, events: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """Write what the log tells of runs. Only who holds the workspace's files alone may call this."""
        known: dict[str, Run] = {}  # all these events are in the past: what a run is now is the same for each of them
        for leaf, event in events:
            run_id = str(event["subject"])
            if not has_prefix(run_id, "r"):
                continue
            if event["kind"] == "run.archived":
                shutil.rmtree(self.layout.loops / run_id, ignore_errors=True)
            elif event["kind"] in _NAMES:
                self._follow(self.places(run_id), leaf, event, known)

    def beat(self, run_ids: Iterable[str], now_ms: int) -> None:
        """Say that these runs are carried out at this moment."""
        for run_id in run_ids:
            places = self.places(run_id)
            if Path(places.run).is_dir():
                sign = {"schemaVersion": "v1", "timestamp": stamp(now_ms // 1000), "source": "interlock"}
                files.replace(
                    places.of_run("heartbeat.v1.json"),
                    files.bytes_of({**sign, "status": "running", "stage": "iteration"}),
                )

    def places(self, run_id: str) -> LoopPlaces:
        """Say where a run's artefacts lie."""
        return LoopPlaces(str(self.layout.loops / run_id), run_id)

    def _follow(self, places: LoopPlaces, leaf: int, event: Mapping[str, Any], known: dict[str, Run]) -> None:
        path = places.of_run("events.jsonl")
        last = files.last_row(path)
        if last is not None and leaf <= (whole(last, "data", "leaf") or 0):
            return
        run = known[places.loop] = known.get(places.loop) or self.runs.get(places.loop)
        if run.archived_ms is not None:
            return
        iteration: int = event["payload"].get("attempt") or (whole(last, "iteration") or 1)
        kind, at = str(event["kind"]), stamp(from_text(event["time"]) // 1000)
        if kind == "run.created":
            self._approve(places, run, at)
        if kind in {"run.done", "run.failed"}:
            _summarise(places, run, iteration, at, ended_well=kind == "run.done")
        if kind in _ACTIVE or kind == "run.created":
            _state(places, iteration, at, active=_ACTIVE.get(kind, False))
        files.append(path, [files.bytes_of(_row(places, event, iteration, at) | {"data": {"leaf": leaf}})])

    def _approve(self, places: LoopPlaces, run: Run, at: str) -> None:
        decision = {"status": "approved", "by": run.created_by, "note": None, "at": at}
        approval = {
            "status": "approved",
            "loop_id": places.loop,
            "run_id": places.loop,
            "iteration": 1,
            "requested_at": at,
            "decision": decision,
            "decided_at": at,
            "decided_by": run.created_by,
            "approved_id": run.approved_id,
        }
        files.replace(places.of_run("approval.json"), files.bytes_of(approval))


def _row(places: LoopPlaces, event: Mapping[str, Any], iteration: int, at: str) -> Document:
    kind, payload = str(event["kind"]), event["payload"]
    step = payload.get("step")
    return stripped(
        {
            "timestamp": at,
            "event": _CHECKS if step == StepName.VERIFY.value else _NAMES[kind],
            "loop_id": places.loop,
            "run_id": places.loop,
            "iteration": iteration,
            "role": step or ("agent" if kind == "run.agent_started" else None),
            "status": _STATUS.get(kind),
            "message": payload.get("reason"),
        }
    )


def _state(places: LoopPlaces, iteration: int, at: str, *, active: bool) -> None:
    state = {
        "active": active,
        "loop_index": 0,
        "iteration": iteration,
        "current_loop_id": places.loop,
        "updated_at": at,
    }
    files.replace(places.runtime_state, files.bytes_of(state))


def _summarise(places: LoopPlaces, run: Run, iteration: int, at: str, *, ended_well: bool) -> None:
    path = places.of_run("run-summary.json")
    before = files.parsed(files.read_bytes(path) or b"")
    entries = [each for each in (before or {}).get("entries", []) if each.get("iteration") != iteration]
    entry = {
        "run_id": places.loop,
        "iteration": iteration,
        "started_at": at if run.started_ms is None else stamp(run.started_ms // 1000),
        "ended_at": at,
        "promise": {},
        "gates": {"approval": "ok"},
        "tests_mode": "checks",
        "stuck": {"streak": 0, "threshold": 0},
        "delegation": {},
        "completion_ok": ended_well,
        "artifacts": {},
    }
    summary = {"version": 1, "loop_id": places.loop, "updated_at": at, "entries": [*entries, entry]}
    files.replace(path, files.bytes_of(summary))
