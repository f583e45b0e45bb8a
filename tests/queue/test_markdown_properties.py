"""A queue that people, editors and crashes have been at: read with every row, or refused; and no byte of it is lost."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from interlock.queue.errors import MarkdownMalformed
from interlock.queue.markdown import COLUMNS, Table, is_window, parse, rendered
from tests.fuzz.effort import effort
from tests.fuzz.spoiling import pieces
from tests.queue.test_markdown import WORDS, files, spelt

HEADER = "|" + "|".join(COLUMNS) + "|\n" + "|---" * len(COLUMNS) + "|\n"
SEED = (
    "# Q\n\ntext | with bars | here\n\n"
    + HEADER
    + "| A-1 | PENDING | P1 | sweep | clean | - | - | - | |\r\n"
    + "|A-2|DONE|P0|한국어 \u2028|ok|me|2026-11-21 09:00|-|x|\n"
    + "\n| another | table |\n|---|---|\n| 1 | 2 |\n"
).encode()
LINES = [b"| a | b |", b"|---|", b"text", b"", b"|", b"| ID-0 | DONE |", b"\xef\xbb\xbf", b"\r"]
FOREIGN = b"\n| another | table |\n|---|---|\n| 1 | 2 |\n"


def read(data: bytes) -> Table | None:
    try:
        return parse("QUEUE.md", data)
    except MarkdownMalformed:
        return None


@effort(300)
@given(pieces([SEED]), WORDS)
def test_what_is_read_is_written_back_byte_for_byte_and_no_row_is_lost(data: bytes, word: str) -> None:
    table = read(data)
    if table is None:
        return
    assert table.with_changes({}) == data
    rows = [row.cells for row in table.rows]
    again = read(rendered(table, rows, banner=is_window(table)))
    assert again is not None
    assert [row.cells for row in again.rows] == rows
    if rows:
        changed = read(table.with_changes({rows[-1]["id"]: {"notes": word.strip()}}))
        assert changed is not None
        assert [row.cells for row in changed.rows[:-1]] == rows[:-1]
        assert {**changed.rows[-1].cells, "notes": ""} == {**rows[-1], "notes": ""}


@effort(100)
@given(files(), st.data())
def test_a_line_more_anywhere_is_a_row_more_a_refusal_or_text_that_stays(
    file: tuple[list[str], list[list[str]], list[str], str, bool], data: st.DataObject
) -> None:
    whole = spelt(file)
    lines = whole.split(b"\n")
    at = data.draw(st.integers(0, len(lines)))
    new = data.draw(st.sampled_from(LINES))
    spoilt = b"\n".join([*lines[:at], new, *lines[at:]])
    table = read(spoilt)
    assume(table is not None)
    assert table is not None
    before = parse("QUEUE.md", whole)
    assert table.with_changes({}) == spoilt
    assert [row.id for row in table.rows] == [row.id for row in before.rows], "no row is passed over in silence"


def test_another_table_and_prose_stay_as_they_are_when_rows_are_added() -> None:
    table = parse("QUEUE.md", SEED)
    after = table.with_row({**table.rows[0].cells, "id": "A-3"})
    assert after.startswith(SEED.partition(b"| A-1")[0])
    assert after.endswith(FOREIGN)
    assert [row.id for row in parse("QUEUE.md", after).rows] == ["A-1", "A-2", "A-3"]
