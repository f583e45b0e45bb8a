"""A result comes to the user's repository whole, where it was asked to go, or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from git_world import Run, World, digest, slow_git, write

from interlock.kernel.errors import InterlockError
from interlock.runs.repositories import Applied, Git, Mirrors, apply_result
from interlock.runs.repositories.errors import (
    ApplyConflict,
    ApplyFailed,
    BranchExists,
    FilteredPaths,
    MalformedBranch,
    NoWorkingTree,
    ObjectsMissing,
    WorkingTreeDirty,
)

THREE = b"print(1)\nprint(2)\nprint(3)\n"


def finished(world: World, repo: Path, files: dict[str, bytes | None] | None = None) -> tuple[Run, str]:
    """Return a run with its result: by default a change at the end of src/app.py, a new file and a deletion."""
    run = world.started(repo)
    write(run.path, files or {"src/app.py": THREE + b"print(4)\n", "new/file": b"new\n", "README": None})
    commit = run.collected().commit
    assert commit
    return run, commit


def apply(run: Run, commit: str, repo: Path, branch: str | None = None) -> Applied:
    return apply_result(run.mirror, commit=commit, base=run.base, repository=repo, branch=branch)


def refuses(kind: type[InterlockError], act: Callable[[], object], repo: Path) -> InterlockError:
    """Check that it is refused and that no file in the repository, its git folder included, has changed."""
    before = digest(repo)
    with pytest.raises(kind) as caught:
        act()
    assert digest(repo) == before
    assert caught.value.hint
    return caught.value


def test_a_branch_is_made_and_nothing_else_moves(world: World) -> None:
    repo = world.repository()
    run, commit = finished(world, repo)
    write(repo, {"README": b"the user is at work\n"})
    before = digest(repo)
    applied = apply(run, commit, repo / "src", "interlock/r_1")
    assert (applied.branch, applied.changed, applied.files) == ("interlock/r_1", True, ())
    assert world.sh("rev-parse", "interlock/r_1", cwd=repo) == commit
    after = digest(repo)
    new = {name for name in after if name not in before}
    assert {name: after[name] for name in before} == before
    assert all(name.startswith((".git/objects/", ".git/refs/heads/interlock", ".git/logs/")) for name in new)
    assert "interlock: result of a run" in world.sh("reflog", "interlock/r_1", cwd=repo)
    world.sh("fsck", "--strict", cwd=repo)


def test_applying_the_same_branch_again_changes_nothing(world: World) -> None:
    repo = world.repository()
    run, commit = finished(world, repo)
    apply(run, commit, repo, "interlock/r_1")
    before = digest(repo)
    assert not apply(run, commit, repo, "interlock/r_1").changed
    assert digest(repo) == before


def test_a_branch_that_is_there_or_in_the_way_is_kept(world: World) -> None:
    repo = world.repository()
    run, commit = finished(world, repo)
    for taken in ("interlock/r_1", "interlock", "interlock/r_1/deeper"):
        world.sh("branch", taken, cwd=repo)
        with pytest.raises(BranchExists):
            apply(run, commit, repo, "interlock/r_1")
        assert world.sh("rev-parse", taken, cwd=repo) == run.base
        world.sh("branch", "-D", taken, cwd=repo)


def test_a_malformed_branch_is_refused(world: World) -> None:
    repo = world.repository()
    run, commit = finished(world, repo)
    for name in ("", "-f", "a b", "../x", "a..b", "x.lock", "HEAD^", "a\0b", "/x", "x/"):
        refuses(MalformedBranch, partial(apply, run, commit, repo, name), repo)


def test_a_bare_and_a_linked_repository_get_branches(world: World) -> None:
    repo = world.repository()
    world.sh("worktree", "add", "-q", "-b", "side", "../side", cwd=repo)
    world.sh("clone", "-q", "--bare", ".", "../bare.git", cwd=repo)
    run, commit = finished(world, repo)
    for place in (world.tmp / "side", world.tmp / "bare.git"):
        apply(run, commit, place, f"interlock/{place.name}")
        assert world.sh("rev-parse", f"interlock/{place.name}", cwd=place) == commit
        world.sh("fsck", "--strict", cwd=place)


def test_a_repository_that_lost_the_base_gets_its_history_too(world: World) -> None:
    repo = world.repository()
    run, commit = finished(world, repo)
    shutil.rmtree(repo)
    world.repository(readme=b"an unrelated history\n")
    apply(run, commit, repo, "interlock/r_1")
    assert world.sh("show", "interlock/r_1:new/file", cwd=repo) == "new"
    world.sh("fsck", "--strict", cwd=repo)


def test_a_repository_that_can_not_be_completed_gets_no_branch(world: World) -> None:
    repo = world.repository()
    world.commit(repo, {"second": b"2\n"})
    world.sh("clone", "-q", "--depth=1", f"file://{repo}", "short", cwd=world.tmp)
    run, commit = finished(world, world.tmp / "short")
    other = world.repository("other", readme=b"an unrelated history\n")
    with pytest.raises(ObjectsMissing):
        apply(run, commit, other, "interlock/r_1")
    assert "interlock" not in world.sh("for-each-ref", cwd=other)


def test_the_result_is_staged_in_a_clean_working_tree(world: World) -> None:
    repo = world.repository()
    run, commit = finished(world, repo)
    for path in repo.rglob("*.py"):
        os.utime(path, (1, 1))  # as after copying the folder: the index no longer knows the file times
    applied = apply(run, commit, repo)
    assert applied.files == (b"README", b"new/file", b"src/app.py")
    assert applied.head == run.base == world.head(repo)
    assert world.sh("status", "--porcelain", cwd=repo).splitlines() == ["D  README", "A  new/file", "M  src/app.py"]
    assert (repo / "src/app.py").read_bytes() == THREE + b"print(4)\n"
    assert not (repo / "README").exists()
    world.sh("fsck", "--strict", cwd=repo)


def test_the_result_is_merged_when_the_user_has_moved_on(world: World) -> None:
    repo = world.repository('it\'s "here": ünï')
    run, commit = finished(world, repo)
    world.commit(repo, {"src/app.py": b"print(0)\n" + THREE, "users": b"1\n"})
    head = world.commit(repo, {"more": b"1\n"})
    apply(run, commit, repo)
    assert (repo / "src/app.py").read_bytes() == b"print(0)\n" + THREE + b"print(4)\n"
    assert world.sh("status", "--porcelain", cwd=repo).splitlines() == ["D  README", "A  new/file", "M  src/app.py"]
    assert world.head(repo) == head
    world.sh("fsck", "--strict", cwd=repo)


def test_the_result_is_merged_onto_a_history_that_was_rewritten(world: World) -> None:
    repo = world.repository()
    world.commit(repo, {"src/app.py": b"print(1)\n", "README": b"two\n"})
    run, commit = finished(world, repo, {"new": b"1\n"})
    world.sh("reset", "-q", "--hard", "HEAD~1", cwd=repo)
    world.commit(repo, {"src/app.py": b"print('rewritten')\n"})
    apply(run, commit, repo)
    assert world.sh("status", "--porcelain", cwd=repo) == "A  new", "nothing of the dropped commit comes back"


def test_a_result_that_is_there_already_changes_nothing(world: World) -> None:
    repo = world.repository()
    run, commit = finished(world, repo)
    apply(run, commit, repo, "interlock/r_1")
    world.sh("merge", "-q", "interlock/r_1", cwd=repo)
    before = digest(repo)
    applied = apply(run, commit, repo)
    assert (applied.changed, applied.files) == (False, ())
    assert digest(repo) == before


def test_a_conflict_is_told_by_its_files_and_changes_nothing(world: World) -> None:
    repo = world.repository()
    run, commit = finished(world, repo)
    world.commit(repo, {"src/app.py": THREE + b"print('mine')\n"})
    told = refuses(ApplyConflict, lambda: apply(run, commit, repo), repo)
    assert "src/app.py" in told.message


@pytest.mark.parametrize("staged", [False, True])
def test_a_dirty_working_tree_is_refused_and_kept(world: World, staged: bool) -> None:  # noqa: FBT001 - pytest names it
    repo = world.repository()
    run, commit = finished(world, repo)
    write(repo, {"src/app.py": b"at work\n"})
    if staged:
        world.sh("add", "-A", cwd=repo)
    assert "src/app.py" in refuses(WorkingTreeDirty, lambda: apply(run, commit, repo), repo).message


def test_an_unfinished_rebase_or_another_git_is_waited_out_by_the_user(world: World) -> None:
    repo = world.repository()
    run, commit = finished(world, repo)
    for name in ("rebase-merge", "index.lock", "MERGE_HEAD"):
        (repo / ".git" / name).touch()
        refuses(WorkingTreeDirty, lambda: apply(run, commit, repo), repo)
        (repo / ".git" / name).unlink()


def test_an_untracked_file_in_the_way_is_kept(world: World) -> None:
    repo = world.repository()
    run, commit = finished(world, repo)
    for name, rule in (("new", ""), ("new", "new\n"), ("new/file", ""), ("new/file", "new\n")):
        (repo / ".git/info/exclude").write_text(rule)
        write(repo, {name: b"mine\n"})
        refuses(ApplyConflict, lambda: apply(run, commit, repo), repo)
        write(repo, {name: None})
        shutil.rmtree(repo / "new", ignore_errors=True)


def test_a_folder_becomes_a_file_only_if_all_in_it_is_committed(world: World) -> None:
    repo = world.repository()
    world.commit(repo, {"file": b"1\n", ".gitignore": b"*.env\n"})
    run = world.started(repo)
    write(run.path, {"src/app.py": None, "file": None})
    (run.path / "src").rmdir()
    write(run.path, {"src": b"now a file\n", "file/inside": b"1\n"})
    commit = str(run.collected().commit)
    write(repo, {"src/secrets.env": b"the only copy\n"})
    refuses(ApplyConflict, lambda: apply(run, commit, repo), repo)
    write(repo, {"src/secrets.env": None})
    apply(run, commit, repo)
    assert (repo / "src").read_bytes() == b"now a file\n"
    assert (repo / "file/inside").exists()


def test_files_behind_a_filter_are_refused(world: World) -> None:
    repo = world.repository()
    world.commit(repo, {".gitattributes": b"*.psd filter=lfs -text\n"})
    run, commit = finished(world, repo, {"art/a.psd": b"pointer\n"})
    assert "art/a.psd" in refuses(FilteredPaths, lambda: apply(run, commit, repo), repo).message


def test_line_endings_are_written_as_the_user_wants_them(world: World) -> None:
    repo = world.repository()
    world.sh("config", "core.autocrlf", "true", cwd=repo)
    run, commit = finished(world, repo)
    apply(run, commit, repo)
    assert (repo / "new/file").read_bytes() == b"new\r\n"
    assert world.sh("diff", "--name-only", cwd=repo) == ""


def test_a_bare_repository_has_no_working_tree_to_change(world: World) -> None:
    repo = world.repository()
    run, commit = finished(world, repo)
    world.sh("clone", "-q", "--bare", ".", "../bare.git", cwd=repo)
    refuses(NoWorkingTree, lambda: apply(run, commit, world.tmp / "bare.git"), world.tmp / "bare.git")


def test_a_split_index_stays_readable(world: World) -> None:
    repo = world.repository()
    world.sh("update-index", "--split-index", cwd=repo)
    run, commit = finished(world, repo)
    apply(run, commit, repo)
    assert len(world.sh("status", "--porcelain", cwd=repo).splitlines()) == 3


def test_a_disk_that_refuses_half_way_leaves_everything_as_it_was(world: World) -> None:
    repo = world.repository()
    world.commit(repo, {"locked/file": b"1\n"})
    files: dict[str, bytes | None] = {"README": None, "a/new": b"1\n", "locked/file": b"2\n", "src/app.py": b"2\n"}
    run, commit = finished(world, repo, files)
    tracked = {name: kind for name, kind in digest(repo).items() if not name.startswith(".git/")}
    if os.geteuid() != 0:
        (repo / "locked").chmod(0o500)
    elif subprocess.run(["chattr", "+i", str(repo / "locked")], check=False, capture_output=True).returncode:
        pytest.skip("needs chattr")
    try:
        with pytest.raises(ApplyFailed, match="locked"):
            apply(run, commit, repo)
    finally:
        subprocess.run(["chattr", "-i", str(repo / "locked")], check=False, capture_output=True)
        (repo / "locked").chmod(0o700)
    assert {name: kind for name, kind in digest(repo).items() if not name.startswith(".git/")} == tracked
    assert not (repo / "a").exists()
    assert world.sh("status", "--porcelain", cwd=repo) == ""
    apply(run, commit, repo)


def test_a_file_saved_between_looking_and_writing_is_kept(world: World) -> None:
    repo = world.repository()
    run, commit = finished(world, repo)
    path = slow_git(world.tmp / "bin", "check-attr", f'echo mine > "{repo}/src/app.py"')
    git = Git(world.tmp / "state/scratch", search_path=path)
    meddled = Mirrors(git=git, folder=run.mirror.home.folder).open(run.mirror.source)
    with pytest.raises(ApplyConflict):
        apply_result(meddled, commit=commit, base=run.base, repository=repo, branch=None)
    assert (repo / "src/app.py").read_bytes() == b"mine\n"
    assert world.sh("status", "--porcelain", cwd=repo) == " M src/app.py"


def test_a_result_of_another_object_format_does_not_fit(world: World) -> None:
    run, commit = finished(world, world.repository())
    wide = world.repository("wide", "sha256")
    refuses(ApplyConflict, lambda: apply(run, commit, wide, "b"), wide)
