"""The journal: files change together, once, and only ours; what could not be told is told later."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from interlock.kernel.errors import Unreachable
from interlock.loops import files
from interlock.loops.files import Document, Replacement
from interlock.loops.journal import MOST_UNTOLD, NAME, Appending, Changes, Journal, Tell


def journal(folder: Path, tell: Tell | None = None, *more: Path) -> Journal:
    return Journal(str(folder), {str(folder / "state.json"), str(folder / "rows.jsonl"), *map(str, more)}, tell)


def changes(folder: Path, told: Document | None = None, *, text: bytes = b"{}\n", row: bytes = b"{}\n") -> Changes:
    return Changes(
        (Replacement(str(folder / "state.json"), text),), (Appending(str(folder / "rows.jsonl"), (row,)),), told
    )


def left(folder: Path, noted: Document) -> None:
    """Leave a journal as a process that died does."""
    (folder / NAME).write_text(json.dumps(noted), encoding="utf-8")


def told_by(heard: list[Document]) -> Tell:
    return heard.append


def away(_: Document) -> None:
    raise Unreachable("the database does not answer")


def test_everything_is_made_and_the_journal_is_gone(tmp_path: Path) -> None:
    journal(tmp_path).carry_out(changes(tmp_path))
    assert (tmp_path / "state.json").read_bytes() == b"{}\n"
    assert (tmp_path / "rows.jsonl").read_bytes() == b"{}\n"
    assert not (tmp_path / NAME).exists()


def test_what_was_left_is_completed_once(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'{"old":1}\n{"new"')
    left(
        tmp_path,
        {
            "replace": [{"path": "state.json", "text": "new\n"}],
            "append": [{"path": "rows.jsonl", "expected": 10, "text": '{"new":2}\n'}],
        },
    )
    journal(tmp_path).complete()
    journal(tmp_path).complete()
    assert (tmp_path / "state.json").read_text() == "new\n"
    assert (tmp_path / "rows.jsonl").read_bytes() == b'{"old":1}\n{"new":2}\n'
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize("path", ["../outside.json", "/tmp/outside.json", "other.json", "", "state.json/../x", "."])  # noqa: S108 - refused, never written
def test_a_journal_can_not_write_what_is_no_file_of_ours(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "manager"
    folder.mkdir()
    left(
        folder,
        {
            "replace": [{"path": path, "text": "x"}, {"path": "state.json", "text": "mine"}],
            "append": [{"path": path, "expected": 0, "text": "x\n"}],
        },
    )
    door = journal(folder)
    door.complete()
    assert sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*")) == ["manager", "manager/state.json"]
    assert len(door.warnings) == 2
    assert "which is no file of this reconcile" in door.warnings[0]


def test_a_file_that_an_option_put_elsewhere_is_completed_by_who_names_it(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "manager", tmp_path / "elsewhere.json"
    folder.mkdir()
    left(folder, {"replace": [{"path": str(elsewhere), "text": "mine"}]})
    journal(folder, None, elsewhere).complete()
    assert elsewhere.read_text() == "mine"


ODD: list[Document] = [
    {"replace": "all", "append": 5, "told": None},
    {"replace": [5, {"path": "state.json"}, {"path": 7, "text": "x"}], "append": [{}]},
    {"append": [{"path": "rows.jsonl", "text": "", "aside": "../x", "expected": "?"}]},
]


@pytest.mark.parametrize("noted", ODD)
def test_a_journal_of_any_shape_is_survived(tmp_path: Path, noted: Document) -> None:
    left(tmp_path, noted)
    journal(tmp_path).complete()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_journal_is_removed_and_told(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"{")
    door = journal(tmp_path)
    door.complete()
    assert not (tmp_path / NAME).exists()
    assert "was no journal" in door.warnings[0]


def test_what_a_dead_process_has_half_written_is_swept_away(tmp_path: Path) -> None:
    for name in (".state.json.0123456789abcdef.tmp", ".other.json.0123456789abcdef.tmp", ".state.json.fresh.tmp"):
        (tmp_path / name).write_text("half")
        os.utime(tmp_path / name, (1, 1))
    (tmp_path / ".rows.jsonl.0123456789abcdef.tmp").write_text("just being written")
    journal(tmp_path).complete()
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        ".other.json.0123456789abcdef.tmp",
        ".rows.jsonl.0123456789abcdef.tmp",
        ".state.json.fresh.tmp",
    ]


# --- telling ----------------------------------------------------------------------------------------------------------


def test_the_workspace_is_told_after_the_files(tmp_path: Path) -> None:
    seen: list[str] = []
    journal(tmp_path, lambda _: seen.append((tmp_path / "state.json").read_text())).carry_out(
        changes(tmp_path, {"traceId": "t-1"})
    )
    assert seen == ["{}\n"]
    assert not (tmp_path / NAME).exists()


def test_what_could_not_be_told_is_told_the_next_time_in_its_order(tmp_path: Path) -> None:
    door = journal(tmp_path, away)
    door.carry_out(changes(tmp_path, {"traceId": "t-1"}))
    assert "not yet logged: the database does not answer" in door.warnings[0]
    journal(tmp_path, away).carry_out(changes(tmp_path, {"traceId": "t-2"}))
    (tmp_path / "state.json").unlink()
    heard: list[Document] = []
    journal(tmp_path, told_by(heard)).complete()
    assert heard == [{"traceId": "t-1"}, {"traceId": "t-2"}]
    assert not (tmp_path / "state.json").exists(), "what was made is not made again"


def test_who_dies_while_telling_has_made_what_there_was_to_make(tmp_path: Path) -> None:
    def killed(_: Document) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        journal(tmp_path, killed).carry_out(changes(tmp_path, {"traceId": "t-1"}))
    (tmp_path / "state.json").unlink()
    heard: list[Document] = []
    journal(tmp_path, told_by(heard)).complete()
    assert heard == [{"traceId": "t-1"}]
    assert not (tmp_path / "state.json").exists(), "an operator's reset is not undone"


def test_telling_goes_on_where_it_stopped(tmp_path: Path) -> None:
    for number in range(3):
        journal(tmp_path, away).carry_out(changes(tmp_path, {"traceId": number}))
    heard: list[Document] = []

    def once(each: Document) -> None:
        if heard:
            raise Unreachable("again")
        heard.append(each)

    journal(tmp_path, once).complete()
    journal(tmp_path, told_by(heard)).complete()
    assert heard == [{"traceId": 0}, {"traceId": 1}, {"traceId": 2}]


def test_where_nobody_listens_nothing_is_kept_but_what_others_have_to_hear(tmp_path: Path) -> None:
    journal(tmp_path).carry_out(changes(tmp_path, {"traceId": "t-1"}))
    assert not (tmp_path / NAME).exists()
    journal(tmp_path, away).carry_out(changes(tmp_path, {"traceId": "t-2"}))
    journal(tmp_path).complete()
    journal(tmp_path).carry_out(changes(tmp_path))
    heard: list[Document] = []
    journal(tmp_path, told_by(heard)).complete()
    assert heard == [{"traceId": "t-2"}]


def test_what_waits_to_be_told_does_not_grow_for_ever(tmp_path: Path) -> None:
    left(tmp_path, {"told": [{"traceId": number} for number in range(MOST_UNTOLD)]})
    journal(tmp_path, away).carry_out(changes(tmp_path, {"traceId": "last"}))
    waiting = files.read_json(str(tmp_path / NAME))
    assert waiting is not None
    assert len(waiting["told"]) == MOST_UNTOLD
    assert waiting["told"][-1] == {"traceId": "last"}
