"""The telemetry summary: rates, durations, and the profile that it recommends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.loops import telemetry
from interlock.loops.places import LoopPlaces
from interlock.loops.telemetry import Sources, TelemetryMissing

Row = dict[str, Any]


def reconciled(health: str = "healthy", *, failed: bool = False, **more: Any) -> Row:  # noqa: ANN401 - JSON
    return {"status": "failed" if failed else "success", "healthStatus": health, "durationSeconds": 1, **more}


def rows(count: int, *others: Row) -> list[Row]:
    return [*others, *(reconciled() for _ in range(count - len(others)))]


@pytest.mark.parametrize(
    ("observed", "controls", "profile"),
    [
        ([], [], "balanced"),
        (rows(1), [], "strict"),
        (rows(100), [], "strict"),
        (rows(100, *[reconciled("degraded")] * 5), [], "strict"),
        (rows(100, *[reconciled("degraded")] * 6), [], "balanced"),
        (rows(100, *[reconciled("degraded", failed=True)] * 2), [], "strict"),
        (rows(100, *[reconciled("degraded", failed=True)] * 3), [], "balanced"),
        (rows(100, reconciled("critical")), [], "balanced"),
        (rows(100, *[reconciled("critical")] * 19), [], "balanced"),
        (rows(100, *[reconciled("critical")] * 20), [], "relaxed"),
        (rows(100, *[reconciled(failed=True)] * 24), [], "balanced"),
        (rows(100, *[reconciled(failed=True)] * 25), [], "relaxed"),
        (rows(100), [{"status": "ambiguous"}], "balanced"),
        (rows(100), [{"status": "confirmed", "reasonCode": "control_ambiguous"}], "balanced"),
        (rows(100), [{"status": "failed_command"}], "strict"),
    ],
)
@pytest.mark.proves("loop-tuning")
def test_each_branch_of_the_recommendation(observed: list[Row], controls: list[Row], profile: str) -> None:
    assert telemetry.summarise(observed, controls).profile == profile


@pytest.mark.parametrize(
    ("count", "confidence"), [(0, "low"), (29, "low"), (30, "medium"), (99, "medium"), (100, "high")]
)
def test_confidence_grows_with_the_attempts(count: int, confidence: str) -> None:
    assert telemetry.summarise(rows(count), []).confidence == confidence


def test_what_was_observed_has_the_shape_of_the_contract() -> None:
    observed = [
        reconciled("degraded", durationSeconds=4, healthReasonCodes=["b", "a"]),
        reconciled("critical", failed=True, durationSeconds=2, healthReasonCodes=["a"]),
        reconciled(durationSeconds=3),
    ]
    found = telemetry.summarise(observed, [{"status": "ambiguous"}]).observed
    assert json.dumps(found) == json.dumps({
        "reconcileAttempts": 3,
        "reconcileSuccessCount": 2,
        "reconcileFailedCount": 1,
        "health": {
            "degradedCount": 1,
            "criticalCount": 1,
            "degradedRate": 1 / 3,
            "criticalRate": 1 / 3,
            "reasonCodeFrequency": [{"code": "a", "count": 2}, {"code": "b", "count": 1}],
        },
        "control": {"ambiguousCount": 1},
        "durationSeconds": {"p50": 3, "p95": 3, "max": 4},
    })  # fmt: skip


def test_nothing_observed_gives_zero_rates_and_no_durations() -> None:
    found = telemetry.summarise([], []).observed
    assert json.dumps(found["health"]["degradedRate"]) == "0"
    assert found["durationSeconds"] == {"p50": None, "p95": None, "max": None}


def test_a_whole_rate_is_written_as_jq_writes_it() -> None:
    assert json.dumps(telemetry.summarise([reconciled("critical")], []).observed["health"]["criticalRate"]) == "1"


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=300))
def test_percentiles_are_observed_values_in_order(durations: list[int]) -> None:
    found = telemetry.summarise([reconciled(durationSeconds=each) for each in durations], []).observed
    p50, p95, most = (found["durationSeconds"][key] for key in ("p50", "p95", "max"))
    ordered = sorted(durations)
    assert p50 == ordered[int((len(ordered) - 1) * 0.5)]
    assert p95 == ordered[int((len(ordered) - 1) * 0.95)]
    assert p50 <= p95 <= most == ordered[-1]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
any_row = st.dictionaries(
    st.sampled_from(["status", "healthStatus", "durationSeconds", "healthReasonCodes", "reasonCode"]), json_values
)


@given(st.lists(any_row, max_size=20), st.lists(any_row, max_size=20))
def test_rows_of_any_shape_give_a_recommendation(observed: list[Row], controls: list[Row]) -> None:
    found = telemetry.summarise(observed, controls)
    assert found.profile in {"strict", "balanced", "relaxed"}
    json.dumps(found.observed)


# --- the files --------------------------------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path: Path) -> LoopPlaces:
    return LoopPlaces.of(str(tmp_path), "demo")


def write(path: str, *lines: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("".join(f"{line}\n" for line in lines))


def test_without_a_reconcile_file_there_is_nothing_to_summarise(places: LoopPlaces) -> None:
    with pytest.raises(TelemetryMissing, match=r"reconcile telemetry file not found: .*reconcile\.jsonl"):
        telemetry.read(Sources.of(places))


def test_an_empty_reconcile_file_and_no_control_file_give_the_safe_beginning(places: LoopPlaces) -> None:
    write(places.of_telemetry("reconcile.jsonl"))
    assert telemetry.read(Sources.of(places))[:2] == ("balanced", "low")


def test_one_torn_line_hides_no_tuning(places: LoopPlaces) -> None:
    write(places.of_telemetry("reconcile.jsonl"), *[json.dumps(reconciled())] * 30, '{"status":"suc', "", "[1]")
    write(places.of_telemetry("control.jsonl"), '{"status":"ambi')
    assert telemetry.read(Sources.of(places))[:2] == ("strict", "medium")


def test_only_the_window_counts(places: LoopPlaces) -> None:
    write(
        places.of_telemetry("reconcile.jsonl"),
        *[json.dumps(reconciled("critical"))] * 50,
        *[json.dumps(reconciled())] * 10,
    )
    assert telemetry.read(Sources.of(places, 10)).observed["health"]["criticalCount"] == 0
    assert telemetry.read(Sources.of(places, 11)).observed["health"]["criticalCount"] == 1


def test_the_window_reaches_across_a_rotation(places: LoopPlaces) -> None:
    path = places.of_telemetry("reconcile.jsonl")
    write(f"{path}.000001", *[json.dumps(reconciled("critical"))] * 5)
    write(path, *[json.dumps(reconciled())] * 5)
    assert telemetry.read(Sources.of(places, 8)).observed["health"]["criticalCount"] == 3


def test_the_printed_summary_has_the_keys_of_the_contract_in_order(places: LoopPlaces) -> None:
    sources = Sources.of(places, 7)
    shown = telemetry.document(places, sources, telemetry.summarise([], []), "2026-11-21T08:00:00Z")
    assert list(shown) == [
        "schemaVersion",
        "generatedAt",
        "source",
        "observed",
        "recommendedProfile",
        "confidence",
        "rationale",
    ]
    assert list(shown["source"]) == ["repoPath", "loopId", "reconcileTelemetryFile", "controlTelemetryFile", "window"]
