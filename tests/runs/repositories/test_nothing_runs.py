"""Whatever a repository or an agent writes, git runs no program for it.

Each test first shows that the trap works on ordinary git, or would on ours without the one thing that stops it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from git_world import Run, World, digest, evil_settings, write

from interlock.runs.repositories import Mirror, apply_result, inspect, resolve

EVERYTHING = b"*.x filter=evil diff=evil merge=evil\n*.y filter=longevil\n"


def trapped(world: World) -> Path:
    """Return a repository in which nearly everything would run the planted program."""
    repo = world.repository()
    world.commit(repo, {".gitattributes": EVERYTHING, "a.x": b"1\n", "b.y": b"1\n"})
    world.plant(repo / ".git")
    return repo


def springs(world: World, *args: str, cwd: Path) -> None:
    """Show that the trap works on ordinary git, and set it again."""
    world.sh(*args, cwd=cwd, ok=False)
    assert world.mark.exists(), args
    world.mark.unlink()


def test_the_users_hooks_filters_and_settings_never_run_and_never_change(world: World) -> None:
    repo = trapped(world)
    os.utime(repo / "a.x", (1, 1))  # so that git must look into it, through its filter
    springs(world, "status", cwd=repo)
    springs(world, "diff", cwd=repo)
    springs(world, "commit", "-q", "--allow-empty", "-m", "x", cwd=repo)
    watched = {name: digest(repo / ".git").get(name) for name in ("config", "HEAD", "index")}
    facts = inspect(world.git, repo)
    assert facts.head_commit == resolve(world.git, repo, "main")[0]
    run = world.started(repo)
    write(run.path, {"a.x": b"2\n", "b.y": b"2\n", "new.x": b"1\n"})
    result = run.collected()
    assert {file.path for file in result.files} == {b"a.x", b"b.y", b"new.x"}
    assert b"+2\n" in result.patch
    commit = str(result.commit)
    applied = apply_result(run.mirror, commit=commit, base=run.base, repository=repo, branch="interlock/r_1")
    assert applied.changed
    assert watched == {name: digest(repo / ".git").get(name) for name in watched}
    world.worktrees.remove(run.mirror, "r_1-1")
    assert not world.mark.exists(), world.mark.read_text()


def test_applying_to_the_working_tree_runs_no_hook_filter_or_merge_driver(world: World) -> None:
    repo = trapped(world)
    run = world.started(repo)
    write(run.path, {"README": b"by the agent\n"})
    commit = str(run.collected().commit)
    (repo / ".git/config").write_text("[core]\n\trepositoryformatversion = 0\n")
    world.commit(repo, {"other": b"1\n"})
    world.mark.unlink(missing_ok=True)
    world.plant(repo / ".git")
    (repo / "a.x").touch()
    config = digest(repo / ".git")["config"]
    applied = apply_result(run.mirror, commit=commit, base=run.base, repository=repo, branch=None)
    assert applied.files == (b"README",)
    assert digest(repo / ".git")["config"] == config
    assert not world.mark.exists(), world.mark.read_text()
    springs(world, "status", cwd=repo)


def test_the_users_global_configuration_is_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = world.repository()
    world.commit(repo, {".gitattributes": EVERYTHING, "a.x": b"1\n"})
    home = world.tmp / "home"
    (home / ".gitconfig").write_text(evil_settings(world.evil()))
    (home / ".config/git").mkdir(parents=True)
    (home / ".config/git/attributes").write_text("* filter=evil\n")
    for name in ("HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_EXTERNAL_DIFF", "GIT_SSH_COMMAND", "GIT_PAGER"):
        value = {"HOME": home, "XDG_CONFIG_HOME": home / ".config", "GIT_CONFIG_GLOBAL": home / ".gitconfig"}
        monkeypatch.setenv(name, str(value.get(name, world.evil())))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", world.evil())
    springs(world, "status", cwd=repo)
    run = world.started(repo)
    write(run.path, {"a.x": b"2\n"})
    assert run.collected().commit
    assert not world.mark.exists(), world.mark.read_text()


def plant_in_mirror(run_mirror: Mirror, world: World) -> None:
    world.plant(run_mirror.folder)
    (run_mirror.folder / "info/attributes").write_text("* filter=evil diff=evil\n")


def test_what_an_agent_plants_in_the_mirror_runs_neither_for_us_nor_for_the_next_agent(world: World) -> None:
    run = world.started(trapped(world))
    plant_in_mirror(run.mirror, world)
    springs(world, "status", cwd=run.path)
    write(run.path, {"a.x": b"2\n"})
    assert run.collected().commit
    second = world.worktrees.add(run.mirror, run.base, "r_2-1")
    write(second.path, {"a.x": b"3\n"})
    world.sh("add", "-A", cwd=second.path)
    world.sh("commit", "-q", "-m", "the next agent", cwd=second.path)
    assert not world.mark.exists(), world.mark.read_text()


def test_planting_after_the_mirror_was_looked_at_is_too_late(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    mended = Mirror._restore  # pyright: ignore[reportPrivateUsage] - the race is between this and what follows it

    def raced(self: Mirror) -> None:
        mended(self)
        plant_in_mirror(self, world)

    monkeypatch.setattr(Mirror, "_restore", raced)
    repo = trapped(world)
    world.mark.unlink(missing_ok=True)
    run = world.started(repo)
    write(run.path, {"a.x": b"2\n"})
    commit = str(run.collected().commit)
    apply_result(run.mirror, commit=commit, base=run.base, repository=repo, branch="b")
    world.worktrees.remove(run.mirror, "r_1-1")
    assert not world.mark.exists(), world.mark.read_text()


def test_a_populated_submodule_runs_nothing_when_it_is_compared(world: World) -> None:
    repo = world.repository()
    other = world.repository("other")
    world.sh("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "lib", cwd=repo)
    world.commit(repo, {})
    run = world.started(repo)
    populated(world, run, other)
    springs(world, "status", cwd=run.path)
    result = run.collected()
    assert [(one.path, one.reason) for one in result.left_out] == [(b"lib/", "nested_repository")]
    assert [file.path for file in result.files] == [b"new"]
    assert not world.mark.exists(), world.mark.read_text()
    world.plant(repo / ".git/modules/lib")
    write(repo / "lib", {"README": b"2\n", ".gitattributes": b"* filter=evil\n"})
    springs(world, "status", cwd=repo)
    assert not inspect(world.git, repo).dirty
    assert not world.mark.exists(), world.mark.read_text()


def populated(world: World, run: Run, other: Path) -> None:
    """Fill the submodule's folder with a repository that is a trap."""
    shutil.rmtree(run.path / "lib")
    world.sh("clone", "-q", str(other), str(run.path / "lib"), cwd=world.tmp)
    (run.path / "lib/.gitattributes").write_text("* filter=evil\n")
    (run.path / "lib/README").write_text("changed\n")
    world.plant(run.path / "lib/.git")
    write(run.path, {"new": b""})


@pytest.mark.parametrize("kind", ["elsewhere", "folder", "link", "gone"])
def test_tampering_with_the_git_file_has_no_effect(world: World, kind: str) -> None:
    run = world.started(trapped(world))
    write(run.path, {"a.x": b"2\n", "new": b"1\n"})
    wanted = run.collected()
    git_file = run.path / ".git"
    git_file.unlink()
    if kind != "gone":
        trap = git_file if kind == "folder" else world.tmp / "trap.git"
        world.sh("init", "-q", "--separate-git-dir", str(trap), str(world.tmp / "unused"), cwd=world.tmp)
        world.plant(trap)
        (trap / "info/attributes").write_text("* filter=evil\n")
    if kind == "elsewhere":
        git_file.write_text(f"gitdir: {world.tmp}/trap.git\n")
    if kind == "link":
        git_file.symlink_to(world.tmp / "trap.git")
    found = run.collected()
    assert (found.commit, found.patch) == (wanted.commit, wanted.patch)
    assert [(one.path, one.reason) for one in found.left_out] == [(b".git", "git_file_changed")]
    assert not world.mark.exists(), world.mark.read_text()
    world.worktrees.remove(run.mirror, "r_1-1")
    assert not run.path.exists()
    assert kind != "link" or (world.tmp / "trap.git/config").exists()


def test_rules_that_an_agent_writes_neither_change_nor_hide_what_it_did(world: World) -> None:
    run = world.started(world.repository())
    rules = b"* text eol=crlf ident\n*.py -diff working-tree-encoding=UTF-16LE\n"
    write(run.path, {".gitattributes": rules, "a.py": b"evil = 1 # $Id: hidden $\r\n"})
    result = run.collected()
    assert b"+evil = 1 # $Id: hidden $\r\n" in result.patch
    blob = world.sh("rev-parse", f"{result.commit}:a.py", cwd=run.mirror.folder)
    assert blob == world.sh("hash-object", "--no-filters", "a.py", cwd=run.path)


def test_core_worktree_in_the_mirror_or_by_an_agent_leads_nowhere(world: World) -> None:
    outside = world.tmp / "outside"
    write(outside, {"precious": b"1\n"})
    run = world.started(world.repository())
    with (run.mirror.folder / "config").open("a") as config:
        config.write(f"[core]\n\tworktree = {outside}\n[extensions]\n\tworktreeConfig = true\n")
    (run.mirror.folder / "worktrees/r_1-1/config.worktree").write_text(f"[core]\n\tworktree = {outside}\n")
    (run.mirror.folder / "worktrees/r_1-1/gitdir").write_text(f"{outside}/.git\n")
    (run.mirror.folder / "worktrees/r_1-1/commondir").write_text(f"{outside}\n")
    write(run.path, {"new": b""})
    assert [file.path for file in run.collected().files] == [b"new"]
    world.worktrees.remove(run.mirror, "r_1-1")
    assert (outside / "precious").exists()


def test_links_are_recorded_as_links_and_what_is_behind_them_is_not_read(world: World) -> None:
    outside = world.tmp / "outside"
    write(outside, {"app.py": b"secret\n", "key": b"secret\n"})
    run = world.started(world.repository())
    shutil.rmtree(run.path / "src")
    (run.path / "src").symlink_to(outside)
    (run.path / "key").symlink_to(outside / "key")
    result = run.collected()
    assert [(file.path, file.status, file.new_mode) for file in result.files] == [
        (b"key", "A", "120000"),
        (b"src", "A", "120000"),
        (b"src/app.py", "D", "000000"),
    ]
    assert b"secret" not in result.patch


def test_nested_repositories_are_left_out_and_told(world: World) -> None:
    repo = world.repository()
    run = world.started(repo)
    world.sh("clone", "-q", str(repo), str(run.path / "cloned"), cwd=world.tmp)
    for name in ("unborn", "deep/inside", "src"):
        world.sh("init", "-q", name, cwd=run.path)
        write(run.path / name, {"new": b"1\n"})
    world.sh("add", "cloned", cwd=run.path)
    result = run.collected()
    assert [(one.path, one.reason) for one in result.left_out] == [
        (name, "nested_repository") for name in (b"cloned/", b"deep/inside/", b"src/", b"unborn/")
    ]
    assert [file.path for file in result.files] == [b"src/new"], "a folder of the base stays part of the result"
    assert b"160000" not in result.patch


def test_submodules_stay_as_they_are_unless_their_folder_goes(world: World) -> None:
    repo = world.repository()
    other = world.repository("other")
    for name in ("kept", "gone", "filled"):
        world.sh("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), name, cwd=repo)
    world.commit(repo, {})
    run = world.started(repo)
    (run.path / "gone").rmdir()
    write(run.path, {"filled/file": b"1\n"})
    modes = {file.path: (file.status, file.old_mode, file.new_mode) for file in run.collected().files}
    assert modes == {
        b"filled": ("D", "160000", "000000"),
        b"filled/file": ("A", "000000", "100644"),
        b"gone": ("D", "160000", "000000"),
    }


def test_an_address_that_the_configuration_turns_into_a_program_is_not_used(world: World) -> None:
    repo = world.repository()
    run = world.started(repo)
    write(run.path, {"new": b""})
    commit = str(run.collected().commit)
    evil = world.evil("exit 1")
    with (repo / ".git/config").open("a") as config:
        config.write(f'[protocol "ext"]\n\tallow = always\n[url "ext::{evil} "]\n\tinsteadOf = {world.tmp}\n')
    springs(world, "fetch", str(run.mirror.folder), cwd=repo)
    write(repo, {"second": b""})
    world.sh("commit", "-q", "--allow-empty", "-m", "second", cwd=repo)
    world.mirrors.open(str(repo)).fetch(inspect(world.git, repo).head_commit, pin="a_2")
    assert apply_result(run.mirror, commit=commit, base=run.base, repository=repo, branch="b").changed
    assert not world.mark.exists(), world.mark.read_text()
