"""Reconcile from end to end: what is true of a loop is written down, and nothing on the way is lost or made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interlock.kernel.errors import Unreachable
from interlock.loops import files, polling
from interlock.loops.drift import DriftOptions
from interlock.loops.files import Document, FileUnwritten
from interlock.loops.health import Thresholds
from interlock.loops.local import Local
from interlock.loops.models import stamp
from interlock.loops.places import LoopPlaces
from interlock.loops.reconcile import LoopFiles, ReconcileOptions, Verdict, reconcile
from tests.loops.loop import DEAD_PID, NOW, Loop

STATE_KEYS = [
    "schemaVersion",
    "generatedAt",
    "source",
    "run",
    "transition",
    "projection",
    "cursor",
    "divergence",
    "evidence",
    "health",
    "trace",
    "sequence",
    "drift",
    "tuning",
]
FILES = ["cursor.json", "health.json", "heartbeat.json", "profile-drift.json", "sequence-state.json", "state.json"]
TELEMETRY = ["heartbeat.jsonl", "profile-drift.jsonl", "reconcile.jsonl", "sequence.jsonl", "transport-health.json"]

# --- the contract -----------------------------------------------------------------------------------------------------


@pytest.mark.proves("loop-reconcile")
def test_a_healthy_loop_prints_its_state_and_leaves_every_file(loop: Loop) -> None:
    outcome = loop.running().beat(5).reconcile(trace_id="t-1")
    assert outcome.exit_code == 0
    assert list(outcome.document) == STATE_KEYS
    assert outcome.document == loop.kept("state.json")
    assert outcome.document["health"] == loop.kept("health.json")
    assert outcome.document["sequence"] == loop.kept("sequence-state.json")
    assert outcome.document["trace"] == {"reconcileTraceId": "t-1"}
    assert loop.kept("health.json")["status"] == "healthy"
    ours = {each.name for each in loop.manager.iterdir() if not each.name.startswith(".")}
    assert ours == {*FILES, "telemetry"}
    assert sorted(each.name for each in (loop.manager / "telemetry").iterdir()) == TELEMETRY
    assert outcome.escalations == ()
    assert not outcome.warnings


def test_the_cursor_is_indented_and_everything_else_stands_on_one_line(loop: Loop) -> None:
    loop.running().beat().reconcile()
    assert (loop.manager / "cursor.json").read_text() == json.dumps(
        polling.cursor(loop.places, 2, 2, NOW), indent=2
    ) + "\n"  # fmt: skip
    for name in FILES[1:]:
        text = (loop.manager / name).read_text()
        assert text == json.dumps(json.loads(text), separators=(",", ":")) + "\n"


def test_the_telemetry_row_has_the_keys_of_the_contract_in_their_order(loop: Loop) -> None:
    ticks = iter([NOW * 1000, NOW * 1000, NOW * 1000, (NOW + 3) * 1000])
    loop.running().reconcile(trace_id="t-1", clock=lambda: next(ticks), max_events=1)
    (row,) = loop.rows("telemetry/reconcile.jsonl")
    assert list(row.items()) == [
        ("timestamp", stamp(NOW + 3)),
        ("startedAt", stamp(NOW)),
        ("loopId", "docs"),
        ("traceId", "t-1"),
        ("transport", "local"),
        ("status", "success"),
        ("cursorOffsetBefore", 0),
        ("cursorOffsetAfter", 1),
        ("eventsIngested", 1),
        ("maxEvents", 1),
        ("fromStart", False),
        ("retryAttempts", 3),
        ("retryBackoffSeconds", 1),
        ("thresholdProfile", "balanced"),
        ("durationSeconds", 3),
        ("transportFailureStreak", 0),
        ("sequenceStatus", "ok"),
        ("healthStatus", "healthy"),
        ("healthReasonCodes", []),
    ]


def test_the_cursor_moves_with_the_events(loop: Loop) -> None:
    loop.running().reconcile()
    assert loop.kept("cursor.json")["eventLineOffset"] == 2
    loop.events("role_end").reconcile(max_events=1)
    assert loop.kept("cursor.json")["eventLineOffset"] == 3
    assert [row["eventsIngested"] for row in loop.rows("telemetry/reconcile.jsonl")] == [2, 1]


@pytest.mark.proves("loop-traces")
def test_the_trace_goes_everywhere(loop: Loop) -> None:
    loop.running().beat(500).reconcile(trace_id="t-9")
    for name in ("health.json", "heartbeat.json", "sequence-state.json", "telemetry/transport-health.json"):
        assert loop.kept(name)["traceId"] == "t-9"
    state = loop.kept("state.json")
    assert state["evidence"]["lastEventEnvelope"]["traceId"] == "t-9"
    assert loop.rows("escalations.jsonl")[-1]["traceId"] == "t-9"


def test_a_trace_is_made_where_none_is_given(loop: Loop) -> None:
    first, second = (loop.running().reconcile().document["trace"]["reconcileTraceId"] for _ in range(2))
    assert first != second
    assert len(first) == 36


def test_files_may_lie_elsewhere(loop: Loop, tmp_path: Path) -> None:
    ours = LoopFiles.of(loop.places)._replace(
        state=str(tmp_path / "s.json"), cursor=str(tmp_path / "sub" / "c.json"), sequence=str(tmp_path / "q.json")
    )
    loop.running().reconcile(files=ours)
    assert json.loads((tmp_path / "s.json").read_text())["cursor"]["eventLineOffset"] == 2
    assert (tmp_path / "sub" / "c.json").exists()
    assert not (loop.manager / "state.json").exists()
    loop.events("role_end").reconcile(files=ours)
    assert json.loads((tmp_path / "q.json").read_text())["events"]["previousLast"] == 2


def test_health_of_a_stale_heartbeat_and_a_cut_log_is_what_status_shows(loop: Loop) -> None:
    loop.running().beat(10**8).reconcile(from_start=True)
    loop.log.write_bytes(loop.log.read_bytes().splitlines(keepends=True)[0])
    limits = Thresholds(degraded_heartbeat=1, critical_heartbeat=999_999_999)
    assert loop.reconcile(from_start=True, thresholds=limits).exit_code == 0
    assert loop.kept("heartbeat.json")["freshnessStatus"] == "degraded"
    assert loop.kept("heartbeat.json")["reasonCode"] == "runtime_heartbeat_stale"
    found = loop.kept("sequence-state.json")
    assert found["status"] == "ordering_drift_detected"
    assert found["violations"] == ["event_sequence_regression", "snapshot_sequence_regression"]
    assert loop.kept("state.json")["divergence"]["flags"]["cursorRegression"] is True


def test_the_first_healthy_reconcile_recommends_strict_with_low_confidence(loop: Loop) -> None:
    eager = DriftOptions(minimum_confidence="low", required_streak=1)
    outcome = loop.running().reconcile(drift=eager, trace_id="t-1")
    assert outcome.document["drift"]["status"] == "drift_active"
    assert outcome.document["drift"]["recommendedProfile"] == "strict"
    assert outcome.document["tuning"]["recommendedProfile"] == "strict"
    assert outcome.document["tuning"]["telemetrySummary"]["observed"]["reconcileAttempts"] == 1
    assert loop.escalated() == ["profile_drift_detected"]
    loop.reconcile(drift=eager)
    assert loop.escalated() == ["profile_drift_detected"]


def test_the_drift_of_the_state_and_of_its_own_file_are_filed_under_one_trace(loop: Loop) -> None:
    state = loop.running().reconcile(trace_id="t-1").document
    assert state["drift"] == loop.kept("profile-drift.json")
    assert state["drift"]["traceId"] == "t-1"


# --- escalations ------------------------------------------------------------------------------------------------------


def test_unchanged_health_escalates_once(loop: Loop) -> None:
    loop.running()
    loop.now += 301
    for _ in range(3):
        loop.reconcile()
    assert loop.escalated() == ["health_degraded"]
    loop.now += 600
    loop.reconcile()
    assert loop.escalated() == ["health_degraded", "health_critical"]


def test_the_health_escalation_is_the_last_of_a_reconcile_and_has_no_severity(loop: Loop) -> None:
    loop.running().reconcile()
    loop.log.write_bytes(b"")
    loop.state(active=False).events("role_end").reconcile(trace_id="t-2")
    assert loop.escalated() == ["divergence_detected", "ordering_drift_detected", "health_degraded"]
    divergence, ordering, health = loop.rows("escalations.jsonl")
    common = ["timestamp", "loopId", "traceId", "category", "transport"]
    assert list(divergence) == [*common, "stateFile", "cursorFile", "divergenceFlags", "state"]
    assert list(divergence["state"]) == ["transition", "projection", "cursor"]
    assert list(ordering) == [
        *common,
        "reasonCode",
        "stateFile",
        "sequenceStateFile",
        "sequenceTelemetryFile",
        "sequence",
    ]
    assert list(ordering["sequence"]) == ["status", "driftActive", "violations", "snapshot", "events"]
    assert list(health) == [
        *common,
        "ingestStatus",
        "stateFile",
        "cursorFile",
        "healthFile",
        "healthStatus",
        "reasonCodes",
        "reasons",
    ]
    assert health["reasonCodes"] == ["divergence_detected", "ordering_drift_detected"]
    assert health["stateFile"] == str(loop.manager / "state.json")


@pytest.mark.proves("loop-divergence")
def test_divergence_escalates_when_it_begins_not_as_long_as_it_lasts(loop: Loop) -> None:
    loop.state(active=False).events("role_end")
    for _ in range(3):
        loop.reconcile()
    assert loop.escalated() == ["divergence_detected", "health_degraded"]


def test_divergence_that_a_replay_has_not_resolved_escalates_again(loop: Loop) -> None:
    loop.state(active=False).events("role_end").reconcile()
    loop.reconcile(from_start=True)
    assert loop.escalated() == ["divergence_detected", "health_degraded", "divergence_detected"]


def test_divergence_that_comes_back_escalates_again(loop: Loop) -> None:
    loop.state(active=False).events("role_end").reconcile()
    loop.state().reconcile()
    loop.state(active=False).reconcile()
    assert loop.escalated().count("divergence_detected") == 2


# --- a failed ingest --------------------------------------------------------------------------------------------------


def test_a_failed_ingest_prints_health_and_exits_one(loop: Loop) -> None:
    loop.run.rmdir()
    outcome = loop.reconcile(trace_id="t-1")
    assert outcome.exit_code == 1
    assert outcome.document == loop.kept("health.json")
    assert outcome.document["status"] == "degraded"
    assert outcome.document["reasonCodes"] == ["transport_unreachable"]
    assert outcome.document["transport"]["failureCode"] == "snapshot_unavailable"
    assert not (loop.manager / "state.json").exists()
    assert not (loop.manager / "cursor.json").exists()
    (row,) = loop.rows("telemetry/reconcile.jsonl")
    assert (row["status"], row["sequenceStatus"]) == ("failed", "skipped_ingest_failed")
    assert "required artifact root missing" in row["failureMessage"]
    (told,) = loop.rows("escalations.jsonl")
    assert (told["category"], told["ingestStatus"], told["failureCode"]) == (
        "health_degraded",
        "failed",
        "snapshot_unavailable",
    )


def test_failures_in_a_row_become_critical_and_one_success_ends_them(loop: Loop) -> None:
    statuses = [loop.reconcile().document["status"] for _ in range(4)]
    assert statuses == ["degraded", "degraded", "degraded", "critical"]
    assert loop.escalated() == ["health_degraded", "health_critical"]
    assert loop.running().codes() == []
    assert loop.kept("telemetry/transport-health.json")["failureStreak"] == 0


def test_a_failed_ingest_leaves_the_state_and_brings_its_health_up_to_date(loop: Loop) -> None:
    before = loop.running().reconcile(trace_id="t-1").document
    loop.log.unlink()
    outcome = loop.reconcile(trace_id="t-2")
    after = loop.kept("state.json")
    assert list(after) == list(before)
    assert after["transition"] == before["transition"]
    assert after["sequence"] == before["sequence"]
    assert after["health"] == outcome.document
    assert after["trace"] == {"reconcileTraceId": "t-2"}
    assert loop.kept("cursor.json")["eventLineOffset"] == 2


# --- lines and files that are torn, missing or somebody else's --------------------------------------------------------


def test_a_half_written_last_line_waits_for_its_end(loop: Loop) -> None:
    loop.running().raw(b'{"timestamp":"2026-11-21T08:00:00Z",')
    assert loop.codes() == []
    assert loop.kept("cursor.json")["eventLineOffset"] == 2
    loop.raw(b'"event":"role_start","loop_id":"docs"}\n')
    assert loop.reconcile().document["transition"]["triggeringSignal"] == "event:role_start"
    assert loop.kept("cursor.json")["eventLineOffset"] == 3
    assert loop.codes() == []


def test_a_blank_last_line_is_no_event(loop: Loop) -> None:
    loop.running().raw(b"\n")
    assert loop.codes() == []
    assert loop.codes() == []
    assert loop.kept("state.json")["projection"]["lastEventName"] == "iteration_start"


def test_one_bad_line_is_told_and_blocks_nothing(loop: Loop) -> None:
    loop.running().raw(b'{"torn\n').events("foreign", loop_id="other").events("role_start")
    found = loop.reconcile().document
    assert found["health"]["reasonCodes"] == ["events_invalid"]
    (reason,) = found["health"]["reasons"]
    assert (reason["metric"], reason["observed"], reason["severity"]) == ("events.invalid", "2", "degraded")
    assert found["transition"]["triggeringSignal"] == "event:role_start"
    assert loop.escalated() == ["health_degraded"]
    assert loop.codes() == []


@pytest.mark.parametrize("name", ["state.json", "loops/docs/run-summary.json", "loops/docs/approval.json"])
def test_a_corrupt_artefact_is_told_apart_from_an_unreachable_transport_and_loses_nothing(
    loop: Loop, name: str
) -> None:
    loop.running().reconcile()
    path = loop.repo / ".superloop" / name
    whole = path.read_bytes() if path.exists() else None
    path.write_bytes(b'{"torn')
    loop.events("role_start")
    for _ in range(4):
        outcome = loop.reconcile()
        assert outcome.exit_code == 1
        assert outcome.document["reasonCodes"] == ["artifact_corrupt"]
    assert name in loop.rows("telemetry/reconcile.jsonl")[-1]["failureMessage"]
    path.unlink() if whole is None else path.write_bytes(whole)
    assert loop.codes() == []
    assert sum(row["eventsIngested"] for row in loop.rows("telemetry/reconcile.jsonl")) == 3


@pytest.mark.parametrize(
    ("name", "metric"), [("loops/docs/heartbeat.v1.json", "heartbeat"), ("active-run.json", "activeRun")]
)
def test_a_corrupt_file_that_decides_nothing_is_told_and_done_without(loop: Loop, name: str, metric: str) -> None:
    loop.running()
    (loop.repo / ".superloop" / name).write_bytes(b'{"torn')
    outcome = loop.reconcile()
    assert outcome.exit_code == 0
    (reason,) = outcome.document["health"]["reasons"]
    assert (reason["code"], reason["metric"], reason["observed"]) == (
        "artifact_corrupt",
        f"artifact.{metric}",
        "corrupt",
    )


def test_an_artefact_of_another_version_is_told(loop: Loop) -> None:
    loop.running()
    (loop.run / "run-summary.json").write_text('{"version":2}')
    assert loop.reconcile().document["reasonCodes"] == ["artifact_unsupported"]


@pytest.mark.parametrize(
    "name",
    [
        "state.json",
        "health.json",
        "heartbeat.json",
        "sequence-state.json",
        "profile-drift.json",
        "telemetry/transport-health.json",
    ],
)
def test_a_corrupt_file_of_ours_is_told_once_and_made_anew(loop: Loop, name: str) -> None:
    loop.running().beat().reconcile()
    (loop.manager / name).write_bytes(b"{")
    outcome = loop.reconcile()
    assert outcome.exit_code == 0
    (reason,) = outcome.document["health"]["reasons"]
    assert (reason["code"], reason["observed"]) == ("artifact_corrupt", Path(name).name)
    assert loop.codes() == []


def test_torn_telemetry_removes_no_advice(loop: Loop) -> None:
    loop.running().reconcile()
    with (loop.manager / "telemetry" / "reconcile.jsonl").open("ab") as file:
        file.write(b'{"torn')
    observed = loop.reconcile().document["tuning"]["telemetrySummary"]["observed"]
    assert observed["reconcileAttempts"] == 2


@pytest.mark.proves("loop-corrupt-cursor")
@pytest.mark.parametrize("broken", ["{", '{"eventLineOffset":-4}', '{"schemaVersion":"v9"}'])
def test_a_corrupt_cursor_is_told_and_a_reset_and_replay_mends_it(loop: Loop, broken: str) -> None:
    loop.running().reconcile()
    (loop.manager / "cursor.json").write_text(broken)
    outcome = loop.reconcile()
    assert outcome.exit_code == 1
    assert outcome.document["reasonCodes"] == ["artifact_corrupt"]
    assert outcome.document["transport"]["failureCode"] == "cursor_corrupt"
    (loop.manager / "cursor.json").unlink()
    assert loop.codes(from_start=True) == []
    assert loop.kept("cursor.json")["eventLineOffset"] == 2


# --- the past of a log ------------------------------------------------------------------------------------------------


@pytest.mark.proves("loop-replay")
def test_a_replay_from_the_start_of_an_intact_log_finds_nothing_wrong(loop: Loop) -> None:
    loop.running().events("role_start", "role_end").reconcile()
    loop.reconcile()
    outcome = loop.reconcile(from_start=True)
    assert outcome.document["health"]["reasonCodes"] == []
    assert outcome.document["sequence"]["violations"] == []
    assert outcome.document["transition"]["confidence"] == "high"


def test_a_cut_log_blocks_nothing_and_is_seen_also_after_an_idle_poll(loop: Loop) -> None:
    loop.running().reconcile()
    loop.reconcile()
    loop.log.write_bytes(b"")
    loop.events("loop_start")
    outcome = loop.reconcile()
    assert outcome.exit_code == 0
    assert outcome.document["health"]["reasonCodes"] == ["divergence_detected", "ordering_drift_detected"]
    assert outcome.document["sequence"]["violations"] == ["event_sequence_regression", "snapshot_sequence_regression"]
    assert outcome.document["transition"]["triggeringSignal"] == "event:loop_start"
    assert loop.kept("cursor.json")["eventLineOffset"] == 1


def test_a_log_that_was_cut_and_has_grown_again_is_seen_and_loses_no_event(loop: Loop) -> None:
    loop.running().reconcile()
    loop.log.write_bytes(b"")
    loop.events("loop_start", "role_start", "role_end", "role_start")
    outcome = loop.reconcile()
    assert outcome.document["health"]["reasonCodes"] == ["divergence_detected", "ordering_drift_detected"]
    assert loop.rows("telemetry/reconcile.jsonl")[-1]["eventsIngested"] == 4
    assert loop.codes(from_start=True) == []


def test_an_ordering_drift_that_lasts_escalates_once(loop: Loop) -> None:
    loop.running().events("role_start").reconcile()
    for length in (2, 1):
        loop.log.write_bytes(b"".join(loop.log.read_bytes().splitlines(keepends=True)[:length]))
        assert "ordering_drift_detected" in loop.codes()
    assert loop.escalated().count("ordering_drift_detected") == 1


def test_the_regression_stands_until_the_log_was_replayed(loop: Loop) -> None:
    loop.running().reconcile()
    loop.log.write_bytes(b"")
    loop.events("loop_start").reconcile()
    assert loop.codes() == ["divergence_detected"]
    assert loop.codes(from_start=True) == []
    assert loop.codes() == []


def test_a_cursor_reset_and_a_cut_log_are_seen_together(loop: Loop) -> None:
    loop.running().reconcile()
    (loop.manager / "cursor.json").unlink()
    loop.log.write_bytes(b"")
    loop.events("loop_start")
    assert loop.codes(from_start=True) == ["divergence_detected", "ordering_drift_detected"]
    assert loop.codes() == ["divergence_detected"]


def test_a_finished_loop_replayed_in_chunks_never_mismatches(loop: Loop) -> None:
    loop.state(active=False).summary().events("loop_start", "role_start", "role_end", "loop_stop")
    found = [loop.reconcile(from_start=not step, max_events=1).document for step in range(5)]
    assert [each["divergence"]["any"] for each in found] == [False] * 5
    assert [each["sequence"]["status"] for each in found] == ["ok"] * 5
    assert [row["cursorOffsetAfter"] for row in loop.rows("telemetry/reconcile.jsonl")] == [1, 2, 3, 4, 4]
    assert loop.kept("state.json")["cursor"] == {"eventLineOffset": 4, "eventLineCount": 4}


@pytest.mark.proves("loop-divergence")
def test_the_event_behind_a_divergence_is_not_forgotten_by_an_idle_poll(loop: Loop) -> None:
    loop.state(active=False).events("role_end")
    assert [loop.codes() for _ in range(3)] == [["divergence_detected"]] * 3


# --- heartbeats, processes, states ------------------------------------------------------------------------------------


@pytest.mark.proves("loop-heartbeat")
def test_a_heartbeat_that_vanishes_goes_stale(loop: Loop) -> None:
    loop.running().beat(2)
    assert loop.codes() == []
    (loop.run / "heartbeat.v1.json").unlink()
    loop.now += 200
    loop.events("role_start")
    assert loop.codes() == ["runtime_heartbeat_stale"]
    assert loop.kept("heartbeat.json")["freshnessStatus"] == "degraded"
    assert loop.kept("heartbeat.json")["heartbeatLagSeconds"] == 202
    loop.now += 200
    loop.events("role_start").reconcile()
    assert loop.kept("health.json")["status"] == "critical"


def test_a_heartbeat_that_freezes_during_an_outage_goes_stale(loop: Loop) -> None:
    loop.running().beat(2).reconcile()
    loop.log.rename(loop.log.with_suffix(".away"))
    loop.now += 400
    assert loop.codes() == ["ingest_stale", "runtime_heartbeat_stale", "transport_unreachable"]


def test_a_heartbeat_without_a_time_is_noted_and_keeps_the_earlier_one(loop: Loop) -> None:
    loop.running().beat(2).reconcile()
    loop.beat(timestamp=None)
    loop.reconcile()
    assert loop.rows("telemetry/heartbeat.jsonl")[-1]["reasonCode"] == "missing_heartbeat_timestamp"
    assert loop.kept("heartbeat.json")["lastHeartbeatAt"] == stamp(NOW - 2)


@pytest.mark.parametrize("rest", ["complete", "stopped", "idle", "failed", "awaiting_approval"])
def test_a_loop_at_rest_does_not_page_however_long_it_rests(loop: Loop, rest: str) -> None:
    loop.state(active=False).summary(completion_ok=rest == "complete").beat()
    loop.events("loop_stop" if rest == "stopped" else "gates_evaluated", status="error" if rest == "failed" else "ok")
    if rest == "awaiting_approval":
        loop.approval()
    loop.reconcile()
    loop.now += 10**6
    outcome = loop.reconcile()
    assert outcome.document["transition"]["currentState"] == rest
    assert outcome.document["health"]["status"] == "healthy"
    assert loop.escalated() == []


def test_a_crashed_process_is_not_running(loop: Loop) -> None:
    loop.running().active_run(pid=DEAD_PID)
    outcome = loop.reconcile()
    assert outcome.document["transition"]["currentState"] == "failed"
    (reason,) = outcome.document["health"]["reasons"]
    assert (reason["code"], reason["severity"]) == ("runtime_process_dead", "critical")
    assert loop.escalated() == ["health_critical"]


def test_a_crash_is_not_forgotten_while_nothing_newer_can_be_read(loop: Loop) -> None:
    loop.running().active_run(pid=DEAD_PID).reconcile()
    loop.log.unlink()
    assert loop.codes() == ["runtime_process_dead", "transport_unreachable"]


def test_a_new_run_after_a_complete_one_is_seen(loop: Loop) -> None:
    loop.state(active=False).summary(completion_ok=True).events("loop_complete")
    assert loop.reconcile().document["transition"]["currentState"] == "complete"
    loop.now += 60
    loop.state().events("loop_start", run_id="r-8", iteration=1)
    found = loop.reconcile().document
    assert found["transition"]["currentState"] == "running"
    assert found["run"] == {"runId": "r-8", "iteration": 1}
    assert found["projection"]["completionOk"] is False


def test_a_real_cancel_is_no_divergence_and_the_loop_has_stopped(loop: Loop) -> None:
    loop.running().events("role_start").reconcile()
    loop.now += 5
    (loop.repo / ".superloop" / "state.json").unlink()
    loop.intent("cancel", "confirmed")
    found = loop.reconcile().document
    assert found["divergence"]["any"] is False
    assert found["transition"]["currentState"] == "stopped"
    loop.now += 10**6
    assert loop.codes() == []


def test_a_state_that_vanishes_without_a_cancel_is_a_divergence(loop: Loop) -> None:
    loop.running().events("role_start").reconcile()
    (loop.repo / ".superloop" / "state.json").unlink()
    assert loop.codes() == ["divergence_detected"]


@pytest.mark.parametrize("status", ["ambiguous", "failed_command"])
def test_a_reason_from_control_can_be_acknowledged(loop: Loop, status: str) -> None:
    loop.running().intent("cancel", status)
    assert loop.codes() == [f"control_{status}"]
    loop.intent("acknowledge", "acknowledged")
    assert loop.codes() == []


@pytest.mark.parametrize("form", ["{}.250Z", "{}+00:00"])
def test_other_forms_of_time_hide_no_staleness(loop: Loop, form: str) -> None:
    at = form.format(stamp(NOW - 1000).removesuffix("Z"))
    loop.state().raw(json.dumps(loop.event("role_start", timestamp=at)).encode() + b"\n")
    assert loop.codes() == ["ingest_stale"]


def test_a_runtime_whose_clock_is_ahead_goes_stale_when_it_stops_writing(loop: Loop) -> None:
    loop.state().raw(b"")
    loop.now = int(loop.log.stat().st_mtime)
    loop.events("role_start", at=loop.now + 10**6)
    assert loop.codes() == []
    loop.now += 1000
    assert loop.codes() == ["ingest_stale"]


def test_the_evidence_points_at_no_file_that_is_gone(loop: Loop) -> None:
    evidence = loop.running().reconcile().document["evidence"]
    assert evidence["snapshotFile"] is None
    assert evidence["eventsFile"] == str(loop.log)


# --- one writer -------------------------------------------------------------------------------------------------------


def test_who_finds_the_loop_held_says_so_and_by_whom(loop: Loop) -> None:
    loop.running().reconcile()
    about = {"pid": 7, "since": stamp(NOW), "traceId": "t-0"}
    with files.held(loop.places.of_manager(".lock"), wait=False, about=about) as ours:
        assert ours
        outcome = loop.reconcile()
    assert outcome.busy
    assert outcome.exit_code == 1
    assert outcome.document == {
        "schemaVersion": "v1",
        "status": "busy",
        "reasonCodes": ["reconcile_busy"],
        "loopId": "docs",
        "holder": about,
    }
    assert len(loop.rows("telemetry/reconcile.jsonl")) == 1


def test_who_appends_records_of_control_is_not_waited_for(loop: Loop) -> None:
    with files.held(loop.places.of_manager(".records.lock"), wait=False):
        assert loop.running().reconcile().exit_code == 0


def test_a_folder_that_can_not_be_written_is_told(loop: Loop) -> None:
    loop.running()
    (loop.repo / ".superloop" / "ops-manager").write_text("a file where a folder belongs")
    with pytest.raises(FileUnwritten, match="can not be written"):
        loop.reconcile()


def test_alerts_are_sent_when_the_loop_is_free_again_and_by_who_has_reconciled(loop: Loop) -> None:
    sent: list[tuple[str, bool]] = []

    def dispatch(places: LoopPlaces, trace_id: str) -> None:
        with files.held(places.of_manager(".lock"), wait=False) as free:
            sent.append((trace_id, free))

    def once() -> None:
        options = ReconcileOptions(trace_id="t-1")
        reconcile(loop.running().places, options, Local(), lambda: NOW * 1000, dispatch=dispatch)

    once()
    with files.held(loop.places.of_manager(".lock"), wait=False):
        once()
    assert sent == [("t-1", True)]


# --- telling the workspace --------------------------------------------------------------------------------------------


def test_a_change_of_verdict_is_told_with_its_escalations(loop: Loop) -> None:
    heard: list[Document] = []
    loop.running().reconcile(trace_id="t-1", tell=heard.append)
    loop.reconcile(trace_id="t-2", tell=heard.append)
    loop.now += 1000
    outcome = loop.reconcile(trace_id="t-3", tell=heard.append)
    assert [each["traceId"] for each in heard] == ["t-1", "t-3"]
    assert heard[0]["before"] is None
    assert heard[0]["after"] == {"state": "running", "health": "healthy", "reasons": []}
    assert heard[1]["before"] == heard[0]["after"]
    assert heard[1]["after"] == {"state": "running", "health": "critical", "reasons": ["ingest_stale"]}
    assert heard[1]["escalations"] == list(outcome.escalations) == loop.rows("escalations.jsonl")
    assert (heard[1]["repo"], heard[1]["loop"], heard[1]["at"]) == (str(loop.repo), "docs", stamp(loop.now))
    assert outcome.verdict_changed
    assert outcome.after == Verdict("running", "critical", ("ingest_stale",))


def test_a_workspace_that_can_not_be_told_stops_no_reconcile(loop: Loop) -> None:
    def away(_: Document) -> None:
        raise Unreachable("the database does not answer")

    outcome = loop.running().reconcile(trace_id="t-1", tell=away)
    assert outcome.exit_code == 0
    assert "not yet logged" in outcome.warnings[0]
    heard: list[Document] = []
    loop.reconcile(trace_id="t-2", tell=heard.append)
    assert [each["traceId"] for each in heard] == ["t-1"]
