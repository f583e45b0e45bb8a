"""Profile drift: when the profile that is applied is not the one that telemetry recommends, and for how long."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.loops import drift
from interlock.loops.drift import DriftOptions, DriftResult, LevelUnknown, Recommended

LEVELS = st.sampled_from(["low", "medium", "high"])
NAMES = st.sampled_from(["strict", "balanced", "relaxed", None])
FULL = (
    "schemaVersion",
    "updatedAt",
    "loopId",
    "status",
    "reasonCode",
    "appliedProfile",
    "recommendedProfile",
    "recommendationConfidence",
    "minimumConfidence",
    "recommendationRank",
    "minimumRank",
    "requiredStreak",
    "summaryWindow",
    "mismatch",
    "confidenceOk",
    "eligibleMismatch",
    "mismatchStreak",
    "driftActive",
    "transitioned",
    "rationale",
    "action",
)


def evaluate(
    previous: DriftResult | None = None,
    applied: str | None = "balanced",
    recommended: str | None = "strict",
    confidence: str = "high",
    **options: Any,  # noqa: ANN401 - the options' own types
) -> DriftResult:
    return drift.evaluate(
        None if previous is None else previous.document,
        loop="demo",
        now="2026-11-21T08:00:00Z",
        applied=applied,
        recommended=Recommended(recommended, confidence, "because"),
        options=DriftOptions(**options),
    )


@pytest.mark.proves("loop-drift")
@pytest.mark.parametrize(
    ("recommended", "confidence", "streak", "status", "action"),
    [
        (None, "high", 1, "no_recommendation", None),
        ("balanced", "low", 1, "aligned", None),
        ("strict", "low", 1, "insufficient_confidence", "collect_more_confident_telemetry"),
        ("strict", "medium", 1, "drift_active", "review_threshold_profile"),
        ("strict", "high", 2, "mismatch_pending", "monitor_additional_windows"),
    ],
)
def test_each_status_and_what_it_advises(
    recommended: str | None, confidence: str, streak: int, status: str, action: str | None
) -> None:
    found = evaluate(recommended=recommended, confidence=confidence, required_streak=streak).document
    assert (found["status"], found.get("action")) == (status, action)
    assert found.get("reasonCode") == ("profile_drift_detected" if status == "drift_active" else None)


def test_a_first_healthy_reconcile_drifts_at_once_where_that_is_asked_for() -> None:
    found = evaluate(confidence="low", minimum_confidence="low", required_streak=1)
    assert (found.document["status"], found.document["recommendedProfile"]) == ("drift_active", "strict")
    assert found.transitioned_to_active


def test_a_full_evaluation_has_the_keys_of_the_contract_in_order() -> None:
    assert tuple(evaluate(required_streak=1).document) == FULL


def test_what_is_not_known_is_left_out_and_not_null() -> None:
    found = evaluate(applied=None, recommended=None).document
    assert {"appliedProfile", "recommendedProfile", "reasonCode", "action"} & set(found) == set()
    assert found["recommendationRank"] == 3


def test_a_streak_builds_up_turns_active_once_and_ends_with_one_evaluation_that_does_not_count() -> None:
    seen: list[tuple[Any, ...]] = []
    last = None
    for confidence in ("high", "medium", "high", "high", "low", "high"):
        last = evaluate(last, confidence=confidence)
        document = last.document
        seen.append((
            document["mismatchStreak"],
            document["driftActive"],
            document["transitioned"]["toActive"],
            document["transitioned"]["toResolved"],
        ))  # fmt: skip
    assert seen == [
        (1, False, False, False),
        (2, False, False, False),
        (3, True, True, False),
        (4, True, False, False),
        (0, False, False, True),
        (1, False, False, False),
    ]


@pytest.mark.parametrize("previous", [{}, {"mismatchStreak": "7"}, {"mismatchStreak": -2}, {"mismatchStreak": True}])
def test_a_previous_state_of_any_shape_counts_from_zero(previous: dict[str, Any]) -> None:
    assert evaluate(DriftResult(previous, transitioned_to_active=False)).document["mismatchStreak"] == 1


def test_a_custom_catalog_without_the_recommended_profile_is_no_recommendation_and_says_why() -> None:
    named = Recommended("strict", "high", "stable").among(["own", "other"])
    found = drift.evaluate(
        None, loop="demo", now="t", applied="own", recommended=named, options=DriftOptions(required_streak=1)
    ).document
    assert found["status"] == "no_recommendation"
    assert "'strict', which the catalog does not have" in found["rationale"]
    assert Recommended("strict").among(["strict"]) == Recommended("strict")


def test_a_trace_is_shown_where_there_is_one() -> None:
    found = drift.evaluate(
        None, loop="demo", now="t", applied=None, recommended=Recommended(), options=DriftOptions(), trace_id="t-1"
    )
    assert found.document["traceId"] == "t-1"


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(LevelUnknown, match="low, medium or high"):
        evaluate(confidence="certain")


def test_the_history_has_one_line_for_an_evaluation() -> None:
    found = evaluate()
    assert drift.history_row(found) == {
        "timestamp": "2026-11-21T08:00:00Z",
        "loopId": "demo",
        "category": "profile_drift_evaluation",
        "drift": found.document,
    }


@given(st.lists(st.tuples(NAMES, NAMES, LEVELS)), LEVELS, st.integers(1, 5))
def test_drift_is_active_exactly_while_the_last_so_many_evaluations_counted(
    evaluations: list[tuple[str | None, str | None, str]], minimum: str, required: int
) -> None:
    last, counted = None, 0
    for applied, recommended, confidence in evaluations:
        was = last is not None and last.document["driftActive"]
        last = evaluate(last, applied, recommended, confidence, minimum_confidence=minimum, required_streak=required)
        counts = applied and recommended and applied != recommended and drift.rank(confidence) >= drift.rank(minimum)
        counted = counted + 1 if counts else 0
        found = last.document
        assert found["mismatchStreak"] == counted
        assert found["driftActive"] == (counted >= required)
        assert found["transitioned"] == {
            "toActive": found["driftActive"] and not was,
            "toResolved": was and not found["driftActive"],
        }
        assert found["driftActive"] == (found["status"] == "drift_active")
