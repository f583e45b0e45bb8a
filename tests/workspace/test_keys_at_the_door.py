"""`interlock evidence keys`: by a person only, told to the log, and seen by everybody who verifies."""

from __future__ import annotations

import json

import pytest

from interlock.access.models import Actor, Principal
from interlock.app import Interlock
from interlock.evidence.dsse import read_envelope
from interlock.evidence.predicates import CHECKPOINT
from tests.cli.door import Door
from tests.conftest import WORKER

DIGEST = "sha256:" + "ab" * 32


def listed(ask: Door) -> dict[str, dict[str, object]]:
    return {str(key["keyid"]): key for key in ask.json("evidence", "keys", "list")}


def test_a_workspace_begins_with_the_keys_that_it_made(ask: Door) -> None:
    keys = listed(ask)
    assert {"log", "service"} < {str(key["purpose"]) for key in keys.values()}
    assert all(key["until_index"] is None and key["revoked_from"] is None for key in keys.values())
    shown = json.loads((ask.root / "storage" / "db" / "evidence" / "keys.json").read_bytes())
    assert {key["keyid"]: key for key in shown["keys"]} == keys


def test_a_key_lives_from_being_added_to_being_revoked(ask: Door) -> None:
    added = ask.json("evidence", "keys", "add", "bob", "--purpose", "human")
    assert (added["status"], added["owner"]) == ("added", "human:bob")
    fresh = ask.json("evidence", "keys", "rotate", "human-bob", "--reason", "a new laptop")
    assert ask.json("evidence", "keys", "retire", added["id"])["until_index"] is not None
    told = ask.json("evidence", "keys", "revoke", fresh["id"], "--reason", "stolen", "--from", "7")
    assert (told["status"], told["revoked_from"], told["reason"]) == ("revoked", 7, "stolen")
    assert ask("evidence", "head").code == 0
    answer = ask.json("evidence", "verify")
    assert (answer["status"], answer["keys"]) == ("verified", len(listed(ask)))


@pytest.mark.parametrize("who", ["agent:claude", "service:cron"])
@pytest.mark.parametrize(
    "words",
    [
        ["add", "bob", "--purpose", "human"],
        ["rotate", "service"],
        ["retire", "service"],
        ["revoke", "service", "--reason", "r"],
    ],
    ids=lambda words: words[0],
)
def test_only_a_person_changes_keys(ask: Door, who: str, words: list[str]) -> None:
    before = ask.json("evidence", "keys", "list")
    ask("--as", who, "evidence", "keys", *words).refuses(4, "human")
    assert ask.json("evidence", "keys", "list") == before


REFUSED: list[tuple[list[str], int]] = [
    (["add", "bob", "--purpose", "log"], 2),
    (["add", "bob", "--purpose", "agent"], 2),
    (["add", "X", "--purpose", "agent", "--role", "king"], 2),
    (["add", "bob", "--purpose", "human", "--role", "planner"], 2),
    (["add", "../bob", "--purpose", "human"], 2),
    (["rotate", "human-nobody"], 3),
    (["retire", "00000000"], 3),
    (["retire", "log"], 4),
    (["revoke", "service"], 2),
    (["revoke", "service", "--reason", "lost"], 4),
]


@pytest.mark.parametrize(("words", "code"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_what_can_not_be_done_with_a_key_is_refused(ask: Door, words: list[str], code: int) -> None:
    before = ask.json("evidence", "keys", "list")
    ask("evidence", "keys", *words).refuses(code)
    assert ask.json("evidence", "keys", "list") == before


def test_an_agent_with_a_key_signs_itself_and_one_without_is_signed_for(house: Interlock) -> None:
    key = house.keyring.ensure_agent(WORKER, "PlanAgent", "planner")

    def signed(agent: str) -> tuple[object, object]:
        actor = Actor(principal=Principal.parse(f"agent:{agent}"))
        made = house.attest(actor, predicate_type=CHECKPOINT, subject="a", digest=DIGEST, predicate={"role": "planner"})
        [signature] = read_envelope(made.envelope).signatures
        assert signature[0] == made.attestation["keyid"]
        return made.attestation["keyid"], made.attestation["signed_by"]

    service = next(each.keyid for each in house.keyring.list() if each.name == "service")
    assert signed("PlanAgent") == (key.keyid, "principal")
    assert signed("r_01ARZ3NDEKTSV4RRFFQ69G5FAV") == (service, "service_on_behalf")
