"""Status: what is known of a loop, in the shape that operators' filters rely on, oddities included."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from interlock.loops.files import FileCorrupt
from interlock.loops.places import LoopPlaces
from interlock.loops.status import StatusFiles, StatusMissing, status

NOW = "2026-11-21T08:00:00Z"
STATE_FILES = (
    "state.json",
    "cursor.json",
    "health.json",
    "heartbeat.json",
    "sequence-state.json",
    "profile-drift.json",
    "alert-dispatch-state.json",
)


class Loop:
    """The files of a loop, as a reconcile leaves them."""

    def __init__(self, repo: Path) -> None:
        self.places = LoopPlaces.of(str(repo), "demo")

    def json(self, name: str, **document: Any) -> None:  # noqa: ANN401 - JSON
        self.text(name, json.dumps(document))

    def rows(self, name: str, *rows: dict[str, Any] | str) -> None:
        self.text(name, "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))

    def text(self, name: str, text: str) -> None:
        path = Path(self.places.of_manager(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def status(self, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - options
        return status(self.places, NOW, **more)


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    return Loop(tmp_path)


def test_a_loop_of_which_nothing_is_known_has_no_status(loop: Loop) -> None:
    with pytest.raises(StatusMissing, match="no status artifacts found for loop: demo"):
        loop.status()


def test_the_health_file_alone_is_enough(loop: Loop) -> None:
    loop.json("health.json", status="degraded", reasonCodes=["transport_unreachable"])
    found = loop.status()
    assert list(found) == [
        "schemaVersion",
        "generatedAt",
        "source",
        "lifecycle",
        "health",
        "cursor",
        "control",
        "reconcile",
        "visibility",
        "tuning",
        "traceLinkage",
        "files",
    ]
    assert found["lifecycle"] == {"state": "unknown", "confidence": None, "runId": None, "iteration": None}
    assert found["health"]["reasonCodes"] == ["transport_unreachable"]
    assert found["cursor"] == {"eventLineOffset": 0, "eventLineCount": 0}
    assert found["control"] == dict.fromkeys(
        ("lastIntent", "lastStatus", "lastRequestedBy", "lastTimestamp", "lastTraceId")
    )
    assert found["visibility"] == {"trace": {}}
    assert found["tuning"] == {
        "summaryWindow": 200,
        "appliedProfile": None,
        "recommendedProfile": None,
        "confidence": None,
        "rationale": None,
        "telemetrySummary": None,
    }


@pytest.mark.proves("loop-status")
def test_the_state_says_lifecycle_health_and_cursor(loop: Loop) -> None:
    loop.json(
        "state.json",
        run={"runId": "r-7", "iteration": 3},
        transition={"currentState": "running", "confidence": "high"},
        projection={"status": "idle"},
        cursor={"eventLineOffset": 4, "eventLineCount": 5},
        health={"status": "healthy", "thresholds": {"profile": "strict"}},
        drift={"status": "aligned"},
    )
    loop.json("health.json", status="critical", thresholds={"profile": "balanced"})
    found = loop.status()
    assert found["lifecycle"] == {"state": "running", "confidence": "high", "runId": "r-7", "iteration": 3}
    assert found["health"]["status"] == "healthy"
    assert found["cursor"] == {"eventLineOffset": 4, "eventLineCount": 5}
    assert found["tuning"]["appliedProfile"] == "strict"
    assert found["drift"] == {"status": "aligned"}


def test_the_files_of_their_own_win_over_what_the_state_says(loop: Loop) -> None:
    loop.json("state.json", cursor={"eventLineOffset": 9, "eventLineCount": 9}, projection={"status": "idle"}, drift={})
    loop.json("cursor.json", eventLineOffset=2, eventLineCount=7)
    loop.json("profile-drift.json", status="drift_active")
    found = loop.status()
    assert found["lifecycle"]["state"] == "idle"
    assert found["health"] == {}
    assert found["cursor"] == {"eventLineOffset": 2, "eventLineCount": 7}
    assert found["drift"] == {"status": "drift_active"}


@pytest.mark.parametrize("name", STATE_FILES)
@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
def test_a_corrupt_state_file_is_named(loop: Loop, name: str, text: str) -> None:
    loop.json("health.json")
    loop.text(name, text)
    with pytest.raises(FileCorrupt, match=f"invalid JSON in .*{name}"):
        loop.status()


def test_controls_and_reconciles_are_told_from_their_last_rows(loop: Loop) -> None:
    loop.json("health.json")
    loop.rows(
        "intents.jsonl",
        {"intent": "cancel", "status": "ambiguous", "requestedBy": "ada", "timestamp": "t1"},
    )
    loop.rows("telemetry/control.jsonl", {"traceId": "c-1"})
    loop.rows(
        "telemetry/reconcile.jsonl",
        {"status": "success", "traceId": "r-0"},
        {"status": "failed", "timestamp": "t2", "transport": "local", "failureCode": "x", "traceId": "r-1"},
    )
    found = loop.status()
    assert found["control"] == {
        "lastIntent": "cancel",
        "lastStatus": "ambiguous",
        "lastRequestedBy": "ada",
        "lastTimestamp": "t1",
        "lastTraceId": "c-1",
    }
    assert found["reconcile"] == {
        "lastStatus": "failed",
        "lastTimestamp": "t2",
        "lastTransport": "local",
        "lastFailureCode": "x",
        "lastDurationSeconds": None,
        "lastTraceId": "r-1",
    }
    assert found["tuning"]["telemetrySummary"]["observed"]["reconcileAttempts"] == 2


@pytest.mark.proves("loop-status")
def test_one_torn_telemetry_line_hides_nothing(loop: Loop) -> None:
    loop.json("health.json")
    for name, row in (
        ("intents.jsonl", {"intent": "cancel", "traceId": "t"}),
        ("telemetry/reconcile.jsonl", {"status": "success", "traceId": "t"}),
        ("telemetry/heartbeat.jsonl", {"status": "fresh", "traceId": "t"}),
        ("telemetry/sequence.jsonl", {"status": "ok", "traceId": "t"}),
        ("telemetry/control-invocations.jsonl", {"intent": "cancel", "traceId": "t"}),
        ("telemetry/alerts.jsonl", {"status": "dispatched", "traceId": "t"}),
    ):
        loop.rows(name, row, "", '{"torn":')
    found = loop.status()
    assert found["visibility"]["trace"]["sharedTraceId"] == "t"
    assert found["tuning"]["recommendedProfile"] == "strict"
    assert found["visibility"]["invocationAudit"]["intent"] == "cancel"


# --- visibility -------------------------------------------------------------------------------------------------------


def test_the_heartbeat_is_told_from_its_state_and_else_from_its_telemetry(loop: Loop) -> None:
    loop.json("health.json")
    row = {"status": "degraded", "reasonCode": "r", "heartbeatAt": "h", "heartbeatLagSeconds": 0, "timestamp": "t"}
    loop.rows("telemetry/heartbeat.jsonl", {**row, "transport": "local", "traceId": "b"})
    assert loop.status()["visibility"]["heartbeat"] == {
        "freshnessStatus": "degraded",
        "reasonCode": "r",
        "lastHeartbeatAt": "h",
        "heartbeatLagSeconds": 0,
        "updatedAt": "t",
        "transport": "local",
        "traceId": "b",
    }
    loop.json("heartbeat.json", freshnessStatus="fresh", lastHeartbeatAt="h2", heartbeatLagSeconds=5)
    found = loop.status()["visibility"]["heartbeat"]
    assert (found["freshnessStatus"], found["lastHeartbeatAt"], found["heartbeatLagSeconds"]) == ("fresh", "h2", 5)
    assert found["updatedAt"] == "t"


def test_drift_of_the_sequence_is_shown_only_when_there_is_one_and_no_violations_are_shown_as_such(loop: Loop) -> None:
    loop.json("health.json")
    loop.json("sequence-state.json", status="ok", driftActive=False, violations=[], snapshot={"current": 0})
    assert loop.status()["visibility"]["sequence"] == {"status": "ok", "violations": [], "snapshotCurrent": 0}
    loop.json("sequence-state.json", status="d", driftActive=True, violations=["v"], events={"last": 4})
    assert loop.status()["visibility"]["sequence"] == {
        "status": "d",
        "driftActive": True,
        "violations": ["v"],
        "eventsLast": 4,
    }


def test_an_invocation_is_told_with_its_three_stages_and_replayed_only_when_it_was(loop: Loop) -> None:
    loop.json("health.json")
    row: dict[str, Any] = {
        "timestamp": "t",
        "intent": "approve",
        "transport": "local",
        "idempotencyKey": "k",
        "execution": {"status": "succeeded", "replayed": False},
        "confirmation": {"status": "confirmed"},
        "outcome": {"status": "confirmed"},
        "traceId": "c",
    }
    loop.rows("telemetry/control-invocations.jsonl", row)
    assert list(loop.status()["visibility"]["invocationAudit"]) == [
        "timestamp",
        "intent",
        "transport",
        "idempotencyKey",
        "executionStatus",
        "confirmationStatus",
        "outcomeStatus",
        "traceId",
    ]
    loop.rows("telemetry/control-invocations.jsonl", {**row, "execution": {"status": "succeeded", "replayed": True}})
    assert loop.status()["visibility"]["invocationAudit"]["replayed"] is True


def test_alerts_are_told_where_there_was_a_dispatch_or_a_delivery(loop: Loop) -> None:
    loop.json("health.json")
    assert "alerts" not in loop.status()
    loop.json(
        "alert-dispatch-state.json", status="success", processedCount=0, failureReasonCodes=[], traceId="a", extra=1
    )
    assert loop.status()["alerts"] == {
        "dispatch": {"status": "success", "processedCount": 0, "failureReasonCodes": [], "lastTraceId": "a"},
        "lastDelivery": {},
    }
    loop.rows("telemetry/alerts.jsonl", {"status": "dispatched", "sinkCount": 1, "route": {}, "traceId": "a"})
    assert loop.status()["alerts"]["lastDelivery"] == {"status": "dispatched", "sinkCount": 1, "traceId": "a"}


# --- traces -----------------------------------------------------------------------------------------------------------

SURFACES = {
    "control": "intents.jsonl",
    "reconcile": "telemetry/reconcile.jsonl",
    "alert": "telemetry/alerts.jsonl",
    "heartbeat": "telemetry/heartbeat.jsonl",
    "sequence": "telemetry/sequence.jsonl",
    "invocation": "telemetry/control-invocations.jsonl",
}


@pytest.mark.proves("loop-traces")
@pytest.mark.parametrize(
    ("traces", "visible", "linked"),
    [
        ({}, None, None),
        ({"reconcile": "a"}, "a", None),
        ({"reconcile": "a", "alert": "a"}, "a", "a"),
        ({"reconcile": "a", "alert": "a", "control": "a"}, "a", "a"),
        ({"reconcile": "a", "alert": "a", "control": "b"}, None, None),
        ({"reconcile": "a", "alert": "a", "heartbeat": "b"}, None, "a"),
        ({"reconcile": "a", "alert": "a", "sequence": "b"}, None, "a"),
        ({"reconcile": "a", "alert": "a", "invocation": "b"}, "a", "a"),
        ({"reconcile": "a", "alert": "b"}, None, None),
        ({"control": "a", "sequence": "a"}, "a", None),
    ],
)
def test_there_are_two_rules_for_the_shared_trace(
    loop: Loop, traces: dict[str, str], visible: str | None, linked: str | None
) -> None:
    loop.json("health.json")
    for surface, trace in traces.items():
        loop.rows(SURFACES[surface], {"traceId": trace})
    found = loop.status()
    assert found["visibility"]["trace"].get("sharedTraceId") == visible
    assert found["traceLinkage"]["sharedTraceId"] == linked
    assert list(found["traceLinkage"]) == [
        "controlTraceId",
        "controlInvocationTraceId",
        "reconcileTraceId",
        "heartbeatTraceId",
        "sequenceTraceId",
        "alertTraceId",
        "sharedTraceId",
    ]


def test_a_quiet_dispatch_still_links_the_trace(loop: Loop) -> None:
    loop.json("health.json")
    loop.rows("telemetry/reconcile.jsonl", {"traceId": "a"})
    loop.json("alert-dispatch-state.json", status="no_new_escalations", traceId="a")
    assert loop.status()["traceLinkage"]["sharedTraceId"] == "a"


# --- files ------------------------------------------------------------------------------------------------------------


def test_every_file_is_named_by_its_path_as_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    loop = Loop(tmp_path / "link")
    loop.json("health.json")
    found = loop.status()["files"]
    assert len(found) == 15
    assert found["stateFile"] == f"{tmp_path}/link/.superloop/ops-manager/demo/state.json"
    assert found["alertDispatchTelemetryFile"].endswith("/demo/telemetry/alerts.jsonl")
    assert list(found)[-2:] == ["reconcileTelemetryFile", "controlTelemetryFile"]


def test_a_named_file_is_read_in_the_place_of_the_loop_s_own(loop: Loop, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere.json"
    other.write_text('{"status":"critical"}')
    found = loop.status(of=StatusFiles.of(loop.places)._replace(health=str(other)))
    assert found["health"] == {"status": "critical"}
    assert found["files"]["healthFile"] == str(other)


@pytest.mark.proves("loop-status")
def test_a_status_writes_nothing_and_can_be_read_where_nothing_can_be_written(loop: Loop) -> None:
    loop.json("health.json")
    loop.rows("telemetry/reconcile.jsonl", {"status": "success"})
    folder = Path(loop.places.manager)
    before = {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert loop.status()["reconcile"]["lastStatus"] == "success"
    finally:
        folder.chmod(0o755)
    assert {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]} == before


def test_values_of_any_shape_are_passed_on_and_stop_nothing(loop: Loop) -> None:
    loop.json("state.json", transition=[], projection="x", health=7, run=None, cursor={"eventLineOffset": "9"})
    loop.rows("intents.jsonl", {"traceId": ["no", "text"]})
    loop.rows("telemetry/reconcile.jsonl", {"traceId": {"no": "text"}})
    loop.rows("telemetry/alerts.jsonl", {"traceId": {"no": "text"}})
    found = loop.status()
    assert found["lifecycle"]["state"] == "unknown"
    assert found["health"] == 7
