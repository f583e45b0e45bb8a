"""Sending what is in the outbox: claimed in one transaction, sent in none, noted in another.

Each sink has its own thread, so that a slow one holds up no other, and a breaker, so that one that is down costs
little.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, cast

from interlock.access.models import Actor
from interlock.alerts.events import AlertDelivered
from interlock.alerts.intake import NO_SINKS
from interlock.alerts.models import (
    Breaker,
    Delivered,
    Delivery,
    DeliveryStatus,
    Document,
    Message,
    Outcome,
    Refused,
    inner,
    text_at,
)
from interlock.alerts.options import AlertOptions
from interlock.alerts.ports import Desk, DueLook, Look, Open
from interlock.alerts.routing import Router
from interlock.alerts.sinks import known
from interlock.alerts.sinks.posting import DISPATCH_FAILED, INVALID_RESULT, MISSING_SECRET, UNSUPPORTED, cleaned
from interlock.kernel.clock import to_text

_OURS: Final = frozenset({MISSING_SECRET, UNSUPPORTED, NO_SINKS})
"""Failures that say nothing of the sink."""
_MOST_BATCH = 64
_MOST_LANES = 32
_QUICK_SECONDS = 0.5
_TOGETHER_SECONDS = 0.02
"""What is taken within so short a time is noted together."""


class Sent(NamedTuple):
    """One attempt."""

    delivery: Delivery
    outcome: Outcome


class Ask(NamedTuple):
    """What is to be sent, and how."""

    source: str
    trace_id: str
    forced: bool = False
    """Whether who asks has mended something: what waits for its next attempt goes out at once."""
    seconds: float | None = None
    """For how long new attempts are begun."""
    going: Callable[[], bool] = lambda: True
    """Whether any are begun at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """Sends."""

    open: Open
    look: Look
    environment: Mapping[str, str]
    options: AlertOptions
    repo: str
    """What alerts are of that are of no loop."""
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_MOST_LANES, "alerts"))
    """For one sink each, and kept: each thread that asks the database has a connection of its own."""
    probe: Callable[[str], None] = field(default=lambda _: None)
    """Is told of each step; a test dies there."""

    def send(self, actor: Actor, ask: Ask, router: Router) -> list[Sent]:
        """Send what is due of a source; returns what was tried. A sink that is left alone is not."""
        with self.look() as desk:
            sinks, about = desk.alerts.sinks(ask.source), desk.alerts.about(ask.source)
        if not sinks:
            return []
        if ask.forced:
            with self.open(actor) as desk:
                desk.alerts.hurry(ask.source)
        sent: list[Sent] = []
        lock = threading.Lock()

        def work(sink: str) -> None:
            for each in _Lane(self, actor, ask, router, sink, _where(about, self.repo)).run():
                with lock:
                    sent.append(each)

        if len(sinks) == 1:
            work(sinks[0])
            return sent
        for done in [self.threads.submit(work, sink) for sink in sinks]:
            done.result()
        return sent

    def lane(self, actor: Actor, ask: Ask, router: Router, sink: str) -> list[Sent]:
        """Send what is due of a source to one sink."""
        with self.look() as desk:
            about = desk.alerts.about(ask.source)
        return list(_Lane(self, actor, ask, router, sink, _where(about, self.repo)).run())

    def attempt(self, target: Document, message: Message) -> Outcome:
        """Hand one message to one sink. Whatever goes wrong in there is an outcome."""
        kind = known().get(str(target.get("type")))
        if kind is None:
            return Refused(UNSUPPORTED, f"there is no type of sink {str(target.get('type'))[:64]!a}")
        named = cast("dict[str, str | None]", target.get("secretRefs") or {})
        secrets = {key: self.environment.get(name, "") for key, name in named.items() if name}
        missing = sorted(str(named[key]) for key, value in secrets.items() if not value)
        if missing or any(needed and key not in secrets for key, needed in kind.secrets.items()):
            return Refused(MISSING_SECRET, f"not set: {' '.join(missing)}")
        config: Document = {**(inner(target, "config") or {}), "id": target.get("id")}
        timeout = float(target.get("timeoutSeconds") or 5)
        try:
            found: Any = kind.send(message, config, secrets, timeout)
        except Exception as error:  # noqa: BLE001 - a sink is a plugin: its accident is its own
            return Refused(DISPATCH_FAILED, cleaned(f"{type(error).__name__}: {error}", secrets))
        if not isinstance(found, Delivered | Refused):
            return Refused(INVALID_RESULT, f"the sink returned {type(found).__name__}")
        return found


def _where(about: str | None, repo: str) -> Document:
    return json.loads(about) if about else {"repo": repo, "loop": ""}


@dataclass(slots=True)
class _Lane:
    """One sink's deliveries of one source."""

    box: Outbox
    actor: Actor
    ask: Ask
    router: Router
    sink: str
    where: Document
    sent: list[Sent] = field(default_factory=list[Sent])

    def run(self) -> Sequence[Sent]:
        options = self.box.options
        until = None if self.ask.seconds is None else time.monotonic() + self.ask.seconds
        size, forced = options.in_flight, self.ask.forced
        while self.ask.going() and (until is None or time.monotonic() < until):
            batch = self._claim(size, forced=forced)
            if not batch:
                break
            began, forced = time.monotonic(), False
            self._send(batch)
            quick = time.monotonic() - began < _QUICK_SECONDS
            size = min(size * 2, self._most(batch)) if quick else options.in_flight
        return self.sent

    def _most(self, batch: Sequence[Delivery]) -> int:
        """Say how many can be claimed at once, so that the last is sent long before its claim ends."""
        timeout = max((json.loads(each.target).get("timeoutSeconds") or 5) for each in batch)
        rounds = max(1, int(self.box.options.lease_seconds / 2 / timeout))
        return min(_MOST_BATCH, self.box.options.in_flight * rounds)

    # --- claiming -----------------------------------------------------------------------------------------------------

    def _claim(self, size: int, *, forced: bool) -> list[Delivery]:
        with self.box.open(self.actor) as desk:
            now = desk.now()
            size = self._admitted(desk, size, now, forced=forced)
            if not size:
                return []
            leases = now + self.box.options.lease_seconds * 1000
            look = DueLook(
                source=self.ask.source,
                sink=self.sink,
                horizon=now + self.box.options.most_backoff_seconds * 1000,
                leases=leases,
                limit=size,
            )
            mine = [each for each in desk.alerts.due(look) if desk.alerts.claim(each, leases, leases)]
        self.box.probe("claimed")
        return [replace(each, attempts=each.attempts + 1) for each in mine]

    def _admitted(self, desk: Desk, size: int, now: int, *, forced: bool) -> int:
        """Say how many may go to this sink now: none while it is left alone, then one to see how it is."""
        options = self.box.options
        breaker = desk.alerts.breaker(self.sink)
        if breaker.failures < options.breaker_failures:
            return size if not breaker.failures else min(size, options.breaker_failures - breaker.failures)
        pause = options.breaker_seconds * 1000
        if not forced and now < breaker.open_until_ms <= now + pause:
            return 0
        desk.alerts.put_breaker(self.sink, breaker._replace(open_until_ms=now + pause))
        return 1

    # --- sending ------------------------------------------------------------------------------------------------------

    def _send(self, batch: Sequence[Delivery]) -> None:
        if len(batch) == 1:
            self._note([Sent(batch[0], self._attempt(batch[0]))])
            return
        with ThreadPoolExecutor(min(self.box.options.in_flight, len(batch)), thread_name_prefix="alert") as pool:
            flying: dict[Future[Outcome], Delivery] = {pool.submit(self._attempt, each): each for each in batch}
            while flying:
                wait(flying, return_when=FIRST_COMPLETED)
                landed, _ = wait(flying, timeout=_TOGETHER_SECONDS)
                self._note([Sent(flying.pop(each), each.result()) for each in landed])

    def _attempt(self, delivery: Delivery) -> Outcome:
        kept: Document = json.loads(delivery.target)
        target = self.router.target(self.sink)
        if target is None:
            return Refused(NO_SINKS, "the sink is switched off, or gone from the configuration")
        row: Document = json.loads(delivery.row)
        message = Message(
            action=delivery.action,
            category=delivery.category,
            severity=delivery.severity,
            dedup_key=delivery.dedup_key,
            repo=self.where["repo"],
            loop=text_at(row, "loopId") or self.where["loop"],
            emitted_at=to_text(delivery.created_ms),
            trace_id=delivery.trace_id or self.ask.trace_id,
            delivery_key=f"{delivery.alert_id}:{delivery.change}:{delivery.sink}",
            escalation=row,
        )
        outcome = self.box.attempt(target or kept, message)
        self.box.probe("sent")
        if isinstance(outcome, Refused):  # a receiver may know the secrets of another
            names = self.router.variables()
            secrets = {name: self.box.environment[name] for name in names if self.box.environment.get(name)}
            return outcome._replace(message=cleaned(outcome.message, secrets))
        return outcome

    # --- noting -------------------------------------------------------------------------------------------------------

    def _note(self, landed: Sequence[Sent]) -> None:
        with self.box.open(self.actor) as desk:
            noted = [self._noted(desk, each) for each in landed]
            self._judge(desk, [each.outcome for each in landed])
        self.box.probe("noted")
        self.sent += noted

    def _noted(self, desk: Desk, sent: Sent) -> Sent:
        now, delivery, outcome = desk.now(), sent.delivery, sent.outcome
        if isinstance(outcome, Delivered):
            after = replace(
                delivery,
                status=DeliveryStatus.DELIVERED,
                delivered_ms=now,
                reason=None,
                message=None,
                http_status=outcome.http_status,
            )
            if desk.alerts.done(after):
                told = AlertDelivered(
                    subject=after.alert_id,
                    sink=after.sink,
                    action=after.action,
                    change=after.change,
                    attempts=after.attempts,
                )
                desk.emit(told)
            return Sent(after, outcome)
        after = replace(
            delivery,
            status=DeliveryStatus.SKIPPED if outcome.code == NO_SINKS else DeliveryStatus.PENDING,
            next_ms=now + wait_ms(self.box.options, delivery.attempts, outcome.retry_after),
            reason=outcome.code,
            http_status=outcome.http_status,
            message=outcome.message,
        )
        desk.alerts.done(after)
        return Sent(after, outcome)

    def _judge(self, desk: Desk, outcomes: Sequence[Outcome]) -> None:
        """Count what says something of the sink."""
        said = [each for each in outcomes if isinstance(each, Delivered) or each.code not in _OURS]
        if not said:
            return
        before = desk.alerts.breaker(self.sink)
        failures = before.failures
        for each in said:
            failures = 0 if isinstance(each, Delivered) else failures + 1
        opened = desk.now() + self.box.options.breaker_seconds * 1000
        after = Breaker(failures, opened if failures >= self.box.options.breaker_failures else 0)
        if after != before:
            desk.alerts.put_breaker(self.sink, after)


def wait_ms(options: AlertOptions, attempts: int, retry_after: int | None) -> int:
    """Return how long a delivery waits after so many attempts: longer each time, and not all at the same moment."""
    longest = options.most_backoff_seconds * 1000
    grown = min(longest, options.backoff_seconds * 1000 * 2 ** min(max(0, attempts - 1), 20))
    jittered = int(grown * random.uniform(0.5, 1.0))  # noqa: S311 - no secret, only to spread
    return min(longest, max(jittered, (retry_after or 0) * 1000))
