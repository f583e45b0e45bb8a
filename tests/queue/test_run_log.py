"""The run log: lines that other tools read, appended once for each event whatever happens in between."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from interlock.evidence.tree import leaf_hash
from interlock.kernel.events import to_leaf
from interlock.queue.errors import RunLogUnreadable, RunLogUnwritten
from interlock.queue.events import MarkdownRowChanged
from interlock.queue.kpi import RunLog
from interlock.queue.run_log import append, lines_of, read, resume

NOON_MS = 1_795_230_030_123
"""2026-11-21 12:00:30.123 in KST."""
FOREIGN = b'{"command":"list","event":"run_end","trace_id":"trace-0"}\n'


def event(
    kind: str = "item.completed", subject: str = "ORCH-001", *, correlation_id: str | None = "c-1", **payload: object
) -> dict[str, Any]:
    return {
        "correlation_id": correlation_id,
        "key": None,
        "kind": kind,
        "payload": {"duration_ms": 90_500, **payload},
        "principal": "human:alice",
        "subject": subject,
        "time": "2026-11-21T03:00:30.123Z",
        "version": 1,
    }


def records(lines: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "orch_runs.jsonl"


def put(path: Path, *data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.writelines(data)


# --- lines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "command"),
    [
        (event("item.completed"), "done"),
        (event("item.failed"), "fail"),
        (event("markdown.changed", verb="complete"), "done"),
        (event("markdown.changed", verb="fail"), "fail"),
    ],
)
def test_work_that_ended_is_a_start_and_an_end_with_the_time_that_it_took(
    told: Mapping[str, Any], command: str
) -> None:
    begin, end = records(lines_of(told, 7))
    assert begin == {
        "command": command,
        "event": "run_start",
        "leaf": 7,
        "trace_id": "c-1",
        "ts_epoch_ms": NOON_MS - 90_500,
        "ts_kst": "2026-11-21T11:58:59+09:00",
    }
    assert end == {
        "command": command,
        "duration_ms": 90_500,
        "event": "run_end",
        "exit_code": 0,
        "item_id": "ORCH-001",
        "leaf": 7,
        "status": "ok",
        "trace_id": "c-1",
        "ts_epoch_ms": NOON_MS,
        "ts_kst": "2026-11-21T12:00:30+09:00",
    }


def test_everything_else_is_no_line() -> None:
    for told in (event("item.claimed"), event("run.finished"), event("markdown.changed", verb="cancel")):
        assert lines_of(told, 0) == []


def test_a_line_is_one_line_with_sorted_keys_and_other_scripts_as_they_are() -> None:
    for line in lines_of(event(subject="작업\u2028\n1"), 0):
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        assert list(json.loads(line)) == sorted(json.loads(line))
    assert "작업".encode() in lines_of(event(subject="작업"), 0)[1]


@pytest.mark.parametrize("duration", [None, True, 1.5, -3, "9"])
def test_a_duration_that_is_none_is_told_as_none_and_counts_nowhere(duration: object) -> None:
    begin, end = lines_of(event(duration_ms=duration), 0)
    assert json.loads(end)["duration_ms"] is None
    assert json.loads(begin)["ts_epoch_ms"] == NOON_MS
    log = RunLog()
    log.add([begin, end])
    assert (log.done, log.durations_ms) == (1, [])


def test_without_a_correlation_id_the_trace_is_named_by_the_leaf() -> None:
    fact = MarkdownRowChanged(
        subject="작업-1", path="Q.md", verb="fail", previous_status="PENDING", status="FAILED", file_digest="sha256:0"
    )
    leaf = to_leaf(fact, principal="human:alice", correlation_id=None, time_ms=NOON_MS)
    lines = records(lines_of(json.loads(leaf.data), 3))
    assert {line["trace_id"] for line in lines} == {"trace-" + leaf_hash(leaf.data).hex()[:12]}
    assert re.fullmatch(r"trace-[0-9a-f]{12}", lines[0]["trace_id"])


# --- where it stopped -------------------------------------------------------------------------------------------------


def test_nothing_is_known_where_there_is_no_log_or_none_of_our_lines(path: Path) -> None:
    assert resume(path) == 0
    assert list(read(path)) == []
    assert not path.parent.exists()
    put(path, FOREIGN, b'{"event":"run_end","leaf":true}\n', b'{"event":"run_start","leaf":9}\n', b'["leaf"]\n')
    assert resume(path) == 0


def test_the_place_is_found_behind_what_other_tools_wrote(path: Path) -> None:
    append(path, [*lines_of(event(), 4), *lines_of(event(), 9)])
    assert resume(path) == 10
    put(path, *[FOREIGN] * 3000, b"\xff\n", b"\n", b'{"event":"run_end","leaf":', b"x" * 100_000)
    assert resume(path) == 10


def test_the_place_is_found_in_what_was_put_aside(path: Path) -> None:
    append(path, lines_of(event(), 4))
    append(path, lines_of(event(), 5), rotate_bytes=10)
    path.rename(path.with_name("orch_runs.jsonl.000002"))  # as if killed before the first line of the new file
    assert resume(path) == 6
    put(path, FOREIGN)
    assert resume(path) == 6


@pytest.mark.parametrize("cut", range(0, 700, 37))
def test_a_write_that_was_cut_off_anywhere_is_completed_once(path: Path, cut: int) -> None:
    append(path, lines_of(event(), 0))
    batch = b"".join(lines_of(event(), 1) + lines_of(event(), 2))
    put(path, batch[:cut])
    for index in range(resume(path), 3):
        append(path, lines_of(event(), index))
    log, known = RunLog(), list[tuple[str, int]]()
    log.add(read(path))
    for line in read(path):
        if line.endswith(b"}\n"):
            record = json.loads(line)
            known.append((record["event"], record["leaf"]))
    assert known == [(kind, index) for index in range(3) for kind in ("run_start", "run_end")]
    assert log.done == 3
    assert log.malformed <= 1


def test_a_last_line_that_lacks_only_its_end_is_known(path: Path) -> None:
    put(path, b"".join(lines_of(event(), 5)).removesuffix(b"\n"))
    assert resume(path) == 6
    append(path, lines_of(event(), 6))
    assert [json.loads(line)["leaf"] for line in read(path)] == [5, 5, 6, 6]


def test_the_torn_line_of_another_tool_costs_no_line_of_ours(path: Path) -> None:
    put(path, b'{"torn')
    append(path, lines_of(event(), 0))
    assert path.read_bytes() == b'{"torn\n' + b"".join(lines_of(event(), 0))


# --- putting aside ----------------------------------------------------------------------------------------------------


def test_a_full_log_is_put_aside_under_a_rising_number_and_all_are_kept(path: Path) -> None:
    put(path, FOREIGN)
    (path.parent / "orch_runs.jsonl.000041").write_bytes(FOREIGN)
    (path.parent / "orch_runs.jsonl.gz").write_bytes(b"not ours")
    (path.parent / "orch_runs.jsonl.12").write_bytes(b"not ours")
    for index in range(4):
        append(path, lines_of(event(), index), rotate_bytes=500)
    names = sorted(each.name for each in path.parent.iterdir())
    assert names == [
        "orch_runs.jsonl",
        "orch_runs.jsonl.000041",
        "orch_runs.jsonl.000042",
        "orch_runs.jsonl.000043",
        "orch_runs.jsonl.000044",
        "orch_runs.jsonl.12",
        "orch_runs.jsonl.gz",
    ]
    assert list(read(path)) == [FOREIGN, FOREIGN, *(line for index in range(4) for line in lines_of(event(), index))]


def test_a_file_is_put_aside_only_where_the_lines_would_make_it_too_large(path: Path) -> None:
    lines = lines_of(event(), 0)
    size = sum(map(len, lines))
    append(path, lines, rotate_bytes=10)
    append(path, lines_of(event(), 1), rotate_bytes=2 * size)
    assert [each.name for each in path.parent.iterdir()] == ["orch_runs.jsonl"]
    append(path, lines_of(event(), 2), rotate_bytes=2 * size)
    assert path.read_bytes() == b"".join(lines_of(event(), 2))


def test_after_the_millionth_file_the_order_is_still_that_of_the_numbers(path: Path) -> None:
    for number in (999_999, 1_000_000):
        put(path.with_name(f"orch_runs.jsonl.{number}"), b"%d\n" % number)
    put(path, b"now\n")
    append(path, lines_of(event(), 0), rotate_bytes=1)
    assert list(read(path))[:3] == [b"999999\n", b"1000000\n", b"now\n"]
    assert path.with_name("orch_runs.jsonl.1000001").exists()


def test_a_log_that_is_put_aside_while_it_is_read_is_read_once(path: Path) -> None:
    append(path, lines_of(event(), 0))
    append(path, lines_of(event(), 1), rotate_bytes=1)
    reading = read(path)
    seen = [next(reading)]
    for index in (2, 3):
        append(path, lines_of(event(), index), rotate_bytes=1)
    seen += reading
    assert [json.loads(line)["leaf"] for line in seen] == [0, 0, 1, 1]


def test_a_log_that_is_put_aside_between_looking_and_opening_is_read_once(path: Path) -> None:
    append(path, lines_of(event(), 0))
    append(path, lines_of(event(), 1), rotate_bytes=1)
    turns = iter(range(2, 4))

    def put_aside(_frame: FrameType, what: str, called: Any) -> None:  # noqa: ANN401 - any built-in function
        if what == "c_call" and called is io.open and (index := next(turns, None)):
            append(path, lines_of(event(), index), rotate_bytes=1)

    sys.setprofile(put_aside)
    seen = list(read(path))
    sys.setprofile(None)
    assert [json.loads(line)["leaf"] for line in seen] == [0, 0, 1, 1, 2, 2, 3, 3]


def _rotate(path: Path, turns: int) -> None:
    for index in range(1, turns):
        append(path, lines_of(event(), index), rotate_bytes=1200)


def test_readers_beside_a_log_that_is_put_aside_all_the_time_lose_and_double_nothing(path: Path) -> None:
    append(path, lines_of(event(), 0))
    with ProcessPoolExecutor(1) as pool:
        work = pool.submit(_rotate, path, 300)
        reads = 0
        while not work.done():
            places = [json.loads(line)["leaf"] for line in read(path) if line.endswith(b"\n")]
            assert places[: len(places) // 2 * 2] == [index for index in range(len(places) // 2) for _ in "se"]
            reads += 1
        work.result()
    assert reads > 5
    assert len(list(read(path))) == 600


# --- trouble ----------------------------------------------------------------------------------------------------------


def test_a_log_that_is_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunLogUnreadable, match="is no file"):
        list(read(tmp_path))
    with pytest.raises(RunLogUnreadable):
        resume(tmp_path)
    with pytest.raises(RunLogUnwritten, match="Is a directory"):
        append(tmp_path, lines_of(event(), 0))
    (tmp_path / "file").touch()
    with pytest.raises(RunLogUnwritten):
        append(tmp_path / "file" / "orch_runs.jsonl", lines_of(event(), 0))


def test_a_pipe_in_the_logs_place_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RunLogUnreadable, match="no file"):
        list(read(tmp_path / "pipe"))


def test_a_disk_that_fills_up_is_said_and_the_next_write_completes(path: Path) -> None:
    script = (
        "import resource, signal, sys, pathlib; from tests.queue.test_run_log import append, event, lines_of\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "path = pathlib.Path(sys.argv[1]); append(path, lines_of(event(), 0))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))\n"
        "append(path, lines_of(event(), 1))\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False, cwd=root)
    assert "RunLogUnwritten" in done.stderr
    assert path.stat().st_size == 600
    for index in range(resume(path), 2):
        append(path, lines_of(event(), index))
    log = RunLog()
    log.add(read(path))
    assert (log.done, log.malformed) == (2, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_reading_half_of_it_leaves_no_file_open(path: Path) -> None:
    def opened() -> list[str]:
        return [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]

    append(path, lines_of(event(), 0))
    append(path, lines_of(event(), 1), rotate_bytes=1)
    reading = read(path)
    next(reading)
    assert sum("orch_runs" in each for each in opened()) == 2
    del reading
    assert sum("orch_runs" in each for each in opened()) == 0


def test_a_line_without_an_end_is_told_in_pieces_that_fit(path: Path) -> None:
    put(path, b"x" * 3_000_000)
    log = RunLog()
    log.add(read(path))
    assert log.malformed == 3
    assert resume(path) == 0
