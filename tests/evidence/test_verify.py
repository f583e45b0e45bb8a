from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from evidence_samples import NOON, ORIGIN, MemoryLog, exported, leaf, room, signed_log, signer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlock.evidence import errors
from interlock.evidence.errors import EvidenceError
from interlock.evidence.head import render_head, sign_head
from interlock.evidence.ledger import render_line
from interlock.evidence.models import Report, SignedHead, TreeHead
from interlock.evidence.tree import leaf_hash, root_of
from interlock.evidence.verify import verify_export

KNOWN = (signer().verifier(),)
LOG = signed_log(3, 5, after=2)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    exported(LOG, tmp_path)
    return tmp_path


def verified(folder: Path, **more: object) -> Report:
    return verify_export(folder / "ledger.jsonl", folder / "heads.jsonl", KNOWN, **more)  # pyright: ignore[reportArgumentType] - passed on


def failure(folder: Path, **more: object) -> EvidenceError:
    with pytest.raises(EvidenceError) as told:
        verified(folder, **more)
    return told.value


def lines(folder: Path, name: str = "ledger.jsonl") -> list[bytes]:
    return (folder / name).read_bytes().splitlines(keepends=True)


def rewrite(folder: Path, new: list[bytes], name: str = "ledger.jsonl") -> None:
    (folder / name).write_bytes(b"".join(new))


def forged(log: MemoryLog, size: int, at: int, **changes: str) -> list[bytes]:
    """Rewrite history at one entry and mend the whole ledger, as one can who holds no key."""
    data = [*log.data[:at], leaf(at, **changes), *log.data[at + 1 : size]]
    return [render_line(index, one) for index, one in enumerate(data)]


def head_line(size: int, root: bytes, *, origin: str = ORIGIN, by: int = 1, note: str | None = None) -> bytes:
    told = note or sign_head(TreeHead(origin, size, root), signer(by))
    return render_head(SignedHead(size=size, root=root, at=NOON, note=told))


def root(size: int) -> bytes:
    return root_of([leaf_hash(data) for data in LOG.data[:size]])


def test_an_untouched_export_verifies_and_says_what_it_covers(export: Path) -> None:
    assert verified(export) == Report(
        entries=7,
        root=root(7).hex(),
        heads=2,
        last_head=5,
        uncovered=2,
        caveats=(
            "2 entries after the last signed head are not covered by a signature",
            "no saved head was given: a rewrite by whoever holds the log's key would not be seen",
        ),
    )


def test_a_covered_log_with_a_saved_head_has_no_caveat(tmp_path: Path) -> None:
    exported(signed_log(3, 5), tmp_path)
    assert verified(tmp_path, since=[LOG.signed[0].note], reference=iter(LOG.data[:5]), origin=ORIGIN).caveats == ()


def test_an_empty_log_with_a_signed_head_verifies(tmp_path: Path) -> None:
    exported(signed_log(0), tmp_path)
    assert verified(tmp_path, reference=[]).entries == 0


def test_verifying_changes_nothing(export: Path) -> None:
    before = {path: (path.is_file() and path.read_bytes(), path.stat().st_mtime_ns) for path in export.rglob("*")}
    verified(export)
    after = {path: (path.is_file() and path.read_bytes(), path.stat().st_mtime_ns) for path in export.rglob("*")}
    assert after == before


def test_progress_is_told_up_to_the_last_entry(export: Path) -> None:
    seen: list[int] = []
    verified(export, progress=seen.append)
    assert seen == [3, 5, 7]


Change = Callable[[list[bytes]], list[bytes]]
DAMAGES: list[tuple[Change, str, int, int]] = [
    (lambda told: [*told[:2], b"{}\n", *told[3:]], "malformed_line", 10, 2),
    (lambda told: [*told[:2], b"\n", *told[2:]], "malformed_line", 10, 2),
    (lambda told: [*told[:2], b"x" * 200_000, *told[3:]], "malformed_line", 10, 2),
    (lambda told: [*told[:6], told[6][:-1]], "torn_tail", 11, 6),
    (lambda told: [*told[:6], told[6][:100]], "torn_tail", 11, 6),
    (lambda told: [*told, b"{"], "torn_tail", 11, 7),
    (lambda told: [*told[:2], *told[3:]], "index_mismatch", 12, 2),
    (lambda told: told[1:], "index_mismatch", 12, 0),
    (lambda told: [told[0], told[2], told[1], *told[3:]], "index_mismatch", 12, 1),
    (lambda told: [*told[:2], told[1], *told[2:]], "index_mismatch", 12, 2),
    (lambda told: [told[0], told[1].replace(b"worker", b"walker"), *told[2:]], "leaf_mismatch", 13, 1),
    (lambda told: [told[0], kind_changed(told[1]), *told[2:]], "projection_mismatch", 14, 1),
    (lambda told: told[:4], "truncated", 17, 4),
    (lambda told: told[:0], "truncated", 17, 0),
]


def kind_changed(line: bytes) -> bytes:
    return line.replace(b',"kind":"run.step_completed","leaf_hash"', b',"kind":"run.created","leaf_hash"')


@pytest.mark.parametrize(("change", "code", "exit_code", "index"), DAMAGES)
def test_a_damaged_ledger_is_named_with_its_first_bad_entry(
    export: Path, change: Change, code: str, exit_code: int, index: int
) -> None:
    rewrite(export, change(lines(export)))
    error = failure(export)
    assert (error.code, error.exit_code, error.index, error.line) == (code, exit_code, index, index + 1)
    assert error.message.startswith(f"entry {index} (line {index + 1}): ")


def test_a_tail_cut_after_the_last_head_is_seen_only_against_the_database(export: Path) -> None:
    rewrite(export, lines(export)[:6])
    assert verified(export).entries == 6
    error = failure(export, reference=LOG.data)
    assert (error.code, error.exit_code, error.index) == ("log_mismatch", 20, 6)


def test_a_ledger_longer_than_the_database_is_a_log_mismatch(export: Path) -> None:
    error = failure(export, reference=LOG.data[:6])
    assert (error.code, error.index, error.line) == ("log_mismatch", 6, 7)


def test_an_entry_unlike_the_databases_is_a_log_mismatch(export: Path) -> None:
    theirs = [*LOG.data[:1], leaf(9), *LOG.data[2:]]
    error = failure(export, reference=theirs)
    assert (error.exit_code, error.index) == (20, 1)


def test_history_rewritten_before_a_head_is_a_root_mismatch(export: Path) -> None:
    rewrite(export, forged(LOG, 7, 4, principal="human:mallory"))
    error = failure(export)
    assert (error.code, error.exit_code) == ("root_mismatch", 16)
    assert error.index == 3  # the first that the good head of size 3 does not vouch for


def test_a_rewritten_entry_is_named_exactly_where_the_database_is_at_hand(export: Path) -> None:
    rewrite(export, forged(LOG, 7, 4, principal="human:mallory"))
    error = failure(export, reference=LOG.data)
    assert (error.code, error.index, error.line) == ("root_mismatch", 4, 5)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (head_line(5, root(5), by=2), "no trusted key"),
        (head_line(5, root(5), note=LOG.signed[1].note.replace("\n5\n", "\n4\n")), "does not fit"),
        (head_line(5, root(5), note=LOG.signed[0].note), "size and root"),
        (head_line(5, root(4), note=LOG.signed[1].note), "size and root"),
        (head_line(5, root(5), note="text"), "blank line"),
    ],
)
def test_a_head_without_a_right_and_trusted_signature_is_named(export: Path, bad: bytes, said: str) -> None:
    rewrite(export, [lines(export, "heads.jsonl")[0], bad], "heads.jsonl")
    error = failure(export)
    assert (error.code, error.exit_code, error.index, error.line) == ("head_signature", 15, None, 2)
    assert said in error.message


def test_the_head_of_another_log_is_refused_where_the_logs_name_is_known(export: Path) -> None:
    rewrite(export, [head_line(5, root(5), origin="elsewhere.example")], "heads.jsonl")
    assert failure(export).exit_code == 14  # keys.json is of the log whose files these were
    (export / "keys.json").unlink()
    assert verified(export).heads == 1
    assert failure(export, origin=ORIGIN).exit_code == 15


@pytest.mark.parametrize(
    "heads",
    [
        [head_line(5, root(5)), head_line(3, root(3))],
        [head_line(5, root(5)), head_line(5, root(4))],
        [head_line(3, root(3)), head_line(5, root(5), origin="elsewhere.example")],
    ],
)
def test_heads_that_contradict_each_other_are_refused(export: Path, heads: list[bytes]) -> None:
    rewrite(export, heads, "heads.jsonl")
    error = failure(export)
    assert (error.code, error.exit_code, error.line) == ("head_order", 18, 2)


def test_the_same_head_twice_is_one_head_said_twice(export: Path) -> None:
    rewrite(export, [head_line(5, root(5))] * 2, "heads.jsonl")
    assert verified(export).heads == 2


@pytest.mark.parametrize(
    ("heads", "code", "line"),
    [
        ([b"{}\n"], "malformed_line", 1),
        ([head_line(3, root(3)), b"\n"], "malformed_line", 2),
        ([head_line(3, root(3)), b"x" * 2_100_000 + b"\n"], "malformed_line", 2),
        ([head_line(3, root(3)), head_line(5, root(5))[:-1]], "torn_tail", 2),
    ],
)
def test_a_damaged_file_of_heads_is_named_with_its_line(export: Path, heads: list[bytes], code: str, line: int) -> None:
    rewrite(export, heads, "heads.jsonl")
    error = failure(export)
    assert (error.code, error.index, error.line) == (code, None, line)
    assert error.message.startswith(f"head on line {line}: ")


def test_a_saved_head_catches_a_rewrite_by_the_keys_own_holder(tmp_path: Path) -> None:
    rewritten = MemoryLog([leaf(0), leaf(99), leaf(2), leaf(3), leaf(4)])
    room(rewritten).head()
    exported(rewritten, tmp_path)
    assert verified(tmp_path).heads == 1
    error = failure(tmp_path, since=[LOG.signed[0].note])
    assert (error.code, error.exit_code, error.index) == ("saved_head_mismatch", 19, 0)


def test_a_saved_head_catches_a_log_cut_together_with_its_heads(tmp_path: Path) -> None:
    exported(signed_log(3), tmp_path)
    error = failure(tmp_path, since=[LOG.signed[1].note])
    assert (error.code, error.exit_code, error.index) == ("saved_head_mismatch", 19, 3)


def test_a_saved_head_of_another_log_is_a_saved_head_mismatch(export: Path) -> None:
    other = sign_head(TreeHead("elsewhere.example", 3, root(3)), signer())
    assert failure(export, since=[other]).exit_code == 19
    first = sign_head(TreeHead("elsewhere.example", 0, root(0)), signer())
    assert failure(export, since=[first]).exit_code == 19


def test_a_saved_head_by_a_stranger_is_no_evidence(export: Path) -> None:
    error = failure(export, since=[sign_head(TreeHead(ORIGIN, 3, root(3)), signer(2))])
    assert error.exit_code == 15
    assert "a saved head (size 3)" in error.message


def test_saved_heads_in_any_order_are_checked_with_the_others(export: Path) -> None:
    found = verified(export, since=[LOG.signed[1].note, LOG.signed[0].note])
    assert (found.heads, len(found.caveats)) == (4, 1)


def test_a_log_without_any_head_is_unsigned(tmp_path: Path) -> None:
    exported(signed_log(after=3), tmp_path)
    error = failure(tmp_path)
    assert (error.code, error.exit_code) == ("unsigned", 21)
    assert "evidence head" in error.hint


@pytest.mark.parametrize("name", ["ledger.jsonl", "heads.jsonl"])
def test_a_missing_file_is_named(export: Path, name: str) -> None:
    (export / name).unlink()
    error = failure(export)
    assert (error.code, error.exit_code) == ("missing_file", 22)
    assert name in error.message


def test_every_kind_of_failure_has_its_own_code_and_exit_code() -> None:
    table = [line.split()[:3] for line in (errors.__doc__ or "").splitlines() if line.strip()[:2].isdigit()]
    for number, code, name in table:
        kind: type[EvidenceError] = getattr(errors, name)
        assert (str(kind.exit_code), kind.code) == (number, code)
    assert [int(row[0]) for row in table] == list(range(10, 35))


def test_no_byte_of_a_ledger_changes_unseen(tmp_path: Path) -> None:
    """Every byte of the file, each flipped in one bit."""
    ledger, _ = exported(signed_log(2), tmp_path)
    whole = ledger.read_bytes()
    for place in range(len(whole)):
        bit = 1 << place % 8
        ledger.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        at = whole.count(b"\n", 0, place)
        assert failure(tmp_path).index in range(at + 1), place


def test_no_byte_of_the_heads_changes_unseen_but_for_the_unsigned_time(tmp_path: Path) -> None:
    _, heads = exported(signed_log(2), tmp_path)
    whole = heads.read_bytes()
    time = whole.index(b'"time":"') + 8
    for place in set(range(len(whole))) - set(range(time, time + 24)):
        bit = 1 << place % 8
        heads.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        assert failure(tmp_path).exit_code in range(10, 23), place


@given(st.sampled_from(["ledger.jsonl", "heads.jsonl"]), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_no_cut_and_no_insertion_goes_unseen(tmp_path: Path, name: str, data: st.DataObject) -> None:
    exported(signed_log(1, 3), tmp_path)
    whole = (tmp_path / name).read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 40)))
    new = data.draw(st.binary(max_size=5))
    if new == whole[start:end] or b'"time"' in whole[max(0, start - 40) : start]:
        return
    (tmp_path / name).write_bytes(whole[:start] + new + whole[end:])
    assert failure(tmp_path).exit_code in range(10, 23)


def test_an_endless_line_is_refused_without_reading_it_whole(export: Path) -> None:
    with (export / "ledger.jsonl").open("r+b") as ledger:
        ledger.truncate(0)
        ledger.truncate(50_000_000)
    tracemalloc.start()
    error = failure(export)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (error.code, error.index) == ("malformed_line", 0)
    assert peak < 2_000_000


def test_memory_stays_flat_however_long_the_ledger_is(tmp_path: Path) -> None:
    exported(signed_log(4000, after=4000), tmp_path)
    size = (tmp_path / "ledger.jsonl").stat().st_size
    verified(tmp_path)  # what is loaded once is loaded now
    tracemalloc.start()
    verified(tmp_path, reference=(leaf(number) for number in range(8000)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000 < size / 4
