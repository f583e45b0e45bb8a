"""Asking the gateway what it must grant and what it must refuse: one question to each service, and every wrong one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from interlock.kernel.clock import Clock
from interlock.pipelines.gateway import Decision, Gateway, Policy, Request, Rule

MOST_EVENTS: Final = 200
_COUNTED_AS: Final = {401: "rejected_auth", 403: "rejected_policy", 404: "rejected_policy", 429: "rejected_rate"}
_NOBODY: Final = "self-heal::nobody"
_OUTSIDE: Final = "/interlock-self-heal/outside"
_MOST_ASKED: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What the services answered to one question each that they have to grant."""

    results: list[dict[str, object]]
    """Each `service`, `status` (a number or `skipped`), and `message` or `reason`."""
    counts: dict[str, int]
    """`requests_total` (granted ones), `rejected_policy`, `rejected_auth`, `rejected_rate`."""
    events: list[dict[str, object]]
    latencies_ms: list[float] = field(default_factory=list[float])

    def metrics(self) -> dict[str, object]:
        """Return the metrics file's document; latency in milliseconds, at the 95th of 100."""
        ordered = sorted(self.latencies_ms)
        p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))] if ordered else 0.0
        return {"events": self.events[-MOST_EVENTS:], "p95_latency_ms": p95, **self.counts}

    @property
    def refused(self) -> list[str]:
        """Say which services did not grant what they have to."""
        return [
            f"{each['service']} answers {each['status']}: {each['message']}"
            for each in self.results
            if each["status"] not in {200, "skipped"}
        ]


class _Wrong(NamedTuple):
    """A question that has to be refused."""

    what: str
    status: int
    request: Request


def ask_each(policy: Policy, *, clock: Clock, secret: bytes) -> Probed:
    """Ask every service its first method and path, with a token made for just that."""
    gateway = Gateway(policy, clock, secret)
    probed = nothing()
    for service, rule in policy.items():
        if rule is None:
            probed.results.append({"service": service, "status": "skipped", "reason": "it has no rule to ask by"})
            continue
        request = _right(gateway, service, rule)
        began = time.perf_counter_ns()
        decision = gateway.decide(request)
        took_ms = round((time.perf_counter_ns() - began) / 1_000_000, 4)
        probed.results.append({"service": service, "status": decision.status, "message": decision.message})
        probed.counts["requests_total" if decision.forwarded else _COUNTED_AS[decision.status]] += 1
        if decision.forwarded:
            probed.latencies_ms.append(took_ms)
            probed.events.append(_event(request, rule, decision, took_ms, clock()))
    return probed


def nothing() -> Probed:
    """Return what was answered before anything was asked."""
    names = ("requests_total", "rejected_policy", "rejected_auth", "rejected_rate")
    return Probed(results=[], counts=dict[str, int].fromkeys(names, 0), events=[])


def wrongly_answered(policy: Policy, *, clock: Clock, secret: bytes) -> list[str]:
    """Ask everything that has to be refused; returns a sentence for each answer that is another one."""
    gateway = Gateway(policy, clock, secret)
    problems = [
        f"{wrong.request.service} answers {given} to {wrong.what}, not {wrong.status}"
        for wrong in _wrong_questions(gateway)
        if (given := gateway.decide(wrong.request).status) != wrong.status
    ]
    for service, rule in policy.items():
        if rule is not None and not _stops(Gateway(policy, clock, secret), service, rule):
            problems.append(f"{service} does not stop a client at its rate")
    return problems


def _event(request: Request, rule: Rule, decision: Decision, took_ms: float, now: int) -> dict[str, object]:
    return {
        "client_id": request.client_id,
        "fs_scope": rule.fs_scope,
        "latency_ms": took_ms,
        "method": request.method,
        "network_scope": rule.network_scope,
        "path": request.path,
        "service": request.service,
        "timestamp": now / 1000,
        "token_rate_limit": decision.claims.rate_limit_per_minute if decision.claims else None,
    }


def _right(gateway: Gateway, service: str, rule: Rule, *, rate: int | None = None) -> Request:
    client = f"self-heal::{service}"
    token = None
    if rule.auth_required:
        token = _token(gateway, rule, client, rate or rule.requests_per_minute)
    return Request(service=service, method=rule.methods[0], path=rule.path_prefixes[0], client_id=client, token=token)


def _token(gateway: Gateway, rule: Rule, client: str, rate: int, *, without: str = "", lifetime: int = 60) -> str:
    return gateway.issue(
        client,
        fs_scopes=[rule.fs_scope] if rule.fs_scope and without != "fs" else [],
        network_scopes=[rule.network_scope] if rule.network_scope and without != "network" else [],
        rate_limit_per_minute=rate,
        lifetime_seconds=lifetime,
    )


def _wrong_questions(gateway: Gateway) -> Iterator[_Wrong]:
    unknown = "interlock-self-heal-unknown"
    if unknown not in gateway.policy:
        yield _Wrong("anybody", 404, Request(service=unknown, method="GET", path="/", client_id=_NOBODY))
    for service, rule in gateway.policy.items():
        if rule is None:
            yield _Wrong("anybody", 403, Request(service=service, method="GET", path="/", client_id=_NOBODY))
            continue
        if rule.auth_required:
            yield from _wrong_tokens(gateway, service, rule)
        yield from _wrong_places(_right(gateway, service, rule), rule)


def _wrong_tokens(gateway: Gateway, service: str, rule: Rule) -> Iterator[_Wrong]:
    right = _right(gateway, service, rule)
    client, rate = right.client_id, rule.requests_per_minute

    def asking(what: str, status: int, token: str | None) -> _Wrong:
        return _Wrong(
            what,
            status,
            Request(service=service, method=right.method, path=right.path, client_id=client, token=token),
        )

    stranger = Gateway(gateway.policy, gateway.clock, bytes(byte ^ 0xFF for byte in gateway.secret))
    yield asking("no token", 401, None)
    yield asking("a token of another key", 401, _token(stranger, rule, client, rate))
    yield asking("an expired token", 401, _token(gateway, rule, client, rate, lifetime=0))
    yield asking("another client's token", 403, _token(gateway, rule, _NOBODY, rate))
    yield asking("a token for a higher rate", 403, _token(gateway, rule, client, rate + 1))
    if rule.fs_scope:
        yield asking("a token without its file system scope", 403, _token(gateway, rule, client, rate, without="fs"))
    if rule.network_scope:
        yield asking("a token without its network scope", 403, _token(gateway, rule, client, rate, without="network"))


def _wrong_places(right: Request, rule: Rule) -> Iterator[_Wrong]:
    def asking(what: str, method: str, path: str) -> _Wrong:
        return _Wrong(
            what,
            403,
            Request(service=right.service, method=method, path=path, client_id=right.client_id, token=right.token),
        )

    yield asking("a method that is not allowed", "INTERLOCK", right.path)
    yield asking("a path that climbs", right.method, f"{right.path.rstrip('/')}/../admin")
    yield asking("an escaped path", right.method, f"{right.path.rstrip('/')}/%2e%2e/admin")
    if "/" not in rule.path_prefixes:
        yield asking("a path outside", right.method, _OUTSIDE)


def _stops(gateway: Gateway, service: str, rule: Rule) -> bool:
    """Say whether a client is stopped at its rate: 1 by its token, or the service's own where there is no token."""
    request = _right(gateway, service, rule, rate=1)
    most = 1 if rule.auth_required else rule.requests_per_minute
    if most > _MOST_ASKED:
        return True
    answers = [gateway.decide(request).status for _ in range(most + 1)]
    return answers == [200] * most + [429]
