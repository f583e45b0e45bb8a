"""How both entry points speak: any text gets out, an error is one line, an answer that is not heard is no success."""

from __future__ import annotations

import io
import os
import sys

from interlock.kernel.errors import Failed, InterlockError

_MOST_TOLD = 1200


def prepare() -> None:
    """Let the standard streams take any text; raises `Failed` where there is none to answer on."""
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison] - it is, when the caller closed it
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lasts
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison] - the same
        raise Failed("there is no standard output to answer on")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def flush() -> None:
    """Let the answer out; raises `Failed` where that can not be. A reader that has gone is nothing wrong."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        fall_silent()
    except (OSError, ValueError) as error:
        fall_silent()
        raise Failed(f"the answer could not be written: {error}") from None


def fall_silent(descriptor: int = 1) -> None:
    """Say nothing more there: what is still held back would fail again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def complain(line: str) -> None:
    """Say an error; where nobody can hear it, the exit code says it."""
    try:
        sys.stderr.write(line)
        sys.stderr.flush()
    except (OSError, ValueError):
        fall_silent(2)


def accident(error: Exception) -> Failed:
    """Return the last resort: a person gets a sentence; whoever mends it sets INTERLOCK_TRACEBACK."""
    told = f"{type(error).__name__}: {error}"
    return Failed(f"this should not have happened: {told}", hint="INTERLOCK_TRACEBACK=1 shows where")


def refusal(error: InterlockError) -> str:
    """Return the one line that an error is."""
    hint = f"; {error.hint}" if error.hint else ""
    return f"error: {one_line(error.message.rstrip('. ') + hint)} [{error.code}]\n"


def one_line(text: str) -> str:
    """Return a text on one line, safe for a terminal, no longer than a person reads."""
    text = text if len(text) <= _MOST_TOLD else f"{text[:_MOST_TOLD]} […]"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))
