"""The terms of an approval: what is frozen, how it is named, and that it can neither change nor be guessed."""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Mapping
from typing import Any, cast

import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlock.app import Interlock
from interlock.approval.errors import ContentErased, DigestMismatch, InvalidWork
from interlock.approval.models import Approved, Limits, Work, terms_digest
from interlock.approval.service import Change
from interlock.evidence.content import commitment
from interlock.evidence.dsse import open_envelope
from interlock.evidence.keys import load_verifiers
from tests.approval.behind import behind_the_back, counts, erase, events
from tests.conftest import ALICE, BOB

PROMPT = "a prompt that nobody should be able to guess"


def approved_in(house: Interlock, work: Work | None = None) -> Approved:
    draft = house.approval.create(ALICE, PROMPT, context={"ticket": 7, "why": "ünïcode"}, work=work)
    house.approval.edit(ALICE, draft.id, Change(content="the plan of attack"))
    return house.approval.approve(ALICE, draft.id)


def independent_digest(terms: Mapping[str, Any]) -> str:
    return "sha256:" + hashlib.sha256(rfc8785.dumps(json.loads(json.dumps(terms)))).hexdigest()


def test_the_digest_is_sha256_over_rfc_8785_of_the_terms(house: Interlock) -> None:
    work = Work(command=("sh", "-c", "é \x7f \u2028 \U0001f9f9"), checks=(("make", "test"),), environment=("B", "A"))
    approved = approved_in(house, work=work)
    assert approved.digest == independent_digest(approved.terms)
    stored = house.approval.approved(approved.id)
    assert independent_digest(stored.terms) == stored.digest == approved.digest
    assert events(house)[-1]["payload"]["digest"] == approved.digest
    assert independent_digest(events(house)[-1]["payload"]["terms"]) == approved.digest


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


@given(
    command=st.none() | st.lists(words, min_size=1, max_size=4).map(tuple),
    checks=st.lists(st.lists(words, min_size=1, max_size=3).map(tuple), max_size=3).map(tuple),
    environment=st.lists(st.text(string.ascii_uppercase, min_size=1, max_size=8), max_size=3).map(tuple),
    network=st.booleans(),
    seconds=st.integers(1, 366 * 24 * 3600),
)
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
def test_every_work_has_the_digest_that_another_implementation_computes(
    *,
    command: tuple[str, ...] | None,
    checks: tuple[tuple[str, ...], ...],
    environment: tuple[str, ...],
    network: bool,
    seconds: int,
) -> None:
    work = Work(
        command=command,
        checks=checks,
        environment=environment,
        network=network,
        limits=Limits(wall_clock_seconds=seconds),
    )
    terms = work.to_json()
    assert terms_digest(terms) == independent_digest(terms)
    assert Work.from_json(json.loads(json.dumps(terms))).to_json() == terms


def test_everything_that_is_shown_is_in_the_terms(house: Interlock) -> None:
    terms = approved_in(house).terms
    assert terms.keys() == {
        "schema", "prompt", "content", "context", "command", "repository", "base_commit", "checks", "environment",
        "network", "limits",
    }  # fmt: skip
    assert terms["schema"] == "interlock.terms/v1"


@pytest.mark.parametrize(
    "change",
    [
        Change(prompt="other"),
        Change(content="other"),
        Change(context={"ticket": 8}),
        Change(work=Work(command=("other",))),
        Change(work=Work(command=("agent",), checks=(("other",),))),
        Change(work=Work(command=("agent",), environment=("OTHER",))),
        Change(work=Work(command=("agent",), network=False)),
        Change(work=Work(command=("agent",), limits=Limits(check_seconds=599))),
    ],
    ids=["prompt", "content", "context", "command", "checks", "environment", "network", "limits"],
)
def test_a_change_of_any_part_is_another_digest(house: Interlock, change: Change) -> None:
    draft = house.approval.create(ALICE, PROMPT, context={"ticket": 7}, work=Work(command=("agent",)))
    before = terms_digest(house.approval.terms(house.approval.draft(draft.id)))
    house.approval.edit(ALICE, draft.id, change)
    assert terms_digest(house.approval.terms(house.approval.draft(draft.id))) != before


def test_no_text_is_in_terms_log_or_attestation(house: Interlock) -> None:
    approved = approved_in(house)
    house.runs.create(ALICE, approved.id)
    logged = json.dumps([*events(house), approved.terms, approved.attestation])
    for text in (PROMPT, "the plan of attack", "ticket", "ünïcode"):
        assert text not in logged
    envelopes = behind_the_back(house, "SELECT body FROM content WHERE media_type LIKE '%dsse%'")
    assert len(envelopes) == 1
    assert PROMPT.encode() not in bytes(envelopes[0]["body"])


def test_a_commitment_is_salted_so_that_the_same_text_never_looks_the_same(house: Interlock) -> None:
    first, second = approved_in(house), approved_in(house)
    assert first.prompt.body == second.prompt.body
    assert first.prompt.ref != second.prompt.ref
    row = behind_the_back(house, f"SELECT salt, body FROM content WHERE ref = '{first.prompt.ref}'")[0]  # noqa: S608 - a digest
    assert len(bytes(row["salt"])) == 32
    assert commitment(bytes(row["salt"]), PROMPT.encode()) == first.prompt.ref == first.terms["prompt"]
    assert hashlib.sha256(PROMPT.encode()).hexdigest() not in first.prompt.ref


@pytest.mark.parametrize("part", ["prompt", "content", "context"])
def test_an_erased_text_leaves_the_digest_valid_and_nothing_runs(house: Interlock, part: str) -> None:
    approved = approved_in(house)
    assert approved.content is not None
    erase(house, {"prompt": approved.prompt, "content": approved.content, "context": approved.context}[part].ref)
    stored = house.approval.approved(approved.id)
    bodies = {text.ref: text.body for text in (stored.prompt, stored.content, stored.context) if text is not None}
    assert [body is None for body in bodies.values()] == [name == part for name in ("prompt", "content", "context")]
    assert independent_digest(stored.terms) == stored.digest == approved.digest
    before = counts(house)
    with pytest.raises(ContentErased, match="has been erased"):
        house.runs.create(ALICE, approved.id)
    assert counts(house) == before


def test_what_nobody_can_read_nobody_can_approve(house: Interlock) -> None:
    draft = house.approval.create(ALICE, PROMPT)
    erase(house, draft.prompt.ref)
    with pytest.raises(ContentErased, match="nobody can approve what nobody can read"):
        house.approval.approve(BOB, draft.id)


@pytest.mark.parametrize(
    ("what", "statement"),
    [
        ("terms", "UPDATE approved SET terms = REPLACE(terms, 'check_seconds', 'cheap_seconds')"),
        ("digest", "UPDATE approved SET digest = 'sha256:' || REPLACE(SUBSTR(digest, 8), '0', '1') || '0'"),
        ("prompt", "UPDATE content SET body = 'do something else' WHERE ref = '{prompt}'"),
        ("salt", "UPDATE content SET salt = body WHERE ref = '{prompt}'"),
        ("context", "UPDATE content SET body = '{{}}' WHERE ref = '{context}'"),
        ("prompt's name", "UPDATE approved SET prompt_ref = context_ref"),
        ("content's name", "UPDATE approved SET content_ref = NULL"),
    ],
)
def test_what_was_altered_after_its_approval_does_not_run(house: Interlock, what: str, statement: str) -> None:
    approved = approved_in(house)
    text = statement.format(prompt=approved.prompt.ref, context=approved.context.ref)
    behind_the_back(
        house,
        text.replace("'do something else'", _bytes_of(house, "do something else")).replace(
            "'{}'", _bytes_of(house, "{}")
        ),
    )
    before = counts(house)
    with pytest.raises(DigestMismatch):
        house.runs.create(ALICE, approved.id)
    assert counts(house) == before, what


def test_a_record_that_was_altered_together_with_its_digest_is_not_what_the_log_says(house: Interlock) -> None:
    approved = approved_in(house)
    limits = {**cast("dict[str, int]", approved.terms["limits"]), "cheap_seconds": 600}
    del limits["check_seconds"]
    digest = terms_digest({**approved.terms, "limits": limits})
    change = "UPDATE approved SET terms = REPLACE(terms, 'check_seconds', 'cheap_seconds'), digest = '{}'"
    behind_the_back(house, change.format(digest))
    with pytest.raises(DigestMismatch, match="the log"):
        house.runs.create(ALICE, approved.id)


def _bytes_of(house: Interlock, text: str) -> str:
    """Write a text as the database's literal for bytes."""
    shown = text.encode().hex()
    return f"X'{shown}'" if "Sqlite" in type(house.database).__name__ else f"'\\x{shown}'"


def test_an_approved_record_is_a_copy_that_its_draft_s_row_can_not_change(house: Interlock) -> None:
    approved = approved_in(house)
    other = house.approval.create(ALICE, "something else entirely", context={"other": True}, work=Work(command=("rm",)))
    behind_the_back(
        house,
        "UPDATE draft SET version = 9, status = 'draft', error = 'x', provider = 'y', author = 'human:mallory', "  # noqa: S608 - ids
        f"prompt_ref = '{other.prompt.ref}', context_ref = '{other.context.ref}', content_ref = NULL, "
        f"work = (SELECT work FROM draft WHERE id = '{other.id}') WHERE id = '{approved.draft_id}'",
    )
    assert house.approval.approved(approved.id) == approved
    assert [each for each in house.approval.all_approved() if each.id == approved.id] == [approved]


def test_the_approval_is_signed_with_the_approver_s_own_key(house: Interlock) -> None:
    approved = approved_in(house)
    assert approved.attestation is not None
    ref = str(approved.attestation["digest"])
    envelope = bytes(behind_the_back(house, f"SELECT body FROM content WHERE ref = '{ref}'")[0]["body"])  # noqa: S608 - a digest
    assert ref == "sha256:" + hashlib.sha256(envelope).hexdigest()
    statement, signers = open_envelope(envelope, load_verifiers(house.layout.keys / "human-alice.vkey"))
    assert [name.partition("+")[0] for name in signers] == ["interlock/human-alice"]
    assert statement["subject"] == [
        {"digest": {"sha256": approved.digest.removeprefix("sha256:")}, "name": approved.id}
    ]
    predicate: Any = statement["predicate"]
    assert (predicate["principal"], predicate["signed_by"], predicate["terms"]) == (
        "human:alice",
        "principal",
        approved.terms,
    )


def test_without_a_key_of_his_own_the_service_signs_on_his_behalf(house: Interlock) -> None:
    draft = house.approval.create(ALICE, PROMPT)
    approved = house.approval.approve(BOB, draft.id)
    assert approved.attestation is not None
    ref = str(approved.attestation["digest"])
    envelope = bytes(behind_the_back(house, f"SELECT body FROM content WHERE ref = '{ref}'")[0]["body"])  # noqa: S608 - a digest
    statement, _ = open_envelope(envelope, load_verifiers(house.layout.keys / "service.vkey"))
    predicate: Any = statement["predicate"]
    assert (predicate["principal"], predicate["signed_by"]) == ("human:bob", "service_on_behalf")


@pytest.mark.parametrize("name", Limits().to_json())
@pytest.mark.parametrize("value", [0, -1, 2**53, True, 1.5, "1", None])
def test_a_limit_is_a_whole_number_above_0(name: str, value: Any) -> None:  # noqa: ANN401 - that it is anything is the point
    with pytest.raises(InvalidWork, match=name):
        Limits(**{name: value})


@pytest.mark.parametrize("name", ["wall_clock_seconds", "check_seconds"])
def test_a_limit_in_seconds_is_one_that_a_clock_can_count(name: str) -> None:
    """A worker that can not even wait so long would fail the run with an accident."""
    with pytest.raises(InvalidWork, match=name):
        Limits(**{name: 2**53 - 1})
