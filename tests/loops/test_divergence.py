"""Divergence: contradictions are seen as long as they are there, and only where they are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.loops import divergence
from interlock.loops.divergence import Divergence
from interlock.loops.files import Document
from interlock.loops.models import stamp
from interlock.loops.polling import Batch
from interlock.loops.snapshot import Snapshot
from tests.loops.loop import seen as snapshot

ACTIVE: Document = {"active": True, "current_loop_id": "docs"}
OF_A_RUN = (
    "iteration_start",
    "role_start",
    "role_end",
    "iteration_end",
    "tests_start",
    "tests_end",
    "validation_start",
    "validation_end",
)


def batch(*names: str, first: int = 1) -> Batch:
    found = Batch()
    for number, name in enumerate(names, start=first):
        found = found.with_number(number)._replace(last_event={"event": {"name": name}})
    return found


def before(offset: int = 0, *, regressed: bool = False) -> Document:
    return {"cursor": {"eventLineOffset": offset}, "divergence": {"flags": {"cursorRegression": regressed}}}


# --- the runtime says that nothing is active --------------------------------------------------------------------------


@pytest.mark.parametrize("name", OF_A_RUN)
@pytest.mark.parametrize("state", [None, {}, {"active": False}, {"active": "true"}])
def test_an_event_of_a_run_while_nothing_is_active_is_a_mismatch(name: str, state: Document | None) -> None:
    found = divergence.evaluate(snapshot(state=state, last_event_name=name, offset=1), batch(name), None)
    assert found == Divergence(active_mismatch=True)


@pytest.mark.parametrize("name", ["loop_stop", "approval_requested", "loop_complete", "loop_start", None])
def test_other_last_events_are_none(name: str | None) -> None:
    assert not divergence.evaluate(snapshot(last_event_name=name, offset=1), Batch(), None).any


@pytest.mark.parametrize("name", OF_A_RUN)
def test_an_active_loop_is_none(name: str) -> None:
    assert not divergence.evaluate(snapshot(state=ACTIVE, last_event_name=name, offset=1), batch(name), None).any


def test_a_mismatch_does_not_clear_itself_on_the_next_idle_poll() -> None:
    assert divergence.evaluate(snapshot(last_event_name="role_end", offset=9), Batch(), before(9)).active_mismatch


def test_a_mismatch_is_not_skipped_by_a_later_batch() -> None:
    seen = snapshot(last_event_name="role_end", offset=9)
    assert divergence.evaluate(seen, batch("loop_stop", first=7), before(9)).active_mismatch


def test_a_batch_in_the_middle_of_a_replay_is_no_mismatch() -> None:
    seen = snapshot(last_event_name="loop_stop", offset=9)
    assert not divergence.evaluate(seen, batch("loop_start", "role_start"), before(9), replayed=True).any


def test_an_event_that_came_after_the_snapshot_counts() -> None:
    seen = snapshot(last_event_name="loop_stop", offset=2)
    assert divergence.evaluate(seen, batch("role_start", first=3), before(2)).active_mismatch


# --- a legal cancel ---------------------------------------------------------------------------------------------------


def intent(name: str = "cancel", status: str = "confirmed", at: object = None) -> Document:
    return {"intent": name, "status": status, "timestamp": stamp(100) if at is None else at}


@pytest.mark.parametrize("status", ["confirmed", "executed_unconfirmed", "executed"])
@pytest.mark.parametrize("at", [stamp(100), stamp(101)])
def test_a_cancel_that_was_carried_out_after_the_last_event_is_no_divergence(status: str, at: str) -> None:
    seen = snapshot(last_event_name="role_start", last_event_at=stamp(100), offset=1)
    assert divergence.cancelled(intent(status=status, at=at), seen)
    assert not divergence.evaluate(seen, Batch(), None, cancelled=True).any


@pytest.mark.parametrize(
    ("row", "state"),
    [
        (None, None),
        (intent("approve"), None),
        (intent(status="ambiguous"), None),
        (intent(status="failed_command"), None),
        (intent(at=stamp(99)), None),
        (intent(at="when?"), None),
        (intent(), ACTIVE),
    ],
)
def test_nothing_else_is_a_cancel(row: Document | None, state: Document | None) -> None:
    assert not divergence.cancelled(row, snapshot(state=state, last_event_at=stamp(100)))


# --- approval and completion ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "ok", "conflict"),
    [("pending", True, True), ("approved", True, False), ("pending", False, False), ("pending", None, False)],
)
def test_a_complete_loop_with_a_pending_approval_is_a_conflict(status: str, ok: object, *, conflict: bool) -> None:
    seen = snapshot(approval={"status": status}, summary={"completion_ok": ok}, state=ACTIVE)
    assert divergence.evaluate(seen, Batch(), None) == Divergence(approval_completion_conflict=conflict)


# --- a log that is shorter than it was --------------------------------------------------------------------------------


def test_a_log_shorter_than_before_is_a_regression() -> None:
    assert divergence.evaluate(snapshot(offset=40), Batch(), before(99)).cursor_regression
    assert not divergence.evaluate(snapshot(offset=99), Batch(), before(99)).cursor_regression


def test_a_log_that_ended_before_the_cursor_is_a_regression_whatever_else_is_known() -> None:
    assert divergence.evaluate(snapshot(offset=40), Batch(), None, restarted=True).cursor_regression


def test_a_regression_stands_until_the_log_was_replayed() -> None:
    kept = before(40, regressed=True)
    assert divergence.evaluate(snapshot(offset=41), batch("a", first=41), kept).cursor_regression
    assert not divergence.evaluate(snapshot(offset=40), batch("a"), kept, replayed=True).cursor_regression
    assert divergence.evaluate(snapshot(offset=39), batch("a"), kept, replayed=True).cursor_regression


# --- for all ----------------------------------------------------------------------------------------------------------

names = st.none() | st.sampled_from([*OF_A_RUN, "loop_stop"])
snapshots = st.builds(
    snapshot,
    state=st.none() | st.fixed_dictionaries({"active": st.booleans() | st.none()}),
    approval=st.none() | st.fixed_dictionaries({"status": st.sampled_from(["pending", "approved"])}),
    summary=st.none() | st.fixed_dictionaries({"completion_ok": st.booleans()}),
    last_event_name=names,
    offset=st.integers(0, 9),
)


def _batch(names: list[str], first: int) -> Batch:
    return batch(*names, first=first)


batches = st.builds(_batch, st.lists(st.sampled_from(OF_A_RUN), max_size=4), st.integers(1, 9))


@settings(deadline=None)
@given(snapshots, batches, st.integers(0, 9), st.sets(st.sampled_from(["restarted", "replayed"])))
def test_an_active_loop_never_mismatches_and_any_is_the_or_of_the_flags(
    seen: Snapshot, read: Batch, offset: int, how: set[str]
) -> None:
    found = divergence.evaluate(seen, read, before(offset), restarted="restarted" in how, replayed="replayed" in how)
    assert not (found.active_mismatch and seen.active)
    assert found.document() == {"any": any(found.flags().values()), "flags": found.flags()}


@settings(deadline=None)
@given(snapshots, batches)
def test_looking_once_more_at_an_unchanged_loop_finds_the_same(seen: Snapshot, read: Batch) -> None:
    seen = seen._replace(offset=max(seen.offset, read.last or 0))
    first = divergence.evaluate(seen, Batch(), None)
    again = divergence.evaluate(seen, Batch(), before(seen.offset) | {"divergence": first.document()})
    assert again == first
