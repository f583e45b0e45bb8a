"""Runs of pipelines, carried out for real: in a workspace, with processes, keys and a database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interlock.access.models import Role
from interlock.kernel.clock import system_clock
from interlock.pipelines import receipts
from interlock.pipelines.errors import (
    AssetsMissing,
    DefinitionNotAccepted,
    LockUnusable,
    PipelineNotMovable,
    PipelineTaken,
    VariableSecret,
    WorkspaceBusy,
)
from interlock.pipelines.models import Pipeline, Status
from interlock.pipelines.running import marker
from interlock.runs.containment.processes import marked
from tests.conftest import ALICE, Found, until
from tests.pipelines.receipted import assert_receipt
from tests.pipelines.workshop import Workspace, sh, statuses

FORKING = "(setsid sh -c '(sleep 1000 & echo forked; sleep 1000)' &); sleep 1000"
SOON = {"limits": {"seconds": 60}}
"""A test that fails must not wait for what it could not stop."""

ROLE = {"agent_role": "planner"}
GATE = {"name": "gate", "role": "planner", "verifies": "build_output/a.txt", "description": "The planner saw a."}
WANTS_GATE = {"required": [{"role": "planner", "artifact": "build_output/a.txt", "summary": "a was seen"}]}


@pytest.fixture
def space(founded: Found, tmp_path: Path) -> Iterator[Workspace]:
    made = Workspace(tmp_path / "work", founded(tmp_path / "work", "sqlite"))
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgres"])
def each_space(request: pytest.FixtureRequest, founded: Found, tmp_path: Path) -> Iterator[Workspace]:
    made = Workspace(tmp_path / "work", founded(tmp_path / "work", request.param))
    yield made
    made.close()


def makes(name: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any key of a job
    """Return a job that notes that it ran, and makes an artefact."""
    program = f"cd build_output; echo {name} >> order; echo {name} > {name}.txt"
    return {"script": sh(program), "artifacts": {"paths": [f"build_output/{name}.txt"]}, **more}


# --- order ------------------------------------------------------------------------------------------------------------


def test_jobs_run_in_the_order_of_their_needs_and_leave_what_they_made(each_space: Workspace) -> None:
    space = each_space
    space.declare({"c": makes("c", needs=["b"]), "a": makes("a"), "b": makes("b", needs=["a"])})
    done = space.run()
    assert (done.status, statuses(done)) == (Status.SUCCESS, {"a": "Success", "b": "Success", "c": "Success"})
    assert space.read("build_output/order").split() == ["a", "b", "c"]
    assert done.job("a").containment == "namespaces"
    assert [each.path for each in done.job("b").artefacts] == ["build_output/b.txt"]
    artefact, kept = space.runner().artefacts.find(done, "build_output/c.txt")
    assert (kept.read_text(), artefact.size) == ("c\n", 2)
    assert space.house.pipelines.get(done.id) == done


def test_jobs_that_need_nothing_of_each_other_run_beside_each_other(each_space: Workspace) -> None:
    space = each_space
    meet = "cd build_output; touch {0}; while [ ! -e {1} ]; do sleep 0.05; done; echo met"
    limits = {"limits": {"seconds": 60}}
    jobs = {"a": {"script": sh(meet.format("x", "y"))}, "b": {"script": sh(meet.format("y", "x"))}}
    space.declare({name: {**job, **limits} for name, job in jobs.items()})
    done = space.run()
    assert done.status is Status.SUCCESS
    assert space.log(done) == ["met", "met"]


def test_many_jobs_that_end_at_the_same_time_are_all_told(each_space: Workspace) -> None:
    space = each_space
    names = [f"job-{number}" for number in range(12)]
    space.declare({name: {"script": sh("echo done")} for name in names})
    rooms = space.house.pipelines
    done = space.run(pipelines=replace(rooms, options=replace(rooms.options, at_once=12)))
    assert (done.message, statuses(done)) == (None, dict.fromkeys(names, "Success"))
    assert space.log(done) == ["done"] * 12


def test_a_setting_of_no_jobs_at_once_still_carries_them_out(space: Workspace) -> None:
    space.declare({"a": makes("a")})
    rooms = space.house.pipelines
    none = replace(rooms, options=replace(rooms.options, at_once=0))
    assert statuses(space.run(pipelines=none)) == {"a": "Success"}


def test_a_run_none_of_whose_jobs_could_begin_has_not_ended_well(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object) -> None:
        """Let no job begin."""

    space.declare({"a": makes("a")})
    monkeypatch.setattr("interlock.pipelines.running._Execution._begin_jobs", nothing)
    done = space.run()
    assert (done.status, done.reason, statuses(done)) == (Status.FAILED, "not_carried_out", {"a": "Pending"})


def test_the_process_hears_signals_as_before_once_a_run_has_ended(space: Workspace) -> None:
    space.declare({"a": makes("a")})
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    space.run()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_no_more_jobs_run_beside_each_other_than_the_settings_say(space: Workspace) -> None:
    alone = "cd build_output && mkdir alone && sleep 0.2 && rmdir alone"
    space.declare({name: {"script": sh(alone)} for name in "abc"})
    rooms = space.house.pipelines
    one = replace(rooms, options=replace(rooms.options, at_once=1))
    assert space.run(pipelines=one).status is Status.SUCCESS


def test_stages_are_told_with_a_receipt_that_anybody_can_recompute(space: Workspace) -> None:
    space.declare({"a": makes("a"), "b": makes("b", stage="later", needs=["a"])}, stages=["build", "later"])
    done = space.run()
    assert [(stage.name, stage.status) for stage in done.stages] == [
        ("build", Status.SUCCESS),
        ("later", Status.SUCCESS),
    ]
    told = space.events(done, "stage_receipt.issued")
    definition = space.house.pipelines.definition("work")
    for event, job in zip(told, ("a", "b"), strict=True):
        assert_receipt(event)
        assert event["root"] == receipts.leaf(definition.job(job), done.job(job).artefacts).hash.hex()
    assert [event["stage_id"] for event in told] == ["build", "later"]


def test_documents_and_scans_are_told(space: Workspace) -> None:
    space.declare({"a": makes("a", stage="docs")}, stages=["docs"])
    done = space.run()
    (scan,) = done.scans
    assert (scan["subject"], scan["tool"], scan["status"]) == ("build_output/a.txt", "kingfisher", "passed")
    assert [(each["path"], each["job"]) for each in space.events(done, "document.updated")] == [
        ("build_output/a.txt", "a")
    ]


def test_the_log_has_what_was_printed_without_secrets(space: Workspace) -> None:
    given = {"API_TOKEN": "correct-horse-battery"}
    space.declare({"a": {"script": sh("echo one; echo $API_TOKEN >&2"), "environment": given}})
    done = space.run()
    lines = space.house.pipelines.log(done.id)
    assert sorted((line.job, line.stream, line.text) for line in lines) == [
        ("a", "stderr", "[REDACTED:API_TOKEN]"),
        ("a", "stdout", "one"),
    ]


def test_tree_heads_are_signed_at_the_end_and_after_so_many_events(space: Workspace) -> None:
    space.declare({"a": makes("a"), "b": makes("b", needs=["a"])})
    signed: list[int] = []
    rooms = space.house.pipelines
    often = replace(rooms, options=replace(rooms.options, head_every=4))
    space.run(pipelines=often, sign_head=lambda: signed.append(1))
    assert len(signed) > 2
    signed.clear()
    space.run(sign_head=lambda: signed.append(1))
    assert len(signed) == 2


# --- failing ----------------------------------------------------------------------------------------------------------


@pytest.mark.proves("pipeline-fails-fast")
def test_the_first_failure_kills_what_runs_and_ends_the_run_at_once(each_space: Workspace) -> None:
    space = each_space
    fails = "cd build_output; while [ ! -e forked ]; do sleep 0.05; done; exit 3"
    space.declare(
        {
            "a": {"script": sh(FORKING.replace("echo forked", "cd build_output && touch forked")), **SOON},
            "b": {"script": sh(fails)},
            "c": makes("c", needs=["b"]),
        }
    )
    done = space.run()
    assert (done.status, done.reason, done.message) == (
        Status.FAILED,
        "command_failed",
        "b: sh ended with exit code 3",
    )
    assert statuses(done) == {"a": "Failed", "b": "Failed", "c": "Pending"}
    assert (done.job("a").reason, done.job("b").reason, done.job("b").exit_code) == ("stopped", "command_failed", 3)
    assert done.stages[0].status is Status.FAILED
    assert marked(marker(done.id, 1, "a")) == []


@pytest.mark.proves("pipeline-fails-fast")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("true", "artefact_missing"),
        (": > build_output/a.txt", "artefact_empty"),
        ("ln -s /etc/passwd build_output/a.txt", "artefact_unsafe"),
        ("echo ghp_a1B2c3D4e5a1B2c3D4e5a1B2c3D4e5F6g7H8 > build_output/a.txt", "secret_in_artefact"),
        ("echo a > build_output/a.txt; sleep 60", "limit_wall_clock"),
        ("mkdir -p .git/hooks; echo a > build_output/a.txt", "protected_path_made"),
    ],
)
def test_a_job_without_a_sound_artefact_fails_the_run(space: Workspace, text: str, reason: str) -> None:
    job = {"script": sh(text), "artifacts": {"paths": ["build_output/a.txt"]}, "limits": {"seconds": 1}}
    space.declare({"a": job, "b": makes("b", needs=["a"])})
    done = space.run()
    assert (done.status, done.reason, done.job("a").reason) == (Status.FAILED, reason, reason)
    assert statuses(done) == {"a": "Failed", "b": "Pending"}
    assert "ghp_" not in str(space.events(done))


def test_of_artefacts_with_secrets_none_is_kept(space: Workspace) -> None:
    token = "ghp_a1B2c3D4e5a1B2c3D4e5a1B2c3D4e5F6g7H8"  # noqa: S105 - of nobody
    names = [f"build_output/{name}.txt" for name in "ab"]
    space.declare(
        {"a": {"script": sh(*(f"echo {name} {token} > {name}" for name in names)), "artifacts": {"paths": names}}}
    )
    assert space.run().reason == "secret_in_artefact"
    assert [path for path in (space.root / ".interlock/artefacts").rglob("*") if path.is_file()] == []


def test_nothing_runs_that_was_not_accepted(space: Workspace) -> None:
    space.declare({"a": makes("a")})
    made = space.create()
    space.write("cicd/pipelines/work.yaml", space.read("cicd/pipelines/work.yaml").replace("echo a", "echo evil"))
    with pytest.raises(DefinitionNotAccepted):
        space.runner().run(made.id)
    space.accept()
    with pytest.raises(DefinitionNotAccepted, match="accepted anew"):
        space.runner().run(made.id)
    assert space.house.pipelines.get(made.id).status is Status.PENDING
    assert not (space.root / "build_output/order").exists()


def edits(space: Workspace, moment: str) -> Callable[[str], None]:
    """Return a probe that edits the script at one moment, as somebody outside of the run could."""
    return lambda where: space.write("tools/step.sh", "echo evil\n") if where == moment else None


def test_a_script_that_is_edited_while_the_run_is_under_way_stops_it(space: Workspace) -> None:
    space.write("tools/step.sh", "echo step\n")
    space.declare({"a": makes("a"), "b": {"script": ["sh tools/step.sh"], "needs": ["a"]}})
    done = space.run(probe=edits(space, "a.ended"))
    assert (done.status, done.reason, statuses(done)["b"]) == (Status.FAILED, "definition_changed", "Failed")
    assert "tools/step.sh" in str(done.message)
    assert space.log(done) == []


def test_a_script_that_was_edited_while_the_last_job_ran_fails_the_run_as_well(space: Workspace) -> None:
    space.write("tools/step.sh", "echo step\n")
    space.declare({"a": {"script": ["sh tools/step.sh"]}})
    done = space.run(probe=edits(space, "a.begun"))
    assert (done.status, done.reason, statuses(done)) == (Status.FAILED, "definition_changed", {"a": "Success"})


def test_a_job_can_not_edit_what_was_accepted(space: Workspace) -> None:
    space.write("tools/step.sh", "echo step\n")
    tries = sh("cd tools; (echo evil > step.sh; mv -f step.sh old.sh; rm -f step.sh) 2>/dev/null; true")
    space.declare({"a": {"script": tries}, "b": {"script": ["sh tools/step.sh"], "needs": ["a"]}})
    done = space.run()
    assert (done.status, space.log(done)) == (Status.SUCCESS, ["step"])


def test_what_has_to_be_there_before_a_run_starts_is_named(space: Workspace) -> None:
    space.declare({"a": makes("a")})
    made = space.create()
    (space.root / "storage/db/budget_guardian/README.md").unlink()
    with pytest.raises(AssetsMissing, match=r"storage/db/budget_guardian/README\.md"):
        space.runner().run(made.id)
    assert space.house.pipelines.get(made.id).status is Status.PENDING


# --- one at a time ----------------------------------------------------------------------------------------------------


def test_two_runs_do_not_work_in_one_workspace_at_a_time(space: Workspace) -> None:
    space.declare({"a": makes("a")})
    first, second = space.create(), space.create()
    busy: list[type[BaseException]] = []

    def probe(where: str) -> None:
        if where == "a.begun":
            with pytest.raises(WorkspaceBusy, match=str(os.getpid())) as told:
                space.runner().run(second.id)
            busy.append(told.type)

    assert space.runner(probe).run(first.id).status is Status.SUCCESS
    assert busy == [WorkspaceBusy]
    assert space.runner().run(second.id).status is Status.SUCCESS


def test_a_lock_that_can_not_be_used_is_said_by_its_name(space: Workspace) -> None:
    space.declare({"a": makes("a")})
    (space.root / ".interlock/pipelines.lock").symlink_to("elsewhere")
    with pytest.raises(LockUnusable, match=r"pipelines\.lock"):
        space.run()
    assert not (space.root / ".interlock/elsewhere").exists()
    (space.root / ".interlock/pipelines.lock").unlink()
    held = space.root / ".interlock/pipelines/held"
    held.parent.mkdir(exist_ok=True)
    held.write_text("no folder")
    with pytest.raises(LockUnusable, match="held"):
        space.run()


def test_a_run_is_run_once_and_a_good_one_is_not_resumed(space: Workspace) -> None:
    space.declare({"a": makes("a")})
    done = space.run()
    for verb in (space.runner().run, space.runner().resume):
        with pytest.raises(PipelineNotMovable):
            verb(done.id)


def carried(space: Workspace, made: Pipeline, found: list[Any]) -> threading.Thread:
    def carry() -> None:
        try:
            found.append(space.runner().run(made.id))
        except PipelineTaken as error:
            found.append(error)

    thread = threading.Thread(target=carry)
    thread.start()
    until(lambda: "forked" in space.log(made), 30)
    return thread


def test_a_cancelled_run_stops_and_nothing_of_it_is_left(each_space: Workspace) -> None:
    space = each_space
    space.declare({"a": {"script": sh(FORKING), **SOON}})
    made, found = space.create(), list[Any]()
    thread = carried(space, made, found)
    space.house.pipelines.cancel(ALICE, made.id, reason="enough")
    thread.join(30)
    assert [(each.status, each.reason) for each in found] == [(Status.FAILED, "cancelled")]
    job, stage = found[0].job("a"), found[0].stages[0]
    assert (job.status, job.reason, stage.status) == (Status.FAILED, "cancelled", Status.FAILED)
    assert marked(marker(made.id, 1, "a")) == []


def test_a_run_that_was_taken_over_writes_nothing_any_more(space: Workspace) -> None:
    space.declare({"a": {"script": sh(FORKING), **SOON}})
    made, found = space.create(), list[Any]()
    thread = carried(space, made, found)
    taken, _ = space.house.pipelines.begin(ALICE, made.id)
    thread.join(30)
    assert [type(each) for each in found] == [PipelineTaken]
    assert space.house.pipelines.get(made.id) == taken
    assert marked(marker(made.id, 1, "a")) == []


def test_while_panic_is_on_no_job_begins_and_the_run_ends_as_failed(space: Workspace) -> None:
    space.declare({"a": makes("a"), "b": makes("b", needs=["a"])})

    def probe(where: str) -> None:
        if where == "a.ended":
            space.house.access.raise_panic(ALICE, role=Role.ADMIN, reason="stop everything")

    done = space.run(probe=probe)
    assert (done.status, done.reason) == (Status.FAILED, "panic_mode")
    assert statuses(done) == {"a": "Success", "b": "Pending"}
    space.house.access.release_panic(ALICE, role=Role.ADMIN, reason="over")
    assert space.runner().resume(done.id).status is Status.SUCCESS


@pytest.mark.parametrize("where", ["a.begun", "r.begun"])
def test_no_command_and_no_action_begins_under_panic_though_its_job_has(space: Workspace, where: str) -> None:
    release = {"agent_role": "operator", "action": "deploy_updates", "needs": ["a"]}
    space.declare({"a": makes("a"), "r": release})

    def probe(at: str) -> None:
        if at == where:
            space.house.access.raise_panic(ALICE, role=Role.ADMIN, reason="stop everything")

    done = space.run(probe=probe)
    assert (done.status, done.reason, done.job(where[0]).reason) == (Status.FAILED, "panic_mode", "panic_mode")
    assert (space.root / "build_output/order").exists() == (where != "a.begun")
    assert space.events(done, "deployment_outcome.recorded") == []
    space.house.access.release_panic(ALICE, role=Role.ADMIN, reason="over")
    assert space.runner().resume(done.id).status is Status.SUCCESS


# --- agents and checkpoints -------------------------------------------------------------------------------------------


def test_a_checkpoint_is_signed_by_the_role_s_agent_over_what_its_job_made(space: Workspace) -> None:
    space.declare({"a": makes("a", **ROLE), "b": makes("b", needs=["a"], checkpoints=WANTS_GATE)}, checkpoints=[GATE])
    done = space.run()
    assert done.status is Status.SUCCESS
    passed = done.passed("gate")
    assert passed is not None
    assert (passed.agent_id, passed.artefact) == ("PlanAgent", done.job("a").artefacts[0])
    assert passed.summary == "The planner saw a: 1 command of a ended well"
    (told,) = space.events(done, "pipeline.state.checkpoint_passed")
    assert told["principal"] == "agent:PlanAgent"
    assert told["attestation"]["signed_by"] == "principal"


def test_without_the_agent_s_key_its_job_fails_and_nobody_signs_in_its_place(space: Workspace) -> None:
    space.declare({"a": makes("a", **ROLE)}, checkpoints=[GATE])
    (space.root / ".interlock/keys/agent-PlanAgent.key").unlink()
    done = space.run()
    assert (done.reason, done.job("a").status) == ("checkpoint_wrong_role", Status.FAILED)
    assert "PlanAgent" in (done.message or "")
    assert space.events(done, "pipeline.state.checkpoint_passed") == []


def test_an_artefact_that_was_edited_after_it_was_signed_stops_the_run(space: Workspace) -> None:
    space.declare(
        {
            "a": makes("a", **ROLE),
            "edits": {"script": sh("echo more >> build_output/a.txt"), "needs": ["a"]},
            "b": makes("b", needs=["edits"], checkpoints=WANTS_GATE),
        },
        checkpoints=[GATE],
    )
    done = space.run()
    assert (done.status, done.reason) == (Status.FAILED, "checkpoint_artefact_changed")
    assert "gate" in str(done.message)
    last = [name for name in ("edits", "b") if done.job(name).reason == "checkpoint_artefact_changed"]
    assert len(last) == 1
    assert [each["reason"] for each in space.events(done, "pipeline.checkpoint_refused")] == [done.reason]


def test_an_action_is_told_and_one_that_deploys_is_a_row_of_the_report(space: Workspace) -> None:
    operator = {"agent_role": "operator", "action": "deploy_updates", "needs": ["a"]}
    space.declare({"a": makes("a"), "release": operator})
    done = space.run()
    (told,) = space.events(done, "task.dispatched")
    assert (told["agent"], told["action"], told["workflow_id"]) == ("OperationsBoardAgent", "deploy_updates", "work")
    assert told["principal"] == "agent:OperationsBoardAgent"
    (row,) = space.events(done, "deployment_outcome.recorded")
    assert (row["workflow"], row["status"], row["attestation"]["signed_by"]) == (done.id, "succeeded", "principal")
    assert f"| {done.id} | build | operator |" in space.read("docs/reports/AGENT_DEPLOYMENT_OUTCOMES.md")


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("../out.json", "no report is written to"),
        ("agents/out.json", "no report is written to"),
        ("linked/out.json", "leads out of the workspace by a link"),
        ("near/out.json", "leads out of the workspace by a link"),
        (".interlock/keys/out.json", "no report is written to"),
    ],
)
def test_a_self_heal_report_is_written_nowhere_but_where_jobs_may_write(
    space: Workspace, output: str, why: str
) -> None:
    (space.root / "linked").symlink_to(space.root.parent)
    (space.root / "near").mkdir()
    (space.root / "near/telemetry").symlink_to(space.root.parent)
    space.declare({"heal": {"action": "run_self_heal", "parameters": {"output": output}, **ROLE}})
    done = space.run()
    assert (done.status, done.reason) == (Status.FAILED, "task_failed")
    assert why in (done.message or "")
    assert [path.name for path in space.root.parent.iterdir()] == [space.root.name]
    assert not (space.root / output).exists()


def test_an_audit_without_a_release_fails_and_does_not_become_its_own_proof(space: Workspace) -> None:
    audits = {
        "agent_role": "verifier",
        "action": "audit_deployment",
        "parameters": {"telemetry": "build_output/t.json"},
    }
    space.declare({"audit": audits})
    done = space.run()
    assert (done.reason, done.job("audit").reason) == ("task_failed", "task_failed")
    again = space.runner().resume(done.id)
    assert "no row of this run" in str(again.message)
    assert [row["status"] for row in space.events(done, "deployment_outcome.recorded")] == ["failed", "failed"]


def test_a_row_that_the_log_does_not_tell_fails_the_audit(space: Workspace) -> None:
    operator = {"agent_role": "operator", "action": "deploy_updates"}
    audits = {
        "agent_role": "verifier",
        "action": "audit_deployment",
        "parameters": {"telemetry": "build_output/t.json"},
        "needs": ["release"],
    }
    space.declare({"release": operator, "audit": audits})
    report = space.root / "docs/reports/AGENT_DEPLOYMENT_OUTCOMES.md"

    def probe(where: str) -> None:
        if where == "audit.begun":
            space.house.delivery.publish(ALICE)
            row = next(line for line in report.read_text().splitlines() if "| deploy_updates |" in line)
            report.write_text(f"{report.read_text()}{row}\n")

    done = space.run(probe=probe)
    assert "has 2 rows of this run, the log has 1" in str(done.message)


# --- the budget -------------------------------------------------------------------------------------------------------

BUDGETED = [{"name": "build", "budget": {"tokens": 1000}}]


def test_a_stage_over_its_budget_goes_on_without_what_may_be_dropped(space: Workspace) -> None:
    space.declare(
        {"a": makes("a", estimated_tokens=900), "b": makes("b", estimated_tokens=200, budget_sensitive=True)},
        stages=BUDGETED,
    )
    done = space.run()
    assert (done.status, statuses(done)) == (Status.SUCCESS, {"a": "Success", "b": "Skipped"})
    assert done.job("b").reason == "budget"
    (told,) = space.events(done, "budget.decided")
    assert (told["action"], told["tokens_used"], told["rewritten_plan"]) == ("rewrite", 1100, ["a"])
    assert not (space.root / "build_output/b.txt").exists()


def test_a_job_that_signs_is_not_dropped_for_the_budget_since_the_end_waits_for_its_checkpoint(
    space: Workspace,
) -> None:
    space.declare(
        {
            "b": makes("b", estimated_tokens=200, budget_sensitive=True),
            "a": makes("a", estimated_tokens=900, budget_sensitive=True, **ROLE),
        },
        stages=BUDGETED,
        checkpoints=[GATE],
    )
    done = space.run()
    assert (done.status, done.message, statuses(done)) == (Status.SUCCESS, None, {"b": "Skipped", "a": "Success"})


def test_a_stage_that_can_not_keep_its_budget_fails_the_run_before_any_job(space: Workspace) -> None:
    space.declare({"a": makes("a", estimated_tokens=1001)}, stages=BUDGETED)
    done = space.run()
    assert (done.status, done.reason, statuses(done)) == (Status.FAILED, "budget_escalated", {"a": "Pending"})
    assert [each["action"] for each in space.events(done, "budget.decided")] == ["escalate"]
    assert not (space.root / "build_output/order").exists()


def test_a_budget_that_stops_the_run_is_its_reason_also_where_other_jobs_are_killed_for_it(space: Workspace) -> None:
    late = makes("late", stage="later", estimated_tokens=1001)
    space.declare(
        {"a": {"script": sh(FORKING), **SOON}, "late": late}, stages=["build", {**BUDGETED[0], "name": "later"}]
    )
    done = space.run()
    assert (done.status, done.reason, done.job("a").reason) == (Status.FAILED, "budget_escalated", "stopped")


# --- resuming ---------------------------------------------------------------------------------------------------------

WAITING = {"script": sh("cd docs; test -e ready"), "needs": ["a"]}


def attempts(pipeline: Pipeline) -> dict[str, int]:
    return {job.id: job.attempt for job in pipeline.jobs}


def test_a_resumed_run_goes_on_behind_what_is_done(each_space: Workspace) -> None:
    space = each_space
    space.declare({"a": makes("a"), "b": WAITING, "c": makes("c", needs=["b"])})
    failed = space.run()
    assert statuses(failed) == {"a": "Success", "b": "Failed", "c": "Pending"}
    space.write("docs/ready", "yes")
    done = space.runner().resume(failed.id)
    assert (done.status, done.fence, attempts(done)) == (Status.SUCCESS, 2, {"a": 1, "b": 2, "c": 1})
    assert space.read("build_output/order").split() == ["a", "c"]


def test_a_job_whose_artefact_changed_is_done_again_with_all_behind_it(space: Workspace) -> None:
    space.declare(
        {
            "a": makes("a"),
            "behind": makes("behind", needs=["a"]),
            "beside": makes("beside"),
            "b": {**WAITING, "needs": ["behind", "beside"]},
        }
    )
    failed = space.run()
    space.write("docs/ready", "yes")
    space.write("build_output/a.txt", "edited")
    done = space.runner().resume(failed.id)
    assert (done.status, attempts(done)) == (Status.SUCCESS, {"a": 2, "behind": 2, "beside": 1, "b": 2})
    assert space.read("build_output/a.txt") == "a\n"


def test_a_checkpoint_that_expired_meanwhile_is_signed_anew_by_its_job(space: Workspace) -> None:
    space.declare({"a": makes("a", **ROLE), "b": {**WAITING, "checkpoints": WANTS_GATE}}, checkpoints=[GATE])
    failed = space.run()
    space.write("docs/ready", "yes")
    rooms = space.house.pipelines
    later = replace(rooms, clock=lambda: system_clock() + rooms.options.checkpoint_seconds * 1000)
    done = space.runner(pipelines=later).resume(failed.id)
    assert (done.status, attempts(done)) == (Status.SUCCESS, {"a": 2, "b": 2})
    assert len([each for each in done.checkpoints if each.name == "gate"]) == 2


@pytest.mark.parametrize("how", ["edited", "expired"])
def test_a_checkpoint_that_nobody_waits_for_and_that_does_not_hold_at_the_end_is_signed_anew(
    space: Workspace, how: str
) -> None:
    seen = {**GATE, "verifies": "docs/seen.txt"}
    space.declare({"a": {**ROLE, "script": sh("echo a > docs/seen.txt")}, "b": makes("b")}, checkpoints=[seen])
    rooms = space.house.pipelines
    later = replace(rooms, clock=lambda: system_clock() + rooms.options.checkpoint_seconds * 1000)

    def probe(where: str) -> None:
        if where == "end" and how == "edited":
            space.write("docs/seen.txt", "evil")

    made = space.create()
    if how == "edited":
        failed = space.runner(probe).run(made.id)
        assert (failed.reason, statuses(failed)) == ("checkpoint_artefact_changed", {"a": "Success", "b": "Success"})
    else:
        with carry(space, made, "run", "end") as process:
            assert process.wait(60) == -signal.SIGKILL
    done = space.runner(pipelines=later if how == "expired" else rooms).resume(made.id)
    assert (done.status, done.message, attempts(done)) == (Status.SUCCESS, None, {"a": 2, "b": 1})


def carry(space: Workspace, made: Pipeline, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.pipelines.carrier", str(space.root), made.id, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


@pytest.mark.proves("pipeline-resume")
def test_a_killed_runner_takes_its_jobs_with_it_and_the_run_can_be_resumed(space: Workspace) -> None:
    space.declare({"a": makes("a"), "b": {"script": sh(f"cd docs; test -e ready || {{ {FORKING}; }}"), "needs": ["a"]}})
    made = space.create()
    with carry(space, made, "run") as process:
        until(lambda: "forked" in space.log(made), 60)
        assert marked(marker(made.id, 1, "b"))
        process.kill()
    until(lambda: marked(marker(made.id, 1, "b")) == [], 30)
    left = space.house.pipelines.get(made.id)
    assert (left.status, left.job("b").status) == (Status.RUNNING, Status.RUNNING)
    space.write("docs/ready", "yes")
    done = space.runner().resume(made.id)
    assert (done.status, attempts(done)) == (Status.SUCCESS, {"a": 1, "b": 2})


@pytest.mark.parametrize("wish", [signal.SIGTERM, signal.SIGINT])
def test_a_runner_that_is_asked_to_stop_ends_its_jobs_and_says_so(space: Workspace, wish: signal.Signals) -> None:
    space.declare({"a": {"script": sh(FORKING), **SOON}})
    made = space.create()
    with carry(space, made, "run") as process:
        until(lambda: "forked" in space.log(made), 60)
        process.send_signal(wish)
        assert process.wait(30) == 1
    assert marked(marker(made.id, 1, "a")) == []
    left = space.house.pipelines.get(made.id)
    assert (left.status, left.reason, left.message) == (Status.FAILED, "interrupted", f"stopped by {wish.name}")
    assert left.job("a").status is Status.FAILED


def test_a_runner_that_is_halted_ends_its_jobs_and_says_so(space: Workspace) -> None:
    space.declare({"a": {"script": sh(FORKING), **SOON}})
    made, halt, found = space.create(), threading.Event(), list[Pipeline]()
    thread = threading.Thread(target=lambda: found.append(space.runner(halt=halt).run(made.id)))
    thread.start()
    until(lambda: "forked" in space.log(made), 30)
    halt.set()
    thread.join(30)
    assert [(each.status, each.reason) for each in found] == [(Status.FAILED, "interrupted")]
    assert marked(marker(made.id, 1, "a")) == []


@pytest.mark.proves("pipeline-resume")
@pytest.mark.parametrize(
    "where", ["a.begun", "a.kept", "a.signed", "a.ended", "r.begun", "r.dispatched", "r.recorded", "r.ended", "end"]
)
def test_wherever_a_runner_is_killed_the_run_can_be_resumed(space: Workspace, where: str) -> None:
    release = {"agent_role": "operator", "action": "deploy_updates", "needs": ["a"], "checkpoints": WANTS_GATE}
    space.declare({"a": makes("a", **ROLE), "r": release}, checkpoints=[GATE])
    made = space.create()
    with carry(space, made, "run", where) as process:
        assert process.wait(60) == -signal.SIGKILL
    assert space.house.pipelines.get(made.id).status is Status.RUNNING
    done = space.runner().resume(made.id)
    assert (done.status, statuses(done)) == (Status.SUCCESS, {"a": "Success", "r": "Success"})
    assert all(stage.status is Status.SUCCESS for stage in done.stages)
    assert space.house.delivery.windows.catch_up(ALICE) == ()


# --- a repository -----------------------------------------------------------------------------------------------------


def test_a_job_of_a_repository_works_in_a_worktree_and_its_artefact_comes_into_the_workspace(space: Workspace) -> None:
    source = space.root / "vendor"
    source.mkdir()
    for words in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "one"]):
        told = ["-c", "user.name=A", "-c", "user.email=a@localhost"]
        subprocess.run(["git", *told, *words], cwd=source, check=True, capture_output=True)
    make = sh("mkdir -p build_output; git log --format=%s > build_output/log.txt; touch stray")
    job = {"script": make, "repository": "vendor", "ref": "main", "artifacts": {"paths": ["build_output/log.txt"]}}
    space.declare({"a": job})
    done = space.run()
    assert (done.status, done.message) == (Status.SUCCESS, None)
    assert space.read("build_output/log.txt") == "one\n"
    assert sorted(path.name for path in source.iterdir()) == [".git"]
    assert not (space.root / "stray").exists()


# --- what is shipped --------------------------------------------------------------------------------------------------

REVIEW = "build_output/planner_review.json"
REPORT = "docs/reports/AGENT_DEPLOYMENT_OUTCOMES.md"
SHIPPED = ("agent-self-heal", "doc-refresh")


def run_shipped(space: Workspace, name: str, probe: Callable[[str], None] = lambda _: None) -> Pipeline:
    return space.runner(probe).run(space.house.pipelines.create(ALICE, name).id)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_pipeline_runs_green_in_a_fresh_workspace(space: Workspace, name: str) -> None:
    done = run_shipped(space, name)
    assert (done.status, done.message) == (Status.SUCCESS, None)
    assert {each.name for each in done.checkpoints} == {rule.name for rule in done.rules}
    assert {each.status for each in done.jobs} == {Status.SUCCESS}


def removed(path: Path) -> str:
    path.unlink()
    return "checkpoint_artefact_missing"


def emptied(path: Path) -> str:
    path.write_bytes(b"")
    return "checkpoint_artefact_empty"


def edited(path: Path) -> str:
    path.write_bytes(path.read_bytes().replace(b"2", b"3"))
    return "checkpoint_artefact_changed"


def extended(path: Path) -> str:
    path.write_bytes(path.read_bytes() + b"\n")
    return "checkpoint_artefact_changed"


REVIEWED = (
    ("agent-self-heal", "repair/2-gather_context", REVIEW, "deploy/1-deploy_updates"),
    ("doc-refresh", "agent-self-heal", REVIEW, "validate"),
)
RECORDED = (
    ("agent-self-heal", "deploy/1-deploy_updates", REPORT, "verify/1-audit_deployment"),
    ("doc-refresh", "validate", REPORT, "doc-refresh"),
)


@pytest.mark.proves("pipeline-fails-fast")
@pytest.mark.parametrize(
    ("case", "how"),
    [(case, how) for case in REVIEWED for how in (removed, emptied, edited, extended)]
    + [(case, how) for case in RECORDED for how in (edited, extended)],  # what is cut off of it is completed
)
def test_a_shipped_pipeline_is_red_behind_each_checkpoint_that_does_not_hold(
    space: Workspace, case: tuple[str, str, str, str], how: Callable[[Path], str]
) -> None:
    name, signer, path, held = case
    reasons: list[str] = []

    def probe(where: str) -> None:
        if where == f"{signer}.ended":
            reasons.append(how(space.root / path))

    done = run_shipped(space, name, probe)
    assert [done.reason, done.job(held).reason] == reasons * 2
    assert done.status is Status.FAILED
    assert [each["before"] for each in space.events(done, "pipeline.checkpoint_refused")] == [f"job {held}"]


SIGNED = (
    ("agent-self-heal", "PlanAgent", "repair/2-gather_context", "job deploy/1-deploy_updates"),
    ("agent-self-heal", "OperationsBoardAgent", "deploy/1-deploy_updates", "job verify/1-audit_deployment"),
    ("agent-self-heal", "ReviewAgent", "verify/1-audit_deployment", "the end"),
    ("doc-refresh", "PlanAgent", "agent-self-heal", "job validate"),
    ("doc-refresh", "OperationsBoardAgent", "validate", "job doc-refresh"),
    ("doc-refresh", "ReviewAgent", "verify", "the end"),
)


@pytest.mark.proves("pipeline-fails-fast")
@pytest.mark.parametrize(("name", "agent", "signer", "held"), SIGNED)
def test_a_shipped_pipeline_is_red_where_any_one_of_its_checkpoints_lost_its_key(
    space: Workspace, name: str, agent: str, signer: str, held: str
) -> None:
    def probe(where: str) -> None:
        if where == f"{signer}.ended":
            space.house.keyring.revoke(ALICE, f"agent-{agent}", reason="it was seen elsewhere")

    done = run_shipped(space, name, probe)
    assert (done.status, done.reason) == (Status.FAILED, "checkpoint_key_revoked")
    assert agent in str(done.message)
    assert [each["before"] for each in space.events(done, "pipeline.checkpoint_refused")] == [held]


@pytest.mark.parametrize(("name", "value"), [("API_TOKEN", "plain-value-1234567"), ("DB_PASSWORD", "hunter2hunter2")])
def test_a_variable_that_is_called_like_a_secret_is_not_accepted(space: Workspace, name: str, value: str) -> None:
    with pytest.raises(VariableSecret, match=name):
        space.declare({"a": {"script": ["true"]}}, variables={name: value})
    assert space.house.pipelines.acceptance("work") is None
