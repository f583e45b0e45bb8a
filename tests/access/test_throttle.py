"""How much a caller may ask: pure, by a clock that is given, in bounded space."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from interlock.access.options import AccessOptions
from interlock.access.throttle import Buckets, Denials, Flood, Throttle

MINUTE = 60_000


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def asked(throttle: Throttle, who: str, times: int) -> list[bool]:
    return [throttle.ask(who).allowed for _ in range(times)]


def test_a_principal_may_ask_a_burst_at_once_and_then_as_fast_as_its_bucket_fills() -> None:
    clock = Clock()
    throttle = Throttle(AccessOptions(), clock)
    assert asked(throttle, "human:alice", 101) == [True] * 100 + [False]
    refused = throttle.ask("human:alice")
    assert (refused.limit, refused.remaining) == (600, 0)
    assert abs(refused.retry_after_seconds - 0.1) < 1e-9
    clock.seconds += refused.retry_after_seconds
    assert asked(throttle, "human:alice", 2) == [True, False]
    clock.seconds += 60
    first = throttle.ask("human:alice")
    assert (first.allowed, first.remaining, first.retry_after_seconds) == (True, 99, 0.0)


def test_nobody_pays_for_another() -> None:
    throttle = Throttle(AccessOptions(burst=1), Clock())
    assert asked(throttle, "human:alice", 3) == [True, False, False]
    assert throttle.ask("human:bob").allowed
    for _ in range(1000):
        throttle.fail("10.0.0.1")
    assert throttle.ask("human:carol").allowed  # also behind the same address
    assert throttle.failed("10.0.0.2").allowed


def test_an_address_has_twenty_bad_tokens_a_minute_and_looking_costs_none() -> None:
    clock = Clock()
    throttle = Throttle(AccessOptions(), clock)
    for _ in range(100):
        assert throttle.failed("10.0.0.1").allowed
    assert [throttle.fail("10.0.0.1").allowed for _ in range(21)] == [True] * 20 + [False]
    refused = throttle.failed("10.0.0.1")
    assert (refused.allowed, refused.limit) == (False, 20)
    assert abs(refused.retry_after_seconds - 3.0) < 1e-9
    clock.seconds += 3
    assert throttle.failed("10.0.0.1").allowed


def test_memory_is_bounded_and_who_was_not_seen_for_longest_is_forgotten() -> None:
    buckets = Buckets(per_minute=60, burst=1, clock=Clock(), most_keys=3)
    for name in ("a", "b", "c"):
        buckets.take(name)
    assert not buckets.take("a").allowed  # seen again
    buckets.take("d")
    assert len(buckets) == 3
    assert [buckets.look(name).allowed for name in ("a", "c", "d", "b")] == [False, False, False, True]


def test_a_clock_that_stands_or_goes_back_gives_nothing_away() -> None:
    clock = Clock()
    buckets = Buckets(per_minute=60, burst=2, clock=clock)
    buckets.take("a")
    clock.seconds -= 500
    assert [buckets.take("a").allowed for _ in range(2)] == [True, False]


@given(st.lists(st.floats(0, 120), max_size=60), st.integers(1, 1000), st.integers(1, 50))
def test_in_no_time_does_a_key_get_more_than_burst_and_rate_allow(waits: list[float], rate: int, burst: int) -> None:
    clock = Clock()
    buckets = Buckets(per_minute=rate, burst=burst, clock=clock)
    allowed = 0
    for wait in waits:
        clock.seconds += wait
        decision = buckets.take("a")
        allowed += decision.allowed
        assert 0 <= decision.remaining <= burst
        assert decision.allowed == (decision.retry_after_seconds == 0)
    assert allowed <= burst + (clock.seconds - 1000.0) * rate / 60 + 1e-6


def test_callers_at_the_same_moment_get_no_more_than_the_bucket_holds() -> None:
    buckets = Buckets(per_minute=1, burst=500, clock=lambda: 0.0)
    gate = threading.Barrier(8)

    def take(_: int) -> int:
        gate.wait(10)
        return sum(buckets.take("a").allowed for _ in range(200))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(8))) == 500


def test_denials_are_counted_by_source_and_minute() -> None:
    denials = Denials()
    for ms in (5 * MINUTE, 5 * MINUTE + 1, 6 * MINUTE - 1):
        denials.count("a", "token_invalid", ms)
    denials.count("b", "session_invalid", 5 * MINUTE)
    assert not denials.waiting(6 * MINUTE - 1)
    assert denials.due(6 * MINUTE - 1) == []
    denials.count("a", "token_invalid", 6 * MINUTE)
    assert denials.waiting(6 * MINUTE)
    assert denials.due(6 * MINUTE) == [
        Flood("a", 5 * MINUTE, 3, "token_invalid"),
        Flood("b", 5 * MINUTE, 1, "session_invalid"),
    ]
    assert denials.due(None) == [Flood("a", 6 * MINUTE, 1, "token_invalid")]
    assert not denials.waiting(9 * MINUTE)


def test_more_sources_than_there_is_room_for_are_counted_together() -> None:
    denials = Denials(most_sources=2)
    for source in ("a", "b", "c", "d", "a"):
        denials.count(source, "token_invalid", 0)
    assert {flood.source: flood.times for flood in denials.due(None)} == {"a": 2, "b": 1, "others": 2}
