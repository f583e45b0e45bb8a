"""What comes in: to which alert it belongs, and what of it is told to whom. One transaction is open."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from interlock.alerts.events import AlertChanged, AlertOpened, AlertResolved
from interlock.alerts.models import (
    Action,
    Alert,
    AlertState,
    Delivery,
    DeliveryStatus,
    Document,
    Escalation,
    Route,
    Silence,
    Unroutable,
)
from interlock.alerts.ports import Desk

BELOW_MIN: Final = "severity_below_min"
NO_SINKS: Final = "no_dispatchable_sinks"
SILENCED: Final = "silenced"
REPEATED: Final = "deduplicated"
_MOST_BODY = 48 * 1024
_SHOWN = ("timestamp", "loopId", "traceId", "category", "transport", "reasonCode", "reasonCodes", "severity")
_MOST_SUMMARY = 500


class Taken(NamedTuple):
    """What became of an escalation."""

    alert: Alert
    change: int | None
    """Under which number it is told; None if it is not."""
    reason: str | None = None
    """Why not."""


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes escalations in a transaction that holds their source."""

    desk: Desk
    new_ulid: Callable[[], str]
    repeat_ms: int
    silences: Sequence[Silence]

    def take(self, found: Escalation, route: Route | Unroutable) -> Taken:
        """Open an alert, or go on with the one that is open; make the deliveries. What can not be routed waits."""
        now = self.desk.now()
        if isinstance(route, Unroutable):
            quiet, route = route.code, Route(found.severity or "warning", True, (), {})  # noqa: FBT003 - a tuple's field
        else:
            quiet = None
        before = self.desk.alerts.by_key(found.key)
        alert = self._fresh(found, route.severity, now) if before is None else before
        alert = replace(
            alert,
            count=alert.count + 1,
            last_ms=now,
            summary=found.summary[:_MOST_SUMMARY],
            row=body_of(found.row),
            trace_id=found.trace_id,
        )
        verdict = f"{route.severity}:{','.join(sorted(set(found.codes)))}"
        reason = quiet or self._quiet(alert, verdict, route, now)
        waits = bool(quiet) or reason == SILENCED or (alert.silenced and bool(reason))
        told = replace(alert, severity=route.severity, silenced=waits)
        if reason is None:
            told = self._tell(told, verdict, route, now)
        if before is None:
            self.desk.alerts.add(told)
            self.desk.emit(
                AlertOpened(subject=told.id, source=told.source, category=told.category, severity=told.severity)
            )
        else:
            self.desk.alerts.put(told)
        if reason is None:
            self._deliver(told, "trigger", route.sinks, route.shown)
            if before is not None:
                self.desk.emit(AlertChanged(subject=told.id, severity=told.severity, change=told.changes))
        return Taken(told, None if reason else told.changes, reason)

    def resolve(self, alert: Alert, reason: str, by: str | None) -> Alert:
        """End an alert, and tell the sinks that were told of it, or will be."""
        now = self.desk.now()
        ended = replace(
            alert, state=AlertState.RESOLVED, changes=alert.changes + 1, ended_ms=now, by=by, silenced=False
        )
        if not self.desk.alerts.put(ended):
            return ended
        last = {
            each.sink: each for each in self.desk.alerts.deliveries(alert.id) if each.status != DeliveryStatus.SKIPPED
        }
        for each in last.values():
            self._put(ended, "resolve", (each.sink, each.target, each.shown), each.severity)
        self.desk.emit(AlertResolved(subject=alert.id, reason=reason[:2000]))
        return ended

    def unsilence(self, alert: Alert, route: Route, verdict_codes: Sequence[str]) -> int | None:
        """Tell of an alert that a silence kept quiet; returns under which number."""
        if any(each.covers(alert.source, alert.category, self.desk.now()) for each in self.silences):
            return None
        now = self.desk.now()
        told = replace(alert, silenced=False)
        if route.notifies and route.sinks:
            verdict = f"{route.severity}:{','.join(sorted(set(verdict_codes)))}"
            told = self._tell(replace(told, severity=route.severity), verdict, route, now)
        if not self.desk.alerts.put(told) or told.changes == alert.changes:
            return None
        self._deliver(told, "trigger", route.sinks, route.shown)
        return told.changes

    # --- inside -------------------------------------------------------------------------------------------------------

    def _fresh(self, found: Escalation, severity: str, now: int) -> Alert:
        return Alert(
            id=f"al_{self.new_ulid()}",
            source=found.source,
            category=found.category,
            severity=severity,
            dedup_key=found.key,
            state=AlertState.OPEN,
            opened_ms=now,
            last_ms=now,
            count=0,
            changes=0,
            summary="",
            row="{}",
            trace_id=None,
            sent={},
        )

    def _quiet(self, alert: Alert, verdict: str, route: Route, now: int) -> str | None:
        """Say why an escalation is not told of; None if it is."""
        last = alert.sent.get(verdict)
        if last is not None and (now - last < self.repeat_ms or alert.state is AlertState.ACKNOWLEDGED):
            return REPEATED
        if not route.notifies:
            return BELOW_MIN
        if not route.sinks:
            return NO_SINKS
        if any(each.covers(alert.source, alert.category, now) for each in self.silences):
            return SILENCED
        return None

    def _tell(self, alert: Alert, verdict: str, route: Route, now: int) -> Alert:
        del route
        return replace(alert, state=AlertState.OPEN, by=None, changes=alert.changes + 1, sent=alert.told(verdict, now))

    def _deliver(self, alert: Alert, action: Action, sinks: Sequence[Document], shown: Document) -> None:
        for each in sinks:
            self._put(alert, action, (each["id"], json.dumps(each), json.dumps(shown)), alert.severity)

    def _put(self, alert: Alert, action: Action, to: tuple[str, str, str], severity: str) -> None:
        now = self.desk.now()
        sink, target, shown = to
        self.desk.alerts.deliver(
            Delivery(
                alert_id=alert.id,
                change=alert.changes,
                sink=sink,
                action=action,
                status=DeliveryStatus.PENDING,
                source=alert.source,
                category=alert.category,
                dedup_key=alert.dedup_key,
                severity=severity,
                row=alert.row,
                trace_id=alert.trace_id,
                target=target,
                shown=shown,
                created_ms=now,
                next_ms=now,
            )
        )


def body_of(row: Document) -> str:
    """Return a row as it is kept and sent: of one beyond reason only what names it."""
    text = json.dumps(row, separators=(",", ":"))
    if len(text) <= _MOST_BODY:
        return text
    kept = {name: row[name] for name in _SHOWN if name in row and len(json.dumps(row[name])) <= 4096}
    return json.dumps({**kept, "truncated": True}, separators=(",", ":"))
