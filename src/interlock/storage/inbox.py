"""What waits for a person, found by the indexes that hold nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.alerts.models import EVENT_SOURCE, dedup_key, text_at, texts
from interlock.inbox.ports import (
    AskingRow,
    ExpiringRow,
    FailedRow,
    OpenAlertRow,
    PendingRow,
    PipelineRow,
    RunningRow,
    WaitingDraft,
)
from interlock.kernel.clock import from_text
from interlock.kernel.ids import has_prefix
from interlock.runs.truth import sentence
from interlock.storage.database import Row, Transaction


@dataclass(frozen=True, slots=True)
class StoredWaiting:
    """What waits in the transaction that is open; implements `inbox.ports.WaitingStore`."""

    transaction: Transaction

    def drafts(self, limit: int) -> Sequence[WaitingDraft]:
        """List drafts that wait for a decision, the longest wait first."""
        rows = self.transaction.all("inbox_drafts", limit=limit)
        return [
            WaitingDraft(row["id"], row["author"], row["updated_ms"], row["version"], _excerpt(row)) for row in rows
        ]

    def expiring(self, now: int, soon: int, at_once: int, limit: int) -> Sequence[ExpiringRow]:
        """List unused approvals that expire between now and `soon`, the first to expire first."""
        rows = self.transaction.all("inbox_expiring", now=now, soon=soon, at_once=at_once, limit=limit)
        return [
            ExpiringRow(
                row["id"], row["draft_id"], row["approved_by"], row["approved_ms"], row["expires_ms"], _excerpt(row)
            )
            for row in rows
        ]

    def running(self, before: int, limit: int) -> Sequence[RunningRow]:
        """List runs that began before an instant and have not ended, the oldest first."""
        rows = self.transaction.all("inbox_running", before=before, limit=limit)
        return [
            RunningRow(
                row["id"],
                row["item_id"],
                row["approved_id"],
                row["started_ms"],
                row["lease_owner"],
                row["priority"],
                row["last_ms"],
            )
            for row in rows
        ]

    def asking(self, limit: int) -> Sequence[AskingRow]:
        """List runs of which the reconciler asks a person what to do, the oldest verdict first."""
        rows = self.transaction.all("truth_asks", limit=limit)
        return [
            AskingRow(
                row["run_id"],
                row["item_id"],
                row["approved_id"],
                row["verdict"],
                sentence(row["verdict"], row["reason"]),
                row["since_ms"],
                row["lease_owner"],
                row["priority"],
            )
            for row in rows
        ]

    def pending(self, before: int, limit: int) -> Sequence[PendingRow]:
        """List runs that were made before an instant and have not begun, the oldest first."""
        rows = self.transaction.all("inbox_pending", before=before, limit=limit)
        return [
            PendingRow(row["id"], row["item_id"], row["approved_id"], row["created_ms"], row["priority"])
            for row in rows
        ]

    def failed(self, since: int, limit: int) -> Sequence[FailedRow]:
        """List runs that failed since an instant and that nobody has looked after, the oldest first."""
        rows = self.transaction.all("inbox_failed", since=since, limit=limit, alert=_key("run_failed"))
        return [
            FailedRow(
                row["id"],
                row["item_id"],
                row["approved_id"],
                row["ended_ms"],
                row["reason"],
                row["message"],
                row["priority"],
            )
            for row in rows
        ]

    def pipelines(self, limit: int) -> Sequence[PipelineRow]:
        """List pipelines whose last run failed and that nobody has looked after, the oldest first."""
        rows = self.transaction.all(
            "inbox_pipelines", limit=limit, failed=_key("pipeline_failed"), refused=_key("checkpoint_refused")
        )
        return [_pipeline(row) for row in rows]

    def alerts(self, limit: int) -> Sequence[OpenAlertRow]:
        """List alerts that nobody has acknowledged, the gravest and then the oldest first."""
        return [_alert(row) for row in self.transaction.all("inbox_alerts", limit=limit)]

    def judged_ms(self, loop: str, repo: str) -> int | None:
        """Return since when the log has a loop's last verdict; None where it has none among its newest."""
        for row in self.transaction.all("inbox_judged", subject=f"loop/{loop}"):
            leaf = json.loads(row["leaf"])
            if leaf["payload"].get("repo") == repo:
                return from_text(leaf["time"])
        return None


def _key(category: str) -> str:
    return f"{dedup_key(EVENT_SOURCE, category)}:"


def _excerpt(row: Row) -> str:
    """Return the beginning of a prompt; empty where it was erased."""
    return bytes(row["prompt"]).decode("utf-8", "ignore") if row["prompt"] is not None else ""


def _pipeline(row: Row) -> PipelineRow:
    told: dict[str, Any] = json.loads(row["document"])
    return PipelineRow(
        row["id"], row["name"], told["reason"], told["message"], told["ended_ms"] or told["triggered_ms"]
    )


def _alert(row: Row) -> OpenAlertRow:
    return OpenAlertRow(
        id=row["id"],
        source=row["source"],
        category=row["category"],
        severity=row["severity"],
        opened_ms=row["opened_ms"],
        summary=row["summary"],
        subjects=frozenset(_subjects(row)),
    )


def _subjects(row: Row) -> Iterator[str]:
    source = str(row["source"])
    if source != EVENT_SOURCE:
        loop = source.rpartition(":")[2]
        yield source
        if has_prefix(loop, "r"):  # a run of ours is looked after as a loop of its own
            yield loop
        return
    told: dict[str, Any] = json.loads(row["body"])
    subject = text_at(told, "subject")
    if subject is not None:
        yield subject
    yield from texts(told, "reasonCodes")
