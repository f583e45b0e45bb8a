"""Sequence diagnostics: a loss is seen whoever reads, and a replay is no loss."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.loops import sequence
from interlock.loops.models import stamp
from interlock.loops.polling import Batch
from interlock.loops.sequence import Baseline, SequenceResult
from tests.loops.loop import NOW, Loop


def batch(*numbers: int | None, complete: bool = True) -> Batch:
    found = Batch(complete=complete)
    for number in numbers:
        found = found.with_number(number)
    return found


def violations(value: int | None, read: Batch, before: Baseline, after: int = 0) -> tuple[str, ...]:
    return sequence.evaluate(value, read, before, after=after).violations


@pytest.mark.proves("loop-sequence")
@pytest.mark.parametrize(
    ("value", "read", "before", "after", "found"),
    [
        (3, batch(1, 2, 3), Baseline(), 0, ()),
        (3, batch(), Baseline(3, 3), 3, ()),
        (4, batch(4), Baseline(3, 3), 3, ()),
        (None, batch(1), Baseline(), 0, ("snapshot_sequence_missing",)),
        (2, batch(), Baseline(3, 2), 2, ("snapshot_sequence_regression",)),
        (2, batch(1, None), Baseline(), 0, ("event_sequence_missing",)),
        (3, batch(1, 3, 2), Baseline(), 0, ("event_sequence_non_monotonic",)),
        (3, batch(1, 3, 3), Baseline(), 0, ()),
        (9, batch(7, 8, 9), Baseline(9, 8), 8, ("event_sequence_regression",)),
        (9, batch(8, 9), Baseline(9, 8), 8, ()),
    ],
)
def test_each_rule_gives_its_violation(
    value: int | None, read: Batch, before: Baseline, after: int, found: tuple[str, ...]
) -> None:
    assert violations(value, read, before, after) == found


def test_a_replay_of_an_intact_log_is_no_drift() -> None:
    assert violations(5, batch(1, 2, 3, 4, 5), Baseline(5, 5)) == ()


@pytest.mark.proves("loop-replay")
def test_a_replay_of_a_cut_log_reports_both_regressions() -> None:
    found = violations(1, batch(1), Baseline(2, 2))
    assert found == ("event_sequence_regression", "snapshot_sequence_regression")


def test_an_idle_poll_keeps_the_baseline() -> None:
    idle = sequence.evaluate(5, batch(), Baseline(5, 5), after=5)
    assert idle.events["last"] == 5
    kept = Baseline.of({"snapshot": idle.snapshot, "events": idle.events})
    assert violations(4, batch(1, 2, 3, 4), kept) == ("event_sequence_regression", "snapshot_sequence_regression")


def test_a_log_that_was_emptied_has_lost_its_events() -> None:
    found = sequence.evaluate(0, batch(), Baseline(5, 5), after=5)
    assert found.violations == ("event_sequence_regression", "snapshot_sequence_regression")
    assert found.events["last"] is None


def test_a_replay_in_chunks_is_no_drift_and_still_sees_a_loss_at_its_end() -> None:
    before = Baseline(6, 6)
    first = sequence.evaluate(6, batch(1, 2, complete=False), before)
    assert first.violations == ()
    assert first.events["last"] == 6
    kept = Baseline.of({"snapshot": first.snapshot, "events": first.events})
    assert violations(6, batch(3, 4, 5, 6), kept, after=2) == ()
    assert violations(5, batch(3, 4, 5), kept, after=2) == ("event_sequence_regression", "snapshot_sequence_regression")


def test_after_a_loss_the_shorter_log_is_the_baseline() -> None:
    lost = sequence.evaluate(1, batch(1), Baseline(2, 2))
    kept = Baseline.of({"driftActive": True, "snapshot": lost.snapshot, "events": lost.events})
    again = sequence.evaluate(1, batch(), kept, after=1)
    assert again.violations == ()
    assert again.finding()["transition"] == {
        "previousDriftActive": True,
        "transitionedToDrift": False,
        "recoveredFromDrift": True,
    }


def test_the_documents_have_the_shape_of_the_contract(loop: Loop) -> None:
    found = sequence.evaluate(1, batch(1), Baseline(2, 2))
    document = found.document(loop.places, now=NOW, trace_id="t-1", transport="local")
    assert document == {
        "schemaVersion": "v1",
        "updatedAt": stamp(NOW),
        "loopId": "docs",
        "traceId": "t-1",
        "transport": "local",
        "status": "ordering_drift_detected",
        "reasonCode": "ordering_drift_detected",
        "driftActive": True,
        "violations": ["event_sequence_regression", "snapshot_sequence_regression"],
        "snapshot": {"previous": 2, "current": 1, "monotonic": False, "regressed": True, "missing": False},
        "events": {
            "ingestedCount": 1,
            "previousLast": 2,
            "first": 1,
            "last": 1,
            "monotonicWithinBatch": True,
            "monotonicAcrossBatches": False,
            "regressed": True,
            "missing": False,
        },
        "transition": {"previousDriftActive": False, "transitionedToDrift": True, "recoveredFromDrift": False},
    }
    row = found.row(loop.places, now=NOW, trace_id="t-1", transport="local")
    assert list(row)[:5] == ["timestamp", "loopId", "traceId", "transport", "category"]
    assert row["category"] == "envelope_sequence"
    assert "reasonCode" not in sequence.evaluate(1, batch(1), Baseline()).finding()


def test_a_log_that_was_written_anew_reports_both_regressions_though_it_is_longer_by_now() -> None:
    found = sequence.evaluate(9, batch(1, 2, complete=False), Baseline(3, 3), after=3, restarted=True)
    assert found.violations == ("event_sequence_regression", "snapshot_sequence_regression")
    kept = Baseline.of({"snapshot": found.snapshot, "events": found.events})
    assert violations(9, batch(3, 4, 5, 6, 7, 8, 9), kept, 2) == ()


# --- for all ----------------------------------------------------------------------------------------------------------

lengths = st.integers(0, 20)


def read(start: int, length: int, most: int) -> Batch:
    """Read a log of so many events after `start`."""
    stop = min(length, start + most) if most else length
    return batch(*range(start + 1, stop + 1), complete=stop == length)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 4)), max_size=12))
def test_a_log_that_only_grows_never_drifts_however_it_is_read(rounds: list[tuple[int, bool, int]]) -> None:
    before, length, cursor = Baseline(), 0, 0
    for more, from_start, most in rounds:
        length += more
        start = 0 if from_start else cursor
        found = sequence.evaluate(length, read(start, length, most), before, after=start)
        assert found.violations == ()
        before = Baseline.of({"snapshot": found.snapshot, "events": found.events})
        cursor = min(length, start + most) if most else length


@settings(deadline=None)
@given(st.integers(1, 20), lengths, st.booleans())
def test_a_log_that_got_shorter_is_always_seen(length: int, left: int, idle_between: bool) -> None:  # noqa: FBT001 - hypothesis names it
    left = min(left, length - 1)
    found = sequence.evaluate(length, read(0, length, 0), Baseline())
    if idle_between:
        found = sequence.evaluate(length, batch(), _kept(found), after=length)
    cut = sequence.evaluate(left, read(0, left, 0), _kept(found))
    assert cut.violations == ("event_sequence_regression", "snapshot_sequence_regression")


numbers = st.none() | st.integers(0, 9)


@settings(deadline=None)
@given(numbers, st.lists(numbers, max_size=5), numbers, numbers, st.booleans(), st.integers(0, 9), st.booleans())
def test_drift_is_what_has_violations(  # noqa: PLR0917 - hypothesis gives them in this order
    value: int | None,
    read: list[int | None],
    snapshot: int | None,
    mark: int | None,
    drifting: bool,  # noqa: FBT001 - hypothesis names it
    after: int,
    complete: bool,  # noqa: FBT001 - hypothesis names it
) -> None:
    found = sequence.evaluate(value, batch(*read, complete=complete), Baseline(snapshot, mark, drifting), after=after)
    finding = found.finding()
    assert finding["driftActive"] is bool(finding["violations"])
    assert finding["violations"] == sorted(set(finding["violations"]))
    assert ("reasonCode" in finding) is (finding["status"] != "ok")
    assert not (finding["transition"]["transitionedToDrift"] and finding["transition"]["recoveredFromDrift"])


def _kept(found: SequenceResult) -> Baseline:
    return Baseline.of({"driftActive": found.drifting, "snapshot": found.snapshot, "events": found.events})
