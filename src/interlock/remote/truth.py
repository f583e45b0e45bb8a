"""What is true of runs, from afar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interlock.kernel.clock import from_text
from interlock.kernel.ids import checked
from interlock.remote.connection import Connection, several, understood
from interlock.runs.truth import Action, Truth, Verdict


def read_truth(data: Mapping[str, Any]) -> Truth | None:
    """Read a verdict; None where there is none."""
    if data["status"] == "none":
        return None
    return Truth(
        run_id=data["id"],
        fence=data["fence"],
        verdict=Verdict(data["status"]),
        reason=data["reason"],
        action=Action(data["action"]),
        details=data["details"],
        sign="",
        host=data["host"],
        since_ms=from_text(data["since"]),
        seen_ms=from_text(data["seen"]),
    )


class RemoteTruths:
    """Answers as the operators' part of `runs.watching.Truths` does."""

    def __init__(self, server: Connection) -> None:
        self._server = server

    def get(self, run_id: str) -> Truth | None:
        """Return what is true of a run."""
        return understood(read_truth, self._server.get(f"/ops/runs/{checked(run_id, 'r')}/truth").json)

    def list(self, *, limit: int = 100) -> Sequence[Truth]:
        """List the verdicts on runs that are under way, or of which something is left."""
        found = several(read_truth, self._server.get("/ops/truth", limit=limit).json)
        return [each for each in found if each is not None]
