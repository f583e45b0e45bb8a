"""The verbs of alerts: list, show, acknowledge, silence, resolve, test, replay; and taking in and sending out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from interlock.access.models import Actor
from interlock.alerts import config, routing
from interlock.alerts.errors import AlertOver, AlertUnknown, SilenceInvalid, SilenceUnknown, SinkFailed, SinkUnknown
from interlock.alerts.escalations import codes_of
from interlock.alerts.events import (
    AlertAcknowledged,
    AlertReplayed,
    AlertSilenced,
    AlertUnsilenced,
    SinkTested,
)
from interlock.alerts.intake import Intake
from interlock.alerts.models import (
    Alert,
    AlertState,
    Breaker,
    Delivered,
    Delivery,
    Document,
    Message,
    Outcome,
    Silence,
    Unroutable,
    texts,
)
from interlock.alerts.options import AlertOptions
from interlock.alerts.outbox import Outbox
from interlock.alerts.ports import Desk, Look, Open
from interlock.alerts.routing import Router
from interlock.kernel.clock import to_text
from interlock.kernel.errors import InterlockError
from interlock.kernel.ids import checked

_MOST_REASON = 2_000
_MOST_HISTORY = 200
_PAGE = 500
_LONGEST_SILENCE_MS = 366 * 24 * 3_600_000


class Shown(NamedTuple):
    """An alert with what was made of it."""

    alert: Alert
    deliveries: Sequence[Delivery]
    history: Sequence[Mapping[str, Any]]
    """What the log tells of it, as events."""
    about: Document | None
    """Repository and loop, where its source is a loop."""


class SinkSeen(NamedTuple):
    """A sink as it is configured, and how it does."""

    id: str
    type: str
    enabled: bool
    timeout_seconds: int
    secrets: Mapping[str, bool]
    """Which variables it needs, and whether each is set; never what is in them."""
    counts: Mapping[str, int]
    """How many of its deliveries stand how."""
    breaker: Breaker


class SinksSeen(NamedTuple):
    """Every sink, and where alerts go."""

    source: str
    """The file that says so."""
    problem: str | None
    """What is wrong with it."""
    default_min_severity: str | None
    default_sinks: Sequence[str]
    routes: Sequence[Document]
    sinks: Sequence[SinkSeen]


@dataclass(frozen=True, kw_only=True)
class Alerts:
    """Alerts of one workspace."""

    root: str
    open: Open
    look: Look
    new_ulid: Callable[[], str]
    environment: Mapping[str, str]
    options: AlertOptions
    outbox: Outbox

    # --- looking ------------------------------------------------------------------------------------------------------

    def list(self, *, state: str = "", limit: int = 100, before: str | None = None) -> Sequence[Alert]:
        """List alerts, the newest first; `standing` are not resolved, `silenced` were told to nobody."""
        with self.look() as desk:
            last = None if before is None else desk.alerts.get(checked(before, "al"))
            if before is not None and last is None:
                raise AlertUnknown(f"there is no alert {before}")
            return desk.alerts.list(state, limit, last)

    def show(self, alert_id: str) -> Shown:
        """Return an alert and its deliveries; raises `AlertUnknown`."""
        with self.look() as desk:
            alert = _alert(desk, alert_id)
            about = desk.alerts.about(alert.source)
            return Shown(
                alert,
                desk.alerts.deliveries(alert_id),
                desk.alerts.history(alert_id, _MOST_HISTORY),
                json.loads(about) if about else None,
            )

    def silences(self) -> Sequence[Silence]:
        """List the silences that hold."""
        with self.look() as desk:
            return desk.alerts.silences()

    def would_silence(self, *, source: str = "", category: str = "") -> Sequence[Alert]:
        """List the alerts that are not resolved and that a silence would cover."""
        with self.look() as desk:
            now = desk.now()
            asked = Silence("", source, category, now + 1, "", "", now)
            found: list[Alert] = []
            page = desk.alerts.list("standing", _PAGE, None)
            while page:
                found += [each for each in page if asked.covers(each.source, each.category, now)]
                page = desk.alerts.list("standing", _PAGE, page[-1]) if len(page) == _PAGE else ()
        return found

    def sinks(self) -> SinksSeen:
        """Say which sinks there are, whether each can be sent to, and how it does; never a secret."""
        path = self.config_path()
        try:
            found = config.load(path, strict=False)
        except InterlockError as error:
            return SinksSeen(path, error.message, None, (), (), ())
        with self.look() as desk:
            counts: dict[str, dict[str, int]] = {}
            for name, status, many in desk.alerts.counts():
                counts.setdefault(name, {})[status] = many
            sinks = [
                self._sink(found.sink(name), counts.get(name, {}), desk.alerts.breaker(name)) for name in found.sinks
            ]
        return SinksSeen(
            path,
            None,
            found.default_min_severity,
            texts(found.routing, "defaultSinks"),
            list(found.routing.get("routes") or []),
            sinks,
        )

    def _sink(self, shown: Document, counts: Mapping[str, int], breaker: Breaker) -> SinkSeen:
        names = sorted(name for name in shown["secretRefs"].values() if name)
        return SinkSeen(
            shown["id"],
            shown["type"],
            shown["enabled"],
            shown["timeoutSeconds"],
            {name: bool(self.environment.get(name)) for name in names},
            counts,
            breaker,
        )

    # --- deciding -----------------------------------------------------------------------------------------------------

    def ack(self, actor: Actor, alert_id: str, *, note: str = "") -> Alert:
        """Say that you look after it: the same verdict is not told of again, another one is."""
        with self.open(actor) as desk:
            alert = _held(desk, alert_id)
            after = replace(alert, state=AlertState.ACKNOWLEDGED, by=str(actor.principal))
            desk.alerts.put(after)
            desk.emit(AlertAcknowledged(subject=alert.id, note=note[:_MOST_REASON]))
        return after

    def resolve(self, actor: Actor, alert_id: str, *, reason: str = "") -> Alert:
        """Say that it is over; the sinks that were told of it are told so."""
        with self.open(actor) as desk:
            alert = _held(desk, alert_id)
            return self.intake(desk).resolve(alert, reason or "by hand", str(actor.principal))

    def silence(self, actor: Actor, *, reason: str, for_ms: int, source: str = "", category: str = "") -> Silence:
        """Tell nobody of some alerts for a time; they are opened all the same, and told of if they outlast it."""
        if not reason.strip() or len(reason) > _MOST_REASON or not 0 < for_ms <= _LONGEST_SILENCE_MS:
            raise SilenceInvalid("a silence needs a reason, and lasts at most a year")
        with self.open(actor) as desk:
            now = desk.now()
            made = Silence(
                f"si_{self.new_ulid()}", source, category, now + for_ms, reason.strip(), str(actor.principal), now
            )
            desk.alerts.silence(made)
            desk.emit(
                AlertSilenced(
                    subject=made.id, source=source, category=category, until_ms=made.until_ms, reason=made.reason
                )
            )
        return made

    def unsilence(self, actor: Actor, silence_id: str) -> Silence:
        """End a silence."""
        checked(silence_id, "si")
        with self.open(actor) as desk:
            found = desk.alerts.get_silence(silence_id)
            if found is None or not desk.alerts.end_silence(silence_id):
                raise SilenceUnknown(f"there is no silence {silence_id} that holds")
            desk.emit(AlertUnsilenced(subject=silence_id))
            return found._replace(until_ms=desk.now())

    def replay(self, actor: Actor, *, alert_id: str | None = None, sink: str = "", delivered: bool = False) -> int:
        """Make deliveries of an alert or for a sink due at once, with `delivered` also those that were taken."""
        if alert_id is not None:
            checked(alert_id, "al")
        with self.open(actor) as desk:
            if alert_id:
                _alert(desk, alert_id)
            many = desk.alerts.again(alert_id or "", sink, delivered=delivered and bool(alert_id or sink))
            for each in {sink} if sink else {name for name, _, _ in desk.alerts.counts()}:
                desk.alerts.put_breaker(each, Breaker())  # a human has mended something: it is tried at once
            desk.emit(AlertReplayed(subject=alert_id or "alerts", sink=sink, deliveries=many))
        return many

    def test(self, actor: Actor, sink: str) -> Outcome:
        """Send a message that says that it is a test; raises `SinkUnknown`, `SinkFailed`."""
        found = config.load(self.config_path())
        if sink not in found.sinks:
            raise SinkUnknown(f"no sink is called {sink[:128]!a}")
        with self.look() as desk:
            now = desk.now()
        message = Message(
            action="trigger",
            category="test",
            severity="info",
            dedup_key=f"test:{sink}"[:255],
            repo=self.root,
            loop="",
            emitted_at=to_text(now),
            trace_id=actor.correlation_id or "test",
            delivery_key=f"test:{self.new_ulid()}",
            escalation={"category": "test", "message": f"{actor.principal} tests the sink {sink}"},
        )
        target = found.sink(sink)
        outcome = self.outbox.attempt(target, message)
        if isinstance(outcome, Delivered) and target["type"] == "pagerduty_events":
            outcome = self.outbox.attempt(target, replace(message, action="resolve"))  # nobody is kept awake by a test
        failed = None if isinstance(outcome, Delivered) else outcome
        with self.open(actor) as desk:
            desk.emit(
                SinkTested(subject=f"sink/{sink}", delivered=failed is None, reason=failed.code if failed else None)
            )
        if failed is not None:
            raise SinkFailed(f"{sink} did not take it: {failed.code}: {failed.message}")
        return outcome

    # --- taking in ----------------------------------------------------------------------------------------------------

    def config_path(self, given: str | None = None) -> str:
        """Say which file of sinks holds."""
        return config.config_path(given, self.root, self.environment)

    def router(self, given: str | None = None) -> Router:
        """Return what says where escalations go."""
        return routing.router(self.config_path(given), self.environment)

    def intake(self, desk: Desk) -> Intake:
        """Return what takes escalations, and ends alerts, in a transaction that holds their source."""
        return Intake(desk, self.new_ulid, self.options.repeat_seconds * 1000, desk.alerts.silences())

    def wake(self, actor: Actor, source: str, router: Router) -> list[tuple[str, int]]:
        """Tell of alerts that a silence kept quiet, and does no more; returns which, and under which number."""
        with self.look() as desk:
            quiet = desk.alerts.standing(source, silenced=True)
        routes = {each.id: router.route(each.category, each.severity) for each in quiet}
        if not quiet:
            return []
        told: list[tuple[str, int]] = []
        with self.open(actor) as desk:
            desk.alerts.hold(source)
            intake = self.intake(desk)
            for each in desk.alerts.standing(source, silenced=True):
                route = routes.get(each.id)
                if route is None or isinstance(route, Unroutable):
                    continue
                change = intake.unsilence(each, route, codes_of(json.loads(each.row)))
                if change is not None:
                    told.append((each.id, change))
        return told


def _alert(desk: Desk, alert_id: str) -> Alert:
    found = desk.alerts.get(checked(alert_id, "al"))
    if found is None:
        raise AlertUnknown(f"there is no alert {alert_id}")
    return found


def _held(desk: Desk, alert_id: str) -> Alert:
    """Return an alert that is not over, and keep others from changing it; raises `AlertUnknown`, `AlertOver`."""
    found = _alert(desk, alert_id)
    desk.alerts.hold(found.source)
    found = _alert(desk, alert_id)
    if found.state is AlertState.RESOLVED:
        raise AlertOver(f"{alert_id} is resolved")
    return found
