"""The four-eyes policy: who wrote a draft, or a part of it, may not approve it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interlock.app import Interlock
from interlock.approval.errors import FourEyesNeeded
from interlock.approval.models import DraftStatus
from interlock.approval.service import Change
from interlock.settings import ApprovalSettings, Settings
from tests.conftest import ALICE, BOB, ROBOT


@pytest.fixture
def strict(house: Interlock) -> Interlock:
    """A house that asks for a second pair of eyes."""
    return replace(house, settings=Settings(approval=ApprovalSettings(four_eyes=True)))


def test_without_the_policy_an_author_approves(house: Interlock) -> None:
    draft = house.approval.create(ALICE, "sweep")
    assert house.approval.approve(ALICE, draft.id).approved_by == "human:alice"


def test_with_it_only_somebody_else_approves(strict: Interlock) -> None:
    draft = strict.approval.create(ALICE, "sweep")
    with pytest.raises(FourEyesNeeded, match="human:alice wrote"):
        strict.approval.approve(ALICE, draft.id)
    assert strict.approval.draft(draft.id).status is DraftStatus.DRAFT
    assert strict.approval.approve(BOB, draft.id).approved_by == "human:bob"


def test_who_edited_a_draft_has_written_a_part_of_it(strict: Interlock) -> None:
    draft = strict.approval.create(ROBOT, "sweep")
    strict.approval.edit(BOB, draft.id, Change(prompt="sweep well"))
    strict.approval.edit(ROBOT, draft.id, Change(prompt="sweep very well"))
    with pytest.raises(FourEyesNeeded, match="human:bob wrote"):
        strict.approval.approve(BOB, draft.id)
    assert strict.approval.approve(ALICE, draft.id).approved_by == "human:alice"
