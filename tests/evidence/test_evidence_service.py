from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from evidence_samples import NOON, ORIGIN, MemoryLog, exported, leaf, room, signed_log, signer

from interlock.evidence import publish, service
from interlock.evidence.errors import EntryNotCovered, EventMalformed, HeadRefused, KeyMissing
from interlock.evidence.head import open_head
from interlock.evidence.keys import load_verifiers
from interlock.evidence.models import TreeHead
from interlock.evidence.tree import root_of
from interlock.evidence.verify import verify_export


def test_a_head_signs_the_present_tree_and_is_kept() -> None:
    log = signed_log(after=5)
    head = room(log).head()
    assert log.signed == [head]
    assert (head.size, head.at) == (5, NOON)
    assert open_head(head.note, [signer().verifier()]) == TreeHead(ORIGIN, 5, root_of(log.leaf_hashes(5)))


def test_a_tree_is_signed_once() -> None:
    log = signed_log(5)
    assert room(log).head() == log.signed[0]
    assert len(log.signed) == 1


@pytest.mark.parametrize("size", [1, 3, 4, 6, 10])
def test_a_head_never_has_more_than_a_page_of_the_log_in_memory(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_PAGE", 3)
    log = signed_log(1, after=size - 1)
    log.asked.clear()
    head = room(log).head()
    pages = log.asked[:]
    assert open_head(head.note, [signer().verifier()]).root == root_of(log.leaf_hashes(head.size))
    assert pages == [(start, min(start + 3, head.size)) for start in range(0, head.size, 3)]


def test_an_empty_log_can_be_signed() -> None:
    assert room(MemoryLog()).head().size == 0


def test_each_head_extends_the_one_before() -> None:
    log = signed_log(1, 2, 7, 8)
    assert [head.size for head in log.signed] == [1, 2, 7, 8]


def test_a_log_that_lost_entries_is_not_signed() -> None:
    log = signed_log(5)
    del log.data[4]
    with pytest.raises(HeadRefused, match="covers 5 entries, the log has 4"):
        room(log).head()


@pytest.mark.parametrize("after", [0, 3])
def test_a_log_with_a_changed_entry_is_not_signed(after: int) -> None:
    log = signed_log(5, after=after)
    log.data[2] = leaf(99)
    with pytest.raises(HeadRefused, match="first 5 entries"):
        room(log).head()
    assert len(log.signed) == 1


def test_a_log_whose_last_head_was_touched_is_not_signed() -> None:
    log = signed_log(5, after=1)
    good = log.signed[0]
    for bad in (replace(good, root=bytes(32)), replace(good, size=4), replace(good, note="text")):
        log.signed = [bad]
        with pytest.raises(HeadRefused):
            room(log).head()


def test_a_log_whose_last_head_a_stranger_signed_is_not_signed() -> None:
    with pytest.raises(HeadRefused, match="trusted key"):
        room(signed_log(5), signer(2)).head()


def test_a_retired_keys_head_still_counts() -> None:
    log = signed_log(5, after=1)
    fresh = replace(room(log, signer(2)), verifiers=(signer(2).verifier(), signer(1).verifier()))
    assert fresh.head().size == 6


def test_without_a_key_no_head_is_signed_but_the_last_one_is_told() -> None:
    log = signed_log(5)
    reader = replace(room(log), sign=None)
    assert reader.head() == log.signed[0]
    log.data.append(leaf(5))
    with pytest.raises(KeyMissing):
        reader.head()


@pytest.mark.parametrize("index", [-1, 5, 6])
def test_an_entry_that_no_head_covers_can_not_be_proven(index: int) -> None:
    with pytest.raises(EntryNotCovered):
        room(signed_log(5, after=1)).prove(index)
    with pytest.raises(EntryNotCovered):
        room(signed_log(after=1)).prove(0)


def test_nothing_is_proven_from_a_log_that_was_changed() -> None:
    log = signed_log(5)
    log.data[2] = leaf(99)
    with pytest.raises(HeadRefused):
        room(log).prove(1)


def test_an_export_verifies_with_its_own_public_key(tmp_path: Path) -> None:
    log = signed_log(3, 2500, after=10)
    ledger, heads = exported(log, tmp_path / "evidence")
    found = verify_export(ledger, heads, load_verifiers(tmp_path / "evidence" / "log.vkey"), reference=log.data)
    assert (found.entries, found.heads, found.uncovered) == (2510, 2, 10)
    assert sorted(path.name for path in ledger.parent.iterdir()) == [
        "README.txt",
        "cosignatures.jsonl",
        "envelopes",
        "heads.jsonl",
        "keys.json",
        "ledger.jsonl",
        "log.vkey",
    ]
    assert ORIGIN in (ledger.parent / "README.txt").read_text()


def test_an_export_replaces_the_one_before(tmp_path: Path) -> None:
    exported(signed_log(3), tmp_path)
    exported(signed_log(3, 5), tmp_path)
    assert len((tmp_path / "ledger.jsonl").read_bytes().splitlines()) == 5
    assert [json.loads(line)["size"] for line in (tmp_path / "heads.jsonl").read_bytes().splitlines()] == [3, 5]


def test_an_export_that_fails_half_way_leaves_the_old_files_whole(tmp_path: Path) -> None:
    ledger, heads = exported(signed_log(3), tmp_path)
    before = (ledger.read_bytes(), heads.read_bytes())
    log = signed_log(3, 5)
    log.data[4] = b"no event"
    with pytest.raises(EventMalformed):
        exported(log, tmp_path)
    assert (ledger.read_bytes(), heads.read_bytes()) == before
    assert len(list(tmp_path.iterdir())) == 7


def test_heads_signed_while_the_ledger_is_written_do_not_outrun_it(tmp_path: Path) -> None:
    log = signed_log(3)

    class Growing(MemoryLog):
        def size(self) -> int:
            found = len(self.data)
            self.data.append(leaf(found))
            self.signed.append(room(MemoryLog(list(self.data))).head())
            return found

    growing = Growing(list(log.data), list(log.signed))
    ledger, heads = exported(growing, tmp_path)
    assert verify_export(ledger, heads, [signer().verifier()]).entries == 3


def test_a_published_file_that_can_not_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        publish.replace(tmp_path / "folder", [b"data"])
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
