"""Pipelines over HTTP: seen, accepted, asked for, carried out beside the server, and taken up again after a kill."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from interlock.app import Interlock
from interlock.pipelines.models import Status
from tests.cli.door import call
from tests.conftest import ALICE, until
from tests.http.processes import process
from tests.http.served import Served, told

HEAL = "agent-self-heal"


def slow(workspace: Path, seconds: float) -> None:
    """Declare and accept a pipeline of two jobs, of which the second takes a while."""
    document: dict[str, Any] = {
        "name": "slow",
        "version": "1",
        "description": "Takes a while.",
        "agent_roles": {"planner": "PlanAgent"},
        "stages": ["build"],
        "jobs": {
            "first": {
                "stage": "build",
                "needs": [],
                "script": ["sh -c 'echo once >> build_output/first'"],
                "artifacts": {"paths": ["build_output/first"]},
            },
            "second": {"stage": "build", "needs": ["first"], "script": [f"sleep {seconds}", "echo well"]},
        },
    }
    (workspace / "cicd/pipelines/slow.yaml").write_text(json.dumps(document, indent=1))
    assert call("pipeline", "approve", "slow", at=workspace).code == 0


def shown(client: httpx2.Client, run: str) -> Mapping[str, Any]:
    return client.get(f"/ops/pipeline-runs/{run}").json()


def comes_to(workspace: Path, run: str, *expected: Status, job: str = "") -> None:
    """Wait until a run, or a job of it, stands so; asked of the database, whom nobody limits."""
    with closing(Interlock.at(workspace)) as house:

        def there() -> bool:
            found = house.pipelines.get(run)
            return (found.job(job).status if job else found.status) in expected

        until(there, 60)


def test_a_definition_shows_everything_that_an_acceptance_covers(served: Served) -> None:
    rows = {row["id"]: row for row in served.client("actions").get("/ops/pipelines").json()}
    assert {name: row["status"] for name, row in rows.items()} == {HEAL: "accepted", "doc-refresh": "accepted"}
    whole = served.client("actions").get(f"/ops/pipelines/{HEAL}").json()
    assert whole["digest"] == rows[HEAL]["digest"]
    named = {each["name"] for each in whole["materials"]}
    assert {"services/gateway/self_heal.py", "tools/maintenance/workspace_optimization.sh", "python3"} <= named
    told(served.client().get("/ops/pipelines/nobody"), 404, "definition_missing")


def test_a_definition_that_can_not_be_read_is_listed_with_the_reason(served: Served) -> None:
    (served.house.layout.root / "cicd/pipelines/broken.yaml").write_text("name: broken\nname: twice\n")
    row = {each["id"]: each for each in served.client().get("/ops/pipelines").json()}["broken"]
    assert (row["status"], row["digest"]) == ("invalid", None)
    assert "broken.yaml:" in row["changes"][0]


def test_only_what_was_looked_at_is_accepted(served: Served) -> None:
    path = served.house.layout.root / "cicd/pipelines/agent-self-heal.yaml"
    before = served.client().get(f"/ops/pipelines/{HEAL}").json()["digest"]
    path.write_text(path.read_text() + "# edited\n")
    told(served.client().post(f"/ops/pipelines/{HEAL}/runs", json={}), 403, "definition_not_accepted")
    told(served.client().post(f"/ops/pipelines/{HEAL}/accept", json={"digest": before}), 409, "definition_changed")
    now = served.client().get(f"/ops/pipelines/{HEAL}").json()["digest"]
    done = served.client().post(f"/ops/pipelines/{HEAL}/accept", json={"digest": now})
    assert (done.status_code, done.json()["status"]) == (200, "accepted")
    made = served.client("operator").post(f"/ops/pipelines/{HEAL}/runs", json={"trigger": "test"})
    assert (made.status_code, made.json()["status"]) == (201, "Pending")
    assert made.headers["Location"] == f"/ops/pipeline-runs/{made.json()['id']}"


def test_a_run_that_is_asked_for_again_under_the_same_key_is_the_same_run(served: Served) -> None:
    client, under = served.client(), {"Idempotency-Key": "of-this-morning"}
    first, again = (
        client.post(f"/ops/pipelines/{HEAL}/runs", json={"trigger": "cron"}, headers=under) for _ in range(2)
    )
    assert (first.status_code, again.json()["id"]) == (201, first.json()["id"])
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert [each["id"] for each in client.get("/ops/pipeline-runs").json()] == [first.json()["id"]]
    told(
        client.post(f"/ops/pipelines/{HEAL}/runs", json={"trigger": "other"}, headers=under),
        409,
        "idempotency_key_used",
    )
    other = client.post("/ops/pipelines/doc-refresh/runs", json={"trigger": "cron"}, headers=under).json()
    assert other["name"] == "doc-refresh"


def test_a_run_that_waits_can_be_cancelled_and_is_never_begun(served: Served) -> None:
    run = served.client().post(f"/ops/pipelines/{HEAL}/runs", json={}).json()["id"]
    ended = served.client("operator").post(f"/ops/pipeline-runs/{run}/cancel", json={"reason": "not today"}).json()
    assert (ended["status"], ended["reason"]) == ("Failed", "cancelled")
    assert {each["status"] for each in ended["jobs"]} == {"Pending"}
    told(served.client().post(f"/ops/pipeline-runs/{run}/cancel", json={}), 409, "pipeline_not_movable")


@pytest.mark.timeout(120)
def test_a_run_that_is_asked_for_is_carried_out_beside_the_server(workspace: Path) -> None:
    with process(workspace) as server, server.client() as client:
        run = client.post(f"/ops/pipelines/{HEAL}/runs", json={}).json()["id"]
        comes_to(workspace, run, Status.SUCCESS, Status.FAILED)
        assert shown(client, run)["status"] == "Success"
        assert [each["status"] for each in client.get("/ops/pipeline-runs", params={"name": HEAL}).json()] == [
            "Success"
        ]
        assert client.get(f"/ops/pipeline-runs/{run}/log").json()
        assert server.end() == 0
    assert call("evidence", "replay", at=workspace).code == 0
    assert call("windows", "verify", at=workspace).code == 0


@pytest.mark.proves("pipeline-resume")
@pytest.mark.timeout(180)
def test_a_run_whose_server_was_killed_is_taken_up_again_by_the_next(workspace: Path) -> None:
    slow(workspace, 3)
    with process(workspace) as server, server.client() as client:
        run = client.post("/ops/pipelines/slow/runs", json={}).json()["id"]
        comes_to(workspace, run, Status.RUNNING, job="second")
        server.end(signal.SIGKILL)
    with process(workspace) as server, server.client() as client:
        comes_to(workspace, run, Status.SUCCESS)
        assert (workspace / "build_output/first").read_text() == "once\n"
        assert {each["id"]: each["attempt"] for each in shown(client, run)["jobs"]} == {"first": 1, "second": 2}
        assert server.end() == 0


@pytest.mark.timeout(120)
def test_a_server_that_stops_interrupts_its_run_and_says_so(workspace: Path) -> None:
    slow(workspace, 60)
    with process(workspace) as server, server.client() as client:
        run = client.post("/ops/pipelines/slow/runs", json={}).json()["id"]
        comes_to(workspace, run, Status.RUNNING, job="second")
        assert server.end() == 0
    found = call("pipeline", "show", run, "--json", at=workspace).json
    assert (found["status"], found["reason"]) == ("Failed", "interrupted")


PLAIN = """\
name: plain
description: A file that says its version.
environments: {staging: }
steps:
  - name: write
    run: sh -c 'echo $VERSION > released'
    undo: sh -c 'echo $PREVIOUS_VERSION > released'
probes: [{name: sound, command: "grep -v broken released"}]
artefacts: [released]
"""


@pytest.mark.timeout(120)
def test_a_deployment_shows_its_steps_what_was_measured_and_why_it_was_taken_back(any_served: Served) -> None:
    served = any_served
    folder = served.house.layout.root / "cicd" / "deployments"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plain.yaml").write_text(PLAIN)
    rooms = served.house.deployments
    rooms.accept(ALICE, "plain")
    run = served.client().post(f"/ops/pipelines/{HEAL}/runs", json={}).json()["id"]
    made = rooms.create(ALICE, "plain", environment="staging", version="broken-1", pipeline_id=run)
    reader = served.client("actions")
    until(lambda: reader.get(f"/ops/deployments/{made.id}").json()["history"][-1:] != [], 10)
    shown = reader.get(f"/ops/deployments/{made.id}").json()
    assert (shown["status"], shown["reason"], shown["run"]["id"]) == ("RolledBack", "health_failed", run)
    assert [(each["name"], each["status"]) for each in shown["steps"]] == [
        ("write", "Success"),
        ("probe", "Failed"),
        ("undo-1", "RolledBack"),
    ]
    (look,) = shown["looks"]
    assert (look["healthy"], [(each["name"], each["passed"]) for each in look["probes"]]) == (False, [("sound", False)])
    assert [each["what"] for each in shown["history"]] == [
        "created",
        "Running → Failed",
        "Failed → RolledBack",
        "rolled back",
    ]
    assert shown["history"][0]["by"] == str(ALICE.principal)
    assert (shown["signed"], shown["steps_done"] >= 1) == ([], True)
    told(reader.get("/ops/deployments/deploy_01ARZ3NDEKTSV4RRFFQ69G5FAV"), 404, "deployment_missing")


def test_a_definition_is_shown_in_parts_that_have_names(served: Served) -> None:
    declared = served.client("actions").get(f"/ops/pipelines/{HEAL}").json()["definition"]
    assert declared["roles"]["planner"]
    job = declared["jobs"][0]
    assert (job["limits"]["seconds"] > 0, isinstance(job["lines"], list), isinstance(job["signs"], list)) == (True,) * 3
