"""What `init` makes of seed 2: entry points, threshold profiles, schemas. What somebody else has there is kept."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from interlock.workspace.layout import Layout
from interlock.workspace.loop_scripts import ENTRY_POINTS, file_of, make_loop_scripts

STATUS = "scripts/ops-manager-status.sh"
CATALOG = "config/ops-manager-threshold-profiles.v1.json"


def make(root: Path, *, replace: bool = False) -> dict[str, str]:
    return {str(each.path.relative_to(root)): each.done for each in make_loop_scripts(Layout(root), replace=replace)}


def test_everything_is_made_once_and_then_kept(tmp_path: Path) -> None:
    made = make(tmp_path)
    assert set(made.values()) == {"created"}
    assert {f"scripts/{file_of(name)}" for name in ENTRY_POINTS} < made.keys()
    assert {CATALOG, "schema/ops-manager.contract.schema.json"} < made.keys()
    assert all(os.access(tmp_path / name, os.X_OK) for name in made if name.startswith("scripts/"))
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in made}
    assert set(make(tmp_path).values()) == {"kept"}
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in made} == before


def test_an_entry_point_of_ours_is_brought_up_to_date(tmp_path: Path) -> None:
    make(tmp_path)
    script = tmp_path / STATUS
    current = script.read_text()
    for python in ("/old/python", "'/o l d/python'", "'/it'\"'\"'s/python'"):
        lines = [f"PYTHON={python}" if line.startswith("PYTHON=") else line for line in current.split("\n")]
        script.write_text("\n".join(lines))
        script.chmod(0o644)
        assert make(tmp_path)[STATUS] == "updated"
        assert script.read_text() == current
        assert os.access(script, os.X_OK)


def test_an_entry_point_of_somebody_else_is_kept_or_on_their_word_moved_aside(tmp_path: Path) -> None:
    script = tmp_path / STATUS
    script.parent.mkdir()
    script.write_text("#!/usr/bin/env bash\n# theirs\n")
    assert make(tmp_path)[STATUS] == "kept"
    assert "theirs" in script.read_text()
    made = make(tmp_path, replace=True)
    assert made[STATUS] == "created"
    aside = [name for name, done in made.items() if done == "backed up"]
    assert [("theirs" in (tmp_path / name).read_text()) for name in aside] == [True]
    assert "interlock.cli.ops_manager" in script.read_text()


def test_an_edited_entry_point_of_ours_is_somebody_s(tmp_path: Path) -> None:
    make(tmp_path)
    script = tmp_path / STATUS
    script.write_text(script.read_text() + "echo and more\n")
    assert make(tmp_path)[STATUS] == "kept"


def test_a_catalog_that_was_edited_is_kept(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / CATALOG).write_text('{"mine":true}')
    assert make(tmp_path, replace=True)[CATALOG] == "kept"
    assert (tmp_path / CATALOG).read_text() == '{"mine":true}'


def test_an_entry_point_whose_name_leads_nowhere_is_made_anew(tmp_path: Path) -> None:
    script = tmp_path / STATUS
    script.parent.mkdir()
    script.symlink_to("gone")
    assert make(tmp_path)[STATUS] == "created"


@pytest.mark.parametrize("shell", ["sh", "bash", "dash"])
def test_every_entry_point_is_a_script_that_a_plain_shell_reads(tmp_path: Path, shell: str) -> None:
    make(tmp_path)
    for name in (each for each in ENTRY_POINTS if file_of(each).endswith(".sh")):
        script = tmp_path / "scripts" / file_of(name)
        done = subprocess.run([shell, "-n", script], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert f" {name} " in script.read_text()
