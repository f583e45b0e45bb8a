"""The Markdown table: read strictly, written without touching what did not change."""

from __future__ import annotations

import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.queue.errors import ItemNotFound, MarkdownChanged, MarkdownMalformed, MarkdownMissing, MarkdownReadOnly
from interlock.queue.markdown import COLUMNS, MAX_BYTES, cell, changing, parse, read

HERE = Path("QUEUE.md")
HEADER = "| " + " | ".join(COLUMNS) + " |\n"
RULE = "|---|---|---|---|---|---|---|---|---|\n"


def row(item_id: str, status: str = "PENDING", *, notes: str = "", task: str = "sweep") -> str:
    return f"| {item_id} | {status} | P1 | {task} | swept | - | - | - | {notes} |\n"


def queue(*rows: str, before: str = "# Queue\n\n앞말\n\n", after: str = "\n## Tips\nnone\n") -> bytes:
    return (before + HEADER + RULE + "".join(rows) + after).encode()


def ids(data: bytes) -> list[str]:
    return [each.id for each in parse(HERE, data).rows]


def test_a_changed_cell_changes_its_own_bytes_and_no_others() -> None:
    data = queue(row("ORCH-001", notes="먼저"), "|ORCH-002|PENDING|P0|  wide   task |x|-|-|-||\n", row("ORCH-003"))
    after = parse(HERE, data).with_cells("ORCH-002", {"status": "BLOCKED", "notes": "cancelled_by_operator"})
    assert after == data.replace(
        b"|ORCH-002|PENDING|P0|  wide   task |x|-|-|-||",
        b"|ORCH-002|BLOCKED|P0|  wide   task |x|-|-|-| cancelled_by_operator |",
    )


def test_line_ends_and_a_byte_order_mark_stay() -> None:
    data = b"\xef\xbb\xbf" + queue(row("A-1"), row("A-2"), before="").replace(b"\n", b"\r\n")
    table = parse(HERE, data)
    assert [each.id for each in table.rows] == ["A-1", "A-2"]
    assert table.with_cells("A-2", {"notes": "x"}) == data.replace(
        row("A-2").replace("\n", "\r\n").encode(),
        row("A-2", notes="x").replace("|  |", "| x |").replace("\n", "\r\n").encode(),
    )


def test_a_row_is_added_at_the_tables_end_in_the_files_own_line_ends() -> None:
    cells = dict.fromkeys(COLUMNS, "-") | {
        "id": "B-2",
        "status": "PENDING",
        "priority": "P0",
        "task": "a|b",
        "notes": "",
    }
    for data in (
        queue(row("B-1")),
        queue(row("B-1")).replace(b"\n", b"\r\n"),
        queue(row("B-1").rstrip("\n"), after=""),
    ):
        after = parse(HERE, data).with_row(cells)
        assert ids(after) == ["B-1", "B-2"]
        assert parse(HERE, after).row("B-2").cells["task"] == "a/b"
        assert after.startswith(data.rstrip(b"\r\n") if not data.endswith(b"\n") else data[: data.index(b"B-1")])


def test_characters_that_break_lines_elsewhere_do_not_break_a_row() -> None:
    data = queue(row("C-1", notes="one\vtwo\x85three\u2028four\rfive"), row("C-2"))
    table = parse(HERE, data)
    assert [each.id for each in table.rows] == ["C-1", "C-2"]
    assert "\u2028" in table.row("C-1").cells["notes"]
    assert table.with_cells("C-2", {"status": "DONE"}).count("\u2028".encode()) == 1


@given(st.text(max_size=60))
def test_whatever_is_written_into_a_cell_is_read_back_from_it(text: str) -> None:
    if re.search("[\ud800-\udfff]", text):
        return
    after = parse(HERE, queue(row("D-1"), row("D-2"))).with_cells("D-1", {"notes": text})
    table = parse(HERE, after)
    assert table.row("D-1").cells["notes"].strip() == cell(text).strip()
    assert [each.id for each in table.rows] == ["D-1", "D-2"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "header not found"),
        (b"# nothing here\n", "header not found"),
        (HEADER.encode(), "line 2: the separator"),
        ((HEADER + row("E-1")).encode(), "line 2: the separator"),
        (queue(row("E-1")) + queue(row("E-2")), "a second queue table"),
        (queue("| E-1 | PENDING | P1 | task |\n"), "line 7: Expected 9 cells in row, got 4"),
        (queue(row("E-1"), "\n", row("E-2")), "line 9: a row after a blank line"),
        (queue(row("E-1"), row("E-2"), row("E-1")), "line 9: the id E-1 stands in line 7 already"),
        (queue(row("E-1", "DOING")), "line 7: E-1 has the unknown status 'DOING'"),
        (queue(row("E-1").replace("P1", "P9")), "line 7: E-1 has the unknown priority 'P9'"),
        (queue(row("")), "line 7: the id is empty"),
        (queue(row("E-1")).replace("앞".encode(), b"\xff"), "line 3: not UTF-8"),
        (b"x" * (MAX_BYTES + 1), "at most"),
    ],
)
def test_a_malformed_queue_is_refused_and_its_line_named(data: bytes, says: str) -> None:
    with pytest.raises(MarkdownMalformed, match=re.escape(says)):
        parse(HERE, data)


def test_an_unknown_row_is_said(tmp_path: Path) -> None:
    path = tmp_path / "QUEUE.md"
    path.write_bytes(queue(row("F-1")))
    with pytest.raises(ItemNotFound, match="Row id not found: f-1"), changing(path) as change:
        change.table.with_cells("f-1", {"notes": "x"})
    assert path.read_bytes() == queue(row("F-1"))


def test_a_missing_file_and_a_folder_are_said(tmp_path: Path) -> None:
    for path in (tmp_path / "no.md", tmp_path):
        with pytest.raises(MarkdownMissing, match=str(path)):
            read(path)


def test_a_save_by_somebody_else_in_between_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "QUEUE.md"
    path.write_bytes(queue(row("G-1")))
    with changing(path) as change:
        path.write_bytes(queue(row("G-1"), row("G-2")))
        with pytest.raises(MarkdownChanged):
            change.write(change.table.with_cells("G-1", {"status": "DONE"}))
    assert ids(path.read_bytes()) == ["G-1", "G-2"]


def test_read_only_mode_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "QUEUE.md"
    path.write_bytes(queue(row("H-1")))
    monkeypatch.setenv("ORCH_QUEUE_MD_READ_ONLY", "yes")
    with pytest.raises(MarkdownReadOnly), changing(path):
        pass


def test_a_link_and_the_files_mode_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real.md", tmp_path / "QUEUE.md"
    real.write_bytes(queue(row("I-1")))
    real.chmod(0o640)
    link.symlink_to(real)
    with changing(link) as change:
        change.write(change.table.with_cells("I-1", {"status": "DONE"}))
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert read(link).row("I-1").cells["status"] == "DONE"


def _mark(place: tuple[str, int]) -> None:
    path, number = place
    for turn in range(5):
        with changing(Path(path)) as change:
            notes = change.table.row(f"J-{number}").cells["notes"]
            change.write(change.table.with_cells(f"J-{number}", {"notes": f"{notes} {turn}"}))


def test_eight_writers_at_once_lose_nothing_and_readers_see_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "QUEUE.md"
    path.write_bytes(queue(*(row(f"J-{number}") for number in range(8))))
    with ProcessPoolExecutor(8) as pool:
        work = pool.map(_mark, [(str(path), number) for number in range(8)])
        for _ in range(50):
            assert len(read(path).rows) == 8
        list(work)
    assert {each.cells["notes"] for each in read(path).rows} == {"0 1 2 3 4"}
