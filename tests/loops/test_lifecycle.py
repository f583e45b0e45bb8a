"""The seven states: the first line of the table that matches says it, and some line always does."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.loops.lifecycle import Facts, state_of
from interlock.loops.models import STATES, stamp

RUNS = {"active": True, "current_loop_id": "docs"}
RESTS = {"active": False, "current_loop_id": "docs"}
PENDING = {"status": "pending"}
DONE = {"run_id": "r-1", "completion_ok": True, "ended_at": stamp(100)}
UNFINISHED = {"run_id": "r-1", "completion_ok": False, "ended_at": stamp(100)}


def event(name: str, *, run: str = "r-1", at: int = 100, **more: object) -> dict[str, Any]:
    return {"event": name, "run_id": run, "timestamp": stamp(at), **more}


def facts(**known: object) -> Facts:
    nothing: dict[str, Any] = {"loop": "docs", "state": None, "approval": None, "summary": None, "event": None}
    return Facts(**(nothing | cast("dict[str, Any]", known)))


@pytest.mark.parametrize(
    ("known", "state"),
    [
        ({"approval": PENDING, "summary": DONE, "state": RUNS}, "awaiting_approval"),
        ({"approval": {"status": "approved"}, "summary": DONE, "state": RUNS}, "complete"),
        ({"summary": DONE, "state": RUNS, "event": event("loop_stop")}, "complete"),
        ({"summary": UNFINISHED, "state": RUNS, "event": event("loop_stop")}, "running"),
        ({"state": RUNS, "event": event("role_end", status="error")}, "running"),
        ({"state": RUNS, "event": event("role_end"), "process_dead": True}, "failed"),
        ({"state": RESTS, "summary": UNFINISHED, "event": event("loop_stop")}, "stopped"),
        ({"state": RESTS, "event": event("rate_limit_stop", status="rate_limited")}, "stopped"),
        ({"event": event("no_progress_stop", status="blocked")}, "stopped"),
        ({"state": RESTS, "summary": UNFINISHED, "event": event("role_end", status="error")}, "failed"),
        ({"event": event("role_timeout", status="timeout")}, "failed"),
        ({"state": RESTS, "summary": UNFINISHED, "event": event("role_end")}, "idle"),
        ({"state": {"current_loop_id": "docs"}, "summary": UNFINISHED}, "idle"),
        ({"state": RESTS, "event": event("role_end")}, "unknown"),
        ({"state": RUNS | {"current_loop_id": "other"}, "summary": UNFINISHED}, "unknown"),
        ({"state": RUNS | {"active": "true"}, "summary": UNFINISHED}, "idle"),
        ({"summary": UNFINISHED}, "unknown"),
        ({"event": {"type": "loop_stop"}}, "stopped"),
        ({}, "unknown"),
    ],
)
def test_the_first_line_that_matches_says_the_state(known: dict[str, Any], state: str) -> None:
    assert state_of(facts(**known)) == state


def test_a_dead_process_of_a_loop_at_rest_changes_nothing() -> None:
    assert state_of(facts(state=RESTS, summary=UNFINISHED, process_dead=True)) == "idle"


def test_a_new_run_after_a_complete_one_is_running() -> None:
    assert state_of(facts(summary=DONE, state=RUNS, event=event("loop_start", run="r-2", at=101))) == "running"


@pytest.mark.parametrize(
    "last",
    [
        event("auto_commit_end", run="r-1", at=200),
        event("loop_start", run="r-2", at=99),
        event("loop_start", run="r-2") | {"timestamp": "soon"},
        {"event": "loop_start", "timestamp": stamp(200)},
        None,
    ],
)
def test_a_complete_loop_stays_complete_unless_a_later_run_is_seen(last: dict[str, Any] | None) -> None:
    assert state_of(facts(summary=DONE, state=RUNS, event=last)) == "complete"


# --- for all ----------------------------------------------------------------------------------------------------------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def documents(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Documents with these fields, each of which may hold what nobody expects."""
    return st.none() | st.fixed_dictionaries({}, optional={name: each | anything for name, each in fields.items()})


stamps = st.integers(0, 300).map(stamp)
all_facts = st.builds(
    Facts,
    loop=st.just("docs"),
    state=documents(active=st.booleans(), current_loop_id=st.sampled_from(["docs", "other"])),
    approval=documents(status=st.sampled_from(["pending", "approved"])),
    summary=documents(completion_ok=st.booleans(), run_id=st.sampled_from(["r-1", "r-2"]), ended_at=stamps),
    event=documents(
        event=st.sampled_from(["loop_stop", "role_end"]),
        status=st.sampled_from(["ok", "error"]),
        run_id=st.sampled_from(["r-1", "r-2"]),
        timestamp=stamps,
    ),
    process_dead=st.booleans(),
)


@settings(deadline=None)
@given(all_facts)
def test_whatever_the_files_hold_there_is_a_state(known: Facts) -> None:
    assert state_of(known) in STATES


@settings(deadline=None)
@given(all_facts)
def test_running_is_only_what_is_said_to_run_and_not_known_to_be_dead(known: Facts) -> None:
    if state_of(known) == "running":
        assert known.state is not None
        assert known.state["active"] is True
        assert known.state["current_loop_id"] == "docs"
        assert not known.process_dead


@settings(deadline=None)
@given(all_facts)
def test_a_pending_approval_wins_over_everything(known: Facts) -> None:
    assert state_of(known._replace(approval={"status": "pending"})) == "awaiting_approval"
