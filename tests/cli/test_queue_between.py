"""`interlock queue import` and `render`: between a file and a database nothing is lost unless somebody says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock.queue import markdown
from tests.cli.door import FRESH, WITHOUT_PRIVILEGES, Door, call, closed
from tests.cli.stores import LINK, NAMES, QUEUE, QueueDoor, Store, document, row, seed_database, whole

ROWS = [
    row("ORCH-001", "IN_PROGRESS", "P0", owner_session="세션", started_at_kst="2026-11-20 09:00", notes="a / b"),
    row("ORCH-002", "PENDING", "P2", due_at_kst="2026-12-01 10:00"),
    row("T-7", "DONE", "P1", owner_session=""),
]


def fill(path: Path, *rows: dict[str, str]) -> str:
    path.write_bytes(document(rows))
    return str(path)


# --- import -----------------------------------------------------------------------------------------------------------


def test_rows_come_into_the_database_as_they_stand_and_twice_changes_nothing(
    in_database: QueueDoor, tmp_path: Path
) -> None:
    path = fill(tmp_path / "Q.md", *ROWS)
    assert in_database("import", "--queue", path).out == "Imported 3 rows; replaced=0 alike=0 kept=0\n"
    found = in_database.store.rows()
    assert {name: found["ORCH-001"][name] for name in ROWS[0]} == ROWS[0]
    assert found["T-7"]["owner_session"] == "-"
    before = in_database.store.items()
    assert in_database.json("import", "--queue", path) == {
        "id": "queue",
        "status": "imported",
        "added": 0,
        "replaced": 0,
        "alike": 3,
        "kept": 0,
    }
    assert in_database.store.items() == before
    assert in_database("consistency-check", "--queue", path).out == "consistency ok total=3\n"
    assert in_database.json("add", "--task", "t", "--success-criteria", "s")["id"] == "ORCH-003"


def test_rows_that_differ_are_refused_until_somebody_says_who_is_right(in_database: QueueDoor, tmp_path: Path) -> None:
    path = fill(tmp_path / "Q.md", *ROWS)
    in_database("import", "--queue", path)
    fill(tmp_path / "Q.md", ROWS[0], {**ROWS[1], "status": "BLOCKED"}, {**ROWS[2], "task": "another"}, row("NEW-1"))
    before = in_database.store.items()
    in_database("import", "--queue", path).refuses(4, path, "ORCH-002, T-7", "--keep", "--replace")
    in_database("import", "--queue", path, "--keep", "--replace").refuses(2, "contradict")
    assert in_database.store.items() == before
    assert in_database("import", "--queue", path, "--keep").out == "Imported 1 rows; replaced=0 alike=1 kept=2\n"
    assert in_database.status("ORCH-002") == "PENDING"
    assert in_database("import", "--queue", path, "--replace").out == "Imported 0 rows; replaced=2 alike=2 kept=0\n"
    assert in_database.status("ORCH-002") == "BLOCKED"
    assert in_database.json("show", "T-7")["task"] == "another"
    assert in_database("import", "--queue", path).out == "Imported 0 rows; replaced=0 alike=4 kept=0\n"


def test_without_a_name_the_workspace_s_queue_is_meant(ask: Door) -> None:
    Store("markdown", ask.root).fill(*ROWS)
    assert ask("queue", "import").out == "Imported 3 rows; replaced=0 alike=0 kept=0\n"
    assert ask("queue", "health").out.splitlines()[0] == "consistency ok total=3"


@pytest.mark.parametrize("content", [b"", b"\xff", f"| {NAMES} |\n".encode()])
def test_what_can_not_be_read_is_not_brought_in(ask: Door, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "Q.md").write_bytes(content)
    ask("queue", "import", "--queue", str(tmp_path / "Q.md")).refuses(2, str(tmp_path / "Q.md"))
    ask("queue", "import", "--queue", str(tmp_path / "no.md")).refuses(3, str(tmp_path / "no.md"))
    assert ask.log_size() == FRESH


def test_a_window_has_nothing_to_bring_in(ask: Door) -> None:
    ask("queue", "render")
    ask("queue", "import").refuses(4, "rendered from the database")


def test_a_database_of_the_seed_s_tools_takes_rows_too(ask: Door, tmp_path: Path) -> None:
    seed_database(tmp_path / "old.db", row("ORCH-001", "DONE"))
    path = fill(tmp_path / "Q.md", row("ORCH-002"))
    where = ("--queue", path, "--db", str(tmp_path / "old.db"))
    assert ask("queue", "import", *where).out == "Imported 1 rows; replaced=0 alike=0 kept=0\n"
    assert len(ask.json("queue", "list", *where[2:])) == 2
    assert ask.json("queue", "list") == []


# --- render -----------------------------------------------------------------------------------------------------------


def test_items_become_rows_and_the_text_around_stays(in_database: QueueDoor, tmp_path: Path) -> None:
    in_database.store.fill({**ROWS[0], "notes": "a | b"}, *ROWS[1:])
    path = fill(tmp_path / "Q.md")
    before, _, after = document([]).partition(b"| id |")
    assert in_database("render", "--queue", path).out == "rendered 3 rows\n"
    content = (tmp_path / "Q.md").read_bytes()
    assert content.startswith(before + markdown.BANNER_START)
    assert content.endswith(after[-30:])
    assert [each.id for each in markdown.read(path).rows] == ["ORCH-001", "T-7", "ORCH-002"]
    assert markdown.read(path).row("ORCH-001").cells == {**ROWS[0], "notes": "a / b"}
    assert in_database("consistency-check", "--queue", path).out == "consistency ok total=3\n"
    assert in_database.json("render", "--queue", path)["rows"] == 3
    assert (tmp_path / "Q.md").read_bytes() == content


def test_rows_that_are_only_in_the_file_are_not_lost_by_accident(in_database: QueueDoor, tmp_path: Path) -> None:
    in_database.store.fill(ROWS[0])
    path = fill(tmp_path / "Q.md", *(row(f"HAND-{n}") for n in range(7)))
    before = Path(path).read_bytes()
    in_database("render", "--queue", path).refuses(4, path, "HAND-0, HAND-1, HAND-2, HAND-3, HAND-4 and 2 more")
    assert Path(path).read_bytes() == before
    assert in_database("render", "--queue", path, "--drop-missing").out == "rendered 1 rows\n"
    assert [each.id for each in markdown.read(path).rows] == ["ORCH-001"]


def test_a_row_that_is_another_task_under_the_same_id_is_not_lost_either(
    in_database: QueueDoor, tmp_path: Path
) -> None:
    """A file and a database that both own rows both begin with ORCH-001."""
    in_database("add", "--task", "of the database", "--success-criteria", "s")
    path = fill(tmp_path / "Q.md", row("ORCH-001", task="written by hand"))
    before = Path(path).read_bytes()
    for more in ([], ["--own"], ["--disown"]):
        if in_database.where and more == ["--own"]:
            continue
        in_database("render", "--queue", path, *more).refuses(4, path, "ORCH-001", "render_differs")
    assert Path(path).read_bytes() == before
    assert in_database("render", "--queue", path, "--drop-missing").code == 0
    assert markdown.read(path).row("ORCH-001").cells["task"] == "of the database"


def test_the_same_task_under_the_same_id_is_the_same_row(in_database: QueueDoor, tmp_path: Path) -> None:
    path = fill(tmp_path / "Q.md", row("ORCH-001", task="a / b"))
    in_database("add", "--task", "a | b\n", "--success-criteria", "s")
    assert in_database("render", "--queue", path).code == 0


def test_a_file_goes_there_and_back_again(ask: Door) -> None:
    Store("markdown", ask.root).fill(*ROWS)
    content = (ask.root / QUEUE).read_bytes()
    for words in (["import"], ["render", "--own"], ["render", "--disown"]):
        assert ask("queue", *words).code == 0
    table = markdown.parse("Q", content)
    back = {each.id: each.cells for each in markdown.read(ask.root / QUEUE).rows}
    assert back == {each.id: {**each.cells, "owner_session": each.cells["owner_session"] or "-"} for each in table.rows}
    around = [line for line in content.splitlines() if not line.startswith(b"| ")]
    assert [line for line in (ask.root / QUEUE).read_bytes().splitlines() if not line.startswith(b"| ")] == around


def test_only_the_workspace_s_own_database_keeps_a_window(ask: Door, tmp_path: Path) -> None:
    seed_database(tmp_path / "old.db", row("ORCH-001", "DONE"))
    path = fill(tmp_path / "Q.md")
    before = whole(ask.root), Path(path).read_bytes()
    other = ("--db", str(tmp_path / "old.db"))
    ask("queue", "render", "--own", "--queue", path, *other).refuses(2, "only the workspace's own database")
    ask("queue", "render", *other).refuses(2, "name another file with --queue")
    assert (whole(ask.root), Path(path).read_bytes()) == before
    assert ask("queue", "render", "--queue", path, *other).out == "rendered 1 rows\n"
    assert whole(ask.root) == before[0]
    own = ("--db", str(ask.root / LINK))
    assert ask("queue", "render", "--own", *own).code == 0


def test_a_file_that_can_not_be_rendered_is_told(ask: Door, tmp_path: Path) -> None:
    ask("queue", "render", "--own", "--disown").refuses(2, "contradict")
    ask("queue", "render", "--queue", str(tmp_path / "no.md")).refuses(3, str(tmp_path / "no.md"))
    ask("queue", "render", "--disown", "--queue", str(tmp_path / "no.md")).refuses(3, str(tmp_path / "no.md"))
    (tmp_path / "Q.md").write_text("no table")
    ask("queue", "render", "--queue", str(tmp_path / "Q.md")).refuses(2, "Queue table header not found")
    fill(tmp_path / "Q.md")
    with closed(tmp_path, mode=0o555):
        answered = call("queue", "render", "--queue", str(tmp_path / "Q.md"), at=ask.root, prefix=WITHOUT_PRIVILEGES)
        answered.refuses(4, str(tmp_path))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["Q.md", "workspace"]


def test_a_queue_that_is_read_only_by_agreement_is_still_rendered(ask: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is what the agreement is for: the database is the one source, and the file its picture."""
    ask("queue", "add", "--task", "t", "--success-criteria", "s")
    monkeypatch.setenv("ORCH_QUEUE_MD_READ_ONLY", "1")
    assert ask("queue", "render", "--own").code == 0
    assert ask("queue", "cancel", "ORCH-001").err == ""
    assert markdown.read(ask.root / QUEUE).row("ORCH-001").cells["status"] == "BLOCKED"
