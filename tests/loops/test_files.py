"""A loop's files: JSON that changes whole or not at all, lines that stand once, logs beyond memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.loops import files
from interlock.loops.files import Addition, FileCorrupt, FileUnreadable, FileUnwritten

# --- JSON files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":"\xff"}',
        b'{"a":' + b"[" * 500 + b"]" * 500 + b"}",
        b"[" * 100_000,
        b'{"a":' + b"1" * 5000 + b"}",
    ],
)
def test_what_holds_no_json_object_is_corrupt(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(data)
    with pytest.raises(FileCorrupt, match=r"invalid JSON in .*state\.json"):
        files.read_json(str(path))


def test_many_brackets_side_by_side_are_not_deep(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"a": [[]] * 1000, "b": "{" * 1000}))
    assert files.read_json(str(path)) is not None


def test_a_byte_order_mark_is_no_corruption(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b'\xef\xbb\xbf{"a":1}')
    assert files.read_json(str(path)) == {"a": 1}


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_unreadable_and_nobody_waits_for_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "state.json"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(FileUnreadable, match="is no file"):
        files.read_json(str(path))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(st.characters(), max_size=5), json_values, max_size=3), st.booleans())
def test_whatever_is_written_is_json_on_whole_lines(document: dict[str, object], pretty: bool) -> None:  # noqa: FBT001 - hypothesis names it
    data = files.bytes_of(document, pretty=pretty)
    assert files.parsed(data) is not None
    assert data.endswith(b"\n")
    assert pretty or data.count(b"\n") == 1


def test_a_lone_surrogate_stays_escaped() -> None:
    assert files.bytes_of({"a": "\ud800 é \\"}) == '{"a":"\\ud800 é \\\\"}\n'.encode()
    assert files.parsed(files.bytes_of({"a": "\ud800 é \\"})) == {"a": "\ud800 é \\"}


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("old")
    script = f"""
import os, resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from interlock.loops import files
try:
    files.replace({str(path)!r}, b"x" * 2000)
except files.FileUnwritten as error:
    print(error.message)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "state.json can not be written: File too large" in done.stdout
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["state.json"]


# --- JSONL files ------------------------------------------------------------------------------------------------------


def test_a_torn_last_line_is_ended_and_hides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a":1}\n\n{"a":2')
    files.append(str(path), [b'{"a":3}\n'])
    assert files.last_rows(str(path), 9) == [{"a": 1}, {"a": 3}]


def test_a_full_file_is_put_aside_and_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "ROTATE_BYTES", 30)
    path = str(tmp_path / "rows.jsonl")
    for number in range(10):
        files.append(path, [b'{"n":%d,"pad":"xxx"}\n' % number], lasting=True)
    assert sorted(each.name for each in tmp_path.iterdir())[:2] == ["rows.jsonl", "rows.jsonl.000001"]
    assert [each["n"] for each in files.last_rows(path, 7)] == [3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("left", [b"", b"\n", b'\n{"b"', b'\n{"b":2}\n{"b":3}', b'\n{"b":2}\n{"b":3}\n'])
def test_lines_stand_once_wherever_their_writer_died(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a":1}\n{"torn')
    plan = files.planned(str(path), [b'{"b":2}\n', b'{"b":3}\n'])
    path.write_bytes(path.read_bytes() + left)
    files.add(plan)
    files.add(plan)
    assert path.read_bytes() == b'{"a":1}\n{"torn\n{"b":2}\n{"b":3}\n'


def test_lines_are_not_lost_to_what_another_has_written_since(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a":1}\n')
    plan = files.planned(str(path), [b'{"b":2}\n'])
    path.write_bytes(path.read_bytes() + b'{"c":3}\n')
    files.add(plan)
    files.add(plan)
    assert path.read_bytes() == b'{"a":1}\n{"c":3}\n{"b":2}\n'


@pytest.mark.parametrize("moved", [False, True])
def test_lines_stand_once_also_across_a_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, moved: bool
) -> None:
    monkeypatch.setattr(files, "ROTATE_BYTES", 10)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a":1}\n')
    plan = files.planned(str(path), [b'{"b":2}\n'])
    if moved:
        path.rename(f"{path}.000001")
    files.add(plan)
    files.add(plan)
    assert files.last_rows(str(path), 9) == [{"a": 1}, {"b": 2}]
    assert Path(f"{path}.000001").read_bytes() == b'{"a":1}\n'


def test_lines_of_a_file_that_is_gone_are_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    files.add(Addition(str(path), b'{"b":2}\n', expected=500, aside=f"{path}.000001"))
    assert path.read_bytes() == b'{"b":2}\n'


def test_a_folder_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("a file")
    with pytest.raises(FileUnwritten, match=r"rows\.jsonl can not be written"):
        files.append(str(tmp_path / "there" / "rows.jsonl"), [b"{}\n"])


# --- a log that grows -------------------------------------------------------------------------------------------------

texts = st.lists(st.binary(max_size=12).map(lambda data: data.replace(b"\n", b"")), max_size=12)


@settings(deadline=None)
@given(texts, st.binary(max_size=5).map(lambda data: data.replace(b"\n", b"")), st.integers(1, 9))
def test_a_log_is_read_alike_in_blocks_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], torn: bytes, block: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "events.jsonl"
    whole = b"".join(line + b"\n" for line in lines)
    path.write_bytes(whole + torn)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_BLOCK", block)
        patch.setattr(files, "_STRIDE", block)
        with files.log(str(path)) as log:
            assert log is not None
            end = log.end()
            assert end == len(whole)
            assert log.count(0, end) == len(lines)
            assert [line for _, line in log.lines(0, end)] == lines
            assert list(log.backwards(end)) == lines[::-1]
            places = [0, *(place for place, _ in log.lines(0, end))]
            assert [log.after(number, end) for number in range(len(lines) + 2)] == [*places, None]


def test_a_line_longer_than_reason_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_LINE", 100)
    monkeypatch.setattr(files, "_STRIDE", 16)
    monkeypatch.setattr(files, "_BLOCK", 16)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"one\n" + b"x" * 300 + b"\n" + b"y" * 101 + b"\nfour\n")
    with files.log(str(path)) as log:
        assert log is not None
        assert [line for _, line in log.lines(0, log.size)] == [b"one", None, None, b"four"]
        assert next(iter(log.backwards(log.size))) == b"four"


# --- locks ------------------------------------------------------------------------------------------------------------


def test_a_lock_is_held_by_one_and_ends_with_its_process(tmp_path: Path) -> None:
    path = str(tmp_path / ".lock")
    script = f"""
import sys
from interlock.loops import files
with files.held({path!r}, wait=False, about={{"pid": 7}}) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"True\n"
        with files.held(path, wait=False) as mine:
            assert not mine
        assert files.read_json(path) == {"pid": 7}
        other.kill()
        other.wait()
    with files.held(path, wait=False) as mine:
        assert mine
        assert files.read_bytes(path) == b"", "who is dead holds nothing"
