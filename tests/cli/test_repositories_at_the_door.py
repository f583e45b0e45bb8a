"""The repository that a draft names: each kind that can not be used is refused with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.door import FRESH, WITHOUT_PRIVILEGES, Door, call, closed, files, git, make_repository


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository")


def propose(repository: Path | str, *more: str) -> tuple[str, ...]:
    return ("draft", "create", "--prompt", "sweep", "--command", "true", "--repo", str(repository), *more)


def test_the_commit_that_is_meant_is_shown_before_anybody_approves(ask: Door, repository: Path) -> None:
    terms = ask.json(*propose(repository))["terms"]
    assert terms["repository"] == str(repository)
    assert terms["base_commit"] == git(repository, "rev-parse", "HEAD")


def test_what_is_no_repository_is_told_apart(ask: Door, tmp_path: Path, repository: Path) -> None:
    before = files(ask.root)
    (tmp_path / "plain").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q")
    ask(*propose(tmp_path / "missing")).refuses(3, "does not exist", "check the path")
    ask(*propose(tmp_path / "file")).refuses(2, "is a file", "folder that holds .git")
    ask(*propose(tmp_path / "file" / "below")).refuses(3, "does not exist")
    ask(*propose(tmp_path / "plain")).refuses(2, "not a git repository", "git init")
    ask(*propose(tmp_path / "empty")).refuses(4, "has no commit yet", "commit once")
    ask(*propose("")).refuses(2, "no path")
    ask(*propose("a\0b")).refuses(2, "no path")
    ask(*propose(f"{repository}\n")).refuses(3, "does not exist")
    assert files(ask.root) == before
    assert ask.log_size() == FRESH


@pytest.mark.parametrize("closed_part", ["repository", "repository/.git"])
def test_an_unreadable_repository_is_refused(ask: Door, repository: Path, closed_part: str) -> None:
    with closed(repository.parent / closed_part, mode=0o000):
        answered = call(*propose(repository), at=ask.root, prefix=WITHOUT_PRIVILEGES)
    answered.refuses(4, "may not be read", "read access")


def test_uncommitted_changes_are_refused_unless_the_commit_is_named(ask: Door, repository: Path) -> None:
    (repository / "README.md").write_text("changed")
    ask(*propose(repository)).refuses(4, "not committed", "--base")
    commit = git(repository, "rev-parse", "HEAD")
    for base in ("HEAD", "main", commit, commit[:10]):
        assert ask.json(*propose(repository, "--base", base))["terms"]["base_commit"] == commit


def test_an_empty_base_names_no_commit(ask: Door, repository: Path) -> None:
    (repository / "README.md").write_text("changed")
    answered = ask(*propose(repository, "--base", ""))
    assert answered.code in {2, 3, 4}
    answered.refuses(answered.code)


def test_an_untracked_file_is_no_reason_to_refuse(ask: Door, repository: Path) -> None:
    (repository / "notes.txt").touch()
    assert ask(*propose(repository)).code == 0


@pytest.mark.parametrize("base", ["nope", "-x", "--all", "main..main", "HEAD^{tree}", "main\n", "\x1b[2J", "a\0b"])
def test_a_base_that_is_no_commit_is_refused(ask: Door, repository: Path, base: str) -> None:
    ask(*propose(repository, f"--base={base}")).refuses(3)
    assert ask.json("draft", "list") == []


def test_a_base_needs_a_repository(ask: Door) -> None:
    ask("draft", "create", "--prompt", "x", "--command", "true", "--base", "main").refuses(2, "--repo")


def test_a_bare_repository_will_do(ask: Door, repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    terms = ask.json(*propose(tmp_path / "bare.git"))["terms"]
    assert (terms["repository"], len(terms["base_commit"])) == (str(tmp_path / "bare.git"), 40)


@pytest.mark.parametrize("name", ["with space", "-dash", "quote'\"", "ünï", "$(touch pwned)"])
def test_an_unusual_path_is_kept_as_it_is(ask: Door, tmp_path: Path, name: str) -> None:
    made = make_repository(tmp_path / name)
    assert ask.json(*propose(made))["terms"]["repository"] == str(made)
    assert not (tmp_path / "pwned").exists()


def test_a_relative_path_means_the_folder_of_the_caller(
    ask: Door, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "below").mkdir()
    monkeypatch.chdir(repository / "below")
    for path in (".", "..", f"../../{repository.name}"):
        assert ask.json(*propose(path))["terms"]["repository"] == str(repository)


def test_a_file_address_is_the_same_repository(ask: Door, repository: Path) -> None:
    assert ask.json(*propose(f"file://{repository}"))["terms"]["repository"] == str(repository)


@pytest.mark.parametrize(
    "address", ["ext::sh -c touch% pwned", "git://localhost:1/x", "http://localhost:1/x", "ftp://h/x"]
)
def test_an_address_of_another_kind_is_refused_without_being_tried(ask: Door, address: str) -> None:
    ask(*propose(address)).refuses(2, "does not fetch from", "https://")


def test_a_server_that_does_not_answer_is_exit_5(ask: Door) -> None:
    ask(*propose("https://localhost:1/x.git")).refuses(5, "localhost:1")


def test_the_default_repository_is_frozen_in_when_a_draft_brings_no_command(ask: Door, repository: Path) -> None:
    (ask.root / "interlock.toml").write_text(f'[agent]\ncommand = "make it"\nrepository = "{repository}"\n')
    draft = ask.draft()
    terms = ask.json("draft", "approve", draft)["terms"]
    assert (terms["command"], terms["repository"]) == (["make", "it"], str(repository))
    assert terms["base_commit"] == git(repository, "rev-parse", "HEAD")


def test_drafts_can_be_looked_at_while_the_default_repository_can_not_be_used(ask: Door, repository: Path) -> None:
    """To show what was decided, nothing has to be looked up."""
    (ask.root / "interlock.toml").write_text(f'[agent]\ncommand = "true"\nrepository = "{repository}"\n')
    approved, rejected = ask.draft(), ask.draft()
    digest = ask.json("draft", "approve", approved)["digest"]
    ask("draft", "reject", rejected)
    (repository / "README.md").write_text("changed")
    assert ask.json("draft", "show", approved)["digest"] == digest
    assert ask.json("draft", "show", rejected)["status"] == "rejected"


def test_an_approved_draft_shows_the_digest_that_was_approved(ask: Door, repository: Path) -> None:
    (ask.root / "interlock.toml").write_text(f'[agent]\ncommand = "true"\nrepository = "{repository}"\n')
    draft = ask.draft()
    digest = ask.json("draft", "approve", draft)["digest"]
    git(repository, "commit", "-q", "--allow-empty", "-m", "Later")
    assert ask.json("draft", "show", draft)["digest"] == digest
