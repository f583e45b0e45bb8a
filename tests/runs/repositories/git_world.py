"""A user with a repository, an operator with a state folder, and a program that must never run."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from interlock.runs.repositories import (
    Collected,
    Git,
    Mirror,
    Mirrors,
    Worktree,
    Worktrees,
    collect,
    inspect,
    remove_tree,
)

HOOKS = """
applypatch-msg commit-msg fsmonitor-watchman post-applypatch post-checkout post-commit post-index-change post-merge
post-receive post-rewrite post-update pre-applypatch pre-auto-gc pre-commit pre-merge-commit pre-push pre-receive
pre-rebase prepare-commit-msg proc-receive push-to-checkout reference-transaction sendemail-validate update
"""
NOBODY = 65534
AT = 1_795_000_000_000
IDENTITY = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}


@dataclass(frozen=True)
class World:
    tmp: Path

    @property
    def git(self) -> Git:
        return Git(self.tmp / "state/scratch", timeout_s=30)

    @property
    def mirrors(self) -> Mirrors:
        return Mirrors(git=self.git, folder=self.tmp / "state/mirrors", lock_timeout_s=20)

    @property
    def worktrees(self) -> Worktrees:
        return Worktrees(self.tmp / "state/worktrees")

    def sh(self, *args: str, cwd: Path, given: bytes = b"", ok: bool = True) -> str:
        """Run the user's own git, hooks and configuration included."""
        home = self.tmp / "home"
        home.mkdir(exist_ok=True)
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", **IDENTITY}
        ran = subprocess.run(["git", *args], cwd=cwd, env=environment, input=given, capture_output=True, check=False)
        assert ran.returncode == 0 or not ok, ran.stderr.decode()
        return os.fsdecode(ran.stdout).rstrip("\n")

    def repository(self, name: str = "repo", object_format: str = "sha1", readme: bytes = b"read me\n") -> Path:
        """Make a repository with one commit of `README` and `src/app.py`."""
        repo = self.tmp / name
        repo.mkdir(parents=True)
        self.sh("init", "-q", "-b", "main", f"--object-format={object_format}", cwd=repo)
        self.commit(repo, {"README": readme, "src/app.py": b"print(1)\nprint(2)\nprint(3)\n"})
        return repo

    def commit(self, repo: Path, files: Mapping[str, bytes | None], message: str = "work") -> str:
        write(repo, files)
        self.sh("add", "-A", cwd=repo)
        self.sh("commit", "-q", "--no-verify", "-m", message, cwd=repo)
        return self.head(repo)

    def head(self, repo: Path) -> str:
        return self.sh("rev-parse", "HEAD", cwd=repo)

    def pinned(self, repo: Path) -> tuple[Mirror, str]:
        """Return the mirror of a repository with its HEAD pinned, and that commit."""
        facts = inspect(self.git, repo)
        mirror = self.mirrors.open(facts.source, facts.object_format)
        mirror.fetch(facts.head_commit, pin="a_1")
        return mirror, facts.head_commit

    def started(self, repo: Path, name: str = "r_1-1") -> Run:
        """Return a run whose agent may begin: its mirror, base and worktree."""
        mirror, base = self.pinned(repo)
        return Run(self, mirror, base, self.worktrees.add(mirror, base, name))

    def evil(self, then: str = "cat") -> str:
        """Return a program that leaves a mark when it runs, and then behaves like a filter."""
        program = self.tmp / "evil"
        program.write_text(f'#!/bin/sh\necho "$0 $@" >> "{self.mark}"\n{then}\n')
        program.chmod(0o755)
        return str(program)

    @property
    def mark(self) -> Path:
        return self.tmp / "mark"

    def plant(self, git_dir: Path) -> None:
        """Put every setting and hook that could run `evil` into a git folder."""
        evil = self.evil()
        (git_dir / "hooks").mkdir(exist_ok=True)
        for hook in HOOKS.split():
            (git_dir / "hooks" / hook).unlink(missing_ok=True)
            (git_dir / "hooks" / hook).symlink_to(evil)
        with (git_dir / "config").open("a") as config:
            config.write(evil_settings(evil))


@dataclass(frozen=True)
class Run:
    world: World
    mirror: Mirror
    base: str
    worktree: Worktree

    @property
    def path(self) -> Path:
        return self.worktree.path

    def collected(self, ref: str = "refs/interlock/runs/r_1", max_patch_bytes: int = 1 << 24) -> Collected:
        return collect(
            self.mirror,
            self.worktree,
            base=self.base,
            ref=ref,
            message="run r_1",
            at_ms=AT,
            max_patch_bytes=max_patch_bytes,
        )


def evil_settings(evil: str) -> str:
    return f"""
[core]
    fsmonitor = {evil}
    pager = {evil}
    editor = {evil}
    sshCommand = {evil}
    askPass = {evil}
    alternateRefsCommand = {evil}
    gitProxy = {evil}
[filter "evil"]
    clean = {evil}
    smudge = {evil}
    required = true
[filter "longevil"]
    process = {evil}
[diff]
    external = {evil}
[diff "evil"]
    textconv = {evil}
    command = {evil}
[merge "evil"]
    driver = {evil}
[credential]
    helper = !{evil}
[uploadpack]
    packObjectsHook = {evil}
[commit]
    gpgSign = true
[gpg]
    program = {evil}
[alias]
    status = !{evil}
    rev-parse = !{evil}
[interactive]
    diffFilter = {evil}
[sequence]
    editor = {evil}
"""


def write(folder: Path, files: Mapping[str, bytes | None]) -> None:
    """Write files below a folder; None removes one."""
    for name, content in files.items():
        path = folder / name
        if content is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def digest(folder: Path) -> dict[str, str]:
    """Return the hash of every file below a folder, and where every link leads."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = f"-> {path.readlink()}"
        elif path.is_file():
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def slow_git(folder: Path, word: str, does: str) -> str:
    """Return a PATH whose git does `does` (shell) first when `word` is among its arguments."""
    real = subprocess.run(["sh", "-c", "command -v git"], capture_output=True, text=True, check=True).stdout.strip()
    folder.mkdir()
    wrapper = folder / "git"
    wrapper.write_text(
        f'#!/bin/sh\nfor a in "$@"; do [ "$a" = {word} ] && {{ {does}; break; }}; done\nexec {real} "$@"\n'
    )
    wrapper.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def python(code: str, *args: str) -> subprocess.Popen[str]:
    """Start a Python process with our package."""
    command = [sys.executable, "-c", code, *args]
    return subprocess.Popen(command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def as_ordinary_user(task: Callable[[], str]) -> str:
    """Run a task as a user for whom permissions count: in a fork as nobody for root, else right here."""
    if os.geteuid() != 0:
        return task()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            said = task()
        except BaseException as error:  # noqa: BLE001 - a fork must not run pytest's clean-up
            said = repr(error)
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


@contextmanager
def public_folder() -> Generator[Path]:
    """Yield a folder that every user may enter, as pytest's own may not be."""
    folder = Path(tempfile.mkdtemp(prefix="interlock-test-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        remove_tree(folder)


def give_away(folder: Path) -> None:
    """Make a folder and all in it the ordinary user's."""
    if os.geteuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
