"""The rows of what is true of runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from interlock.kernel.canonical import canonical
from interlock.queue.models import Held
from interlock.runs.models import RunStatus, StepName
from interlock.runs.ports import Standing
from interlock.runs.truth import Action, Truth, Verdict, Watched
from interlock.storage.database import Row, Transaction
from interlock.storage.queue import stored_item

_STEP = {each.value: each for each in StepName}
_VERDICT = {each.value: each for each in Verdict}
_ACTION = {each.value: each for each in Action}


@dataclass(frozen=True, slots=True)
class StoredTruths:
    """Verdicts in the transaction that is open; implements `runs.ports.TruthStore`."""

    transaction: Transaction

    def held(self, run_id: str | None) -> Sequence[Watched]:
        """List everything that is held, or one run, with what the database knows of it."""
        rows = self.transaction.all("truth_held", any_run=int(run_id is None), run_id=run_id or "")
        return [_watched(row) for row in rows]

    def standing(self, run_id: str) -> Standing | None:
        """Say where a run stands; None if it is not of this database."""
        row = self.transaction.one("truth_state", run_id=run_id)
        return Standing(RunStatus(row["status"]), row["fence"], row["ended_ms"]) if row else None

    def get(self, run_id: str) -> Truth | None:
        """Return the verdict on a run."""
        row = self.transaction.one("truth_get", run_id=run_id)
        return _truth(row) if row else None

    def list(self, limit: int) -> Sequence[Truth]:
        """List the verdicts on runs that are under way, or of which something is left; the oldest first."""
        return [_truth(row) for row in self.transaction.all("truth_list", limit=limit)]

    def asks(self, limit: int) -> Sequence[Truth]:
        """List the verdicts that ask a person, the oldest first."""
        return [_truth(row) for row in self.transaction.all("truth_asks", limit=limit)]

    def over(self, limit: int) -> Sequence[Truth]:
        """List verdicts on runs that have ended."""
        return [_truth(row) for row in self.transaction.all("truth_over", limit=limit)]

    def put(self, truth: Truth, seen: Truth | None) -> bool:
        """Keep a verdict in the place of the one that was seen; False if that is not there any more."""
        values = {
            "run_id": truth.run_id,
            "fence": truth.fence,
            "verdict": truth.verdict.value,
            "reason": truth.reason,
            "action": truth.action.value,
            "details": canonical(dict(truth.details)).decode("utf-8"),
            "sign": truth.sign,
            "host": truth.host,
            "now": self.transaction.now(),
        }
        if seen is None:
            return self.transaction.run("truth_add", **values) == 1
        changed = self.transaction.run(
            "truth_put",
            **values,
            seen_fence=seen.fence,
            seen_verdict=seen.verdict.value,
            seen_reason=seen.reason,
            seen_action=seen.action.value,
            seen_sign=seen.sign,
        )
        return changed == 1

    def drop(self, seen: Truth) -> None:
        """Take a verdict away, as it was seen."""
        self.transaction.run("truth_drop", run_id=seen.run_id, fence=seen.fence, verdict=seen.verdict.value)


def _watched(row: Row) -> Watched:
    held = Held(
        item=stored_item(row),
        host=row["host"],
        boot_id=row["boot_id"],
        pid=row["pid"],
        start_time=row["start_time"],
    )
    return Watched(
        held=held,
        approved_id=row["run_approved_id"],
        step=_STEP.get(row["step_name"] or ""),
        step_ms=row["step_ms"],
        pulse_fence=row["pulse_fence"],
        agent_host=row["agent_host"],
        agent_pid=row["agent_pid"],
        agent_start_time=row["agent_start_time"],
        agent_boot_id=row["agent_boot_id"],
        node_lost=row["node_lost_ms"] is not None,
        heard_ms=row["heard_ms"],
        output_bytes=row["output_bytes"] or 0,
        tokens=(row["input_tokens"] or 0) + (row["output_tokens"] or 0),
        cost_microusd=row["cost_microusd"],
        terminal=row["terminal"],
        truth=_truth(row, run_id=row["run_id"], prefix="truth_") if row["truth_fence"] is not None else None,
    )


def _truth(row: Row, *, run_id: str | None = None, prefix: str = "") -> Truth:
    return Truth(
        run_id=run_id or row["run_id"],
        fence=row[f"{prefix}fence"],
        verdict=_VERDICT[row[f"{prefix}verdict"]],
        reason=row[f"{prefix}reason"],
        action=_ACTION[row[f"{prefix}action"]],
        details=json.loads(row[f"{prefix}details"]),
        sign=row[f"{prefix}sign"],
        host=row[f"{prefix}host"],
        since_ms=row[f"{prefix}since_ms"],
        seen_ms=row[f"{prefix}seen_ms"],
    )
