"""Heartbeat: its age is taken from its own time, so that one that vanishes grows stale as well."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.loops import heartbeat
from interlock.loops.files import Document
from interlock.loops.health import Thresholds
from interlock.loops.heartbeat import Freshness
from interlock.loops.models import stamp
from tests.loops.loop import NOW, Loop, seen


def judged(beat: Document | None, kept: Document | None = None, *, touched: int | None = None) -> Freshness | None:
    return heartbeat.evaluate(seen(heartbeat=beat, heartbeat_touched=touched), kept, Thresholds(), NOW)


@pytest.mark.proves("loop-heartbeat")
@pytest.mark.parametrize(
    ("age", "status"),
    [(0, "fresh"), (119, "fresh"), (120, "degraded"), (299, "degraded"), (300, "critical"), (10**9, "critical")],
)
def test_a_heartbeat_is_as_fresh_as_its_age(age: int, status: str) -> None:
    found = judged({"timestamp": stamp(NOW - age)})
    assert found is not None
    assert (found.status, found.age, found.reason) == (
        status,
        age,
        None if status == "fresh" else "runtime_heartbeat_stale",
    )


@pytest.mark.parametrize(
    ("beat", "reason"),
    [
        ({}, "missing_heartbeat_timestamp"),
        ({"timestamp": None, "updatedAt": ""}, "missing_heartbeat_timestamp"),
        ({"timestamp": 12}, "missing_heartbeat_timestamp"),
        ({"timestamp": "just now"}, "invalid_heartbeat_timestamp"),
    ],
)
def test_a_heartbeat_that_says_no_time_has_failed(beat: Document, reason: str) -> None:
    found = judged(beat)
    assert found is not None
    assert (found.status, found.reason, found.readable) == ("failed", reason, False)


@pytest.mark.parametrize("at", ["2026-11-21T17:00:00.25+09:00", "2026-11-21T08:00:00Z"])
def test_offsets_and_fractions_hide_no_staleness(at: str) -> None:
    now = 1_795_248_000 + 400
    found = heartbeat.evaluate(seen(heartbeat={"updatedAt": at}), None, Thresholds(), now)
    assert found is not None
    assert (found.age, found.status) == (400, "critical")


def test_a_heartbeat_that_vanished_grows_stale_and_keeps_its_last_words() -> None:
    kept: Document = {"lastHeartbeatAt": stamp(NOW - 500), "heartbeatLagSeconds": 2, "heartbeat": {"stage": "x"}}
    found = judged(None, kept)
    assert found is not None
    assert (found.status, found.age, found.heartbeat) == ("critical", 500, {"stage": "x"})


def test_where_there_never_was_one_there_is_nothing_to_say() -> None:
    assert judged(None) is None
    assert judged(None, {}) is None


def test_a_clock_ahead_of_ours_keeps_no_heartbeat_fresh_for_ever() -> None:
    ahead: Document = {"timestamp": stamp(NOW + 10**6)}
    fresh, stale = judged(ahead, touched=NOW - 5), judged(ahead, touched=NOW - 400)
    assert fresh is not None
    assert stale is not None
    assert (fresh.status, stale.status) == ("fresh", "critical")


def test_the_documents_have_the_shape_of_the_contract(loop: Loop) -> None:
    beat: Document = {"schemaVersion": "v1", "timestamp": stamp(NOW - 130), "stage": "iteration"}
    found = judged(beat)
    assert found is not None
    assert list(found.document(loop.places, now=NOW, trace_id="t-1", transport="local").items()) == [
        ("schemaVersion", "v1"),
        ("updatedAt", stamp(NOW)),
        ("loopId", "docs"),
        ("traceId", "t-1"),
        ("transport", "local"),
        ("lastHeartbeatAt", stamp(NOW - 130)),
        ("heartbeatLagSeconds", 130),
        ("freshnessStatus", "degraded"),
        ("reasonCode", "runtime_heartbeat_stale"),
        ("thresholds", {"degradedHeartbeatLagSeconds": 120, "criticalHeartbeatLagSeconds": 300}),
        ("heartbeat", beat),
    ]
    assert list(found.row(loop.places, now=NOW, trace_id="t-1", transport="local").items()) == [
        ("timestamp", stamp(NOW)),
        ("loopId", "docs"),
        ("traceId", "t-1"),
        ("transport", "local"),
        ("category", "runtime_heartbeat"),
        ("status", "degraded"),
        ("reasonCode", "runtime_heartbeat_stale"),
        ("heartbeatAt", stamp(NOW - 130)),
        ("heartbeatLagSeconds", 130),
        ("heartbeat", beat),
    ]


def test_nothing_is_null_in_a_document(loop: Loop) -> None:
    found = judged({"timestamp": "?"})
    assert found is not None
    assert None not in found.row(loop.places, now=NOW, trace_id="t-1", transport="local").values()


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_heartbeat_never_gets_fresher_by_waiting(age: int, wait: int) -> None:
    order = ("fresh", "degraded", "critical")
    now, later = judged({"timestamp": stamp(NOW - age)}), judged({"timestamp": stamp(NOW - age - wait)})
    assert now is not None
    assert later is not None
    assert order.index(later.status) >= order.index(now.status)
    assert cast("int", later.age) >= cast("int", now.age)
