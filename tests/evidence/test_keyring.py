"""Keys: made, told, rotated, retired, revoked; and what the log then says of them."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from attested_samples import ALICE, ROBOT, WORKER, Workshop

from interlock.access.errors import HumanNeeded
from interlock.evidence import keyring as module
from interlock.evidence.errors import (
    EvidenceError,
    KeyEnded,
    KeyExists,
    KeyMalformed,
    KeyMissing,
    KeyNameInvalid,
    KeyNeeded,
    KeyRoleTaken,
    KeyUnknown,
)
from interlock.evidence.keys import load_verifiers
from interlock.evidence.note import open_note


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path).begin()


def told(shop: Workshop) -> dict[str, tuple[str, str | None, int]]:
    return {key.name: (key.owner, key.role, key.from_index) for key in shop.keyring.list()}


def test_the_log_tells_of_every_key_with_its_owner_role_and_first_entry(shop: Workshop) -> None:
    assert told(shop) == {
        "log": ("log:evidence.example/workspace-1", None, 0),
        "service": ("service:interlock", None, 0),
        "human-alice": ("human:alice", None, 0),
        "agent-PlanAgent": ("agent:PlanAgent", "planner", 4),
        "agent-ReviewAgent": ("agent:ReviewAgent", "verifier", 5),
    }
    assert shop.verified().keys == 5


def test_an_agents_key_is_made_once_for_its_owner_only(shop: Workshop) -> None:
    size = shop.log.size()
    first = shop.keyring.ensure_agent(WORKER, "PlanAgent", "planner")
    assert shop.keyring.ensure_agent(WORKER, "PlanAgent", "planner") == first
    assert shop.log.size() == size
    assert stat.S_IMODE((shop.keys / "agent-PlanAgent.key").stat().st_mode) == 0o600


def test_an_agent_has_one_role(shop: Workshop) -> None:
    with pytest.raises(KeyRoleTaken):
        shop.keyring.ensure_agent(WORKER, "PlanAgent", "verifier")
    shop.keyring.retire(ALICE, "agent-PlanAgent")
    assert shop.keyring.ensure_agent(WORKER, "PlanAgent", "verifier").role == "verifier"
    assert shop.verified().keys == 6


@pytest.mark.parametrize("name", ["", "../log", "a/b", "a b", "a+b", "x" * 200, ".hidden", "log.next", "a\n"])
def test_a_name_that_could_be_a_path_or_no_key_name_is_refused(shop: Workshop, name: str) -> None:
    before = sorted(shop.keys.iterdir())
    with pytest.raises(KeyNameInvalid):
        shop.keyring.ensure_agent(WORKER, name, "planner")
    assert sorted(shop.keys.iterdir()) == before


def test_only_a_human_changes_keys(shop: Workshop) -> None:
    for actor in (ROBOT, WORKER):
        for verb in (
            lambda actor=actor: shop.keyring.add(actor, "human", "bob"),
            lambda actor=actor: shop.keyring.rotate(actor, "service"),
            lambda actor=actor: shop.keyring.retire(actor, "human-alice"),
            lambda actor=actor: shop.keyring.revoke(actor, "human-alice", reason="lost"),
        ):
            with pytest.raises(HumanNeeded):
                verb()


def test_a_key_that_is_there_is_not_added_again(shop: Workshop) -> None:
    assert shop.keyring.add(ALICE, "human", "bob").owner == "human:bob"
    with pytest.raises(KeyExists):
        shop.keyring.add(ALICE, "human", "bob")
    with pytest.raises(KeyNameInvalid):
        shop.keyring.add(ALICE, "agent", "Other")
    with pytest.raises(KeyNameInvalid):
        shop.keyring.add(ALICE, "log", "x")


def test_a_rotated_key_and_its_successor_both_count_until_the_old_one_is_retired(shop: Workshop) -> None:
    old = shop.signer("human-alice")
    shop.approval(old)
    fresh = shop.keyring.rotate(ALICE, "human-alice")
    assert fresh.verifier == shop.signer("human-alice").verifier() != old.verifier()
    shop.approval(old)
    shop.approval("human-alice")
    assert shop.verified().attestations.principal == 4  # the rotation itself is signed by its owner
    shop.keyring.retire(ALICE, old.verifier().key_id.hex())
    shop.approval("human-alice")
    assert shop.verified().attestations.principal == 5
    shop.approval(old)
    with pytest.raises(EvidenceError) as error:
        shop.verified()
    assert (error.value.exit_code, error.value.index) == (26, shop.log.size() - 1)


@pytest.mark.proves("evidence-keys")
def test_who_knows_only_the_logs_first_key_follows_it_to_its_successors(shop: Workshop) -> None:
    shop.evidence().head()
    for _ in range(3):
        old = shop.keyring.rotate(ALICE, "log").keyid
        both = shop.evidence().head().note
        assert len(open_note(both, load_verifiers(shop.out / "log.vkey")).verified) >= 2
        first = next(key for key in shop.keyring.list() if key.name == "log" and not key.ended)
        assert first.keyid != old
        shop.keyring.retire(ALICE, first.keyid)
        alone = shop.evidence().head().note
        assert len(open_note(alone, load_verifiers(shop.out / "log.vkey")).verified) == 1
    shop.approval()
    assert shop.verified().heads == 8


def test_a_head_that_only_a_retired_key_of_the_log_signed_is_refused(shop: Workshop) -> None:
    old = shop.signer("log")
    shop.keyring.rotate(ALICE, "log")
    shop.keyring.retire(ALICE, old.verifier().key_id.hex())
    room = shop.evidence()
    object.__setattr__(room, "sign", lambda: [old])
    room.head()
    with pytest.raises(EvidenceError) as error:
        shop.verified()
    assert error.value.exit_code == 26


def test_the_key_that_signs_now_can_not_be_ended_without_a_successor(shop: Workshop) -> None:
    for name in ("log", "service"):
        with pytest.raises(KeyNeeded):
            shop.keyring.retire(ALICE, name)
        with pytest.raises(KeyNeeded):
            shop.keyring.revoke(ALICE, name, reason="lost")


def test_a_key_ends_once_and_an_unknown_one_never(shop: Workshop) -> None:
    shop.keyring.retire(ALICE, "human-alice")
    with pytest.raises(KeyEnded):
        shop.keyring.retire(ALICE, "human-alice")
    assert shop.keyring.revoke(ALICE, "human-alice", reason="it was stolen long ago", from_index=3).revoked_from == 3
    with pytest.raises(KeyUnknown):
        shop.keyring.retire(ALICE, "human-nobody")
    with pytest.raises(KeyUnknown):
        shop.keyring.rotate(ALICE, "human-alice")


def test_a_retired_persons_key_signs_nothing_any_more(shop: Workshop) -> None:
    shop.keyring.retire(ALICE, "human-alice")
    assert not (shop.keys / "human-alice.key").exists()


def test_without_the_logs_key_no_key_is_told(shop: Workshop) -> None:
    (shop.keys / "log.key").unlink()
    assert shop.keyring.complete(ALICE) == []
    with pytest.raises(KeyMissing):
        shop.keyring.ensure_agent(WORKER, "Other", "planner")


@pytest.mark.parametrize("step", ["tell", "link", "replace"])
@pytest.mark.parametrize("name", ["log", "service", "human-alice"])
def test_a_rotation_that_was_killed_is_ended_by_the_next_call(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, step: str, name: str
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    def half(path: Path, to: Path) -> Path:
        path.rename(to)
        raise Killed

    with monkeypatch.context() as patched:
        if step == "tell":
            patched.setattr(Workshop, "_tell", die)
        else:
            patched.setattr(*(module.os, "link", die) if step == "link" else (Path, "replace", half))
        with pytest.raises(Killed):
            shop.keyring.rotate(ALICE, name)
    shop.approval()
    shop.run()
    shop.keyring.rotate(ALICE, name)
    assert not list(shop.keys.glob("*.next.*"))
    shop.approval()
    shop.run()
    assert shop.verified().attestations.unverified == 0


def test_a_key_file_that_is_not_the_one_that_the_log_knows_is_not_rotated(shop: Workshop) -> None:
    shop.keyring.rotate(ALICE, "human-alice")
    [former] = shop.keys.glob("human-alice.*.key")
    (shop.keys / "human-alice.key").write_bytes(former.read_bytes())
    before = shop.log.size()
    with pytest.raises(KeyMalformed):
        shop.keyring.rotate(ALICE, "human-alice")
    assert shop.log.size() == before


def test_two_who_need_one_agents_key_at_once_tell_of_it_once(shop: Workshop) -> None:
    ring = shop.keyring
    ring.ensure_agent(WORKER, "Third", "operator")
    ring.announce(WORKER, "agent-Third", role="operator", from_index=None, reason="twice")
    assert sum(b'"subject":"agent-Third"' in data for data in shop.log.data) == 1


def test_keys_json_is_what_the_log_says(shop: Workshop) -> None:
    shown = json.loads((shop.export() / "keys.json").read_bytes())
    assert [key["name"] for key in shown["keys"]] == [key.name for key in shop.keyring.list()]
    assert shown["schema_version"] == 1
