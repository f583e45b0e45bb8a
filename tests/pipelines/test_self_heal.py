"""Self-heal: an honest report in the documented shape; repairs only on request, recorded first, and taken back."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from interlock.access.models import Role
from interlock.app import Interlock
from interlock.kernel.errors import Conflict, InterlockError
from interlock.kernel.events import Event
from interlock.pipelines import repairs, self_heal
from interlock.pipelines.checks import CHECKS, Place
from interlock.pipelines.gateway import SECRET_VARIABLE
from interlock.pipelines.healing_errors import OutputForbidden
from interlock.runs.containment.launch import launch
from interlock.runs.containment.spec import Spec
from interlock.workspace import skeleton
from tests.conftest import ALICE
from tests.pipelines import healthy

SCHEMAS = Path(skeleton.__file__).with_name("shipped") / "skeleton" / "storage" / "db" / "schemas"
REPORT = "build_output/gateway-self-heal.json"
METRICS = "build_output/telemetry/self-heal-metrics.json"


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, path_on_disk: Path) -> Place:
    """A healthy workspace, seen by its owner."""
    return healthy.workspace(tmp_path_factory, path_on_disk / "workspace")


@dataclass(frozen=True)
class Said:
    """What one call of the entry point answered."""

    code: int
    out: bytes
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


def call(root: Path, *words: str, cwd: Path | None = None, more: Mapping[str, str] | None = None) -> Said:
    """Call the entry point as an operator does, with whatever python3 comes first."""
    done = subprocess.run(
        ["python3", str(root / "services/gateway/self_heal.py"), *words],
        cwd=cwd or "/",
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", **(more or {})},
        capture_output=True,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr.decode())


def events(root: Path, *kinds: str) -> list[dict[str, Any]]:
    """Return the events of these kinds, as the ledger has them."""
    lines = (root / "storage/db/evidence/ledger.jsonl").read_bytes().splitlines()
    found = [json.loads(line)["event"] for line in lines]
    return [event for event in found if event["kind"] in kinds]


def check_schema(name: str, document: object) -> None:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(document)


def snapshot(root: Path, *, without: Sequence[str] = ()) -> dict[str, str]:
    """Return every file outside the state folder with its digest."""
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and not (name := path.relative_to(root).as_posix()).startswith(
            (".interlock/", "automation/", "docs/reports/", *without)
        )
    }


# --- the report -------------------------------------------------------------------------------------------------------


def test_a_healthy_workspace_is_reported_as_documented(place: Place) -> None:
    said = call(place.root)
    assert (said.code, said.err) == (0, "")
    assert said.out == (place.root / REPORT).read_bytes()
    report = said.json
    check_schema("self-heal-report", report)
    assert report["status"] == "ok"
    assert report["telemetry"] == METRICS
    assert [each["status"] for each in report["results"]] == [200] * 6
    assert [each["name"] for each in report["checks"]] == list(CHECKS)
    metrics = (place.root / METRICS).read_bytes()
    assert report["telemetry_sha256"] == hashlib.sha256(metrics).hexdigest()
    check_schema("self-heal-metrics", json.loads(metrics))
    assert list(json.loads(metrics)) == sorted(json.loads(metrics))
    assert json.loads(metrics)["requests_total"] == 6
    assert report["run_id"] in (place.root / REPORT).with_suffix(".md").read_text()


def test_a_report_goes_where_it_is_asked_for_and_its_metrics_beside_it(place: Place, tmp_path: Path) -> None:
    said = call(place.root, "--output", str(tmp_path / "elsewhere" / "report.json"))
    assert said.code == 0
    assert said.out == (tmp_path / "elsewhere/report.json").read_bytes()
    assert Path(said.json["telemetry"]).name == "self-heal-metrics.json"
    assert (tmp_path / "elsewhere/telemetry/self-heal-metrics.json").is_file()
    assert not (place.root / REPORT).exists()


def test_a_relative_output_lies_in_the_workspace_wherever_it_is_called(place: Place, tmp_path: Path) -> None:
    assert call(place.root, "--output", "build_output/here.json", cwd=tmp_path).code == 0
    assert (place.root / "build_output/here.json").is_file()


def test_the_entry_point_works_through_a_link(place: Place, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/heal").symlink_to(place.root / "services/gateway/self_heal.py")
    done = subprocess.run(["python3", str(tmp_path / "bin/heal")], capture_output=True, check=False, cwd=tmp_path)
    assert done.returncode == 0
    assert (place.root / REPORT).is_file()


@pytest.mark.parametrize(
    "output", ["", "report.md", ".interlock/keys/log.key", ".git/config", "storage/db/x.json", "docs"]
)
def test_a_report_overwrites_no_key_and_no_evidence(place: Place, output: str) -> None:
    before = snapshot(place.root)
    with pytest.raises(OutputForbidden):
        self_heal.output_path(place.root, output)
    said = call(place.root, f"--output={output}")
    assert (said.code, said.out) == (2, b"")
    assert "[output_forbidden]" in said.err
    assert snapshot(place.root) == before


def test_a_report_does_not_reach_a_key_through_a_link(place: Place) -> None:
    (place.root / "build_output/way").symlink_to(place.root / ".interlock")
    assert call(place.root, "--output", "build_output/way/keys/x.json").code == 2
    assert not (place.root / ".interlock/keys/x.json").exists()


@pytest.mark.parametrize("way", ["build_output/telemetry", "build_output/way"])
def test_nothing_is_written_through_a_link_out_of_the_workspace_or_to_keys(
    place: Place, tmp_path_factory: pytest.TempPathFactory, way: str
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    for target in (outside, place.root / ".interlock" / "keys"):
        before = sorted(target.iterdir())
        (place.root / way).unlink(missing_ok=True)
        (place.root / way).symlink_to(target)
        said = call(place.root, "--output", REPORT if way.endswith("telemetry") else f"{way}/x.json")
        assert (said.code, said.out) == (2, b"")
        assert "[output_forbidden]" in said.err
        assert sorted(target.iterdir()) == before


def test_what_is_wrong_is_attention_and_exit_one(place: Place) -> None:
    place.policy.write_text("{}")
    (place.root / "docs/documentation").rmdir()
    said = call(place.root)
    assert said.code == 1
    report = said.json
    check_schema("self-heal-report", report)
    assert report["status"] == "attention"
    assert {each["name"] for each in report["checks"] if each["severity"] == "attention"} == {
        "artefact_folders",
        "gateway_policy",
    }
    assert report["results"][0]["status"] == "skipped"


def test_a_plan_is_told_and_changes_nothing(place: Place) -> None:
    (place.root / "docs/documentation").rmdir()
    before = snapshot(place.root, without=("build_output/", "storage/", ".workspace/indexes/"))
    said = call(place.root)
    (action,) = said.json["actions"]
    assert (action["name"], action["mode"], action["changed_paths"]) == (
        "artefact_folders",
        "plan",
        ["docs/documentation"],
    )
    assert action["undo"] is None
    assert not (place.root / "docs/documentation").exists()
    assert snapshot(place.root, without=("build_output/", "storage/", ".workspace/indexes/")) == before
    (planned,) = events(place.root, "auto_fix.planned", "auto_fix.applied")
    assert planned["payload"]["plan"] == {
        "commands": ["mkdir docs/documentation"],
        "description": "make the folder docs/documentation",
        "dry_run": True,
    }
    assert planned["payload"]["policy"]["decision"] == "review"
    check_schema("auto-fix-snapshot", {**planned["payload"], "recorded_at": 1})


def test_the_log_knows_the_report_by_its_digest(place: Place) -> None:
    said = call(place.root)
    (event,) = events(place.root, "self_heal.reported")
    assert event["subject"] == said.json["run_id"]
    assert event["payload"]["report_sha256"] == "sha256:" + hashlib.sha256(said.out).hexdigest()
    assert event["payload"]["report"] == REPORT
    assert (event["payload"]["status"], event["payload"]["attention"]) == ("ok", [])
    assert event["principal"].startswith("human:")


def test_two_looks_at_once_leave_whole_reports(place: Place) -> None:
    script = str(place.root / "services/gateway/self_heal.py")
    started = [subprocess.Popen([sys.executable, script], stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [each.wait() for each in started] == [0] * 4
    check_schema("self-heal-report", json.loads((place.root / REPORT).read_bytes()))
    assert not list((place.root / "build_output").rglob("*.tmp"))


def test_a_weak_secret_keeps_it_from_running(place: Place) -> None:
    weak, good = ({SECRET_VARIABLE: text} for text in ("feeble", "s" * 32))
    said = call(place.root, more=weak)
    assert said.code == 2
    assert "[capability_secret_weak]" in said.err
    assert "feeble" not in said.err
    assert call(place.root, more=good).code == 0


def test_the_secret_stands_in_nothing_that_is_written(place: Place) -> None:
    secret = "do-not-tell-" * 4
    said = call(place.root, more={SECRET_VARIABLE: secret})
    assert said.code == 0
    written = b"".join(path.read_bytes() for path in place.root.rglob("*") if path.is_file())
    assert secret.encode() not in written + said.out


@pytest.mark.parametrize("words", [("--unknown",), ("--apply", "--undo", "x"), ("--out", "x.json"), ("rest",)])
def test_a_wrong_command_line_is_exit_two(place: Place, words: tuple[str, ...]) -> None:
    said = call(place.root, *words)
    assert (said.code, said.out) == (2, b"")
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1


def test_a_place_that_can_not_be_written_is_exit_two(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = call(place.root, "--output", str(tmp_path / "file/report.json"))
    assert (said.code, said.out) == (2, b"")
    assert said.err.startswith("error: ")


def test_the_evidence_that_is_there_fits_the_shipped_schemas(place: Place) -> None:
    (place.root / "docs/documentation").rmdir()
    assert call(place.root).code == 1
    database = place.root / "storage/db"
    lines = (database / "evidence/ledger.jsonl").read_bytes().splitlines()
    assert lines
    for line in lines:
        check_schema("ledger-line", json.loads(line))
    for log in database.glob("*.log"):
        for line in log.read_bytes().splitlines():
            check_schema("pipeline-event", json.loads(line))
    for path in database.glob("auto_fix/*.json"):
        check_schema("auto-fix-snapshot", json.loads(path.read_bytes()))
    for path in database.glob("pipelines/state.json"):
        check_schema("state", json.loads(path.read_bytes()))


def test_on_a_full_disk_the_report_before_stays(place: Place) -> None:
    before = call(place.root).out
    words = ["sh", "-c", 'ulimit -f 1; exec python3 "$0"', str(place.root / "services/gateway/self_heal.py")]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "INTERLOCK_RUN": f"{healthy.RUNNING}:1"}
    done = subprocess.run(words, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"error: ")
    assert (place.root / REPORT).read_bytes() == before
    assert not list((place.root / "build_output").rglob("*.tmp"))


def test_processes_of_a_pipeline_are_orphans_once_it_has_ended(place: Place) -> None:
    house = Interlock.at(place.root)
    try:
        run = house.pipelines.create(ALICE, "agent-self-heal").id
        process = subprocess.Popen(
            [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
            env={**os.environ, "INTERLOCK_RUN": f"{run}:1:job"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            assert call(place.root).code == 0
            house.pipelines.cancel(ALICE, run)
            said = call(place.root)
            process.communicate()
    finally:
        house.close()
    assert said.code == 1
    (check,) = [each for each in said.json["checks"] if each["name"] == "orphan_processes"]
    assert check["after"][0].startswith(f"process {process.pid} belongs to {run}")


def test_processes_of_a_deployment_are_orphans_once_nobody_is_at_work_on_it(place: Place) -> None:
    house = Interlock.at(place.root)
    marked: list[int] = []
    seen: list[Said] = []

    def begun(_: str) -> None:
        if not seen:
            seen.append(call(place.root))

    try:
        house.deployments.accept(ALICE, "workspace-reports")
        first = house.deployments.create(ALICE, "workspace-reports", environment="staging", version="1.0").id
        process = subprocess.Popen(
            [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
            env={**os.environ, "INTERLOCK_RUN": f"{first}:1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            marked.append(process.pid)
            replace(house.deployments, probe=begun).rollback(ALICE, first, reason="enough")
            after = call(place.root)
            process.communicate()
    finally:
        house.close()
    found = [
        next(each["after"] for each in said.json["checks"] if each["name"] == "orphan_processes")
        for said in (*seen, after)
    ]
    assert found[0] == []
    assert found[1][0].startswith(f"process {marked[0]} belongs to {first}")


# --- repairs ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ill(place: Place) -> Place:
    """A workspace with a lock of a dead process, and a folder less."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    (place.root / ".workspace/build.lock").write_text(f"{process.pid}\n")
    (place.root / "docs/documentation").rmdir()
    return place


def test_repairs_are_recorded_before_and_after_and_can_be_taken_back(ill: Place) -> None:
    lock = ill.root / ".workspace/build.lock"
    said = call(ill.root, "--apply")
    assert (said.code, said.err) == (0, "")
    report = said.json
    check_schema("self-heal-report", report)
    assert not lock.exists()
    assert (ill.root / "docs/documentation").is_dir()
    by_name = {each["name"]: each for each in report["checks"]}
    for name in ("stale_locks", "artefact_folders"):
        assert len(by_name[name]["before"]) == 1
        assert (by_name[name]["after"], by_name[name]["severity"]) == ([], "ok")
    assert {each["undo"] for each in report["actions"]} == {f"services/gateway/self_heal.py --undo {report['run_id']}"}
    told = events(ill.root, "auto_fix.planned", "auto_fix.applied", "self_heal.reported")
    assert [event["kind"] for event in told] == ["auto_fix.planned"] * 2 + ["auto_fix.applied"] * 2 + [
        "self_heal.reported"
    ]
    assert {event["subject"] for event in told} == {report["run_id"]}
    assert told[0]["payload"]["plan"]["dry_run"] is False
    undone = call(ill.root, "--undo", report["run_id"])
    assert undone.code == 0
    assert undone.json["restored"] == [".workspace/build.lock"]
    assert lock.exists()
    assert len(events(ill.root, "auto_fix.undone")) == 1
    assert told[-1]["payload"]["attestation"]["predicate_type"].endswith("self-heal-report/v1")


def test_what_can_not_be_recorded_first_is_not_done(ill: Place) -> None:
    told: list[Event] = []

    def deaf(event: Event) -> None:
        told.append(event)
        raise Conflict("not now")

    before = snapshot(ill.root)
    with pytest.raises(Conflict):
        self_heal.heal(ill, output=ill.root / REPORT, apply=True, tell=deaf)
    assert [event.kind for event in told] == ["auto_fix.planned"]
    assert snapshot(ill.root) == before


def test_a_look_goes_on_where_the_log_can_not_be_told(ill: Place) -> None:
    def deaf(_: Event) -> None:
        raise Conflict("not now")

    healed = self_heal.heal(ill, output=ill.root / REPORT, tell=deaf)
    assert (healed.status, healed.untold) == ("attention", "not now")


def test_nothing_is_repaired_without_a_database(ill: Place) -> None:
    for path in (ill.root / ".interlock").glob("interlock.db*"):
        path.unlink()
    before = snapshot(ill.root)
    said = call(ill.root, "--apply")
    assert said.code == 2
    assert "[repair_unrecorded]" in said.err
    assert snapshot(ill.root) == before
    looked = call(ill.root)
    assert looked.code == 1
    assert looked.err.startswith("warning: the log is not told of this: ")


def test_nothing_is_repaired_while_panic_is_on(ill: Place) -> None:
    house = Interlock.at(ill.root)
    try:
        house.access.raise_panic(ALICE, role=Role.ADMIN, reason="drill")
    finally:
        house.close()
    before = snapshot(ill.root)
    said = call(ill.root, "--apply")
    assert said.code == 2
    assert "panic" in said.err
    assert snapshot(ill.root) == before
    assert call(ill.root).code == 1


@pytest.mark.parametrize("words", [("--apply",), ("--undo", "h_01ARZ3NDEKTSV4RRFFQ69G5FAV")])
def test_a_run_repairs_nothing(ill: Place, words: tuple[str, ...]) -> None:
    before = snapshot(ill.root)
    said = call(ill.root, *words, more={"INTERLOCK_RUN": f"{healthy.RUNNING}:1"})
    assert said.code == 2
    assert "[repair_inside_run]" in said.err
    assert snapshot(ill.root) == before


def test_an_undo_of_nothing_is_said(place: Place) -> None:
    said = call(place.root, "--undo", "h_01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert said.code == 2
    assert "[repairs_not_found]" in said.err


def test_an_undo_waits_for_the_end_of_panic(ill: Place) -> None:
    run = call(ill.root, "--apply").json["run_id"]
    house = Interlock.at(ill.root)
    try:
        house.access.raise_panic(ALICE, role=Role.ADMIN, reason="drill")
        said = call(ill.root, "--undo", run)
        assert said.code == 2
        assert "panic" in said.err
        assert not (ill.root / ".workspace/build.lock").exists()
        house.access.release_panic(ALICE, role=Role.ADMIN, reason="over")
    finally:
        house.close()
    assert call(ill.root, "--undo", run).code == 0


# --- inside a run -----------------------------------------------------------------------------------------------------


def test_in_containment_it_sees_what_it_may_and_writes_its_report_only(place: Place) -> None:
    before = snapshot(place.root, without=("build_output/",))
    contained = launch(
        Spec(
            argv=("python3", "services/gateway/self_heal.py", "--output", REPORT),
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
    ended = contained.wait()
    assert (ended.exit_code, out) == (0, (place.root / REPORT).read_bytes())
    report = json.loads(out)
    assert {each["name"] for each in report["checks"] if each["severity"] == "skipped"} == {
        "role_file_committed",
        "stale_locks",
        "orphan_worktrees",
        "orphan_processes",
        "key_permissions",
    }
    assert snapshot(place.root, without=("build_output/",)) == before
    assert events(place.root, "self_heal.reported") == []


def test_a_run_that_could_look_into_the_state_folder_does_not(place: Place) -> None:
    said = call(place.root, more={"INTERLOCK_RUN": f"{healthy.RUNNING}:1"})
    assert said.code == 0
    reasons = {each["name"]: each.get("reason") for each in said.json["checks"]}
    assert reasons["key_permissions"] == "the state folder is hidden from runs"
    assert events(place.root, "self_heal.reported") == []


# --- the library ------------------------------------------------------------------------------------------------------


def test_a_table_s_cell_can_not_end_it() -> None:
    assert self_heal.cell("a | b\n| c <img> [x](y)") == "a \\| b \\| c \\<img\\> \\[x\\](y)"


def test_locks_in_the_evidence_are_found_and_left(ill: Place) -> None:
    path = ill.root / "storage/db/evidence/old.lock"
    shutil.copy(ill.root / ".workspace/build.lock", path)
    healed = self_heal.heal(ill, output=ill.root / REPORT)
    report = json.loads(healed.report)
    assert report["left_alone"] == [{"path": "storage/db/evidence/old.lock", "reason": "the evidence is never touched"}]
    assert [each["target"] for each in report["actions"]] == ["docs/documentation", ".workspace/build.lock"]


def test_a_repair_that_fails_names_how_to_go_back(ill: Place) -> None:
    run = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    (ill.root / repairs.QUARANTINE / f"h_{run}").mkdir(parents=True)
    with pytest.raises(InterlockError) as caught:
        self_heal.heal(ill, output=ill.root / REPORT, apply=True, new_ulid=lambda: run)
    assert f"--undo h_{run}" in caught.value.hint
    assert os.path.lexists(ill.root / ".workspace/build.lock")


def test_a_repair_that_fails_on_its_way_tells_what_was_done(ill: Place) -> None:
    (ill.root / ".workspace/late.lock").write_text((ill.root / ".workspace/build.lock").read_text())
    run, said = "01ARZ3NDEKTSV4RRFFQ69G5FAV", list[Event]()

    def tell(event: Event) -> None:
        said.append(event)
        if event.kind == "auto_fix.planned" and event.payload()["target"] == ".workspace/late.lock":
            (ill.root / ".workspace/late.lock").unlink()

    with pytest.raises(InterlockError, match="No such file"):
        self_heal.heal(ill, output=ill.root / REPORT, apply=True, tell=tell, new_ulid=lambda: run)
    planned = ["docs/documentation", ".workspace/build.lock", ".workspace/late.lock"]
    assert [each.payload()["target"] for each in said if each.kind == "auto_fix.planned"] == planned
    assert [each.payload()["target"] for each in said if each.kind == "auto_fix.applied"] == planned[:2]
    assert [each.payload()["source"] for each in said if each.kind == "file.relocated"] == [planned[1]]


def test_a_place_without_a_state_folder_still_has_a_report(place: Place) -> None:
    bare = replace(place, state=None, keys=None, worktrees=None, alive=None)
    assert self_heal.heal(bare, output=place.root / REPORT).status == "ok"
