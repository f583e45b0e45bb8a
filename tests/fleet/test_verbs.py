"""The verbs of the fleet, on both databases."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from interlock.access.errors import HumanNeeded, ReasonBlank
from interlock.access.models import Actor, Principal, PrincipalKind, Role
from interlock.app import Interlock
from interlock.approval.models import Work
from interlock.fleet.errors import (
    ConfigUnchanged,
    NodeBehind,
    NodeNotTaking,
    NodeStateConflict,
    NodeUnknown,
)
from interlock.fleet.models import Facts, NodeState
from interlock.kernel.errors import Invalid
from interlock.kernel.ids import MalformedId, UlidSource
from interlock.queue.models import WorkerProcess
from interlock.storage.fleet import StoredNodes
from tests.conftest import ALICE, ROBOT, WORKER

ME = WorkerProcess(id="worker-1", host="here", boot_id="b", pid=1, start_time=1)
NODE = Facts(
    id=f"n_{UlidSource()()}",
    name="one",
    host="vm",
    boot_id="b",
    version="1",
    capabilities=("git",),
    labels=("gpu",),
    concurrency=2,
)
OTHER = replace(NODE, id=f"n_{UlidSource()()}", name="two")
SERVICE = Actor(principal=Principal(PrincipalKind.SERVICE, "ci"))
BODY = "[queue]\nlease_seconds = 30\n"


def kinds(house: Interlock, prefix: str = "node.") -> list[str]:
    house.database.seal()
    log = house.event_log
    return [str(each["kind"]) for _, each in log.events(0, log.size()) if str(each["kind"]).startswith(prefix)]


def waiting(house: Interlock) -> str:
    draft = house.approval.create(ALICE, "sweep", work=Work(command=("true",)))
    return house.runs.create(ALICE, house.approval.approve(ALICE, draft.id).id).id


def test_joining_is_told_once_and_again_only_when_something_about_the_node_is_new(house: Interlock) -> None:
    house.fleet.join(WORKER, NODE)
    house.fleet.join(WORKER, NODE)
    house.fleet.join(WORKER, replace(NODE, boot_id="another boot"))
    assert kinds(house) == ["node.joined"]
    house.fleet.join(WORKER, replace(NODE, version="2"))
    house.fleet.join(WORKER, replace(NODE, version="2", labels=("gpu", "zone=eu")))
    assert kinds(house) == ["node.joined"] * 3
    assert house.fleet.get(NODE.id).facts.has == {"git", "gpu", "zone=eu"}


def test_a_heartbeat_is_no_event_and_one_of_a_stranger_counts_nothing(house: Interlock) -> None:
    house.fleet.join(WORKER, NODE)
    before = house.fleet.get(NODE.id).beat
    assert house.fleet.beat(NODE.id, config_version=0)
    assert house.fleet.get(NODE.id).beat == before + 1
    assert not house.fleet.beat(OTHER.id, config_version=0)
    assert kinds(house) == ["node.joined"]


@pytest.mark.parametrize("verb", ["drain", "quarantine"])
def test_a_node_that_is_taken_out_of_work_claims_nothing_until_it_is_resumed(house: Interlock, verb: str) -> None:
    house.fleet.join(WORKER, NODE)
    house.fleet.join(WORKER, OTHER)
    run_id = waiting(house)
    getattr(house.fleet, verb)(ALICE, NODE.id, reason="a new disk")
    with pytest.raises(NodeNotTaking, match="a new disk"):
        house.runs.claim(WORKER, ME, node_id=NODE.id)
    house.fleet.resume(ALICE, NODE.id)
    claim = house.runs.claim(WORKER, ME, node_id=NODE.id)
    assert claim is not None
    assert claim.run.id == run_id
    assert house.fleet.get(NODE.id).held == 1


def test_a_node_that_nobody_knows_claims_nothing(house: Interlock) -> None:
    waiting(house)
    with pytest.raises(NodeUnknown):
        house.runs.claim(WORKER, ME, node_id=NODE.id)


def test_a_draining_node_says_drained_when_it_holds_nothing_more(house: Interlock) -> None:
    house.fleet.join(WORKER, NODE)
    waiting(house)
    claim = house.runs.claim(WORKER, ME, node_id=NODE.id)
    assert claim is not None
    assert house.fleet.drain(ALICE, NODE.id, reason="r").standing(0) == "draining"
    house.runs.give_back(WORKER, claim)
    assert house.fleet.get(NODE.id).standing(0) == "drained"


def test_an_agent_may_change_no_node_and_a_service_may_not_end_what_a_human_ordered(house: Interlock) -> None:
    house.fleet.join(WORKER, NODE)
    for verb in (house.fleet.drain, house.fleet.quarantine, house.fleet.resume, house.fleet.forget):
        with pytest.raises(HumanNeeded):
            verb(ROBOT, NODE.id, reason="r")
    house.fleet.quarantine(ALICE, NODE.id, reason="it behaves oddly")
    with pytest.raises(HumanNeeded, match="human:alice"):
        house.fleet.resume(SERVICE, NODE.id)
    house.fleet.resume(ALICE, NODE.id)
    house.fleet.quarantine(SERVICE, NODE.id, reason="a probe failed")
    assert house.fleet.resume(SERVICE, NODE.id).state is NodeState.ACTIVE


def test_what_the_state_does_not_allow_is_refused(house: Interlock) -> None:
    house.fleet.join(WORKER, NODE)
    with pytest.raises(NodeStateConflict, match="active already"):
        house.fleet.resume(ALICE, NODE.id)
    with pytest.raises(NodeStateConflict, match="lives"):
        house.fleet.forget(ALICE, NODE.id)
    house.fleet.quarantine(ALICE, NODE.id, reason="r")
    with pytest.raises(NodeStateConflict, match="which is more"):
        house.fleet.drain(ALICE, NODE.id, reason="r")
    house.fleet.leave(NODE.id, "nobody")
    with pytest.raises(NodeStateConflict, match="would come back"):
        house.fleet.forget(ALICE, NODE.id)
    house.fleet.resume(ALICE, NODE.id)
    house.fleet.forget(ALICE, NODE.id)
    assert house.fleet.list() == []
    assert kinds(house) == ["node.joined", "node.quarantined", "node.resumed", "node.forgotten"]


def test_reasons_and_ids_are_looked_at(house: Interlock) -> None:
    house.fleet.join(WORKER, NODE)
    with pytest.raises(ReasonBlank):
        house.fleet.drain(ALICE, NODE.id, reason=" \t")
    with pytest.raises(Invalid):
        house.fleet.drain(ALICE, NODE.id, reason="a\x1b[2Jb")
    with pytest.raises(MalformedId):
        house.fleet.drain(ALICE, "../n", reason="r")
    with pytest.raises(NodeUnknown):
        house.fleet.find("nobody")
    assert house.fleet.find("one").id == house.fleet.find(NODE.id).id == NODE.id


def test_draining_and_joining_go_on_while_panic_is_on_and_resuming_does_not(house: Interlock) -> None:
    house.fleet.join(WORKER, NODE)
    house.access.raise_panic(ALICE, role=Role.ADMIN, reason="r")
    house.fleet.join(WORKER, OTHER)
    house.fleet.drain(ALICE, NODE.id, reason="r")
    with pytest.raises(Exception, match="panic mode"):
        house.fleet.resume(ALICE, NODE.id)
    with pytest.raises(Exception, match="panic mode"):
        house.fleet.publish(ALICE, BODY)


@pytest.mark.proves("fleet-drain")
def test_a_claim_under_way_ends_before_a_drain_is_told_to_be_done(house: Interlock) -> None:
    """Nothing slips through: whoever has asked whether the node may claim is waited for."""
    house.fleet.join(WORKER, NODE)
    done: list[bool] = []
    with house.database.write(WORKER, calming=None) as transaction:
        StoredNodes(transaction).admit(NODE.id, 0)
        drain = threading.Thread(
            target=lambda: done.append(bool(house.fleet.drain(ALICE, NODE.id, reason="r"))), daemon=True
        )
        drain.start()
        drain.join(0.5)
        assert not done
    drain.join(20)
    assert done == [True]


@pytest.mark.proves("fleet-configuration")
def test_a_node_behind_the_published_configuration_claims_nothing(house: Interlock) -> None:
    house.fleet.join(WORKER, NODE)
    waiting(house)
    published = house.fleet.publish(ALICE, BODY, reason="longer leases")
    with pytest.raises(NodeBehind, match="1 is published"):
        house.runs.claim(WORKER, ME, node_id=NODE.id)
    assert house.fleet.get(NODE.id).standing(published.version) == "behind"
    assert kinds(house, "config.") == ["config.published"]


def test_only_a_human_publishes_and_only_what_can_hold_for_all(house: Interlock) -> None:
    with pytest.raises(HumanNeeded):
        house.fleet.publish(SERVICE, BODY)
    for body, told in (
        ("[database]\nurl = 'postgresql://x/y'", "each node's own"),
        ("[node]\nname = 'x'", "each node's own"),
        ("[server]\nport = 1", "each node's own"),
        ("[queue]\nnope = 1", "has no nope"),
        ("[nope]\nx = 1", "there is no section"),
        ("[queue]\nlease_seconds = 'x'", "whole number"),
        ("[queue", "the configuration: "),
        ("# AKIAIOSFODNN7EXAMPLF\n[queue]\nlease_seconds = 9\n", "secret"),
    ):
        with pytest.raises(Invalid, match=told):
            house.fleet.publish(ALICE, body)
    assert house.fleet.newest() is None
    first = house.fleet.publish(ALICE, BODY)
    with pytest.raises(ConfigUnchanged):
        house.fleet.publish(ALICE, BODY)
    second = house.fleet.publish(ALICE, "", reason="back to the defaults")
    assert [each.version for each in house.fleet.configs()] == [second.version, first.version] == [2, 1]
