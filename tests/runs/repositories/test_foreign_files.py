"""Folders that a stranger filled are measured and removed whatever is in them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from interlock.runs.repositories import remove_tree, tree_bytes
from interlock.runs.repositories.foreign_files import plain_content


def test_a_tree_deeper_than_any_path_or_recursion_is_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    parent = os.open(top, os.O_RDONLY)
    for level in range(3000):
        os.mkdir("d" * 20, dir_fd=parent)
        child = os.open("d" * 20, os.O_RDONLY, dir_fd=parent)
        if level % 500 == 0:
            os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=child))
        os.close(parent)
        parent = child
    os.close(parent)
    try:
        assert remove_tree(top) == []
        assert not top.exists()
    finally:
        subprocess.run(["rm", "-rf", top], check=True)  # pytest's own cleaning falls over such a tree


def test_links_pipes_and_files_are_removed_and_a_missing_one_is_fine(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_text("1")
    top = tmp_path / "top"
    top.mkdir()
    (top / "to-folder").symlink_to(tmp_path / "precious")
    (top / "dangling").symlink_to("/nonexistent")
    os.mkfifo(top / "pipe")
    (top / "\udcff\n").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    for path in (top, tmp_path / "link", tmp_path / "missing"):
        assert remove_tree(path) == []
        assert not os.path.lexists(path)
    assert (tmp_path / "precious/file").read_text() == "1"


def test_bytes_are_those_on_disk_and_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(bytes(1_000_000))
    top = tmp_path / "top"
    (top / "sub").mkdir(parents=True)
    (top / "link").symlink_to(tmp_path / "outside")
    (top / "loop").symlink_to(top)
    empty = tree_bytes(top, 1 << 40)
    assert empty < 50_000
    (top / "sub/file").write_bytes(os.urandom(100_000))
    os.link(top / "sub/file", top / "same")
    with (top / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    assert 100_000 <= tree_bytes(top, 1 << 40) - empty < 130_000


def test_measuring_stops_early_above_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        (tmp_path / f"d{number}").mkdir()
        (tmp_path / f"d{number}/file").write_bytes(os.urandom(10_000))
    looked: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: looked.append(folder) or scandir(folder))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType] - stands in for scandir
    assert tree_bytes(tmp_path, 250_000) > 250_000
    assert len(looked) < 40


def test_a_missing_tree_has_no_bytes(tmp_path: Path) -> None:
    assert tree_bytes(tmp_path / "missing", 10) == 0


def test_only_a_plain_file_has_plain_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert plain_content(tmp_path / "file", 3) == b"123"
    for name in ("link", "pipe", "", "missing"):
        assert plain_content(tmp_path / name) is None
