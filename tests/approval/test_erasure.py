"""Erasing what a draft says: nothing of it is left anywhere, and every proof goes on to hold."""

from __future__ import annotations

import pytest

from interlock.access.errors import HumanNeeded
from interlock.access.models import Actor
from interlock.app import Interlock
from interlock.approval import service
from interlock.approval.errors import ContentErased, DraftNotFound, NothingToErase, PromptInvalid
from interlock.approval.service import Change
from interlock.approval.shown import show_approved, show_draft
from interlock.kernel.ids import MalformedId
from tests.conftest import ALICE, BOB, ROBOT, WORKER

NORTH = "a word about the north tower"
SOUTH = "a word about the south tower"


def bodies(house: Interlock) -> set[str]:
    """Return every text that the database still has of drafts."""
    with house.database.read() as transaction:
        rows = transaction._execute("SELECT body, salt FROM content WHERE belongs_to IS NOT NULL", {})[0]  # pyright: ignore[reportPrivateUsage] - no verb shows what is gone
    assert all((row["body"] is None) == (row["salt"] is None) for row in rows)
    return {bytes(row["body"]).decode() for row in rows if row["body"] is not None}


def made(house: Interlock) -> str:
    """Make a draft, edit it, and return its id."""
    draft = house.approval.create(ALICE, NORTH, context={"where": NORTH})
    house.approval.edit(ALICE, draft.id, Change(prompt=SOUTH, content=NORTH))
    return draft.id


@pytest.mark.proves("evidence-erased")
def test_every_text_of_a_draft_is_erased_with_its_salt_earlier_ones_included(house: Interlock) -> None:
    draft_id, kept = made(house), house.approval.create(ALICE, "another draft")
    assert len(bodies(house)) == 5
    erased = house.approval.erase(ALICE, draft_id, reason="asked for")
    assert bodies(house) == {"another draft", "{}"}
    assert [erased.prompt.body, erased.context.body] == [None, None]
    shown = show_draft(erased)
    assert (shown["prompt"], shown["content"], shown["context"]) == ("erased", "erased", "erased")
    assert house.approval.draft(kept.id).prompt.body == "another draft"


@pytest.mark.parametrize("by", ["d", "a"])
def test_an_approved_record_shares_its_drafts_texts_and_can_not_start_any_more(house: Interlock, by: str) -> None:
    draft_id = made(house)
    approved = house.approval.approve(ALICE, draft_id)
    house.approval.erase(BOB, draft_id if by == "d" else approved.id, reason="asked for")
    after = house.approval.approved(approved.id)
    assert (after.digest, after.terms) == (approved.digest, approved.terms)
    assert show_approved(after)["prompt"] == "erased"
    with pytest.raises(ContentErased):
        house.runs.create(ALICE, approved.id)


def test_what_was_erased_can_not_be_approved_until_it_is_written_anew(house: Interlock) -> None:
    draft_id = made(house)
    house.approval.erase(ALICE, draft_id, reason="asked for")
    with pytest.raises(ContentErased):
        house.approval.approve(ALICE, draft_id)
    house.approval.edit(ALICE, draft_id, Change(prompt="new", content="new", context={}))
    assert house.approval.approve(ALICE, draft_id).prompt.body == "new"


def test_the_log_tells_who_erased_what_and_why_by_commitments_alone(house: Interlock) -> None:
    draft_id = made(house)
    draft = house.approval.draft(draft_id)
    house.approval.erase(BOB, draft_id, reason="asked for")
    house.database.seal()
    _, event = house.event_log.events(0, 100)[-1]
    assert (event["kind"], event["subject"], event["principal"]) == ("content.erased", draft_id, "human:bob")
    assert event["payload"]["reason"] == "asked for"
    assert {draft.prompt.ref, draft.context.ref} <= set(event["payload"]["refs"])
    assert len(event["payload"]["refs"]) == 4


@pytest.mark.parametrize("actor", [ROBOT, WORKER])
def test_only_a_human_erases(house: Interlock, actor: Actor) -> None:
    draft_id = made(house)
    with pytest.raises(HumanNeeded):
        house.approval.erase(actor, draft_id, reason="asked for")
    assert NORTH in bodies(house)


def test_nothing_is_erased_twice_without_a_reason_or_without_a_draft(house: Interlock) -> None:
    draft_id = made(house)
    with pytest.raises(PromptInvalid):
        house.approval.erase(ALICE, draft_id, reason=" ")
    house.approval.erase(ALICE, draft_id, reason="asked for")
    with pytest.raises(NothingToErase):
        house.approval.erase(ALICE, draft_id, reason="asked for")
    with pytest.raises(DraftNotFound):
        house.approval.erase(ALICE, "d_01ARZ3NDEKTSV4RRFFQ69G5FAV", reason="asked for")
    with pytest.raises(MalformedId):
        house.approval.erase(ALICE, "r_01ARZ3NDEKTSV4RRFFQ69G5FAV", reason="asked for")


def test_of_many_texts_each_event_stays_within_its_size(house: Interlock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_MOST_REFS", 3)
    draft = house.approval.create(ALICE, NORTH)
    for number in range(5):
        house.approval.edit(ALICE, draft.id, Change(prompt=f"{SOUTH} {number}"))
    house.approval.erase(ALICE, draft.id, reason="asked for")
    house.database.seal()
    told = [event for _, event in house.event_log.events(0, 1000) if event["kind"] == "content.erased"]
    assert [len(event["payload"]["refs"]) for event in told] == [3, 3, 1]
