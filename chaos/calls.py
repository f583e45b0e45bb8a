"""Short calls of the product's programs, one after another, any of which may be killed or made to stand still."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import NamedTuple

_LONGEST_SECONDS = 300.0
_DOOMED_SECONDS = (0.05, 1.2)
_FORESEEN = r"\\n(?:interlock\.[\w.]+|OSError: \[Errno (?:27|28)\])"  # an error of ours, or the disk that is full
ACCIDENT = re.compile(rf"this should not have happened|Traceback \(most recent call last\)(?!.*{_FORESEEN})")
"""What a program says of what nobody foresaw. A line of a log holds all of a traceback, and so its end."""


def accidents(logs: Iterable[Path]) -> Iterator[str]:
    """Yield each log that tells of an accident."""
    for file in logs:
        if found := ACCIDENT.search(said := file.read_text(errors="replace")):
            yield f"an accident in {file.name}: {said[max(0, found.start() - 1000) : found.start() + 4000]}"


class Called(NamedTuple):
    """What came of a call; its code is negative where it was killed."""

    code: int
    out: str
    err: str


class Calls:
    """The calls of one scene."""

    def __init__(self, at: Path, environment: Mapping[str, str]) -> None:
        """Take where they are called, and with what around them."""
        self._at = at
        self._environment = environment
        self._live: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._doomed = 0
        self.accidents: list[str] = []
        """What was said of accidents of the product; there may be none."""

    def call(self, dice: Random, *words: str | Path, doomed: bool = False) -> Called:
        """Call a program, which has a moment to live where it is doomed; raises `TimeoutError` where it hangs."""
        process = subprocess.Popen(
            [str(word) for word in words],
            cwd=self._at,
            env=dict(self._environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        with self._lock:
            self._live.add(process)
        try:
            return self._ended(process, dice.uniform(*_DOOMED_SECONDS) if doomed or self._doomed else None, words)
        finally:
            with self._lock:
                self._live.discard(process)

    def pids(self) -> Sequence[int]:
        """Return the processes that are under way."""
        with self._lock:
            return [each.pid for each in self._live if each.poll() is None]

    @contextmanager
    def killing(self) -> Generator[None]:
        """Kill whatever is under way, and let what is begun meanwhile live for a moment only."""
        self._signal(signal.SIGKILL)
        self._doomed += 1
        try:
            yield
        finally:
            self._doomed -= 1

    @contextmanager
    def pausing(self) -> Generator[None]:
        """Let what is under way stand still meanwhile."""
        stopped = self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in stopped:
                _send(process, signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> list[subprocess.Popen[str]]:
        with self._lock:
            live = list(self._live)
            for process in live:
                _send(process, number)
        return live

    def _ended(self, process: subprocess.Popen[str], seconds: float | None, words: Sequence[object]) -> Called:
        try:
            out, err = process.communicate(timeout=seconds or _LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            _send(process, signal.SIGKILL)
            out, err = process.communicate()
            if seconds is None:
                raise TimeoutError(f"{words} hangs: {out}{err}") from None
        if ACCIDENT.search(out + err):
            self.accidents.append(f"an accident of {words}: {out}{err}")
        return Called(process.returncode, out, err)


def _send(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
