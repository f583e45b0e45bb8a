"""Runs from afar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interlock.access.models import Actor
from interlock.kernel.clock import from_text
from interlock.kernel.ids import checked
from interlock.remote.connection import Connection, several, understood
from interlock.runs.models import LogLine, Run, RunStatus, Step, StepName

# --- what `runs/shown.py` writes, read --------------------------------------------------------------------------------


def read_run(data: Mapping[str, Any]) -> Run:
    """Read a run; its generation is its server's business."""
    return Run(
        id=data["id"],
        approved_id=data["approved_id"],
        item_id=data["item_id"],
        status=RunStatus(data["status"]),
        reason=data["reason"],
        message=data["message"],
        generation=0,
        attempt=data["attempt"],
        created_ms=from_text(data["created_at"]),
        created_by=data["created_by"],
        started_ms=_instant(data["started_at"]),
        ended_ms=_instant(data["ended_at"]),
        correlation_id=data["correlation_id"],
        result=data["result"],
        archived_ms=_instant(data.get("archived_at")),
        rung=data.get("rung"),
    )


def read_step(data: Mapping[str, Any]) -> Step:
    """Read a step."""
    return Step(
        name=StepName(data["name"]),
        fence=data["fence"],
        started_ms=from_text(data["started_at"]),
        ended_ms=_instant(data["ended_at"]),
        output=data["output"],
    )


def read_line(data: Mapping[str, Any]) -> LogLine:
    """Read a line of a log."""
    return LogLine(
        ts_ms=from_text(data["ts"]), level=data["level"], source=data["source"], msg=data["msg"], line=data["line"]
    )


def _instant(text: str | None) -> int | None:
    return None if text is None else from_text(text)


# --- the room ---------------------------------------------------------------------------------------------------------


class RemoteRuns:
    """Answers as the operators' part of `runs.service.Runs` does."""

    def __init__(self, server: Connection) -> None:
        self._server = server
        self._steps: dict[str, Sequence[Step]] = {}

    def create(self, actor: Actor, approved_id: str, *, priority: str = "P1") -> Run:
        """Make a run from an approved record that is valid now."""
        del actor
        body = {"approved_id": approved_id, "priority": priority}
        return understood(read_run, self._server.make("/ops/runs", body).json)

    def get(self, run_id: str) -> Run:
        """Return a run."""
        found = self._server.get(self._path(run_id)).json
        self._steps[run_id] = several(read_step, understood(lambda told: told["steps"], found))
        return understood(read_run, found)

    def list(self, *, status: RunStatus | None = None, limit: int = 100, before: str | None = None) -> Sequence[Run]:
        """List runs, newest first."""
        asked = None if status is None else status.value
        found = self._server.get("/ops/runs", status=asked, limit=limit, before=before).json
        return several(read_run, found)

    def steps(self, run_id: str) -> Sequence[Step]:
        """List a run's steps; those of the moment in which it was looked at."""
        if run_id not in self._steps:
            self.get(run_id)
        return self._steps[run_id]

    def log(self, run_id: str, *, after: int = 0, limit: int = 1000) -> Sequence[LogLine]:
        """Return log lines numbered above `after`."""
        found = self._server.get(f"{self._path(run_id)}/log", after=after, limit=limit).json
        return several(read_line, found)

    def patch(self, run_id: str) -> bytes:
        """Return the patch that a run brought about."""
        return self._server.get(f"{self._path(run_id)}/diff").body

    def cancel(self, actor: Actor, run_id: str, *, reason: str = "") -> Run:
        """Stop a run for good."""
        del actor
        return understood(read_run, self._server.send("POST", f"{self._path(run_id)}/cancel", {"reason": reason}).json)

    def retry(self, actor: Actor, run_id: str) -> Run:
        """Do an errored run anew."""
        del actor
        return understood(read_run, self._server.send("POST", f"{self._path(run_id)}/retry").json)

    def report_ci(self, actor: Actor, run_id: str, *, commit: str, succeeded: bool, url: str = "") -> Run:
        """Note what the project's CI says of a commit."""
        del actor
        body = {"commit": commit, "status": "success" if succeeded else "failure", "url": url}
        return understood(read_run, self._server.send("POST", f"{self._path(run_id)}/ci", body).json)

    def _path(self, run_id: str) -> str:
        return f"/ops/runs/{checked(run_id, 'r')}"


class RemoteReceipts:
    """Answers as `runs.results.Receipts` does."""

    def __init__(self, server: Connection) -> None:
        self._server = server

    def of(self, run_id: str) -> dict[str, Any]:
        """Return the receipt of a run that has ended."""
        found = self._server.get(f"/ops/runs/{checked(run_id, 'r')}/receipt").json
        return understood(dict, found)
