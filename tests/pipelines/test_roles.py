"""The role file is understood wholly or not at all, and every complaint names the line."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.pipelines.agents import ACTIONS as CARRIED_OUT
from interlock.pipelines.errors import AgentUnknown, RoleFileInvalid, RoleUnknown
from interlock.pipelines.roles import (
    ACTIONS,
    ROLE_FILE,
    RoleDirectory,
    parse_roles,
    read_roles,
    role_changes,
    uncommitted,
)

SHIPPED = b"""{
  "planner": {"agent_id": "PlanAgent", "description": "Plans."},
  "operator": {"agent_id": "OperationsBoardAgent"},
  "Verifier": {"agent_id": "ReviewAgent", "keyids": ["abc"]}
}
"""


@pytest.fixture
def directory() -> RoleDirectory:
    return parse_roles(SHIPPED)


def test_roles_are_known_by_lower_case_names(directory: RoleDirectory) -> None:
    assert sorted(directory.roles) == ["operator", "planner", "verifier"]
    assert directory.roles["verifier"].agent_id == "ReviewAgent"
    assert directory.roles["planner"].description == "Plans."
    assert directory.digest.startswith("sha256:")


@pytest.mark.proves("pipeline-roles")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n  "planner": {"agent_id": "A"},\n}', ":3: "),
        (
            '{\n"planner": {"agent_id": "A"},\n"planner": {"agent_id": "B"}}',
            ":3: planner stands twice, first in line 2",
        ),
        ('{"planner": {\n"agent_id": "A",\n"agent_id": "B"}}', ":3: planner.agent_id stands twice, first in line 2"),
        ('{\n"planner": {\n"agent_id": "A", "keys": []}}', ":3: planner.keys is not known"),
        ('{\n\n"planner": {"description": "x"}}', ":3: planner must have an agent_id"),
        ('{\n"planner": {"agent_id": " "}}', ":2: planner.agent_id ' ' is no name"),
        ('{\n"planner": {"agent_id": "a/../b"}}', ":2: planner.agent_id 'a/../b' is no name"),
        ('{\n"planner": {"agent_id": 7}}', ":2: planner.agent_id '7' is no name"),
        ('{\n"": {"agent_id": "A"}}', ":2: '' is no name for a role"),
        ('{\n"pl an": {"agent_id": "A"}}', ":2: 'pl an' is no name for a role"),
        ('{"planner": {"agent_id": "A"},\n"PLANNER": {"agent_id": "B"}}', ":2: the role planner stands twice"),
        ('{\n"planner": "PlanAgent"}', ":2: planner must be an object"),
        ('{"planner": {"agent_id": "A",\n"description": "a\\nb"}}', ":2: planner.description must be one line"),
        ('{"planner": {"agent_id": "A",\n"keyids": [""]}}', ":2: planner.keyids must be a list of key ids"),
        ("[]", ":1: must be one object of roles"),
        ("{}", ":1: must hold 1 to 100 roles"),
        ("", ":1: "),
        ("[" * 100_000, ":1: this is not JSON"),
    ],
)
def test_a_malformed_role_file_is_an_error_that_names_the_line(text: str, said: str) -> None:
    with pytest.raises(RoleFileInvalid) as raised:
        parse_roles(text.encode())
    assert raised.value.message.startswith(ROLE_FILE + said)


def test_bytes_that_are_no_text_are_an_error_that_names_the_line() -> None:
    with pytest.raises(RoleFileInvalid, match=r"agent_roles\.json:2: this is not UTF-8"):
        parse_roles(b'{\n"\xff": {}}')


@pytest.mark.proves("pipeline-roles")
def test_a_missing_role_file_is_an_error_and_no_empty_directory(tmp_path: Path) -> None:
    with pytest.raises(RoleFileInvalid, match=r"agents/data/agent_roles\.json is not there"):
        read_roles(tmp_path)


def test_a_folder_in_the_place_of_the_role_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ROLE_FILE).mkdir(parents=True)
    with pytest.raises(RoleFileInvalid, match="can not be read"):
        read_roles(tmp_path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_whatever_json_is_there_is_read_or_refused(value: object) -> None:
    with contextlib.suppress(RoleFileInvalid):
        assert parse_roles(json.dumps(value, indent=1).encode()).roles


def test_agent_role_wins_then_the_prefix_then_the_agents_id(directory: RoleDirectory) -> None:
    def found(agent_role: str | None, agent: str | None) -> str | None:
        role = directory.resolve(agent_role, agent)
        return role.name if role else None

    assert found("Planner", "role::operator") == "planner"
    assert found(" ", "role::operator") == "operator"
    assert found(None, "role:OPERATOR") == "operator"
    assert found(None, "ReviewAgent") == "verifier"
    assert found(None, "reviewagent") == "verifier"
    assert found(None, None) is None


def test_an_agents_exact_id_wins_over_one_in_another_case() -> None:
    found = parse_roles(b'{"a": {"agent_id": "bot"}, "b": {"agent_id": "Bot"}}')
    assert found.agent("Bot").name == "b"


def test_an_unknown_role_or_agent_is_named(directory: RoleDirectory) -> None:
    with pytest.raises(RoleUnknown, match="role::ghost"):
        directory.resolve("ghost", None)
    with pytest.raises(RoleUnknown, match="role::ghost"):
        directory.resolve(None, "role::ghost")
    with pytest.raises(AgentUnknown, match="GhostAgent"):
        directory.resolve(None, "GhostAgent")


def test_changes_name_new_changed_and_gone_roles(directory: RoleDirectory) -> None:
    before = {"planner": ("OtherAgent", "Plans."), "operator": ("OperationsBoardAgent", ""), "auditor": ("Old", "")}
    found = {each.role: (each.previous_agent_id, each.agent_id) for each in role_changes(before, directory)}
    assert found == {
        "planner": ("OtherAgent", "PlanAgent"),
        "auditor": ("Old", None),
        "verifier": (None, "ReviewAgent"),
    }


def test_another_description_is_a_change(directory: RoleDirectory) -> None:
    before = {role.name: (role.agent_id, role.description) for role in directory.roles.values()}
    assert role_changes(before, directory) == []
    before["planner"] = ("PlanAgent", "Planned.")
    assert [each.role for each in role_changes(before, directory)] == ["planner"]


def test_every_action_that_a_definition_may_name_is_one_that_an_agent_carries_out() -> None:
    assert {role: frozenset(actions) for role, actions in CARRIED_OUT.items()} == ACTIONS


def test_an_uncommitted_change_of_the_role_file_is_told(tmp_path: Path) -> None:
    (tmp_path / ROLE_FILE).parent.mkdir(parents=True)
    (tmp_path / ROLE_FILE).write_bytes(SHIPPED)
    assert uncommitted(tmp_path) is None
    _git(tmp_path, "init", "-q")
    assert uncommitted(tmp_path) == f"{ROLE_FILE} was never committed"
    (tmp_path / "other").write_text("x")
    _git(tmp_path, "add", "other")
    _git(tmp_path, "commit", "-qm", "other")
    assert uncommitted(tmp_path) == f"{ROLE_FILE} was never committed"
    _git(tmp_path, "add", ROLE_FILE)
    _git(tmp_path, "commit", "-qm", "roles")
    assert uncommitted(tmp_path) is None
    (tmp_path / ROLE_FILE).write_bytes(SHIPPED.replace(b"Plans.", b"Plots."))
    assert uncommitted(tmp_path) == f"{ROLE_FILE} has changes that are not committed"


def test_looking_for_uncommitted_changes_runs_nothing_of_the_repository(tmp_path: Path) -> None:
    (tmp_path / ROLE_FILE).parent.mkdir(parents=True)
    (tmp_path / ROLE_FILE).write_bytes(SHIPPED)
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", ROLE_FILE)
    _git(tmp_path, "commit", "-qm", "roles")
    ran = tmp_path / "ran"
    (tmp_path / ".gitattributes").write_text("* filter=evil\n")
    _git(tmp_path, "config", "filter.evil.clean", f"touch {ran}; cat")
    _git(tmp_path, "config", "core.fsmonitor", f"touch {ran}")
    (tmp_path / ROLE_FILE).write_bytes(SHIPPED + b"\n")
    assert uncommitted(tmp_path) == f"{ROLE_FILE} has changes that are not committed"
    assert not ran.exists()


def _git(root: Path, *args: str) -> None:
    name = ("-c", "user.name=t", "-c", "user.email=t@t")
    subprocess.run(["git", *name, *args], cwd=root, check=True, capture_output=True)
