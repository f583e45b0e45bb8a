"""`scripts/ops-manager-*.sh` as operators' scripts and other tools meet them: flags, streams, exit codes, JSON."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from interlock.access.models import Role
from interlock.app import Interlock
from interlock.cli import ops_manager, streams
from interlock.cli.ops_manager import COMMANDS
from interlock.loops import files
from interlock.workspace.loop_scripts import ENTRY_POINTS, file_of
from tests.cli.door import Said, copy_of, environment
from tests.cli.lived import ME
from tests.conftest import until

SUPERLOOP = Path(__file__).parents[1] / "loops" / "superloop.sh"
OLD = "2020-01-01T00:00:00Z"
LOOPLESS = {"health", "threshold-profile", "alert-sink-config", "service-client", "sprite-service"}

JQ: Any = importlib.import_module("jq")  # which has no types


@dataclass(frozen=True)
class Scripts:
    """The entry points of one workspace, and a repository with the loop `demo`."""

    root: Path
    repo: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, name: str, *words: str) -> Said:
        """Call an entry point on the loop, in this process."""
        self.capture.readouterr()
        code = ops_manager.main([f"{self.root}/scripts/..", name, *self.loop(name), *words])
        told = self.capture.readouterr()
        return Said(code, told.out, told.err)

    def plain(self, name: str, *words: str) -> Said:
        """Call it with these words only."""
        self.capture.readouterr()
        code = ops_manager.main([f"{self.root}/scripts/..", name, *words])
        told = self.capture.readouterr()
        return Said(code, told.out, told.err)

    def process(
        self,
        name: str,
        *words: str,
        prefix: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        at: Path | None = None,
        script: Path | str | None = None,
        seconds: float = 45,
    ) -> Said:
        """Call it as a process."""
        done = subprocess.run(
            [*prefix, str(script or self.root / "scripts" / f"ops-manager-{name}.sh"), *self.loop(name), *words],
            cwd=at or self.root,
            env=environment(**{"SUPERLOOP_BIN": str(SUPERLOOP), **(env or {})}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def loop(self, name: str) -> list[str]:
        return [] if name in {"health", "threshold-profile"} else ["--repo", str(self.repo), "--loop", "demo"]

    def json(self, name: str, *words: str, code: int = 0) -> dict[str, Any]:
        """Call it, which has to print one line of JSON and nothing else on either stream."""
        said = self(name, *words)
        assert (said.code, said.err) == (code, ""), said
        assert said.out.count("\n") == 1
        return json.loads(said.out)

    def does(self, *verbs: str) -> None:
        for verb in verbs:
            subprocess.run([SUPERLOOP, verb, "--repo", self.repo, "--loop", "demo"], check=True, timeout=30)

    @property
    def manager(self) -> Path:
        return self.repo / ".superloop" / "ops-manager" / "demo"

    @property
    def run(self) -> Path:
        return self.repo / ".superloop" / "loops" / "demo"

    def rows(self, name: str) -> list[dict[str, Any]]:
        path = self.manager / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def scripts(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Scripts:
    for name in os.environ:
        if name.startswith(("OPS_MANAGER_", "SUPERLOOP_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SUPERLOOP_BIN", str(SUPERLOOP))
    monkeypatch.setenv("USER", "ada")
    repo = tmp_path / "repo"
    repo.mkdir()
    return Scripts(workspace, repo, capsys)


# --- flags ------------------------------------------------------------------------------------------------------------


def test_there_is_an_entry_point_for_every_command() -> None:
    assert set(COMMANDS) == set(ENTRY_POINTS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_on_stdout_and_names_every_flag(scripts: Scripts, name: str) -> None:
    for words in (["--help"], ["-h"]):
        said = scripts.plain(name, *words)
        assert (said.code, said.err) == (0, "")
        assert said.out.startswith(f"Usage: {file_of(name)}")
        for flag in COMMANDS[name].flags:
            assert f"  --{flag.name} " in said.out or f"  --{flag.name}\n" in said.out


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("word", ["--nope", "stray", "--loop=demo", "-x", "", "--"])
def test_an_unknown_argument_shows_the_usage_and_is_an_error(scripts: Scripts, name: str, word: str) -> None:
    said = scripts.plain(name, word)
    assert said.code == 1
    assert said.out.startswith("Usage: ")
    assert said.err.startswith(f"error: unknown argument: {word}")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_a_flag_without_its_value_says_so(scripts: Scripts, name: str) -> None:
    flag = next(each.name for each in COMMANDS[name].flags if each.read is not None)
    said = scripts.plain(name, f"--{flag}")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(f"error: --{flag} needs a value")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in LOOPLESS])
def test_repository_and_loop_are_needed(scripts: Scripts, name: str) -> None:
    intent = ["--intent", "cancel"] if name in {"control", "confirm-intent"} else []
    repo = ["--repo", str(scripts.repo)]
    assert scripts.plain(name, "--loop", "demo", *intent).err.startswith("error: --repo is required")
    assert scripts.plain(name, *repo, *intent).err.startswith("error: --loop is required")
    assert scripts.plain(name, *repo, "--loop", "", *intent).err.startswith("error: --loop is required")
    gone = scripts.plain(name, "--repo", str(scripts.repo / "gone"), "--loop", "demo", *intent)
    assert (gone.code, gone.out) == (1, "")
    assert gone.err.startswith("error: repository not found: ")


@pytest.mark.parametrize("loop", ["../../../x", "a/b", "..", ".", "-x", ".hidden", "a\nb", "é", "x" * 129])
def test_a_loop_id_can_not_leave_the_folder(scripts: Scripts, loop: str) -> None:
    before = sorted(scripts.repo.parent.rglob("*"))
    for name in ("reconcile", "profile-drift", "project-state", "status"):
        said = scripts.plain(name, "--repo", str(scripts.repo), "--loop", loop)
        assert (said.code, said.out) == (1, "")
        assert "names no loop" in said.err
    assert sorted(scripts.repo.parent.rglob("*")) == before


@pytest.mark.parametrize("value", ["-1", "1.5", "", "x", "\uff11", " 1", "+1", "9" * 16])
def test_numbers_are_digits_only(scripts: Scripts, value: str) -> None:
    said = scripts("reconcile", "--max-events", value)
    assert (said.code, said.out) == (1, "")
    assert "--max-events must be a whole number" in said.err


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("reconcile", ["--transport", "pigeon"], "--transport must be one of local, sprite_service"),
        ("reconcile", ["--retry-attempts", "0"], "--retry-attempts must be a whole number, 1 or more"),
        ("reconcile", ["--drift-min-confidence", "some"], "must be one of low, medium, high"),
        ("reconcile", ["--alerts-enabled", "maybe"], "must be one of true, false"),
        ("reconcile", ["--transport", "sprite_service"], "--service-base-url is required"),
        ("status", ["--summary-window", "0"], "--summary-window must be a whole number, 1 or more"),
        ("telemetry-summary", ["--window", "0"], "--window must be a whole number, 1 or more"),
        ("control", ["--intent", "resume"], "intent must be one of cancel, approve, reject"),
        ("control", [], "intent must be one of"),
        ("confirm-intent", ["--intent", "CANCEL"], "intent must be one of"),
        ("health", ["--now", "yesterday"], "--now must be an instant"),
        ("reconcile", ["--critical-ingest-lag-seconds", "299"], "--critical-ingest-lag-seconds must be >="),
        ("reconcile", ["--threshold-profile", "turbo"], "unknown threshold profile: turbo"),
        ("reconcile", ["--thresholds-file", "/nowhere.json"], "thresholds file not found: /nowhere.json"),
    ],
)
def test_a_wrong_value_is_one_line_on_stderr(scripts: Scripts, name: str, words: list[str], told: str) -> None:
    said = scripts(name, *words)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert told in said.err
    assert not list(scripts.manager.glob("*.jsonl"))


# --- reconcile --------------------------------------------------------------------------------------------------------


def test_a_standard_reconcile_prints_the_state_that_it_writes(scripts: Scripts) -> None:
    scripts.does("start", "work")
    found = scripts.json("reconcile", "--trace-id", "t-1")
    assert found == json.loads((scripts.manager / "state.json").read_text())
    assert found["transition"]["currentState"] == "running"
    assert found["transition"]["triggeringSignal"] == "event:role_end"
    assert found["trace"]["reconcileTraceId"] == "t-1"
    for name in ("cursor.json", "health.json", "telemetry/reconcile.jsonl"):
        assert (scripts.manager / name).exists()
    assert json.loads((scripts.manager / "cursor.json").read_text())["eventLineOffset"] == 4


def test_pretty_is_the_same_document_indented_by_two(scripts: Scripts) -> None:
    scripts.does("start")
    said = scripts("reconcile", "--pretty")
    assert said.out == json.dumps(json.loads(said.out), indent=2, ensure_ascii=False) + "\n"


def test_a_failed_reconcile_prints_only_health_and_exits_with_one(scripts: Scripts) -> None:
    found = scripts.json("reconcile", code=1)
    assert (found["status"], found["reasonCodes"]) == ("degraded", ["transport_unreachable"])
    assert found["transport"]["failureCode"] == "snapshot_unavailable"
    shown = scripts.json("status")
    assert shown["health"] == found
    assert shown["reconcile"]["lastStatus"] == "failed"


def test_unhealthy_but_ingested_exits_with_nought(scripts: Scripts) -> None:
    scripts.does("start")
    (scripts.run / "heartbeat.v1.json").write_text(json.dumps({"timestamp": OLD}))
    found = scripts.json("reconcile", "--critical-heartbeat-lag-seconds", "300")
    assert found["health"]["status"] == "critical"
    assert "runtime_heartbeat_stale" in found["health"]["reasonCodes"]


def test_unchanged_health_is_escalated_once(scripts: Scripts) -> None:
    scripts.json("reconcile", code=1)
    scripts.json(
        "reconcile", "--degraded-transport-failure-streak", "9", "--critical-transport-failure-streak", "9", code=1
    )
    assert [row["category"] for row in scripts.rows("escalations.jsonl")] == ["health_degraded"]


def test_a_second_reconcile_at_the_same_time_is_told_that_it_is_busy(scripts: Scripts) -> None:
    scripts.does("start")
    with files.held(str(scripts.manager / ".lock"), wait=False):
        found = scripts.json("reconcile", code=1)
        assert (found["status"], found["reasonCodes"], found["loopId"]) == ("busy", ["reconcile_busy"], "demo")
        assert scripts.json("control", "--intent", "cancel", "--timeout-seconds", "0")["status"] == "confirmed"


def test_a_single_flag_beats_the_profile_and_the_profile_keeps_its_name(scripts: Scripts) -> None:
    scripts.does("start")
    found = scripts.json("reconcile", "--threshold-profile", "strict", "--critical-ingest-lag-seconds", "777")
    limits = found["health"]["thresholds"]
    assert limits["profile"] == found["tuning"]["appliedProfile"] == "strict"
    assert (limits["degradedIngestLagSeconds"], limits["criticalIngestLagSeconds"]) == (120, 777)
    assert (limits["degradedHeartbeatLagSeconds"], limits["criticalHeartbeatLagSeconds"]) == (120, 300)
    assert (limits["degradedTransportFailureStreak"], limits["criticalTransportFailureStreak"]) == (1, 2)


def test_very_large_thresholds_are_taken(scripts: Scripts) -> None:
    scripts.does("start")
    words = [f"--{each}-ingest-lag-seconds" for each in ("degraded", "critical")]
    found = scripts.json("reconcile", words[0], "999999999", words[1], "999999999")
    assert found["health"]["thresholds"]["criticalIngestLagSeconds"] == 999999999


def test_a_flag_beats_the_environment_and_that_the_catalog(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts.does("start")

    def profile(*words: str) -> str:
        return scripts.json("reconcile", *words)["health"]["thresholds"]["profile"]

    assert profile() == "balanced"
    monkeypatch.setenv("OPS_MANAGER_THRESHOLD_PROFILE", "relaxed")
    assert profile() == "relaxed"
    assert profile("--threshold-profile", "balanced") == "balanced"


def test_the_environment_stands_in_for_traces_catalogs_and_the_drift_s_three(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripts.does("start")
    catalog = tmp_path / "own.json"
    numbers = {
        "degradedIngestLagSeconds": 1,
        "criticalIngestLagSeconds": 999999,
        "degradedTransportFailureStreak": 1,
        "criticalTransportFailureStreak": 1,
    }
    catalog.write_text(json.dumps({"schemaVersion": "v1", "defaultProfile": "own", "profiles": {"own": numbers}}))
    for name, value in (
        ("OPS_MANAGER_THRESHOLD_PROFILES_FILE", str(catalog)),
        ("OPS_MANAGER_TRACE_ID", "from-env"),
        ("OPS_MANAGER_DRIFT_MIN_CONFIDENCE", "low"),
        ("OPS_MANAGER_DRIFT_REQUIRED_STREAK", "7"),
        ("OPS_MANAGER_DRIFT_SUMMARY_WINDOW", "11"),
        ("OPS_MANAGER_ALERTS_ENABLED", "anything"),
    ):
        monkeypatch.setenv(name, value)
    found = scripts.json("reconcile")
    assert found["trace"]["reconcileTraceId"] == "from-env"
    assert found["tuning"]["appliedProfile"] == "own"
    assert found["drift"]["status"] == "no_recommendation"  # a custom catalog stops nothing
    assert (found["drift"]["minimumConfidence"], found["drift"]["requiredStreak"]) == ("low", 7)
    assert found["drift"]["summaryWindow"] == 11
    given = scripts.json("reconcile", "--trace-id", "t", "--drift-min-confidence", "medium")
    assert (given["trace"]["reconcileTraceId"], given["drift"]["minimumConfidence"]) == ("t", "medium")
    monkeypatch.setenv("OPS_MANAGER_DRIFT_REQUIRED_STREAK", "many")
    assert "OPS_MANAGER_DRIFT_REQUIRED_STREAK must be a whole number" in scripts("reconcile").err


def test_an_empty_value_is_none_and_leaves_room_for_the_environment(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts.does("start")
    monkeypatch.setenv("OPS_MANAGER_TRACE_ID", "from-env")
    found = scripts.json("reconcile", "--trace-id", "", "--threshold-profile", "", "--state-file", "")
    assert (found["trace"]["reconcileTraceId"], found["tuning"]["appliedProfile"]) == ("from-env", "balanced")
    assert (scripts.manager / "state.json").exists()


def test_the_first_healthy_reconcile_drifts_where_that_is_asked_for(scripts: Scripts) -> None:
    scripts.does("start")
    found = scripts.json("reconcile", "--drift-min-confidence", "low", "--drift-required-streak", "1")
    assert (found["drift"]["status"], found["drift"]["recommendedProfile"]) == ("drift_active", "strict")
    assert scripts.rows("escalations.jsonl")[-1]["category"] == "profile_drift_detected"
    assert scripts.json("status")["drift"]["driftActive"] is True


def test_the_drift_s_trace_is_the_same_wherever_it_is_written(scripts: Scripts) -> None:
    scripts.does("start")
    found = scripts.json("reconcile", "--trace-id", "t-1")
    assert found["drift"] == json.loads((scripts.manager / "profile-drift.json").read_text())
    assert found["drift"]["traceId"] == scripts.json("status")["drift"]["traceId"] == "t-1"


def test_every_named_file_is_used(scripts: Scripts, tmp_path: Path) -> None:
    scripts.does("start")
    elsewhere = tmp_path / "elsewhere"
    names = ("cursor", "state", "drift-state", "sequence-state", "heartbeat-state")
    logs = ("drift-history", "sequence-telemetry", "heartbeat-telemetry")
    words = [word for each in (*names, *logs) for word in (f"--{each}-file", str(elsewhere / each))]
    scripts.json("reconcile", *words)
    assert sorted(each.name for each in elsewhere.iterdir()) == sorted((*names, *logs))
    shown = scripts.json("status", *[w for each in (*names, *logs) for w in (f"--{each}-file", str(elsewhere / each))])
    assert shown["files"]["stateFile"] == str(elsewhere / "state")
    assert shown["lifecycle"]["state"] == "running"


def test_a_relative_path_is_meant_from_the_current_folder(
    scripts: Scripts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts.does("start")
    monkeypatch.chdir(tmp_path)
    scripts.json("profile-drift", "--drift-state-file", "drift.json", "--drift-history-file", "drift.jsonl")
    scripts.json("reconcile", "--state-file", "state.json", "--heartbeat-telemetry-file", "./beats.jsonl")
    assert {each.name for each in tmp_path.glob("*.json*")} == {
        "drift.json",
        "drift.jsonl",
        "state.json",
        "beats.jsonl",
    }
    shown = scripts.json("status", "--state-file", "state.json")
    assert shown["files"]["stateFile"] == str(tmp_path / "state.json")


def test_paths_are_as_they_were_given_links_included(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts.does("start")
    link = scripts.repo.parent / "link"
    link.symlink_to(scripts.repo)
    monkeypatch.chdir(link.parent)
    said = scripts.plain("reconcile", "--repo", "./link/", "--loop", "demo")
    assert json.loads(said.out)["source"]["repoPath"] == str(link)
    shown = json.loads(scripts.plain("status", "--repo", "link", "--loop", "demo").out)
    assert shown["files"]["stateFile"] == f"{link}/.superloop/ops-manager/demo/state.json"


# --- single steps -----------------------------------------------------------------------------------------------------


def test_a_snapshot_and_its_missing_artefacts(scripts: Scripts) -> None:
    assert "required artifact root missing" in scripts("loop-run-snapshot").err
    scripts.run.mkdir(parents=True)
    said = scripts("loop-run-snapshot")
    assert (said.code, said.out) == (1, "")
    assert "required artifact missing" in said.err
    scripts.does("start")
    found = scripts.json("loop-run-snapshot", "--run-id", "mine")
    assert (found["run"]["runId"], found["traceId"], found["health"]["eventCount"]) == ("mine", None, 2)


def test_events_are_polled_once_each_and_the_cursor_moves(scripts: Scripts) -> None:
    scripts.does("start", "work")
    first = scripts("poll-events", "--max-events", "3").out.splitlines()
    rest = scripts("poll-events", "--trace-id", "t").out.splitlines()
    assert [json.loads(line)["sequence"]["value"] for line in [*first, *rest]] == [1, 2, 3, 4]
    assert json.loads(rest[0])["traceId"] == "t"
    assert scripts("poll-events").out == ""
    assert len(scripts("poll-events", "--from-start").out.splitlines()) == 4
    assert json.loads((scripts.run / "ops-manager.cursor.json").read_text())["eventLineOffset"] == 4


def test_a_reader_that_goes_away_does_not_move_the_cursor(scripts: Scripts) -> None:
    scripts.does("start")
    with (scripts.run / "events.jsonl").open("a") as file:
        file.writelines(f'{{"timestamp":"{OLD}","event":"e","data":"{"x" * 500}"}}\n' for _ in range(2000))
    said = scripts.process("poll-events", prefix=("sh", "-c", '"$@" | head -n 1 >/dev/null', "sh"))
    assert said.err == ""
    assert not (scripts.run / "ops-manager.cursor.json").exists()


def test_a_few_events_that_nobody_has_read_are_not_passed_over(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts.does("start")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:

        def fall_silent(_: int = 1) -> None:
            with Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), gone.fileno())

        monkeypatch.setattr(sys, "stdout", gone)
        monkeypatch.setattr(streams, "fall_silent", fall_silent)
        assert ops_manager.main([f"{scripts.root}/scripts/..", "poll-events", *scripts.loop("poll-events")]) == 0
    assert not (scripts.run / "ops-manager.cursor.json").exists()


def test_a_projection_refuses_what_is_no_envelope_and_takes_one_of_another_path(scripts: Scripts) -> None:
    scripts.does("start")
    snapshot, events = scripts.repo / "s.json", scripts.repo / "e.ndjson"
    envelope = scripts.json("loop-run-snapshot")
    envelope["source"]["repoPath"] = "/elsewhere"
    snapshot.write_text(json.dumps(envelope))
    events.write_text('{"schemaVersion":"v1"}\n')
    said = scripts("project-state", "--snapshot-file", str(snapshot), "--events-file", str(events))
    assert (said.code, said.out) == (1, "")
    assert "event envelope is invalid" in said.err
    events.write_text(scripts("poll-events").out)
    found = scripts.json("project-state", "--snapshot-file", str(snapshot), "--events-file", str(events))
    assert found["transition"]["triggeringSignal"] == "event:iteration_start"
    assert found == json.loads((scripts.manager / "state.json").read_text())


def test_health_is_judged_from_files_and_writes_nothing(scripts: Scripts) -> None:
    state = scripts.repo / "state.json"
    state.write_text(json.dumps({"projection": {"lastEventAt": OLD}, "transition": {"currentState": "running"}}))
    before = sorted(scripts.repo.rglob("*"))
    found = scripts.json("health", "--state-file", str(state), "--now", "2020-01-01T09:05:00+09:00")
    assert (found["status"], found["updatedAt"], found["metrics"]["ingestLagSeconds"]) == (
        "degraded",
        "2020-01-01T00:05:00Z",
        300,
    )
    failed = scripts.json("health", "--ingest-status", "failed", "--failure-code", "projection_failed")
    assert failed["reasonCodes"] == ["projection_failed"]
    state.write_text("{")
    said = scripts("health", "--state-file", str(state))
    assert (said.code, said.out) == (1, "")
    assert "invalid JSON in" in said.err
    assert scripts.json("health", "--state-file", str(scripts.repo / "none"))["status"] == "healthy"
    assert sorted(scripts.repo.rglob("*")) == before


def test_a_corrupt_last_intent_stops_no_verdict(scripts: Scripts) -> None:
    intents = scripts.repo / "intents.jsonl"
    intents.write_text('{"status":"ambiguous"}\n{"status":')
    assert scripts.json("health", "--intents-file", str(intents))["reasonCodes"] == ["control_ambiguous"]


def test_profile_drift_works_where_nothing_was_ever_run(scripts: Scripts) -> None:
    words = ["--applied-profile", "balanced", "--recommended-profile", "relaxed", "--min-confidence", "low"]
    first = scripts.json("profile-drift", *words, "--required-streak", "2", "--rationale", "noise")
    assert (first["status"], first["mismatchStreak"], first["rationale"]) == ("mismatch_pending", 1, "noise")
    second = scripts.json("profile-drift", *words, "--required-streak", "2")
    assert (second["status"], second["transitioned"]["toActive"]) == ("drift_active", True)
    assert json.loads((scripts.manager / "profile-drift.json").read_text()) == second
    assert [row["drift"]["status"] for row in scripts.rows("telemetry/profile-drift.jsonl")] == [
        "mismatch_pending",
        "drift_active",
    ]


def test_unknown_profiles_are_named_and_a_corrupt_count_is_not_lost_silently(scripts: Scripts) -> None:
    assert "unknown applied profile: x" in scripts("profile-drift", "--applied-profile", "x").err
    assert "unknown recommended profile: y" in scripts("profile-drift", "--recommended-profile", "y").err
    assert not scripts.manager.exists()
    scripts.manager.mkdir(parents=True)
    (scripts.manager / "profile-drift.json").write_text("{")
    said = scripts("profile-drift", "--applied-profile", "strict")
    assert (said.code, said.out) == (1, "")
    assert "invalid JSON in" in said.err


@pytest.mark.parametrize("name", ["profile-drift", "project-state"])
def test_what_a_dead_reconcile_left_is_completed_first(scripts: Scripts, name: str) -> None:
    scripts.does("start")
    scripts.manager.mkdir(parents=True)
    history = scripts.manager / "telemetry" / "profile-drift.jsonl"
    history.parent.mkdir()
    history.write_text('{"ol')  # of the line that the dead one was writing
    journal = {
        "schemaVersion": "v1",
        "replace": [{"path": "cursor.json", "text": '{"eventLineOffset":9}\n'}],
        "append": [{"path": "telemetry/profile-drift.jsonl", "expected": 0, "text": '{"old":1}\n'}],
        "told": [],
    }
    (scripts.manager / ".journal.json").write_text(json.dumps(journal))
    scripts.json(name)
    assert json.loads((scripts.manager / "cursor.json").read_text()) == {"eventLineOffset": 9}
    assert scripts.rows("telemetry/profile-drift.jsonl")[0] == {"old": 1}
    assert not (scripts.manager / ".journal.json").exists()


def test_who_waits_too_long_for_the_loop_is_told(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops_manager, "_WAIT_SECONDS", 0)
    with files.held(str(scripts.manager / ".lock"), wait=False):
        said = scripts("profile-drift")
    assert (said.code, said.out) == (1, "")
    assert "loop_busy" in said.err


def test_threshold_profiles_are_listed_and_shown(scripts: Scripts) -> None:
    assert scripts("threshold-profile", "--list").out == "balanced\nrelaxed\nstrict\n"
    catalog = str(scripts.root / "config" / "ops-manager-threshold-profiles.v1.json")
    assert scripts.json("threshold-profile")["sourceFile"] == catalog
    assert scripts.json("threshold-profile", "--profile", "strict", "--profiles-file", catalog)["values"] == {
        "degradedIngestLagSeconds": 120,
        "criticalIngestLagSeconds": 300,
        "degradedTransportFailureStreak": 1,
        "criticalTransportFailureStreak": 2,
    }


def test_a_telemetry_summary_needs_telemetry(scripts: Scripts) -> None:
    said = scripts("telemetry-summary")
    assert (said.code, said.out) == (1, "")
    assert "reconcile telemetry file not found" in said.err
    scripts.json("reconcile", code=1)
    found = scripts.json("telemetry-summary", "--window", "5")
    assert (found["observed"]["reconcileFailedCount"], found["recommendedProfile"]) == (1, "relaxed")
    own = str(scripts.manager / "telemetry" / "reconcile.jsonl")
    (scripts.repo / "copy.jsonl").write_text(Path(own).read_text() * 3)
    copied = scripts.json("telemetry-summary", "--reconcile-telemetry-file", str(scripts.repo / "copy.jsonl"))
    assert copied["observed"]["reconcileAttempts"] == 3


# --- control ----------------------------------------------------------------------------------------------------------


def test_each_outcome_has_its_exit_code(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = ["--timeout-seconds", "0"]
    scripts.does("start")
    assert scripts.json("control", "--intent", "approve", *quick, code=1)["status"] == "failed_command"
    assert scripts.json("control", "--intent", "cancel", *quick)["status"] == "confirmed"
    assert scripts.json("control", "--intent", "cancel", "--no-confirm")["status"] == "executed_unconfirmed"
    scripts.does("start")
    monkeypatch.setenv("SUPERLOOP_BIN", "/bin/true")
    assert scripts.json("control", "--intent", "cancel", *quick, code=2)["status"] == "ambiguous"
    monkeypatch.setenv("SUPERLOOP_BIN", "/nowhere")
    assert "/nowhere is not there" in scripts.json("control", "--intent", "cancel", code=1)["commandOutput"]
    assert [row["status"] for row in scripts.rows("telemetry/control.jsonl")] == [
        "failed_command",
        "confirmed",
        "executed_unconfirmed",
        "ambiguous",
        "failed_command",
    ]


def test_what_is_said_of_a_control_is_recorded(scripts: Scripts) -> None:
    scripts.does("start", "ask")
    scripts.json("reconcile")
    words = ["--note", "--looks fine", "--trace-id", "t-7", "--idempotency-key", "k-7", "--timeout-seconds", "1"]
    found = scripts.json("control", "--intent", "approve", *words)
    assert (found["requestedBy"], found["note"], found["traceId"], found["idempotencyKey"]) == (
        "ada",
        "--looks fine",
        "t-7",
        "k-7",
    )
    assert scripts.json("status")["visibility"]["invocationAudit"]["traceId"] == "t-7"
    assert scripts.json("control", "--intent", "cancel", "--by", "bob")["idempotencyKey"].startswith("cancel-")
    assert scripts.rows("intents.jsonl")[-1]["requestedBy"] == "bob"


def test_the_runtime_of_the_root_is_called_where_none_is_named(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts.does("start")
    monkeypatch.delenv("SUPERLOOP_BIN")
    shutil.copy(SUPERLOOP, scripts.root / "superloop.sh")
    assert scripts.json("control", "--intent", "cancel")["command"].startswith(f"{scripts.root}/superloop.sh cancel ")


def test_an_intent_is_confirmed_by_looking_alone(scripts: Scripts) -> None:
    scripts.does("start")
    waiting = scripts.json("confirm-intent", "--intent", "cancel", "--timeout-seconds", "0", code=1)
    assert (waiting["confirmed"], waiting["reason"], waiting["observedStatus"]) == (False, "timeout", "running")
    scripts.does("cancel")
    assert scripts.json("confirm-intent", "--intent", "cancel")["reason"] == "inactive_not_running"


def test_from_inside_a_run_nobody_approves_and_what_is_frozen_is_refused(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts.does("start", "ask")
    monkeypatch.setenv("INTERLOCK_RUN", "r_1")
    said = scripts("control", "--intent", "approve")
    assert (said.code, said.out) == (1, "")
    assert "human_needed" in said.err
    assert scripts.json("control", "--intent", "reject", "--by", "human:ada")["requestedBy"] == "agent:r_1"
    scripts.manager.joinpath("state.json").write_text(json.dumps({"divergence": {"any": True}}))
    frozen = scripts("control", "--intent", "cancel")
    assert (frozen.code, frozen.out) == (1, "")
    assert frozen.err.startswith("error: demo is frozen for agent:r_1: divergence_detected")
    assert "[control_frozen]" in frozen.err
    monkeypatch.delenv("INTERLOCK_RUN")
    assert scripts.json("control", "--intent", "cancel")["status"] == "confirmed"


def test_panic_holds_approvals_and_lets_cancellations_pass(scripts: Scripts) -> None:
    scripts.does("start", "ask")
    with closing(Interlock.at(scripts.root)) as house:
        house.access.raise_panic(ME, role=Role.ADMIN, reason="a rogue agent")
    said = scripts("control", "--intent", "approve")
    assert (said.code, said.out) == (1, "")
    assert "panic_mode" in said.err
    assert scripts.rows("intents.jsonl") == []
    assert scripts.json("control", "--intent", "cancel")["status"] == "confirmed"


# --- the workspace's log ----------------------------------------------------------------------------------------------


def logged(scripts: Scripts) -> list[str]:
    """List what the workspace's log says of loops, from its export."""
    ledger = scripts.root / "storage" / "db" / "evidence" / "ledger.jsonl"
    kinds = [json.loads(line)["kind"] for line in ledger.read_text().splitlines()]
    return [kind for kind in kinds if kind.startswith("loop.")]


def test_changes_of_verdict_escalations_and_controls_are_in_the_log_once(scripts: Scripts) -> None:
    scripts.does("start")
    scripts.json("reconcile")
    assert logged(scripts) == ["loop.judged"]
    scripts.json("reconcile")
    assert logged(scripts) == ["loop.judged"]
    (scripts.run / "heartbeat.v1.json").write_text(json.dumps({"timestamp": OLD}))
    scripts.json("reconcile")
    assert logged(scripts) == ["loop.judged", "loop.judged", "loop.escalated"]
    scripts.json("control", "--intent", "cancel", "--timeout-seconds", "0")
    assert logged(scripts)[3:] == ["loop.controlled"]


def test_a_loop_is_supervised_also_where_the_log_is_away_and_the_log_hears_of_it_later(scripts: Scripts) -> None:
    scripts.does("start")
    database, away = scripts.root / ".interlock" / "interlock.db", scripts.root / "away.db"
    database.rename(away)
    assert scripts.json("reconcile", "--trace-id", "t-1")["health"]["status"] == "healthy"
    assert scripts.json("control", "--intent", "cancel", "--no-confirm")["status"] == "executed_unconfirmed"
    away.rename(database)
    scripts.does("start")
    scripts.json("reconcile", "--trace-id", "t-2")
    assert logged(scripts)[0] == "loop.judged"
    assert not (scripts.manager / ".journal.json").exists()


def test_outside_of_a_workspace_the_entry_points_work_all_the_same(
    scripts: Scripts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scripts.does("start")
    other = tmp_path / "plain"
    shutil.copytree(scripts.root / "config", other / "config")
    away = Scripts(other, scripts.repo, capsys)
    assert away.json("reconcile")["health"]["status"] == "healthy"
    assert away.json("control", "--intent", "cancel", "--timeout-seconds", "0")["status"] == "confirmed"


# --- as processes -----------------------------------------------------------------------------------------------------


def test_the_seed_s_flow_works_as_processes_and_its_filters_find_what_they_look_for(scripts: Scripts) -> None:
    scripts.does("start", "work", "ask")
    state = scripts.process("reconcile", "--pretty")
    assert (state.code, state.err) == (0, "")

    def filtered(text: str, what: str) -> str:
        found: list[object] = JQ.compile(what).input_text(text).all()
        return "\n".join(each if isinstance(each, str) else json.dumps(each) for each in found)

    assert filtered(state.out, ".transition.currentState") == "awaiting_approval"
    assert filtered(state.out, ".divergence.flags.approvalCompletionConflict") == "false"
    control = scripts.process("control", "--intent", "approve", "--timeout-seconds", "5")
    assert filtered(control.out, ".status, .confirm.reason") == "confirmed\napproval_recorded"
    shown = scripts.process("status", "--summary-window", "200", "--pretty")
    assert filtered(shown.out, ".control.lastIntent") == "approve"
    assert (
        filtered(shown.out, '.visibility.heartbeat.freshnessStatus + " " + .visibility.sequence.status') == "fresh ok"
    )
    assert filtered(shown.out, ".visibility.invocationAudit.outcomeStatus") == "confirmed"


def test_both_streams_together_are_json_also_when_it_fails(scripts: Scripts) -> None:
    said = scripts.process("reconcile", prefix=("sh", "-c", '"$@" 2>&1', "sh"))
    assert said.code == 1
    assert json.loads(said.out)["reasonCodes"] == ["transport_unreachable"]


def test_an_entry_point_works_from_anywhere_and_through_links(scripts: Scripts, tmp_path: Path) -> None:
    scripts.does("start")
    real = scripts.root / "scripts" / "ops-manager-threshold-profile.sh"
    away = tmp_path / "away"
    away.mkdir()
    (away / "link").symlink_to(real)
    (away / "again").symlink_to("link")
    (away / "folder").symlink_to(real.parent)
    catalog = f"{scripts.root}/config/ops-manager-threshold-profiles.v1.json"
    for script, at in (
        (real, away),
        (away / "link", scripts.repo),
        (away / "again", Path("/")),
        ("./again", away),
        (away / "folder" / real.name, away),
    ):
        said = scripts.process("threshold-profile", script=script, at=at)
        assert json.loads(said.out)["sourceFile"] == catalog, (script, said)
    plain = scripts.process("threshold-profile", script="again", at=away, prefix=("sh",))
    assert json.loads(plain.out)["sourceFile"] == catalog


def test_a_workspace_reached_through_a_link_keeps_that_name(scripts: Scripts, tmp_path: Path) -> None:
    (tmp_path / "ws").symlink_to(scripts.root)
    script = tmp_path / "ws" / "scripts" / "ops-manager-threshold-profile.sh"
    said = scripts.process("threshold-profile", script=script)
    assert json.loads(said.out)["sourceFile"].startswith(f"{tmp_path}/ws/config/")


def test_the_process_that_is_started_is_the_one_that_answers(scripts: Scripts) -> None:
    scripts.does("start")
    script = scripts.root / "scripts" / "ops-manager-confirm-intent.sh"
    words = ["--repo", str(scripts.repo), "--loop", "demo", "--intent", "cancel"]
    with subprocess.Popen([script, *words], env=environment(), stdout=subprocess.PIPE) as started:
        deadline = time.monotonic() + 20
        command = b""
        while b"interlock.cli.ops_manager" not in command and time.monotonic() < deadline:
            command = Path(f"/proc/{started.pid}/cmdline").read_bytes()
            time.sleep(0.01)
        started.kill()
    assert b"interlock.cli.ops_manager" in command


def test_a_control_that_is_terminated_ends_the_runtime_s_program_and_is_recorded(
    scripts: Scripts, tmp_path: Path
) -> None:
    scripts.does("start")
    slow = tmp_path / "slow"
    slow.write_text(f'#!/bin/sh\necho $$ >"{tmp_path}/pid"\nexec sleep 300\n')
    slow.chmod(0o755)
    script = scripts.root / "scripts" / "ops-manager-control.sh"
    words = [*scripts.loop("control"), "--intent", "cancel"]
    with subprocess.Popen(
        [script, *words], env=environment(SUPERLOOP_BIN=str(slow)), stdout=subprocess.PIPE
    ) as started:
        deadline = time.monotonic() + 20
        while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        started.terminate()
        assert started.wait(20) == 143
    runtime = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}")
    until(lambda: not runtime.exists())  # it is ended, and whose child it is now has to take note
    assert [row["status"] for row in scripts.rows("intents.jsonl")] == ["ambiguous"]


@pytest.mark.parametrize("count", [2, 6])
def test_controls_at_once_each_answer_and_leave_whole_records(scripts: Scripts, count: int) -> None:
    scripts.does("start")
    script = scripts.root / "scripts" / "ops-manager-control.sh"
    words = [*scripts.loop("control"), "--intent", "cancel"]
    env = environment(SUPERLOOP_BIN=str(SUPERLOOP))
    started = [subprocess.Popen([script, *words], env=env, stdout=subprocess.PIPE) for _ in range(count)]
    answers = [json.loads(each.communicate(timeout=45)[0]) for each in started]
    assert {each["status"] for each in answers} == {"confirmed"}
    for name in ("intents.jsonl", "telemetry/control.jsonl", "telemetry/control-invocations.jsonl"):
        assert sorted(row["traceId"] for row in scripts.rows(name)) == sorted(each["traceId"] for each in answers)


def test_an_interlock_that_is_gone_is_one_clear_line(scripts: Scripts, tmp_path: Path) -> None:
    broken = copy_of(scripts.root, tmp_path / "broken")
    script = broken / "scripts" / "ops-manager-status.sh"
    script.write_text(script.read_text().replace(f"PYTHON={sys.executable}", "PYTHON=/gone/python"))
    said = scripts.process("status", script=script)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("error: Interlock is not at /gone/python any more; run `interlock init`")


def test_an_idle_reconcile_and_a_status_import_nothing_heavy(scripts: Scripts) -> None:
    scripts.does("start")
    heavy = {"typer", "click", "rich", "pydantic", "sqlite3", "psycopg", "subprocess", "argparse", "hashlib"}
    script = (
        "import sys\nfrom interlock.cli.ops_manager import main\ncode = main(sys.argv[1:])\n"
        f"sys.exit(str(sorted({heavy!r} & set(sys.modules))) if code == 0 else 9)"
    )
    scripts.json("reconcile")
    for name in ("reconcile", "status"):
        done = subprocess.run(
            [sys.executable, "-I", "-c", script, str(scripts.root), name, *scripts.loop(name)],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.stderr == "[]\n"


@pytest.mark.parametrize("count", [6, 20])
def test_reconciles_at_once_do_the_work_once(scripts: Scripts, count: int) -> None:
    scripts.does("start")
    (scripts.run / "heartbeat.v1.json").write_text(json.dumps({"timestamp": OLD}))
    script = scripts.root / "scripts" / "ops-manager-reconcile.sh"
    words = ["--repo", str(scripts.repo), "--loop", "demo"]
    started = [
        subprocess.Popen([script, *words], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(count)
    ]
    answers = [json.loads(each.communicate(timeout=45)[0]) for each in started]
    assert all(each.get("status") == "busy" or each["health"]["status"] == "critical" for each in answers)
    assert [row["category"] for row in scripts.rows("escalations.jsonl")] == ["health_critical"]
    assert sum(row["eventsIngested"] for row in scripts.rows("telemetry/reconcile.jsonl")) == 2


# --- schemas ----------------------------------------------------------------------------------------------------------


def schema(scripts: Scripts, name: str) -> Any:  # noqa: ANN401 - the library's validator
    return jsonschema_rs.Draft202012Validator(
        json.loads((scripts.root / "schema" / f"ops-manager.{name}.schema.json").read_text())
    )


def test_snapshots_and_events_of_a_whole_life_validate(scripts: Scripts) -> None:
    contract = schema(scripts, "contract")
    for verb in ("start", "work", "ask", "resume", "work", "finish", "start", "stop", "cancel"):
        scripts.does(verb)
        contract.validate(scripts.json("loop-run-snapshot", "--trace-id", "t"))
        for line in scripts("poll-events").out.splitlines():
            contract.validate(json.loads(line))


@pytest.mark.parametrize("payload", [None, 7, "text", [1], {"a": {"b": None}}, True])
def test_whatever_a_runtime_writes_as_data_validates(scripts: Scripts, payload: Any) -> None:  # noqa: ANN401 - JSON
    scripts.does("start", "finish")
    line: dict[str, Any] = {"timestamp": OLD, "type": "odd", "status": 3, "message": ["m"], "data": payload, "more": {}}
    with (scripts.run / "events.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    for each in scripts("poll-events").out.splitlines():
        schema(scripts, "contract").validate(json.loads(each))


def test_a_gate_that_is_not_in_the_seed_validates_and_a_state_that_is_not_does_not(scripts: Scripts) -> None:
    scripts.does("start", "finish")
    contract = schema(scripts, "contract")
    found = scripts.json("loop-run-snapshot")
    assert found["health"]["gates"]["lifecycle"] == "ok"
    contract.validate(found)
    for broken in (
        {**found, "schemaVersion": "v2"},
        {**found, "more": 1},
        {**found, "run": {**found["run"], "status": "resting"}},
        {key: value for key, value in found.items() if key != "cursor"},
        {**found, "traceId": 7},
    ):
        assert not contract.is_valid(broken)


def test_the_shipped_catalog_validates(scripts: Scripts) -> None:
    catalog = json.loads((scripts.root / "config" / "ops-manager-threshold-profiles.v1.json").read_text())
    profiles = schema(scripts, "threshold-profiles")
    profiles.validate(catalog)
    assert not profiles.is_valid({**catalog, "profiles": {}})
    assert not profiles.is_valid({**catalog, "profiles": {"own": {}}})
