"""A repository may also be a URL; the transport is ssh's, played by a program that runs its command here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from git_world import World, write

from interlock.runs.repositories import Git, Mirrors, resolve
from interlock.runs.repositories.errors import BaseCommitGone, MalformedSource, RefNotFound, RemoteUnreachable
from interlock.runs.repositories.remote import as_path, is_url


@pytest.fixture
def online(world: World) -> World:
    """A world whose ssh reaches this very machine, and writes down how it was called."""
    ssh = world.tmp / "bin/ssh"
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\necho "$@" >> {world.tmp}/called\nfor last; do :; done\nexec sh -c "$last"\n')
    ssh.chmod(0o755)
    return world


def mirrors(world: World) -> Mirrors:
    path = f"{world.tmp}/bin:{os.environ['PATH']}"
    return Mirrors(git=Git(world.tmp / "state/scratch", search_path=path), folder=world.tmp / "state/mirrors")


def url(repo: Path) -> str:
    return f"ssh://ada:secret@example.org{repo}"


def test_a_remote_branch_and_tag_resolve_and_their_commit_is_fetched(online: World) -> None:
    repo = online.repository()
    first = online.head(repo)
    online.sh("tag", "-a", "v1", "-m", "one", cwd=repo)
    second = online.commit(repo, {"README": b"two\n"})
    home = mirrors(online)
    wanted = {"HEAD": second, "main": second, "refs/heads/main": second, "v1": first, first: first}
    assert {ref: resolve(home.git, url(repo), ref)[0] for ref in wanted} == wanted
    mirror = home.open(url(repo))
    assert mirror.fetch(first, pin="a_1")
    assert mirror.fetch(second, pin="a_2")
    assert not mirror.fetch(second, pin="a_3")
    run = online.worktrees.add(mirror, second, "r_1-1")
    assert (run.path / "README").read_bytes() == b"two\n"
    assert "-F /dev/null" in (online.tmp / "called").read_text()


def test_a_strict_server_gives_a_commit_by_its_branches(online: World) -> None:
    repo = online.repository()
    first = online.head(repo)
    online.commit(repo, {"README": b"two\n"})
    online.sh("config", "protocol.version", "0", cwd=repo)
    home = mirrors(online)
    ssh = online.tmp / "bin/ssh"
    ssh.write_text(ssh.read_text().replace("exec sh", "unset GIT_PROTOCOL; exec sh"))
    assert home.open(url(repo)).fetch(first, pin="a_1")


def test_what_the_remote_does_not_have_is_told(online: World) -> None:
    repo = online.repository()
    home = mirrors(online)
    with pytest.raises(RefNotFound):
        resolve(home.git, url(repo), "nope")
    with pytest.raises(BaseCommitGone):
        home.open(url(repo)).fetch("1" * 40, pin="a_1")


def test_a_remote_that_does_not_answer_is_told_without_its_password(online: World) -> None:
    home = mirrors(online)
    for act in (
        lambda: resolve(home.git, url(online.tmp / "missing"), "main"),
        lambda: home.open(url(online.tmp / "missing")).fetch("1" * 40, pin="a_1"),
    ):
        with pytest.raises(RemoteUnreachable) as caught:
            act()
        assert "secret" not in caught.value.message
        assert "example.org" in caught.value.message


def test_a_password_is_on_no_command_line_and_in_no_file_that_stays(online: World) -> None:
    repo = online.repository()
    spy = online.tmp / "bin/git"
    spy.write_text(f'#!/bin/sh\necho "$@" >> {online.tmp}/commands\nexec {shutil.which("git")} "$@"\n')
    spy.chmod(0o755)
    home = mirrors(online)
    home.open(url(repo)).fetch(resolve(home.git, url(repo))[0], pin="a_1")
    assert "fetch" in (online.tmp / "commands").read_text()
    assert "secret" not in (online.tmp / "commands").read_text()
    for path in (online.tmp / "state").rglob("*"):
        assert not path.is_file() or b"secret" not in path.read_bytes(), path


def test_the_configuration_around_the_state_folder_is_not_read(online: World) -> None:
    repo = online.repository()
    online.sh("init", "-q", cwd=online.tmp)
    online.plant(online.tmp / ".git")
    with (online.tmp / ".git/config").open("a") as config:
        config.write(f'[url "ext::{online.evil()} "]\n\tinsteadOf = ssh://\n[protocol "ext"]\n\tallow = always\n')
    home = mirrors(online)
    commit = resolve(home.git, url(repo))[0]
    home.open(url(repo)).fetch(commit, pin="a_1")
    write(repo, {"new": b""})
    assert not online.mark.exists()


def test_what_is_a_url_and_what_is_a_path() -> None:
    urls = ("https://example.org/x.git", "ssh://git@example.org/x", "git@example.org:x/y.git")
    paths = ("/a/b", "a:b", "./x", "file:///a%20b", "C", "-x", "a@b")
    assert [is_url(one) for one in (*urls, *paths)] == [True] * 3 + [False] * 7
    assert as_path("file:///a%20b") == "/a b"
    for bad in ("http://x/y", "git://x/y", "ext::sh -c id", "ftp://x", "https://-oProxyCommand=x/y", "ssh://"):
        with pytest.raises(MalformedSource):
            is_url(bad)
