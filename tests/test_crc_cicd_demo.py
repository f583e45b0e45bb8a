"""The example that follows the runbook's replay procedure: it finds a snapshot whole, or says what is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.app import Interlock
from interlock.kernel.ids import UlidSource
from interlock.settings import Settings
from interlock.storage.sqlite.database import SqliteDatabase
from interlock.workspace.events import WorkspaceCreated
from interlock.workspace.layout import Layout
from interlock.workspace.service import make_keys
from tests.cli.door import CHECKOUT, PROGRAM, environment
from tests.conftest import ORIGIN
from tests.pipelines.fleet import DEPLOY, RUN, deployed
from tests.workspace.told import INDEX, MIRROR, REPORT, caught_up, say, signed_run

EXAMPLE = CHECKOUT / "examples" / "crc_cicd_demo.py"


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace in which a signed run and a deployment happened."""
    layout = Layout(tmp_path_factory.mktemp("lived"))
    layout.state.mkdir()
    database = SqliteDatabase(layout.database)
    database.create(ORIGIN)
    make_keys(layout, ORIGIN, "alice")
    house = Interlock(layout, Settings(), database, UlidSource())
    say(house, WorkspaceCreated(subject="workspace", origin=ORIGIN))
    signed_run(house)
    say(house, *deployed())
    house.evidence.head()
    caught_up(house)
    yield layout.root
    database.close()


@pytest.fixture
def snapshot(lived: Path, tmp_path: Path) -> Path:
    for name in (".workspace", "storage", "docs"):
        shutil.copytree(lived / name, tmp_path / name)
    return tmp_path


def follow(root: Path | None, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "NOA_WORKFLOW_ROOT"}
    if root is not None:
        environment["NOA_WORKFLOW_ROOT"] = str(root)
    return subprocess.run(
        [sys.executable, EXAMPLE, *words], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.proves("evidence-replay")
def test_the_four_steps_of_the_runbook_find_a_whole_snapshot(snapshot: Path) -> None:
    finished = follow(snapshot)
    assert finished.returncode == 0, finished
    said = finished.stdout
    for words in (
        f"1. the snapshot is {snapshot}\n",
        "2. state.json holds 1 pipelines and 1 deployments\n",
        f"   {RUN}  nightly: Success, 1 checkpoints\n",
        f"   {DEPLOY}  site 2.4.1: Success\n",
        "3. 12 state changes of pipeline_events.log are in the ledger, with the same signature\n",
        "pipeline.state.checkpoint_passed, signed (principal)\n",
        "4. the report has 1 rows, each as the ledger tells it\n",
    ):
        assert words in said, (words, said)
    assert "not covered" not in said
    assert f"   {RUN}:" not in follow(snapshot, DEPLOY).stdout


def test_without_a_root_it_says_what_it_needs() -> None:
    finished = follow(None)
    assert finished.returncode == 2
    assert "NOA_WORKFLOW_ROOT" in finished.stderr


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("storage/db/pipelines/state.json", 32, "is not what the ledger comes to"),
        (MIRROR, 30, "is not in the ledger as the log tells it"),
        (INDEX, 30, INDEX),
        (REPORT, 31, REPORT),
    ],
)
def test_a_snapshot_that_does_not_fit_together_is_named(snapshot: Path, path: str, code: int, words: str) -> None:
    file = snapshot / path
    file.write_bytes(file.read_bytes().replace(b"Success", b"Skipped").replace(b"succeeded", b"not so!!!"))
    finished = follow(snapshot)
    assert finished.returncode == code, finished
    assert words in finished.stderr


def test_a_log_that_is_torn_or_gone_is_named(snapshot: Path) -> None:
    file = snapshot / MIRROR
    file.write_bytes(file.read_bytes()[:-5])
    torn = follow(snapshot)
    file.unlink()
    gone = follow(snapshot)
    for finished in (torn, gone):
        assert finished.returncode == 30, finished
        assert finished.stderr.startswith("mismatch: ")
        assert MIRROR in finished.stderr


def test_a_subject_of_which_nothing_is_told_is_named(snapshot: Path) -> None:
    finished = follow(snapshot, "pipeline_none")
    assert finished.returncode == 30
    assert "the ledger tells of no pipeline_none" in finished.stderr


def test_a_workspace_in_which_a_shipped_pipeline_really_ran_is_whole_also_as_a_copy(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    for words in (("init", str(root)), ("--workspace", str(root), "pipeline", "run", "agent-self-heal")):
        subprocess.run([PROGRAM, *words], env=environment(), cwd=tmp_path, check=True, capture_output=True)
    for name in (".workspace", "storage", "docs"):
        shutil.copytree(root / name, tmp_path / "copy" / name)
    finished = follow(tmp_path / "copy")
    assert finished.returncode == 0, finished
    assert "agent-self-heal: Success, 3 checkpoints\n" in finished.stdout
    assert finished.stdout.count("pipeline.state.checkpoint_passed, signed (principal)\n") == 3
    assert "not covered" not in finished.stdout
