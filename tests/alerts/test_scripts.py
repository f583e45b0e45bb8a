"""`scripts/ops-manager-alert-*.sh`, and reconcile with alerts: as processes in a workspace that `init` made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from interlock.kernel.clock import system_clock
from interlock.loops.models import stamp
from tests.alerts.receiver import Receiver, Say
from tests.conftest import until
from tests.loops.loop import Loop


class Said(NamedTuple):
    """What a process said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        assert self.err == "", self
        return json.loads(self.out)


class Desk(NamedTuple):
    """A workspace and a loop beside it."""

    root: Path
    loop: Loop
    env: dict[str, str]

    def __call__(self, name: str, *words: str, env: Mapping[str, str] | None = None) -> Said:
        done = subprocess.run(
            [self.root / "scripts" / f"ops-manager-{name}.sh", *words],
            env={**os.environ, **self.env, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def on(self, name: str, *words: str, env: Mapping[str, str] | None = None) -> Said:
        return self(name, "--repo", str(self.loop.repo), "--loop", "docs", *words, env=env)

    @property
    def manager(self) -> Path:
        return self.loop.repo / ".superloop" / "ops-manager" / "docs"

    def told(self) -> list[dict[str, Any]]:
        path = self.manager / "telemetry" / "alerts.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def routes_to(self, hook: Receiver) -> None:
        sinks = {"hook": {"enabled": True, "type": "webhook", "urlEnv": "HOOK", "timeoutSeconds": 2}}
        routing: dict[str, Any] = {"defaultSinks": ["hook"], "categorySeverity": {}, "routes": []}
        document = {"schemaVersion": "v1", "defaultMinSeverity": "info", "sinks": sinks, "routing": routing}
        (self.root / "config" / "ops-manager-alert-sinks.v1.json").write_text(json.dumps(document))
        self.env["HOOK"] = hook.url

    def escalates(self, category: str) -> None:
        self.manager.mkdir(parents=True, exist_ok=True)
        row = {"timestamp": stamp(system_clock() // 1000), "loopId": "docs", "traceId": "t", "category": category}
        with (self.manager / "escalations.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace, made once."""
    root = tmp_path_factory.mktemp("made") / "w"
    subprocess.run(
        [Path(sys.executable).with_name("interlock"), "init", root], check=True, capture_output=True, timeout=50
    )
    return root


@pytest.fixture
def desk(made: Path, tmp_path: Path) -> Desk:
    (tmp_path / "repo").mkdir()
    root = tmp_path / "w"
    subprocess.run(["cp", "-a", made, root], check=True)
    loop = Loop(tmp_path / "repo", "docs", now=system_clock() // 1000).running().beat()
    clean = {name: "" for name in os.environ if name.startswith("OPS_MANAGER_")}
    return Desk(root, loop, clean)


# --- the resolver -----------------------------------------------------------------------------------------------------


def test_the_shipped_catalog_is_shown_by_the_commands_of_the_runbook(desk: Desk) -> None:
    shown = desk("alert-sink-config", "--pretty")
    assert shown.json["enabledSinkCount"] == 0
    assert shown.out.startswith('{\n  "schemaVersion": "v1"')
    assert shown.json["sourceFile"] == f"{desk.root}/config/ops-manager-alert-sinks.v1.json"
    found = desk("alert-sink-config", "--category", "health_critical", "--severity", "critical", "--pretty").json
    assert [each["id"] for each in found["selectedSinks"]] == ["pagerduty-default", "slack-default"]
    listed = desk("alert-sink-config", "--list-sinks")
    assert listed.out.splitlines()[0] == "webhook-default\twebhook\tfalse"


@pytest.mark.proves("alert-config")
def test_it_fails_closed_on_a_missing_secret_and_looks_on_request(desk: Desk, hook: Receiver) -> None:
    desk.routes_to(hook)
    del desk.env["HOOK"]
    for words in ([], ["--list-sinks"], ["--category", "x"]):
        said = desk("alert-sink-config", *words)
        assert (said.code, said.out) == (1, "")
        assert "enabled sink secret env var(s) are unset: HOOK" in said.err
        assert desk("alert-sink-config", *words, "--no-env-check").code == 0
    assert desk("alert-sink-config", env={"HOOK": "x"}).json["envStatus"] == {"HOOK": {"present": True}}


@pytest.mark.proves("alert-config")
def test_its_flag_beats_the_environment_and_that_the_workspace_s_own(desk: Desk, tmp_path: Path) -> None:
    catalog = json.loads((desk.root / "config" / "ops-manager-alert-sinks.v1.json").read_text())
    for name, least in (("flag", "info"), ("environment", "critical")):
        (tmp_path / name).write_text(json.dumps(catalog | {"defaultMinSeverity": least}))
    env = {"OPS_MANAGER_ALERT_SINKS_FILE": str(tmp_path / "environment")}
    assert desk("alert-sink-config").json["defaultMinSeverity"] == "warning"
    assert desk("alert-sink-config", env=env).json["defaultMinSeverity"] == "critical"
    said = desk("alert-sink-config", "--config-file", str(tmp_path / "flag"), env=env).json
    assert (said["defaultMinSeverity"], said["sourceFile"]) == ("info", str(tmp_path / "flag"))


@pytest.mark.parametrize(
    ("words", "about"),
    [
        (["--severity", "info"], "--severity requires --category"),
        (["--category", "x", "--severity", "loud"], "--severity must be one of"),
        (["--list-sinks", "--category", "x"], "--list-sinks"),
        (["--config-file", "/nowhere"], "not found"),
    ],
)
def test_what_it_does_not_take_it_says(desk: Desk, words: list[str], about: str) -> None:
    said = desk("alert-sink-config", *words)
    assert (said.code, said.out) == (1, "")
    assert about in said.err
    assert said.err.startswith("error: ")


# --- the dispatch -----------------------------------------------------------------------------------------------------


@pytest.mark.proves("alert-replay")
def test_the_runbook_s_road_from_an_outage_to_the_replay(desk: Desk, hook: Receiver) -> None:
    desk.routes_to(hook)
    hook.says(Say(503))
    desk.escalates("divergence_detected")
    assert desk.on("alert-dispatch", "--pretty").json["status"] == "failed"
    desk.escalates("profile_drift_detected")
    hook.says(Say())
    state = desk.on("alert-dispatch", "--trace-id", "t-2").json
    assert (state["status"], state["processedCount"], state["traceId"]) == ("success", 2, "t-2")
    assert json.loads((desk.manager / "alert-dispatch-state.json").read_text()) == state
    assert {each["escalation"]["category"] for each in hook.bodies[1:]} == {
        "divergence_detected",
        "profile_drift_detected",
    }
    assert desk.on("alert-dispatch").json["status"] == "no_new_escalations"
    status = desk.on("reconcile", "--alerts-enabled", "false")
    assert status.code == 0
    shown = desk.on("status").json["alerts"]
    assert shown["dispatch"]["status"] == "no_new_escalations"
    assert shown["lastDelivery"]["status"] == "dispatched"


def test_its_files_may_lie_elsewhere(desk: Desk, hook: Receiver, tmp_path: Path) -> None:
    desk.routes_to(hook)
    (tmp_path / "e.jsonl").write_text('{"category":"x"}\n')
    said = desk.on(
        "alert-dispatch",
        *("--escalations-file", str(tmp_path / "e.jsonl"), "--dispatch-state-file", str(tmp_path / "s.json")),
        *("--dispatch-telemetry-file", str(tmp_path / "t.jsonl"), "--max-escalations", "5"),
    ).json
    assert said["escalationsFile"] == str(tmp_path / "e.jsonl")
    assert json.loads((tmp_path / "s.json").read_text()) == said
    assert json.loads((tmp_path / "t.jsonl").read_text())["status"] == "dispatched"
    assert not (desk.manager / "alert-dispatch-state.json").exists()


def test_a_corrupt_state_ends_it_with_one_line(desk: Desk) -> None:
    desk.escalates("x")
    (desk.manager / "alert-dispatch-state.json").write_text("{")
    said = desk.on("alert-dispatch")
    assert (said.code, said.out) == (1, "")
    assert "invalid JSON in" in said.err
    assert said.err.count("\n") == 1


# --- reconcile --------------------------------------------------------------------------------------------------------


def test_a_reconcile_sends_what_it_escalates_and_says_nothing_else(desk: Desk, hook: Receiver) -> None:
    desk.routes_to(hook)
    (desk.loop.run / "events.jsonl").unlink()
    said = desk.on("reconcile", "--trace-id", "t-1")
    assert (said.code, said.json["status"]) == (1, "degraded")
    (body,) = hook.bodies
    assert (body["event"]["category"], body["source"]["traceId"]) == ("health_degraded", "t-1")
    assert desk.on("reconcile", "--trace-id", "t-2").code == 1
    assert len(hook.got) == 1
    state = json.loads((desk.manager / "alert-dispatch-state.json").read_text())
    assert (state["traceId"], state["status"]) == ("t-2", "no_new_escalations")


@pytest.mark.proves("alert-outage")
@pytest.mark.parametrize("off", ["flag", "environment"])
def test_alerts_can_be_switched_off_and_what_gathers_is_sent_later(desk: Desk, hook: Receiver, off: str) -> None:
    desk.routes_to(hook)
    (desk.loop.run / "events.jsonl").unlink()
    words = ("--alerts-enabled", "false") if off == "flag" else ()
    env = {"OPS_MANAGER_ALERTS_ENABLED": "true" if off == "flag" else "no"}
    desk.on("reconcile", *words, env=env)
    assert not hook.got
    assert not (desk.manager / "alert-dispatch-state.json").exists()
    assert desk.on("alert-dispatch").json["dispatchedCount"] == 1
    assert desk.on("reconcile", "--alerts-enabled", "true", env={"OPS_MANAGER_ALERTS_ENABLED": "false"}).code == 1


def test_a_dispatch_that_can_not_be_made_changes_no_exit_code_and_is_told(desk: Desk, hook: Receiver) -> None:
    desk.routes_to(hook)
    desk.manager.mkdir(parents=True)
    (desk.manager / "alert-dispatch-state.json").write_text("{")
    said = desk.on("reconcile", "--trace-id", "t-1")
    assert (said.code, said.json["health"]["status"]) == (0, "healthy")
    (row,) = desk.told()
    assert (row["status"], row["reasonCode"], row["category"], row["traceId"]) == (
        "failed_command",
        "alert_dispatch_failed",
        "alert_dispatch",
        "t-1",
    )


def test_reconcile_s_own_alert_files_are_taken(desk: Desk, hook: Receiver, tmp_path: Path) -> None:
    desk.routes_to(hook)
    catalog = desk.root / "config" / "ops-manager-alert-sinks.v1.json"
    catalog.rename(tmp_path / "sinks.json")
    (desk.loop.run / "events.jsonl").unlink()
    desk.on(
        "reconcile",
        *("--alert-config-file", str(tmp_path / "sinks.json"), "--alert-dispatch-state-file", str(tmp_path / "s.json")),
        *("--alert-dispatch-telemetry-file", str(tmp_path / "t.jsonl")),
    )
    assert len(hook.got) == 1
    assert json.loads((tmp_path / "s.json").read_text())["status"] == "success"
    assert json.loads((tmp_path / "t.jsonl").read_text())["status"] == "dispatched"


@pytest.mark.proves("alert-once")
def test_six_reconciles_of_one_change_at_once_post_once(desk: Desk, hook: Receiver) -> None:
    desk.routes_to(hook)
    (desk.loop.run / "events.jsonl").unlink()
    with ThreadPoolExecutor(6) as pool:
        codes = [each.result().code for each in [pool.submit(desk.on, "reconcile") for _ in range(6)]]
    assert set(codes) == {1}
    desk.on("reconcile")
    assert len(hook.got) == 1


def test_a_recovered_loop_is_resolved_by_the_next_reconcile(desk: Desk, hook: Receiver) -> None:
    desk.routes_to(hook)
    events = desk.loop.run / "events.jsonl"
    events.rename(events.with_suffix(".aside"))
    desk.on("reconcile")
    events.with_suffix(".aside").rename(events)
    assert desk.on("reconcile").code == 0
    assert [each["event"]["action"] for each in hook.bodies] == ["trigger", "resolve"]


@pytest.mark.proves("alert-secrets")
def test_no_secret_stands_in_a_process_s_words(desk: Desk, hook: Receiver) -> None:
    desk.routes_to(hook)
    hook.says("hang")
    desk.escalates("x")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(desk.on, "alert-dispatch")
        until(lambda: len(hook.got) == 1, 20)
        words = b""
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words += each.read_bytes()
            except OSError:
                continue
        hook.over.set()
        running.result()
    assert b"ops_manager" in words
    assert b"s3cr3t-path" not in words


# --- a dispatch that has nothing to do --------------------------------------------------------------------------------


def imported(desk: Desk) -> set[str]:
    """Reconcile, and return what was imported for it."""
    script = (
        "import sys\nfrom interlock.cli.ops_manager import main\nmain(sys.argv[1:])\n"
        "sys.stderr.write(' '.join(sorted(sys.modules)))"
    )
    words = [sys.executable, "-I", "-c", script, str(desk.root), "reconcile", "--repo", str(desk.loop.repo)]
    done = subprocess.run(
        [*words, "--loop", "docs"], capture_output=True, text=True, check=True, env={**os.environ, **desk.env}
    )
    return set(done.stderr.split())


def test_a_reconcile_with_nothing_to_send_opens_no_database(desk: Desk, hook: Receiver) -> None:
    desk.routes_to(hook)
    assert desk.on("reconcile", "--trace-id", "t-1", "--alerts-enabled", "true").code == 0
    state = json.loads((desk.manager / "alert-dispatch-state.json").read_text())
    assert (state["status"], state["traceId"]) == ("no_source", "t-1")
    assert "hashlib" not in imported(desk)
    desk.escalates("divergence_detected")
    assert "sqlite3" in imported(desk)
    assert len(hook.got) == 1
    assert desk.on("reconcile", "--trace-id", "t-2").code == 0
    state = json.loads((desk.manager / "alert-dispatch-state.json").read_text())
    assert (state["status"], state["escalationsLineOffset"], state["traceId"]) == ("success", 1, "t-2")
    assert [each["event"]["action"] for each in hook.bodies] == ["trigger", "resolve"]
    assert "hashlib" not in imported(desk)
    assert desk.on("alert-dispatch").json["status"] == "no_new_escalations"


@pytest.mark.parametrize("what", ["a new row", "a broken state", "a broken mark", "a failed delivery"])
def test_what_may_have_something_to_do_is_looked_after(desk: Desk, hook: Receiver, what: str) -> None:
    desk.routes_to(hook)
    desk.escalates("divergence_detected")
    if what == "a failed delivery":
        hook.says(Say(500))
    desk.on("reconcile")
    desk.on("reconcile")
    assert ("sqlite3" in imported(desk)) == (what == "a failed delivery")
    if what == "a new row":
        desk.escalates("divergence_detected")
    elif what == "a broken state":
        (desk.manager / "alert-dispatch-state.json").write_text("[")
    elif what == "a broken mark":
        (desk.manager / ".alerts.json").write_text("{")
    assert "sqlite3" in imported(desk) or what == "a broken state"
    assert what != "a broken state" or desk.told()[-1]["reasonCode"] == "alert_dispatch_failed"
