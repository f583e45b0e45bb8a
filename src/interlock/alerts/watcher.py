"""Alerts of the rest of the product: its event log is followed, and what stands in it is looked for, now and then.

`Alerter.turn` is called every second or so by whoever lives long. It looks and notes, and waits for no sink: what is to
be sent goes out in threads of its own, one for each sink (of a loop: one for each loop), never two for the same.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from interlock.access.models import Actor
from interlock.alerts.dispatch import dispatch, recover
from interlock.alerts.idle import Order
from interlock.alerts.models import (
    EVENT_SOURCE,
    Document,
    Escalation,
    Message,
    Place,
    Refused,
    Route,
    dedup_key,
    source_of,
    text_at,
)
from interlock.alerts.outbox import Ask
from interlock.alerts.ports import Condition, Desk, Files, Log, Probe
from interlock.alerts.recovery import Verdict
from interlock.alerts.service import Alerts
from interlock.kernel.clock import Clock, to_text
from interlock.kernel.errors import InterlockError

_LOG = logging.getLogger("interlock.alerts")
_TURN_SECONDS = 1.0
_PATIENCE_SECONDS = 10.0
"""How long an end waits for what is being sent; the rest stays in the outbox."""
_FILE: Final = "log"
_PAGE = 500
_PROBE_SECONDS = 30.0
_SEND_SECONDS = 20.0
_AT_ONCE = 8
_MOST_THREADS = 32
_MOST_CODES = 64
HEARTBEAT: Final = "alerter_heartbeat"


class Telling(NamedTuple):
    """What an event opens."""

    category: str
    severity: str


OPENS: Final[Mapping[str, Telling]] = {
    "run.failed": Telling("run_failed", "warning"),
    "draft.generation_failed": Telling("generation_failed", "warning"),
    "panic.raised": Telling("panic_raised", "critical"),
    "pipeline.execution_failed": Telling("pipeline_failed", "warning"),
    "pipeline.checkpoint_refused": Telling("checkpoint_refused", "warning"),
    "deployment.health_failed": Telling("deployment_unhealthy", "critical"),
}
ENDS: Final[Mapping[str, tuple[str, ...]]] = {
    "run.retried": ("run_failed",),
    "run.done": ("run_failed",),
    "draft.generated": ("generation_failed",),
    "draft.rejected": ("generation_failed",),
    "panic.released": ("panic_raised",),
    "pipeline.execution_started": ("pipeline_failed",),
    "pipeline.execution_completed": ("pipeline_failed", "checkpoint_refused"),
    "deployment.health_passed": ("deployment_unhealthy",),
    "deployment.rolled_back": ("deployment_unhealthy",),
}
"""Which alerts of the same subject an event ends."""


@dataclass(kw_only=True)
class Alerter:
    """Follows, looks, and has sent."""

    alerts: Alerts
    files: Files
    log: Log
    actor: Actor
    clock: Clock
    probes: Mapping[str, Probe] = field(default_factory=dict[str, Probe])
    """By the category of what they look for."""
    manager: Callable[[str, str], str]
    """Says where the files of ours of a loop lie."""
    monotonic: Callable[[], float] = time.monotonic
    _busy: dict[str, Future[None]] = field(default_factory=dict[str, "Future[None]"])
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_MOST_THREADS, "alerter"))
    _stopping: threading.Event = field(default_factory=threading.Event)
    _seen: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    _probed: float | None = None
    _beaten: float | None = None
    _begun: bool = False
    """Whether every loop was gone after once: one that died may have left something."""
    _wanted: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])

    def turn(self) -> None:
        """Look once at everything, and have sent what is due. Trouble is told of, and is over by the next time."""
        for part in (self._follow, self._probe, self._send, self._beat):
            try:
                part()
            except InterlockError as error:
                _LOG.warning("alerts: %s", error.message)
            except Exception:  # noqa: BLE001 - the supervisor's thread lives on, and alerts with it
                _LOG.warning("alerts: an accident", exc_info=True)

    def work(self) -> int:
        """Take turns until told to stop, and wait a little for what is being sent; returns how many turns it took."""
        turns = 0
        while not self._stopping.is_set():
            self.turn()
            turns += 1
            self._stopping.wait(_TURN_SECONDS)
        self.finish(_PATIENCE_SECONDS)
        return turns

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopping.set()

    def finish(self, seconds: float) -> None:
        """Wait for what is being sent, but not for long; what is not sent then stays in the outbox."""
        deadline = self.monotonic() + seconds
        wait(list(self._busy.values()), max(0.0, deadline - self.monotonic()))

    # --- events -------------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        with self.alerts.look() as desk:
            place = desk.alerts.place(EVENT_SOURCE, _FILE)
        if place is None:  # what happened before there was an alerter is nobody's alert any more
            end = Place(rows=self.log.size())
            with self.alerts.open(self.actor) as desk:
                desk.alerts.hold(EVENT_SOURCE)
                if desk.alerts.place(EVENT_SOURCE, _FILE) is None:
                    desk.alerts.put_place(EVENT_SOURCE, _FILE, end)
            return
        while events := self.log.events(place.rows, _PAGE):
            place = self._take(place, events)
            if len(events) < _PAGE:
                return

    def _take(self, place: Place, events: Sequence[tuple[int, Mapping[str, Any]]]) -> Place:
        """Take a page of events; what they say, and that they were read, is noted together."""
        router = self.alerts.router()
        opening = [_opened(event) for _, event in events]
        routes = [each and router.route(each.category, each.severity) for each in opening]
        after = Place(rows=events[-1][0] + 1)
        with self.alerts.open(self.actor) as desk:
            desk.alerts.hold(EVENT_SOURCE)
            if desk.alerts.place(EVENT_SOURCE, _FILE) != place:
                return after  # another alerter was faster
            intake = self.alerts.intake(desk)
            for (_, event), found, route in zip(events, opening, routes, strict=True):
                if found is not None and route is not None:
                    intake.take(found, route)
                self._end(desk, event)
                self._note(desk, event)
            desk.alerts.put_place(EVENT_SOURCE, _FILE, after)
        for _, event in events:
            self._of_loop(event)
        return after

    def _note(self, desk: Desk, event: Mapping[str, Any]) -> None:
        """Remember a loop that has escalated, should this process die before it has gone after it."""
        if event["kind"] == "loop.escalated":
            repo, loop = _loop_of(event)
            desk.alerts.hold(source_of(repo, loop), json.dumps({"repo": repo, "loop": loop}))

    def _end(self, desk: Desk, event: Mapping[str, Any]) -> None:
        for category in ENDS.get(event["kind"], ()):
            alert = desk.alerts.by_key(dedup_key(EVENT_SOURCE, category, event["subject"]))
            if alert is not None:
                self.alerts.intake(desk).resolve(alert, event["kind"], None)

    def _of_loop(self, event: Mapping[str, Any]) -> None:
        """Go after what the log says of a loop: its escalations stand in its own file."""
        if event["kind"] not in {"loop.escalated", "loop.judged"}:
            return
        repo, loop = _loop_of(event)
        if event["kind"] == "loop.escalated":
            self._wanted[source_of(repo, loop)] = (repo, loop)
            return
        after = event["payload"]["after"]
        verdict = Verdict(after.get("health", ""), tuple(after.get("reasons", ())), None, event["time"][:19] + "Z")
        recover(self.alerts, self.actor, source_of(repo, loop), verdict)

    # --- what stands --------------------------------------------------------------------------------------------------

    def _probe(self) -> None:
        now = self.monotonic()
        if self._probed is not None and now - self._probed < _PROBE_SECONDS:
            return
        self._probed = now
        for category, probe in self.probes.items():
            self._looked(category, {each.subject: each for each in probe(self.clock())})

    def _looked(self, category: str, found: Mapping[str, Condition]) -> None:
        """Open what was found twice in a row, end what is gone."""
        before, self._seen[category] = self._seen.get(category, set()), set(found)
        router = self.alerts.router()
        with self.alerts.look() as desk:
            standing = desk.alerts.standing(EVENT_SOURCE, category=category)
        keys = {dedup_key(EVENT_SOURCE, category, each.subject) for each in found.values()}
        gone = [each for each in standing if each.dedup_key not in keys]
        here = [_standing(category, each) for each in found.values() if each.subject in before]
        routed = [(each, route) for each in here if isinstance(route := router.route(category, each.severity), Route)]
        known = {each.dedup_key: set(each.sent) for each in standing}
        fresh = [(each, route) for each, route in routed if _verdict(each, route) not in known.get(each.key, ())]
        if not gone and not fresh:
            return
        with self.alerts.open(self.actor) as desk:
            desk.alerts.hold(EVENT_SOURCE)
            intake = self.alerts.intake(desk)
            for each in gone:
                intake.resolve(each, f"{category} is over", None)
            for each, route in fresh:
                intake.take(each, route)

    # --- sending ------------------------------------------------------------------------------------------------------

    def _send(self) -> None:
        options = self.alerts.options
        now = self.clock()
        with self.alerts.look() as desk:
            due = set(
                desk.alerts.sources(now + options.most_backoff_seconds * 1000, now + options.lease_seconds * 1000)
            )
            due |= {*desk.alerts.waiting_sources(), *desk.alerts.silenced_sources()}
            sinks = desk.alerts.sinks(EVENT_SOURCE) if EVENT_SOURCE in due else ()
            abouts = desk.alerts.abouts()
        loops = {each: about for each, about in abouts if not self._begun or each in due}
        self._begun = True
        if EVENT_SOURCE in due:
            self.alerts.wake(self.actor, EVENT_SOURCE, self.alerts.router())
        for sink in sinks:
            self._begin(f"sink {sink}", lambda sink=sink: self._lane(sink))
        for source, about in loops.items():
            where: Document = json.loads(about)
            self._wanted.setdefault(source, (where["repo"], where["loop"]))
        for source, (repo, loop) in list(self._wanted.items()):
            if self._begin(source, lambda repo=repo, loop=loop: self._dispatch(repo, loop)):
                del self._wanted[source]

    def _lane(self, sink: str) -> None:
        ask = Ask(
            EVENT_SOURCE,
            self.actor.correlation_id or "alerter",
            seconds=_SEND_SECONDS,
            going=lambda: not self._stopping.is_set(),
        )
        for each in self.alerts.outbox.lane(self.actor, ask, self.alerts.router(), sink):
            if isinstance(each.outcome, Refused):
                _LOG.warning("alert %s to %s: %s", each.delivery.alert_id, sink, each.outcome.code)

    def _dispatch(self, repo: str, loop: str) -> None:
        manager = self.manager(repo, loop)
        if not os.path.isdir(manager):
            return
        order = Order.of(repo, loop, manager, self.alerts.new_ulid())
        dispatch(self.alerts, self.files, self.actor, order._replace(forced=False, seconds=_SEND_SECONDS), self.clock)

    def _begin(self, name: str, work: Callable[[], None]) -> bool:
        """Begin something in a thread of its own; False if it, or too much, is under way."""
        self._busy = {key: each for key, each in self._busy.items() if not each.done()}
        loops = sum(not key.startswith("sink ") for key in self._busy)
        if self._stopping.is_set() or name in self._busy or (not name.startswith("sink ") and loops >= _AT_ONCE):
            return False

        def run() -> None:
            try:
                work()
            except InterlockError as error:
                _LOG.warning("alerts: %s: %s", name, error.message)
            except Exception:  # noqa: BLE001 - a thread's last resort: it is tried again
                _LOG.warning("alerts: %s: an accident", name, exc_info=True)

        self._busy[name] = self._threads.submit(run)
        return True

    # --- the alerter itself -------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        """Say that the alerter is alive. One that is missed is missed: that is what it is for."""
        minutes, now = self.alerts.options.heartbeat_minutes, self.monotonic()
        if not minutes or (self._beaten is not None and now - self._beaten < minutes * 60):
            return
        self._beaten = now
        router = self.alerts.router()
        route = router.route(HEARTBEAT, "info")
        named = self.alerts.options.heartbeat_sink
        shown = [] if not isinstance(route, Route) else [each["id"] for each in route.shown.get("selectedSinks", [])]
        for sink in [named] if named else shown:
            target = router.target(sink)
            if target:
                self._begin(f"sink heartbeat {sink}", lambda sink=sink, target=target: self._alive(sink, target))

    def _alive(self, sink: str, target: Document) -> None:
        at = to_text(self.clock())
        message = Message(
            action="trigger",
            category=HEARTBEAT,
            severity="info",
            dedup_key=dedup_key(EVENT_SOURCE, HEARTBEAT),
            repo=self.alerts.root,
            loop="",
            emitted_at=at,
            trace_id=self.actor.correlation_id or "alerter",
            delivery_key=f"{HEARTBEAT}:{at}",
            escalation={"timestamp": at, "category": HEARTBEAT, "message": "the alerter is alive"},
        )
        outcome = self.alerts.outbox.attempt(target, message)
        if isinstance(outcome, Refused):
            _LOG.warning("the alerter's heartbeat did not reach %s: %s", sink, outcome.code)


def _loop_of(event: Mapping[str, Any]) -> tuple[str, str]:
    return event["payload"]["repo"], event["subject"].removeprefix("loop/")


def _opened(event: Mapping[str, Any]) -> Escalation | None:
    telling = OPENS.get(event["kind"])
    if telling is None:
        return None
    payload: Document = dict(event["payload"])
    reason = text_at(payload, "reason") or text_at(payload, "error")
    row: Document = {
        "timestamp": event["time"],
        "traceId": event["correlation_id"],
        "category": telling.category,
        "subject": event["subject"],
        "principal": event["principal"],
        "reasonCode": reason and reason[:300],
    }
    return Escalation(
        source=EVENT_SOURCE,
        category=telling.category,
        severity=telling.severity,
        row={name: value for name, value in row.items() if value is not None},
        trace_id=event["correlation_id"],
        summary=f"{telling.category}: {event['subject']}" + (f" ({reason[:100]})" if reason else ""),
        codes=(event["time"],),
        subject=event["subject"],
    )


def _standing(category: str, found: Condition) -> Escalation:
    codes = tuple(sorted(found.codes)[:_MOST_CODES])
    return Escalation(
        source=EVENT_SOURCE,
        category=category,
        severity=found.severity,
        row={"category": category, "subject": found.subject, "message": found.summary, "reasonCodes": list(codes)},
        trace_id=None,
        summary=found.summary,
        codes=codes,
        subject=found.subject,
    )


def _verdict(found: Escalation, route: Route) -> str:
    return f"{route.severity}:{','.join(sorted(set(found.codes)))}"
