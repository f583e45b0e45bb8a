"""Projection: the state document, from a snapshot and a batch or from files that somebody else made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interlock.loops import polling, projection, snapshot
from interlock.loops.errors import ArtifactMissing, EnvelopeInvalid, EnvelopeMissing
from interlock.loops.files import Document
from interlock.loops.models import stamp
from tests.loops.loop import NOW, Loop


def project(loop: Loop, **files: Path) -> Document:
    return projection.from_files(loop.places, now=NOW, **{name: str(path) for name, path in files.items()})  # pyright: ignore[reportArgumentType] - by name, as the caller gives them


def written(path: Path, *documents: Document) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in documents), encoding="utf-8")
    return path


def test_the_state_has_exactly_the_shape_of_the_contract(loop: Loop, tmp_path: Path) -> None:
    loop.running()
    seen = written(tmp_path / "snapshot.json", snapshot.take(loop.places, now=NOW))
    (first, second) = polling.poll(loop.places, now=NOW)
    events = written(tmp_path / "events.ndjson", first, second)
    found = project(loop, snapshot_file=seen, events_file=events)
    assert found == {
        "schemaVersion": "v1",
        "generatedAt": stamp(NOW),
        "source": {"repoPath": str(loop.repo), "loopId": "docs"},
        "run": {"runId": "r-7", "iteration": 1},
        "transition": {
            "previousState": "none",
            "triggeringSignal": "event:iteration_start",
            "currentState": "running",
            "confidence": "high",
        },
        "projection": {
            "status": "running",
            "hasPendingApproval": False,
            "completionOk": False,
            "gates": {"tests": "ok", "lifecycle": "ok"},
            "stuck": {"streak": 0, "threshold": 3},
            "active": True,
            "lastEventName": "iteration_start",
            "lastEventAt": stamp(NOW),
        },
        "cursor": {"eventLineOffset": 2, "eventLineCount": 2},
        "divergence": {
            "any": False,
            "flags": {"activeMismatch": False, "approvalCompletionConflict": False, "cursorRegression": False},
        },
        "evidence": {
            "snapshotFile": str(seen),
            "eventsFile": str(events),
            "snapshotEnvelope": {
                "runStatus": "running",
                "lastEventName": "iteration_start",
                "hasPendingApproval": False,
            },
            "lastEventEnvelope": second,
        },
    }
    assert loop.kept("state.json") == found
    assert list(found)[-4:] == ["projection", "cursor", "divergence", "evidence"]


def test_without_files_it_takes_a_snapshot_and_points_at_none_that_is_gone(loop: Loop) -> None:
    found = project(loop.running())
    assert found["transition"]["triggeringSignal"] == "snapshot_status:running"
    assert found["transition"]["confidence"] == "medium"
    assert found["evidence"]["snapshotFile"] is None
    assert found["evidence"]["eventsFile"] is None


def test_a_loop_that_is_not_active_is_null_never_false(loop: Loop) -> None:
    assert project(loop.state(active=False).summary().events("loop_stop"))["projection"]["active"] is None


def test_the_state_before_is_remembered(loop: Loop) -> None:
    project(loop.running())
    loop.state(active=False).events("loop_stop")
    assert project(loop)["transition"]["previousState"] == "running"


def test_an_earlier_state_may_hold_only_a_cursor_and_a_transition(loop: Loop) -> None:
    loop.running().manager.mkdir(parents=True)
    written(loop.manager / "state.json", {"cursor": {"eventLineOffset": 99}, "transition": {"currentState": "running"}})
    found = project(loop)
    assert found["divergence"]["flags"]["cursorRegression"] is True
    assert found["transition"]["confidence"] == "low"


@pytest.mark.parametrize("broken", ["{", "[]", ""])
def test_an_earlier_state_that_is_broken_counts_as_none(loop: Loop, broken: str) -> None:
    loop.running().manager.mkdir(parents=True)
    (loop.manager / "state.json").write_text(broken)
    assert project(loop)["transition"]["previousState"] == "none"


def test_a_pending_approval_of_a_complete_loop_is_awaited_and_a_conflict(loop: Loop) -> None:
    found = project(loop.state().summary(completion_ok=True).approval().events("approval_wait"))
    assert found["transition"]["currentState"] == "awaiting_approval"
    assert found["divergence"]["flags"]["approvalCompletionConflict"] is True


def test_a_snapshot_of_another_path_is_accepted_and_one_of_another_loop_is_not(loop: Loop, tmp_path: Path) -> None:
    taken = snapshot.take(loop.running().places, now=NOW)
    elsewhere = written(tmp_path / "s.json", taken | {"source": {"repoPath": "/else", "loopId": "docs"}})
    assert project(loop, snapshot_file=elsewhere)["source"]["repoPath"] == str(loop.repo)
    foreign = written(tmp_path / "s.json", taken | {"source": {"repoPath": "/else", "loopId": "other"}})
    with pytest.raises(EnvelopeInvalid, match="snapshot envelope is invalid or loop id mismatch"):
        project(loop, snapshot_file=foreign)


def test_an_invalid_event_envelope_changes_nothing(loop: Loop, tmp_path: Path) -> None:
    project(loop.running())
    kept = (loop.manager / "state.json").read_bytes()
    for text in ('{"not":"a-valid-envelope"}\n', "torn {\n"):
        (tmp_path / "bad.ndjson").write_text(text)
        with pytest.raises(EnvelopeInvalid, match="event envelope is invalid"):
            project(loop, events_file=tmp_path / "bad.ndjson")
    assert (loop.manager / "state.json").read_bytes() == kept


def test_what_is_not_there_is_named(loop: Loop, tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing, match="required artifact missing"):
        project(loop)
    with pytest.raises(EnvelopeMissing, match="snapshot file not found"):
        project(loop, snapshot_file=tmp_path / "none.json")
    with pytest.raises(EnvelopeMissing, match="events file not found"):
        project(loop.running(), events_file=tmp_path / "none.ndjson")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(EnvelopeInvalid, match="invalid snapshot JSON"):
        project(loop, snapshot_file=tmp_path / "bad.json")


def test_a_cancelled_loop_of_which_nothing_else_is_known_has_stopped(loop: Loop) -> None:
    loop.events("loop_start", "role_start").intent("cancel", "confirmed")
    found = project(loop)
    assert found["transition"]["currentState"] == "stopped"
    assert found["evidence"]["snapshotEnvelope"]["runStatus"] == "unknown"
    assert found["divergence"]["any"] is False
