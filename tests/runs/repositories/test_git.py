"""Git is started with what we give it, for as long as we say, and tells what it was."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from git_world import World, slow_git

from interlock.runs.repositories import Git
from interlock.runs.repositories.errors import GitFailed, GitMissing, GitTimedOut, OutputTooLarge
from interlock.runs.repositories.git import Place


def fake(world: World, script: str) -> Git:
    program = world.tmp / "bin/git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Git(world.tmp / "scratch", search_path=f"{program.parent}:/usr/bin:/bin")


def test_the_environment_holds_nothing_of_ours(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ORCH_TOKEN", "SSH_AUTH_SOCK", "GIT_DIR", "GIT_EXTERNAL_DIFF", "LD_PRELOAD_NOT", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, "secret")
    said = fake(world, "env").run(Place(), "version", at_ms=5000).line
    seen = dict(line.split("=", 1) for line in said.splitlines())
    for shell in ("PWD", "_", "SHLVL", "OLDPWD"):
        seen.pop(shell, None)
    assert "secret" not in seen.values()
    assert seen["HOME"] == "/nonexistent"
    assert seen["GIT_CONFIG_GLOBAL"] == "/dev/null"
    assert seen["GIT_COMMITTER_DATE"] == "@5 +0000"
    assert {name for name in seen if not name.startswith("GIT_")} == {"PATH", "LANG", "HOME"}


def test_a_git_in_the_present_folder_is_not_taken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(world, "echo evil")
    monkeypatch.chdir(world.tmp / "bin")
    for path in (f".:{os.environ['PATH']}", f":{os.environ['PATH']}", f"bin:{os.environ['PATH']}"):
        assert Git(world.tmp, search_path=path).run(Place(), "version").line.startswith("git version")


def test_no_git_says_what_to_install(world: World) -> None:
    with pytest.raises(GitMissing) as caught:
        Git(world.tmp, search_path="/nonexistent").run(Place(), "version")
    assert "install git" in caught.value.hint


def test_a_git_that_hangs_is_stopped_with_all_it_started(world: World) -> None:
    alive = world.tmp / "alive"
    git = fake(world, f"(sleep 1; touch {alive}) & sleep 30")
    began = time.monotonic()
    with pytest.raises(GitTimedOut, match=r"version did not end within 0\.2 s"):
        git.run(Place(), "version", timeout_s=0.2)
    assert time.monotonic() - began < 2
    time.sleep(1.2)
    assert not alive.exists()


def test_a_pipe_that_hangs_is_stopped(world: World) -> None:
    path = slow_git(world.tmp / "bin", "index-pack", "sleep 30")
    with pytest.raises(GitTimedOut):
        Git(world.tmp, search_path=path).pipe(
            (Place(), ["version"]), (Place(), ["index-pack"]), stdin=b"", timeout_s=0.3
        )


def test_endless_output_is_stopped_at_its_limit(world: World) -> None:
    with pytest.raises(OutputTooLarge, match="1000 bytes"):
        fake(world, "yes").run(Place(), "version", limit=1000, timeout_s=10)


def test_a_failure_tells_the_last_lines_without_passwords(world: World) -> None:
    told = "for n in 1 2 3 4 5 6; do echo line $n >&2; done; echo fatal: https://ada:secret@example.org/x >&2; exit 7"
    with pytest.raises(GitFailed) as caught:
        fake(world, told).run(Place(), "fetch")
    message = caught.value.message
    assert message.startswith("git fetch ended with 7: ")
    assert "https://***@example.org/x" in message
    assert "secret" not in message
    assert "line 6" in message
    assert "line 1" not in message


def test_what_git_says_in_no_language_is_still_told(world: World) -> None:
    with pytest.raises(GitFailed, match=r"\\xff"):
        fake(world, r"printf '\377\n' >&2; exit 1").run(Place(), "fetch")


def test_arguments_are_never_words_of_a_shell(world: World) -> None:
    marked = world.tmp / "marked"
    with pytest.raises(GitFailed):
        Git(world.tmp).run(Place(), "cat-file", "-e", f"$(touch {marked}); touch {marked}")
    assert not marked.exists()


def test_the_first_command_of_a_pipe_is_the_one_that_is_blamed(world: World) -> None:
    git = Git(world.tmp)
    with pytest.raises(GitFailed, match="git pack-objects ended"):
        git.pipe((Place(), ["pack-objects", "--nonsense"]), (Place(), ["version"]), stdin=b"", timeout_s=10)


def test_the_version_is_told() -> None:
    assert Git(Path("/nonexistent")).version() >= (2, 30)
