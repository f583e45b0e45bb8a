"""`interlock loop`: what a person sees of a loop, and how they steer it."""

from __future__ import annotations

import json
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from interlock.access.models import Role
from interlock.app import Interlock
from interlock.loops import files
from tests.cli.door import Door, Said
from tests.cli.lived import ME

SUPERLOOP = Path(__file__).parents[1] / "loops" / "superloop.sh"
QUICK = ("--timeout-seconds", "0")


@dataclass(frozen=True)
class Watch:
    """The command line, and the loop `demo` in a repository."""

    door: Door
    repo: Path

    def __call__(self, verb: str, *words: str) -> Said:
        return self.door("loop", verb, "demo", "--repo", str(self.repo), *words)

    def json(self, verb: str, *words: str) -> Any:  # noqa: ANN401 - JSON of any shape
        return self(verb, "--json", *words).json

    def does(self, *verbs: str) -> None:
        for verb in verbs:
            subprocess.run([SUPERLOOP, verb, "--repo", self.repo, "--loop", "demo"], check=True, timeout=30)

    @property
    def manager(self) -> Path:
        return self.repo / ".superloop" / "ops-manager" / "demo"


@pytest.fixture
def watch(ask: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    monkeypatch.setenv("SUPERLOOP_BIN", str(SUPERLOOP))
    repo = tmp_path / "repo"
    repo.mkdir()
    return Watch(ask, repo)


def test_a_reconcile_tells_state_and_verdict_in_a_line(watch: Watch) -> None:
    watch.does("start")
    assert watch("reconcile").out == "demo: running, healthy\n"
    found = watch.json("reconcile", "--trace-id", "t-1", "--from-start")
    assert (found["id"], found["status"], found["trace"]["reconcileTraceId"]) == ("demo", "running", "t-1")


def test_each_reason_has_a_line(watch: Watch) -> None:
    watch.does("start")
    beat = watch.repo / ".superloop" / "loops" / "demo" / "heartbeat.v1.json"
    beat.write_text('{"timestamp":"2020-01-01T00:00:00Z"}')
    lines = watch("reconcile").out.splitlines()
    assert lines[0] == "demo: running, critical"
    assert lines[1].split()[:2] == ["critical", "runtime_heartbeat_stale:"]


def test_a_loop_that_can_not_be_read_is_told_and_is_a_failure(watch: Watch) -> None:
    said = watch("reconcile")
    assert said.code == 1
    assert said.out.startswith("demo: unknown, degraded\n")
    assert "demo could not be read: transport_unreachable [reconcile_failed]" in said.err
    shown = watch("reconcile", "--json")
    assert json.loads(shown.out)["status"] == "degraded"


def test_a_loop_that_somebody_else_is_reconciling_is_a_conflict(watch: Watch) -> None:
    watch.does("start")
    with files.held(str(watch.manager / ".lock"), wait=False):
        watch("reconcile").refuses(4, "demo is just being reconciled", "[reconcile_busy]")


def test_a_status_tells_what_a_person_wants_first(watch: Watch) -> None:
    watch.does("start", "ask")
    watch("reconcile")
    watch("control", "--intent", "reject", *QUICK)
    told = watch("status").out
    for words in ("demo: awaiting_approval, healthy", "control     reject confirmed", "sequence    ok", "r-1"):
        assert words in told
    assert watch.json("status")["visibility"]["invocationAudit"]["intent"] == "reject"


def test_the_workspace_is_the_repository_where_none_is_named(ask: Door) -> None:
    subprocess.run([SUPERLOOP, "start", "--repo", ask.root, "--loop", "docs"], check=True, timeout=30)
    assert ask.json("loop", "reconcile", "docs")["source"] == {"repoPath": str(ask.root), "loopId": "docs"}
    assert ask.json("loop", "reconcile", "--loop", "docs")["id"] == "docs"
    ask("loop", "reconcile").refuses(2, "no loop is named")
    ask("loop", "reconcile", "docs", "--loop", "other").refuses(2, "two loops are named")
    ask("loop", "reconcile", "../x").refuses(2, "loop_id_invalid")
    ask("loop", "reconcile", "docs", "--repo", "/nowhere").refuses(2, "repository not found")


def test_health_is_judged_now_and_not_when_it_was_reconciled(watch: Watch) -> None:
    watch("health").refuses(3, "was never reconciled")
    watch.does("start")
    watch("reconcile")
    state = json.loads((watch.manager / "state.json").read_text())
    state["projection"]["lastEventAt"] = "2020-01-01T00:00:00Z"
    (watch.manager / "state.json").write_text(json.dumps(state))
    before = {path: path.stat().st_mtime_ns for path in watch.manager.rglob("*")}
    assert watch.json("health")["reasonCodes"] == ["ingest_stale"]
    assert watch.json("health", "--threshold-profile", "strict")["thresholds"]["profile"] == "strict"
    assert {path: path.stat().st_mtime_ns for path in watch.manager.rglob("*")} == before


def test_events_are_a_table_of_what_is_new(watch: Watch) -> None:
    watch.does("start")
    assert [line.split("\t")[0] for line in watch("events").out.splitlines()] == ["1", "2"]
    assert watch("events").out == "no new event\n"
    assert [each["sequence"]["value"] for each in watch.json("events", "--from-start", "--max-events", "1")] == [1]


def test_thresholds_are_a_table_and_one_of_them_a_list(ask: Door) -> None:
    assert [row["profile"] for row in ask.json("loop", "threshold") if row["default"]] == ["balanced"]
    assert ask.json("loop", "threshold", "strict")["values"]["criticalIngestLagSeconds"] == 300
    ask("loop", "threshold", "turbo").refuses(3, "unknown threshold profile: turbo")


# --- steering ---------------------------------------------------------------------------------------------------------


def test_a_control_ends_with_a_sentence_where_it_did_not_do_what_it_should(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.does("start")
    failed = watch("control", "--intent", "approve", *QUICK)
    assert (failed.code, failed.out) == (1, "demo: approve failed_command\n")
    assert "approve could not be carried out: no approval is pending for demo [control_failed_command]" in failed.err
    monkeypatch.setenv("SUPERLOOP_BIN", "/bin/true")
    unseen = watch("control", "--intent", "cancel", *QUICK)
    assert (unseen.code, unseen.out) == (1, "demo: cancel ambiguous\n")
    assert "do not repeat it blindly" in unseen.err
    monkeypatch.setenv("SUPERLOOP_BIN", str(SUPERLOOP))
    assert watch("control", "--intent", "cancel", "--no-confirm").out == "demo: cancel executed_unconfirmed\n"
    watch("control", "--intent", "resume").refuses(2, "intent must be one of")


def test_a_machine_is_frozen_out_until_a_person_has_looked(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.does("start")
    watch("reconcile")
    monkeypatch.setenv("SUPERLOOP_BIN", "/bin/true")
    watch("control", "--intent", "cancel", *QUICK)
    robot = ("--as", "agent:r_1")
    watch("control", "--intent", "cancel", *robot).refuses(4, "control_ambiguous", "[control_frozen]")
    assert "frozen  for machines: control_ambiguous" in watch("status").out
    watch("acknowledge", *robot).refuses(4, "human_needed")
    watch("unfreeze", *robot).refuses(4, "human_needed")
    assert watch("acknowledge", "--note", "looked").out == "demo: the last intent is acknowledged\n"
    watch("acknowledge").refuses(4, "nothing_to_acknowledge")
    watch("unfreeze").refuses(4, "nothing_to_unfreeze")
    monkeypatch.setenv("SUPERLOOP_BIN", str(SUPERLOOP))
    assert watch.json("control", "--intent", "cancel", *robot)["requestedBy"] == "agent:r_1"


def test_an_acknowledged_intent_no_longer_degrades_health(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.does("start")
    monkeypatch.setenv("SUPERLOOP_BIN", "/bin/true")
    watch("control", "--intent", "cancel", *QUICK)
    assert watch.json("reconcile")["health"]["reasonCodes"] == ["control_ambiguous"]
    watch("acknowledge")
    assert watch.json("reconcile")["health"]["status"] == "healthy"


def test_a_divergence_is_released_by_hand_or_by_a_healthy_reconcile(watch: Watch) -> None:
    watch.does("start", "work")
    (watch.repo / ".superloop" / "state.json").unlink()
    assert watch.json("reconcile")["health"]["reasonCodes"] == ["divergence_detected"]
    robot = ("control", "--intent", "cancel", "--as", "service:supervisor@host", *QUICK)
    watch(*robot).refuses(4, "divergence_detected", "[control_frozen]")
    assert watch("unfreeze").out == "demo: released divergence_detected\n"
    watch("reconcile")
    assert watch(*robot).code == 0
    (watch.manager / ".unfreeze.json").unlink()
    (watch.manager / "intents.jsonl").unlink()
    watch(*robot).refuses(4, "[control_frozen]")
    watch.does("work")
    watch("reconcile")
    assert watch(*robot).code == 0


def test_what_a_person_does_is_in_the_log(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.does("start")
    watch("reconcile")
    monkeypatch.setenv("SUPERLOOP_BIN", "/bin/true")
    watch("control", "--intent", "cancel", *QUICK)
    watch("unfreeze")
    watch("acknowledge")
    kinds = [each["kind"] for each in watch.door.json("evidence", "list", "--limit", "1000")]
    assert [kind for kind in kinds if kind.startswith("loop.")] == [
        "loop.judged",
        "loop.controlled",
        "loop.unfrozen",
        "loop.controlled",
    ]


def test_panic_holds_approvals_and_lets_cancellations_pass(watch: Watch) -> None:
    watch.does("start", "ask")
    with closing(Interlock.at(watch.door.root)) as house:
        house.access.raise_panic(ME, role=Role.ADMIN, reason="a rogue agent")
    watch("control", "--intent", "approve").refuses(4, "panic_mode")
    assert watch("control", "--intent", "cancel", *QUICK).code == 0
