"""The shipped pipelines: agent checkpoints and self-healing steps are in place, and both really run, green and red."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.ci.conftest import Workspace

HEAL, DOCS = "agent-self-heal", "doc-refresh"
REPORT = "docs/reports/AGENT_DEPLOYMENT_OUTCOMES.md"
TELEMETRY = "build_output/telemetry/self-heal-metrics.json"

pytestmark = pytest.mark.timeout(240)


def parsed(workspace: Workspace, name: str) -> dict[str, Any]:
    reader: Any = YAML(typ="safe", pure=True)
    return reader.load(workspace.root / "cicd" / "pipelines" / f"{name}.yaml")


def tasks(definition: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for stage in definition["stages"]:
        yield from stage["tasks"]


def rows(workspace: Workspace) -> Sequence[str]:
    return [line for line in (workspace.root / REPORT).read_text().splitlines() if line.startswith("| 2")]


# --- what they declare ------------------------------------------------------------------------------------------------


def test_the_documentation_pipeline_s_roles_are_filled_by_the_documented_agents(workspace: Workspace) -> None:
    definition = parsed(workspace, DOCS)
    assert definition["agent_roles"]["planner"] == "PlanAgent"
    assert definition["agent_roles"]["verifier"] == "ReviewAgent"


@pytest.mark.proves("pipeline-verification")
def test_the_documentation_pipeline_has_checkpoints_of_planner_and_verifier(workspace: Workspace) -> None:
    definition = parsed(workspace, DOCS)
    roles = {str(each["role"]).strip("${}") for each in definition["agent_checkpoints"]}
    resolved = {definition["variables"].get(role, role) for role in roles}
    assert {"planner", "verifier"} <= resolved


def test_the_documentation_pipeline_heals_first(workspace: Workspace) -> None:
    script = parsed(workspace, DOCS)["jobs"]["agent-self-heal"]["script"]
    assert any("workspace_optimization.sh" in line for line in script)
    assert any("services/gateway/self_heal.py" in line for line in script)


def test_documentation_is_refreshed_only_behind_the_report(workspace: Workspace) -> None:
    required = parsed(workspace, DOCS)["jobs"]["doc-refresh"]["checkpoints"]["required"]
    assert REPORT in {each["artifact"] for each in required}


def test_the_self_heal_pipeline_has_an_operator_and_three_checkpoints(workspace: Workspace) -> None:
    definition = parsed(workspace, HEAL)
    assert definition["agent_roles"]["operator"] == "OperationsBoardAgent"
    assert len(definition["agent_checkpoints"]) >= 3


def test_every_task_of_the_self_heal_pipeline_is_a_role_s(workspace: Workspace) -> None:
    for task in tasks(parsed(workspace, HEAL)):
        assert task["agent_role"]
        assert task["agent"].startswith("role::")


def test_every_verifier_s_task_is_given_the_telemetry(workspace: Workspace) -> None:
    verifying = [task for task in tasks(parsed(workspace, HEAL)) if task["agent_role"] == "verifier"]
    assert verifying
    assert all(task["parameters"]["telemetry"] == TELEMETRY for task in verifying)


# --- that they run ----------------------------------------------------------------------------------------------------


@pytest.mark.proves("pipeline-shipped")
def test_both_pipelines_run_green_from_a_fresh_workspace_and_an_auditor_can_check_it(workspace: Workspace) -> None:
    for name in (HEAL, DOCS):
        done = workspace.interlock("--json", "pipeline", "run", name)
        assert done.returncode == 0, done.stderr
        run = json.loads(done.stdout)
        assert (run["status"], run["name"]) == ("Success", name)
        assert {each["status"] for each in run["jobs"]} == {"Success"}
        assert {each["name"] for each in run["checkpoints"]} == {each["name"] for each in run["rules"]}
        assert [row for row in rows(workspace) if run["id"] in row]
    assert (workspace.root / "docs/documentation/sync-report.md").stat().st_size
    workspace.answers("evidence", "head")
    assert workspace.answers("evidence", "verify")["status"] == "verified"
    assert workspace.answers("evidence", "replay")["status"] == "replayed"
    assert workspace.answers("evidence", "report", "--verify")["status"] == "verified"
    assert workspace.answers("windows", "verify")["status"] == "ok"


@pytest.mark.proves("pipeline-accepted")
@pytest.mark.parametrize(
    "edited", ["cicd/pipelines/doc-refresh.yaml", "services/gateway/self_heal.py", "tools/docs/doc_agent.py"]
)
def test_an_edited_definition_or_script_runs_only_once_a_human_has_accepted_it(
    workspace: Workspace, edited: str
) -> None:
    path = workspace.root / edited
    path.write_text(path.read_text() + "# edited\n")
    refused = workspace.interlock("pipeline", "run", DOCS)
    assert refused.returncode == 4
    assert "is not what was accepted" in refused.stderr
    assert workspace.interlock("--as", "agent:PlanAgent", "pipeline", "approve", DOCS).returncode == 4
    assert workspace.interlock("pipeline", "run", DOCS).returncode == 4
    digest = workspace.answers("pipeline", "show", DOCS)["digest"]
    assert workspace.interlock("pipeline", "approve", DOCS, "--digest", digest).returncode == 0
    assert workspace.interlock("pipeline", "run", DOCS).returncode == 0


@pytest.mark.proves("pipeline-accepted")
def test_another_documentation_agent_is_another_definition(workspace: Workspace, tmp_path: Path) -> None:
    agent = tmp_path / "agent.sh"
    agent.write_text("#!/bin/sh\nmkdir -p docs/documentation .workspace/sop\n")
    agent.chmod(0o755)
    refused = workspace.interlock("pipeline", "run", DOCS, environment={"DOC_AGENT_BIN": str(agent)})
    assert refused.returncode == 4
    assert "DOC_AGENT_BIN is now" in refused.stderr


@pytest.mark.proves("pipeline-fails-fast")
def test_a_workspace_that_is_not_well_stops_both_pipelines_before_anything_is_released(workspace: Workspace) -> None:
    mirror = workspace.root / "storage/db/relocation.log"
    mirror.write_bytes(mirror.read_bytes().replace(b"GENESIS", b"GENESIZ"))
    for name in (HEAL, DOCS):
        done = workspace.interlock("--json", "pipeline", "run", name)
        assert done.returncode == 1, (done.stdout, done.stderr)
        run = workspace.answers("pipeline", "runs", "--limit", "1")[0]
        assert run["status"] == "Failed"
        whole = workspace.answers("pipeline", "show", run["id"])
        assert whole["checkpoints"] == []
        assert [each["id"] for each in whole["jobs"] if each["status"] == "Pending"]
    assert rows(workspace) == []


@pytest.mark.proves("pipeline-assets")
@pytest.mark.parametrize(
    "asset",
    ["storage/db/auto_fix/README.md", "storage/db/budget_guardian/README.md", "storage/db/pipelines/README.md"],
)
def test_a_pipeline_names_what_the_checklist_asks_for_and_is_not_there(workspace: Workspace, asset: str) -> None:
    (workspace.root / asset).unlink()
    refused = workspace.interlock("pipeline", "run", HEAL)
    assert refused.returncode == 4
    assert asset in refused.stderr
    assert workspace.interlock("init", ".").returncode == 0
    assert workspace.interlock("pipeline", "run", HEAL).returncode == 0


@pytest.mark.proves("pipeline-failed-exit")
def test_a_failing_command_fails_its_pipeline_at_once(workspace: Workspace) -> None:
    path = workspace.root / "cicd/pipelines/doc-refresh.yaml"
    text = path.read_text()
    path.write_text(
        text.replace("python3 -m json.tool agents/data/agent_roles.json", "python3 -m json.tool missing.json")
    )
    assert workspace.interlock("pipeline", "approve", DOCS).returncode == 0
    done = workspace.interlock("pipeline", "run", DOCS)
    assert done.returncode == 1
    run = workspace.answers("pipeline", "show", workspace.answers("pipeline", "runs", "--limit", "1")[0]["id"])
    states = {each["id"]: each["status"] for each in run["jobs"]}
    assert (run["status"], states["validate"], states["doc-refresh"], states["verify"]) == (
        "Failed",
        "Failed",
        "Pending",
        "Pending",
    )
    assert not (workspace.root / "docs/documentation/sync-report.md").exists()


@pytest.mark.proves("evidence-attested")
def test_the_self_heal_report_of_a_run_is_signed_for_by_the_planner(workspace: Workspace) -> None:
    assert workspace.interlock("pipeline", "run", HEAL).returncode == 0
    told = [
        each
        for each in workspace.answers("evidence", "list", "--limit", "1000")
        if each["kind"] == "self_heal.reported"
    ]
    assert [each["principal"] for each in told] == ["agent:PlanAgent"]
    report = (workspace.root / "build_output/gateway-self-heal.json").read_bytes()
    assert told[0]["payload"]["report_sha256"] == f"sha256:{hashlib.sha256(report).hexdigest()}"
    assert told[0]["payload"]["attestation"]["signed_by"] == "principal"
    workspace.answers("evidence", "head")
    assert workspace.answers("evidence", "verify")["attestations"]["unverified"] == 0
