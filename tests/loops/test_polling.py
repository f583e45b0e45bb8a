"""Polling: every event once, whatever the lines between hold, and at the price of what is new."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.loops import files, polling
from interlock.loops.errors import ArtifactMissing, CursorBeyondEnd, CursorCorrupt, EnvelopeInvalid, EventInvalid
from interlock.loops.files import Document
from interlock.loops.models import stamp
from interlock.loops.polling import Batch, ReadOn
from tests.loops.loop import NOW, Loop


def poll(loop: Loop, **flags: object) -> list[Document]:
    return list(polling.poll(loop.places, now=NOW, **flags))  # pyright: ignore[reportArgumentType] - the flags' own types


def read_on(loop: Loop, *, after: int, known: Document | None = None, most: int = 0) -> tuple[ReadOn, Document]:
    """Read as a reconcile does; return also the position for the next time."""
    with files.log(str(loop.log)) as log:
        assert log is not None
        found = polling.read_on(loop.places, log, after=after, known=known, most=most, now=NOW, trace_id="t-1")
        return found, polling.position_of(log, found.position)


# --- the entry point --------------------------------------------------------------------------------------------------


def test_an_event_comes_in_the_envelope_of_the_contract(loop: Loop) -> None:
    loop.events("role_end", role="planner", status="ok", data={"n": 1})
    (found,) = poll(loop, trace_id="t-1")
    assert found == {
        "schemaVersion": "v1",
        "envelopeType": "loop_run_event",
        "emittedAt": stamp(NOW),
        "traceId": "t-1",
        "source": {"repoPath": str(loop.repo), "loopId": "docs"},
        "sequence": {"source": "cursor_event_line_offset", "value": 1},
        "cursor": {"eventLineOffset": 1, "eventLineCount": 1},
        "run": {"runId": "r-7", "iteration": 2},
        "event": {
            "timestamp": stamp(NOW),
            "name": "role_end",
            "role": "planner",
            "status": "ok",
            "message": None,
            "payload": {"n": 1},
            "raw": loop.event("role_end", role="planner", status="ok", data={"n": 1}),
        },
    }
    assert list(found)[:5] == ["schemaVersion", "envelopeType", "emittedAt", "traceId", "source"]


def test_the_cursor_moves_to_the_last_event_and_the_next_poll_finds_nothing(loop: Loop) -> None:
    loop.events("loop_start", "iteration_start")
    assert [each["sequence"]["value"] for each in poll(loop)] == [1, 2]
    cursor = loop.run / "ops-manager.cursor.json"
    assert json.loads(cursor.read_text()) == {
        "schemaVersion": "v1",
        "repoPath": str(loop.repo),
        "loopId": "docs",
        "eventsFile": ".superloop/loops/docs/events.jsonl",
        "eventLineOffset": 2,
        "eventLineCount": 2,
        "updatedAt": stamp(NOW),
    }
    assert cursor.read_text().startswith('{\n  "schemaVersion"')
    assert poll(loop) == []
    assert json.loads(cursor.read_text())["eventLineOffset"] == 2


def test_at_most_so_many_events_come_at_once(loop: Loop, tmp_path: Path) -> None:
    loop.events("a", "b", "c")
    cursor = str(tmp_path / "cursor.json")
    names = [[each["event"]["name"] for each in poll(loop, cursor_file=cursor, max_events=2)] for _ in range(3)]
    assert names == [["a", "b"], ["c"], []]
    assert len(poll(loop, cursor_file=cursor, from_start=True)) == 3


def test_blank_lines_are_counted_and_passed_over(loop: Loop) -> None:
    loop.events("a").raw(b"\n  \n").events("b")
    assert [each["sequence"]["value"] for each in poll(loop)] == [1, 4]


def test_the_older_word_for_a_name_is_read(loop: Loop) -> None:
    loop.raw(b'{"type":"loop_stop","timestamp":"2026-11-21T08:00:00Z"}\n')
    (found,) = poll(loop)
    assert (found["event"]["name"], found["run"]) == ("loop_stop", {"runId": "unknown", "iteration": 0})


def test_a_line_that_is_just_being_written_comes_with_its_end(loop: Loop) -> None:
    loop.events("a").raw(b'{"event":"b",')
    assert len(poll(loop)) == 1
    loop.raw(b'"timestamp":"2026-11-21T08:00:00Z"}\n')
    assert [each["event"]["name"] for each in poll(loop)] == ["b"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "invalid JSON event at line 2"),
        (b"5", "invalid JSON event at line 2"),
        (b'{"timestamp":"x"}', "missing event name at line 2"),
        (b'{"event":"","timestamp":"x"}', "missing event name at line 2"),
        (b'{"event":"b"}', "missing event timestamp at line 2"),
    ],
)
def test_a_line_that_is_no_event_stops_the_poll_and_leaves_the_cursor(loop: Loop, line: bytes, said: str) -> None:
    loop.events("a").raw(line + b"\n")
    found: Iterator[Document] = polling.poll(loop.places, now=NOW)
    assert next(found)["event"]["name"] == "a"
    with pytest.raises(EventInvalid, match=said):
        next(found)
    assert not (loop.run / "ops-manager.cursor.json").exists()


def test_a_cursor_beyond_the_end_says_both_numbers_and_what_to_do(loop: Loop) -> None:
    loop.events("a", "b")
    poll(loop)
    loop.log.write_bytes(b"")
    with pytest.raises(CursorBeyondEnd, match=r"offset 2 is beyond the event log's 0 lines; reset .* --from-start"):
        poll(loop)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "invalid JSON in cursor file"),
        ("[]", "invalid JSON in cursor file"),
        ('{"eventLineOffset":-1}', "invalid cursor offset"),
        ('{"eventLineOffset":"x"}', "invalid cursor offset"),
        ('{"schemaVersion":"v2","eventLineOffset":1}', "unsupported schemaVersion"),
        ('{"schemaVersion":[],"eventLineOffset":1}', "unsupported schemaVersion"),
    ],
)
def test_a_cursor_that_says_nothing_is_told(loop: Loop, tmp_path: Path, text: str, said: str) -> None:
    loop.events("a")
    cursor = tmp_path / "cursor.json"
    cursor.write_text(text)
    with pytest.raises(CursorCorrupt, match=said):
        poll(loop, cursor_file=str(cursor))
    assert len(poll(loop, cursor_file=str(cursor), from_start=True)) == 1


def test_a_cursor_without_an_offset_begins_at_the_start(loop: Loop, tmp_path: Path) -> None:
    loop.events("a")
    (tmp_path / "cursor.json").write_text("{}")
    assert len(poll(loop, cursor_file=str(tmp_path / "cursor.json"))) == 1


def test_a_missing_log_is_named(loop: Loop) -> None:
    with pytest.raises(ArtifactMissing, match="required artifact missing"):
        poll(loop)


# --- somebody else's envelopes ----------------------------------------------------------------------------------------


def test_envelopes_of_another_kind_are_refused(loop: Loop) -> None:
    (good,) = poll(loop.events("a"))
    bad: list[Document] = [
        {"not": "a-valid-envelope"},
        good | {"source": {"loopId": "x"}},
        good | {"event": {"name": ""}},
        good | {"schemaVersion": "v2"},
    ]
    for each in bad:
        with pytest.raises(EnvelopeInvalid, match="event envelope is invalid or loop id mismatch"):
            polling.batch_of([good, each], "docs")


def test_a_batch_knows_its_order(loop: Loop) -> None:
    events = poll(loop.events("a", "b", "c"))
    batch = polling.batch_of([events[0], events[2], events[1]], "docs")
    assert (batch.ingested, batch.first, batch.last, batch.monotonic, batch.last_name) == (3, 1, 2, False, "b")
    numberless: Document = {**events[1], "sequence": None}
    assert polling.batch_of([events[0], numberless], "docs").missing


# --- a reconcile's own reading ----------------------------------------------------------------------------------------


def test_bad_lines_in_the_middle_are_counted_and_stop_nothing(loop: Loop) -> None:
    loop.events("a").raw(b'{"torn\n5\n').events("foreign", loop_id="other").raw(b'{"event":"x"}\n\n')
    loop.events("odd", loop_id=["docs"]).events("b")
    found, _ = read_on(loop, after=0)
    assert (found.batch.ingested, found.batch.invalid, found.batch.first, found.batch.last) == (2, 5, 1, 8)
    assert found.batch.last_name == "b"
    assert found.position.read.lines == found.position.end.lines == 8


def test_the_last_event_of_the_log_is_known_without_anything_new(loop: Loop) -> None:
    loop.events("a", "b").raw(b'{"torn\n\n')
    first, position = read_on(loop, after=0)
    idle, _ = read_on(loop, after=4, known=position)
    assert idle.batch == Batch()
    assert idle.last is not None
    assert idle.last == first.last
    assert idle.last["event"] == "b"


def test_a_chunk_is_not_the_end_and_still_knows_the_last_event(loop: Loop) -> None:
    loop.events("a", "b", "c")
    found, _ = read_on(loop, after=0, most=2)
    assert (found.batch.complete, found.batch.last_name, found.position.read.lines) == (False, "b", 2)
    assert found.last is not None
    assert found.last["event"] == "c"


def test_a_log_that_ends_before_the_cursor_is_read_from_its_start(loop: Loop) -> None:
    loop.events("a", "b", "c")
    _, position = read_on(loop, after=0)
    loop.log.write_bytes(b"")
    loop.events("d")
    found, _ = read_on(loop, after=3, known=position)
    assert (found.restarted, found.batch.last_name, found.position.read.lines) == (True, "d", 1)


def test_a_cursor_beyond_the_end_begins_again_also_where_no_position_is_known(loop: Loop) -> None:
    found, _ = read_on(loop.events("a", "b"), after=9)
    assert (found.restarted, found.batch.first, found.batch.last) == (True, 1, 2)
    assert found.position.read.lines == found.position.end.lines == 2


class Counted:
    """Counts the bytes that are read of logs."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        pread = files.os.pread

        def counting(descriptor: int, size: int, place: int) -> bytes:
            data = pread(descriptor, size, place)
            self.bytes += len(data)
            return data

        patch.setattr(files.os, "pread", counting)


def test_ten_new_events_cost_the_same_behind_any_number(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    line = json.dumps(loop.event("role_end")).encode() + b"\n"
    cost: list[int] = []
    for before in (1_000, 200_000):
        loop.log.write_bytes(line * before)
        _, position = read_on(loop, after=before)
        loop.events(*["role_start"] * 10)
        with monkeypatch.context() as patch:
            counted = Counted(patch)
            found, _ = read_on(loop, after=before, known=position)
            cost.append(counted.bytes)
        assert (found.batch.ingested, found.batch.last) == (10, before + 10)
    assert cost[0] == cost[1]
    assert cost[1] < 100_000


@pytest.mark.parametrize("change", ["none", "copied", "cut", "other cursor", "forged", "emptied"])
def test_a_position_that_does_not_fit_is_worth_nothing(loop: Loop, change: str) -> None:
    loop.events("a", "b", "c")
    _, position = read_on(loop, after=0)
    after = 3
    if change == "copied":
        data = loop.log.read_bytes()
        loop.log.rename(loop.log.with_suffix(".old"))
        loop.log.write_bytes(data)
    if change == "cut":
        loop.log.write_bytes(b"".join(loop.log.read_bytes().splitlines(keepends=True)[:2]))
        after = 2
    if change == "other cursor":
        after = 1
    if change == "forged":
        position = position | {"read": {"lines": 3, "offset": 10**9}}
    if change == "emptied":
        position = {}
    loop.events("d")
    found, _ = read_on(loop, after=after, known=position)
    expected = {"other cursor": 3}.get(change, 1)
    assert (found.batch.ingested, found.batch.last_name, found.restarted) == (expected, "d", False)
    assert found.position.end.lines == found.position.read.lines == after + expected


@pytest.mark.parametrize("length", [1, 3, 5])
@pytest.mark.parametrize("after", [3, 0])
def test_a_log_that_was_written_anew_is_read_from_its_start_however_long_it_is_by_now(
    loop: Loop, length: int, after: int
) -> None:
    loop.events("a", "b", "c")
    _, position = read_on(loop, after=0)
    loop.log.write_bytes(b"")
    loop.events(*["d"] * length)
    found, position = read_on(loop, after=after, known=position)
    assert (found.batch.ingested, found.restarted) == (length, True)
    again, _ = read_on(loop, after=length, known=position)
    assert (again.batch.ingested, again.restarted) == (0, False)


lines = st.lists(st.sampled_from([b"event", b"", b"torn", b"foreign"]), max_size=10)


@settings(deadline=None)
@given(st.lists(lines, min_size=1, max_size=5), st.integers(0, 3))
def test_every_event_comes_once_in_whatever_pieces(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[list[bytes]], most: int
) -> None:
    loop = Loop(tmp_path_factory.mktemp("loop")).raw(b"")
    kinds = {
        b"event": json.dumps(loop.event("role_end")).encode(),
        b"": b"",
        b"torn": b'{"event":',
        b"foreign": json.dumps(loop.event("role_end", loop_id="x")).encode(),
    }
    position, after, seen, invalid, written = None, 0, 0, 0, 0
    for piece in [*pieces, *[[]] * (50 if most else 1)]:
        data = b"".join(kinds[each] + b"\n" for each in piece)
        loop.raw(data[: len(data) // 2])
        found, position = read_on(loop, after=after, known=position, most=most)
        after, seen, invalid = found.position.read.lines, seen + found.batch.ingested, invalid + found.batch.invalid
        loop.raw(data[len(data) // 2 :])
        written += len(piece)
    found, _ = read_on(loop, after=after, known=position)
    everything = [each for piece in pieces for each in piece]
    assert found.position.read.lines == written
    assert seen + found.batch.ingested == everything.count(b"event")
    assert invalid + found.batch.invalid == everything.count(b"torn") + everything.count(b"foreign")
