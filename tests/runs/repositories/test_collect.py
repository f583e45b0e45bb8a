"""The result of a run is what its files are: all of them, byte for byte, and the same again after a crash."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from git_world import AT, Run, World, as_ordinary_user, give_away, public_folder, write

from interlock.kernel.errors import InterlockError
from interlock.runs.repositories import ChangedFile, collect, shown
from interlock.runs.repositories.errors import GitTimedOut, PatchTooLarge, WorktreeMissing


def statuses(files: tuple[ChangedFile, ...]) -> dict[bytes, str]:
    return {file.path: file.status for file in files}


def tree_of(world: World, folder: Path) -> str:
    """Return the tree that ordinary git makes of all files in a folder."""
    world.sh("add", "-A", "--force", cwd=folder)
    return world.sh("write-tree", cwd=folder)


def test_changes_new_files_deletions_modes_and_links_are_the_result(world: World) -> None:
    repo = world.repository()
    world.commit(repo, {"old": b"1\n", "tool": b"#!/bin/sh\n", "becomes-link": b"text\n"})
    run = world.started(repo)
    write(run.path, {"README": b"changed\nmore\n", "new/file": b"new\n", "old": None, "becomes-link": None})
    (run.path / "tool").chmod(0o755)
    (run.path / "becomes-link").symlink_to("/etc/passwd")
    (run.path / "blob").write_bytes(bytes(range(256)))
    result = run.collected()
    readme = ChangedFile(
        path=b"README", status="M", old_mode="100644", new_mode="100644", added=2, deleted=1, binary=False
    )
    assert result.files[0] == readme
    assert statuses(result.files) == {
        b"README": "M", b"becomes-link": "T", b"blob": "A", b"new/file": "A", b"old": "D", b"tool": "M",
    }  # fmt: skip
    changed = {file.path: file for file in result.files}
    assert changed[b"blob"].binary
    assert (changed[b"tool"].old_mode, changed[b"tool"].new_mode) == ("100644", "100755")
    assert changed[b"becomes-link"].new_mode == "120000"
    assert changed[b"old"].new_mode == "000000"
    assert world.sh("show", "--format=%an %ae %at %P%n%B", "-s", str(result.commit), cwd=run.mirror.folder) == (
        f"Interlock interlock@localhost {AT // 1000} {run.base}\nrun r_1"
    )
    assert world.sh("rev-parse", "refs/interlock/runs/r_1", cwd=run.mirror.folder) == result.commit
    assert result.tree == tree_of(world, run.path)


def test_the_patch_fits_git_apply_and_makes_the_very_tree(world: World) -> None:
    repo = world.repository()
    run = world.started(repo)
    strange = [b"new\nline", b'quo"te', b"\xff\xfe", b"-dash", b"tab\t", "ünï".encode(), b"back\\slash", b" ", b"'"]
    for number, name in enumerate(strange):
        with open(os.path.join(os.fsencode(run.path), name), "wb") as file:  # noqa: PTH118, PTH123 - names of bytes
            file.write(b"%d\n" % number)
    (run.path / "blob").write_bytes(os.urandom(3000))
    (run.path / "src/app.py").unlink()
    result = run.collected()
    assert {file.path for file in result.files} == {*strange, b"blob", b"src/app.py"}
    assert result.patch_sha256 == hashlib.sha256(result.patch).hexdigest()
    world.sh("apply", "--index", "-", cwd=repo, given=result.patch)
    assert world.sh("write-tree", cwd=repo) == result.tree == tree_of(world, run.path)


def test_names_are_shown_on_one_line_and_never_alike() -> None:
    wanted = {
        b"plain/name": "plain/name",
        "ünï".encode(): "ünï",
        b"new\nline": '"new\\nline"',
        b"\xff": '"\\377"',
        b'"': '"\\""',
        b"\\": '"\\\\"',
        "\u202e".encode(): '"\\342\\200\\256"',
    }
    assert {name: shown(name) for name in wanted} == wanted


def test_nothing_changed_is_no_commit_and_an_empty_patch(world: World) -> None:
    run = world.started(world.repository())
    os.utime(run.path / "README", (1, 1))
    result = run.collected()
    assert (result.commit, result.patch, result.files, result.left_out) == (None, b"", (), ())
    assert result.patch_sha256 == hashlib.sha256(b"").hexdigest()
    assert result.tree == world.sh("rev-parse", f"{run.base}^{{tree}}", cwd=run.mirror.folder)


def test_a_result_that_was_undone_before_collecting_again_leaves_no_ref(world: World) -> None:
    run = world.started(world.repository())
    write(run.path, {"new": b""})
    assert run.collected().commit
    write(run.path, {"new": None})
    assert run.collected().commit is None
    assert "runs" not in world.sh("for-each-ref", cwd=run.mirror.folder)


def test_collecting_again_gives_the_same_commit(world: World) -> None:
    run = world.started(world.repository())
    write(run.path, {"new": b"1\n"})
    first = run.collected()
    time.sleep(1.1)  # the clock of a commit counts whole seconds
    assert run.collected() == first
    world.sh("fsck", "--strict", cwd=run.mirror.folder)


def test_a_change_that_keeps_size_and_time_is_seen(world: World) -> None:
    run = world.started(world.repository())
    was = (run.path / "README").stat()
    time.sleep(1.1)  # within one second git looks twice anyway
    (run.path / "README").write_bytes(b"READ ME\n")
    os.utime(run.path / "README", ns=(was.st_atime_ns, was.st_mtime_ns))
    assert statuses(run.collected().files) == {b"README": "M"}


def test_ignore_rules_are_those_the_agent_left_and_what_they_hide_is_told(world: World) -> None:
    repo = world.repository()
    world.commit(repo, {".gitignore": b"*.log\n", "tracked.log": b"1\n"} | {"kept/.gitignore": b"*\n"})
    world.sh("add", "-f", "tracked.log", cwd=repo)
    world.commit(repo, {})
    run = world.started(repo)
    write(run.path, {".gitignore": b"node_modules/\n*.tmp\n", "node_modules/a/b.js": b"x", "x.tmp": b"x"})
    write(
        run.path, {"now.log": b"no longer ignored\n", "tracked.log": b"2\n", "self/.gitignore": b"*\n", "self/x": b""}
    )
    result = run.collected()
    assert statuses(result.files) == {b".gitignore": "M", b"now.log": "A", b"tracked.log": "M"}
    assert {one.path for one in result.left_out if one.reason == "ignored"} >= {b"node_modules/", b"x.tmp"}
    assert any(one.path.startswith(b"self") for one in result.left_out)


def test_the_agents_own_index_and_commits_do_not_matter(world: World) -> None:
    run = world.started(world.repository())
    write(run.path, {"committed": b"1\n", "staged": b"1\n", "plain": b"1\n"})
    world.sh("add", "committed", cwd=run.path)
    world.sh("commit", "-q", "-m", "by the agent", cwd=run.path)
    world.sh("add", "staged", cwd=run.path)
    world.sh("update-index", "--assume-unchanged", "README", cwd=run.path)
    write(run.path, {"README": b"hidden?\n"})
    result = run.collected()
    assert statuses(result.files) == {b"README": "M", b"committed": "A", b"plain": "A", b"staged": "A"}
    assert world.sh("rev-parse", f"{result.commit}^", cwd=run.mirror.folder) == run.base


def test_a_patch_above_its_limit_is_refused_and_nothing_is_kept(world: World) -> None:
    run = world.started(world.repository())
    before = sorted((run.mirror.folder / "objects").rglob("*"))
    write(run.path, {"big": os.urandom(100_000)})
    with pytest.raises(PatchTooLarge) as caught:
        run.collected(max_patch_bytes=50_000)
    assert caught.value.code == "patch_too_large"
    assert sorted((run.mirror.folder / "objects").rglob("*")) == before
    assert run.collected(max_patch_bytes=200_000).commit


@pytest.mark.parametrize("name", ["README", "huge"])
def test_a_huge_file_is_refused_before_it_is_read(world: World, name: str) -> None:
    run = world.started(world.repository())
    with (run.path / name).open("wb") as file:
        file.truncate(1 << 40)
    began = time.monotonic()
    with pytest.raises(PatchTooLarge, match=str(1 << 40)):
        run.collected()
    assert time.monotonic() - began < 5


def test_a_worktree_that_is_gone_or_replaced_is_told(world: World) -> None:
    run = world.started(world.repository())
    shutil.rmtree(run.path)
    with pytest.raises(WorktreeMissing):
        run.collected()
    run.path.symlink_to("/etc")
    with pytest.raises(WorktreeMissing):
        run.collected()


def test_an_emptied_worktree_is_a_result_that_deletes_everything(world: World) -> None:
    run = world.started(world.repository())
    write(run.path, {"README": None, "src/app.py": None})
    assert statuses(run.collected().files) == {b"README": "D", b"src/app.py": "D"}


def test_a_result_can_be_checked_out_in_a_clean_place(world: World) -> None:
    run = world.started(world.repository())
    write(run.path, {"new": b"1\n", ".gitignore": b"*.tmp\n", "x.tmp": b"not part of it"})
    commit = run.collected().commit
    assert commit
    clean = world.worktrees.add(run.mirror, commit, "r_1-1-verify")
    assert (clean.path / "new").read_bytes() == b"1\n"
    assert not (clean.path / "x.tmp").exists()


def test_what_can_not_be_read_is_left_out_and_told(world: World) -> None:
    with public_folder() as public:
        run = World(public).started(world.repository())
        write(run.path, {"README": b"secret\n", "closed/file": b"", "new": b""})
        for path in (run.path / "README", run.path / "new", run.path / "closed"):
            path.chmod(0o000)
        give_away(public)

        def left_out() -> str:
            try:
                return repr(sorted((one.path, one.reason) for one in run.collected().left_out))
            except InterlockError as error:
                return error.message

        wanted = [(b"README", "unreadable"), (b"closed/", "unreadable"), (b"new", "unreadable")]
        assert as_ordinary_user(left_out) == repr(wanted)


def test_a_pipe_in_place_of_a_file_is_left_out_and_told(world: World) -> None:
    run = world.started(world.repository())
    (run.path / "README").unlink()
    os.mkfifo(run.path / "README")
    os.mkfifo(run.path / "new")
    result = run.collected()
    assert [(one.path, one.reason) for one in result.left_out] == [(b"README", "special_file")]


@pytest.mark.parametrize("name", [".gitignore", ".gitattributes"])
def test_a_pipe_that_git_would_read_ends_by_the_clock(world: World, name: str) -> None:
    run = world.started(world.repository())
    os.mkfifo(run.path / name)
    hasty = replace(run.mirror, home=replace(run.mirror.home, git=replace(world.git, timeout_s=0.5)))
    began = time.monotonic()
    with pytest.raises(GitTimedOut) as caught:
        Run(world, hasty, run.base, run.worktree).collected()
    assert "named pipe" in caught.value.hint
    assert time.monotonic() - began < 5


def test_a_message_of_any_text_is_taken(world: World) -> None:
    run = world.started(world.repository())
    write(run.path, {"new": b""})
    for message in ("", "ünï\n\nbody", "nul \0 and \udcff", "-m x"):
        made = collect(
            run.mirror, run.worktree, base=run.base, ref="refs/interlock/runs/r_1", message=message, at_ms=AT
        )
        assert made.commit
