"""What the console checks in the browser is held against what this code makes, and what this code takes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from console_vectors import COMMITTED, PUBLISHED, written
from test_tree import LEAVES, ROOTS

from interlock.evidence.consistency import check_heads, decode_consistency
from interlock.evidence.ledger import read_line
from interlock.evidence.note import Verifier
from interlock.evidence.proof import check_proof

FOUND: dict[str, Any] = json.loads(COMMITTED.read_text(encoding="utf-8"))
KEY = Verifier.parse(FOUND["vkey"])


def test_the_committed_vectors_are_what_the_code_makes() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == written(), "run: .venv/bin/python tests/evidence/console_vectors.py"


@pytest.mark.parametrize("entry", FOUND["entries"], ids=lambda entry: str(entry["index"]))
def test_its_files_are_taken_by_the_checks_of_the_command_line(entry: dict[str, Any]) -> None:
    read = read_line(entry["line"].encode(), entry["index"])
    assert read.leaf.decode() == entry["leaf"]
    assert check_proof(entry["proof"], read.leaf, [KEY]).root.hex() == FOUND["head"]["root"]


def test_its_heads_are_one_log() -> None:
    for each in FOUND["consistency"]:
        old, new = check_heads(decode_consistency(each["proof"]), [KEY])
        assert (old.size, new.size) == (each["first"], each["second"])


def test_the_published_trees_are_the_published_ones() -> None:
    assert PUBLISHED == LEAVES
    trees = {tree["size"]: tree["root"] for tree in FOUND["published"]["trees"]}
    assert {size: trees[size] for size in (1, 7, 8)} == {size: ROOTS[size] for size in (1, 7, 8)}
