"""The pages of the documentation: their blocks, and a terminal in which somebody types what stands there."""

from __future__ import annotations

import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

from markdown_it import MarkdownIt

from tests.around import without_ours

ROOT = Path(__file__).resolve().parents[2]
"""What variables begin with that would speak to Interlock."""
_MARKDOWN = MarkdownIt("commonmark").enable("table")
_SEEN = re.compile(r"\b(?:d|a|r|n|w|al|si|t|deploy|pipeline)_[0-9A-HJKMNP-TV-Z]{26}\b|sha256:[0-9a-f]{64}")
_UNSAID = re.compile(r"(\b[a-z]+_|sha256:)…")


@dataclass(frozen=True)
class Block:
    """A code block of a page."""

    page: str
    """Its path below the checkout."""
    line: int
    heading: str
    """The heading of the second level that it stands under; "" above the first."""
    language: str
    """What its fence says; "" where it is only indented."""
    text: str
    answer: bool
    """Whether it shows what the block right before it answers: text, with nothing between the two."""

    @property
    def typed(self) -> bool:
        """Whether a reader is to type it."""
        return self.language in ("", "sh")

    @property
    def commands(self) -> list[str]:
        """The commands, each with the lines that go on with it; without comments that stand alone."""
        joined = self.text.replace("\\\n", " ")
        return [line.strip() for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def pages() -> list[str]:
    """List every page of the documentation, by its path below the checkout."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [str(each.relative_to(ROOT)) for each in found]


@cache
def blocks(page: str) -> tuple[Block, ...]:
    """Read the blocks of a page."""
    found: list[Block] = []
    heading, before = "", ""
    tokens = _MARKDOWN.parse((ROOT / page).read_text(encoding="utf-8"))
    for token, inner in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and token.tag == "h2" and inner is not None:
            heading = inner.content
        if token.type in ("code_block", "fence"):
            line = (token.map or [0])[0] + 1
            language = token.info.strip() if token.type == "fence" else ""
            answer = language == "text" and before in ("code_block", "fence") and found[-1].typed
            found.append(Block(page, line, heading, language, token.content, answer))
        before = token.type
    return tuple(found)


def typed(page: str) -> list[str]:
    """List what a page tells to type, in its order."""
    return [command for block in blocks(page) if block.typed for command in block.commands]


def sections(page: str) -> dict[str, list[str]]:
    """Return what a page tells to type under each heading."""
    found: dict[str, list[str]] = {}
    for block in blocks(page):
        if block.typed:
            found.setdefault(block.heading, []).extend(block.commands)
    return found


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    command: str
    code: int
    stdout: str
    stderr: str


def plain_environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without what would speak to Interlock; our programs come first."""
    own = without_ours()
    search = f"{Path(sys.executable).parent}:{more.get('PATH', '')}:{own['PATH']}".replace("::", ":")
    return {**own, "GIT_CONFIG_NOSYSTEM": "1", **more, "PATH": search}


def end_group(leader: subprocess.Popen[bytes], seconds: float = 20) -> None:
    """End a process that leads a group, with all of it: asked to, and killed where that took longer than this."""
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    with suppress(ProcessLookupError, PermissionError):
        while time.monotonic() < deadline:
            leader.poll()
            os.killpg(leader.pid, 0)
            time.sleep(0.05)
        os.killpg(leader.pid, signal.SIGKILL)
    leader.kill()
    leader.wait()


class Terminal:
    """A bash of its own, in which one command after the other is typed.

    `d_…`, `r_…`, `sha256:…` stand for the last such thing that a command answered, `instead` for what is another thing
    here than on the page. What goes on behind a command (`&`) ends with the terminal.
    """

    def __init__(
        self,
        place: Path,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        instead: Mapping[str, str] | None = None,
        seconds: float = 120,
    ) -> None:
        """Begin in `folder`; what this terminal needs for itself goes to `place`: a home too, if none is named."""
        self.said: list[Said] = []
        self.instead = dict(instead or {})
        self._place, self._seconds = place, seconds
        self._last: dict[str, str] = {}
        home = place / "home"
        home.mkdir(parents=True, exist_ok=True)
        self._codes, end = os.pipe()
        self._bash = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env={**plain_environment({"HOME": str(home), **(environment or {})}), "END": str(end)},
            stdin=subprocess.PIPE,
            pass_fds=[end],
            start_new_session=True,
        )
        os.close(end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        end_group(self._bash)
        assert self._bash.stdin
        self._bash.stdin.close()
        os.close(self._codes)

    def types(self, command: str, code: int = 0) -> Said:
        """Type one command, which has to end with this code."""
        said = self._done(self._meant(command))
        self.said.append(said)
        assert said.code == code, said
        for each in _SEEN.findall(said.stdout):
            self._last[each[: max(each.find("_"), each.find(":")) + 1]] = each
        if named := re.match(r"export (\w+)=", command):
            assert self.value(named[1]), said
        return said

    def walks(self, page: str, codes: Mapping[str, int] | None = None) -> None:
        """Type everything that a page tells to type; what it shows as the answer has to be the answer."""
        assert (codes or {}).keys() <= set(typed(page))
        answered = ""
        for block in blocks(page):
            if block.typed:
                first = len(self.said)
                for command in block.commands:
                    self.types(command, (codes or {}).get(command, 0))
                answered = "".join(each.stdout + each.stderr for each in self.said[first:])
            elif block.answer:
                answers(block, answered)

    def value(self, name: str) -> str:
        """Return what a variable says, "" where there is none."""
        return self._done(f'printf %s "${{{name}-}}"').stdout

    def sets(self, name: str, value: str) -> None:
        """Set a variable for what is typed from now on."""
        assert self._done(f"export {name}={shlex.quote(value)}").code == 0

    def _meant(self, command: str) -> str:
        for written, here in self.instead.items():
            command = command.replace(written, here)
        return _UNSAID.sub(lambda found: self._last[found[1]], command)

    def _done(self, command: str) -> Said:
        assert self._bash.stdin
        number = sum(1 for _ in self._place.iterdir())
        line, out, err = (self._place / f"{number:06}.{name}" for name in ("line", "out", "err"))
        line.write_text(command, encoding="utf-8")
        said = f'eval "$(<{shlex.quote(str(line))})" >{shlex.quote(str(out))} 2>{shlex.quote(str(err))} </dev/null'
        self._bash.stdin.write(f"{said}; echo $? >&$END\n".encode())
        self._bash.stdin.flush()
        ready, _, _ = select.select([self._codes], [], [], self._seconds)
        answered = os.read(self._codes, 100) if ready else b""
        assert answered, f"no end of {command!r}: {_text(out)[-2000:]}{_text(err)[-2000:]}"
        return Said(command, int(answered), _text(out), _text(err))


def answers(block: Block, answered: str) -> None:
    """Assert that the lines of a block stand in an answer, in their order; `…` stands for anything."""
    rest = answered.splitlines()
    for line in block.text.splitlines():
        pattern = ".*".join(re.escape(" ".join(part.split())) for part in line.split("…"))
        while rest and not re.fullmatch(rf"\s*{pattern}\s*", " ".join(rest[0].split())):
            rest.pop(0)
        assert rest, f"{block.page}:{block.line}: no line says {line!r} in\n{answered}"
        rest.pop(0)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
