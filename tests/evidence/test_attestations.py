"""Which signed statements an entry may name, and which not; each failure by its own exit code."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from attested_samples import ALICE, ARTEFACT, RUN, SHA, Workshop
from evidence_samples import leaf, signer

from interlock.evidence import attestations as module
from interlock.evidence.content import named
from interlock.evidence.directory import KeyDirectory, change_predicate, change_subject
from interlock.evidence.dsse import seal, statement
from interlock.evidence.errors import EvidenceError
from interlock.evidence.keys import create_key, load_verifiers
from interlock.evidence.ledger import read_leaf
from interlock.evidence.models import Attestations, LoggedEvent
from interlock.evidence.note import Signer, Verifier
from interlock.evidence.predicates import AGENT_RUN, APPROVAL, CHECKPOINT, DEMANDED, KEY_CHANGE, SELF_HEAL_REPORT
from interlock.evidence.verify import verify_export
from interlock.kernel.canonical import Json, canonical


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path).begin()


def failure(shop: Workshop, **more: object) -> EvidenceError:
    with pytest.raises(EvidenceError) as told:
        shop.verified(**more)
    return told.value


def test_every_statement_is_counted_by_whose_signature_it_bears(shop: Workshop) -> None:
    shop.approval()
    shop.approval("service", "service_on_behalf", principal="human:bob")
    shop.run()
    shop.checkpoint()
    shop.checkpoint("agent-PlanAgent", role="planner")
    shop.outcome()
    assert shop.verified().attestations == Attestations(principal=5, on_behalf=1, log=5)


def test_a_log_from_before_there_were_keys_verifies_and_says_what_it_can_not(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.approval()
    shop.run()
    found = shop.verified()
    assert found.attestations == Attestations(unverified=2)
    assert any("2 attestations are unverified" in caveat for caveat in found.caveats)


def test_entries_from_before_the_first_key_count_once_their_key_is_told(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.approval()
    shop.approval(create_key(tmp_path / "lost" / "human-alice.key", "interlock/human-alice"))
    shop.keyring.complete(ALICE)
    assert shop.verified().attestations == Attestations(principal=1, log=3, unverified=1)


def test_an_early_entry_that_a_known_key_signed_names_that_key(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    at = shop.approval()
    told = attestation_of(shop)
    shop.log.data.pop()
    payload: dict[str, Json] = {"approved_id": "a_1", "sha": SHA, "attestation": {**told, "keyid": "00000000"}}
    shop.tell("draft.approved", "d_1", "human:alice", payload)
    shop.keyring.complete(ALICE)
    assert (failure(shop).exit_code, failure(shop).index) == (24, at)


def test_a_checkpoint_that_the_entry_tells_as_another_role_s_is_refused(shop: Workshop) -> None:
    predicate: dict[str, Json] = {"pipeline_id": "p_1", "role": "verifier"}
    told = shop.attest("agent-ReviewAgent", CHECKPOINT, (ARTEFACT, SHA), predicate, principal="agent:ReviewAgent")
    payload: dict[str, Json] = {"role": "planner", "path": ARTEFACT, "sha": SHA, "attestation": told}
    at = shop.tell("pipeline.state.checkpoint_passed", "p_1", "agent:ReviewAgent", payload)
    assert (failure(shop).exit_code, failure(shop).index) == (27, at)


def test_a_person_may_demand_that_approvals_are_signed_in_person(shop: Workshop) -> None:
    shop.run()
    shop.approval()
    assert shop.verified(own_signatures=True).attestations.principal == 2
    at = shop.approval("service", "service_on_behalf")
    assert (failure(shop, own_signatures=True).exit_code, failure(shop, own_signatures=True).index) == (33, at)


WRONG: list[tuple[str, Callable[[Workshop], int], int]] = [
    ("an agent's key under an approval", lambda shop: shop.approval("agent-PlanAgent"), 25),
    ("the service's key as a person's own", lambda shop: shop.approval("service"), 25),
    ("one person's key as another's", lambda shop: shop.approval(principal="human:bob"), 25),
    ("a person's key on behalf of another", lambda shop: shop.approval("human-alice", "service_on_behalf"), 25),
    ("a person's key under a run", lambda shop: shop.run("human-alice"), 25),
    ("the log's key under a run", lambda shop: shop.run("log"), 25),
    ("the planner's key under the verifier's checkpoint", lambda shop: shop.checkpoint("agent-PlanAgent"), 25),
    ("the service's key under a checkpoint", lambda shop: shop.checkpoint("service"), 25),
    ("the planner's key under the verifier's outcome", lambda shop: shop.outcome("agent-PlanAgent"), 25),
    ("a checkpoint of another run", lambda shop: shop.checkpoint(pipeline="p_0"), 27),
    ("another digest than the entry's", lambda shop: shop.approval(digest="sha256:" + "cd" * 32), 27),
    ("another subject than the entry's", lambda shop: shop.approval(approved_id="a_2"), 27),
]


@pytest.mark.proves("evidence-attested")
@pytest.mark.parametrize(("what", "make", "code"), WRONG, ids=[row[0] for row in WRONG])
def test_a_statement_must_be_signed_by_who_may_and_fit_its_entry(
    shop: Workshop, what: str, make: Callable[[Workshop], int], code: int
) -> None:
    at = make(shop)
    error = failure(shop)
    assert (error.exit_code, error.index) == (code, at), (what, error.message)


def test_an_entry_by_another_principal_than_the_statements_is_a_mismatch(shop: Workshop) -> None:
    at = shop.approval()
    told = shop.log.data[at]
    shop.log.data[at] = told.replace(b'"principal":"human:alice","subject"', b'"principal":"human:mal","subject"')
    assert (failure(shop).exit_code, failure(shop).index) == (27, at)


def test_an_envelope_of_one_entry_is_no_other_entrys(shop: Workshop) -> None:
    shop.run()
    at = shop.tell("run.done", "r_other", "service:worker@test", {"attestation": attestation_of(shop)})
    assert (failure(shop).exit_code, failure(shop).index) == (27, at)


def attestation_of(shop: Workshop) -> dict[str, str]:
    return json.loads(shop.log.data[-1])["payload"]["attestation"]


@pytest.mark.parametrize("name", ["digest", "keyid", "predicate_type", "signed_by"])
def test_an_attestation_that_says_less_or_other_than_the_statement_is_refused(shop: Workshop, name: str) -> None:
    shop.run()
    told = attestation_of(shop)
    shop.log.data.pop()
    at = shop.tell("run.done", RUN, "service:worker@test", {"attestation": {**told, name: None}})
    if name == "digest":  # then it is no attestation, but plain payload
        assert shop.verified().attestations.principal == 0
        return
    assert (failure(shop).exit_code, failure(shop).index) == (27, at)
    shop.log.data.pop()
    shop.log.signed.clear()
    shop.tell("run.done", RUN, "service:worker@test", {"attestation": {**told, name: "urn:other"}})
    assert failure(shop).exit_code in {24, 27}


def test_a_missing_an_edited_and_an_unreadable_envelope_are_told_apart(shop: Workshop) -> None:
    at = shop.approval()
    folder = shop.export()
    [path] = [folder / "envelopes" / f"{attestation_of(shop)['digest'].removeprefix('sha256:')}.json"]
    whole = path.read_bytes()

    def check() -> EvidenceError:
        with pytest.raises(EvidenceError) as told:
            module.Check(directory=shop.directory(), envelopes=module.Envelopes(path.parent)).one(
                module.Attested(at, shop_event(shop, at))
            )
        return told.value

    path.write_bytes(whole.replace(b"payloadType", b"payloadtype"))
    assert check().exit_code == 24
    # as good a statement, by the same person about the same thing
    other = shop.attest("human-alice", APPROVAL, ("a_1", SHA), {"draft_id": "d_2"}, principal="human:alice")
    path.write_bytes(shop.log.envelopes[str(other["digest"])])
    assert "edited" in check().message
    path.unlink()
    assert (check().exit_code, check().index) == (22, at)
    path.mkdir()
    assert check().exit_code == 22


def shop_event(shop: Workshop, at: int) -> LoggedEvent:
    return read_leaf(shop.log.data[at])


def test_an_unknown_key_is_no_key(shop: Workshop, tmp_path: Path) -> None:
    stranger = create_key(tmp_path / "other" / "human-alice.key", "interlock/human-alice")
    at = shop.approval(stranger)
    assert (failure(shop).exit_code, failure(shop).index) == (24, at)


def test_a_wrong_signature_under_a_known_keys_id_is_refused(shop: Workshop) -> None:
    at = shop.approval()
    ref = attestation_of(shop)["digest"]
    envelope = shop.log.envelopes[ref]
    shop.log.data.pop()
    shop.log.signed.clear()
    told = json.loads(envelope)
    told["signatures"][0]["sig"] = b64encode(bytes(64)).decode()
    forged = canonical(told)
    shop.log.envelopes[named(forged, "").ref] = forged
    attestation = {**told_of(shop), "digest": named(forged, "").ref}
    shop.tell("draft.approved", "d_1", "human:alice", {"approved_id": "a_1", "attestation": attestation})
    assert (failure(shop).exit_code, failure(shop).index) == (24, at)


def told_of(shop: Workshop) -> dict[str, str]:
    signer = shop.signer("human-alice").verifier().key_id.hex()
    return {
        "keyid": signer,
        "predicate_type": "urn:interlock:predicate:approval/v1",
        "signed_by": "principal",
    }


@pytest.mark.proves("evidence-keys")
def test_a_revoked_key_fails_from_its_entry_on_and_stands_before(shop: Workshop) -> None:
    shop.approval()
    at = shop.approval()
    shop.keyring.revoke(ALICE, "human-alice", reason="lost", from_index=at + 1)
    assert shop.verified().attestations.principal == 2
    shop.keyring.add(ALICE, "human", "alice")
    shop.approval()
    assert shop.verified().attestations.principal == 3


def test_a_key_that_is_revoked_later_for_entries_long_past_fails_there(shop: Workshop) -> None:
    shop.approval()
    at = shop.approval()
    shop.run()
    shop.keyring.revoke(ALICE, "human-alice", reason="stolen", from_index=at)
    assert (failure(shop).exit_code, failure(shop).index) == (26, at)
    assert "revoked" in failure(shop).message


def test_a_key_counts_only_from_its_entry_on(shop: Workshop) -> None:
    early = create_key(shop.keys / "human-bob.key", "interlock/human-bob")
    at = shop.approval(early, principal="human:bob")
    shop.keyring.announce(ALICE, "human-bob", role=None, from_index=None, reason="late")
    assert (failure(shop).exit_code, failure(shop).index) == (26, at)


@pytest.mark.parametrize("kind", sorted(DEMANDED))
@pytest.mark.parametrize(
    "attestation", [None, {"signed_by": "principal"}, "sha256:" + SHA], ids=["none", "half", "text"]
)
def test_what_must_be_signed_is_refused_without_a_statement(shop: Workshop, kind: str, attestation: Json) -> None:
    """Else whoever writes the database could approve, and sign nothing."""
    at = shop.tell(kind, "d_1", "human:alice", {"attestation": attestation})
    assert (failure(shop).exit_code, failure(shop).index) == (24, at)


def test_what_must_be_signed_is_signed_as_what_it_is(shop: Workshop) -> None:
    told = shop.attest("service", AGENT_RUN, (RUN, SHA), {}, principal="service:worker@test")
    at = shop.tell("draft.approved", RUN, "service:worker@test", {"attestation": told})
    assert (failure(shop).exit_code, failure(shop).index) == (27, at)


def test_before_the_log_knew_of_keys_an_entry_without_a_statement_stands(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.tell("draft.approved", "d_1", "human:alice", {"attestation": None})
    shop.keyring.complete(ALICE)
    assert shop.verified().attestations == Attestations(log=3)


def test_a_statement_of_an_unknown_type_is_nobodys_to_sign(shop: Workshop) -> None:
    attestation = shop.attest("service", "urn:other", ("x", SHA), {}, principal="service:worker@test")
    at = shop.tell("x.done", "x", "service:worker@test", {"sha": SHA, "attestation": attestation})
    assert (failure(shop).exit_code, failure(shop).index) == (25, at)


def test_a_change_of_keys_is_no_other_entrys_statement(shop: Workshop) -> None:
    """Else whoever writes entries could pass over every check by that one word."""
    attestation = shop.attest("log", KEY_CHANGE, ("x", SHA), {}, principal="human:alice", signed_by="log")
    at = shop.tell("draft.approved", "x", "human:alice", {"sha": SHA, "attestation": attestation})
    assert (failure(shop).exit_code, failure(shop).index) == (27, at)


# --- changes of keys --------------------------------------------------------------------------------------------------


def forge(
    shop: Workshop,
    kind: str,
    signers: list[str],
    *,
    former: Signer | None = None,
    of: bytes | None = None,
    by: str = "log",
    **changes: Json,
) -> int:
    """Append the last key event (or another) again: as another kind, by other signers or with other fields."""
    last = json.loads(of or shop.log.data[-1])
    fields = {name: value for name, value in last["payload"].items() if name != "attestation"} | changes
    told = change_predicate(kind, fields, name=last["subject"], principal="human:alice", signed_by=by)
    body = statement([change_subject(Verifier.parse(str(fields["vkey"])))], KEY_CHANGE, told)
    known = [former if name == "former" and former else shop.signer(name) for name in signers]
    envelope = seal(body, known)
    ref = named(envelope, "").ref
    shop.log.envelopes[ref] = envelope
    keyid = known[0].verifier().key_id.hex()
    attestation = {"digest": ref, "keyid": keyid, "predicate_type": KEY_CHANGE, "signed_by": by}
    return shop.tell(kind, last["subject"], "human:alice", {**fields, "attestation": attestation})


@pytest.mark.parametrize(
    ("signers", "code"),
    [(["service", "agent-ReviewAgent"], 25), (["log"], 24), (["agent-ReviewAgent"], 25)],
    ids=["not by the log", "not by the new key", "by the new key alone"],
)
def test_a_key_is_added_only_by_the_log_and_by_the_key_itself(shop: Workshop, signers: list[str], code: int) -> None:
    last = shop.log.data[-1]
    at = forge(shop, "key.added", signers)
    shop.log.data.remove(last)
    assert (failure(shop).exit_code, failure(shop).index) == (code, at - 1)


def test_an_agent_can_not_give_its_key_another_role(shop: Workshop) -> None:
    last = shop.log.data[-1]
    shop.log.data.remove(last)
    shop.log.data.append(last.replace(b'"role":"verifier"', b'"role":"planner"'))
    assert failure(shop).exit_code == 27


@pytest.mark.parametrize(
    ("changes", "code"),
    [({}, 0), ({"role": "planner"}, 25), ({"owner": "agent:Other"}, 25), ({"purpose": "human"}, 25)],
    ids=["as it is", "another role", "another owner", "another purpose"],
)
def test_a_key_passes_on_what_it_is_and_no_more(shop: Workshop, changes: dict[str, Json], code: int) -> None:
    old = shop.signer("agent-ReviewAgent")
    shop.keyring.rotate(ALICE, "agent-ReviewAgent")
    last = shop.log.data.pop()
    keys = ["former", "agent-ReviewAgent"]
    at = forge(shop, "key.rotated", keys, former=old, of=last, by="principal", **changes)
    if not code:
        shop.verified()
        return
    assert (failure(shop).exit_code, failure(shop).index) == (code, at)


def test_a_key_that_is_retired_has_no_successor_any_more(shop: Workshop) -> None:
    old = shop.signer("agent-ReviewAgent")
    shop.keyring.rotate(ALICE, "agent-ReviewAgent")
    rotated = shop.log.data.pop()
    (shop.keys / "agent-ReviewAgent.key").rename(shop.keys / "fresh.key")
    shop.keyring.retire(ALICE, "agent-ReviewAgent")
    (shop.keys / "fresh.key").rename(shop.keys / "agent-ReviewAgent.key")
    at = forge(shop, "key.rotated", ["former", "agent-ReviewAgent"], former=old, of=rotated, by="principal")
    assert (failure(shop).exit_code, failure(shop).index) == (26, at)


def test_a_key_is_told_with_its_own_id(shop: Workshop) -> None:
    last = shop.log.data.pop()
    at = forge(shop, "key.added", ["log", "agent-ReviewAgent"], of=last, keyid="00000000")
    assert (failure(shop).exit_code, failure(shop).index) == (27, at)


def test_what_ended_once_does_not_end_later() -> None:
    directory, key = KeyDirectory(), signer(4, "interlock/human-x").verifier()
    named_so: dict[str, Json] = {"vkey": key.vkey(), "keyid": key.key_id.hex(), "reason": "", "attestation": {}}
    owned: dict[str, Json] = {"owner": "human:x", "purpose": "human", "role": None, "from_index": 0}

    def follow(index: int, kind: str, **fields: Json) -> None:
        data = leaf(index, kind=kind, subject="human-x", payload={**named_so, **fields})
        directory.follow(index, read_leaf(data))

    follow(1, "key.added", **owned)
    for index, first in ((5, 3), (6, 9), (7, None)):
        follow(index, "key.revoked", revoked_from=first)
        assert directory.keys[key.vkey()].revoked_from == 3


def test_a_person_can_not_revoke_with_a_key_that_is_not_the_logs(shop: Workshop) -> None:
    shop.keyring.revoke(ALICE, "agent-ReviewAgent", reason="lost")
    last = shop.log.data[-1]
    at = forge(shop, "key.revoked", ["human-alice"])
    shop.log.data.remove(last)
    assert (failure(shop).exit_code, failure(shop).index) == (25, at - 1)


def test_a_change_of_keys_without_a_statement_is_refused(shop: Workshop) -> None:
    at = shop.tell("key.revoked", "log", "human:alice", {"keyid": "00000000", "reason": "", "attestation": None})
    assert (failure(shop).exit_code, failure(shop).index) == (27, at)


def test_a_stranger_who_adds_a_log_key_of_his_own_is_refused(shop: Workshop, tmp_path: Path) -> None:
    """He who writes the database, and holds no key of the log's, can add entries but no keys."""
    other = Workshop(tmp_path / "other")
    other.log.data = list(shop.log.data)
    other.keyring.announce(ALICE, "log", role=None, from_index=0, reason="mine")
    shop.log.data.append(other.log.data[-1])
    shop.log.envelopes |= other.log.envelopes
    assert failure(shop).exit_code == 25


def test_a_window_of_keys_that_says_other_than_the_log_is_seen(shop: Workshop) -> None:
    folder = shop.export()
    shown = folder / "keys.json"
    shown.write_bytes(shown.read_bytes().replace(b'"role": "planner"', b'"role": "verifier"'))
    with pytest.raises(EvidenceError) as told:
        verify_export(folder / "ledger.jsonl", folder / "heads.jsonl", load_verifiers(folder / "log.vkey"))
    assert told.value.exit_code == 14


# --- many -------------------------------------------------------------------------------------------------------------


def test_of_many_statements_the_first_bad_one_is_named(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", 8)
    for _ in range(60):
        shop.run()
    seen: list[int] = []
    assert shop.verified(progress=seen.append).attestations.principal == 60
    assert max(seen) >= 60
    at = shop.checkpoint("agent-PlanAgent")
    for _ in range(30):
        shop.checkpoint("service")
    assert (failure(shop).exit_code, failure(shop).index) == (25, at)


def test_a_report_of_an_agent_names_what_it_signed(shop: Workshop) -> None:
    attestation = shop.attest(
        "agent-PlanAgent", SELF_HEAL_REPORT, ("self_heal_1", SHA), {}, principal="agent:PlanAgent"
    )
    shop.tell("self_heal.reported", "self_heal_1", "agent:PlanAgent", {"report": SHA, "attestation": attestation})
    assert shop.verified().attestations.principal == 1
