"""What commands name is found: scripts, interpreters, files behind options and inside of a shell's text."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from interlock.pipelines.materials import Finder, definition_digest, search_path
from interlock.pipelines.models import Material


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "workspace"
    for path in ("tools/run.sh", "tools/more.sh", "conf/a.json", "conf/b.json", "out/made.json"):
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).write_text(path)
    for name in ("python3", "sh", "env", "cc"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(name)
        program.chmod(0o755)
    return made


def found(root: Path, *argv: str, made: tuple[str, ...] = (), here: bool = True) -> dict[str, Material]:
    finder = Finder(root, str(root.parent / "bin"), made=made)
    finder.command(argv, here=here)
    return {each.name: each for each in finder.materials()}


def test_a_script_counts_by_its_bytes_and_a_program_by_its_place(root: Path) -> None:
    materials = found(root, "python3", "tools/run.sh")
    assert materials["python3"] == Material(
        name="python3", kind="program", path=str(root.parent / "bin/python3"), sha256=None
    )
    assert materials["tools/run.sh"].sha256 == hashlib.sha256(b"tools/run.sh").hexdigest()


@pytest.mark.parametrize(
    ("first", "interpreter"),
    [
        ("#!/usr/bin/env python3\n", "python3"),
        ("#!/usr/bin/env -S A=1 python3 -u\n", "python3"),
        ("#! /bin/sh -e\n", "/bin/sh"),
    ],
)
def test_the_interpreter_of_a_script_counts_too(root: Path, first: str, interpreter: str) -> None:
    (root / "tools/run.sh").write_text(first)
    materials = found(root, "tools/run.sh")
    assert set(materials) == {"tools/run.sh", interpreter}
    assert materials[interpreter].kind == "program"
    assert materials[interpreter].path


def test_words_that_are_files_of_the_workspace_count_also_behind_an_option(root: Path) -> None:
    assert set(found(root, "cc", "conf/a.json", "--with=conf/b.json", "-v", "conf", "none")) == {
        "cc",
        "conf/a.json",
        "conf/b.json",
    }
    assert str(root / "conf/a.json") in found(root, "cc", str(root / "conf/a.json"))


def test_what_jobs_make_and_what_lies_outside_does_not_count(root: Path) -> None:
    (root.parent / "outside").write_text("x")
    assert set(found(root, "cc", "out/made.json", "./out/made.json", made=("out/made.json",))) == {"cc"}
    assert found(root, "out/made.json", made=("out/made.json",)) == {}
    assert set(found(root, "cc", "../outside", str(root.parent / "outside"))) == {"cc"}


def test_a_program_named_by_a_path_counts_wherever_it_lies(root: Path) -> None:
    outside = root.parent / "bin/cc"
    assert found(root, str(outside))[str(outside)].sha256 == hashlib.sha256(b"cc").hexdigest()
    assert found(root, "tools/none")["tools/none"] == Material(name="tools/none", kind="file", path="", sha256=None)


def test_a_link_is_recorded_by_where_it_leads(root: Path) -> None:
    (root / "tools/link").symlink_to("run.sh")
    material = found(root, "tools/link")["tools/link"]
    assert material.path == str(root / "tools/run.sh")
    assert material.sha256 == hashlib.sha256(b"tools/run.sh").hexdigest()


def test_what_a_shell_is_told_is_looked_through(root: Path) -> None:
    told = "A=1 tools/run.sh < conf/a.json && cd /tmp; python3 tools/more.sh | cc"
    assert set(found(root, "sh", "-ec", told)) == {
        "sh",
        "tools/run.sh",
        "conf/a.json",
        "python3",
        "tools/more.sh",
        "cc",
    }
    assert set(found(root, "sh", "-c", "tools/run.sh 'open")) == {"sh", "tools/run.sh"}


def test_a_program_that_another_one_starts_counts(root: Path) -> None:
    assert set(found(root, "env", "A=1", "python3", "tools/run.sh")) == {"env", "python3", "tools/run.sh"}


def test_in_another_repository_only_programs_of_the_system_count(root: Path) -> None:
    assert set(found(root, "python3", "tools/run.sh", here=False)) == {"python3"}
    assert found(root, "tools/run.sh", here=False) == {}


def test_pipes_and_folders_are_no_materials_and_stop_nobody(root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert set(found(root, "cc", "pipe", "conf")) == {"cc"}
    assert found(root, "./pipe")["./pipe"].sha256 is None


def test_the_search_path_has_only_folders_that_mean_the_same_everywhere() -> None:
    given = {"PATH": "/a::relative:.:/b:/a:/\udcff"}
    assert search_path(given, "/venv/bin/python") == "/a:/b:/venv/bin"
    assert search_path({}, "/venv/bin/python").endswith(":/venv/bin")


def test_the_digest_is_over_everything_that_decides_what_runs(tmp_path: Path) -> None:
    material = Material(name="a", kind="file", path=str(tmp_path / "a"), sha256="00")
    digests = {
        definition_digest("n", [material], {"V": "1"}, "/a", tmp_path),
        definition_digest("m", [material], {"V": "1"}, "/a", tmp_path),
        definition_digest("n", [], {"V": "1"}, "/a", tmp_path),
        definition_digest("n", [material], {"V": "2"}, "/a", tmp_path),
        definition_digest("n", [material], {"V": "1"}, "/b", tmp_path),
    }
    assert len(digests) == 5
    assert all(each.startswith("sha256:") for each in digests)
