"""Every command that a seed gives its operators is typed on the page of that seed, in its own words."""

from __future__ import annotations

import pytest

from tests.docs.page import typed

QUEUE, LOOPS, ALERTS = "docs/queue.md", "docs/runbooks/ops-manager.md", "docs/runbooks/alerts.md"
DEVOPS, SERVER = "docs/runbooks/agent-devops.md", "docs/OPERATIONS.md"
_OPS = "python3 automation/orchestrator/ops.py"
_DB = f"{_OPS} --db automation/orchestrator/db/queue.db"
_RECONCILE, _CONTROL = "scripts/ops-manager-reconcile.sh", "scripts/ops-manager-control.sh"
_STATUS, _DISPATCH = "scripts/ops-manager-status.sh", "scripts/ops-manager-alert-dispatch.sh"
_SINKS, _SUMMARY = "scripts/ops-manager-alert-sink-config.sh", "scripts/ops-manager-telemetry-summary.sh"
_SERVICE = ("--transport sprite_service", "--service-base-url")
_POST = "curl -sf -X POST"

TOLD: list[tuple[str, str, tuple[str, ...]]] = [
    # seed 1: page, how the command begins, and what it says besides
    (QUEUE, f"{_OPS} status", ()),
    (QUEUE, f"{_DB} status", ()),
    (QUEUE, f"{_OPS} workers", ()),
    (QUEUE, f"{_DB} workers", ()),
    (QUEUE, f"{_OPS} consistency-check", ()),
    (QUEUE, f"{_OPS} consistency-check --queue-path automation/orchestrator/QUEUE.md --db-path", ("queue.db",)),
    (QUEUE, f"{_OPS} kpi", ()),
    (QUEUE, f"{_OPS} kpi --max-failure-rate 0.1 --max-latency-p95-ms 1500 --fail-on-alert", ()),
    (QUEUE, f"{_OPS} cancel --id", ()),
    (QUEUE, f"{_DB} cancel --id", ()),
    (QUEUE, f"{_OPS} replan --id", ('--notes "scope split into W1/W2"',)),
    (QUEUE, f"{_DB} replan --id", ('--notes "need schema update first"',)),
    (QUEUE, f"{_OPS} retry --id", ()),
    (QUEUE, f"{_DB} retry --id", ()),
    # seed 2
    (LOOPS, _RECONCILE, ("--repo", "--loop", "--pretty")),
    (LOOPS, _STATUS, ("--summary-window 200", "--pretty")),
    (LOOPS, "tail -n 5", ("/telemetry/control-invocations.jsonl",)),
    (LOOPS, "jq '.'", ("/profile-drift.json",)),
    (LOOPS, "tail -n 20", ("/telemetry/profile-drift.jsonl",)),
    (LOOPS, "jq '.'", ("/state.json",)),
    (LOOPS, "jq '.divergence'", ("/state.json",)),
    (LOOPS, _RECONCILE, ("--from-start", "--pretty")),
    (LOOPS, "jq '.health.status, .health.reasonCodes'", ("/state.json",)),
    (LOOPS, "tail -n 5", ("/intents.jsonl",)),
    (LOOPS, _CONTROL, ("--intent cancel",)),
    (LOOPS, "tail -n 5", ("/telemetry/control.jsonl",)),
    (LOOPS, "cp ", ("/cursor.json", "/cursor.backup.json")),
    (LOOPS, "rm -f ", ("/cursor.json",)),
    (LOOPS, _RECONCILE, (*_SERVICE, '--service-token "$OPS_MANAGER_SERVICE_TOKEN"')),
    (LOOPS, _CONTROL, ("--intent approve", *_SERVICE, "--idempotency-key")),
    (LOOPS, _RECONCILE, ("--transport local",)),
    (LOOPS, _CONTROL, ("--intent cancel", "--transport local")),
    (LOOPS, "ls -l", ("/heartbeat.v1.json", "/events.jsonl")),
    (LOOPS, _RECONCILE, ("--transport local --from-start",)),
    (LOOPS, _SUMMARY, ("--window 200", "--pretty")),
    (LOOPS, _RECONCILE, ("--threshold-profile balanced --drift-min-confidence medium --drift-required-streak 3",)),
    (LOOPS, _RECONCILE, ("--threshold-profile strict --critical-ingest-lag-seconds 480",)),
    (ALERTS, f"{_SINKS} --pretty", ()),
    (ALERTS, f"{_SINKS} --category health_critical --severity critical --pretty", ()),
    (ALERTS, _STATUS, ("--pretty",)),
    (ALERTS, "cat ", ("/alert-dispatch-state.json",)),
    (ALERTS, "tail -n 20", ("/telemetry/alerts.jsonl",)),
    (ALERTS, _DISPATCH, ("--alert-config-file config/ops-manager-alert-sinks.v1.json", "--pretty")),
    (ALERTS, _RECONCILE, ("--alerts-enabled false",)),
    (ALERTS, _DISPATCH, ("--pretty",)),
    (ALERTS, _RECONCILE, ("--alerts-enabled true",)),
    # seed 3
    (DEVOPS, "tools/maintenance/workspace_optimization.sh", ()),
    (DEVOPS, "python3 services/gateway/self_heal.py", ()),
    (DEVOPS, "interlock pipeline run agent-self-heal", ()),
    (DEVOPS, "interlock pipeline run doc-refresh", ()),
    (DEVOPS, "cat docs/reports/AGENT_DEPLOYMENT_OUTCOMES.md", ()),
    (DEVOPS, "python3 -m json.tool build_output/telemetry/self-heal-metrics.json", ()),
    (DEVOPS, "ls", ("auto_fix/README.md", "budget_guardian/README.md", "pipelines/README.md")),
    (DEVOPS, "cmp storage/db/pipeline_events.log .workspace/indexes/pipeline_events.log", ()),
    (DEVOPS, "grep -c PipelineEvent storage/db/evidence/ledger.jsonl", ()),
    (DEVOPS, "cp -r storage", ("NOA_WORKFLOW_ROOT=", "evidence replay")),
    # seed 4
    (SERVER, "curl -sf -H", ('"$ORCH/status"',)),
    (SERVER, "curl -sf -H", ('"$ORCH/ops/plan"',)),
    (SERVER, _POST, ('{\\"prompt\\":\\"refactor X\\"}', '"$ORCH/ops/drafts"')),
    (SERVER, "curl -sf -X PUT", ('"$ORCH/ops/drafts/$DRAFT"',)),
    (SERVER, _POST, ('"$ORCH/ops/drafts/$DRAFT/approve"',)),
    (SERVER, _POST, ("/reject",)),
    (SERVER, "curl -sf -H", ('"$ORCH/ops/approved"',)),
    (SERVER, _POST, ("analyze this code", '"$ORCH/ops/generate"')),
    (SERVER, "curl -sf -H", ('"$ORCH/ops/provider"',)),
    (SERVER, _POST, ("approved_id", '"$ORCH/ops/runs"')),
    (SERVER, "curl -sf -H", ('"$ORCH/ops/runs/$RUN"',)),
    (SERVER, "curl -sf -X PUT", ('"$ORCH/ops/panic"',)),
]


@pytest.mark.parametrize(("page", "begins", "words"), TOLD, ids=[f"{page}: {begins}" for page, begins, _ in TOLD])
@pytest.mark.proves("seed-commands")
def test_a_command_of_a_seed_is_typed_on_its_page(page: str, begins: str, words: tuple[str, ...]) -> None:
    assert [line for line in typed(page) if line.startswith(begins) and all(word in line for word in words)]
