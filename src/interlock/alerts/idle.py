"""A dispatch that has nothing to do, which is nearly every one: seen from two small files, before anything is opened.

What a dispatch leaves beside its state says how the file of escalations was, and whether anything of the loop was left
to be sent, or might recover. Imports nothing heavy: a reconcile asks this every few seconds.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from interlock.kernel.clock import to_text

if TYPE_CHECKING:
    from interlock.alerts.ports import Files

MARK: Final = ".alerts.json"
LOCK: Final = ".alerts.lock"
SCHEMA: Final = "v1"

Document = dict[str, Any]


class Order(NamedTuple):
    """One dispatch of one loop."""

    repo: str
    loop: str
    manager: str
    """The loop's folder of ours."""
    escalations: str
    state: str
    telemetry: str
    trace_id: str
    config: str | None = None
    most: int = 0
    """How many new rows at most; 0 is all."""
    forced: bool = True
    """Whether what waits for its next attempt is sent at once."""
    seconds: float | None = None
    """For how long sending goes on; the rest stays in the outbox."""

    @classmethod
    def of(cls, repo: str, loop: str, manager: str, trace_id: str) -> Order:
        """Name the files where seed 2 has them."""
        return cls(
            repo=repo,
            loop=loop,
            manager=manager,
            escalations=os.path.join(manager, "escalations.jsonl"),
            state=os.path.join(manager, "alert-dispatch-state.json"),
            telemetry=os.path.join(manager, "telemetry", "alerts.jsonl"),
            trace_id=trace_id,
        )

    @property
    def mark(self) -> str:
        """Where it is noted how the last dispatch left things."""
        return os.path.join(self.manager, MARK)


def sign(path: str) -> list[int] | None:
    """Tell how a file is; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_ino, found.st_size, found.st_mtime_ns]


def mark(files: Files, order: Order, seen: list[int] | None, *, quiet: bool) -> None:
    """Note how the file was when it was read, and whether nothing is left to do as long as it stays so."""
    files.replace(order.mark, files.bytes_of({"escalations": order.escalations, "sign": seen, "quiet": quiet}))


def rest(files: Files, order: Order, now: int) -> Document | None:
    """Write the state of a dispatch that has nothing to do, and return it; None where there may be something."""
    seen = sign(order.escalations)
    marked = files.read_bytes(order.mark)
    known = None if marked is None else files.parsed(marked)
    kept = files.read_bytes(order.state)
    before = None if kept is None else files.parsed(kept)
    if kept is not None and before is None:
        return None
    if marked is None:
        quiet = seen is None and kept is None and not files.rotated(order.escalations)
    else:
        quiet = known == {"escalations": order.escalations, "sign": seen, "quiet": True}
    if not quiet:
        return None
    state = state_of(order, now, "no_source" if seen is None else "no_new_escalations") | {
        name: (before or {}).get(name) or 0 for name in ("escalationsLineOffset", "escalationsLineCount")
    }
    with files.held(os.path.join(order.manager, LOCK), wait=True):
        files.replace(order.state, files.bytes_of(state))
        if marked is None:
            mark(files, order, seen, quiet=True)
    return state


def state_of(order: Order, now: int, status: str) -> Document:
    """Return the state of a dispatch that did nothing."""
    return {
        "schemaVersion": SCHEMA,
        "updatedAt": f"{to_text(now * 1000)[:19]}Z",
        "loopId": order.loop,
        "traceId": order.trace_id,
        "escalationsFile": order.escalations,
        "dispatchTelemetryFile": order.telemetry,
        "status": status,
        "processedCount": 0,
        "dispatchedCount": 0,
        "skippedCount": 0,
        "failedCount": 0,
        "failureReasonCodes": [],
        "escalationsLineOffset": 0,
        "escalationsLineCount": 0,
    }


def failed_line(order: Order, message: str, now: int) -> Document:
    """Return what the telemetry says of a dispatch that could not be made."""
    return {
        "timestamp": f"{to_text(now * 1000)[:19]}Z",
        "loopId": order.loop,
        "traceId": order.trace_id,
        "category": "alert_dispatch",
        "status": "failed_command",
        "reasonCode": "alert_dispatch_failed",
        "message": message[:300],
    }
