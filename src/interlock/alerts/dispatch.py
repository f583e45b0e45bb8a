"""Dispatch of a loop's escalations, as seed 2 has it: rows are taken in, the outbox is sent, and both are written down.

What failed stays in the outbox, and the next dispatch sends it. `alert-dispatch-state.json` says what the last dispatch
did; how far the file was read, and what was sent, the database knows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from interlock.access.models import Actor
from interlock.alerts.errors import DispatchStateCorrupt
from interlock.alerts.escalations import Following, Line, escalation_of, follow
from interlock.alerts.idle import LOCK, Order, mark, sign, state_of
from interlock.alerts.intake import NO_SINKS, Intake, Taken
from interlock.alerts.models import (
    Delivered,
    Delivery,
    DeliveryStatus,
    Document,
    Escalation,
    Outcome,
    Place,
    Refused,
    Route,
    Unroutable,
    source_of,
    text_at,
)
from interlock.alerts.outbox import Ask, Sent
from interlock.alerts.ports import Desk, Files
from interlock.alerts.recovery import Verdict
from interlock.alerts.routing import Router
from interlock.alerts.service import Alerts
from interlock.alerts.sinks.posting import DISPATCH_FAILED
from interlock.kernel.clock import Clock, to_text

INVALID_JSON: Final = "invalid_escalation_json"
NO_CATEGORY: Final = "missing_escalation_category"
PARTIAL: Final = "partial_dispatch_failure"
FAILED: Final = "dispatch_failed"
_CATEGORY: Final = "alert_dispatch"
_BATCH = 200
_MOST_RAW = 4096
_WAITING = 500
_LEFT: Final = "not tried: the sink is left alone for a while, or another dispatch has it; it stays in the outbox"


@dataclass(slots=True)
class _Row:
    """What became of one escalation, as the telemetry tells it."""

    status: str
    reason: str | None = None
    row: Document | None = None
    raw: str | None = None
    message: str | None = None
    severity: str | None = None
    shown: Document | None = None
    action: str = "trigger"
    sent: list[Document] = field(default_factory=list[Document])
    told: bool = True
    """Whether it is in the telemetry: a blank line is not."""


@dataclass(slots=True)
class _Run:
    """What a dispatch has found."""

    rows: list[_Row] = field(default_factory=list[_Row])
    taken: dict[tuple[str, int], _Row] = field(default_factory=dict[tuple[str, int], _Row])
    place: Place = field(default_factory=Place)
    total: int = 0
    seen: list[int] | None = None
    """How the file was before it was read."""
    quiet: bool = False
    """Whether nothing is left to do as long as it stays so."""
    there: bool = False


def dispatch(alerts: Alerts, files: Files, actor: Actor, order: Order, clock: Clock) -> Document:
    """Take in what is new, send what is to be sent, write both down; returns the state as it is written."""
    before = _state(files, order)
    router = alerts.router(order.config)
    run = _Run(seen=sign(order.escalations))
    job = _Job(alerts, files, actor, order, router, run)
    job.recover()
    job.wake()
    job.retry_waiting()
    job.take_in(before)
    sent = alerts.outbox.send(
        actor, Ask(job.source, order.trace_id, forced=order.forced, seconds=order.seconds), router
    )
    job.compose(sent)
    job.look_round()
    return _written(files, order, run, clock() // 1000)


def _state(files: Files, order: Order) -> Document | None:
    data = files.read_bytes(order.state)
    found = None if data is None else files.parsed(data)
    if data is not None and found is None:
        raise DispatchStateCorrupt(f"invalid JSON in {order.state}")
    return found


@dataclass(slots=True)
class _Job:
    alerts: Alerts
    files: Files
    actor: Actor
    order: Order
    router: Router
    run: _Run

    @property
    def source(self) -> str:
        """The loop as a source of alerts."""
        return source_of(self.order.repo, self.order.loop)

    # --- what stands --------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """End the alerts whose verdict has recovered."""
        found = self.files.read_bytes(os.path.join(self.order.manager, "state.json")) or self.files.read_bytes(
            os.path.join(self.order.manager, "health.json")
        )
        verdict = Verdict.of_state(self.files.parsed(found) if found else None)
        if verdict is not None:
            recover(self.alerts, self.actor, self.source, verdict)

    def wake(self) -> None:
        """Tell of what a silence kept quiet that has ended."""
        self.alerts.wake(self.actor, self.source, self.router)

    # --- what is new --------------------------------------------------------------------------------------------------

    def retry_waiting(self) -> None:
        """Take in the rows that could not be routed before."""
        after = ""
        while True:
            with self.alerts.look() as desk:
                found = desk.alerts.waiting(self.source, after, _WAITING)
            if not found:
                return
            after = found[-1][0]
            routed = [
                (row_id, each, route)
                for row_id, body in found
                if (each := escalation_of(json.loads(body), self.source, self.order.loop)) is not None
                and not isinstance(route := self.router.route(each.category, each.severity), Unroutable)
            ]
            if not routed:
                return
            with self.alerts.open(self.actor) as desk:
                self._hold(desk)
                intake = self.alerts.intake(desk)
                for row_id, each, route in routed:
                    if desk.alerts.waits_no_more(row_id):
                        self._took(intake.take(each, route), each, route)

    def take_in(self, state: Document | None) -> None:
        """Take in the rows that are new."""
        with self.alerts.look() as desk:
            place = desk.alerts.place(self.source, self.order.escalations)
        paths = [*self.files.rotated(self.order.escalations), self.order.escalations]
        self.run.there = any(os.path.exists(each) for each in paths)
        if not self.run.there:
            return None
        if place is None and state is not None:
            place = self._adopted(state)
        following = follow(self.files, self.order.escalations, place)
        seen: dict[str, int] = {}
        self.run.place = place or Place()
        for batch in _batches(following.lines):
            if not self._keep(batch, following, seen, first=place):
                return self.take_in(state)  # another dispatch was faster: go on behind it
            place = self.run.place
        return None

    def _adopted(self, state: Document) -> Place | None:
        """Begin where the dispatch of another house has got to."""
        given = state.get("escalationsLineOffset")
        if not isinstance(given, int) or isinstance(given, bool) or given <= 0:
            return None
        lines = follow(self.files, self.order.escalations, None).lines
        place = next((line.place for line in lines if line.place.rows == given), None)
        if place is not None:
            with self.alerts.open(self.actor) as desk:
                self._hold(desk)
                if desk.alerts.place(self.source, self.order.escalations) is None:
                    desk.alerts.put_place(self.source, self.order.escalations, place)
                place = desk.alerts.place(self.source, self.order.escalations)
        return place

    def _keep(self, batch: Sequence[Line], following: Following, seen: dict[str, int], first: Place | None) -> bool:
        """Take a batch in; False if somebody else has got further meanwhile."""
        fits = batch
        if self.order.most and not following.anew:
            fits = batch[: max(0, self.order.most - len(self.run.rows))]
        self.run.total = batch[-1].place.rows
        if not fits:
            return True
        read = [(line, *self._read(line)) for line in fits]
        with self.alerts.open(self.actor) as desk:
            self._hold(desk)
            if desk.alerts.place(self.source, self.order.escalations) != first:
                return False
            intake = self.alerts.intake(desk)
            for line, row, found, route in read:
                if following.anew and self._known(desk, line, seen):
                    continue
                desk.alerts.came(self.source, line.digest)
                self._came(intake, row, found, route)
            desk.alerts.put_place(self.source, self.order.escalations, fits[-1].place)
        self.run.place = fits[-1].place
        return True

    def _known(self, desk: Desk, line: Line, seen: dict[str, int]) -> bool:
        seen[line.digest] = seen.get(line.digest, 0) + 1
        return seen[line.digest] <= desk.alerts.copies(self.source, line.digest)

    def _read(self, line: Line) -> tuple[_Row, Escalation | None, Route | Unroutable | None]:
        """Read a line: as a row of the telemetry, as an escalation, as a route."""
        if line.data is not None and not line.data.strip():
            return _Row("skipped", told=False), None, None
        document = None if line.data is None else self.files.parsed(line.data)
        if document is None:
            raw = "" if line.data is None else line.data[:_MOST_RAW].decode("utf-8", "replace")
            return _Row("failed", INVALID_JSON, raw=raw), None, None
        found = escalation_of(document, self.source, self.order.loop)
        if found is None:
            return _Row("failed", NO_CATEGORY, row=document), None, None
        return _Row("", row=document), found, self.router.route(found.category, found.severity)

    def _came(self, intake: Intake, row: _Row, found: Escalation | None, route: Route | Unroutable | None) -> None:
        if found is None or route is None:
            self.run.rows.append(row)
        elif isinstance(route, Unroutable):
            intake.desk.alerts.wait(f"aw_{self.alerts.new_ulid()}", self.source, json.dumps(found.row))
            row.status, row.reason, row.message = "failed", route.code, route.message
            self.run.rows.append(row)
        else:
            self._took(intake.take(found, route), found, route)

    def _took(self, taken: Taken, found: Escalation, route: Route) -> None:
        row = _Row("skipped", taken.reason, row=found.row, severity=route.severity, shown=route.shown)
        self.run.rows.append(row)
        if taken.change is not None:
            row.status = ""
            self.run.taken[taken.alert.id, taken.change] = row

    def _hold(self, desk: Desk) -> None:
        desk.alerts.hold(self.source, json.dumps({"repo": self.order.repo, "loop": self.order.loop}))

    def look_round(self) -> None:
        """Say whether anything is left to do."""
        source = self.source
        with self.alerts.look() as desk:
            left = desk.alerts.standing(source) or desk.alerts.sinks(source) or desk.alerts.waiting(source, "", 1)
        self.run.quiet = not left and self.run.total <= self.run.place.rows

    # --- what was sent ------------------------------------------------------------------------------------------------

    def compose(self, sent: Sequence[Sent]) -> None:
        """Say of each row what came of it."""
        last = {each.delivery.place: each for each in sent}
        for each in last.values():
            delivery = each.delivery
            row = self.run.taken.get((delivery.alert_id, delivery.change))
            if row is None:
                row = _Row(
                    "",
                    row=json.loads(delivery.row),
                    severity=delivery.severity,
                    shown=json.loads(delivery.shown),
                    action=delivery.action,
                )
                self.run.rows.append(row)
                self.run.taken[delivery.alert_id, delivery.change] = row
            if delivery.status is not DeliveryStatus.SKIPPED:
                row.sent.append(_shown(delivery, each.outcome))
        self._leftovers(set(last), {each.delivery.sink: each.outcome for each in sent})
        for row in self.run.rows:
            if not row.status:
                _judge(row)

    def _leftovers(self, tried: set[tuple[str, int, str]], said: Mapping[str, Outcome]) -> None:
        """Look after new rows of which something was not sent in this call."""
        wanted = [
            key
            for key, row in self.run.taken.items()
            if row.action == "trigger" and len(row.sent) < len((row.shown or {}).get("dispatchableSinks", []))
        ]
        for start in range(0, len(wanted), _WAITING):
            with self.alerts.look() as desk:
                found = {key: desk.alerts.deliveries(key[0]) for key in wanted[start : start + _WAITING]}
            for key, kept in found.items():
                new = [each for each in kept if each.change == key[1] and each.place not in tried]
                self.run.taken[key].sent += [_kept(each, said.get(each.sink)) for each in new]


def recover(alerts: Alerts, actor: Actor, source: str, verdict: Verdict) -> list[str]:
    """End a source's alerts whose verdict has recovered; returns their ids."""
    with alerts.look() as desk:
        standing = desk.alerts.standing(source)
    if not any(verdict.recovered(each, text_at(json.loads(each.row), "timestamp")) for each in standing):
        return []
    ended: list[str] = []
    with alerts.open(actor) as desk:
        desk.alerts.hold(source)
        intake = alerts.intake(desk)
        for each in desk.alerts.standing(source):
            if verdict.recovered(each, text_at(json.loads(each.row), "timestamp")):
                intake.resolve(each, f"{each.category} is over: {verdict.health}", None)
                ended.append(each.id)
    return ended


def _batches(lines: Iterator[Line]) -> Iterator[list[Line]]:
    batch: list[Line] = []
    for line in lines:
        batch.append(line)
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


# --- what is written --------------------------------------------------------------------------------------------------


def _kept(delivery: Delivery, said: Outcome | None) -> Document:
    """Show a delivery that this call has not tried: another one has, or its sink is left alone for a while."""
    if delivery.status is DeliveryStatus.DELIVERED:
        return _shown(delivery, Delivered(delivery.http_status))
    code = delivery.reason or (said.code if isinstance(said, Refused) else DISPATCH_FAILED)
    return _shown(delivery, Refused(code, delivery.message or _LEFT, delivery.http_status))


def _shown(delivery: Delivery, outcome: Outcome) -> Document:
    failed = outcome if isinstance(outcome, Refused) else None
    return {
        "id": delivery.sink,
        "type": json.loads(delivery.target).get("type"),
        "status": "failed" if failed else "success",
        "httpStatus": outcome.http_status,
        "reasonCode": failed and failed.code,
        "message": failed and failed.message,
    }


def _judge(row: _Row) -> None:
    good = sum(each["status"] == "success" for each in row.sent)
    if not row.sent:
        row.status, row.reason = "skipped", NO_SINKS
    elif good == len(row.sent):
        row.status = "dispatched"
    elif good:
        row.status, row.reason = "partial", PARTIAL
    else:
        row.status, row.reason = "failed", FAILED


def _line(order: Order, row: _Row, now: str) -> Document:
    good = sum(each["status"] == "success" for each in row.sent)
    escalation = row.row or {}
    shown: Document = {
        "timestamp": now,
        "loopId": order.loop,
        "traceId": order.trace_id,
        "escalationTraceId": text_at(escalation, "traceId") or order.trace_id,
        "category": _CATEGORY,
        "escalationCategory": text_at(escalation, "category"),
        "escalationTimestamp": text_at(escalation, "timestamp"),
        "eventSeverity": row.severity,
        "action": row.action if row.action != "trigger" else None,
        "status": row.status,
        "reasonCode": row.reason,
        "escalation": row.row,
        "route": row.shown,
        "sinks": row.sent or None,
        "rawLine": row.raw,
        "message": row.message,
    }
    if row.raw is None and row.message is None:
        shown |= {"sinkCount": len(row.sent), "dispatchedSinkCount": good, "failedSinkCount": len(row.sent) - good}
    return {name: value for name, value in shown.items() if value is not None}


def _written(files: Files, order: Order, run: _Run, now: int) -> Document:
    at = f"{to_text(now * 1000)[:19]}Z"
    done = sum(row.status in {"dispatched", "partial"} for row in run.rows)
    failed = sum(row.status in {"failed", "partial"} for row in run.rows)
    codes = {row.reason for row in run.rows if row.status == "failed" and row.reason and row.reason != FAILED}
    codes |= {each["reasonCode"] for row in run.rows for each in row.sent if each["reasonCode"]}
    if not run.rows:
        status = "no_new_escalations" if run.there else "no_source"
    elif not failed:
        status = "success"
    else:
        status = "partial" if done else "failed"
    state = state_of(order, now, status) | {
        "processedCount": len(run.rows),
        "dispatchedCount": done,
        "skippedCount": sum(row.status == "skipped" for row in run.rows),
        "failedCount": failed,
        "failureReasonCodes": sorted(codes),
        "escalationsLineOffset": run.place.rows,
        "escalationsLineCount": max(run.total, run.place.rows),
    }
    lines = [files.bytes_of(_line(order, row, at)) for row in run.rows if row.told]
    with files.held(os.path.join(order.manager, LOCK), wait=True):
        if lines:
            files.append(order.telemetry, lines)
        files.replace(order.state, files.bytes_of(state))
        mark(files, order, run.seen, quiet=run.quiet)
    return state
