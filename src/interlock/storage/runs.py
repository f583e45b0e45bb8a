"""The rows of runs, their steps and their logs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields

from interlock.kernel.canonical import JsonObject, canonical
from interlock.runs.models import CiReport, LogLine, Pulse, Run, RunStatus, Step, StepName
from interlock.storage.database import Row, Transaction


@dataclass(frozen=True, slots=True)
class StoredRuns:
    """Runs in the transaction that is open; implements `runs.ports.RunStore`."""

    transaction: Transaction

    def add(self, run: Run) -> None:
        """Insert a run."""
        self.transaction.run(
            "run_add",
            id=run.id,
            approved_id=run.approved_id,
            item_id=run.item_id,
            status=run.status.value,
            generation=run.generation,
            created_ms=run.created_ms,
            created_by=run.created_by,
            correlation_id=run.correlation_id,
        )

    def get(self, run_id: str) -> Run | None:
        """Return a run."""
        row = self.transaction.one("run_get", id=run_id)
        return _run(row) if row else None

    def list(
        self, *, status: RunStatus | None, approved_id: str | None, limit: int, before: str | None
    ) -> Sequence[Run]:
        """List runs, newest first, all or those of one approved record; those made before the one called `before`."""
        rows = self.transaction.all(
            "run_list",
            any_status=int(status is None),
            status=status.value if status else "",
            any_approved=int(approved_id is None),
            approved_id=approved_id or "",
            from_newest=int(before is None),
            before=before or "",
            limit=limit,
        )
        return [_run(row) for row in rows]

    def ended_before(self, before_ms: int, limit: int) -> Sequence[Run]:
        """List runs that ended before an instant and are not archived, the oldest end first."""
        return [_run(row) for row in self.transaction.all("run_ended_before", before=before_ms, limit=limit)]

    def archive(self, run_id: str, *, ended_before_ms: int) -> bool:
        """Take log and steps away from a run that ended before an instant; False if it moved meanwhile."""
        done = self.transaction.run("run_archive", id=run_id, before=ended_before_ms, now=self.transaction.now())
        if done:
            self.transaction.run("run_forget_log", id=run_id)
            self.transaction.run("run_forget_steps", id=run_id)
        return done == 1

    def move(self, run_id: str, seen: RunStatus, after: RunStatus, *, reason: str | None, message: str | None) -> bool:
        """Move a run from the status that was seen; sets its start or end."""
        changed = self.transaction.run(
            "run_move",
            id=run_id,
            seen=seen.value,
            after=after.value,
            reason=reason,
            message=message,
            now=self.transaction.now(),
        )
        return changed == 1

    def renew(self, run_id: str) -> int:
        """Open a new generation; returns its number."""
        row = self.transaction.one("run_renew", id=run_id)
        return int(row["generation"]) if row else 0

    def put_result(self, run_id: str, result: JsonObject) -> None:
        """Keep what the run brought about."""
        self.transaction.run("run_result", id=run_id, result=canonical(result).decode("utf-8"))

    def steps(self, run_id: str, generation: int) -> Sequence[Step]:
        """List the steps of a generation, in their order."""
        rows = self.transaction.all("step_list", run_id=run_id, generation=generation)
        order = list(StepName)
        return sorted((_step(row) for row in rows), key=lambda step: order.index(step.name))

    def begin_step(self, run: Run, name: StepName, fence: int) -> None:
        """Note that a step was begun, also when it had been begun before."""
        self.transaction.run(
            "step_begin",
            run_id=run.id,
            generation=run.generation,
            name=name.value,
            fence=fence,
            now=self.transaction.now(),
        )

    def end_step(self, run: Run, name: StepName, fence: int, output: JsonObject) -> Step:
        """Keep a step's output."""
        row = self.transaction.one(
            "step_end",
            run_id=run.id,
            generation=run.generation,
            name=name.value,
            fence=fence,
            now=self.transaction.now(),
            output=canonical(output).decode("utf-8"),
        )
        if row is None:
            raise RuntimeError(f"{run.id}: {name.value} is completed and was never begun")
        return _step(row)

    def places(self) -> Sequence[tuple[str, int]]:
        """List runs that have not ended with the fences under which they were worked on."""
        return [(row["run_id"], row["fence"]) for row in self.transaction.all("step_places")]

    def put_rung(self, run_id: str, rung: str) -> None:
        """Keep how well a run is proven done."""
        self.transaction.run("run_rung", id=run_id, rung=rung)

    def put_ci(self, run_id: str, report: CiReport) -> None:
        """Keep what CI said of a commit, in the place of what it said of it before."""
        self.transaction.run(
            "ci_put",
            run_id=run_id,
            commit_id=report.commit,
            succeeded=int(report.succeeded),
            url=report.url,
            reported_ms=report.reported_ms,
            reported_by=report.by,
        )

    def ci(self, run_id: str) -> Sequence[CiReport]:
        """List what CI said, each commit's last word."""
        return [
            CiReport(
                commit=row["commit_id"],
                succeeded=bool(row["succeeded"]),
                url=row["url"],
                reported_ms=row["reported_ms"],
                by=row["reported_by"],
            )
            for row in self.transaction.all("ci_list", run_id=run_id)
        ]

    def pulse(self, run_id: str) -> Pulse | None:
        """Return what was last seen of a run's agent."""
        row = self.transaction.one("pulse_get", run_id=run_id)
        return Pulse(**{each.name: row[each.name] for each in fields(Pulse)}) if row else None

    def put_pulse(self, run_id: str, pulse: Pulse) -> None:
        """Keep what is seen of a run's agent now."""
        self.transaction.run(
            "pulse_put", run_id=run_id, **{each.name: getattr(pulse, each.name) for each in fields(pulse)}
        )

    def log(self, run_id: str, lines: Sequence[LogLine]) -> None:
        """Append lines to a run's log."""
        for line in lines:
            self.transaction.run(
                "log_add", run_id=run_id, ts_ms=line.ts_ms, level=line.level, source=line.source, msg=line.msg
            )

    def read_log(self, run_id: str, *, after: int, limit: int, last: bool) -> Sequence[LogLine]:
        """Return lines numbered above `after`, in order."""
        rows = self.transaction.all("log_last" if last else "log_first", run_id=run_id, after=after, limit=limit)
        lines = [
            LogLine(line=row["line"], ts_ms=row["ts_ms"], level=row["level"], source=row["source"], msg=row["msg"])
            for row in rows
        ]
        return lines[::-1] if last else lines

    def search_log(self, run_id: str, text: str, *, after: int, until: int, limit: int) -> Sequence[int]:
        """Return the numbers of lines in `after < line <= until` that hold a text, the first `limit` of them."""
        lowered = "".join(each.lower() if each.isascii() else each for each in text)
        spelt = "".join(f"!{each}" if each in "!%_" else each for each in lowered)
        rows = self.transaction.all(
            "log_search", run_id=run_id, pattern=f"%{spelt}%", after=after, until=until, limit=limit
        )
        return [row["line"] for row in rows]


def _run(row: Row) -> Run:
    return Run(
        id=row["id"],
        approved_id=row["approved_id"],
        item_id=row["item_id"],
        status=RunStatus(row["status"]),
        reason=row["reason"],
        message=row["message"],
        generation=row["generation"],
        attempt=row["attempt_count"] + 1,
        created_ms=row["created_ms"],
        created_by=row["created_by"],
        started_ms=row["started_ms"],
        ended_ms=row["ended_ms"],
        correlation_id=row["correlation_id"],
        result=json.loads(row["result"]) if row["result"] else None,
        archived_ms=row["archived_ms"],
        rung=row["rung"],
    )


def _step(row: Row) -> Step:
    return Step(
        name=StepName(row["name"]),
        fence=row["fence"],
        started_ms=row["started_ms"],
        ended_ms=row["ended_ms"],
        output=json.loads(row["output"]) if row["output"] else None,
    )
