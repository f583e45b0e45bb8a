"""The receipt of a stage: a root that anybody can come to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from interlock.kernel.canonical import canonical
from interlock.kernel.events import MAX_LEAF_BYTES, to_leaf
from interlock.pipelines import receipts
from interlock.pipelines.models import Artefact, Job, Line, Stage
from tests.pipelines.made import PIPELINE_ID, definition
from tests.pipelines.receipted import assert_receipt, root_of

MADE = Artefact(path="out/a.json", sha256="a" * 64, size=3)
OTHER = Artefact(path="out/b.json", sha256="b" * 64, size=4)


def job(number: int) -> Job:
    return Job(id=f"job-{number}", stage="build", lines=(Line(argv=("make", str(number))),))


def payload(count: int) -> dict[str, Any]:
    jobs = [job(number) for number in range(count)]
    of = definition(*jobs, stages=[Stage(name="build", type="Build")])
    leaves = [receipts.leaf(each, [MADE]) for each in jobs]
    return dict(receipts.receipt(PIPELINE_ID, of, of.stages[0], leaves).payload())


@pytest.mark.parametrize("count", range(9))
def test_a_receipt_holds_by_itself_whatever_the_number_of_jobs(count: int) -> None:
    told = payload(count)
    assert_receipt(told)
    assert len(told["levels"][-1]["nodes"]) == 1 if count else told["levels"] == []


def test_the_root_is_that_of_rfc_6962_over_both_hashes_of_each_job() -> None:
    told = payload(3)
    leaves = [
        hashlib.sha256(
            b"\0"
            + hashlib.sha256(canonical(receipts.show_job(job(number)))).digest()
            + hashlib.sha256(canonical([{"path": "out/a.json", "sha256": "a" * 64, "size": 3}])).digest()
        ).digest()
        for number in range(3)
    ]
    left = hashlib.sha256(b"\1" + leaves[0] + leaves[1]).digest()
    assert told["root"] == hashlib.sha256(b"\1" + left + leaves[2]).hexdigest()
    assert told["root"] == told["levels"][2]["nodes"][0]
    assert [each["hash"] for each in told["leaves"]] == [each.hex() for each in leaves] == told["levels"][0]["nodes"]


def test_a_stage_without_jobs_has_the_root_of_nothing() -> None:
    assert payload(0)["root"] == hashlib.sha256(b"").hexdigest()


def test_the_order_of_artefacts_and_needs_does_not_matter() -> None:
    one = replace(job(1), needs=("a", "b"))
    assert receipts.leaf(one, [MADE, OTHER]) == receipts.leaf(replace(one, needs=("b", "a")), [OTHER, MADE])


@pytest.mark.parametrize(
    "changed",
    [
        {"lines": (Line(argv=("make", "other")),)},
        {"network": True},
        {"environment": {"A": "1"}},
        {"parameters": {"level": "2"}},
        {"signs": ("gate",)},
    ],
)
def test_another_job_is_another_leaf(changed: dict[str, Any]) -> None:
    assert receipts.leaf(replace(job(1), **changed), [MADE]) != receipts.leaf(job(1), [MADE])


def test_a_fraction_among_the_parameters_is_told_as_text() -> None:
    shown = receipts.show_job(replace(job(1), parameters={"share": 0.5}))
    assert shown["parameters"] == {"share": "0.5"}


EDITS: list[Callable[[dict[str, Any]], object]] = [
    lambda told: told.update(root="0" * 64),
    lambda told: told["leaves"][1].update(artifact_hash="0" * 64),
    lambda told: told["leaves"][1].update(task_hash="0" * 64),
    lambda told: told["leaves"][1].update(hash="0" * 64),
    lambda told: told["leaves"].reverse(),
    lambda told: told["leaves"].pop(),
    lambda told: told["leaves"].clear(),
    lambda told: told["levels"].pop(),
    lambda told: told["levels"][1]["nodes"].reverse(),
    lambda told: told["levels"][1].update(level=7),
    lambda told: told["leaves"][0].update(hash=None),
    lambda told: told.pop("root"),
    lambda told: told.update(leaves=[], levels=[{"level": 6, "nodes": ["0" * 64]}]),
]


@pytest.mark.parametrize("edit", EDITS)
def test_a_receipt_that_does_not_follow_from_its_jobs_is_rejected(edit: Callable[[dict[str, Any]], object]) -> None:
    told = payload(4)
    receipts.check(told)
    edit(told)
    with pytest.raises(receipts.ReceiptBroken):
        receipts.check(told)


def test_the_receipt_of_a_large_stage_still_fits_into_an_event() -> None:
    for count in (receipts.MOST_LEAVES, 200):
        jobs = [job(number) for number in range(count)]
        of = definition(*jobs, stages=[Stage(name="build", type="Build")])
        event = receipts.receipt(PIPELINE_ID, of, of.stages[0], [receipts.leaf(each, []) for each in jobs])
        leaf = to_leaf(event, principal="service:x", correlation_id=None, time_ms=0)
        assert len(leaf.data) < MAX_LEAF_BYTES
        assert event.root == root_of([receipts.leaf(each, []).hash for each in jobs]).hex()
