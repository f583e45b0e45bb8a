"""The command line as people and scripts meet it: in this process where many calls are needed, installed otherwise."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from interlock.cli.main import DOORS, main
from tests.around import without_ours

PROGRAM = Path(sys.executable).with_name("interlock")
CHECKOUT = Path(__file__).resolve().parents[2]
WITHOUT_PRIVILEGES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
"""Runs a command so that file permissions hold for it, also where the tests are root's."""


@dataclass(frozen=True)
class Said:
    """What one call answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON of any shape
        """The one JSON document on stdout."""
        assert self.code == 0, self
        return json.loads(self.out)

    @property
    def id(self) -> str:
        return str(self.json["id"])

    def refuses(self, code: int, *words: str) -> None:
        """Assert the shape of every refusal: its exit code, nothing on stdout, one clean line on stderr."""
        assert self.code == code, self
        assert self.out == "", self
        line = self.err.removesuffix("\n")
        assert line.startswith("error: "), self
        assert line.isprintable(), self
        assert ".;" not in line, self
        for word in words:
            assert word in line, self


FRESH = 14
"""Entries of a log that `init` has begun."""


@dataclass(frozen=True)
class Door:
    """The command line of one workspace, called in this process."""

    root: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *words: str) -> Said:
        return said(self.capture, "--workspace", str(self.root), *words)

    def json(self, *words: str) -> Any:  # noqa: ANN401 - JSON of any shape
        """Call with --json, which has to succeed."""
        return self("--json", *words).json

    def draft(self, *words: str, prompt: str = "sweep the floor") -> str:
        """Make a draft; returns its id."""
        return str(self.json("draft", "create", "--prompt", prompt, *words)["id"])

    def approved(self, *words: str) -> str:
        """Make a draft and approve it; returns the approved id."""
        return str(self.json("draft", "approve", self.draft(*words))["id"])

    def log_size(self) -> int:
        """Count the entries of the log."""
        return len(self.json("evidence", "list", "--limit", "1000"))


def said(capture: pytest.CaptureFixture[str], *words: str) -> Said:
    """Call the command line in this process."""
    capture.readouterr()
    code = main(words)
    told = capture.readouterr()
    return Said(code, str(told.out), str(told.err))


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without what would speak to Interlock, and with `more`."""
    return {**without_ours(), "GIT_CONFIG_NOSYSTEM": "1", **more}


def call(
    *words: str | bytes,
    at: Path,
    prefix: Sequence[str | bytes] = (),
    env: Mapping[str, str] | None = None,
    given: bytes = b"",
    seconds: float = 45,
) -> Said:
    """Call the installed program in a folder."""
    done = subprocess.run(
        [*prefix, str(PROGRAM), *words],
        cwd=at,
        env=environment(**(env or {})),
        input=given,
        capture_output=True,
        check=False,
        timeout=seconds,
    )
    return Said(done.returncode, done.stdout.decode(), done.stderr.decode())


_ALL = """
import contextlib, io, json, sys
from interlock.cli.main import main
told = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    told.append([code, out.getvalue(), err.getvalue()])
json.dump(told, sys.stdout)
"""


def call_all(*lines: Sequence[str], at: Path, prefix: Sequence[str] = ()) -> list[Said]:
    """Call the command line several times in one process of its own."""
    done = subprocess.run(
        [*prefix, sys.executable, "-c", _ALL, json.dumps(lines)],
        cwd=at,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=45,
    )
    assert done.returncode == 0, done.stderr
    return [Said(*each) for each in json.loads(done.stdout)]


def python(script: str, *words: str, at: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in the interpreter that Interlock is installed for, with the words as its arguments."""
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=at,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=45,
    )


@cache
def commands() -> Mapping[tuple[str, ...], Any]:
    """Return every command of the program, by its words."""
    found: dict[tuple[str, ...], Any] = {}
    for word, door in DOORS.items():
        command: Any = get_command(getattr(importlib.import_module(door.module), door.name))
        inner: Mapping[str, Any] = getattr(command, "commands", {})
        found.update({(word, name): each for name, each in inner.items()} if inner else {(word,): command})
    return found


def files(folder: Path) -> dict[str, bytes | None]:
    """Return what lies below a folder but for the database: bytes by path, None for folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if not path.name.startswith("interlock.db")
    }


def git(folder: Path, *words: str) -> str:
    """Run the user's git in a folder."""
    person = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *person, *words], cwd=folder, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()


def make_repository(folder: Path) -> Path:
    """Make a repository with one commit."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    (folder / "README.md").write_text("# A small thing\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder


def copy_of(workspace: Path, target: Path) -> Path:
    """Copy a workspace that nobody uses, modes included."""
    shutil.copytree(workspace, target, symlinks=True)
    return target


@contextmanager
def closed(*paths: Path, mode: int) -> Generator[None]:
    """Give paths a mode for a while, and afterwards what they had."""
    before = [path.stat().st_mode for path in paths]
    for path in paths:
        path.chmod(mode)
    try:
        yield
    finally:
        for path, old in zip(paths, before, strict=True):
            path.chmod(old)
