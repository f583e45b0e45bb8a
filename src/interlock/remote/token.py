"""The caller's token: from a file that only its owner reads, or from the environment; never from a command line."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping

from interlock.remote.errors import TokenFileUnreadable, TokenFileUnsafe, TokenMalformed, TokenMissing

FILE, TEXT = "INTERLOCK_TOKEN_FILE", "INTERLOCK_TOKEN"
_MOST_BYTES = 4096
_TOKEN = re.compile(r"[!-~]{1,1024}", re.ASCII)


def read_token(named: str | None, environment: Mapping[str, str]) -> str:
    """Return the token; no error ever shows it."""
    file, text = named, None
    if file is None:
        file, text = environment.get(FILE) or None, environment.get(TEXT) or None
    if file is not None and text is not None:
        raise TokenMalformed(f"{FILE} and {TEXT} are both set", hint="unset one of them, or name a file: --token-file")
    if file is None and text is None:
        raise TokenMissing
    token = (_content(file) if file is not None else text or "").strip()
    if not _TOKEN.fullmatch(token):
        raise TokenMalformed(f"{file if file is not None else TEXT} holds no token: one word without spaces")
    return token


def _content(file: str) -> str:
    if not file:
        raise TokenFileUnreadable("--token-file names a file; an empty name is none")
    try:
        with open(file, "rb") as opened:  # noqa: PTH123 - what is checked is what was opened
            _check_private(file, os.fstat(opened.fileno()))
            return opened.read(_MOST_BYTES).decode("ascii")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise TokenFileUnreadable(f"the token file {file} can not be read: {why}") from None


def _check_private(file: str, found: os.stat_result) -> None:
    """Refuse what others can read or could have written. A pipe is as private as whoever holds its ends."""
    if stat.S_ISFIFO(found.st_mode):
        return
    if not stat.S_ISREG(found.st_mode):
        raise TokenFileUnreadable(f"the token file {file} is no file")
    if found.st_mode & 0o077:
        raise TokenFileUnsafe(f"others can reach the token file {file} (mode {stat.S_IMODE(found.st_mode):o})")
    if found.st_uid not in {os.geteuid(), 0}:
        raise TokenFileUnsafe(f"the token file {file} belongs to somebody else (user {found.st_uid})")
