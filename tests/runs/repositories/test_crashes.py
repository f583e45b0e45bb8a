"""A process that is killed leaves nothing that stops the next one; two at once wait for each other."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from git_world import World, python, slow_git, write

from interlock.runs.repositories.errors import MirrorBusy
from interlock.runs.repositories.locks import locked

FETCH = """
import sys
from pathlib import Path
from interlock.runs.repositories import Git, Mirrors
state, source, base, path = sys.argv[1:]
git = Git(Path(state, "scratch"), search_path=path)
Mirrors(git=git, folder=Path(state, "mirrors")).open(source).fetch(base, pin="a_1")
"""
ADD = """
import sys
from pathlib import Path
from interlock.runs.repositories import Git, Mirrors, Worktrees
state, source, base, path = sys.argv[1:]
git = Git(Path(state, "scratch"), search_path=path)
mirror = Mirrors(git=git, folder=Path(state, "mirrors")).open(source)
Worktrees(Path(state, "worktrees")).add(mirror, base, "r_1-1")
"""
HOLD = """
import sys, time
from pathlib import Path
from interlock.runs.repositories.locks import locked
with locked(Path(sys.argv[1]), timeout_s=1):
    print("held", flush=True)
    time.sleep(30)
"""


def appears(path: Path) -> Path:
    deadline = time.monotonic() + 5
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.005)
    return path


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=5)


def test_a_fetch_killed_half_way_is_done_again_by_the_next(world: World) -> None:
    repo = world.repository()
    base = world.head(repo)
    stuck, state = world.tmp / "stuck", world.tmp / "state"
    path = slow_git(world.tmp / "bin", "index-pack", f"touch {stuck}; exec sleep 0.5")
    fetching = python(FETCH, str(state), str(repo), base, path)
    appears(stuck)
    kill(fetching)
    mirror = world.mirrors.open(str(repo))
    objects = mirror.folder / "objects/pack"
    (objects / "tmp_pack_half").write_bytes(b"half")
    (mirror.folder / "refs/interlock/base").mkdir()
    (mirror.folder / "refs/interlock/base/a_1.lock").touch()
    began = time.monotonic()
    assert mirror.fetch(base, pin="a_1")
    assert time.monotonic() - began > 0.2, "waited for the git that outlived its parent"
    assert not list(objects.glob("tmp_*"))
    assert world.worktrees.add(mirror, base, "r_1-1")


def test_a_commit_of_which_only_a_part_came_is_brought_whole(world: World) -> None:
    repo = world.repository()
    mirror, _ = world.pinned(repo)
    second = world.commit(repo, {"README": b"two\n"})
    world.sh("hash-object", "-t", "commit", "-w", "--stdin", cwd=mirror.folder, given=content(world, repo, second))
    assert mirror.fetch(second, pin="a_2")
    assert (world.worktrees.add(mirror, second, "r_1-1").path / "README").read_bytes() == b"two\n"


def test_a_result_of_which_only_a_part_came_is_brought_whole(world: World) -> None:
    run = world.started(world.repository())
    write(run.path, {"new": b"1\n"})
    commit = str(run.collected().commit)
    blob = world.sh("rev-parse", f"{commit}:new", cwd=run.mirror.folder)
    (run.mirror.folder / "objects" / blob[:2] / blob[2:]).unlink()
    assert run.collected().commit == commit
    world.sh("fsck", "--strict", cwd=run.mirror.folder)


def content(world: World, repo: Path, commit: str) -> bytes:
    return f"{world.sh('cat-file', 'commit', commit, cwd=repo)}\n".encode()


def test_a_worktree_killed_half_way_is_made_by_the_next(world: World) -> None:
    repo = world.repository()
    mirror, base = world.pinned(repo)
    stuck, state = world.tmp / "stuck", world.tmp / "state"
    half = 'echo half > "$GIT_WORK_TREE/README"'
    path = slow_git(
        world.tmp / "bin", "read-tree", f"{half}; echo $$ > {stuck}.new; mv {stuck}.new {stuck}; exec sleep 9"
    )
    adding = python(ADD, str(state), str(repo), base, path)
    orphan = int(appears(stuck).read_text())
    kill(adding)
    assert not (world.worktrees.root / "r_1-1").exists(), "what is not whole is not there"
    worktree = world.worktrees.add(mirror, base, "r_1-1")
    assert world.sh("status", "--porcelain", cwd=worktree.path) == ""
    os.kill(orphan, signal.SIGKILL)
    assert len(list(world.worktrees.root.glob(".r_1-1~*"))) == 1
    world.worktrees.remove(mirror, "r_1-1")
    assert list(world.worktrees.root.iterdir()) == []
    world.worktrees.prune(world.mirrors, set[str])
    assert list((state / "scratch").iterdir()) == []


def test_what_a_kill_left_of_a_registration_does_not_stop_the_next(world: World) -> None:
    mirror, base = world.pinned(world.repository())
    write(mirror.folder / "worktrees/r_1-1", {"gitdir": b"half"})
    worktree = world.worktrees.add(mirror, base, "r_1-1")
    assert world.sh("status", "--porcelain", cwd=worktree.path) == ""


def test_collecting_after_a_kill_that_left_locks_gives_the_result(world: World) -> None:
    run = world.started(world.repository())
    write(run.path, {"new": b""})
    (run.mirror.folder / "refs/interlock/runs").mkdir(parents=True)
    (run.mirror.folder / "refs/interlock/runs/r_1.lock").touch()
    (run.mirror.folder / "worktrees/r_1-1/index.lock").touch()
    assert run.collected().commit


def test_a_mirror_in_use_is_waited_for_only_so_long_and_its_holder_is_named(world: World) -> None:
    mirror, base = world.pinned(world.repository())
    holding = python(HOLD, str(mirror.folder.with_suffix(".lock")))
    try:
        assert holding.stdout
        holding.stdout.readline()
        hasty = replace(mirror, home=replace(mirror.home, lock_timeout_s=0.2))
        with pytest.raises(MirrorBusy, match=f"process {holding.pid} ") as caught:
            hasty.fetch(base, pin="a_1")
        assert caught.value.code == "mirror_busy"
    finally:
        kill(holding)
    assert not mirror.fetch(base, pin="a_1"), "the kernel freed the lock of the killed process"


def test_a_long_fetch_does_not_stop_the_runs_that_have_their_commit(world: World) -> None:
    repo = world.repository()
    run = world.started(repo)
    second = world.commit(repo, {f"many/{n}": b"%d\n" % n for n in range(200)})
    stuck = world.tmp / "stuck"
    path = slow_git(world.tmp / "bin", "index-pack", f"echo $$ > {stuck}.new; mv {stuck}.new {stuck}; exec sleep 20")
    fetching = python(FETCH, str(world.tmp / "state"), str(repo), second, path)
    try:
        orphan = int(appears(stuck).read_text())
        write(run.path, {"new": b""})
        assert run.collected().commit
        world.worktrees.remove(run.mirror, "r_1-1")
        assert world.worktrees.add(run.mirror, run.base, "r_1-2")
        assert fetching.poll() is None
    finally:
        kill(fetching)
    os.kill(orphan, signal.SIGKILL)


def test_a_lock_is_never_taken_through_a_link(world: World) -> None:
    (world.tmp / "target").write_text("precious")
    (world.tmp / "x.lock").symlink_to(world.tmp / "target")
    with pytest.raises(OSError, match="symbolic links"), locked(world.tmp / "x.lock", timeout_s=1):
        pass
    assert (world.tmp / "target").read_text() == "precious"
