"""What a definition names outside of its own text, as it is found now, and the digest over all of it.

Files that commands name count by their bytes, programs of the system by their place: an update of the system would
otherwise ask for acceptance of everything, every week, and nobody would look any more. A program that lies in the
workspace counts by both, because jobs can write there.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

from interlock.kernel.canonical import digest
from interlock.pipelines.models import Definition, Job, Material
from interlock.pipelines.roles import ROLE_FILE
from interlock.pipelines.yaml_source import is_text

_CHUNK: Final = 1 << 20
_MOST_SHEBANG: Final = 256
_MOST_WORD: Final = 4096
_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox"})
_STARTERS: Final = frozenset({
    "env", "nice", "ionice", "nohup", "setsid", "stdbuf", "timeout", "time", "xargs", "chrt", "taskset",
})  # fmt: skip
"""Programs that start another one, which their words name."""
_PUNCTUATION = re.compile(r"[();<>|&]+")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
_POLICY: Final = "policy"


def search_path(environment: Mapping[str, str], program: str) -> str:
    """Return the PATH that an acceptance made here freezes: its absolute folders, then the one of `program`."""
    given = environment.get("PATH") or os.defpath
    entries = [*given.split(os.pathsep), os.path.dirname(program)]  # noqa: PTH120 - no link is followed
    return os.pathsep.join(dict.fromkeys(each for each in entries if each.startswith("/") and is_text(each)))


def find_materials(definition: Definition, root: Path, path: str) -> tuple[Material, ...]:
    """Find what a definition's commands and parameters name; `path` is the search path for programs.

    The definition's own file and the role file are not in it: they count as they were read.
    """
    finder = Finder(root, path, made=_made(definition))
    for job in definition.jobs:
        for line in job.lines:
            finder.command(line.argv, here=job.repository is None)
        named = job.parameters.get(_POLICY)
        if isinstance(named, str):
            finder.word(named)
    return finder.materials()


def definition_digest(
    name: str, materials: Iterable[Material], variables: Mapping[str, str], path: str, root: Path
) -> str:
    """Return the digest that a human accepts: `sha256:<hex>` over everything that decides what is carried out."""
    top = os.path.realpath(root)
    return digest({
        "schema": "interlock-definition/1",
        "name": name,
        "variables": [[key, variables[key]] for key in sorted(variables)],
        "search_path": path,
        # Places below the workspace are told from its top, so that a workspace can be moved.
        "materials": [[each.kind, each.name, _told(each.path, top), each.sha256] for each in materials],
    })  # fmt: skip


def as_read(name: str, root: Path, data: bytes) -> Material:
    """Return the material of a file that was read already, with the bytes that were read."""
    place = os.path.realpath(root / name)
    return Material(name=name, kind="file", path=_shown(place), sha256=hashlib.sha256(data).hexdigest())


@dataclass(slots=True)
class Finder:
    """Collects what commands name."""

    root: Path
    path: str
    """The search path."""
    made: Collection[str] = ()
    """Files below the workspace that jobs make, and that therefore do not count."""
    _found: dict[tuple[str, str], Material] = field(default_factory=dict[tuple[str, str], Material])

    def materials(self) -> tuple[Material, ...]:
        """Return what was found, in a fixed order."""
        return tuple(self._found[key] for key in sorted(self._found))

    def command(self, argv: Sequence[str], *, here: bool = True) -> None:
        """Take in a command; if it does not run `here` in the workspace, its relative words name nothing of it."""
        self.program(argv[0], here=here)
        starter = os.path.basename(argv[0])  # noqa: PTH119 - a word, not a path
        for before, word in pairwise(argv):
            if starter in _SHELLS and re.fullmatch(r"-[a-z]*c", before):
                self._shell(word, here=here)
            if starter in _STARTERS and "/" not in word and self._place(word):
                self.program(word, here=here)
            for each in _words(word):
                if here or each.startswith("/"):
                    self.word(each)

    def program(self, word: str, *, here: bool = True) -> None:
        """Take in a program: one named by a path with its bytes, a bare name with its place, and its interpreter."""
        if "/" not in word:
            self._add_program(word, self._place(word))
        elif (here or word.startswith("/")) and not self._is_made(word):
            place = os.path.realpath(self.root / word)
            beginning = self._add_file(word, place)
            if beginning:
                self._interpreter(beginning)

    def word(self, word: str) -> None:
        """Take in a word of a command, if it is a file of the workspace that no job makes."""
        if not word or len(word) > _MOST_WORD or not is_text(word):
            return
        top, named = os.path.abspath(self.root), os.path.abspath(self.root / word)  # noqa: PTH100 - follow no link here
        if not named.startswith(top + os.sep) or self._is_made(word):
            return
        place = os.path.realpath(named)
        if os.path.isfile(place):  # noqa: PTH113 - a device or folder is no material
            self._add_file(word, place)

    def _shell(self, text: str, *, here: bool) -> None:
        """Take in what a shell is told: programs where a command begins, and every word that is a file."""
        lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, ""
        begins = True
        for word in _tokens(lexer):
            if _PUNCTUATION.fullmatch(word):
                begins = True
                continue
            if begins and not _ASSIGNMENT.fullmatch(word):
                begins = False
                if "/" in word or self._place(word):
                    self.program(word, here=here)
            elif here or word.startswith("/"):
                self.word(word)

    def _interpreter(self, beginning: bytes) -> None:
        if not beginning.startswith(b"#!"):
            return
        words = os.fsdecode(beginning[2:].split(b"\n", 1)[0]).split()
        if words and os.path.basename(words[0]) == "env":  # noqa: PTH119 - a word, not a path
            words = [each for each in words[1:] if not each.startswith("-") and not _ASSIGNMENT.fullmatch(each)]
        if words and is_text(words[0]):
            named = words[0]
            self._add_program(named, os.path.realpath(named) if named.startswith("/") else self._place(named))

    def _is_made(self, word: str) -> bool:
        return os.path.relpath(self.root / word, self.root) in self.made

    def _place(self, name: str) -> str:
        found = shutil.which(name, path=self.path) if name else None
        return os.path.realpath(found) if found else ""

    def _add_program(self, name: str, place: str) -> None:
        if ("program", name) in self._found:
            return
        inside = place.startswith(os.path.realpath(self.root) + os.sep)
        sha256, _ = _read(place) if inside else (None, b"")
        self._found["program", name] = Material(name=name, kind="program", path=_shown(place), sha256=sha256)

    def _add_file(self, name: str, place: str) -> bytes:
        """Keep a file, and return how it begins."""
        sha256, beginning = _read(place)
        there = place if os.path.lexists(place) else ""
        self._found["file", name] = Material(name=name, kind="file", path=_shown(there), sha256=sha256)
        return beginning


def _made(definition: Definition) -> set[str]:
    """Return the files that jobs make, that follow from runs, or that count already."""
    return {
        definition.path,
        ROLE_FILE,
        *definition.artefacts,
        *(rule.artefact for rule in definition.checkpoints),
        *(path for job in definition.jobs for path in _named_paths(job)),
    }


def _named_paths(job: Job) -> Iterator[str]:
    for name in ("telemetry", "review", "report", "output"):
        value = job.parameters.get(name)
        if isinstance(value, str):
            yield value


def _words(word: str) -> Iterator[str]:
    """Return what a word may name: itself, and of an option like `--config=FILE` the file."""
    yield word
    if "=" in word:
        yield word.partition("=")[2]


def _tokens(lexer: shlex.shlex) -> Iterator[str]:
    try:
        yield from lexer
    except ValueError:
        return  # open quotes: the shell will refuse it


def _read(place: str) -> tuple[str | None, bytes]:
    """Return the digest of a regular file's bytes and how they begin; None for what is none or can not be read."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None, b""
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None, b""
        hasher = hashlib.sha256(beginning := file.read(_MOST_SHEBANG))
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest(), beginning


def _told(place: str, top: str) -> str:
    return os.path.relpath(place, top) if place.startswith(top + os.sep) else place


def _shown(place: str) -> str:
    return place.encode("utf-8", "backslashreplace").decode("utf-8")
