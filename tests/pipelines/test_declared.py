"""A definition may run while everything that it names is as a human accepted it; else it is said what is not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from interlock.pipelines.checks import READMES, SCHEMAS
from interlock.pipelines.declared import Declared, Named
from interlock.pipelines.errors import DefinitionInvalid, DefinitionMissing, RoleFileInvalid
from interlock.pipelines.models import Acceptance

DEFINITION = """\
variables: {AGENT: tools/agent}
agent_roles: {planner: PlanAgent}
stages: [docs]
jobs:
  docs:
    stage: docs
    script:
      - tools/build --config=conf/site.json --out out/site.json
      - ${AGENT} conf/site.json
      - compiler in.txt
    artifacts: {paths: [out/site.json]}
"""


class Workshop:
    """A workspace with one definition, and programs of a system beside it."""

    def __init__(self, folder: Path) -> None:
        self.root, self.bin = folder / "workspace", folder / "bin"
        self.write("cicd/pipelines/site.yaml", DEFINITION)
        self.write("agents/data/agent_roles.json", json.dumps({"planner": {"agent_id": "PlanAgent"}}))
        self.write("conf/site.json", "{}")
        self.write("tools/agent", "binary", 0o755)
        self.write("tools/build", "#!/usr/bin/env interpreter\nbuild\n", 0o755)
        self.write("in.txt", "in")
        for name in ("interpreter", "compiler"):
            self.program(self.bin / name)
        self.environment = {"PATH": f"{self.bin}:relative/bin"}

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def program(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("program")
        path.chmod(0o755)

    @property
    def declared(self) -> Declared:
        return Declared(self.root, self.environment, program="/nowhere/python")

    def accept(self) -> Acceptance:
        proposed = self.declared.look("site", None).proposed
        return replace(proposed, accepted_by="human:alice", accepted_ms=1, envelope="sha256:00")


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def test_what_was_accepted_may_run_and_goes_on_to(workshop: Workshop) -> None:
    accepted = workshop.accept()
    standing = workshop.declared.standing("site", accepted)
    assert standing.may_run
    assert standing.changes == ()


def test_what_nobody_accepted_may_not_run(workshop: Workshop) -> None:
    standing = workshop.declared.standing("site", None)
    assert not standing.may_run
    assert standing.changes == ("no human has accepted it yet",)
    assert standing.digest == workshop.declared.look("site", None).proposed.digest


def _edit(path: str, text: str) -> Callable[[Workshop], None]:
    return lambda workshop: workshop.write(path, text)


def _remove(path: str) -> Callable[[Workshop], None]:
    return lambda workshop: (workshop.root / path).unlink()


def _move_compiler(workshop: Workshop) -> None:
    workshop.program(workshop.bin.parent / "later" / "compiler")
    (workshop.bin / "compiler").unlink()
    (workshop.bin / "compiler").symlink_to(workshop.bin.parent / "later" / "compiler")


def _relink(workshop: Workshop) -> None:
    workshop.write("tools/other", "binary", 0o755)
    (workshop.root / "tools/agent").unlink()
    (workshop.root / "tools/agent").symlink_to("other")


def _remove_interpreter(workshop: Workshop) -> None:
    (workshop.bin / "interpreter").unlink()


def _override(workshop: Workshop) -> None:
    workshop.environment["AGENT"] = "tools/build"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_edit("tools/build", "#!/usr/bin/env interpreter\nother\n"), "tools/build was changed"),
        (_edit("tools/agent", "other"), "tools/agent was changed"),
        (_edit("conf/site.json", "{ }"), "conf/site.json was changed"),
        (_edit("in.txt", "other"), "in.txt was changed"),
        (_edit("cicd/pipelines/site.yaml", DEFINITION + "# more\n"), "the definition's text was changed"),
        (
            _edit("agents/data/agent_roles.json", '{"planner": {"agent_id": "PlanAgent", "description": "x"}}'),
            "agents/data/agent_roles.json was changed",
        ),
        (_remove("tools/build"), "tools/build is not there any more"),
        (_remove("conf/site.json"), "conf/site.json is not named any more, or is not there"),
        (_move_compiler, "compiler is found at another place"),
        (_remove_interpreter, "interpreter is not there any more"),
        (_relink, "tools/agent is found at another place"),
        (_override, "AGENT is now tools/build"),
    ],
)
def test_a_change_of_anything_named_needs_another_acceptance(
    workshop: Workshop, change: Callable[[Workshop], None], said: str
) -> None:
    accepted = workshop.accept()
    change(workshop)
    standing = workshop.declared.standing("site", accepted)
    assert not standing.may_run
    assert any(each.startswith(said) for each in standing.changes), standing.changes
    assert standing.digest == workshop.declared.look("site", accepted).proposed.digest
    assert workshop.declared.standing("site", workshop.accept()).may_run


def test_what_jobs_make_does_not_count(workshop: Workshop) -> None:
    accepted = workshop.accept()
    workshop.write("out/site.json", "made")
    assert workshop.declared.standing("site", accepted).may_run


def test_the_accepted_search_path_counts_and_not_the_callers(workshop: Workshop) -> None:
    accepted = workshop.accept()
    assert accepted.search_path == f"{workshop.bin}:/nowhere"
    workshop.program(workshop.bin.parent / "evil" / "compiler")
    workshop.environment["PATH"] = f"{workshop.bin.parent / 'evil'}:{workshop.bin}"
    looked = workshop.declared.look("site", accepted)
    assert looked.standing.may_run
    assert looked.proposed.search_path == accepted.search_path


def test_a_program_that_lies_in_the_workspace_counts_by_its_bytes(workshop: Workshop) -> None:
    inside = workshop.root / ".venv/bin/compiler"
    workshop.program(inside)
    workshop.environment["PATH"] = f"{inside.parent}:{workshop.bin}"
    accepted = workshop.accept()
    inside.write_text("other")
    assert workshop.declared.standing("site", accepted).changes == ("compiler was changed",)


def test_a_workspace_that_was_moved_is_still_accepted(workshop: Workshop) -> None:
    accepted = workshop.accept()
    moved = workshop.root.with_name("moved")
    workshop.root.rename(moved)
    workshop.root = moved
    assert workshop.declared.standing("site", accepted).may_run


def test_names_are_those_of_files_that_can_be_pipelines(workshop: Workshop) -> None:
    for name in ("b.yaml", "a-1.yaml", "c.yml", ".d.yaml", "E.yaml", "notes.txt"):
        workshop.write(f"cicd/pipelines/{name}", "")
    assert workshop.declared.names() == ("a-1", "b", "site")
    assert Declared(workshop.root / "none", {}).names() == ()


@pytest.mark.parametrize(
    "name", ["../pipelines/site", "../site", "site.yaml", "", "a/b", "Site", "x" * 65, "deployment/site"]
)
def test_a_name_that_is_none_leads_to_no_file(workshop: Workshop, name: str) -> None:
    with pytest.raises(DefinitionMissing):
        workshop.declared.load(name)


def test_a_bad_role_file_stops_everything(workshop: Workshop) -> None:
    workshop.write("agents/data/agent_roles.json", "{")
    with pytest.raises(RoleFileInvalid):
        workshop.declared.standing("site", None)


def test_a_bad_definition_is_an_error_and_not_a_standing(workshop: Workshop) -> None:
    workshop.write("cicd/pipelines/site.yaml", "stages: []\n")
    with pytest.raises(DefinitionInvalid):
        workshop.declared.standing("site", None)


def test_other_definitions_are_held_against_their_acceptance_in_the_same_way(workshop: Workshop) -> None:
    path = "cicd/deployments/site.yaml"
    workshop.write(path, "x")
    named = Named(
        name="deployment/site",
        path=path,
        data=b"x",
        commands=[("tools/build", "conf/site.json")],
        files=["in.txt"],
        variables={"COLOUR": "blue"},
    )
    _, accepted = workshop.declared.standing_of(named, None)
    assert {each.name for each in accepted.materials} == {
        path,
        "tools/build",
        "interpreter",
        "conf/site.json",
        "in.txt",
    }
    assert workshop.declared.standing_of(named, accepted)[0].may_run
    workshop.write("in.txt", "other")
    assert workshop.declared.standing_of(named, accepted)[0].changes == ("in.txt was changed",)
    changed = replace(named, data=b"y", variables={"COLOUR": "green"})
    workshop.write("in.txt", "in")
    assert workshop.declared.standing_of(changed, accepted)[0].changes == (
        "the definition's text was changed",
        "COLOUR is now green",
    )


def test_missing_empty_or_broken_assets_are_named(workshop: Workshop) -> None:
    assert workshop.declared.assets_missing() == (*READMES, *SCHEMAS)
    for each in READMES:
        workshop.write(each, "# What lies here\n")
    for each in SCHEMAS:
        workshop.write(each, "{}")
    assert workshop.declared.assets_missing() == ()
    workshop.write(READMES[1], " \n")
    workshop.write(SCHEMAS[0], "{")
    (workshop.root / SCHEMAS[1]).unlink()
    os.mkfifo(workshop.root / SCHEMAS[1])
    assert workshop.declared.assets_missing() == (READMES[1], SCHEMAS[0], SCHEMAS[1])
