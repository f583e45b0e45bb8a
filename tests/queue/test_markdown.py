"""The Markdown table: read strictly, written without touching what did not change."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.queue import markdown, reports
from interlock.queue.errors import (
    ItemNotFound,
    MarkdownChanged,
    MarkdownLocked,
    MarkdownMalformed,
    MarkdownMissing,
    MarkdownReadOnly,
    MarkdownUnwritten,
)
from interlock.queue.markdown import BANNER, COLUMNS, MAX_BYTES, cell, changing, is_window, parse, read, rendered
from interlock.queue.models import PRIORITY_RANK, ItemStatus

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
    after = parse(HERE, data).with_changes({"ORCH-002": {"status": "BLOCKED", "notes": "cancelled_by_operator"}})
    assert after == data.replace(
        b"|ORCH-002|PENDING|P0|  wide   task |x|-|-|-||",
        b"|ORCH-002|BLOCKED|P0|  wide   task |x|-|-|-| cancelled_by_operator |",
    )


def test_line_ends_and_a_byte_order_mark_stay() -> None:
    data = b"\xef\xbb\xbf" + queue(row("A-1"), row("A-2"), before="").replace(b"\n", b"\r\n")
    table = parse(HERE, data)
    assert [each.id for each in table.rows] == ["A-1", "A-2"]
    assert table.with_changes({"A-2": {"notes": "x"}}) == data.replace(
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
    assert table.with_changes({"C-2": {"status": "DONE"}}).count("\u2028".encode()) == 1


@given(st.text(max_size=60))
def test_whatever_is_written_into_a_cell_is_read_back_from_it(text: str) -> None:
    if re.search("[\ud800-\udfff]", text):
        return
    after = parse(HERE, queue(row("D-1"), row("D-2"))).with_changes({"D-1": {"notes": text}})
    table = parse(HERE, after)
    assert table.row("D-1").cells["notes"].strip() == cell(text).strip()
    assert [each.id for each in table.rows] == ["D-1", "D-2"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "header not found"),
        (b"# nothing here\n", "header not found"),
        (HEADER.encode(), "line 2: the separator"),
        (HEADER.rstrip("\n").encode(), "line 2: the separator"),
        ((HEADER + "|---|---|\n").encode(), "line 2: the separator"),
        (queue(row("E-1")).replace(b"\n", b"\r"), "header not found"),
        (queue().replace(b" | notes |", b" |"), "line 5: the header has 8 columns, not 9"),
        (queue().replace(b"owner_session | started_at_kst", b"started_at_kst | owner_session"), "line 5: the column"),
        ((HEADER + row("E-1")).encode(), "line 2: the separator"),
        (queue(row("E-1")) + queue(row("E-2")), "a second queue table"),
        (queue(row("E-1"), HEADER, RULE, row("E-2")), "line 8: a second queue table"),
        (queue("| E-1 | PENDING | P1 | task |\n"), "line 7: Expected 9 cells in row, got 4"),
        (queue(row("E-1", notes="a | b")), "line 7: Expected 9 cells in row, got 10"),
        (queue("|\n"), "line 7: Expected 9 cells in row, got 1"),
        (queue(row("E-1"), row("E-2").removeprefix("| ")), "line 8: a row begins with |"),
        (queue(row("E-1"), "a word\n", row("E-2")), "line 9: a row after"),
        (queue(row("E-1"), "\n", row("E-2")), "line 9: a row after a blank line"),
        (queue(row("E-1"), row("E-2"), row("E-1")), "line 9: the id E-1 stands in line 7 already"),
        (queue(row("E-1", "DOING")), "line 7: E-1 has the unknown status 'DOING'"),
        (queue(row("E-1").replace("P1", "P9")), "line 7: E-1 has the unknown priority 'P9'"),
        (queue(row("E-1", "pending")), "line 7: E-1 has the unknown status 'pending'"),
        (queue(row("")), "line 7: the id is empty"),
        (queue(row("E" * 129)), "has more than 128 characters"),
        (queue(row("E-1")).replace("앞".encode(), b"\xff"), "line 3: not UTF-8"),
        (b"x" * (MAX_BYTES + 1), "is 33554433 bytes; a Markdown queue has at most"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_malformed_queue_is_refused_and_its_line_named(data: bytes, says: str) -> None:
    with pytest.raises(MarkdownMalformed, match=re.escape(says)):
        parse(HERE, data)


def test_other_names_after_the_first_four_columns_and_other_tables_are_left_to_their_authors() -> None:
    data = queue(row("E-1"), after="\n| a | b |\n|---|:-:|\n| 1 | 2 |\n\n```\n" + row("E-9") + "```\n")
    data = data.replace(b"success_criteria | owner_session", b"Done when | Who")
    assert ids(data) == ["E-1"]


def test_a_file_of_100_mb_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "QUEUE.md"
    path.write_bytes(queue(row("E-1")))
    os.truncate(path, 100 * 1024 * 1024)
    says = "is 104857600 bytes; a Markdown queue has at most"
    began = time.perf_counter()
    with pytest.raises(MarkdownMalformed, match=says):
        read(path)
    with pytest.raises(MarkdownMalformed, match=says), changing(path):
        pass
    assert time.perf_counter() - began < 0.1


def test_what_is_no_file_is_said_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "pipe", tmp_path / "loop", "/dev/null", tmp_path / "a\0b", tmp_path / "file" / "below"):
        with pytest.raises(MarkdownMissing), changing(path):
            pass
    assert sorted(each.name for each in tmp_path.iterdir()) == ["loop", "pipe"]


def test_a_cell_holds_nothing_that_breaks_a_line_or_a_row_in_any_tool() -> None:
    for breaking in "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029":
        assert cell(f" a {breaking}{breaking}b|c{breaking}") == "a  b/c"


def test_an_unknown_row_is_said(tmp_path: Path) -> None:
    path = tmp_path / "QUEUE.md"
    path.write_bytes(queue(row("F-1")))
    with pytest.raises(ItemNotFound, match="Row id not found: f-1"), changing(path) as change:
        change.table.with_changes({"f-1": {"notes": "x"}})
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
            change.write(change.table.with_changes({"G-1": {"status": "DONE"}}))
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
    real.chmod(0o666)  # more than the umask lets a new file have
    link.symlink_to(real)
    with changing(link) as change:
        change.write(change.table.with_changes({"I-1": {"status": "DONE"}}))
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o666
    assert read(link).row("I-1").cells["status"] == "DONE"


def _mark(place: tuple[str, int]) -> None:
    path, number = place
    for turn in range(5):
        with changing(Path(path)) as change:
            notes = change.table.row(f"J-{number}").cells["notes"]
            change.write(change.table.with_changes({f"J-{number}": {"notes": f"{notes} {turn}"}}))


def test_eight_writers_at_once_lose_nothing_and_readers_see_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "QUEUE.md"
    path.write_bytes(queue(*(row(f"J-{number}") for number in range(8))))
    with ProcessPoolExecutor(8) as pool:
        work = pool.map(_mark, [(str(path), number) for number in range(8)])
        for _ in range(50):
            assert len(read(path).rows) == 8
        list(work)
    assert {each.cells["notes"] for each in read(path).rows} == {"0 1 2 3 4"}


def test_who_waits_for_the_lock_in_vain_is_told(tmp_path: Path) -> None:
    path = tmp_path / "QUEUE.md"
    path.write_bytes(queue(row("K-1")))
    locked = markdown.locked(str(path), patience_seconds=0.02)
    with markdown.locked(str(path)), pytest.raises(MarkdownLocked, match="another process"), locked:
        pass


def test_a_full_disk_is_said_and_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "QUEUE.md"
    path.write_bytes(queue(row("K-1"), row("K-2")))
    script = (
        "import resource, signal, sys; from interlock.queue.markdown import changing\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "with changing(sys.argv[1]) as change:\n"
        "    new = change.table.with_changes({'K-1': {'notes': 'x' * 9000}})\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "    change.write(new)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
    assert MarkdownUnwritten.__name__ in done.stderr
    assert "can not be written" in done.stderr
    assert path.read_bytes() == queue(row("K-1"), row("K-2"))
    assert sorted(each.name for each in tmp_path.iterdir()) == [".QUEUE.md.lock", "QUEUE.md"]


# --- a window of the database -----------------------------------------------------------------------------------------


def test_a_banner_makes_a_window_which_only_rendering_changes(tmp_path: Path) -> None:
    path = tmp_path / "QUEUE.md"
    for before in ("", "# Queue\n\n", "\ufeff"):
        plain = queue(row("L-1"), before=before)
        window = rendered(parse(HERE, plain), [parse(HERE, plain).row("L-1").cells], banner=True)
        assert window == plain.replace(HEADER.encode(), BANNER + b"\n" + HEADER.encode())
        path.write_bytes(window)
        assert is_window(read(path))
        says = re.escape("is rendered from the database; use `interlock queue")
        with pytest.raises(MarkdownReadOnly, match=says), changing(path):
            pass
        with changing(path, rendering=True) as change:
            change.write(rendered(change.table, [row.cells for row in change.table.rows], banner=False))
        assert path.read_bytes() == plain
        assert not is_window(read(path))


def test_a_banner_after_the_table_makes_no_window_and_one_that_was_moved_up_does() -> None:
    assert not is_window(parse(HERE, queue(row("L-1"), after="\n" + BANNER.decode() + "\n")))
    moved = queue(row("L-1"), before=BANNER.decode() + "\n\n# Queue\n\n")
    table = parse(HERE, moved)
    assert is_window(table)
    assert rendered(table, [table.row("L-1").cells], banner=True) == moved
    assert BANNER not in rendered(table, [], banner=False)


def test_rendering_keeps_the_text_around_the_spacing_of_rows_and_the_line_ends() -> None:
    odd = "|M-2|PENDING|P0|  wide   task |x|-|-|-||\n"
    for ending in ("\n", "\r\n"):
        data = queue(row("M-1"), odd, before="앞\n", after="\n뒤").replace(b"\n", ending.encode())
        table = parse(HERE, data)
        cells = [dict(table.row(name).cells) for name in ("M-2", "M-1")]
        cells[1] |= {"notes": "a | b\nc", "status": "DONE"}
        fresh = dict(cells[0], id="M-3", task="새 일")
        expected = queue(
            odd,
            row("M-1", "DONE", notes="a / b c"),
            "| M-3 | PENDING | P0 | 새 일 | x | - | - | - |  |\n",
            before="앞\n",
            after="\n뒤",
        ).replace(b"\n", ending.encode())
        assert rendered(table, [*cells, fresh], banner=False) == expected


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_a_table_that_ends_with_the_file_is_ended_before_it_grows(ending: bytes) -> None:
    data = queue(row("N-1"), after="").replace(b"\n", ending)
    cells = dict(parse(HERE, data).row("N-1").cells)
    more = data + row("N-2").replace("\n", ending.decode()).encode()
    for cut in (data, data.removesuffix(ending)):
        table = parse(HERE, cut)
        assert table.with_row(dict(cells, id="N-2")) == more
        assert rendered(table, [cells, dict(cells, id="N-2")], banner=False) == more
    empty = parse(HERE, (HEADER + RULE).encode().replace(b"\n", ending).removesuffix(ending))
    assert ids(empty.with_row(cells)) == ["N-1"]
    assert rendered(empty, [cells], banner=False) == empty.with_row(cells)


# --- byte for byte ----------------------------------------------------------------------------------------------------

WORDS = st.text(
    st.characters(codec="utf-8", exclude_characters="|\n\r") | st.sampled_from("가나다 \t\x85\u2028\v\x1c"), max_size=12
)
PROSE = st.lists(WORDS.filter(lambda line: line.count("`") + line.count("~") == 0), max_size=4)
SPACES = st.sampled_from(["", " ", "  ", "\t"])


@st.composite
def files(draw: st.DrawFn) -> tuple[list[str], list[list[str]], list[str], str, bool]:
    """Draw a queue: the text before, each row's segments, the text after, the line ends, and whether it ends in one."""
    rows = [
        [
            draw(SPACES) + text + draw(SPACES)
            for text in (
                f"ID-{number}",
                draw(st.sampled_from([status.value for status in ItemStatus])),
                draw(st.sampled_from(list(PRIORITY_RANK))),
                *(draw(WORDS) for _ in range(6)),
            )
        ]
        for number in range(draw(st.integers(1, 5)))
    ]
    return draw(PROSE), rows, draw(PROSE), draw(st.sampled_from(["\n", "\r\n"])), draw(st.booleans())


def spelt(file: tuple[list[str], list[list[str]], list[str], str, bool]) -> bytes:
    before, rows, after, ending, ended = file
    lines = [
        *before,
        HEADER.rstrip(),
        RULE.rstrip(),
        *("|" + "|".join(segments) + "|" for segments in rows),
        "",
        *after,
    ]
    return (ending.join(lines) + ending * ended).encode()


@given(files(), st.data())
def test_only_the_bytes_of_a_changed_cell_change(
    file: tuple[list[str], list[list[str]], list[str], str, bool], data: st.DataObject
) -> None:
    before = spelt(file)
    table = parse(HERE, before)
    assert [list(each.cells.values()) for each in table.rows] == [[text.strip() for text in each] for each in file[1]]
    place = data.draw(st.integers(0, len(file[1]) - 1))
    column = data.draw(st.integers(3, 8))
    new = data.draw(WORDS.map(cell))
    after = table.with_changes({f"ID-{place}": {COLUMNS[column]: new}})
    segment = file[1][place][column]
    if new != segment.strip():
        inner = segment.strip()
        file[1][place][column] = segment.replace(inner, new, 1) if inner else f" {new} "
    assert after == spelt(file)


@given(files())
def test_rendering_what_is_there_changes_nothing(
    file: tuple[list[str], list[list[str]], list[str], str, bool],
) -> None:
    data = spelt(file)
    table = parse(HERE, data)
    window = rendered(table, [row.cells for row in table.rows], banner=True)
    assert rendered(table, [row.cells for row in table.rows], banner=False) == data
    assert rendered(parse(HERE, window), [row.cells for row in table.rows], banner=False) == data


# --- cheap to begin with ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["markdown", "reports", "errors"])
def test_what_reads_a_queue_imports_nothing_heavy(module: str) -> None:
    heavy = ("dataclasses", "pathlib", "inspect", "json", "datetime", "hashlib", "secrets", "interlock.evidence")
    script = f"import sys; import interlock.queue.{module}; print(sorted(set({heavy}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, check=True, env=_bare())
    assert done.stdout == "[]\n"


def _bare() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(markdown.__file__).parents[2])}


def test_reading_a_thousand_rows_takes_a_few_milliseconds(tmp_path: Path) -> None:
    path = tmp_path / "QUEUE.md"
    path.write_bytes(queue(*(row(f"O-{number}", notes="돌아옴 / retried") for number in range(1000))))
    took: list[float] = []
    for _ in range(10):
        began = time.perf_counter()
        assert len(read(str(path)).rows) == 1000
        took.append(time.perf_counter() - began)
    assert min(took) < 0.01


def test_the_words_of_a_file_are_the_rooms_own() -> None:
    assert set(markdown.STATUSES) == {status.value for status in ItemStatus} == set(reports.STATUSES)
    assert {name: place for place, name in enumerate(markdown.PRIORITIES)} == PRIORITY_RANK
