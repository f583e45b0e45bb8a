"""Real agents for these tests: shell and Python snippets, run in containment, and looked at from outside."""

from __future__ import annotations

import os
import secrets
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from interlock.runs.containment.launch import Contained, Ended, Started, launch
from interlock.runs.containment.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from interlock.runs.containment.spec import Overlay

Mode = Literal["require", "never"]
"""With namespaces, and without: what holds in both is tested in both."""

TMP = Path("/tmp")  # noqa: S108 - the folder itself is meant
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
DEADLINE_SECONDS = 5.0
PYTHON = (sys.executable, "-I", "-S", "-c")


class Wanted(TypedDict, total=False):
    """What a test may ask for besides the command: the fields of `Spec`."""

    env: Mapping[str, str]
    cwd: Path
    run_marker: str
    stdin_file: Path
    wall_clock_seconds: float
    lease_until: float
    grace_seconds: float
    max_file_bytes: int
    max_processes: int
    hidden_paths: tuple[Path, ...]
    writable_paths: tuple[Path, ...]
    readonly_paths: tuple[Path, ...]
    overlay_paths: tuple[Overlay, ...]
    private_tmp_bytes: int
    network: bool
    local_services: bool


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Return as soon as the condition holds; fail when it does not within the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}"
        time.sleep(0.005)


def marker() -> str:
    """Return a run marker that no other test uses."""
    return f"r_test_{secrets.token_hex(6)}"


def spec(*argv: str, mode: Mode = "require", **more: Unpack[Wanted]) -> Spec:
    """Return a specification with the least that a command needs; the rest as given."""
    given: Wanted = {"cwd": Path("/"), "env": {"PATH": PATH}, "run_marker": marker(), **more}
    return Spec(argv=argv, namespaces=mode, **given)


def shell(script: str, *, mode: Mode = "require", **more: Unpack[Wanted]) -> Spec:
    """Return a specification for a shell script."""
    return spec("sh", "-c", script, mode=mode, **more)


def python(program: str, *arguments: object, mode: Mode = "require", **more: Unpack[Wanted]) -> Spec:
    """Return a specification for a Python program and its arguments."""
    return spec(*PYTHON, program, *map(str, arguments), mode=mode, **more)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of an agent from its start to its end."""

    started: Started
    ended: Ended
    stdout: str
    stderr: str


def watch(wanted: Spec) -> Seen:
    """Run an agent to its end."""
    with launch(wanted) as run:
        started = run.wait_started(DEADLINE_SECONDS)
        printed = {"stdout": b"", "stderr": b""}
        for stream, data in run.output():
            printed[stream] += data
        ended = run.wait(DEADLINE_SECONDS)
    stdout, stderr = (os.fsdecode(printed[stream]) for stream in ("stdout", "stderr"))
    return Seen(started, ended, stdout, stderr)


def wait_for_output(run: Contained, text: bytes) -> None:
    """Return when the agent has printed this."""
    seen = b""
    for _, data in run.output():
        seen += data
        if text in seen:
            return
    raise AssertionError(f"{text!r} was never printed, but {seen!r}")


class Orphan:
    """A grandchild that does all it can to survive: own session, two forks, no environment, deaf to polite signals."""

    def __init__(self) -> None:
        self.name = f"4999.{secrets.randbelow(10**9):09d}"
        self.script = f"( trap '' TERM HUP INT; setsid -f env -i /bin/sleep {self.name} </dev/null >/dev/null 2>&1 & )"

    def lives(self) -> bool:
        """Say whether it is to be seen anywhere on this host."""
        return any(self.name in command for command in commands().values())

    def wait_until_it_lives(self) -> None:
        """Return when it has been born."""
        wait_until(self.lives, "the orphan lives")

    def wait_until_it_is_gone(self) -> None:
        """Return when it has died."""
        wait_until(lambda: not self.lives(), "the orphan is gone")


def commands() -> dict[int, str]:
    """Return every process of this host with its command line; a zombie has none."""
    seen: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if command:
                seen[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return seen


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_root() -> bool:
    """Say whether the tests run as root."""
    return os.getuid() == 0
