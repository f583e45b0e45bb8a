"""`services/gateway/self_heal.py` is executed, and what it reports is validated against the schemas beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.ci.conftest import Workspace

SCRIPT = "services/gateway/self_heal.py"


def validated(workspace: Workspace, document: Any, schema: str) -> None:  # noqa: ANN401 - JSON of any shape
    found = json.loads((workspace.root / "storage/db/schemas" / schema).read_text())
    jsonschema_rs.validator_for(found).validate(document)


@pytest.mark.proves("self-heal-report")
def test_a_fresh_workspace_is_well(workspace: Workspace, tmp_path: Path) -> None:
    output = tmp_path / "out" / "gateway-self-heal.json"
    output.parent.mkdir()
    done = workspace.process("python3", SCRIPT, "--output", str(output))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["status"] == "ok"
    assert output.read_text() == done.stdout
    assert report["results"]
    assert Path(report["telemetry"]).name == "self-heal-metrics.json"
    validated(workspace, report, "self-heal-report.schema.json")
    metrics = json.loads((output.parent / "telemetry" / "self-heal-metrics.json").read_text())
    assert metrics["requests_total"] >= 1
    validated(workspace, metrics, "self-heal-metrics.schema.json")


@pytest.mark.proves("self-heal-report")
@pytest.mark.proves("pipeline-verification")
def test_the_default_places_are_the_seed_s(workspace: Workspace) -> None:
    assert workspace.process("python3", SCRIPT).returncode == 0
    assert (workspace.root / "build_output/gateway-self-heal.json").stat().st_size
    assert (workspace.root / "build_output/gateway-self-heal.md").stat().st_size
    assert (workspace.root / "build_output/telemetry/self-heal-metrics.json").stat().st_size


def wrong(report: Any) -> dict[str, list[str]]:  # noqa: ANN401 - JSON of any shape
    return {each["name"]: each["after"] for each in report["checks"] if each["severity"] == "attention"}


def test_a_workspace_that_is_not_well_is_told_by_the_exit_code_and_by_name(workspace: Workspace) -> None:
    mirror = workspace.root / "storage/db/pipeline_events.log"
    mirror.write_bytes(mirror.read_bytes()[:-20])
    done = workspace.process("python3", SCRIPT)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["status"] == "attention"
    assert wrong(report).keys() == {"mirrors_equal", "log_tail_intact"}
    assert "pipeline_events.log" in wrong(report)["mirrors_equal"][0]


def test_a_policy_that_can_not_be_read_is_told_and_no_service_is_asked(workspace: Workspace) -> None:
    path = workspace.root / "services/gateway/policy.json"
    path.write_text(path.read_text().replace("{", "[", 1))
    done = workspace.process("python3", SCRIPT)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert wrong(report).keys() == {"gateway_policy"}
    assert "policy.json" in wrong(report)["gateway_policy"][0]
    assert [each["status"] for each in report["results"]] == ["skipped"]
