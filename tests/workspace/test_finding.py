"""How a command finds its workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.door import WITHOUT_PRIVILEGES, Door, call, closed, said


@pytest.fixture
def draft(ask: Door) -> str:
    return ask.draft()


def found_from(folder: Path, draft: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> bool:
    monkeypatch.chdir(folder)
    answered = said(capsys, "draft", "list", "--json")
    if answered.code == 0:
        return [row["id"] for row in answered.json] == [draft]
    answered.refuses(3, "there is no workspace", "interlock init", "--workspace")
    return False


def test_a_workspace_is_found_from_its_folder_and_from_below(
    ask: Door, draft: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for below in (".", "storage/db/evidence", ".orch_data/ops/drafts"):
        assert found_from(ask.root / below, draft, monkeypatch, capsys), below
    assert not found_from(ask.root.parent, draft, monkeypatch, capsys)


@pytest.mark.parametrize("below", ["", "worktrees", "worktrees/r_x", "worktrees/r_x/src/deep", "mirrors"])
def test_nothing_is_found_from_inside_the_state_folder(
    ask: Door, draft: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], below: str
) -> None:
    folder = ask.root / ".interlock" / below
    folder.mkdir(parents=True, exist_ok=True)
    assert not found_from(folder, draft, monkeypatch, capsys)


def test_a_repository_that_brings_a_state_folder_of_its_own_is_no_workspace_in_a_worktree(
    ask: Door, draft: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever looks into a run's worktree must not be led to what an agent put there."""
    planted = ask.root / ".interlock" / "worktrees" / "r_x"
    (planted / ".interlock").mkdir(parents=True)
    assert not found_from(planted, draft, monkeypatch, capsys)


def test_the_option_wins_over_the_variable_and_the_variable_over_the_folder(
    ask: Door, draft: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "init", str(tmp_path / "other")).code == 0
    monkeypatch.chdir(tmp_path / "other")
    assert said(capsys, "draft", "list", "--json").json == []
    monkeypatch.setenv("INTERLOCK_WORKSPACE", str(ask.root))
    assert [row["id"] for row in said(capsys, "draft", "list", "--json").json] == [draft]
    assert said(capsys, "draft", "list", "--json", "--workspace", ".").json == []


def test_a_named_workspace_is_not_looked_for_anywhere_else(
    ask: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ask.root)
    for wrong in (ask.root / "storage", ask.root / "interlock.toml", ask.root / "nowhere"):
        said(capsys, "draft", "list", "--workspace", str(wrong)).refuses(3, "is not a workspace", "interlock init")
        monkeypatch.setenv("INTERLOCK_WORKSPACE", str(wrong))
        said(capsys, "draft", "list").refuses(3, "is not a workspace")
        monkeypatch.delenv("INTERLOCK_WORKSPACE")


def test_an_empty_name_is_no_workspace(
    ask: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a script an empty name is a variable that was not set, and never the folder that happens to be current."""
    monkeypatch.chdir(ask.root)
    answered = said(capsys, "draft", "list", "--workspace", "")
    answered.refuses(answered.code or -1)


def test_a_folder_that_may_not_be_read_is_an_error_and_no_traceback(ask: Door, tmp_path: Path) -> None:
    with closed(ask.root, mode=0o000):
        answered = call("draft", "list", "--workspace", str(ask.root), at=tmp_path, prefix=WITHOUT_PRIVILEGES)
    answered.refuses(answered.code, str(ask.root))
    assert answered.code in {2, 3, 4}
    (tmp_path / "above" / "below").mkdir(parents=True)
    inside = ("sh", "-c", 'cd above/below && chmod 000 .. && exec "$@"', "sh", *WITHOUT_PRIVILEGES)
    answered = call("draft", "list", at=tmp_path, prefix=inside)
    (tmp_path / "above").chmod(0o755)
    answered.refuses(3, "there is no workspace")


def test_a_folder_that_is_gone_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    inside = ("sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "sh")
    answered = call("draft", "list", at=tmp_path, prefix=inside)
    answered.refuses(3)
