"""The evidence files of seed 3 follow the log: completed where they end early, left alone where they were changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from interlock.app import Interlock
from interlock.evidence.errors import StateMismatch
from interlock.kernel.ids import UlidSource
from interlock.pipelines.rendering import STATE_PATH, SUMMARY_PATH
from interlock.settings import Settings
from interlock.storage.evidence import StoredLog
from interlock.storage.sqlite.database import SqliteDatabase
from interlock.workspace.events import WorkspaceCreated
from interlock.workspace.layout import Layout
from interlock.workspace.pipeline_windows import WindowUnwritable
from tests.cli.door import Door
from tests.conftest import ALICE, ORIGIN
from tests.pipelines.fleet import created, moved
from tests.workspace.doomed import SURVIVED, aside, catch_up
from tests.workspace.told import (
    APPENDED,
    INDEX,
    MIRROR,
    REPORT,
    budget,
    everything,
    expected,
    following,
    kinds,
    outcome,
    say,
    there,
)

AGAIN = "pipeline_01K9ZZZZZZZZZZZZZZZZZZZZZA"
"""Another run."""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Interlock]:
    """The rooms over SQLite alone: what is on the disk is the same for both."""
    (tmp_path / ".interlock").mkdir()
    database = SqliteDatabase(tmp_path / ".interlock" / "interlock.db")
    database.create(ORIGIN)
    yield Interlock(Layout(tmp_path), Settings(), database, UlidSource())
    database.close()


@pytest.fixture
def followed(own: Interlock) -> Interlock:
    say(own, WorkspaceCreated(subject="workspace", origin=ORIGIN), *everything())
    assert following(own).catch_up(ALICE) == ()
    return own


def completed(house: Interlock) -> int:
    return kinds(house).count("window.completed")


def test_every_file_is_what_the_log_says_whether_followed_at_once_or_step_by_step(house: Interlock) -> None:
    windows = following(house)
    assert windows.catch_up(ALICE) == ()
    assert there(house.layout.root) == {}, "nothing has happened yet"
    for event in everything():
        say(house, event)
        assert windows.catch_up(ALICE) == ()
        assert there(house.layout.root) == expected(house)
    assert windows.differences() == []
    assert following(house).catch_up(ALICE) == ()
    assert completed(house) == 0


def test_what_does_not_concern_these_files_does_not_touch_them(followed: Interlock) -> None:
    root = followed.layout.root
    before = {path: (root / path).stat().st_mtime_ns for path in there(root)}
    cursor = followed.layout.state / "pipeline_windows.json"
    stored = cursor.stat().st_mtime_ns
    say(followed, WorkspaceCreated(subject="workspace", origin=ORIGIN))
    followed.layout.state.joinpath("windows.lock").unlink()
    assert following(followed).catch_up(ALICE) == ()
    assert {path: (root / path).stat().st_mtime_ns for path in there(root)} == before
    assert cursor.stat().st_mtime_ns == stored
    assert not followed.layout.state.joinpath("windows.lock").exists(), "not even the lock is asked for"


def test_a_long_log_is_followed_page_by_page(own: Interlock) -> None:
    runs = [replace(created(), subject=f"pipeline_{UlidSource()()}") for _ in range(1203)]
    say(own, *runs, budget(), *everything())
    assert following(own).catch_up(ALICE) == ()
    assert there(own.layout.root) == expected(own)
    (own.layout.state / "pipeline_windows.json").unlink()
    say(own, outcome())
    assert following(own).catch_up(ALICE) == ()
    assert there(own.layout.root) == expected(own)
    assert completed(own) == 0


@pytest.mark.parametrize("lost", ["pipeline_windows.json", "pipeline_windows"])
def test_without_its_cursor_or_its_own_copy_all_is_gone_through_again_and_nothing_stands_twice(
    followed: Interlock, lost: str
) -> None:
    path = followed.layout.state / lost
    shutil.rmtree(path) if path.is_dir() else path.write_bytes(b"{torn")
    say(followed, replace(created(), subject=AGAIN), outcome())
    assert following(followed).catch_up(ALICE) == ()
    assert there(followed.layout.root) == expected(followed)
    assert completed(followed) == 0


@pytest.mark.parametrize("cut", [1, 10, 1500, 10**6], ids=["newline", "torn", "lines", "all"])
@pytest.mark.parametrize("path", [INDEX, MIRROR, REPORT, "storage/db/relocation.log"])
@pytest.mark.parametrize("more", [False, True], ids=["nothing new", "something new"])
def test_an_end_that_is_missing_is_completed_and_that_is_an_event(
    followed: Interlock, path: str, cut: int, *, more: bool
) -> None:
    file = followed.layout.root / path
    whole = file.read_bytes()
    file.write_bytes(whole[: max(0, len(whole) - cut)])
    if more:
        say(followed, replace(created(), subject=AGAIN), outcome())
    assert following(followed).catch_up(ALICE) == ()
    assert there(followed.layout.root) == expected(followed)
    assert completed(followed) == 1
    log = StoredLog(followed.database)
    told = next(event for _, event in log.events(0, 1000) if event["kind"] == "window.completed")
    assert told["subject"] == path
    lines = file.read_bytes().count(b"\n")
    assert told["payload"]["entries"] == (lines - 4 if path == REPORT else lines)
    assert following(followed).catch_up(ALICE) == ()
    assert completed(followed) == 1


def test_files_that_are_gone_are_written_anew(followed: Interlock) -> None:
    for folder in (".workspace", "storage", "docs"):
        shutil.rmtree(followed.layout.root / folder)
    assert following(followed).catch_up(ALICE) == ()
    found = there(followed.layout.root)
    assert {path: data for path, data in expected(followed).items() if path in {*APPENDED, STATE_PATH}} == found
    assert completed(followed) == len(APPENDED) + 1
    say(followed, budget())
    assert following(followed).catch_up(ALICE) == ()
    assert {each.problem for each in following(followed).differences()} == {"missing"}, "snapshots of what was"
    following(followed).rebuild(ALICE, "kept")
    assert there(followed.layout.root) == expected(followed)


def changes(whole: bytes) -> dict[str, bytes]:
    lines = whole.splitlines(keepends=True)
    return {
        "longer": whole.replace(b"deploy", b"destroy"),
        "one byte": whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:],
        "another line": whole + b"{}\n",
        "torn and not ours": whole + b'{"forged',
        "shorter": lines[0] + b"".join(lines[2:]),
        "changed and torn": whole.replace(b"deploy", b"dePloy")[:-5],
        "swapped": b"".join(lines[:-2]) + lines[-1] + lines[-2],
    }


@pytest.mark.parametrize("change", changes(b"deploy\n" * 9))
@pytest.mark.parametrize("path", [INDEX, MIRROR, REPORT])
def test_a_changed_file_is_left_alone_reported_and_rebuilt_on_an_operators_word(
    followed: Interlock, path: str, change: str
) -> None:
    file, root = followed.layout.root / path, followed.layout.root
    whole = file.read_bytes()
    changed = changes(whole)[change]
    assert changed != whole
    file.write_bytes(changed)
    found = following(followed).differences()
    assert [(each.path, each.problem) for each in found] == [(file, "differs")]
    same_length = len(changed) == len(whole)
    for _ in range(2):
        say(followed, replace(created(), subject=f"pipeline_{UlidSource()()}"), outcome())
        sentences = following(followed).catch_up(ALICE)
        if same_length:  # what has the length that was left is not read again by every command
            assert sentences == ()
            assert file.read_bytes().startswith(changed)
        else:
            assert sentences == (f"{file} differs from the log and was left alone",)
            assert file.read_bytes() == changed
    now = file.read_bytes()
    others = {name: data for name, data in expected(followed).items() if name != path}
    assert {name: data for name, data in there(root).items() if name != path} == others, "the others follow"
    following(followed).rebuild(ALICE, "kept-1")
    assert (followed.layout.kept / "kept-1" / path).read_bytes() == now
    assert there(root) == expected(followed)
    assert kinds(followed).count("windows.rebuilt") == 1
    assert following(followed).differences() == []
    assert following(followed).catch_up(ALICE) == ()


def test_a_changed_file_that_is_put_right_by_hand_is_followed_again(followed: Interlock) -> None:
    file = followed.layout.root / MIRROR
    whole = file.read_bytes()
    file.write_bytes(whole + b"{}\n")
    say(followed, replace(created(), subject=AGAIN))
    assert len(following(followed).catch_up(ALICE)) == 1
    assert len(following(followed).catch_up(ALICE)) == 1, "also where nothing is new"
    shutil.copy(followed.layout.root / INDEX, file)
    assert following(followed).catch_up(ALICE) == ()
    assert there(followed.layout.root) == expected(followed)


def test_an_edited_state_is_left_alone_reported_and_rebuilt_on_an_operators_word(followed: Interlock) -> None:
    file = followed.layout.root / STATE_PATH
    edited = file.read_bytes().replace(b'"Success"', b'"Failed"')
    file.write_bytes(edited)
    sentences = (f"{file} differs from the log and was left alone",)
    for _ in range(2):
        assert following(followed).catch_up(ALICE) == sentences
        say(followed, replace(created(), subject=f"pipeline_{UlidSource()()}"))
    assert following(followed).catch_up(ALICE) == sentences
    assert file.read_bytes() == edited
    assert [(each.path, each.problem) for each in following(followed).differences()] == [(file, "differs")]
    following(followed).rebuild(ALICE, "kept")
    assert (followed.layout.kept / "kept" / STATE_PATH).read_bytes() == edited
    assert there(followed.layout.root) == expected(followed)


@pytest.mark.parametrize("data", [None, b""], ids=["missing", "blank"])
def test_a_state_that_is_gone_is_written_anew_and_that_is_an_event(followed: Interlock, data: bytes | None) -> None:
    file = followed.layout.root / STATE_PATH
    file.unlink() if data is None else file.write_bytes(data)
    assert following(followed).catch_up(ALICE) == ()
    assert there(followed.layout.root) == expected(followed)
    assert completed(followed) == 1


def test_snapshots_that_are_edited_or_of_nothing_are_found(followed: Interlock) -> None:
    root = followed.layout.root
    edited = next((root / "storage/db/auto_fix").glob("*.json"))
    edited.write_bytes(edited.read_bytes().replace(b"review", b"allow!"))
    forged = root / "storage/db/budget_guardian/1-nightly-repair-budget.json"
    forged.write_bytes(b"{}\n")
    (root / SUMMARY_PATH).write_bytes(b"{}\n")
    found = {(each.path, each.problem) for each in following(followed).differences()}
    assert found == {(edited, "differs"), (forged, "unexpected"), (root / SUMMARY_PATH, "differs")}
    following(followed).rebuild(ALICE, "kept")
    assert there(root) == expected(followed)


@pytest.mark.parametrize("path", [MIRROR, STATE_PATH])
def test_a_file_that_is_a_link_is_not_followed(followed: Interlock, tmp_path: Path, path: str) -> None:
    """Whoever may write there could otherwise have us write to any file of ours."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    file = followed.layout.root / path
    file.unlink()
    file.symlink_to(victim)
    say(followed, replace(created(), subject=AGAIN))
    assert following(followed).catch_up(ALICE) == (f"{file} differs from the log and was left alone",)
    assert victim.read_bytes() == b"precious"


def test_a_folder_that_leads_out_of_the_workspace_is_refused(
    followed: Interlock, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    docs = followed.layout.root / "docs"
    shutil.rmtree(docs)
    docs.symlink_to(elsewhere)
    say(followed, outcome())
    with pytest.raises(WindowUnwritable, match="leads out of the workspace"):
        following(followed).catch_up(ALICE)
    assert list(elsewhere.iterdir()) == []


def test_a_pipe_in_a_files_place_does_not_hold_anybody_up(followed: Interlock) -> None:
    file = followed.layout.root / INDEX
    file.unlink()
    os.mkfifo(file)
    say(followed, replace(created(), subject=AGAIN))
    assert following(followed).catch_up(ALICE) == (f"{file} differs from the log and was left alone",)
    assert [(each.path, each.problem) for each in following(followed).differences()] == [(file, "differs")]


def test_a_log_that_no_verb_of_ours_wrote_is_named_and_not_followed(followed: Interlock) -> None:
    before = there(followed.layout.root)
    say(followed, moved("Pending", "Running", 9))
    with pytest.raises(StateMismatch, match=r"entry 25 .*Success does not become Running"):
        following(followed).catch_up(ALICE)
    assert there(followed.layout.root) == before


@pytest.mark.proves("evidence-mirrors")
def test_many_processes_at_once_write_each_line_once(own: Interlock) -> None:
    say(own, WorkspaceCreated(subject="workspace", origin=ORIGIN))
    own.database.close()

    def work(house: Interlock) -> str:
        for number in range(8):
            say(house, replace(created(), subject=f"pipeline_{UlidSource()()}"), outcome({"number": number}))
            assert following(house).catch_up(ALICE) == ()
        return SURVIVED

    with ThreadPoolExecutor(4) as pool:
        said = [pool.submit(aside, own.layout.root, work) for _ in range(4)]
    assert [each.result() for each in said] == [SURVIVED] * 4
    assert following(own).catch_up(ALICE) == ()
    assert there(own.layout.root) == expected(own)
    assert completed(own) == 0


@pytest.mark.proves("evidence-mirrors")
@pytest.mark.parametrize("fate", ["killed", "full"])
def test_after_any_step_of_a_crash_or_a_full_disk_the_next_command_makes_it_good(
    followed: Interlock, tmp_path: Path, fate: str
) -> None:
    say(followed, replace(created(), subject=AGAIN), budget(7), outcome({"text": "x" * 5000}))
    followed.database.close()
    kept = tmp_path.with_name(f"{tmp_path.name}-kept")
    shutil.copytree(tmp_path, kept)
    step = 0
    for step in range(1, 200):
        shutil.rmtree(tmp_path)
        shutil.copytree(kept, tmp_path)
        said = catch_up(tmp_path, fate, step)
        if said == SURVIVED:
            break
        if fate == "full":
            assert said.startswith("window_unwritable: "), said
            assert "No space left on device" in said
        assert following(followed).catch_up(ALICE) == ()
        assert there(tmp_path) == expected(followed), step
        assert following(followed).differences() == []
        assert completed(followed) <= 1, "a torn line"
        leftovers = list((tmp_path / "storage").rglob(".*.tmp"))
        assert fate == "killed" or not leftovers
        followed.database.close()
    assert 20 < step < 199


def test_a_kill_in_the_middle_of_a_long_way_leaves_a_cursor_from_which_the_rest_is_right(
    followed: Interlock, tmp_path: Path
) -> None:
    say(followed, *(replace(created(), subject=f"pipeline_{UlidSource()()}") for _ in range(1100)))
    followed.database.close()
    kept = tmp_path.with_name(f"{tmp_path.name}-kept")
    shutil.copytree(tmp_path, kept)
    for step in range(6, 40, 3):
        shutil.rmtree(tmp_path)
        shutil.copytree(kept, tmp_path)
        assert catch_up(tmp_path, "killed", step) == ""
        assert following(followed).catch_up(ALICE) == ()
        assert there(tmp_path) == expected(followed), step
        followed.database.close()


@pytest.mark.parametrize("since", [0, 2], ids=["shorter", "of the same length"])
def test_an_older_database_in_its_place_is_seen_and_nothing_is_taken_back(followed: Interlock, since: int) -> None:
    root = followed.layout.root
    backup = root.with_name(f"{root.name}-backup")
    followed.database.close()
    shutil.copytree(followed.layout.state, backup)
    say(followed, outcome(), replace(created(), subject=AGAIN))
    following(followed).catch_up(ALICE)
    report = (root / REPORT).read_bytes()
    followed.database.close()
    for path in followed.layout.state.glob("interlock.db*"):
        path.unlink()
    for path in backup.glob("interlock.db*"):
        shutil.copy(path, followed.layout.state)
    say(followed, *(outcome({"another": "history"}) for _ in range(since)))
    sentences = following(followed).catch_up(ALICE)
    assert f"{root / REPORT} differs from the log and was left alone" in sentences
    assert f"{root / STATE_PATH} differs from the log and was left alone" in sentences
    assert f"{root / MIRROR} differs from the log and was left alone" in sentences
    assert (root / REPORT).read_bytes() == report


def test_the_cursor_is_the_owners_alone(followed: Interlock) -> None:
    for path in (
        followed.layout.state / "pipeline_windows.json",
        *(followed.layout.state / "pipeline_windows").iterdir(),
    ):
        assert path.stat().st_mode & 0o077 == 0
    assert len(list((followed.layout.state / "pipeline_windows").iterdir())) == 1


def test_a_drift_is_found_and_rebuilt_at_the_door(ask: Door) -> None:
    ask.draft()
    file = ask.root / MIRROR
    whole = file.read_bytes()
    file.write_bytes(whole + b"{}\n")
    assert f"warning: {file} differs from the log and was left alone" in ask("draft", "create", "--prompt", "x").err
    answered = ask("windows", "verify")
    assert (answered.code, answered.out) == (1, f"differs    {file}\n")
    ask("evidence", "replay").refuses(30, MIRROR)
    assert ask("windows", "rebuild").code == 0
    assert file.read_bytes() == whole
    assert ask("windows", "verify").code == 0
    assert ask("evidence", "replay").code == 0
