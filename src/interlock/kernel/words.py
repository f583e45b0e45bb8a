"""Words that people write: command lines, split like a shell would and run without one, and spans of time."""

from __future__ import annotations

import re
import shlex

from interlock.kernel.errors import Invalid

LABEL = re.compile(r"[a-z0-9][a-z0-9._/-]{0,62}(=[A-Za-z0-9][A-Za-z0-9._/-]{0,62})?")
"""What a node has, and what work asks of it: `gpu`, `region=eu`, `agent=codex`."""
_SPAN = re.compile(r"(\d{1,9})([smhd]?)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


class MalformedCommand(Invalid):
    """This is not a command line."""

    code = "malformed_command"


def split_command(text: str, where: str) -> tuple[str, ...]:
    """Split a command line into an argument list; raises `MalformedCommand` for open quotes or nothing at all."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise MalformedCommand(f"{where}: {error} in {text[:200]!r}") from None
    if not words or "\0" in text:
        raise MalformedCommand(f"{where} holds no command")
    return words


def span_ms(text: str, what: str) -> int:
    """Read `90`, `90s`, `15m`, `2h` or `3d`, in milliseconds; raises `Invalid`, naming `what`."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise Invalid(f"{what} is a span such as 90s, 15m, 2h or 3d, not {text[:40]!a}")
    return int(match[1]) * _SECONDS[match[2]] * 1000
