"""Evidence through the command line: exit codes that tell failures apart, and what an outsider can do without us."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.door import Door, call, files, said


@pytest.fixture
def signed(ask: Door) -> Door:
    """A workspace whose log ends with two drafts and an approval, all under a head."""
    ask.draft()
    ask.approved()
    assert ask("evidence", "head").code == 0
    return ask


@pytest.fixture
def exported(signed: Door, tmp_path: Path) -> Path:
    assert signed("evidence", "export", str(tmp_path / "export")).code == 0
    return tmp_path / "export"


def ledger_of(ask: Door) -> Path:
    return ask.root / "storage" / "db" / "evidence" / "ledger.jsonl"


def count(ask: Door) -> int:
    return len(ledger_of(ask).read_bytes().splitlines())


def test_a_signed_log_verifies_and_says_what_is_not_covered(signed: Door) -> None:
    answer = signed.json("evidence", "verify")
    size = count(signed)
    assert (answer["status"], answer["entries"], answer["last_head"], answer["uncovered"]) == (
        "verified",
        size,
        size,
        0,
    )
    assert answer["attestations"]["unverified"] == 0
    signed.draft()
    answer = signed.json("evidence", "verify")
    assert (answer["entries"], answer["last_head"], answer["uncovered"]) == (size + 1, size, 1)
    assert "1 entries after the last signed head" in answer["caveats"][0]


def test_a_log_without_a_head_is_exit_21(ask: Door) -> None:
    ask("evidence", "verify").refuses(21, "no signed head", "interlock evidence head")


def test_a_cut_tail_that_no_head_covers_yet_is_exit_20(signed: Door) -> None:
    signed.draft()
    lines = ledger_of(signed).read_bytes().splitlines(keepends=True)
    ledger_of(signed).write_bytes(b"".join(lines[:-1]))
    signed("evidence", "verify").refuses(20, f"entry {len(lines) - 1}", "the ledger ends, the database's log goes on")


@pytest.mark.parametrize("name", ["ledger.jsonl", "heads.jsonl"])
def test_a_missing_file_is_exit_22(signed: Door, exported: Path, name: str) -> None:
    (exported / name).unlink()
    answered = said(signed.capture, "evidence", "verify", "--dir", str(exported), "--key", str(exported / "log.vkey"))
    answered.refuses(22, name)
    ledger_of(signed).with_name(name).unlink()
    signed("evidence", "verify").refuses(22, name)


def flipped(old: bytes, new: bytes, at: int = 0) -> Callable[[bytes], bytes]:
    def flip(whole: bytes) -> bytes:
        places = [place for place in range(len(whole)) if whole.startswith(old, place)]
        return whole[: places[at]] + new + whole[places[at] + len(old) :]

    return flip


CHANGES: dict[str, tuple[int, int, Callable[[bytes], bytes]]] = {
    "no line of ours": (10, 0, lambda whole: whole + b"{}\n"),
    "torn": (11, -1, lambda whole: whole[:-20]),
    "line left out": (
        12,
        1,
        lambda whole: b"".join([*whole.splitlines(keepends=True)[:1], *whole.splitlines(keepends=True)[2:]]),
    ),
    "one byte of an event": (13, -3, flipped(b"draft.created", b"draft.crEated")),
    "one byte of a copy": (14, -3, flipped(b'"kind":"draft.created"', b'"kind":"draft.crEated"', at=1)),
    "cut": (17, 2, lambda whole: b"".join(whole.splitlines(keepends=True)[:2])),
}
"""Exit code, the entry (from the end, where it is not above 0), and what is changed."""


@pytest.mark.parametrize("change", CHANGES)
def test_each_kind_of_change_has_its_code_and_names_the_entry(
    exported: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    code, at, make = CHANGES[change]
    ledger = exported / "ledger.jsonl"
    size = len(ledger.read_bytes().splitlines())
    ledger.write_bytes(make(ledger.read_bytes()))
    answered = said(capsys, "evidence", "verify", "--dir", str(exported), "--key", str(exported / "log.vkey"))
    answered.refuses(code, f"entry {at if at > 0 else size + at} ")


def test_one_byte_anywhere_is_found(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = exported / "ledger.jsonl"
    whole = ledger.read_bytes()
    starts = [0]
    for line in whole.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for place in range(0, len(whole), 97):
        ledger.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        answered = said(capsys, "evidence", "verify", "--dir", str(exported), "--key", str(exported / "log.vkey"))
        entry = sum(start <= place for start in starts) - 1
        assert answered.code in {10, 11, 12, 13, 14}, (place, answered)
        assert f"entry {entry} " in answered.err, (place, answered)


def test_another_key_s_head_is_exit_15(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "init", str(tmp_path / "other")).code == 0
    other = tmp_path / "other" / "storage" / "db" / "evidence" / "log.vkey"
    said(capsys, "evidence", "verify", "--dir", str(exported), "--key", str(other)).refuses(15, "no trusted key")


def test_a_saved_head_catches_a_log_that_was_written_anew(
    signed: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever holds the key can write and sign another history; only a head that lies elsewhere shows it."""
    backup = tmp_path / "backup"
    shutil.copytree(signed.root, backup)
    signed.draft(prompt="as it was")
    saved = tmp_path / "saved"
    saved.write_text(signed("evidence", "head").out)
    answer = signed.json("evidence", "verify", "--since", str(saved))
    assert not [caveat for caveat in answer["caveats"] if "no saved head" in caveat]
    rewritten = Door(backup, capsys)
    rewritten.draft(prompt="as it should have been")
    assert rewritten("evidence", "head").code == 0
    assert rewritten("evidence", "verify").code == 0
    rewritten("evidence", "verify", "--since", str(saved)).refuses(19)
    assert rewritten("evidence", "verify", "--since", str(saved), "--json").out == ""


@pytest.mark.parametrize(("content", "code"), [(None, 2), (b"", 15), (b"not a note", 15), (b"\xff", 2)])
def test_a_saved_head_that_is_none_is_refused(signed: Door, tmp_path: Path, content: bytes | None, code: int) -> None:
    saved = tmp_path / "saved"
    if content is not None:
        saved.write_bytes(content)
    signed("evidence", "verify", "--since", str(saved)).refuses(code)


def test_an_export_verifies_anywhere_with_the_key_alone(exported: Path, tmp_path: Path) -> None:
    key = shutil.copy(exported / "log.vkey", tmp_path / "got-another-way")
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.move(exported, alone / "export")
    before = files(alone)
    answered = call("evidence", "verify", "--dir", "export", "--key", str(key), "--json", at=alone)
    assert (answered.json["status"], answered.err) == ("verified", "")
    assert files(alone) == before
    assert "sumdb/note" in (alone / "export" / "README.txt").read_text()


def test_a_key_that_came_with_the_ledger_is_mentioned(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answered = said(capsys, "evidence", "verify", "--dir", str(exported))
    assert answered.code == 0
    assert "log.vkey" in answered.out + answered.err
    (exported / "log.vkey").write_text("")
    answered = said(capsys, "evidence", "verify", "--dir", str(exported))
    answered.refuses(answered.code or -1)


@pytest.mark.parametrize("key", ["missing", "folder", "empty", "text", "bytes"])
def test_a_key_file_that_is_none_is_refused(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    path = tmp_path / "key"
    if key == "folder":
        path.mkdir()
    elif key != "missing":
        path.write_bytes({"empty": b"", "text": b"not a key\n", "bytes": b"\xff"}[key])
    answered = said(capsys, "evidence", "verify", "--dir", str(exported), "--key", str(path))
    answered.refuses({"missing": 3, "folder": 3, "empty": 15, "text": 2, "bytes": 2}[key])


def test_a_proof_is_made_written_and_checked_offline(signed: Door, exported: Path, tmp_path: Path) -> None:
    line = ledger_of(signed).read_bytes().splitlines(keepends=True)[3]
    (tmp_path / "line").write_bytes(line)
    answer = signed.json("evidence", "prove", "3", "--out", str(tmp_path / "proof"))
    assert answer["status"] == "proved"
    check = ("evidence", "check", str(tmp_path / "proof"), str(tmp_path / "line"), "--key", str(exported / "log.vkey"))
    assert call(*check, "--json", at=tmp_path).json["size"] == count(signed)
    assert signed("evidence", "prove", "3").out == (tmp_path / "proof").read_text()


def test_a_proof_of_something_else_is_refused(signed: Door, tmp_path: Path) -> None:
    lines = ledger_of(signed).read_bytes().splitlines(keepends=True)
    proof, line = tmp_path / "proof", tmp_path / "line"
    proof.write_text(signed("evidence", "prove", "3").out)
    check = ("evidence", "check", str(proof), str(line))
    line.write_bytes(lines[2])
    signed(*check).refuses(12, "entry 3")
    line.write_bytes(lines[3].replace(b"human:", b"humaN:"))
    signed(*check).refuses(13, "entry 3")
    line.write_bytes(lines[3])
    hashes = proof.read_text().splitlines()
    proof.write_text("\n".join([hashes[0], "index 2", *hashes[2:], ""]))
    signed(*check).refuses(12)
    proof.write_text("\n".join([*hashes[:2], hashes[3], hashes[2], *hashes[4:], ""]))
    signed(*check).refuses(23)
    proof.write_text("nothing")
    signed(*check).refuses(23)
    line.unlink()
    signed(*check).refuses(2, "can not be read")


def test_an_entry_that_no_head_covers_is_exit_4(signed: Door) -> None:
    size = count(signed)
    signed.draft()
    for index in (str(size), str(size + 1), "999999999999999999999"):
        signed("evidence", "prove", index).refuses(4, "not covered", "interlock evidence head")


def test_signing_twice_gives_the_same_head(signed: Door) -> None:
    first, second = signed("evidence", "head").out, signed("evidence", "head").out
    assert first == second
    assert ledger_of(signed).with_name("heads.jsonl").read_bytes().count(b"\n") == 1


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_an_export_that_has_no_place_is_refused(signed: Door, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    signed("evidence", "export", str(tmp_path / place)).refuses(2, "can not be written")
    signed("evidence", "prove", "0", "--out", str(tmp_path / place / "proof")).refuses(2, "can not be written")


def test_verifying_waits_for_an_export_that_is_on_its_way(signed: Door) -> None:
    """What is committed is exported by its own command in a moment; that moment is no tampering."""
    house = signed.json("evidence", "list")
    assert len(house) == count(signed)
    signed.draft()
    assert signed("evidence", "verify").code == 0


def test_listing_filters_by_subject_and_place(signed: Door) -> None:
    draft = signed.json("draft", "list")[0]["id"]
    kinds = [event["kind"] for event in signed.json("evidence", "list", "--subject", draft)]
    assert kinds == ["draft.created", "draft.approved"]
    assert [event["index"] for event in signed.json("evidence", "list", "--after", "3", "--limit", "1")] == [3]
    assert signed.json("evidence", "list", "--after", "999") == []


def test_prompts_are_in_no_entry(signed: Door, exported: Path) -> None:
    signed.draft("--context", json.dumps({"k": "a context nobody guesses"}), prompt="a prompt nobody guesses")
    for path in (ledger_of(signed), exported / "ledger.jsonl"):
        assert b"nobody guesses" not in path.read_bytes()
        assert b"sweep" not in path.read_bytes()
