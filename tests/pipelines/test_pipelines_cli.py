"""`interlock pipeline`: what it shows is what is accepted, and exit codes say how it went."""

from __future__ import annotations

import fcntl
import hashlib
from pathlib import Path

import pytest

from interlock.access.local import local_principal
from interlock.access.models import Actor
from interlock.founding import create_workspace
from tests.cli.door import Door, Said, copy_of

SMALL = """\
description: Makes one thing.
agent_roles: {planner: PlanAgent}
agent_checkpoints:
  - {name: made, role: planner, verifies: out/thing.txt, description: the thing is there}
stages: [make, use]
jobs:
  make:
    stage: make
    script: [sh tools/make.sh]
    artifacts: {paths: [out/thing.txt]}
  use:
    stage: use
    script: [grep good out/thing.txt]
    limits: {seconds: 30}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "workspace"
    create_workspace(root, Actor(principal=local_principal(lambda: None, None)), database_url="", replace=False)
    return root


@pytest.fixture
def ask(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Door:
    monkeypatch.delenv("DOC_AGENT_BIN", raising=False)
    root = copy_of(made, tmp_path / "workspace")
    (root / "cicd/pipelines/small.yaml").write_text(SMALL)
    (root / "tools/make.sh").write_text("mkdir -p out; echo good > out/thing.txt; echo made it\n")
    return Door(root, capsys)


def accepted(ask: Door) -> Door:
    assert ask("pipeline", "approve", "small").code == 0
    return ask


def broken(ask: Door) -> Said:
    """Accept and run a pipeline that fails at its second job."""
    (ask.root / "tools/make.sh").write_text("mkdir -p out; echo bad > out/thing.txt\n")
    return accepted(ask)("pipeline", "run", "small")


def last_run(ask: Door) -> str:
    return str(ask.json("pipeline", "runs", "--limit", "1")[0]["id"])


def test_shipped_pipelines_are_accepted_and_others_are_not(ask: Door) -> None:
    assert [(each["name"], each["status"]) for each in ask.json("pipeline", "list")] == [
        ("agent-self-heal", "accepted"),
        ("doc-refresh", "accepted"),
        ("small", "not accepted"),
    ]


def test_a_definition_that_can_not_be_read_is_listed_with_what_is_wrong(ask: Door) -> None:
    (ask.root / "cicd/pipelines/small.yaml").write_text(SMALL.replace(" script:", " scirpt:"))
    row = ask.json("pipeline", "list")[-1]
    assert (row["name"], row["status"]) == ("small", "invalid")
    assert row["message"] == "cicd/pipelines/small.yaml:9: jobs.make.scirpt is not known; did you mean script?"
    ask("pipeline", "show", "small").refuses(2, "cicd/pipelines/small.yaml:9:", "definition_invalid")


def test_show_names_every_command_and_file_with_its_digest(ask: Door) -> None:
    said = ask("pipeline", "show", "small")
    script = hashlib.sha256((ask.root / "tools/make.sh").read_bytes()).hexdigest()
    assert "    $ sh tools/make.sh\n" in said.out
    assert "    $ grep good out/thing.txt\n" in said.out
    assert f"sha256:{script}" in said.out
    assert "cicd/pipelines/small.yaml" in said.out
    assert "agents/data/agent_roles.json" in said.out
    shown = ask.json("pipeline", "show", "small")
    assert {each["name"] for each in shown["materials"]} >= {"sh", "grep", "tools/make.sh"}
    assert f"--digest {shown['digest']}" in said.out


def test_exactly_what_was_shown_is_accepted(ask: Door) -> None:
    digest = ask.json("pipeline", "show", "small")["digest"]
    (ask.root / "tools/make.sh").write_text("echo other\n")
    ask("pipeline", "approve", "small", "--digest", digest).refuses(4, "definition_changed")
    assert ask.json("pipeline", "list")[-1]["status"] == "not accepted"
    digest = ask.json("pipeline", "show", "small")["digest"]
    found = ask.json("pipeline", "approve", "small", "--digest", digest)
    assert (found["status"], found["digest"], found["accepted_digest"]) == ("accepted", digest, digest)
    assert found["accepted_by"].startswith("human:")


def test_an_agent_accepts_nothing(ask: Door) -> None:
    ask("--as", "agent:r_01ARZ3NDEKTSV4RRFFQ69G5FAV", "pipeline", "approve", "small").refuses(4, "only a human may")
    assert ask.json("pipeline", "list")[-1]["status"] == "not accepted"


def test_what_nobody_accepted_or_somebody_edited_does_not_run(ask: Door) -> None:
    ask("pipeline", "run", "small").refuses(4, "no human has accepted small yet", "interlock pipeline approve small")
    accepted(ask)
    with (ask.root / "tools/make.sh").open("a") as script:
        script.write("# edited\n")
    ask("pipeline", "run", "small").refuses(4, "tools/make.sh was changed", "definition_not_accepted")
    assert ask.json("pipeline", "runs") == []


def test_a_run_that_ends_well_is_exit_0_and_says_its_steps(ask: Door) -> None:
    said = accepted(ask)("--json", "pipeline", "run", "small")
    assert said.json["status"] == "Success"
    assert [job["status"] for job in said.json["jobs"]] == ["Success", "Success"]
    for line in ("make: begins", "make: done", "use: begins", "use: done"):
        assert line in said.err.splitlines()
    row = ask.json("pipeline", "list")[-1]
    assert (row["last_run"], row["last_status"]) == (said.json["id"], "Success")


def test_a_run_that_fails_is_exit_1_and_one_line_says_where_and_why(ask: Door) -> None:
    said = broken(ask)
    assert said.code == 1
    assert [line for line in said.err.splitlines() if line.startswith("error: ")] == [said.err.splitlines()[-1]]
    assert "failed: job use: " in said.err.splitlines()[-1]
    assert "[pipeline_failed]" in said.err.splitlines()[-1]
    run = ask.json("pipeline", "show", last_run(ask))
    assert (run["status"], [job["status"] for job in run["jobs"]]) == ("Failed", ["Success", "Failed"])


def test_a_failed_run_is_resumed_behind_what_it_has_done(ask: Door) -> None:
    broken(ask)
    run = last_run(ask)
    ask("pipeline", "resume", "pipeline_01ARZ3NDEKTSV4RRFFQ69G5FAV").refuses(3, "pipeline_missing")
    (ask.root / "out/thing.txt").write_text("good\n")
    resumed = ask("--json", "pipeline", "resume", run)
    assert resumed.code == 1  # the edited artefact is made again by its job, and it is bad again
    assert "use: begins" in resumed.err.splitlines()


def test_a_run_waits_where_another_one_is_carried_out_and_can_be_cancelled(ask: Door) -> None:
    accepted(ask)
    with (ask.root / ".interlock/pipelines.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = ask("pipeline", "run", "small")
    assert said.code == 4
    run = last_run(ask)
    assert f"{run} waits: interlock pipeline resume {run}" in said.err
    assert "[workspace_busy]" in said.err.splitlines()[-1]
    found = ask.json("pipeline", "cancel", run, "--reason", "late")
    assert (found["status"], found["reason"]) == ("Failed", "cancelled")
    assert "late" in found["message"]
    ask("pipeline", "cancel", run).refuses(4, "pipeline_not_movable")


def test_the_log_is_of_the_run_and_of_one_job(ask: Door) -> None:
    run = str(accepted(ask)("--json", "pipeline", "run", "small").json["id"])
    lines = ask.json("pipeline", "log", run)
    assert ("make", "made it") in [(each["job"], each["msg"]) for each in lines]
    assert {each["job"] for each in ask.json("pipeline", "log", run, "--job", "use")} == {"use"}
    assert ask.json("pipeline", "log", run, "--after", str(lines[-1]["line"])) == []
    assert "make stdout    made it" in ask("pipeline", "log", run).out


def test_an_artefact_comes_back_as_it_was_when_its_job_ended(ask: Door, tmp_path: Path) -> None:
    run = str(accepted(ask)("--json", "pipeline", "run", "small").json["id"])
    (ask.root / "out/thing.txt").write_text("written over\n")
    assert [each["path"] for each in ask.json("pipeline", "artefact", "list", run)] == ["out/thing.txt"]
    out = tmp_path / "thing.txt"
    told = ask.json("pipeline", "artefact", "get", run, "out/thing.txt", "--out", str(out))
    assert out.read_text() == "good\n"
    assert (told["size"], told["sha256"]) == (5, hashlib.sha256(b"good\n").hexdigest())
    assert ask("pipeline", "artefact", "get", run, "out/thing.txt").out == "good\n"
    ask("--json", "pipeline", "artefact", "get", run, "out/thing.txt").refuses(2, "--out FILE")
    ask("pipeline", "artefact", "get", run, "../secret").refuses(3, "artefact_missing")
    for place in (tmp_path, tmp_path / "none/thing.txt"):
        ask("pipeline", "artefact", "get", run, "out/thing.txt", "--out", str(place)).refuses(2, "can not be written")


def test_roles_are_listed_with_what_the_log_knows_of_them(ask: Door) -> None:
    found = {each["role"]: (each["agent_id"], each["status"]) for each in ask.json("pipeline", "roles")}
    assert found == {
        "planner": ("PlanAgent", "recorded"),
        "operator": ("OperationsBoardAgent", "recorded"),
        "verifier": ("ReviewAgent", "recorded"),
    }
    file = ask.root / "agents/data/agent_roles.json"
    file.write_text('{"planner": {"agent_id": "OtherAgent"}, "auditor": {"agent_id": "New"}}')
    found = {each["role"]: (each["agent_id"], each["status"]) for each in ask.json("pipeline", "roles")}
    assert found == {
        "planner": ("OtherAgent", "changed"),
        "auditor": ("New", "changed"),
        "operator": ("OperationsBoardAgent", "gone"),
        "verifier": ("ReviewAgent", "gone"),
    }


def test_a_name_or_an_id_that_is_none_is_refused(ask: Door) -> None:
    ask("pipeline", "show", "none").refuses(3, "definition_missing")
    ask("pipeline", "show", "../etc").refuses(3, "definition_missing")
    ask("pipeline", "show", "pipeline_x").refuses(2)
    ask("pipeline", "log", "pipeline_01ARZ3NDEKTSV4RRFFQ69G5FAV").refuses(3, "pipeline_missing")
