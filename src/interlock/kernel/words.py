"""Command lines: an argument list, split like a shell would and run without one."""

from __future__ import annotations

import shlex

from interlock.kernel.errors import Invalid


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
