"""The mirror keeps what was approved, whatever becomes of the user's repository."""

from __future__ import annotations

import os
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from git_world import Run, World, digest, write

from interlock.runs.repositories import inspect
from interlock.runs.repositories.errors import (
    BaseCommitGone,
    CommitNotInMirror,
    MalformedName,
    MirrorDamaged,
    ObjectsMissing,
)


def rewrite(world: World, repo: Path) -> None:
    """Make the repository forget its last commit for good."""
    world.sh("commit", "-q", "--amend", "-m", "rewritten", cwd=repo)
    world.sh("reflog", "expire", "--expire=now", "--all", cwd=repo)
    world.sh("gc", "-q", "--prune=now", cwd=repo)


def test_a_fetched_commit_is_pinned_with_its_history_and_nothing_else(world: World) -> None:
    repo = world.repository()
    first = world.head(repo)
    world.sh("checkout", "-q", "-b", "other", cwd=repo)
    secret = world.commit(repo, {"secret": b"not approved"})
    world.sh("checkout", "-q", "main", cwd=repo)
    base = world.commit(repo, {"README": b"two\n"})
    mirror, _ = world.pinned(repo)
    assert world.sh("for-each-ref", "--format=%(refname) %(objectname)", cwd=mirror.folder) == (
        f"refs/interlock/base/a_1 {base}"
    )
    assert world.sh("rev-list", base, cwd=mirror.folder).split() == [base, first]
    assert "missing" in world.sh("cat-file", "--batch-check", cwd=mirror.folder, given=secret.encode())
    world.sh("fsck", "--strict", cwd=mirror.folder)


def test_fetching_again_brings_nothing_and_pins_again(world: World) -> None:
    repo = world.repository()
    mirror, base = world.pinned(repo)
    assert not mirror.fetch(base, pin="a_1")
    shutil.rmtree(repo)
    assert not mirror.fetch(base, pin="a_2")
    assert world.sh("rev-parse", "refs/interlock/base/a_2", cwd=mirror.folder) == base


def test_a_second_commit_brings_only_what_is_new(world: World) -> None:
    repo = world.repository()
    world.commit(repo, {f"many/{n}": os.urandom(50) for n in range(50)})
    mirror, _ = world.pinned(repo)
    second = world.commit(repo, {"README": b"two\n"})
    assert mirror.fetch(second, pin="a_2")
    assert len(list((mirror.folder / "objects/pack").glob("*.pack"))) == 1
    assert len(list((mirror.folder / "objects").glob("??/*"))) == 3, "a commit, a tree and a file"


def test_a_pinned_commit_outlives_a_rewritten_and_a_deleted_repository(world: World) -> None:
    repo = world.repository()
    mirror, base = world.pinned(repo)
    rewrite(world, repo)
    assert (world.worktrees.add(mirror, base, "r_1-1").path / "README").read_bytes() == b"read me\n"
    shutil.rmtree(repo)
    again = world.mirrors.open(mirror.source)
    assert (world.worktrees.add(again, base, "r_1-2").path / "README").read_bytes() == b"read me\n"


def test_a_commit_that_is_gone_before_it_was_pinned_is_told(world: World) -> None:
    repo = world.repository()
    facts = inspect(world.git, repo)
    rewrite(world, repo)
    with pytest.raises(BaseCommitGone, match=facts.head_commit) as caught:
        world.mirrors.open(facts.source).fetch(facts.head_commit, pin="a_1")
    assert caught.value.code == "base_commit_gone"
    shutil.rmtree(repo)
    with pytest.raises(BaseCommitGone, match="does not exist"):
        world.mirrors.open(facts.source).fetch(facts.head_commit, pin="a_1")


def test_a_repository_that_borrows_objects_is_copied_whole(world: World) -> None:
    repo = world.repository()
    world.sh("clone", "-q", "--shared", str(repo), "borrower", cwd=world.tmp)
    mirror, base = world.pinned(world.tmp / "borrower")
    shutil.rmtree(repo)
    world.sh("fsck", "--strict", cwd=mirror.folder)
    assert world.worktrees.add(mirror, base, "r_1-1")


def test_a_shallow_repository_gives_a_history_that_ends_where_its_own_ends(world: World) -> None:
    repo = world.repository()
    world.commit(repo, {"README": b"two\n"})
    world.commit(repo, {"README": b"three\n"})
    world.sh("clone", "-q", "--depth=2", f"file://{repo}", "short", cwd=world.tmp)
    short = world.tmp / "short"
    mirror, base = world.pinned(short)
    worktree = world.worktrees.add(mirror, base, "r_1-1")
    assert len(world.sh("log", "--format=%H", cwd=worktree.path).splitlines()) == 2
    world.sh("fetch", "-q", "--unshallow", cwd=short)
    world.sh("checkout", "-q", "HEAD~2", "-b", "old", cwd=short)
    old = world.commit(short, {"old": b"grown from below the end\n"})
    mirror.fetch(old, pin="a_2")
    assert (world.worktrees.add(mirror, old, "r_2-1").path / "old").exists()
    world.sh("fsck", "--strict", cwd=mirror.folder)


def test_a_whole_mirror_stays_whole_when_the_repository_becomes_shallow(world: World) -> None:
    repo = world.repository()
    world.commit(repo, {"README": b"two\n"})
    mirror, _ = world.pinned(repo)
    (repo / ".git/shallow").write_text(f"{world.head(repo)}\n")
    third = world.commit(repo, {"README": b"three\n"})
    mirror.fetch(third, pin="a_2")
    assert len(world.sh("rev-list", third, cwd=mirror.folder).split()) == 3


def test_a_submodule_is_a_repository_like_any_other(world: World) -> None:
    repo = world.repository()
    other = world.repository("other", readme=b"library\n")
    world.sh("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "lib", cwd=repo)
    run = world.started(repo / "lib")
    assert (run.path / "README").read_bytes() == b"library\n"
    assert run.mirror.source == str(repo / ".git/modules/lib")


def test_a_partial_clone_is_refused_and_runs_nothing_to_complete_itself(world: World) -> None:
    repo = world.repository()
    base = world.commit(repo, {"README": b"two\n"})
    world.sh("config", "uploadpack.allowFilter", "true", cwd=repo)
    world.sh("clone", "-q", "--bare", "--filter=blob:none", f"file://{repo}", "part.git", cwd=world.tmp)
    part = world.tmp / "part.git"
    world.sh("config", "remote.origin.uploadpack", world.evil("exit 1"), cwd=part)
    world.sh("cat-file", "-p", f"{base}:README", cwd=part, ok=False)
    assert world.mark.exists(), "the user's own git runs the planted program"
    world.mark.unlink()
    with pytest.raises(ObjectsMissing, match="lacks objects"):
        world.mirrors.open(inspect(world.git, part).source).fetch(base, pin="a_1")
    assert not world.mark.exists()


def test_sha256_repositories_work_from_fetch_to_worktree(world: World) -> None:
    repo = world.repository("wide", "sha256")
    run = world.started(repo)
    write(run.path, {"new": b"1\n"})
    result = run.collected()
    assert result.commit
    assert len(result.commit) == 64
    assert world.sh("status", "--porcelain", cwd=run.path) == "?? new"


def test_one_source_has_one_mirror_and_another_has_another(world: World) -> None:
    one, other = world.mirrors.open("/one"), world.mirrors.open("/other")
    assert one.folder == world.mirrors.open("/one").folder
    assert len({one.folder, other.folder, world.mirrors.open("/one", "sha256").folder}) == 3
    assert len(one.folder.stem) == 16
    with one.opened():
        pass
    assert one.folder.stat().st_mode & 0o077 == 0


def test_fetching_writes_nothing_into_the_users_repository(world: World) -> None:
    repo = world.repository()
    before = digest(repo)
    world.pinned(repo)
    assert digest(repo) == before


def test_a_pin_that_could_leave_its_place_is_refused(world: World) -> None:
    mirror, base = world.pinned(world.repository())
    for pin in ("", "../x", "a/b", "-x", ".x", "a..b", "x.lock", "a b", "a\n", "x" * 101):
        with pytest.raises(MalformedName):
            mirror.fetch(base, pin=pin)


def test_only_refs_of_interlock_are_kept(world: World) -> None:
    mirror, base = world.pinned(world.repository())
    for ref in ("refs/heads/x", "HEAD", "refs/interlock/../heads/x", "refs/interlock/"):
        with pytest.raises(MalformedName):
            mirror.keep(ref, base)


def test_what_was_changed_in_a_mirror_is_put_back_and_told(world: World) -> None:
    told: list[tuple[str, tuple[str, ...]]] = []

    def hear(source: str, names: tuple[str, ...]) -> None:
        told.append((source, names))

    repo = world.repository()
    mirror, base = world.pinned(repo)
    good = digest(mirror.folder)
    world.plant(mirror.folder)
    (mirror.folder / "info/attributes").write_text("* filter=evil\n")
    (mirror.folder / "HEAD").unlink()
    (mirror.folder / "HEAD").symlink_to("/etc/passwd")
    (mirror.folder / "objects/info/alternates").write_text("/elsewhere\n")
    (mirror.folder / "commondir").write_text("/elsewhere\n")
    heard = replace(world.mirrors, on_restored=hear)
    heard.open(mirror.source).fetch(base, pin="a_1")
    assert digest(mirror.folder) == good
    assert told == [(str(repo), ("HEAD", "config", "info/attributes", "commondir", "hooks", "objects/info/alternates"))]
    heard.open(mirror.source).fetch(base, pin="a_1")
    assert len(told) == 1


def test_objects_led_elsewhere_are_damage(world: World) -> None:
    mirror, base = world.pinned(world.repository())
    (mirror.folder / "objects").rename(world.tmp / "objects")
    (mirror.folder / "objects").symlink_to(world.tmp / "objects")
    with pytest.raises(MirrorDamaged):
        mirror.fetch(base, pin="a_1")


def test_a_forged_object_is_found_before_an_agent_starts_on_it(world: World) -> None:
    repo = world.repository()
    mirror, base = world.pinned(repo)
    blob = world.sh("rev-parse", "HEAD:src/app.py", cwd=repo)
    forged = b"print('not what was approved')\n"
    for pack in (mirror.folder / "objects/pack").glob("*.pack"):
        moved = pack.rename(world.tmp / pack.name)
        pack.with_suffix(".idx").unlink()
        world.sh("unpack-objects", "-q", cwd=mirror.folder, given=moved.read_bytes())
    loose = mirror.folder / "objects" / blob[:2] / blob[2:]
    loose.unlink()
    loose.write_bytes(zlib.compress(b"blob %d\0" % len(forged) + forged))
    with pytest.raises(MirrorDamaged, match=blob):
        world.worktrees.add(mirror, base, "r_1-1")
    assert not world.worktrees.names()


def test_a_commit_that_was_never_fetched_is_not_there(world: World) -> None:
    mirror, _ = world.pinned(world.repository())
    with pytest.raises(CommitNotInMirror):
        world.worktrees.add(mirror, "1" * 40, "r_1-1")


def results(run: Run, count: int) -> list[str]:
    made: list[str] = []
    for turn in range(count):
        write(run.path, {"turn": f"{turn}\n".encode()})
        made.append(str(run.collected(f"refs/interlock/runs/r_{turn}").commit))
    return made


def packs(run: Run) -> int:
    return len(list((run.mirror.folder / "objects/pack").glob("*.pack")))


def test_small_results_leave_no_packs(world: World) -> None:
    run = world.started(world.repository())
    results(run, 3)
    assert packs(run) == 1


def test_many_large_results_are_joined_when_no_other_agent_is_at_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interlock.runs.repositories.mirror._PACKS", 3)
    monkeypatch.setattr("interlock.runs.repositories.transfer._FEW", 0)
    run = world.started(world.repository())
    world.worktrees.add(run.mirror, run.base, "r_2-1")
    made = results(run, 5)
    assert packs(run) == 6
    world.worktrees.remove(run.mirror, "r_2-1")
    made += results(run, 6)
    assert packs(run) <= 4
    assert {world.sh("rev-parse", f"{commit}^", cwd=run.mirror.folder) for commit in made} == {run.base}
    world.sh("fsck", "--strict", cwd=run.mirror.folder)


def test_a_kept_ref_moves_and_goes(world: World) -> None:
    repo = world.repository()
    mirror, base = world.pinned(repo)
    mirror.keep("refs/interlock/runs/r_1", base)
    mirror.keep("refs/interlock/runs/r_1", base)
    assert world.sh("rev-parse", "refs/interlock/runs/r_1", cwd=mirror.folder) == base
    for _ in range(2):
        mirror.keep("refs/interlock/runs/r_1", None)
    assert "r_1" not in world.sh("for-each-ref", cwd=mirror.folder)


def test_a_made_mirror_is_whole_or_absent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_self: Path, _target: Path) -> Path:
        raise KeyboardInterrupt

    mirror = world.mirrors.open("/one")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            mirror.keep("refs/interlock/runs/r_1", None)
    assert not list(world.mirrors.folder.glob("*.git"))
    mirror.keep("refs/interlock/runs/r_1", None)
    assert mirror.folder.is_dir()
    assert not list(world.mirrors.folder.glob(".*"))


def test_a_mirror_that_was_deleted_is_brought_again(world: World) -> None:
    mirror, base = world.pinned(world.repository())
    shutil.rmtree(mirror.folder)
    assert mirror.fetch(base, pin="a_1")
    assert world.worktrees.add(mirror, base, "r_1-1")
