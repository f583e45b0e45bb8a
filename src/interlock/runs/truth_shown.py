"""What is true of a run, as every door shows it."""

from __future__ import annotations

from typing import Any

from interlock.kernel.clock import to_text
from interlock.runs.truth import Truth, says


def show_truth(run_id: str, truth: Truth | None) -> dict[str, Any]:
    """Return a verdict, or that there is none: nobody holds the run, and nothing of it is left."""
    if truth is None:
        return {
            "id": run_id,
            "status": "none",
            "reason": None,
            "says": "Nobody holds it, and nothing of it is left.",
        } | {
            "action": None,
            "fence": None,
            "host": None,
            "since": None,
            "seen": None,
            "details": {},
        }
    return {
        "id": run_id,
        "status": truth.verdict.value,
        "reason": truth.reason,
        "says": says(truth),
        "action": truth.action.value,
        "fence": truth.fence,
        "host": truth.host,
        "since": to_text(truth.since_ms),
        "seen": to_text(truth.seen_ms),
        "details": dict(truth.details),
    }
