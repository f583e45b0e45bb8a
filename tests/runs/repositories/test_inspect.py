"""What Interlock says of a repository before anything is approved."""

from __future__ import annotations

import os

import pytest
from git_world import NOBODY, World, as_ordinary_user, digest, give_away, public_folder, write

from interlock.kernel.errors import InterlockError
from interlock.runs.repositories import Git, inspect, resolve
from interlock.runs.repositories.errors import (
    DubiousOwnership,
    MalformedSource,
    NotARepository,
    RefNotFound,
    RepositoryEmpty,
    RepositoryMissing,
    RepositoryNotAFolder,
    RepositoryUnsupported,
    WorkTreeElsewhere,
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")


def test_a_clean_repository_is_told_by_its_top_folder_branch_and_commit(world: World) -> None:
    repo = world.repository()
    facts = inspect(world.git, repo)
    assert (facts.path, facts.source, facts.branch) == (repo, str(repo), "main")
    assert facts.head_commit == world.head(repo)
    assert facts.object_format == "sha1"
    flags = (facts.dirty, facts.untracked, facts.bare, facts.shallow, facts.submodules, facts.lfs)
    assert not any(flags)


def test_looking_changes_nothing_in_the_repository(world: World) -> None:
    repo = world.repository()
    os.utime(repo / "README", (1, 1))  # an ordinary `git status` would refresh the index now
    before = digest(repo)
    inspect(world.git, repo)
    resolve(world.git, repo, "main")
    assert digest(repo) == before


def test_a_folder_inside_the_repository_means_the_whole_repository(world: World) -> None:
    repo = world.repository()
    assert inspect(world.git, repo / "src").path == repo


def test_a_link_to_the_repository_is_resolved(world: World) -> None:
    repo = world.repository()
    (world.tmp / "link").symlink_to(repo)
    assert inspect(world.git, world.tmp / "link").path == repo


@pytest.mark.parametrize("name", ["with space", 'it\'s "quoted"', "-dash", "new\nline", "a:b;c$(d)`e`", "ünï"])
def test_strange_folder_names_are_only_names(world: World, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    repo = world.repository(name)
    monkeypatch.chdir(world.tmp)
    assert inspect(world.git, name).path == repo
    assert resolve(world.git, name, "main") == (world.head(repo), "sha1")


def test_changed_staged_and_deleted_files_make_it_dirty(world: World) -> None:
    repo = world.repository()
    for files in ({"README": b"changed\n"}, {"README": None}):
        write(repo, files)
        assert inspect(world.git, repo).dirty
        world.sh("add", "-A", cwd=repo)
        assert inspect(world.git, repo).dirty
        world.sh("reset", "-q", "--hard", cwd=repo)
    assert not inspect(world.git, repo).dirty


def test_a_new_file_is_untracked_and_an_ignored_one_is_nothing(world: World) -> None:
    repo = world.repository()
    world.commit(repo, {".gitignore": b"*.log\n"})
    write(repo, {"a.log": b""})
    assert not inspect(world.git, repo).untracked
    write(repo, {"new": b""})
    facts = inspect(world.git, repo)
    assert facts.untracked
    assert not facts.dirty


def test_a_file_whose_lines_end_as_the_user_wants_is_not_dirty(world: World) -> None:
    repo = world.repository()
    world.sh("config", "core.autocrlf", "true", cwd=repo)
    (repo / "README").unlink()
    world.sh("checkout", "README", cwd=repo)
    assert (repo / "README").read_bytes() == b"read me\r\n"
    os.utime(repo / "README", (1, 1))
    assert not inspect(world.git, repo).dirty


def test_a_detached_head_has_no_branch(world: World) -> None:
    repo = world.repository()
    world.sh("checkout", "-q", "--detach", cwd=repo)
    assert inspect(world.git, repo).branch is None


def test_a_linked_working_tree_has_its_own_head_and_the_same_source(world: World) -> None:
    repo = world.repository()
    world.sh("worktree", "add", "-q", "-b", "side", "../side", cwd=repo)
    commit = world.commit(world.tmp / "side", {"README": b"side\n"})
    facts = inspect(world.git, world.tmp / "side")
    assert (facts.path, facts.source) == (world.tmp / "side", str(repo))
    assert (facts.branch, facts.head_commit, facts.dirty) == ("side", commit, False)


def test_a_bare_repository_is_fine_and_never_dirty(world: World) -> None:
    repo = world.repository()
    world.sh("clone", "-q", "--bare", ".", "../bare.git", cwd=repo)
    facts = inspect(world.git, world.tmp / "bare.git")
    assert (facts.path, facts.source) == (world.tmp / "bare.git", str(world.tmp / "bare.git"))
    assert facts.bare
    assert not facts.dirty


def test_sha256_shallow_submodules_and_lfs_are_told(world: World) -> None:
    other = world.repository("other")
    assert len(inspect(world.git, world.repository("wide", "sha256")).head_commit) == 64
    repo = world.repository()
    world.sh("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "lib", cwd=repo)
    world.commit(repo, {"media/.gitattributes": b"*.psd filter=lfs diff=lfs merge=lfs -text\n"})
    facts = inspect(world.git, repo)
    assert (facts.submodules, facts.lfs, facts.shallow) == (True, True, False)
    world.sh("clone", "-q", "--depth=1", f"file://{repo}", "short", cwd=world.tmp)
    assert inspect(world.git, world.tmp / "short").shallow


def test_every_kind_of_ref_resolves_to_its_commit(world: World) -> None:
    repo = world.repository()
    first = world.head(repo)
    world.sh("tag", "-a", "v1", "-m", "one", cwd=repo)
    second = world.commit(repo, {"README": b"two\n"})
    world.sh("pack-refs", "--all", cwd=repo)
    wanted = {"HEAD": second, "main": second, "v1": first, "HEAD~1": first, first[:10]: first, second: second}
    assert {ref: resolve(world.git, repo, ref)[0] for ref in wanted} == wanted


def test_what_is_no_commit_is_not_found(world: World) -> None:
    repo = world.repository()
    for ref in ("nope", "", "-h", "--all", "a b", "x\0y", "main:README", "\udcff", "0" * 40):
        with pytest.raises(RefNotFound):
            resolve(world.git, repo, ref)


@pytest.mark.parametrize("path", ["", "a\0b", "http://example.org/x", "git://example.org/x", "ext::sh -c id"])
def test_what_names_no_repository_is_malformed(world: World, path: str) -> None:
    with pytest.raises(MalformedSource):
        resolve(world.git, path)


def test_each_way_of_not_being_a_repository_has_its_own_error(world: World) -> None:
    (world.tmp / "plain").mkdir()
    (world.tmp / "file").write_text("")
    (world.tmp / "empty").mkdir()
    world.sh("init", "-q", cwd=world.tmp / "empty")
    wanted: dict[str, type[InterlockError]] = {
        "missing": RepositoryMissing,
        "file/below": RepositoryMissing,
        "file": RepositoryNotAFolder,
        "plain": NotARepository,
        "empty": RepositoryEmpty,
    }
    for name, kind in wanted.items():
        for look in (inspect, resolve):
            with pytest.raises(kind) as caught:
                look(world.git, world.tmp / name)
            assert name.split("/", maxsplit=1)[0] in caught.value.message
            assert caught.value.hint


def test_a_format_that_git_does_not_know_is_unsupported(world: World) -> None:
    repo = world.repository()
    (repo / ".git/config").write_text("[core]\nrepositoryformatversion=1\n[extensions]\nfromthefuture=true\n")
    with pytest.raises(RepositoryUnsupported, match="fromthefuture"):
        inspect(world.git, repo)
    (repo / ".git/config").write_text("[core\n")
    with pytest.raises(RepositoryUnsupported):
        inspect(world.git, repo)


def test_a_working_tree_that_its_configuration_moves_elsewhere_is_refused(world: World) -> None:
    (world.tmp / "other").mkdir()
    repo = world.repository()
    for elsewhere in ("/", "/etc", str(world.tmp), str(world.tmp / "other")):
        world.sh("config", f"--file={repo}/.git/config", "core.worktree", elsewhere, cwd=world.tmp)
        with pytest.raises(WorkTreeElsewhere):
            inspect(world.git, repo)


@as_root
def test_another_users_repository_is_refused_until_it_is_trusted(world: World) -> None:
    repo = world.repository()
    for path in (repo, repo / ".git"):
        os.chown(path, NOBODY, NOBODY)
    with pytest.raises(DubiousOwnership) as caught:
        inspect(world.git, repo)
    assert str(NOBODY) in caught.value.message
    assert "chown" in caught.value.hint
    trusting = Git(world.tmp / "state/scratch", trusted=(str(repo),))
    assert inspect(trusting, repo).head_commit


def test_a_folder_that_may_not_be_read_says_so(world: World) -> None:
    with public_folder() as public:
        repo = World(public).repository()
        head = world.head(repo)
        give_away(public)

        def code() -> str:
            try:
                return inspect(Git(public / "scratch"), repo).head_commit
            except InterlockError as error:
                return error.code

        assert as_ordinary_user(code) == head
        for closed in (repo, repo / ".git", repo / ".git/config"):
            mode = closed.stat().st_mode
            closed.chmod(0o000)
            assert as_ordinary_user(code) == "repository_unreadable"
            closed.chmod(mode)
