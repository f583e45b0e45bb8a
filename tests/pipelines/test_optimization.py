"""Workspace optimisation: an honest plan that writes nothing but itself, and moves that can be taken back."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from interlock.pipelines import repairs
from interlock.pipelines.checks import FOLDERS, Place
from interlock.pipelines.optimization import measure, optimize
from interlock.runs.containment.launch import launch
from interlock.runs.containment.spec import Spec
from interlock.workspace import skeleton
from tests.pipelines import healthy

SCHEMA = Path(skeleton.__file__).with_name("shipped") / "skeleton/storage/db/schemas/workspace-optimization.schema.json"
PLAN = "build_output/workspace-optimization.json"
NOW = 1_790_000_000_000


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, path_on_disk: Path) -> Place:
    """A workspace with build trees, left-over configuration, an empty folder, and git's own empty folders."""
    found = healthy.workspace(tmp_path_factory, path_on_disk / "workspace")
    for name, text in {
        "target/debug/app": "x" * 1000,
        "phase1/target/lib": "y" * 500,
        "phase1/lib.rs": "fn",
        "phase9/target/vendor/.git/HEAD": "ref",
        "Cargo_old.toml": "[old]",
        "Cargo.toml.backup": "[backup]",
        ".git/HEAD": "ref: refs/heads/main",
    }.items():
        path = found.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name in ("hollow/inner", ".git/refs/tags"):
        (found.root / name).mkdir(parents=True)
    return found


@dataclass(frozen=True)
class Said:
    """What one call of the entry point answered."""

    code: int
    out: bytes
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


def call(root: Path, *words: str, run: str = "") -> Said:
    """Call the entry point as the pipelines do."""
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", **({"INTERLOCK_RUN": run} if run else {})}
    script = str(root / "tools/maintenance/workspace_optimization.sh")
    done = subprocess.run([script, *words], cwd="/", env=environment, capture_output=True, check=False)
    return Said(done.returncode, done.stdout, done.stderr.decode())


def check_schema(document: object) -> None:
    jsonschema_rs.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)


def snapshot(root: Path) -> dict[str, str | None]:
    """Return everything but build_output, the log's files and the state folder, files with their digest."""
    passed = ("build_output/", ".interlock/", "automation/", "docs/reports/", "storage/db/", ".workspace/")
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        for path in sorted(root.rglob("*"))
        if not (name := path.relative_to(root).as_posix()).startswith(passed)
    }


def test_a_plan_names_what_would_move_and_moves_nothing(place: Place) -> None:
    before = snapshot(place.root)
    said = call(place.root, "--mode=agent")
    assert (said.code, said.err) == (0, "")
    assert said.out == (place.root / PLAN).read_bytes()
    plan = said.json
    check_schema(plan)
    assert (plan["mode"], plan["status"], plan["undo"]) == ("agent", "planned", None)
    moves = {each["from"]: each for each in plan["moves"]}
    assert moves.keys() == {"target", "phase1/target", "Cargo_old.toml", "Cargo.toml.backup"}
    session = plan["session"]
    assert moves["phase1/target"] == {
        "from": "phase1/target",
        "to": f"{session}/build/phase1_target",
        "bytes": 500,
        "files": 1,
    }
    assert moves["Cargo_old.toml"]["to"] == f"{session}/config/Cargo_old.toml"
    assert plan["left_alone"] == [{"path": "phase9/target", "reason": "it holds git's or Interlock's data"}]
    assert plan["size_before_bytes"] - plan["size_after_bytes"] == 1000 + 500 + len("[old]") + len("[backup]")
    assert plan["file_count"] - plan["file_count_after"] == 4
    assert snapshot(place.root) == before
    assert not (place.root / session).exists()
    assert "phase1/target" in (place.root / PLAN).with_suffix(".md").read_text()


def test_empty_folders_are_listed_and_never_git_s(place: Place) -> None:
    empty = call(place.root).json["empty_directories"]
    assert "hollow/inner" in empty
    assert "hollow" not in empty
    assert not [each for each in empty if ".git" in each or ".interlock" in each]
    assert (place.root / "hollow/inner").is_dir()


def test_an_application_moves_and_can_be_taken_back(place: Place) -> None:
    before = snapshot(place.root)
    said = call(place.root, "--mode=apply")
    assert (said.code, said.err) == (0, "")
    plan = said.json
    check_schema(plan)
    assert plan["status"] == "applied"
    for move in plan["moves"]:
        assert not os.path.lexists(place.root / move["from"])
        assert os.path.lexists(place.root / move["to"])
    session = plan["session"].rpartition("/")[2]
    assert plan["undo"] == f"services/gateway/self_heal.py --undo {session}"
    script, *words = plan["undo"].split()
    done = subprocess.run(["python3", str(place.root / script), *words], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert snapshot(place.root) == before


@pytest.mark.proves("self-heal-careful")
def test_an_application_is_recorded_before_and_after(place: Place) -> None:
    plan = call(place.root, "--mode=apply").json
    ledger = place.root / "storage/db/evidence/ledger.jsonl"
    entries = [json.loads(line) for line in ledger.read_bytes().splitlines()]
    kinds = [each["kind"] for each in entries if each["kind"].startswith("auto_fix.")]
    assert kinds == ["auto_fix.planned"] * 4 + ["auto_fix.applied"] * 4
    moved = [each["payload"] for each in entries if each["kind"] == "file.relocated"]
    expected = [(each["from"], each["to"]) for each in plan["moves"]]
    assert [(each["source"], each["target"]) for each in moved] == expected
    log = (place.root / "storage/db/relocation.log").read_bytes().splitlines()
    assert len(log) == 1 + len(moved)


@pytest.mark.parametrize("words", [("--mode=delete",), ("--mode",), ("--force",), ("--mo=apply",)])
def test_a_wrong_command_line_is_exit_sixty_four(place: Place, words: tuple[str, ...]) -> None:
    before = snapshot(place.root)
    said = call(place.root, *words)
    assert (said.code, said.out) == (64, b"")
    assert said.err.startswith("error: ")
    assert snapshot(place.root) == before


def test_a_run_only_plans(place: Place) -> None:
    before = snapshot(place.root)
    assert call(place.root, "--mode=apply", run=f"{healthy.RUNNING}:1").code == 2
    assert call(place.root, "--mode=agent", run=f"{healthy.RUNNING}:1").code == 0
    assert snapshot(place.root) == before


def test_in_containment_a_plan_needs_build_output_only(place: Place) -> None:
    contained = launch(
        Spec(
            argv=("bash", "tools/maintenance/workspace_optimization.sh", "--mode=agent"),
            env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
            cwd=place.root,
            run_marker=f"{healthy.RUNNING}:1",
            hidden_paths=(place.root / ".interlock",),
            writable_paths=(place.root / "build_output",),
            network=False,
            namespaces="require",
        )
    )
    contained.wait_started()
    out = b"".join(chunk for stream, chunk in contained.output() if stream == "stdout")
    assert contained.wait().exit_code == 0
    assert out == (place.root / PLAN).read_bytes()


def test_a_plan_that_can_not_be_written_is_exit_two(place: Place) -> None:
    (place.root / "build_output").rmdir()
    (place.root / "build_output").write_text("")
    said = call(place.root)
    assert (said.code, said.out) == (2, b"")


def test_a_plan_is_not_written_through_a_link_out_of_the_workspace(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (place.root / "build_output").rmdir()
    (place.root / "build_output").symlink_to(outside)
    said = call(place.root)
    assert said.code != 0
    assert "leads out of the workspace by a link [output_forbidden]" in said.err
    assert list(outside.iterdir()) == []


def test_missing_folders_are_made_on_application(place: Place) -> None:
    (place.root / "docs/documentation").rmdir()
    planned = optimize(place.root, mode="agent", folders=FOLDERS, clock=lambda: NOW)
    assert json.loads(planned.plan)["folders"] == ["docs/documentation"]
    assert not (place.root / "docs/documentation").exists()
    optimize(place.root, mode="apply", folders=FOLDERS, clock=lambda: NOW)
    assert (place.root / "docs/documentation").is_dir()


def test_a_second_session_in_the_same_second_has_its_own_name(place: Place) -> None:
    first = json.loads(optimize(place.root, mode="apply", folders=(), clock=lambda: NOW).plan)["session"]
    (place.root / "target").mkdir()
    second = json.loads(optimize(place.root, mode="apply", folders=(), clock=lambda: NOW).plan)["session"]
    assert (first, second) == (f"{repairs.QUARANTINE}/20260921_141320", f"{repairs.QUARANTINE}/20260921_141320_2")


def test_the_size_follows_no_link(place: Place, tmp_path: Path) -> None:
    before = measure(place.root)
    (tmp_path / "large").write_text("x" * 100_000)
    (place.root / "way").symlink_to(tmp_path)
    after = measure(place.root)
    assert after.files == before.files + 1
    assert after.bytes - before.bytes < 1000
