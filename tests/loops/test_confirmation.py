"""Confirmation: by what an intent counts as carried out, and how long one looks for it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.loops import confirmation
from interlock.loops.confirmation import INTENTS, IntentUnknown, Observed, Patience
from interlock.loops.models import STATES
from interlock.loops.places import LoopPlaces

SUPERLOOP = Path(__file__).with_name("superloop.sh")
NOTHING = Observed("unknown", False, False, None, None, None)  # noqa: FBT003 - the words are in the type


def seen(**facts: object) -> Observed:
    return NOTHING._replace(**facts)  # pyright: ignore[reportArgumentType] - the caller names fields by their types


@pytest.mark.parametrize(
    ("intent", "observed", "reason"),
    [
        ("cancel", seen(), "inactive_not_running"),
        ("cancel", seen(status="idle"), "inactive_not_running"),
        ("cancel", seen(active=True), None),
        ("cancel", seen(status="running"), None),
        ("approve", seen(completion_ok=True), "completion_observed"),
        ("approve", seen(status="complete"), "completion_observed"),
        ("approve", seen(last_event="loop_complete"), "completion_observed"),
        ("approve", seen(approval_status="approved"), "approval_recorded"),
        ("approve", seen(last_event="approval_decision", last_event_status="approved"), "approval_recorded"),
        ("approve", seen(last_event="approval_consumed"), "approval_recorded"),
        ("approve", seen(last_event="approval_decision", last_event_status="rejected"), None),
        ("approve", seen(last_event="approval_decision"), None),
        ("approve", seen(last_event="role_end", last_event_status="approved"), None),
        ("approve", seen(approval_status="pending"), None),
        ("reject", seen(approval_status="rejected"), "rejection_observed"),
        ("reject", seen(last_event="approval_rejected"), "rejection_observed"),
        ("reject", seen(last_event="approval_decision", last_event_status="rejected"), "rejection_observed"),
        ("reject", seen(last_event="approval_decision", last_event_status="approved"), None),
        ("reject", seen(last_event="approval_decision"), None),
        ("reject", seen(approval_status="pending"), None),
    ],
)
def test_an_intent_is_confirmed_by_its_own_effect_and_by_nothing_else(
    intent: str, observed: Observed, reason: str | None
) -> None:
    assert confirmation.reason(intent, observed) == reason


@given(
    st.sampled_from(sorted(STATES)),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, "approval_decision", "approval_rejected", "loop_complete", "role_start"]),
    st.sampled_from([None, "approved", "rejected", "error"]),
    st.sampled_from([None, "pending", "approved", "rejected"]),
)
def test_one_decision_never_confirms_both_an_approval_and_a_rejection(  # noqa: PLR0917 - what can be observed
    status: str,
    active: bool,  # noqa: FBT001 - drawn
    completed: bool,  # noqa: FBT001 - drawn
    event: str | None,
    event_status: str | None,
    approval: str | None,
) -> None:
    observed = Observed(status, active, completed, event, event_status, approval)
    if confirmation.reason("approve", observed) == "approval_recorded":
        agreed = approval == "approved" or event_status == "approved"
        assert agreed
    if confirmation.reason("reject", observed):
        assert "rejected" in {approval, event_status} or event == "approval_rejected"


def test_there_are_three_intents() -> None:
    assert [confirmation.checked(intent) for intent in INTENTS] == ["cancel", "approve", "reject"]
    for other in ("", "acknowledge", "CANCEL", "resume"):
        with pytest.raises(IntentUnknown, match="intent must be one of"):
            confirmation.checked(other)


# --- looking again and again ------------------------------------------------------------------------------------------


class Watch:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def patience(self, timeout: int, interval: int) -> Patience:
        return Patience(timeout, interval, self.sleep, lambda: self.now)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_what_is_there_at_once_is_confirmed_without_waiting() -> None:
    watch = Watch()
    found = confirmation.confirm("cancel", lambda: NOTHING, watch.patience(30, 2), clock=lambda: 1_700_000_000_999)
    assert watch.slept == []
    assert json.dumps(found.document) == json.dumps({
        "intent": "cancel",
        "confirmed": True,
        "reason": "inactive_not_running",
        "attempts": 1,
        "timeoutSeconds": 30,
        "observedStatus": "unknown",
        "observedLastEvent": None,
        "observedApprovalStatus": None,
        "observedActive": False,
        "observedAt": "2023-11-14T22:13:20Z",
    })  # fmt: skip


def test_what_comes_later_is_seen_at_the_next_look() -> None:
    watch = Watch()
    looks = iter([seen(active=True), None, NOTHING])
    found = confirmation.confirm("cancel", lambda: next(looks), watch.patience(30, 2))
    assert (found.confirmed, found.document["attempts"], watch.slept) == (True, 3, [2, 2])


@pytest.mark.parametrize(
    ("timeout", "interval", "slept"),
    [(0, 2, []), (1, 2, [1]), (4, 2, [2, 2]), (5, 2, [2, 2, 1]), (2, 0, [1, 1])],
)
def test_patience_ends_with_a_last_look(timeout: int, interval: int, slept: list[float]) -> None:
    watch = Watch()
    found = confirmation.confirm("cancel", lambda: seen(active=True), watch.patience(timeout, interval))
    assert (found.confirmed, found.document["reason"]) == (False, "timeout")
    assert (watch.slept, found.document["attempts"]) == (slept, len(slept) + 1)


def test_where_nothing_can_be_seen_nothing_is_confirmed() -> None:
    found = confirmation.confirm("cancel", lambda: None, Watch().patience(0, 1)).document
    assert (found["observedStatus"], found["observedActive"], found["confirmed"]) == ("unknown", False, False)


# --- looking at a real loop -------------------------------------------------------------------------------------------


def superloop(places: LoopPlaces, verb: str, *more: str) -> None:
    subprocess.run([SUPERLOOP, verb, "--repo", places.repo, "--loop", places.loop, *more], check=True, timeout=30)


@pytest.fixture
def places(tmp_path: Path) -> LoopPlaces:
    return LoopPlaces.of(str(tmp_path), "demo")


def test_a_loop_that_was_never_run_can_not_be_looked_at(places: LoopPlaces) -> None:
    assert confirmation.observed(places) is None


def test_a_decision_is_seen_with_its_status(places: LoopPlaces) -> None:
    superloop(places, "start")
    superloop(places, "ask")
    assert confirmation.observed(places) == seen(
        status="awaiting_approval", last_event="approval_requested", approval_status="pending"
    )
    superloop(places, "approve", "--by", "ada", "--reject")
    decided = confirmation.observed(places)
    assert decided is not None
    assert (decided.last_event, decided.last_event_status) == ("approval_decision", "rejected")
    assert decided.approval_status == "rejected"


@pytest.mark.parametrize("torn", ['{"timestamp":"t","event":"role_st', "", "\n\n", "not json\n", "[]\n"])
def test_a_torn_or_blank_last_line_hides_no_decision(places: LoopPlaces, torn: str) -> None:
    superloop(places, "start")
    superloop(places, "ask")
    superloop(places, "approve", "--by", "ada")
    Path(places.of_run("approval.json")).unlink()
    with Path(places.of_run("events.jsonl")).open("a") as file:
        file.write(torn)
    found = confirmation.observed(places)
    assert found is not None
    assert confirmation.reason("approve", found) == "approval_recorded"


def test_a_line_that_is_still_being_written_is_not_looked_at_yet(places: LoopPlaces) -> None:
    superloop(places, "start")
    with Path(places.of_run("events.jsonl")).open("a") as file:
        file.write('{"timestamp":"2026-11-21T08:00:00Z","event":"loop_complete"}')
    found = confirmation.observed(places)
    assert found is not None
    assert found.last_event == "iteration_start"


def test_a_corrupt_artefact_can_not_confirm_anything(places: LoopPlaces) -> None:
    superloop(places, "start")
    Path(places.runtime_state).write_text("{")
    assert confirmation.observed(places) is None


def test_a_look_does_not_read_the_whole_log(places: LoopPlaces) -> None:
    superloop(places, "start")
    with Path(places.of_run("events.jsonl")).open("r+b") as file:
        end = file.read()
        file.seek(8 * 1024**3)  # a hole: gigabytes that take no room, and hours if they were parsed
        file.write(b"\n" + end)
    found = confirmation.observed(places)
    assert found is not None
    assert found.last_event == "iteration_start"
