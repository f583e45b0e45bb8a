"""A worktree is there whole or not at all, holds the commit's bytes, and goes away whatever was done to it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from git_world import World, as_ordinary_user, give_away, public_folder, python, write

from interlock.runs.repositories import remove_tree
from interlock.runs.repositories.errors import MalformedName, WorktreeExists, WorktreeNotRemoved


def test_a_worktree_is_an_ordinary_one_for_git(world: World) -> None:
    run = world.started(world.repository())
    assert run.path == world.tmp / "state/worktrees/r_1-1"
    assert world.sh("status", "--porcelain", cwd=run.path) == ""
    assert world.sh("rev-parse", "HEAD", cwd=run.path) == run.base
    assert world.sh("symbolic-ref", "-q", "HEAD", cwd=run.path, ok=False) == ""
    assert f"worktree {run.path}\n" in world.sh("worktree", "list", "--porcelain", cwd=run.path) + "\n"
    world.commit(run.path, {"agents": b"commit\n"})
    world.sh("worktree", "prune", cwd=run.path)
    assert world.sh("status", "--porcelain", cwd=run.path) == ""


def test_files_hold_the_bytes_of_the_commit_whatever_its_attributes_ask_for(world: World) -> None:
    repo = world.repository()
    files: dict[str, bytes | None] = {
        "a.txt": b"crlf\r\n",
        "b.bat": b"lf\n",
        "c.rc": b"utf-8 \xc3\xbc\n",
        "d.id": b"$Id$\n",
        "e.psd": b"pointer\n",
    }
    rules = b"*.txt text\n*.bat eol=crlf\n*.rc working-tree-encoding=UTF-16\n*.id ident\n*.psd filter=lfs\n"
    # The rules come in by another road than `add`, so that the blobs stay as they are.
    world.commit(repo, {**files, "rules": rules})
    world.sh("mv", "rules", ".gitattributes", cwd=repo)
    world.sh("commit", "-q", "-m", "rules", cwd=repo)
    run = world.started(repo)
    assert {name: (run.path / name).read_bytes() for name in files} == files
    assert run.collected().files == ()


def test_modes_and_links_are_kept_and_submodules_are_empty_folders(world: World) -> None:
    repo = world.repository()
    other = world.repository("other")
    world.sh("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "lib", cwd=repo)
    (repo / "tool").write_text("#!/bin/sh\n")
    (repo / "tool").chmod(0o755)
    (repo / "link").symlink_to("/etc/passwd")
    world.commit(repo, {})
    run = world.started(repo)
    assert os.access(run.path / "tool", os.X_OK)
    assert (run.path / "link").readlink() == Path("/etc/passwd")
    assert list((run.path / "lib").iterdir()) == []


def test_a_place_that_is_taken_is_left_as_it_is(world: World) -> None:
    run = world.started(world.repository())
    write(run.path, {"work": b"of an agent"})
    with pytest.raises(WorktreeExists):
        world.worktrees.add(run.mirror, run.base, "r_1-1")
    assert (run.path / "work").exists()
    (world.worktrees.root / "r_1-2").symlink_to("/nonexistent")
    with pytest.raises(WorktreeExists):
        world.worktrees.add(run.mirror, run.base, "r_1-2")


def test_a_name_never_leads_out_of_the_root(world: World) -> None:
    mirror, base = world.pinned(world.repository())
    for name in ("", ".", "..", "../x", "/etc", "a/b", "-f", ".hidden", "a\0b", "a\nb", "a~b"):
        with pytest.raises(MalformedName):
            world.worktrees.add(mirror, base, name)
        with pytest.raises(MalformedName):
            world.worktrees.remove(mirror, name)


def test_removing_takes_away_every_trace_and_may_be_repeated(world: World) -> None:
    run = world.started(world.repository())
    for _ in range(3):
        world.worktrees.remove(run.mirror, "r_1-1")
        assert not run.path.exists()
        assert list((run.mirror.folder / "worktrees").iterdir()) == []


def test_a_worktree_that_was_deleted_by_hand_is_removed(world: World) -> None:
    run = world.started(world.repository())
    shutil.rmtree(run.path)
    world.worktrees.remove(run.mirror, "r_1-1")
    assert list((run.mirror.folder / "worktrees").iterdir()) == []
    assert world.worktrees.add(run.mirror, run.base, "r_1-1")


def test_read_only_folders_and_files_are_removed(world: World) -> None:
    with public_folder() as public:
        run = World(public).started(world.repository())
        for mode, name in ((0o000, "none"), (0o500, "read"), (0o300, "blind")):
            write(run.path, {f"{name}/deep/file": b""})
            for path in (run.path / name / "deep/file", run.path / name / "deep", run.path / name):
                path.chmod(mode)
        run.path.chmod(0o500)
        give_away(public)
        assert as_ordinary_user(lambda: repr(remove_tree(run.path))) == "[]"
        assert not run.path.exists()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("chattr"), reason="needs chattr and root")
def test_what_can_not_be_removed_is_named_and_the_rest_is_gone(world: World) -> None:
    run = world.started(world.repository())
    write(run.path, {"kept/deep/stone": b"", "gone/sand": b""})
    stone = run.path / "kept/deep/stone"
    if subprocess.run(["chattr", "+i", str(stone)], check=False, capture_output=True).returncode:
        pytest.skip("this file system knows no immutable files")
    try:
        with pytest.raises(WorktreeNotRemoved, match="kept/deep/stone: Operation not permitted") as caught:
            world.worktrees.remove(run.mirror, "r_1-1")
        assert "lsattr" in caught.value.hint
        assert not (run.path / "gone").exists()
        assert world.worktrees.prune(world.mirrors, set[str]).left
    finally:
        for path in run.path.rglob("*"):
            subprocess.run(["chattr", "-i", str(path)], check=False, capture_output=True)
    world.worktrees.remove(run.mirror, "r_1-1")
    assert not run.path.exists()


def test_removing_never_follows_a_link_out(world: World) -> None:
    outside = world.tmp / "outside"
    write(outside, {"precious/file": b"keep me"})
    run = world.started(world.repository())
    (run.path / "folder-link").symlink_to(outside)
    (run.path / "file-link").symlink_to(outside / "precious/file")
    shutil.rmtree(run.path / "src")
    (run.path / "src").symlink_to(outside / "precious")
    world.worktrees.remove(run.mirror, "r_1-1")
    assert (outside / "precious/file").read_bytes() == b"keep me"
    second = world.worktrees.add(run.mirror, run.base, "r_1-2")
    shutil.rmtree(second.path)
    second.path.symlink_to(outside)
    world.worktrees.remove(run.mirror, "r_1-2")
    assert (outside / "precious/file").read_bytes() == b"keep me"
    assert not os.path.lexists(second.path)


def test_pruning_keeps_the_living_and_takes_all_else(world: World) -> None:
    run = world.started(world.repository())
    for name in ("r_2-1", "r_3-1"):
        world.worktrees.add(run.mirror, run.base, name)
    shutil.rmtree(world.worktrees.root / "r_3-1")
    for unfinished in (".r_1-1~abc", ".r_4-1~abc"):
        write(world.worktrees.root / unfinished, {"files/half": b""})
    write(world.tmp / "state/scratch/git-dead", {"config": b""})
    pruned = world.worktrees.prune(world.mirrors, lambda: {"r_1-1"})
    assert (pruned.removed, pruned.left) == (("r_2-1", "r_3-1", "r_4-1"), ())
    assert sorted(entry.name for entry in world.worktrees.root.iterdir()) == [".r_1-1~abc", "r_1-1"]
    assert [entry.name for entry in (run.mirror.folder / "worktrees").iterdir()] == ["r_1-1"]
    assert not list((world.tmp / "state/scratch").iterdir())
    assert world.sh("status", "--porcelain", cwd=run.path) == ""


def test_a_worktree_that_is_made_while_pruning_looks_is_kept(world: World) -> None:
    mirror, base = world.pinned(world.repository())

    def living() -> set[str]:
        world.worktrees.add(mirror, base, "r_9-1")
        return {"r_9-1"}

    assert world.worktrees.prune(world.mirrors, living).removed == ()
    assert world.sh("status", "--porcelain", cwd=world.worktrees.root / "r_9-1") == ""


def test_pruning_an_empty_state_folder_is_nothing(world: World) -> None:
    assert world.worktrees.prune(world.mirrors, set[str]).removed == ()


ADD = """
import sys
from pathlib import Path
from interlock.runs.repositories import Git, Mirrors, Worktrees
state, source, base, name = sys.argv[1:]
mirror = Mirrors(git=Git(Path(state, "scratch")), folder=Path(state, "mirrors")).open(source)
mirror.fetch(base, pin="a_1")
print(Worktrees(Path(state, "worktrees")).add(mirror, base, name).path)
"""


def test_eight_processes_fetch_and_make_their_worktrees_at_once(world: World) -> None:
    repo = world.repository()
    base = world.commit(repo, {f"many/{n}": b"x\n" * n for n in range(300)})
    state = world.tmp / "state"
    running = [python(ADD, str(state), str(repo), base, f"r_{n}-1") for n in range(8)]
    told = [process.communicate(timeout=50) for process in running]
    assert [out.strip() for out, _ in told] == [str(state / f"worktrees/r_{n}-1") for n in range(8)], told
    for out, _ in told:
        assert world.sh("status", "--porcelain", cwd=Path(out.strip())) == ""
    assert len(list((state / "mirrors").glob("*.git"))) == 1
    assert len(list((state / "mirrors").glob("*.git/objects/pack/*.pack"))) == 1
    assert not list(state.glob("worktrees/.*"))
