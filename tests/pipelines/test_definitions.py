"""Both documented forms are read into one, and whatever is wrong is named by file, line and path."""

from __future__ import annotations

from pathlib import Path

import pytest

import interlock.workspace.layout
from interlock.pipelines.definitions import FOLDER, in_order, parse_definition
from interlock.pipelines.errors import ActionUnknown, AgentUnknown, DefinitionInvalid, DefinitionMissing, RoleUnknown
from interlock.pipelines.models import Definition, Limits, Requirement
from interlock.pipelines.roles import parse_roles
from interlock.pipelines.yaml_source import file_bytes

SHIPPED = Path(interlock.workspace.layout.__file__).with_name("shipped") / "skeleton"
ROLES = parse_roles(
    b'{"planner": {"agent_id": "PlanAgent"}, "operator": {"agent_id": "OperationsBoardAgent"},'
    b' "verifier": {"agent_id": "ReviewAgent"}, "releaser": {"agent_id": "ShipAgent"}}'
)
REPORT = "docs/reports/AGENT_DEPLOYMENT_OUTCOMES.md"
TELEMETRY = "build_output/telemetry/self-heal-metrics.json"

STAGES = """\
name: nightly
agent_roles: {planner: PlanAgent}
agent_checkpoints:
  - {name: pre, role: planner, verifies: out/review.json, description: planner saw the heal report}
stages:
  - name: heal
    stage: repair
    depends_on: []
    tasks:
      - {agent_role: planner, agent: "role::planner", action: run_self_heal, parameters: {artefacts: [out/heal.json]}}
      - {agent_role: planner, agent: "role::planner", action: gather_context,
         parameters: {artefacts: [out/review.json]}}
  - name: ship
    stage: deploy
    depends_on: [heal]
    tasks:
      - {agent_role: operator, agent: "role::operator", action: deploy_updates}
artifacts: [out/heal.json]
"""

JOBS = """\
variables: {BIN: tools/agent, WHO: planner}
agent_roles: {planner: PlanAgent}
agent_checkpoints:
  - {name: sane, role: "${WHO}", verifies: out/review.json, description: reviewed}
stages: [prepare, docs, verify]
jobs:
  heal:
    stage: prepare
    script: ["run-heal --output out/heal.json"]
    artifacts: {paths: [out/heal.json, out/review.json]}
  lint:
    stage: prepare
    script: ["true"]
  docs:
    stage: docs
    script: ["${BIN} --to 'a b'"]
    checkpoints:
      required:
        - {role: "${WHO}", artifact: out/review.json, summary: heal output reviewed}
  verify:
    stage: verify
    needs: [docs]
    script: ["true"]
"""


def read(text: str, **environment: str) -> Definition:
    return parse_definition(text.encode(), f"{FOLDER}/nightly.yaml", directory=ROLES, environment=environment)


def refused(text: str) -> str:
    with pytest.raises((DefinitionInvalid, RoleUnknown, AgentUnknown, ActionUnknown)) as raised:
        read(text)
    return raised.value.message.removeprefix(f"{FOLDER}/nightly.yaml:")


def ids(definition: Definition) -> list[str]:
    return [job.id for job in definition.jobs]


# --- the stage form ---------------------------------------------------------------------------------------------------


@pytest.mark.proves("pipeline-forms")
def test_tasks_become_jobs_one_after_another_behind_the_stages_that_theirs_depends_on() -> None:
    found = read(STAGES)
    assert found.dialect == "stages"
    assert [(job.id, job.needs) for job in found.jobs] == [
        ("heal/1-run_self_heal", ()),
        ("heal/2-gather_context", ("heal/1-run_self_heal",)),
        ("ship/1-deploy_updates", ("heal/2-gather_context",)),
    ]
    assert found.artefacts == ("out/heal.json", "out/review.json")
    assert [(stage.name, stage.type) for stage in found.stages] == [("heal", "Validate"), ("ship", "Deploy")]


def test_who_makes_the_artefact_signs_its_checkpoint_and_holds_back_what_follows() -> None:
    found = read(STAGES)
    assert [job.signs for job in found.jobs] == [(), ("pre",), ()]
    assert found.job("ship/1-deploy_updates").requires == (
        Requirement(checkpoint="pre", summary="planner saw the heal report"),
    )
    assert found.job("heal/2-gather_context").requires == ()


def test_without_a_maker_the_last_job_of_the_role_signs() -> None:
    found = read(STAGES.replace("parameters: {artefacts: [out/review.json]}", "parameters: {}"))
    assert found.job("heal/2-gather_context").signs == ("pre",)


def test_tasks_of_a_parallel_stage_run_beside_each_other_and_all_hold_back_the_next() -> None:
    found = read(STAGES.replace("    stage: repair\n", "    stage: repair\n    parallel: true\n"))
    assert found.job("heal/2-gather_context").needs == ()
    assert found.job("ship/1-deploy_updates").needs == ("heal/1-run_self_heal", "heal/2-gather_context")


def test_a_stage_that_names_none_comes_after_all_before_it() -> None:
    found = read(STAGES.replace("    depends_on: [heal]\n", ""))
    assert found.job("ship/1-deploy_updates").needs == ("heal/2-gather_context",)
    free = read(STAGES.replace("    depends_on: [heal]\n", "    depends_on: []\n"))
    assert free.job("ship/1-deploy_updates").needs == ()


def test_stages_that_wait_for_each_other_are_named() -> None:
    assert "stages go in a circle: heal → ship → heal" in refused(
        STAGES.replace("depends_on: []", "depends_on: [ship]")
    )


def test_roles_that_are_used_and_not_listed_are_filled_in() -> None:
    assert read(STAGES).roles == {"planner": "PlanAgent", "operator": "OperationsBoardAgent"}


# --- the job form -----------------------------------------------------------------------------------------------------


def test_a_job_without_needs_waits_for_every_job_of_every_earlier_stage() -> None:
    found = read(JOBS)
    assert found.dialect == "jobs"
    assert found.job("docs").needs == ("heal", "lint")
    assert found.job("verify").needs == ("docs",)
    assert read(JOBS.replace("    needs: [docs]\n", "")).job("verify").needs == ("heal", "lint", "docs")
    assert read(JOBS.replace("    stage: docs\n", "    stage: docs\n    needs: [heal]\n")).job("docs").needs == (
        "heal",
    )


def test_an_empty_list_of_needs_needs_nothing() -> None:
    assert read(JOBS.replace("needs: [docs]", "needs: []")).job("verify").needs == ()


def test_a_job_without_a_role_that_makes_the_artefact_gets_the_checkpoints_role() -> None:
    job = read(JOBS).job("heal")
    assert (job.role, job.signs) == ("planner", ("sane",))
    assert read(JOBS).job("lint").role is None


def test_checkpoints_of_far_jobs_are_required_too_and_each_once() -> None:
    assert [each.checkpoint for each in read(JOBS).job("verify").requires] == ["sane"]
    assert read(JOBS).job("docs").requires == (Requirement(checkpoint="sane", summary="heal output reviewed"),)


def test_a_checkpoint_that_a_job_itself_passes_holds_back_only_what_follows() -> None:
    asked = "    checkpoints: {required: [{role: planner, artifact: out/review.json, summary: s}]}\n"
    found = read(JOBS.replace("    artifacts: {paths", f"{asked}    artifacts: {{paths"))
    assert found.job("heal").requires == ()
    assert [each.checkpoint for each in found.job("docs").requires] == ["sane"]


def test_a_checkpoint_that_nobody_upstream_signs_is_refused() -> None:
    text = JOBS.replace("    stage: docs\n", "    stage: docs\n    needs: [lint]\n")
    assert refused(text) == (
        "20: jobs.docs.checkpoints.required[0] asks for sane, which heal signs, and this job does not need that one"
    )


def test_a_checkpoint_that_is_not_declared_is_refused() -> None:
    message = refused(JOBS.replace("artifact: out/review.json", "artifact: out/heal.json"))
    assert message.startswith("19: jobs.docs.checkpoints.required[0] matches none of agent_checkpoints")


def test_a_checkpoint_that_no_job_can_sign_is_refused() -> None:
    message = refused(JOBS.replace("[out/heal.json, out/review.json]", "[out/heal.json]"))
    assert message == "4: agent_checkpoints[0] is signed by no job: none has the role planner"


def test_named_signers_win() -> None:
    text = JOBS.replace(
        '    script: ["true"]\n  docs:', '    script: ["true"]\n    checkpoints: {signs: [sane]}\n  docs:'
    )
    found = read(text)
    assert (found.job("heal").signs, found.job("lint").signs, found.job("lint").role) == ((), ("sane",), "planner")


def test_two_named_signers_or_one_of_another_role_are_refused() -> None:
    twice = JOBS.replace('    script: ["true"]\n', '    script: ["true"]\n    checkpoints: {signs: [sane]}\n')
    assert "jobs.verify signs sane, and so does lint" in refused(twice)
    other = JOBS.replace(
        '    script: ["true"]\n  docs:',
        '    script: ["true"]\n    agent_role: operator\n    checkpoints: {signs: [sane]}\n  docs:',
    )
    assert "jobs.lint signs sane, which is the planner's; this job is the operator's" in refused(other)


def test_jobs_that_wait_for_each_other_are_named() -> None:
    text = JOBS.replace(
        '    stage: prepare\n    script: ["run', '    stage: prepare\n    needs: [lint]\n    script: ["run'
    )
    text = text.replace(
        '    stage: prepare\n    script: ["true"]', '    stage: prepare\n    needs: [heal]\n    script: ["true"]'
    )
    assert "jobs go in a circle: heal → lint → heal" in refused(text)


def test_a_need_of_a_later_stage_is_refused() -> None:
    text = JOBS.replace("    stage: docs\n", "    stage: docs\n    needs: [verify]\n")
    assert refused(text) == "16: jobs.docs.needs names verify, which is in the later stage verify"


def test_order_follows_needs_and_else_the_file() -> None:
    assert in_order({"c": ("b",), "b": ("a",), "a": (), "d": ()}) == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="b → c → b"):
        in_order({"a": (), "d": ("b",), "b": ("a", "c"), "c": ("b",)})


# --- words, variables, paths ------------------------------------------------------------------------------------------


def test_a_variable_fills_a_word_which_stays_one_word() -> None:
    assert read(JOBS).job("docs").lines[0].argv == ("tools/agent", "--to", "a b")
    found = read(JOBS, BIN="/opt/my agent; rm")
    assert found.job("docs").lines[0].argv == ("/opt/my agent; rm", "--to", "a b")
    assert found.variables["BIN"] == "/opt/my agent; rm"


def test_only_declared_variables_are_taken_from_the_environment_and_no_blank_one() -> None:
    found = read(JOBS, BIN=" ", HOME="/root", STRAY="x")
    assert found.variables == {"BIN": "tools/agent", "WHO": "planner"}


def test_a_role_in_a_variable_of_the_environment_must_exist() -> None:
    with pytest.raises(RoleUnknown, match=r"nightly\.yaml:4: agent_checkpoints\[0\]\.role is unknown: role::ghost"):
        read(JOBS, WHO="ghost")


def test_a_value_of_the_environment_that_is_no_text_is_refused() -> None:
    with pytest.raises(DefinitionInvalid, match=r"nightly\.yaml:1: variables\.BIN is no text in the environment"):
        read(JOBS, BIN="/opt/\udcff")


def test_quotes_that_only_a_shell_would_pair_stop_nobody() -> None:
    found = read(JOBS.replace("run-heal --output", "say a\\\\'b"))
    assert found.job("heal").lines[0].argv == ("say", "a'b", "out/heal.json")


def test_commands_may_stand_behind_a_condition() -> None:
    text = JOBS.replace("[\"${BIN} --to 'a b'\"]", "[{run: cargo doc, if_exists: Cargo.toml}]")
    line = read(text).job("docs").lines[0]
    assert (line.argv, line.if_exists) == (("cargo", "doc"), "Cargo.toml")


def test_a_shell_only_runs_where_it_is_written() -> None:
    found = read(JOBS.replace('["run-heal --output out/heal.json"]', "[\"sh -c 'a && b > c'\"]"))
    assert found.job("heal").lines[0].argv == ("sh", "-c", "a && b > c")


@pytest.mark.proves("pipeline-forms")
@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("run-heal --output", "a && b", "9: jobs.heal.script[0] has && in it, which no shell reads"),
        ("run-heal --output", "a | b", "9: jobs.heal.script[0] has | in it"),
        ("run-heal --output", "'open", "9: jobs.heal.script[0] is no command"),
        ("run-heal --output", "${HOME}", "9: jobs.heal.script[0] names ${HOME}, which is no variable"),
        ('["run-heal --output out/heal.json"]', "[]", "7: jobs.heal must have a script or an action"),
        ('["run-heal --output out/heal.json"]', "run-heal", "9: jobs.heal.script must be a list of commands"),
        ('["run-heal --output out/heal.json"]', "[[a]]", "9: jobs.heal.script[0] must be text"),
        ('["run-heal --output out/heal.json"]', '["a\\nb"]', "9: jobs.heal.script[0] must be one line"),
        ('["run-heal --output out/heal.json"]', '[" "]', "9: jobs.heal.script[0] must not be blank"),
        ('["run-heal --output out/heal.json"]', "[\"'' a\"]", "9: jobs.heal.script[0] names no program"),
        ('    script: ["run', '    scirpt: ["run', "9: jobs.heal.scirpt is not known; did you mean script?"),
        ("out/heal.json, out", "../heal.json, out", "10: jobs.heal.artifacts.paths[0] must be a path below"),
        ("out/heal.json, out", "/etc/x, out", "10: jobs.heal.artifacts.paths[0] must be a path below"),
        ("out/heal.json, out", ".interlock/x, out", "10: jobs.heal.artifacts.paths[0] must not lead into .interlock"),
        ("out/heal.json, out", "out//x, out", "10: jobs.heal.artifacts.paths[0] must be a path below"),
        ("verifies: out/review.json", "verifies: ./x", "4: agent_checkpoints[0].verifies must be a path below"),
        ("{planner: PlanAgent}", "{planner: EvilAgent}", "2: agent_roles.planner must be PlanAgent, as in agents/data"),
        ("{planner: PlanAgent}", "{ghost: PlanAgent}", "2: agent_roles.ghost is unknown: role::ghost is not in"),
        ("name: sane,", "name: Sane_1,", "4: agent_checkpoints[0].name is called 'Sane_1'"),
        ("  heal:\n", "  Heal it:\n", "7: jobs.'Heal it' is called 'Heal it'"),
        ('    stage: prepare\n    script: ["run', '    stage: nowhere\n    script: ["run', "8: jobs.heal.stage names"),
        ("[prepare, docs, verify]", "[prepare, docs, verify, none]", "5: stages have none, in which there is no job"),
        ("[prepare, docs, verify]", "[prepare, docs, docs, verify]", "5: stages[2] is a second stage called docs"),
        ("needs: [docs]", "needs: [dcos]", "22: jobs.verify.needs[0] names dcos, and there is no such job"),
        ("variables: {BIN: tools/agent", "variables: {B-N: tools/agent", "1: variables.B-N is no name for a variable"),
        ("variables: {BIN: tools/agent", "variables: {PATH: /evil", "1: variables.PATH can not be set"),
        ("BIN: tools/agent", 'BIN: "${WHO}"', "1: variables.BIN must not name another variable"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_line_and_path(before: str, after: str, said: str) -> None:
    assert before in JOBS
    assert refused(JOBS.replace(before, after, 1)).startswith(said)


@pytest.mark.proves("pipeline-forms")
@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("agent_role: ghost", "jobs.lint.agent_role is unknown: role::ghost"),
        ("agent: GhostAgent", "jobs.lint.agent is unknown: no role"),
        ('agent_role: planner\n    agent: "role::operator"', "jobs.lint.agent is operator, and agent_role is planner"),
        ("action: gather_context", "jobs.lint.action needs an agent_role"),
        (
            "agent_role: planner\n    action: deploy_updates",
            "jobs.lint.action is unknown: PlanAgent (role::planner) knows",
        ),
        ("agent_role: releaser\n    action: ship", "jobs.lint.action is unknown: ShipAgent (role::releaser) knows no"),
        ("agent_role: verifier\n    action: audit_deployment", "jobs.lint must name the telemetry"),
        ("parameters: {telemetry: ../x}", "jobs.lint.parameters.telemetry must be a path below"),
        ("parameters: {share: 0.5}", "jobs.lint.parameters.share must not be a fraction"),
        ("environment: {PATH: /x}", "jobs.lint.environment.PATH can not be set"),
        ("environment: {INTERLOCK_PIPELINE_ID: x}", "jobs.lint.environment.INTERLOCK_PIPELINE_ID can not be set"),
        ("limits: {seconds: 0}", "jobs.lint.limits.seconds must be a whole number from 1 to 86400"),
        ("limits: {minutes: 5}", "jobs.lint.limits.minutes is not known"),
        ("network: yes", "jobs.lint.network must be true or false"),
        ("ref: main", "jobs.lint.ref says nothing without a repository"),
        ("repository: /srv/x\n    ref: --upload-pack=x", "jobs.lint.ref '--upload-pack=x' names no commit"),
        ("repository: ../x", "jobs.lint.repository must be a path"),
        ("estimated_tokens: many", "jobs.lint.estimated_tokens must be a whole number"),
        ("image: python", "jobs.lint.image is not known"),
        ("checkpoints: {signs: [ghost]}", "jobs.lint.checkpoints.signs[0] names ghost, which is none of"),
        (
            "checkpoints: {required: [{role: planner}]}",
            "jobs.lint.checkpoints.required[0] must have artifact or verifies",
        ),
    ],
)
def test_what_is_wrong_with_a_job_is_named_by_line_and_path(added: str, said: str) -> None:
    text = JOBS.replace("  docs:\n", f"    {added}\n  docs:\n")
    assert refused(text).partition(": ")[2].startswith(said)


def test_unknown_roles_agents_and_actions_have_their_own_codes() -> None:
    for added, kind in (
        ("agent_role: ghost", RoleUnknown),
        ("agent: GhostAgent", AgentUnknown),
        ("agent_role: planner\n    action: fly", ActionUnknown),
    ):
        with pytest.raises(kind):
            read(JOBS.replace("  docs:\n", f"    {added}\n  docs:\n"))


def test_extension_keys_are_read() -> None:
    more = """\
    repository: /srv/site
    ref: main
    network: true
    environment: {MODE: "${WHO}", LEVEL: 3}
    limits: {seconds: 5, output_bytes: 100, file_bytes: 200}
    estimated_latency_ms: 40
    parameters: {estimated_tokens: 30, budget_sensitive: true, note: ["${BIN}", 1]}
"""
    job = read(JOBS.replace("  docs:\n", f"{more}  docs:\n")).job("lint")
    assert (job.repository, job.ref, job.network) == ("/srv/site", "main", True)
    assert job.environment == {"MODE": "planner", "LEVEL": "3"}
    assert job.limits == Limits(seconds=5, output_bytes=100, file_bytes=200)
    assert (job.estimated_tokens, job.estimated_latency_ms, job.budget_sensitive) == (30, 40, True)
    assert job.parameters["note"] == ["tools/agent", 1]


def test_a_stage_may_have_a_budget_in_both_forms() -> None:
    jobs = read(JOBS.replace("[prepare, docs, verify]", "[{name: prepare, budget: {tokens: 5}}, docs, verify]"))
    assert jobs.stages[0].budget.tokens == 5
    tasks = read(STAGES.replace("    stage: deploy\n", "    stage: deploy\n    budget: {latency_ms: 9}\n"))
    assert (tasks.stages[1].budget.latency_ms, tasks.stages[1].budget.tokens) == (9, None)


def test_a_version_that_looks_like_a_number_stays_as_it_is_written() -> None:
    assert read("version: 1.10\n" + STAGES).version == "1.10"


def test_the_name_is_the_files() -> None:
    assert refused(STAGES.replace("name: nightly", "name: daily")) == "1: name must be nightly, as the file is called"
    assert read(JOBS).name == "nightly"


def test_there_are_limits_to_a_definition() -> None:
    many = "".join(f"  j{n}: {{stage: docs, script: [x], needs: []}}\n" for n in range(200))
    assert "jobs must hold 1 to 200 jobs" in refused(JOBS + many)
    stages = ", ".join(f"s{n}" for n in range(51))
    assert "at most 50 are possible" in refused(JOBS.replace("prepare, docs, verify", stages))
    tasks = "".join("      - {agent_role: operator, action: deploy_updates}\n" for _ in range(199))
    assert "at most 200 are possible" in refused(STAGES.replace("artifacts: [", tasks + "artifacts: ["))


def test_a_missing_definition_is_named(tmp_path: Path) -> None:
    with pytest.raises(DefinitionMissing, match=r"cicd/pipelines/none\.yaml is not there"):
        file_bytes(tmp_path, f"{FOLDER}/none.yaml")


# --- the shipped ones -------------------------------------------------------------------------------------------------


def read_shipped(name: str, **environment: str) -> Definition:
    path = f"{FOLDER}/{name}.yaml"
    return parse_definition(file_bytes(SHIPPED, path), path, directory=ROLES, environment=environment)


def test_the_shipped_self_heal_is_gated_from_stage_to_stage() -> None:
    found = read_shipped("agent-self-heal")
    assert ids(found) == [
        "context/1-gather_context",
        "repair/1-run_self_heal",
        "repair/2-gather_context",
        "deploy/1-deploy_updates",
        "verify/1-audit_deployment",
    ]
    signed = {name: job.id for job in found.jobs for name in job.signs}
    assert signed == {
        "planner-precheck": "repair/2-gather_context",
        "operator-deploy": "deploy/1-deploy_updates",
        "verifier-audit": "verify/1-audit_deployment",
    }
    assert found.job("repair/2-gather_context").parameters["review"] == "build_output/gateway-self-heal.json"
    assert [each.checkpoint for each in found.job("deploy/1-deploy_updates").requires] == ["planner-precheck"]
    assert found.job("verify/1-audit_deployment").parameters["telemetry"] == TELEMETRY
    assert found.roles["operator"] == "OperationsBoardAgent"


def test_the_shipped_refresh_is_gated_from_stage_to_stage() -> None:
    found = read_shipped("doc-refresh")
    assert ids(found) == ["agent-self-heal", "validate", "doc-refresh", "verify"]
    lines = [" ".join(line.argv) for line in found.job("agent-self-heal").lines]
    assert any("workspace_optimization.sh" in line for line in lines)
    assert any("services/gateway/self_heal.py" in line for line in lines)
    required = [found.checkpoint(each.checkpoint) for each in found.job("doc-refresh").requires]
    assert ("planner", "build_output/planner_review.json") in [(rule.role, rule.artefact) for rule in required]
    assert REPORT in [rule.artefact for rule in required]
    assert found.job("verify").signs == ("verifier-gate",)
    assert {rule.role for rule in found.checkpoints} == {"planner", "operator", "verifier"}


def test_the_documentation_agent_is_the_one_that_the_environment_names() -> None:
    found = read_shipped("doc-refresh", DOC_AGENT_BIN="/opt/agent")
    assert found.job("doc-refresh").lines[-1].argv[0] == "/opt/agent"
    assert read_shipped("doc-refresh").job("doc-refresh").lines[-1].argv[0] == "tools/docs/doc_agent.py"
