"""Transport health: how often in a row the artefacts could not be had."""

from __future__ import annotations

import pytest

from interlock.loops import transport_health
from interlock.loops.files import Document
from interlock.loops.models import stamp
from tests.loops.loop import NOW


def after(*codes: str | None, previous: Document | None = None) -> Document:
    for number, code in enumerate(codes):
        found = transport_health.evaluate(previous, "local", code, NOW + number)
        previous = found.document(now=NOW + number, trace_id=f"t-{number}")
    return previous or {}


def test_a_success_has_the_shape_of_the_contract() -> None:
    assert after(None) == {
        "schemaVersion": "v1",
        "updatedAt": stamp(NOW),
        "traceId": "t-0",
        "transport": "local",
        "lastResult": "success",
        "failureStreak": 0,
        "lastSuccessAt": stamp(NOW),
    }


def test_failures_add_up_and_a_success_ends_them() -> None:
    failing = after(None, "snapshot_unavailable", "service_request_failed")
    assert failing["failureStreak"] == 2
    assert failing["lastFailureCode"] == "service_request_failed"
    assert (failing["lastSuccessAt"], failing["lastFailureAt"]) == (stamp(NOW), stamp(NOW + 2))
    well = after(None, previous=failing)
    assert (well["failureStreak"], well["lastResult"]) == (0, "success")
    assert "lastFailureCode" not in well
    assert well["lastFailureAt"] == stamp(NOW + 2)


@pytest.mark.parametrize("code", sorted(transport_health.NOT_THE_TRANSPORTS))
def test_what_was_transported_broken_does_not_make_the_transport_unreachable(code: str) -> None:
    found = after("snapshot_unavailable", code, code, code)
    assert (found["failureStreak"], found["lastResult"], found["lastFailureCode"]) == (1, "failed", code)


@pytest.mark.parametrize("broken", [{}, {"failureStreak": "many"}, {"failureStreak": -3}, {"failureStreak": None}])
def test_an_earlier_count_that_is_none_begins_at_nothing(broken: Document) -> None:
    assert after("projection_failed", previous=broken)["failureStreak"] == 1
