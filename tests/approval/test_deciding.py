"""What may happen to a draft and to an approved record, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from interlock.access.errors import HumanNeeded
from interlock.access.models import Actor
from interlock.app import Interlock
from interlock.approval.errors import (
    ApprovalEnded,
    ApprovalLapsed,
    ApprovedNotFound,
    DraftChanged,
    DraftDecided,
    DraftInError,
    DraftNotApproved,
    DraftNotFound,
)
from interlock.approval.models import MAY_BECOME, Approved, Draft, DraftStatus
from interlock.approval.service import Change
from interlock.kernel.errors import InterlockError
from interlock.kernel.ids import MalformedId, UlidSource
from tests.approval.behind import behind_the_back, counts, events, in_error
from tests.approval.conftest import NOON, Time
from tests.conftest import ALICE, BOB, ROBOT, WORKER

Deed = Callable[[Interlock, str], object]

EDIT: Deed = lambda house, draft: house.approval.edit(BOB, draft, Change(prompt="other"))  # noqa: E731 - a table of deeds, with a type
REJECT: Deed = lambda house, draft: house.approval.reject(BOB, draft)  # noqa: E731 - the same
APPROVE: Deed = lambda house, draft: house.approval.approve(BOB, draft)  # noqa: E731 - the same
DEEDS = {"edit": EDIT, "reject": REJECT, "approve": APPROVE}


def approved_in(house: Interlock) -> Approved:
    return house.approval.approve(ALICE, house.approval.create(ALICE, "sweep").id)


def test_a_draft_s_states_are_those_of_the_design() -> None:
    table = {state: {after for after in DraftStatus if MAY_BECOME.allows(state, after)} for state in DraftStatus}
    assert table == {
        DraftStatus.DRAFT: {DraftStatus.DRAFT, DraftStatus.REJECTED, DraftStatus.APPROVED},
        DraftStatus.ERROR: {DraftStatus.DRAFT, DraftStatus.REJECTED},
        DraftStatus.REJECTED: set(),
        DraftStatus.APPROVED: set(),
    }


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("decided", ["approved", "rejected"])
def test_what_was_decided_can_not_be_decided_again(house: Interlock, decided: str, deed: str) -> None:
    draft = house.approval.create(ALICE, "sweep").id
    (APPROVE if decided == "approved" else REJECT)(house, draft)
    before, stored = house.approval.draft(draft), counts(house)
    with pytest.raises(DraftDecided, match=f"{decided} by human:bob"):
        DEEDS[deed](house, draft)
    assert house.approval.draft(draft) == before
    assert counts(house) == stored


def test_a_draft_in_error_is_edited_into_shape_or_rejected_and_never_approved_as_it_is(house: Interlock) -> None:
    draft = in_error(house)
    with pytest.raises(DraftInError, match="the provider said no"):
        APPROVE(house, draft.id)
    assert counts(house)["approved"] == 0
    mended = house.approval.edit(BOB, draft.id, Change(content="by hand"))
    assert (mended.status, mended.error, mended.version) == (DraftStatus.DRAFT, None, 3)
    APPROVE(house, draft.id)
    other = in_error(house)
    assert house.approval.reject(BOB, other.id).status is DraftStatus.REJECTED


@pytest.mark.parametrize("deed", DEEDS)
def test_what_is_not_there_is_not_found(house: Interlock, deed: str) -> None:
    with pytest.raises(DraftNotFound):
        DEEDS[deed](house, f"d_{UlidSource()()}")
    with pytest.raises(MalformedId):
        DEEDS[deed](house, f"a_{UlidSource()()}")
    with pytest.raises(ApprovedNotFound):
        house.approval.revoke(ALICE, f"a_{UlidSource()()}")
    assert counts(house)["events"] == 0


def test_an_edit_of_something_older_is_refused(house: Interlock) -> None:
    draft = house.approval.create(ALICE, "one")
    house.approval.edit(ALICE, draft.id, Change(prompt="two"), seen_version=1)
    for stale in (1, 0, 3, -1):
        with pytest.raises(DraftChanged, match="at version 2"):
            house.approval.edit(BOB, draft.id, Change(prompt="three"), seen_version=stale)
        with pytest.raises(DraftChanged, match="at version 2"):
            house.approval.reject(BOB, draft.id, seen_version=stale)
    assert house.approval.draft(draft.id).prompt.body == "two"


def test_of_editors_at_the_same_moment_one_wins_and_the_others_are_told(house: Interlock) -> None:
    draft = house.approval.create(ALICE, "one")

    def edit(number: int) -> str | None:
        try:
            return house.approval.edit(ALICE, draft.id, Change(prompt=f"by {number}"), seen_version=1).prompt.body
        except DraftChanged:
            return None

    with ThreadPoolExecutor(8) as pool:
        done = [text for text in pool.map(edit, range(8)) if text]
    assert done == [house.approval.draft(draft.id).prompt.body]
    assert house.approval.draft(draft.id).version == 2


def test_approving_what_has_changed_since_it_was_shown_is_refused(house: Interlock) -> None:
    draft = house.approval.create(ALICE, "one")
    shown = events(house)[-1]["payload"]["terms_digest"]
    house.approval.edit(BOB, draft.id, Change(prompt="two"))
    with pytest.raises(DraftChanged, match="by now, not"):
        house.approval.approve(ALICE, draft.id, seen_digest=shown)
    for wrong in ("", "sha256:", shown.upper(), "x" * 100_000):
        with pytest.raises(DraftChanged):
            house.approval.approve(ALICE, draft.id, seen_digest=wrong)
    now = events(house)[-1]["payload"]["terms_digest"]
    assert house.approval.approve(ALICE, draft.id, seen_digest=now).digest == now


def test_an_edit_back_to_the_same_words_is_still_another_text(house: Interlock) -> None:
    """Commitments are salted: that somebody had changed the words in between can not be hidden."""
    draft = house.approval.create(ALICE, "one")
    shown = events(house)[-1]["payload"]["terms_digest"]
    house.approval.edit(BOB, draft.id, Change(prompt="two"))
    house.approval.edit(BOB, draft.id, Change(prompt="one"))
    with pytest.raises(DraftChanged):
        house.approval.approve(ALICE, draft.id, seen_digest=shown)


@pytest.mark.parametrize("actor", [ROBOT, WORKER], ids=["agent", "service"])
def test_agents_and_services_neither_approve_nor_revoke(house: Interlock, actor: Actor) -> None:
    draft, approved = house.approval.create(actor, "mine").id, approved_in(house)
    stored = counts(house)
    with pytest.raises(HumanNeeded):
        house.approval.approve(actor, draft)
    with pytest.raises(HumanNeeded):
        house.approval.revoke(actor, approved.id)
    with pytest.raises(HumanNeeded):
        house.approval.approve(actor, "nonsense")
    assert counts(house) == stored


def test_approving_starts_nothing(house: Interlock) -> None:
    approved_in(house)
    stored = counts(house)
    assert (stored["approved"], stored["run"], stored["queue_items"]) == (1, 0, 0)
    assert [event["kind"] for event in events(house)] == ["draft.created", "draft.approved"]


def test_an_approved_record_keeps_its_draft_s_ulid(house: Interlock) -> None:
    approved = approved_in(house)
    assert approved.id == approved.draft_id.replace("d_", "a_")


def test_a_second_record_for_one_draft_collides_whatever_raced_before(house: Interlock) -> None:
    """Even if the draft's row could be made a draft again, its approval happens once."""
    approved = approved_in(house)
    behind_the_back(house, f"UPDATE draft SET status = 'draft' WHERE id = '{approved.draft_id}'")  # noqa: S608 - an id
    stored = counts(house)
    with pytest.raises(DraftDecided, match="has been approved already"):
        APPROVE(house, approved.draft_id)
    assert counts(house) == stored


def test_eight_decisions_at_the_same_moment_are_one(house: Interlock) -> None:
    draft = house.approval.create(ALICE, "race").id

    def decide(number: int) -> str:
        try:
            (APPROVE if number % 2 else REJECT)(house, draft)
        except (DraftDecided, DraftChanged):
            return "refused"
        return "approved" if number % 2 else "rejected"

    with ThreadPoolExecutor(8) as pool:
        done = [outcome for outcome in pool.map(decide, range(8)) if outcome != "refused"]
    assert done == [house.approval.draft(draft).status.value]
    assert counts(house)["approved"] == done.count("approved")


def test_a_revoked_record_starts_nothing_and_is_revoked_once(house: Interlock) -> None:
    approved = approved_in(house)
    ended = house.approval.revoke(BOB, approved.id, reason="wrong branch")
    assert (ended.standing(0), ended.revoked_by, ended.revoke_reason) == ("revoked", "human:bob", "wrong branch")
    stored = counts(house)
    with pytest.raises(ApprovalEnded, match="already, by human:bob"):
        house.approval.revoke(ALICE, approved.id)
    with pytest.raises(ApprovalEnded, match="was revoked by human:bob"):
        house.runs.create(ALICE, approved.id)
    assert counts(house) == stored
    assert house.approval.approved(approved.id).digest == approved.digest


def test_revokers_at_the_same_moment_are_one(house: Interlock) -> None:
    approved = approved_in(house)

    def revoke(_: int) -> bool:
        try:
            house.approval.revoke(ALICE, approved.id)
        except ApprovalEnded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(revoke, range(8))) == 1
    assert [event["kind"] for event in events(house)].count("approval.revoked") == 1


def test_an_approval_holds_until_its_last_millisecond(timed: Interlock, time: Time) -> None:
    draft = timed.approval.create(ALICE, "soon").id
    approved = timed.approval.approve(ALICE, draft, expires_after_seconds=60)
    assert approved.expires_ms == NOON + 60_000
    time.ms = NOON + 59_999
    run = timed.runs.create(ALICE, approved.id)
    time.ms = NOON + 60_000
    assert timed.approval.approved(approved.id).standing(timed.now()) == "expired"
    stored = counts(timed)
    with pytest.raises(ApprovalLapsed):
        timed.runs.create(ALICE, approved.id)
    assert counts(timed) == stored
    assert timed.runs.get(run.id).status.value == "pending"


def test_an_approval_lasts_a_week_unless_somebody_says_otherwise(timed: Interlock) -> None:
    approved = timed.approval.approve(ALICE, timed.approval.create(ALICE, "x").id)
    assert approved.expires_ms == NOON + 7 * 24 * 3600 * 1000


def test_an_expired_approval_can_still_be_revoked_and_says_so(timed: Interlock, time: Time) -> None:
    approved = timed.approval.approve(ALICE, timed.approval.create(ALICE, "x").id, expires_after_seconds=1)
    time.ms += 1000
    assert timed.approval.revoke(ALICE, approved.id).standing(timed.now()) == "revoked"


@pytest.mark.proves("ops-runs-approved-only")
@pytest.mark.parametrize("wrong", ["draft", "path", "lower", "other"])
def test_a_run_comes_from_an_approved_id_and_from_nothing_else(house: Interlock, wrong: str) -> None:
    approved = approved_in(house)
    given = {
        "draft": approved.draft_id,
        "path": f"../approved/{approved.id}",
        "lower": approved.id.lower(),
        "other": f"a_{UlidSource()()}",
    }[wrong]
    stored = counts(house)
    with pytest.raises(InterlockError) as caught:
        house.runs.create(ALICE, given)
    kinds = {"draft": DraftNotApproved, "path": MalformedId, "lower": MalformedId, "other": ApprovedNotFound}
    assert type(caught.value) is kinds[wrong]
    assert counts(house) == stored


def test_who_decided_and_why_is_kept(house: Interlock) -> None:
    draft: Draft = house.approval.create(ALICE, "x")
    rejected = house.approval.reject(BOB, draft.id, reason="not now")
    assert (rejected.decided_by, rejected.decision_reason, rejected.author) == ("human:bob", "not now", "human:alice")
    assert events(house)[-1]["payload"] == {"draft_version": 2, "reason": "not now"}
