"""Health: each reason with its severity, and none that the loop's state does not allow."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.loops import health
from interlock.loops.errors import ThresholdsInvalid
from interlock.loops.files import Document
from interlock.loops.health import Health, Ingest, Surfaces, Thresholds
from interlock.loops.models import AT_REST, STATES, Finding, stamp
from tests.loops.loop import NOW


def state(lifecycle: str = "running", *, age: int = 0, diverges: bool = False) -> Document:
    return {
        "transition": {"currentState": lifecycle},
        "projection": {"status": lifecycle, "lastEventAt": stamp(NOW - age)},
        "divergence": {"any": diverges},
    }


def beat(age: int, stored: int = 2) -> Document:
    return {"lastHeartbeatAt": stamp(NOW - age), "heartbeatLagSeconds": stored}


def judged(
    surfaces: Surfaces,
    ingest: Ingest = Ingest(),  # noqa: B008 - a value
    limits: Thresholds = Thresholds(),  # noqa: B008 - a value
) -> Health:
    return health.evaluate(surfaces, limits, ingest, now=NOW)


def failed(code: str | None) -> Ingest:
    return Ingest("local", failed=True, failure_code=code)


@pytest.mark.parametrize(
    ("surfaces", "ingest", "status", "reasons"),
    [
        (Surfaces(), Ingest(), "healthy", []),
        (Surfaces(state=state()), Ingest(), "healthy", []),
        (
            Surfaces(state=state(diverges=True)),
            Ingest(),
            "degraded",
            [("divergence_detected", "degraded", "divergence.any", "true", "false")],
        ),
        (
            Surfaces(intent={"status": "ambiguous"}),
            Ingest(),
            "degraded",
            [("control_ambiguous", "degraded", "control.status", "ambiguous", "confirmed")],
        ),
        (
            Surfaces(intent={"status": "failed_command"}),
            Ingest(),
            "degraded",
            [("control_failed_command", "degraded", "control.status", "failed_command", "confirmed")],
        ),
        (
            Surfaces(state=state(age=300)),
            Ingest(),
            "degraded",
            [("ingest_stale", "degraded", "ingestLagSeconds", "300", "300")],
        ),
        (
            Surfaces(state=state(age=901)),
            Ingest(),
            "critical",
            [("ingest_stale", "critical", "ingestLagSeconds", "901", "900")],
        ),
        (
            Surfaces(state=state(), heartbeat=beat(120)),
            Ingest(),
            "degraded",
            [("runtime_heartbeat_stale", "degraded", "heartbeatLagSeconds", "120", "120")],
        ),
        (
            Surfaces(state=state(), heartbeat=beat(300)),
            Ingest(),
            "critical",
            [("runtime_heartbeat_stale", "critical", "heartbeatLagSeconds", "300", "300")],
        ),
        (
            Surfaces(transport={"failureStreak": 4}),
            Ingest(),
            "critical",
            [("transport_unreachable", "critical", "transportFailureStreak", "4", "4")],
        ),
        (
            Surfaces(sequence={"driftActive": True, "status": "ordering_drift_detected"}),
            Ingest(),
            "degraded",
            [("ordering_drift_detected", "degraded", "sequence.status", "ordering_drift_detected", "ok")],
        ),
        (
            Surfaces(sequence={"driftActive": True, "status": "odd", "reasonCode": "other"}),
            Ingest(),
            "degraded",
            [("other", "degraded", "sequence.status", "odd", "ok")],
        ),
    ],
)
def test_each_rule_gives_its_reason(
    surfaces: Surfaces, ingest: Ingest, status: str, reasons: list[tuple[str, ...]]
) -> None:
    found = judged(surfaces, ingest)
    assert found.status == status
    assert [tuple(each.values()) for each in found.document["reasons"]] == reasons
    assert found.document["reasonCodes"] == [each[0] for each in reasons]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("snapshot_unavailable", "transport_unreachable"),
        ("events_unavailable", "transport_unreachable"),
        ("service_request_failed", "transport_unreachable"),
        ("service_response_invalid", "invalid_transport_payload"),
        ("projection_failed", "projection_failed"),
        ("artifact_corrupt", "artifact_corrupt"),
        ("cursor_corrupt", "artifact_corrupt"),
        ("something_else", "something_else"),
        ("", "reconcile_failed"),
        (None, "reconcile_failed"),
    ],
)
def test_a_failed_ingest_is_degraded_by_its_code(code: str | None, reason: str) -> None:
    found = judged(Surfaces(), failed(code)).document
    assert found["reasons"] == [
        {
            "code": reason,
            "severity": "degraded",
            "metric": "ingestStatus",
            "observed": "failed",
            "threshold": "success",
        }
    ]
    assert found["transport"] == {
        "mode": "local",
        "ingestStatus": "failed",
        "failureCode": code or None,
        "lastFailureCode": None,
    }


# --- lateness ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lifecycle", sorted(AT_REST))
def test_a_loop_at_rest_is_late_for_nothing(lifecycle: str) -> None:
    found = judged(Surfaces(state=state(lifecycle, age=10**6), heartbeat=beat(10**6)))
    assert found.status == "healthy"
    assert found.document["metrics"]["ingestLagSeconds"] == 10**6
    assert found.document["metrics"]["heartbeatLagSeconds"] == 10**6


@pytest.mark.parametrize("lifecycle", sorted(STATES - AT_REST))
def test_every_other_loop_is_late_when_nothing_comes(lifecycle: str) -> None:
    found = judged(Surfaces(state=state(lifecycle, age=10**6), heartbeat=beat(10**6)))
    assert found.codes == ("ingest_stale", "runtime_heartbeat_stale")


def test_a_heartbeat_is_as_old_as_it_is_now_not_as_it_was_when_it_was_stored() -> None:
    assert judged(Surfaces(state=state(), heartbeat=beat(400, stored=2))).codes == ("runtime_heartbeat_stale",)
    assert judged(Surfaces(state=state(), heartbeat=beat(2, stored=400))).codes == ()


@pytest.mark.parametrize("at", ["2026-11-21T17:00:00.75+09:00", "2026-11-21T08:00:00.5Z"])
def test_offsets_and_fractions_hide_no_staleness(at: str) -> None:
    surfaces = Surfaces(state={"projection": {"lastEventAt": at}})
    found = health.evaluate(surfaces, Thresholds(), Ingest(), now=1_795_248_000 + 900)
    assert found.codes == ("ingest_stale",)
    assert found.document["metrics"]["ingestLagSeconds"] == 900


@pytest.mark.parametrize("at", [None, "", "soon", 5])
def test_an_unreadable_time_gives_no_reason(at: object) -> None:
    found = judged(Surfaces(state={"projection": {"lastEventAt": at}}))
    assert found.status == "healthy"
    assert found.document["metrics"]["ingestLagSeconds"] is None


def test_a_clock_ahead_of_ours_hides_no_staleness() -> None:
    surfaces = Surfaces(state=state(age=-(10**6)), events_touched=NOW - 1000)
    assert judged(surfaces).codes == ("ingest_stale",)
    assert judged(surfaces._replace(events_touched=NOW - 1)).codes == ()
    assert judged(surfaces._replace(events_touched=None)).document["metrics"]["ingestLagSeconds"] == 0


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_an_acknowledged_intent_is_no_reason_any_more() -> None:
    assert judged(Surfaces(intent={"intent": "acknowledge", "status": "acknowledged"})).codes == ()


def test_a_code_may_stand_with_both_severities_and_is_listed_once() -> None:
    found = judged(Surfaces(transport={"failureStreak": 9}), failed("snapshot_unavailable"))
    assert [(each["code"], each["severity"]) for each in found.document["reasons"]] == [
        ("transport_unreachable", "critical"),
        ("transport_unreachable", "degraded"),
    ]
    assert found.document["reasonCodes"] == ["transport_unreachable"]
    assert found.status == "critical"


def test_the_same_reason_stands_once() -> None:
    found = judged(Surfaces(transport={"failureStreak": 2}), failed("snapshot_unavailable"))
    (reason,) = found.document["reasons"]
    assert (reason["metric"], reason["observed"]) == ("transportFailureStreak", "2")


def test_the_document_has_the_shape_of_the_contract() -> None:
    document = health.evaluate(
        Surfaces(), Thresholds("strict", critical_ingest=777), Ingest(), now=NOW, trace_id="t-1"
    ).document
    assert document == {
        "schemaVersion": "v1",
        "updatedAt": stamp(NOW),
        "traceId": "t-1",
        "status": "healthy",
        "reasonCodes": [],
        "reasons": [],
        "metrics": {
            "ingestLagSeconds": None,
            "heartbeatLagSeconds": None,
            "transportFailureStreak": 0,
            "lastControlStatus": None,
            "sequenceStatus": None,
            "lifecycleState": "unknown",
        },
        "thresholds": {
            "profile": "strict",
            "degradedIngestLagSeconds": 300,
            "criticalIngestLagSeconds": 777,
            "degradedHeartbeatLagSeconds": 120,
            "criticalHeartbeatLagSeconds": 300,
            "degradedTransportFailureStreak": 2,
            "criticalTransportFailureStreak": 4,
        },
        "transport": {"mode": "local", "ingestStatus": "success", "failureCode": None, "lastFailureCode": None},
        "evidence": {"lastEventAt": None, "lastHeartbeatAt": None, "sequenceUpdatedAt": None},
    }
    assert list(document)[:5] == ["schemaVersion", "updatedAt", "traceId", "status", "reasonCodes"]


@pytest.mark.parametrize(
    "limits",
    [
        Thresholds(degraded_ingest=901),
        Thresholds(critical_heartbeat=119),
        Thresholds(degraded_streak=3, critical_streak=2),
    ],
)
def test_a_critical_threshold_below_its_degraded_one_is_refused(limits: Thresholds) -> None:
    with pytest.raises(ThresholdsInvalid, match=r"--critical-.* must be >= --degraded-"):
        limits.checked()


def test_thresholds_may_be_equal_and_very_large() -> None:
    assert Thresholds(degraded_ingest=900, critical_heartbeat=999_999_999).checked()


def test_standing_reasons_are_read_back() -> None:
    finding = Finding("runtime_process_dead", "critical", "process.alive", "false", "true")
    previous: Document = {"reasons": [finding.document(), {"code": "runtime_process_dead"}, 5, {"code": "other"}]}
    assert health.standing(previous, ["runtime_process_dead"]) == [finding]
    assert health.standing(None, ["runtime_process_dead"]) == []


ages = st.integers(-100, 2000)
surfaces = st.builds(
    Surfaces,
    state=st.none() | st.builds(state, st.sampled_from(sorted(STATES)), age=ages, diverges=st.booleans()),
    heartbeat=st.none() | st.builds(beat, ages),
    sequence=st.none() | st.fixed_dictionaries({"driftActive": st.booleans()}),
    transport=st.none() | st.fixed_dictionaries({"failureStreak": st.integers(0, 9)}),
    intent=st.none() | st.fixed_dictionaries({"status": st.sampled_from(["ambiguous", "confirmed"])}),
)


@settings(deadline=None)
@given(surfaces, st.sampled_from([Ingest(), failed("snapshot_unavailable"), failed("odd")]))
def test_the_status_is_the_worst_severity_and_reasons_are_sorted_and_single(found: Surfaces, ingest: Ingest) -> None:
    document = judged(found, ingest).document
    keys = [f"{each['code']}:{each['severity']}" for each in document["reasons"]]
    assert keys == sorted(set(keys))
    assert document["reasonCodes"] == sorted({each["code"] for each in document["reasons"]})
    severities = {each["severity"] for each in document["reasons"]}
    assert document["status"] == ("critical" if "critical" in severities else "degraded" if keys else "healthy")
