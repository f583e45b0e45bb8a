"""Beside the ledger: envelopes, keys, cosignatures; and nothing of what was erased."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interlock.app import Interlock
from interlock.approval.plan import EMPTY_PLAN
from interlock.evidence.keys import load_verifiers
from interlock.evidence.models import Attestations, Report
from interlock.evidence.verify import verify_export
from interlock.workspace import attestations, ledger
from tests.cli.door import Door
from tests.conftest import ALICE, BOB, WORKER

NORTH, SOUTH = "a word about the north tower", "a word about the south tower"


@pytest.fixture
def house(house: Interlock) -> Interlock:
    """With every window that there should be."""
    house.approval.set_plan(ALICE, EMPTY_PLAN)
    return house


def verified(house: Interlock) -> Report:
    house.evidence.head()
    assert house.catch_up(ALICE) == ()
    folder = house.layout.evidence
    log = house.event_log
    return verify_export(
        folder / "ledger.jsonl",
        folder / "heads.jsonl",
        load_verifiers(folder / "log.vkey"),
        reference=log.leaves(0, log.size()),
    )


def test_each_envelope_is_beside_the_ledger_and_verifies_over_both_databases(house: Interlock) -> None:
    house.keyring.complete(ALICE)
    for actor in (ALICE, BOB):
        house.approval.approve(actor, house.approval.create(ALICE, "sweep").id)
    key = house.keyring.ensure_agent(WORKER, "PlanAgent", "planner")
    assert (key.owner, key.role) == ("agent:PlanAgent", "planner")
    assert verified(house).attestations == Attestations(principal=1, on_behalf=1, log=4)
    assert len(list((house.layout.evidence / "envelopes").iterdir())) == 6
    assert [each.problem for each in house.windows.differences()] == []


def test_before_the_log_is_told_of_keys_statements_are_shown_as_unverified(house: Interlock) -> None:
    house.approval.approve(ALICE, house.approval.create(ALICE, "sweep").id)
    assert verified(house).attestations == Attestations(unverified=1)
    house.keyring.complete(ALICE)
    assert verified(house).attestations == Attestations(principal=1, log=3)


def test_an_agents_key_tells_of_the_others_first(house: Interlock) -> None:
    house.keyring.ensure_agent(WORKER, "PlanAgent", "planner")
    house.approval.approve(ALICE, house.approval.create(ALICE, "sweep").id)
    assert verified(house).attestations == Attestations(principal=1, log=4)


def test_a_workspace_from_before_there_were_envelopes_gets_them_all(house: Interlock) -> None:
    house.approval.approve(ALICE, house.approval.create(ALICE, "sweep").id)
    house.catch_up(ALICE)
    [envelope] = (house.layout.evidence / "envelopes").iterdir()
    envelope.unlink()
    cursor = house.layout.state / "windows.json"
    before = json.loads(cursor.read_bytes())
    del before["attested"]
    cursor.write_text(json.dumps(before))
    house.catch_up(ALICE)
    assert envelope.exists()


def test_what_is_beside_the_ledger_runs_never_ahead_of_it_though_the_log_grows_meanwhile(house: Interlock) -> None:
    house.keyring.complete(ALICE)
    verified(house)
    folder, log = house.layout.evidence, house.event_log
    entries = log.size()
    house.keyring.ensure_agent(WORKER, "PlanAgent", "planner")  # by a process that has not come to the files yet
    house.evidence.head()
    assert attestations.catch_up(folder, log, 0, entries) == entries
    assert ledger.write_heads(folder / "heads.jsonl", log, entries) is None
    found = verify_export(folder / "ledger.jsonl", folder / "heads.jsonl", load_verifiers(folder / "log.vkey"))
    assert (found.entries, found.last_head) == (entries, entries)
    assert verified(house).entries == entries + 1


@pytest.mark.parametrize("name", ["envelope", "keys.json"])
@pytest.mark.parametrize("damage", ["differs", "missing"])
def test_a_window_of_evidence_that_was_touched_is_reported_and_rebuilt_on_a_word(
    house: Interlock, name: str, damage: str
) -> None:
    house.keyring.complete(ALICE)
    house.approval.approve(ALICE, house.approval.create(ALICE, "sweep").id)
    verified(house)
    folder = house.layout.evidence
    path = folder / name if name == "keys.json" else next((folder / "envelopes").iterdir())
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(whole + b" ")
    assert [(each.path, each.problem) for each in house.windows.differences()] == [(path, damage)]
    house.windows.rebuild(ALICE, "kept")
    assert path.read_bytes() == whole
    assert house.windows.differences() == []


def test_no_window_and_no_export_shows_it_any_more_and_the_evidence_verifies(ask: Door, tmp_path: Path) -> None:
    draft_id = ask.draft(prompt=NORTH)
    approved_id = str(ask.json("draft", "approve", draft_id)["id"])
    other = ask.draft(prompt=SOUTH)
    ops = ask.root / ".orch_data" / "ops"
    assert NORTH in (ops / "approved" / f"{approved_id}.json").read_text()
    assert ask.json("approved", "erase", approved_id, "--reason", "asked for")["status"] == "erased"
    assert ask.json("draft", "erase", other, "--reason", "asked for")["id"] == other
    assert ask("evidence", "export", str(tmp_path / "bundle")).code == 0
    found = [
        path
        for folder in (ops, ask.root / "storage", tmp_path / "bundle")
        for path in folder.rglob("*")
        if path.is_file() and (NORTH in path.read_text() or SOUTH in path.read_text())
    ]
    assert found == []
    assert json.loads((ops / "approved" / f"{approved_id}.json").read_bytes())["prompt"] == "erased"
    assert json.loads((ops / "drafts" / f"{other}.json").read_bytes())["prompt"] == "erased"
    assert ask("evidence", "verify").code == 0
    assert ask("evidence", "verify", "--dir", str(tmp_path / "bundle")).code == 0
    assert ask("windows", "verify").code == 0
    ask("run", "create", approved_id).refuses(4, "erased")
    ask("draft", "erase", other, "--reason", "again").refuses(4, "already")
