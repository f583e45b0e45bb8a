"""Repairs: nothing deleted, overwritten or touched outside, and everything taken back, whenever they died."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from interlock.pipelines import repairs
from interlock.pipelines.healing_errors import (
    PlaceForbidden,
    RepairFailed,
    RepairsBusy,
    RepairsNotFound,
    UndoBlocked,
    UndoListMalformed,
)
from interlock.pipelines.repairs import Action, Step

SESSION = "20260921_141320"
ULID_SESSION = "h_01ARZ3NDEKTSV4RRFFQ69G5FAV"
AT = 1_790_000_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with build trees, left-over configuration and a stale lock."""
    top = tmp_path / "workspace"
    for name, text in {
        "target/debug/app": "binary",
        "target/empty/.keep": "",
        "phase1/target/lib": "one",
        "phase2/target/lib": "two",
        "phase2/source.rs": "fn main() {}",
        "Cargo_old.toml": "[old]",
        "Cargo.toml": "[new]",
        "Cargo.toml.backup": "[backup]",
        ".workspace/x.lock": "999999",
        "storage/y.lock": "999999",
        "storage/db/evidence/ledger.jsonl": "{}\n",
        ".git/config": "[core]",
        ".interlock/keys/log.key": "secret",
    }.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return top


def seen(root: Path) -> dict[str, str | None]:
    """Return everything in the workspace but its quarantine, files with what they hold."""
    quarantine = root / repairs.QUARANTINE
    return {
        path.relative_to(root).as_posix(): path.read_text() if path.is_file() else None
        for path in sorted(root.rglob("*"))
        if path != quarantine and quarantine not in path.parents
    }


def planned(root: Path) -> list[Action]:
    return [
        *repairs.missing_folders(root, ["build_output/telemetry", "docs/reports", "docs/reports"]),
        *repairs.build_trees(root)[0],
        *repairs.left_configuration(root)[0],
        *repairs.stale_locks(root, [".workspace/x.lock", "storage/y.lock"])[0],
    ]


def test_a_plan_changes_nothing(root: Path) -> None:
    before = seen(root)
    actions = planned(root)
    assert [path for action in actions for path in action.changed_paths] == [
        "build_output",
        "build_output/telemetry",
        "docs",
        "docs/reports",
        "target",
        "phase1/target",
        "phase2/target",
        "Cargo.toml.backup",
        "Cargo_old.toml",
        ".workspace/x.lock",
        "storage/y.lock",
    ]
    assert seen(root) == before
    assert not (root / repairs.QUARANTINE).exists()


def test_what_is_moved_lies_in_quarantine_and_the_rest_where_it_was(root: Path) -> None:
    before = seen(root)
    actions = planned(root)
    done = repairs.apply(root, SESSION, actions, at_ms=AT)
    assert done == [path for action in actions for path in action.changed_paths]
    there = root / repairs.QUARANTINE / SESSION
    assert (there / "build/target/debug/app").read_text() == "binary"
    assert (there / "build/phase2_target/lib").read_text() == "two"
    assert (there / "config/Cargo_old.toml").read_text() == "[old]"
    assert (there / "locks/.workspace_x.lock").read_text() == "999999"
    after = seen(root)
    gone = {path for path in before if path not in after}
    assert all(
        path.startswith(("target", "phase1/target", "phase2/target", "Cargo_", "Cargo.toml.b")) or "lock" in path
        for path in gone
    )
    assert {path for path in after if path not in before} == {
        "build_output",
        "build_output/telemetry",
        "docs",
        "docs/reports",
    }


def test_an_undo_brings_everything_back(root: Path) -> None:
    before = seen(root)
    repairs.apply(root, SESSION, planned(root), at_ms=AT)
    undone = repairs.undo(root, SESSION)
    assert seen(root) == before
    assert len(undone.restored) == 7
    assert set(undone.removed) == {"build_output", "build_output/telemetry", "docs", "docs/reports"}


def test_a_second_undo_finds_nothing_to_do(root: Path) -> None:
    before = seen(root)
    repairs.apply(root, SESSION, planned(root), at_ms=AT)
    assert list(repairs.sessions(root)) == [SESSION]
    repairs.undo(root, SESSION)
    assert list(repairs.sessions(root)) == []
    assert repairs.undo(root, SESSION) == repairs.Undone((), ())
    assert seen(root) == before


def test_a_folder_that_was_filled_in_the_meantime_stays(root: Path) -> None:
    repairs.apply(root, SESSION, planned(root), at_ms=AT)
    (root / "docs/reports/mine.md").write_text("mine")
    undone = repairs.undo(root, SESSION)
    assert "docs/reports" not in undone.removed
    assert (root / "docs/reports/mine.md").read_text() == "mine"


@pytest.mark.parametrize("made_again", ["target", "Cargo_old.toml"])
def test_an_undo_overwrites_nothing_and_then_moves_nothing(root: Path, made_again: str) -> None:
    repairs.apply(root, SESSION, planned(root), at_ms=AT)
    path = root / made_again
    if made_again == "target":
        path.mkdir()
    else:
        path.write_text("a new one")
    before = seen(root)
    with pytest.raises(UndoBlocked, match=made_again):
        repairs.undo(root, SESSION)
    assert seen(root) == before
    path.rename(root / "aside")
    assert made_again in repairs.undo(root, SESSION).restored


# --- death ------------------------------------------------------------------------------------------------------------

_DYING = """
import os, signal, sys
from pathlib import Path
from interlock.pipelines import repairs

left = int(sys.argv[2])
def die(event, arguments):
    global left
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if writes or event in {"os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir"}:
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.path.insert(0, sys.argv[3])
from tests.pipelines.test_repairs import AT, SESSION, planned
root = Path(sys.argv[1])
actions = planned(root)
sys.dont_write_bytecode = True
sys.addaudithook(die)
if sys.argv[4] == "apply":
    repairs.apply(root, SESSION, actions, at_ms=AT)
else:
    repairs.undo(root, SESSION)
"""


def dies(root: Path, after: int, what: str) -> bool:
    """Let a process do it and die before its next write; says whether it died."""
    house = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", _DYING, str(root), str(after), str(house), what], capture_output=True, check=False
    )
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr.decode()
    return done.returncode != 0


@pytest.mark.proves("self-heal-careful")
def test_whenever_a_repair_dies_what_it_did_can_be_taken_back(root: Path) -> None:
    before = seen(root)
    deaths = 0
    while dies(root, deaths, "apply"):
        if (root / repairs.QUARANTINE / SESSION).is_dir():
            repairs.undo(root, SESSION)
        assert seen(root) == before
        for each in (root / ".workspace").rglob("*"):
            assert not each.is_file() or each.name in {"x.lock", "undone.json"} or each.name.endswith(".tmp")
        _remove(root / repairs.QUARANTINE)
        deaths += 1
    assert deaths > 20
    repairs.undo(root, SESSION)
    assert seen(root) == before


def test_whenever_an_undo_dies_another_one_completes_it(root: Path) -> None:
    before = seen(root)
    deaths = 0
    repairs.apply(root, SESSION, planned(root), at_ms=AT)
    while dies(root, deaths, "undo"):
        repairs.undo(root, SESSION)
        assert seen(root) == before
        _remove(root / repairs.QUARANTINE)
        repairs.apply(root, SESSION, planned(root), at_ms=AT)
        deaths += 1
    assert deaths > 15
    assert seen(root) == before


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
    if folder.exists():
        folder.rmdir()


# --- what is never touched --------------------------------------------------------------------------------------------


@pytest.mark.proves("self-heal-careful")
@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../outside",
        "a/../../outside",
        "./target",
        "a//b",
        "a\0b",
        ".git",
        ".git/config",
        "module/.git/hooks",
        ".interlock/keys",
        "storage/db",
        "storage/db/evidence/ledger.jsonl",
        ".workspace/quarantine/20260101_000000",
    ],
)
def test_a_forbidden_place_is_refused_before_anything_is_done(root: Path, path: str) -> None:
    before = seen(root)
    steps = (Step(do="make", path="fine"), Step(do="move", path=path, to="x"))
    with pytest.raises(PlaceForbidden):
        repairs.apply(root, SESSION, [Action(name="n", target="t", description="d", steps=steps)], at_ms=AT)
    assert seen(root) == before
    assert not (root / repairs.QUARANTINE).exists()


def test_a_link_is_not_moved_and_its_target_neither(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("mine")
    (root / "phase9").mkdir()
    (root / "phase9/target").symlink_to(outside)
    actions, left = repairs.build_trees(root)
    assert "phase9/target" not in [action.target for action in actions]
    assert left == {"phase9/target": "it is a link"}
    assert (outside / "mine").read_text() == "mine"


def test_a_file_is_no_build_tree_and_a_folder_no_configuration(root: Path) -> None:
    (root / "phase7").mkdir()
    (root / "phase7/target").write_text("the aim of phase 7")
    (root / "Cargo_dir.toml").mkdir()
    targets = [action.target for action in (*repairs.build_trees(root)[0], *repairs.left_configuration(root)[0])]
    assert targets == ["target", "phase1/target", "phase2/target", "Cargo.toml.backup", "Cargo_old.toml"]


def test_a_tree_behind_a_link_is_left_alone(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "target").mkdir(parents=True)
    (root / "phase8").symlink_to(outside)
    actions, left = repairs.build_trees(root)
    assert "phase8/target" not in [action.target for action in actions]
    assert "phase8/target" in left
    step = Step(do="move", path="phase8/target", to="build/x")
    with pytest.raises(RepairFailed):
        repairs.apply(root, SESSION, [Action(name="n", target="t", description="d", steps=(step,))], at_ms=AT)
    assert (outside / "target").is_dir()


def test_a_tree_that_holds_a_repository_is_left_alone(root: Path) -> None:
    (root / "target/vendor/.git").mkdir(parents=True)
    actions, left = repairs.build_trees(root)
    assert "target" not in [action.target for action in actions]
    assert left == {"target": "it holds git's or Interlock's data"}


def test_a_quarantine_that_is_a_link_is_not_used(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    actions = planned(root)
    (root / ".workspace/quarantine").symlink_to(outside)
    before = seen(root)
    with pytest.raises(RepairFailed):
        repairs.apply(root, SESSION, actions, at_ms=AT)
    assert list(outside.iterdir()) == []
    assert seen(root) == before


def test_a_list_of_steps_that_leads_out_is_not_followed(root: Path, tmp_path: Path) -> None:
    repairs.apply(root, SESSION, planned(root), at_ms=AT)
    listed = root / repairs.QUARANTINE / SESSION / repairs.UNDO_LIST
    document = json.loads(listed.read_text())
    document["steps"][4]["path"] = "../stolen"
    listed.write_text(json.dumps(document))
    with pytest.raises(PlaceForbidden):
        repairs.undo(root, SESSION)
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"steps": [{"do": "drop", "path": "x"}]}', '{"steps": [1]}'])
def test_a_spoilt_list_of_steps_is_refused(root: Path, text: str) -> None:
    repairs.apply(root, SESSION, planned(root), at_ms=AT)
    (root / repairs.QUARANTINE / SESSION / repairs.UNDO_LIST).write_text(text)
    with pytest.raises(UndoListMalformed):
        repairs.undo(root, SESSION)


@pytest.mark.parametrize("session", ["", "..", "../x", "h_1", "20260921", "x" * 300])
def test_an_id_that_is_none_touches_no_path(root: Path, session: str) -> None:
    with pytest.raises(RepairsNotFound):
        repairs.undo(root, session)


def test_repairs_that_never_were_are_not_found(root: Path) -> None:
    with pytest.raises(RepairsNotFound):
        repairs.undo(root, ULID_SESSION)
    assert not (root / repairs.QUARANTINE).exists()


def test_two_repairs_do_not_run_at_once(root: Path) -> None:
    import fcntl  # noqa: PLC0415 - one test's

    quarantine = root / repairs.QUARANTINE
    quarantine.mkdir(parents=True)
    descriptor = os.open(quarantine, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(RepairsBusy):
            repairs.apply(root, SESSION, planned(root), at_ms=AT)
    finally:
        os.close(descriptor)
    repairs.apply(root, SESSION, planned(root), at_ms=AT)


def test_a_session_is_never_used_twice(root: Path) -> None:
    repairs.apply(root, SESSION, planned(root), at_ms=AT)
    with pytest.raises(RepairFailed):
        repairs.apply(root, SESSION, [], at_ms=AT)


def test_names_that_are_no_text_are_moved_and_brought_back(root: Path) -> None:
    odd = os.fsdecode(b"storage/\xff.lock")
    (root / odd).write_text("1")
    before = sorted(path.name for path in (root / "storage").iterdir())
    actions, _ = repairs.stale_locks(root, [odd])
    repairs.apply(root, SESSION, actions, at_ms=AT)
    assert not (root / odd).exists()
    repairs.undo(root, SESSION)
    assert sorted(path.name for path in (root / "storage").iterdir()) == before


def test_on_a_full_disk_nothing_is_moved(root: Path) -> None:
    before = seen(root)
    program = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from interlock.pipelines import repairs
from interlock.pipelines.healing_errors import RepairFailed
from tests.pipelines.test_repairs import AT, SESSION, planned
root = Path(sys.argv[1])
actions = planned(root)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    repairs.apply(root, SESSION, actions, at_ms=AT)
except RepairFailed:
    sys.exit(7)
"""
    house = str(Path(__file__).resolve().parents[2])
    done = subprocess.run([sys.executable, "-B", "-c", program, str(root), house], capture_output=True, check=False)
    assert done.returncode == 7, done.stderr.decode()
    assert seen(root) == before
    assert repairs.undo(root, SESSION) == repairs.Undone((), ())
