"""The built-in agents: what each action looks at, writes, and when it refuses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from interlock.kernel.errors import Unreachable
from interlock.kernel.events import to_leaf
from interlock.pipelines import agents, roles
from interlock.pipelines.agents import Context, Deploy, Dispatched
from interlock.pipelines.errors import ActionUnknown, RoleUnknown
from interlock.pipelines.models import Artefact, Job, JobState, Line, Status
from interlock.pipelines.report import REPORT_PATH, Row
from tests.pipelines.made import PIPELINE_ID, ROLES, definition, run

HEALED = "build_output/gateway-self-heal.json"
TELEMETRY = "build_output/telemetry/self-heal-metrics.json"
REVIEW = "build_output/planner_review.json"
METRICS: dict[str, Any] = {
    "requests_total": 6,
    "rejected_policy": 0,
    "rejected_auth": 0,
    "rejected_rate": 0,
    "events": [],
}


def row(role: str = "operator", status: str = "succeeded") -> Row:
    return Row(
        line=5,
        timestamp="2026-11-21T08:00:00.000Z",
        workflow=PIPELINE_ID,
        stage="deploy",
        agent_role=role,
        agent_id=ROLES[role],
        action="deploy_updates",
        status=status,
        notes={},
        index=1,
        leaf="0" * 12,
    )


@dataclass
class Place:
    """A workspace's folder, and one job in it."""

    root: Path

    def write(self, path: str, data: bytes) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(data)

    def heal(self, status: str = "ok", **parts: Any) -> None:  # noqa: ANN401 - any key of a report
        self.write(TELEMETRY, json.dumps(METRICS).encode())
        sha256 = hashlib.sha256((self.root / TELEMETRY).read_bytes()).hexdigest()
        report: dict[str, Any] = {
            "status": status,
            "telemetry": TELEMETRY,
            "telemetry_sha256": sha256,
            "checks": [],
            **parts,
        }
        self.write(HEALED, json.dumps(report).encode())

    def context(self, role: str, action: str, given: Mapping[str, Any] | None = None, **parts: Any) -> Context:  # noqa: ANN401 - handed through
        own = {name: parts.pop(name) for name in list(parts) if name in {"artefacts", "lines"}}
        states = parts.pop("states", ())
        given_or_usual: dict[str, Any] = {"report_rows": lambda: [row()], **parts}
        job = Job(id="work", stage="build", role=role, action=action, parameters=given or {}, **own)
        of = definition(Job(id="before", stage="build"), job)
        return Context(
            root=self.root,
            pipeline=run(of, *states),
            definition=of,
            job=job,
            agent_id=ROLES[role],
            **given_or_usual,
        )

    def do(self, *words: Any, **parts: Any) -> Dispatched:  # noqa: ANN401 - handed through
        return agents.dispatch(self.context(*words, **parts))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    for path in ("agents/data/agent_roles.json", "services/gateway/policy.json", "cicd/pipelines/nightly.yaml"):
        made.write(path, b"{}")
    return made


def test_what_definitions_know_of_actions_is_what_agents_can_do() -> None:
    assert {role: set(known) for role, known in roles.ACTIONS.items()} == {
        role: set(known) for role, known in agents.ACTIONS.items()
    }


def test_an_unknown_role_or_action_is_named() -> None:
    with pytest.raises(RoleUnknown, match="role::releaser"):
        agents.check_action("releaser", "deploy_updates")
    with pytest.raises(ActionUnknown, match="gather_context, run_self_heal"):
        agents.check_action("planner", "deploy_updates")


def test_an_unknown_action_does_not_run_either(place: Place) -> None:
    with pytest.raises(ActionUnknown):
        place.do("verifier", "gather_context")


def test_the_planner_lists_what_the_run_starts_from(place: Place) -> None:
    done = place.do("planner", "gather_context", artefacts=("build_output/context.json",))
    assert done.error is None
    written = json.loads((place.root / "build_output/context.json").read_text())
    assert [each["path"] for each in written["inputs"]] == [
        "cicd/pipelines/nightly.yaml",
        "agents/data/agent_roles.json",
        "services/gateway/policy.json",
    ]
    assert written["pipeline_id"] == PIPELINE_ID
    statuses = [each["status"] for each in done.event.tool_receipts]
    assert statuses == ["succeeded"] * 3 + ["skipped", "succeeded"]


def test_an_input_that_was_asked_for_has_to_be_there(place: Place) -> None:
    done = place.do("planner", "gather_context", {"inputs": ["docs/plan.md"]})
    assert done.error == "docs/plan.md is not there"
    assert done.event.output["status"] == "failed"
    (told,) = done.event.tool_receipts
    assert told["requirement"] == {
        "name": "file.look",
        "capability": "workspace.read",
        "optional": False,
        "parameters": {"path": "docs/plan.md"},
    }
    assert (told["status"], told["error"]) == ("failed", "docs/plan.md is not there")


def test_the_same_workspace_makes_an_agent_do_the_same(place: Place) -> None:
    place.heal()
    first = place.do("planner", "gather_context", {"review": HEALED}, artefacts=(REVIEW,))
    written = (place.root / REVIEW).read_bytes()
    assert place.do("planner", "gather_context", {"review": HEALED}, artefacts=(REVIEW,)) == first
    assert (place.root / REVIEW).read_bytes() == written


def test_a_review_of_a_healthy_workspace_lets_it_go_on(place: Place) -> None:
    place.heal()
    done = place.do("planner", "gather_context", {"review": HEALED}, artefacts=(REVIEW,))
    assert done.error is None
    assert done.output is not None
    assert "healthy" in done.output.summary
    written = json.loads((place.root / REVIEW).read_text())
    assert (written["decision"], written["findings"]) == ("proceed", [])
    assert [each["path"] for each in written["reviewed"]] == [HEALED, TELEMETRY]
    assert {each.path for each in done.output.inputs} >= {HEALED, TELEMETRY}


def test_a_review_that_finds_something_says_so_and_stops(place: Place) -> None:
    place.heal("attention", checks=[{"name": "disk_space", "severity": "attention"}])
    place.write(TELEMETRY, b"{}")
    done = place.do("planner", "gather_context", {"review": HEALED}, artefacts=(REVIEW,))
    assert done.output is None
    assert "disk_space" in str(done.error)
    written = json.loads((place.root / REVIEW).read_text())
    assert written["decision"] == "stop"
    assert len(written["findings"]) == 3


def test_self_heal_is_judged_by_the_report_that_the_commands_made(place: Place) -> None:
    lines = (Line(argv=("true",)),)
    assert "is not there" in str(place.do("planner", "run_self_heal", lines=lines, artefacts=(HEALED,)).error)
    place.heal()
    assert place.do("planner", "run_self_heal", lines=lines, artefacts=(HEALED,)).error is None
    place.write(HEALED, b"[]")
    assert "no JSON object" in str(place.do("planner", "run_self_heal", lines=lines, artefacts=(HEALED,)).error)


def test_without_commands_the_workspace_is_looked_over_here(place: Place) -> None:
    assert "no commands" in str(place.do("planner", "run_self_heal", artefacts=(HEALED,)).error)
    asked: list[Path] = []

    def heal(output: Path) -> None:
        asked.append(output)
        place.heal()

    assert place.do("planner", "run_self_heal", artefacts=(HEALED,), heal=heal).error is None
    assert asked == [place.root / HEALED]


def test_an_agent_writes_only_what_its_job_declares(place: Place) -> None:
    place.heal()
    done = place.do("planner", "gather_context", {"review": HEALED})
    assert "is no artefact of work" in str(done.error)
    assert not (place.root / REVIEW).exists()


def made(status: Status = Status.SUCCESS) -> JobState:
    artefact = Artefact(path="out/site.txt", sha256="a" * 64, size=3)
    return JobState(id="before", stage="build", role=None, status=status, artefacts=(artefact,))


def test_the_operator_releases_what_the_run_has_made(place: Place) -> None:
    done = place.do("operator", "deploy_updates", states=[made()])
    assert done.output is not None
    assert done.output.output["artefacts"] == 1
    assert [each.path for each in done.output.inputs] == ["out/site.txt"]


def test_the_operator_deploys_through_a_declared_deployment(place: Place) -> None:
    asked: list[tuple[str, ...]] = []

    def deploy(*, name: str, environment: str, version: str, pipeline_id: str) -> str:
        asked.append((name, environment, version, pipeline_id))
        return "deploy_1"

    given = {"deployment": "site", "environment": "staging", "version": "1.2"}
    done = place.do("operator", "deploy_updates", given, deploy=deploy)
    assert asked == [("site", "staging", "1.2", PIPELINE_ID)]
    assert done.output is not None
    assert done.output.output["deployment_id"] == "deploy_1"
    required: Any = done.event.tool_receipts[0]["requirement"]
    assert required["name"] == "deployment.create"


def failing(**_: str) -> str:
    raise Unreachable("the server is away")


@pytest.mark.parametrize(("deploy", "error"), [(None, "no deployments"), (failing, "the server is away")])
def test_a_deployment_that_does_not_work_fails_the_action(place: Place, deploy: Deploy | None, error: str) -> None:
    done = place.do("operator", "deploy_updates", {"deployment": "site"}, deploy=deploy)
    assert error in str(done.error)
    assert done.event.tool_receipts[0]["status"] == "failed"


def audit(place: Place, given: Mapping[str, Any] | None = None, **parts: Any) -> Dispatched:  # noqa: ANN401 - handed through
    return place.do("verifier", "audit_deployment", {"telemetry": TELEMETRY, **(given or {})}, **parts)


@pytest.fixture
def released(place: Place) -> Place:
    place.heal()
    place.write(REPORT_PATH, b"a report")
    return place


def test_the_verifier_passes_what_belongs_together(released: Place) -> None:
    done = audit(released)
    assert done.error is None
    assert done.output is not None
    assert {each.path for each in done.output.inputs} == {TELEMETRY, HEALED, REPORT_PATH}


@pytest.mark.parametrize("rows", [[], [row(status="failed")], [row(role="verifier")]])
def test_the_verifier_wants_a_row_of_this_run_that_is_not_its_own(released: Place, rows: list[Row]) -> None:
    assert "has no row of this run" in str(audit(released, report_rows=lambda: rows).error)


def test_the_verifier_refuses_a_run_in_which_a_job_failed(released: Place) -> None:
    assert audit(released, states=[made(Status.FAILED)]).error == "before of this run has failed"


def test_the_verifier_needs_to_be_told_which_telemetry(released: Place) -> None:
    done = released.do("verifier", "audit_deployment")
    assert "the parameter telemetry is missing" in str(done.error)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (None, "is not there"),
        (b"", "is empty"),
        (b"{", "is no JSON"),
        (b"[]", "is no JSON object"),
        (b"{}", "has no requests_total"),
        (json.dumps({**METRICS, "requests_total": 7}).encode(), "is not what build_output/gateway-self-heal.json"),
    ],
)
def test_the_verifier_refuses_telemetry_that_is_not_as_reported(
    released: Place, data: bytes | None, error: str
) -> None:
    (released.root / TELEMETRY).unlink()
    if data is not None:
        released.write(TELEMETRY, data)
    assert error in str(audit(released).error)


def test_the_verifier_refuses_a_report_that_is_not_ok(released: Place) -> None:
    released.heal("attention")
    assert "says 'attention', not ok" in str(audit(released).error)


def test_a_link_out_of_the_workspace_is_not_followed(released: Place, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside.json"
    outside.write_bytes((released.root / TELEMETRY).read_bytes())
    (released.root / TELEMETRY).unlink()
    (released.root / TELEMETRY).symlink_to(outside)
    assert "behind a link" in str(audit(released).error)


def test_an_event_fits_whatever_was_looked_at(place: Place) -> None:
    paths = [f"docs/{'n' * 80}-{number}.md" for number in range(40)]
    for path in paths:
        place.write(path, b"text")
    context = place.context("planner", "gather_context", {"inputs": paths})
    done = agents.dispatch(replace(context, job=replace(context.job, artefacts=())))
    assert done.error is None
    to_leaf(done.event, principal="agent:PlanAgent", correlation_id=None, time_ms=0)
    assert "more than 40" in str(place.do("planner", "gather_context", {"inputs": [*paths, "x"]}).error)
