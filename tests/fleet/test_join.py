"""A second machine takes part in a workspace without a copied key, and what it did there is verified everywhere."""

from __future__ import annotations

import getpass
import json
import re
from pathlib import Path

import pytest

from interlock.access.errors import HumanNeeded
from interlock.access.models import NewToken, Principal, PrincipalKind, Role
from interlock.evidence.errors import EnvelopeRejected
from interlock.evidence.joining import admitted
from interlock.evidence.keys import create_key, load_signer
from interlock.founding import create_workspace, join_workspace
from interlock.kernel.errors import Invalid
from interlock.workspace.errors import WorkspaceInvalid
from tests.conftest import ALICE, ROBOT, until
from tests.fleet.machines import Machine, Machines, machines


def assert_verified(two: Machines, *machines: Machine) -> None:
    """Sign the log where its key lies, and hold that these machines verify it."""
    two.first.house.evidence.head()
    for machine in machines:
        machine.house.catch_up(ALICE)
        verified = machine.call("evidence", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.proves("fleet-joining")
def test_what_a_joined_machine_did_is_verified_on_both(tmp_path: Path, postgres_url: str) -> None:
    with machines(tmp_path, postgres_url) as two:
        keys = {path.name for path in (two.second.root / ".interlock" / "keys").iterdir()}
        name = f"service-{two.second.node_id}"
        assert keys == {f"{name}.key", f"{name}.vkey"}
        run = two.run("echo joined > joined.txt")
        early = two.second.call("worker", "--once")
        assert early.returncode == 0, early.stderr
        assert "does not know this node's key yet" in early.stderr
        assert two.status(run) == "pending"

        two.first.house.admit_keys()
        assert two.kinds("key.")[-1] == ("key.added", name)
        late = two.second.call("worker", "--once")
        assert late.returncode == 0, late.stderr
        assert two.status(run) == "done", late.stderr
        assert two.second.node().facts.name == two.first.house.fleet.find(two.second.node_id).facts.name

        assert_verified(two, two.first, two.second)


@pytest.mark.proves("fleet-joining")
def test_whoever_approves_where_the_log_s_key_is_not_signs_with_what_the_log_knows(
    tmp_path: Path, postgres_url: str
) -> None:
    with machines(tmp_path, postgres_url) as two:
        keys, person = two.second.root / ".interlock" / "keys", f"human-{getpass.getuser()}"
        completed = two.second.call("init", str(two.second.root))
        assert completed.returncode == 0, completed.stderr
        assert not (keys / f"{person}.key").exists()
        create_key(keys / f"{person}.key", f"interlock/{person}")  # found somewhere, and never told to the log
        two.first.house.admit_keys()
        drafted = two.second.call("--json", "draft", "create", "--prompt", "Do it.", "--command", "true")
        assert two.second.call("draft", "approve", json.loads(drafted.stdout)["id"]).returncode == 0
        assert_verified(two, two.first)


def test_what_needs_the_log_s_key_says_where_that_is(tmp_path: Path, postgres_url: str) -> None:
    with machines(tmp_path, postgres_url) as two:
        for words in (("evidence", "head"), ("evidence", "keys", "add", "bob", "--purpose", "human")):
            refused = two.second.call(*words)
            assert refused.returncode == 3, words
            assert "the log's key is not on this machine" in refused.stderr
            assert "first machine" in refused.stderr
            assert "init" not in refused.stderr
        assert list((two.second.root / ".interlock" / "keys").glob("human-*")) == [], "it would sign, and not count"


@pytest.mark.proves("fleet-joining")
@pytest.mark.timeout(180)
def test_a_joined_machine_can_be_the_server_of_a_worker_without_a_database(tmp_path: Path, postgres_url: str) -> None:
    with machines(tmp_path, postgres_url) as two:
        new = NewToken(name="third", principal=Principal(PrincipalKind.SERVICE, "worker@third"), role=Role.OPERATOR)
        token = tmp_path / "token"
        token.touch(0o600)
        token.write_text(two.second.house.access.create(ALICE, new, role=Role.ADMIN).text)
        two.second.start("serve", "--api-only", "--port", "0")
        until(lambda: re.search(r" on (http://\S+)\n", two.second.said.read_text()), 60)
        (address,) = re.findall(r" on (http://\S+)\n", two.second.said.read_text())
        words = ("--server", address, "--token-file", str(token), "worker", "--work-dir", str(tmp_path / "third"))
        run = two.run("echo from afar > afar.txt")
        early = two.second.call(*words, "--once")
        assert early.returncode == 0, early.stderr
        assert two.status(run) == "pending", "whose key the log does not know signs nothing that counts"

        two.first.house.admit_keys()
        late = two.second.call(*words, "--once")
        assert late.returncode == 0, late.stderr
        assert two.status(run) == "done", two.second.said.read_text()
        assert_verified(two, two.first)


def test_joining_twice_asks_once_and_keeps_the_key(tmp_path: Path, postgres_url: str) -> None:
    with machines(tmp_path, postgres_url) as two:
        before = sorted((two.second.root / ".interlock" / "keys").iterdir())
        made = join_workspace(two.second.root, ALICE, database_url="", replace=False)
        assert {each.done for each in made} == {"kept"}
        assert sorted((two.second.root / ".interlock" / "keys").iterdir()) == before
        assert len(two.kinds("node.key_asked")) == 1
        two.first.house.admit_keys()
        two.first.house.admit_keys()
        assert len([each for each in two.kinds("key.added") if "service-n_" in each[1]]) == 1


def test_a_key_is_added_only_as_it_was_asked_for(tmp_path: Path, postgres_url: str) -> None:
    with machines(tmp_path, postgres_url) as two:
        (wish,) = two.first.house.fleet.keys_asked()
        log = load_signer(two.first.house.layout.keys / "log.key", two.first.house.event_log.origin())
        admitted(wish.envelope, wish.name, wish.vkey, wish.reason, log)
        for name, vkey, reason in (
            ("service-other", wish.vkey, wish.reason),
            (wish.name, log.verifier().vkey(), wish.reason),
            (wish.name, wish.vkey, "another reason"),
        ):
            with pytest.raises(EnvelopeRejected):
                admitted(wish.envelope, name, vkey, reason, log)


def test_what_can_not_be_joined_is_refused(tmp_path: Path, postgres_url: str) -> None:
    with pytest.raises(Invalid, match="machines share"):
        join_workspace(tmp_path / "a", ALICE, database_url="", replace=False)
    with pytest.raises(WorkspaceInvalid, match="no workspace that could be joined"):
        join_workspace(tmp_path / "b", ALICE, database_url=postgres_url, replace=False)
    with pytest.raises(HumanNeeded):
        join_workspace(tmp_path / "c", ROBOT, database_url=postgres_url, replace=False)
    create_workspace(tmp_path / "d", ALICE, database_url=postgres_url, replace=False)
    with pytest.raises(WorkspaceInvalid, match="the first machine"):
        join_workspace(tmp_path / "d", ALICE, database_url=postgres_url, replace=False)
