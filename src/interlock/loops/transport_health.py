"""Transport health: whether the runtime's artefacts could be had, and how often in a row they could not."""

from __future__ import annotations

from typing import NamedTuple

from interlock.loops.files import Document
from interlock.loops.models import SCHEMA, stamp, stripped, text, whole

NOT_THE_TRANSPORTS = frozenset({"artifact_corrupt", "artifact_unsupported", "cursor_corrupt"})
"""Failures of what was transported. They do not make the transport unreachable."""


class TransportHealth(NamedTuple):
    """What is known of the transport after one more try."""

    transport: str
    failed: bool
    streak: int
    failure_code: str | None
    last_success_at: str | None
    last_failure_at: str | None

    def document(self, *, now: int, trace_id: str) -> Document:
        """Return `transport-health.json`."""
        return stripped({
            "schemaVersion": SCHEMA,
            "updatedAt": stamp(now),
            "traceId": trace_id,
            "transport": self.transport,
            "lastResult": "failed" if self.failed else "success",
            "failureStreak": self.streak,
            "lastFailureCode": self.failure_code,
            "lastSuccessAt": self.last_success_at,
            "lastFailureAt": self.last_failure_at,
        })  # fmt: skip


def evaluate(previous: Document | None, transport: str, failure_code: str | None, now: int) -> TransportHealth:
    """Count one more try: a failure by its code, a success by None."""
    streak = whole(previous, "failureStreak") or 0
    failed = failure_code is not None
    return TransportHealth(
        transport=transport,
        failed=failed,
        streak=streak + (failure_code not in NOT_THE_TRANSPORTS) if failed else 0,
        failure_code=failure_code,
        last_success_at=text(previous, "lastSuccessAt") if failed else stamp(now),
        last_failure_at=stamp(now) if failed else text(previous, "lastFailureAt"),
    )
