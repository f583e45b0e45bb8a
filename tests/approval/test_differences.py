"""What differs between a draft and what it was, or what was approved before, on both databases."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest

from interlock.app import Interlock
from interlock.approval.compared import Against
from interlock.approval.differences import Line, compare
from interlock.approval.errors import DraftNotFound, PromptInvalid
from interlock.approval.models import Draft, Work
from interlock.approval.service import Change, Generated
from interlock.kernel.ids import UlidSource
from interlock.storage.approval import StoredDrafts
from tests.approval.behind import events
from tests.conftest import ALICE, BOB, ROBOT


def text_of(lines: tuple[Line, ...], marks: set[str]) -> str:
    return "\n".join("".join(part.text for part in line.parts) for line in lines if line.mark in marks)


def drafted(house: Interlock, repository: str | None, *command: str) -> Draft:
    """Make a draft for a repository that nobody looks up."""
    draft = house.approval.create(ALICE, "sweep", work=Work(command=command or ("sh",)))
    with house.database.write(ALICE) as transaction:
        placed = replace(draft, work=replace(draft.work, repository=repository))
        assert StoredDrafts(transaction).replace(placed, seen_version=draft.version)
    return house.approval.draft(draft.id)


def test_both_texts_can_be_read_out_of_what_differs() -> None:
    chance = random.Random(8)  # noqa: S311 - no secret
    for _ in range(3000):
        old, new = ("".join(chance.choices("ab\n c", k=chance.randint(1, 14))) for _ in range(2))
        lines = compare(old, new)
        if any(line.mark == "skipped" for line in lines):
            continue
        if old == new:
            assert lines == ()
        else:
            assert text_of(lines, {"same", "removed"}) == old
            assert text_of(lines, {"same", "added"}) == new


def test_a_changed_word_is_marked_and_a_replaced_line_is_not() -> None:
    removed, added = compare("run the tests", "run all the tests")
    assert [part.text for part in removed.parts if part.changed] == []
    assert [part.text for part in added.parts if part.changed] == ["all "]
    assert not any(part.changed for line in compare("wholly different", "nothing of it stays") for part in line.parts)


def test_what_is_the_same_far_away_is_only_counted() -> None:
    old = "\n".join(f"line {n}" for n in range(100))
    lines = compare(old, old.replace("line 50", "LINE fifty"))
    assert [(line.mark, line.count) for line in lines if line.mark == "skipped"] == [("skipped", 47), ("skipped", 46)]
    assert [line.mark for line in lines].count("same") == 6


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n".join("ab"[n % 2] for n in range(9999)), "\n".join("ba"[n % 3 % 2] for n in range(9999))),
        ("x" * 2_000_000, "y" + "x" * 1_999_999),
        ("a b " * 250_000, "b a " * 250_000),
        ("\n".join(map(str, range(90_000))), "\n".join(str(n * 7) for n in range(90_000))),
    ],
)
def test_no_pair_of_texts_takes_long(old: str, new: str) -> None:
    began = time.process_time()
    assert compare(old, new)
    assert time.process_time() - began < 5


def test_a_draft_is_compared_with_its_version_before(house: Interlock) -> None:
    draft = house.approval.create(ALICE, "one\ntwo", work=Work(command=("sh", "-c", "true")))
    first = house.approval.difference(draft.id)
    assert (first.other, first.fields) == (None, ())
    house.approval.edit(BOB, draft.id, Change(prompt="one\n2", context={"a": 1}), reason="a number is shorter")
    found = house.approval.difference(draft.id)
    assert [field.name for field in found.fields] == ["prompt", "context"]
    assert (found.other, found.other_version, found.by) == (draft.id, 1, "human:alice")
    assert found.sentence == "compared with version 1 of this draft, created by human:alice"
    assert text_of(tuple(found.fields[0].lines), {"removed"}) == "two"
    house.approval.approve(ALICE, draft.id)
    assert house.approval.difference(draft.id).fields == found.fields


def test_versions_say_who_wrote_them_and_why_and_are_bounded(house: Interlock) -> None:
    draft = house.approval.await_content(ROBOT, "sweep", provider="local", error="is being written")
    house.approval.write_content(ROBOT, draft, "by machine", Generated(request=None, facts={}))
    house.approval.edit(BOB, draft.id, Change(content="by hand"), reason="it was wrong")
    found = house.approval.versions(draft.id)
    assert [(each.version, each.how, each.by, each.reason) for each in found] == [
        (3, "edited", "human:bob", "it was wrong"),
        (2, "generated", str(ROBOT.principal), ""),
        (1, "created", str(ROBOT.principal), ""),
    ]
    assert [each.version for each in house.approval.versions(draft.id, limit=1, before=3)] == [2]
    with pytest.raises(DraftNotFound):
        house.approval.versions(f"d_{UlidSource()()}")


def test_a_draft_is_compared_with_what_was_last_approved_for_its_repository(house: Interlock) -> None:
    other = drafted(house, "/srv/other", "make")
    house.approval.approve(BOB, other.id)
    old = drafted(house, "/srv/code", "make", "test")
    before = house.approval.difference(old.id, Against.APPROVED)
    assert (before.other, before.sentence) == (None, "nothing has been approved for this repository yet")
    approved = house.approval.approve(BOB, old.id)
    house.approval.approve(BOB, other_one := drafted(house, "/srv/other", "sh").id)
    new = drafted(house, "/srv/code", "make", "deploy")
    found = house.approval.difference(new.id, Against.APPROVED)
    assert (found.other, [field.name for field in found.fields]) == (approved.id, ["command"])
    assert text_of(tuple(found.fields[0].lines), {"added"}) == "make deploy"
    house.approval.approve(BOB, new.id)
    assert house.approval.difference(new.id, Against.APPROVED).other == approved.id
    assert house.approval.difference(old.id, Against.APPROVED).other is None
    assert house.approval.difference(other_one, Against.APPROVED).other == other.id.replace("d_", "a_")
    nowhere = house.approval.difference(drafted(house, None).id, Against.APPROVED)
    assert nowhere.sentence == "the draft names no repository"


def test_what_was_erased_stays_erased_in_every_version(house: Interlock) -> None:
    draft = house.approval.create(ALICE, "a secret")
    house.approval.edit(ALICE, draft.id, Change(prompt="no secret"))
    house.approval.erase(ALICE, draft.id, reason="asked for")
    assert house.approval.difference(draft.id).fields == []
    assert {each.prompt.body for each in house.approval.versions(draft.id)} == {None}


def test_why_it_was_approved_is_kept_with_the_decision_and_in_the_log(house: Interlock) -> None:
    draft = house.approval.create(ALICE, "sweep", content="in small steps")
    assert draft.content is not None
    assert draft.content.body == "in small steps"
    with pytest.raises(PromptInvalid, match="4097 bytes"):
        house.approval.approve(BOB, draft.id, reason="x" * 4097)
    house.approval.approve(BOB, draft.id, reason="looked at twice")
    assert house.approval.draft(draft.id).decision_reason == "looked at twice"
    assert events(house)[-1]["payload"]["reason"] == "looked at twice"
