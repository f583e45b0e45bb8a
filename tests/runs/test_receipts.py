"""A run's receipt: an outsider checks it with the log's public key alone, and whatever is changed in it is found."""

from __future__ import annotations

import copy
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from interlock.app import Interlock
from interlock.approval.models import Work
from interlock.evidence import tree
from interlock.evidence.errors import EntryNotCovered, EvidenceError, NoteRejected, RunReceiptRejected
from interlock.evidence.keys import load_verifiers
from interlock.evidence.ledger import render_line
from interlock.evidence.receipts import About, Shown, check_receipt, write_receipt
from interlock.founding import create_workspace
from interlock.kernel.canonical import canonical
from interlock.runs.errors import RunStateConflict
from tests.conftest import ALICE, Found
from tests.runs.test_archive import ended

Receipt = dict[str, Any]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, founded: Found, tmp_path: Path) -> Iterator[Interlock]:
    """A workspace with keys that its log tells of, over each kind of database."""
    founded(tmp_path / "w", request.param)
    with closing(Interlock.at(tmp_path / "w")) as house:
        yield house


def carried_out(house: Interlock, script: str = "echo done") -> str:
    """Return a run that a worker has carried out, under a signed head."""
    draft = house.approval.create(ALICE, "do it", work=Work(command=("sh", "-c", script)))
    run = house.runs.create(ALICE, house.approval.approve(ALICE, draft.id).id)
    house.worker(once=True).work()
    house.evidence.head()
    return run.id


def checked(house: Interlock, receipt: Receipt) -> Shown:
    """Check it as an outsider would: a file, and the log's first public key."""
    return check_receipt(json.dumps(receipt).encode(), load_verifiers(house.layout.evidence / "log.vkey"))


def test_a_receipt_shows_who_approved_and_how_the_run_ended(place: Interlock) -> None:
    run_id = carried_out(place)
    shown = checked(place, place.receipts.of(run_id))
    approved = place.approval.approved(place.runs.get(run_id).approved_id)
    assert (shown.run_id, shown.outcome, shown.reason) == (run_id, "done", None)
    assert (shown.approved_by, shown.approved_digest) == ("human:alice", approved.digest)
    assert shown.signed_by == "principal"  # the worker is the service, and signs as itself
    assert shown.statements >= 2
    assert shown.head.origin == place.evidence.origin


def test_a_failed_run_a_cancelled_one_and_one_of_an_outside_session_have_receipts(place: Interlock) -> None:
    failed = checked(place, place.receipts.of(carried_out(place, "exit 3")))
    assert (failed.outcome, failed.reason, failed.signed_by) == ("failed", "agent_failed", "principal")
    outside = ended(place)
    draft = place.approval.create(ALICE, "never mind")
    waiting = place.runs.create(ALICE, place.approval.approve(ALICE, draft.id).id)
    with pytest.raises(RunStateConflict, match="pending"):
        place.receipts.of(waiting.id)
    place.runs.cancel(ALICE, waiting.id, reason="changed my mind")
    with pytest.raises(EntryNotCovered):
        place.receipts.of(outside.id)
    place.evidence.head()
    cancelled = checked(place, place.receipts.of(waiting.id))
    assert (cancelled.outcome, cancelled.signed_by) == ("cancelled", None)
    assert checked(place, place.receipts.of(outside.id)).signed_by is None


def test_a_run_that_was_done_anew_has_the_receipt_of_its_last_end(place: Interlock) -> None:
    run_id = carried_out(place, "test -e /nowhere")
    place.runs.retry(ALICE, run_id)
    place.worker(once=True).work()
    place.evidence.head()
    receipt = place.receipts.of(run_id)
    assert checked(place, receipt).outcome == "failed"
    kinds = [json.loads(entry["line"])["kind"] for entry in receipt["entries"]]
    assert kinds.count("run.failed") == 2
    last = [index for index, kind in enumerate(kinds) if kind == "run.failed"][-1]
    del receipt["entries"][last]
    with pytest.raises(RunReceiptRejected, match="begun anew"):
        checked(place, receipt)


def test_the_log_is_hashed_as_often_for_many_entries_as_for_few(
    place: Interlock, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [carried_out(place), carried_out(place, "test -e /nowhere")]
    place.runs.retry(ALICE, runs[1])
    place.worker(once=True).work()
    place.evidence.head()
    hashed: list[int] = []
    above = tree._level_above  # pyright: ignore[reportPrivateUsage] - counted, and called

    def counted(level: Sequence[bytes]) -> list[bytes]:
        hashed.append(len(level))
        return above(level)

    monkeypatch.setattr(tree, "_level_above", counted)
    often: list[int] = []
    for run_id in runs:
        hashed.clear()
        assert checked(place, place.receipts.of(run_id)).run_id == run_id
        often.append(sum(hashed))
    assert often[0] == often[1] < 5 * place.event_log.size()


def test_a_receipt_holds_after_the_keys_were_changed(place: Interlock) -> None:
    before = carried_out(place)
    old = place.receipts.of(before)
    place.keyring.rotate(ALICE, "service", reason="yearly")
    place.keyring.rotate(ALICE, "log", reason="yearly")
    after = carried_out(place)
    first = (place.layout.evidence / "log.vkey").read_text().splitlines()[0]
    root = place.layout.root / "first.vkey"
    root.write_text(first + "\n")
    for receipt in (old, place.receipts.of(before), place.receipts.of(after)):
        assert check_receipt(json.dumps(receipt).encode(), load_verifiers(root)).outcome == "done"


def _line(change: Callable[[dict[str, Any]], None], kind: str) -> Callable[[Receipt], None]:
    def tamper(receipt: Receipt) -> None:
        for entry in receipt["entries"]:
            line = json.loads(entry["line"])
            if line["kind"] == kind:
                change(line)
                text = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
                entry["line"] = text + "\n"

    return tamper


def _consistently(receipt: Receipt) -> None:
    """Change an entry that nobody signed, with everything that follows from it: only the tree knows better."""
    for entry in receipt["entries"]:
        event = json.loads(entry["line"])["event"]
        if event["kind"] == "run.started":
            event["payload"]["worker"] = "another"
            entry["line"] = render_line(entry["index"], canonical(event)).decode()


def _statement(receipt: Receipt) -> None:
    """Let the signed statement tell of another commit."""
    for ref, text in receipt["envelopes"].items():
        envelope = json.loads(text)
        body = json.loads(b64decode(envelope["payload"]))
        if body["predicateType"].endswith("agent-run/v1"):
            body["predicate"]["result"]["commit"] = "0" * 40
            envelope["payload"] = b64encode(json.dumps(body).encode()).decode()
            receipt["envelopes"][ref] = json.dumps(envelope, sort_keys=True, separators=(",", ":"))


def _without(kind: str) -> Callable[[Receipt], None]:
    def tamper(receipt: Receipt) -> None:
        receipt["entries"] = [each for each in receipt["entries"] if json.loads(each["line"])["kind"] != kind]

    return tamper


def _swapped(receipt: Receipt) -> None:
    first, second = receipt["entries"][-2:]
    first["proof"], second["proof"] = second["proof"], first["proof"]


TAMPERED: dict[str, Callable[[Receipt], None]] = {
    "another outcome": _line(lambda line: line["event"].update(kind="run.done", subject="x"), "run.done"),
    "another reason": _line(lambda line: line["event"]["payload"].update(commit="0" * 40), "run.done"),
    "another approver": _line(lambda line: line["event"].update(principal="human:bob"), "draft.approved"),
    "another worker": _consistently,
    "another statement": _statement,
    "no statement": lambda receipt: receipt.update(envelopes={}),
    "no approval": _without("draft.approved"),
    "no beginning": _without("run.created"),
    "no end": _without("run.done"),
    "no keys": _without("key.added"),
    "swapped proofs": _swapped,
    "another head": lambda receipt: receipt.update(head=receipt["head"].replace("\n", "x\n", 1)),
    "another size": lambda receipt: receipt.update(head="log\n99999999\n\n"),
    "another run": lambda receipt: receipt.update(run_id="r_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    "another record": lambda receipt: receipt.update(approved_id="a_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    "another log": lambda receipt: receipt.update(origin="example.org/other"),
    "entries out of order": lambda receipt: receipt["entries"].reverse(),
    "an entry twice": lambda receipt: receipt["entries"].append(receipt["entries"][-1]),
    "a key too many": lambda receipt: receipt.update(more=1),
    "another format": lambda receipt: receipt.update(format="interlock-run-receipt/v2"),
    "no list": lambda receipt: receipt.update(entries={}),
    "no entry": lambda receipt: receipt.update(entries=[1]),
    "no text": lambda receipt: receipt["envelopes"].update(x=1),
    "a lone surrogate": lambda receipt: receipt["entries"][0].update(line="\ud800"),
}


def test_whatever_is_changed_in_a_receipt_is_found(tmp_path: Path) -> None:
    create_workspace(tmp_path / "w", ALICE, database_url="", replace=False)
    with closing(Interlock.at(tmp_path / "w")) as house:
        receipt = house.receipts.of(carried_out(house))
        assert checked(house, receipt).outcome == "done"
        for name, tamper in TAMPERED.items():
            other = copy.deepcopy(receipt)
            tamper(other)
            assert other != receipt, name
            with pytest.raises((EvidenceError, NoteRejected)):
                pytest.fail(f"{name}: {checked(house, other)}")
        twice = json.dumps(receipt).replace('{"format"', '{"run_id": "r_1", "format"', 1).encode()
        for data in (twice, b"", b"[]", b"{", b"[" * 100_000, b"\xff"):
            with pytest.raises(RunReceiptRejected):
                check_receipt(data, load_verifiers(house.layout.evidence / "log.vkey"))


def test_what_is_in_the_log_and_does_not_belong_to_the_run_is_no_part_of_its_receipt(tmp_path: Path) -> None:
    create_workspace(tmp_path / "w", ALICE, database_url="", replace=False)
    with closing(Interlock.at(tmp_path / "w")) as house:
        run_id = carried_out(house)
        run = house.runs.get(run_id)
        draft_id = house.approval.approved(run.approved_id).draft_id
        about = About(
            run_id=run_id, approved_id=run.approved_id, draft_id=draft_id, indexes=range(house.event_log.size())
        )
        evidence = house.evidence
        with pytest.raises(RunReceiptRejected, match="one approval, one run"):
            checked(house, write_receipt(evidence.log, about, evidence.verifiers, evidence.origin))


def test_the_receipt_of_another_log_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        create_workspace(tmp_path / name, ALICE, database_url="", replace=False)
    with closing(Interlock.at(tmp_path / "a")) as mine, closing(Interlock.at(tmp_path / "b")) as other:
        receipt = mine.receipts.of(carried_out(mine))
        with pytest.raises((EvidenceError, NoteRejected)):
            checked(other, receipt)
